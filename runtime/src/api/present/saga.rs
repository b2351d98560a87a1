//! A saga's view as the wire says it.

use amends_core::{
    event::{Reason, Topic, Wait},
    id::{Namespace, SagaId},
    value::{self, Instant, Payload},
    view::{AwaitedAnswer, BodyView, LegView, PastView, Status, StepView, View},
};
use amends_wire::{
    Time,
    lock::Locks,
    saga::{self, RollbackReason},
};

use bytes::Bytes;

use super::{
    help, lock, preview,
    value::{json, kind, status, step_status, time},
};
use crate::service::reader::{CommittedSaga, EventName, LockKey, SagaLine, Starter};

/// The whole saga with what was looked at beside its stream.
pub fn committed(namespace: &Namespace, id: &SagaId, committed: &CommittedSaga, now: Instant) -> saga::Saga {
    let CommittedSaga { view, started_by, locks, on_cancel, .. } = committed;
    let queue = view.locks.as_ref().and_then(|own| lock::reason(id, own, locks));
    let plain = saga(namespace, id, view, now);
    let cancel_preview = (!view.status.is_ended()).then(|| preview::on_cancel(on_cancel));
    let started_by = started_by.as_ref().map(starter);
    saga::Saga { started_by, locks: lock_keys(view, locks), reason: queue.or(plain.reason), cancel_preview, ..plain }
}

/// The values in a saga, each of which may be large.
pub fn values(view: &View) -> Vec<Bytes> {
    let of_steps = view.steps.iter().flat_map(|step| step.output.iter().chain(data(step.failure.as_ref())));
    let of_saga = std::iter::once(&view.input).chain(&view.output).chain(data(view.cause.as_ref()));
    of_saga
        .chain(data(view.rollback.as_ref().and_then(Reason::failure)))
        .chain(of_steps)
        .map(|value| value.bytes.clone())
        .collect()
}

fn data(failure: Option<&value::Failure>) -> Option<&Payload> {
    failure?.data.as_ref()
}

fn starter(starter: &Starter) -> saga::Starter {
    match starter {
        Starter::Event(EventName { source, id, event_type }) => {
            saga::Starter::Event { event_type: event_type.clone(), source: source.clone(), id: id.clone() }
        }
        Starter::Schedule(name) => saga::Starter::Schedule { name: name.clone() },
    }
}

/// The whole saga. `now` is the host's time, so that a reader can say "in 58m" without a clock of ours.
pub fn saga(namespace: &Namespace, id: &SagaId, view: &View, now: Instant) -> saga::Saga {
    saga::Saga {
        id: id.as_str().to_owned(),
        saga: view.definition.clone(),
        status: status(view.status),
        module: view.module.clone(),
        version: view.version,
        digest: hex::encode(view.digest),
        revision: view.revision.to_string(),
        started_at: time(view.started_at),
        started_by: None,
        ended_at: view.ended_at.map(time),
        deadline_at: view.deadline_at.map(time),
        as_of: time(now),
        input: json(&view.input),
        output: view.output.as_ref().map(json),
        failure: view.rollback.as_ref().map(why_rolled_back),
        rollback: view.rollback.as_ref().map(rollback),
        round: view.round,
        round_after: view.cause.as_ref().map(failure),
        savepoint: view.savepoint.clone(),
        cancel_pending: view.cancel_pending,
        reason: reason(id, view),
        locks: lock_keys(view, &[]),
        cancel_preview: None,
        steps: view.steps.iter().map(step).collect(),
        outstanding: view.outstanding.iter().map(|path| path.as_str().to_owned()).collect(),
        manual: view.manual,
        stuck: view.stuck.iter().map(|stuck| help::stuck(namespace, id, view, stuck)).collect(),
    }
}

fn lock_keys(view: &View, looked: &[LockKey]) -> Option<Locks> {
    let own = view.locks.as_ref().filter(|_| !view.status.is_ended())?;
    Some(lock::locks(own, looked))
}

/// One line of a page.
pub fn line(line: &SagaLine) -> saga::SagaLine {
    saga::SagaLine {
        id: line.id.as_str().to_owned(),
        saga: line.definition.clone(),
        status: status(line.status),
        module: line.module.clone(),
        version: line.version,
        started_at: Time::from_ms(line.started_at),
        ended_at: line.ended_at.map(Time::from_ms),
    }
}

/// A failure.
pub fn failure(failure: &value::Failure) -> saga::Failure {
    saga::Failure { code: failure.code.clone(), message: failure.message.clone(), data: failure.data.as_ref().map(json) }
}

/// What decided a rollback.
pub fn rollback(reason: &Reason) -> saga::Rollback {
    let (reason, step) = match reason {
        Reason::Refused(step, _) => (RollbackReason::Refused, Some(step)),
        Reason::Exhausted(step, _) => (RollbackReason::Exhausted, Some(step)),
        Reason::Unknown(step, _) => (RollbackReason::Unknown, Some(step)),
        Reason::Cancelled => (RollbackReason::Cancelled, None),
        Reason::Deadline => (RollbackReason::Deadline, None),
    };
    saga::Rollback { reason, step: step.map(|path| path.as_str().to_owned()) }
}

