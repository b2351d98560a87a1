//! Following sagas live, as server-sent events.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use amends_core::id::{Namespace, SagaId};
use amends_wire::{error::ErrorBody, saga::SagaLine};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream::{self, StreamExt};
use serde::Serialize;
use tokio::sync::{
    OwnedSemaphorePermit,
    broadcast::{Receiver, error::RecvError},
};

use super::{Routes, journal};
use crate::{
    api::{
        Api,
        caller::{self, Caller, InPath},
        error::ApiError,
        headers, present,
    },
    engine::port::Change,
    journal::Fact,
    service::reader,
};

pub(super) fn routes() -> Routes {
    routes![saga, all]
}

/// Records read at a time: small beside any answer, large beside a live saga's pace.
const BATCH: usize = 256;

/// Changes of many sagas are gathered for so long, so that a busy host is not read once a record.
const GATHER: Duration = Duration::from_millis(50);

/// Follows one saga, record by record, from its first or the one after `Last-Event-ID`; ends after its end.
///
/// Each message's id is the record's revision; the last message has the event name `end`. A saga of which nothing is
/// left to say is 204, which tells a browser not to come back.
#[utoipa::path(
    get, operation_id = "watch_saga", path = "/v1/sagas/{id}/watch", tag = "sagas",
    params(("id" = String, Path), ("Last-Event-ID" = Option<String>, Header, description = "the last revision that was seen")),
    responses(
        (status = 200, description = "messages whose `data` is an `Entry` of the journal", content_type = "text/event-stream", body = String),
        (status = 204, description = "ended, and all was seen"),
        (status = 404, description = "no such saga", body = ErrorBody),
        (status = 503, description = "too many watch", body = ErrorBody),
    )
)]
async fn saga(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(id): InPath<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id = caller::saga_id(&id)?;
    let seen = last_event_id(&headers)?;
    // Subscribed before the first read, so that no change falls between.
    let changes = api.intake.changes();
    let (namespace, asked) = (caller.origin.namespace, id.clone());
    let name = namespace.clone();
    let saga = api.read(move |reader| reader.saga(&name, &asked)).await?;
    let saga = saga.ok_or_else(|| ApiError::saga_not_found(id.as_str()))?;
    if saga.view.status.is_ended() && seen >= saga.view.revision {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let has_ended = saga.view.status.is_ended();
    // Nobody has seen more than there is: an id from elsewhere follows from now on, and is not waited for.
    let next = seen.min(saga.view.revision) + 1;
    let place = place(&api)?;
    let follower = Follower { api, namespace, id, next, changes, has_ended, has_said_so: false, _place: place };
    let batches = stream::unfold(follower, |mut follower| async {
        let batch = follower.batch().await?;
        Some((stream::iter(batch.into_iter().map(Ok::<_, Infallible>)), follower))
    });
    Ok(Sse::new(batches.flatten()).keep_alive(KeepAlive::default()).into_response())
}

/// Follows all sagas of the namespace from now on: one message a changed saga. A `gap` message says that changes were missed.
#[utoipa::path(
    get, operation_id = "watch_sagas", path = "/v1/watch", tag = "sagas",
    responses(
        (status = 200, description = "messages whose `data` is a `SagaLine`", content_type = "text/event-stream", body = String),
        (status = 503, description = "too many watch", body = ErrorBody),
    )
)]
async fn all(State(api): State<Arc<Api>>, caller: Caller) -> Result<Response, ApiError> {
    let place = place(&api)?;
    let changes = api.intake.changes();
    let crowd = Crowd { api, namespace: caller.origin.namespace, changes, _place: place };
    let batches = stream::unfold(crowd, |mut crowd| async {
        let batch = crowd.batch().await?;
        Some((stream::iter(batch.into_iter().map(Ok::<_, Infallible>)), crowd))
    });
    Ok(Sse::new(batches.flatten()).keep_alive(KeepAlive::default()).into_response())
}

fn place(api: &Api) -> Result<OwnedSemaphorePermit, ApiError> {
    api.waits.watch().ok_or_else(|| {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "as many watch as this host serves at once")
            .hint("try again in a moment, or read `GET /v1/sagas` now and then")
    })
}

