//! What many sagas are told, some of them in a turn: an event for which many wait, a grant or code that lets many go on.
//!
//! What is told is recorded first. What a turn tells and how far it is then are one commit, so that a kill neither passes a saga over nor
//! tells it twice; requests have their turns in between. Broadcasts take turns; two about the same thing follow each other.

mod turn;

pub(crate) mod recover;

use std::collections::BTreeMap;

use amends_core::{Instant, event::Topic, id::Namespace};
use serde::{Deserialize, Serialize};

use crate::{
    engine::{
        event::{Delivery, request::PublishAnswer},
        kernel::{
            Kernel,
            commit::Commit,
            release::{Release, Reply},
            request::Answer,
            row,
        },
        refusal::{Refusal, RefusalCode},
        saga::Sagas,
    },
    journal::keys,
    store::{Position, Table},
};

/// Something that many sagas are told.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Broadcast {
    namespace: Namespace,
    what: What,
    /// The saga that begins there was told last.
    through: Position,
    /// The last record of the last turn: the next turn waits until it is durable.
    position: Position,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum What {
    /// An event, to those that wait for its topic.
    Event(Delivery),
    /// Grants changed, to those that were denied something by this module's.
    Grants(String),
    /// Other code is active, to those whose commands nobody could decide.
    Code,
}

