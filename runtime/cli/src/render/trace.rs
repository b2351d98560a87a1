//! A chain of causes as a tree: what happened on the left, when and by which version on the right.

use amends_wire::{
    saga::Status,
    trace::{Trace, TraceNode, TraceNodeKind as Kind, TraceOpen},
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
    let since = lines.iter().map(|line| width(&since(trace, line.node, now))).max().unwrap_or(0);
    let row = |line: &Line<'_>| {
        let times = pad(&paint(DIM, self::since(trace, line.node, now)), since);
        let row = format!("{}  {times}  {}", pad(&line.left, right), code(line.node));
        // What ends with a colour has no space behind it.
        row.trim_end().to_owned()
    };
    let mut text: Vec<String> = lines.iter().map(row).collect();
    text.push(footer(trace));
    text.join("\n") + "\n"
}

struct Line<'a> {
    left: String,
    node: &'a TraceNode,
}

fn branch<'a>(node: &'a TraceNode, fork: &str, below: &str, lines: &mut Vec<Line<'a>>) {
    lines.push(Line { left: format!("{fork}{}", left(node)), node });
    let count = node.children.len();
    for (index, child) in node.children.iter().enumerate() {
        let (fork, rail) = if index + 1 == count { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        branch(child, &format!("{below}{fork}"), &format!("{below}{rail}"), lines);
    }
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
        "unknown" | "stuck" | "abandoned" | "dead" => BAD,
        _ => LIVE,
    };
    Some(paint(style, clean(outcome)))
}

/// The first moment as the clock shows it, the others by how much later they are. The clock may have been set back.
fn since(trace: &Trace, node: &TraceNode, now: &Now) -> String {
    let began = trace.root.at;
    match std::ptr::eq(node, &raw const trace.root) {
        true => now.clock_ms(began),
        false if node.at < began => format!("-{}", duration_text(began.since(node.at))),
        false => format!("+{}", duration_text(node.at.since(began))),
    }
}

fn code(node: &TraceNode) -> String {
    let module = node.module.as_deref().map(|module| format!("{} ", clean(module))).unwrap_or_default();
    node.version.map(|version| paint(DIM, format!("{module}v{version}"))).unwrap_or_default()
}

/// How long it took, what is open, and what is not shown.
fn footer(trace: &Trace) -> String {
    let mut parts = vec![format!("{} so far", duration_text(last(&trace.root).since(trace.root.at)))];
    if trace.open.is_empty() {
        parts =
            vec![format!("all within {}", duration_text(last(&trace.root).since(trace.root.at))), "nothing is open".to_owned()];
    }
    if !trace.open.is_empty() {
        let named: Vec<String> = trace.open.iter().take(OPEN_SHOWN).map(open).collect();
        let more = trace.open.len().saturating_sub(OPEN_SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        parts.push(format!("open: {}{more}", named.join(", ")));
    }
    if trace.cut {
        parts.push(paint(BACK, format!("cut after {} nodes; trace a part by its own id", trace.nodes)));
    }
    parts.join("; ")
}

/// When the last thing happened.
fn last(node: &TraceNode) -> amends_wire::Time {
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
