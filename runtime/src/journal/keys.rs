//! The keys of the derived rows: bytes that sort in the order of their fields. The values are elsewhere.
//!
//! Numbers are big-endian. A text that something follows is written with 0 as `0 255` and closed with `0 1`, so that it
//! sorts like the text, and so that no text, whatever is in it, can end early or run into what follows.

use amends_core::{
    event::Topic,
    id::{Name, Namespace},
    value::Instant,
};

use super::{Corrupt, StreamId, StreamKind, TimerKind};
use crate::store::{Order, Position, Range, Table};

/// The row of [`Table::ById`] that locates a stream.
pub fn by_id(stream: &StreamId) -> Vec<u8> {
    Key::default().text(stream.namespace.as_str()).byte(stream.kind.byte()).rest(&stream.id)
}

/// The stream that a key of [`Table::ById`] names.
pub fn parse_by_id(key: &[u8]) -> Result<StreamId, Corrupt> {
    Parts::new(Table::ById, key).whole(|parts| {
        let namespace = parts.namespace()?;
        let kind = parts.kind()?;
        Ok(StreamId { namespace, kind, id: parts.rest()? })
    })
}

/// Streams of one kind in a namespace, by id.
pub fn streams(namespace: &Namespace, kind: StreamKind, limit: usize) -> Range {
    Range::under(Table::ById, &Key::default().text(namespace.as_str()).byte(kind.byte()).0, limit)
}

/// The row of [`Table::Sagas`] with the summary of a saga.
pub fn saga(start: Position) -> Vec<u8> {
    Key::default().number(start).0
}

/// The saga that a key of [`Table::Sagas`] names.
pub fn parse_saga(key: &[u8]) -> Result<Position, Corrupt> {
    Parts::new(Table::Sagas, key).whole(Parts::number)
}

/// The row of [`Table::ByStatus`] for a saga's status, by the stable number of the status.
pub fn by_status(status: u8, start: Position) -> Vec<u8> {
    Key::default().byte(status).number(start).0
}

/// The status and the saga that a key of [`Table::ByStatus`] names.
pub fn parse_by_status(key: &[u8]) -> Result<(u8, Position), Corrupt> {
    Parts::new(Table::ByStatus, key).whole(|parts| Ok((parts.byte()?, parts.number()?)))
}

/// Sagas of one status, oldest first.
pub fn of_status(status: u8, limit: usize) -> Range {
    Range::under(Table::ByStatus, &[status], limit)
}

/// The row of [`Table::Timers`] for the stream, or the answer, at a position.
pub fn timer(due: Instant, kind: TimerKind, start: Position) -> Vec<u8> {
    Key::default().number(due.0).byte(kind.byte()).number(start).0
}

/// The first key of the timers of a moment.
pub fn timers_from(due: Instant) -> Vec<u8> {
    Key::default().number(due.0).0
}

/// The fields of a key of [`Table::Timers`].
pub fn parse_timer(key: &[u8]) -> Result<(Instant, TimerKind, Position), Corrupt> {
    Parts::new(Table::Timers, key).whole(|parts| {
        let due = Instant(parts.number()?);
        let kind = parts.byte()?;
        let kind = TimerKind::of(kind).ok_or_else(|| format!("timers of kind {kind} are unknown to this build"))?;
        Ok((due, kind, parts.number()?))
    })
}

/// The row of [`Table::Waits`] for a topic for which a saga waits.
pub fn wait(namespace: &Namespace, topic: &Topic, start: Position) -> Vec<u8> {
    Key::of_topic(namespace, topic).number(start).0
}

/// The fields of a key of [`Table::Waits`].
pub fn parse_wait(key: &[u8]) -> Result<(Namespace, Topic, Position), Corrupt> {
    Parts::new(Table::Waits, key).whole(Parts::topic_and_number)
}

