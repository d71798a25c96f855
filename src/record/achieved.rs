//! What the GPU of the reference API achieved in a phase, beside what it was measured to be able to do.

use super::{PhaseRecord, RunRecord};
use crate::units;
use std::fmt;

/// The series of the rate at which the model's operations are computed, in 10¹² a second.
pub const OPERATIONS_SERIES: &str = "reference.tflops";
/// The series of the share of time in which the backend's processor was busy, by its own clock.
pub const BUSY_SERIES: &str = "reference.busy";

/// Work of a phase's measured window.
#[derive(Clone, Debug, PartialEq)]
pub struct Achieved {
    /// Operations of the model per second, on average.
    pub operations_per_second: f64,
    /// The share of time in which the GPU was busy with it.
    pub busy: Option<f64>,
    /// The rate as a share of what the same GPU was measured to be able to do.
    pub of_ceiling: Option<f64>,
    /// The test that measured it, and its record.
    pub ceiling: Option<(String, String)>,
    /// How many GPUs computed.
    pub gpus: usize,
}

const TERA: f64 = 1e12;

impl Achieved {
    /// The work of a phase; `None` where no GPU computed, or its books were not read.
    pub fn of(record: &RunRecord, phase: &PhaseRecord) -> Option<Self> {
        let compute = record.header.environment.compute.as_ref()?;
        compute.gpu_uuid.as_ref()?;
        let mean = |metric: &str| {
            let series = record.series(metric).next()?;
            let window = series.window(phase.measured_from_ns, phase.measured_to_ns)?;
            Some(window.mean)
        };
        let operations_per_second = mean(OPERATIONS_SERIES)? * TERA;
        let ceiling = compute.ceiling.as_ref();
        Some(Self {
            operations_per_second,
            busy: mean(BUSY_SERIES),
            of_ceiling: ceiling
                .filter(|ceiling| ceiling.operations_per_second > 0)
                .map(|ceiling| operations_per_second / ceiling.operations_per_second as f64),
            ceiling: ceiling.map(|ceiling| (ceiling.test.clone(), ceiling.record.clone())),
            gpus: compute.gpus().count(),
        })
    }
}

impl fmt::Display for Achieved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = units::number(self.operations_per_second / TERA);
        write!(f, "{rate} TFLOP/s")?;
        let whose = match self.gpus {
            0 | 1 => "this GPU's".to_owned(),
            count => format!("the {count} GPUs'"),
        };
        match (self.of_ceiling, &self.ceiling) {
            (Some(share), Some((test, record))) => write!(
                f,
                ", {} of {whose} own rate of dense products (`{test}` of {record})",
                units::percent(share)
            )?,
            _ => f.write_str("; what this GPU can do is not known here: run `bench gpu`")?,
        }
        match self.busy {
            Some(busy) => write!(f, ", busy {}", units::percent(busy)),
            None => Ok(()),
        }
    }
}
