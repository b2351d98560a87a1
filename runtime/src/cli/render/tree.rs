//! A saga as a tree: every step, attempt, duration, failure and compensation, what it waits for and why.

use amends_core::{
    definition::Kind,
    view::{Status, StepStatus},
};

use super::{
    locks, preview,
    style::{self, BACK, BAD, BOLD, DIM, GOOD, LIVE, paint},
    text::{clean, pad, short, width},
    time::{Now, took},
};
use crate::api::wire::saga::{Failure, Leg, Saga, Step, Stuck, WaitsFor};

/// Draws a saga; ends with a newline.
pub(crate) fn tree(saga: &Saga, now: &Now) -> String {
    let mut lines = vec![headline(saga, now)];
    lines.extend(locks::lines(saga));
    lines.extend(steps(saga, now));
    if saga.cancel_pending {
        lines.push(paint(BACK, "a cancel was asked for; the open pivot decides"));
    }
    lines.extend(preview::line(saga));
    if let Some(output) = &saga.output {
        lines.push(format!("output: {}", clean(output.as_str())));
    }
    lines.push(footer(saga));
    lines.join("\n") + "\n"
}

fn headline(saga: &Saga, now: &Now) -> String {
    let failure = saga.failure.as_ref().filter(|_| saga.status != Status::Completed);
    let code = failure.map(|failure| format!("  {}", clean(&failure.code))).unwrap_or_default();
    let time = match saga.ended_at {
        Some(ended) => format!("took {}", took(ended.0.since(saga.started_at.0))),
        None => now.ago(saga.started_at),
    };
    let deadline = match (saga.ended_at, saga.deadline_at) {
        (None, Some(at)) => format!("  deadline {} ({})", now.clock_short(at), now.until(at)),
        _ => String::new(),
    };
    format!(
        "{} {}  {}{code}   {}  started {}  {time}{deadline}",
        saga.saga,
        paint(BOLD, &saga.id),
        style::status(saga.status),
        paint(DIM, format!("{} v{} ({})", saga.module, saga.version, short(&saga.digest))),
        now.clock(saga.started_at),
    )
}

fn footer(saga: &Saga) -> String {
    let next = next(saga).map(|command| format!("next: {command}"));
    effects(saga).into_iter().chain([format!("manual: {}", saga.manual)]).chain(next).collect::<Vec<_>>().join("   ")
}

/// What stands and should not; on the way forward what is done should, and only a doubt is worth a word.
fn effects(saga: &Saga) -> Option<String> {
    if saga.rollback.is_some() || saga.status.is_ended() {
        let outstanding = if saga.outstanding.is_empty() { "none".to_owned() } else { paint(BAD, saga.outstanding.join(", ")) };
        return Some(format!("outstanding: {outstanding}"));
    }
    let in_doubt = saga.steps.iter().filter(|step| step.may_have_run).map(|step| match step.status {
        StepStatus::Running => format!("{} (an attempt is open)", step.name),
        _ => step.name.clone(),
    });
    let in_doubt: Vec<String> = in_doubt.collect();
    (!in_doubt.is_empty()).then(|| format!("may have run: {}", paint(BACK, in_doubt.join(", "))))
}

/// The next useful command; none where the tree names those that help.
fn next(saga: &Saga) -> Option<String> {
    let waits = || saga.steps.iter().find_map(|step| step.forward.waits_for.as_ref()?.event.as_ref());
    let watch = || format!("amends watch {}", saga.id);
    match saga.status {
        Status::Stuck => None,
        Status::Waiting => {
            Some(waits().map_or_else(watch, |topic| format!("amends signal {} {}", saga.id, clean(&topic.event_type))))
        }
        Status::Running | Status::Compensating => Some(watch()),
        Status::Completed | Status::Compensated | Status::Abandoned => Some(format!("amends journal {}", saga.id)),
    }
}

/// A step's line in three columns, and the lines below it.
struct Row {
    branch: &'static str,
    below: &'static str,
    name: String,
    forward: String,
    rest: String,
    notes: Vec<String>,
}

fn steps(saga: &Saga, now: &Now) -> Vec<String> {
    let pending = saga.steps.iter().rev().take_while(|step| !is_begun(step)).count();
    // Of the steps at the end that were not begun, one stands for all; two are shown.
    let hidden = if pending > 2 { pending - 1 } else { 0 };
    let shown = &saga.steps[..saga.steps.len() - hidden];
    let parallel = shown.windows(2).any(|pair| pair[0].stage == pair[1].stage);
    let rows: Vec<Row> = shown.iter().enumerate().map(|(at, _)| row(saga, shown, at, parallel, hidden > 0, now)).collect();
    let name_width = rows.iter().map(|row| width(&row.name)).max().unwrap_or(0) + 3;
    let forward_width = rows.iter().filter(|row| !row.rest.is_empty()).map(|row| width(&row.forward)).max().unwrap_or(0) + 4;
    let mut lines = Vec::new();
    for row in rows {
        let cells = format!("{}{}{}", pad(&row.name, name_width), pad(&row.forward, forward_width), row.rest);
        lines.push(format!("{}{}", paint(DIM, row.branch), cells.trim_end()));
        lines.extend(row.notes.iter().map(|note| format!("{}{note}", paint(DIM, row.below))));
    }
    if hidden > 0 {
        lines.push(paint(DIM, format!("{}…{hidden} more not begun", if parallel { "└── " } else { "└─ " })));
    }
    lines
}