/// Where the follower of one saga stands.
struct Follower {
    api: Arc<Api>,
    namespace: Namespace,
    id: SagaId,
    next: u64,
    changes: Receiver<Change>,
    /// The saga had its end when this follower came, or it saw it since. What is recorded after that is stale, and few.
    has_ended: bool,
    has_said_so: bool,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    /// The next messages; none when there is nothing more to say.
    async fn batch(&mut self) -> Option<Vec<Event>> {
        while !self.has_said_so {
            let (namespace, id, next) = (self.namespace.clone(), self.id.clone(), self.next);
            // A failed read ends the stream; the client comes back with the last id that it saw.
            let records = self.api.read(move |reader| reader.journal(&namespace, &id, next, BATCH)).await.ok()??;
            if let Some(last) = records.last() {
                self.next = last.id.version + 1;
                self.has_ended |= records.iter().any(|record| matches!(&record.fact, Fact::Saga(event) if event.is_terminal()));
                let positions = self.api.positions();
                let told = records
                    .iter()
                    .map(|record| message("record", &journal::entry(record, positions)).id(record.id.version.to_string()));
                return Some(told.collect());
            }
            if self.has_ended {
                self.has_said_so = true;
                return Some(vec![Event::default().event("end").data("{}")]);
            }
            self.change().await?;
        }
        None
    }

    /// Waits for a change of this saga, or for having missed some; none when the host stops.
    async fn change(&mut self) -> Option<()> {
        loop {
            let change = tokio::select! {
                change = self.changes.recv() => change,
                () = self.api.stopped() => return None,
            };
            match change {
                Ok(change) if change.id != self.id || change.namespace != self.namespace || change.revision < self.next => {}
                Ok(_) | Err(RecvError::Lagged(_)) => return Some(()),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

/// Who follows every saga of a namespace.
struct Crowd {
    api: Arc<Api>,
    namespace: Namespace,
    changes: Receiver<Change>,
    _place: OwnedSemaphorePermit,
}

impl Crowd {
    async fn batch(&mut self) -> Option<Vec<Event>> {
        let mut changed = BTreeMap::new();
        let mut missed = 0;
        let first = tokio::select! {
            change = self.changes.recv() => change,
            () = self.api.stopped() => return None,
        };
        match first {
            Ok(change) => self.note(&mut changed, change),
            Err(RecvError::Lagged(count)) => missed += count,
            Err(RecvError::Closed) => return None,
        }
        tokio::time::sleep(GATHER).await;
        loop {
            match self.changes.try_recv() {
                Ok(change) => self.note(&mut changed, change),
                Err(tokio::sync::broadcast::error::TryRecvError::Lagged(count)) => missed += count,
                Err(_) => break,
            }
        }
        let gap = (missed > 0).then(|| Event::default().event("gap").data(format!("{{\"missed\":{missed}}}")));
        let namespace = self.namespace.clone();
        let lines = self.api.read(move |reader| {
            let line = |id: SagaId| Ok(reader.saga(&namespace, &id)?.map(|saga| line(id, &saga.view)));
            changed.into_keys().filter_map(|id| line(id).transpose()).collect::<Result<Vec<_>, _>>()
        });
        let lines = lines.await.ok()?;
        Some(gap.into_iter().chain(lines.iter().map(|line| message("saga", line))).collect())
    }

    fn note(&self, changed: &mut BTreeMap<SagaId, u64>, change: Change) {
        if change.namespace == self.namespace {
            changed.insert(change.id, change.revision);
        }
    }
}

fn line(id: SagaId, view: &amends_core::view::View) -> SagaLine {
    present::saga::line(&reader::SagaLine {
        id,
        definition: view.definition.clone(),
        status: view.status,
        module: view.module.clone(),
        version: view.version,
        started_at: view.started_at.0,
        ended_at: view.ended_at.map(|at| at.0),
    })
}

fn message(name: &str, body: &impl Serialize) -> Event {
    // Our own types serialise; a body that did not would be an empty message, never a broken stream.
    Event::default().event(name).data(serde_json::to_string(body).unwrap_or_default())
}

fn last_event_id(headers: &HeaderMap) -> Result<u64, ApiError> {
    let Some(text) = headers::text(headers, "last-event-id")? else { return Ok(0) };
    let number = text.parse().ok();
    number.ok_or_else(|| ApiError::bad_request("last-event-id is no revision").hint("send the id of the last message, or none"))
}
