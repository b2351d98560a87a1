//! A saga as a tree: every step, attempt, duration, failure and compensation, what it waits for and why.

use amends_wire::saga::{Saga, Starter, Status, StepStatus, Topic};

use super::{
    locks, preview,
    style::{self, BACK, BAD, BOLD, DIM, paint},
    text::{clean, short},
    time::{Now, duration_text},
};

mod branches;

mod parts;

mod words;

/// Draws a saga; ends with a newline.
pub(crate) fn tree(saga: &Saga, now: &Now) -> String {
    let mut lines = vec![headline(saga, now)];
    lines.extend(saga.started_by.as_ref().map(starter));
    lines.extend(locks::lines(saga));
    lines.extend(branches::lines(saga, now));
    if let Some(savepoint) = &saga.savepoint {
        lines.push(paint(BACK, format!("goes back to savepoint {}, where round {} begins", clean(savepoint), saga.round + 1)));
    }
    if saga.cancel_pending {
        lines.push(paint(BACK, "cancel requested; the outcome of the open pivot decides"));
    }
    lines.extend(preview::line(saga));
    if let Some(output) = &saga.output {
        lines.push(format!("output: {}", clean(output.as_str())));
    }
    lines.push(footer(saga));
    lines.join("\n") + "\n"
}

fn starter(starter: &Starter) -> String {
    match starter {
        Starter::Event { event_type, source, id } => {
            format!("started by event {} ({} from {})", clean(event_type), clean(id), clean(source))
        }
        Starter::Schedule { name } => format!("started by schedule {}", clean(name)),
    }
}

fn headline(saga: &Saga, now: &Now) -> String {
    let failure = saga.failure.as_ref().filter(|_| saga.status != Status::Completed);
    let code = failure.map(|failure| format!("  {}", clean(&failure.code))).unwrap_or_default();
    let after = saga.round_after.as_ref().map(|failure| format!(" after {}", clean(&failure.code))).unwrap_or_default();
    let round = if saga.round > 0 { format!("  round {}{after}", saga.round) } else { String::new() };
    let time = match saga.ended_at {
        Some(ended) => format!("took {}", duration_text(ended.since(saga.started_at))),
        None => now.ago(saga.started_at),
    };
    let deadline = match (saga.ended_at, saga.deadline_at) {
        (None, Some(at)) => format!("  deadline {} ({})", now.clock_short(at), now.until(at)),
        _ => String::new(),
    };
    format!(
        "{} {}  {}{code}{round}   {}  started {}  {time}{deadline}",
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
        let outstanding = if saga.outstanding.is_empty() { "none".to_owned() } else { paint(BAD, some(&saga.outstanding)) };
        return Some(format!("outstanding: {outstanding}"));
    }
    let in_doubt = saga.steps.iter().filter(|step| step.may_have_run).map(|step| match step.status {
        StepStatus::Running => format!("{} (an attempt is open)", step.name),
        _ => step.name.clone(),
    });
    let in_doubt: Vec<String> = in_doubt.collect();
    (!in_doubt.is_empty()).then(|| format!("may have run: {}", paint(BACK, some(&in_doubt))))
}

/// The first names of a list, and how many more there are.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<_> = names.iter().take(SHOWN).map(|name| clean(name)).collect();
    let more = names.len().saturating_sub(SHOWN);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}

/// The next useful command; none where the tree names those that help.
fn next(saga: &Saga) -> Option<String> {
    let waits = || saga.steps.iter().find_map(|step| step.forward.waits_for.as_ref()?.event.as_ref());
    let watch = || format!("amends watch {}", saga.id);
    let tell = |topic: &Topic| match clean(&topic.event_type) {
        name if topic.key == saga.id => format!("amends signal {} {name}", saga.id),
        // It may be an aggregate's, which nobody else publishes.
        name if name.contains('.') => watch(),
        name => format!("amends publish {name} --key {}", clean(&topic.key)),
    };
    match saga.status {
        Status::Stuck => None,
        Status::Waiting => Some(waits().map_or_else(watch, tell)),
        Status::Running | Status::Compensating => Some(watch()),
        Status::Completed | Status::Compensated | Status::Abandoned => Some(format!("amends journal {}", saga.id)),
    }
}

#[cfg(test)]
mod tests;
