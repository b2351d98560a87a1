//! How a reaction is recorded: what the policy did with the cause, then what it sends, each with the row of its message.

use std::collections::{BTreeMap, VecDeque};

use amends_core::{
    id::StepKey,
    policy::{InstanceEvent, Reaction, State, TIMERS_BYTES_MAX, TIMERS_MAX, Timer},
};

use super::{
    PolicyKey,
    cause::Cause,
    handling::{Called, Standing},
    rows,
};
use crate::{
    engine::{
        guests::{ToldCause, Wishes},
        kernel::commit::{Chain, Commit, Entry, Stream},
        messages::{Line, Message},
    },
    journal::{Actor, Fact, RecordId, StreamHead, StreamId, TimerKind},
    store::Position,
};

/// A timer that fires so late begins a chain of causes of its own: no loop is so slow.
const OWN_CHAIN_MS: u64 = 1_000;

/// A reaction, and what changes by it.
pub(super) struct Reacting<'a, 'k> {
    pub(super) commit: &'a mut Commit<'k>,
    pub(super) key: &'a PolicyKey,
    pub(super) of: &'a str,
    pub(super) cause: &'a Cause,
    pub(super) called: &'a Called,
    pub(super) standing: &'a mut Standing,
    pub(super) sent: &'a mut VecDeque<Message>,
}

impl Reacting<'_, '_> {
    /// Records what a policy wants. What wants nothing and changes nothing leaves no record but the cursor.
    pub(super) fn record(mut self, wishes: Wishes) {
        let Wishes { state, commands, events, starts, set, cleared, ends } = wishes;
        let is_silent = self.called.is_silent;
        let (commands, events, starts) = if is_silent { Default::default() } else { (commands, events, starts) };
        let now = self.commit.now;
        let set: Vec<Timer> =
            set.into_iter().filter(|timer| !is_silent || timer.at > now).map(|timer| self.chained(timer)).collect();
        let version = self.called.code.definition.state.as_ref().map_or(0, |form| form.version);
        let state =
            state.map(|data| State { version, data }).filter(|state| self.standing.instance.state.as_ref() != Some(state));
        let changes = state.is_some() || !set.is_empty() || !cleared.is_empty() || ends;
        let sends = !commands.is_empty() || !events.is_empty() || !starts.is_empty();
        let is_event = matches!(self.cause.told, ToldCause::Event(_));
        if !changes && !sends && is_event {
            return;
        }
        let ids = self.cause.ids(self.key, self.of, self.called.incarnation);
        let reaction = Reaction {
            position: self.cause.position,
            cause: self.cause.recorded(),
            incarnation: self.called.incarnation,
            ids: ids.0,
            module_version: self.called.code.version,
            is_silent,
            state,
            set,
            cleared,
            ends,
        };
        let timer_before = self.standing.instance.next_timer();
        let handled = self.append(InstanceEvent::Handled(Box::new(reaction)), Some(self.cause.record));
        if let Some(event) = self.cause.event() {
            self.commit.caused(&self.key.namespace, &event.id, handled);
        }
        self.fires(timer_before);
        commands.into_iter().for_each(|sent| self.send(ids, InstanceEvent::Sent(Box::new(sent))));
        events.into_iter().for_each(|published| self.send(ids, InstanceEvent::Published(Box::new(published))));
        starts.into_iter().for_each(|start| self.send(ids, InstanceEvent::Started(Box::new(start))));
        rows::put_instance(self.commit, self.key, self.of, self.standing, self.called.incarnation);
    }

    /// A timer in the chain of causes in which it is set.
    fn chained(&self, timer: Timer) -> Timer {
        let is_late = timer.at.since(self.commit.now) >= OWN_CHAIN_MS;
        Timer { root: self.cause.root.clone(), depth: if is_late { 0 } else { self.cause.depth + 1 }, ..timer }
    }

    fn send(&mut self, ids: StepKey, event: InstanceEvent) {
        let of = self.key.instance(self.of);
        let line = Line::of_instance(&of, &event);
        let position = self.append(event, None);
        if let Some(line) = line {
            let message = Message::new(line, of, position).sent_under(ids, Some(self.cause.root.clone()));
            message.keep(self.commit);
            self.sent.push_back(message);
        }
    }

