//! The host's own counters, from its `/metrics`.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::Result;

use crate::http;

/// Counters since the host began, or between two readings.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Metrics {
    pub(super) commits: f64,
    pub(super) records: f64,
    pub(super) commit_seconds: f64,
    pub(super) attempts: f64,
    /// By name, in seconds.
    pub(super) stages: BTreeMap<String, f64>,
}

impl Metrics {
    /// Asks the host.
    pub(super) fn read(host: SocketAddr) -> Result<Self> {
        Ok(Self::of(&http::get(host, "/metrics")?))
    }

    /// Since an earlier reading.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        Self {
            commits: self.commits - earlier.commits,
            records: self.records - earlier.records,
            commit_seconds: self.commit_seconds - earlier.commit_seconds,
            attempts: self.attempts - earlier.attempts,
            stages: self
                .stages
                .iter()
                .map(|(name, now)| (name.clone(), now - earlier.stages.get(name).unwrap_or(&0.0)))
                .collect(),
        }
    }

    fn of(text: &str) -> Self {
        Self {
            commits: sum(text, "amends_commits_total"),
            records: sum(text, "amends_commit_records_total"),
            commit_seconds: sum(text, "amends_commit_seconds"),
            attempts: sum(text, "amends_attempts_total"),
            stages: by_stage(text),
        }
    }
}

/// `amends_stage_seconds{stage="NAME"} SECONDS`.
fn by_stage(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("amends_stage_seconds{stage=\""));
    lines
        .filter_map(|line| line.split_once("\"} "))
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect()
}

/// All lines of one metric: of one set of labels if it is part of the name, else whatever their labels.
pub(super) fn sum(text: &str, name: &str) -> f64 {
    let values = text.lines().filter_map(|line| line.strip_prefix(name)).filter(|rest| rest.starts_with(['{', ' ']));
    values.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_metric_add_up_and_longer_names_are_others() {
        let text = "# TYPE amends_commits counter\namends_commits_total 3\namends_commits_total_more 9\n\
                    amends_attempts_total{direction=\"forward\",outcome=\"done\"} 4\namends_attempts_total{direction=\"undo\",outcome=\"done\"} 2\n\
                    amends_stage_seconds{stage=\"decide\"} 0.5\n";
        let metrics = Metrics::of(text);
        assert_eq!(
            metrics,
            Metrics { commits: 3.0, attempts: 6.0, stages: BTreeMap::from([("decide".to_owned(), 0.5)]), ..Metrics::default() }
        );
        assert_eq!(metrics.since(&metrics).stages["decide"], 0.0);
        assert_eq!(sum(text, "amends_attempts_total{direction=\"undo\",outcome=\"done\"}"), 2.0);
    }
}
