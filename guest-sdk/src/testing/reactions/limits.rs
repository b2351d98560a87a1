//! Where the host ends the call of a policy, because it wants what it may not, or too much.

use crate::bindings::imports::amends::module::types::Payload;
use crate::bindings::policies::exports::amends::module::policy as wit;
use crate::payload;
use crate::testing::plain::{is_event_key, is_event_type, is_id, is_printable};
use crate::testing::rules;

/// Commands, events and starts of one reaction, and what they say together with its state and timers.
const WISHES_MAX: usize = 1024;
const BYTES_MAX: usize = 4 << 20;

/// Timers of an instance, and what they say together.
const TIMERS_MAX: usize = 64;
const TIMERS_BYTES_MAX: usize = 64 << 10;

#[track_caller]
pub(super) fn check(definition: &wit::Definition, reaction: &wit::Reaction) {
    let policy = &definition.name;
    let wit::Reaction { state, commands, events, starts, set, clear, .. } = reaction;
    for command in commands {
        let (aggregate, id, name) = (&command.aggregate, &command.id, &command.name);
        let sent = format!("{aggregate}.{name}");
        assert!(
            definition.sends.contains(&sent),
            "the policy {policy} sends {sent}, and does not declare it; add .sends(\"{sent}\")"
        );
        assert!(is_id(id), "the policy {policy} sends {name} to a {aggregate} of the id {id:?}, which no aggregate can have");
    }
    for event in events {
        let (event_type, key) = (&event.event_type, &event.key);
        assert!(
            definition.publishes.contains(event_type),
            "the policy {policy} publishes {event_type}, and does not declare it; add .publishes(\"{event_type}\")"
        );
        assert!(
            is_event_type(event_type),
            "the policy {policy} publishes an event of the type {event_type:?}, which none can have"
        );
        assert!(is_event_key(key), "the policy {policy} publishes {event_type} with the key {key:?}, which no event can have");
    }
    for start in starts {
        let saga = &start.saga;
        assert!(
            definition.starts.contains(saga),
            "the policy {policy} starts the saga {saga}, and does not declare it; add .starts(\"{saga}\")"
        );
        rules::name(saga).unwrap_or_else(|bad| panic!("the policy {policy} starts a saga; {bad}"));
    }
    for name in set.iter().map(|timer| &timer.name).chain(clear) {
        let fits = (1..=255).contains(&name.len()) && is_printable(name);
        assert!(fits, "the policy {policy} names a timer {name:?}; a name has 1 to 255 printable bytes");
    }
    let count = commands.len() + events.len() + starts.len();
    assert!(
        count <= WISHES_MAX,
        "the policy {policy} wants {count} commands, events and starts for one cause; at most {WISHES_MAX}"
    );
    let data = commands.iter().map(|command| &command.data).chain(events.iter().map(|event| &event.data));
    let data = data.chain(starts.iter().map(|start| &start.input)).chain(state).chain(data_of(set));
    let bytes: usize = data.map(|data| payload::bytes(data).len()).sum();
    assert!(
        bytes <= BYTES_MAX,
        "the state, commands, events, starts and timers of {policy} have {bytes} bytes together; at most {BYTES_MAX}"
    );
}

#[track_caller]
pub(super) fn check_timers(definition: &wit::Definition, key: &str, timers: &[wit::Timer]) {
    let (policy, count) = (&definition.name, timers.len());
    assert!(count <= TIMERS_MAX, "the instance {key} of the policy {policy} has {count} timers; at most {TIMERS_MAX}");
    let bytes: usize = data_of(timers).map(|data| payload::bytes(data).len()).sum();
    assert!(
        bytes <= TIMERS_BYTES_MAX,
        "the timers of the instance {key} of the policy {policy} have {bytes} bytes of data; at most {TIMERS_BYTES_MAX}"
    );
}

fn data_of(timers: &[wit::Timer]) -> impl Iterator<Item = &Payload> {
    timers.iter().filter_map(|timer| timer.data.as_ref())
}
