//! From a series of samples to forty blocks that show its trend and hide its teeth.

use super::slope::{autocorrelation, line, median, steps};

/// Blocks of equal length, each reduced to one value.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// One value for each block.
    pub values: Vec<f64>,
    /// The distance from block to block in seconds.
    pub block_s: f64,
    /// The length of the whole window in seconds.
    pub window_s: f64,
    /// How a block was reduced.
    pub reduction: Reduction,
}

/// How a block was reduced to one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reduction {
    /// Its smallest value: allocators and collectors draw teeth above it.
    Minimum,
    /// Its median, where there are no teeth: the minimum would only add noise.
    Median,
    /// The mean over one whole cycle around the block, where the series repeats itself.
    Cycle {
        /// The length of a cycle in seconds.
        period_s: f64,
    },
    /// One value by nature, such as a percentile of the requests in the block.
    Given,
}

/// How many blocks.
pub const BLOCKS: usize = 40;

impl Envelope {
    /// Blocks of a series with one sample each `step_s` seconds; `None` when it has fewer samples than
    /// two for each block.
    pub fn of(samples: &[f64], step_s: f64) -> Option<Self> {
        if samples.len() < 2 * BLOCKS {
            return None;
        }
        let window_s = samples.len() as f64 * step_s;
        if let Some(period) = period(samples) {
            return Some(Self {
                values: cycle_means(samples, period),
                // The first and the last half cycle have no whole one around them.
                block_s: (samples.len() - period) as f64 * step_s / (BLOCKS - 1) as f64,
                window_s,
                reduction: Reduction::Cycle {
                    period_s: period as f64 * step_s,
                },
            });
        }
        let blocks = || (0..BLOCKS).map(|block| part(samples, block, BLOCKS));
        let toothless = blocks().map(gap_below_median).collect::<Vec<_>>();
        let (values, reduction) = if median(&toothless) <= 3.0 * robust_step(samples) {
            (blocks().map(median).collect(), Reduction::Median)
        } else {
            (blocks().map(minimum).collect(), Reduction::Minimum)
        };
        Some(Self {
            values,
            block_s: window_s / BLOCKS as f64,
            window_s,
            reduction,
        })
    }

    /// Blocks that have one value each by nature.
    pub fn given(values: Vec<f64>, block_s: f64) -> Self {
        Self {
            window_s: values.len() as f64 * block_s,
            values,
            block_s,
            reduction: Reduction::Given,
        }
    }
}

fn part(samples: &[f64], block: usize, blocks: usize) -> &[f64] {
    &samples[block * samples.len() / blocks..(block + 1) * samples.len() / blocks]
}

fn minimum(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn gap_below_median(values: &[f64]) -> f64 {
    median(values) - minimum(values)
}

/// Standard deviation of the steps from sample to sample, by their median absolute deviation.
fn robust_step(samples: &[f64]) -> f64 {
    let steps: Vec<f64> = samples.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let middle = median(&steps);
    let away: Vec<f64> = steps.iter().map(|step| (step - middle).abs()).collect();
    1.4826 * median(&away)
}

/// The length of a cycle in samples, where the series has one that is longer than a block, repeats at
/// least three times and explains nearly all that is not trend.
fn period(samples: &[f64]) -> Option<usize> {
    /// What the series must have in common with itself a cycle later.
    const LIKENESS: f64 = 0.85;
    /// A coarse series is enough to find the period; the fine one then sharpens it.
    const COARSE: usize = 240;
    let stride = (samples.len() / COARSE).max(1);
    let coarse: Vec<f64> = samples
        .chunks(stride)
        .map(|chunk| chunk.iter().sum::<f64>() / chunk.len() as f64)
        .collect();
    let detrended = line(&coarse).residuals;
    let n = detrended.len();
    // Shorter cycles fit into a block, whose minimum deals with them.
    let likeness = |lag: usize| autocorrelation(&detrended, lag) * n as f64 / (n - lag) as f64;
    let mut trough_seen = false;
    let mut best: Option<(usize, f64)> = None;
    for lag in 2..=n / 3 {
        let like = likeness(lag);
        trough_seen |= like < 0.0;
        if trough_seen && like > best.map_or(LIKENESS, |(_, best)| best + 0.02) {
            best = Some((lag, like));
        }
    }
    let (lag, _) = best?;
    if lag * stride * BLOCKS < samples.len() {
        return None;
    }
    let detrended = line(samples).residuals;
    let sharpened = ((lag - 1) * stride..=(lag + 1) * stride)
        .min_by(|&a, &b| mismatch(&detrended, a).total_cmp(&mismatch(&detrended, b)))?;
    (sharpened * 3 <= samples.len()).then_some(sharpened)
}

/// Mean square of the difference between a series and itself `lag` samples later.
fn mismatch(values: &[f64], lag: usize) -> f64 {
    let pairs = values.iter().zip(values.iter().skip(lag));
    pairs.map(|(a, b)| (a - b).powi(2)).sum::<f64>() / (values.len() - lag).max(1) as f64
}

/// Means over one whole cycle around equally spaced moments.
fn cycle_means(samples: &[f64], period: usize) -> Vec<f64> {
    let mut sums = Vec::with_capacity(samples.len() + 1);
    sums.push(0.0);
    for sample in samples {
        sums.push(sums[sums.len() - 1] + sample);
    }
    let last = samples.len() - period;
    steps(BLOCKS)
        .into_iter()
        .map(|block| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a position within the samples"
            )]
            let start = (block * last as f64 / (BLOCKS - 1) as f64) as usize;
            (sums[start + period] - sums[start]) / period as f64
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(n: u32, value: impl Fn(f64) -> f64) -> Vec<f64> {
        (0..n).map(|second| value(f64::from(second))).collect()
    }

    /// Noise between -0.5 and 0.5 without a memory (the finalizer of `SplitMix64`).
    fn noise(t: f64) -> f64 {
        let mut mixed = t.to_bits().wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    }

    #[test]
    fn teeth_are_cut_off_below() {
        let saw = samples(2880, |t| 1000.0 + 200.0 * (t / 60.0).fract() + noise(t));
        let envelope = Envelope::of(&saw, 1.0).unwrap();
        assert_eq!(envelope.reduction, Reduction::Minimum);
        assert!(
            envelope.values.iter().all(|z| (z - 1000.0).abs() < 5.0),
            "{envelope:?}"
        );
    }

    #[test]
    fn noise_without_teeth_takes_the_median() {
        let flat = samples(2880, |t| 1000.0 + noise(t));
        assert_eq!(
            Envelope::of(&flat, 1.0).unwrap().reduction,
            Reduction::Median
        );
        let constant = samples(2880, |_| 5.0);
        assert_eq!(Envelope::of(&constant, 1.0).unwrap().values, [5.0; 40]);
    }

    #[test]
    fn a_long_cycle_is_averaged_away_and_a_trend_is_not() {
        let wave = samples(2880, |t| {
            1000.0 + 30.0 * (t / 900.0 * std::f64::consts::TAU).sin() + t / 100.0 + noise(t)
        });
        let envelope = Envelope::of(&wave, 1.0).unwrap();
        let Reduction::Cycle { period_s } = envelope.reduction else {
            panic!("{:?}", envelope.reduction);
        };
        assert!((period_s - 900.0).abs() < 20.0, "{period_s}");
        let slope = line(&envelope.values).coefficients[1] / envelope.block_s;
        assert!((slope - 0.01).abs() < 0.001, "{slope}");
    }

    #[test]
    fn too_few_samples_are_no_series() {
        assert_eq!(Envelope::of(&[1.0; 79], 1.0), None);
    }
}
