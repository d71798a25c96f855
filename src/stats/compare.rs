//! Comparing two sets of runs: a run is one datum.
//!
//! Requests of one run share its machine, its caches and its moment. Pooled over requests, two sets of
//! runs of one service differ "significantly" in half of all cases where runs vary by 2 %. The logarithm
//! of a run's percentile as the datum keeps the promise (Kalibera and Jones 2013 on where to repeat).

use super::correlation::student_quantile_real;

/// A ratio with its two-sided 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// New over old: the geometric mean.
    pub value: f64,
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
    /// Where the true ratio lies above, at 95 % on this side alone.
    pub at_least: f64,
    /// Where it lies below, at 95 % on this side alone.
    pub at_most: f64,
    /// The relative standard deviation from run to run that the interval rests on.
    pub spread: f64,
}

/// The ratio of positive values of independent runs, by Welch's t on their logarithms (1947). Where
/// one side has a single run, the spread of the other stands for both, which makes the interval that
/// of a prediction: `t_{h−1} · s · √(1 + 1/h)`.
///
/// `None` unless one side has at least three runs, or where a value is not positive.
pub fn ratio(old: &[f64], new: &[f64], alpha: f64) -> Option<Ratio> {
    let (old, new) = (Logs::of(old)?, Logs::of(new)?);
    if old.n.max(new.n) < FEWEST {
        return None;
    }
    let (error, freedom) = match (old.variance, new.variance) {
        (Some(a), Some(b)) => {
            let (a, b) = (a / old.n, b / new.n);
            let freedom = (a + b).powi(2) / (a * a / (old.n - 1.0) + b * b / (new.n - 1.0));
            (
                (a + b).sqrt(),
                if freedom.is_finite() {
                    freedom
                } else {
                    old.n + new.n - 2.0
                },
            )
        }
        (Some(s), None) => ((s * (1.0 + 1.0 / old.n)).sqrt(), old.n - 1.0),
        (None, Some(s)) => ((s * (1.0 + 1.0 / new.n)).sqrt(), new.n - 1.0),
        (None, None) => return None,
    };
    let spread = old
        .variance
        .into_iter()
        .chain(new.variance)
        .fold(0.0, f64::max)
        .sqrt();
    Some(interval(new.mean - old.mean, error, freedom, spread, alpha))
}

/// The same for runs that alternated, old and new side by side: Student's t on the differences. It
/// keeps the promise where the machine drifts meanwhile.
///
/// `None` for fewer than three pairs, or where a value is not positive.
pub fn paired_ratio(old: &[f64], new: &[f64], alpha: f64) -> Option<Ratio> {
    if old.len() != new.len() || old.iter().chain(new).any(|value| *value <= 0.0) {
        return None;
    }
    let differences: Vec<f64> = old.iter().zip(new).map(|(a, b)| b / a).collect();
    let logs = Logs::of(&differences)?;
    if logs.n < FEWEST {
        return None;
    }
    let variance = logs.variance?;
    let error = (variance / logs.n).sqrt();
    // A difference varies as two runs do.
    Some(interval(
        logs.mean,
        error,
        logs.n - 1.0,
        (variance / 2.0).sqrt(),
        alpha,
    ))
}

/// How many runs on each side would show that there is no relative change of this size nineteen times out of
/// twenty where nothing has changed, and one of this size more than nine times out of ten.
///
/// The smallest `n ≥ 3` with `ln(1 + change) ≥ s·√(2/n) · (t(1−α) + t(1−α/2))`, with `n − 1` degrees of freedom:
/// those of pairs, and the fewest that Welch's t may have. (Two one-sided tests; Schuirmann, Journal of
/// Pharmacokinetics and Biopharmaceutics 15, 1987.)
pub fn runs_to_see(change: f64, spread: f64, alpha: f64) -> u32 {
    const MOST: u32 = 1 << 20;
    let enough = |runs: u32| {
        let freedom = f64::from(runs - 1);
        let t = |probability: f64| student_quantile_real(probability, freedom);
        let reach = t(1.0 - alpha) + t(1.0 - alpha / 2.0);
        change.ln_1p() >= spread * (2.0 / f64::from(runs)).sqrt() * reach
    };
    // What is enough stays enough with more runs.
    let (mut too_few, mut runs) = (2, 3);
    while runs < MOST && !enough(runs) {
        (too_few, runs) = (runs, runs * 2);
    }
    while runs - too_few > 1 {
        let middle = u32::midpoint(too_few, runs);
        if enough(middle) {
            runs = middle;
        } else {
            too_few = middle;
        }
    }
    runs
}

