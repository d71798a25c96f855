//! What `bench gpu` leaves: what each GPU of this host can do, test by test.

use super::floor::Floor;
use super::health::{Health, Xid};
use super::tune::TuneSeries;
use serde::{Deserialize, Serialize};

/// Version of the format of [`SuiteRecord`].
pub const SUITE_SCHEMA: u32 = 2;

/// A run of the GPU suite.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SuiteRecord {
    /// [`SUITE_SCHEMA`].
    pub schema: u32,
    /// Name of the run's folder.
    pub id: String,
    /// When it began, UTC.
    pub started_at: String,
    /// How long it took, in seconds.
    #[serde(default)]
    pub took_s: f64,
    /// The host.
    #[serde(default)]
    pub host: String,
    /// Version of this program.
    pub bench_version: String,
    /// Version of the NVIDIA driver, where NVML tells it.
    pub driver: Option<String>,
    /// CUDA version that the driver knows.
    pub cuda: Option<String>,
    /// Why nothing could be measured at all.
    pub unavailable: Option<String>,
    /// Why there are no temperatures, watts and health counters, where there are none.
    pub no_telemetry: Option<String>,
    /// Whether it was a short run, which is less certain.
    pub quick: bool,
    /// Seed of all data.
    pub seed: u32,
    /// Whether the GPUs were made up, as in tests.
    pub simulated: bool,
    /// Which kernels measured: a number over all of their PTX, in hexadecimal digits.
    #[serde(default)]
    pub kernels: String,
    /// The driver's messages about faults while the suite ran; `None` where nobody could watch.
    #[serde(default)]
    pub xids: Option<Vec<Xid>>,
    /// What it is judged by, beside what is always wrong.
    #[serde(default)]
    pub criteria: SuiteCriteria,
    /// Each GPU by itself.
    pub gpus: Vec<SuiteGpu>,
    /// Each GPU while all of them worked at once; empty where there is one only.
    pub together: Vec<SuiteGpu>,
    /// Every pair of GPUs, in both orders.
    #[serde(default)]
    pub pairs: Vec<PeerPair>,
    /// The cuBLASLt that was used, or why there was none.
    #[serde(default)]
    pub cublaslt: String,
}

/// What a suite is judged by, beside what is always wrong: kept with it, so that it is judged the same
/// whenever it is judged again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SuiteCriteria {
    /// By which share a GPU may be slower than its siblings or its baseline. Tests that depend on the
    /// link or the host are allowed a multiple of it.
    pub tolerance: f64,
    /// What tests must reach.
    pub floors: Vec<Floor>,
    /// An earlier record of the same GPUs, without a baseline of its own.
    pub baseline: Option<Box<SuiteRecord>>,
}

impl Default for SuiteCriteria {
    fn default() -> Self {
        Self {
            tolerance: 0.05,
            floors: Vec::new(),
            baseline: None,
        }
    }
}

/// What was measured on one GPU.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SuiteGpu {
    /// Its place in CUDA's order.
    pub ordinal: u32,
    /// Model name.
    pub name: String,
    /// Unique id.
    pub uuid: String,
    /// Address on the PCI bus.
    pub pci_bus_id: String,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Compute capability, for example `9.0`.
    pub capability: String,
    /// How many multiprocessors.
    pub multiprocessors: u32,
    /// The limit of its power in watts, where NVML tells it.
    #[serde(default)]
    pub power_limit_watts: Option<f64>,
    /// Version of its firmware, where NVML tells it.
    #[serde(default)]
    pub vbios: Option<String>,
    /// What its counters said before and after; `None` where NVML does not know the GPU.
    #[serde(default)]
    pub health: Option<Health>,
    /// Why the GPU could not be used, or was lost.
    pub failure: Option<String>,
    /// Test by test.
    pub results: Vec<TestResult>,
    /// Batch sizes and precisions, where they were swept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tune: Vec<TuneSeries>,
}

