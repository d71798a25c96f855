//! Measures what a GPU can do: each test checks its results before it reports how fast they came.
//!
//! Times come from the GPU's own events; the clock of the multiprocessors is measured by a kernel before
//! and after each sample. No sample is thrown away.

mod compute;
mod examination;
mod gemm;
mod launch;
mod memory;
mod operand;
mod peer;
mod rig;
mod summary;
mod sustain;
mod tensor;
mod transfer;
mod tune;

use super::Nvml;
use super::cuda::{CublasLt, Cuda, CudaError, Device};
use crate::record::{PcieLink, SuiteGpu, TestOutcome, TestResult};
use examination::Examination;
use rig::Rig;
use std::sync::Barrier;
use std::time::Duration;

/// A test of the suite.
#[derive(Clone, Copy)]
pub struct Test {
    /// Its name, by which it is chosen.
    pub name: &'static str,
    /// What it measures.
    pub what: &'static str,
    /// How long it may take samples at full effort; what is sustained has a time of its own.
    pub limit: Duration,
    /// Whether it is also run on all GPUs at once.
    pub together: bool,
    run: fn(&mut Rig<'_>) -> Result<crate::record::Measured, Fault>,
}

impl std::fmt::Debug for Test {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Test").field(&self.name).finish()
    }
}

/// Why a test has no result.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It does not apply to this GPU.
    Skip(String),
    /// The GPU computed something wrong.
    Wrong(String),
    /// The driver reported an error.
    Cuda(CudaError),
    /// Another library did.
    Failed(String),
}

impl From<CudaError> for Fault {
    fn from(error: CudaError) -> Self {
        Self::Cuda(error)
    }
}

