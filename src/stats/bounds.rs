//! The bounds of a share of requests, for correlated ones that come in bursts.

use super::binomial::{Share, lower_bound, upper_bound};
use super::bursts::Bursts;
use super::correlation::{Memory, Second, effective};
use super::early::Alphas;

/// From this design effect on, requests over the limit come in bursts.
const BURSTY: f64 = 2.0;

/// So many quiet seconds in a row are within a burst, where lower thresholds show how long moments
/// resemble each other, and where nothing but the bursts themselves shows it.
const QUIET_S: usize = 1;
const QUIET_ALONE_S: usize = 15;

/// A share with its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShareBounds {
    /// The variance relative to that of independent requests.
    pub design_effect: f64,
    /// The independent requests that the sample is worth, as a PASS counts them.
    pub effective_requests: f64,
    /// The events behind the requests over the limit, where they come in bursts.
    pub bursts: Option<Bursts>,
    /// The one-sided lower bound.
    pub lower: f64,
    /// The one-sided upper bound; 1 where PASS cannot be decided.
    pub upper: f64,
}

/// How many requests were over the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Everything uncertain counted as over.
    pub at_most: u64,
    /// Everything uncertain counted as not over.
    pub at_least: u64,
    /// Out of how many, for `at_least`.
    pub total: u64,
    /// Beside them, requests of which nothing is known as yet: over, for `at_most`.
    pub open: u64,
}

/// The bounds of a share, from the seconds of each stratum at the limit itself and at lower thresholds, if
/// there are any.
///
/// A FAIL looks at the limit alone: where much is over it the design effect is not underestimated, except
/// by batches that resemble their neighbours. A PASS, with little over the limit, looks at the lower
/// thresholds too, where most of it shows; without any, at the memory of batches and at wider bursts.
///
/// `None` where fewer than two seconds show how the requests hang together.
pub fn share_bounds(
    thresholds: &[Vec<Vec<Second>>],
    counted: Counted,
    alphas: Alphas,
) -> Option<ShareBounds> {
    let alpha = alphas.pass.unwrap_or(alphas.fail);
    let (memory, quiet_s) = if thresholds.len() > 1 {
        (Memory::None, QUIET_S)
    } else {
        (Memory::FirstOrder, QUIET_ALONE_S)
    };
    let for_pass = effective(thresholds, alpha, memory)?;
    let for_fail = effective(thresholds.get(..1)?, alphas.fail, Memory::FirstOrder)?;
    let scaled = |count: u64, total: u64, requests: f64| Share {
        count: count as f64 / total.max(1) as f64 * requests,
        total: requests,
    };
    let bursts = (for_pass.design_effect > BURSTY)
        .then(|| Bursts::of(&thresholds[0], quiet_s))
        .filter(|bursts| bursts.count > 0);
    let total = counted.total + counted.open;
    let most = scaled(counted.at_most + counted.open, total, for_pass.requests);
    let upper = alphas.pass.map_or(1.0, |alpha| {
        let reach = bursts.map_or(1.0, |bursts| bursts.reach(alpha));
        upper_bound(most, alpha).max((most.ratio() * reach).min(1.0))
    });
    let least = scaled(counted.at_least, counted.total, for_fail.requests);
    Some(ShareBounds {
        design_effect: for_pass.design_effect,
        effective_requests: for_pass.requests,
        bursts,
        lower: lower_bound(least, alphas.fail),
        upper,
    })
}
