//! Many events in one request: each is judged by itself, all that are taken are recorded in their order, and none of them waits for the
//! commit of the one before.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use amends_wire::event::{BatchAnswer, EventAnswer};
use axum::{
    body::Body,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    events::{Answers, accepted, event_bytes_max, from_outside, status},
    written,
};
use crate::{
    api::{
        Api,
        caller::{self, Caller},
        cloudevents::{
            Event,
            batch::{self, Refused},
        },
        error::{ApiError, Part},
    },
    engine::port::{Batch, PublishAnswer, RefusalCode, Request},
    held::SMALL_BYTES,
    service::intake::Asked,
};

pub use crate::api::cloudevents::batch::EVENTS_MAX;

/// Bytes of a batch, where one event may not have more: a full batch of small events, and little enough that several of them in memory
/// are nothing.
pub const BATCH_BYTES_MAX: usize = 4 << 20;

/// Batches that are not small and are taken at a time. Each is in memory with its answers, some 20 MiB, until its client has the answer.
const AT_ONCE: usize = 4;

/// A batch of so few events is small, if its bytes are: as many of them as there are connections are less than 100 MiB with their answers.
const SMALL_EVENTS: usize = 100;

/// Who finds no place waits for so long.
const PATIENCE: Duration = Duration::from_secs(50);

/// Events of a batch that are asked for before the first of them is answered: enough to share commits, and few beside the requests that
/// the engine takes.
const AHEAD: usize = 256;

/// The batches that are taken now.
pub(in crate::api) struct Batches {
    places: Arc<Semaphore>,
    begun: AtomicU64,
}

impl Batches {
    pub(in crate::api) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)), begun: AtomicU64::new(0) }
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        if let Ok(Ok(place)) = tokio::time::timeout(PATIENCE, Arc::clone(&self.places).acquire_owned()).await {
            return Ok(place);
        }
        let message = format!("{AT_ONCE} large batches are being taken, which is as many as this host takes");
        let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", message);
        Err(error.hint("nothing of this one was taken: send it again in a moment"))
    }
}

/// Takes a batch.
pub(super) async fn publish(api: &Api, caller: &Caller, body: Body) -> Result<Response, ApiError> {
    let bytes_max = BATCH_BYTES_MAX.max(event_bytes_max(api));
    let (body, share) = caller::read_counted(Part::Batch, body, bytes_max, &api.held.bodies).await?;
    // What is small is bounded by the number of connections.
    let is_small = body.len() <= SMALL_BYTES && batch::elements(&body)?.len() <= SMALL_EVENTS;
    // While it waits for its place it is among the bodies, as if it was still coming.
    let place = if is_small { None } else { Some(api.batches.place().await?) };
    drop(share);
    let payload_bytes_max = api.options.payload_bytes_max;
    // Some ten milliseconds for a full batch: other requests do not wait for it.
    let judged = tokio::task::spawn_blocking(move || batch::events(&body, payload_bytes_max)).await;
    let events = judged.map_err(|_| ApiError::internal("a batch of events"))??;
    let answers = take(api, caller, events).await;
    let position = answers.iter().filter_map(|(_, answer)| Some(answer.as_ref().ok()?.position)).max();
    let answer = serde_json::to_vec(&told(answers)).map_err(|error| ApiError::internal(&error.to_string()))?;
    let answer = ([(header::CONTENT_TYPE, "application/json")], placed(answer.into(), place));
    Ok(match position {
        Some(position) => written(api, position, answer),
        None => answer.into_response(),
    })
}

/// Bytes that have a place for as long as they are somewhere.
fn placed(bytes: Bytes, place: Option<OwnedSemaphorePermit>) -> Bytes {
    struct Placed {
        bytes: Bytes,
        _place: OwnedSemaphorePermit,
    }
    impl AsRef<[u8]> for Placed {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }
    match place {
        Some(place) => Bytes::from_owner(Placed { bytes, _place: place }),
        None => bytes,
    }
}

/// An event's id, and what became of it.
type Answered = (Option<String>, Result<PublishAnswer, ApiError>);

/// An event on its way.
enum OnItsWay {
    Refused(Refused),
    Asked(String, Asked<PublishAnswer>),
}

async fn take(api: &Api, caller: &Caller, events: Vec<Result<Event, Refused>>) -> Vec<Answered> {
    let number = api.batches.begun.fetch_add(1, Ordering::Relaxed);
    let mut taking = Taking { api, caller, batch: Batch::new(number), answers: Answers::of(api), ended: None };
    let mut answered = Vec::with_capacity(events.len());
    let mut ahead = VecDeque::with_capacity(AHEAD);
    for event in events {
        if ahead.len() == AHEAD
            && let Some(first) = ahead.pop_front()
        {
            answered.push(taking.answer(first).await);
        }
        ahead.push_back(match event {
            Ok(event) => taking.ask(event),
            Err(refused) => OnItsWay::Refused(refused),
        });
    }
    while let Some(first) = ahead.pop_front() {
        answered.push(taking.answer(first).await);
    }
    answered
}

/// A batch that is being taken.
struct Taking<'a> {
    api: &'a Api,
    caller: &'a Caller,
    batch: Batch,
    answers: Answers<'a>,
    /// Why nothing more of it is asked for: the host had no place for an event. Those before it go on.
    ended: Option<RefusalCode>,
}

impl Taking<'_> {
    fn ask(&mut self, event: Event) -> OnItsWay {
        let id = event.id.clone();
        match self.put(event) {
            Ok(answer) => OnItsWay::Asked(id, answer),
            Err(why) => OnItsWay::Refused(Refused { id: Some(id), why }),
        }
    }

    fn put(&mut self, event: Event) -> Result<Asked<PublishAnswer>, ApiError> {
        if self.answers.are_ending() {
            self.ended = self.ended.or(Some(RefusalCode::Stopping));
        }
        if let Some(code) = self.ended {
            return Err(Batch::behind(code).into());
        }
        let publish = from_outside(event, self.caller, Some(self.batch.clone()))?;
        let origin = self.caller.origin.clone();
        let asked = self.api.intake.put(|answer| Request::Publish(origin, publish, answer));
        asked.map_err(|refusal| {
            self.ended = Some(refusal.code);
            refusal.into()
        })
    }

    async fn answer(&mut self, event: OnItsWay) -> Answered {
        match event {
            OnItsWay::Refused(Refused { id, why }) => (id, Err(why)),
            OnItsWay::Asked(id, answer) => (Some(id), self.answers.next(answer).await),
        }
    }
}

fn told(answers: Vec<Answered>) -> BatchAnswer {
    let mut told = BatchAnswer::default();
    for ((id, answer), index) in answers.into_iter().zip(0..) {
        let count = match &answer {
            Ok(PublishAnswer { duplicate: false, .. }) => &mut told.recorded,
            Ok(PublishAnswer { duplicate: true, .. }) => &mut told.duplicates,
            Err(_) => &mut told.refused,
        };
        *count += 1;
        let (http_status, accepted, error) = match answer {
            Ok(answer) => (status(&answer), Some(accepted(id.clone().unwrap_or_default(), answer)), None),
            Err(error) => (error.status, None, Some(error.into_detail())),
        };
        told.events.push(EventAnswer { index, id, http_status: http_status.as_u16(), accepted, error });
    }
    told
}
