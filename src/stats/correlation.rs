//! What a sample of neighbouring requests is worth.
//!
//! Latencies of one second resemble each other: a queue, a stall or a busy GPU slows all of them.
//! Treating them as independent passes a service on the limit in up to two of three runs. The
//! remedy is a design effect estimated from time batches, with the degrees of freedom of that
//! estimate paid for (after Korn and Graubard's interval for surveys, 1998). It is taken at the gated
//! threshold and at two lower ones, because at the threshold itself it is underestimated exactly
//! when few requests exceed it, which is on the way to a false PASS.

use super::beta::beta_quantile;
use statrs::distribution::{ContinuousCDF, Normal};

/// What happened in one second of a phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Second {
    /// Requests that ended.
    pub requests: u64,
    /// How many of them were over the threshold.
    pub over: u64,
}

/// What is assumed about batches that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// They are independent.
    None,
    /// One resembles the next, as far as it shows: an autoregressive process of the first order.
    FirstOrder,
    /// The same, but only where that is hardly chance (`r > 2.326/√m`).
    FirstOrderForCertain,
}

impl Memory {
    /// So many standard deviations of the correlation of neighbours are no chance; `None` where none is
    /// looked for.
    fn chance(self) -> Option<f64> {
        match self {
            Self::None => None,
            Self::FirstOrder => Some(1.645),
            Self::FirstOrderForCertain => Some(2.326),
        }
    }
}

/// By how much the variance of the share exceeds that of independent requests; at least 1.
///
/// With the seconds of each stratum (phase) grouped into runs of nearly equal length, `batches` in
/// all, and `p_s` the share of a stratum: `V = Σ_s m_s/(m_s−1) · Σ_b (k_b − p_s·n_b)² / N²`, and the
/// effect is `V / (p(1−p)/N)`. That phases differ from each other is no chance, and adds nothing.
///
/// Batches that are shorter than what makes requests resemble each other are not independent either.
/// With [`Memory::FirstOrder`] and a correlation `r` of neighbours that is more than chance
/// (`r > 1.645/√m`), `V` is multiplied by `(1 + ρ)/(1 − ρ)`, `ρ = min(r + (1 + 4r)/m, 0.9)` (Kendall's
/// correction of the bias; Biometrika 41, 1954).
pub fn design_effect(strata: &[Vec<Second>], batches: usize, memory: Memory) -> f64 {
    let all = || strata.iter().flatten();
    let seconds = all().count();
    let total: u64 = all().map(|second| second.requests).sum();
    let over: u64 = all().map(|second| second.over).sum();
    if seconds < 2 || over == 0 || over == total {
        return 1.0;
    }
    let (total, over) = (total as f64, over as f64);
    let deviations: Vec<Vec<f64>> = strata
        .iter()
        .map(|stratum| {
            let part = (batches * stratum.len()).div_ceil(seconds);
            deviations(stratum, part.clamp(2, stratum.len().max(2)))
        })
        .collect();
    let square = |of: &Vec<f64>| of.iter().map(|deviation| deviation.powi(2)).sum::<f64>();
    let with_bias = |of: &Vec<f64>| {
        let m = of.len() as f64;
        if of.is_empty() {
            0.0
        } else {
            m / (m - 1.0) * square(of)
        }
    };
    let squares: f64 = deviations.iter().map(with_bias).sum();
    let share = over / total;
    let mut effect = squares / (total * total) / (share * (1.0 - share) / total);
    if let Some(chance) = memory.chance() {
        let count = deviations.iter().map(Vec::len).sum::<usize>() as f64;
        let neighbours = deviations.iter().flat_map(|of| of.windows(2));
        let products: f64 = neighbours.map(|pair| pair[0] * pair[1]).sum();
        let correlation = products / deviations.iter().map(square).sum::<f64>();
        if correlation > chance / count.sqrt() {
            let memory = (correlation + (1.0 + 4.0 * correlation) / count).min(LONGEST_MEMORY);
            effect *= (1.0 + memory) / (1.0 - memory);
        }
    }
    effect.max(1.0)
}

/// From so few batches a longer memory cannot be told from a trend.
const LONGEST_MEMORY: f64 = 0.9;

