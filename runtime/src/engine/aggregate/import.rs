//! Events that another system recorded come in: they are recorded as they are, in the order in which they are given, in one commit.
//!
//! Who imports has read the streams before, and has let their module fold the events. So what is decided here is only whether each stream
//! still stands where it was read. Nothing of one that does not is recorded: it is to be read again.
//!
//! A stream of the file may be in several commits, if it is long. What each of them records of it is a state that the aggregate once had,
//! and the next import of the same events finds it and goes on behind it: so a cut needs no repair, unless a command comes in between.

use std::collections::HashMap;

use amends_core::{
    aggregate::AggregateEvent,
    value::{Instant, Payload},
};

use super::{AggregateKey, Aggregates, grow::Growing, load, resident::Resident, rows::Base};
use crate::{
    engine::{
        guests::ModuleDigest,
        kernel::{
            commit::{Chain, Commit},
            reads::{Reads, Unready},
            request::{Origin, Said},
        },
        module::Modules,
        refusal::{Refusal, RefusalCode},
    },
    store::Position,
};

/// Events of one commit. Each takes the shard some microseconds, and a request in between is not to wait for long.
pub const IMPORT_EVENTS_MAX: usize = 1_000;

/// Streams of one commit that have events already. Each may have to be read, its kept state and the events behind it, and the shard does
/// nothing else meanwhile; what is read of a stream that is new is a row.
pub const IMPORT_GROWN_MAX: usize = 32;

/// Events to be imported, of several streams.
#[derive(Clone, Debug)]
pub struct Import {
    /// The streams, each once.
    pub streams: Vec<ImportStream>,
    /// In the order in which they get their positions.
    pub events: Vec<ImportEvent>,
    /// Who imports, as the client says.
    pub by: String,
}

/// A stream that gets events.
#[derive(Clone, Debug)]
pub struct ImportStream {
    /// The aggregate's name.
    pub aggregate: String,
    /// Its id.
    pub id: String,
    /// How many events it has before these.
    pub after: u64,
    /// The component that has folded them.
    pub digest: ModuleDigest,
    /// What came of the fold, if the last of these events is the last that was folded.
    pub state: Option<Payload>,
}

/// An event as the other system recorded it.
#[derive(Clone, Debug)]
pub struct ImportEvent {
    /// The index of its stream.
    pub stream: usize,
    /// Its type.
    pub event_type: String,
    /// The form of its data.
    pub version: u32,
    /// What it says.
    pub data: Payload,
    /// What else it is about.
    pub tags: Vec<String>,
    /// When it was decided.
    pub at: Instant,
    /// The root of its chain of causes, if it is known.
    pub correlation: Option<String>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportAnswer {
    /// The position up to which all of it is recorded; 0: nothing was taken.
    pub position: Position,
    /// Of each stream, whether its events are recorded. If not, it does not stand any more where it was read, or is being decided about.
    pub taken: Vec<bool>,
}

impl Aggregates {
    /// Records what is imported.
    pub(crate) fn import(
        &mut self,
        mut reads: Reads<'_>,
        modules: &Modules,
        origin: &Origin,
        import: &Import,
    ) -> Result<Said<ImportAnswer>, Unready> {
        let keys: Vec<AggregateKey> =
            import.streams.iter().map(|stream| AggregateKey::new(&origin.namespace, &stream.aggregate, &stream.id)).collect();
        let loaded = self.load_all(&mut reads, modules, &keys)?;
        let mut commit = reads.done()?;
        if let Err(refusal) = refuse_new(&commit) {
            return Ok(Said::refused(refusal));
        }
        let mut taken = Vec::with_capacity(keys.len());
        for (stream, key) in import.streams.iter().zip(&keys) {
            let is_active = modules.aggregate(&key.namespace, &key.name).is_some_and(|active| active.digest == stream.digest);
            let resident = self.residents.get(key).or_else(|| loaded.get(key));
            taken.push(is_active && resident.is_some_and(|resident| stands_at(resident, stream.after)));
        }
        self.residents.extend(loaded);
        self.record_import(&mut commit, origin, import, &keys, &taken);
        self.end_import(&mut commit, modules, import, &keys, &taken);
        let last = commit.last_position();
        let position = if taken.contains(&true) { last } else { 0 };
        Ok(Said::new(last, Ok(ImportAnswer { position, taken })))
    }

