//! The benchmark `bank`: commands that are decided by domain code, recorded, and answered over HTTP; and views of what is recorded.
//! `run.sh` runs all of it; README.md says what is measured.

#![forbid(unsafe_code)]

mod bank;
mod http;
mod load;
mod ours;
mod peer;

use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::http::Connection;
use crate::load::{Load, Pick, Run};

/// Events that each account has before commands are measured.
const BEFORE: u64 = 10;

/// Of a peer alone: its server lets the commands to one account wait for each other. Amends does that in any case.
const QUEUED: &str = "hot, queued in the server";

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // The driver has one thread, so that it takes little from the server; a peer's server has one a processor.
    let mut one = tokio::runtime::Builder::new_current_thread();
    let mut many = tokio::runtime::Builder::new_multi_thread();
    match words.as_slice() {
        ["commands", name, address] => one.enable_all().build()?.block_on(commands(name, address)),
        ["ours", address, forgetful] => one.enable_all().build()?.block_on(ours::run(address, forgetful)),
        ["peer", name, at, listen] => many.enable_all().build()?.block_on(peer::serve(name, at, listen, BEFORE)),
        ["views", name, at, views_at] => {
            many.enable_all().build()?.block_on(peer::views(name, at, views_at, 100, seconds("BENCH_VIEW_SECONDS", 20)?))
        }
        _ => bail!("see run.sh: commands NAME ADDRESS | ours ADDRESS WASM | peer NAME STORE LISTEN | views NAME STORE POSTGRES"),
    }
}

/// Distinct and hot accounts at 64 callers, and one caller. Each is a row of the table.
async fn commands(name: &str, address: &str) -> Result<()> {
    if name == "amends" {
        ours::fill(address, BEFORE, |_| false).await?;
    }
    let mut load = Load::to(address);
    let (time, warm_up) = (seconds("BENCH_SECONDS", 10)?, seconds("BENCH_WARM_UP", 3)?);
    let rounds: u64 = std::env::var("BENCH_ROUNDS").map_or(Ok(2), |text| text.parse())?;
    for _ in 0..rounds {
        for (callers, pick, what) in
            [(64, Pick::Distinct, "distinct"), (64, Pick::Hot, "hot"), (64, Pick::Hot, QUEUED), (1, Pick::Distinct, "distinct")]
        {
            if name == "amends" && what == QUEUED {
                continue;
            }
            if name != "amends" {
                Connection::to(address).await?.good(&format!("/queue/{}", what == QUEUED), None).await?;
            }
            let time = if callers == 1 { time / 2 } else { time };
            let before = (conflicts(name, address).await?, ours::stages(name, address).await?);
            let Run { commands, per_second, p50_ms, p99_ms, flushes } = load.run(callers, pick, warm_up, time).await?;
            let conflicts = conflicts(name, address).await? - before.0;
            println!(
                "| {name} | {what} | {callers} | {per_second:.0} | {p50_ms:.2} | {p99_ms:.2} | {flushes:.3} | {conflicts} |"
            );
            ours::tell(&before.1, &ours::stages(name, address).await?, commands);
        }
    }
    eprintln!("{name}: {}", load.check(|account| (BEFORE, bank::filled(account, BEFORE))).await?);
    Ok(())
}

/// Tries that the peer's server had to repeat.
async fn conflicts(name: &str, address: &str) -> Result<u64> {
    if name == "amends" {
        return Ok(0);
    }
    Connection::to(address).await?.good("/conflicts", None).await?["conflicts"].as_u64().context("no number of conflicts")
}

pub(crate) fn seconds(name: &str, otherwise: u64) -> Result<Duration> {
    let given = std::env::var(name).map_or(Ok(otherwise as f64), |text| text.parse())?;
    Ok(Duration::from_secs_f64(given))
}
