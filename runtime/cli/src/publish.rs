//! `amends publish`: sends an event to every saga that waits for it, and starts sagas; or many events of a file.

use amends_wire::{Json, event::CloudEvent};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::value::RawValue;

use super::{
    batch,
    exit::{Exit, Usage},
    input,
    session::{Form, Session},
    signal::report,
};
use amends_client::Write;

/// The sagas for which an event is kept that no saga took at once.
pub(super) const KEPT_FOR: &str = " for sagas that had started before it";

/// Publish an event: sagas that wait for it go on, and it can start sagas.
///
/// If no saga takes it, it is kept for sagas that started before it and wait for it later. A saga that starts later never gets
/// it.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  amends publish approval --key 42 --data '{\"ok\":true}'\n  amends publish --batch events.jsonl"
)]
pub(super) struct Publish {
    /// The event's type.
    #[arg(value_name = "TYPE", required_unless_present = "batch")]
    event_type: Option<String>,
    /// The correlation key that sagas wait for.
    #[arg(long)]
    key: Option<String>,
    /// The event's id; a repeated id is the same event. By default the command makes one.
    #[arg(long)]
    id: Option<String>,
    /// The publisher.
    #[arg(long, default_value = "amends:cli")]
    source: String,
    /// The event's data: JSON, @FILE, or - for stdin.
    #[arg(long, value_name = "JSON|@FILE|-")]
    data: Option<String>,
    /// Publish the events of a file, or of stdin with -: CloudEvents in JSON, one a line or in an array, recorded in their order. What
    /// cannot be taken is said, and what was taken before is not recorded twice.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["event_type", "key", "id", "source", "data"])]
    batch: Option<String>,
    #[command(flatten)]
    form: Form,
}

pub(super) fn run(publish: &Publish, session: &Session) -> Result<Exit> {
    match (&publish.batch, &publish.event_type) {
        (Some(file), _) => batch::run(file, session, publish.form),
        (None, Some(event_type)) => one(publish, event_type, session),
        // The parser wants one of them.
        (None, None) => bail!(Usage("give the event's type, or a file with --batch".into())),
    }
}

fn one(publish: &Publish, event_type: &str, session: &Session) -> Result<Exit> {
    let data = publish.data.as_deref().map(|text| input::json("data", text)).transpose()?;
    let id = match &publish.id {
        Some(id) => id.clone(),
        None => fresh_id()?,
    };
    let event = CloudEvent {
        specversion: "1.0".to_owned(),
        id,
        source: publish.source.clone(),
        event_type: event_type.to_owned(),
        subject: publish.key.clone(),
        partitionkey: None,
        time: None,
        datacontenttype: None,
        dataschema: None,
        data: data.map(RawValue::from_string).transpose().context("cannot send the data")?.map(Json::from),
        data_base64: None,
    };
    let body = serde_json::to_vec(&event).context("cannot send the event")?;
    let path = ["v1", "events"];
    let (_, accepted) =
        session.client.write(&Write { body: &body, content_type: "application/cloudevents+json", ..Write::post(&path) })?;
    report(&accepted, KEPT_FOR, publish.form)
}

fn fresh_id() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("cannot make an id; give one with --id")?;
    Ok(hex::encode(bytes))
}
