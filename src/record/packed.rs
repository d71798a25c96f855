//! Latency histograms at rest: the HdrHistogram V2 encoding, about a byte for each occupied bucket.
//!
//! A run of hours keeps one for every second; they are read in place, without being unpacked.

use super::latencies::{Distribution, Latencies};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::serialization::{Serializer as _, V2Serializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A histogram of latencies that is only read. The default is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackedLatencies {
    /// Header and counts in the V2 encoding; nothing for an empty histogram.
    bytes: Box<[u8]>,
    count: u64,
    overflow: u64,
}

/// Header of the V2 encoding: cookie, length, offset, digits, lowest, highest, ratio.
const HEADER: usize = 40;
const COOKIE: u32 = 0x1c84_9313;
/// Buckets of three significant digits: 2048 of one microsecond each, then halves of 1024.
const HALF: usize = 1024;
const HALF_BITS: u32 = 10;

impl Latencies {
    /// The same histogram at rest.
    pub fn pack(&self) -> PackedLatencies {
        let Some(histogram) = self
            .as_histogram()
            .filter(|histogram| !histogram.is_empty())
        else {
            return PackedLatencies::default();
        };
        let mut bytes = Vec::new();
        V2Serializer::new()
            .serialize(histogram, &mut bytes)
            .expect("writing to memory does not fail");
        PackedLatencies {
            bytes: bytes.into(),
            count: self.count(),
            overflow: self.overflow(),
        }
    }
}

impl PackedLatencies {
    /// The V2 encoding; nothing for an empty histogram.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads the V2 encoding. `overflow` is how many latencies were longer than an hour.
    ///
    /// # Errors
    /// When the bytes are no histogram of three digits.
    pub fn from_bytes(bytes: Vec<u8>, overflow: u64) -> Result<Self, String> {
        let word = |at: usize| {
            bytes
                .get(at..at + 4)
                .and_then(|word| word.try_into().ok())
                .map(u32::from_be_bytes)
        };
        if word(0) != Some(COOKIE) || word(12) != Some(3) || bytes.len() < HEADER {
            return Err("this is not a histogram of three digits in the V2 encoding".to_owned());
        }
        let mut packed = Self {
            bytes: bytes.into(),
            count: 0,
            overflow,
        };
        let mut count = 0u64;
        let mut buckets = packed.raw_buckets();
        for (_, bucket) in buckets.by_ref() {
            count = count.saturating_add(bucket);
        }
        if buckets.broken {
            return Err("the counts of a histogram are cut off".to_owned());
        }
        packed.count = count;
        Ok(packed)
    }

    fn raw_buckets(&self) -> RawBuckets<'_> {
        RawBuckets {
            bytes: self.bytes.get(HEADER..).unwrap_or_default(),
            index: 0,
            broken: false,
        }
    }

    fn decode(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let (encoded, overflow) = match text.split_once(';') {
            None => (text, 0),
            Some((encoded, overflow)) => (
                encoded,
                overflow
                    .parse()
                    .map_err(|_| format!("`{overflow}` is not an overflow count"))?,
            ),
        };
        let bytes = BASE64
            .decode(encoded)
            .map_err(|error| format!("a histogram is not base64: {error}"))?;
        Self::from_bytes(bytes, overflow)
    }
}

impl Distribution for PackedLatencies {
    fn count(&self) -> u64 {
        self.count
    }

    fn overflow(&self) -> u64 {
        self.overflow
    }

    fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        self.raw_buckets()
            .map(|(index, count)| (highest_of(index).saturating_mul(1000), count))
    }
}

/// The lowest value of a bucket in microseconds.
fn lowest_of(index: usize) -> u64 {
    if index < 2 * HALF {
        return index as u64;
    }
    let shift = (index >> HALF_BITS) - 1;
    ((index & (HALF - 1)) as u64 + HALF as u64) << shift
}

/// The highest value of a bucket in microseconds.
fn highest_of(index: usize) -> u64 {
    let shift = (index >> HALF_BITS).saturating_sub(1);
    lowest_of(index) + (1 << shift) - 1
}

/// The occupied buckets: index and count.
struct RawBuckets<'a> {
    bytes: &'a [u8],
    index: usize,
    broken: bool,
}