/// How a test ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestResult {
    /// Name of the test, for example `memory.copy`.
    pub test: String,
    /// What came of it.
    pub outcome: TestOutcome,
}

/// What came of a test.
#[expect(clippy::large_enum_variant, reason = "nearly all are measurements")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestOutcome {
    /// It was measured.
    Measured(Measured),
    /// It does not apply here, for this reason.
    Skipped(String),
    /// The GPU computed something wrong.
    Wrong(String),
    /// The driver reported an error.
    Failed(String),
}

/// A measurement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Unit of all values: `GB/s` (10⁹ bytes), `TFLOP/s`, `TOP/s`, `µs`, `×`.
    pub unit: String,
    /// Whether less is better, as for times.
    pub less_is_better: bool,
    /// Median of the samples.
    pub median: f64,
    /// First quartile.
    pub q1: f64,
    /// Third quartile.
    pub q3: f64,
    /// Lower bound of the median: the lower one of its one-sided 95 % bound by order statistics and the
    /// first quartile, since samples that follow one another are not independent. `None` for fewer than
    /// five samples.
    #[serde(default)]
    pub lower: Option<f64>,
    /// Upper bound of the median, in the same way.
    #[serde(default)]
    pub upper: Option<f64>,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// How many samples.
    pub samples: usize,
    /// Why no more were taken.
    pub stopped: Stopped,
    /// How the results were checked; `None` where there is nothing to check.
    pub verified: Option<String>,
    /// Median clock of the multiprocessors while it ran, measured on the GPU, in MHz.
    pub sm_clock_mhz: Option<f64>,
    /// Median power while it ran, in watts.
    pub power_watts: Option<f64>,
    /// Highest temperature while it ran, in degrees Celsius.
    pub temperature_celsius: Option<f64>,
    /// How many of the samples found the clocks held back by heat or hardware. They count all the
    /// same: a GPU that throttles is as slow as it is.
    pub throttled_samples: usize,
    /// How many found them held back by the power limit alone, as hard work does.
    #[serde(default)]
    pub power_capped_samples: usize,
    /// The median beside what could be expected.
    pub peaks: Vec<Peak>,
    /// Sample by sample, where the test is about how they change; empty otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<Moment>,
}

/// A moment of a sustained load.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// When it ended, in seconds since the load began.
    pub second: f64,
    /// What was reached, in the unit of the test.
    pub value: f64,
    /// Clock of the multiprocessors in MHz.
    pub sm_clock_mhz: Option<f64>,
    /// Watts.
    pub power_watts: Option<f64>,
    /// Degrees Celsius.
    pub temperature_celsius: Option<f64>,
    /// Whether heat or hardware held the clocks back.
    pub throttled: bool,
    /// Whether the power limit alone did.
    pub power_capped: bool,
}

/// What was measured between two GPUs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PeerPair {
    /// The ordinal of the GPU that copies come from.
    pub from: u32,
    /// The ordinal of the other.
    pub to: u32,
    /// Why neither can reach the other.
    pub unreachable: Option<String>,
    /// Test by test.
    pub results: Vec<TestResult>,
}

/// Why a measurement ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// The samples agree: their standard deviation is below half a percent of their mean.
    Steady,
    /// All planned samples were taken.
    #[default]
    Planned,
    /// The time for this test was over; the samples differ more than wanted.
    TimeLimit,
}

/// A value that a GPU of this kind could reach, and where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    /// Which one: `datasheet`, `attributes` or `measured clock`.
    pub name: String,
    /// Its value, in the unit of the measurement.
    pub value: f64,
    /// Where it comes from.
    pub source: String,
}

impl SuiteGpu {
    /// What a test measured, if it did.
    pub fn measured(&self, test: &str) -> Option<&Measured> {
        self.results
            .iter()
            .find(|result| result.test == test)
            .and_then(|result| match &result.outcome {
                TestOutcome::Measured(measured) => Some(measured),
                _ => None,
            })
    }
}