/// The failure that a rollback is about.
pub fn why_rolled_back(reason: &Reason) -> saga::Failure {
    match reason {
        Reason::Refused(_, cause) | Reason::Exhausted(_, cause) | Reason::Unknown(_, cause) => failure(cause),
        Reason::Cancelled => plain("cancelled", "somebody asked for a rollback"),
        Reason::Deadline => plain("deadline", "the saga's deadline passed"),
    }
}

/// What a leg waits for.
pub fn waits_for(wait: &Wait) -> saga::WaitsFor {
    let answer = wait.answer.map(|number| saga::AwaitedAnswer { number, to: None, command: None });
    saga::WaitsFor { event: wait.event.as_ref().map(topic), until: wait.until.map(time), answer }
}

/// A type and a key.
pub fn topic(topic: &Topic) -> saga::Topic {
    saga::Topic { event_type: topic.event_type.clone(), key: topic.key.clone() }
}

fn plain(code: &str, message: &str) -> saga::Failure {
    saga::Failure { code: code.to_owned(), message: message.to_owned(), data: None }
}

fn step(step: &StepView) -> saga::Step {
    saga::Step {
        name: step.path.as_str().to_owned(),
        stage: step.stage,
        body: body(step.body),
        element: step.element.clone(),
        alternate: step.alternate,
        round: step.round,
        past: step.past.iter().map(past).collect(),
        kind: kind(step.kind),
        status: step_status(step.status),
        done: step.done,
        output: step.output.as_ref().map(json),
        failure: step.failure.as_ref().map(failure),
        forward: leg(&step.forward),
        undo: step.undo.as_ref().map(leg),
        undo_declared: step.undo_declared,
        may_have_run: step.may_have_run,
        manual: step.manual,
    }
}

fn body(body: BodyView) -> Option<saga::StepBody> {
    match body {
        BodyView::Code => None,
        BodyView::Child => Some(saga::StepBody::Child),
        BodyView::Unlisted => Some(saga::StepBody::Elements { all: None, settled: 0, refused: 0, moving: 0 }),
        BodyView::Each { elements, settled, refused, moving } => {
            Some(saga::StepBody::Elements { all: Some(elements), settled, refused, moving })
        }
    }
}

fn past(past: &PastView) -> saga::Past {
    saga::Past {
        round: past.round,
        alternate: past.alternate,
        attempts: past.attempts,
        status: step_status(past.status),
        failure: past.failure.as_ref().map(failure),
    }
}

fn leg(leg: &LegView) -> saga::Leg {
    saga::Leg {
        attempts: leg.attempts,
        began_at: leg.began_at.map(time),
        ended_at: leg.ended_at.map(time),
        took_ms: leg.began_at.zip(leg.ended_at).map(|(began, ended)| ended.since(began)),
        failures: leg.failures.iter().map(|(code, times)| saga::FailureCount { code: code.clone(), times: *times }).collect(),
        last_failure: leg.last_failure.as_ref().map(|failure| failure.message.clone()),
        retry_at: leg.retry_at.map(time),
        waits_for: leg.waits_for.as_ref().map(|wait| {
            let answer = wait.answer.map(|number| saga::AwaitedAnswer {
                number,
                to: leg.answer_from.as_ref().map(|from| format!("{}/{}", from.aggregate, from.id)),
                command: leg.answer_from.as_ref().map(|from| from.command.clone()),
            });
            saga::WaitsFor { answer, ..waits_for(wait) }
        }),
    }
}

/// Why the saga waits: for its lock keys, or the first step that does.
fn reason(id: &SagaId, view: &View) -> Option<String> {
    if view.status != Status::Waiting {
        return None;
    }
    if let Some(queue) = view.locks.as_ref().and_then(|own| lock::reason(id, own, &[])) {
        return Some(queue);
    }
    view.steps.iter().find_map(|step| {
        let (leg, who) = match step.undo.as_ref().filter(|undo| waits(undo)) {
            Some(undo) => (undo, format!("the compensation of {}", step.path)),
            None => (&step.forward, step.path.to_string()),
        };
        let wait = leg.waits_for.as_ref().map(|wait| wait_in_words(wait, leg.answer_from.as_ref()));
        let backoff = || leg.retry_at.map(|at| format!("tries again at {}", time(at)));
        wait.or_else(backoff).map(|what| format!("{who} {what}"))
    })
}

fn waits(leg: &LegView) -> bool {
    leg.waits_for.is_some() || leg.retry_at.is_some()
}

fn wait_in_words(wait: &Wait, answer_from: Option<&AwaitedAnswer>) -> String {
    let event = wait.event.as_ref().map(|topic| format!("event {}/{}", topic.event_type, topic.key));
    let answer = answer_from.map(|from| format!("the answer of {}/{} to {}", from.aggregate, from.id, from.command));
    let what: Vec<String> = event.into_iter().chain(answer).collect();
    let what = if what.is_empty() { String::new() } else { format!(" for {}", what.join(" or ")) };
    let until = wait.until.map(|at| format!(" until {}", time(at))).unwrap_or_default();
    format!("waits{what}{until}")
}
