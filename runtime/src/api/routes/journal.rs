//! A saga's records, as its journal has them.

use std::sync::Arc;

use amends_core::{
    event::{Act, Answer, Answered, Arrival, Attempt, Cancel, Event, Intent, Resolution, Sent, Started},
    id::{Direction, Leg},
};
use amends_wire::{
    error::ErrorBody,
    journal::{self, JournalPage, RecordType},
};
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Routes,
    sagas::{included, limit},
};
use crate::{
    api::{
        Api,
        caller::{self, Caller, InPath, InQuery},
        error::ApiError,
        position::Positions,
        present::{
            help, saga,
            value::{direction, json, time},
        },
        reads::{ReaderKind, RecordQuery, Rendered, Reserved},
        text::Text,
    },
    journal::{Actor, Fact, Record},
    service::reader::Records,
};

pub(super) fn routes() -> Routes {
    routes![list]
}

/// So many keys of a fan-out's elements tell what it is over.
const KEYS_SHOWN: usize = 5;

/// Which records.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct JournalQuery {
    /// The first revision, from 1.
    from: Option<u64>,
    /// At most so many, 1 to 1000. There may be fewer: a page is not larger than a MiB or so, and `next` says whether it is the last.
    limit: Option<usize>,
    /// An `Amends-Position` that the answer must include; one that the journal has not reached is 503 `behind`.
    at_least: Option<String>,
}

/// A saga's records, oldest first.
#[utoipa::path(
    get, operation_id = "get_journal", path = "/v1/sagas/{id}/journal", tag = "sagas", params(("id" = String, Path), JournalQuery),
    responses((status = 200, body = JournalPage), (status = 404, description = "no such saga", body = ErrorBody))
)]
async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(id): InPath<String>,
    InQuery(query): InQuery<JournalQuery>,
) -> Result<Text, ApiError> {
    included(&api, query.at_least.as_deref()).await?;
    let id = caller::saga_id(&id)?;
    let (from, limit) = (query.from.unwrap_or(1).max(1), limit(query.limit)?);
    let query = RecordQuery { namespace: caller.origin.namespace, id: id.clone(), from, limit, reader: ReaderKind::Page };
    let positions = api.positions();
    let page = api.records(&query, move |read| page(read, positions)).await?;
    let Reserved { value, share } = page.ok_or_else(|| ApiError::saga_not_found(id.as_str()))?;
    Ok(value.counted(share))
}

fn page(read: Records, positions: Positions) -> Result<Rendered<Text>, ApiError> {
    let records = read.records.into_iter().map(|record| entry(&record, positions)).collect();
    let text = Text::json(&JournalPage { records, next: read.next.map(|next| next.to_string()) }, &[])?;
    Ok(Rendered { bytes: text.held(), value: text })
}

/// One record.
pub fn entry(record: &Record, positions: Positions) -> journal::Entry {
    let common = journal::Entry {
        revision: record.id.version.to_string(),
        position: positions.show(record.position),
        at: time(record.at),
        actor: actor(&record.actor),
        caused_by: record.causation.filter(|cause| cause.stream != record.id.stream).map(|cause| positions.show(cause.stream)),
        ..journal::Entry::default()
    };
    // A saga's stream holds nothing else; shown by name rather than hidden should that ever change.
    let Fact::Saga(event) = &record.fact else { return journal::Entry { kind: RecordType::Foreign, ..common } };
    journal::Entry { kind: record_type(event), ..with_event(common, event) }
}

