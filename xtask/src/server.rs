//! A server as a child process: it is ready once this value exists, and is killed on drop.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result};

use crate::http;

/// A child that serves on an address.
pub(crate) struct Server {
    child: Child,
    /// The line that the server printed when it was ready.
    pub(crate) ready: String,
    pub(crate) url: String,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts the server, and waits for its line `… ready on http://ADDRESS …`. Its log is written to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let log_file =
            File::options().create(true).append(true).open(log).with_context(|| format!("cannot write {}", log.display()))?;
        let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log_file).spawn();
        let mut child = started.with_context(|| format!("cannot start `{name}`"))?;
        let mut ready = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut ready)?;
        }
        let ready = ready.trim_end().to_owned();
        let url = ready.split_once("ready on ").and_then(|(_, rest)| rest.split(' ').next()).map(str::to_owned);
        let Some(url) = url else {
            let status = child.kill().and_then(|()| child.wait());
            let text = std::fs::read_to_string(log).unwrap_or_default();
            let last = text.lines().last().unwrap_or_default();
            anyhow::bail!(
                "`{name}` did not become ready ({}): {last}",
                status.map_or_else(|error| error.to_string(), |s| s.to_string())
            );
        };
        let address = http::address(&url)?;
        Ok(Self { child, ready, url, address })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills the server with SIGKILL.
    pub(crate) fn kill(&mut self) -> Result<ExitStatus> {
        self.child.kill()?;
        Ok(self.child.wait()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.kill();
    }
}
