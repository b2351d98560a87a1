//! Aggregates: commands are decided one after the other, on the state that the events so far have made.
//!
//! - [`request`]: what may be asked; `ask`: a command comes in, and is refused, repeated or put in line
//! - [`read`]: committed reads
//! - `import`: events that another system recorded; `grow`: what is written when a stream grows
//! - `call`: which commands go to a guest together; `report`: what comes of them
//! - `resident`: an aggregate in memory; `rows`: kept states, claims and answers; `rest`: those that are asked nothing
//! - `shapes`: which forms of events there are; `recover`: start-up
//!
//! An aggregate has one owner, so no two commands meet the same state: they queue, and what one call decides about many of them is one
//! commit. Decisions reach nothing outside, so the next call does not wait for the commit of the one before (law 3); the answers do.

pub(crate) mod request;

mod ask;

mod call;

mod grow;

pub(crate) mod import;

pub(crate) mod read;

pub(crate) mod recover;

mod report;

mod resident;

mod rest;

mod rows;

pub(crate) mod shapes;

use std::collections::{HashMap, VecDeque};

pub(crate) use self::{
    ask::{Asked, no_such},
    report::{Met, holders},
    request::{Asker, Insider, Told},
    resident::AggregateKey,
    shapes::Shapes,
};
use self::{
    request::CommandAnswer,
    resident::{Resident, Waiting},
    rest::Rest,
};
use crate::{
    engine::{
        kernel::{
            commit::Commit,
            reads::{Reads, Unready},
            release::{Release, Reply},
        },
        messages::Message,
        module::{ActiveAggregate, Modules},
        refusal::Refusal,
    },
    store::Position,
};

/// The aggregates of a shard that are in memory.
#[derive(Debug, Default)]
pub(crate) struct Aggregates {
    residents: HashMap<AggregateKey, Resident>,
    rest: Rest,
    /// How many calls are with guests.
    calls: usize,
    /// Those whose events must be read again before they go on.
    stale: VecDeque<AggregateKey>,
    /// What attempts of this shard are told, in the same step.
    told: VecDeque<Told>,
    /// Events that somebody hears, to be passed on in the same step.
    heard: VecDeque<Message>,
    shapes: Shapes,
}

impl Aggregates {
    /// None in memory, where events of these forms are recorded.
    fn new(shapes: Shapes) -> Self {
        Self { shapes, ..Self::default() }
    }

    /// Which forms of events there are, durable or not.
    pub(crate) fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    /// How many calls end soon: a commit may wait for them.
    pub(crate) fn end_soon(&self) -> usize {
        self.calls
    }

    /// No guest decides.
    pub(crate) fn is_quiet(&self) -> bool {
        self.calls == 0
    }

    /// The next one whose events must be read again.
    pub(crate) fn next_stale(&mut self) -> Option<AggregateKey> {
        self.stale.pop_front()
    }

    /// The next attempt of this shard whose command has its answer.
    pub(crate) fn next_told(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    /// The next event that somebody hears.
    pub(crate) fn next_heard(&mut self) -> Option<Message> {
        self.heard.pop_front()
    }

    /// Makes sure that an aggregate is in memory.
    fn ready(&mut self, reads: &mut Reads<'_>, key: &AggregateKey, active: &ActiveAggregate<'_>) -> Result<(), Unready> {
        if !self.residents.contains_key(key) {
            let resident = load(reads, key, active)?;
            self.residents.insert(key.clone(), resident);
        }
        Ok(())
    }

    /// Reads the events of an aggregate again, once all are durable: its state is one that the active code does not know.
    pub(crate) fn reload(&mut self, mut reads: Reads<'_>, modules: &Modules, key: &AggregateKey) -> Result<(), Unready> {
        let Some(resident) = self.residents.get(key) else { return Ok(()) };
        if resident.last > reads.durable() {
            return Err(reads.must_wait());
        }
        let Some(active) = modules.aggregate(&key.namespace, &key.name) else {
            let mut commit = reads.done()?;
            self.fresh(&mut commit, modules, key, None);
            return Ok(());
        };
        let fresh = load(&mut reads, key, &active)?;
        let mut commit = reads.done()?;
        self.fresh(&mut commit, modules, key, Some(fresh));
        Ok(())
    }

    fn fresh(&mut self, commit: &mut Commit<'_>, modules: &Modules, key: &AggregateKey, fresh: Option<Resident>) {
        if let Some(resident) = self.residents.get_mut(key) {
            resident.is_stale = false;
            if let Some(Resident { base, tail, kept_at, .. }) = fresh {
                (resident.base, resident.tail, resident.kept_at) = (base, tail, kept_at);
            }
        }
        self.go_on(commit, modules, key);
    }

    /// What an aggregate needs cannot be read: who waits is told. What it has recorded stays as it is, here too: it may not be durable.
    pub(crate) fn unreadable(&mut self, commit: &mut Commit<'_>, key: &AggregateKey, refusal: &Refusal) {
        let Some(resident) = self.residents.get_mut(key) else { return };
        self.calls -= usize::from(resident.call.is_some());
        let called = resident.call.take().into_iter().flat_map(|call| call.commands);
        for waiting in called.chain(std::mem::take(&mut resident.line)) {
            refuse(commit, &mut self.told, 0, waiting, refusal);
        }
        self.settle(key);
    }

    /// The storage failed: nobody is answered any more.
    pub(crate) fn refuse_waiters(&mut self, refusal: &Refusal) {
        for resident in self.residents.values_mut() {
            let called = resident.call.iter_mut().flat_map(|call| call.commands.drain(..));
            for waiting in called.chain(resident.line.drain(..)) {
                for asker in waiting.askers {
                    if let Asker::Client(answer) = asker {
                        Reply::new(answer, Err::<CommandAnswer, _>(refusal.clone())).send();
                    }
                }
            }
        }
    }
}

/// Reads an aggregate that is durable.
fn load(reads: &mut Reads<'_>, key: &AggregateKey, active: &ActiveAggregate<'_>) -> Result<Resident, Unready> {
    let state_version = active.aggregate.definition.state_version;
    let kept = rows::kept(reads, key)?.filter(|kept| kept.base.serves(&active.digest, state_version));
    let from = kept.as_ref().map_or(0, |kept| kept.standing.facts) + 1;
    let records = reads.tail(&key.stream(), from)?.unwrap_or_default();
    Ok(Resident::of(kept, &records)?)
}

/// Tells everybody who waits for a command that it is refused, clients once what that rests on is durable.
fn refuse(commit: &mut Commit<'_>, told: &mut VecDeque<Told>, at: Position, waiting: Waiting, refusal: &Refusal) {
    commit.metrics.refused(refusal.code);
    for asker in waiting.askers {
        tell(commit, told, at, asker, Err(refusal.clone()));
    }
}

/// Tells everybody who waits for a command what was decided; all but the first one sent it again.
fn answer(commit: &mut Commit<'_>, told: &mut VecDeque<Told>, waiting: Waiting, said: &CommandAnswer) {
    for (index, asker) in waiting.askers.into_iter().enumerate() {
        tell(commit, told, said.position, asker, Ok(CommandAnswer { duplicate: index > 0, ..said.clone() }));
    }
}

fn tell(commit: &mut Commit<'_>, told: &mut VecDeque<Told>, at: Position, asker: Asker, said: Result<CommandAnswer, Refusal>) {
    match asker {
        Asker::Client(answer) => commit.release_at(at, Release::Reply(Reply::new(answer, said))),
        Asker::Insider(to) => told.push_back(Told { to, said }),
    }
}
