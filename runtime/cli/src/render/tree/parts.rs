//! Steps that consist of others, a child's or one for each element: how they went, and which elements of many are shown.

use std::collections::{BTreeMap, BTreeSet};

use amends_wire::saga::{Step, StepBody, StepStatus};

use super::{
    super::{
        style::{BACK, BAD, DIM, GOOD, LIVE, paint},
        time::{Now, duration_text},
    },
    words::going,
};

/// A fan-out over more elements shows only some of them.
const ELEMENTS_MAX: usize = 10;

/// So many of them: those that a reader looks for first.
const ELEMENTS_SHOWN: usize = 5;

/// How a step went that consists of others.
pub(super) fn forward(step: &Step, body: &StepBody, now: &Now) -> String {
    let took = step.forward.took_ms.map(|ms| format!(" {}", duration_text(ms))).unwrap_or_default();
    let label = match step.status {
        StepStatus::Pending => return paint(DIM, "not begun"),
        StepStatus::Done => paint(GOOD, format!("done{took}")),
        StepStatus::Running => paint(LIVE, going("running", &step.forward, now)),
        StepStatus::Waiting => paint(LIVE, "waiting"),
        StepStatus::BackingOff => paint(BACK, "backing off"),
        StepStatus::Refused => paint(BACK, "refused"),
        StepStatus::Unknown => paint(BAD, "unknown"),
        StepStatus::Stuck => paint(BAD, "stuck"),
        StepStatus::Compensating | StepStatus::Compensated | StepStatus::Skipped => match step.done {
            true => paint(GOOD, format!("done{took}")),
            false => paint(DIM, "not done"),
        },
    };
    label + &elements_in_words(body)
}

/// How it is undone, with all that it consists of.
pub(super) fn undo(step: &Step) -> Option<String> {
    match step.status {
        StepStatus::Compensating => Some(paint(BACK, "undoing")),
        StepStatus::Compensated => Some(paint(BACK, "undone")),
        StepStatus::Skipped => Some(paint(BAD, "undone, but for what was skipped")),
        _ => None,
    }
}

/// `, 310 of 1000`, `, 998 of 1000, 2 refused`.
fn elements_in_words(body: &StepBody) -> String {
    match body {
        StepBody::Child | StepBody::Elements { all: None, .. } => String::new(),
        StepBody::Elements { all: Some(all), settled, refused, .. } => {
            let refused_too = if *refused > 0 { format!(", {refused} refused") } else { String::new() };
            format!(", {} of {all}{refused_too}", settled - refused)
        }
    }
}

/// The elements to show, and the others in words; none if all are shown.
pub(super) fn choose<'a>(elements: &[&'a Step]) -> (Vec<&'a Step>, Option<String>) {
    if elements.len() <= ELEMENTS_MAX {
        return (elements.to_vec(), None);
    }
    let mut by_interest: Vec<usize> = (0..elements.len()).collect();
    by_interest.sort_by_key(|at| interest(elements[*at].status));
    let shown: BTreeSet<usize> = by_interest.into_iter().take(ELEMENTS_SHOWN).collect();
    let mut others: BTreeMap<u8, (StepStatus, usize)> = BTreeMap::new();
    for (_, element) in elements.iter().enumerate().filter(|(at, _)| !shown.contains(at)) {
        others.entry(interest(element.status)).or_insert((element.status, 0)).1 += 1;
    }
    let counts: Vec<String> = others.values().map(|(status, count)| format!("{count} {}", word(*status))).collect();
    let rest = format!("…{} more: {}", elements.len() - shown.len(), counts.join(", "));
    (shown.into_iter().map(|at| elements[at]).collect(), Some(rest))
}

/// What needs somebody comes first, then what went wrong, then what goes on.
fn interest(status: StepStatus) -> u8 {
    match status {
        StepStatus::Stuck => 0,
        StepStatus::Skipped => 1,
        StepStatus::Unknown => 2,
        StepStatus::Refused => 3,
        StepStatus::BackingOff => 4,
        StepStatus::Compensating => 5,
        StepStatus::Waiting => 6,
        StepStatus::Running => 7,
        StepStatus::Done => 8,
        StepStatus::Compensated => 9,
        StepStatus::Pending => 10,
    }
}

fn word(status: StepStatus) -> &'static str {
    match status {
        StepStatus::Pending => "not begun",
        StepStatus::BackingOff => "backing off",
        StepStatus::Compensating => "undoing",
        StepStatus::Compensated => "undone",
        other => other.as_str(),
    }
}
