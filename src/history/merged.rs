//! All requests of several runs as one: histograms that are merged, never percentiles of percentiles.

use super::RunSummary;
use crate::record::{Distribution, Latencies};
use std::collections::BTreeMap;

/// A phase over all requests of the runs that may be compared.
#[derive(Clone, Debug, PartialEq)]
pub struct MergedPhase {
    /// The scenario.
    pub scenario: String,
    /// The phase.
    pub phase: String,
    /// The environment key that all runs share.
    pub environment_key: String,
    /// Ids of the runs that have it, the oldest first.
    pub runs: Vec<String>,
    /// Latencies by kind, named as in the database.
    kinds: BTreeMap<String, Latencies>,
}

impl MergedPhase {
    /// The latencies of one kind: `response`, `service`, `ttfb` of requests that succeeded, `failed`,
    /// `censored` of those that timed out or never ended.
    pub fn latencies(&self, kind: &str) -> Option<&Latencies> {
        self.kinds.get(kind)
    }

    /// How many latencies of one kind there are.
    pub fn count(&self, kind: &str) -> u64 {
        self.latencies(kind).map_or(0, Distribution::count)
    }
}

/// Puts the histograms of runs together.
#[derive(Debug, Default)]
pub struct Merger {
    phases: BTreeMap<(String, String, String), Merged>,
}

#[derive(Debug, Default)]
struct Merged {
    runs: BTreeMap<jiff::Timestamp, Vec<String>>,
    kinds: BTreeMap<String, Latencies>,
}

impl Merger {
    /// Whether the requests of a run belong to the whole: it came to its end, as in a trend.
    pub fn takes(run: &RunSummary) -> bool {
        !run.partial && run.verdict.is_some()
    }

    /// Adds latencies of one phase of a run that is taken.
    pub fn add(
        &mut self,
        run: &RunSummary,
        phase: &str,
        kind: &str,
        latencies: &impl Distribution,
    ) {
        let key = (
            run.scenario.clone(),
            phase.to_owned(),
            run.environment_key.clone(),
        );
        let merged = self.phases.entry(key).or_default();
        let ids = merged.runs.entry(run.began()).or_default();
        if !ids.contains(&run.id) {
            ids.push(run.id.clone());
        }
        let kind = merged.kinds.entry(kind.to_owned()).or_default();
        kind.merge(latencies);
    }

    /// The phases, by scenario, name and environment.
    pub fn finish(self) -> Vec<MergedPhase> {
        let phases = self.phases.into_iter();
        phases
            .map(|((scenario, phase, environment_key), merged)| MergedPhase {
                scenario,
                phase,
                environment_key,
                runs: merged.runs.into_values().flatten().collect(),
                kinds: merged.kinds,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::summary::example;
    use super::*;

    fn run(id: &str, began: &str) -> RunSummary {
        example(id, began, 0.1)
    }

    fn of(milliseconds: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::default();
        for value in milliseconds {
            latencies.record(value * 1_000_000);
        }
        latencies
    }

    #[test]
    fn the_tail_of_one_run_is_seen_in_all_requests() {
        // 900 requests at 10 ms and 100 at 500: the p99 of all is 500, the mean of both p99 255.
        let first = run("first", "2026-11-01T00:00:00Z");
        let second = run("second", "2026-11-02T00:00:00Z");
        let mut merger = Merger::default();
        merger.add(&second, "c10", "response", &of(vec![500; 100]));
        merger.add(&first, "c10", "response", &of(vec![10; 900]));
        merger.add(&first, "c10", "failed", &of([3]));
        let phases = merger.finish();
        let [phase] = &phases[..] else {
            panic!("{phases:?}");
        };
        assert_eq!(phase.runs, ["first", "second"]);
        assert_eq!(phase.count("response"), 1000);
        assert_eq!((phase.count("failed"), phase.count("ttfb")), (1, 0));
        let p99 = phase
            .latencies("response")
            .unwrap()
            .quantile_ns(0.99)
            .unwrap();
        assert_eq!(p99 / 1_000_000, 500);
    }

    #[test]
    fn environments_are_kept_apart_and_partial_runs_out() {
        let first = run("first", "2026-11-01T00:00:00Z");
        let mut second = run("second", "2026-11-02T00:00:00Z");
        second.environment_key = "another".to_owned();
        let mut merger = Merger::default();
        merger.add(&first, "c10", "response", &of([1]));
        merger.add(&second, "c10", "response", &of([2]));
        assert_eq!(merger.finish().len(), 2);
        assert!(Merger::takes(&first));
        second.partial = true;
        assert!(!Merger::takes(&second));
    }
}
