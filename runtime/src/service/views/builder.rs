//! Builds one generation: reads its events from the journal, gives them to its code, and keeps what that wrote together with how far it is.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant as Moment},
};

use amends_core::{projection::Definition, value::Failure};
use tokio::sync::watch;

use super::{
    Shared,
    generation::{Generation, Stopped},
    keeper::Ask,
    rows::BatchRows,
};
use crate::{
    engine::{
        guests::{CallFault, GuestCall, GuestReport, ProjectCall, Work},
        recorded::{Page, Recent, RecordedEvent},
        view::ViewRows,
    },
    journal::{StreamId, StreamKind},
    service::alone,
    store::{
        StoreError,
        redb::views::{Batch, Progress, Sync},
    },
};

/// The most events of a batch, as the contract says.
const BATCH_MAX: usize = 1_000;

/// What the events of a batch take, or one.
const BATCH_BYTES_MAX: usize = 2 << 20;

/// How long a batch may take.
const DEADLINE_MS: u64 = 30_000;

/// A view that has read everything takes what is recorded within this time together: under load a batch costs little more than an event.
const GATHER: Duration = Duration::from_millis(5);

/// A view falls back by at most so long when the machine stops.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// How long after a failure of the host the same is tried again: at first, and at most.
const AGAIN_FIRST: Duration = Duration::from_millis(100);
const AGAIN_MAX: Duration = Duration::from_secs(5);

/// How often a nearly full disk is looked at. What is left of it is the journal's.
const LOW_LOOK: Duration = Duration::from_secs(1);

/// Pages that are read ahead at a time, of all who build: they are in memory beside the batches.
const AHEAD_MAX: usize = 8;

/// What all who build share: one thread has it.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) recent: RefCell<Recent>,
    /// Each page that was read ahead holds it.
    ahead: Rc<()>,
    synced_at: Cell<Moment>,
    is_dirty: Cell<bool>,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self { recent: RefCell::default(), ahead: Rc::default(), synced_at: Cell::new(Moment::now()), is_dirty: Cell::new(false) }
    }

    /// Whether the next commit is on the disk when it returns.
    fn sync(&self) -> Sync {
        if self.synced_at.get().elapsed() < SYNC_EVERY {
            self.is_dirty.set(true);
            return Sync::Later;
        }
        self.synced();
        Sync::Now
    }

    fn synced(&self) {
        self.synced_at.set(Moment::now());
        self.is_dirty.set(false);
    }
}

/// Builds a generation until it stops or is dropped.
pub(super) struct Builder {
    pub(super) shared: Arc<Shared>,
    pub(super) bench: Rc<Bench>,
    pub(super) number: u64,
    pub(super) recorded: watch::Receiver<u64>,
}

/// A page that was read while the code had the one before.
struct Ahead {
    /// It was read behind this position, of these types.
    after: u64,
    types: Vec<String>,
    page: Page,
    _held: Rc<()>,
}

/// What comes after a batch.
enum After {
    /// There may be more.
    More,
    /// Everything was read.
    Idle,
    /// It stopped.
    Over,
}

impl Builder {
    pub(super) async fn run(mut self) {
        let (mut size, mut again, mut has_said_so, mut ahead) = (BATCH_MAX, AGAIN_FIRST, false, None);
        loop {
            if (self.shared.is_low)() {
                tokio::time::sleep(LOW_LOOK).await;
                continue;
            }
            self.recorded.mark_unchanged();
            match self.batch(&mut size, &mut ahead).await {
                Ok(After::More) => again = AGAIN_FIRST,
                Ok(After::Idle) => {
                    again = AGAIN_FIRST;
                    if !has_said_so {
                        has_said_so = true;
                        self.shared.tell(Ask::CaughtUp(self.number));
                    }
                    self.rest().await;
                }
                Ok(After::Over) => return,
                Err(Trouble::Host(failure)) => {
                    self.shared.change(self.number, |live| live.delayed = Some(failure));
                    tokio::time::sleep(again).await;
                    again = (again * 2).min(AGAIN_MAX);
                }
                Err(Trouble::Store(error)) => {
                    tracing::error!(generation = self.number, %error, "a view is not built any more");
                    return self.shared.fail(&error);
                }
            }
        }
    }

