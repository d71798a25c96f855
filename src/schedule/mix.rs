//! Which request comes next: a weighted choice.

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

    /// All that can be chosen.
    pub fn choices(&self) -> impl Iterator<Item = usize> {
        self.cumulative.iter().map(|(request, _)| *request)
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

    #[test]
    fn a_mix_gives_each_request_its_weight() {
        let mix = Mix::new([(0, 3), (2, 0), (5, 1)]).unwrap();
        let picks: Vec<usize> = (0..mix.total()).map(|draw| mix.pick(draw)).collect();
        assert_eq!(picks, [0, 0, 0, 5]);
        assert_eq!(Mix::new([(1, 0)]), None);
    }
}
