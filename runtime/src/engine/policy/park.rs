//! Causes that wait: for an operator, behind one that does, or for their instance. Other keys go on.
//!
//! All that waits with a key is in rows. It is taken from there, oldest first, when an operator says so, or when the instance begins; what
//! is read with the key meanwhile comes behind it, so that the order stays that of the journal.

use amends_core::{policy::PolicyEvent, value::Failure};

use super::{
    PolicyKey,
    cause::{Cause, Place},
    handling::{Handling, Line},
    rows::{self, ParkedRow, Waits},
};
use crate::{
    engine::{
        guests::ToldCause,
        kernel::commit::{Commit, Entry, Stream},
    },
    journal::{Actor, Fact, RecordId, StreamHead},
    store::Position,
};

/// Keys of a policy with which something may wait. With more of them it is the policy that has a fault, or what it needs.
const KEYS_MAX: usize = 1_000;

/// Causes of a policy that may wait.
const CAUSES_MAX: usize = 100_000;

impl Handling {
    /// A cause of a line is taken.
    pub(super) fn done(&mut self, commit: &mut Commit<'_>, key: &PolicyKey, of: &str, cause: &Cause) {
        match cause.was_parked {
            true => {
                rows::delete_parked(commit, key, of, cause.position);
                self.waiting.less(of);
            }
            false => self.leaves(commit, key, cause),
        }
    }

    /// A cause is not read any more.
    fn leaves(&mut self, commit: &mut Commit<'_>, key: &PolicyKey, cause: &Cause) {
        if !matches!(cause.told, ToldCause::Event(_)) {
            rows::delete_arrival(commit, key, cause.position);
        }
        self.pass(commit, key, cause.position);
    }

    /// The first cause of a line waits for an operator from now on, and what comes after it waits behind it.
    pub(super) fn park(&mut self, commit: &mut Commit<'_>, key: &PolicyKey, of: &str, failure: Failure) {
        let Some(line) = self.lines.remove(of) else { return };
        let Some(first) = line.causes.front() else { return };
        let (position, attempts, about) = (first.position, line.attempts, first.clone());
        let (code, why) = (&failure.code, &failure.message);
        tracing::warn!(
            policy = key.name,
            key = of,
            position,
            code,
            why,
            "a policy cannot take a cause: it waits for an operator"
        );
        commit.metrics.handled(&key.name, "parked");
        let parked = PolicyEvent::Parked { key: of.to_owned(), position, failure: failure.clone(), attempts };
        self.record_of(commit, key, parked, &about);
        self.drains.remove(of);
        let mut waits = Waits::Operator(failure);
        for cause in &line.causes {
            self.put(commit, key, of, cause, std::mem::replace(&mut waits, Waits::Behind));
        }
        self.stop_if_full(commit, key);
    }

    /// The first cause of a line is for an instance that has not begun: it is kept for that.
    pub(super) fn keep(&mut self, commit: &mut Commit<'_>, key: &PolicyKey, of: &str) {
        let Some(cause) = self.take_first(of) else { return };
        let until = commit.now.plus(commit.limits.event_kept_ms);
        let kept = PolicyEvent::Kept { key: of.to_owned(), position: cause.position, until };
        commit.metrics.handled(&key.name, "kept");
        let recorded = self.record_of(commit, key, kept, &cause);
        rows::keep_until(commit, key, (of, cause.position), recorded, until);
        self.put(commit, key, of, &cause, Waits::Instance(until));
        self.kept.add(of);
        self.stop_if_full(commit, key);
    }

    /// The first cause of a line cannot be taken, and holds nothing else up.
    pub(super) fn set_aside(&mut self, commit: &mut Commit<'_>, key: &PolicyKey, of: &str, failure: Failure) {
        if let Some(cause) = self.take_first(of) {
            self.leave_alone(commit, key, of, &cause, failure);
            self.stop_if_full(commit, key);
        }
    }

    /// Nobody took an event in the time that it was kept for its instance.
    pub(super) fn expire(&mut self, commit: &mut Commit<'_>, key: &PolicyKey, of: &str, at: Position, row: ParkedRow) {
        let failure = Failure::new("no_instance", "no instance of its key began in the time that it was kept");
        self.dead(commit, key, of, at, failure.clone(), None);
        rows::put_parked(commit, key, of, at, &ParkedRow { waits: Waits::Alone(failure), ..row });
        self.kept.less(of);
    }

    fn leave_alone(&mut self, commit: &mut Commit<'_>, key: &PolicyKey, of: &str, cause: &Cause, failure: Failure) {
        self.dead(commit, key, of, cause.position, failure.clone(), Some(cause));
        self.put(commit, key, of, cause, Waits::Alone(failure));
    }

    fn dead(
        &mut self,
        commit: &mut Commit<'_>,
        key: &PolicyKey,
        of: &str,
        position: Position,
        failure: Failure,
        cause: Option<&Cause>,
    ) {
        let (code, why) = (&failure.code, &failure.message);
        tracing::warn!(policy = key.name, key = of, position, code, why, "a cause of a policy is a dead letter");
        commit.metrics.dead_letter();
        let dead = PolicyEvent::Dead { key: of.to_owned(), position, failure };
        match cause {
            Some(cause) => drop(self.record_of(commit, key, dead, cause)),
            None => self.record(commit, key, dead, Actor::Host),
        }
    }