/// Sagas that wait for events of a topic, of those that began between these positions, oldest first.
pub fn waits_for(namespace: &Namespace, topic: &Topic, (after, before): (Position, Position), limit: usize) -> Range {
    let (from, to) = (wait(namespace, topic, after.saturating_add(1)), wait(namespace, topic, before));
    Range { table: Table::Waits, from, to: Some(to), order: Order::Ascending, limit }
}

/// Sagas that wait for events of a type, whatever their key.
pub fn waits_of_type(namespace: &Namespace, event_type: &str, limit: usize) -> Range {
    Range::under(Table::Waits, &Key::default().text(namespace.as_str()).text(event_type).0, limit)
}

/// The row of [`Table::Denied`] for a saga that lacks a grant of a module.
pub fn denied(namespace: &Namespace, module: &str, start: Position) -> Vec<u8> {
    Key::default().text(namespace.as_str()).text(module).number(start).0
}

/// The saga that a key of [`Table::Denied`] names.
pub fn parse_denied(key: &[u8]) -> Result<Position, Corrupt> {
    Parts::new(Table::Denied, key).whole(|parts| {
        parts.namespace()?;
        parts.text()?;
        parts.number()
    })
}

/// Sagas that wait for a grant to this module, of those that began between these positions, oldest first.
pub fn denied_of(namespace: &Namespace, module: &str, (after, before): (Position, Position), limit: usize) -> Range {
    let (from, to) = (denied(namespace, module, after.saturating_add(1)), denied(namespace, module, before));
    Range { table: Table::Denied, from, to: Some(to), order: Order::Ascending, limit }
}

/// What stands for a module in the row of a saga whose command no module decides. A module's name is never empty.
const NO_MODULE: &str = "";

/// The row of [`Table::Denied`] for a saga that goes on when code is active for an aggregate.
pub fn undecided(namespace: &Namespace, start: Position) -> Vec<u8> {
    denied(namespace, NO_MODULE, start)
}

/// Sagas that wait for such code, of those that began between these positions, oldest first.
pub fn undecided_of(namespace: &Namespace, between: (Position, Position), limit: usize) -> Range {
    denied_of(namespace, NO_MODULE, between, limit)
}

/// The row of [`Table::Locks`] for a saga that holds a lock key or waits for it.
pub fn lock(namespace: &Namespace, key: &str, start: Position) -> Vec<u8> {
    Key::default().text(namespace.as_str()).text(key).number(start).0
}

/// The fields of a key of [`Table::Locks`].
pub fn parse_lock(key: &[u8]) -> Result<(Namespace, String, Position), Corrupt> {
    Parts::new(Table::Locks, key).whole(|parts| Ok((parts.namespace()?, parts.text()?, parts.number()?)))
}

/// The sagas that hold a lock key or wait for it, in order.
pub fn lock_queue(namespace: &Namespace, key: &str, limit: usize) -> Range {
    Range::under(Table::Locks, &Key::default().text(namespace.as_str()).text(key).0, limit)
}

/// The row of [`Table::Events`] for a kept event.
pub fn event(namespace: &Namespace, topic: &Topic, position: Position) -> Vec<u8> {
    Key::of_topic(namespace, topic).number(position).0
}

/// The fields of a key of [`Table::Events`].
pub fn parse_event(key: &[u8]) -> Result<(Namespace, Topic, Position), Corrupt> {
    Parts::new(Table::Events, key).whole(Parts::topic_and_number)
}

/// Events of a topic from a position on, oldest first.
pub fn events_of(namespace: &Namespace, topic: &Topic, from: Position, limit: usize) -> Range {
    let under = Range::under(Table::Events, &Key::of_topic(namespace, topic).0, limit);
    Range { from: event(namespace, topic, from), ..under }
}

/// The row of [`Table::Modules`] that holds a version.
pub fn module(namespace: &Namespace, module: &Name, version: u32) -> Vec<u8> {
    Key::default().text(namespace.as_str()).text(module.as_str()).small_number(version).0
}

