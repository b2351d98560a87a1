//! A saga's records as lines.

use amends_wire::{
    journal::{Entry, PublishedEvent, RecordType},
    saga::{Direction, Rollback},
};
use anstyle::Style;

use super::{
    style::{BACK, BAD, DIM, GOOD, LIVE, paint},
    text::{clean, pad, short},
    time::Now,
};

/// Wide enough for the longest type of record.
const KIND_WIDTH: usize = 16;

/// One record on one line, without a newline.
pub(crate) fn line(entry: &Entry, now: &Now) -> String {
    let time = now.clock_ms(entry.at);
    let kind = pad(&paint(style(entry.kind), entry.kind), KIND_WIDTH);
    let parts: Vec<String> = [leg(entry), detail(entry, now), act(entry)].into_iter().flatten().collect();
    format!("{:>4}  {}  {kind}  {}", entry.revision, paint(DIM, time), parts.join("  ")).trim_end().to_owned()
}

fn style(kind: RecordType) -> Style {
    match kind {
        RecordType::Done | RecordType::Undone | RecordType::Completed => GOOD,
        RecordType::Refused
        | RecordType::Transient
        | RecordType::Backoff
        | RecordType::RollbackBegun
        | RecordType::Compensated
        | RecordType::CancelRequested => BACK,
        RecordType::Unknown | RecordType::Stuck | RecordType::Abandoned => BAD,
        RecordType::Intent | RecordType::Stale => DIM,
        RecordType::Started
        | RecordType::Listed
        | RecordType::NotDone
        | RecordType::Wait
        | RecordType::Arrived
        | RecordType::TimerFired
        | RecordType::Sent
        | RecordType::Published
        | RecordType::Answered
        | RecordType::RoundBegun
        | RecordType::Resolved
        | RecordType::Skipped
        | RecordType::Retried
        | RecordType::Unstuck
        | RecordType::Moved
        | RecordType::LockQueued
        | RecordType::LockTaken
        | RecordType::LockBroken
        | RecordType::Foreign => LIVE,
    }
}

/// `undo reserve-hotel #2`, `reserve-hotel way 2 round 1 #1`.
fn leg(entry: &Entry) -> Option<String> {
    let step = entry.step.as_ref()?;
    let direction = entry.direction.filter(|direction| *direction != Direction::Forward);
    let direction = match (direction, entry.undo_alternate) {
        (Some(word), 0) => format!("{word} "),
        (Some(word), alternate) => format!("{word} by way {} ", alternate + 1),
        (None, _) => String::new(),
    };
    let way = if entry.alternate > 0 { format!(" way {}", entry.alternate + 1) } else { String::new() };
    let round = if entry.round > 0 { format!(" round {}", entry.round) } else { String::new() };
    let attempt = entry.attempt.map(|number| format!(" #{number}")).unwrap_or_default();
    Some(format!("{direction}{}{way}{round}{attempt}", clean(step)))
}

fn detail(entry: &Entry, now: &Now) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(started) = &entry.started {
        parts.push(format!("{}  {} v{} ({})", started.saga, started.module, started.version, short(&started.digest)));
        parts.push(format!("input {}", clean(started.input.as_str())));
    }
    parts.extend(entry.elements.map(|all| elements(all, &entry.element_keys)));
    parts.extend(entry.savepoint.as_ref().map(|savepoint| format!("round {} after savepoint {}", entry.round, clean(savepoint))));
    if entry.reaches_outside == Some(false) {
        parts.push("effect-free".to_owned());
    }
    if let Some(rollback) = &entry.rollback {
        parts.push(reason(rollback));
    }
    parts.extend(entry.resolution.map(|resolution| resolution.to_string()));
    parts.extend(entry.output.as_ref().map(|output| clean(output.as_str()).into_owned()));
    // A rollback that no step caused has said all with its reason.
    let failure = entry.failure.as_ref().filter(|_| entry.rollback.as_ref().is_none_or(|rollback| rollback.step.is_some()));
    parts.extend(failure.map(|failure| format!("{}: {}", clean(&failure.code), clean(&failure.message))));
    parts.extend(entry.until.map(|until| format!("until {}", now.clock_ms(until))));
    if let Some(waits) = &entry.waits_for {
        parts.extend(waits.event.as_ref().map(|topic| format!("for event {}/{}", clean(&topic.event_type), clean(&topic.key))));
        parts.extend(waits.answer.as_ref().map(|answer| format!("for the answer to command {}", answer.number)));
        parts.extend(waits.until.map(|until| format!("until {}", now.clock_short(until))));
    }
    if let Some(command) = &entry.command {
        let name = command.command.as_ref().map(|name| format!("{} to ", clean(name))).unwrap_or_default();
        let revision = command.revision.as_ref().map(|revision| format!("  accepted, revision {revision}")).unwrap_or_default();
        parts.push(format!("command {} {name}{}{revision}", command.number, clean(&command.to)));
        parts.extend(command.data.as_ref().map(|data| clean(data.as_str()).into_owned()));
    }
    if let Some(PublishedEvent { topic, data }) = &entry.published {
        parts.push(format!("{}/{}  {}", clean(&topic.event_type), clean(&topic.key), clean(data.as_str())));
    }
    if let Some(event) = &entry.event {
        parts.push(format!("{}/{} (event {})", clean(&event.topic.event_type), clean(&event.topic.key), clean(&event.id)));
    }
    parts.extend((!entry.legs.is_empty()).then(|| entry.legs.iter().map(|leg| clean(leg)).collect::<Vec<_>>().join(", ")));
    parts.extend(entry.why.as_ref().map(|why| clean(why).into_owned()));
    (!parts.is_empty()).then(|| parts.join("  "))
}

