//! Events as they were recorded: pages of them, and followed live.

use std::{convert::Infallible, sync::Arc};

use amends_core::{id::Namespace, trigger::is_event_type};
use amends_wire::{error::ErrorBody, event::EventPage};
use axum::{
    Json,
    extract::State,
    http::HeaderMap,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream::{self, StreamExt};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, watch};
use utoipa::IntoParams;

use super::{
    Routes,
    sagas::{included, limit},
};
use crate::{
    api::{
        Api,
        caller::{Caller, InQuery},
        error::ApiError,
        headers,
        present::recorded,
    },
    engine::port::{EventQuery, RecordedEvent, RecordedEvents},
    held::{SMALL_BYTES, Share},
};

pub(super) fn routes() -> Routes {
    routes![list, follow]
}

/// The events of a page, at most, or one.
const PAGE_BYTES: usize = 1 << 20;

/// Events that a follower is told at a time: they are small together.
const BATCH: usize = 256;

/// Event types of one request.
const TYPES_MAX: usize = 64;

/// Which events.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Only of these types, with commas between them.
    name: Option<String>,
    /// Only of the aggregate of this id, or published with this key.
    key: Option<String>,
    /// Only behind this position: the `through` of the page before, or the position of an event.
    after: Option<String>,
    /// At most so many, 1 to 1000. There may be fewer: a page is not larger than a MiB or so.
    limit: Option<usize>,
    /// An `Amends-Position` that the answer must include; one that the journal has not reached is 503 `behind`.
    at_least: Option<String>,
}

/// Lists events in the order of the journal: those that aggregates decided, and those that were published.
#[utoipa::path(
    get, operation_id = "list_events", path = "/v1/events", tag = "events", params(ListQuery),
    responses(
        (status = 200, body = EventPage),
        (status = 400, description = "a bad type or position", body = ErrorBody),
        (status = 409, description = "`restored`: the position is of another life of the journal", body = ErrorBody),
    )
)]
async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InQuery(query): InQuery<ListQuery>,
) -> Result<Json<EventPage>, ApiError> {
    included(&api, query.at_least.as_deref()).await?;
    let (names, positions) = (types(query.name.as_deref())?, api.positions());
    let after = query.after.as_deref().map(|after| positions.read(after)).transpose()?.unwrap_or_default();
    let query = EventQuery { types: names, key: query.key, after, limit: limit(query.limit)?, bytes_max: PAGE_BYTES };
    let read = api.read(move |reader| reader.events(&caller.origin.namespace, &query)).await?;
    let RecordedEvents { events, through, has_more } = read;
    let events = events.iter().map(|event| recorded::event(event, positions)).collect();
    Ok(Json(EventPage { events, through: positions.show(through), has_more }))
}

/// Which events are followed.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct FollowQuery {
    /// Only of these types, with commas between them.
    name: Option<String>,
    /// Only of the aggregate of this id, or published with this key.
    key: Option<String>,
    /// Only behind this position; without it from the first event on.
    after: Option<String>,
}

/// Follows events in the order of the journal, from a position on, without an end.
///
/// Each message's id is the event's position: who comes back with it as `Last-Event-ID` misses none and is told none twice.
#[utoipa::path(
    get, operation_id = "follow_events", path = "/v1/events/watch", tag = "events",
    params(FollowQuery, ("Last-Event-ID" = Option<String>, Header, description = "the position of the last event that was seen")),
    responses(
        (status = 200, description = "messages whose `data` is a `RecordedEvent`", content_type = "text/event-stream", body = String),
        (status = 400, description = "a bad type or position", body = ErrorBody),
        (status = 503, description = "too many watch", body = ErrorBody),
    )
)]
async fn follow(
    State(api): State<Arc<Api>>,
    caller: Caller,
    headers: HeaderMap,
    InQuery(query): InQuery<FollowQuery>,
) -> Result<Response, ApiError> {
    let seen = headers::text(&headers, "last-event-id")?.map(str::to_owned).or(query.after);
    let after = seen.map(|seen| api.positions().read(&seen)).transpose()?.unwrap_or_default();
    let query = EventQuery { types: types(query.name.as_deref())?, key: query.key, after, limit: BATCH, bytes_max: SMALL_BYTES };
    let place = super::watch::place(&api)?;
    // Subscribed before the first read, so that no event falls between.
    let changes = api.intake.recorded();
    let follower = Follower { api, namespace: caller.origin.namespace, query, changes, share: None, _place: place };
    let batches = stream::unfold(follower, |mut follower| async {
        let batch = follower.batch().await?;
        Some((stream::iter(batch.into_iter().map(Ok::<_, Infallible>)), follower))
    });
    Ok(Sse::new(batches.flatten()).keep_alive(KeepAlive::default()).into_response())
}

/// Where a follower stands.
struct Follower {
    api: Arc<Api>,
    namespace: Namespace,
    query: EventQuery,
    changes: watch::Receiver<u64>,
    /// What the messages take that were told last, if they are not small.
    share: Option<Share>,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    /// The next messages; none when the host stops.
    async fn batch(&mut self) -> Option<Vec<Event>> {
        loop {
            self.changes.mark_unchanged();
            let (namespace, query) = (self.namespace.clone(), self.query.clone());
            let read = tokio::select! {
                // A failed read ends the stream; the client comes back with the last id that it saw.
                read = self.api.read(move |reader| reader.events(&namespace, &query)) => read.ok()?,
                () = self.api.stopped() => return None,
            };
            let RecordedEvents { events, through, has_more } = read;
            self.query.after = through;
            if !events.is_empty() {
                return self.told(&events).await;
            }
            if !has_more {
                tokio::select! {
                    changed = self.changes.changed() => changed.ok()?,
                    () = self.api.stopped() => return None,
                }
            }
        }
    }
}

impl Follower {
    /// Events as messages. Those that are not small take their share of the memory for followers; where there is none, the stream ends,
    /// and the client comes back.
    async fn told(&mut self, events: &[RecordedEvent]) -> Option<Vec<Event>> {
        let positions = self.api.positions();
        let (mut messages, mut bytes) = (Vec::with_capacity(events.len()), 0);
        for event in events {
            let event = recorded::event(event, positions);
            let text = serde_json::to_string(&event).ok()?;
            bytes += text.len();
            messages.push(Event::default().event("event").data(text).id(event.position));
        }
        self.share = None;
        if bytes > SMALL_BYTES {
            self.share = Some(self.api.held.pages.take(bytes as u64).await.ok()?);
        }
        Some(messages)
    }
}

/// The types in a list.
fn types(text: Option<&str>) -> Result<Vec<String>, ApiError> {
    let types: Vec<String> = text.into_iter().flat_map(|text| text.split(',')).map(str::to_owned).collect();
    if let Some(bad) = types.iter().find(|name| !is_event_type(name)) {
        return Err(ApiError::bad_request(format!("`{}` is no type of an event", bad.escape_debug()))
            .hint("name them as customer.opened,customer.credit-reserved"));
    }
    if types.len() > TYPES_MAX {
        return Err(ApiError::bad_request(format!("{} types are too many; at most {TYPES_MAX}", types.len())));
    }
    Ok(types)
}
