//! The share over a limit by counting how often latencies go beyond it and come back.
//!
//! A queue that has grown stays long for a while. What makes the share over a limit uncertain is then not so much
//! how often that happens as how different in length such excursions are, and the design effect, which knows
//! variances only, takes a sample of 90 000 requests for sixty. How long they are shows at lower thresholds, of
//! which there are more; how often they come is counted at the limit itself.

use super::binomial::{Share, upper_bound};
use super::correlation::{Memory, Second, design_effect};

/// So many quiet seconds are within an excursion.
const QUIET: usize = 1;
/// The mean size is bounded by so many standard errors of its logarithm: 90 % on one side. What is left of the
/// error is spent on the count. Found by simulation; see `docs/statistics.md`.
const SIZE_SURE: f64 = 1.2816;
/// Fewer excursions than this say little about how much their sizes vary.
const FEW: f64 = 10.0;
const BATCHES: [usize; 2] = [15, 30];

/// An upper bound of the share over the first threshold, at this error probability: excursions counted there, with
/// the dispersion of excursions over lower thresholds, times the largest of the bounds of their mean
/// sizes there (a compound Poisson process). `None` without lower thresholds.
///
/// It says nothing of excursions that are longer than those over the lower thresholds: whoever uses it
/// bounds the sizes of those at the limit as well ([`super::Bursts::reach`]).
pub(super) fn share(thresholds: &[Vec<Vec<Second>>], alpha: f64) -> Option<f64> {
    let (limit, lower) = thresholds.split_first()?;
    let requests: u64 = limit.iter().flatten().map(|second| second.requests).sum();
    let counted = Excursions::of(limit);
    let lower: Vec<Excursions> = lower.iter().map(|strata| Excursions::of(strata)).collect();
    let size = lower.iter().filter_map(Excursions::mean_size_at_most);
    let size = size.reduce(f64::max)?;
    let dispersion = lower
        .iter()
        .flat_map(|found| BATCHES.map(|batches| found.dispersion(batches)))
        .fold(1.0, f64::max);
    let independent = Share {
        count: counted.sizes.len() as f64 / dispersion,
        total: requests as f64 / dispersion,
    };
    Some((upper_bound(independent, alpha) * size).min(1.0))
}

/// The excursions over one threshold.
struct Excursions {
    /// Requests in each.
    sizes: Vec<f64>,
    /// Seconds, with the excursions that begin in them.
    starts: Vec<Vec<Second>>,
}

impl Excursions {
    fn of(strata: &[Vec<Second>]) -> Self {
        let mut sizes = Vec::new();
        let starts = strata.iter().map(|seconds| {
            let mut quiet = usize::MAX;
            let start = |second: &Second| {
                let begins = second.over > 0 && quiet > QUIET;
                if begins {
                    sizes.push(0.0);
                }
                if second.over > 0 {
                    quiet = 0;
                } else {
                    quiet = quiet.saturating_add(1);
                }
                if let Some(last) = sizes.last_mut() {
                    *last += second.over as f64;
                }
                Second {
                    requests: second.requests,
                    over: u64::from(begins),
                }
            };
            seconds.iter().map(start).collect()
        });
        let starts = starts.collect();
        Self { sizes, starts }
    }

    /// `mean · exp(1.28 · cv / √n)`; `None` where there are none.
    fn mean_size_at_most(&self) -> Option<f64> {
        let count = self.sizes.len() as f64;
        let mean = self.sizes.iter().sum::<f64>() / count;
        if self.sizes.is_empty() || mean <= 0.0 {
            return None;
        }
        let squares = self.sizes.iter().map(|size| size * size).sum::<f64>() / count;
        let variation = squares / (mean * mean) - 1.0;
        let variation = if count < FEW {
            variation.max(1.0)
        } else {
            variation
        };
        Some(mean * (SIZE_SURE * (variation / count).sqrt()).exp())
    }

    /// How much more unevenly they begin than by chance.
    fn dispersion(&self, batches: usize) -> f64 {
        let seconds = self.starts.iter().map(Vec::len).sum::<usize>();
        design_effect(&self.starts, batches.min(seconds), Memory::FirstOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::ALPHA;

    /// An excursion of three seconds, 50 requests each, at every so many seconds.
    fn every(seconds: usize, of: usize) -> Vec<Vec<Second>> {
        let second = |at: usize| Second {
            requests: 50,
            over: if at % seconds < 3 { 50 } else { 0 },
        };
        vec![(0..of).map(second).collect()]
    }

    fn never(of: usize) -> Vec<Vec<Second>> {
        vec![vec![
            Second {
                requests: 50,
                over: 0
            };
            of
        ]]
    }

    #[test]
    fn excursions_that_did_not_come_are_bounded_by_the_size_of_lower_ones() {
        let share = share(&[never(1800), every(60, 1800)], ALPHA).unwrap();
        // Three excursions, which nobody has seen with 5 %, of 150 requests each in 90 000.
        assert!((0.0048..0.0053).contains(&share), "{share}");
    }

    #[test]
    fn the_fewer_show_their_size_the_larger_they_may_be() {
        let of = |every_s| share(&[never(1800), every(every_s, 1800)], ALPHA).unwrap();
        assert!(of(450) > 1.5 * of(60), "{} {}", of(450), of(60));
    }

    #[test]
    fn without_lower_thresholds_nothing_is_known_of_sizes() {
        assert_eq!(share(&[never(1800)], ALPHA), None);
        assert_eq!(share(&[never(1800), never(1800)], ALPHA), None);
    }

    #[test]
    fn excursions_that_come_together_count_for_fewer() {
        // As many, but all of them in one half of the time.
        let halved = |of: usize| {
            let second = |at: usize| Second {
                requests: 50,
                over: if at < of / 2 && at % 30 < 3 { 50 } else { 0 },
            };
            vec![(0..of).map(second).collect::<Vec<_>>()]
        };
        let even = share(&[never(1800), every(60, 1800)], ALPHA).unwrap();
        let uneven = share(&[never(1800), halved(1800)], ALPHA).unwrap();
        assert!(uneven > 1.5 * even, "{uneven} {even}");
    }
}
