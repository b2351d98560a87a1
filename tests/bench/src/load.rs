//! Callers in a closed loop, what they measure, and the check of what the server says in the end.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::bank::{self, ACCOUNTS};
use crate::http::{Connection, number};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pick {
    Distinct,
    Hot,
}

/// An answered command.
#[derive(Clone, Copy)]
pub struct Acknowledged {
    account: u64,
    revision: u64,
    cents: i64,
    pub asked: Instant,
    pub took: Duration,
}

/// The commands of one run, told to a table.
pub struct Run {
    pub commands: usize,
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub flushes: f64,
}

pub struct Load {
    address: String,
    numbers: Arc<AtomicU64>,
    /// All that were ever answered.
    pub acknowledged: Vec<Acknowledged>,
}

impl Load {
    pub fn to(address: &str) -> Self {
        // A peer and a repeated run see fresh keys.
        let epoch =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
        Self { address: address.to_owned(), numbers: Arc::new(AtomicU64::new(epoch)), acknowledged: Vec::new() }
    }

    /// Callers that send a command as soon as the one before is answered.
    pub async fn run(&mut self, callers: u64, pick: Pick, warm_up: Duration, time: Duration) -> Result<Run> {
        let begin = Instant::now() + warm_up;
        let end = begin + time;
        let mut tasks = Vec::new();
        for caller in 0..callers {
            let (mut connection, numbers) = (Connection::to(&self.address).await?, self.numbers.clone());
            tasks.push(tokio::spawn(async move {
                let (mut done, mut random) = (Vec::new(), Random::of(caller));
                while Instant::now() < end {
                    done.push(deposit(&mut connection, &numbers, &mut random, pick).await?);
                }
                anyhow::Ok(done)
            }));
        }
        tokio::time::sleep_until(begin.into()).await;
        let flushes = disk_flushes()?;
        tokio::time::sleep_until(end.into()).await;
        let flushes = disk_flushes()? - flushes;
        let mut answered = Vec::new();
        for task in tasks {
            answered.extend(task.await??);
        }
        let counted: Vec<Acknowledged> =
            answered.iter().filter(|one| one.asked + one.took >= begin && one.asked + one.took < end).copied().collect();
        self.acknowledged.extend(answered);
        Ok(summary(&counted, time, flushes))
    }

    /// Commands at a given rate, whatever they take: a late answer counts from when its command was due.
    pub async fn paced(
        &mut self,
        per_second: u64,
        stop: Arc<std::sync::atomic::AtomicBool>,
        at_most: Duration,
    ) -> Result<Vec<Acknowledged>> {
        const CALLERS: u64 = 16;
        let (begin, step) = (Instant::now(), Duration::from_secs_f64(1.0 / per_second as f64));
        let turn = Arc::new(AtomicU64::new(0));
        let mut tasks = Vec::new();
        for caller in 0..CALLERS {
            let (mut connection, numbers) = (Connection::to(&self.address).await?, self.numbers.clone());
            let (turn, stop) = (turn.clone(), stop.clone());
            tasks.push(tokio::spawn(async move {
                let (mut done, mut random) = (Vec::new(), Random::of(1_000 + caller));
                while !stop.load(Ordering::Relaxed) && begin.elapsed() < at_most {
                    let due = begin + step * turn.fetch_add(1, Ordering::Relaxed) as u32;
                    tokio::time::sleep_until(due.into()).await;
                    let mut one = deposit(&mut connection, &numbers, &mut random, Pick::Distinct).await?;
                    one.took = (one.asked + one.took).saturating_duration_since(due);
                    one.asked = due;
                    done.push(one);
                }
                anyhow::Ok(done)
            }));
        }
        let mut answered = Vec::new();
        for task in tasks {
            answered.extend(task.await??);
        }
        self.acknowledged.extend(answered.iter().copied());
        Ok(answered)
    }

