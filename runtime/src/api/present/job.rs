//! Jobs as the wire says them, and what to say where a verb for many finds nobody.

use amends_core::{
    job::{Job, JobState, JobVerb, Misfit, SagaFilter},
    view::Status,
};
use amends_wire::job::{self, JobStatus};

use super::value::{self, time};
use crate::{
    api::position::Positions,
    engine::port::{JobPreview, Refusal, RefusalCode},
};

/// A job as of its last record.
pub fn job(job: &Job, positions: Positions) -> job::Job {
    let (status, ended_at) = match &job.state {
        JobState::Running => (JobStatus::Running, None),
        JobState::Ended(at) => (JobStatus::Ended, Some(*at)),
        JobState::Stopped(at, _) => (JobStatus::Stopped, Some(*at)),
    };
    let (verb, args) = verb(job.verb);
    job::Job {
        id: job.id.clone(),
        position: positions.show(job.stream),
        verb,
        args,
        filter: filter(&job.filter),
        note: job.act.note.clone(),
        by: job.act.by.clone(),
        status,
        asked_at: time(job.asked_at),
        ended_at: ended_at.map(time),
        seen: job.seen(),
        applied: job.applied,
        does_not_fit: job.misfits.iter().map(misfit).collect(),
        through: positions.show(job.through),
    }
}

/// What a job would do.
pub fn preview(preview: &JobPreview) -> job::JobPreview {
    job::JobPreview {
        count: preview.count,
        sagas: preview.sagas.iter().map(|id| id.as_str().to_owned()).collect(),
        does_not_fit: preview.misfits.iter().map(misfit).collect(),
        is_cut: preview.is_cut,
    }
}

/// Nothing is as the filter says: what there is instead.
pub fn nothing(filter: &SagaFilter, preview: &JobPreview) -> Refusal {
    let hint = match preview.live.as_slice() {
        [] => "there is no saga that has not ended".to_owned(),
        live => {
            let kinds =
                live.iter().map(|(saga, version, status, count)| format!("{count} {} of {saga} v{version}", status.as_str()));
            format!("what has not ended: {}; look at them with `amends list`", kinds.collect::<Vec<_>>().join(", "))
        }
    };
    Refusal::new(RefusalCode::NothingMatches, format!("no saga that has not ended is as the filter says ({})", words(filter)))
        .hint(hint)
}

/// A filter in words, as its parts are called everywhere.
fn words(filter: &SagaFilter) -> String {
    let SagaFilter { definition, status, module, version, step, failure } = filter;
    let version = version.map(|version| version.to_string());
    let parts = [
        ("saga", definition.as_deref()),
        ("status", status.map(Status::as_str)),
        ("module", module.as_deref()),
        ("version", version.as_deref()),
        ("step", step.as_deref()),
        ("failure", failure.as_deref()),
    ];
    parts.iter().filter_map(|(name, value)| Some(format!("{name} {}", (*value)?))).collect::<Vec<_>>().join(", ")
}

fn filter(filter: &SagaFilter) -> job::Filter {
    let SagaFilter { definition, status, module, version, step, failure } = filter.clone();
    let status = status.map(value::status);
    job::Filter { saga: definition, status, module, version, step, failure }
}

fn verb(verb: JobVerb) -> (job::JobVerb, job::JobArgs) {
    let none = job::JobArgs::default();
    match verb {
        JobVerb::Cancel => (job::JobVerb::Cancel, none),
        JobVerb::Retry => (job::JobVerb::Retry, none),
        JobVerb::Skip => (job::JobVerb::Skip, none),
        JobVerb::NotDone => (job::JobVerb::Resolve, job::JobArgs { not_done: true, ..none }),
        JobVerb::Undone => (job::JobVerb::Resolve, job::JobArgs { undone: true, ..none }),
        JobVerb::Abandon => (job::JobVerb::Abandon, none),
        JobVerb::Move(version) => (job::JobVerb::Move, job::JobArgs { version: Some(version), ..none }),
    }
}

fn misfit(misfit: &Misfit) -> job::Misfit {
    let Misfit { why, count, sagas } = misfit.clone();
    job::Misfit { why, count, sagas }
}
