//! What an operator may do about a stuck leg: why it is stuck in words, and the commands that fit.

use amends_core::{
    definition::Kind,
    event::Why,
    id::{Direction, SagaId},
    value::Failure,
    view::{StepStatus, StuckView, View},
};

use super::saga::direction;
use crate::api::wire::saga;

/// A stuck leg with its remedies.
pub fn stuck(id: &SagaId, view: &View, stuck: &StuckView) -> saga::Stuck {
    let (code, why) = why(&stuck.why);
    saga::Stuck {
        step: stuck.leg.path.as_str().to_owned(),
        direction: direction(stuck.leg.direction).to_owned(),
        since: stuck.since.into(),
        code: code.to_owned(),
        why,
        help: commands(id, view, stuck),
    }
}

/// Why a leg is stuck: a code and a sentence.
pub fn why(why: &Why) -> (&'static str, String) {
    match why {
        Why::Exhausted(failure) => ("exhausted", format!("all attempts are used up; the last: {}", brief(failure))),
        Why::Refused(failure) => ("refused", format!("refused where there is no way back: {}", brief(failure))),
        Why::Unknown(failure) => ("unknown", format!("it may have happened, and is run once only: {}", brief(failure))),
        Why::PivotInDoubt(failure) => {
            ("pivot_in_doubt", format!("the pivot may have happened and has no compensation: {}", brief(failure)))
        }
        Why::Denied(what) => ("denied", what.clone()),
        Why::HostDied => ("host_died", "it was running each time the host died".to_owned()),
        Why::JournalFull => ("journal_full", "the saga's journal is as large as it may be".to_owned()),
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

fn commands(id: &SagaId, view: &View, stuck: &StuckView) -> Vec<String> {
    let step = &stuck.leg.path;
    let retry = format!("amends retry {id}");
    let happened = [format!("amends resolve {id} {step} --output JSON"), format!("amends resolve {id} {step} --not-done")];
    match (&stuck.why, stuck.leg.direction) {
        (Why::JournalFull, _) => vec![format!("amends abandon {id}")],
        // A grant lets it go on by itself.
        (Why::Denied(what), _) => granting(what).into_iter().chain([retry]).collect(),
        (_, Direction::Undo(_)) => {
            vec![retry, format!("amends resolve {id} {step} --undone"), format!("amends skip {id} {step}")]
        }
        (Why::PivotInDoubt(_), Direction::Forward | Direction::Check) => happened.into(),
        (_, Direction::Forward | Direction::Check) => {
            let cancel = (!is_past_point_of_no_return(view)).then(|| format!("amends cancel {id}"));
            [retry].into_iter().chain(happened).chain(cancel).collect()
        }
    }
}

/// The command that the host wrote into a denial.
fn granting(what: &str) -> Option<String> {
    let command = &what[what.find("amends grant ")?..];
    Some(command.split('`').next().unwrap_or(command).trim().to_owned())
}

/// The pivot is done, or a retriable step was begun.
fn is_past_point_of_no_return(view: &View) -> bool {
    view.steps.iter().any(|step| match step.kind {
        Kind::Compensatable => false,
        Kind::Pivot => step.status == StepStatus::Done,
        Kind::Retriable => step.forward.attempts > 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_names_the_command_that_grants_it() {
        let denied = "denied: https://hotel.example:443; `amends grant trip --http https://hotel.example:443` allows it";
        assert_eq!(granting(denied).as_deref(), Some("amends grant trip --http https://hotel.example:443"));
        assert_eq!(granting("denied: step declares effect-free"), None);
    }
}
