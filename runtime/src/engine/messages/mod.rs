//! What is recorded and has not reached everybody in the shard that it is for: events of aggregates that sagas wait for or are started
//! by, and what steps of sagas and policies sent.
//!
//! The row of a message is written with its record and deleted with what comes of it, so that a kill loses and doubles none. Messages of
//! one line follow each other, and commands to one aggregate are decided in the order in which they were sent: the next one leaves when
//! the one before has its answer. What stands against all of a line lets the line rest; what stands against one message lets that one
//! rest, while those behind it go on.

pub(crate) mod recover;

use std::collections::{BTreeMap, HashMap, VecDeque};

use amends_core::{
    Instant,
    event::Topic,
    id::{Namespace, StepKey},
};
use serde::{Deserialize, Serialize};

use crate::{
    engine::kernel::{commit::Commit, row},
    journal::{StreamId, keys},
    store::{Position, Table},
};

/// Messages that keep their order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Line {
    /// The events of an aggregate, to those that wait for them.
    EventsOf(StreamId),
    /// The same events, to start sagas: what stands against a start holds nobody up that waits.
    StartsBy(StreamId),
    /// Commands of steps and policies to an aggregate.
    CommandsTo(StreamId),
    /// Events of a topic, published by steps and policies.
    Events(Namespace, Topic),
    /// Starts of sagas by an instance of a policy.
    StartsOf(StreamId),
}

/// A message on its way. What it says is in its record.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) line: Line,
    /// The stream of its record.
    pub(crate) of: StreamId,
    /// Its record.
    pub(crate) position: Position,
    /// The saga that begins there was told last.
    pub(crate) through: Position,
    /// What its id is made of: the key of the leg whose step sent it, or of the cause that a policy reacted to.
    pub(crate) key: Option<StepKey>,
    /// The root of the chain of causes in which it was sent; none: the saga whose step sent it.
    pub(crate) root: Option<String>,
    /// How often it could not be taken.
    pub(crate) tries: u32,
}

/// The row of a message: where its record is, and how far it is.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    of: StreamId,
    through: Position,
    /// Everybody who waits for it was told; what it starts is left.
    was_told: bool,
    key: Option<StepKey>,
    root: Option<String>,
}

/// The messages on their way.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    lines: HashMap<Line, VecDeque<Message>>,
    /// Lines whose first message can be passed on.
    ready: VecDeque<Line>,
    /// What may still be done until the next tick.
    left: usize,
    /// What could not be taken, by when it is tried again.
    resting: BTreeMap<(Instant, Position), Resting>,
}

/// What is tried again later.
#[derive(Debug)]
enum Resting {
    /// A message.
    One(Message),
    /// A line, whose first message could not be taken.
    All(Line),
}

/// Messages that are passed on, and sagas that are told, between two ticks. What is asked meanwhile does not wait for more.
const AT_ONCE: usize = 64;

/// The wait after the first try, in milliseconds; it doubles with each further one.
const FIRST_REST_MS: u64 = 200;

/// And does not get longer than this.
const REST_MS_MAX: u64 = 60_000;

impl Message {
    /// A message that is about to be recorded there.
    pub(crate) fn new(line: Line, of: StreamId, position: Position) -> Self {
        Self { line, of, position, through: 0, key: None, root: None, tries: 0 }
    }

    /// A message of a step or of a policy; `root`: of the chain of causes in which it was sent.
    pub(crate) fn sent_under(self, key: StepKey, root: Option<String>) -> Self {
        Self { key: Some(key), root, ..self }
    }

    /// The id of what it says, which is the same however often it is passed on.
    pub(crate) fn numbered(&self, number: u32) -> String {
        format!("{}.{number}", self.key.unwrap_or(StepKey([0; 16])))
    }

    /// The root of the chain of causes that what comes of it is part of.
    pub(crate) fn correlation(&self) -> String {
        self.root.clone().unwrap_or_else(|| self.of.id.clone())
    }

