//! Latency histograms: three significant digits, 1 µs to 1 h, grown as needed.
//!
//! They are merged as histograms only; a percentile of percentiles cannot be written with this type.

use super::buckets::{HALF, highest_of, index_of};
use std::fmt;

/// What can be asked of a histogram of latencies, whether it is being filled or at rest.
pub trait Distribution {
    /// How many latencies it holds.
    fn count(&self) -> u64;

    /// How many of them were longer than an hour.
    fn overflow(&self) -> u64;

    /// Each bucket that holds something, in order: its position, and how many it holds. Some that hold
    /// nothing may be among them: it costs less to count them than to leave them out.
    fn places(&self) -> impl Iterator<Item = (usize, u64)>;

    /// The same without those that hold nothing.
    fn occupied(&self) -> impl Iterator<Item = (usize, u64)> {
        self.places().filter(|&(_, count)| count > 0)
    }

    /// Each bucket that holds something, in order: its highest value in nanoseconds, and how many it
    /// holds.
    fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        self.occupied()
            .map(|(index, count)| (highest_of(index).saturating_mul(1000), count))
    }

    /// How many latencies may and how many must lie above a limit in nanoseconds: the bucket that
    /// holds the limit counts towards the first and not towards the second.
    fn above(&self, limit_ns: u64) -> Above {
        let mut above = [Above::default()];
        self.above_each(&[limit_ns], &mut above);
        above[0]
    }

    /// The same for several limits in ascending order, in one pass.
    fn above_each(&self, limits_ns: &[u64], above: &mut [Above]) {
        let mut below = 0;
        let mut places = self.places();
        let mut next = places.next();
        for (&limit_ns, above) in limits_ns.iter().zip(above) {
            let limit = limit_ns.div_ceil(1000).max(1);
            if limit > LONGEST_US {
                *above = Above {
                    at_most: self.overflow(),
                    at_least: 0,
                };
                continue;
            }
            let own = index_of(limit);
            while let Some((index, count)) = next
                && index < own
            {
                below += count;
                next = places.next();
            }
            let at_most = self.count().saturating_sub(below);
            let in_own = next
                .filter(|&(index, _)| index == own)
                .map_or(0, |(_, count)| count);
            *above = Above {
                at_most,
                at_least: at_most.saturating_sub(in_own),
            };
        }
    }

    /// Whether it holds none.
    fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// The latency with this rank, counted from 1 at the shortest, in nanoseconds: the highest value
    /// of its bucket, at most 0.1 % above the true one.
    fn rank_ns(&self, rank: u64) -> Option<u64> {
        let mut seen = 0;
        self.buckets()
            .find(|&(_, count)| {
                seen += count;
                rank > 0 && seen >= rank
            })
            .map(|(value, _)| value)
    }

    /// The value below or at which this share of all latencies lies, in nanoseconds; `None` when
    /// empty.
    fn quantile_ns(&self, quantile: f64) -> Option<u64> {
        self.rank_ns(rank_of(quantile, self.count()))
    }

    /// The values below or at which these shares of all latencies lie, as [`quantile_ns`], in one pass;
    /// the shares ascend.
    ///
    /// [`quantile_ns`]: Distribution::quantile_ns
    fn quantiles_ns<const N: usize>(&self, quantiles: [f64; N]) -> [Option<u64>; N] {
        let mut places = self.places();
        let (mut seen, mut last) = (0, None);
        quantiles.map(|quantile| {
            let rank = rank_of(quantile, self.count());
            while seen < rank {
                let (index, count) = places.next()?;
                seen += count;
                last = Some(index);
            }
            last.map(|index| highest_of(index).saturating_mul(1000))
        })
    }

    /// The largest latency in nanoseconds, as the highest value of its bucket; `None` when empty.
    fn max_ns(&self) -> Option<u64> {
        self.buckets().last().map(|(value, _)| value)
    }

    /// The mean in nanoseconds, at most 0.1 % above the true one; `None` when empty.
    fn mean_ns(&self) -> Option<f64> {
        let sum: f64 = self
            .buckets()
            .map(|(value, count)| value as f64 * count as f64)
            .sum();
        (!self.is_empty()).then(|| sum / self.count() as f64)
    }
}

