//! Between the guest contract's types and the engine's, of aggregates: a fold and commands going in, decisions coming out.
//!
//! What comes out is hostile: it is counted, and its sizes and texts are checked. Whether an event was declared the engine says.

use amends_core::{
    aggregate::{Claim, EVENT_BYTES_MAX, TAGS_MAX, TEXT_BYTES_MAX, is_text},
    plain::shown,
};

use super::{
    bindings::aggregates::exports::amends::module::aggregate as wit,
    convert::{Bounds, payload_in},
    fault::Fault,
};
use crate::engine::guests::{DecideCall, Decided, Decision, FoldCall, NewEvent, PastEvent, ToldCommand};

/// The most events of one decision.
const EVENTS_MAX: usize = 1_000;

/// The most claims of one decision.
const CLAIMS_MAX: usize = 64;

/// What `decide` is told.
pub(super) fn call(call: &DecideCall, payload_bytes_max: usize) -> Result<wit::Call, Fault> {
    let command = |command: &ToldCommand| {
        let data = payload_in(&command.data, payload_bytes_max)?;
        Ok(wit::Command { id: command.id.clone(), name: command.name.clone(), data, actor: command.actor.clone() })
    };
    Ok(wit::Call {
        fold: fold(&call.fold, payload_bytes_max)?,
        commands: call.commands.iter().map(command).collect::<Result<_, Fault>>()?,
    })
}

/// What `evolve` is told.
pub(super) fn fold(fold: &FoldCall, payload_bytes_max: usize) -> Result<wit::Fold, Fault> {
    let event = |event: &PastEvent| {
        Ok(wit::Event {
            event_type: event.event_type.clone(),
            version: event.version,
            revision: event.revision,
            at: event.at.0,
            data: event.data.as_ref().map(|data| payload_in(data, payload_bytes_max)).transpose()?,
        })
    };
    Ok(wit::Fold {
        aggregate: fold.aggregate.clone(),
        id: fold.id.clone(),
        base: fold.base.as_ref().map(|base| payload_in(base, payload_bytes_max)).transpose()?,
        events: fold.events.iter().map(event).collect::<Result<_, Fault>>()?,
    })
}

/// What was decided about so many commands.
pub(super) fn decided(decided: wit::Decided, count: usize, bounds: Bounds) -> Result<Decided, Fault> {
    let found = decided.decisions.len();
    if found != count {
        return Err(Fault::bad_output(format!("{found} decisions came for {count} commands")));
    }
    let decisions = decided.decisions.into_iter().map(|decision| decision_of(decision, bounds)).collect::<Result<_, Fault>>()?;
    Ok(Decided { decisions, state: bounds.payload(decided.state, "state")? })
}

fn decision_of(decision: wit::Decision, bounds: Bounds) -> Result<Decision, Fault> {
    match decision {
        wit::Decision::Refused(failure) => Ok(Decision::Refused(bounds.failure(failure, "refused"))),
        wit::Decision::Accepted(accepted) => {
            let (events, claims) = (accepted.events.len(), accepted.claims.len());
            if events > EVENTS_MAX {
                return Err(Fault::bad_output(format!("a decision has {events} events and may have {EVENTS_MAX}")));
            }
            if claims > CLAIMS_MAX {
                return Err(Fault::bad_output(format!("a decision has {claims} claims and may have {CLAIMS_MAX}")));
            }
            Ok(Decision::Accepted {
                events: accepted.events.into_iter().map(|event| event_of(event, bounds)).collect::<Result<_, Fault>>()?,
                claims: accepted.claims.into_iter().map(claim_of).collect::<Result<_, Fault>>()?,
                answer: accepted.answer.map(|answer| bounds.payload(answer, "answer")).transpose()?,
            })
        }
    }
}

fn event_of(event: wit::NewEvent, bounds: Bounds) -> Result<NewEvent, Fault> {
    let wit::NewEvent { event_type, version, data, tags } = event;
    if tags.len() > TAGS_MAX {
        return Err(Fault::bad_output(format!("an event has {} tags and may have {TAGS_MAX}", tags.len())));
    }
    if let Some(tag) = tags.iter().find(|tag| !is_text(tag)) {
        return Err(bad_text("tag", tag));
    }
    let name = shown(&event_type).escape_debug();
    let data = bounds.payload(data, &format!("data of the event `{name}`"))?;
    if data.bytes.len() > EVENT_BYTES_MAX {
        let bytes = data.bytes.len();
        return Err(Fault::bad_output(format!(
            "the data of the event `{name}` has {bytes} bytes and may have {EVENT_BYTES_MAX}"
        )));
    }
    Ok(NewEvent { event_type, version, data, tags })
}

