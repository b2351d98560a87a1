//! Verbs for many sagas: the filters that select them, the preview of a verb, and the job that carries it out.

use std::{
    thread,
    time::{Duration, Instant},
};

use amends_wire::{
    job::{AskJob, Filter, Job, JobArgs, JobPreview, JobStatus, JobVerb},
    saga::Status,
};
use anyhow::{Result, bail};
use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};

use super::{
    act::{Asks, Common},
    clock,
    exit::{Exit, Usage},
    patience::{PAUSE, Patience},
    render,
    session::{Session, confirmed, outcome, print, print_json, say},
};

/// Statuses of sagas that have not ended, and of those that have.
pub(super) const STATUSES: [&str; 7] = ["running", "waiting", "compensating", "stuck", "completed", "compensated", "abandoned"];

/// The time between two requests about a job.
const LOOK: Duration = Duration::from_secs(1);

/// The filters, in words.
const CHOICES: &str = "--saga, --status, --module, --version, --step and --failure";

/// The filters. Their names differ from those of a verb's own arguments.
#[derive(Args, Clone, Debug)]
pub(super) struct Which {
    /// Only sagas of this definition.
    #[arg(long = "saga", value_name = "SAGA")]
    pub(super) of_saga: Option<String>,
    /// Only sagas with this status.
    #[arg(long = "status", value_name = "STATUS", value_parser = PossibleValuesParser::new(STATUSES).try_map(status))]
    pub(super) in_status: Option<Status>,
    /// Only sagas of this module.
    #[arg(long = "module", value_name = "MODULE")]
    on_module: Option<String>,
    /// Only sagas on this version of their module.
    #[arg(long = "version", value_name = "VERSION")]
    on_version: Option<u32>,
    /// Only sagas that are stuck in this step, or in an element or child of it.
    #[arg(long = "step", value_name = "STEP")]
    in_step: Option<String>,
    /// Only sagas that are stuck for this failure code.
    #[arg(long = "failure", value_name = "CODE")]
    for_failure: Option<String>,
}

impl Which {
    /// The filter in the format of the host.
    pub(super) fn filter(&self) -> Filter {
        let Self { of_saga, in_status, on_module, on_version, in_step, for_failure } = self.clone();
        Filter { saga: of_saga, status: in_status, module: on_module, version: on_version, step: in_step, failure: for_failure }
    }
}

impl Which {
    /// The filter as the query of a list.
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let Filter { saga, status, module, version, step, failure } = self.filter();
        let (status, version) = (status.map(|status| status.to_string()), version.map(|version| version.to_string()));
        let all =
            [("saga", saga), ("status", status), ("module", module), ("version", version), ("step", step), ("failure", failure)];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// Whether there is a filter other than definition and status.
    pub(super) fn says_more(&self) -> bool {
        let Self { on_module, on_version, in_step, for_failure, .. } = self;
        on_module.is_some() || on_version.is_some() || in_step.is_some() || for_failure.is_some()
    }
}

fn status(name: String) -> Result<Status, &'static str> {
    Status::named(&name).ok_or("no status of a saga")
}

/// Many sagas in place of one.
#[derive(Args, Debug)]
#[command(next_help_heading = "Many sagas")]
pub(super) struct Many {
    /// Every saga that has not ended and matches the filters below; give at least one filter.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    which: Which,
    /// Only report the number of sagas, their ids, and those to which the verb does not apply.
    #[arg(long, requires = "all")]
    dry_run: bool,
    /// Wait until the job has ended. Exit code 1: the verb did not apply to some sagas.
    #[arg(long, requires = "all")]
    wait: bool,
}

impl Many {
    /// The id, if the verb is for one saga.
    pub(super) fn or_one<'a>(&self, id: Option<&'a String>) -> Result<Option<&'a str>> {
        let is_filtered = self.which.filter() != Filter::default();
        match (id, self.all) {
            (Some(id), _) if is_filtered || self.dry_run || self.wait => {
                bail!(Usage(format!("--wait, --dry-run and the filters need --all in place of {id}")))
            }
            (None, true) if !is_filtered => {
                bail!(Usage(format!("--all alone selects every saga: add at least one of {CHOICES}")))
            }
            (id, _) => Ok(id.map(String::as_str)),
        }
    }

    /// Creates the job of a verb, or prints its preview.
    pub(super) fn act(&self, session: &Session, verb: JobVerb, args: JobArgs, common: &Common, asks: Asks) -> Result<Exit> {
        if common.expect_revision.is_some() {
            bail!(Usage("--expect-revision cannot be used with --all".into()));
        }
        let ask = |dry_run| AskJob { verb, args: args.clone(), filter: self.which.filter(), note: common.note.clone(), dry_run };
        if self.dry_run || asks == Asks::First {
            let preview: JobPreview = session.client.post(&["v1", "jobs"], &ask(true))?;
            let text = render::job::preview(verb, &preview);
            match (self.dry_run, common.form.json) {
                (true, true) => print_json(&preview)?,
                (true, false) => print(&text)?,
                (false, _) => say(text.trim_end()),
            }
            let is_nothing = preview.count == 0 && !preview.is_cut;
            if self.dry_run {
                return Ok(if is_nothing { Exit::Failed } else { Exit::Fine });
            }
            if is_nothing || !confirmed("go on?", common.yes)? {
                say("nothing was done");
                return Ok(Exit::Failed);
            }
        }
        let job: Job = session.client.post(&["v1", "jobs"], &ask(false))?;
        if self.wait {
            return follow(session, &job.id, common.form.json);
        }
        match common.form.json {
            true => print_json(&job)?,
            false => print(&format!("job {} {}\n", job.id, job.status))?,
        }
        say(&format!("follow it with `amends jobs {0} --wait`, stop it with `amends jobs stop {0}`", job.id));
        Ok(Exit::Fine)
    }
}

