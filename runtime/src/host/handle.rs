//! Between the guest contract's types and the engine's, of policies: a cause going in, wishes coming out.
//!
//! What comes out is hostile: it is counted, and its sizes and texts are checked. Whether the definition declares it the engine says.

use std::ops::RangeFrom;

use amends_core::{
    aggregate::{TEXT_BYTES_MAX, is_text},
    id::SagaId,
    plain::shown,
    policy::{SagaStart, TIMERS_MAX, Timer},
    value::Instant,
};

use super::{
    bindings::policies::exports::amends::module::policy as wit,
    convert::{Bounds, answer_in, payload_in},
    fault::Fault,
    messages::{published, sent},
    project::event_in,
};
use crate::engine::guests::{HandleCall, ToldCause, Wishes};

/// Commands, events and starts of one reaction: all of them are recorded in one commit.
const WISHES_MAX: usize = 1_024;

/// And what they say together.
const BYTES_MAX: usize = 4 << 20;

/// What `handle` is told.
pub(super) fn call(call: &HandleCall, payload_bytes_max: usize) -> Result<wit::Call, Fault> {
    let cause = match &call.cause {
        ToldCause::Event(event) => wit::Cause::Event(event_in(event, payload_bytes_max)?),
        ToldCause::Timer(timer) => wit::Cause::Timer(timer_in(timer, payload_bytes_max)?),
        ToldCause::Answer { command, name, correlation, answered } => wit::Cause::Answer(wit::AnswerTo {
            command: command.clone(),
            aggregate: answered.aggregate.clone(),
            id: answered.from.clone(),
            name: name.clone(),
            answer: answer_in(answered, correlation, payload_bytes_max)?,
        }),
    };
    let state = call.state.as_ref().map(|state| {
        let data = payload_in(&state.data, payload_bytes_max)?;
        Ok::<_, Fault>(wit::State { version: state.version, data })
    });
    Ok(wit::Call {
        policy: call.policy.clone(),
        key: call.key.clone(),
        cause,
        state: state.transpose()?,
        is_replay: call.is_replay,
        attempt: call.attempt,
    })
}

fn timer_in(timer: &Timer, payload_bytes_max: usize) -> Result<wit::Timer, Fault> {
    let data = timer.data.as_ref().map(|data| payload_in(data, payload_bytes_max)).transpose()?;
    Ok(wit::Timer { name: timer.name.clone(), at: timer.at.0, data })
}

/// What a policy wants.
pub(super) fn wishes(reaction: wit::Reaction, bounds: Bounds) -> Result<Wishes, Fault> {
    let wit::Reaction { state, commands, events, starts, set, clear, ends } = reaction;
    let count = commands.len() + events.len() + starts.len();
    if count > WISHES_MAX {
        return Err(Fault::bad_output(format!(
            "it wants {count} commands, events and starts for one cause, and may have {WISHES_MAX}"
        )));
    }
    if set.len() > TIMERS_MAX || clear.len() > TIMERS_MAX {
        let (set, clear) = (set.len(), clear.len());
        return Err(Fault::bad_output(format!("it sets {set} timers and clears {clear}; an instance has at most {TIMERS_MAX}")));
    }
    // What a reaction sends is counted together: each has an id of its own.
    let mut number = 0..;
    let wishes = Wishes {
        state: state.map(|state| bounds.payload(state, "state")).transpose()?,
        commands: numbered(&mut number, commands)
            .map(|(number, command)| sent(command, number, bounds))
            .collect::<Result<_, Fault>>()?,
        events: numbered(&mut number, events)
            .map(|(number, event)| published(event, number, bounds))
            .collect::<Result<_, Fault>>()?,
        starts: numbered(&mut number, starts)
            .map(|(number, start)| start_of(start, number, bounds))
            .collect::<Result<_, Fault>>()?,
        set: set.into_iter().map(|timer| timer_of(timer, bounds)).collect::<Result<_, Fault>>()?,
        cleared: clear.into_iter().map(|name| named(name, "a timer that it clears")).collect::<Result<_, Fault>>()?,
        ends,
    };
    let bytes = weigh(&wishes);
    if bytes > BYTES_MAX {
        return Err(Fault::bad_output(format!(
            "its state, commands, events, starts and timers have {bytes} bytes together, and may have {BYTES_MAX}"
        )));
    }
    Ok(wishes)
}

/// `wishes` first: a number is taken only for one that is there.
fn numbered<T>(number: &mut RangeFrom<u32>, wishes: Vec<T>) -> impl Iterator<Item = (u32, T)> {
    wishes.into_iter().zip(number).map(|(wish, number)| (number, wish))
}

fn weigh(wishes: &Wishes) -> usize {
    let commands = wishes.commands.iter().map(|sent| sent.data.bytes.len());
    let events = wishes.events.iter().map(|published| published.data.bytes.len());
    let starts = wishes.starts.iter().map(|start| start.input.bytes.len());
    let state = wishes.state.iter().map(|state| state.bytes.len());
    let timers = wishes.set.iter().filter_map(|timer| Some(timer.data.as_ref()?.bytes.len()));
    commands.chain(events).chain(starts).chain(state).chain(timers).sum()
}

