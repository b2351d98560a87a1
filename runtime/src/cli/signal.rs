//! `amends signal`: an event for one saga.

use anyhow::Result;
use clap::Args;

use super::{
    clock,
    exit::Exit,
    input,
    render::text::count,
    session::{Form, Session, print, print_json},
};
use crate::{api::wire::event::Accepted, client::Write};

/// Send a signal to one saga; kept if it does not wait yet, refused if it has ended.
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
    report(&accepted, signal.form)
}

/// What became of an event.
pub(super) fn report(accepted: &Accepted, form: Form) -> Result<Exit> {
    if form.json {
        print_json(accepted)?;
        return Ok(Exit::Fine);
    }
    let now = clock::now();
    let woke = format!("woke {}", count(u64::from(accepted.woke), "saga"));
    let kept = accepted.kept_until.map(|until| format!("kept until {}", now.clock_short(until)));
    let what = match (accepted.duplicate, accepted.woke, kept) {
        (true, _, _) => "was there already".to_owned(),
        (false, 0, Some(kept)) => kept,
        (false, _, _) => woke,
    };
    print(&format!("event {} {what}\n", accepted.id))?;
    Ok(Exit::Fine)
}
