//! Where the processor time of a release host goes, by thread, by place and by function, in microseconds a saga.
//!
//! The samples are those of `perf record` on the clock of the processors: it needs no hardware counters, which most virtual machines
//! do not have. The binary keeps the names of its functions. Compiled guest code has none, and is one place.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::bench::{self, Mode, Processors};
use crate::process::{self, say};
use crate::workspace::Workspace;

/// Samples a second of each processor. A prime number, so that nothing periodic is in step with it.
const FREQUENCY: &str = "997";

/// Functions that are listed.
const FUNCTIONS: usize = 40;

/// What to profile.
#[derive(Args, Debug)]
pub(crate) struct Plan {
    /// How long to take samples
    #[arg(long, default_value_t = 10, value_name = "N")]
    seconds: u64,
    /// What the sagas do
    #[arg(long, default_value = "happy")]
    mode: Mode,
    /// How many callers wait for an answer at any time
    #[arg(long, default_value_t = 64, value_name = "N")]
    concurrency: usize,
    /// Profile this host instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// Runs the load of the benchmark, takes samples, and prints three tables.
pub(crate) fn run(workspace: &Workspace, plan: &Plan) -> Result<()> {
    let perf = perf(workspace)?;
    let binary = bench::host(workspace, plan.binary.as_deref())?;
    let folder = bench::Folder::new(workspace)?;
    let host = bench::serve(workspace, &binary, &folder)?;
    let samples = folder.path().join("perf.data");
    let time = Duration::from_secs(plan.seconds.max(1));
    let mut load = bench::open(&host, plan.mode, plan.concurrency)?;
    load.run(Duration::from_secs(2))?;
    let mut record = process::command(&perf, folder.path());
    record.args(["record", "--event", "cpu-clock", "--freq", FREQUENCY, "--pid", &host.pid().to_string(), "--output"]);
    record.arg(&samples).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let used = Processors::read(host.pid())?;
    let mut recording = record.spawn().with_context(|| process::cannot_start(&record))?;
    let sample = load.run(time)?;
    let used = Processors::read(host.pid())?.since(&used);
    // SIGINT ends the record in order.
    process::run(process::command("kill", folder.path()).args(["-INT", &recording.id().to_string()]))?;
    recording.wait()?;
    load.finish()?;
    let mut script = process::command(&perf, folder.path());
    script.args(["script", "--fields", "comm,ip,sym,dso", "--input"]).arg(&samples).stderr(Stdio::null());
    let text = script.output().with_context(|| process::cannot_start(&script))?.stdout;
    let profile = Profile::of(&String::from_utf8_lossy(&text));
    if profile.samples == 0 {
        bail!(
            "`perf record` took no samples: look at /proc/sys/kernel/perf_event_paranoid, which must be 1 or less for this user"
        );
    }
    let per_saga = used.host_seconds() * 1e6 / sample.sagas().max(1) as f64;
    println!(
        "{} sagas, {:.0} a second, {} callers: {per_saga:.1} µs of the host's processor time a saga, {} samples, {:.2} processors taken by others",
        sample.sagas(),
        sample.per_second(),
        plan.concurrency,
        profile.samples,
        used.others() / sample.seconds(),
    );
    print!("{}", profile.tables(per_saga));
    Ok(())
}

/// The program `perf`, installed if it is missing and can be.
fn perf(workspace: &Workspace) -> Result<PathBuf> {
    let found = || {
        let mut which = process::command("sh", workspace.root());
        which.args(["-c", "command -v perf"]).stderr(Stdio::null());
        let output = which.output().ok().filter(|output| output.status.success())?;
        Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
    };
    if let Some(perf) = found() {
        return Ok(perf);
    }
    say("apt-get install linux-perf (takes samples; some 60 MB)");
    let mut install = process::command("apt-get", workspace.root());
    install.args(["-qq", "install", "--yes", "--no-install-recommends", "linux-perf"]).env("DEBIAN_FRONTEND", "noninteractive");
    let installed = install.stdout(Stdio::null()).status();
    match (installed, found()) {
        (_, Some(perf)) => Ok(perf),
        (_, None) => {
            bail!("`perf` is missing and could not be installed: it is in the package linux-perf or linux-tools of your system")
        }
    }
}

/// Samples, counted in three ways.
#[derive(Debug, Default)]
struct Profile {
    samples: u64,
    threads: BTreeMap<String, u64>,
    places: BTreeMap<&'static str, u64>,
    functions: BTreeMap<String, u64>,
}

impl Profile {
    /// Of lines `THREAD  ADDRESS SYMBOL (FILE)`.
    fn of(text: &str) -> Self {
        let mut profile = Self::default();
        for line in text.lines() {
            let Some(sample) = Sample::of(line) else { continue };
            profile.samples += 1;
            *profile.threads.entry(sample.thread).or_default() += 1;
            *profile.places.entry(sample.place).or_default() += 1;
            *profile.functions.entry(format!("{:<10} {}", sample.place, sample.function)).or_default() += 1;
        }
        profile
    }

