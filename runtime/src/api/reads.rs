//! Reads of committed state for clients: how many at a time, and how much they may take into memory.
//!
//! Whoever reads waits here, before there is a thread for the read. What a read holds is counted from when it is read until it is
//! written to the client.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use amends_core::id::{Namespace, SagaId};
use axum::http::StatusCode;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    task,
    time::timeout,
};

use super::{Api, error::ApiError};
use crate::{
    held::{NoRoom, Room, SMALL_RECORDS_BYTES, Share, UsedUp},
    service::reader::{Reader, RecordRange, Records},
};

/// Reads at a time: a small one takes a fraction of a millisecond. Each has some times what is small in memory, or a page, and its
/// thread keeps as much for the next one.
const READS_MAX: usize = 8;

/// A read of large sagas waits at most so long for those before it, which is less than clients wait.
const TURN_PATIENCE: Duration = Duration::from_secs(50);

/// A page of records that is not small is at most this large, if no record is larger by itself.
const PAGE_BYTES: usize = 1 << 20;

/// While records are shown they are there as records, as text, and as a message with this text.
const COPIES: u64 = 3;

/// Places of reads.
#[derive(Debug)]
pub(super) struct Reads {
    all: Arc<Semaphore>,
    /// The one whose sagas are large.
    large: Arc<Semaphore>,
    /// Its thread: what an allocator keeps for the next one is there once, and not on each thread that ever read a large saga.
    of_large: mpsc::Sender<Job>,
}

type Job = Box<dyn FnOnce() + Send>;

impl Reads {
    pub(super) fn new() -> Self {
        let (of_large, jobs) = mpsc::channel::<Job>();
        let run = move || jobs.into_iter().for_each(|job| drop(catch_unwind(AssertUnwindSafe(job))));
        // Without the thread large reads fail, each with an error.
        if let Err(error) = thread::Builder::new().name("amends-large-reads".to_owned()).spawn(run) {
            tracing::error!(%error, "no thread for reads of large sagas");
        }
        Self { all: Arc::new(Semaphore::new(READS_MAX)), large: Arc::new(Semaphore::new(1)), of_large }
    }
}

/// Records of one saga that somebody wants.
#[derive(Clone, Debug)]
pub(super) struct RecordQuery {
    pub(super) namespace: Namespace,
    pub(super) id: SagaId,
    /// The first revision.
    pub(super) from: u64,
    /// At most so many.
    pub(super) limit: usize,
    pub(super) reader: ReaderKind,
}

/// Who wants records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReaderKind {
    /// As many as fit into a page, soon.
    Page,
    /// No more than what is small, or one, as soon as there is room.
    Follower,
}

/// Records as they are sent to a client, and how many bytes they take so.
pub(super) struct Rendered<T> {
    pub(super) value: T,
    pub(super) bytes: u64,
}

/// The same with its reservation of the memory for pages; none if it is small.
pub(super) struct Reserved<T> {
    pub(super) value: T,
    pub(super) share: Option<Share>,
}

impl<T> Reserved<T> {
    fn new(Rendered { value, bytes }: Rendered<T>, mut share: Option<Share>) -> Self {
        share.iter_mut().for_each(|share| share.keep(bytes));
        Self { value, share }
    }
}

