//! What is measured of Amends alone: views of 1,000,000 events, a switch under load, and the comparison of a version.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::bank::{self, ACCOUNTS, DAYS};
use crate::http::Connection;
use crate::load::{Acknowledged, Load, summary};

/// Events of each account.
const EVENTS: u64 = 100;
const TOTAL: u64 = ACCOUNTS * EVENTS;

/// Commands a second beside a rebuild.
const PACE: u64 = 500;

/// Fills the accounts, one command each.
pub async fn fill(address: &str, events: u64, fee: fn(u64) -> bool) -> Result<Duration> {
    const CALLERS: u64 = 64;
    let began = Instant::now();
    let mut tasks = Vec::new();
    for caller in 0..CALLERS {
        let mut connection = Connection::to(address).await?;
        tasks.push(tokio::spawn(async move {
            for account in (caller..ACCOUNTS).step_by(CALLERS as usize) {
                let body = format!(r#"{{"seed":{account},"first":0,"count":{events},"fee":{}}}"#, fee(account));
                let path = format!("/v1/aggregates/account/{}/load", bank::id(account));
                let (status, answer) = connection.post(&path, &format!("load-{account}"), body.as_bytes()).await?;
                ensure!(status == 200, "{path}: {status} {}", String::from_utf8_lossy(answer));
            }
            anyhow::Ok(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(began.elapsed())
}

pub async fn run(address: &str, forgetful: &str) -> Result<()> {
    let mut connection = Connection::to(address).await?;
    let took = fill(address, EVENTS, bank::has_fee).await?;
    row("1,000,000 events recorded, 100 a command", took, TOTAL, "");
    let began = Instant::now();
    for view in ["accounts", "days"] {
        followed(&mut connection, view).await?;
    }
    println!("| amends | both views had followed | {:.1} s after the last event | | |", began.elapsed().as_secs_f64());
    for view in ["accounts", "days"] {
        let before = stages("amends", address).await?;
        let took = rebuild(&mut connection, view).await?;
        row(&format!("rebuild of `{view}`"), took, TOTAL, "");
        tell(&before, &stages("amends", address).await?, TOTAL as usize);
    }
    check(&mut connection).await?;
    println!("| amends | rows compared with a plain loop | equal | | |");
    compare(&mut connection, forgetful).await?;
    beside(address).await?;
    // The host has closed a connection that was idle for so long.
    connection = Connection::to(address).await?;
    followed(&mut connection, "days").await?;
    switch(address, &mut connection).await
}

fn row(what: &str, took: Duration, events: u64, note: &str) {
    let (seconds, per_second) = (took.as_secs_f64(), events as f64 / took.as_secs_f64());
    println!("| amends | {what} | {seconds:.1} s | {per_second:.0}/s | {note} |");
}

/// Waits until the view has read everything. The host counts what is left whenever it is asked, so it is seldom asked.
async fn followed(connection: &mut Connection, view: &str) -> Result<()> {
    let began = Instant::now();
    loop {
        let shown = connection.good(&format!("/v1/projections/{view}"), None).await?;
        let generations = shown["generations"].as_array().context("no generations")?;
        ensure!(generations.iter().all(|generation| generation["stopped"].is_null()), "{shown}");
        if generations.iter().any(|generation| generation["role"] == "active" && generation["lag"] == 0) {
            return Ok(());
        }
        ensure!(began.elapsed() < Duration::from_secs(300), "{shown}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Builds a view again from the first event on, until the new generation answers, which it does when it has read everything.
///
/// A question behind the last key is cheap, and its answer says which generation it is from.
async fn rebuild(connection: &mut Connection, view: &str) -> Result<Duration> {
    let began = Instant::now();
    let shown = connection.good(&format!("/v1/projections/{view}/rebuild"), Some(b"{}")).await?;
    let numbers = shown["generations"].as_array().context("no generations")?.iter();
    let newest = numbers.filter_map(|generation| generation["number"].as_u64()).max();
    let question = format!("/v1/views/{view}/page?after=~");
    while connection.good(&question, None).await?["generation"].as_u64() != newest {
        ensure!(began.elapsed() < Duration::from_secs(300), "{view} is not rebuilt");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = began.elapsed();
    followed(connection, view).await?;
    Ok(took)
}

/// All rows of a view, and the generation they are from.
async fn rows(connection: &mut Connection, view: &str) -> Result<(BTreeMap<String, Value>, u64)> {
    let (mut rows, mut after) = (BTreeMap::new(), None::<String>);
    loop {
        let behind = after.map(|after| format!("?after={after}")).unwrap_or_default();
        let answer = connection.good(&format!("/v1/views/{view}/page{behind}"), None).await?;
        let page: Vec<(String, Value)> = serde_json::from_value(answer["data"].clone())?;
        let is_last = page.len() < 1_000;
        after = page.last().map(|(key, _)| key.clone());
        rows.extend(page);
        if is_last {
            return Ok((rows, answer["generation"].as_u64().context("no generation")?));
        }
    }
}

async fn check(connection: &mut Connection) -> Result<()> {
    let mut days: HashMap<u64, (i64, u64)> = HashMap::new();
    let mut accounts = BTreeMap::new();
    let mut add = |day: u64, cents: i64| {
        let day = days.entry(day).or_default();
        *day = (day.0 + cents, day.1 + 1);
    };
    for account in 0..ACCOUNTS {
        let deposits = EVENTS - u64::from(bank::has_fee(account));
        (0..deposits).map(|number| bank::loaded(account, number)).for_each(|(cents, day)| add(day, cents));
        let mut balance = bank::filled(account, deposits);
        if bank::has_fee(account) {
            add(account % DAYS, -bank::FEE_CENTS);
            balance -= bank::FEE_CENTS;
        }
        accounts.insert(bank::id(account), serde_json::json!({"balance_cents": balance, "movements": EVENTS}));
    }
    let days = days
        .into_iter()
        .map(|(day, (cents, movements))| (format!("{day:03}"), serde_json::json!({"cents": cents, "movements": movements})));
    ensure!(rows(connection, "accounts").await?.0 == accounts, "the accounts are not those of a plain loop");
    ensure!(rows(connection, "days").await?.0 == days.collect(), "the days are not those of a plain loop");
    Ok(())
}

/// A version that forgets fees: the gate is to find each account that has one.
async fn compare(connection: &mut Connection, forgetful: &str) -> Result<()> {
    let component = std::fs::read(forgetful)?;
    let (status, answer) = connection.post("/v1/modules?activate=false", "", &component).await?;
    ensure!(status == 201, "{status} {}", String::from_utf8_lossy(answer));
    let began = Instant::now();
    let found = connection.good("/v1/modules/bank/versions/2/compare", Some(b"")).await?;
    let took = began.elapsed();
    let of = &found["aggregates"][0];
    let note = format!("{} streams equal, {} different; first {}", of["equal"], of["different"], of["first_different"]);
    row("comparison with a version that forgets fees", took, TOTAL, &note);
    ensure!(found["differences"] == ACCOUNTS / 10, "not every account with a fee was found: {found}");
    Ok(())
}

/// Commands at a steady rate, without a rebuild and beside one.
async fn beside(address: &str) -> Result<()> {
    let mut load = Load::to(address);
    let calm = load.paced(PACE, Arc::default(), crate::seconds("BENCH_SECONDS", 10)?).await?;
    tell_paced("500 commands/s alone", &calm);
    for view in ["accounts", "days"] {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopping, mut other) = (stop.clone(), Connection::to(address).await?);
        let rebuilding = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let began = Instant::now();
            let rebuilt = rebuild(&mut other, view).await;
            stopping.store(true, Ordering::Relaxed);
            rebuilt.map(|took| (began, took))
        });
        let answered = load.paced(PACE, stop, Duration::from_secs(300)).await?;
        let (began, took) = rebuilding.await??;
        row(&format!("rebuild of `{view}` beside 500 commands/s"), took, TOTAL, "");
        let during: Vec<Acknowledged> =
            answered.into_iter().filter(|one| one.asked >= began && one.asked < began + took).collect();
        tell_paced(&format!("500 commands/s beside the rebuild of `{view}`"), &during);
    }
    Ok(())
}

fn tell_paced(what: &str, answered: &[Acknowledged]) {
    let run = summary(answered, Duration::from_secs(1), 0);
    println!("| amends | {what} | p50 {:.2} ms | p99 {:.2} ms | {} commands |", run.p50_ms, run.p99_ms, run.commands);
}

/// Readers ask without end while the view is rebuilt and switched back and forth: no error, and no answer of two generations.
///
/// A generation that is not complete would show fewer movements than were recorded before the readers began.
async fn switch(address: &str, connection: &mut Connection) -> Result<()> {
    let (rows, _) = rows(connection, "days").await?;
    let at_least: u64 = movements(rows.values());
    let stop = Arc::new(AtomicBool::new(false));
    let mut readers = Vec::new();
    for _ in 0..8 {
        let (mut connection, stop) = (Connection::to(address).await?, stop.clone());
        readers.push(tokio::spawn(async move {
            let (mut answers, mut generations) = (0_u64, BTreeMap::<u64, u64>::new());
            while !stop.load(Ordering::Relaxed) {
                let answer = connection.good("/v1/views/days/page", None).await?;
                let page: Vec<(String, Value)> = serde_json::from_value(answer["data"].clone())?;
                let movements = movements(page.iter().map(|(_, row)| row));
                ensure!(page.len() as u64 == DAYS && movements == at_least, "{movements} movements in {} rows", page.len());
                *generations.entry(answer["generation"].as_u64().context("no generation")?).or_default() += 1;
                answers += 1;
            }
            anyhow::Ok((answers, generations))
        }));
    }
    let took = rebuild(connection, "days").await?;
    let mut switches = Vec::new();
    for _ in 0..10 {
        let began = Instant::now();
        connection.good("/v1/projections/days/switch", Some(b"{}")).await?;
        switches.push(began.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let (mut answers, mut generations) = (0, BTreeMap::<u64, u64>::new());
    for reader in readers {
        let (more, of) = reader.await??;
        answers += more;
        of.into_iter().for_each(|(generation, count)| *generations.entry(generation).or_default() += count);
    }
    if generations.len() < 2 {
        bail!("all answers are of one generation: {generations:?}");
    }
    let slowest = switches.iter().max().map_or(0.0, Duration::as_secs_f64) * 1e3;
    row("rebuild of `days` under 8 readers", took, TOTAL, "");
    println!(
        "| amends | 10 switches under 8 readers | slowest {slowest:.1} ms | {answers} answers, 0 errors, 0 mixed | by generation {generations:?} |"
    );
    Ok(())
}

fn movements<'a>(rows: impl Iterator<Item = &'a Value>) -> u64 {
    rows.filter_map(|row| row["movements"].as_u64()).sum()
}

/// Where the host's time goes, by stage, and its commits.
pub async fn stages(name: &str, address: &str) -> Result<BTreeMap<String, f64>> {
    let mut found = BTreeMap::new();
    if name == "amends" {
        let mut connection = Connection::to(address).await?;
        let (_, text) = connection.get("/metrics").await?;
        let lines = str::from_utf8(text)?.lines().filter_map(|line| line.rsplit_once(' '));
        let wanted = |name: &str| name.starts_with("amends_stage_seconds{") || name == "amends_commits_total";
        found.extend(
            lines.filter(|(name, _)| wanted(name)).filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))),
        );
    }
    Ok(found)
}

/// Per command or event, to stderr.
pub fn tell(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>, count: usize) {
    if std::env::var_os("BENCH_PROFILE").is_none() {
        return;
    }
    for (name, value) in after {
        let each = (value - before.get(name).unwrap_or(&0.0)) / count.max(1) as f64;
        let name = name.trim_start_matches("amends_stage_seconds");
        if name == "amends_commits_total" {
            eprintln!("    commits each: {each:.4}");
        } else if each > 1e-7 {
            eprintln!("    {name} {:.2} us each", each * 1e6);
        }
    }
}
