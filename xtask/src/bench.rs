//! The benchmark: `order` sagas in a closed loop against a release host with its default durability.
//!
//! stdout gets JSON lines. Each run prints one with throughput and latency, in the format that the benchmarks of comparable
//! systems print, and one with the costs of a saga. The last line has the costs of sagas that wait.

mod load;
mod machine;
mod metrics;
mod waiting;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use self::load::{Load, Sample};
pub(crate) use self::machine::Processors;
use self::metrics::Metrics;
use crate::guests::{self, Way};
use crate::process::{self, say};
use crate::server::Server;
use crate::workspace::Workspace;

/// Time for caches and connections before anything is measured.
const WARM_UP: Duration = Duration::from_secs(1);

/// The number of callers that fill a store before the runs: enough to share commits.
const FILLERS: usize = 64;

/// What to measure.
#[derive(Args, Debug)]
pub(crate) struct Plan {
    /// How long each run is
    #[arg(long, default_value_t = 10, value_name = "N")]
    seconds: u64,
    /// What the sagas do
    #[arg(long, value_delimiter = ',', default_value = "happy,compensate", value_name = "MODES")]
    modes: Vec<Mode>,
    /// How many callers wait for an answer at any time
    #[arg(long, value_delimiter = ',', default_value = "1,64,256", value_name = "NUMBERS")]
    concurrency: Vec<usize>,
    /// Finish this many sagas before the first run, to measure the cost of a long history
    #[arg(long, default_value_t = 0, value_name = "N")]
    full_store: u64,
    /// After the runs, let this many sagas wait in a host of their own, and kill it; 0: none
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    waiting: u64,
    /// Measure this host instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// What the sagas of a run do.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Mode {
    /// All three steps are done.
    Happy,
    /// The third refuses, and two compensations run.
    Compensate,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Happy => "happy",
            Self::Compensate => "compensate",
        }
    }

    fn fail_at(self) -> &'static str {
        match self {
            Self::Happy => "none",
            Self::Compensate => "charge",
        }
    }

    /// A text that every answer must contain.
    fn ends(self) -> &'static str {
        match self {
            Self::Happy => r#""status":"completed""#,
            Self::Compensate => r#""status":"compensated""#,
        }
    }
}

/// Builds what is needed, fills the store if asked to, and runs each mode at each concurrency.
pub(crate) fn run(workspace: &Workspace, plan: &Plan) -> Result<()> {
    let binary = host(workspace, plan.binary.as_deref())?;
    let folder = Folder::new(workspace)?;
    let host = serve(workspace, &binary, &folder)?;
    fill(&host, plan.full_store)?;
    for mode in &plan.modes {
        for concurrency in &plan.concurrency {
            measure(&host, *mode, *concurrency, Duration::from_secs(plan.seconds.max(1)))?;
        }
    }
    drop(host);
    match plan.waiting {
        0 => Ok(()),
        sagas => waiting::measure(&binary, &workspace.guests().join("plain/approval.wasm"), &folder.0, sagas),
    }
}

/// The binary to measure, and the modules that it runs.
pub(crate) fn host(workspace: &Workspace, given: Option<&Path>) -> Result<PathBuf> {
    for example in ["order", "approval"] {
        guests::build(workspace, &guests::choose(workspace, Some(example))?, &[Way::Plain])?;
    }
    match given {
        Some(binary) => fs::canonicalize(binary).with_context(|| format!("cannot find {}", binary.display())),
        None => build_host(workspace),
    }
}

/// A host with its default settings, on which orders can be started.
pub(crate) fn serve(workspace: &Workspace, binary: &Path, folder: &Folder) -> Result<Server> {
    let mut serve = process::command(binary, folder.path());
    serve.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(folder.path().join("data"));
    let host = Server::start(&mut serve, &folder.path().join("host.log"))?;
    say(&host.ready);
    let mut deploy = process::command(binary, workspace.root());
    deploy.arg("deploy").arg(workspace.guests().join("plain/order.wasm")).env("AMENDS_HOST", &host.url);
    say(process::read(&mut deploy)?.lines().next().unwrap_or_default());
    Ok(host)
}

fn build_host(workspace: &Workspace) -> Result<PathBuf> {
    say("build: the host, in release");
    let mut cargo = process::cargo(workspace.root());
    cargo.args(["build", "--release", "--package", "amends"]).env("CARGO_TARGET_DIR", workspace.target());
    process::run(&mut cargo)?;
    Ok(workspace.target().join("release/amends"))
}

/// A folder on the disk of the checkout, removed on drop. The folder for temporary files may be in memory, where a sync is free.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn new(workspace: &Workspace) -> Result<Self> {
        let folder = workspace.target().join(format!("bench-{}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            say(&format!("cannot remove {}: {error}", self.0.display()));
        }
    }
}

fn fill(host: &Server, sagas: u64) -> Result<()> {
    if sagas == 0 {
        return Ok(());
    }
    let began = Instant::now();
    let mut load = open(host, Mode::Happy, FILLERS)?;
    let mut filled = 0;
    while filled < sagas {
        filled += load.run(Duration::from_secs(1))?.sagas();
    }
    load.finish()?;
    say(&format!("filled the store with {filled} sagas in {:.0} s", began.elapsed().as_secs_f64()));
    Ok(())
}

