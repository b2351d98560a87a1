//! The costs of many waiting sagas: the memory of the host, and the time of a start after a kill.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::load::{self, Load};
use super::metrics;
use crate::http;
use crate::process::{self, say};
use crate::server::Server;

/// Callers that start them: enough to share commits.
const STARTERS: usize = 64;

/// Sagas that are started first, so that the memory for connections and first pages is not measured.
const FIRST: u64 = 500;

/// Each saga waits for a day; all of them must have begun to wait within this time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts this many waiting sagas in a host of their own, kills the host, and reports memory and time.
pub(super) fn measure(binary: &Path, module: &Path, folder: &Path, sagas: u64) -> Result<()> {
    let data = folder.join("waiting");
    let serve = || {
        let mut serve = process::command(binary, folder);
        serve.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&data);
        serve
    };
    let log = folder.join("waiting.log");
    let mut host = Server::start(&mut serve(), &log)?;
    let mut deploy: Command = process::command(binary, folder);
    process::read(deploy.arg("deploy").arg(module).env("AMENDS_HOST", &host.url))?;
    let input = format!(r#"{{"request_id":"request-{}","decide_within_s":86400}}"#, load::NUMBER);
    let mut load = Load::open(host.address, "/v1/definitions/approval/sagas", &input, r#""approval""#, STARTERS)?;
    load.run_for(FIRST)?;
    until_waiting(&host, FIRST)?;
    let before = resident_kib(host.pid())?;
    load.run_for(sagas)?;
    until_waiting(&host, FIRST + sagas)?;
    let growth = (resident_kib(host.pid())? as f64 - before as f64) / 1024.0;
    drop(load);
    host.kill()?;
    let began = Instant::now();
    let host = Server::start(&mut serve(), &log)?;
    let seconds = began.elapsed().as_secs_f64();
    until_waiting(&host, FIRST + sagas)?;
    println!(r#"{{"scale":"amends","waiting":{sagas},"rss_growth_mib":{growth:.1},"ready_s":{seconds:.2}}}"#);
    say(&format!("{sagas} waiting sagas: {growth:.1} MiB more, and ready {seconds:.2} s after a kill"));
    Ok(())
}

fn until_waiting(host: &Server, sagas: u64) -> Result<()> {
    let began = Instant::now();
    loop {
        let text = http::get(host.address, "/metrics")?;
        let waiting = metrics::sum(&text, r#"amends_sagas_live{status="waiting"}"#);
        if waiting == sagas as f64 {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            bail!("{waiting} of {sagas} sagas wait after {PATIENCE:?}");
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Memory of a process that is not on a disk.
fn resident_kib(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok());
    number.with_context(|| format!("the kernel does not say how much memory {pid} has"))
}
