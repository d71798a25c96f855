//! How many requests were over a limit, with everything uncertain counted both ways.

use super::latencies::{Above, Distribution};
use super::tally::RequestTally;
use crate::gate::LatencyKind;
use crate::stats::Second;

impl<H: Distribution> RequestTally<H> {
    /// The latencies of successful requests of one kind.
    pub fn latencies(&self, kind: LatencyKind) -> &H {
        match kind {
            LatencyKind::Response => &self.response,
            LatencyKind::Service => &self.service,
            LatencyKind::Ttfb => &self.ttfb,
            LatencyKind::Ttft => &self.streams.ttft,
            LatencyKind::TtftService => &self.streams.ttft_service,
            LatencyKind::Itl => &self.streams.itl,
            LatencyKind::Tpot => &self.streams.tpot,
        }
    }

    /// The histograms by the names under which they are kept: latencies of requests that succeeded,
    /// of those that failed, and of those that timed out or never ended.
    pub fn kinds(&self) -> [(&'static str, &H); 5] {
        [
            ("response", &self.response),
            ("service", &self.service),
            ("ttfb", &self.ttfb),
            ("failed", &self.failed),
            ("censored", &self.censored),
        ]
    }

    /// Requests over a latency limit. Those that failed count as over; those that timed out or never
    /// ended are over if they had already taken longer than the limit, and may be if not. Of latencies
    /// between tokens, each one is counted, and each stream that did not succeed as one that is over.
    pub fn over(&self, kind: LatencyKind, limit_ns: u64) -> Over {
        let mut over = [Over::default()];
        self.over_each(kind, &[limit_ns], &mut over);
        over[0]
    }

    /// The same for several limits in ascending order, in one pass.
    pub fn over_each(&self, kind: LatencyKind, limits_ns: &[u64], over: &mut [Over]) {
        let mut slow = vec![Above::default(); limits_ns.len()];
        self.latencies(kind).above_each(limits_ns, &mut slow);
        if kind.is_of_streams() {
            let latencies = self.latencies(kind).count();
            for (over, slow) in over.iter_mut().zip(&slow) {
                *over = self.streams.over(latencies, *slow);
            }
            return;
        }
        let mut censored = vec![Above::default(); limits_ns.len()];
        self.censored.above_each(limits_ns, &mut censored);
        let failed = self.outcomes.failed();
        for ((over, slow), censored) in over.iter_mut().zip(&slow).zip(&censored) {
            *over = Over {
                at_most: slow.at_most + self.censored.count() + failed,
                at_least: slow.at_least + censored.at_least + failed,
                total: self.outcomes.total(),
            };
        }
    }
}

/// How many requests were over a limit, as far as is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Over {
    /// Everything uncertain counted as over. Used to PASS.
    pub at_most: u64,
    /// Everything uncertain counted as not over. Used to FAIL.
    pub at_least: u64,
    /// Out of how many.
    pub total: u64,
}

impl Over {
    /// As one second of a phase, with everything uncertain counted as over.
    pub fn second(self) -> Second {
        Second {
            requests: self.total,
            over: self.at_most,
        }
    }

    /// Adds another count.
    pub fn merge(&mut self, other: Self) {
        self.at_most += other.at_most;
        self.at_least += other.at_least;
        self.total += other.total;
    }
}
