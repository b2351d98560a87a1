//! The processor time that Linux counts: for the threads of the host, for this process, and for all other processes.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};

/// Linux counts the time of all processors in hundredths of a second, whatever it counts in inside.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds that processors spent.
#[derive(Debug, Default)]
pub(crate) struct Processors {
    /// The host's threads, those of one kind together: `amends-guest-0` and `amends-guest-1` are `amends-guest`.
    pub(crate) host: BTreeMap<String, f64>,
    /// This process.
    pub(crate) client: f64,
    /// All of them.
    total: f64,
}

impl Processors {
    /// Since each began.
    pub(crate) fn read(host: u32) -> Result<Self> {
        let client = threads("self")?.values().sum();
        Ok(Self { host: threads(&host.to_string())?, client, total: busy(&fs::read_to_string("/proc/stat")?) })
    }

    /// Since an earlier reading.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let host = self.host.iter().map(|(name, seconds)| (name.clone(), seconds - earlier.of(name)));
        Self { host: host.collect(), client: self.client - earlier.client, total: self.total - earlier.total }
    }

    /// The host's threads of one kind.
    pub(crate) fn of(&self, name: &str) -> f64 {
        self.host.get(name).copied().unwrap_or_default()
    }

    pub(crate) fn host_seconds(&self) -> f64 {
        self.host.values().sum()
    }

    /// The time of all other processes: results of a busy machine are hard to compare.
    pub(crate) fn others(&self) -> f64 {
        (self.total - self.host_seconds() - self.client).max(0.0)
    }
}

fn threads(process: &str) -> Result<BTreeMap<String, f64>> {
    let tasks = format!("/proc/{process}/task");
    let mut kinds = BTreeMap::new();
    for task in fs::read_dir(&tasks).with_context(|| format!("cannot read {tasks}; the benchmark needs Linux"))? {
        let task = task?.path();
        // A thread may have ended meanwhile.
        let (Ok(name), Ok(spent)) = (fs::read_to_string(task.join("comm")), fs::read_to_string(task.join("schedstat"))) else {
            continue;
        };
        let kind = name.trim_end().trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-');
        *kinds.entry(kind.to_owned()).or_default() += on_processor(&spent);
    }
    Ok(kinds)
}

/// `NANOSECONDS-ON-A-PROCESSOR NANOSECONDS-WAITING TURNS`.
fn on_processor(schedstat: &str) -> f64 {
    schedstat.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or_default() / 1e9
}

/// The first line: `cpu user nice system idle iowait irq softirq steal …`, in ticks.
fn busy(stat: &str) -> f64 {
    let numbers = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let numbers: Vec<f64> = numbers.filter_map(|number| number.parse().ok()).collect();
    let of = |places: &[usize]| places.iter().filter_map(|place| numbers.get(*place)).sum::<f64>();
    of(&[0, 1, 2, 5, 6]) / TICKS_PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_processors_are_not_busy() {
        assert_eq!(busy("cpu  100 50 200 9000 300 10 40 70 0 0\ncpu0 1 2 3 4\n"), 4.0);
    }

    #[test]
    fn this_process_has_spent_time() {
        let own = Processors::read(std::process::id()).unwrap();
        assert!(own.host_seconds() > 0.0 && own.since(&own).host_seconds() == 0.0);
    }
}
