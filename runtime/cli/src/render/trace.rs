//! A chain of causes as a tree: what happened on the left, when and by which version on the right.

use std::collections::BTreeSet;

use amends_wire::{
    Time,
    saga::Status,
    trace::{Trace, TraceNode, TraceNodeKind as Kind, TraceOpen, TraceView, TraceViewState as ViewState},
};

use super::{
    style::{BACK, BAD, BOLD, DIM, GOOD, LIVE, paint},
    text::{clean, pad, width},
    time::{Now, duration_text},
};

/// What is on the right begins here at the latest: one long line does not move all the others.
const LEFT_WIDTH_MAX: usize = 76;

/// Open sagas that are named with the command that helps.
const OPEN_SHOWN: usize = 5;

/// Draws a tree; ends with a newline.
pub(crate) fn tree(trace: &Trace, now: &Now) -> String {
    let mut lines = Vec::new();
    branch(&trace.root, "", "", &mut lines);
    let right = lines.iter().map(|line| width(&line.left)).filter(|width| *width <= LEFT_WIDTH_MAX).max().unwrap_or(0);
    let times: Vec<String> = lines.iter().enumerate().map(|(index, line)| since(trace, index, line.at, now)).collect();
    let since = times.iter().map(|time| width(time)).max().unwrap_or(0);
    let row = |(line, time): (&Line, &String)| {
        let time = if time.is_empty() { String::new() } else { paint(DIM, time) };
        let row = format!("{}  {}  {}", pad(&line.left, right), pad(&time, since), line.code);
        // What ends with a colour has no space behind it.
        row.trim_end().to_owned()
    };
    let mut text: Vec<String> = lines.iter().zip(&times).map(row).collect();
    text.push(footer(trace));
    text.join("\n") + "\n"
}

struct Line {
    left: String,
    /// Of a view that has not come to an event there is none.
    at: Option<Time>,
    code: String,
}

/// A node, the views that have it, and what followed from it.
fn branch(node: &TraceNode, fork: &str, below: &str, lines: &mut Vec<Line>) {
    let code = node.version.map(|version| code(node.module.as_deref(), version)).unwrap_or_default();
    lines.push(Line { left: format!("{fork}{}", left(node)), at: Some(node.at), code });
    let count = node.views.len() + node.children.len();
    let forks = |index: usize| if index + 1 == count { ("└─ ", "   ") } else { ("├─ ", "│  ") };
    for (index, view) in node.views.iter().enumerate() {
        let left = format!("{below}{}{}", forks(index).0, of_view(view));
        // Its code is that of today, and not what took the event.
        lines.push(Line { left, at: view.taken_at, code: String::new() });
    }
    for (index, child) in node.children.iter().enumerate() {
        let (fork, rail) = forks(node.views.len() + index);
        branch(child, &format!("{below}{fork}"), &format!("{below}{rail}"), lines);
    }
}

/// A view, and whether it has the event; that it has it goes without saying.
fn of_view(view: &TraceView) -> String {
    let mut parts = vec![format!("view {}  generation {}", clean(&view.view), view.generation)];
    parts.extend(match view.state {
        ViewState::Taken => None,
        ViewState::Skipped => Some(paint(BACK, "left it out")),
        ViewState::Behind => Some(paint(LIVE, "behind")),
        ViewState::Stopped => Some(paint(BAD, "stopped")),
    });
    parts.extend(view.why.as_deref().map(|why| clean(why).into_owned()));
    parts.join("  ")
}

fn left(node: &TraceNode) -> String {
    let what = clean(&node.what);
    let id = node.id.as_deref().map(clean).unwrap_or_default();
    let mut parts = match node.kind {
        Kind::Request => vec![paint(BOLD, &what), id.into_owned()],
        Kind::Schedule => vec![format!("schedule {}", paint(BOLD, &what))],
        Kind::Command => vec![format!("→ {what}")],
        Kind::Event => vec![format!("event {id}"), paint(BOLD, &what)],
        Kind::Published => vec![format!("event {id}"), paint(BOLD, &what)],
        Kind::Saga => vec![format!("saga {id}"), paint(BOLD, &what)],
        Kind::Step => vec![what.into_owned()],
        Kind::Undo => vec![format!("undo {what}")],
        Kind::Check => vec![format!("check {what}")],
        Kind::Rollback => vec![paint(BACK, format!("goes back: {what}"))],
        Kind::Act => vec![format!("operator: {what}")],
        Kind::Arrived => vec![format!("event {id} came"), what.into_owned()],
        Kind::Woke => vec![format!("woke saga {id} in {what}")],
        Kind::NotStarted => vec![paint(BAD, format!("did not start {what}"))],
        Kind::Policy => vec![format!("policy {}", paint(BOLD, &what)), id.into_owned()],
    };
    parts.extend(node.by.as_ref().map(|by| format!("by {}", clean(by))));
    parts.extend(outcome(node));
    parts.extend(node.attempts.filter(|attempts| *attempts > 1).map(|attempts| format!("{attempts} attempts")));
    // Of a rollback, and of a leg that is done in the end, the cause is said elsewhere.
    parts.extend(node.failure.as_ref().filter(|_| node.kind != Kind::Rollback).map(|failure| {
        let message = if failure.message.is_empty() { String::new() } else { format!(": {}", clean(&failure.message)) };
        format!("{}{message}", clean(&failure.code))
    }));
    parts.extend(node.asked.then(|| paint(DIM, "←")));
    parts.retain(|part| !part.is_empty());
    parts.join("  ")
}

