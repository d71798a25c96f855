//! Whether the measured window of a phase is one piece: no warm-up left in it, no drift through it.

use super::doubt::{Doubt, SteadySeries};
use super::latencies::Distribution as _;
use super::phase::{INTERVAL_NS, PhaseRecord};
use crate::schedule::Profile;
use crate::stats;

/// Shorter windows show nothing of the kind.
const LEAST_SECONDS: usize = 60;
/// What a warm-up that is left in the window must change of its mean to be worth a word.
const LEAST_BIAS: f64 = 0.02;

/// What is wrong with the steadiness of a phase where its load is steady: at most one doubt for throughput
/// and one for the median response time.
pub(super) fn doubts(phase: &PhaseRecord) -> Vec<Doubt> {
    // What changes because it was told to is no drift: of a ramp, what comes after it is looked at.
    let load = &phase.info.load;
    let levels = load.users().into_iter().chain(load.rate());
    let steady_ns = levels.map(Profile::steady_from_ns).max().unwrap_or(0);
    let steady_from_ns = phase.started_ns.saturating_add(steady_ns);
    let from_ns = phase.measured_from_ns.max(steady_from_ns);
    let seconds: Vec<_> = phase
        .intervals
        .iter()
        .filter(|interval| {
            interval.from_ns >= from_ns && interval.from_ns + INTERVAL_NS <= phase.measured_to_ns
        })
        .map(|interval| &interval.measured.response)
        .collect();
    if seconds.len() < LEAST_SECONDS {
        return Vec::new();
    }
    let throughput: Vec<f64> = seconds.iter().map(|second| second.count() as f64).collect();
    let median: Vec<f64> = seconds
        .iter()
        .filter_map(|second| second.quantile_ns(0.5))
        .map(|ns| ns as f64)
        .collect();
    [
        (SteadySeries::Throughput, throughput),
        (SteadySeries::Median, median),
    ]
    .into_iter()
    .filter_map(|(series, values)| look(phase.index, series, &values))
    .collect()
}

fn look(phase: usize, series: SteadySeries, values: &[f64]) -> Option<Doubt> {
    let settling = stats::settling(values)?;
    if let Some(change) = stats::drift(&values[settling.cut.min(values.len() / 2)..]) {
        return Some(if settling.never {
            Doubt::NeverSettled {
                phase,
                series,
                change,
            }
        } else {
            Doubt::Drifting {
                phase,
                series,
                change,
            }
        });
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let (beginning, rest) = (mean(&values[..settling.cut]), mean(&values[settling.cut..]));
    let bias = (mean(values) / rest - 1.0).abs();
    (!settling.never && settling.cut > 0 && rest > 0.0 && bias > LEAST_BIAS).then(|| {
        Doubt::WarmupTooShort {
            phase,
            series,
            unlike_ns: settling.cut as u64 * INTERVAL_NS,
            // Where nothing came at first, everything that came later is a rise.
            change: rest / beginning.max(rest * 1e-3) - 1.0,
        }
    })
}