fn record_type(event: &Event) -> RecordType {
    match event {
        Event::Started(_) => RecordType::Started,
        Event::Intent(_) => RecordType::Intent,
        Event::Listed(..) => RecordType::Listed,
        Event::Done(..) => RecordType::Done,
        Event::Refused(..) => RecordType::Refused,
        Event::Transient(..) => RecordType::Transient,
        Event::Unknown(..) => RecordType::Unknown,
        Event::NotDone(_) => RecordType::NotDone,
        Event::Wait(..) => RecordType::Wait,
        Event::Arrived(..) => RecordType::Arrived,
        Event::TimerFired(_) => RecordType::TimerFired,
        Event::Sent(..) => RecordType::Sent,
        Event::Published(..) => RecordType::Published,
        Event::Answered(..) => RecordType::Answered,
        Event::Stale(..) => RecordType::Stale,
        Event::Backoff(..) => RecordType::Backoff,
        Event::RollbackBegun(_) => RecordType::RollbackBegun,
        Event::RoundBegun(_) => RecordType::RoundBegun,
        Event::Undone(_) => RecordType::Undone,
        Event::Resolved(..) => RecordType::Resolved,
        Event::Skipped(..) => RecordType::Skipped,
        Event::Retried(..) => RecordType::Retried,
        Event::CancelRequested(_) => RecordType::CancelRequested,
        Event::Stuck(..) => RecordType::Stuck,
        Event::Unstuck(_) => RecordType::Unstuck,
        Event::Moved(_) => RecordType::Moved,
        Event::LockQueued(_) => RecordType::LockQueued,
        Event::LockTaken => RecordType::LockTaken,
        Event::LockBroken(..) => RecordType::LockBroken,
        Event::Completed => RecordType::Completed,
        Event::Compensated => RecordType::Compensated,
        Event::Abandoned(_) => RecordType::Abandoned,
    }
}

/// Who, as `local`, `host`, or `token:` and its id.
pub(super) fn actor(actor: &Actor) -> String {
    match actor {
        Actor::Host => "host".to_owned(),
        Actor::Local => "local".to_owned(),
        Actor::Token(id) => format!("token:{id}"),
    }
}

fn with_event(entry: journal::Entry, event: &Event) -> journal::Entry {
    match event {
        Event::Started(started) => with_started(entry, started),
        Event::Intent(intent) => with_intent(entry, intent),
        Event::Done(attempt, output) => journal::Entry { output: Some(json(output)), ..with_attempt(entry, attempt) },
        Event::Refused(attempt, failure) | Event::Transient(attempt, failure, _) | Event::Unknown(attempt, failure, _) => {
            journal::Entry { failure: Some(saga::failure(failure)), ..with_attempt(entry, attempt) }
        }
        Event::NotDone(attempt) | Event::Undone(attempt) => with_attempt(entry, attempt),
        Event::Wait(attempt, wait) => journal::Entry { waits_for: Some(saga::waits_for(wait)), ..with_attempt(entry, attempt) },
        Event::Arrived(leg, arrival) => journal::Entry { event: Some(arrived(arrival)), ..with_leg(entry, leg) },
        Event::TimerFired(leg) | Event::Unstuck(leg) => with_leg(entry, leg),
        Event::Sent(attempt, sent) => journal::Entry { command: Some(command(sent)), ..with_attempt(entry, attempt) },
        Event::Published(attempt, published) => {
            let published = journal::PublishedEvent { topic: saga::topic(&published.topic), data: json(&published.data) };
            journal::Entry { published: Some(published), ..with_attempt(entry, attempt) }
        }
        Event::Answered(leg, answered) => with_answer(with_leg(entry, leg), answered),
        Event::Stale(attempt, outcome) => journal::Entry { why: Some(outcome.name().to_owned()), ..with_attempt(entry, attempt) },
        Event::Backoff(leg, until) => journal::Entry { until: Some(time(*until)), ..with_leg(entry, leg) },
        Event::RollbackBegun(reason) => {
            journal::Entry { rollback: Some(saga::rollback(reason)), failure: Some(saga::why_rolled_back(reason)), ..entry }
        }
        Event::Resolved(path, resolution, act) => {
            let entry = journal::Entry { step: Some(path.as_str().to_owned()), ..with_act(entry, act) };
            with_resolution(entry, resolution)
        }
        Event::Skipped(path, act) => journal::Entry { step: Some(path.as_str().to_owned()), ..with_act(entry, act) },
        Event::Retried(legs, act) => journal::Entry { legs: legs.iter().map(Leg::to_string).collect(), ..with_act(entry, act) },
        Event::CancelRequested(Cancel::Asked(act)) | Event::Abandoned(act) => with_act(entry, act),
        Event::CancelRequested(Cancel::Deadline) => journal::Entry { why: Some("deadline".to_owned()), ..entry },
        Event::Stuck(leg, why) => journal::Entry { why: Some(help::why(why)), denial: help::denial(why), ..with_leg(entry, leg) },
        Event::Listed(path, elements) => {
            let element_keys = elements.iter().take(KEYS_SHOWN).map(|element| element.key.clone()).collect();
            journal::Entry { step: Some(path.as_str().to_owned()), elements: Some(elements.len()), element_keys, ..entry }
        }
        Event::RoundBegun(round) => journal::Entry { round: round.number, savepoint: Some(round.savepoint.clone()), ..entry },
        Event::Moved(moved) => {
            let why = Some(format!("to version {} ({})", moved.code.version, hex::encode(moved.code.digest)));
            journal::Entry { why, ..with_act(entry, &moved.act) }
        }
        Event::LockQueued(behind) => journal::Entry { why: Some(behind.join(", ")), ..entry },
        Event::LockBroken(key, act) => journal::Entry { why: Some(key.clone()), ..with_act(entry, act) },
        Event::LockTaken | Event::Completed | Event::Compensated => entry,
    }
}

