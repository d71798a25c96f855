//! Latency histograms at rest: the HdrHistogram V2 encoding, about a byte for each occupied bucket.
//!
//! A run of hours keeps one for every second; they are read in place, without being unpacked.

use super::buckets::{HALF, highest_of};
use super::latencies::{Distribution, Latencies};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// A histogram of latencies that is only read. The default is empty. A copy shares its memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackedLatencies {
    /// Header and counts in the V2 encoding; nothing for an empty histogram.
    bytes: Arc<[u8]>,
    count: u64,
    overflow: u64,
}

/// Header of the V2 encoding: cookie, length, offset, digits, lowest, highest, ratio.
const HEADER: usize = 40;
const COOKIE: u32 = 0x1c84_9313;

impl Latencies {
    /// The same histogram at rest.
    pub fn pack(&self) -> PackedLatencies {
        if self.is_empty() {
            return PackedLatencies::default();
        }
        PackedLatencies {
            bytes: encode(self.counts()).into(),
            count: self.count(),
            overflow: self.overflow(),
        }
    }
}

/// The V2 encoding of the counts of buckets. Each is a number, and a negative one stands for so many empty
/// buckets.
fn encode(counts: &[u64]) -> Vec<u8> {
    const DIGITS: u32 = 3;
    let used = counts.iter().rposition(|count| *count > 0);
    let counts = &counts[..used.map_or(0, |last| last + 1)];
    let mut bytes = Vec::with_capacity(HEADER + counts.len().min(HALF));
    bytes.extend(COOKIE.to_be_bytes());
    bytes.extend([0; 4]);
    // No offset of the buckets.
    bytes.extend([0; 4]);
    bytes.extend(DIGITS.to_be_bytes());
    // The lowest value that is told from zero, and the highest of the last half.
    bytes.extend(1_u64.to_be_bytes());
    let halves = counts.len().div_ceil(HALF).max(2);
    bytes.extend(highest_of(halves * HALF - 1).to_be_bytes());
    // Values are whole microseconds.
    bytes.extend(1.0_f64.to_be_bytes());
    for run in counts.chunk_by(|a, b| *a == 0 && *b == 0) {
        match run {
            [count] => push_number(&mut bytes, count << 1),
            empty => push_number(&mut bytes, 2 * empty.len() as u64 - 1),
        }
    }
    let length = u32::try_from(bytes.len() - HEADER).expect("forty thousand buckets at most");
    bytes[4..8].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// Appends a number that is in ``ZigZag`` already, in LEB128 of at most nine bytes.
fn push_number(bytes: &mut Vec<u8>, mut number: u64) {
    for _ in 0..8 {
        if number < 0x80 {
            break;
        }
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
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

    fn places(&self) -> impl Iterator<Item = (usize, u64)> {
        self.raw_buckets()
    }
}

/// The numbers of the encoding one by one: the place of a bucket and its count, or the first place of a
/// stretch of empty buckets and zero.
struct RawBuckets<'a> {
    bytes: &'a [u8],
    index: usize,
    broken: bool,
}

impl RawBuckets<'_> {
    /// A number in ``ZigZag``, as LEB128 of at most nine bytes (the ninth has no continuation bit).
    fn number(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for (position, &byte) in self.bytes.iter().take(9).enumerate() {
            if position == 8 {
                value |= u64::from(byte) << 56;
            } else {
                value |= u64::from(byte & 0x7f) << (7 * position);
            }
            if position == 8 || byte & 0x80 == 0 {
                self.bytes = &self.bytes[position + 1..];
                return Some(value);
            }
        }
        None
    }
}

impl Iterator for RawBuckets<'_> {
    type Item = (usize, u64);

    #[inline]
    fn next(&mut self) -> Option<(usize, u64)> {
        /// Buckets of values up to far above an hour, and below those that no 64 bits of nanoseconds hold.
        const MOST: usize = 40 * HALF;
        let (&first, rest) = self.bytes.split_first()?;
        let number = if self.index >= MOST {
            None
        } else if first < 0x80 {
            // Nearly all counts of a second are as small as this.
            self.bytes = rest;
            Some(u64::from(first))
        } else {
            self.number()
        };
        let Some(number) = number else {
            self.broken = true;
            self.bytes = &[];
            return None;
        };
        // A negative number says how many empty buckets follow; zero is one empty bucket.
        let magnitude = number >> 1;
        let is_negative = number & 1;
        let index = self.index;
        let further = usize::try_from(magnitude * is_negative).unwrap_or(MOST);
        self.index = index.saturating_add(further).saturating_add(1);
        Some((index, magnitude * (1 - is_negative)))
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
        /// Decodes the text where it lies: a journal of hours has a hundred thousand of them.
        struct Text;
        impl Visitor<'_> for Text {
            type Value = PackedLatencies;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a histogram in base64")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<PackedLatencies, E> {
                PackedLatencies::decode(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::Deserializer;
    use proptest::prelude::*;

    /// Each latency of a histogram so many times.
    struct Times<'a>(&'a Latencies, u64);

    impl Distribution for Times<'_> {
        fn count(&self) -> u64 {
            self.0.count() * self.1
        }

        fn overflow(&self) -> u64 {
            self.0.overflow() * self.1
        }

        fn places(&self) -> impl Iterator<Item = (usize, u64)> {
            self.0
                .places()
                .map(|(index, count)| (index, count * self.1))
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
        fn the_standard_library_reads_what_is_written_and_counts_the_same(
            values in prop::collection::vec((1u64..3_600_000_000, 1u64..u64::MAX >> 12), 0..100),
        ) {
            let mut reference = Histogram::<u64>::new(3).unwrap();
            let mut latencies = Latencies::default();
            for &(microseconds, count) in &values {
                reference.record_n(microseconds, count).unwrap();
                let mut one = Latencies::default();
                one.record(microseconds * 1000);
                latencies.merge(&Times(&one, count));
            }
            let bytes = latencies.pack().as_bytes().to_vec();
            if !values.is_empty() {
                let read: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
                prop_assert_eq!(&read, &reference);
            }
            let packed = PackedLatencies::from_bytes(bytes, 0);
            prop_assert_eq!(packed.map_or(0, |packed| packed.count()), reference.len());
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