/// How it stands; that a command was accepted, its events say.
fn outcome(node: &TraceNode) -> Option<String> {
    let outcome = node.outcome.as_deref()?;
    let style = match outcome {
        "accepted" if !node.children.is_empty() => return None,
        "accepted" => return Some(paint(DIM, "nothing to do")),
        "done" | "undone" | "completed" => GOOD,
        "refused" | "transient" | "backoff" | "compensated" | "compensating" | "skipped" | "resolved" => BACK,
        "unknown" | "stuck" | "abandoned" | "dead" | "parked" => BAD,
        "silent" | "late" => DIM,
        _ => LIVE,
    };
    Some(paint(style, clean(outcome)))
}

/// The first moment as the clock shows it, the others by how much later they are. The clock may have been set back.
fn since(trace: &Trace, index: usize, at: Option<Time>, now: &Now) -> String {
    let (Some(at), began) = (at, trace.root.at) else { return String::new() };
    match index {
        0 => now.clock_ms(began),
        _ if at < began => format!("-{}", duration_text(began.since(at))),
        _ => format!("+{}", duration_text(at.since(began))),
    }
}

fn code(module: Option<&str>, version: u32) -> String {
    let module = module.map(|module| format!("{} ", clean(module))).unwrap_or_default();
    paint(DIM, format!("{module}v{version}"))
}

/// How long it took, what is open, and what is not shown.
fn footer(trace: &Trace) -> String {
    let mut parts = vec![format!("{} so far", duration_text(last(&trace.root).since(trace.root.at)))];
    let undecided = undecided(&trace.root);
    if trace.open.is_empty() && undecided == 0 {
        parts =
            vec![format!("all within {}", duration_text(last(&trace.root).since(trace.root.at))), "nothing is open".to_owned()];
    }
    if !trace.open.is_empty() {
        let named: Vec<String> = trace.open.iter().take(OPEN_SHOWN).map(open).collect();
        let more = trace.open.len().saturating_sub(OPEN_SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        parts.push(format!("open: {}{more}", named.join(", ")));
    }
    parts.extend(match undecided {
        0 => None,
        1 => Some("1 command is not decided yet".to_owned()),
        more => Some(format!("{more} commands are not decided yet")),
    });
    parts.extend(stopped_views(&trace.root).iter().take(OPEN_SHOWN).map(|view| {
        let view = clean(view);
        format!("view {view} is {}: `amends projections {view}`", paint(BAD, "stopped"))
    }));
    if trace.cut {
        parts.push(paint(BACK, format!("cut after {} nodes; trace a part by its own id", trace.nodes)));
    }
    parts.join("; ")
}

/// Commands that steps sent and that nobody has decided.
fn undecided(node: &TraceNode) -> usize {
    let is_undecided = node.kind == Kind::Command && node.outcome.as_deref() == Some("undecided");
    usize::from(is_undecided) + node.children.iter().map(undecided).sum::<usize>()
}

/// Each view once that does not have an event and will not.
fn stopped_views(node: &TraceNode) -> BTreeSet<&str> {
    let here = node.views.iter().filter(|view| view.state == ViewState::Stopped).map(|view| view.view.as_str());
    here.chain(node.children.iter().flat_map(stopped_views)).collect()
}

/// When the last thing happened. When views took it is nothing that it waited for.
fn last(node: &TraceNode) -> Time {
    let here = node.ended_at.map_or(node.at, |ended| ended.max(node.at));
    node.children.iter().map(last).fold(here, Ord::max)
}

fn open(TraceOpen { saga, status }: &TraceOpen) -> String {
    let saga = clean(saga);
    match status {
        Status::Stuck => format!("saga {saga} is {}: `amends show {saga}`", paint(BAD, "stuck")),
        Status::Waiting => format!("saga {saga} waits: `amends show {saga}`"),
        Status::Running | Status::Compensating | Status::Completed | Status::Compensated | Status::Abandoned => {
            format!("saga {saga} is {status}: `amends watch {saga}`")
        }
    }
}

#[cfg(test)]
mod tests;
