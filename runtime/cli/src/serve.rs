//! `amends serve`: runs a host until a signal stops it.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::Args;
use rustix::process;
use tokio::{net::TcpListener, signal::unix, sync::watch};

use super::{
    exit::{Exit, Fatal, Usage},
    settings,
    wiring::{self, Host},
};
use crate::{
    allocator,
    config::{self, Config, Flags, LogFormat},
    log::{self, Outlet},
};
use amends_host::api;

/// Run a host: recover, listen, and continue every saga that has not ended.
///
/// Settings come from a flag, else an AMENDS_* variable, else the configuration file, else a default. Each key of the
/// file has a variable: `memory` of [guest] is AMENDS_GUEST_MEMORY.
///
/// The exit code is 74 if the storage failed, 75 if another host uses the data folder, 76 if another process uses the address,
/// and 2 if the folder is not a data folder.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  amends serve --data ./amends-data --listen 127.0.0.1:8420")]
pub(super) struct Serve {
    /// The data folder; created if it does not exist. By default ./amends-data.
    #[arg(long, value_name = "DIR", env = "AMENDS_DATA", hide_env_values = true)]
    data: Option<PathBuf>,
    /// The address to listen on, on this machine; port 0 picks a free one. By default 127.0.0.1:8420.
    #[arg(long, value_name = "ADDR", env = "AMENDS_LISTEN", hide_env_values = true)]
    listen: Option<String>,
    /// The folder of secrets that can be granted to modules: a file for each, whose name is the name of the secret. By default
    /// there are none.
    #[arg(long, value_name = "DIR", env = "AMENDS_SECRETS", hide_env_values = true)]
    secrets: Option<PathBuf>,
    /// The configuration file, in TOML: [server] [store] [guest] [limits] [retention].
    #[arg(long, value_name = "FILE", env = "AMENDS_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// The format of the log on stderr. AMENDS_LOG sets what is logged, as `info` or `amends=debug`.
    #[arg(long, value_enum)]
    log_format: Option<LogFormat>,
}

/// How long the process waits at its end for the last lines of the log to be written: there may be no reader.
const LAST_LINES: Duration = Duration::from_secs(1);

pub(super) fn run(serve: &Serve) -> Result<Exit> {
    allocator::give_back_large_blocks();
    let flags = Flags {
        data: serve.data.clone(),
        secrets: serve.secrets.clone(),
        listen: serve.listen.clone(),
        file: serve.config.clone(),
        log_format: serve.log_format,
    };
    let config::Loaded { config, warnings } = settings::load(&flags)?;
    let address = loopback(&config.server.listen)?;
    let log = log::start(config.server.log_format).context("cannot start the thread that writes the log")?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    raise_file_limit();
    let ended = run_host(config, address, &log);
    // Through the queue, as every line from here on: standard error may be closed, full, or read by nobody.
    let exit = match ended {
        Ok(()) => Exit::Fine,
        Err(fatal) => {
            log.push(format!("amends: {fatal}\n").as_bytes());
            fatal.exit()
        }
    };
    log.flush(LAST_LINES);
    Ok(exit)
}

/// Threads for reads and deploys: eight reads run at a time, and few deploys. Without a bound a read begins on a new thread while the
/// thread of the one before is not yet idle; there were fifty, and each keeps more than a megabyte of what it freed.
const BLOCKING_THREADS_MAX: usize = 16;