/// `k_b − p·n_b` of each batch of one stratum; none where there is nothing to compare.
fn deviations(seconds: &[Second], batches: usize) -> Vec<f64> {
    let total: u64 = seconds.iter().map(|second| second.requests).sum();
    let over: u64 = seconds.iter().map(|second| second.over).sum();
    if seconds.len() < 2 || total == 0 {
        return Vec::new();
    }
    let share = over as f64 / total as f64;
    let mut sums = vec![(0.0, 0.0); batches];
    for (index, second) in seconds.iter().enumerate() {
        let (n, k) = &mut sums[index * batches / seconds.len()];
        *n += second.requests as f64;
        *k += second.over as f64;
    }
    sums.iter().map(|(n, k)| k - share * n).collect()
}

/// The size of the independent sample that a correlated one is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effective {
    /// The largest design effect found.
    pub design_effect: f64,
    /// Effective requests: `N / deff · (z / t)²`.
    pub requests: f64,
}

/// The effective size of a sample, from its seconds at several thresholds, stratum by stratum.
///
/// `None` when there are fewer than two seconds: then nothing is known about how the requests hang
/// together. The number of batches is 15 and 30, or the number of seconds where that is smaller.
pub fn effective(thresholds: &[Vec<Vec<Second>>], alpha: f64, memory: Memory) -> Option<Effective> {
    let strata = thresholds.first()?;
    let seconds = strata.iter().map(Vec::len).sum::<usize>();
    if seconds < 2 {
        return None;
    }
    let total: u64 = strata.iter().flatten().map(|second| second.requests).sum();
    let design_effect = thresholds
        .iter()
        .flat_map(|strata| {
            [15, 30].map(|batches| design_effect(strata, batches.min(seconds), memory))
        })
        .fold(1.0, f64::max);
    let penalty = normal_quantile(1.0 - alpha) / student_quantile(1.0 - alpha, seconds.min(15) - 1);
    Some(Effective {
        design_effect,
        requests: total as f64 / design_effect * penalty * penalty,
    })
}

/// The quantile of the standard normal distribution.
pub fn normal_quantile(probability: f64) -> f64 {
    Normal::standard().inverse_cdf(probability)
}

/// The quantile of Student's t with this many degrees of freedom.
pub fn student_quantile(probability: f64, degrees_of_freedom: usize) -> f64 {
    student_quantile_real(probability, degrees_of_freedom as f64)
}