fn claim_of(claim: wit::Claim) -> Result<Claim, Fault> {
    match is_text(&claim.key) {
        true => Ok(Claim { key: claim.key, held: claim.held }),
        false => Err(bad_text("claim", &claim.key)),
    }
}

fn bad_text(what: &str, text: &str) -> Fault {
    Fault::bad_output(format!("the {what} `{}` has not 1 to {TEXT_BYTES_MAX} printable bytes", shown(text).escape_debug()))
}

#[cfg(test)]
mod tests {
    use amends_core::{
        id::StepKey,
        value::{Instant, Payload},
    };
    use expect_test::expect;

    use super::*;
    use crate::host::bindings::amends::module::types::Payload as WitPayload;

    const BOUNDS: Bounds = Bounds { payload_bytes_max: 1 << 20, now: Instant(0), key: StepKey([0; 16]) };

    fn json(text: &str) -> WitPayload {
        WitPayload::Json(text.to_owned())
    }

    fn opened() -> wit::NewEvent {
        wit::NewEvent { event_type: "customer.opened".into(), version: 1, data: json("{}"), tags: vec!["vip".into()] }
    }

    fn accepted(events: Vec<wit::NewEvent>, claims: &[&str]) -> wit::Decision {
        let claims = claims.iter().map(|key| wit::Claim { key: (*key).into(), held: true }).collect();
        wit::Decision::Accepted(wit::Accepted { events, claims, answer: None })
    }

    fn said(decisions: Vec<wit::Decision>, state: &str) -> Result<Decided, Fault> {
        decided(wit::Decided { decisions, state: json(state) }, 1, BOUNDS)
    }

    #[test]
    fn what_a_module_decided_comes_out_as_it_is() {
        let event =
            NewEvent { event_type: "customer.opened".into(), version: 1, data: Payload::json("{}"), tags: vec!["vip".into()] };
        let claims = vec![Claim { key: "mail:a".into(), held: true }];
        let decisions = vec![Decision::Accepted { events: vec![event], claims, answer: None }];
        assert_eq!(
            said(vec![accepted(vec![opened()], &["mail:a"])], "{}"),
            Ok(Decided { decisions, state: Payload::json("{}") })
        );
    }

    #[test]
    fn garbage_is_a_fault_that_names_it() {
        let of = |event: wit::NewEvent| vec![accepted(vec![event], &[])];
        let told = [
            said(Vec::new(), "{}"),
            said(vec![accepted(vec![opened(); 1_001], &[])], "{}"),
            said(of(wit::NewEvent { data: json("{"), ..opened() }), "{}"),
            said(of(wit::NewEvent { data: json(&format!("\"{}\"", "x".repeat(256 << 10))), ..opened() }), "{}"),
            said(of(wit::NewEvent { tags: vec!["a".into(); 9], ..opened() }), "{}"),
            said(of(wit::NewEvent { tags: vec!["a\u{1b}".into()], ..opened() }), "{}"),
            said(vec![accepted(Vec::new(), &[""])], "{}"),
            said(vec![accepted(Vec::new(), &["a"; 65])], "{}"),
            said(vec![accepted(Vec::new(), &[])], "nothing"),
            said(vec![accepted(Vec::new(), &[])], &format!("\"{}\"", "x".repeat(1 << 20))),
        ];
        let lines =
            told.map(|told| told.map_or_else(|fault| format!("{}: {}", fault.code.as_str(), fault.message), |_| "fine".into()));
        expect![[r#"
            bad_output: 0 decisions came for 1 commands
            bad_output: a decision has 1001 events and may have 1000
            bad_output: the data of the event `customer.opened` says it is JSON and is not: EOF while parsing an object at line 1 column 1
            bad_output: the data of the event `customer.opened` has 262146 bytes and may have 262144
            bad_output: an event has 9 tags and may have 8
            bad_output: the tag `a\u{1b}` has not 1 to 255 printable bytes
            bad_output: the claim `` has not 1 to 255 printable bytes
            bad_output: a decision has 65 claims and may have 64
            bad_output: the state says it is JSON and is not: expected ident at line 1 column 2
            bad_output: the state has 1048578 bytes and may have 1048576 (`payload` in [limits])"#]].assert_eq(&lines.join("\n"));
    }
}
