//! Where a run took place: what must be known to repeat it or to compare it with another.

use crate::units;
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
    /// What computes the answers, where the target is the built-in reference API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute: Option<ServiceCompute>,
}

/// What computes the answers of a service, as it says itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceCompute {
    /// `cpu` or `cuda`.
    pub kind: String,
    /// The GPU's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_name: Option<String>,
    /// The GPU's unique id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_uuid: Option<String>,
    /// The unique ids of further GPUs that have the same model and share the work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_gpus: Vec<String>,
    /// What the model's numbers are on a GPU: `f16` or `bf16`; empty on the CPU, and in older records.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub precision: String,
    /// Units of a hidden layer, where the model was widened for a GPU.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub width: u64,
    /// Hidden layers beyond the model's own two.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub layers: u64,
    /// Weights and biases that are kept.
    pub parameters: u64,
    /// Multiplications and additions for one answer.
    pub operations_per_item: u64,
    /// Why it is the CPU although a GPU would have been taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// Whether the GPU is made up, as in tests.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
    /// What these very GPUs were measured to be able to do, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<Ceiling>,
}

impl ServiceCompute {
    /// The unique ids of all GPUs that compute; none for the CPU.
    pub fn gpus(&self) -> impl Iterator<Item = &str> {
        let first = self.gpu_uuid.iter();
        first.chain(&self.other_gpus).map(String::as_str)
    }

    /// What computes, in a line.
    pub fn describe(&self) -> String {
        let Some(gpu) = &self.gpu_name else {
            return match &self.fallback {
                Some(reason) => format!("computes on the CPU: {reason}"),
                None => "computes on the CPU".to_owned(),
            };
        };
        let gpus = match self.gpus().count() {
            0 | 1 => gpu.clone(),
            count => format!("{count} GPUs, the first {gpu}"),
        };
        let precision = match self.precision.as_str() {
            "" => String::new(),
            precision => format!(" in {precision}"),
        };
        format!(
            "computes on {gpus}{precision}: {} wide, {} further layers, {} billion operations for each answer",
            units::count(self.width),
            units::count(self.layers),
            units::number(self.operations_per_item as f64 / 1e9)
        )
    }
}

/// A rate that `bench gpu` measured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ceiling {
    /// The test.
    pub test: String,
    /// Operations per second: the median; of several GPUs the sum.
    pub operations_per_second: u64,
    /// The record of the suite.
    pub record: String,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(value: &u64) -> bool {
    *value == 0
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