/// Prints the progress of a job until it has ended, also across restarts of the host.
pub(super) fn follow(session: &Session, id: &str, json: bool) -> Result<Exit> {
    let mut reported = None;
    let mut patience = Patience::new(LOOK);
    let job = loop {
        let (asked, wait) = (Instant::now(), patience.wait());
        match session.client.get::<Job>(&["v1", "jobs", id], &[("wait", &format!("{}ms", wait.as_millis()))]) {
            Ok(job) if job.status != JobStatus::Running => break job,
            Ok(job) => {
                patience.answered();
                if reported.replace(job.seen) != Some(job.seen) {
                    say(&render::job::progress(&job));
                }
                // A host that stops, or that has too many waiting requests, answers early.
                if asked.elapsed() < wait.max(PAUSE) {
                    thread::sleep(PAUSE);
                }
            }
            Err(error) => patience.outlasts(error)?,
        }
    };
    let printed = match json {
        true => print_json(&job),
        false => print(&render::job::job(&job, &clock::now())),
    };
    outcome(exit(&job), printed)
}

/// The exit code of a job.
pub(super) fn exit(job: &Job) -> Exit {
    match job.status {
        JobStatus::Running => Exit::Unfinished,
        JobStatus::Ended if job.does_not_fit.is_empty() => Exit::Fine,
        JobStatus::Ended | JobStatus::Stopped => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use amends_wire::job::Misfit;
    use clap::Parser;

    use super::*;
    use crate::{Cli, Verb, canned, render::samples};

    fn chosen(arguments: &str) -> String {
        let line = format!("amends retry {arguments}");
        let Verb::Retry(retry) = Cli::try_parse_from(line.split_whitespace()).unwrap().verb else { unreachable!() };
        let (id, many) = retry.whom();
        match many.or_one(id) {
            Ok(one) => format!("{one:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn one_saga_and_many_are_not_mixed_and_all_of_them_are_never_meant() {
        assert_eq!(chosen("T1"), "Some(\"T1\")");
        assert_eq!(chosen("--all --saga trip --dry-run"), "None");
        for mixed in ["T1 --saga trip", "T1 --dry-run", "T1 --wait"] {
            assert_eq!(chosen(mixed), "--wait, --dry-run and the filters need --all in place of T1");
        }
        let all =
            "--all alone selects every saga: add at least one of --saga, --status, --module, --version, --step and --failure";
        assert_eq!(chosen("--all"), all);
    }

    /// A host that restarts goes on with its jobs, and so does who waits for one.
    #[test]
    fn who_waits_for_a_job_waits_through_a_restart_of_the_host() {
        let ended = Job { status: JobStatus::Ended, ..samples::job() };
        let answers = vec![canned::json(200, &samples::job()), None, None, canned::json(200, &ended)];
        let (session, serving) = canned::host(answers);
        assert_eq!(follow(&session, "J1", true).unwrap(), Exit::Failed);
        let asked = serving.join().unwrap();
        assert_eq!((asked.len(), asked[0].as_str()), (4, "GET /v1/jobs/J1?wait=1000ms HTTP/1.1"));
    }

    #[test]
    fn c2_08_a_job_is_waited_for_within_the_host_s_bound_of_a_wait() {
        let ended = Job { status: JobStatus::Ended, ..samples::job() };
        let answers = vec![canned::wait_too_long(10), canned::json(200, &samples::job()), canned::json(200, &ended)];
        let (session, serving) = canned::host(answers);
        assert_eq!(follow(&session, "J1", true).unwrap(), Exit::Failed);
        let asked = serving.join().unwrap();
        assert_eq!(asked.len(), 3);
        assert_eq!(asked[2], "GET /v1/jobs/J1?wait=10ms HTTP/1.1");
    }

    #[test]
    fn a_job_is_fine_when_all_that_it_was_about_is_done() {
        let job = |status, does_not_fit: &[Misfit]| exit(&Job { status, does_not_fit: does_not_fit.to_vec(), ..samples::job() });
        let misfit = Misfit { why: "it has ended".into(), count: 1, sagas: vec!["T9".into()] };
        assert_eq!(job(JobStatus::Running, &[]), Exit::Unfinished);
        assert_eq!(job(JobStatus::Ended, &[]), Exit::Fine);
        assert_eq!(job(JobStatus::Ended, &[misfit]), Exit::Failed);
        assert_eq!(job(JobStatus::Stopped, &[]), Exit::Failed);
    }
}