const fn test(
    name: &'static str,
    what: &'static str,
    limit_ms: u64,
    run: fn(&mut Rig<'_>) -> Result<crate::record::Measured, Fault>,
) -> Test {
    Test {
        name,
        what,
        limit: Duration::from_millis(limit_ms),
        together: false,
        run,
    }
}

/// One that is also run on all GPUs at once: because they share something, or heat each other.
const fn shared(test: Test) -> Test {
    Test {
        together: true,
        ..test
    }
}

/// What a test may take beside its samples: memory to be had, data to be made and checked.
pub const SETUP: Duration = Duration::from_millis(500);

/// What all tests together may take on one GPU.
pub const BUDGET: Duration = Duration::from_secs(90);

/// Every test, in the order in which they run: the hottest last. The third column is the time for samples in
/// milliseconds.
pub const TESTS: &[Test] = &[
    test(
        "launch.enqueue",
        "time for the host to send an empty kernel",
        1000,
        launch::enqueue,
    ),
    test(
        "launch.round_trip",
        "time from sending an empty kernel until the host knows that it ran",
        1000,
        launch::round_trip,
    ),
    test(
        "launch.graph",
        "time of one of 100 empty kernels launched as a graph",
        1000,
        launch::graph,
    ),
    test(
        "launch.concurrent",
        "how many one-block kernels on eight streams run side by side",
        1000,
        launch::concurrent,
    ),
    shared(test(
        "pcie.to_device",
        "copies from pinned host memory",
        1500,
        transfer::to_device,
    )),
    shared(test(
        "pcie.from_device",
        "copies to pinned host memory",
        1500,
        transfer::from_device,
    )),
    shared(test(
        "pcie.both_ways",
        "copies from and to pinned host memory at once, added up",
        1500,
        transfer::both_ways,
    )),
    test(
        "pcie.pageable_to_device",
        "copies from ordinary host memory",
        1000,
        transfer::pageable_to_device,
    ),
    test(
        "pcie.pageable_from_device",
        "copies to ordinary host memory",
        1000,
        transfer::pageable_from_device,
    ),
    test(
        "pcie.latency",
        "time of a copy of 4 bytes to the device, with the host waiting",
        1000,
        transfer::latency,
    ),
    test(
        "memory.integrity",
        "a pattern written to nine tenths of the free memory and read back",
        1000,
        memory::integrity,
    ),
    test("memory.read", "reads of device memory", 1500, memory::read),
    test(
        "memory.write",
        "writes of device memory",
        1500,
        memory::write,
    ),
    shared(test(
        "memory.copy",
        "copies within device memory; bytes read and written are added up",
        1500,
        memory::copy,
    )),
    test(
        "memory.triad",
        "a = b + s × c over device memory; bytes of all three are added up",
        1500,
        memory::triad,
    ),
    test(
        "l2.read",
        "reads of a set of half the level 2 cache",
        1500,
        memory::l2,
    ),
    test(
        "shared.read",
        "reads of shared memory, all multiprocessors added up",
        1500,
        compute::shared,
    ),
    test(
        "fp32.fma",
        "fused multiply-adds in FP32, without memory",
        1500,
        compute::fma,
    ),
    test(
        "mma.tf32",
        "tensor cores by mma.sync, TF32",
        1500,
        tensor::mma_tf32,
    ),
    test(
        "mma.f16",
        "tensor cores by mma.sync, FP16 with FP32 sums",
        1500,
        tensor::mma_f16,
    ),
    shared(test(
        "mma.bf16",
        "tensor cores by mma.sync, BF16 with FP32 sums",
        1500,
        tensor::mma_bf16,
    )),
    test(
        "mma.int8",
        "tensor cores by mma.sync, INT8",
        1500,
        tensor::mma_s8,
    ),
    test(
        "layer.f16",
        "a layer of 4096 × 4096 for 512 rows, the reference service's own kernel",
        1500,
        tensor::layer,
    ),
    test(
        "wgmma.tf32",
        "tensor cores by wgmma (Hopper), TF32",
        1500,
        tensor::wgmma_tf32,
    ),
    test(
        "wgmma.f16",
        "tensor cores by wgmma (Hopper), FP16 with FP32 sums",
        1500,
        tensor::wgmma_f16,
    ),
    shared(test(
        "wgmma.bf16",
        "tensor cores by wgmma (Hopper), BF16 with FP32 sums",
        1500,
        tensor::wgmma_bf16,
    )),
    test(
        "wgmma.fp8",
        "tensor cores by wgmma (Hopper), FP8 (E4M3) with FP32 sums",
        1500,
        tensor::wgmma_e4m3,
    ),
    test(
        "wgmma.int8",
        "tensor cores by wgmma (Hopper), INT8",
        1500,
        tensor::wgmma_s8,
    ),
    test(
        "gemm.tf32",
        "a square product by cuBLASLt, TF32",
        1500,
        gemm::tf32,
    ),
    test(
        "gemm.f16",
        "a square product by cuBLASLt, FP16 with FP32 sums",
        1500,
        gemm::f16,
    ),
    shared(test(
        "gemm.bf16",
        "a square product by cuBLASLt, BF16 with FP32 sums",
        1500,
        gemm::bf16,
    )),
    test(
        "gemm.fp8",
        "a square product by cuBLASLt, FP8 (E4M3) with FP32 sums",
        1500,
        gemm::fp8,
    ),
    test(
        "gemm.int8",
        "a square product by cuBLASLt, INT8",
        1500,
        gemm::int8,
    ),
    test(
        "gemm.decode_16",
        "16 rows through layers of 8192 × 8192 by cuBLASLt, BF16: bytes moved",
        1500,
        gemm::decode_16,
    ),
    test(
        "gemm.decode_128",
        "128 rows through layers of 8192 × 8192 by cuBLASLt, BF16: bytes moved",
        1500,
        gemm::decode_128,
    ),
    shared(test(
        "sustain.mix",
        "tensor cores and copies of memory at once for a while: `--sustain`",
        0,
        sustain::mix,
    )),
];

/// What is measured between every two GPUs.
pub const PEER_TESTS: [&str; 3] = ["peer.copy", "peer.both_ways", "peer.latency"];

/// Whether there is a test of this name, of one GPU or between two.
pub fn is_test(name: &str) -> bool {
    TESTS.iter().any(|test| test.name == name) || PEER_TESTS.contains(&name)
}

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// How long one sample takes at least.
    pub sample: Duration,
    /// How many samples there are at least.
    pub samples: usize,
    /// How long a test measures at least before it may stop as steady.
    pub settle: Duration,
    /// How long a test may take samples, where its own limit is not shorter.
    pub limit: Duration,
    /// How long the sustained load lasts.
    pub sustain: Duration,
}

impl Effort {
    /// For results to be kept.
    pub const FULL: Self = Self {
        sample: Duration::from_millis(20),
        samples: 10,
        settle: Duration::from_millis(500),
        limit: Duration::from_secs(3),
        sustain: Duration::from_secs(10),
    };
    /// For a first look.
    pub const QUICK: Self = Self {
        sample: Duration::from_millis(5),
        samples: 5,
        settle: Duration::from_millis(50),
        limit: Duration::from_millis(500),
        sustain: Duration::from_millis(500),
    };
}

/// What is run, and how.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The tests.
    pub tests: Vec<Test>,
    /// How much is measured.
    pub effort: Effort,
    /// Sweep batch sizes and precisions instead of running tests.
    pub tune: bool,
    /// Seed of all data.
    pub seed: u32,
    /// cuBLASLt, or why it is not there.
    pub cublaslt: Result<CublasLt, String>,
}