    /// Those that are not in memory. All of them are asked for before one that is missing ends this, and the streams that are not there
    /// by a row each: all rows are one read.
    fn load_all(
        &self,
        reads: &mut Reads<'_>,
        modules: &Modules,
        keys: &[AggregateKey],
    ) -> Result<HashMap<AggregateKey, Resident>, Unready> {
        let absent = keys.iter().filter(|key| !self.residents.contains_key(key));
        let mut loaded: Vec<Result<(AggregateKey, Resident), Unready>> = Vec::new();
        for key in absent {
            let Some(active) = modules.aggregate(&key.namespace, &key.name) else { continue };
            loaded.push(match reads.start_of(&key.stream()) {
                Ok(None) => Ok((key.clone(), Resident::default())),
                Ok(Some(_)) => load(reads, key, &active).map(|resident| (key.clone(), resident)),
                Err(unready) => Err(unready),
            });
        }
        loaded.into_iter().collect()
    }

    fn record_import(
        &mut self,
        commit: &mut Commit<'_>,
        origin: &Origin,
        import: &Import,
        keys: &[AggregateKey],
        taken: &[bool],
    ) {
        let now = commit.now;
        for event in import.events.iter().filter(|event| taken.get(event.stream) == Some(&true)) {
            let Some(key) = keys.get(event.stream) else { continue };
            let Some(resident) = self.residents.get_mut(key) else { continue };
            self.rest.forget(resident);
            let fact = AggregateEvent::Imported {
                revision: resident.standing.revision + 1,
                event_type: event.event_type.clone(),
                version: event.version,
                data: Some(event.data.clone()),
                tags: event.tags.clone(),
                at: event.at,
                by: import.by.clone(),
            };
            let chain = Chain { correlation: event.correlation.clone(), depth: 0, cause: None };
            let mut growing = Growing { commit, resident, shapes: &mut self.shapes, key };
            growing.record(now, &origin.actor, &chain, fact);
        }
    }

    /// What follows from the events of each stream; and those that came into memory for this may leave it.
    fn end_import(&mut self, commit: &mut Commit<'_>, modules: &Modules, import: &Import, keys: &[AggregateKey], taken: &[bool]) {
        for ((stream, key), _) in import.streams.iter().zip(keys).zip(taken).filter(|(_, taken)| **taken) {
            // Somebody may wait with what was read when there was no such stream.
            commit.outdated(&key.stream());
            let Some(active) = modules.aggregate(&key.namespace, &key.name) else { continue };
            let Some(resident) = self.residents.get_mut(key) else { continue };
            let definition = &active.aggregate.definition;
            if let Some(state) = stream.state.clone() {
                let (revision, state_version) = (resident.standing.revision, definition.state_version);
                resident.folded(Base { digest: stream.digest, state_version, revision, state });
            }
            let events = resident.standing.revision - stream.after;
            let mut growing = Growing { commit, resident, shapes: &mut self.shapes, key };
            growing.grown(events);
            if stream.state.is_some() {
                growing.keep(definition.keep_every);
            }
        }
        for key in keys {
            self.settle(key);
        }
    }
}

/// Nothing is being decided about it: a decision would rest on what it was before.
fn stands_at(resident: &Resident, revision: u64) -> bool {
    resident.is_idle() && !resident.is_stale && resident.standing.revision == revision
}

fn refuse_new(commit: &Commit<'_>) -> Result<(), Refusal> {
    if commit.stopping {
        return Err(Refusal::new(RefusalCode::Stopping, "the host is stopping").hint("import again once it is back"));
    }
    commit.refuse_if_crowded()
}