    /// Writes how far it is, with its record or with those that were told.
    pub(crate) fn keep(&self, commit: &mut Commit<'_>) {
        let row = Row {
            of: self.of.clone(),
            through: self.through,
            was_told: matches!(self.line, Line::StartsBy(_)),
            key: self.key,
            root: self.root.clone(),
        };
        commit.put(Table::Messages, keys::message(self.position), row::encode(&row));
    }

    /// It could not be taken once more.
    fn tried(self) -> Self {
        Self { tries: self.tries.saturating_add(1), ..self }
    }

    /// How long it rests after so many tries.
    fn rest_ms(&self) -> u64 {
        FIRST_REST_MS.saturating_mul(1 << self.tries.saturating_sub(1).min(16)).min(REST_MS_MAX)
    }

    /// Everybody has it.
    pub(crate) fn forget(&self, commit: &mut Commit<'_>) {
        commit.delete(Table::Messages, keys::message(self.position));
    }
}

impl Messages {
    /// A message comes behind those of its line.
    pub(crate) fn push(&mut self, message: Message) {
        let line = message.line.clone();
        match self.lines.get_mut(&line) {
            Some(waiting) => waiting.push_back(message),
            None => {
                self.lines.insert(line.clone(), VecDeque::from([message]));
                self.ready.push_back(line);
            }
        }
    }

    /// A tick: some more may be passed on.
    pub(crate) fn renew(&mut self) {
        self.left = AT_ONCE;
    }

    /// So many sagas were told in a turn.
    pub(crate) fn spend(&mut self, told: usize) {
        self.left = self.left.saturating_sub(told);
    }

    /// Some can be passed on in the next step.
    pub(crate) fn has_turn(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The next message that can be passed on now; its line waits until it is [`done`](Self::done).
    pub(crate) fn next(&mut self) -> Option<Message> {
        if self.ready.is_empty() {
            return None;
        }
        self.left = self.left.checked_sub(1)?;
        let line = self.ready.pop_front()?;
        self.lines.get_mut(&line)?.pop_front()
    }

    /// The message of a line was passed on: the one behind it is next.
    pub(crate) fn done(&mut self, line: &Line) {
        match self.lines.get(line) {
            Some(waiting) if waiting.is_empty() => drop(self.lines.remove(line)),
            Some(_) => self.ready.push_back(line.clone()),
            None => {}
        }
    }

    /// A message that was told to some goes on when the others have had their turn.
    pub(crate) fn goes_on(&mut self, message: Message) {
        let line = message.line.clone();
        self.lines.entry(line.clone()).or_default().push_front(message);
        self.ready.push_back(line);
    }

    /// Nobody can take a message now: the one behind it is next.
    pub(crate) fn rests(&mut self, now: Instant, message: Message) {
        let (line, message) = (message.line.clone(), message.tried());
        self.resting.insert((now.plus(message.rest_ms()), message.position), Resting::One(message));
        self.done(&line);
    }

    /// Nobody can take this message now, nor those behind it.
    pub(crate) fn line_rests(&mut self, now: Instant, message: Message) {
        let message = message.tried();
        self.resting.insert((now.plus(message.rest_ms()), message.position), Resting::All(message.line.clone()));
        self.lines.entry(message.line.clone()).or_default().push_front(message);
    }

    /// When something that rests is tried again.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        self.resting.first_key_value().map(|((until, _), _)| *until)
    }

    /// Those whose time has come are tried again.
    pub(crate) fn wake(&mut self, now: Instant) {
        while let Some(first) = self.resting.first_entry().filter(|first| first.key().0 <= now) {
            let rested = first.remove();
            self.again(rested);
        }
    }

    /// What stood against them may be gone: all are tried again at once.
    pub(crate) fn wake_all(&mut self) {
        std::mem::take(&mut self.resting).into_values().for_each(|rested| self.again(rested));
    }