fn row(saga: &Saga, shown: &[Step], at: usize, parallel: bool, more: bool, now: &Now) -> Row {
    let step = &shown[at];
    let (branch, below) = branch(shown, at, parallel, more);
    let undo = undo(step, now);
    let about = about(step, now);
    Row {
        branch,
        below,
        name: name(step),
        forward: forward(step, now),
        rest: undo.or(about).unwrap_or_default(),
        notes: saga.stuck.iter().filter(|stuck| stuck.step == step.name).flat_map(|stuck| remedies(stuck, now)).collect(),
    }
}

/// The lines of the tree left of a step, and left of its notes.
fn branch(shown: &[Step], at: usize, parallel: bool, more: bool) -> (&'static str, &'static str) {
    let stage = shown[at].stage;
    let begins = at == 0 || shown[at - 1].stage != stage;
    let ends = at + 1 == shown.len() || shown[at + 1].stage != stage;
    let last_stage = !more && shown.last().is_some_and(|last| last.stage == stage);
    match (parallel, begins, ends, last_stage) {
        (false, _, _, false) => ("├─ ", "│    "),
        (false, _, _, true) => ("└─ ", "     "),
        (true, true, true, false) => ("├── ", "│     "),
        (true, true, true, true) => ("└── ", "      "),
        (true, true, false, false) => ("├─┬ ", "│ │   "),
        (true, true, false, true) => ("└─┬ ", "  │   "),
        (true, false, false, false) => ("│ ├ ", "│ │   "),
        (true, false, false, true) => ("  ├ ", "  │   "),
        (true, false, true, false) => ("│ └ ", "│     "),
        (true, false, true, true) => ("  └ ", "      "),
    }
}

fn name(step: &Step) -> String {
    match step.kind {
        Kind::Pivot => format!("{} (pivot)", step.name),
        Kind::Compensatable | Kind::Retriable => step.name.clone(),
    }
}

fn is_begun(step: &Step) -> bool {
    step.status != StepStatus::Pending || step.forward.attempts > 0
}

/// How the step itself went.
fn forward(step: &Step, now: &Now) -> String {
    let leg = &step.forward;
    let undone = || match step.output {
        Some(_) => paint(GOOD, ended("done", leg)),
        None => paint(BACK, failed("may have run", leg, None)),
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

/// How its compensation goes or went.
fn undo(step: &Step, now: &Now) -> Option<String> {
    let none = Leg::default();
    let leg = step.undo.as_ref();
    let said = match step.status {
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
    Some(format!("↩ {said}"))
}

/// What else there is to say about a step that is not being undone.
fn about(step: &Step, now: &Now) -> Option<String> {
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
    let Some(WaitsFor { event, until }) = &leg.waits_for else { return retry() };
    let event = event.as_ref().map(|topic| format!(" for event {}/{}", clean(&topic.event_type), clean(&topic.key)));
    let until = until.map(|at| format!(" until {}", moment(at)));
    Some(format!("waits{}{}", event.unwrap_or_default(), until.unwrap_or_default()))
}

fn remedies(stuck: &Stuck, now: &Now) -> Vec<String> {
    let since =
        format!("{} since {} ({}): {}", paint(BAD, "stuck"), now.clock(stuck.since), now.ago(stuck.since), clean(&stuck.why));
    let help = stuck.help.iter().map(|command| format!("  {}", clean(command)));
    [since].into_iter().chain(help).collect()
}

/// `done 41ms`, or `undone, 4 attempts, 1.1s (500 ×3)`.
fn ended(word: &str, leg: &Leg) -> String {
    let tries = (failed_tries(leg) + 1).min(leg.attempts);
    let waited = if leg.attempts > tries { ", waited" } else { "" };
    match (tries, leg.took_ms.map(took)) {
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
    let took = leg.took_ms.map(|ms| format!(" {}", took(ms))).unwrap_or_default();
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

fn going(word: &str, leg: &Leg, now: &Now) -> String {
    let since = leg.began_at.map(|began| format!(" {}", took(now.at.0.since(began.0)))).unwrap_or_default();
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

#[cfg(test)]
mod tests;