/// The same for estimated degrees of freedom, at least 1.
pub(super) fn student_quantile_real(probability: f64, degrees_of_freedom: f64) -> f64 {
    let freedom = degrees_of_freedom.max(1.0);
    // The share y = t²/(ν + t²) has a beta distribution with the parameters 1/2 and ν/2.
    let share = beta_quantile(0.5, freedom / 2.0, (2.0 * probability - 1.0).abs());
    let distance = (freedom * share / (1.0 - share)).sqrt();
    distance.copysign(probability - 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::ALPHA;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    /// Against printed tables.
    #[test]
    fn quantiles_of_students_t_are_those_of_the_tables() {
        for (probability, freedom, expected) in [
            (0.975, 1.0, 12.706_20),
            (0.95, 14.0, 1.761_31),
            (0.975, 10.0, 2.228_14),
            (0.9, 2.0, 1.885_62),
            (0.95, 1e6, 1.644_86),
        ] {
            let found = student_quantile_real(probability, freedom);
            assert!((found - expected).abs() < 1e-5, "{freedom}: {found}");
            let mirrored = student_quantile_real(1.0 - probability, freedom);
            assert!((found + mirrored).abs() < 1e-9, "{freedom}: {mirrored}");
        }
    }

    fn seconds(counts: impl IntoIterator<Item = (u64, u64)>) -> Vec<Second> {
        counts
            .into_iter()
            .map(|(requests, over)| Second { requests, over })
            .collect()
    }

    #[test]
    fn even_seconds_have_no_effect() {
        let even = seconds((0..300).map(|_| (50, 5)));
        assert_eq!(design_effect(&[even], 30, Memory::FirstOrder), 1.0);
    }

    #[test]
    fn one_stall_is_one_event_however_many_requests_it_hits() {
        // All 100 slow requests lie in one second out of 60.
        let stalled = seconds((0..60).map(|second| (100, if second == 30 { 100 } else { 0 })));
        let strata = vec![stalled];
        let effect = design_effect(&strata, 30, Memory::None);
        assert!(effect > 50.0, "{effect}");
        let worth = effective(&[strata], ALPHA, Memory::None).expect("enough seconds");
        assert!(worth.requests < 120.0, "{worth:?}");
    }

    #[test]
    fn batches_that_resemble_their_neighbours_are_not_independent() {
        // Batches of ten seconds, in waves of 75 s that are calm and wild by turns: each wave is one event.
        let waves = |length: usize| {
            seconds((0..300).map(|second| (100, if second / length % 2 == 1 { 6 } else { 2 })))
        };
        let effect = |length: usize, memory| design_effect(&[waves(length)], 30, memory);
        let slow = effect(75, Memory::FirstOrder) / effect(75, Memory::None);
        assert!((5.0..20.0).contains(&slow), "{slow}");
        // Waves that are shorter than a batch leave no memory from one to the next.
        let fast = effect(3, Memory::FirstOrder) / effect(3, Memory::None);
        assert_eq!(fast, 1.0);
    }

    #[test]
    fn too_short_to_know() {
        assert_eq!(
            effective(&[vec![seconds([(1000, 3)])]], ALPHA, Memory::None),
            None
        );
        let two = vec![seconds([(1000, 3), (1000, 3)])];
        let two = effective(&[two], ALPHA, Memory::None).expect("two seconds");
        // One degree of freedom: t is 6.31, so that most of the sample is paid for not knowing.
        assert!(two.requests < 2000.0 * 0.07, "{two:?}");
    }

    #[test]
    fn phases_may_differ_without_being_noise() {
        let calm = seconds((0..60).map(|_| (100, 0)));
        let wild = seconds((0..60).map(|_| (100, 3)));
        assert_eq!(
            design_effect(&[calm.clone(), wild.clone()], 30, Memory::None),
            1.0
        );
        assert!(design_effect(&[[calm, wild].concat()], 30, Memory::None) > 2.0);
    }

    /// A service whose true p99 lies on the limit, 50 requests a second for 300 s: false PASS and
    /// false FAIL at most 5 % each, for independent seconds and for seconds that share a slow drift.
    #[test]
    fn errs_rarely_on_the_limit() {
        use crate::stats::{Share, lower_bound, upper_bound};
        let mut rng = Pcg64Mcg::seed_from_u64(20_261_123);
        for (name, sharing) in [("independent", 0.0), ("drifting", 0.9)] {
            let (mut false_pass, mut false_fail) = (0, 0);
            let runs = 300;
            for _ in 0..runs {
                let mut state: f64 = 0.0;
                let rows: Vec<(u64, [u64; 3])> = (0..300)
                    .map(|_| {
                        state =
                            sharing * state + (1.0 - sharing) * (rng.random::<f64>() * 2.0 - 1.0);
                        // The mean over the state is one: the true shares stay 1 %, 5 % and 20 %.
                        let factor = 1.0 + state;
                        let mut over = [0; 3];
                        for _ in 0..50 {
                            let draw: f64 = rng.random();
                            for (slot, share) in over.iter_mut().zip([0.01, 0.05, 0.2]) {
                                *slot += u64::from(draw < share * factor);
                            }
                        }
                        (50, over)
                    })
                    .collect();
                let at =
                    |index: usize| vec![seconds(rows.iter().map(|(n, over)| (*n, over[index])))];
                let worth =
                    effective(&[at(0), at(1), at(2)], ALPHA, Memory::None).expect("300 seconds");
                let over: u64 = rows.iter().map(|(_, over)| over[0]).sum();
                let share = Share {
                    count: over as f64 / 15_000.0 * worth.requests,
                    total: worth.requests,
                };
                false_pass += usize::from(upper_bound(share, ALPHA) < 0.01);
                false_fail += usize::from(lower_bound(share, ALPHA) > 0.01);
            }
            let allowed = runs * 5 / 100;
            assert!(
                false_pass <= allowed,
                "{name}: {false_pass} of {runs} false PASS"
            );
            assert!(
                false_fail <= allowed,
                "{name}: {false_fail} of {runs} false FAIL"
            );
        }
    }
}
