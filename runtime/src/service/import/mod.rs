//! Histories that another system recorded are brought in, a page of lines at a time: each stream of a page is read, compared with what is
//! recorded, and folded by its module; then the events are recorded in the order of the lines.
//!
//! The lines of a stream in a page are taken or refused together. A stream that is longer than a page, or mixed with others, is taken in
//! pages: a prefix of a history is a state that the aggregate once had, and whoever sends the lines again finds those repeated that are
//! recorded. So a cut anywhere is healed by sending the same again.
//!
//! An import has no claims, starts no saga and ends no wait: what followed from these events followed in the other system.

mod part;

use std::{collections::HashMap, sync::Arc, time::Duration};

use amends_core::{
    aggregate::{Definition, Shape},
    id::Namespace,
    value::{Instant, Payload},
};
use futures_util::stream::{self, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use self::part::{Event, Line, Why};
use self::part::{Misplaced, Part};
use super::{
    folds::Folds,
    intake::Intake,
    reader::{Code, Committed, Reader},
};
use crate::{
    engine::{
        driver::Clock,
        guests::{ModuleDigest, PastEvent},
        port::{IMPORT_EVENTS_MAX, Import, ImportAnswer, ImportEvent, ImportStream, Origin, Refusal, RefusalCode, Request},
    },
    store::Position,
};

/// Pages that are taken at a time: each is in memory, whole, and two of them are as fast as many.
const AT_ONCE: usize = 2;

/// Streams of a page that are read and folded at a time: they share the places for guests with everybody else.
const STREAMS_AT_ONCE: usize = 32;

/// Commits of a page that are asked for before the first of them is durable. One that does not follow on the one before gets nothing of
/// the streams that they share, and those are read again.
const COMMITS_AHEAD: usize = 3;

/// How often the host is asked again that has no room, or a stream read again that commands change meanwhile; and how long after.
const TRIES_MAX: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);

/// Records that are compared with lines at a time.
const COMPARED: usize = 512;

/// Takes histories. Cloning shares the places.
#[derive(Clone)]
pub struct Imports {
    reader: Reader,
    folds: Folds,
    intake: Intake,
    clock: Clock,
    places: Arc<Semaphore>,
}

/// A place for a page, taken before the page is read.
pub struct Place {
    _permit: Option<OwnedSemaphorePermit>,
}

/// What came of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Streams that began with it.
    pub begun: u64,
    /// Events that were recorded.
    pub taken: u64,
    /// Lines that were recorded before, as they are.
    pub repeated: u64,
    /// Streams of which nothing was taken, in the order of the lines.
    pub refused: Vec<RefusedStream>,
    /// The position of the last record; 0: nothing was recorded.
    pub position: Position,
}

/// A stream of which nothing of the page was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedStream {
    /// The line that cannot be taken.
    pub line: u64,
    /// How many lines of the page are not taken because of it.
    pub lines: u64,
    /// The aggregate's name.
    pub aggregate: String,
    /// Its id.
    pub id: String,
    /// The event's number, as the line says it.
    pub revision: u64,
    /// Why.
    pub why: Why,
}

/// What is known of a part, once it was read and folded.
enum Prepared {
    /// All of it is recorded.
    Repeated,
    Refused(Misplaced),
    /// These lines are to be recorded.
    Ready(Ready),
}

/// Lines of a part that are to be recorded.
struct Ready {
    part: usize,
    after: u64,
    /// Indices of the part's lines, in order.
    fresh: Vec<usize>,
    digest: ModuleDigest,
    state: Payload,
}

/// A part as it stands while its page is taken.
struct Standing {
    part: Arc<Part>,
    taken: u64,
    refused: Option<Misplaced>,
    is_new: bool,
}