/// Fewer runs than this say nothing about how runs vary.
const FEWEST: f64 = 3.0;

struct Logs {
    n: f64,
    mean: f64,
    /// `None` for a single run.
    variance: Option<f64>,
}

impl Logs {
    fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() || values.iter().any(|value| *value <= 0.0) {
            return None;
        }
        let n = values.len() as f64;
        let mean = values.iter().map(|value| value.ln()).sum::<f64>() / n;
        let square: f64 = values.iter().map(|value| (value.ln() - mean).powi(2)).sum();
        Some(Self {
            n,
            mean,
            variance: (values.len() > 1).then(|| square / (n - 1.0)),
        })
    }
}

fn interval(difference: f64, error: f64, freedom: f64, spread: f64, alpha: f64) -> Ratio {
    let reach = |alpha: f64| student_quantile_real(1.0 - alpha, freedom) * error;
    let (both, one) = (reach(alpha / 2.0), reach(alpha));
    Ratio {
        value: difference.exp(),
        lower: (difference - both).exp(),
        upper: (difference + both).exp(),
        at_least: (difference - one).exp(),
        at_most: (difference + one).exp(),
        spread,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::ALPHA;
    use rand::{RngExt as _, SeedableRng as _};
    use rand_pcg::Pcg64Mcg;

    /// Runs around 100 that vary by 2 %.
    fn runs(count: usize, shift: f64, rng: &mut Pcg64Mcg) -> Vec<f64> {
        (0..count)
            .map(|_| {
                // The sum of twelve uniform numbers is nearly normal, with a variance of one.
                let normal = (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
                100.0 * (1.0 + shift) * (0.02 * normal).exp()
            })
            .collect()
    }

    #[test]
    fn equal_services_rarely_differ_and_a_shift_is_found_with_the_runs_asked_for() {
        let mut rng = Pcg64Mcg::seed_from_u64(5);
        let asked = runs_to_see(0.05, 0.02, ALPHA) as usize;
        assert!((6..=8).contains(&asked), "{asked}");
        assert_eq!(runs_to_see(0.05, 0.0, ALPHA), 3);
        assert!((28..=32).contains(&runs_to_see(0.05, 0.05, ALPHA)));
        let (mut alarms, mut found) = (0, 0);
        for _ in 0..400 {
            let old = runs(asked, 0.0, &mut rng);
            let same = ratio(&old, &runs(asked, 0.0, &mut rng), ALPHA).unwrap();
            alarms += u32::from(same.lower > 1.0 || same.upper < 1.0);
            let slower = ratio(&old, &runs(asked, 0.05, &mut rng), ALPHA).unwrap();
            found += u32::from(slower.lower > 1.0);
        }
        assert!(alarms <= 28, "{alarms} of 400");
        assert!(found >= 360, "{found} of 400");
    }

    #[test]
    fn drift_between_runs_is_no_difference_where_they_alternate() {
        let mut rng = Pcg64Mcg::seed_from_u64(6);
        let mut alarms = 0;
        for _ in 0..400 {
            let mut level = 1.0;
            let (mut old, mut new) = (Vec::new(), Vec::new());
            for pair in 0..6 {
                for side in 0..2 {
                    level *= 1.0 + 0.03 * (rng.random::<f64>() - 0.5) * 12.0_f64.sqrt();
                    let value = runs(1, 0.0, &mut rng)[0] * level;
                    // A, B, B, A, …
                    if (pair + side) % 2 == 0 {
                        old.push(value);
                    } else {
                        new.push(value);
                    }
                }
            }
            let seen = paired_ratio(&old, &new, ALPHA).unwrap();
            alarms += u32::from(seen.lower > 1.0 || seen.upper < 1.0);
        }
        assert!(alarms <= 28, "{alarms} of 400");
    }

    #[test]
    fn one_new_run_is_held_against_what_old_ones_predict() {
        let old = [98.0, 101.0, 100.0, 99.0, 102.0];
        let usual = ratio(&old, &[101.0], ALPHA).unwrap();
        assert!(usual.lower < 1.0 && usual.upper > 1.0);
        let slow = ratio(&old, &[115.0], ALPHA).unwrap();
        assert!(slow.lower > 1.05, "{slow:?}");
        assert_eq!(ratio(&[100.0], &[101.0], ALPHA), None);
        assert_eq!(ratio(&[100.0, 99.0], &[101.0, 98.0], ALPHA), None);
        assert_eq!(ratio(&[0.0, 1.0, 1.0], &[1.0], ALPHA), None);
    }
}
