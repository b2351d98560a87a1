//! What an operator may do about a stuck leg: why it is stuck in words, and the commands that fit.

use amends_core::{
    event::Why,
    id::{Direction, Namespace, SagaId},
    value::Failure,
    verbs::Offer,
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
        help: commands(namespace, id, &view.module, stuck),
    }
}

/// The refused call, where a leg is stuck for one.
pub fn denial(why: &Why) -> Option<amends_wire::denial::Denial> {
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
pub fn commands(namespace: &Namespace, id: &SagaId, module: &str, stuck: &StuckView) -> Vec<String> {
    if let Some(grant) = granting(namespace, module, stuck) {
        return vec![grant];
    }
    let step = &stuck.leg.path;
    let command = |offer| match offer {
        Offer::Retry => format!("amends retry {id}"),
        Offer::Move => format!("amends move {id} --to VERSION"),
        Offer::Output => format!("amends resolve {id} {step} --output JSON"),
        Offer::NotDone => format!("amends resolve {id} {step} --not-done"),
        Offer::Undone => format!("amends resolve {id} {step} --undone"),
        Offer::Skip => format!("amends skip {id} {step}"),
        Offer::Cancel => format!("amends cancel {id}"),
        Offer::Abandon => format!("amends abandon {id}"),
    };
    helpful(stuck).map(command).collect()
}

/// The command that permits the denied call of a leg: with the grant the leg goes on by itself, and nothing else is needed.
pub fn granting(namespace: &Namespace, module: &str, stuck: &StuckView) -> Option<String> {
    match &stuck.why {
        Why::Denied(denied) => denial::command(denied, namespace, module),
        Why::Exhausted(_) | Why::Refused(_) | Why::Unknown(_) | Why::PivotInDoubt(_) | Why::HostDied | Why::JournalFull => None,
    }
}

/// What helps against the reason that a leg is stuck for, as far as the saga takes it now; the most likely first.
pub fn helpful(stuck: &StuckView) -> impl Iterator<Item = Offer> {
    use Offer::{Abandon, Cancel, Move, NotDone, Output, Retry, Skip, Undone};
    let forward = matches!(stuck.leg.direction, Direction::Forward | Direction::Check);
    let helpful: &[Offer] = match (&stuck.why, forward) {
        (Why::JournalFull, _) => &[Abandon],
        // What a module does wrong, the next version of it may do right.
        (Why::Exhausted(_) | Why::Refused(_) | Why::HostDied, true) => &[Retry, Move, Output, NotDone, Cancel],
        (Why::Exhausted(_) | Why::Refused(_) | Why::HostDied | Why::Unknown(_) | Why::PivotInDoubt(_), false) => {
            &[Retry, Move, Undone, Skip]
        }
        // What no grant permits is denied again however often it is tried.
        (Why::Denied(_), true) => &[Move, Output, NotDone, Cancel],
        (Why::Denied(_), false) => &[Move, Undone, Skip],
        // A move would try it again, and it may have happened.
        (Why::Unknown(_), true) => &[Retry, Output, NotDone, Cancel],
        (Why::PivotInDoubt(_), true) => &[Output, NotDone],
    };
    helpful.iter().copied().filter(|offer| stuck.offers.contains(offer))
}

#[cfg(test)]
mod tests {
    use amends_core::{
        denial::{Denial, DenialReason},
        value::Instant,
    };
    use expect_test::expect;

    use super::*;
    use crate::api::samples::{self, leg};

    const FORWARD: &[Offer] = &[Offer::Retry, Offer::Move, Offer::Output, Offer::NotDone, Offer::Cancel, Offer::Abandon];
    const UNDO: &[Offer] = &[Offer::Retry, Offer::Move, Offer::Undone, Offer::Skip, Offer::Abandon];

    fn helped(why: Why, direction: Direction, offers: &[Offer]) -> String {
        let view = samples::completed();
        let leg = leg("reserve-hotel").turned(direction);
        let stuck = super::stuck(
            &Namespace::new("default").unwrap(),
            &SagaId::new("T1").unwrap(),
            &view,
            &StuckView { leg, since: Instant(0), why, offers: offers.to_vec() },
        );
        format!("{}\n  {}\n", stuck.why, stuck.help.join("\n  "))
    }

    #[test]
    fn a_denial_is_helped_by_its_grant_alone_and_says_the_command_once() {
        // It named the command in its reason too, and offered a retry, which a grant makes needless.
        let denied = Denial::new("https://hotel.example", DenialReason::NotGranted);
        assert_eq!(
            helped(Why::Denied(denied), Direction::Forward, FORWARD),
            "denied: https://hotel.example\n  amends grant trip --http https://hotel.example\n"
        );
    }

    /// The kind: help was written for each reason, and not made from what the saga would take. A step that was stuck forward on
    /// a wrong module was not told of `move`, which repairs it; others were told of verbs that were then refused, as a move
    /// while an attempt was open, or a cancel past the point of no return.
    #[test]
    fn c2_22_help_is_what_mends_the_reason_and_what_the_saga_takes_now() {
        let failure = || samples::failure("bad_number", "R-7: invalid digit");
        let effect_free = || Why::Denied(Denial::new("https://hotel.example", DenialReason::EffectFree));
        let all = [
            helped(Why::Exhausted(failure()), Direction::Forward, FORWARD),
            helped(Why::Exhausted(failure()), Direction::Forward, &[Offer::Retry, Offer::Abandon]),
            helped(Why::HostDied, Direction::Check, FORWARD),
            helped(Why::Unknown(failure()), Direction::Forward, FORWARD),
            helped(Why::PivotInDoubt(failure()), Direction::Forward, FORWARD),
            helped(effect_free(), Direction::Forward, FORWARD),
            helped(Why::JournalFull, Direction::Forward, FORWARD),
            helped(Why::Exhausted(failure()), Direction::Undo(0), UNDO),
            helped(effect_free(), Direction::Undo(0), UNDO),
        ];
        expect![[r#"
            all attempts are used up; the last: bad_number: R-7: invalid digit
              amends retry T1
              amends move T1 --to VERSION
              amends resolve T1 reserve-hotel --output JSON
              amends resolve T1 reserve-hotel --not-done
              amends cancel T1
            all attempts are used up; the last: bad_number: R-7: invalid digit
              amends retry T1
            it was running each time the host died
              amends retry T1
              amends move T1 --to VERSION
              amends resolve T1 reserve-hotel --output JSON
              amends resolve T1 reserve-hotel --not-done
              amends cancel T1
            it may have happened, and is run once only: bad_number: R-7: invalid digit
              amends retry T1
              amends resolve T1 reserve-hotel --output JSON
              amends resolve T1 reserve-hotel --not-done
              amends cancel T1
            the pivot may have happened and has no compensation: bad_number: R-7: invalid digit
              amends resolve T1 reserve-hotel --output JSON
              amends resolve T1 reserve-hotel --not-done
            denied: step declares effect-free and called https://hotel.example
              amends move T1 --to VERSION
              amends resolve T1 reserve-hotel --output JSON
              amends resolve T1 reserve-hotel --not-done
              amends cancel T1
            the saga's journal is as large as it may be
              amends abandon T1
            all attempts are used up; the last: bad_number: R-7: invalid digit
              amends retry T1
              amends move T1 --to VERSION
              amends resolve T1 reserve-hotel --undone
              amends skip T1 reserve-hotel
            denied: step declares effect-free and called https://hotel.example
              amends move T1 --to VERSION
              amends resolve T1 reserve-hotel --undone
              amends skip T1 reserve-hotel
        "#]]
        .assert_eq(&all.concat());
    }
}
