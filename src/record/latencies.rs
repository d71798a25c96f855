//! Latency histograms: three significant digits, 1 µs to 1 h, grown as needed.
//!
//! They are merged as histograms only; a percentile of percentiles cannot be written with this type.

use hdrhistogram::Histogram;
use std::fmt;

/// What can be asked of a histogram of latencies, whether it is being filled or at rest.
pub trait Distribution {
    /// How many latencies it holds.
    fn count(&self) -> u64;

    /// How many of them were longer than an hour.
    fn overflow(&self) -> u64;

    /// Each bucket that holds something, in order: its highest value in nanoseconds, and how many it
    /// holds.
    fn buckets(&self) -> impl Iterator<Item = (u64, u64)>;

    /// How many latencies may and how many must lie above a limit in nanoseconds: the bucket that
    /// holds the limit counts towards the first and not towards the second.
    fn above(&self, limit_ns: u64) -> Above {
        let limit = limit_ns.div_ceil(1000).max(1);
        if limit > LONGEST_US {
            return Above {
                at_most: self.overflow(),
                at_least: 0,
            };
        }
        let mut above = Above::default();
        for (value_ns, count) in self.buckets() {
            let highest = value_ns / 1000;
            if highest >= limit {
                above.at_most += count;
                if lowest_equivalent(highest) > limit {
                    above.at_least += count;
                }
            }
        }
        above
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
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a count; a float cast saturates"
        )]
        let rank = (quantile.clamp(0.0, 1.0) * self.count() as f64 - 1e-9).ceil() as u64;
        self.rank_ns(rank.max(1))
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

/// The largest latency that keeps its value: one hour. Longer ones are counted as this long and as
/// overflow.
pub const LONGEST_NS: u64 = 3_600_000_000_000;
const LONGEST_US: u64 = LONGEST_NS / 1000;
const SIGNIFICANT_DIGITS: u8 = 3;

/// A histogram of latencies. It takes no memory until it is used: of most kinds of latencies a
/// request has none.
#[derive(Clone, Default)]
pub struct Latencies {
    microseconds: Option<Histogram<u64>>,
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
        let same = match (&self.microseconds, &other.microseconds) {
            (Some(own), Some(others)) => own == others,
            _ => self.count() == other.count(),
        };
        same && self.overflow == other.overflow
    }
}

impl Latencies {
    /// Notes one latency in nanoseconds, rounded to microseconds, at least one.
    pub fn record(&mut self, nanoseconds: u64) {
        let microseconds = (nanoseconds.saturating_add(500) / 1000).max(1);
        if microseconds > LONGEST_US {
            self.overflow += 1;
        }
        self.filled()
            .record(microseconds.min(LONGEST_US))
            .expect("an auto-resizing histogram grows to an hour");
    }

    /// Adds all latencies of another histogram.
    pub fn merge(&mut self, other: &impl Distribution) {
        for (value_ns, count) in other.buckets() {
            self.filled()
                .record_n(value_ns / 1000, count)
                .expect("an auto-resizing histogram holds what another of its kind holds");
        }
        self.overflow += other.overflow();
    }

    /// Forgets everything, and keeps the memory.
    pub fn reset(&mut self) {
        if let Some(histogram) = &mut self.microseconds
            && !histogram.is_empty()
        {
            histogram.reset();
        }
        self.overflow = 0;
    }

    /// The histogram itself, in microseconds, for writers of its standard formats; `None` as long as
    /// nothing was recorded.
    pub fn as_histogram(&self) -> Option<&Histogram<u64>> {
        self.microseconds.as_ref()
    }

    fn filled(&mut self) -> &mut Histogram<u64> {
        self.microseconds.get_or_insert_with(|| {
            Histogram::new(SIGNIFICANT_DIGITS).expect("three digits are allowed")
        })
    }
}

impl Distribution for Latencies {
    fn count(&self) -> u64 {
        self.microseconds.as_ref().map_or(0, Histogram::len)
    }

    fn overflow(&self) -> u64 {
        self.overflow
    }

    fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        self.microseconds
            .iter()
            .flat_map(Histogram::iter_recorded)
            .map(|bucket| (bucket.value_iterated_to() * 1000, bucket.count_at_value()))
    }
}

/// The lowest value of a value's bucket, both in microseconds. Values below 2048 have a bucket each;
/// above, buckets keep the upper eleven bits, which is three significant digits.
fn lowest_equivalent(microseconds: u64) -> u64 {
    const EXACT_BITS: u32 = 11;
    let bits = u64::BITS - microseconds.leading_zeros();
    let shift = bits.saturating_sub(EXACT_BITS);
    microseconds >> shift << shift
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
