//! What may be a random walk.
//!
//! A series that wanders without coming back makes a line, the last half or a curve that levels off fit better than
//! they should: intervals that take what these leave over for noise with a short memory are then too narrow. A walk
//! with a drift shows no more of the drift than its changes do.

use super::slope::{changes, line, steps};

/// Below this, `n(1 − r)` of what a line leaves over may be that of a random walk (Dickey and Fuller 1979): of walks it
/// is above this in about one of a hundred.
const BESIDE_A_LINE: f64 = 24.0;
/// The same of the curve that explains the series best, with a line: a choice of curves takes more out of a walk.
pub(super) const BESIDE_A_CURVE: f64 = 34.0;
/// The error probability of the bound of a walk.
pub(super) const ALPHA: f64 = 0.005;
/// What a bound of a walk must lie below, in budgets.
pub(super) const BUDGETS: f64 = 3.0;

/// How much a series may grow with each step if what a line leaves over is a random walk; `None` where it is none.
/// Each value is a mean over so many steps, at least one.
pub(super) fn at_most(z: &[f64], mean_over: f64) -> Option<f64> {
    let may_walk = line(z).is_a_walk(BESIDE_A_LINE);
    may_walk.then(|| changes(&[steps(z.len())], z).walks_at_most(mean_over.max(1.0), ALPHA))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt as _, SeedableRng as _};
    use rand_pcg::Pcg64Mcg;

    /// Forty means over so many of the steps from one to the next, of a random walk with a drift in each step. What
    /// is between two steps of these are 24 of the walk.
    fn means_of_a_walk(mean_over: usize, drift: f64, rng: &mut Pcg64Mcg) -> Vec<f64> {
        const FINE: usize = 24;
        let mut at = 0.0;
        let walk: Vec<f64> = (0..FINE * (39 + mean_over))
            .map(|_| {
                at += rng.random::<f64>() - 0.5 + drift / FINE as f64;
                at
            })
            .collect();
        walk.windows(FINE * mean_over)
            .step_by(FINE)
            .map(|window| window.iter().sum::<f64>() / window.len() as f64)
            .collect()
    }

    fn noise(rng: &mut Pcg64Mcg) -> Vec<f64> {
        (0..40)
            .map(|step| f64::from(step) + rng.random::<f64>())
            .collect()
    }

    #[test]
    fn walks_are_told_from_noise_around_a_line() {
        let mut rng = Pcg64Mcg::seed_from_u64(5);
        let is_a_walk = |z: &[f64]| at_most(z, 1.0).is_some();
        let walks = (0..200).filter(|_| is_a_walk(&means_of_a_walk(1, 1.0, &mut rng)));
        assert!(walks.count() >= 196);
        let noises = (0..200).filter(|_| is_a_walk(&noise(&mut rng)));
        assert!(noises.count() <= 4);
        // What never changes has no drift, whatever it is taken for.
        assert!(at_most(&[7.0; 40], 1.0).unwrap_or(0.0) < 1e-9);
    }

    #[test]
    fn the_drift_of_a_walk_is_rarely_above_its_bound() {
        let mut rng = Pcg64Mcg::seed_from_u64(6);
        for mean_over in [1, 3] {
            let missed = (0..2000).filter(|_| {
                let z = means_of_a_walk(mean_over, 0.3, &mut rng);
                let changes = changes(&[steps(z.len())], &z);
                changes.walks_at_most(mean_over as f64, 0.05) < 0.3
            });
            let missed = missed.count();
            assert!((40..=140).contains(&missed), "{mean_over}: {missed}");
        }
    }
}
