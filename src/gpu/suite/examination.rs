//! Health of a GPU before and after its tests.

use crate::gpu::{HealthReading, Nvml};
use crate::record::{Health, PcieLink};
use tokio::time::Instant;

/// The counters before, and when they were read.
pub(super) struct Examination<'a> {
    nvml: &'a Nvml,
    place: usize,
    began: Instant,
    before: HealthReading,
}

impl<'a> Examination<'a> {
    /// Reads the counters for the first time.
    pub(super) fn begin(nvml: &'a Nvml, place: usize) -> Self {
        Self {
            nvml,
            place,
            began: Instant::now(),
            before: read(nvml, place),
        }
    }

    /// Reads them again.
    pub(super) fn end(self, link: Option<PcieLink>) -> Health {
        let after = read(self.nvml, self.place);
        let mut missing = self.before.missing;
        for reason in after.missing {
            if !missing.contains(&reason) {
                missing.push(reason);
            }
        }
        Health {
            before: self.before.counters,
            after: after.counters,
            seconds: self.began.elapsed().as_secs_f64(),
            link,
            missing,
        }
    }
}

fn read(nvml: &Nvml, place: usize) -> HealthReading {
    nvml.health(place).unwrap_or_else(|reason| HealthReading {
        missing: vec![reason.to_string()],
        ..HealthReading::default()
    })
}
