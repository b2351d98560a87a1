//! Histories that another system recorded are brought in, a page of lines at a time: each stream of a page is read, compared with what is
//! recorded, and folded by its module; then the events are recorded.
//!
//! The lines of a stream in a page are taken or refused together, if they are at most a commit: `cut.rs` says which lines that is. A stream
//! that is longer, or goes on in the next page, is taken in parts: a prefix of a history is a state that the aggregate once had, and
//! whoever sends the lines again finds those repeated that are recorded. So a cut is healed by sending the same again, unless a command
//! to that aggregate was decided meanwhile: then the rest of its history is refused.
//!
//! An import has no claims, starts no saga and ends no wait: what followed from these events followed in the other system.

mod cut;

mod part;

use std::{collections::HashMap, sync::Arc};

use amends_core::{
    aggregate::{Definition, Shape},
    id::Namespace,
    value::{Instant, Payload},
};
use futures_util::stream::{self, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use self::part::{Event, Line, Why};
use self::{
    cut::{Fresh, Piece},
    part::{Misplaced, Part},
};
use super::{
    folds::Folds,
    intake::Intake,
    patience::{PAUSE, TRIES_MAX, patiently},
    reader::{Code, Committed, Reader, failed},
};
use crate::{
    engine::{
        driver::Clock,
        guests::{ModuleDigest, PastEvent},
        port::{Import, ImportAnswer, ImportEvent, ImportStream, Origin, Refusal, RefusalCode, Request},
    },
    store::{Position, StoreError},
};

/// Pages that are taken at a time: each is in memory, whole, and two of them are as fast as many.
const AT_ONCE: usize = 2;

/// New streams of a page that are folded at a time: they share the places for guests with everybody else. Each holds a state, and its
/// events are those of the page.
const NEW_AT_ONCE: usize = 32;

/// Streams that have events already, of which each holds those behind its kept state, or all where none is kept.
const GROWN_AT_ONCE: usize = 4;

/// What the states of a page may take together until they are recorded. Where one finds no room, the next command to its aggregate folds
/// the events again.
const STATES_BYTES_MAX: usize = 16 << 20;

/// Commits of a page that are asked for before the first of them is durable. One that does not follow on the one before gets nothing of
/// the streams that they share, and those are read again.
const COMMITS_AHEAD: usize = 3;

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

/// A place for a page, taken before its lines are read.
pub struct Place {
    _permit: OwnedSemaphorePermit,
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
    /// Streams of which lines were not taken, in the order of these lines.
    pub refused: Vec<RefusedStream>,
    /// The position up to which all that was taken is recorded; 0: nothing was taken.
    pub position: Position,
}

/// A stream of which not all of the page was taken: nothing, or of more than a commit takes the first lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedStream {
    /// The line that cannot be taken; where its module fails on the events, the first one that is not recorded: they are folded together.
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
    /// None: there is no room for it.
    state: Option<Payload>,
}

/// A part that is to be read, or read again.
struct Open {
    part: usize,
    /// The first of its lines that is not taken.
    index: usize,
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