impl Suite {
    /// Runs the tests on one GPU. Whatever goes wrong is in what comes back.
    pub fn run(
        &self,
        cuda: &Cuda,
        ordinal: u32,
        nvml: Option<&Nvml>,
        say: &mut dyn FnMut(&str),
    ) -> SuiteGpu {
        let device = match Device::open(cuda, ordinal) {
            Ok(device) => device,
            Err(error) => {
                return SuiteGpu {
                    ordinal,
                    failure: Some(error.to_string()),
                    ..SuiteGpu::default()
                };
            }
        };
        let mut gpu = describe(&device);
        let nvml = nvml.and_then(|nvml| {
            let place = nvml.place_of(&gpu.uuid, &gpu.pci_bus_id)?;
            Some((nvml, place))
        });
        let examination = nvml.map(|(nvml, place)| {
            (gpu.power_limit_watts, gpu.vbios) = nvml.limits(place);
            Examination::begin(nvml, place)
        });
        let link = self.measure(&device, nvml, &mut gpu, say);
        gpu.health = examination.map(|examination| examination.end(link));
        gpu
    }

    /// Runs the tests, and says what PCIe link was seen meanwhile.
    fn measure(
        &self,
        device: &Device,
        nvml: Option<(&Nvml, usize)>,
        gpu: &mut SuiteGpu,
        say: &mut dyn FnMut(&str),
    ) -> Option<PcieLink> {
        let mut rig = match Rig::new(device, nvml, self) {
            Ok(rig) => rig,
            Err(error) => {
                gpu.failure = Some(error.to_string());
                return None;
            }
        };
        if self.tune {
            gpu.tune = self.sweep(&mut rig, say);
            return rig.link;
        }
        for test in &self.tests {
            say(test.name);
            rig.effort = self.effort;
            rig.effort.limit = self.effort.limit.min(test.limit);
            gpu.results.push(TestResult {
                test: test.name.to_owned(),
                outcome: outcome((test.run)(&mut rig)),
            });
            // After an error in a kernel the context is of no more use, and nor is a lost GPU.
            if let Err(error) = device.synchronize() {
                gpu.failure = Some(error.to_string());
                break;
            }
        }
        rig.link
    }

    /// Runs the tests that are meant for it on all GPUs at once, each in a thread of its own; they begin
    /// together. Nothing where none of the tests is.
    pub fn run_together(&self, cuda: &Cuda, nvml: Option<&Nvml>) -> Vec<SuiteGpu> {
        let mut shared = self.clone();
        shared.tests.retain(|test| test.together);
        if shared.tests.is_empty() {
            return Vec::new();
        }
        let shared = &shared;
        let count = cuda.device_count();
        let begin = Barrier::new(count as usize);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..count)
                .map(|ordinal| {
                    let begin = &begin;
                    scope.spawn(move || {
                        begin.wait();
                        shared.run(cuda, ordinal, nvml, &mut |_| ())
                    })
                })
                .collect();
            let ended = (0..count).zip(threads);
            ended
                .map(|(ordinal, thread)| {
                    thread.join().unwrap_or_else(|_| SuiteGpu {
                        ordinal,
                        failure: Some("the thread that measured this GPU broke".to_owned()),
                        ..SuiteGpu::default()
                    })
                })
                .collect()
        })
    }
}

fn outcome(measured: Result<crate::record::Measured, Fault>) -> TestOutcome {
    match measured {
        Ok(measured) => TestOutcome::Measured(measured),
        Err(Fault::Skip(reason)) => TestOutcome::Skipped(reason),
        Err(Fault::Wrong(what)) => TestOutcome::Wrong(what),
        Err(Fault::Cuda(error)) => TestOutcome::Failed(error.to_string()),
        Err(Fault::Failed(error)) => TestOutcome::Failed(error),
    }
}

fn describe(device: &Device) -> SuiteGpu {
    let properties = device.properties();
    SuiteGpu {
        ordinal: properties.ordinal,
        name: properties.name.clone(),
        uuid: properties.uuid.clone(),
        pci_bus_id: properties.pci_bus_id.clone(),
        memory_bytes: properties.memory_bytes,
        capability: format!("{}.{}", properties.capability.0, properties.capability.1),
        multiprocessors: properties.multiprocessors,
        ..SuiteGpu::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By design, not by measurement: what each test may take is written beside it.
    #[test]
    fn the_whole_suite_stays_within_its_budget() {
        let each = |tests: &mut dyn Iterator<Item = &Test>| {
            tests.map(|test| test.limit + SETUP).sum::<Duration>() + Effort::FULL.sustain
        };
        let alone = each(&mut TESTS.iter());
        assert!(alone <= BUDGET, "{alone:?}");
        let together = each(&mut TESTS.iter().filter(|test| test.together));
        assert!(together <= Duration::from_secs(30), "{together:?}");
    }

    #[test]
    fn names_are_there_once() {
        let mut names: Vec<&str> = TESTS.iter().map(|test| test.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TESTS.len());
    }
}
