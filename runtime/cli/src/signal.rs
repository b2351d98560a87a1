//! `amends signal`: an event for one saga.

use amends_wire::event::{Accepted, NotStarted, StartedSaga};
use anyhow::Result;
use clap::Args;

use super::{
    clock,
    exit::Exit,
    input,
    render::{
        text::{clean, count},
        time::Now,
    },
    session::{Form, Session, print, print_json, say},
};
use amends_client::Write;

/// Send an event to one saga; kept until it waits for it, refused if it has ended.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  amends signal T1 approval --data '{\"ok\":true}'")]
pub(super) struct Signal {
    /// The saga.
    id: String,
    /// The event type that the saga waits for.
    name: String,
    /// Data for the saga: JSON, @FILE, or - for stdin.
    #[arg(long, value_name = "JSON|@FILE|-")]
    data: Option<String>,
    #[command(flatten)]
    form: Form,
}

pub(super) fn run(signal: &Signal, session: &Session) -> Result<Exit> {
    let data = signal.data.as_deref().map(|text| input::json("data", text)).transpose()?.unwrap_or_default();
    let path = ["v1", "sagas", &signal.id, "signals", &signal.name];
    let (_, accepted) = session.client.write(&Write { body: data.as_bytes(), ..Write::post(&path) })?;
    report(&accepted, "", signal.form)
}

/// The result of an event. `kept_for` names the sagas for which it is kept, if it was not sent to one saga.
pub(super) fn report(accepted: &Accepted, kept_for: &str, form: Form) -> Result<Exit> {
    if form.json {
        print_json(accepted)?;
    } else {
        print(&event_text(accepted, kept_for, &clock::now()))?;
    }
    if accepted.not_started.is_empty() {
        return Ok(Exit::Fine);
    }
    say("this event will not start the sagas that are not started: correct it, and publish it under another id");
    Ok(Exit::Failed)
}

/// A line for the event, and a line for each saga that it started or failed to start.
fn event_text(accepted: &Accepted, kept_for: &str, now: &Now) -> String {
    let woke = (accepted.woke > 0).then(|| format!("woke {}", count(u64::from(accepted.woke), "saga")));
    let started = (!accepted.started.is_empty()).then(|| format!("started {}", count(accepted.started.len() as u64, "saga")));
    let what = match (accepted.duplicate, accepted.kept_until) {
        (true, _) => "was there already".to_owned(),
        (false, Some(until)) => format!("kept until {}{kept_for}", now.clock_short(until)),
        (false, None) => woke.into_iter().chain(started).collect::<Vec<_>>().join(" and "),
    };
    let begun = accepted.started.iter().map(|StartedSaga { saga, id }| format!("  {}  {}", clean(saga), clean(id)));
    let refused = accepted
        .not_started
        .iter()
        .map(|NotStarted { saga, code, message }| format!("  {}  not started: {}: {}", clean(saga), clean(code), clean(message)));
    let event = format!("event {} {what}", clean(&accepted.id));
    std::iter::once(event).chain(begun).chain(refused).map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use amends_wire::Time;
    use expect_test::expect;
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn what_became_of_an_event_is_said_with_every_saga_that_it_started_or_did_not() {
        let time = Time::from_ms(1_767_268_800_000);
        let now = Now { at: time, zone: TimeZone::UTC };
        let started = || vec![StartedSaga { saga: "fulfil".to_owned(), id: "fulfil:7c3f".to_owned() }];
        let message = "the input does not fit saga `invoice`: at /sku: must be a string".to_owned();
        let refused = NotStarted { saga: "invoice".to_owned(), code: "input_does_not_fit".to_owned(), message };
        let event = |woke, started, not_started, kept_until| {
            let id = "e1".to_owned();
            event_text(&Accepted { id, duplicate: false, woke, started, not_started, kept_until }, "", &now)
        };
        let again = Accepted {
            id: "e1".to_owned(),
            duplicate: true,
            woke: 0,
            started: started(),
            not_started: Vec::new(),
            kept_until: None,
        };
        expect![[r#"
            event e1 woke 2 sagas
            event e1 started 1 saga
              fulfil  fulfil:7c3f
              invoice  not started: input_does_not_fit: the input does not fit saga `invoice`: at /sku: must be a string
            event e1 woke 1 saga and started 1 saga
              fulfil  fulfil:7c3f
            event e1 kept until 12:00
              invoice  not started: input_does_not_fit: the input does not fit saga `invoice`: at /sku: must be a string
            event e1 was there already
              fulfil  fulfil:7c3f
        "#]]
        .assert_eq(
            &[
                event(2, Vec::new(), Vec::new(), None),
                event(0, started(), vec![refused.clone()], None),
                event(1, started(), Vec::new(), None),
                event(0, Vec::new(), vec![refused], Some(time)),
                event_text(&again, "", &now),
            ]
            .concat(),
        );
    }

    /// `kept until` was read as "for whoever waits later"; a saga that starts later does not get it.
    #[test]
    fn c2_37_a_published_event_says_for_whom_it_is_kept() {
        let now = Now { at: Time::from_ms(0), zone: TimeZone::UTC };
        let kept_until = Some(Time::from_ms(60_000));
        let accepted =
            Accepted { id: "e1".to_owned(), duplicate: false, woke: 0, started: Vec::new(), not_started: Vec::new(), kept_until };
        let published = event_text(&accepted, crate::publish::KEPT_FOR, &now);
        assert_eq!(published, "event e1 kept until 00:01 for sagas that had started before it\n");
        assert_eq!(event_text(&accepted, "", &now), "event e1 kept until 00:01\n");
    }
}
