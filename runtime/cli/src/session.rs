//! The session of a verb with a host: the client, and the streams for data and messages.

use std::io::{IsTerminal, Write};

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

use super::{
    exit::{Exit, Usage},
    failure::is_broken_pipe,
};
use amends_client::Client;
use amends_host::plain::escape_json;

/// The host and the namespace.
#[derive(Args, Debug)]
pub(crate) struct Remote {
    /// The host's address.
    #[arg(
        long,
        global = true,
        env = "AMENDS_HOST",
        hide_env_values = true,
        default_value = "http://127.0.0.1:8420",
        value_name = "URL",
        help_heading = "Host"
    )]
    pub(crate) host: String,
    /// The namespace.
    #[arg(
        long,
        global = true,
        env = "AMENDS_NAMESPACE",
        hide_env_values = true,
        default_value = "default",
        value_name = "NAME",
        help_heading = "Host"
    )]
    pub(crate) namespace: String,
}

/// The format of printed data.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Form {
    /// Print JSON: one object, or one object for each line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A connection and the two streams.
pub(crate) struct Session {
    /// The host.
    pub(crate) client: Client,
}

impl Session {
    /// A session with a host.
    pub(crate) fn open(remote: &Remote) -> Result<Self> {
        amends_core::id::Namespace::new(&remote.namespace).map_err(|bad| Usage(bad.to_string()))?;
        let by = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).ok();
        // A header value is one line; a name that is no valid value is left out.
        let by = by.filter(|by| !by.is_empty() && by.len() <= 128 && !by.contains(char::is_control));
        let client = Client::new(&remote.host, &remote.namespace, by).map_err(Usage)?;
        Ok(Self { client })
    }
}

/// Prints data to stdout, with colours on a terminal only.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot write to stdout")
}

/// The end of a command whose exit code is the outcome of a saga, also if the reader of stdout closed it.
pub(crate) fn outcome(exit: Exit, printed: Result<()>) -> Result<Exit> {
    match printed {
        Err(error) if !is_broken_pipe(&error) => Err(error),
        Ok(()) | Err(_) => Ok(exit),
    }
}

/// Prints one object on one line.
pub(crate) fn print_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(value).context("cannot write JSON")?;
    print(&(escape_json(&text) + "\n"))
}

/// Prints a message to stderr; a failure to write it is ignored.
pub(crate) fn say(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// What came of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consent {
    /// Nobody was asked.
    Unasked,
    /// Go on.
    Given,
    /// Do nothing.
    Refused,
}

/// Asks for confirmation, if stdin is a terminal. True: go on.
pub(crate) fn confirmed(question: &str, yes: bool) -> Result<bool> {
    Ok(consent(question, yes)? != Consent::Refused)
}

/// Asks for confirmation, if stdin is a terminal.
pub(crate) fn consent(question: &str, yes: bool) -> Result<Consent> {
    if yes || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(Consent::Unasked);
    }
    let mut err = anstream::stderr();
    write!(err, "{question} [y/N] ").and_then(|()| err.flush()).context("cannot ask")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("cannot read the answer")?;
    Ok(if matches!(answer.trim(), "y" | "Y" | "yes") { Consent::Given } else { Consent::Refused })
}
