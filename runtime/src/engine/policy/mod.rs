//! Policies: what follows from events, by code that reacts to them with commands, events, sagas and timers.
//!
//! - [`request`]: what may be asked; [`lifecycle`]: which policies there are, and how each stands
//! - `handling`: a policy in memory; `cursor`: how far it is; `cause`: what it reacts to
//! - `turn`: the next causes are read and go to guests; `report`: what comes of a call; `record`: how a reaction is recorded
//! - `arrive`: causes that are no events: answers and timers; `park`: what waits for an operator
//! - `rows`: what is kept beside the records; [`letters`]: what waits, as committed reads; [`states`]: states that
//!   other code cannot read; [`recover`]: start-up
//!
//! A policy reads the journal from its cursor on: events of the types that it takes, and answers and timers of its own. Those of one key
//! are a line, taken one after the other; lines do not wait for each other. What comes of a cause and how far the policy is then are one
//! commit, so that a kill neither loses nor repeats a reaction. Reactions reach nothing outside, so a policy also takes what is decided
//! and not durable yet (law 3): its records come behind it in the journal.

pub(crate) mod request;

pub(crate) mod lifecycle;

pub(crate) mod recover;

pub(crate) mod letters;

pub(crate) mod states;

mod arrive;

mod cause;

mod cursor;

mod handling;

mod park;

mod record;

mod report;

mod rows;

mod turn;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use amends_core::{Instant, id::Namespace};

use self::handling::Handling;
use crate::{
    engine::{kernel::Kernel, messages::Message},
    journal::{StreamId, StreamKind},
};

/// Which policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PolicyKey {
    pub(crate) namespace: Namespace,
    pub(crate) name: String,
}

impl PolicyKey {
    pub(crate) fn new(namespace: &Namespace, name: &str) -> Self {
        Self { namespace: namespace.clone(), name: name.to_owned() }
    }

    pub(crate) fn stream(&self) -> StreamId {
        StreamId { namespace: self.namespace.clone(), kind: StreamKind::Policy, id: self.name.clone() }
    }

    /// The stream of what it did with the causes of a key.
    pub(crate) fn instance(&self, key: &str) -> StreamId {
        StreamId { namespace: self.namespace.clone(), kind: StreamKind::Instance, id: format!("{}/{key}", self.name) }
    }

    /// The policy and the key of an instance's stream, if it is one.
    pub(crate) fn of_instance(stream: &StreamId) -> Option<(Self, &str)> {
        let (name, key) = stream.id.split_once('/').filter(|_| stream.kind == StreamKind::Instance)?;
        Some((Self::new(&stream.namespace, name), key))
    }
}

/// As `policy credit-on-order`.
impl std::fmt::Display for PolicyKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "policy {}", self.name)
    }
}

/// The policies of a shard.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    handlings: BTreeMap<PolicyKey, Handling>,
    /// Those that may go on, each once.
    turns: VecDeque<PolicyKey>,
    /// Lines whose next cause could not be taken, by when it is tried again.
    resting: BTreeSet<(Instant, PolicyKey, String)>,
    /// What reactions send, to be passed on in the same step.
    sent: VecDeque<Message>,
    /// How many calls are with guests.
    calls: usize,
    /// What may still be done until the next tick.
    left: usize,
}

/// Turns and causes between two ticks. What is asked meanwhile does not wait for more.
const AT_ONCE: usize = 256;

impl Policies {
    /// How many calls end soon: a commit may wait for them.
    pub(crate) fn end_soon(&self) -> usize {
        self.calls
    }

    /// No guest reacts.
    pub(crate) fn is_quiet(&self) -> bool {
        self.calls == 0
    }

    /// What was recorded is for the policies that take it.
    fn hear(&mut self, kernel: &mut Kernel) {
        for (namespace, event_type) in kernel.followed().take_news() {
            let takes = |(key, handling): &(&PolicyKey, &mut Handling)| key.namespace == namespace && handling.takes(&event_type);
            for (key, handling) in self.handlings.iter_mut().filter(takes) {
                handling.has_more = true;
                if handling.wants_turn() {
                    self.turns.push_back(key.clone());
                }
            }
        }
    }

    /// The next policy that may go on. A host that stops leaves them to the next one.
    pub(crate) fn next_turn(&mut self, kernel: &mut Kernel) -> Option<PolicyKey> {
        self.hear(kernel);
        if kernel.stopping || kernel.is_half_crowded() || self.left == 0 {
            return None;
        }
        let key = self.turns.pop_front()?;
        if let Some(handling) = self.handlings.get_mut(&key) {
            handling.has_turn = false;
        }
        Some(key)
    }

    /// Lets a policy go on when those before it have had their turn.
    fn let_go_on(&mut self, key: &PolicyKey) {
        if let Some(handling) = self.handlings.get_mut(key)
            && handling.wants_turn()
        {
            self.turns.push_back(key.clone());
        }
    }

    /// A tick: some more may go on.
    pub(crate) fn renew(&mut self) {
        self.left = AT_ONCE;
    }

    /// The next message that a reaction sends.
    pub(crate) fn next_sent(&mut self) -> Option<Message> {
        self.sent.pop_front()
    }

    /// When something is to go on that rests, or that waited for the disk.
    pub(crate) fn wake_at(&self, kernel: &Kernel) -> Option<Instant> {
        let rested = self.resting.first().map(|(until, ..)| *until);
        let has_turn = !self.turns.is_empty() && !kernel.is_half_crowded();
        rested.into_iter().chain(has_turn.then_some(kernel.now)).min()
    }

    /// Lines whose time has come go on.
    pub(crate) fn wake(&mut self, now: Instant) {
        while self.resting.first().is_some_and(|(until, ..)| *until <= now) {
            let Some((_, key, line)) = self.resting.pop_first() else { break };
            if let Some(handling) = self.handlings.get_mut(&key) {
                handling.rested(&line);
            }
            self.let_go_on(&key);
        }
    }
}
