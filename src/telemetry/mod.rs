//! Time series beside the load: GPUs, this host, the target's processes, this program itself; and what
//! there is to know about this machine before any load.
//!
//! Each source is a [`Probe`], or a [`SourceInfo`] that says why there is none. A machine that looks
//! unusual costs a value or a source, with a reason, and never the run.

mod address;
mod agent;
mod dcgm;
mod gpu;
mod scrape;
#[cfg(test)]
mod scripted;

// All that depends on the operating system stands behind one door: `linux` reads /proc and /sys,
// `elsewhere` has the same names and says that there is nothing. Tests compile both.
#[cfg(any(test, not(target_os = "linux")))]
#[cfg_attr(
    target_os = "linux",
    expect(unreachable_pub, reason = "on Linux only its tests look at it")
)]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;

#[cfg(not(target_os = "linux"))]
use elsewhere as system;
#[cfg(target_os = "linux")]
use linux as system;

pub use address::is_local;
pub use agent::{Agent, AgentHost, agent_router};
pub use dcgm::{DcgmProbe, dcgm_source};
pub use gpu::{DriverProbe, GpuTelemetry, NvmlProbe, gpu_source};
pub use scrape::{MetricProbe, metric_source};
pub use system::{
    GeneratorProbe, HostProbe, ProcessProbe, clock_source, descriptors, environment,
    ephemeral_ports, free_disk_bytes, generator_source, host_source, listeners, memory_limit_bytes,
    raise_descriptors, target_source,
};

use crate::engine::ports::Probe;
use crate::record::{SourceInfo, SourceState};

/// The telemetry of a run: the sources that are there, and those that are not.
#[derive(Default)]
pub struct Sources {
    /// What is to be sampled.
    pub present: Vec<Box<dyn Probe>>,
    /// What is not there, and why.
    pub absent: Vec<SourceInfo>,
}

impl Sources {
    /// Adds a source to those that are there or to those that are not.
    pub fn add<P: Probe + 'static>(&mut self, source: Result<P, SourceInfo>) {
        match source {
            Ok(probe) => self.present.push(Box::new(probe)),
            Err(info) => self.absent.push(info),
        }
    }

    /// Adds the GPUs of this host to those that are there or to those that are not.
    pub fn add_gpus(&mut self, gpus: Result<GpuTelemetry, SourceInfo>) {
        match gpus {
            Ok(gpus) => self.present.extend(gpus.probes()),
            Err(info) => self.absent.push(info),
        }
    }
}

/// The file descriptors of this process: each connection takes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// How many it may have open now.
    pub soft: u64,
    /// How many it may ask for.
    pub hard: u64,
    /// How many are open.
    pub open: u64,
}

/// Why the processes of a target are not seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen {
    /// In words.
    pub reason: String,
    /// Whether the target runs on another host, even where its address is local: at the end of a
    /// tunnel.
    pub elsewhere: bool,
}

impl Unseen {
    fn here(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            elsewhere: false,
        }
    }
}

/// A source that is not there.
fn absent(name: &str, state: SourceState) -> SourceInfo {
    SourceInfo {
        name: name.to_owned(),
        state,
        period_ns: 0,
        series: Vec::new(),
        simulated: false,
    }
}

fn unavailable(name: &str, reason: impl Into<String>) -> SourceInfo {
    absent(name, SourceState::Unavailable(reason.into()))
}