    /// Takes the next events, at most so many.
    async fn batch(&self, size: &mut usize, ahead: &mut Option<Ahead>) -> Result<After, Trouble> {
        let Some((known, progress, hurry)) = self.stands() else { return Ok(After::Over) };
        let types = known.types();
        let fits = |ahead: &Ahead| ahead.after == progress.through && ahead.types == types && ahead.page.events.len() <= *size;
        let page = match ahead.take().filter(fits) {
            Some(ahead) => ahead.page,
            None => self.page(&known, progress.through, *size).map_err(|error| unread(&error))?,
        };
        let is_left_out = |event: &&Arc<RecordedEvent>| !known.skipped.iter().any(|skipped| skipped.position == event.position);
        let wanted: Vec<Arc<RecordedEvent>> = page.events.iter().filter(is_left_out).cloned().collect();
        let readable = wanted.iter().take_while(|event| known.definition.can_read(&event.event_type, event.version)).count();
        let (events, is_cut) = (&wanted[..readable], readable < wanted.len());
        let Some(last) = events.last() else {
            return match wanted.first() {
                Some(event) => Ok(self.stop(&known, event, unreadable(event, &known.definition))),
                None => Ok(self.passed(Progress { through: page.through, ..progress }, page.has_more)),
            };
        };
        let rows = Arc::new(BatchRows::new(self.shared.file.snapshot(self.number).map_err(Trouble::Store)?));
        let through = if is_cut { last.position } else { page.through };
        let next_size = (*size * 2).min(BATCH_MAX);
        let next = async { page.has_more.then(|| self.read_ahead(&known, through, next_size)).flatten() };
        // In this order: the code has its events before the next ones are read, on this thread.
        let (projected, next) = tokio::join!(biased; self.project(&known, events, Arc::clone(&rows) as Arc<dyn ViewRows>), next);
        match projected {
            Ok(()) => *ahead = next,
            Err(CallFault { failure, is_hosts: true }) => return Err(Trouble::Host(failure)),
            // Which event it was is found by halves: all before it are taken.
            Err(_) if events.len() > 1 => {
                *size = events.len().div_ceil(2);
                return Ok(After::More);
            }
            Err(CallFault { failure, .. }) => return Ok(self.stop(&known, last, failure)),
        }
        let batch = Batch {
            after: progress.through,
            progress: Progress { through, events: progress.events + events.len() as u64 },
            at: (self.shared.clock)(),
        };
        let advanced = self.shared.file.advance(self.number, batch, &rows.take_changes(), self.bench.sync());
        advanced.map_err(Trouble::Store)?;
        *size = next_size;
        let after = self.passed(batch.progress, page.has_more || is_cut);
        if !page.has_more && events.len() < BATCH_MAX / 2 {
            tokio::select! {
                () = tokio::time::sleep(GATHER) => {}
                // Somebody waits for what is not an event, which nothing else tells of.
                () = hurry.notified() => return Ok(After::More),
            }
        }
        Ok(after)
    }

    fn page(&self, known: &Generation, after: u64, size: usize) -> Result<Page, StoreError> {
        let (store, limits) = (self.shared.store.as_ref(), (size, BATCH_BYTES_MAX));
        self.bench.recent.borrow_mut().page(store, &known.namespace, &known.types(), after, limits)
    }

    /// The page behind a position, for the next batch. None: there is no room, or nothing that is sure to be all there is: what is
    /// recorded meanwhile is looked for when the batch begins, and an error is told then.
    fn read_ahead(&self, known: &Generation, after: u64, size: usize) -> Option<Ahead> {
        if Rc::strong_count(&self.bench.ahead) > AHEAD_MAX {
            return None;
        }
        let page = self.page(known, after, size).ok().filter(|page| page.has_more)?;
        Some(Ahead { after, types: known.types(), page, _held: Rc::clone(&self.bench.ahead) })
    }