    /// Every acknowledged command is there, once, and nothing else: the revisions of an account's answers are those from its first one
    /// on without a gap, and its balance is the sum.
    pub async fn check(&self, before: impl Fn(u64) -> (u64, i64)) -> Result<String> {
        let mut accounts: HashMap<u64, (Vec<u64>, i64)> = HashMap::new();
        for one in &self.acknowledged {
            let (revisions, cents) = accounts.entry(one.account).or_default();
            revisions.push(one.revision);
            *cents += one.cents;
        }
        let (mut connection, mut total) = (Connection::to(&self.address).await?, 0_i64);
        for account in 0..ACCOUNTS {
            let (events, balance) = before(account);
            let (mut revisions, cents) = accounts.remove(&account).unwrap_or_default();
            revisions.sort_unstable();
            let last = events + revisions.len() as u64;
            ensure!(revisions.iter().copied().eq(events + 1..=last), "account {account}: {events} before, then {revisions:?}");
            let shown = connection.good(&format!("/v1/aggregates/account/{}", bank::id(account)), None).await?;
            let state: bank::Account = serde_json::from_value(shown["state"].clone())?;
            let wanted = bank::Account { balance_cents: balance + cents, movements: last };
            ensure!(state == wanted, "account {account}: {state:?}, but {wanted:?} was acknowledged");
            ensure!(shown["revision"] == last.to_string(), "account {account}: {shown}");
            total += state.balance_cents;
        }
        Ok(format!("checked: {} commands acknowledged, all there once, balances {total} cents", self.acknowledged.len()))
    }
}

async fn deposit(connection: &mut Connection, numbers: &AtomicU64, random: &mut Random, pick: Pick) -> Result<Acknowledged> {
    let number_of = numbers.fetch_add(1, Ordering::Relaxed);
    let account = if pick == Pick::Hot { 0 } else { random.next() % ACCOUNTS };
    let cents = 1 + (random.next() % 10_000) as i64;
    let key = format!("deposit-{number_of}");
    let body = format!(r#"{{"cents":{cents},"ref":"deposit-{number_of:016}-{}","day":{}}}"#, bank::WORDS, number_of % bank::DAYS);
    let path = format!("/v1/aggregates/account/{}/deposit", bank::id(account));
    let asked = Instant::now();
    let (status, answer) = connection.post(&path, &key, body.as_bytes()).await?;
    let took = asked.elapsed();
    if status != 200 {
        bail!("{path}: {status} {}", String::from_utf8_lossy(answer));
    }
    let revision = number(answer, "revision").context("an answer without a revision")?;
    Ok(Acknowledged { account, revision, cents, asked, took })
}

pub fn summary(answered: &[Acknowledged], time: Duration, flushes: u64) -> Run {
    let mut took: Vec<f64> = answered.iter().map(|one| one.took.as_secs_f64() * 1e3).collect();
    took.sort_by(f64::total_cmp);
    let percentile =
        |percent: usize| took.get((took.len() * percent / 100).min(took.len().saturating_sub(1))).copied().unwrap_or(0.0);
    Run {
        commands: took.len(),
        per_second: took.len() as f64 / time.as_secs_f64(),
        p50_ms: percentile(50),
        p99_ms: percentile(99),
        flushes: flushes as f64 / took.len().max(1) as f64,
    }
}

/// Flushes that the disk of BENCH_DISK has completed, of the whole machine.
pub fn disk_flushes() -> Result<u64> {
    let disk = std::env::var("BENCH_DISK").unwrap_or_else(|_| "vda".into());
    let text = fs::read_to_string("/proc/diskstats")?;
    let mut lines =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).filter(|words| words.get(2) == Some(&&*disk));
    lines
        .next()
        .and_then(|words| words.get(18)?.parse().ok())
        .with_context(|| format!("/proc/diskstats has no flushes of {disk}"))
}

/// xorshift: every run draws the same accounts.
pub struct Random(u64);

impl Random {
    pub fn of(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }
}
