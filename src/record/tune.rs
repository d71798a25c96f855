//! What `bench gpu --tune` leaves: throughput and latency of a model's layers by batch size and precision.

use crate::stats::search;
use serde::{Deserialize, Serialize};

/// One way to compute, at growing batch sizes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TuneSeries {
    /// The operands: `tf32`, `f16`, `bf16`, `fp8` or `int8`.
    pub precision: String,
    /// Whose kernels: `cuBLASLt` or `bench`.
    pub kernels: String,
    /// Why there is nothing.
    pub skipped: Option<String>,
    /// What went wrong: a wrong product, or an error of the driver.
    #[serde(default)]
    pub failed: Option<String>,
    /// From the smallest batch to the largest.
    pub points: Vec<TunePoint>,
}

/// One batch size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TunePoint {
    /// Rows that are computed together.
    pub batch: usize,
    /// Median time of a batch on the GPU, in microseconds.
    pub latency_us: f64,
    /// Lower bound of it.
    pub lower_us: Option<f64>,
    /// Upper bound of it.
    pub upper_us: Option<f64>,
    /// How many samples.
    pub samples: usize,
    /// Rows in a second.
    pub rows_per_second: f64,
    /// Operations in a second, in 10¹².
    pub tera_operations: f64,
}

impl TunePoint {
    /// Bounds of the rows in a second, where there are bounds of the time.
    pub fn bounds(&self) -> Option<(f64, f64)> {
        let rate = |time_us: f64| self.batch as f64 / time_us * 1e6;
        Some((rate(self.upper_us?), rate(self.lower_us?)))
    }
}

/// A batch is large enough when it has this share of the most throughput.
const ENOUGH: f64 = 0.9;

impl TuneSeries {
    /// The batch with the most throughput for its latency.
    pub fn knee(&self) -> Option<TunePoint> {
        let points: Vec<(f64, f64)> = self
            .points
            .iter()
            .map(|point| (point.rows_per_second, point.latency_us))
            .collect();
        search::knee(&points).map(|place| self.points[place])
    }

    /// The smallest batch with nine tenths of the most throughput: larger ones buy little but latency.
    pub fn enough(&self) -> Option<TunePoint> {
        let most = self
            .points
            .iter()
            .map(|point| point.rows_per_second)
            .reduce(f64::max)?;
        let mut points = self.points.iter();
        points
            .find(|point| point.rows_per_second >= ENOUGH * most)
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_knee_and_the_smallest_batch_that_is_enough() {
        // A fixed time for each batch until the GPU is full, and one that grows with it beyond.
        let point = |batch: u32| {
            let latency_us = f64::from(batch).max(64.0) * 10.0;
            TunePoint {
                batch: batch as usize,
                latency_us,
                lower_us: None,
                upper_us: None,
                samples: 5,
                rows_per_second: f64::from(batch) / latency_us * 1e6,
                tera_operations: 0.0,
            }
        };
        let mut series = TuneSeries {
            precision: "bf16".to_owned(),
            kernels: "bench".to_owned(),
            skipped: None,
            failed: None,
            points: (0..10).map(|power| point(1 << power)).collect(),
        };
        assert_eq!(series.knee().map(|point| point.batch), Some(64));
        assert_eq!(series.enough().map(|point| point.batch), Some(64));
        series.points.clear();
        assert_eq!((series.knee(), series.enough()), (None, None));
    }
}