    fn again(&mut self, rested: Resting) {
        match rested {
            Resting::One(message) => self.push(message),
            Resting::All(line) => self.ready.push_back(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use amends_core::id::Namespace;

    use super::*;
    use crate::journal::StreamKind;

    fn message(aggregate: &str, position: Position) -> Message {
        let of = StreamId { namespace: Namespace::new("default").unwrap(), kind: StreamKind::Aggregate, id: aggregate.into() };
        Message::new(Line::EventsOf(of.clone()), of, position)
    }

    fn next(messages: &mut Messages) -> Option<(Position, Line)> {
        messages.next().map(|message| (message.position, message.line))
    }

    #[test]
    fn messages_of_one_line_follow_each_other_and_lines_do_not_wait_for_each_other() {
        let mut messages = Messages { left: 100, ..Messages::default() };
        for (aggregate, position) in [("a", 1), ("a", 2), ("b", 3)] {
            messages.push(message(aggregate, position));
        }
        let (first, line) = next(&mut messages).unwrap();
        assert_eq!((first, next(&mut messages).unwrap().0, next(&mut messages)), (1, 3, None));
        messages.done(&line);
        assert_eq!(next(&mut messages).unwrap().0, 2);
        messages.done(&line);
        assert!(next(&mut messages).is_none() && !messages.lines.contains_key(&line));
    }

    #[test]
    fn what_cannot_be_taken_is_tried_again_later_and_later_and_holds_nobody_up() {
        let mut messages = Messages { left: 100, ..Messages::default() };
        messages.push(message("a", 1));
        messages.push(message("a", 2));
        let mut now = Instant(0);
        let mut waits = Vec::new();
        let refused = messages.next().unwrap();
        messages.rests(now, refused);
        let (second, line) = next(&mut messages).unwrap();
        assert_eq!(second, 2);
        messages.done(&line);
        for _ in 0..10 {
            let until = messages.wake_at().unwrap();
            waits.push(until.since(now));
            now = until;
            messages.wake(now);
            let refused = messages.next().unwrap();
            messages.rests(now, refused);
        }
        assert_eq!(waits, [200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 60_000]);
        messages.wake_all();
        assert_eq!((messages.wake_at(), next(&mut messages).unwrap().0), (None, 1));
    }

    /// What hits every command to an aggregate hit each of them by itself: they came back in the order of their times, and one that undoes
    /// another was decided before it.
    #[test]
    fn a_line_that_rests_keeps_its_order_and_takes_what_comes_meanwhile() {
        let mut messages = Messages { left: 100, ..Messages::default() };
        messages.push(message("a", 1));
        messages.push(message("a", 2));
        let first = messages.next().unwrap();
        messages.line_rests(Instant(0), first);
        messages.push(message("a", 3));
        assert_eq!((messages.has_turn(), messages.wake_at()), (false, Some(Instant(200))));
        messages.wake(Instant(200));
        let first = messages.next().unwrap();
        messages.line_rests(Instant(200), first);
        assert_eq!(messages.wake_at(), Some(Instant(600)));
        messages.wake_all();
        for position in 1..=3 {
            let (next, line) = next(&mut messages).unwrap();
            assert_eq!(next, position);
            messages.done(&line);
        }
        assert!(next(&mut messages).is_none() && messages.lines.is_empty());
    }

    #[test]
    fn between_two_ticks_no_more_is_done_than_leaves_room_for_what_is_asked() {
        let mut messages = Messages::default();
        (1..=200).for_each(|position| messages.push(message(&position.to_string(), position)));
        assert!(next(&mut messages).is_none());
        messages.renew();
        assert_eq!(std::iter::from_fn(|| next(&mut messages)).count(), AT_ONCE);
        messages.renew();
        let told = std::iter::from_fn(|| {
            let message = messages.next()?;
            messages.spend(32);
            Some(message)
        });
        assert_eq!(told.count(), 2);
    }
}
