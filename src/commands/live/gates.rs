//! Where gates stand while a run goes on: what was measured so far, beside the limit. No verdict: that
//! takes the whole run.

use super::state::LivePhase;
use crate::gate::{Gate, Metric, Op, Statistic};
use crate::record::{Header, Over, PartIndex, RequestTally, per_second};
use crate::units;
use crate::verdict;
use std::collections::BTreeMap;

/// A gate of a run that goes on.
pub(super) struct LiveGate {
    pub(super) text: String,
    /// The phase it belongs to; all without.
    pub(super) phase: Option<usize>,
    gate: Gate,
    /// The requests, the flow or the step it is limited to.
    part: Option<PartIndex>,
    sampled: BTreeMap<String, Sampled>,
}

/// What was sampled so far of one instance.
#[derive(Clone, Copy)]
struct Sampled {
    sum: f64,
    count: u64,
    least: f64,
    most: f64,
}

/// Where a gate stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Standing {
    /// So far on the good side of its limit.
    Within(String),
    /// So far beyond it.
    Beyond(String),
    /// Nothing was measured yet.
    Nothing,
    /// Only the whole run tells.
    AtTheEnd,
}

/// The gates of a run, in the order of reports. One that cannot be read is none that a run is shown
/// beside; its judgement says so.
pub(super) fn live_gates(header: &Header) -> Vec<LiveGate> {
    let gates = verdict::gates_in(header).unwrap_or_default();
    gates
        .into_iter()
        .map(|scoped| LiveGate {
            part: scoped
                .gate
                .part
                .as_ref()
                .and_then(|part| header.find_part(part)),
            text: scoped.text,
            phase: scoped.scope.phase,
            gate: scoped.gate,
            sampled: BTreeMap::new(),
        })
        .collect()
}

impl LiveGate {
    /// Takes notice of a sample in the measured window.
    pub(super) fn sample(&mut self, metric: &str, instance: &str, value: f64) {
        if !matches!(self.gate.metric, Metric::Telemetry(own) if own.name == metric) {
            return;
        }
        let first = Sampled {
            sum: 0.0,
            count: 0,
            least: value,
            most: value,
        };
        let sampled = match self.sampled.get_mut(instance) {
            Some(sampled) => sampled,
            // One name is made for each instance, not for each sample.
            None => self.sampled.entry(instance.to_owned()).or_insert(first),
        };
        sampled.sum += value;
        sampled.count += 1;
        sampled.least = sampled.least.min(value);
        sampled.most = sampled.most.max(value);
    }

    /// Where it stands.
    pub(super) fn standing(&self, phases: &[LivePhase]) -> Standing {
        if self.gate.worst.is_some() {
            return Standing::AtTheEnd;
        }
        let phases = match self.phase {
            Some(phase) => &phases[phase..=phase],
            None => phases,
        };
        let tallies = || phases.iter().map(|phase| self.tally(phase));
        match self.gate.metric {
            Metric::Latency { kind, percentile } => {
                let limit_ns = self.gate.limit_ns();
                let mut over = Over::default();
                for tally in tallies() {
                    over.merge(tally.over(kind, limit_ns));
                }
                let allowed = percentile.allowed_share();
                if over.total == 0 {
                    return Standing::Nothing;
                }
                let share = over.at_most as f64 / over.total as f64;
                let text = format!(
                    "{} over, {} allowed",
                    units::percent(share),
                    units::percent(allowed)
                );
                stand(share <= allowed, text)
            }
            Metric::ErrorRate => {
                let (mut bad, mut total) = (0, 0);
                for tally in tallies() {
                    bad += tally.outcomes.not_ok();
                    total += tally.outcomes.total();
                }
                self.of((total > 0).then(|| bad as f64 / total as f64))
            }
            Metric::Throughput | Metric::Goodput => {
                let count: u64 = tallies()
                    .map(|tally| match self.gate.metric {
                        Metric::Goodput => tally.good,
                        _ => tally.outcomes.of(crate::record::Outcome::Ok),
                    })
                    .sum();
                let window: u64 = phases.iter().map(LivePhase::measured_ns).sum();
                self.of((window > 0).then(|| per_second(count, window)))
            }
            Metric::Telemetry(metric) => {
                let values = self.sampled.values().map(|sampled| match metric.statistic {
                    Statistic::Mean => sampled.sum / sampled.count as f64,
                    Statistic::Maximum => sampled.most,
                    Statistic::Minimum => sampled.least,
                });
                // Every instance must pass: the worst is shown.
                self.of(match self.gate.op {
                    Op::Below => values.reduce(f64::max),
                    Op::Above => values.reduce(f64::min),
                })
            }
            Metric::TokensPerSecond
            | Metric::EnergyPerRequest
            | Metric::Scaling(_)
            | Metric::Growth(_)
            | Metric::Drift { .. } => Standing::AtTheEnd,
        }
    }

    fn tally(&self, phase: &LivePhase) -> RequestTally {
        let tally = match self.part {
            Some(PartIndex::Unit(unit)) => phase.measured.requests().get(unit),
            Some(PartIndex::Step(step)) => phase.flow_steps.requests().get(step),
            None => return phase.measured.total(),
        };
        tally.cloned().unwrap_or_default()
    }

    fn of(&self, value: Option<f64>) -> Standing {
        let Some(value) = value else {
            return Standing::Nothing;
        };
        let is_within = match self.gate.op {
            Op::Below => value < self.gate.limit.value,
            Op::Above => value > self.gate.limit.value,
        };
        stand(is_within, self.gate.limit.alike(value))
    }
}

fn stand(is_within: bool, text: String) -> Standing {
    if is_within {
        Standing::Within(text)
    } else {
        Standing::Beyond(text)
    }
}
