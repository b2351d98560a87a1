//! Jobs as text: what one would do, how far it is, what came of it.

use amends_wire::job::{Filter, Job, JobArgs, JobPreview, JobStatus, JobVerb, Misfit};

use super::{
    style::{BACK, BOLD, DIM, GOOD, LIVE, paint},
    text::{clean, columns, count, header},
    time::{Now, duration_text},
};

/// What a verb would do to many.
pub(crate) fn preview(verb: JobVerb, preview: &JobPreview) -> String {
    let more = preview.count.saturating_sub(preview.sagas.len() as u64);
    let would = format!("would {verb} {}{}\n", count(preview.count, "saga"), named(&preview.sagas, more));
    let cut = if preview.is_cut { "there are more sagas than were examined\n" } else { "" };
    format!("{would}{}{cut}", misfits("would not fit", &preview.does_not_fit))
}

/// How far a job is, on one line.
pub(crate) fn progress(job: &Job) -> String {
    format!("{}: {}", job.verb, so_far(job))
}

/// One job with all that is known of it.
pub(crate) fn job(job: &Job, now: &Now) -> String {
    let head = format!("{}  {}  {}  {}\n", paint(BOLD, &job.id), what(job), status(job), when(job, now));
    let by = if job.by.is_empty() { String::new() } else { format!(" by {}", clean(&job.by)) };
    let note = if job.note.is_empty() { String::new() } else { format!(": {}", clean(&job.note)) };
    let asked = paint(DIM, format!("requested{by} at {}{note}", now.clock(job.asked_at)));
    let applied = format!("applied to {}", count(job.applied, "saga"));
    format!("{head}  {asked}\n  {applied}\n{}", misfits("  did not fit", &job.does_not_fit))
}

/// Jobs, a line each.
pub(crate) fn table(jobs: &[Job], now: &Now) -> String {
    if jobs.is_empty() {
        return String::new();
    }
    let row =
        |job: &Job| vec![paint(BOLD, &job.id), what(job), status(job), so_far(job), now.clock(job.asked_at), when(job, now)];
    let header = header(["ID", "WHAT", "STATUS", "SO FAR", "ASKED", ""]);
    columns(&[header].into_iter().chain(jobs.iter().map(row)).collect::<Vec<_>>())
}

fn so_far(job: &Job) -> String {
    match job.seen - job.applied {
        0 => format!("{} applied", job.applied),
        others => format!("{} applied, {others} did not fit", job.applied),
    }
}

fn when(job: &Job, now: &Now) -> String {
    match job.ended_at {
        Some(ended) => format!("took {}", duration_text(ended.since(job.asked_at))),
        None => now.ago(job.asked_at),
    }
}

fn status(job: &Job) -> String {
    let style = match job.status {
        JobStatus::Ended => GOOD,
        JobStatus::Stopped => BACK,
        JobStatus::Running => LIVE,
    };
    paint(style, job.status)
}

/// `move to v2 (saga trip, version 1)`.
fn what(job: &Job) -> String {
    let JobArgs { version, not_done, undone } = &job.args;
    let to = version.map(|version| format!(" to v{version}")).unwrap_or_default();
    let happened = match (not_done, undone) {
        (true, _) => " as not done",
        (false, true) => " as undone",
        (false, false) => "",
    };
    format!("{}{to}{happened} ({})", job.verb, words(&job.filter))
}

fn words(filter: &Filter) -> String {
    let Filter { saga, status, module, version, step, failure } = filter;
    let (status, version) = (status.map(|status| status.to_string()), version.map(|version| version.to_string()));
    let parts =
        [("saga", saga), ("status", &status), ("module", module), ("version", &version), ("step", step), ("failure", failure)];
    let printed = parts.iter().filter_map(|(name, value)| Some(format!("{name} {}", clean(value.as_ref()?))));
    printed.collect::<Vec<_>>().join(", ")
}

