//! A run in a few numbers: what history lists, filters and draws.

use super::environment::comparable;
use crate::gate::{Gate, LatencyKind, Metric, Op, Percentile, Statistic, TelemetryMetric};
use crate::record::{
    Distribution as _, PhaseFigures, PhaseRecord, RequestTally, RunFigures, RunRecord,
};
use crate::units::Quantity;
use crate::verdict::{self, Judgement, Scope, ScopedGate, Verdict};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of `summary.json`. A file of another version is made again from the journal.
pub const SUMMARY_SCHEMA: &str = "bench.summary/2";

/// The name of the summary in a run's folder.
pub const SUMMARY_FILE: &str = "summary.json";

/// A run in a few numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// [`SUMMARY_SCHEMA`] of the writer.
    pub schema: String,
    /// The run's id.
    pub id: String,
    /// The scenario's name.
    pub scenario: String,
    /// When it began, UTC, RFC 3339.
    pub started_at: String,
    /// How long it took, in seconds.
    pub duration_s: f64,
    /// The verdict; `None` while the run goes on.
    pub verdict: Option<Verdict>,
    /// One line that says it all.
    pub headline: String,
    /// Whether it did not come to its planned end.
    pub partial: bool,
    /// Whether anything in it is made up.
    pub simulated: bool,
    /// The target's URL, without credentials.
    pub target: String,
    /// The git branch of the scenario's repository.
    pub git_branch: Option<String>,
    /// The commit.
    pub git_commit: Option<String>,
    /// The version of bench that made the run.
    pub bench_version: String,
    /// The host that generated the load.
    pub host: String,
    /// Runs with the same key may be compared.
    pub environment_key: String,
    /// What was measured, in the base unit of each metric.
    pub metrics: Vec<MetricValue>,
}

/// One metric of one phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricValue {
    /// The phase.
    pub phase: String,
    /// The metric as gates name it; of a part of the requests `response.p99{step=job/submit}`.
    pub metric: String,
    /// The observed value: seconds, a share, bytes, events per second, °C or watts.
    pub value: f64,
    /// The one-sided 95 % lower bound of the true value in this run.
    pub lower: Option<f64>,
    /// The one-sided 95 % upper bound of the true value in this run.
    pub upper: Option<f64>,
    /// How many requests or samples it rests on.
    pub samples: u64,
}

/// The percentiles that are kept of each latency. A trend of any other can be asked of the merged
/// histograms.
const PERCENTILES: [f64; 5] = [50.0, 90.0, 95.0, 99.0, 99.9];

impl RunSummary {
    /// The summary of a run and its judgement.
    pub fn of(record: &RunRecord, judgement: &Judgement) -> Self {
        Self {
            verdict: Some(judgement.verdict),
            headline: judgement.headline.clone(),
            metrics: metrics(record),
            ..Self::begun(record)
        }
    }

    /// The summary of a run that goes on: what is known without a judgement.
    pub fn begun(record: &RunRecord) -> Self {
        let header = &record.header;
        let environment = &header.environment;
        Self {
            schema: SUMMARY_SCHEMA.to_owned(),
            id: header.id.clone(),
            scenario: header.scenario.name.clone(),
            started_at: header.started_at.clone(),
            duration_s: record.ended_ns as f64 / 1e9,
            verdict: None,
            headline: String::new(),
            partial: record.is_partial(),
            simulated: record.is_simulated(),
            target: header.target.url.clone(),
            git_branch: environment.git_branch.clone(),
            git_commit: environment.git_commit.clone(),
            bench_version: environment.bench_version.clone(),
            host: environment.host.clone(),
            environment_key: comparable(header).key,
            metrics: Vec::new(),
        }
    }

    /// The contents of its file in the run's folder, [`SUMMARY_FILE`].
    pub fn to_json(&self) -> Vec<u8> {
        let mut bytes =
            serde_json::to_vec(self).expect("its fields have names, and its numbers are finite");
        bytes.push(b'\n');
        bytes
    }

    /// Reads the file, if it is one of this version.
    pub fn from_json(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(bytes)
            .ok()
            .filter(|summary| summary.schema == SUMMARY_SCHEMA)
    }

    /// When it began. A record with a broken date sorts before all others.
    pub fn began(&self) -> Timestamp {
        self.started_at.parse().unwrap_or(Timestamp::MIN)
    }

    /// The value of a metric in a phase.
    pub fn metric(&self, phase: &str, metric: &str) -> Option<&MetricValue> {
        self.metrics
            .iter()
            .find(|value| value.phase == phase && value.metric == metric)
    }

