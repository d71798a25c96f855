//! What a search for the highest load that still passes came to.

use crate::stats::search::{Answer, Trial};
use serde::{Deserialize, Serialize};

/// The schema of `capacity.json`.
pub const CAPACITY_SCHEMA: &str = "bench.capacity/1";

/// A search and all its steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// [`CAPACITY_SCHEMA`].
    pub schema: String,
    /// Its id, which is also the name of its folder.
    pub id: String,
    /// When it began, UTC, RFC 3339.
    pub started_at: String,
    /// The name of the scenario.
    pub scenario: String,
    /// The target, without credentials.
    pub target: String,
    /// The phase whose load was varied.
    pub phase: String,
    /// What was varied.
    pub unit: LoadUnit,
    /// The gates that a level had to pass.
    pub gates: Vec<String>,
    /// Gates that do not become harder with more load, and were left out.
    pub left_out: Vec<String>,
    /// How close the two sides of the answer come at the least: 0.05 for 5 %.
    pub resolution: f64,
    /// What was tried, in order.
    pub steps: Vec<CapacityStep>,
    /// What it came to; `None` where it was interrupted.
    pub answer: Option<Answer>,
}

/// What a search varies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadUnit {
    /// Requests in flight.
    Concurrency,
    /// Requests per second.
    Rate,
}

/// One level that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CapacityStep {
    /// The level.
    pub level: f64,
    /// Whether it was a long trial, which decides.
    pub hold: bool,
    /// How it ended.
    pub trial: Trial,
    /// The one sentence of its verdict.
    pub headline: String,
    /// The folder of its run, relative to that of the search.
    pub run: String,
    /// Successful requests per second of the measured window.
    pub throughput_rps: f64,
    /// Share of requests that did not succeed, from 0 to 1.
    pub error_share: f64,
    /// Response times of successful requests in milliseconds; `None` where none succeeded.
    pub response: Option<StepLatency>,
}

/// Latencies of one step in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepLatency {
    /// Their mean.
    pub mean_ms: f64,
    /// Half of them are not longer.
    pub p50_ms: f64,
    /// Nine of ten are not longer.
    pub p90_ms: f64,
    /// 99 of 100 are not longer.
    pub p99_ms: f64,
}

impl LoadUnit {
    /// A level in words.
    pub fn describe(self, level: f64) -> String {
        match self {
            Self::Concurrency => format!("{level} concurrent"),
            Self::Rate => format!("{}/s", crate::units::number(level)),
        }
    }
}

impl Capacity {
    /// What it came to, in one sentence.
    pub fn headline(&self) -> String {
        let level = |level: f64| self.unit.describe(level);
        match self.answer {
            None => "interrupted: the search has no answer".to_owned(),
            Some(Answer::Found { level: held, next }) => format!(
                "{} passed every gate and held; {} did not",
                level(held),
                level(next)
            ),
            Some(Answer::AtLeast {
                level: held,
                generator: true,
            }) => format!(
                "at least {}: above that this machine could not generate the load; use more cores or a machine of its own",
                level(held)
            ),
            Some(Answer::AtLeast { level: held, .. }) => format!(
                "at least {}, the highest level that was asked for; go on with --to",
                level(held)
            ),
            Some(Answer::Nothing { level: lowest }) => {
                format!("nothing passed, not even {}", level(lowest))
            }
            Some(Answer::Undecided {
                level: lowest,
                generator: true,
            }) => format!(
                "nothing could be shown: this machine could not generate the load evenly, down to {}; use more cores or a machine of its own",
                level(lowest)
            ),
            Some(Answer::Undecided { level: lowest, .. }) => format!(
                "nothing could be shown at {}; try a longer --probe",
                level(lowest)
            ),
            Some(Answer::Unstable { level: lowest }) => format!(
                "short trials passed, but no level held, down to {}; try a longer --probe",
                level(lowest)
            ),
        }
    }

    /// The step at the knee of the curve: the most throughput per unit of mean latency.
    pub fn knee(&self) -> Option<&CapacityStep> {
        let usable: Vec<&CapacityStep> = self
            .steps
            .iter()
            .filter(|step| step.trial != Trial::OutOfReach && step.response.is_some())
            .collect();
        let points: Vec<(f64, f64)> = usable
            .iter()
            .filter_map(|step| step.response.map(|at| (step.throughput_rps, at.mean_ms)))
            .collect();
        crate::stats::search::knee(&points).map(|index| usable[index])
    }

    /// The steps by their level, of several at one level the last.
    pub fn by_level(&self) -> Vec<&CapacityStep> {
        let mut steps: Vec<&CapacityStep> = self.steps.iter().rev().collect();
        // A stable sort: what was tried last at a level stays first.
        steps.sort_by(|a, b| a.level.total_cmp(&b.level));
        steps.dedup_by(|later, first| later.level == first.level);
        steps
    }
}
