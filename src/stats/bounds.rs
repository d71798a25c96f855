//! The bounds of a share of requests, for correlated ones that come in bursts.

use super::ALPHA;
use super::binomial::{Share, lower_bound, upper_bound};
use super::bursts::Bursts;
use super::correlation::{Memory, Second, effective};
use super::early::Alphas;
use super::excursions;
use super::reserve::Reserve;

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
    /// The same, as a FAIL counts them, each with the multiple of the allowed share that its bound must
    /// exceed: batches taken to remember each other, and not.
    pub to_fail: [(f64, f64); 2],
    /// The events behind the requests over the limit, where they come in bursts.
    pub bursts: Option<Bursts>,
    /// The factor by which the true share may exceed the observed one for so few of them.
    pub burst_reach: Option<f64>,
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

/// What is known of how requests over a limit hang together.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The seconds of each stratum (phase), or longer stretches of the same length: at the limit itself, and
    /// at lower thresholds if there are any.
    pub thresholds: Vec<Vec<Vec<Second>>>,
    /// The bursts at the limit.
    pub bursts: Bursts,
    /// How far below the limit latencies stay, if it is one of latencies.
    pub reserve: Option<Reserve>,
    /// Whether this is a look while the phase goes on: it sees the mood of a few moments.
    pub is_look: bool,
}

impl Evidence {
    /// A bound that takes batches for independent must exceed so many times the allowed share for a FAIL.
    /// Where latencies wander, a high mood of a minute may be three times what it is on average, and
    /// an outage is more; requests that fail have fewer moods. Found by simulation; see
    /// `docs/statistics.md`.
    fn caution(&self) -> f64 {
        match (self.thresholds.len() > 1, self.is_look) {
            (true, true) => 5.0,
            (true, false) | (false, true) => 2.0,
            (false, false) => 1.5,
        }
    }

    /// The same for a bound that takes them to resemble their neighbours: at a first look they are too few to show
    /// how much they do.
    fn caution_with_memory(&self) -> f64 {
        if self.is_look { 1.3 } else { 1.0 }
    }

    /// From the seconds of each stratum at each threshold; that of the limit is the first.
    pub fn of(thresholds: Vec<Vec<Vec<Second>>>) -> Self {
        let quiet_s = quiet_s(thresholds.len());
        let bursts = thresholds.first().map(|limit| Bursts::of(limit, quiet_s));
        Self {
            bursts: bursts.unwrap_or_default(),
            reserve: None,
            is_look: false,
            thresholds,
        }
    }
}

/// So many quiet seconds in a row are within a burst, where so many thresholds are looked at.
pub fn quiet_s(thresholds: usize) -> usize {
    if thresholds > 1 {
        QUIET_S
    } else {
        QUIET_ALONE_S
    }
}

/// The bounds of a share, from the seconds of each stratum at the limit itself and at lower thresholds, if
/// there are any.
///
/// A FAIL looks at the limit alone: where much is over it the design effect is not underestimated, except
/// by batches that resemble their neighbours. So a bound that takes them to do so must exceed the allowed
/// share, or one that does not a multiple of it. A PASS, with little over the limit, looks at the lower
/// thresholds too, where most of it shows, and counts requests or excursions, or looks at how far below the limit
/// they stay, whichever says more; without any, at the memory of batches and at wider bursts.
///
/// `None` where fewer than two seconds show how the requests hang together.
pub fn share_bounds(evidence: &Evidence, counted: Counted, alphas: Alphas) -> Option<ShareBounds> {
    let alpha = alphas.pass.unwrap_or(alphas.fail);
    let thresholds = &evidence.thresholds;
    let memory = if thresholds.len() > 1 {
        Memory::None
    } else {
        Memory::FirstOrder
    };
    let for_pass = effective(thresholds, alpha, memory)?;
    let limit = thresholds.get(..1)?;
    let to_fail = [
        (Memory::FirstOrder, evidence.caution_with_memory()),
        (Memory::None, evidence.caution()),
    ];
    let to_fail = to_fail.map(|(memory, times)| {
        let size = effective(limit, alphas.fail, memory).map(|found| found.requests);
        (size.unwrap_or_default(), times)
    });
    let scaled = |count: u64, total: u64, requests: f64| Share {
        count: count as f64 / total.max(1) as f64 * requests,
        total: requests,
    };
    let bursts = (for_pass.design_effect > BURSTY)
        .then_some(evidence.bursts)
        .filter(|bursts| bursts.count > 0);
    let total = counted.total + counted.open;
    let most = scaled(counted.at_most + counted.open, total, for_pass.requests);
    let burst_reach = bursts.map(|bursts| {
        if thresholds.len() == 1 && is_mood(limit, counted.at_most) {
            bursts.reach_of_moods(alpha)
        } else {
            bursts.reach(alpha)
        }
    });
    let upper = alphas.pass.map_or(1.0, |alpha| {
        let by_requests = upper_bound(most, alpha);
        let by_requests = by_requests.max((most.ratio() * burst_reach.unwrap_or(1.0)).min(1.0));
        let by_excursions = excursions::share(thresholds, alpha).map_or(1.0, |share| {
            let share = share * counted.total as f64 / total.max(1) as f64;
            let open = counted.open as f64 / total.max(1) as f64;
            (share + open).max(most.ratio() * evidence.bursts.reach(alpha))
        });
        let reserve = evidence.reserve.as_ref();
        let by_reserve = reserve.and_then(|reserve| reserve.share(counted.open, alpha));
        by_requests
            .min(by_excursions)
            .min(by_reserve.unwrap_or(1.0))
    });
    let lower = to_fail.map(|(size, times)| {
        lower_bound(scaled(counted.at_least, counted.total, size), alphas.fail) / times
    });
    Some(ShareBounds {
        design_effect: for_pass.design_effect,
        effective_requests: for_pass.requests,
        to_fail,
        bursts,
        burst_reach,
        lower: lower[0].max(lower[1]),
        upper,
    })
}

/// Whether requests over the limit, of which there are so many, come in moods that nothing else shows: they
/// resemble their neighbours too much for chance. A few that fall together by chance are none.
fn is_mood(limit: &[Vec<Vec<Second>>], over: u64) -> bool {
    let certain = effective(limit, ALPHA, Memory::FirstOrderForCertain);
    certain.is_some_and(|found| found.design_effect > BURSTY + 2.0 / over.max(1) as f64)
}
