//! A phase as counts of even stretches, in bounded memory however long it goes on.

use super::correlation::Second;

/// More cells than this are put together two by two. Every batch of a design effect still has dozens.
const MOST: usize = 2048;

/// Counts of stretches of so many seconds each; of one second in the first half hour.
#[derive(Clone, Debug)]
pub struct Cells {
    counts: Vec<Second>,
    /// Seconds in a cell.
    width: usize,
    /// Seconds in the last cell.
    filled: usize,
}

impl Default for Cells {
    fn default() -> Self {
        Self {
            counts: Vec::new(),
            width: 1,
            filled: 1,
        }
    }
}

impl Cells {
    /// Adds the next second.
    pub fn push(&mut self, second: Second) {
        match self.counts.last_mut() {
            Some(last) if self.filled < self.width => {
                *last = sum(*last, second);
                self.filled += 1;
            }
            _ => {
                if self.counts.len() == MOST {
                    let pairs = self.counts.chunks(2);
                    self.counts = pairs
                        .filter_map(|pair| pair.iter().copied().reduce(sum))
                        .collect();
                    self.width *= 2;
                }
                self.counts.push(second);
                self.filled = 1;
            }
        }
    }

    /// The cells in their order.
    pub fn as_slice(&self) -> &[Second] {
        &self.counts
    }
}

fn sum(a: Second, b: Second) -> Second {
    Second {
        requests: a.requests + b.requests,
        over: a.over + b.over,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{Memory, design_effect};

    fn second(at: u64) -> Second {
        Second {
            requests: 100,
            // Waves of ten minutes.
            over: 2 + 3 * u64::from((at / 600).is_multiple_of(2)) + at % 3,
        }
    }

    #[test]
    fn a_night_takes_no_more_room_than_an_hour_and_says_the_same() {
        let mut cells = Cells::default();
        let mut all = Vec::new();
        for at in 0..8 * 3600 {
            cells.push(second(at));
            all.push(second(at));
        }
        assert!(cells.as_slice().len() <= MOST);
        assert_eq!(cells.width, 16);
        let total = |cells: &[Second]| {
            cells
                .iter()
                .map(|cell| (cell.requests, cell.over))
                .fold((0, 0), |(requests, over), cell| {
                    (requests + cell.0, over + cell.1)
                })
        };
        assert_eq!(total(cells.as_slice()), total(&all));
        let effect = |cells: &[Second]| design_effect(&[cells.to_vec()], 30, Memory::None);
        let (coarse, fine) = (effect(cells.as_slice()), effect(&all));
        assert!((coarse / fine - 1.0).abs() < 0.05, "{coarse} {fine}");
    }

    #[test]
    fn half_an_hour_is_kept_second_by_second() {
        let mut cells = Cells::default();
        let all: Vec<Second> = (0..MOST as u64).map(second).collect();
        all.iter().for_each(|second| cells.push(*second));
        assert_eq!(cells.as_slice(), all);
    }
}