/// The version that a key of [`Table::Modules`] names.
pub fn parse_module(key: &[u8]) -> Result<(Namespace, Name, u32), Corrupt> {
    Parts::new(Table::Modules, key).whole(|parts| {
        let namespace = parts.namespace()?;
        let module = Name::new(&parts.text()?).map_err(|error| error.to_string())?;
        Ok((namespace, module, parts.small_number()?))
    })
}

/// Versions of all modules of a namespace, by name and number.
pub fn modules(namespace: &Namespace, limit: usize) -> Range {
    Range::under(Table::Modules, &Key::default().text(namespace.as_str()).0, limit)
}

/// The row of [`Table::Schedules`] that holds a schedule.
pub fn schedule(namespace: &Namespace, name: &str) -> Vec<u8> {
    Key::default().byte(SCHEDULE).text(namespace.as_str()).rest(name)
}

/// The schedule that a key of [`Table::Schedules`] names.
pub fn parse_schedule(key: &[u8]) -> Result<(Namespace, String), Corrupt> {
    Parts::new(Table::Schedules, key).whole(|parts| {
        parts.expect(SCHEDULE)?;
        Ok((parts.namespace()?, parts.rest()?))
    })
}

/// Schedules of a namespace, by name.
pub fn schedules(namespace: &Namespace, limit: usize) -> Range {
    Range::under(Table::Schedules, &Key::default().byte(SCHEDULE).text(namespace.as_str()).0, limit)
}

/// The row of [`Table::Schedules`] for a schedule that waits for the end of a saga.
pub fn queued(namespace: &Namespace, saga: &str, name: &str) -> Vec<u8> {
    Key::default().byte(QUEUED).text(namespace.as_str()).text(saga).rest(name)
}

/// The saga and the schedule that a key of [`Table::Schedules`] names.
pub fn parse_queued(key: &[u8]) -> Result<(Namespace, String, String), Corrupt> {
    Parts::new(Table::Schedules, key).whole(|parts| {
        parts.expect(QUEUED)?;
        Ok((parts.namespace()?, parts.text()?, parts.rest()?))
    })
}

/// All schedules that wait for the end of a saga.
pub fn all_queued(limit: usize) -> Range {
    Range::under(Table::Schedules, &[QUEUED], limit)
}

/// The row of [`Table::Answers`] that holds the first answer to an idempotency key.
pub fn answer(namespace: &Namespace, key: &str) -> Vec<u8> {
    Key::default().text(namespace.as_str()).rest(key)
}

/// The namespace and the idempotency key that a key of [`Table::Answers`] names.
pub fn parse_answer(key: &[u8]) -> Result<(Namespace, String), Corrupt> {
    Parts::new(Table::Answers, key).whole(|parts| Ok((parts.namespace()?, parts.rest()?)))
}

/// The prefixes of the rows of [`Table::Schedules`]: schedules, and schedules whose next start waits for the end of a saga.
const SCHEDULE: u8 = 1;

const QUEUED: u8 = 2;

/// The row of [`Table::Jobs`] with the progress of a job.
pub fn job(namespace: &Namespace, start: Position) -> Vec<u8> {
    Key::default().text(namespace.as_str()).number(start).0
}

/// The job that a key of [`Table::Jobs`] names.
pub fn parse_job(key: &[u8]) -> Result<(Namespace, Position), Corrupt> {
    Parts::new(Table::Jobs, key).whole(|parts| Ok((parts.namespace()?, parts.number()?)))
}

/// The jobs of a namespace, oldest first.
pub fn jobs_of(namespace: &Namespace, limit: usize) -> Range {
    Range::under(Table::Jobs, &Key::default().text(namespace.as_str()).0, limit)
}

/// The row of [`Table::Broadcasts`] with the progress of a broadcast.
pub fn broadcast(start: Position) -> Vec<u8> {
    Key::default().number(start).0
}

/// The broadcast that a key of [`Table::Broadcasts`] names.
pub fn parse_broadcast(key: &[u8]) -> Result<Position, Corrupt> {
    Parts::new(Table::Broadcasts, key).whole(Parts::number)
}

