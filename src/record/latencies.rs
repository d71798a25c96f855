//! Latency histograms: three significant digits, 1 µs to 1 h, grown as needed.
//!
//! They are merged as histograms only; a percentile of percentiles cannot be written with this type.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2Serializer};
use serde::{Deserialize, Deserializer as SerdeDeserializer, Serialize, Serializer};
use std::fmt;

/// The largest latency that keeps its value: one hour. Longer ones are counted as this long and as
/// overflow.
pub const LONGEST_NS: u64 = 3_600_000_000_000;
const LONGEST_US: u64 = LONGEST_NS / 1000;
const SIGNIFICANT_DIGITS: u8 = 3;

/// A histogram of latencies.
#[derive(Clone)]
pub struct Latencies {
    microseconds: Histogram<u64>,
    overflow: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            microseconds: Histogram::new(SIGNIFICANT_DIGITS).expect("three digits are allowed"),
            overflow: 0,
        }
    }
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
        self.microseconds == other.microseconds && self.overflow == other.overflow
    }
}

impl Latencies {
    /// Notes one latency in nanoseconds, rounded to microseconds, at least one.
    pub fn record(&mut self, nanoseconds: u64) {
        let microseconds = (nanoseconds.saturating_add(500) / 1000).max(1);
        if microseconds > LONGEST_US {
            self.overflow += 1;
        }
        self.microseconds
            .record(microseconds.min(LONGEST_US))
            .expect("an auto-resizing histogram grows to an hour");
    }

    /// Adds all latencies of another histogram.
    pub fn merge(&mut self, other: &Self) {
        self.microseconds
            .add(&other.microseconds)
            .expect("an auto-resizing histogram holds what another of its kind holds");
        self.overflow += other.overflow;
    }

    /// Forgets everything, and keeps the memory.
    pub fn reset(&mut self) {
        self.microseconds.reset();
        self.overflow = 0;
    }

    /// How many latencies it holds.
    pub fn count(&self) -> u64 {
        self.microseconds.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.microseconds.is_empty()
    }

    /// How many were longer than an hour.
    pub fn overflow(&self) -> u64 {
        self.overflow
    }

    /// The value below or at which this share of all latencies lies, in nanoseconds; `None` when
    /// empty. It is the highest value of its bucket, at most 0.1 % above the true one.
    pub fn quantile_ns(&self, quantile: f64) -> Option<u64> {
        (!self.is_empty()).then(|| self.microseconds.value_at_quantile(quantile) * 1000)
    }

    /// The latency with this rank, counted from 1 at the shortest, in nanoseconds.
    pub fn rank_ns(&self, rank: u64) -> Option<u64> {
        if rank == 0 || rank > self.count() {
            return None;
        }
        let mut seen = 0;
        for bucket in self.microseconds.iter_recorded() {
            seen += bucket.count_at_value();
            if seen >= rank {
                return Some(bucket.value_iterated_to() * 1000);
            }
        }
        None
    }

    /// The largest latency in nanoseconds, as the highest value of its bucket; `None` when empty.
    pub fn max_ns(&self) -> Option<u64> {
        (!self.is_empty()).then(|| self.microseconds.max() * 1000)
    }

    /// The mean in nanoseconds; `None` when empty.
    pub fn mean_ns(&self) -> Option<f64> {
        (!self.is_empty()).then(|| self.microseconds.mean() * 1000.0)
    }

    /// How many latencies may and how many must lie above a limit in nanoseconds: the bucket that
    /// holds the limit counts towards the first and not towards the second.
    pub fn above(&self, limit_ns: u64) -> Above {
        let limit = limit_ns.div_ceil(1000).max(1);
        if limit > LONGEST_US {
            return Above {
                at_most: self.overflow,
                at_least: 0,
            };
        }
        // A limit on a bucket's lower edge, which whole milliseconds below 2 s are, leaves no doubt
        // but about the values of that very bucket.
        let lowest = self.microseconds.lowest_equivalent(limit);
        let highest = self.microseconds.highest_equivalent(limit);
        let below = |value: u64| {
            if value == 0 {
                0
            } else {
                self.microseconds.count_between(0, value)
            }
        };
        Above {
            at_most: self.count() - below(lowest - 1),
            at_least: self.count() - below(highest),
        }
    }

    /// Each bucket that holds something: its highest value in nanoseconds, and how many it holds.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.microseconds
            .iter_recorded()
            .map(|bucket| (bucket.value_iterated_to() * 1000, bucket.count_at_value()))
    }

    /// The histogram itself, in microseconds, for writers of its standard formats.
    pub fn as_histogram(&self) -> &Histogram<u64> {
        &self.microseconds
    }

    fn encode(&self) -> String {
        let mut bytes = Vec::new();
        V2Serializer::new()
            .serialize(&self.microseconds, &mut bytes)
            .expect("writing to memory does not fail");
        let encoded = BASE64.encode(&bytes);
        match self.overflow {
            0 => encoded,
            overflow => format!("{encoded};{overflow}"),
        }
    }

    fn decode(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let (encoded, overflow) = match text.split_once(';') {
            Some((encoded, overflow)) => (
                encoded,
                overflow
                    .parse()
                    .map_err(|_| format!("`{overflow}` is not an overflow count"))?,
            ),
            None => (text, 0),
        };
        let bytes = BASE64
            .decode(encoded)
            .map_err(|error| format!("histogram is not base64: {error}"))?;
        let mut microseconds: Histogram<u64> = Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|error| format!("histogram cannot be read: {error}"))?;
        microseconds.auto(true);
        Ok(Self {
            microseconds,
            overflow,
        })
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

/// Written as base64 of the HdrHistogram V2 encoding, which the standard tools read; empty as "".
impl Serialize for Latencies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_empty() {
            serializer.serialize_str("")
        } else {
            serializer.serialize_str(&self.encode())
        }
    }
}

impl<'de> Deserialize<'de> for Latencies {
    fn deserialize<D: SerdeDeserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::decode(&text).map_err(serde::de::Error::custom)
    }
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

    fn round_trip(latencies: &Latencies) -> Latencies {
        let text = serde_json::to_string(latencies).unwrap();
        serde_json::from_str(&text).unwrap()
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
        assert_eq!(round_trip(&latencies), latencies);
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
        fn survives_the_journal(values in prop::collection::vec(0u64..4_000_000_000_000, 0..200)) {
            let mut latencies = Latencies::default();
            values.iter().for_each(|&value| latencies.record(value));
            prop_assert_eq!(round_trip(&latencies), latencies);
        }

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
