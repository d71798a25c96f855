//! Metrics of growth: what must not rise without end while the load goes on.

use crate::units::Dimension;

/// How fast a sampled quantity grows.
#[derive(Debug, PartialEq)]
pub struct GrowthMetric {
    /// The name in gates and reports.
    pub name: &'static str,
    /// The sampled metric whose growth it is.
    pub of: &'static str,
    /// The dimension of a limit.
    pub dimension: Dimension,
    /// The smallest and the largest step in which the quantity is known to change, in its own unit.
    /// Between them, what the series shows counts.
    pub quantum: (f64, f64),
    /// The variance below which differences mean nothing, in its own unit squared.
    pub least_variance: f64,
    /// What it is, in a few words.
    pub describe: &'static str,
}

impl GrowthMetric {
    /// Looks a metric up by its name.
    pub fn find(name: &str) -> Option<&'static Self> {
        GROWTH.iter().find(|metric| metric.name == name)
    }

    /// The whole catalogue.
    pub fn all() -> &'static [Self] {
        GROWTH
    }
}

const MIB: f64 = 1_048_576.0;
/// A twentieth of a square MiB: resident memory moves by more from second to second.
const MEMORY_VARIANCE: f64 = 0.05 * MIB * MIB;

const GROWTH: &[GrowthMetric] = &[
    GrowthMetric {
        name: "gpu.memory.leak",
        of: "gpu.memory.used",
        dimension: Dimension::BytesPerSecond,
        // CUDA allocates in steps of 2 MiB; caching allocators of frameworks in segments of 20 MiB.
        quantum: (2.0 * MIB, 20.0 * MIB),
        least_variance: MEMORY_VARIANCE,
        describe: "lasting growth of GPU memory in use",
    },
    GrowthMetric {
        name: "gpu.process.memory.leak",
        of: "gpu.process.memory",
        dimension: Dimension::BytesPerSecond,
        quantum: (2.0 * MIB, 20.0 * MIB),
        least_variance: MEMORY_VARIANCE,
        describe: "lasting growth of the GPU memory of a process",
    },
    GrowthMetric {
        name: "target.memory.leak",
        of: "target.memory",
        dimension: Dimension::BytesPerSecond,
        quantum: (0.0, 0.0),
        least_variance: MEMORY_VARIANCE,
        describe: "lasting growth of the resident memory of the target's processes",
    },
    GrowthMetric {
        name: "host.memory.leak",
        of: "host.memory",
        dimension: Dimension::BytesPerSecond,
        quantum: (0.0, 0.0),
        least_variance: MEMORY_VARIANCE,
        describe: "lasting growth of the memory in use on the generator's host",
    },
    GrowthMetric {
        name: "target.descriptors.growth",
        of: "target.descriptors",
        dimension: Dimension::PerSecond,
        quantum: (1.0, 1.0),
        least_variance: 1.0 / 12.0,
        describe: "lasting growth of the number of descriptors that the target has open",
    },
    GrowthMetric {
        name: "target.threads.growth",
        of: "target.threads",
        dimension: Dimension::PerSecond,
        quantum: (1.0, 1.0),
        least_variance: 1.0 / 12.0,
        describe: "lasting growth of the number of the target's threads",
    },
];
