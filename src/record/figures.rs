//! A run in the figures by which it is compared with others, and the runs that it is compared with.
//!
//! They are written into the journal before any load, so that a comparison can be made again when the
//! other runs are gone.

use super::latencies::Distribution as _;
use super::run::RunRecord;
use crate::units;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The runs that a run is compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// As the user named them: runs, a chosen baseline, or `last-pass`.
    pub asked: String,
    /// The relative change that matters.
    pub margin: f64,
    /// The runs, the newest first.
    pub runs: Vec<RunFigures>,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunFigures {
    /// Its id.
    pub run: String,
    /// What a reader of a comparison must know of its circumstances, as far as it is known.
    pub facts: BTreeMap<String, String>,
    /// Its measured phases.
    pub phases: Vec<PhaseFigures>,
}

/// One phase of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseFigures {
    /// Its name.
    pub name: String,
    /// Metrics as gates name them, in their base units.
    pub values: BTreeMap<String, f64>,
    /// Requests that did not succeed.
    pub not_ok: u64,
    /// All requests that ended.
    pub ended: u64,
}

impl Baseline {
    /// What a metric of a phase was in the runs that have it: the median, the lower of two.
    pub fn usual(&self, phase: &str, metric: &str) -> Option<f64> {
        let phases = self.runs.iter().flat_map(|run| &run.phases);
        let own = phases.filter(|own| own.name == phase);
        let mut values: Vec<f64> = own
            .filter_map(|own| own.values.get(metric).copied())
            .collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len().saturating_sub(1) / 2).copied()
    }

    /// The runs in a word or two, for a legend.
    pub fn label(&self) -> String {
        match self.runs.len() {
            1 => "baseline".to_owned(),
            count => format!("median of {count} baseline runs"),
        }
    }
}

/// A fact that is not the same in all runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Which fact.
    pub what: String,
    /// In the first of the old runs.
    pub old: String,
    /// In the first run that differs from it.
    pub new: String,
}

/// The quantiles of a response time that are compared.
const QUANTILES: [(&str, f64); 3] = [
    ("response.p50", 0.5),
    ("response.p90", 0.9),
    ("response.p99", 0.99),
];

impl RunFigures {
    /// The figures of a record.
    pub fn of(record: &RunRecord) -> Self {
        let header = &record.header;
        let environment = &header.environment;
        let gpus: Vec<&str> = environment
            .gpus
            .iter()
            .map(|gpu| gpu.name.as_str())
            .collect();
        // The built-in API listens where there is room: its port is no circumstance.
        let target = if header.target.reference {
            "reference".to_owned()
        } else {
            header.target.url.clone()
        };
        let known = |value: &Option<String>| value.clone().unwrap_or_default();
        let facts = [
            ("scenario", header.scenario.sha256.clone()),
            ("target", target),
            ("protocol", header.target.protocol.to_string()),
            ("misbehaviour", header.target.misbehaviour.clone()),
            ("bench", environment.bench_version.clone()),
            ("host", environment.host.clone()),
            ("kernel", environment.kernel.clone()),
            ("CPU", environment.cpu.clone()),
            ("CPUs", environment.cpus.to_string()),
            ("memory", units::bytes(environment.memory_bytes as f64)),
            ("git commit", known(&environment.git_commit)),
            ("GPU driver", known(&environment.gpu_driver)),
            ("GPUs", gpus.join(", ")),
            ("workers", header.workers.to_string()),
        ];
        Self {
            run: header.id.clone(),
            facts: facts
                .into_iter()
                .map(|(what, value)| (what.to_owned(), value))
                .collect(),
            phases: record
                .phases
                .iter()
                .filter(|phase| phase.measured_ns() > 0)
                .map(|phase| {
                    let latencies = QUANTILES.iter().filter_map(|(name, quantile)| {
                        let ns = phase.total.response.quantile_ns(*quantile)?;
                        Some(((*name).to_owned(), ns as f64 / 1e9))
                    });
                    let throughput = ("throughput".to_owned(), phase.throughput());
                    PhaseFigures {
                        name: phase.info.name.clone(),
                        values: latencies.chain([throughput]).collect(),
                        not_ok: phase.total.outcomes.not_ok(),
                        ended: phase.total.outcomes.total(),
                    }
                })
                .collect(),
        }
    }

    /// One of its phases.
    pub fn phase(&self, name: &str) -> Option<&PhaseFigures> {
        self.phases.iter().find(|phase| phase.name == name)
    }
}

/// What is not the same in all runs, of the facts that all of them know.
pub fn differences(old: &[RunFigures], new: &[RunFigures]) -> Vec<Difference> {
    let Some(first) = old.first() else {
        return Vec::new();
    };
    let shown = |text: &str| {
        if text.is_empty() {
            "–".to_owned()
        } else {
            text.to_owned()
        }
    };
    first
        .facts
        .iter()
        .filter_map(|(what, usual)| {
            let others: Option<Vec<&String>> = old
                .iter()
                .chain(new)
                .map(|run| run.facts.get(what))
                .collect();
            let other = others?.into_iter().find(|other| *other != usual)?;
            Some(Difference {
                what: what.clone(),
                old: shown(usual),
                new: shown(other),
            })
        })
        .collect()
}
