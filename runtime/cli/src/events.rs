//! `amends events`: events as they were recorded, and followed live.

use amends_wire::event::{EventPage, RecordedEvent};
use anyhow::{Context, Result};
use clap::Args;

use super::{
    clock,
    exit::Exit,
    render::{
        style::{BOLD, DIM, paint},
        text::clean,
        time::Now,
    },
    send::{data, version},
    session::{Form, Session, print, print_json},
    watch::{Stream, follow},
};

/// List the events of the journal in their order, and follow them live.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  amends events --name customer.opened --key C1\n  amends events --follow --json")]
pub(super) struct Events {
    /// Only events of these types, with commas between them.
    #[arg(long, value_name = "TYPE,…")]
    name: Option<String>,
    /// Only events of the aggregate of this id, or published with this key.
    #[arg(long)]
    key: Option<String>,
    /// Only events behind this position, as the host printed it.
    #[arg(long, value_name = "POSITION")]
    from: Option<String>,
    /// Wait for further events, until the command is stopped.
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    form: Form,
}

pub(super) fn run(events: &Events, session: &Session) -> Result<Exit> {
    match events.follow {
        true => live(events, session),
        false => all(events, session),
    }
}

impl Events {
    fn query<'a>(&'a self, after: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
        let given = [("name", self.name.as_deref()), ("key", self.key.as_deref()), ("after", after)];
        given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

fn all(events: &Events, session: &Session) -> Result<Exit> {
    let mut after = events.from.clone();
    loop {
        let page: EventPage = session.client.get(&["v1", "events"], &events.query(after.as_deref()))?;
        page.events.iter().try_for_each(|event| show(event, events.form))?;
        if !page.has_more {
            return Ok(Exit::Fine);
        }
        after = Some(page.through);
    }
}

fn live(events: &Events, session: &Session) -> Result<Exit> {
    let query = events.query(events.from.as_deref());
    follow(session, &["v1", "events", "watch"], &query, Stream::Records, |message| {
        let event: RecordedEvent = serde_json::from_str(&message.data).context("cannot read what the host sent")?;
        show(&event, events.form)?;
        Ok(true)
    })?;
    Ok(Exit::Fine)
}

fn show(event: &RecordedEvent, form: Form) -> Result<()> {
    match form.json {
        true => print_json(event),
        false => print(&line(event, &clock::now())),
    }
}

fn line(event: &RecordedEvent, now: &Now) -> String {
    let RecordedEvent { position, at, event_type, source, key, revision, .. } = event;
    let number = revision.as_ref().map(|revision| format!(" #{revision}")).unwrap_or_default();
    let (when, place) = (paint(DIM, now.clock(*at)), paint(DIM, position));
    let name = paint(BOLD, clean(event_type));
    format!("{when}  {place}  {} {}{number}  {name}{}  {}\n", clean(source), clean(key), version(event), clean(&data(event)))
}

#[cfg(test)]
mod tests {
    use amends_wire::Time;
    use expect_test::expect;
    use jiff::tz::TimeZone;
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn an_event_is_a_line_with_its_place_and_whose_it_is() {
        let at = Time::from_ms(1_767_268_800_000);
        let now = Now { at, zone: TimeZone::UTC };
        let decided = RecordedEvent {
            id: "customer/C1/2".to_owned(),
            event_type: "customer.credit-reserved".to_owned(),
            version: 2,
            source: "customer".to_owned(),
            key: "C1".to_owned(),
            revision: Some("2".to_owned()),
            position: "0-1-48".to_owned(),
            at,
            imported: None,
            correlation: "R1".to_owned(),
            data: Some(RawValue::from_string(r#"{"order":"O1"}"#.to_owned()).unwrap().into()),
            data_base64: None,
            tags: Vec::new(),
            module_version: Some(1),
        };
        let published = RecordedEvent {
            id: "e1".to_owned(),
            event_type: "approval".to_owned(),
            version: 1,
            source: "crm".to_owned(),
            key: "42".to_owned(),
            revision: None,
            data: None,
            module_version: None,
            ..decided.clone()
        };
        let bytes = RecordedEvent { data: None, data_base64: Some("AP8=".to_owned()), ..decided.clone() };
        let told =
            anstream::adapter::strip_str(&(line(&decided, &now) + &line(&published, &now) + &line(&bytes, &now))).to_string();
        expect![[r#"
            12:00:00  0-1-48  customer C1 #2  customer.credit-reserved v2  {"order":"O1"}
            12:00:00  0-1-48  crm 42  approval  null
            12:00:00  0-1-48  customer C1 #2  customer.credit-reserved v2  base64 AP8=
        "#]]
        .assert_eq(&told);
    }
}
