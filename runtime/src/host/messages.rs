//! What a step sends inside the host: checked when it is sent, and kept until the outcome of its attempt is known.

use std::sync::{Mutex, MutexGuard, PoisonError};

use amends_core::{
    aggregate::is_id,
    effects::Counts,
    event::{Published, Sent, Topic},
    id::{Direction, Name, StepKey},
    outcome::Message,
    trigger::is_event_type,
    value::Instant,
};

use super::{
    bindings::amends::module::{
        messages,
        types::{OutgoingCommand, OutgoingEvent},
    },
    convert::{Bounds, is_key},
    fault::{Fault, FaultCode},
    guest::Guest,
};
use crate::engine::guests::{GuestCall, Work};

/// Messages of one attempt: all of them are recorded with its outcome.
const MESSAGES_MAX: usize = 64;

/// And what they say together.
const BYTES_MAX: usize = 1 << 20;

/// What an attempt has sent so far.
#[derive(Debug)]
pub(super) struct Outbox {
    key: StepKey,
    /// How many its leg had sent before.
    before: Counts,
    staged: Mutex<Vec<Message>>,
}

impl Outbox {
    /// The outbox of a call that may send something.
    pub(super) fn of(call: &GuestCall) -> Option<Self> {
        let Work::Step(step) = &call.work else { return None };
        let may_send = step.attempt.leg.direction != Direction::Check;
        may_send.then(|| Self { key: step.key, before: step.sent, staged: Mutex::default() })
    }

    /// What was sent.
    pub(super) fn take(&self) -> Vec<Message> {
        std::mem::take(&mut *self.staged())
    }

    fn staged(&self) -> MutexGuard<'_, Vec<Message>> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, command: OutgoingCommand, payload_bytes_max: usize) -> Result<String, Fault> {
        let mut sent = sent(command, 0, self.bounds(payload_bytes_max))?;
        let mut staged = self.staged();
        let commands = staged.iter().filter(|message| matches!(message, Message::Command(_))).count();
        sent.number = self.before.commands.saturating_add(u32::try_from(commands).unwrap_or(u32::MAX));
        let id = command_id(self.key, sent.number);
        stage(&mut staged, Message::Command(sent))?;
        Ok(id)
    }

    fn publish(&self, event: OutgoingEvent, payload_bytes_max: usize) -> Result<(), Fault> {
        let mut published = published(event, 0, self.bounds(payload_bytes_max))?;
        let mut staged = self.staged();
        let events = staged.iter().filter(|message| matches!(message, Message::Event(_))).count();
        published.number = self.before.events.saturating_add(u32::try_from(events).unwrap_or(u32::MAX));
        stage(&mut staged, Message::Event(published))
    }

    fn bounds(&self, payload_bytes_max: usize) -> Bounds {
        Bounds { payload_bytes_max, now: Instant(0), key: self.key }
    }
}

/// A command that a guest sends, if it may be one.
pub(super) fn sent(command: OutgoingCommand, number: u32, bounds: Bounds) -> Result<Sent, Fault> {
    let OutgoingCommand { aggregate, id, name, data, expect_revision } = command;
    for (what, text) in [("aggregate", &aggregate), ("command", &name)] {
        Name::new(text).map_err(|bad| bad_message(format!("it sends a command whose {what} is no name: {bad}")))?;
    }
    if !is_id(&id) {
        return Err(bad_message(format!("it sends a command to a {aggregate} whose id is none that an aggregate may have")));
    }
    let data = bounds.payload(data, "data of a command")?;
    Ok(Sent { number, aggregate, to: id, name, data, expect_revision })
}

/// An event that a guest publishes, if it may be one.
pub(super) fn published(event: OutgoingEvent, number: u32, bounds: Bounds) -> Result<Published, Fault> {
    let OutgoingEvent { event_type, key, data } = event;
    if !is_event_type(&event_type) || !is_key(&key) {
        return Err(bad_message("it publishes an event whose type or key is none that an event may have".to_owned()));
    }
    let data = bounds.payload(data, "data of an event")?;
    Ok(Published { number, topic: Topic { event_type, key }, data })
}

/// The id of a leg's command of this number.
pub(super) fn command_id(key: StepKey, number: u32) -> String {
    format!("{key}.{number}")
}

/// The number of a command of this leg.
pub(super) fn command_number(key: StepKey, id: &str) -> Option<u32> {
    id.strip_prefix(&key.to_string())?.strip_prefix('.')?.parse().ok().filter(|number| command_id(key, *number) == id)
}

fn stage(staged: &mut Vec<Message>, message: Message) -> Result<(), Fault> {
    let bytes = |message: &Message| match message {
        Message::Command(sent) => sent.data.bytes.len(),
        Message::Event(published) => published.data.bytes.len(),
    };
    if staged.len() >= MESSAGES_MAX {
        return Err(bad_message(format!("it sends more than {MESSAGES_MAX} messages in one attempt")));
    }
    if staged.iter().map(bytes).sum::<usize>() + bytes(&message) > BYTES_MAX {
        return Err(bad_message(format!("the data of its messages have more than {BYTES_MAX} bytes together")));
    }
    staged.push(message);
    Ok(())
}

fn bad_message(why: String) -> Fault {
    Fault::new(FaultCode::Trap, why)
}

impl messages::Host for Guest {
    fn send(&mut self, command: OutgoingCommand) -> wasmtime::Result<String> {
        Ok(outbox(self)?.send(command, self.payload_bytes_max())?)
    }

    fn publish(&mut self, event: OutgoingEvent) -> wasmtime::Result<()> {
        Ok(outbox(self)?.publish(event, self.payload_bytes_max())?)
    }
}

fn outbox(guest: &Guest) -> Result<&Outbox, Fault> {
    guest
        .outbox()
        .ok_or_else(|| bad_message("it sends a message, which only `execute` and `compensate` of a saga may".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_command_says_its_number_to_its_leg_and_nothing_to_others() {
        let (key, other) = (StepKey([7; 16]), StepKey([8; 16]));
        let id = command_id(key, 12);
        assert_eq!((id.as_str(), command_number(key, &id)), ("07070707070707070707070707070707.12", Some(12)));
        assert_eq!(command_number(other, &id), None);
        for odd in [
            "",
            "12",
            &format!("{key}"),
            &format!("{key}."),
            &format!("{key}.012"),
            &format!("{key}.+1"),
            &format!("{key}.4294967296"),
        ] {
            assert_eq!(command_number(key, odd), None, "{odd}");
        }
    }
}