impl RawBuckets<'_> {
    /// A number in ``ZigZag`` LEB128, of at most nine bytes (the ninth has no continuation bit).
    fn number(&mut self) -> Option<i64> {
        let mut value = 0u64;
        for (position, &byte) in self.bytes.iter().take(9).enumerate() {
            if position == 8 {
                value |= u64::from(byte) << 56;
            } else {
                value |= u64::from(byte & 0x7f) << (7 * position);
            }
            if position == 8 || byte & 0x80 == 0 {
                self.bytes = &self.bytes[position + 1..];
                let magnitude = i64::try_from(value >> 1).ok()?;
                return Some(if value & 1 == 0 {
                    magnitude
                } else {
                    -magnitude - 1
                });
            }
        }
        None
    }
}

impl Iterator for RawBuckets<'_> {
    type Item = (usize, u64);

    fn next(&mut self) -> Option<(usize, u64)> {
        /// Buckets of values up to far above an hour, and below those that no 64 bits of nanoseconds hold.
        const MOST: usize = 40 * HALF;
        while !self.bytes.is_empty() {
            let number = self.number().filter(|_| self.index < MOST);
            let Some(number) = number else {
                self.broken = true;
                self.bytes = &[];
                return None;
            };
            // A negative number says how many empty buckets follow; zero is one empty bucket.
            match u64::try_from(number) {
                Ok(0) => self.index += 1,
                Ok(count) => {
                    let index = self.index;
                    self.index += 1;
                    return Some((index, count));
                }
                Err(_) => {
                    let empty = usize::try_from(number.unsigned_abs()).unwrap_or(MOST);
                    self.index = self.index.saturating_add(empty);
                }
            }
        }
        None
    }
}

/// Written as base64, which the standard tools read; empty as "".
impl Serialize for PackedLatencies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = BASE64.encode(&self.bytes);
        if self.overflow > 0 {
            text.push_str(&format!(";{}", self.overflow));
        }
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for PackedLatencies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::decode(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bucket_bounds_are_those_of_the_histogram() {
        let mut latencies = Latencies::default();
        latencies.record(3_599_999_999_000);
        let histogram = latencies.as_histogram().unwrap();
        for value in (0..12_000).chain([99_999, 100_000, 1_234_567, 987_654_321]) {
            let index = (0..40_000)
                .collect::<Vec<_>>()
                .partition_point(|&index| highest_of(index) < value);
            assert_eq!(
                lowest_of(index),
                histogram.lowest_equivalent(value),
                "{value}"
            );
            assert_eq!(
                highest_of(index),
                histogram.highest_equivalent(value),
                "{value}"
            );
        }
    }

    #[test]
    fn refuses_what_is_no_histogram() {
        for text in ["\"!\"", "\"AAAA\"", "\"HISTc\"", "\"AAAA;x\""] {
            assert!(
                serde_json::from_str::<PackedLatencies>(text).is_err(),
                "{text}"
            );
        }
        let mut latencies = Latencies::default();
        latencies.record(5_000_000);
        let packed = latencies.pack();
        let cut = packed.bytes[..packed.bytes.len() - 1].to_vec();
        // What remains ends with a number that says it goes on.
        let mut broken = cut.clone();
        broken.push(0xff);
        assert!(PackedLatencies::from_bytes(broken, 0).is_err());
    }

    proptest! {
        #[test]
        fn says_the_same_at_rest_and_after_the_journal(
            values in prop::collection::vec(0u64..4_000_000_000_000, 0..200),
            limit in 0u64..4_000_000_000_000,
        ) {
            let mut latencies = Latencies::default();
            values.iter().for_each(|&value| latencies.record(value));
            let packed = latencies.pack();
            let text = serde_json::to_string(&packed).unwrap();
            let read: PackedLatencies = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&read, &packed);
            prop_assert_eq!(packed.count(), latencies.count());
            prop_assert_eq!(packed.overflow(), latencies.overflow());
            prop_assert_eq!(packed.above(limit), latencies.above(limit));
            prop_assert_eq!(packed.quantile_ns(0.99), latencies.quantile_ns(0.99));
            prop_assert_eq!(packed.max_ns(), latencies.max_ns());
            let mut unpacked = Latencies::default();
            unpacked.merge(&packed);
            prop_assert_eq!(unpacked, latencies);
        }

        #[test]
        fn never_panics_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut encoded = vec![0x1c, 0x84, 0x93, 0x13, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 3];
            encoded.resize(HEADER, 0);
            encoded.extend(bytes);
            if let Ok(packed) = PackedLatencies::from_bytes(encoded, 0) {
                let _ = packed.quantile_ns(0.5);
            }
        }
    }
}