fn start_of(start: wit::SagaStart, number: u32, bounds: Bounds) -> Result<SagaStart, Fault> {
    let wit::SagaStart { saga, id, input } = start;
    let input = bounds.payload(input, "input of a saga")?;
    if let Some(bad) = id.as_deref().and_then(|id| SagaId::new(id).err()) {
        return Err(Fault::bad_output(format!("it starts a saga `{}` under a {bad}", shown(&saga).escape_debug())));
    }
    Ok(SagaStart { number, saga, id, input })
}

fn timer_of(timer: wit::Timer, bounds: Bounds) -> Result<Timer, Fault> {
    let wit::Timer { name, at, data } = timer;
    let data = data.map(|data| bounds.payload(data, "data of a timer")).transpose()?;
    // Whose chain it is part of, the engine knows.
    Ok(Timer { name: named(name, "a timer that it sets")?, at: Instant(at), data, root: String::new(), depth: 0 })
}

fn named(name: String, what: &str) -> Result<String, Fault> {
    match is_text(&name) {
        true => Ok(name),
        false => {
            let shown = shown(&name).escape_debug();
            Err(Fault::bad_output(format!("the name `{shown}` of {what} has not 1 to {TEXT_BYTES_MAX} printable bytes")))
        }
    }
}

#[cfg(test)]
mod tests {
    use amends_core::{
        id::StepKey,
        value::{Instant, Payload},
    };
    use expect_test::expect;

    use super::*;
    use crate::host::bindings::amends::module::types::{OutgoingCommand, OutgoingEvent, Payload as WitPayload};

    const BOUNDS: Bounds = Bounds { payload_bytes_max: 1 << 20, now: Instant(0), key: StepKey([0; 16]) };

    fn json(text: &str) -> WitPayload {
        WitPayload::Json(text.to_owned())
    }

    fn nothing() -> wit::Reaction {
        wit::Reaction {
            state: None,
            commands: Vec::new(),
            events: Vec::new(),
            starts: Vec::new(),
            set: Vec::new(),
            clear: Vec::new(),
            ends: false,
        }
    }

    fn open(id: &str) -> OutgoingCommand {
        OutgoingCommand {
            aggregate: "customer".into(),
            id: id.into(),
            name: "open".into(),
            data: json("{}"),
            expect_revision: None,
        }
    }

    fn timer(name: &str) -> wit::Timer {
        wit::Timer { name: name.into(), at: 60, data: None }
    }

    #[test]
    fn what_a_policy_wants_comes_out_with_numbers_in_its_order() {
        let wanted = wishes(wit::Reaction { commands: vec![open("C1"), open("C2")], ..nothing() }, BOUNDS).unwrap();
        let numbers: Vec<_> = wanted.commands.iter().map(|sent| (sent.number, sent.to.as_str())).collect();
        assert_eq!(numbers, [(0, "C1"), (1, "C2")]);
        assert_eq!(wanted.commands[0].data, Payload::json("{}"));
    }

    #[test]
    fn garbage_is_a_fault_that_names_it() {
        let event = |event_type: &str| OutgoingEvent { event_type: event_type.into(), key: "k".into(), data: json("{}") };
        let start = |id: &str| wit::SagaStart { saga: "trip".into(), id: Some(id.into()), input: json("{}") };
        let large = json(&format!("\"{}\"", "x".repeat(1 << 19)));
        let told = [
            wit::Reaction { commands: vec![open("C1"); 100_000], ..nothing() },
            wit::Reaction { commands: vec![open("a/b")], ..nothing() },
            wit::Reaction { commands: vec![OutgoingCommand { data: large.clone(), ..open("C1") }; 9], ..nothing() },
            wit::Reaction { events: vec![event("")], ..nothing() },
            wit::Reaction { starts: vec![start("a b")], ..nothing() },
            wit::Reaction { set: vec![timer("t"); 100_001], ..nothing() },
            wit::Reaction { set: vec![timer("")], ..nothing() },
            wit::Reaction { clear: vec!["\u{1b}".into()], ..nothing() },
            wit::Reaction { state: Some(json("{")), ..nothing() },
        ];
        let lines = told.map(|told| {
            let told = wishes(told, BOUNDS);
            told.map_or_else(|fault| format!("{}: {}", fault.code.as_str(), fault.message), |_| "fine".into())
        });
        expect![[r#"
            bad_output: it wants 100000 commands, events and starts for one cause, and may have 1024
            trap: it sends a command to a customer whose id is none that an aggregate may have
            bad_output: its state, commands, events, starts and timers have 4718610 bytes together, and may have 4194304
            trap: it publishes an event whose type or key is none that an event may have
            bad_output: it starts a saga `trip` under a bad saga id: use 1 to 128 of letters, digits, . _ : and -, beginning with a letter or digit
            bad_output: it sets 100001 timers and clears 0; an instance has at most 64
            bad_output: the name `` of a timer that it sets has not 1 to 255 printable bytes
            bad_output: the name `\u{1b}` of a timer that it clears has not 1 to 255 printable bytes
            bad_output: the state says it is JSON and is not: EOF while parsing an object at line 1 column 1"#]].assert_eq(&lines.join("\n"));
    }
}
