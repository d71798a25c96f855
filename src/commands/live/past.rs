//! How a value went since the start of a phase, in a bounded number of points.

/// How many points are kept at most: more than any terminal has columns.
const MOST: usize = 512;

/// How two neighbouring points become one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Join {
    /// Their mean, for rates.
    Mean,
    /// The larger, for latencies: a peak must not fade.
    Maximum,
}

/// A value second by second; two seconds a point once there are too many, then four, and so on.
#[derive(Debug)]
pub(super) struct Past {
    points: Vec<f64>,
    join: Join,
    seconds_each: u32,
    open: Option<(f64, u32)>,
}

impl Past {
    pub(super) fn new(join: Join) -> Self {
        Self {
            points: Vec::new(),
            join,
            seconds_each: 1,
            open: None,
        }
    }

    /// Adds the value of the next second.
    pub(super) fn push(&mut self, value: f64) {
        let (sum, seconds) = match self.open.take() {
            None => (value, 1),
            Some((open, seconds)) => (
                match self.join {
                    Join::Mean => open + value,
                    Join::Maximum => open.max(value),
                },
                seconds + 1,
            ),
        };
        if seconds < self.seconds_each {
            self.open = Some((sum, seconds));
            return;
        }
        self.points.push(match self.join {
            Join::Mean => sum / f64::from(seconds),
            Join::Maximum => sum,
        });
        if self.points.len() == MOST {
            self.points = self
                .points
                .chunks(2)
                .map(|pair| self.joined(pair))
                .collect();
            self.seconds_each *= 2;
        }
    }

    fn joined(&self, values: &[f64]) -> f64 {
        match self.join {
            Join::Mean => values.iter().sum::<f64>() / values.len() as f64,
            Join::Maximum => values.iter().copied().fold(0.0, f64::max),
        }
    }

    /// All of it in at most so many columns.
    pub(super) fn columns(&self, columns: usize) -> Vec<f64> {
        if columns == 0 {
            return Vec::new();
        }
        let each = self.points.len().div_ceil(columns).max(1);
        self.points
            .chunks(each)
            .map(|part| self.joined(part))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_kept_in_few_points_and_its_peak_with_it() {
        let (mut rate, mut latency) = (Past::new(Join::Mean), Past::new(Join::Maximum));
        for second in 0..3600 {
            rate.push(f64::from(second % 2) * 10.0);
            latency.push(if second == 1777 { 9.0 } else { 1.0 });
        }
        assert!(rate.points.len() < MOST && rate.points.len() > MOST / 4);
        assert!(rate.points.iter().all(|&point| point == 5.0));
        let columns = latency.columns(60);
        assert!(columns.len() <= 60);
        assert_eq!(columns.iter().filter(|&&point| point == 9.0).count(), 1);
        // Where it is: 1777 of 3600 seconds, the last open point aside.
        let at = columns.iter().position(|&point| point == 9.0).unwrap();
        let share = at as f64 / columns.len() as f64;
        assert!((share - 1777.0 / 3600.0).abs() < 0.04, "{share}");
    }
}
