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
        // With exporters it is their GPUs that are meant.
        GpuSource::None | GpuSource::Dcgm(_) => return Err(absent(GPU, SourceState::Off)),
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

/// A series of a GPU.
struct GpuSeries {
    metric: &'static str,
    /// What NVML's answer is called where a GPU lacks it.
    answer: &'static str,
    /// Where its value stands in a reading.
    value: fn(&Reading) -> Option<f64>,
}

const fn series(
    metric: &'static str,
    answer: &'static str,
    value: fn(&Reading) -> Option<f64>,
) -> GpuSeries {
    GpuSeries {
        metric,
        answer,
        value,
    }
}

/// Activity inside of the GPU, which NVML's plain functions do not tell.
const ACTIVITY: &str = "activity";
/// Why a GPU lacks it.
const NO_ACTIVITY: &str = "it is not read from NVML in this version; take it from dcgm-exporter: gpu = { dcgm = [\"http://…:9400/metrics\"] }";

const SERIES: [GpuSeries; 14] = [
    series("gpu.utilization", "utilization", |gpu| gpu.utilization),
    series("gpu.sm_active", ACTIVITY, |_| None),
    series("gpu.tensor_active", ACTIVITY, |_| None),
    series("gpu.dram_active", ACTIVITY, |_| None),
    series("gpu.engine_active", ACTIVITY, |_| None),
    series("gpu.memory.activity", "utilization", |gpu| {
        gpu.memory_activity
    }),
    series("gpu.memory", "memory", Reading::memory_ratio),
    series("gpu.memory.used", "memory", |gpu| {
        gpu.memory_used_bytes.map(|bytes| bytes as f64)
    }),
    series("gpu.power", "power", |gpu| gpu.power_watts),
    series("gpu.temperature", "temperature", |gpu| {
        gpu.temperature_celsius
    }),
    series("gpu.clock.sm", "SM clock", |gpu| gpu.sm_clock_mhz),
    series("gpu.clock.memory", "memory clock", |gpu| {
        gpu.memory_clock_mhz
    }),
    series("gpu.throttled", "throttle reasons", |gpu| {
        gpu.throttle
            .map(|throttle| f64::from(u8::from(throttle.is_throttled())))
    }),
    series("gpu.throttle.reasons", "throttle reasons", |gpu| {
        gpu.throttle.map(|throttle| throttle.reasons as f64)
    }),
];

impl NvmlProbe {
    /// Samples the GPUs of an open NVML.
    pub fn new(nvml: Nvml, period: Duration) -> Self {
        Self { nvml, period }
    }

    /// A series of one GPU, with the reason where it is known to lack it.
    fn describe(&self, series: &GpuSeries, gpu: u32) -> SeriesInfo {
        let info = SeriesInfo::new(series.metric, gpu.to_string());
        if series.answer == ACTIVITY {
            return info.lacking(format!(
                "GPU {gpu} does not report its activity: {NO_ACTIVITY}"
            ));
        }
        let mut lacks = self.nvml.lacks().iter();
        match lacks.find(|lack| lack.gpu == gpu && lack.what == series.answer) {
            Some(lack) => info.lacking(lack.to_string()),
            None => info,
        }
    }

    /// The GPUs that it samples.
    pub fn nvml(&self) -> &Nvml {
        &self.nvml
    }
}

impl Probe for NvmlProbe {
    fn info(&self) -> SourceInfo {
        SourceInfo {
            name: GPU.to_owned(),
            state: SourceState::Present,
            period_ns: u64::try_from(self.period.as_nanos()).unwrap_or(u64::MAX),
            series: self
                .nvml
                .gpus()
                .iter()
                .flat_map(|gpu| SERIES.iter().map(|series| self.describe(series, gpu.index)))
                .collect(),
            simulated: self.nvml.simulated(),
        }
    }

    /// One GPU that is lost makes the whole sample an error: a service behind several GPUs is not
    /// measured by those that are left.
    fn sample(&mut self, values: &mut Vec<Option<f64>>) -> Result<(), String> {
        for place in 0..self.nvml.gpus().len() {
            let reading = self.nvml.read(place).map_err(|reason| reason.to_string())?;
            values.extend(SERIES.iter().map(|series| (series.value)(&reading)));
        }
        Ok(())
    }
}
