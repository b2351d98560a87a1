//! Following sagas live, as server-sent events.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use amends_core::id::{Namespace, SagaId};
use amends_wire::error::ErrorBody;
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream::{self, StreamExt};
use http_body_util::BodyExt;
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
        headers,
        position::Positions,
        present,
        reads::{ReaderKind, RecordQuery, Rendered},
        text,
    },
    engine::port::Change,
    held::{Holding, Share},
    journal::{Fact, Record},
    service::reader::{Records, Standing},
};

pub(super) fn routes() -> Routes {
    routes![saga, all]
}

/// Records told at a time, which are small together, or one: little beside any answer, much beside a live saga's pace.
const BATCH: usize = 256;

/// Changes of many sagas are gathered for so long, so that a busy host is not read once a record.
const GATHER: Duration = Duration::from_millis(50);

/// Sagas told of at a time: their lines are small together. The other changes wait where all that follow share them.
const LINES: usize = 100;

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
    let standing = api.read(move |reader| reader.standing(&name, &asked)).await?;
    let Standing { revision, is_ended } = standing.ok_or_else(|| ApiError::saga_not_found(id.as_str()))?;
    if is_ended && seen >= revision {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    // Nobody has seen more than there is: an id from elsewhere follows from now on, and is not waited for.
    let next = seen.min(revision) + 1;
    let place = place(&api)?;
    let holding = Holding::default();
    let follower = Follower {
        api,
        namespace,
        id,
        next,
        changes,
        has_ended: is_ended,
        has_said_so: false,
        holding: holding.clone(),
        share: None,
        _place: place,
    };
    let batches = stream::unfold(follower, |mut follower| async {
        let batch = follower.batch().await?;
        Some((stream::iter(batch.into_iter().map(Ok::<_, Infallible>)), follower))
    });
    let response = Sse::new(batches.flatten()).keep_alive(KeepAlive::default()).into_response();
    let of_frames = holding.clone();
    let mut response = response.map(|body| {
        // A message is held until it is written, whatever the follower does meanwhile.
        Body::new(body.map_frame(move |frame| frame.map_data(|bytes| text::held(bytes, of_frames.share()))))
    });
    response.extensions_mut().insert(holding);
    Ok(response)
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
    let crowd = Crowd { api, namespace: caller.origin.namespace, changes, is_behind: false, _place: place };
    let batches = stream::unfold(crowd, |mut crowd| async {
        let batch = crowd.batch().await?;
        Some((stream::iter(batch.into_iter().map(Ok::<_, Infallible>)), crowd))
    });
    Ok(Sse::new(batches.flatten()).keep_alive(KeepAlive::default()).into_response())
}

pub(super) fn place(api: &Api) -> Result<OwnedSemaphorePermit, ApiError> {
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
    /// What the messages take that were told last, if they are not small.
    share: Option<Arc<Share>>,
    holding: Holding,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    /// The next messages; none when there is nothing more to say.
    async fn batch(&mut self) -> Option<Vec<Event>> {
        while !self.has_said_so {
            self.share = None;
            let (namespace, id) = (self.namespace.clone(), self.id.clone());
            let query = RecordQuery { namespace, id, from: self.next, limit: BATCH, reader: ReaderKind::Follower };
            let positions = self.api.positions();
            let shown = tokio::select! {
                // A failed read ends the stream; the client comes back with the last id that it saw.
                shown = self.api.records(&query, move |read| Ok(told(read, positions))) => shown.ok()??,
                () = self.api.stopped() => return None,
            };
            let Batch { last, messages, has_ended } = shown.value;
            if let Some(last) = last {
                self.next = last + 1;
                self.has_ended |= has_ended;
                self.share = shown.share.map(Arc::new);
                self.share.iter().for_each(|share| self.holding.set(share));
                return Some(messages);
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

/// Records as messages.
struct Batch {
    /// The revision of the last one.
    last: Option<u64>,
    messages: Vec<Event>,
    /// The saga's end is among them.
    has_ended: bool,
}

fn told(read: Records, positions: Positions) -> Rendered<Batch> {
    let last = read.records.last().map(|record| record.id.version);
    let has_ended = read.records.iter().any(|record| matches!(&record.fact, Fact::Saga(event) if event.is_terminal()));
    let mut bytes = 0;
    let message = |record: Record| {
        let text = text_of(&journal::entry(&record, positions));
        bytes += text.len() as u64;
        // The large part is last: a buffer that is full grows to twice its size.
        Event::default().event("record").id(record.id.version.to_string()).data(text)
    };
    let messages = read.records.into_iter().map(message).collect();
    Rendered { value: Batch { last, messages, has_ended }, bytes }
}

/// Who follows every saga of a namespace.
struct Crowd {
    api: Arc<Api>,
    namespace: Namespace,
    changes: Receiver<Change>,
    /// There were more changes than are told at a time.
    is_behind: bool,
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
        if !self.is_behind {
            tokio::time::sleep(GATHER).await;
        }
        while changed.len() < LINES {
            match self.changes.try_recv() {
                Ok(change) => self.note(&mut changed, change),
                Err(tokio::sync::broadcast::error::TryRecvError::Lagged(count)) => missed += count,
                Err(_) => break,
            }
        }
        self.is_behind = changed.len() == LINES;
        let gap = (missed > 0).then(|| Event::default().event("gap").data(format!("{{\"missed\":{missed}}}")));
        let (namespace, changed) = (self.namespace.clone(), changed.into_keys().collect::<Vec<_>>());
        let lines = self.api.read(move |reader| reader.lines(&namespace, &changed)).await.ok()?;
        let line = |line| Event::default().event("saga").data(text_of(&present::saga::line(line)));
        Some(gap.into_iter().chain(lines.iter().map(line)).collect())
    }

    fn note(&self, changed: &mut BTreeMap<SagaId, u64>, change: Change) {
        if change.namespace == self.namespace {
            changed.insert(change.id, change.revision);
        }
    }
}

fn text_of(body: &impl Serialize) -> String {
    // Our own types serialise; a body that did not would be an empty message, never a broken stream.
    serde_json::to_string(body).unwrap_or_default()
}

fn last_event_id(headers: &HeaderMap) -> Result<u64, ApiError> {
    let Some(text) = headers::text(headers, "last-event-id")? else { return Ok(0) };
    let number = text.parse().ok();
    number.ok_or_else(|| ApiError::bad_request("last-event-id is no revision").hint("send the id of the last message, or none"))
}
