//! What an operator may do about a stuck leg: why it is stuck in words, and the commands that fit.

use amends_core::{
    event::Why,
    id::{Direction, Namespace, SagaId},
    value::Failure,
    view::{StuckView, View},
};
use amends_wire::saga;

use super::{
    denial,
    value::{direction, stuck_code, time},
};

/// A stuck leg with its remedies.
pub fn stuck(namespace: &Namespace, id: &SagaId, view: &View, stuck: &StuckView) -> saga::Stuck {
    saga::Stuck {
        step: stuck.leg.path.as_str().to_owned(),
        direction: direction(stuck.leg.direction),
        since: time(stuck.since),
        code: stuck_code(&stuck.why),
        why: why(&stuck.why),
        denial: denial(&stuck.why),
        help: commands(namespace, id, view, stuck),
    }
}

/// The refused call, where a leg is stuck for one.
pub(super) fn denial(why: &Why) -> Option<amends_wire::denial::Denial> {
    match why {
        Why::Denied(denial) => Some(denial::denial(denial)),
        Why::Exhausted(_) | Why::Refused(_) | Why::Unknown(_) | Why::PivotInDoubt(_) | Why::HostDied | Why::JournalFull => None,
    }
}

/// Why a leg is stuck, as a sentence.
pub fn why(why: &Why) -> String {
    match why {
        Why::Exhausted(failure) => format!("all attempts are used up; the last: {}", brief(failure)),
        Why::Refused(failure) => format!("refused where there is no way back: {}", brief(failure)),
        Why::Unknown(failure) => format!("it may have happened, and is run once only: {}", brief(failure)),
        Why::PivotInDoubt(failure) => format!("the pivot may have happened and has no compensation: {}", brief(failure)),
        Why::Denied(denial) => format!("denied: {}", denial::sentence(denial)),
        Why::HostDied => "it was running each time the host died".to_owned(),
        Why::JournalFull => "the saga's journal is as large as it may be".to_owned(),
    }
}

/// A failure on one line.
pub fn brief(failure: &Failure) -> String {
    match (failure.code.as_str(), failure.message.as_str()) {
        (code, "") => code.to_owned(),
        ("", message) => message.to_owned(),
        (code, message) => format!("{code}: {message}"),
    }
}

/// The commands that help one saga.
pub(super) fn commands(namespace: &Namespace, id: &SagaId, view: &View, stuck: &StuckView) -> Vec<String> {
    let step = &stuck.leg.path;
    let retry = format!("amends retry {id}");
    let happened = [format!("amends resolve {id} {step} --output JSON"), format!("amends resolve {id} {step} --not-done")];
    // A grant lets it go on by itself; what no grant opens is denied again however often it is tried.
    let denied = match &stuck.why {
        Why::Denied(denial) => match denial::command(denial, namespace, &view.module) {
            Some(grant) => return vec![grant],
            None => true,
        },
        _ => false,
    };
    let retry = (!denied).then_some(retry);
    match (&stuck.why, stuck.leg.direction) {
        (Why::JournalFull, _) => vec![format!("amends abandon {id}")],
        (_, Direction::Undo(_)) => {
            let by_hand = [format!("amends resolve {id} {step} --undone"), format!("amends skip {id} {step}")];
            // What is broken is mended in the next version, and the saga goes over to it.
            let mended = (!denied).then(|| format!("amends move {id} --to VERSION"));
            retry.into_iter().chain(mended).chain(by_hand).collect()
        }
        (Why::PivotInDoubt(_), Direction::Forward | Direction::Check) => happened.into(),
        (_, Direction::Forward | Direction::Check) => {
            let cancel = (!view.past_point_of_no_return).then(|| format!("amends cancel {id}"));
            retry.into_iter().chain(happened).chain(cancel).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use amends_core::{
        denial::{Denial, DenialReason},
        value::Instant,
    };

    use super::*;
    use crate::api::samples::{self, leg};

    fn helped(why: Why, direction: Direction) -> String {
        let view = samples::completed();
        let stuck = super::stuck(
            &Namespace::new("default").unwrap(),
            &SagaId::new("T1").unwrap(),
            &view,
            &StuckView { leg: leg("reserve-hotel").turned(direction), since: Instant(0), why },
        );
        format!("{}\n  {}\n", stuck.why, stuck.help.join("\n  "))
    }

    #[test]
    fn a_denial_is_helped_by_its_grant_alone_and_says_the_command_once() {
        // It named the command in its reason too, and offered a retry, which a grant makes needless.
        let denied = Denial::new("https://hotel.example", DenialReason::NotGranted);
        assert_eq!(
            helped(Why::Denied(denied), Direction::Forward),
            "denied: https://hotel.example\n  amends grant trip --http https://hotel.example\n"
        );
    }

    #[test]
    fn a_denial_that_no_grant_lifts_offers_no_retry() {
        let denied = || Why::Denied(Denial::new("https://hotel.example", DenialReason::EffectFree));
        let forward = helped(denied(), Direction::Forward);
        assert!(forward.contains("amends resolve T1 reserve-hotel --not-done") && !forward.contains("retry"), "{forward}");
        let undo = helped(denied(), Direction::Undo(0));
        assert!(undo.contains("amends skip T1 reserve-hotel") && !undo.contains("retry"), "{undo}");
    }
}
