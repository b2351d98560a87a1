//! A saga as a tree: every step, attempt, duration, failure and compensation, what it waits for and why.

use amends_core::{
    definition::Kind,
    view::{Status, StepStatus},
};

use super::{
    style::{self, BACK, BAD, BOLD, DIM, GOOD, LIVE, paint},
    text::{clean, pad, short, width},
    time::{Now, took},
};
use crate::api::wire::saga::{Leg, Saga, Step, Stuck, WaitsFor};

/// Draws a saga; ends with a newline.
pub(crate) fn tree(saga: &Saga, now: &Now) -> String {
    let mut lines = vec![headline(saga, now)];
    lines.extend(steps(saga, now));
    if saga.cancel_pending {
        lines.push(paint(BACK, "a cancel was asked for; the open pivot decides"));
    }
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
    let outstanding = if saga.outstanding.is_empty() { "none".to_owned() } else { paint(BAD, saga.outstanding.join(", ")) };
    format!("outstanding: {outstanding}   manual: {}   next: {}", saga.manual, next(saga))
}

/// The next useful command.
fn next(saga: &Saga) -> String {
    let waits = || saga.steps.iter().find_map(|step| step.forward.waits_for.as_ref()?.event.as_ref());
    match saga.status {
        Status::Stuck => saga.stuck.iter().find_map(|stuck| stuck.help.first().cloned()),
        Status::Waiting => waits().map(|topic| format!("amends signal {} {}", saga.id, clean(&topic.event_type))),
        Status::Running | Status::Compensating => None,
        Status::Completed | Status::Compensated | Status::Abandoned => Some(format!("amends journal {}", saga.id)),
    }
    .unwrap_or_else(|| format!("amends watch {}", saga.id))
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
        None => paint(BACK, ended("may have run", leg)),
    };
    match step.status {
        StepStatus::Pending if is_begun(step) => paint(DIM, format!("not done{}", after(leg))),
        StepStatus::Pending => paint(DIM, "not begun"),
        StepStatus::Running => paint(LIVE, going("running", leg, now)),
        StepStatus::Waiting => paint(LIVE, "waiting"),
        StepStatus::BackingOff => paint(BACK, "backing off"),
        StepStatus::Done => paint(GOOD, ended("done", leg)) + if step.manual { " by hand" } else { "" },
        StepStatus::Refused => paint(BACK, ended_plain("refused", leg)),
        StepStatus::Unknown => paint(BAD, ended_plain("unknown", leg)),
        StepStatus::Stuck if step.undo.is_none() => paint(BAD, ended_plain("stuck", leg)),
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
        StepStatus::Stuck if leg.is_some() => paint(BAD, ended("stuck", leg.unwrap_or(&none))),
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
        StepStatus::Running if step.forward.attempts > 1 => failure().map(|failure| format!("after {failure}")),
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
    let took = leg.took_ms.map(took);
    match (leg.attempts, took) {
        (0 | 1, None) => word.to_owned(),
        (0 | 1, Some(took)) => format!("{word} {took}"),
        // Called again after a wait, not after a failure.
        (_, took) if leg.failures.is_empty() => {
            format!("{word}{}, waited", took.map(|took| format!(" {took}")).unwrap_or_default())
        }
        (attempts, took) => {
            let took = took.map(|took| format!(", {took}")).unwrap_or_default();
            format!("{word}, {attempts} attempts{took}{}", failures(leg))
        }
    }
}

/// Without the time of a single attempt, which matters little when nothing came of it.
fn ended_plain(word: &str, leg: &Leg) -> String {
    if leg.attempts > 1 { ended(word, leg) } else { word.to_owned() }
}

fn going(word: &str, leg: &Leg, now: &Now) -> String {
    let since = leg.began_at.map(|began| format!(" {}", took(now.at.0.since(began.0)))).unwrap_or_default();
    let attempt = if leg.attempts > 1 && !leg.failures.is_empty() {
        format!(", attempt {}{}", leg.attempts, failures(leg))
    } else {
        String::new()
    };
    format!("{word}{since}{attempt}")
}

/// ` after 3 attempts (500 ×3)`, if any failed.
fn after(leg: &Leg) -> String {
    match leg.attempts {
        0 => String::new(),
        1 => format!(" after 1 attempt{}", failures(leg)),
        attempts => format!(" after {attempts} attempts{}", failures(leg)),
    }
}

fn failures(leg: &Leg) -> String {
    let counted = leg.failures.iter().map(|failure| match failure.times {
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
