//! The buckets of `HdrHistogram` for three significant digits, counted from zero.
//!
//! 2048 buckets of one microsecond each, then halves of 1024, each half with buckets twice as wide as
//! those of the one before.

/// The number of buckets of one width, from the second width on.
pub(super) const HALF: usize = 1 << HALF_BITS;
const HALF_BITS: u32 = 10;

/// The bucket of a value in microseconds.
#[inline]
pub(super) fn index_of(microseconds: u64) -> usize {
    let bits = u64::BITS - microseconds.leading_zeros();
    let shift = bits.saturating_sub(HALF_BITS + 1);
    let within = microseconds >> shift;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "at most eleven bits are left of the value"
    )]
    let within = within as usize;
    ((shift as usize) << HALF_BITS) + within
}

/// The highest value of a bucket in microseconds.
#[inline]
pub(super) fn highest_of(index: usize) -> u64 {
    let shift = (index >> HALF_BITS).saturating_sub(1);
    let lowest = ((index - (shift << HALF_BITS)) as u64) << shift;
    lowest + (1 << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::Histogram;

    #[test]
    fn the_buckets_are_those_of_hdr_histogram() {
        let reference = Histogram::<u64>::new_with_max(3_600_000_000, 3).unwrap();
        let exact = 0..12_000;
        let far = [99_999, 100_000, 1_234_567, 987_654_321, 3_600_000_000];
        for value in exact.chain(far) {
            let index = index_of(value);
            assert_eq!(
                highest_of(index),
                reference.highest_equivalent(value),
                "{value}"
            );
            assert_eq!(
                index_of(reference.lowest_equivalent(value)),
                index,
                "{value}"
            );
            assert_eq!(index_of(highest_of(index) + 1), index + 1, "{value}");
        }
    }
}
