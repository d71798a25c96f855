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
    /// The share of requests over the limit in the seconds that had any.
    pub fullness: f64,
}

/// Fewer bursts than this say little about how much their sizes vary.
const FEW: f64 = 10.0;
/// What a normal bound is widened by, because the logarithm of a rate from few events is not normal.
/// Found by simulation; see `docs/statistics.md`.
const WIDENED: f64 = 1.5;
/// The same where nothing but the bursts shows how their sizes vary and they are moods: other moods may be many
/// times as bad without lasting longer.
const WIDENED_FOR_MOODS: f64 = 2.5;
/// A burst of which a smaller share is over the limit is a mood; one of which more is stands still, and can
/// only last longer.
const FULL: f64 = 0.25;

/// Counts bursts second by second.
#[derive(Clone, Debug)]
pub struct BurstTally {
    quiet_s: usize,
    count: u64,
    sum: f64,
    squares: f64,
    /// The size of the burst that goes on; zero where none does.
    open: f64,
    /// All requests of the seconds that had any over the limit, and those.
    touched: u64,
    over: u64,
    /// Quiet seconds since its last one that was not.
    quiet: usize,
}

impl BurstTally {
    /// More quiet seconds than these part two bursts.
    pub fn new(quiet_s: usize) -> Self {
        Self {
            quiet_s,
            count: 0,
            sum: 0.0,
            squares: 0.0,
            open: 0.0,
            touched: 0,
            over: 0,
            quiet: 0,
        }
    }

    /// Takes notice of the next second.
    pub fn second(&mut self, second: Second) {
        if second.over > 0 {
            self.open += second.over as f64;
            self.over += second.over;
            self.touched += second.requests;
            self.quiet = 0;
        } else if self.open > 0.0 {
            self.quiet += 1;
            if self.quiet > self.quiet_s {
                self.close();
            }
        }
    }

    /// Ends the burst that goes on, if one does.
    fn close(&mut self) {
        if self.open > 0.0 {
            self.count += 1;
            self.sum += self.open;
            self.squares += self.open * self.open;
        }
        (self.open, self.quiet) = (0.0, 0);
    }

    /// The bursts so far.
    pub fn bursts(&self) -> Bursts {
        let mut ended = self.clone();
        ended.close();
        if ended.count == 0 {
            return Bursts::default();
        }
        let n = ended.count as f64;
        let mean = ended.sum / n;
        let variation = ended.squares / n / (mean * mean) - 1.0;
        Bursts {
            count: ended.count,
            variation: if n < FEW {
                variation.max(1.0)
            } else {
                variation
            },
            fullness: self.over as f64 / self.touched.max(1) as f64,
        }
    }
}

impl Bursts {
    /// The bursts in the seconds of each stratum (phase); more quiet seconds than these part two of them.
    pub fn of(strata: &[Vec<Second>], quiet_s: usize) -> Self {
        let mut tally = BurstTally::new(quiet_s);
        for stratum in strata {
            stratum.iter().for_each(|second| tally.second(*second));
            tally.close();
        }
        tally.bursts()
    }

    /// The factor by which the true share may exceed the observed one, at this error probability:
    /// `exp(1.5 · z · √((1 + cv²) / c))`, the bound of a compound Poisson rate on its logarithm.
    pub fn reach(self, alpha: f64) -> f64 {
        self.reach_widened(alpha, WIDENED)
    }

    /// The same for bursts that alone show how their sizes vary: `2.5` instead of `1.5` for moods, of which
    /// less than a quarter of the requests is over the limit.
    pub fn reach_of_moods(self, alpha: f64) -> f64 {
        let is_full = self.fullness >= FULL;
        self.reach_widened(alpha, if is_full { WIDENED } else { WIDENED_FOR_MOODS })
    }

    fn reach_widened(self, alpha: f64, widened: f64) -> f64 {
        if self.count == 0 {
            return 1.0;
        }
        let z = normal_quantile(1.0 - alpha);
        (widened * z * ((1.0 + self.variation) / self.count as f64).sqrt()).exp()
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

    #[test]
    fn moods_reach_further_than_standstills() {
        let reach = |over: u64| {
            let every_hundredth = |at: u64| if at.is_multiple_of(100) { over } else { 0 };
            let over: Vec<u64> = (0..500).map(every_hundredth).collect();
            Bursts::of(&[seconds(&over)], 15)
        };
        let (mood, standstill) = (reach(5), reach(80));
        assert!((mood.fullness, standstill.fullness) == (0.05, 0.8));
        assert!(mood.reach_of_moods(ALPHA) > 2.0 * mood.reach(ALPHA));
        assert_eq!(standstill.reach_of_moods(ALPHA), standstill.reach(ALPHA));
    }
}
