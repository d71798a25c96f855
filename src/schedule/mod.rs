//! Load shapes and stop rules as values: numbers in, numbers out.
//!
//! One worker loop of the engine runs them all; nothing here knows time or sockets.

use std::time::Duration;

/// What drives a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Closed loop: so many requests are kept in flight; the next one of a slot is intended to start
    /// when the one before is over.
    Concurrency(u32),
}

impl Load {
    /// The largest number of requests that can be in flight.
    pub fn slots(self) -> u32 {
        match self {
            Self::Concurrency(concurrency) => concurrency,
        }
    }
}

/// When the measured part of a phase ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// So long after the warm-up.
    After(Duration),
    /// After so many requests that were intended to start after the warm-up.
    Count(u64),
}

/// The part of `total` that falls to one of `parts`, so that all parts add up to the total and
/// differ by one at most.
pub fn part_of(total: u64, parts: u64, part: u64) -> u64 {
    total / parts + u64::from(part < total % parts)
}

/// A weighted choice between requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix {
    /// (request, sum of the weights up to and with it).
    cumulative: Vec<(usize, u64)>,
}

impl Mix {
    /// A choice between these requests with these weights; `None` if there is nothing to choose.
    pub fn new(weighted: impl IntoIterator<Item = (usize, u32)>) -> Option<Self> {
        let mut sum = 0;
        let cumulative: Vec<(usize, u64)> = weighted
            .into_iter()
            .filter(|(_, weight)| *weight > 0)
            .map(|(request, weight)| {
                sum += u64::from(weight);
                (request, sum)
            })
            .collect();
        (!cumulative.is_empty()).then_some(Self { cumulative })
    }

    /// The sum of all weights.
    pub fn total(&self) -> u64 {
        self.cumulative.last().map_or(0, |(_, sum)| *sum)
    }

    /// The request for a draw from `0..total()`.
    pub fn pick(&self, draw: u64) -> usize {
        let position = self.cumulative.partition_point(|(_, sum)| *sum <= draw);
        self.cumulative[position.min(self.cumulative.len() - 1)].0
    }

    /// The requests that can be picked.
    pub fn requests(&self) -> impl Iterator<Item = usize> + '_ {
        self.cumulative.iter().map(|(request, _)| *request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_mix_gives_each_request_its_weight() {
        let mix = Mix::new([(0, 3), (2, 0), (5, 1)]).unwrap();
        let picks: Vec<usize> = (0..mix.total()).map(|draw| mix.pick(draw)).collect();
        assert_eq!(picks, [0, 0, 0, 5]);
        assert_eq!(Mix::new([(1, 0)]), None);
    }

    proptest! {
        #[test]
        fn parts_add_up(total in 0u64..10_000, parts in 1u64..64) {
            let shares: Vec<u64> = (0..parts).map(|part| part_of(total, parts, part)).collect();
            prop_assert_eq!(shares.iter().sum::<u64>(), total);
            let (min, max) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
            prop_assert!(max - min <= 1);
        }
    }
}