    /// Waits for a place, which is to be had before the lines of a page are read; the page itself is there by then.
    pub async fn place(&self) -> Result<Place, Refusal> {
        let permit = Arc::clone(&self.places).acquire_owned().await;
        permit.map(|permit| Place { _permit: permit }).map_err(|_| stopping())
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
        let mut open: Vec<Open> = (0..all.len()).map(|part| Open { part, index: 0 }).collect();
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
        for Open { part, index } in open {
            let why = Why::new("changed_meanwhile", "commands are being decided about it: import it before it is used");
            all[part].refused = Some(Misplaced { index, why });
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
        open: &[Open],
        codes: &HashMap<String, Result<Code, Why>>,
        now: Instant,
    ) -> Result<Vec<Ready>, Refusal> {
        let which =
            open.iter().map(|open| (all[open.part].part.aggregate.clone(), all[open.part].part.id.clone())).collect::<Vec<_>>();
        let there = self.blocking({
            let namespace = namespace.clone();
            move |reader| reader.are_there(&namespace, &which)
        });
        let (mut new, mut grown) = (Vec::new(), Vec::new());
        for (open, is_there) in open.iter().zip(there.await?) {
            let (index, part) = (open.part, Arc::clone(&all[open.part].part));
            match is_there {
                Ok(false) => new.push((index, part, false)),
                Ok(true) => grown.push((index, part, true)),
                Err(corrupt) => all[index].refused = Some(unreadable(&corrupt.0)),
            }
        }
        let prepare = |(index, part, is_there): (usize, Arc<Part>, bool)| async move {
            match codes.get(&part.aggregate) {
                Some(Ok(code)) => Ok((index, self.prepare_one(namespace, index, part, code, is_there, now).await?)),
                Some(Err(why)) => Ok((index, Prepared::Refused(Misplaced { index: 0, why: why.clone() }))),
                None => Err(Refusal::new(RefusalCode::StorageFailed, "the code of an aggregate was not looked for")),
            }
        };
        let grown = stream::iter(grown.into_iter().map(prepare).collect::<Vec<_>>()).buffer_unordered(GROWN_AT_ONCE);
        let new = stream::iter(new.into_iter().map(prepare).collect::<Vec<_>>()).buffer_unordered(NEW_AT_ONCE);
        let mut prepared = grown.chain(new);
        let (mut ready, mut room) = (Vec::new(), STATES_BYTES_MAX);
        while let Some(one) = prepared.next().await {
            let (index, one) = one?;
            match one {
                Prepared::Repeated => {}
                Prepared::Refused(misplaced) => all[index].refused = Some(misplaced),
                Prepared::Ready(one) => {
                    all[index].is_new |= one.after == 0;
                    ready.push(Ready { state: one.state.and_then(|state| kept(state, &mut room)), ..one });
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
                let read = self.blocking(move |reader| match compared(&reader, &namespace, &part, &code) {
                    Err(StoreError::Corrupt(why)) => Ok(Some(Err(unreadable(&why)))),
                    read => read.map_err(|error| failed(&error)),
                });
                read.await?
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
        match self.folds.state(committed.and(events)).await? {
            Ok(state) => Ok(Prepared::Ready(Ready { part: index, after, fresh, digest: code.digest(), state: Some(state) })),
            Err(message) => {
                let why =
                    Why::new("guest_failed", format!("with events {} to {}: {message}", after + 1, after + fresh.len() as u64));
                Ok(Prepared::Refused(Misplaced { index: fresh.first().copied().unwrap_or_default(), why }))
            }
        }
    }

    /// Records what is ready. Answers the parts that do not stand any more where they were read.
    async fn record(
        &self,
        origin: &Origin,
        by: &str,
        all: &mut [Standing],
        ready: Vec<Ready>,
        now: Instant,
        position: &mut Position,
    ) -> Result<Vec<Open>, Refusal> {
        let fresh = |ready: &Ready| {
            let lines = &all[ready.part].part.lines;
            Fresh { after: ready.after, numbers: ready.fresh.iter().map(|index| lines[*index].number).collect() }
        };
        let commits = cut::commits(&ready.iter().map(fresh).collect::<Vec<_>>());
        let ask = |pieces: Vec<Piece>| {
            let import = import_of(all, &ready, &pieces, by, now);
            async move { self.ask(origin, &import).await.map(|answer| (pieces, answer)) }
        };
        let answered: Vec<Result<_, Refusal>> = stream::iter(commits).map(ask).buffered(COMMITS_AHEAD).collect().await;
        let answered = answered.into_iter().collect::<Result<Vec<_>, _>>()?;
        *position = answered.iter().map(|(_, answer)| answer.position).fold(*position, Position::max);
        let answered: Vec<_> = answered.into_iter().map(|(pieces, answer)| (pieces, answer.taken)).collect();
        let mut open = Vec::new();
        for (ready, outcome) in ready.iter().zip(cut::outcomes(ready.len(), &answered)) {
            all[ready.part].taken += outcome.taken as u64;
            open.extend(outcome.fell.map(|line| Open { part: ready.part, index: ready.fresh[line] }));
        }
        Ok(open)
    }

    /// Asks the engine.
    async fn ask(&self, origin: &Origin, import: &Import) -> Result<ImportAnswer, Refusal> {
        patiently(|| self.intake.ask(|answer| Request::Import(origin.clone(), Box::new(import.clone()), answer))).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(Reader) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let reader = self.reader.clone();
        let done = tokio::task::spawn_blocking(move || read(reader)).await;
        done.unwrap_or_else(|_| Err(stopping()))
    }
}

fn stopping() -> Refusal {
    Refusal::new(RefusalCode::Stopping, "the host is stopping")
}

/// A stream that is damaged is refused for itself: the storage is well, and the others are taken.
fn unreadable(why: &str) -> Misplaced {
    Misplaced { index: 0, why: Why::new("unreadable", format!("what is recorded of it cannot be read: {why}")) }
}

/// The state, if there is room for it.
fn kept(state: Payload, room: &mut usize) -> Option<Payload> {
    *room = room.checked_sub(state.bytes.len())?;
    Some(state)
}

/// What the engine is asked for these lines: a stream for each piece, and the events in the order of the page.
fn import_of(all: &[Standing], ready: &[Ready], pieces: &[Piece], by: &str, now: Instant) -> Import {
    let (mut streams, mut lines) = (Vec::with_capacity(pieces.len()), Vec::new());
    for (stream, piece) in pieces.iter().enumerate() {
        let Ready { part, after, fresh, digest, state } = &ready[piece.stream];
        let part = &all[*part].part;
        let is_last = piece.lines.end == fresh.len();
        streams.push(ImportStream {
            aggregate: part.aggregate.clone(),
            id: part.id.clone(),
            after: after + piece.lines.start as u64,
            digest: *digest,
            state: state.clone().filter(|_| is_last),
        });
        lines.extend(fresh[piece.lines.clone()].iter().map(|index| (stream, &part.lines[*index])));
    }
    lines.sort_unstable_by_key(|(_, line)| line.number);
    let event = |(stream, line): (usize, &Line)| {
        let event = line.event.as_ref().ok()?;
        Some(ImportEvent {
            stream,
            event_type: event.event_type.clone(),
            version: event.version,
            data: event.data.clone(),
            tags: event.tags.clone(),
            at: event.at.unwrap_or(now),
            correlation: event.correlation.clone(),
        })
    };
    Import { streams, events: lines.into_iter().filter_map(event).collect(), by: by.to_owned() }
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
) -> Result<Option<Result<Committed, Misplaced>>, StoreError> {
    let which = (part.aggregate.as_str(), part.id.as_str());
    let Some(committed) = reader.aggregate_by(namespace, which, code)? else { return Ok(None) };
    let (revision, last) = (committed.revision, part.last_revision());
    // An event is not recorded before the record of its number. The last one says whether they were imported.
    let mut next = Some(part.first_revision().min(revision));
    while let Some(from) = next {
        let Some(page) = reader.read_events_of(namespace, which, from, COMPARED)? else { break };
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of ten thousand aggregates held as many states until all were folded, each of up to a MiB.
    #[test]
    fn states_of_a_page_are_kept_while_there_is_room() {
        let state = |bytes: usize| Payload::json("x".repeat(bytes));
        let mut room = 10;
        let lengths = [4, 7, 6, 1].map(|bytes| kept(state(bytes), &mut room).map(|state| state.bytes.len()));
        assert_eq!((lengths, room), ([Some(4), None, Some(6), None], 0));
    }
}