/// `1000 elements: s1, s2, s3, …`
fn elements(all: usize, first: &[String]) -> String {
    let keys: Vec<_> = first.iter().map(|key| clean(key)).collect();
    let more = if all > first.len() { ", …" } else { "" };
    match all {
        0 => "no elements".to_owned(),
        1 => format!("1 element: {}", keys.join(", ")),
        all => format!("{all} elements: {}{more}", keys.join(", ")),
    }
}

/// What decided a rollback, as `refused by reserve-car`.
pub(crate) fn reason(rollback: &Rollback) -> String {
    let step = rollback.step.as_ref().map(|step| format!(" by {}", clean(step))).unwrap_or_default();
    format!("{}{step}", rollback.reason)
}

fn act(entry: &Entry) -> Option<String> {
    let by = entry.by.as_ref().map(|by| format!("by {}", clean(by)));
    let note = entry.note.as_ref().map(|note| format!("“{}”", clean(note)));
    let parts: Vec<String> = by.into_iter().chain(note).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use jiff::tz::TimeZone;

    use super::{super::samples, *};

    #[test]
    fn elements_ways_and_rounds_are_told() {
        let now = Now { at: samples::completed().as_of, zone: TimeZone::UTC };
        let lines: String = samples::journal_of_a_journey().iter().map(|entry| line(entry, &now) + "\n").collect();
        expect![[r#"
            T2
               1  12:00:00.000  listed            check-out  1000 elements: s0, s1, s2, s3, s4, …
               2  12:00:00.007  listed            travellers  1 element: s0
               3  12:00:00.014  refused           reserve-hotel way 2 #1  no_room: H2 is full
               4  12:00:00.021  undone            undo by way 2 reserve-hotel #1
               5  12:00:00.028  round_begun       round 1 after savepoint seats
               6  12:00:00.035  done              reserve-hotel round 1 #1  {}
        "#]]
        .assert_eq(&format!("T2\n{}", anstream::adapter::strip_str(&lines)));
    }

    #[test]
    fn a_journal_reads_from_top_to_bottom() {
        let now = Now { at: samples::completed().as_of, zone: TimeZone::UTC };
        let lines: String = samples::journal().iter().map(|entry| line(entry, &now) + "\n").collect();
        // Without a first line that is not indented, the golden would lose the alignment.
        let lines = format!("T2\n{lines}");
        expect![[r#"
            T2
               1  12:00:00.000  started           trip  trip v1 (3f3f3f3f3f3f)  input {"trip":"T2"}
               2  12:00:00.007  intent            reserve-flight #1  effect-free
               3  12:00:00.014  done              reserve-flight #1  {"seat":7}
               4  12:00:00.021  intent            reserve-hotel #1
               5  12:00:00.028  wait              reserve-hotel #1  for event approval/42  until 14:00
               6  12:00:00.035  timer_fired       reserve-hotel
               7  12:00:00.042  refused           reserve-hotel #2  no_room: H1 is full
               8  12:00:00.049  rollback_begun    refused by reserve-hotel  no_room: H1 is full
               9  12:00:00.056  backoff           undo reserve-flight  until 12:00:00.900
              10  12:00:00.063  stuck             undo reserve-flight  it was running each time the host died
              11  12:00:00.070  retried           undo reserve-flight  by ann “fixed the hotel”
              12  12:00:00.077  resolved          reserve-flight  undone  by ann “fixed the hotel”
              13  12:00:00.084  cancel_requested  by ann “fixed the hotel”
              14  12:00:00.091  compensated
        "#]]
        .assert_eq(&anstream::adapter::strip_str(&lines).to_string());
    }
}
