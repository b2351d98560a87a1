//! `amends send`: a command for an aggregate.

use std::borrow::Cow;

use amends_wire::{aggregate::CommandAnswer, event::RecordedEvent};
use anyhow::Result;
use clap::Args;

use super::{
    exit::Exit,
    input,
    render::{
        style::{DIM, paint},
        text::{clean, columns},
    },
    session::{Form, Session, print, print_json},
};
use amends_client::Write;

/// Send a command to an aggregate, and print the events that it recorded.
///
/// The command is decided once under its key: sent again with the same key, it gets its first answer again.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  amends send customer C1 reserve-credit --data '{\"order\":\"O1\",\"cents\":1234}' --key R1")]
pub(super) struct Send {
    /// The aggregate's name.
    #[arg(value_name = "TYPE")]
    aggregate: String,
    /// Its id.
    id: String,
    /// The command.
    command: String,
    /// The command's data: JSON, @FILE, or - for stdin; `null` by default.
    #[arg(long, value_name = "JSON|@FILE|-")]
    data: Option<String>,
    /// The idempotency key. By default the command makes one.
    #[arg(long)]
    key: Option<String>,
    /// Refuse the command unless the aggregate has this revision.
    #[arg(long, value_name = "REVISION")]
    expect: Option<u64>,
    #[command(flatten)]
    form: Form,
}

pub(super) fn run(send: &Send, session: &Session) -> Result<Exit> {
    let data = send.data.as_deref().map(|text| input::json("data", text)).transpose()?.unwrap_or_default();
    let path = ["v1", "aggregates", &send.aggregate, &send.id, &send.command];
    let write = Write { body: data.as_bytes(), key: send.key.as_deref(), if_match: send.expect, ..Write::post(&path) };
    let (_, answer): (_, CommandAnswer) = session.client.write(&write)?;
    if send.form.json {
        print_json(&answer)?;
    } else {
        print(&text(&answer))?;
    }
    Ok(Exit::Fine)
}

fn text(answer: &CommandAnswer) -> String {
    let CommandAnswer { aggregate, id, revision, duplicate, position, events, data, .. } = answer;
    let what = if events.is_empty() { "accepted, nothing to do" } else { "accepted" };
    let again = if *duplicate { "  (as it was answered before)" } else { "" };
    let head = format!("{} {}  {what}  revision {revision}  position {position}{again}\n", clean(aggregate), clean(id));
    let data = data.iter().map(|data| format!("  answer {}\n", clean(data.as_str())));
    head + &columns(&events.iter().map(row).collect::<Vec<_>>()) + &data.collect::<String>()
}

/// An event as a row: its number, its type, its data.
fn row(event: &RecordedEvent) -> Vec<String> {
    let version = version(event);
    vec![
        format!("  {}", paint(DIM, format!("#{}", event.revision.as_deref().unwrap_or_default()))),
        format!("{}{version}", clean(&event.event_type)),
        clean(&data(event)).into_owned(),
    ]
}

/// The data of an event: JSON, or `base64 …` where it is not.
pub(super) fn data(event: &RecordedEvent) -> Cow<'_, str> {
    match (&event.data, &event.data_base64) {
        (_, Some(base64)) => format!("base64 {base64}").into(),
        (Some(data), None) => data.as_str().into(),
        (None, None) => "null".into(),
    }
}

/// The form of an event's data, if it is not the first one.
pub(super) fn version(event: &RecordedEvent) -> String {
    if event.version == 1 { String::new() } else { format!(" v{}", event.version) }
}

#[cfg(test)]
mod tests {
    use amends_wire::{Json, Time};
    use expect_test::expect;
    use serde_json::value::RawValue;

    use super::*;

    fn json(text: &str) -> Option<Json> {
        Some(RawValue::from_string(text.to_owned()).unwrap().into())
    }

    fn event(revision: u64, event_type: &str, version: u32, data: &str) -> RecordedEvent {
        RecordedEvent {
            id: format!("customer/C1/{revision}"),
            event_type: event_type.to_owned(),
            version,
            source: "customer".to_owned(),
            key: "C1".to_owned(),
            revision: Some(revision.to_string()),
            correlation: "R1".to_owned(),
            position: "0-1-48".to_owned(),
            at: Time::from_ms(0),
            imported: None,
            data: json(data),
            data_base64: None,
            tags: Vec::new(),
            module_version: Some(1),
        }
    }

    #[test]
    fn an_answer_shows_what_was_recorded() {
        let answer = CommandAnswer {
            aggregate: "customer".to_owned(),
            id: "C1".to_owned(),
            command: "R1".to_owned(),
            duplicate: false,
            revision: "3".to_owned(),
            version: 1,
            position: "0-1-48".to_owned(),
            events: vec![
                event(2, "customer.credit-reserved", 2, r#"{"order":"O1","cents":1234}"#),
                event(3, "customer.warned", 1, "null"),
            ],
            data: json("266"),
        };
        let again = CommandAnswer { duplicate: true, events: Vec::new(), data: None, ..answer.clone() };
        let told = anstream::adapter::strip_str(&(text(&answer) + &text(&again))).to_string();
        expect![[r#"
            customer C1  accepted  revision 3  position 0-1-48
              #2  customer.credit-reserved v2  {"order":"O1","cents":1234}
              #3  customer.warned              null
              answer 266
            customer C1  accepted, nothing to do  revision 3  position 0-1-48  (as it was answered before)
        "#]]
        .assert_eq(&told);
    }
}