    /// Where it stands; none if it is not to be built.
    fn stands(&self) -> Option<(Generation, Progress, Arc<tokio::sync::Notify>)> {
        let state = self.shared.state();
        let live = state.live(self.number).filter(|live| live.known.stopped.is_none() && state.failed.is_none())?;
        Some((live.known.clone(), live.progress, Arc::clone(&live.hurry)))
    }

    async fn project(&self, known: &Generation, events: &[Arc<RecordedEvent>], rows: Arc<dyn ViewRows>) -> Result<(), CallFault> {
        let now = (self.shared.clock)();
        let call = GuestCall {
            // Apart from questions, which would hold it up.
            of: StreamId { id: format!("{}#{}", known.definition.name, known.number), ..of(known) },
            module: known.module.clone(),
            version: known.version,
            digest: known.digest,
            // A build of today and one of next year are told the same time.
            now: events.first().map_or(now, |event| event.at),
            started_at: now,
            deadline_at: now.plus(DEADLINE_MS),
            reaches_outside: false,
            effect_free: true,
            grants: Arc::default(),
            trace_context: None,
            work: Work::Project(Box::new(ProjectCall {
                projection: known.definition.name.clone(),
                events: events.to_vec(),
                rows,
            })),
        };
        match alone::call(self.shared.guests.as_ref(), call).await {
            Some(GuestReport::Projected(said)) => said,
            Some(_) | None => Err(CallFault { failure: Failure::new("stopping", "the host is stopping"), is_hosts: true }),
        }
    }

    /// It has read up to here.
    fn passed(&self, progress: Progress, has_more: bool) -> After {
        // Who waits is woken by what is new: each of them asks for another look.
        self.shared.passed(self.number, progress);
        if has_more { After::More } else { After::Idle }
    }

    /// It does not go on behind this event.
    fn stop(&self, known: &Generation, event: &RecordedEvent, failure: Failure) -> After {
        let Failure { code, message, .. } = &failure;
        tracing::warn!(
            generation = self.number,
            event = event.id,
            code,
            message,
            "a view stopped at an event that it cannot take"
        );
        let (position, event) = (event.position, event.id.clone());
        self.shared.tell(Ask::Stopped(self.number, known.digest, Stopped::Poison { position, event, failure }));
        After::Over
    }

    /// Waits for something new. What is not on the disk yet is put there meanwhile.
    async fn rest(&mut self) {
        let Some((_, _, hurry)) = self.stands() else { return };
        loop {
            let until_sync = SYNC_EVERY.saturating_sub(self.bench.synced_at.get().elapsed());
            tokio::select! {
                // If the shard is gone, nothing is recorded any more: what is asked for meanwhile comes by the other way.
                Ok(()) = self.recorded.changed() => return,
                () = hurry.notified() => return,
                () = tokio::time::sleep(until_sync), if self.bench.is_dirty.get() => {
                    self.bench.synced();
                    if let Err(error) = self.shared.file.sync() {
                        return self.shared.fail(&error);
                    }
                }
            }
        }
    }
}

/// Why a batch was not taken, though nothing is wrong with its events.
enum Trouble {
    /// The host could not give them to the code.
    Host(Failure),
    /// The file of the views failed.
    Store(StoreError),
}

/// A damaged record delays the view that needs it, and nobody else. If the store failed, the host ends over it.
fn unread(error: &StoreError) -> Trouble {
    Trouble::Host(Failure::new("unreadable", format!("the journal cannot be read: {error}")))
}

fn unreadable(event: &RecordedEvent, definition: &Definition) -> Failure {
    let reading = definition.reads.iter().find(|reading| reading.event_type == event.event_type);
    let known: Vec<String> = reading.into_iter().flat_map(|reading| &reading.versions).map(u32::to_string).collect();
    let message =
        format!("it is `{}` in form {}, and the projection reads form {}", event.event_type, event.version, known.join(" and "));
    Failure::new("unreadable_event", message)
}

/// For whom the code of a generation runs.
pub(super) fn of(known: &Generation) -> StreamId {
    StreamId { namespace: known.namespace.clone(), kind: StreamKind::View, id: known.definition.name.clone() }
}
