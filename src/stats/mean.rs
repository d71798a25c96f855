//! An interval for the mean of a series whose neighbours resemble each other: batch means.
//!
//! The window is cut into batches of equal length; their means are nearly independent where a batch
//! is longer than the memory of the series, and Student's t over them gives the bounds (Law and
//! Kelton, Simulation Modeling and Analysis, ch. 9). Twenty batches, as simulated for GPU
//! utilisation in `docs/statistics.md`.

use super::correlation::student_quantile;

/// The mean with its one-sided bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanInterval {
    /// The mean over all values.
    pub mean: f64,
    /// The one-sided lower bound.
    pub lower: f64,
    /// The one-sided upper bound.
    pub upper: f64,
    /// How many batches the bounds rest on.
    pub batches: usize,
}

/// The mean of `values`, taken at equal distances in time, with one-sided bounds at error
/// probability `alpha`. `None` for fewer than five values.
pub fn batch_means(values: &[f64], alpha: f64) -> Option<MeanInterval> {
    const BATCHES: usize = 20;
    const FEWEST: usize = 5;
    if values.len() < FEWEST {
        return None;
    }
    let batches = BATCHES.min(values.len());
    let means: Vec<f64> = (0..batches)
        .map(|batch| {
            let from = batch * values.len() / batches;
            let to = (batch + 1) * values.len() / batches;
            values[from..to].iter().sum::<f64>() / (to - from) as f64
        })
        .collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let m = batches as f64;
    let centre = means.iter().sum::<f64>() / m;
    let variance = means.iter().map(|x| (x - centre).powi(2)).sum::<f64>() / (m - 1.0);
    let half_width = student_quantile(1.0 - alpha, batches - 1) * (variance / m).sqrt();
    Some(MeanInterval {
        mean,
        lower: mean - half_width,
        upper: mean + half_width,
        batches,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::ALPHA;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    #[test]
    fn a_constant_has_no_width() {
        let interval = batch_means(&[0.75; 300], ALPHA).expect("enough values");
        assert_eq!(
            (interval.lower, interval.mean, interval.upper),
            (0.75, 0.75, 0.75)
        );
        assert_eq!(interval.batches, 20);
        assert_eq!(batch_means(&[1.0; 4], ALPHA), None);
    }

    #[test]
    fn covers_the_truth_of_a_duty_cycle() {
        // A GPU that is busy 71.4 % of the time in cycles of about 0.35 s, seen for 60 s at 10 Hz.
        let mut rng = Pcg64Mcg::seed_from_u64(7);
        let runs = 400;
        let missed = (0..runs)
            .filter(|_| {
                let mut busy = rng.random_bool(0.714);
                let values: Vec<f64> = (0..600)
                    .map(|_| {
                        if rng.random_bool(if busy { 0.286 } else { 0.714 }) {
                            busy = !busy;
                        }
                        f64::from(u8::from(busy))
                    })
                    .collect();
                let interval = batch_means(&values, ALPHA).expect("enough values");
                interval.lower > 0.714 || interval.upper < 0.714
            })
            .count();
        // Two one-sided bounds of 5 % each, plus four standard errors of this many runs.
        assert!(missed <= runs * 16 / 100, "{missed} of {runs}");
    }
}
