//! What is said of a step: how it went, how it is undone, what it waits for.

use amends_wire::saga::{Failure, Leg, Past, Step, StepStatus, Stuck, WaitsFor};

use super::{
    super::{
        style::{BACK, BAD, DIM, GOOD, LIVE, paint},
        text::clean,
        time::{Now, duration_text},
    },
    parts,
};

/// How the step itself went.
pub(super) fn forward(step: &Step, now: &Now) -> String {
    let label = match &step.body {
        Some(body) => parts::forward(step, body, now),
        None => forward_of_code(step, now),
    };
    label + &way_and_round(step)
}

/// `, way 2, round 1`: the first way and the first round go without saying.
fn way_and_round(step: &Step) -> String {
    let way = if step.alternate > 0 { format!(", way {}", step.alternate + 1) } else { String::new() };
    let round = if step.round > 0 && is_begun(step) { format!(", round {}", step.round) } else { String::new() };
    way + &round
}

fn forward_of_code(step: &Step, now: &Now) -> String {
    let leg = &step.forward;
    // The mark decides: a step that is done may have returned nothing.
    let undone = || match step.may_have_run {
        false => paint(GOOD, ended("done", leg)),
        true => paint(BACK, failed("may have run", leg, None)),
    };
    match step.status {
        StepStatus::Pending if is_begun(step) => paint(DIM, format!("not done{}", after(leg))),
        StepStatus::Pending => paint(DIM, "not begun"),
        StepStatus::Running => paint(LIVE, going("running", leg, now)),
        StepStatus::Waiting => paint(LIVE, "waiting"),
        StepStatus::BackingOff => paint(BACK, "backing off"),
        StepStatus::Done => paint(GOOD, ended("done", leg)) + if step.manual { " by hand" } else { "" },
        StepStatus::Refused => paint(BACK, failed("refused", leg, step.failure.as_ref())),
        StepStatus::Unknown => paint(BAD, failed("unknown", leg, step.failure.as_ref())),
        StepStatus::Stuck if step.undo.is_none() => paint(BAD, failed("stuck", leg, None)),
        StepStatus::Stuck | StepStatus::Compensating | StepStatus::Compensated | StepStatus::Skipped => undone(),
    }
}

/// Something of it was tried, or is to be.
pub(super) fn is_begun(step: &Step) -> bool {
    step.status != StepStatus::Pending || step.forward.attempts > 0
}

/// Ways and rounds that are over: `way 1 refused: no_room: H1 is full`.
pub(super) fn past(step: &Step) -> Vec<String> {
    let one = |past: &Past| {
        let round = if step.round > 0 || past.round > 0 { Some(format!("round {}", past.round)) } else { None };
        let others = step.past.iter().filter(|other| other.round == past.round).count() > 1;
        let has_ways = others || step.alternate > 0 && step.round == past.round;
        let way = has_ways.then(|| format!("way {}", past.alternate + 1));
        let which: Vec<String> = round.into_iter().chain(way).collect();
        let failure = past.failure.as_ref().map(|failure| format!(": {}", brief(&failure.code, &failure.message)));
        let label = match past.status {
            StepStatus::Compensated => "undone",
            StepStatus::Skipped => "skipped by hand, its effect stands",
            StepStatus::Done => "done, nothing to undo",
            _ => "refused",
        };
        paint(DIM, format!("{} {label}{}", which.join(", "), failure.unwrap_or_default()))
    };
    step.past.iter().map(one).collect()
}

/// How its compensation goes or went.
pub(super) fn undo(step: &Step, now: &Now) -> Option<String> {
    if step.body.is_some() {
        return parts::undo(step).map(|label| format!("↩ {label}"));
    }
    let none = Leg::default();
    let leg = step.undo.as_ref();
    let label = match step.status {
        StepStatus::Compensated if step.manual => paint(BACK, format!("undone by hand{}", after(leg.unwrap_or(&none)))),
        StepStatus::Compensated if leg.is_none() => paint(DIM, "nothing to undo"),
        StepStatus::Compensated => paint(BACK, ended("undone", leg.unwrap_or(&none))),
        StepStatus::Skipped => paint(BAD, "skipped by hand, its effect stands"),
        StepStatus::Stuck if leg.is_some() => paint(BAD, failed("stuck", leg.unwrap_or(&none), None)),
        StepStatus::Compensating => {
            let leg = leg.unwrap_or(&none);
            let open = going("undoing", leg, now);
            paint(BACK, waiting(leg, now).map_or(open, |waiting| format!("undo {waiting}{}", after(leg))))
        }
        _ => return None,
    };
    Some(format!("↩ {label}"))
}

/// What else there is to say about a step that is not being undone.
pub(super) fn about(step: &Step, now: &Now) -> Option<String> {
    let failure = || step.failure.as_ref().map(|failure| brief(&failure.code, &failure.message));
    match step.status {
        StepStatus::Waiting | StepStatus::BackingOff => {
            let waiting = waiting(&step.forward, now)?;
            let after = failure().filter(|_| step.status == StepStatus::BackingOff);
            Some(after.map_or(waiting.clone(), |failure| format!("{waiting} after {failure}")))
        }
        StepStatus::Refused | StepStatus::Unknown => failure(),
        StepStatus::Running if failed_tries(&step.forward) > 0 => failure().map(|failure| format!("after {failure}")),
        _ => None,
    }
}