fn run_host(config: Config, address: SocketAddr, log: &Outlet) -> Result<(), Fatal> {
    let mut tokio = tokio::runtime::Builder::new_multi_thread();
    let tokio = tokio.enable_all().thread_name("amends-api").max_blocking_threads(BLOCKING_THREADS_MAX).build();
    let tokio = tokio.map_err(|error| Fatal::Other(format!("cannot start the threads of the API: {error}")))?;
    let ended = tokio.block_on(host(config, address, log));
    // Threads that still read a dying disk, or compile, must not hold the process.
    tokio.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn host(config: Config, address: SocketAddr, log: &Outlet) -> Result<(), Fatal> {
    let began = Instant::now();
    let mut terminate = signal(unix::SignalKind::terminate())?;
    let mut interrupt = signal(unix::SignalKind::interrupt())?;
    // A file that may not grow is an error of the write then, and not the end of the process.
    let _too_large = signal(unix::SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
    let listener = TcpListener::bind(address).await.map_err(|error| cannot_listen(address, &error))?;
    let listening = listener.local_addr().map_err(|error| cannot_listen(address, &error))?;
    let (opening, lost_lines) = (config.clone(), log.lost());
    let opened = tokio::task::spawn_blocking(move || wiring::open(&opening, listening, lost_lines)).await;
    let Host { services, failed, close } =
        opened.map_err(|error| Fatal::Other(format!("the host failed to open: {error}")))??;
    let (stop, stopping) = watch::channel(false);
    let recovered = services.health.recovered;
    let router = api::router(services, wiring::api_options(&config), stopping.clone());
    let drain = config.server.drain;
    let serving = tokio::spawn(api::server::serve(listener, router, stopping, drain.0));
    say_ready(&config, listening, recovered, began.elapsed());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        // Nothing is acknowledged any more, so nothing is worth waiting for.
        fatal = failed => return Err(fatal),
    }
    tracing::info!("stopping: no new starts, up to {drain} for open attempts; send the signal again to stop at once");
    // Requests and attempts share one time limit.
    let until = Instant::now() + drain.0;
    let _ = stop.send(true);
    let closing = async {
        if let Ok(Err(error)) = serving.await {
            tracing::warn!(%error, "the API ended badly");
        }
        tokio::task::spawn_blocking(move || close(until)).await
    };
    tokio::select! {
        closed = closing => closed.map_err(|error| Fatal::Other(format!("the host failed to close: {error}")))?,
        // What is committed is safe; the rest is recovered at the next start.
        _ = terminate.recv() => Err(Fatal::Other("stopped at once; the next start recovers".to_owned())),
        _ = interrupt.recv() => Err(Fatal::Other("stopped at once; the next start recovers".to_owned())),
    }
}

fn signal(kind: unix::SignalKind) -> Result<unix::Signal, Fatal> {
    unix::signal(kind).map_err(|error| Fatal::Other(format!("cannot listen for signals: {error}")))
}

fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> Fatal {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => Fatal::AddressInUse(format!(
            "cannot listen on {address}: another process does; choose another address with --listen, or 127.0.0.1:0 for a free one"
        )),
        _ => Fatal::Other(format!("cannot listen on {address}: {error}")),
    }
}

/// Whoever can reach the API has all rights, so the host listens on this machine only.
fn loopback(listen: &str) -> Result<SocketAddr, Usage> {
    let addresses = listen.to_socket_addrs();
    let found = addresses.ok().and_then(|mut addresses| addresses.next());
    let address = found.ok_or_else(|| Usage(format!("bad address `{listen}`; write it as 127.0.0.1:8420")))?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    let port = address.port();
    Err(Usage(format!("will not listen on {address}: others could reach it, and there is no login yet; use 127.0.0.1:{port}")))
}

fn say_ready(config: &Config, listening: SocketAddr, recovered: u64, took: Duration) {
    let data = config.store.data.display().to_string();
    let version = env!("CARGO_PKG_VERSION");
    let seconds = took.as_secs_f64();
    let line = match config.server.log_format {
        LogFormat::Text => {
            format!("amends {version} ready on http://{listening} data={data} recovered={recovered} in {seconds:.2}s")
        }
        LogFormat::Json => serde_json::json!({
            "ready": true, "version": version, "address": format!("http://{listening}"),
            "data": data, "recovered": recovered, "seconds": (seconds * 100.0).round() / 100.0,
        })
        .to_string(),
    };
    // The stdout of a host may have no reader, or may be closed; that is no reason to stop.
    match Outlet::stdout() {
        Ok(stdout) => {
            stdout.push(format!("{line}\n").as_bytes());
            stdout.flush(LAST_LINES);
        }
        Err(error) => tracing::warn!(%error, "stdout cannot be written: {line}"),
    }
}

/// Raises the limit of open files, which connections and outgoing calls use; the usual soft limit of 1,024 is for programs that
/// use `select`.
fn raise_file_limit() {
    let limit = process::getrlimit(process::Resource::Nofile);
    let raised = process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = process::setrlimit(process::Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_stays_on_this_machine() {
        assert!(loopback("127.0.0.1:0").is_ok() && loopback("[::1]:8420").is_ok() && loopback("localhost:1").is_ok());
        assert_eq!(
            loopback("0.0.0.0:8420").unwrap_err().0,
            "will not listen on 0.0.0.0:8420: others could reach it, and there is no login yet; use 127.0.0.1:8420"
        );
        assert_eq!(loopback("8420").unwrap_err().0, "bad address `8420`; write it as 127.0.0.1:8420");
    }
}