    fn tables(&self, per_saga: f64) -> String {
        let owned = self.places.iter().map(|(place, count)| ((*place).to_owned(), *count));
        let tables = [
            ("thread", self.threads.clone(), usize::MAX),
            ("place", owned.collect(), usize::MAX),
            ("function", self.functions.clone(), FUNCTIONS),
        ];
        let mut text = String::new();
        for (what, counts, most) in tables {
            let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
            counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            // Writing to a string does not fail.
            let _ = writeln!(text, "\nby {what}, µs a saga and %");
            for (name, count) in counts.iter().take(most) {
                let share = *count as f64 / self.samples.max(1) as f64;
                let _ = writeln!(text, "{:>7.1} {:>5.1}  {name}", share * per_saga, share * 100.0);
            }
        }
        text
    }
}

struct Sample {
    thread: String,
    place: &'static str,
    function: String,
}

impl Sample {
    fn of(line: &str) -> Option<Self> {
        let (rest, file) = line.strip_suffix(')')?.rsplit_once(" (")?;
        // The name of a thread may have blanks; the address has none, and 16 digits at most.
        let (place, symbol) = rest.split_whitespace().enumerate().find(|(at, word)| *at > 0 && is_address(word))?;
        let words: Vec<&str> = rest.split_whitespace().collect();
        debug_assert!(words.get(place) == Some(&symbol));
        let thread = words[..place].join(" ");
        let thread = thread.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-').to_owned();
        let symbol = words[place + 1..].join(" ");
        let function = symbol.rsplit_once("::h").filter(|(_, hash)| hash.len() == 16).map_or(&symbol[..], |(name, _)| name);
        let file = Path::new(file).file_name().map_or_else(|| file.to_owned(), |name| name.to_string_lossy().into_owned());
        Some(Self { thread, place: place_of(&file, function), function: function.to_owned() })
    }
}

fn is_address(word: &str) -> bool {
    word.len() >= 6 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whose code it is. Generic code counts for the first crate that its name names.
fn place_of(file: &str, function: &str) -> &'static str {
    const OF: [(&str, &[&str]); 12] = [
        ("allocator", &["mi_", "_mi_", "malloc", "free", "__rust_alloc", "__rust_dealloc", "realloc", "calloc"]),
        ("journal", &["redb", "amends_host::store"]),
        ("guests", &["amends_host::host"]),
        ("engine", &["amends_host::engine", "amends_host::journal"]),
        ("core", &["amends_core"]),
        ("API", &["amends_host::api", "amends_host::service", "amends_wire"]),
        ("http", &["hyper", "httparse", "axum", "tower", "http", "matchit"]),
        ("wasmtime", &["wasmtime", "cranelift", "wasm"]),
        ("tokio", &["tokio", "mio"]),
        ("json", &["serde", "serde_json", "serde_json_canonicalizer", "itoa", "ryu"]),
        ("hashing", &["sha2", "crc32c", "core::hash", "hashbrown", "rand_chacha"]),
        ("std", &["std", "core", "alloc"]),
    ];
    if file.contains("kernel") || file.starts_with("[guest.kernel") || file == "[vdso]" {
        return "kernel";
    }
    if file.starts_with("libc") || file.starts_with("ld-") || file.starts_with("libm") {
        return "libc";
    }
    if file.contains("anon") || file.contains("unknown") || file.starts_with("perf-") || file.contains("deleted") {
        return "guest code";
    }
    let bare = function.trim_start_matches(['<', '&', '*', '(']);
    let bare = bare.strip_prefix("dyn ").unwrap_or(bare);
    let found = OF.iter().find(|(_, names)| names.iter().any(|name| bare.starts_with(name)));
    found.map_or("other", |(place, _)| place)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn samples_are_counted_by_thread_by_place_and_by_function() {
        let text = "\
shard            7f0011223344 amends_core::saga::handle::<impl amends_core::Saga>::handle::h0123456789abcdef (/opt/amends)
amends-guest-0   ffffffff81000000 clear_page_erms ([kernel.kallsyms])
amends-guest-1   7fabcdef0000 [unknown] (/tmp/perf-12.map)
tokio-rt-worker  7f0011220000 _mi_page_malloc (/opt/amends)
# a line of something else
";
        expect![[r#"

            by thread, µs a saga and %
               50.0  50.0  amends-guest
               25.0  25.0  shard
               25.0  25.0  tokio-rt-worker

            by place, µs a saga and %
               25.0  25.0  allocator
               25.0  25.0  core
               25.0  25.0  guest code
               25.0  25.0  kernel

            by function, µs a saga and %
               25.0  25.0  allocator  _mi_page_malloc
               25.0  25.0  core       amends_core::saga::handle::<impl amends_core::Saga>::handle
               25.0  25.0  guest code [unknown]
               25.0  25.0  kernel     clear_page_erms
        "#]]
        .assert_eq(&Profile::of(text).tables(100.0));
    }
}