pub(crate) fn open(host: &Server, mode: Mode, concurrency: usize) -> Result<Load> {
    // An input of some 200 bytes. The number has ten digits, so that all inputs have the same length.
    let input = format!(
        r#"{{"order_id":"order-{}","customer":"ada-lovelace","sku":"sku-7-blue-large","qty":2,"amount_cents":4200,"currency":"EUR","fail_at":"{}","note":"leave it at the door, please; ring twice, then wait"}}"#,
        load::NUMBER,
        mode.fail_at(),
    );
    Load::open(host.address, "/v1/definitions/order/sagas?wait=30s", &input, mode.ends(), concurrency)
}

fn measure(host: &Server, mode: Mode, concurrency: usize, time: Duration) -> Result<()> {
    if concurrency == 0 {
        bail!("concurrency 0 starts nothing");
    }
    let mut load = open(host, mode, concurrency)?;
    load.run(WARM_UP.min(time))?;
    let (counted, used) = (Metrics::read(host.address)?, Processors::read(host.pid())?);
    let sample = load.run(time)?;
    let used = Processors::read(host.pid())?.since(&used);
    let counted = Metrics::read(host.address)?.since(&counted);
    load.finish()?;
    let run = Run { mode, concurrency, sample, used, counted };
    println!("{}\n{}", run.speed(), run.cost());
    say(&run.to_string());
    Ok(())
}

/// The result of one run.
struct Run {
    mode: Mode,
    concurrency: usize,
    sample: Sample,
    used: Processors,
    counted: Metrics,
}

impl Run {
    /// The line in the format of the benchmarks of comparable systems.
    fn speed(&self) -> String {
        let Self { mode, concurrency, sample, .. } = self;
        format!(
            r#"{{"peer":"amends","mode":"{}","concurrency":{concurrency},"sagas":{},"seconds":{:.2},"sagas_per_s":{:.1},"p50_ms":{:.3},"p99_ms":{:.3}}}"#,
            mode.name(),
            sample.sagas(),
            sample.seconds(),
            sample.per_second(),
            sample.percentile_ms(50),
            sample.percentile_ms(99),
        )
    }

    /// The costs of a saga, by the counters of the host and of the kernel.
    fn cost(&self) -> String {
        let Self { mode, concurrency, used, .. } = self;
        let stages = self.counted.stages.iter().map(|(name, seconds)| format!(r#""{name}":{:.1}"#, self.microseconds(*seconds)));
        let threads = used.host.keys().map(|name| format!(r#""{name}":{:.1}"#, self.microseconds(used.of(name))));
        format!(
            r#"{{"cost":"amends","mode":"{}","concurrency":{concurrency},"commits_per_saga":{:.3},"records_per_saga":{:.2},"commit_ms":{:.3},"attempts_per_saga":{:.2},"guest_us_per_attempt":{:.1},"host_cpu_us_per_saga":{:.1},"client_cpu_us_per_saga":{:.1},"host_threads_us_per_saga":{{{}}},"stages_us_per_saga":{{{}}},"others_cpus":{:.2}}}"#,
            mode.name(),
            self.per_saga(self.counted.commits),
            self.per_saga(self.counted.records),
            self.commit_ms(),
            self.per_saga(self.counted.attempts),
            self.guest_us_per_attempt(),
            self.microseconds(used.host_seconds()),
            self.microseconds(used.client),
            threads.collect::<Vec<_>>().join(","),
            stages.collect::<Vec<_>>().join(","),
            self.used.others() / self.sample.seconds(),
        )
    }

    fn per_saga(&self, count: f64) -> f64 {
        count / self.sample.sagas().max(1) as f64
    }

    fn microseconds(&self, seconds: f64) -> f64 {
        self.per_saga(seconds * 1e6)
    }

    fn commit_ms(&self) -> f64 {
        self.counted.commit_seconds * 1e3 / self.counted.commits.max(1.0)
    }

    /// The work of the guest threads: a store, an instance, the call, the answer.
    fn guest_us_per_attempt(&self) -> f64 {
        self.used.of("amends-guest") * 1e6 / self.counted.attempts.max(1.0)
    }
}

impl fmt::Display for Run {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, concurrency, sample, used, .. } = self;
        write!(
            out,
            "{:<10} {concurrency:>3} callers: {:>7.0} sagas/s, p50 {:.2} ms, p99 {:.2} ms; processor {:.0} µs a saga and {:.0} µs of the client; \
             {:.2} commits a saga, {:.2} ms each; {:.0} µs an attempt",
            mode.name(),
            sample.per_second(),
            sample.percentile_ms(50),
            sample.percentile_ms(99),
            self.microseconds(used.host_seconds()),
            self.microseconds(used.client),
            self.per_saga(self.counted.commits),
            self.commit_ms(),
            self.guest_us_per_attempt(),
        )
    }
}
