//! Schedules from the engine's words to the wire's.

use amends_core::{
    Instant,
    schedule::{self, When},
};
use amends_wire::schedule::{Fired, Missed, Overlap, Schedule, ScheduleStatus, Waiting};

use super::value::{json, time};
use crate::engine::port::ScheduleView;

/// A schedule with what follows from it.
pub fn schedule(view: &ScheduleView, now: Instant) -> Schedule {
    let (of, spec) = (&view.schedule, &view.schedule.spec);
    let (at, cron, zone) = match &spec.when {
        When::At(at) | When::After { at, .. } => (Some(*at), None, None),
        When::Cron { expression, zone } => (None, Some(expression.clone()), Some(zone.clone())),
    };
    let is_over = of.next.is_none() && of.waiting.is_none();
    let status = match (is_over, of.paused) {
        (true, _) => ScheduleStatus::Over,
        (false, true) => ScheduleStatus::Paused,
        (false, false) => ScheduleStatus::Active,
    };
    Schedule {
        name: view.name.clone(),
        saga: spec.saga.clone(),
        status,
        at: at.map(time),
        cron,
        zone,
        input: view.input.as_ref().map(json),
        id: spec.id.clone(),
        overlap: overlap(spec.overlap),
        jitter: duration(spec.jitter_ms),
        catch_up: duration(spec.catch_up_ms),
        revision: of.revision.to_string(),
        since: time(of.since),
        note: said(&of.act.note),
        by: said(&of.act.by),
        as_of: time(now),
        next: if of.paused { Vec::new() } else { view.next.iter().copied().map(time).collect() },
        waiting: of.waiting.as_ref().map(|waiting| Waiting {
            due: time(waiting.due),
            until: waiting.until.map(time),
            code: waiting.reason.code.clone(),
            message: waiting.reason.message.clone(),
        }),
        last_fired: of.last_fired.as_ref().map(|fired| Fired {
            due: fired.due.map(time),
            at: time(fired.at),
            saga: fired.saga.clone(),
        }),
        last_missed: of.last_missed.as_ref().map(|missed| Missed {
            due: time(missed.due),
            at: time(missed.at),
            count: missed.count,
            code: missed.reason.code.clone(),
            message: missed.reason.message.clone(),
        }),
        fired: of.fired,
        missed: of.missed,
    }
}

fn overlap(overlap: schedule::Overlap) -> Overlap {
    match overlap {
        schedule::Overlap::Skip => Overlap::Skip,
        schedule::Overlap::Queue => Overlap::Queue,
        schedule::Overlap::Allow => Overlap::Allow,
    }
}

fn said(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn duration(ms: u64) -> String {
    humantime::format_duration(std::time::Duration::from_millis(ms)).to_string()
}