    /// The timer of the instance is that of the next of its own.
    fn fires(&mut self, before: Option<amends_core::Instant>) {
        let after = self.standing.instance.next_timer();
        self.commit.timer(TimerKind::Instance, self.standing.start, before, after);
    }

    fn append(&mut self, event: InstanceEvent, causation: Option<RecordId>) -> Position {
        let chain = Chain { correlation: Some(self.cause.root.clone()), depth: self.cause.depth + 1, cause: None };
        append(self.commit, self.key.instance(self.of), self.standing, chain, causation, event)
    }
}

/// A cause came too late.
pub(super) fn late(commit: &mut Commit<'_>, key: &PolicyKey, of: &str, cause: &Cause, standing: &mut Standing) {
    let chain = Chain { correlation: Some(cause.root.clone()), depth: cause.depth.saturating_add(1), cause: None };
    let late = InstanceEvent::Late { position: cause.position, cause: cause.recorded() };
    let position = append(commit, key.instance(of), standing, chain, Some(cause.record), late);
    if let Some(event) = cause.event() {
        commit.caused(&key.namespace, &event.id, position);
    }
}

/// Appends a fact to the stream of an instance.
pub(super) fn append(
    commit: &mut Commit<'_>,
    name: StreamId,
    standing: &mut Standing,
    chain: Chain,
    causation: Option<RecordId>,
    event: InstanceEvent,
) -> Position {
    let mut stream = match standing.instance.facts {
        0 => Stream::begins(StreamHead::new(name.clone(), name.id)),
        facts => Stream::goes_on(name, standing.start, facts),
    };
    let at = commit.now;
    standing.instance.apply(&event, at);
    let entry = Entry { at, actor: Actor::Host, causation, fact: Fact::Instance(event) };
    let position = commit.record_in(chain, &mut stream, entry).position;
    standing.start = stream.start;
    position
}

/// Whether an instance would have more timers than it may, or they would say more.
pub(super) fn has_too_many(standing: &Standing, wishes: &Wishes) -> bool {
    let stays = |timer: &&Timer| !wishes.cleared.contains(&timer.name) && wishes.set.iter().all(|new| new.name != timer.name);
    // Of two with one name, the later one.
    let new: BTreeMap<&str, &Timer> = wishes.set.iter().map(|timer| (timer.name.as_str(), timer)).collect();
    let after = standing.instance.timers.iter().filter(stays).chain(new.into_values());
    let weigh = |(count, bytes), timer: &Timer| (count + 1, bytes + timer.data.as_ref().map_or(0, |data| data.bytes.len()));
    let (count, bytes) = after.fold((0, 0), weigh);
    count > TIMERS_MAX || bytes > TIMERS_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use amends_core::{Instant, Payload};

    use super::*;

    fn timer(name: &str, bytes: usize) -> Timer {
        let data = Some(Payload::opaque(vec![0; bytes]));
        Timer { name: name.into(), at: Instant(1), data, root: String::new(), depth: 0 }
    }

    /// The row of an instance has its timers, and is written with each reaction.
    #[test]
    fn timers_of_an_instance_are_counted_and_weighed_as_they_are_after_the_reaction() {
        let mut standing = Standing::default();
        standing.instance.timers = vec![timer("a", 40 << 10)];
        let with = |set: Vec<Timer>, cleared: &[&str]| {
            let cleared = cleared.iter().map(|name| (*name).to_owned()).collect();
            has_too_many(&standing, &Wishes { set, cleared, ..Wishes::default() })
        };
        assert!(with(vec![timer("b", 40 << 10)], &[]));
        assert!(!with(vec![timer("a", 40 << 10)], &[]) && !with(vec![timer("b", 40 << 10)], &["a"]));
        assert!(!with(vec![timer("b", 40 << 10), timer("b", 10)], &[]), "of two with one name, the later one");
        let many = |count: usize| (0..count).map(|number| timer(&number.to_string(), 0)).collect();
        assert!(!with(many(63), &[]) && with(many(64), &[]) && !with(many(64), &["a"]));
    }
}