fn with_leg(entry: journal::Entry, leg: &Leg) -> journal::Entry {
    journal::Entry {
        step: Some(leg.path.as_str().to_owned()),
        direction: Some(direction(leg.direction)),
        alternate: leg.alternate,
        undo_alternate: match leg.direction {
            Direction::Undo(alternate) => alternate,
            Direction::Forward | Direction::Check => 0,
        },
        round: leg.round,
        ..entry
    }
}

fn with_attempt(entry: journal::Entry, attempt: &Attempt) -> journal::Entry {
    journal::Entry { attempt: Some(attempt.number), ..with_leg(entry, &attempt.leg) }
}

fn with_act(entry: journal::Entry, act: &Act) -> journal::Entry {
    let said = |text: &String| (!text.is_empty()).then(|| text.clone());
    journal::Entry { note: said(&act.note), by: said(&act.by), ..entry }
}

fn with_intent(entry: journal::Entry, intent: &Intent) -> journal::Entry {
    journal::Entry {
        reaches_outside: Some(intent.reaches_outside),
        deadline_at: Some(time(intent.deadline_at)),
        ..with_attempt(entry, &intent.attempt)
    }
}

fn with_started(entry: journal::Entry, started: &Started) -> journal::Entry {
    let made_of = journal::Started {
        saga: started.definition.clone(),
        module: started.module.clone(),
        version: started.version,
        digest: hex::encode(started.digest),
        incarnation: hex::encode(started.incarnation.0),
        traceparent: started.trace_context.clone(),
        input: json(&started.input),
    };
    journal::Entry { deadline_at: started.deadline_at.map(time), started: Some(made_of), ..entry }
}

fn with_resolution(entry: journal::Entry, resolution: &Resolution) -> journal::Entry {
    let (said, output) = match resolution {
        Resolution::Output(output) => (journal::Resolution::Done, Some(json(output))),
        Resolution::NotDone => (journal::Resolution::NotDone, None),
        Resolution::Undone => (journal::Resolution::Undone, None),
    };
    journal::Entry { resolution: Some(said), output, ..entry }
}

fn command(sent: &Sent) -> journal::SentCommand {
    let to = format!("{}/{}", sent.aggregate, sent.to);
    journal::SentCommand {
        number: sent.number,
        to,
        command: Some(sent.name.clone()),
        data: Some(json(&sent.data)),
        revision: None,
    }
}

fn with_answer(entry: journal::Entry, answered: &Answered) -> journal::Entry {
    let to = format!("{}/{}", answered.aggregate, answered.from);
    let command = journal::SentCommand { number: answered.number, to, command: None, data: None, revision: None };
    match &answered.answer {
        Answer::Accepted { revision, data, .. } => {
            let (revision, data) = (Some(revision.to_string()), data.as_ref().map(json));
            journal::Entry { command: Some(journal::SentCommand { revision, data, ..command }), ..entry }
        }
        Answer::Refused(failure) => journal::Entry { command: Some(command), failure: Some(saga::failure(failure)), ..entry },
    }
}

fn arrived(arrival: &Arrival) -> journal::Arrived {
    journal::Arrived { id: arrival.id.clone(), topic: saga::topic(&arrival.topic), data: arrival.data.as_ref().map(json) }
}
