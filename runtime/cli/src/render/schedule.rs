//! Schedules for people: one, and a table of them.

use amends_wire::schedule::{Overlap, Schedule, ScheduleStatus};
use jiff::tz::TimeZone;

use super::{
    style::{BOLD, DIM, LIVE, paint},
    text::{clean, columns, count, header},
    time::Now,
};

/// One schedule: when, what is next, what happened last and why.
pub(crate) fn one(schedule: &Schedule, now: &Now) -> String {
    let Schedule { name, saga, status, .. } = schedule;
    let there = &by_its_clock(schedule, now);
    let mut rows = vec![("when", when(schedule, now)), ("next", next(schedule, there))];
    rows.extend(schedule.waiting.as_ref().map(|waiting| {
        let until = waiting.until.map_or("until it has ended".to_owned(), |until| format!("tried again {}", now.until(until)));
        ("waits", format!("the start of {}, {until}: {}", there.clock_short(waiting.due), clean(&waiting.message)))
    }));
    rows.extend(schedule.last_fired.as_ref().map(|fired| {
        let by_hand = if fired.due.is_none() { ", by hand" } else { "" };
        ("started", format!("{}, {}{by_hand}; {} in all", fired.saga, now.ago(fired.at), schedule.fired))
    }));
    rows.extend(schedule.last_missed.as_ref().map(|missed| {
        let due = there.clock_short(missed.due);
        let which = match missed.count {
            1 => format!("the start of {due}"),
            many => format!("{} from {due} on", count(many, "start")),
        };
        ("missed", format!("{which}: {}; {} in all", clean(&missed.message), schedule.missed))
    }));
    rows.push(("rules", rules(schedule)));
    rows.push(("changed", changed(schedule, now)));
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(label, text)| vec![format!("  {}", paint(DIM, label)), text]).collect();
    format!("{}  {}  starts {saga}\n{}", paint(BOLD, name), shown_status(*status), columns(&rows))
}

/// Many, a line each.
pub(crate) fn table(schedules: &[Schedule], now: &Now) -> String {
    let mut rows = vec![header(["SCHEDULE", "SAGA", "STATUS", "WHEN", "NEXT", "STARTED", "MISSED"])];
    rows.extend(schedules.iter().map(|schedule| {
        let next = schedule.next.first().map_or(String::new(), |next| now.until(*next));
        let (fired, missed) = (schedule.fired.to_string(), schedule.missed.to_string());
        let status = shown_status(schedule.status);
        vec![schedule.name.clone(), schedule.saga.clone(), status, when(schedule, now), next, fired, missed]
    }));
    columns(&rows)
}

fn shown_status(status: ScheduleStatus) -> String {
    match status {
        ScheduleStatus::Active => paint(LIVE, status),
        ScheduleStatus::Paused | ScheduleStatus::Over => paint(DIM, status),
    }
}

fn when(schedule: &Schedule, now: &Now) -> String {
    match (&schedule.at, &schedule.cron, &schedule.zone) {
        (Some(at), ..) => format!("once, at {}", now.clock(*at)),
        (None, Some(cron), Some(zone)) => format!("{cron}, {zone}"),
        (None, ..) => String::new(),
    }
}

/// The clock that the expression speaks of, where it is known here: what was asked for shows as it was written.
fn by_its_clock(schedule: &Schedule, now: &Now) -> Now {
    let zone = schedule.zone.as_deref().and_then(|zone| TimeZone::get(zone).ok());
    zone.map_or_else(|| now.clone(), |zone| Now { zone, ..now.clone() })
}

fn next(schedule: &Schedule, now: &Now) -> String {
    let mut moments = schedule.next.iter();
    let Some(first) = moments.next() else {
        return match schedule.status {
            ScheduleStatus::Paused => format!("nothing until `amends schedule resume {}`", schedule.name),
            ScheduleStatus::Over => "nothing any more".to_owned(),
            ScheduleStatus::Active => "nothing after that".to_owned(),
        };
    };
    let others: Vec<String> = moments.map(|moment| now.clock_short(*moment)).collect();
    let then = if others.is_empty() { String::new() } else { format!(", then {}", others.join(", ")) };
    let there = schedule.zone.as_ref().map_or(String::new(), |zone| format!(" {zone}"));
    format!("{}{there} ({}){then}", now.clock_short(*first), now.until(*first))
}

fn changed(schedule: &Schedule, now: &Now) -> String {
    let by = schedule.by.as_ref().map_or(String::new(), |by| format!(", by {}", clean(by)));
    let note = schedule.note.as_ref().map_or(String::new(), |note| format!(": {}", clean(note)));
    format!("{}{by}{note}", now.ago(schedule.since))
}