/// `waits for event approval/42 until 14:00 (in 58m)`.
fn waiting(leg: &Leg, now: &Now) -> Option<String> {
    let moment = |at| format!("{} ({})", now.clock_short(at), now.until(at));
    let retry = || leg.retry_at.map(|at| format!("tries again at {}", moment(at)));
    let Some(WaitsFor { event, until, answer }) = &leg.waits_for else { return retry() };
    let event = event.as_ref().map(|topic| format!("event {}/{}", clean(&topic.event_type), clean(&topic.key)));
    let answer = answer.as_ref().map(|answer| match (&answer.to, &answer.command) {
        (Some(to), Some(command)) => format!("the answer of {} to {}", clean(to), clean(command)),
        _ => format!("the answer to command {}", answer.number),
    });
    let what: Vec<String> = event.into_iter().chain(answer).collect();
    let what = if what.is_empty() { String::new() } else { format!(" for {}", what.join(" or ")) };
    let until = until.map(|at| format!(" until {}", moment(at)));
    Some(format!("waits{what}{}", until.unwrap_or_default()))
}

pub(super) fn remedies(stuck: &Stuck, now: &Now) -> Vec<String> {
    let since =
        format!("{} since {} ({}): {}", paint(BAD, "stuck"), now.clock(stuck.since), now.ago(stuck.since), clean(&stuck.why));
    let help = stuck.help.iter().map(|command| format!("  {}", clean(command)));
    [since].into_iter().chain(help).collect()
}

/// `done 41ms`, or `undone, 4 attempts, 1.1s (500 ×3)`.
fn ended(word: &str, leg: &Leg) -> String {
    let tries = (failed_tries(leg) + 1).min(leg.attempts);
    let waited = if leg.attempts > tries { ", waited" } else { "" };
    match (tries, leg.took_ms.map(duration_text)) {
        (0 | 1, None) => format!("{word}{waited}"),
        (0 | 1, Some(took)) => format!("{word} {took}{waited}"),
        (tries, took) => {
            let took = took.map(|took| format!(", {took}")).unwrap_or_default();
            format!("{word}, {tries} attempts{took}{waited}{}", failures(leg, None))
        }
    }
}

/// `refused`, or `refused, 3 attempts, 1.1s (503 ×2)`. A single attempt's time matters little when nothing came of it. `shown`
/// stands beside it and needs no second mention.
fn failed(word: &str, leg: &Leg, shown: Option<&Failure>) -> String {
    let tries = failed_tries(leg);
    let took = leg.took_ms.map(|ms| format!(" {}", duration_text(ms))).unwrap_or_default();
    match (tries, leg.attempts > tries) {
        (0, _) if leg.attempts < 2 => word.to_owned(),
        (0 | 1, false) => word.to_owned(),
        (0 | 1, true) => format!("{word}, waited{took}"),
        (tries, waited) => {
            let comma = if took.is_empty() { "" } else { "," };
            let waited = if waited { ", waited" } else { "" };
            format!("{word}, {tries} attempts{comma}{took}{waited}{}", failures(leg, shown))
        }
    }
}

pub(super) fn going(word: &str, leg: &Leg, now: &Now) -> String {
    let since = leg.began_at.map(|began| format!(" {}", duration_text(now.at.since(began)))).unwrap_or_default();
    let attempt = match failed_tries(leg) {
        0 => String::new(),
        failed => format!(", attempt {}{}", failed + 1, failures(leg, None)),
    };
    format!("{word}{since}{attempt}")
}

/// ` after 3 attempts (500 ×3)`, if any failed.
fn after(leg: &Leg) -> String {
    match failed_tries(leg) {
        0 if leg.attempts > 0 => ", waited".to_owned(),
        0 => String::new(),
        1 => format!(" after 1 attempt{}", failures(leg, None)),
        tries => format!(" after {tries} attempts{}", failures(leg, None)),
    }
}

/// Attempts that failed. Those that ended in a wait are none to people: the step goes on with what it waited for.
fn failed_tries(leg: &Leg) -> u32 {
    // Beyond so many codes the host does not tell them apart, and counts only the attempts.
    const CODES_MAX: usize = 16;
    if leg.failures.len() < CODES_MAX { leg.failures.iter().map(|failure| failure.times).sum() } else { leg.attempts }
}

fn failures(leg: &Leg, shown: Option<&Failure>) -> String {
    let counted = leg.failures.iter().filter(|failure| failure.times > 1 || shown.is_none_or(|shown| shown.code != failure.code));
    let counted = counted.map(|failure| match failure.times {
        1 => clean(&failure.code).into_owned(),
        times => format!("{} ×{times}", clean(&failure.code)),
    });
    let counted: Vec<String> = counted.collect();
    if counted.is_empty() { String::new() } else { format!(" ({})", counted.join(", ")) }
}

fn brief(code: &str, message: &str) -> String {
    match (code, message) {
        (code, "") => clean(code).into_owned(),
        ("", message) => clean(message).into_owned(),
        (code, message) => format!("{}: {}", clean(code), clean(message)),
    }
}