/// The rank, from 1, of the latency below or at which this share of a number of latencies lies.
fn rank_of(quantile: f64, count: u64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a count; a float cast saturates"
    )]
    let rank = (quantile.clamp(0.0, 1.0) * count as f64 - 1e-9).ceil() as u64;
    rank.max(1)
}

/// The largest latency that keeps its value: one hour. Longer ones are counted as this long and as
/// overflow.
pub const LONGEST_NS: u64 = 3_600_000_000_000;
const LONGEST_US: u64 = LONGEST_NS / 1000;

/// A histogram of latencies, in the buckets of `HdrHistogram`. It takes no memory until it is used: of
/// most kinds of latencies a request has none.
#[derive(Clone, Default)]
pub struct Latencies {
    /// How many each bucket holds, up to some half beyond the largest.
    counts: Vec<u64>,
    count: u64,
    overflow: u64,
}

impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latencies")
            .field("count", &self.count())
            .field("p50_ns", &self.quantile_ns(0.5))
            .field("max_ns", &self.max_ns())
            .finish()
    }
}

impl PartialEq for Latencies {
    fn eq(&self, other: &Self) -> bool {
        self.overflow == other.overflow
            && self.count == other.count
            && self.occupied().eq(other.occupied())
    }
}

impl Latencies {
    /// Notes one latency in nanoseconds, rounded to microseconds, at least one.
    pub fn record(&mut self, nanoseconds: u64) {
        let microseconds = (nanoseconds.saturating_add(500) / 1000).max(1);
        if microseconds > LONGEST_US {
            self.overflow += 1;
        }
        *self.bucket(index_of(microseconds.min(LONGEST_US))) += 1;
        self.count += 1;
    }

    /// Adds all latencies of another histogram.
    pub fn merge(&mut self, other: &impl Distribution) {
        for (index, count) in other.places() {
            let bucket = self.bucket(index);
            *bucket = bucket.saturating_add(count);
        }
        self.count = self.count.saturating_add(other.count());
        self.overflow += other.overflow();
    }

    /// Forgets everything, and keeps the memory.
    pub fn reset(&mut self) {
        if self.count > 0 {
            self.counts.fill(0);
        }
        self.count = 0;
        self.overflow = 0;
    }

    /// The buckets from the first to the last half that was ever used.
    pub(super) fn counts(&self) -> &[u64] {
        &self.counts
    }

    fn bucket(&mut self, index: usize) -> &mut u64 {
        if index >= self.counts.len() {
            self.grow(index);
        }
        &mut self.counts[index]
    }

    #[cold]
    fn grow(&mut self, index: usize) {
        self.counts.resize((index / HALF + 1) * HALF, 0);
    }
}

impl Distribution for Latencies {
    fn count(&self) -> u64 {
        self.count
    }

    fn overflow(&self) -> u64 {
        self.overflow
    }

    fn places(&self) -> impl Iterator<Item = (usize, u64)> {
        self.counts
            .iter()
            .enumerate()
            .map(|(index, &count)| (index, count))
    }
}

