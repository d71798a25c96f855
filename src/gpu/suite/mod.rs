//! Measures what a GPU can do: each test checks its results before it reports how fast they came.
//!
//! Times come from the GPU's own events; the clock of the multiprocessors is measured by a kernel before
//! and after each sample. No sample is thrown away.

mod compute;
mod launch;
mod memory;
mod rig;
mod summary;
mod tensor;
mod transfer;

use super::Nvml;
use super::cuda::{Cuda, CudaError, Device};
use crate::record::{SuiteGpu, TestOutcome, TestResult};
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
}

impl From<CudaError> for Fault {
    fn from(error: CudaError) -> Self {
        Self::Cuda(error)
    }
}

const fn test(
    name: &'static str,
    what: &'static str,
    run: fn(&mut Rig<'_>) -> Result<crate::record::Measured, Fault>,
) -> Test {
    Test { name, what, run }
}

/// Every test, in the order in which they run: the hottest last.
pub const TESTS: &[Test] = &[
    test(
        "launch.enqueue",
        "time for the host to send an empty kernel",
        launch::enqueue,
    ),
    test(
        "launch.round_trip",
        "time from sending an empty kernel until the host knows that it ran",
        launch::round_trip,
    ),
    test(
        "launch.graph",
        "time of one of 100 empty kernels launched as a graph",
        launch::graph,
    ),
    test(
        "launch.concurrent",
        "how many one-block kernels on eight streams run side by side",
        launch::concurrent,
    ),
    test(
        "pcie.to_device",
        "copies from pinned host memory",
        transfer::to_device,
    ),
    test(
        "pcie.from_device",
        "copies to pinned host memory",
        transfer::from_device,
    ),
    test(
        "pcie.both_ways",
        "copies from and to pinned host memory at once, added up",
        transfer::both_ways,
    ),
    test(
        "pcie.pageable_to_device",
        "copies from ordinary host memory",
        transfer::pageable_to_device,
    ),
    test(
        "pcie.pageable_from_device",
        "copies to ordinary host memory",
        transfer::pageable_from_device,
    ),
    test(
        "pcie.latency",
        "time of a copy of 4 bytes to the device, with the host waiting",
        transfer::latency,
    ),
    test(
        "memory.integrity",
        "a pattern written to nine tenths of the free memory and read back",
        memory::integrity,
    ),
    test("memory.read", "reads of device memory", memory::read),
    test("memory.write", "writes of device memory", memory::write),
    test(
        "memory.copy",
        "copies within device memory; bytes read and written are added up",
        memory::copy,
    ),
    test(
        "memory.triad",
        "a = b + s × c over device memory; bytes of all three are added up",
        memory::triad,
    ),
    test(
        "l2.read",
        "reads of a set of half the level 2 cache",
        memory::l2,
    ),
    test(
        "shared.read",
        "reads of shared memory, all multiprocessors added up",
        compute::shared,
    ),
    test(
        "fp32.fma",
        "fused multiply-adds in FP32, without memory",
        compute::fma,
    ),
    test(
        "mma.tf32",
        "tensor cores by mma.sync, TF32",
        tensor::mma_tf32,
    ),
    test(
        "mma.f16",
        "tensor cores by mma.sync, FP16 with FP32 sums",
        tensor::mma_f16,
    ),
    test(
        "mma.bf16",
        "tensor cores by mma.sync, BF16 with FP32 sums",
        tensor::mma_bf16,
    ),
    test("mma.int8", "tensor cores by mma.sync, INT8", tensor::mma_s8),
    test(
        "layer.f16",
        "a layer of 4096 × 4096 for 512 rows, the reference service's own kernel",
        tensor::layer,
    ),
    test(
        "wgmma.tf32",
        "tensor cores by wgmma (Hopper), TF32",
        tensor::wgmma_tf32,
    ),
    test(
        "wgmma.f16",
        "tensor cores by wgmma (Hopper), FP16 with FP32 sums",
        tensor::wgmma_f16,
    ),
    test(
        "wgmma.bf16",
        "tensor cores by wgmma (Hopper), BF16 with FP32 sums",
        tensor::wgmma_bf16,
    ),
    test(
        "wgmma.fp8",
        "tensor cores by wgmma (Hopper), FP8 (E4M3) with FP32 sums",
        tensor::wgmma_e4m3,
    ),
    test(
        "wgmma.int8",
        "tensor cores by wgmma (Hopper), INT8",
        tensor::wgmma_s8,
    ),
];

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// How long one sample takes at least.
    pub sample: Duration,
    /// How many samples there are at least.
    pub samples: usize,
    /// How long a test measures at least before it may stop as steady.
    pub settle: Duration,
    /// How long a test may take.
    pub limit: Duration,
}

impl Effort {
    /// For results to be kept.
    pub const FULL: Self = Self {
        sample: Duration::from_millis(20),
        samples: 10,
        settle: Duration::from_millis(500),
        limit: Duration::from_secs(3),
    };
    /// For a first look.
    pub const QUICK: Self = Self {
        sample: Duration::from_millis(5),
        samples: 5,
        settle: Duration::from_millis(50),
        limit: Duration::from_millis(500),
    };
}

/// What is run, and how.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The tests.
    pub tests: Vec<Test>,
    /// How much is measured.
    pub effort: Effort,
    /// Seed of all data.
    pub seed: u32,
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
        let mut rig = match Rig::new(&device, nvml, self) {
            Ok(rig) => rig,
            Err(error) => {
                gpu.failure = Some(error.to_string());
                return gpu;
            }
        };
        for test in &self.tests {
            say(test.name);
            let outcome = match (test.run)(&mut rig) {
                Ok(measured) => TestOutcome::Measured(measured),
                Err(Fault::Skip(reason)) => TestOutcome::Skipped(reason),
                Err(Fault::Wrong(what)) => TestOutcome::Wrong(what),
                Err(Fault::Cuda(error)) => TestOutcome::Failed(error.to_string()),
            };
            gpu.results.push(TestResult {
                test: test.name.to_owned(),
                outcome,
            });
            // After an error in a kernel the context is of no more use, and nor is a lost GPU.
            if let Err(error) = device.synchronize() {
                gpu.failure = Some(error.to_string());
                break;
            }
        }
        gpu
    }

    /// Runs the tests on all GPUs at once, each in a thread of its own; they begin together.
    pub fn run_together(&self, cuda: &Cuda, nvml: Option<&Nvml>) -> Vec<SuiteGpu> {
        let count = cuda.device_count();
        let begin = Barrier::new(count as usize);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..count)
                .map(|ordinal| {
                    let begin = &begin;
                    scope.spawn(move || {
                        begin.wait();
                        self.run(cuda, ordinal, nvml, &mut |_| ())
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
        failure: None,
        results: Vec::new(),
    }
}
