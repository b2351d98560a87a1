//! `amends watch`: follows one saga to its end, or all of them until stopped.

use std::{thread, time::Duration};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::{
    clock,
    exit::Exit,
    render::{
        self,
        style::{self, BOLD, DIM, paint},
        tree,
    },
    session::{Form, Session, print, print_json, say},
};
use crate::{
    api::wire::{
        journal::Entry,
        saga::{Saga, SagaLine},
    },
    client::{ClientError, Message},
};

/// A host that restarts is back within seconds.
const RECONNECTS_MAX: u32 = 60;

/// Between them.
const PAUSE: Duration = Duration::from_millis(500);

/// Follow a saga, or all of them, record by record.
///
/// One saga is followed until it ends, and its outcome is the exit code. It goes on where it was when the host restarts.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  amends watch T1\n  amends watch --json")]
pub(super) struct Watch {
    /// The saga; all of them when left out.
    id: Option<String>,
    #[command(flatten)]
    form: Form,
}

pub(super) fn run(watch: &Watch, session: &Session) -> Result<Exit> {
    match &watch.id {
        Some(id) => one(id, watch.form, session),
        None => all(watch.form, session),
    }
}

fn one(id: &str, form: Form, session: &Session) -> Result<Exit> {
    let path = ["v1", "sagas", id, "watch"];
    let mut seen: Option<String> = None;
    follow(session, &path, &mut seen, |message| match message.event.as_str() {
        "end" => Ok(false),
        _ => entry(message, form).map(|()| true),
    })?;
    let saga: Saga = session.client.get(&["v1", "sagas", id], &[])?;
    if !form.json {
        print(&tree::tree(&saga, &clock::as_of(saga.as_of)))?;
    }
    Ok(Exit::of(saga.status))
}

fn all(form: Form, session: &Session) -> Result<Exit> {
    follow(session, &["v1", "watch"], &mut None, |message| {
        if message.event == "gap" {
            say("some changes were missed; `amends list` shows where everything stands");
            return Ok(true);
        }
        let saga: SagaLine = serde_json::from_str(&message.data).context("cannot read what the host sent")?;
        match form.json {
            true => print_json(&saga)?,
            false => print(&line(&saga))?,
        }
        Ok(true)
    })?;
    Ok(Exit::Fine)
}

/// Hands every message on, across restarts of the host, until the reader or the host says that it is enough.
pub(super) fn follow(
    session: &Session,
    path: &[&str],
    seen: &mut Option<String>,
    mut read: impl FnMut(&Message) -> Result<bool>,
) -> Result<()> {
    let mut failed = 0;
    let mut was_connected = false;
    loop {
        match session.client.follow(path, seen.as_deref()) {
            Ok(None) => return Ok(()),
            Ok(Some(messages)) => {
                (failed, was_connected) = (0, true);
                for message in messages {
                    if !read(&message)? {
                        return Ok(());
                    }
                    *seen = message.id.or(seen.take());
                }
                say("the connection ended; connecting again …");
            }
            // Only a host that was there may be waited for; the others are typing errors.
            Err(error) if was_connected && error.no_host().is_some() && failed < RECONNECTS_MAX => failed += 1,
            Err(ClientError::Unreachable { address, cause } | ClientError::Lost { address, cause }) if was_connected => {
                bail!("the host at {address} did not come back ({cause}); watch again once it does")
            }
            Err(error) => return Err(error.into()),
        }
        thread::sleep(PAUSE);
    }
}

fn entry(message: &Message, form: Form) -> Result<()> {
    let entry: Entry = serde_json::from_str(&message.data).context("cannot read what the host sent")?;
    match form.json {
        true => print_json(&entry),
        false => print(&(render::journal::line(&entry, &clock::now()) + "\n")),
    }
}

fn line(saga: &SagaLine) -> String {
    let now = clock::now();
    let time = paint(DIM, now.clock_ms(now.at));
    format!("{time}  {}  {}  {}\n", paint(BOLD, &saga.id), saga.saga, style::status(saga.status))
}