/// The row of [`Table::Messages`] for what is recorded at a position.
pub fn message(position: Position) -> Vec<u8> {
    Key::default().number(position).0
}

/// The position that a key of [`Table::Messages`] names.
pub fn parse_message(key: &[u8]) -> Result<Position, Corrupt> {
    Parts::new(Table::Messages, key).whole(Parts::number)
}

/// The row of [`Table::States`] with the kept state of an aggregate.
pub fn state(namespace: &Namespace, aggregate: &str, id: &str) -> Vec<u8> {
    Key::default().text(namespace.as_str()).text(aggregate).rest(id)
}

/// The aggregate that a key of [`Table::States`] names.
pub fn parse_state(key: &[u8]) -> Result<(Namespace, String, String), Corrupt> {
    Parts::new(Table::States, key).whole(|parts| Ok((parts.namespace()?, parts.text()?, parts.rest()?)))
}

/// The row of [`Table::Claims`] for a key that an aggregate of this name may hold.
pub fn claim(namespace: &Namespace, aggregate: &str, key: &str) -> Vec<u8> {
    Key::default().text(namespace.as_str()).text(aggregate).rest(key)
}

/// The claim that a key of [`Table::Claims`] names.
pub fn parse_claim(key: &[u8]) -> Result<(Namespace, String, String), Corrupt> {
    Parts::new(Table::Claims, key).whole(|parts| Ok((parts.namespace()?, parts.text()?, parts.rest()?)))
}

/// The row of [`Table::EventNames`] for an event.
pub fn event_name(namespace: &Namespace, event_type: &str, position: Position) -> Vec<u8> {
    Key::default().text(namespace.as_str()).text(event_type).number(position).0
}

/// The fields of a key of [`Table::EventNames`].
pub fn parse_event_name(key: &[u8]) -> Result<(Namespace, String, Position), Corrupt> {
    Parts::new(Table::EventNames, key).whole(|parts| Ok((parts.namespace()?, parts.text()?, parts.number()?)))
}

/// The row of [`Table::Shapes`] for a form of an event's data.
pub fn shape(namespace: &Namespace, event_type: &str, version: u32) -> Vec<u8> {
    Key::default().text(namespace.as_str()).text(event_type).small_number(version).0
}

/// The fields of a key of [`Table::Shapes`].
pub fn parse_shape(key: &[u8]) -> Result<(Namespace, String, u32), Corrupt> {
    Parts::new(Table::Shapes, key).whole(|parts| Ok((parts.namespace()?, parts.text()?, parts.small_number()?)))
}

/// The forms of events of a namespace, by type.
pub fn shapes(namespace: &Namespace, limit: usize) -> Range {
    Range::under(Table::Shapes, &Key::default().text(namespace.as_str()).0, limit)
}

/// Aggregates of a name, by id.
pub fn aggregates(namespace: &Namespace, name: &str, limit: usize) -> Range {
    let all = StreamId { namespace: namespace.clone(), kind: StreamKind::Aggregate, id: format!("{name}/") };
    Range::under(Table::ById, &by_id(&all), limit)
}

/// Events of a type behind a position, in order.
pub fn events_named(namespace: &Namespace, event_type: &str, after: Position, limit: usize) -> Range {
    let under = Range::under(Table::EventNames, &Key::default().text(namespace.as_str()).text(event_type).0, limit);
    Range { from: event_name(namespace, event_type, after.saturating_add(1)), ..under }
}

/// The first event of the first type of a namespace that comes behind this one; with none, of the first type.
pub fn next_event_type(namespace: &Namespace, after: Option<&str>) -> Range {
    let all = Range::under(Table::EventNames, &Key::default().text(namespace.as_str()).0, 1);
    match after {
        Some(event_type) => {
            let of_it = Range::under(Table::EventNames, &Key::default().text(namespace.as_str()).text(event_type).0, 1);
            Range { from: of_it.to.unwrap_or(of_it.from), ..all }
        }
        None => all,
    }
}

