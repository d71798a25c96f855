//! The share over a limit that lies far above the latencies that were seen.
//!
//! One short hiccup makes the few requests of the observed p99 the requests of one moment. As to how often
//! latencies go beyond *that* they are one observation, and the design effect there says so; as to how often they go
//! beyond a limit far above it, all that stayed far below is evidence. What is known well is a lower threshold, the
//! observed p95, whose requests come from many moments.

use super::binomial::{Share, upper_bound};
use super::bursts::Bursts;
use super::correlation::{Memory, Second, effective};

/// Requests over this part of the limit count as over it.
pub const NEAR: f64 = 0.8;
/// Latencies are taken to have a tail no heavier than Pareto's with this index: twice a latency is exceeded by 35 %
/// of those that exceed it, at most. Found by simulation; see `docs/statistics.md`.
const INDEX: f64 = 1.5;

/// What is known of the latencies between most of them and the limit.
#[derive(Clone, Debug)]
pub struct Reserve {
    /// The seconds of each stratum (phase), or longer stretches, with the requests over [`NEAR`] of the limit.
    pub near: Vec<Vec<Second>>,
    /// The bursts of those.
    pub bursts: Bursts,
    /// The same seconds, with the requests over the observed p95.
    pub lower: Vec<Vec<Second>>,
    /// That p95 in parts of the limit.
    pub height: f64,
}

impl Reserve {
    /// An upper bound of the share over the limit, the larger of two. What was seen near it and beyond, bounded as it
    /// was seen; that says too little where nothing was seen only because latencies had a good moment. So what the
    /// observed p95 lets expect, too: with `U` the bound of the share over it, `U · height^1.5`. Batches that resemble
    /// their neighbours ([`Memory::FirstOrder`]) show there a latency that wanders.
    ///
    /// `open` requests more are counted as over all. `None` where fewer than two seconds are known.
    pub(super) fn share(&self, open: u64, alpha: f64) -> Option<f64> {
        let near = bounded(&self.near, open, Memory::None, alpha)?;
        let lower = bounded(&self.lower, open, Memory::FirstOrder, alpha)?;
        let seen = near.upper.max(near.observed * self.bursts.reach(alpha));
        let unseen = lower.upper * self.height.min(1.0).powf(INDEX);
        Some(seen.max(unseen).min(1.0))
    }
}

struct Bounded {
    observed: f64,
    upper: f64,
}

fn bounded(strata: &[Vec<Second>], open: u64, memory: Memory, alpha: f64) -> Option<Bounded> {
    let all = || strata.iter().flatten();
    let total = all().map(|second| second.requests).sum::<u64>() + open;
    let over = all().map(|second| second.over).sum::<u64>() + open;
    let worth = effective(&[strata.to_vec()], alpha, memory)?.requests;
    let observed = over as f64 / total.max(1) as f64;
    let share = Share {
        count: observed * worth,
        total: worth,
    };
    Some(Bounded {
        observed,
        upper: upper_bound(share, alpha),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::ALPHA;

    /// Thirty seconds of 6000 requests, so many of which are over a threshold.
    fn seconds(over: impl Fn(u64) -> u64) -> Vec<Vec<Second>> {
        let second = |at| Second {
            requests: 6000,
            over: over(at),
        };
        vec![(0..30).map(second).collect()]
    }

    fn share(near: Vec<Vec<Second>>, lower: Vec<Vec<Second>>, height: f64, open: u64) -> f64 {
        let reserve = Reserve {
            bursts: Bursts::of(&near, 1),
            near,
            lower,
            height,
        };
        reserve.share(open, ALPHA).expect("many seconds")
    }

    #[test]
    fn one_hiccup_far_below_the_limit_does_not_hide_that_the_rest_is_lower_still() {
        // A third of a second is over the p99; 4 % of all seconds are over the p95.
        let p95 = || seconds(|at| if at == 11 { 2040 } else { 240 });
        let at = |height| share(seconds(|_| 0), p95(), height, 0);
        assert!(at(0.2) < 0.01, "{}", at(0.2));
        // Nearer to the limit nothing is known.
        assert!(at(0.5) > 0.02, "{}", at(0.5));
        assert!(at(2.0) > 0.05, "{}", at(2.0));
    }

    #[test]
    fn what_came_near_the_limit_counts_as_over_it() {
        let near = |over| seconds(move |at| if at == 11 { over } else { 0 });
        let with = |over| share(near(over), seconds(|_| 300), 0.2, 0);
        assert!(with(0) < 0.01);
        // A single burst of a third of a second.
        assert!(with(2000) > 0.3, "{}", with(2000));
    }

    #[test]
    fn a_latency_that_wanders_is_known_for_less() {
        let of = |p95| share(seconds(|_| 0), p95, 0.2, 0);
        let waves = seconds(|at| if at < 15 { 600 } else { 0 });
        assert!(of(waves) > 3.0 * of(seconds(|_| 300)));
    }

    #[test]
    fn what_is_in_flight_may_be_over_the_limit() {
        let with = |open| share(seconds(|_| 0), seconds(|_| 300), 0.1, open);
        assert!(with(100) > with(0));
        assert!(with(2000) > 0.01);
    }
}