/// How many latencies lie above a limit, as far as the buckets tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Above {
    /// The count if everything in the limit's own bucket is above it. Used to PASS.
    pub at_most: u64,
    /// The count if nothing in the limit's own bucket is above it. Used to FAIL.
    pub at_least: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    fn of(milliseconds: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::default();
        for value in milliseconds {
            latencies.record(value * MS);
        }
        latencies
    }

    #[test]
    fn percentiles_lie_within_a_thousandth() {
        let latencies = of(1..=1000);
        for (quantile, truth) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0)] {
            let value = latencies.quantile_ns(quantile).unwrap() as f64 / MS as f64;
            assert!((value / truth - 1.0).abs() < 0.001, "{quantile}: {value}");
        }
        let max = latencies.max_ns().unwrap() as f64 / MS as f64;
        assert!((max / 1000.0 - 1.0).abs() < 0.001, "{max}");
        assert_eq!(latencies.rank_ns(1).map(|ns| ns / MS), Some(1));
        assert_eq!(latencies.rank_ns(1001), None);
        assert_eq!(Latencies::default().quantile_ns(0.5), None);
    }

    #[test]
    fn the_bucket_of_the_limit_is_counted_both_ways() {
        let latencies = of([99, 100, 101]);
        let above = latencies.above(100 * MS);
        // 100 ms itself lies in the limit's bucket: it may be above, it need not.
        assert_eq!(
            above,
            Above {
                at_most: 2,
                at_least: 1
            }
        );
        assert_eq!(
            latencies.above(50 * MS),
            Above {
                at_most: 3,
                at_least: 3
            }
        );
        assert_eq!(
            latencies.above(200 * MS),
            Above {
                at_most: 0,
                at_least: 0
            }
        );
    }

    #[test]
    fn longer_than_an_hour_is_counted_and_never_lost() {
        let mut latencies = Latencies::default();
        latencies.record(5 * LONGEST_NS);
        assert_eq!((latencies.count(), latencies.overflow()), (1, 1));
        assert_eq!(
            latencies.above(2 * LONGEST_NS),
            Above {
                at_most: 1,
                at_least: 0
            }
        );
    }

    #[test]
    fn zero_is_the_shortest_and_not_nothing() {
        let mut latencies = Latencies::default();
        latencies.record(0);
        assert_eq!(latencies.quantile_ns(0.5), Some(1000));
        assert_eq!(
            latencies.above(0),
            Above {
                at_most: 1,
                at_least: 0
            }
        );
    }

    #[test]
    fn several_limits_and_shares_in_one_pass_say_what_each_says() {
        let latencies = of((1..=200).map(|value| value * value));
        let limits = [0, 1, MS, 9 * MS, 9 * MS + 1, 40_000 * MS, 2 * LONGEST_NS];
        let mut each = [Above::default(); 7];
        latencies.above_each(&limits, &mut each);
        assert_eq!(each, limits.map(|limit| latencies.above(limit)));
        let shares = [0.0, 0.5, 0.5, 0.99, 1.0];
        let one_by_one = shares.map(|share| latencies.quantile_ns(share));
        assert_eq!(latencies.quantiles_ns(shares), one_by_one);
        assert_eq!(Latencies::default().quantiles_ns([0.5]), [None]);
    }

    proptest! {
        #[test]
        fn merging_equals_recording_all(a in prop::collection::vec(0u64..10_000_000_000, 0..50),
                                        b in prop::collection::vec(0u64..10_000_000_000, 0..50)) {
            let record = |values: &[u64]| {
                let mut latencies = Latencies::default();
                values.iter().for_each(|&value| latencies.record(value));
                latencies
            };
            let mut merged = record(&a);
            merged.merge(&record(&b));
            prop_assert_eq!(merged, record(&[a, b].concat()));
        }

        #[test]
        fn counts_above_bracket_the_truth(values in prop::collection::vec(1u64..5_000_000_000, 1..100),
                                          limit in 1u64..5_000_000_000) {
            let mut latencies = Latencies::default();
            values.iter().for_each(|&value| latencies.record(value));
            let truth = values.iter().filter(|&&value| value > limit).count() as u64;
            let above = latencies.above(limit);
            // Rounding to microseconds may move a value that lies within one of the limit.
            let near = values.iter().filter(|&&value| value.abs_diff(limit) <= 1000).count() as u64;
            prop_assert!(above.at_least <= truth + near, "{above:?} {truth}");
            prop_assert!(above.at_most + near >= truth, "{above:?} {truth}");
        }
    }
}