impl Imports {
    /// Imports through these.
    pub fn new(reader: Reader, folds: Folds, intake: Intake, clock: Clock) -> Self {
        Self { reader, folds, intake, clock, places: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Waits for a place, which is to be had before the page is read.
    pub async fn place(&self) -> Place {
        Place { _permit: Arc::clone(&self.places).acquire_owned().await.ok() }
    }

    /// Takes a page. An error says nothing of its lines: what was recorded until then stays, and the page is to be sent again.
    pub async fn take(&self, origin: &Origin, by: &str, lines: Vec<Line>, _place: &Place) -> Result<Imported, Refusal> {
        let now = (self.clock)();
        let namespace = &origin.namespace;
        let of = |part| Standing { part: Arc::new(part), taken: 0, refused: None, is_new: false };
        let mut all: Vec<Standing> = part::parts(lines).into_iter().map(of).collect();
        let mut names: Vec<String> = all.iter().map(|standing| standing.part.aggregate.clone()).collect();
        names.sort_unstable();
        names.dedup();
        let mut open: Vec<usize> = (0..all.len()).collect();
        let (mut position, mut tries) = (0, 0);
        while !open.is_empty() {
            // Another version may be active by now.
            let codes = self.codes(namespace, names.clone()).await?;
            let ready = self.prepare(namespace, &mut all, &open, &codes, now).await?;
            open = self.record(origin, by, &mut all, ready, now, &mut position).await?;
            tries += 1;
            if tries == TRIES_MAX {
                break;
            }
            if !open.is_empty() {
                tokio::time::sleep(PAUSE).await;
            }
        }
        for part in open {
            let why = Why::new("changed_meanwhile", "commands are being decided about it: import it before it is used");
            all[part].refused = Some(Misplaced { index: 0, why });
        }
        Ok(summed(&all, position))
    }

    /// The active code of each of these aggregates, if there is one.
    async fn codes(&self, namespace: &Namespace, names: Vec<String>) -> Result<HashMap<String, Result<Code, Why>>, Refusal> {
        let namespace = namespace.clone();
        self.blocking(move |reader| {
            let code = |name: String| {
                let code = reader.code(&namespace, &name)?;
                Ok((name, code.map_err(|refusal| Why::of("no_handler", &refusal))))
            };
            names.into_iter().map(code).collect()
        })
        .await
    }

    /// Reads and folds the parts; answers those of which something is to be recorded.
    async fn prepare(
        &self,
        namespace: &Namespace,
        all: &mut [Standing],
        open: &[usize],
        codes: &HashMap<String, Result<Code, Why>>,
        now: Instant,
    ) -> Result<Vec<Ready>, Refusal> {
        let which: Vec<(String, String)> =
            open.iter().map(|index| (all[*index].part.aggregate.clone(), all[*index].part.id.clone())).collect();
        let there = self.blocking({
            let namespace = namespace.clone();
            move |reader| reader.are_there(&namespace, &which)
        });
        let there = there.await?;
        let parts = open.iter().zip(there).map(|(index, is_there)| (*index, Arc::clone(&all[*index].part), is_there));
        let prepared = parts.map(|(index, part, is_there)| async move {
            match codes.get(&part.aggregate) {
                Some(Ok(code)) => Ok((index, self.prepare_one(namespace, index, part, code, is_there, now).await?)),
                Some(Err(why)) => Ok((index, Prepared::Refused(Misplaced { index: 0, why: why.clone() }))),
                None => Err(Refusal::new(RefusalCode::StorageFailed, "the code of an aggregate was not looked for")),
            }
        });
        let mut prepared = stream::iter(prepared.collect::<Vec<_>>()).buffer_unordered(STREAMS_AT_ONCE);
        let mut ready = Vec::new();
        while let Some(one) = prepared.next().await {
            let (index, one) = one?;
            match one {
                Prepared::Repeated => {}
                Prepared::Refused(misplaced) => all[index].refused = Some(misplaced),
                Prepared::Ready(one) => {
                    all[index].is_new |= one.after == 0;
                    ready.push(one);
                }
            }
        }
        Ok(ready)
    }

    async fn prepare_one(
        &self,
        namespace: &Namespace,
        index: usize,
        part: Arc<Part>,
        code: &Code,
        is_there: bool,
        now: Instant,
    ) -> Result<Prepared, Refusal> {
        if let Err(misplaced) = part.check().and_then(|()| declared(&part, code.definition())) {
            return Ok(Prepared::Refused(misplaced));
        }
        let known = match is_there {
            false => None,
            true => {
                let (namespace, part, code) = (namespace.clone(), Arc::clone(&part), code.clone());
                self.blocking(move |reader| compared(&reader, &namespace, &part, &code)).await?
            }
        };
        let committed = match known {
            None => code.begins(namespace, (&part.aggregate, &part.id)),
            Some(Ok(committed)) => committed,
            Some(Err(misplaced)) => return Ok(Prepared::Refused(misplaced)),
        };
        let after = committed.revision;
        let fresh = match part.behind(after) {
            Ok(fresh) if fresh.is_empty() => return Ok(Prepared::Repeated),
            Ok(fresh) => fresh,
            Err(misplaced) => return Ok(Prepared::Refused(misplaced)),
        };
        let events = fresh.iter().filter_map(|index| past(&part.lines[*index], now)).collect();
        match self.state(committed.and(events)).await? {
            Ok(state) => Ok(Prepared::Ready(Ready { part: index, after, fresh, digest: code.digest(), state })),
            Err(message) => {
                let why = Why::new("guest_failed", message);
                Ok(Prepared::Refused(Misplaced { index: fresh.first().copied().unwrap_or_default(), why }))
            }
        }
    }

    /// The state after the events, or why the code makes none.
    async fn state(&self, aggregate: Committed) -> Result<Result<Payload, String>, Refusal> {
        let mut tries = 0;
        loop {
            match self.folds.complete(aggregate.clone()).await {
                Ok(folded) => {
                    let state = folded.state().cloned();
                    return state
                        .map(Ok)
                        .ok_or_else(|| Refusal::new(RefusalCode::StorageFailed, "a fold of events made no state"));
                }
                Err(refusal) if refusal.code == RefusalCode::GuestFailed => return Ok(Err(refusal.message)),
                Err(refusal) if refusal.code == RefusalCode::Overloaded && tries < TRIES_MAX => {
                    tries += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(refusal) => return Err(refusal),
            }
        }
    }

    /// Records what is ready in the order of the lines, so that views see the streams mixed as the file has them. Answers the parts
    /// that do not stand any more where they were read.
    async fn record(
        &self,
        origin: &Origin,
        by: &str,
        all: &mut [Standing],
        ready: Vec<Ready>,
        now: Instant,
        position: &mut Position,
    ) -> Result<Vec<usize>, Refusal> {
        let mut order: Vec<(u64, usize, usize)> = Vec::new();
        for (of, ready) in ready.iter().enumerate() {
            let lines = &all[ready.part].part.lines;
            order.extend(ready.fresh.iter().enumerate().map(|(nth, index)| (lines[*index].number, of, nth)));
        }
        order.sort_unstable();
        let imports: Vec<_> = order.chunks(IMPORT_EVENTS_MAX).map(|chunk| import_of(all, &ready, chunk, by, now)).collect();
        let ask = |(import, of): (Import, Vec<usize>)| async move {
            self.ask(origin, &import).await.map(|answer| (import, of, answer))
        };
        let answered: Vec<_> = stream::iter(imports).map(ask).buffered(COMMITS_AHEAD).collect().await;
        let mut fell = vec![false; ready.len()];
        for answered in answered {
            let (import, of, answer) = answered?;
            *position = answer.position;
            for (index, _) in of.iter().zip(&answer.taken).filter(|(_, taken)| !**taken) {
                fell[*index] = true;
            }
            for event in import.events.iter().filter(|event| answer.taken.get(event.stream) == Some(&true)) {
                all[ready[of[event.stream]].part].taken += 1;
            }
        }
        Ok(ready.iter().zip(fell).filter(|(_, fell)| *fell).map(|(ready, _)| ready.part).collect())
    }

    /// Asks the engine, again and again while it has no room.
    async fn ask(&self, origin: &Origin, import: &Import) -> Result<ImportAnswer, Refusal> {
        let mut tries = 0;
        loop {
            let asked = self.intake.ask(|answer| Request::Import(origin.clone(), Box::new(import.clone()), answer)).await;
            match asked {
                Err(refusal) if refusal.code == RefusalCode::Overloaded && tries < TRIES_MAX => {
                    tries += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                asked => return asked,
            }
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(Reader) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let reader = self.reader.clone();
        let done = tokio::task::spawn_blocking(move || read(reader)).await;
        done.unwrap_or_else(|_| Err(Refusal::new(RefusalCode::Stopping, "the host is stopping")))
    }
}

/// What the engine is asked for these lines, and of which ready part each of its streams is.
fn import_of(all: &[Standing], ready: &[Ready], chunk: &[(u64, usize, usize)], by: &str, now: Instant) -> (Import, Vec<usize>) {
    let (mut import, mut of) = (Import { streams: Vec::new(), events: Vec::new(), by: by.to_owned() }, Vec::new());
    let mut places: HashMap<usize, usize> = HashMap::new();
    for (_, index, nth) in chunk {
        let Ready { part, after, fresh, digest, state } = &ready[*index];
        let part = &all[*part].part;
        let stream = *places.entry(*index).or_insert_with(|| {
            of.push(*index);
            import.streams.push(ImportStream {
                aggregate: part.aggregate.clone(),
                id: part.id.clone(),
                after: after + *nth as u64,
                digest: *digest,
                state: None,
            });
            import.streams.len() - 1
        });
        if nth + 1 == fresh.len() {
            import.streams[stream].state = Some(state.clone());
        }
        if let Ok(event) = &part.lines[fresh[*nth]].event {
            import.events.push(ImportEvent {
                stream,
                event_type: event.event_type.clone(),
                version: event.version,
                data: event.data.clone(),
                tags: event.tags.clone(),
                at: event.at.unwrap_or(now),
                correlation: event.correlation.clone(),
            });
        }
    }
    (import, of)
}

/// The code must read every event.
fn declared(part: &Part, definition: &Definition) -> Result<(), Misplaced> {
    let reads = |event: &Event| definition.reads(&Shape::new(event.event_type.clone(), event.version));
    let unknown = |line: &Line| line.event.as_ref().ok().filter(|event| !reads(event)).cloned();
    let found = part.lines.iter().enumerate().find_map(|(index, line)| Some((index, unknown(line)?)));
    let Some((index, Event { event_type, version, .. })) = found else { return Ok(()) };
    let known = definition.events.iter().find(|known| known.event_type == event_type);
    let said = match known {
        None => format!("the aggregate `{}` has no event `{}`", part.aggregate, event_type.escape_debug()),
        Some(known) => {
            format!("`{event_type}` in form {version} is not read by the active version, which records form {}", known.version)
        }
    };
    Err(Misplaced { index, why: Why::new("not_declared", said) })
}

/// A stream that has records, if it has events: how it stands, or the line that is not what is recorded.
fn compared(
    reader: &Reader,
    namespace: &Namespace,
    part: &Part,
    code: &Code,
) -> Result<Option<Result<Committed, Misplaced>>, Refusal> {
    let which = (part.aggregate.as_str(), part.id.as_str());
    let Some(committed) = reader.aggregate_by(namespace, which, code)? else { return Ok(None) };
    let (revision, last) = (committed.revision, part.last_revision());
    // An event is not recorded before the record of its number. The last one says whether they were imported.
    let mut next = Some(part.first_revision().min(revision));
    while let Some(from) = next {
        let Some(page) = reader.events_of(namespace, which, from, COMPARED)? else { break };
        for event in &page.events {
            if let Err(misplaced) = part.compare(event, revision) {
                return Ok(Some(Err(misplaced)));
            }
        }
        let is_past = page.events.last().is_some_and(|event| event.revision >= last.min(revision));
        next = page.next.filter(|_| !is_past);
    }
    Ok(Some(Ok(committed)))
}

fn past(line: &Line, now: Instant) -> Option<PastEvent> {
    let event = line.event.as_ref().ok()?;
    Some(PastEvent {
        event_type: event.event_type.clone(),
        version: event.version,
        revision: line.revision,
        at: event.at.unwrap_or(now),
        data: Some(event.data.clone()),
    })
}

fn summed(all: &[Standing], position: Position) -> Imported {
    let mut imported = Imported { position, ..Imported::default() };
    for Standing { part, taken, refused, is_new } in all {
        let lines = part.lines.len() as u64;
        imported.taken += taken;
        imported.begun += u64::from(*is_new && *taken > 0);
        match refused {
            None => imported.repeated += lines - taken,
            Some(Misplaced { index, why }) => {
                let line = &part.lines[*index];
                imported.refused.push(RefusedStream {
                    line: line.number,
                    lines: lines - taken,
                    aggregate: part.aggregate.clone(),
                    id: part.id.clone(),
                    revision: line.revision,
                    why: why.clone(),
                });
            }
        }
    }
    imported.refused.sort_by_key(|refused| refused.line);
    imported
}