    /// The figures by which it is compared with other runs. Of its circumstances less is known than from
    /// its record.
    pub fn figures(&self) -> RunFigures {
        let facts = [
            ("target", &self.target),
            ("bench", &self.bench_version),
            ("host", &self.host),
        ];
        let mut facts: BTreeMap<String, String> = facts
            .into_iter()
            .map(|(what, value)| (what.to_owned(), value.clone()))
            .collect();
        let commit = self.git_commit.clone().unwrap_or_default();
        facts.insert("git commit".to_owned(), commit);
        let mut phases: Vec<PhaseFigures> = Vec::new();
        for value in &self.metrics {
            let at = phases.iter().position(|phase| phase.name == value.phase);
            let at = at.unwrap_or_else(|| {
                phases.push(PhaseFigures {
                    name: value.phase.clone(),
                    values: BTreeMap::new(),
                    not_ok: 0,
                    ended: 0,
                });
                phases.len() - 1
            });
            if value.metric == Metric::ErrorRate.to_string() {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a share of a count"
                )]
                let not_ok = (value.value * value.samples as f64).round() as u64;
                (phases[at].not_ok, phases[at].ended) = (not_ok, value.samples);
            } else {
                phases[at].values.insert(value.metric.clone(), value.value);
            }
        }
        RunFigures {
            run: self.id.clone(),
            facts,
            phases,
        }
    }

    /// Whether it may serve as a baseline: it came to its end with PASS, and nothing is made up.
    pub fn is_baseline_material(&self) -> bool {
        self.verdict == Some(Verdict::Pass) && !self.partial && !self.simulated
    }
}

/// Every metric of every measured phase, and of each request, flow and step in it where there are several.
/// Each is judged as a gate would judge it, so that value and interval are those of the report.
fn metrics(record: &RunRecord) -> Vec<MetricValue> {
    let parts = record.header.several_parts();
    let mut gates = Vec::new();
    for phase in record.phases.iter().filter(|phase| phase.measured_ns() > 0) {
        let scope = Scope {
            phase: Some(phase.index),
            name: phase.info.name.clone(),
        };
        let of_parts = parts.iter().flat_map(|(part, index)| {
            let tally = phase.of(Some(*index)).filter(|tally| !tally.is_empty());
            let gates = tally.into_iter().flat_map(of_requests);
            gates.map(|gate| Gate {
                part: Some(part.clone()),
                ..gate
            })
        });
        gates.extend(catalogue(phase).chain(of_parts).map(|gate| ScopedGate {
            scope: scope.clone(),
            text: gate.of().to_string(),
            gate,
        }));
    }
    let measured = verdict::measure(record, &gates);
    let values = measured.into_iter().filter_map(|result| {
        let finite = |bound: Option<f64>| bound.filter(|value| value.is_finite());
        Some(MetricValue {
            phase: result.gate.scope.name,
            metric: result.gate.text,
            value: finite(result.observed)?,
            lower: finite(result.lower),
            upper: finite(result.upper),
            samples: result.samples,
        })
    });
    values.collect()
}

/// A gate on each metric of a phase.
fn catalogue(phase: &PhaseRecord) -> impl Iterator<Item = Gate> {
    let energy = gate(Metric::EnergyPerRequest, Op::Below, 1.0);
    let telemetry = TelemetryMetric::all()
        .iter()
        .map(|metric| gate(Metric::Telemetry(metric), worse_side(metric), 1.0));
    of_requests(&phase.total).chain([energy]).chain(telemetry)
}

/// A gate on each metric of requests, at the observed value where the interval depends on the limit.
fn of_requests(tally: &RequestTally) -> impl Iterator<Item = Gate> {
    let latencies = LatencyKind::ALL.into_iter().flat_map(move |kind| {
        PERCENTILES.into_iter().filter_map(move |percent| {
            let percentile = Percentile::new(percent)?;
            let observed = tally.latencies(kind).quantile_ns(percentile.quantile())?;
            let metric = Metric::Latency { kind, percentile };
            Some(gate(metric, Op::Below, observed as f64 / 1e9))
        })
    });
    latencies.chain([
        gate(Metric::ErrorRate, Op::Below, 0.01),
        gate(Metric::Throughput, Op::Above, 1.0),
    ])
}

fn gate(metric: Metric, op: Op, limit: f64) -> Gate {
    Gate {
        metric,
        op,
        limit: Quantity {
            value: limit,
            dimension: metric.dimension(),
        },
        part: None,
        worst: None,
        abort: false,
        baseline: None,
    }
}

/// Of several instances the worst is kept: the idlest GPU, the fullest disk, the hottest chip.
fn worse_side(metric: &TelemetryMetric) -> Op {
    match metric.statistic {
        Statistic::Minimum => Op::Above,
        _ if metric.name.ends_with("utilization") => Op::Above,
        _ => Op::Below,
    }
}

#[cfg(test)]
pub(super) fn example(id: &str, started_at: &str, p99: f64) -> RunSummary {
    RunSummary {
        schema: SUMMARY_SCHEMA.to_owned(),
        id: id.to_owned(),
        scenario: "prod".to_owned(),
        started_at: started_at.to_owned(),
        duration_s: 30.0,
        verdict: Some(Verdict::Pass),
        headline: "PASS: 1 of 1 gate passes".to_owned(),
        partial: false,
        simulated: false,
        target: "http://10.0.0.7:8000".to_owned(),
        git_branch: Some("main".to_owned()),
        git_commit: None,
        bench_version: "0.1.0".to_owned(),
        host: "ci".to_owned(),
        environment_key: "0123456789abcdef".to_owned(),
        metrics: vec![MetricValue {
            phase: "c100".to_owned(),
            metric: "response.p99".to_owned(),
            value: p99,
            lower: Some(p99 * 0.95),
            upper: Some(p99 * 1.05),
            samples: 3000,
        }],
    }
}
