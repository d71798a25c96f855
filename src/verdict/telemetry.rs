//! Gates on sampled series: GPUs, hosts, processes.

use super::{GateResult, ScopedGate, Verdict, decide, shown};
use crate::gate::{Op, Statistic, TelemetryMetric};
use crate::record::{PhaseRecord, RunRecord, Series, SourceState};
use crate::stats::{self, ALPHA};
use crate::units;

/// The least share of the window for which a value must be known.
pub(super) const LEAST_COVERAGE: f64 = 0.9;
/// The fewest readings of a source with a pace of its own.
const FEWEST_READINGS: u64 = 5;
/// Batches for the interval of a mean.
const BATCHES: usize = 20;

/// What one instance (one GPU, one disk) shows.
struct Seen {
    instance: String,
    verdict: Verdict,
    observed: Option<f64>,
    lower: Option<f64>,
    upper: Option<f64>,
    samples: u64,
    /// Set where the data does not suffice.
    lack: Option<String>,
    /// How the values are had, where that is not the usual way.
    note: Option<String>,
}

/// Every instance must pass: a mean over GPUs would hide an idle one.
pub(super) fn judge(
    record: &RunRecord,
    gate: &ScopedGate,
    phases: &[&PhaseRecord],
    metric: &TelemetryMetric,
) -> GateResult {
    let mut all: Vec<Seen> = record
        .series(metric.name)
        .map(|series| look(&series, gate, phases, metric))
        .collect();
    let samples = all.iter().map(|seen| seen.samples).sum();
    // The worst decides and is shown: by verdict, then by value.
    let badness = |seen: &Seen| match (gate.gate.op, seen.observed) {
        (_, None) => f64::INFINITY,
        (Op::Below, Some(value)) => value,
        (Op::Above, Some(value)) => -value,
    };
    all.sort_by(|a, b| (b.verdict.cmp(&a.verdict)).then(badness(b).total_cmp(&badness(a))));
    let of_many = all.len() > 1;
    let Some(worst) = all.into_iter().next() else {
        return GateResult {
            gate: gate.clone(),
            verdict: Verdict::Inconclusive,
            observed: None,
            lower: None,
            upper: None,
            samples: 0,
            reason: why_no_series(record, metric.name),
            share: None,
            growth: None,
            explanations: Vec::new(),
        };
    };
    let which = if of_many {
        format!(" on {} {}", family(metric), worst.instance)
    } else {
        String::new()
    };
    let reason = match (&worst.lack, worst.observed) {
        (Some(lack), _) => format!("{lack}{which}"),
        (None, Some(observed)) => {
            let mut text = format!(
                "{} {}{which}",
                metric.statistic.as_str(),
                shown(&gate.gate, observed)
            );
            if let (Some(lower), Some(upper)) = (worst.lower, worst.upper) {
                text.push_str(&format!(
                    ", between {} and {} at 95 % each",
                    shown(&gate.gate, lower),
                    shown(&gate.gate, upper)
                ));
            }
            text
        }
        (None, None) => "no data".to_owned(),
    };
    let reason = match worst.note {
        Some(note) => format!("{reason}; {note}"),
        None => reason,
    };
    GateResult {
        gate: gate.clone(),
        verdict: worst.verdict,
        observed: worst.observed,
        lower: worst.lower,
        upper: worst.upper,
        samples,
        reason,
        share: None,
        growth: None,
        explanations: Vec::new(),
    }
}

fn family(metric: &TelemetryMetric) -> &str {
    match metric.name.split('.').next() {
        Some("gpu") => "GPU",
        Some(family) => family,
        None => "",
    }
}

pub(super) fn why_no_series(record: &RunRecord, metric: &str) -> String {
    match record.source_of(metric).map(|source| &source.info.state) {
        Some(SourceState::Unavailable(reason)) => reason.clone(),
        Some(SourceState::Off) => "this telemetry is switched off in the scenario".to_owned(),
        Some(SourceState::Present) => {
            format!("the source of `{metric}` does not report it here")
        }
        None => format!("nothing sampled `{metric}`"),
    }
}

fn look(
    series: &Series<'_>,
    gate: &ScopedGate,
    phases: &[&PhaseRecord],
    metric: &TelemetryMetric,
) -> Seen {
    let mut seen = Seen {
        instance: series.info.instance.clone(),
        verdict: Verdict::Inconclusive,
        observed: None,
        lower: None,
        upper: None,
        samples: 0,
        lack: None,
        note: series.info.note.clone(),
    };
    let total_ns: u64 = phases.iter().map(|phase| phase.measured_ns()).sum();
    let mut means = Vec::new();
    let (mut covered, mut weighted, mut longest_gap) = (0.0, 0.0, 0);
    let (mut minimum, mut maximum) = (f64::INFINITY, f64::NEG_INFINITY);
    for phase in phases.iter().filter(|phase| phase.measured_ns() > 0) {
        let (from, to) = (phase.measured_from_ns, phase.measured_to_ns);
        let Some(window) = series.window(from, to) else {
            longest_gap = longest_gap.max(to - from);
            continue;
        };
        let length = (to - from) as f64;
        covered += window.coverage * length;
        weighted += window.mean * window.coverage * length;
        longest_gap = longest_gap.max(window.longest_gap_ns);
        minimum = window.minimum.min(minimum);
        maximum = window.maximum.max(maximum);
        seen.samples += window.samples as u64;
        // Each window gets its part of the batches; a batch shorter than a sample says nothing.
        let part = (BATCHES as f64 * length / total_ns as f64).round().max(1.0);
        let most = length / series.period_ns.max(1) as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between one and twenty"
        )]
        let parts = part.min(most.floor()).max(1.0) as usize;
        means.extend(series.means(from, to, parts));
    }
    if covered == 0.0 {
        let unknown = || "no sample lies in the measured window".to_owned();
        seen.lack = Some(series.info.lack.clone().unwrap_or_else(unknown));
        return seen;
    }
    let coverage = covered / total_ns as f64;
    let observed = match metric.statistic {
        Statistic::Mean => weighted / covered,
        Statistic::Maximum => maximum,
        Statistic::Minimum => minimum,
    };
    seen.observed = Some(observed);
    if series.info.refreshes && seen.samples < FEWEST_READINGS {
        seen.lack = Some(format!(
            "only {} readings lie in the measured window, one about every {}: it takes {FEWEST_READINGS}; \
             measure for longer, or have the source refresh more often (dcgm-exporter: \
             --collect-interval=1000)",
            seen.samples,
            units::seconds(series.period_ns as f64 / 1e9)
        ));
        return seen;
    }
    if coverage < LEAST_COVERAGE || longest_gap > series.longest_silence_ns() {
        seen.lack = Some(format!(
            "telemetry gap: values are known for {} of the measured window, with {} missing at a stretch",
            units::percent(coverage),
            units::seconds(longest_gap as f64 / 1e9)
        ));
        return seen;
    }
    if metric.statistic != Statistic::Mean {
        seen.verdict = decide(gate.gate.op, gate.gate.limit.value, observed, observed);
        return seen;
    }
    match stats::batch_means(&means, ALPHA) {
        None => seen.lack = Some("the measured window is too short for an interval".to_owned()),
        Some(interval) => {
            seen.lower = Some(interval.lower);
            seen.upper = Some(interval.upper);
            seen.verdict = decide(
                gate.gate.op,
                gate.gate.limit.value,
                interval.lower,
                interval.upper,
            );
        }
    }
    seen
}