/// The row of [`Table::Correlations`] for a record that something of this id caused.
pub fn correlation(namespace: &Namespace, id: &str, position: Position) -> Vec<u8> {
    Key::default().text(namespace.as_str()).text(id).number(position).0
}

/// The fields of a key of [`Table::Correlations`].
pub fn parse_correlation(key: &[u8]) -> Result<(Namespace, String, Position), Corrupt> {
    Parts::new(Table::Correlations, key).whole(|parts| Ok((parts.namespace()?, parts.text()?, parts.number()?)))
}

/// What something of this id caused behind a position, in order.
pub fn caused_by(namespace: &Namespace, id: &str, after: Position, limit: usize) -> Range {
    let under = Range::under(Table::Correlations, &Key::default().text(namespace.as_str()).text(id).0, limit);
    Range { from: correlation(namespace, id, after.saturating_add(1)), ..under }
}

/// The row of [`Table::Cursors`] that says how far a policy is; with a position, that what is there is handled before its turn.
pub fn cursor(namespace: &Namespace, policy: &str, ahead: Option<Position>) -> Vec<u8> {
    let of = Key::default().text(namespace.as_str()).text(policy);
    match ahead {
        Some(position) => of.number(position).0,
        None => of.0,
    }
}

/// The fields of a key of [`Table::Cursors`].
pub fn parse_cursor(key: &[u8]) -> Result<(Namespace, String, Option<Position>), Corrupt> {
    Parts::new(Table::Cursors, key).whole(|parts| {
        let (namespace, policy) = (parts.namespace()?, parts.text()?);
        Ok((namespace, policy, if parts.is_done() { None } else { Some(parts.number()?) }))
    })
}

/// The row of [`Table::Parked`] for a cause that waits.
pub fn parked(namespace: &Namespace, policy: &str, key: &str, position: Position) -> Vec<u8> {
    Key::default().text(namespace.as_str()).text(policy).text(key).number(position).0
}

/// The fields of a key of [`Table::Parked`].
pub fn parse_parked(key: &[u8]) -> Result<(Namespace, String, String, Position), Corrupt> {
    Parts::new(Table::Parked, key).whole(|parts| Ok((parts.namespace()?, parts.text()?, parts.text()?, parts.number()?)))
}

/// What waits with a key of a policy, behind a position, in order.
pub fn parked_with(namespace: &Namespace, policy: &str, key: &str, after: Position, limit: usize) -> Range {
    let under = Range::under(Table::Parked, &Key::default().text(namespace.as_str()).text(policy).text(key).0, limit);
    Range { from: parked(namespace, policy, key, after.saturating_add(1)), ..under }
}

/// All that waits of a policy, by key.
pub fn parked_of(namespace: &Namespace, policy: &str, limit: usize) -> Range {
    Range::under(Table::Parked, &Key::default().text(namespace.as_str()).text(policy).0, limit)
}

/// The row of [`Table::Arrivals`] for a cause that is no event.
pub fn arrival(namespace: &Namespace, policy: &str, position: Position) -> Vec<u8> {
    Key::default().text(namespace.as_str()).text(policy).number(position).0
}

/// The fields of a key of [`Table::Arrivals`].
pub fn parse_arrival(key: &[u8]) -> Result<(Namespace, String, Position), Corrupt> {
    Parts::new(Table::Arrivals, key).whole(|parts| Ok((parts.namespace()?, parts.text()?, parts.number()?)))
}

/// Causes of a policy that are no events, behind a position, in order.
pub fn arrivals_of(namespace: &Namespace, policy: &str, after: Position, limit: usize) -> Range {
    let under = Range::under(Table::Arrivals, &Key::default().text(namespace.as_str()).text(policy).0, limit);
    Range { from: arrival(namespace, policy, after.saturating_add(1)), ..under }
}

/// The row of [`Table::Instances`] for an instance of a policy.
pub fn instance(namespace: &Namespace, policy: &str, key: &str) -> Vec<u8> {
    Key::default().text(namespace.as_str()).text(policy).rest(key)
}

