//! Energy per request: what all sampled GPUs took in the measured window, by its successful requests.
//!
//! The counters of energy are read about once a second; between two readings energy is taken to grow
//! evenly. Seconds whose ends lie between readings are compared with the requests that ended in them.

use super::telemetry::{LEAST_COVERAGE, why_no_series};
use super::{GateResult, ScopedGate, Subject, decide, shown};
use crate::record::{Distribution as _, INTERVAL_NS, RunRecord, Series};
use crate::stats::{self, ALPHA};
use crate::units;

const ENERGY: &str = "gpu.energy";

/// Judges a limit on the energy for each successful request.
pub(super) fn judge(record: &RunRecord, gate: &ScopedGate, subject: &Subject<'_>) -> GateResult {
    let all: Vec<Series<'_>> = record.series(ENERGY).collect();
    if all.is_empty() {
        return GateResult::undecided(gate, why_no_series(record, ENERGY));
    }
    if let Some(lack) = all.iter().find_map(|series| series.info.lack.clone()) {
        return GateResult::undecided(gate, lack);
    }
    let counters: Vec<Counter> = all.iter().map(Counter::of).collect();
    let mut seconds = 0;
    let mut known: Vec<(f64, f64)> = Vec::new();
    for second in subject
        .phases
        .iter()
        .flat_map(|phase| phase.whole_seconds())
    {
        seconds += 1;
        let (from, to) = (second.from_ns, second.from_ns + INTERVAL_NS);
        let joules = counters
            .iter()
            .map(|counter| {
                // A counter that goes back was reset in between.
                let joules = counter.at(to)? - counter.at(from)?;
                (joules >= 0.0).then_some(joules)
            })
            .sum::<Option<f64>>();
        if let Some(joules) = joules {
            known.push((joules, second.measured.response.count() as f64));
        }
    }
    let coverage = known.len() as f64 / f64::from(seconds.max(1));
    if coverage < LEAST_COVERAGE {
        return GateResult::undecided(
            gate,
            format!(
                "telemetry gap: the energy of all GPUs is known for {} of the measured seconds",
                units::percent(coverage)
            ),
        );
    }
    let requests: f64 = known.iter().map(|(_, requests)| requests).sum();
    if requests == 0.0 {
        return GateResult::undecided(gate, "no request succeeded".to_owned());
    }
    let observed = known.iter().map(|(joules, _)| joules).sum::<f64>() / requests;
    // The ratio of two sums, linearized: what each second took beyond its share.
    let beyond: Vec<f64> = known
        .iter()
        .map(|(joules, requests)| joules - observed * requests)
        .collect();
    let each = requests / known.len() as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a sum of counts"
    )]
    let samples = requests as u64;
    let Some(interval) = stats::batch_means(&beyond, ALPHA) else {
        return GateResult::undecided(
            gate,
            format!(
                "the measured window has {} whole seconds; it takes at least 5",
                known.len()
            ),
        );
    };
    let (lower, upper) = (
        (observed + interval.lower / each).max(0.0),
        observed + interval.upper / each,
    );
    let gpus = match counters.len() {
        1 => "one GPU".to_owned(),
        several => format!("{several} GPUs"),
    };
    let mut reason = format!(
        "{} of {gpus} for each successful request, between {} and {} at 95 % each",
        shown(&gate.gate, observed),
        shown(&gate.gate, lower),
        shown(&gate.gate, upper)
    );
    if let Some(note) = all.iter().find_map(|series| series.info.note.as_ref()) {
        reason.push_str(&format!("; {note}"));
    }
    GateResult {
        gate: gate.clone(),
        verdict: decide(gate.gate.op, gate.gate.limit.value, lower, upper),
        observed: Some(observed),
        lower: Some(lower),
        upper: Some(upper),
        samples,
        reason,
        share: None,
        growth: None,
        explanations: Vec::new(),
    }
}

/// The readings of one counter.
struct Counter {
    points: Vec<(u64, f64)>,
    longest_ns: u64,
}

impl Counter {
    fn of(series: &Series<'_>) -> Self {
        Self {
            points: series.points().collect(),
            longest_ns: series.longest_silence_ns(),
        }
    }

    /// Where the counter stood at a moment, from the readings before and after it.
    fn at(&self, moment: u64) -> Option<f64> {
        let after = self.points.partition_point(|(at, _)| *at < moment);
        let &(to, last) = self.points.get(after)?;
        if to == moment {
            return Some(last);
        }
        let &(from, first) = self.points.get(after.checked_sub(1)?)?;
        if to - from > self.longest_ns || last < first {
            return None;
        }
        let part = (moment - from) as f64 / (to - from) as f64;
        Some(first + (last - first) * part)
    }
}
