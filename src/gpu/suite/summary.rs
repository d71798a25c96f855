//! Samples in, a measurement out.

use crate::record::{Measured, Stopped};
use crate::stats::median_bounds;

/// What one sample found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    /// The value, in the unit of the test.
    pub(super) value: f64,
    /// Clock of the multiprocessors in MHz.
    pub(super) sm_clock_mhz: Option<f64>,
    /// Watts.
    pub(super) power: Option<f64>,
    /// Degrees Celsius.
    pub(super) temperature: Option<f64>,
    /// Whether heat or hardware held the clocks back.
    pub(super) throttled: bool,
    /// Whether the power limit alone did.
    pub(super) power_capped: bool,
}

/// The value below which this share of the sorted values lies, interpolated between neighbours.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0.0;
    };
    let place = share * last as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in the list: not negative and not beyond its end"
    )]
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * place.fract()
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values = sorted(values);
    (!values.is_empty()).then(|| quantile(&values, 0.5))
}

/// Standard deviation over mean.
pub(super) fn spread(samples: &[Sample]) -> f64 {
    let count = samples.len() as f64;
    let mean = samples.iter().map(|sample| sample.value).sum::<f64>() / count;
    let squares: f64 = samples
        .iter()
        .map(|sample| (sample.value - mean).powi(2))
        .sum();
    (squares / (count - 1.0).max(1.0)).sqrt() / mean.abs().max(f64::MIN_POSITIVE)
}

/// Sums the samples up; there is at least one.
pub(super) fn summarize(samples: &[Sample], stopped: Stopped, unit: &str) -> Measured {
    let values = sorted(samples.iter().map(|sample| sample.value));
    let bounds = median_bounds(&values, 0.05);
    let hottest = samples.iter().filter_map(|sample| sample.temperature);
    Measured {
        unit: unit.to_owned(),
        less_is_better: unit == "µs",
        median: quantile(&values, 0.5),
        q1: quantile(&values, 0.25),
        q3: quantile(&values, 0.75),
        min: quantile(&values, 0.0),
        lower: bounds.map(|(lower, _)| lower.min(quantile(&values, 0.25))),
        upper: bounds.map(|(_, upper)| upper.max(quantile(&values, 0.75))),
        max: quantile(&values, 1.0),
        samples: samples.len(),
        stopped,
        verified: None,
        sm_clock_mhz: median(samples.iter().filter_map(|sample| sample.sm_clock_mhz)),
        power_watts: median(samples.iter().filter_map(|sample| sample.power)),
        temperature_celsius: hottest.max_by(f64::total_cmp),
        throttled_samples: samples.iter().filter(|sample| sample.throttled).count(),
        power_capped_samples: samples.iter().filter(|sample| sample.power_capped).count(),
        peaks: Vec::new(),
        timeline: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_and_spread_are_those_of_the_samples() {
        let samples: Vec<Sample> = [4.0, 1.0, 3.0, 2.0, 5.0]
            .iter()
            .map(|&value| Sample {
                value,
                temperature: Some(40.0 + value),
                throttled: value > 4.0,
                ..Sample::default()
            })
            .collect();
        let summed = summarize(&samples, Stopped::Planned, "GB/s");
        assert_eq!(
            (summed.min, summed.q1, summed.median, summed.q3, summed.max),
            (1.0, 2.0, 3.0, 4.0, 5.0)
        );
        assert_eq!(summed.temperature_celsius, Some(45.0));
        assert_eq!((summed.lower, summed.upper), (Some(1.0), Some(5.0)));
        let few = summarize(&samples[..4], Stopped::Planned, "GB/s");
        assert_eq!((few.lower, few.upper), (None, None));
        assert_eq!((summed.throttled_samples, summed.power_watts), (1, None));
        assert!((spread(&samples) - 2.5f64.sqrt() / 3.0).abs() < 1e-12);
    }
}
