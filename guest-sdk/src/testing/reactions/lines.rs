//! What a cause came to, as text.

use super::instances::Came;
use crate::bindings::imports::amends::module::types::{OutgoingCommand, Payload};
use crate::bindings::policies::exports::amends::module::policy as wit;
use crate::testing::trace::short;
use crate::{Moment, payload};

/// A line for each thing that is wanted, or one that says what else it came to.
pub(in crate::testing) fn lines(came: &Came, now: Moment) -> Vec<String> {
    match came {
        Came::Reacted(reaction) => wanted(reaction, now),
        Came::Failed(failure) => vec![format!("failed {}", failure.code)],
        Came::Waits => vec!["waits for an operator".to_owned()],
        Came::Early => vec!["kept for its instance".to_owned()],
        Came::Late => vec!["late".to_owned()],
        Came::DeadLetter(why) => vec![format!("dead letter: {why}")],
    }
}

fn wanted(reaction: &wit::Reaction, now: Moment) -> Vec<String> {
    let wit::Reaction { state, commands, events, starts, set, clear, ends } = reaction;
    let commands = commands.iter().map(|command| {
        let OutgoingCommand { aggregate, id, name, data, expect_revision } = command;
        let at = expect_revision.map(|revision| format!(" at revision {revision}")).unwrap_or_default();
        format!("send {aggregate}/{id} {name} {}{at}", shown(data))
    });
    let events = events.iter().map(|event| format!("publish {}/{} {}", event.event_type, event.key, shown(&event.data)));
    let starts = starts.iter().map(|start| {
        let id = start.id.as_ref().map(|id| format!(" as {id}")).unwrap_or_default();
        format!("start {}{id} {}", start.saga, shown(&start.input))
    });
    let set = set.iter().map(|timer| {
        let when = match Moment::from_millis(timer.at).since(now) {
            time if time.is_zero() => "at once".to_owned(),
            time => format!("in {}", short(time)),
        };
        let data = timer.data.as_ref().map(|data| format!(" {}", shown(data))).unwrap_or_default();
        format!("set {} {when}{data}", timer.name)
    });
    let clear = clear.iter().map(|name| format!("clear {name}"));
    let state = state.iter().map(|state| format!("state {}", shown(state)));
    let end = ends.then(|| "end".to_owned());
    let lines: Vec<String> = commands.chain(events).chain(starts).chain(set).chain(clear).chain(state).chain(end).collect();
    if lines.is_empty() { vec!["nothing".to_owned()] } else { lines }
}

pub(in crate::testing) fn shown(payload: &Payload) -> &str {
    payload::text(payload).unwrap_or("bytes")
}
