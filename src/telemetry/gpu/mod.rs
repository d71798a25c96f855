//! GPU series from NVML.
//!
//! Whether this host's GPUs say anything about the target is decided here, and nowhere by guessing:
//! numbers of GPUs that do not serve the target are worse than none.

mod driver;
mod nvml;
mod series;

pub use driver::DriverProbe;
pub use nvml::NvmlProbe;

use super::{absent, unavailable};
use crate::engine::ports::Probe;
use crate::gpu::Nvml;
use crate::record::{SourceInfo, SourceState};
use crate::scenario::{GpuSource, Telemetry};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The name of the source.
const GPU: &str = "gpu";

/// What NVML tells of all GPUs that it can read.
#[derive(Debug)]
pub struct GpuTelemetry {
    nvml: Arc<Nvml>,
    period: Duration,
}

/// GPU telemetry as the scenario wants it.
///
/// # Errors
/// The absent source: switched off, or not available for the reason it states.
pub fn gpu_source(
    telemetry: &Telemetry,
    target_is_local: bool,
) -> Result<GpuTelemetry, SourceInfo> {
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
        Ok(nvml) => Ok(GpuTelemetry::new(nvml, telemetry.gpu_interval)),
        Err(reason) => Err(unavailable(GPU, reason.to_string())),
    }
}

impl GpuTelemetry {
    /// The telemetry of an open NVML, sampled this often.
    pub fn new(nvml: Nvml, period: Duration) -> Self {
        let nvml = Arc::new(nvml);
        Self { nvml, period }
    }

    /// The GPUs that it samples.
    pub fn nvml(&self) -> &Nvml {
        &self.nvml
    }

    /// Its sources: the driver's own samples of utilization, where any GPU has them, and everything else.
    pub fn probes(self) -> Vec<Box<dyn Probe>> {
        let mut probes: Vec<Box<dyn Probe>> = Vec::new();
        if let Some(sampled) = DriverProbe::new(&self.nvml, self.period) {
            probes.push(Box::new(sampled));
        }
        probes.push(Box::new(NvmlProbe::new(self.nvml, self.period)));
        probes
    }
}