fn rules(schedule: &Schedule) -> String {
    let overlap = match schedule.overlap {
        Overlap::Skip => "skips a start while the previous saga runs",
        Overlap::Queue => "keeps one start waiting while the previous saga runs",
        Overlap::Allow => "starts also while earlier sagas run",
    };
    let jitter = match schedule.jitter.as_str() {
        "0s" => String::new(),
        jitter => format!("up to {jitter} later than its moment, "),
    };
    format!("{overlap}, {jitter}late by at most {}", schedule.catch_up)
}

#[cfg(test)]
mod tests {
    use amends_wire::{
        Time,
        schedule::{Fired, Missed, Waiting},
    };
    use expect_test::expect;

    use super::*;
    use amends_host::api::samples::NOON;

    fn minutes(minutes: u64) -> Time {
        Time::from_ms(NOON.plus(minutes * 60_000).0)
    }

    fn nightly() -> Schedule {
        Schedule {
            name: "nightly".to_owned(),
            saga: "order".to_owned(),
            status: ScheduleStatus::Active,
            at: None,
            cron: Some("0 3 * * *".to_owned()),
            zone: Some("Europe/Berlin".to_owned()),
            input: None,
            id: None,
            overlap: Overlap::Queue,
            jitter: "30s".to_owned(),
            catch_up: "1h".to_owned(),
            revision: "3".to_owned(),
            since: minutes(0),
            as_of: minutes(5),
            note: Some("the shop moves".to_owned()),
            by: Some("ann".to_owned()),
            next: vec![minutes(60), minutes(60 + 1_440)],
            waiting: Some(Waiting {
                due: minutes(1),
                until: None,
                code: "overlap".to_owned(),
                message: "saga nightly:20260101T120000Z, which it started before, had not ended".to_owned(),
            }),
            last_fired: Some(Fired { due: None, at: minutes(1), saga: "nightly:20260101T120000Z".to_owned() }),
            last_missed: Some(Missed {
                due: minutes(0),
                at: minutes(2),
                count: 3,
                code: "late".to_owned(),
                message: "the host was not there".to_owned(),
            }),
            fired: 2,
            missed: 3,
        }
    }

    #[test]
    fn a_schedule_says_in_words_what_is_due_and_what_happened_last() {
        let now = Now { at: minutes(5), zone: TimeZone::UTC };
        let once = Schedule { cron: None, zone: None, at: Some(minutes(60)), next: Vec::new(), waiting: None, ..nightly() };
        let paused = Schedule { status: ScheduleStatus::Paused, jitter: "0s".to_owned(), overlap: Overlap::Skip, ..once.clone() };
        let over = Schedule { status: ScheduleStatus::Over, overlap: Overlap::Allow, last_missed: None, ..once };
        let printed = [one(&nightly(), &now), one(&paused, &now), one(&over, &now), table(&[nightly(), over], &now)].join("\n");
        expect![[r#"
            nightly  active  starts order
              when     0 3 * * *, Europe/Berlin
              next     14:00 Europe/Berlin (in 55m), then 2026-01-02 14:00
              waits    the start of 13:01, until it has ended: saga nightly:20260101T120000Z, which it started before, had not ended
              started  nightly:20260101T120000Z, 4m ago, by hand; 2 in all
              missed   3 starts from 13:00 on: the host was not there; 3 in all
              rules    keeps one start waiting while the previous saga runs, up to 30s later than its moment, late by at most 1h
              changed  5m ago, by ann: the shop moves

            nightly  paused  starts order
              when     once, at 13:00:00
              next     nothing until `amends schedule resume nightly`
              started  nightly:20260101T120000Z, 4m ago, by hand; 2 in all
              missed   3 starts from 12:00 on: the host was not there; 3 in all
              rules    skips a start while the previous saga runs, late by at most 1h
              changed  5m ago, by ann: the shop moves

            nightly  over  starts order
              when     once, at 13:00:00
              next     nothing any more
              started  nightly:20260101T120000Z, 4m ago, by hand; 2 in all
              rules    starts also while earlier sagas run, up to 30s later than its moment, late by at most 1h
              changed  5m ago, by ann: the shop moves

            SCHEDULE  SAGA   STATUS  WHEN                      NEXT    STARTED  MISSED
            nightly   order  active  0 3 * * *, Europe/Berlin  in 55m  2        3
            nightly   order  over    once, at 13:00:00                 2        3
        "#]].assert_eq(&anstream::adapter::strip_str(&printed).to_string());
    }
}