    fn take_first(&mut self, of: &str) -> Option<Cause> {
        let line = self.lines.get_mut(of)?;
        (line.attempts, line.delays) = (0, 0);
        let first = line.causes.pop_front();
        self.forget_if_idle(of);
        first
    }

    /// Writes the row of a cause that waits. One that waited before has it already.
    pub(super) fn put(&mut self, commit: &mut Commit<'_>, key: &PolicyKey, of: &str, cause: &Cause, waits: Waits) {
        rows::put_parked(commit, key, of, cause.position, &ParkedRow::new(&cause.place(), self.stands.incarnation, waits));
        if !cause.was_parked {
            self.waiting.add(of);
            self.leaves(commit, key, cause);
        }
    }

    /// What waits with a key is taken from now on, oldest first, and what was read with it comes behind that. What is with a guest
    /// stays there.
    pub(super) fn drain(&mut self, commit: &mut Commit<'_>, key: &PolicyKey, of: &str) {
        let with_guest = |line: &Line| usize::from(line.called.is_some());
        let line = self.lines.get_mut(of);
        let behind = line.map(|line| line.causes.split_off(with_guest(line).min(line.causes.len()))).unwrap_or_default();
        for cause in &behind {
            self.put(commit, key, of, cause, Waits::Behind);
        }
        self.forget_if_idle(of);
        self.kept.forget(of);
        self.drains.insert(of.to_owned(), 0);
    }

    /// An operator leaves one cause out that waits.
    pub(super) fn dropped(&mut self, commit: &mut Commit<'_>, key: &PolicyKey, of: &str, at: Position, row: &ParkedRow) {
        rows::delete_parked(commit, key, of, at);
        self.waiting.less(of);
        if matches!(row.waits, Waits::Instance(_)) {
            self.kept.less(of);
        }
        if self.waiting.of(of) == 0 && self.stands.parked.contains_key(of) {
            self.record(commit, key, PolicyEvent::Cleared { key: of.to_owned() }, Actor::Host);
        }
    }

    /// Nothing waits with a key any more.
    pub(super) fn drained(&mut self, commit: &mut Commit<'_>, key: &PolicyKey, of: &str) {
        self.drains.remove(of);
        if self.stands.parked.contains_key(of) || self.stands.redriven.contains(of) {
            self.record(commit, key, PolicyEvent::Cleared { key: of.to_owned() }, Actor::Host);
        }
    }

    /// It stops where too much waits.
    pub(super) fn stop_if_full(&mut self, commit: &mut Commit<'_>, key: &PolicyKey) {
        let (keys, causes) = (self.stands.parked.len(), self.waiting.total());
        if keys > KEYS_MAX || causes > CAUSES_MAX {
            let message = format!(
                "{causes} causes wait, {keys} keys for an operator; {CAUSES_MAX} causes and {KEYS_MAX} keys may: redrive or drop some, then resume it"
            );
            self.stop(commit, key, None, Failure::new("too_many_wait", message));
        }
    }

    /// It does not go on by itself.
    pub(super) fn stop(&mut self, commit: &mut Commit<'_>, key: &PolicyKey, at: Option<Position>, failure: Failure) {
        if self.stands.stopped.is_some() {
            return;
        }
        let (code, why) = (&failure.code, &failure.message);
        tracing::error!(policy = key.name, namespace = %key.namespace, at, code, why, "a policy stopped");
        commit.metrics.handled(&key.name, "stopped");
        self.record(commit, key, PolicyEvent::Stopped { at, failure }, Actor::Host);
        // It is tried with another code then, or on another day, from the cursor on.
        match self.calls {
            0 => self.forget_what_was_read(),
            _ => self.is_stale = true,
        }
    }

    /// Appends a fact that is about a cause, so that a trace finds it there.
    fn record_of(&mut self, commit: &mut Commit<'_>, key: &PolicyKey, fact: PolicyEvent, cause: &Cause) -> Position {
        self.append(commit, key, fact, Actor::Host, Some(cause.record));
        let position = commit.last_position();
        if let Some(event) = cause.event() {
            commit.caused(&key.namespace, &event.id, position);
        }
        position
    }

    /// Appends a fact to its stream.
    pub(super) fn record(&mut self, commit: &mut Commit<'_>, key: &PolicyKey, fact: PolicyEvent, actor: Actor) {
        self.append(commit, key, fact, actor, None);
    }

    fn append(&mut self, commit: &mut Commit<'_>, key: &PolicyKey, fact: PolicyEvent, actor: Actor, causation: Option<RecordId>) {
        let name = key.stream();
        let mut stream = match self.stands.facts {
            0 => Stream::begins(StreamHead::new(name.clone(), name.id)),
            facts => Stream::goes_on(name, self.start, facts),
        };
        let at = commit.now;
        self.stands.apply(&fact, at);
        commit.record(&mut stream, Entry { at, actor, causation, fact: Fact::Policy(fact) });
        self.start = stream.start;
    }
}

impl Cause {
    /// Where it is, and what finds it there.
    fn place(&self) -> Place {
        match &self.told {
            ToldCause::Event(event) => {
                let aggregate = if event.revision > 0 { event.key.clone() } else { String::new() };
                Place::Event { event_type: event.event_type.clone(), aggregate }
            }
            ToldCause::Timer(_) | ToldCause::Answer { .. } => Place::Arrival { key: String::new() },
        }
    }
}
