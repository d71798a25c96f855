//! GPU series from NVML.
//!
//! Whether this host's GPUs say anything about the target is decided here, and nowhere by guessing:
//! numbers of GPUs that do not serve the target are worse than none.

use super::{absent, unavailable};
use crate::engine::ports::Probe;
use crate::gpu::{Nvml, Reading};
use crate::record::{SeriesInfo, SourceInfo, SourceState};
use crate::scenario::{GpuSource, Telemetry};
use std::path::Path;
use std::time::Duration;

/// The name of the source.
const GPU: &str = "gpu";

/// Samples all GPUs that NVML can read.
#[derive(Debug)]
pub struct NvmlProbe {
    nvml: Nvml,
    period: Duration,
}

/// GPU telemetry as the scenario wants it.
///
/// # Errors
/// The absent source: switched off, or not available for the reason it states.
pub fn gpu_source(telemetry: &Telemetry, target_is_local: bool) -> Result<NvmlProbe, SourceInfo> {
    let library = match &telemetry.gpu {
        GpuSource::None => return Err(absent(GPU, SourceState::Off)),
        GpuSource::Auto if !target_is_local => {
            return Err(unavailable(
                GPU,
                "the target is on another host, and this host's GPUs are not behind it; run `bench` \
                 there, or set gpu = \"nvml\" in [telemetry] to sample this host's GPUs all the same",
            ));
        }
        GpuSource::Auto | GpuSource::Nvml(None) => None,
        GpuSource::Nvml(Some(path)) => Some(Path::new(path)),
    };
    match Nvml::open(library) {
        Ok(nvml) => Ok(NvmlProbe::new(nvml, telemetry.gpu_interval)),
        Err(reason) => Err(unavailable(GPU, reason.to_string())),
    }
}

/// A series of a GPU: its metric, and where its value stands in a reading.
type Series = (&'static str, fn(&Reading) -> Option<f64>);

const SERIES: [Series; 10] = [
    ("gpu.utilization", |gpu| gpu.utilization),
    ("gpu.memory.activity", |gpu| gpu.memory_activity),
    ("gpu.memory", Reading::memory_ratio),
    ("gpu.memory.used", |gpu| {
        gpu.memory_used_bytes.map(|bytes| bytes as f64)
    }),
    ("gpu.power", |gpu| gpu.power_watts),
    ("gpu.temperature", |gpu| gpu.temperature_celsius),
    ("gpu.clock.sm", |gpu| gpu.sm_clock_mhz),
    ("gpu.clock.memory", |gpu| gpu.memory_clock_mhz),
    ("gpu.throttled", |gpu| {
        gpu.throttle
            .map(|throttle| f64::from(u8::from(throttle.is_throttled())))
    }),
    ("gpu.throttle.reasons", |gpu| {
        gpu.throttle.map(|throttle| throttle.reasons as f64)
    }),
];

impl NvmlProbe {
    /// Samples the GPUs of an open NVML.
    pub fn new(nvml: Nvml, period: Duration) -> Self {
        Self { nvml, period }
    }

    /// The GPUs that it samples.
    pub fn nvml(&self) -> &Nvml {
        &self.nvml
    }
}

impl Probe for NvmlProbe {
    fn info(&self) -> SourceInfo {
        let gpus = self.nvml.gpus().iter();
        SourceInfo {
            name: GPU.to_owned(),
            state: SourceState::Present,
            period_ns: u64::try_from(self.period.as_nanos()).unwrap_or(u64::MAX),
            series: gpus
                .flat_map(|gpu| {
                    SERIES.map(|(metric, _)| SeriesInfo::new(metric, gpu.index.to_string()))
                })
                .collect(),
            simulated: self.nvml.simulated(),
        }
    }

    /// One GPU that is lost makes the whole sample an error: a service behind several GPUs is not
    /// measured by those that are left.
    fn sample(&mut self, values: &mut Vec<Option<f64>>) -> Result<(), String> {
        for place in 0..self.nvml.gpus().len() {
            let reading = self.nvml.read(place).map_err(|reason| reason.to_string())?;
            values.extend(SERIES.map(|(_, value)| value(&reading)));
        }
        Ok(())
    }
}