/// The instance that a key of [`Table::Instances`] names.
pub fn parse_instance(key: &[u8]) -> Result<(Namespace, String, String), Corrupt> {
    Parts::new(Table::Instances, key).whole(|parts| Ok((parts.namespace()?, parts.text()?, parts.rest()?)))
}

/// The instances of a policy, by key.
pub fn instances_of(namespace: &Namespace, policy: &str, limit: usize) -> Range {
    Range::under(Table::Instances, &Key::default().text(namespace.as_str()).text(policy).0, limit)
}

/// A key that is being written.
#[derive(Default)]
struct Key(Vec<u8>);

impl Key {
    fn of_topic(namespace: &Namespace, topic: &Topic) -> Self {
        Self::default().text(namespace.as_str()).text(&topic.event_type).text(&topic.key)
    }

    fn text(mut self, text: &str) -> Self {
        for byte in text.bytes() {
            self.0.push(byte);
            if byte == 0 {
                self.0.push(255);
            }
        }
        self.0.extend([0, 1]);
        self
    }

    fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    fn number(mut self, number: u64) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    fn small_number(mut self, number: u32) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    /// A text at the end of a key.
    fn rest(mut self, text: &str) -> Vec<u8> {
        self.0.extend(text.bytes());
        self.0
    }
}

/// A key that is being read.
struct Parts<'a> {
    table: Table,
    key: &'a [u8],
    left: &'a [u8],
}

impl<'a> Parts<'a> {
    fn new(table: Table, key: &'a [u8]) -> Self {
        Self { table, key, left: key }
    }

    /// Reads the whole key, or returns an error with the key and its table.
    fn whole<T>(mut self, read: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, Corrupt> {
        let parts = read(&mut self).and_then(|parts| match self.left {
            [] => Ok(parts),
            left => Err(format!("too long by {}", left.len())),
        });
        parts.map_err(|problem| Corrupt(format!("key {} of table {:?}: {problem}", hex::encode(self.key), self.table)))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (taken, left) = self.left.split_first_chunk::<N>().ok_or("too short")?;
        self.left = left;
        Ok(*taken)
    }

    fn is_done(&self) -> bool {
        self.left.is_empty()
    }

    fn byte(&mut self) -> Result<u8, String> {
        let [byte] = self.take()?;
        Ok(byte)
    }

    fn expect(&mut self, wanted: u8) -> Result<(), String> {
        match self.byte()? {
            byte if byte == wanted => Ok(()),
            byte => Err(format!("it begins with {byte}, not {wanted}")),
        }
    }

    fn number(&mut self) -> Result<u64, String> {
        Ok(u64::from_be_bytes(self.take()?))
    }

    fn small_number(&mut self) -> Result<u32, String> {
        Ok(u32::from_be_bytes(self.take()?))
    }

    fn text(&mut self) -> Result<String, String> {
        let mut text = Vec::new();
        loop {
            match self.byte()? {
                0 => match self.byte()? {
                    1 => break,
                    255 => text.push(0),
                    other => return Err(format!("0 is followed by {other}")),
                },
                byte => text.push(byte),
            }
        }
        String::from_utf8(text).map_err(|error| error.to_string())
    }

    fn rest(&mut self) -> Result<String, String> {
        let rest = std::mem::take(&mut self.left);
        String::from_utf8(rest.to_vec()).map_err(|error| error.to_string())
    }

    fn namespace(&mut self) -> Result<Namespace, String> {
        Namespace::new(&self.text()?).map_err(|error| error.to_string())
    }

    fn kind(&mut self) -> Result<StreamKind, String> {
        let byte = self.byte()?;
        StreamKind::of(byte).ok_or(format!("stream kind {byte} is unknown"))
    }

    fn topic_and_number(&mut self) -> Result<(Namespace, Topic, Position), String> {
        let namespace = self.namespace()?;
        let topic = Topic { event_type: self.text()?, key: self.text()? };
        Ok((namespace, topic, self.number()?))
    }
}

#[cfg(test)]
mod tests;