/// What a broadcast is about. Of two about the same, the later one waits for the earlier one.
#[derive(PartialEq, Eq)]
enum Subject<'a> {
    Topic(&'a Topic),
    Module(&'a str),
    Code,
}

impl Broadcast {
    fn subject(&self) -> (&Namespace, Subject<'_>) {
        let subject = match &self.what {
            What::Event(delivery) => Subject::Topic(delivery.topic()),
            What::Grants(module) => Subject::Module(module),
            What::Code => Subject::Code,
        };
        (&self.namespace, subject)
    }
}

/// Broadcasts under way: a publisher waits for its own, so that there are more than a few only where publishers do not wait.
const UNDER_WAY_MAX: usize = 1_024;

/// A turn that requests leave no room for comes after so long: somebody waits for its end, too.
const PATIENCE_MS: u64 = 5_000;

/// The broadcasts under way, each by the record with which it began, and who waits for their ends.
#[derive(Debug, Default)]
pub(crate) struct Broadcasts {
    under_way: BTreeMap<Position, Broadcast>,
    /// The one that had the last turn, and when.
    last: Position,
    last_turn: Instant,
    waiters: Vec<Waiter>,
}

/// A publisher who waits until everybody was told.
#[derive(Debug)]
struct Waiter {
    start: Position,
    /// The event was there already when it was published.
    duplicate: bool,
    answer: Answer<PublishAnswer>,
}

impl Broadcasts {
    /// An event of this topic is under way: a later one waits for it.
    pub(crate) fn has_topic(&self, namespace: &Namespace, topic: &Topic) -> bool {
        self.under_way.values().any(|broadcast| broadcast.subject() == (namespace, Subject::Topic(topic)))
    }

    /// An event begins to be told.
    pub(crate) fn deliver(&mut self, commit: &mut Commit<'_>, namespace: &Namespace, delivery: Delivery) -> Position {
        let start = delivery.position();
        self.begin(commit, namespace, start, What::Event(delivery));
        start
    }

    /// The sagas that were denied something by a module's grants begin to be told of new ones, whose record is the last one.
    pub(crate) fn grant(&mut self, commit: &mut Commit<'_>, namespace: &Namespace, module: &str) {
        let start = commit.last_position();
        self.begin(commit, namespace, start, What::Grants(module.to_owned()));
    }

    /// The sagas whose commands nobody could decide begin to be told of code that is active now, by the last record.
    pub(crate) fn code(&mut self, commit: &mut Commit<'_>, namespace: &Namespace) {
        let start = commit.last_position();
        self.begin(commit, namespace, start, What::Code);
    }

    fn begin(&mut self, commit: &mut Commit<'_>, namespace: &Namespace, start: Position, what: What) {
        if self.under_way.is_empty() {
            self.last_turn = commit.now;
        }
        let broadcast = Broadcast { namespace: namespace.clone(), what, through: 0, position: commit.last_position() };
        self.go_on(commit, start, broadcast);
    }

    /// A turn was taken, and others follow.
    fn go_on(&mut self, commit: &mut Commit<'_>, start: Position, broadcast: Broadcast) {
        commit.put(Table::Broadcasts, keys::broadcast(start), row::encode(&broadcast));
        self.under_way.insert(start, broadcast);
    }

    /// This client is told when everybody was told.
    pub(crate) fn wait(&mut self, commit: &mut Commit<'_>, start: Position, duplicate: bool, answer: Answer<PublishAnswer>) {
        if !self.under_way.contains_key(&start) {
            let said = "the event is recorded, and could not be told to all that waited for it: its record cannot be read";
            return refuse(commit, start, answer, Refusal::new(RefusalCode::StorageFailed, said));
        }
        if commit.stopping {
            return refuse(commit, start, answer, goes_on_later());
        }
        // Those who gave up waiting.
        self.waiters.retain(|waiter| !waiter.answer.is_closed());
        self.waiters.push(Waiter { start, duplicate, answer });
    }

    /// The host stops: no broadcast gets another turn. Publishers are told so, and do not wait for the end of the host.
    pub(crate) fn stop(&mut self, commit: &mut Commit<'_>) {
        for Waiter { start, answer, .. } in std::mem::take(&mut self.waiters) {
            refuse(commit, start, answer, goes_on_later());
        }
    }

    /// Refuses an event while as many are being told as this host takes.
    pub(crate) fn refuse_new(&self) -> Result<(), Refusal> {
        if self.under_way.len() < UNDER_WAY_MAX {
            return Ok(());
        }
        let said = format!("{UNDER_WAY_MAX} events are being told to many sagas each, which is as many as this host takes");
        Err(Refusal::new(RefusalCode::Overloaded, said).hint("publish it again soon, with the same id"))
    }

    /// Everybody who waits for an end, when nothing is known to be durable any more.
    pub(crate) fn refuse_waiters(&mut self, refusal: &Refusal) {
        for waiter in std::mem::take(&mut self.waiters) {
            Reply::new(waiter.answer, Err(refusal.clone())).send();
        }
    }

    /// A broadcast wants its turn now. Where requests leave no room for one it gets it after a while all the same.
    pub(crate) fn has_turn(&self, kernel: &Kernel, sagas: &Sagas) -> bool {
        let may_go_on = || sagas.has_room_beside_requests(kernel) || kernel.now.since(self.last_turn) > PATIENCE_MS;
        !kernel.stopping && !self.under_way.is_empty() && may_go_on() && self.next(kernel.durable()).is_some()
    }

    /// The one whose turn it is: they take turns, but for those that are about the same thing.
    fn next(&self, durable: Position) -> Option<Position> {
        let is_first = |start: &Position, broadcast: &Broadcast| {
            !self.under_way.range(..start).any(|(_, before)| before.subject() == broadcast.subject())
        };
        let after_the_last = self.under_way.range(self.last + 1..).chain(self.under_way.range(..=self.last));
        let ready = |(start, broadcast): &(&Position, &Broadcast)| broadcast.position <= durable && is_first(start, broadcast);
        after_the_last.into_iter().find(ready).map(|(start, _)| *start)
    }
}

/// Tells a publisher, once the event is durable, that nobody will be told of its end by this host.
fn refuse(commit: &mut Commit<'_>, start: Position, answer: Answer<PublishAnswer>, refusal: Refusal) {
    commit.release_at(start, Release::Reply(Reply::new(answer, Err(refusal))));
}

fn goes_on_later() -> Refusal {
    let said = "the host is stopping; the event is recorded, and the next host tells it to the sagas that are left";
    Refusal::new(RefusalCode::Stopping, said).hint("publish it again with the same id")
}
