//! Where a run took place: what must be known to repeat it or to compare it with another.

use serde::{Deserialize, Serialize};

/// The machine and the program that generated the load, and the GPUs it saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Version of this program.
    pub bench_version: String,
    /// Host name.
    pub host: String,
    /// Operating system and kernel release.
    pub kernel: String,
    /// CPU model.
    pub cpu: String,
    /// CPUs that this process may use.
    pub cpus: usize,
    /// CPU quota of the control group in CPUs, if one is set, as text: it may be fractional.
    pub cpu_quota: Option<String>,
    /// Memory of the machine in bytes.
    pub memory_bytes: u64,
    /// The kernel's clock source.
    pub clock_source: Option<String>,
    /// Commit of the git repository that holds the scenario, with `-dirty` where it has changes.
    pub git_commit: Option<String>,
    /// Branch of that repository.
    pub git_branch: Option<String>,
    /// NVIDIA driver version, where one is loaded.
    pub gpu_driver: Option<String>,
    /// The GPUs of this host, in NVML's order.
    pub gpus: Vec<Gpu>,
}

/// One GPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpu {
    /// Index in NVML's order.
    pub index: u32,
    /// Unique id.
    pub uuid: String,
    /// Model name.
    pub name: String,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Address on the PCI bus.
    pub pci_bus_id: String,
}
