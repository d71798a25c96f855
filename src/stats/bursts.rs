//! Bursts: how many separate events the requests over a limit come from.
//!
//! A stall makes every request of a moment slow, so that sixty slow requests may be a single event. From
//! one or two events nothing can be said about how often they come, and the design effect, which is
//! estimated from the same few events, is too small exactly when there are few.

use super::correlation::{Second, normal_quantile};

/// The events behind the requests over a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bursts {
    /// How many there were: stretches of seconds with something over the limit, with no more than so many
    /// quiet seconds in a row between.
    pub count: u64,
    /// The squared coefficient of variation of their sizes; at least 1, that of an exponential
    /// distribution, where there are fewer than ten.
    pub variation: f64,
}

/// Fewer bursts than this say little about how much their sizes vary.
const FEW: f64 = 10.0;
/// What a normal bound is widened by, because the logarithm of a rate from few events is not normal.
/// Found by simulation; see `docs/statistics.md`.
const WIDENED: f64 = 1.5;

impl Bursts {
    /// The bursts in the seconds of each stratum (phase); more quiet seconds than these part two of them.
    pub fn of(strata: &[Vec<Second>], quiet_s: usize) -> Self {
        let mut sizes: Vec<f64> = Vec::new();
        for stratum in strata {
            let mut last = None;
            for (at, second) in stratum.iter().enumerate() {
                if second.over == 0 {
                    continue;
                }
                let goes_on = last.is_some_and(|last| at - last <= quiet_s + 1);
                match sizes.last_mut() {
                    Some(size) if goes_on => *size += second.over as f64,
                    _ => sizes.push(second.over as f64),
                }
                last = Some(at);
            }
        }
        let n = sizes.len() as f64;
        if sizes.is_empty() {
            return Self::default();
        }
        let mean = sizes.iter().sum::<f64>() / n;
        let square = sizes.iter().map(|size| size * size).sum::<f64>() / n;
        let variation = square / (mean * mean) - 1.0;
        Self {
            count: sizes.len() as u64,
            variation: if n < FEW {
                variation.max(1.0)
            } else {
                variation
            },
        }
    }

    /// The factor by which the true share may exceed the observed one, at this error probability:
    /// `exp(1.5 · z · √((1 + cv²) / c))`, the bound of a compound Poisson rate on its logarithm.
    pub fn reach(self, alpha: f64) -> f64 {
        if self.count == 0 {
            return 1.0;
        }
        let z = normal_quantile(1.0 - alpha);
        (WIDENED * z * ((1.0 + self.variation) / self.count as f64).sqrt()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::ALPHA;

    fn seconds(over: &[u64]) -> Vec<Second> {
        over.iter()
            .map(|&over| Second {
                requests: 100,
                over,
            })
            .collect()
    }

    #[test]
    fn neighbouring_seconds_are_one_burst() {
        let bursts = |over: &[u64]| Bursts::of(&[seconds(over)], 1).count;
        assert_eq!(bursts(&[0, 0, 0]), 0);
        assert_eq!(bursts(&[5, 60, 1, 0, 0, 0, 7]), 2);
        // One quiet second between them does not part them; two do.
        assert_eq!(bursts(&[5, 0, 5]), 1);
        assert_eq!(bursts(&[5, 0, 0, 5]), 2);
        assert_eq!(Bursts::of(&[seconds(&[5, 0, 0, 5])], 2).count, 1);
        // What lies in two phases is not one burst.
        assert_eq!(
            Bursts::of(&[seconds(&[0, 5]), seconds(&[5, 0])], 1).count,
            2
        );
    }

    #[test]
    fn few_bursts_reach_far_and_many_even_ones_do_not() {
        let reach = |count: usize| {
            let over: Vec<u64> = (0..count * 4).map(|at| u64::from(at % 4 == 0)).collect();
            Bursts::of(&[seconds(&over)], 1).reach(ALPHA)
        };
        assert_eq!(reach(0), 1.0);
        assert!(reach(1) > 20.0, "{}", reach(1));
        assert!((1.2..1.4).contains(&reach(100)), "{}", reach(100));
        assert!(reach(3) > reach(9));
    }
}