/// A line a reason.
fn misfits(what: &str, misfits: &[Misfit]) -> String {
    let line = |misfit: &Misfit| {
        let more = misfit.count.saturating_sub(misfit.sagas.len() as u64);
        format!("{what}: {}{}: {}\n", count(misfit.count, "saga"), named(&misfit.sagas, more), clean(&misfit.why))
    };
    misfits.iter().map(line).collect()
}

/// ` (T1, T2 and 298 more)`.
pub(super) fn named(ids: &[String], more: u64) -> String {
    match (ids, more) {
        ([], _) => String::new(),
        (ids, 0) => format!(" ({})", ids.join(", ")),
        (ids, more) => format!(" ({} and {more} more)", ids.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use jiff::tz::TimeZone;

    use super::*;
    use crate::render::{samples, style::plain};
    use amends_host::api::{present::value::time, samples::NOON};

    fn now() -> Now {
        Now { at: time(NOON.plus(5_000)), zone: TimeZone::UTC }
    }

    #[test]
    fn a_dry_run_counts_and_names_and_says_what_stands_against_it() {
        let ids = |count: u64| (1..=count).map(|number| format!("T{number}")).collect::<Vec<_>>();
        let misfit = |why: &str, all: u64| Misfit { why: why.into(), count: all, sagas: ids(all.min(5)) };
        let of =
            |all: u64, does_not_fit: Vec<Misfit>| JobPreview { count: all, sagas: ids(all.min(20)), does_not_fit, is_cut: false };
        let printed = [
            preview(JobVerb::Retry, &of(1, Vec::new())),
            preview(JobVerb::Cancel, &of(1_254, vec![misfit("it is past its point of no return", 7), misfit("odd\u{1b}[2J", 1)])),
            preview(JobVerb::Move, &JobPreview { is_cut: true, ..of(0, vec![misfit("module `trip` has no version 7", 2)]) }),
        ];
        expect![[r#"
            would retry 1 saga (T1)
            would cancel 1254 sagas (T1, T2, T3, T4, T5, T6, T7, T8, T9, T10, T11, T12, T13, T14, T15, T16, T17, T18, T19, T20 and 1234 more)
            would not fit: 7 sagas (T1, T2, T3, T4, T5 and 2 more): it is past its point of no return
            would not fit: 1 saga (T1): odd [2J
            would move 0 sagas
            would not fit: 2 sagas (T1, T2): module `trip` has no version 7
            there are more sagas than were examined
        "#]].assert_eq(&printed.concat());
    }

    #[test]
    fn a_job_says_what_it_does_for_whom_and_how_far_it_is() {
        let moved = Job { verb: JobVerb::Move, args: JobArgs { version: Some(2), ..JobArgs::default() }, ..samples::job() };
        let ended =
            Job { status: JobStatus::Ended, ended_at: Some(time(NOON.plus(1_300))), does_not_fit: Vec::new(), seen: 99, ..moved };
        expect![[r#"
            J1  retry (saga trip, failure gateway_down)  running  5s ago
              requested by ann at 12:00:00: the gateway is back
              applied to 99 sagas
              did not fit: 1 saga (T9): it is past its point of no return

            J1  move to v2 (saga trip, failure gateway_down)  ended  took 1.3s
              requested by ann at 12:00:00: the gateway is back
              applied to 99 sagas
        "#]]
        .assert_eq(&plain(&format!("{}\n{}", job(&samples::job(), &now()), job(&ended, &now()))));
        expect![[r#"
            ID  WHAT                                          STATUS   SO FAR                     ASKED
            J1  retry (saga trip, failure gateway_down)       running  99 applied, 1 did not fit  12:00:00  5s ago
            J1  move to v2 (saga trip, failure gateway_down)  ended    99 applied                 12:00:00  took 1.3s
        "#]]
        .assert_eq(&plain(&table(&[samples::job(), ended], &now())));
        assert_eq!(progress(&samples::job()), "retry: 99 applied, 1 did not fit");
        assert_eq!(table(&[], &now()), "");
    }
}
