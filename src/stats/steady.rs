//! Whether a series has settled: where its warm-up ends, and whether it still drifts.

use super::correlation::student_quantile;

/// Where a series has settled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settling {
    /// How many values at the beginning belong to the warm-up.
    pub cut: usize,
    /// Whether the best cut lies in the second half: then it never settled.
    pub never: bool,
}

/// The end of the warm-up by MSER-5 (White 1997; Spratt 1998): over means of five values, the cut that
/// gives the smallest standard error of the mean of what follows it,
/// `argmin_d Σ_{i>d} (z_i − z̄)² / (m−d)²`.
///
/// `None` for fewer than 50 values.
pub fn settling(values: &[f64]) -> Option<Settling> {
    const GROUP: usize = 5;
    const FEWEST: usize = 10;
    let means: Vec<f64> = values
        .chunks_exact(GROUP)
        .map(|group| group.iter().sum::<f64>() / GROUP as f64)
        .collect();
    let m = means.len();
    if m < FEWEST {
        return None;
    }
    let (mut sum, mut square) = (0.0, 0.0);
    let mut best = (f64::INFINITY, 0);
    // From the end: what follows a cut is extended by one mean at a time. The last few means alone
    // are too few to have a variance.
    for cut in (0..m).rev() {
        sum += means[cut];
        square += means[cut] * means[cut];
        let left = (m - cut) as f64;
        if left >= GROUP as f64 {
            let error = (square - sum * sum / left).max(0.0) / (left * left);
            if error <= best.0 {
                best = (error, cut);
            }
        }
    }
    Some(Settling {
        cut: best.1 * GROUP,
        never: best.1 > m / 2,
    })
}

/// By which share of its mean a settled series rises (or falls) from its begin to its end, if that is
/// more than chance and more than 5 %.
///
/// Twenty batch means are regressed on time; drift is believed from `|t| > 2.88` (1 % on both sides).
pub fn drift(values: &[f64]) -> Option<f64> {
    const BATCHES: usize = 20;
    const LEAST: f64 = 0.05;
    if values.len() < 3 * BATCHES {
        return None;
    }
    let means: Vec<f64> = (0..BATCHES)
        .map(|batch| {
            let part =
                &values[batch * values.len() / BATCHES..(batch + 1) * values.len() / BATCHES];
            part.iter().sum::<f64>() / part.len() as f64
        })
        .collect();
    let n = BATCHES as f64;
    let centre = (n - 1.0) / 2.0;
    let mean = means.iter().sum::<f64>() / n;
    let at = |batch: usize| batch as f64 - centre;
    let spread: f64 = (0..BATCHES).map(|batch| at(batch).powi(2)).sum();
    let slope = (0..BATCHES)
        .map(|batch| at(batch) * (means[batch] - mean))
        .sum::<f64>()
        / spread;
    let left: f64 = (0..BATCHES)
        .map(|batch| (means[batch] - mean - slope * at(batch)).powi(2))
        .sum();
    let error = (left / (n - 2.0) / spread).sqrt();
    let limit = student_quantile(1.0 - 0.005, BATCHES - 2);
    let change = slope * n / mean;
    let certain = slope.abs() > limit * error;
    (mean > 0.0 && certain && change.abs() > LEAST).then_some(change)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt as _, SeedableRng as _};
    use rand_pcg::Pcg64Mcg;

    /// Ten minutes of per-second values with noise of 5 % that remembers half of itself.
    fn series(shape: impl Fn(f64) -> f64, seed: u64) -> Vec<f64> {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let mut state = 0.0;
        (0..600)
            .map(|second| {
                // A uniform number with a standard deviation of one.
                let shock = (rng.random::<f64>() - 0.5) * 12.0_f64.sqrt();
                state = 0.5 * state + 0.75_f64.sqrt() * shock;
                shape(f64::from(second)) * (1.0 + 0.05 * state)
            })
            .collect()
    }

    #[test]
    fn a_warm_up_is_cut_off_and_a_steady_series_is_not() {
        for seed in 0..20 {
            let steady = settling(&series(|_| 100.0, seed)).unwrap();
            assert!(!steady.never, "{seed}: {steady:?}");
            let warming = |t: f64| 100.0 * (1.0 + (-t / 20.0).exp());
            let warm = settling(&series(warming, seed)).unwrap();
            assert!((20..=150).contains(&warm.cut), "{seed}: {warm:?}");
            let step = settling(&series(|t| if t < 120.0 { 140.0 } else { 100.0 }, seed)).unwrap();
            assert!((115..=160).contains(&step.cut), "{seed}: {step:?}");
        }
        assert_eq!(settling(&[1.0; 40]), None);
        assert_eq!(
            settling(&[1.0; 60]).unwrap(),
            Settling {
                cut: 0,
                never: false
            }
        );
    }

    #[test]
    fn drift_is_found_and_noise_is_not_drift() {
        let mut false_alarms = 0;
        for seed in 0..100 {
            false_alarms += usize::from(drift(&series(|_| 100.0, seed)).is_some());
            let risen = drift(&series(|t| 100.0 * (1.0 + 0.2 * t / 600.0), seed));
            let risen = risen.unwrap_or_else(|| panic!("{seed}"));
            assert!((0.1..0.3).contains(&risen), "{seed}: {risen}");
            let stepped = |t: f64| if t < 400.0 { 100.0 } else { 130.0 };
            assert!(drift(&series(stepped, seed)).is_some(), "{seed}");
        }
        assert!(false_alarms <= 2, "{false_alarms}");
    }
}