impl Api {
    /// Reads committed state, off the threads that serve connections. What turns out to be of large sagas is read again from the
    /// beginning, when it is its turn.
    pub(super) async fn read<T: Send + 'static, E: Into<ApiError> + Send + 'static>(
        &self,
        read: impl Fn(&Reader) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<T, ApiError> {
        let read = Arc::new(read);
        let again = match self.read_within(Room::small(), None, Arc::clone(&read)).await? {
            Ok(value) => return Ok(value),
            Err(lack) => lack,
        };
        debug_assert_eq!(again, NoRoom::NotSmall, "a small room is not used up");
        let turn = timeout(TURN_PATIENCE, Arc::clone(&self.reads.large).acquire_owned()).await;
        let turn = turn.map_err(|_| overloaded())?.map_err(|_| overloaded())?;
        let room = Room::of(&self.held.sagas, Handle::current());
        self.read_within(room, Some(turn), read).await?.map_err(|_| overloaded())
    }

    /// What a read gives, or why it had no room. The thread keeps `turn` to its end, also if nobody waits for it any more.
    async fn read_within<T: Send + 'static, E: Into<ApiError> + Send + 'static>(
        &self,
        room: Room,
        turn: Option<OwnedSemaphorePermit>,
        read: Arc<impl Fn(&Reader) -> Result<T, E> + Send + Sync + 'static>,
    ) -> Result<Result<T, NoRoom>, ApiError> {
        let room = Arc::new(room);
        let reader = self.reader.within(Arc::clone(&room));
        let (tell, told) = oneshot::channel();
        // Who asked may be gone.
        let reading = move || {
            if !tell.is_closed() {
                drop(tell.send(read(&reader)));
            }
        };
        match turn {
            Some(turn) => drop(self.reads.of_large.send(Box::new(move || {
                reading();
                drop(turn);
            }))),
            None => {
                let place = Arc::clone(&self.reads.all).acquire_owned().await;
                task::spawn_blocking(move || {
                    reading();
                    drop(place);
                });
            }
        }
        match (told.await.map_err(|_| ApiError::internal("a read did not end"))?, room.lacked()) {
            (Ok(value), _) => Ok(Ok(value)),
            (Err(_), Some(lack)) => Ok(Err(lack)),
            (Err(error), None) => Err(error.into()),
        }
    }

    /// Records of a saga as they are shown, at least one if there is one. What is not small is counted, and waits until there is room;
    /// a page that could be larger is small as long as there is none. `None`: there is no such saga.
    pub(super) async fn records<T: Send + 'static>(
        &self,
        query: &RecordQuery,
        show: impl Fn(Records) -> Result<Rendered<T>, ApiError> + Clone + Send + Sync + 'static,
    ) -> Result<Option<Reserved<T>>, ApiError> {
        let mut query = query.clone();
        let (mut bytes_max, mut share) = (SMALL_RECORDS_BYTES, None);
        loop {
            match self.page(&query, bytes_max, show.clone()).await? {
                None => return Ok(None),
                Some(Page::Whole(rendered)) => return Ok(Some(Reserved::new(rendered, share))),
                Some(Page::Cut(rendered)) => match share {
                    None if query.reader == ReaderKind::Page => match self.held.pages.try_take(COPIES * PAGE_BYTES as u64) {
                        Some(taken) => (bytes_max, share) = (PAGE_BYTES, Some(taken)),
                        None => return Ok(Some(Reserved::new(rendered, None))),
                    },
                    share => return Ok(Some(Reserved::new(rendered, share))),
                },
                Some(Page::Nothing) => {
                    bytes_max = bytes_max.saturating_mul(4).max(PAGE_BYTES);
                    drop(share.take());
                    let bytes = COPIES * bytes_max as u64;
                    share = match query.reader {
                        ReaderKind::Page => Some(self.held.pages.take(bytes).await.map_err(|UsedUp| overloaded())?),
                        ReaderKind::Follower => {
                            query.limit = 1;
                            self.held.pages.wait(bytes).await
                        }
                    };
                }
            }
        }
    }

    async fn page<T: Send + 'static>(
        &self,
        query: &RecordQuery,
        bytes_max: usize,
        show: impl Fn(Records) -> Result<Rendered<T>, ApiError> + Send + Sync + 'static,
    ) -> Result<Option<Page<T>>, ApiError> {
        let RecordQuery { namespace, id, from, limit, .. } = query.clone();
        self.read(move |reader| {
            let Some(read) = reader.journal(&namespace, &id, RecordRange { from, limit, bytes_max })? else {
                return Ok::<_, ApiError>(None);
            };
            Ok(Some(match (read.records.len(), read.next) {
                (0, Some(_)) => Page::Nothing,
                (count, Some(_)) if count < limit => Page::Cut(show(read)?),
                _ => Page::Whole(show(read)?),
            }))
        })
        .await
    }
}

/// How a page came out.
enum Page<T> {
    /// All that was asked for, or all that there is.
    Whole(Rendered<T>),
    /// More would have been too large.
    Cut(Rendered<T>),
    /// The first record is too large.
    Nothing,
}

/// 503: others hold the memory that there is for clients.
pub(super) fn overloaded() -> ApiError {
    let message = "this answer is large, and the memory for answers is held by others";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", message)
        .hint("try again in a moment; `held_max` in [server] is how much there is for all")
}
