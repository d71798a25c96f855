//! What every test needs: a stream, kernels, clocks, and the loop that takes samples until they agree.

use super::summary::{Sample, spread, summarize};
use super::{Effort, Fault, Suite};
use crate::gpu::cuda::{
    Argument, Buffer, CublasLt, CudaError, Device, Event, Kernel, Module, Stream,
};
use crate::gpu::kernels::{Source, named};
use crate::gpu::peaks::{Resource, peaks};
use crate::gpu::{Nvml, Reading, Throttle};
use crate::record::{Measured, PcieLink, Stopped};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Samples agree when their standard deviation is below this share of their mean.
const AGREED: f64 = 0.005;

/// So many samples an interval needs.
const FEWEST: usize = 5;

/// One GPU, ready to be measured.
pub(crate) struct Rig<'a> {
    pub(super) device: Device,
    pub(super) stream: Stream,
    pub(super) effort: Effort,
    pub(super) seed: u32,
    cublaslt: Result<CublasLt, String>,
    modules: BTreeMap<Source, Arc<Module>>,
    nvml: Option<(&'a Nvml, usize)>,
    /// The best PCIe link that was seen under load.
    pub(super) link: Option<PcieLink>,
    events: [Event; 2],
    clocks: [Buffer; 2],
    clock_kernel: Kernel,
}

impl<'a> Rig<'a> {
    pub(super) fn new(
        device: &Device,
        nvml: Option<(&'a Nvml, usize)>,
        suite: &Suite,
    ) -> Result<Self, CudaError> {
        let compute = Module::load(device, Source::Compute)?;
        let bytes = device.properties().multiprocessors as usize * 16;
        Ok(Self {
            stream: Stream::new(device)?,
            effort: suite.effort,
            seed: suite.seed,
            cublaslt: suite.cublaslt.clone(),
            nvml,
            link: None,
            events: [Event::new(device)?, Event::new(device)?],
            clocks: [Buffer::new(device, bytes)?, Buffer::new(device, bytes)?],
            clock_kernel: Kernel::find(&compute, named("compute_clocks"))?,
            modules: BTreeMap::from([(Source::Compute, compute)]),
            device: device.clone(),
        })
    }

    /// A kernel of the program.
    pub(super) fn kernel(&mut self, name: &str) -> Result<Kernel, Fault> {
        let entry = named(name);
        let capability = self.device.properties().capability;
        if !entry.source.runs_on(capability) {
            let (major, minor) = capability;
            return Err(Fault::Skip(format!(
                "compute capability {major}.{minor} does not have these instructions"
            )));
        }
        let module = if let Some(module) = self.modules.get(&entry.source) {
            Arc::clone(module)
        } else {
            let module = Module::load(&self.device, entry.source)?;
            self.modules.insert(entry.source, Arc::clone(&module));
            module
        };
        Ok(Kernel::find(&module, entry)?)
    }

    /// Memory, or the reason why this test cannot have it.
    pub(super) fn buffer(&self, bytes: usize) -> Result<Buffer, Fault> {
        match Buffer::new(&self.device, bytes) {
            Err(error) if error.code == CudaError::OUT_OF_MEMORY => Err(Fault::Skip(format!(
                "the GPU has no {bytes} bytes left: is another program using it?"
            ))),
            other => Ok(other?),
        }
    }

    /// cuBLASLt, or why it is not there.
    pub(super) fn cublaslt(&self) -> Result<&CublasLt, String> {
        self.cublaslt.as_ref().map_err(Clone::clone)
    }

    /// Whether it is as large as a real GPU: a simulated one would take minutes for what that does in a
    /// millisecond.
    pub(super) fn is_large(&self) -> bool {
        self.device.properties().multiprocessors > 8
    }

    /// So many blocks for each multiprocessor.
    pub(super) fn blocks(&self, each: u32) -> u32 {
        self.device.properties().multiprocessors * each
    }

    /// What NVML says now.
    pub(super) fn reading(&self) -> Option<Reading> {
        let (nvml, place) = self.nvml?;
        nvml.read(place).ok()
    }

    fn look_at_link(&mut self) {
        if let Some(now) = self.nvml.and_then(|(nvml, place)| nvml.link(place)) {
            self.link = Some(self.link.map_or(now, |best| best.best(now)));
        }
    }

    /// Measures a rate: `work` enqueues an amount of work, each unit of which is `each` bytes or
    /// operations; `scale` turns those per second into the unit.
    pub(super) fn rate<E>(
        &mut self,
        unit: &str,
        each: f64,
        scale: f64,
        mut work: impl FnMut(&Stream, u32) -> Result<(), E>,
    ) -> Result<Measured, Fault>
    where
        Fault: From<E>,
    {
        let amount = self.calibrate(&mut work)?;
        self.sample(unit, |rig| {
            let (took, clock) = rig.timed(|stream| work(stream, amount))?;
            Ok((each * f64::from(amount) / took.as_secs_f64() / scale, clock))
        })
    }

    /// Measures how long one amount of work takes on the GPU.
    pub(super) fn each<E>(
        &mut self,
        mut work: impl FnMut(&Stream, u32) -> Result<(), E>,
    ) -> Result<Measured, Fault>
    where
        Fault: From<E>,
    {
        let amount = self.calibrate(&mut work)?;
        self.sample("µs", |rig| {
            let (took, found) = rig.timed(|stream| work(stream, amount))?;
            Ok((took.as_secs_f64() * 1e6 / f64::from(amount), found))
        })
    }

    /// How much work takes as long as a sample should.
    pub(super) fn calibrate<E>(
        &mut self,
        work: &mut impl FnMut(&Stream, u32) -> Result<(), E>,
    ) -> Result<u32, Fault>
    where
        Fault: From<E>,
    {
        const MOST: u32 = 1 << 22;
        let mut amount = 1;
        loop {
            let (took, _) = self.timed(|stream| work(stream, amount))?;
            let missing = self.effort.sample.as_secs_f64() / took.as_secs_f64();
            if missing <= 1.05 || amount >= MOST {
                return Ok(amount);
            }
            let more = (f64::from(amount) * missing.clamp(1.1, 64.0)).ceil();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "positive, and at most 64 times the largest amount"
            )]
            let more = more as u32;
            amount = more.min(MOST);
        }
    }

    /// How long the GPU takes for some work, and the clock it had.
    pub(super) fn timed<E>(
        &mut self,
        work: impl FnOnce(&Stream) -> Result<(), E>,
    ) -> Result<(Duration, Sample), Fault>
    where
        Fault: From<E>,
    {
        self.note_clocks(0)?;
        self.events[0].record(&self.stream)?;
        work(&self.stream)?;
        self.events[1].record(&self.stream)?;
        self.note_clocks(1)?;
        // While the GPU is at work: afterwards it would already be resting.
        let reading = self.reading().unwrap_or_default();
        self.look_at_link();
        let took = self.events[1].since(&self.events[0])?;
        self.stream.synchronize()?;
        let found = Sample {
            value: 0.0,
            sm_clock_mhz: self.clock()?,
            power: reading.power_watts,
            temperature: reading.temperature_celsius,
            throttled: reading.throttle.is_some_and(Throttle::is_fault),
            power_capped: reading
                .throttle
                .is_some_and(|throttle| throttle.is_throttled() && !throttle.is_fault()),
        };
        // Events cannot tell less than half a microsecond.
        Ok((took.max(Duration::from_nanos(500)), found))
    }

    fn note_clocks(&self, when: usize) -> Result<(), CudaError> {
        // Two blocks for each multiprocessor, so that most of them get one.
        let arguments = [Argument::Address(self.clocks[when].address())];
        self.clock_kernel
            .launch(&self.stream, (self.blocks(2), 1), 32, &arguments)
    }

    /// The median clock of the multiprocessors between the two notes, in MHz.
    fn clock(&self) -> Result<Option<f64>, CudaError> {
        let [before, after] = [
            self.clocks[0].contents(&self.stream)?,
            self.clocks[1].contents(&self.stream)?,
        ];
        let longs = |bytes: &[u8]| -> Vec<u64> {
            let (longs, _) = bytes.as_chunks::<8>();
            longs.iter().map(|long| u64::from_le_bytes(*long)).collect()
        };
        let (before, after) = (longs(&before), longs(&after));
        let mut clocks: Vec<f64> = before
            .chunks_exact(2)
            .zip(after.chunks_exact(2))
            .filter_map(|(before, after)| {
                let nanoseconds = after[0].checked_sub(before[0])?;
                let cycles = after[1].checked_sub(before[1])?;
                // The shared clock moves in steps of a microsecond.
                (nanoseconds > 500_000).then(|| cycles as f64 / nanoseconds as f64 * 1e3)
            })
            .collect();
        clocks.sort_by(f64::total_cmp);
        Ok(clocks.get(clocks.len() / 2).copied())
    }

    /// Takes samples until they agree, or the time is over.
    pub(super) fn sample(
        &mut self,
        unit: &str,
        mut take: impl FnMut(&mut Self) -> Result<(f64, Sample), Fault>,
    ) -> Result<Measured, Fault> {
        let began = Instant::now();
        let mut samples: Vec<Sample> = Vec::new();
        let stopped = loop {
            let (value, found) = take(self)?;
            samples.push(Sample { value, ..found });
            let enough =
                samples.len() >= self.effort.samples && began.elapsed() >= self.effort.settle;
            if enough && spread(&samples) < AGREED {
                break Stopped::Steady;
            }
            // Without a few samples there is no interval; a GPU that is so slow gets more time for them.
            let late = began.elapsed() / if samples.len() < FEWEST { 10 } else { 1 };
            if late >= self.effort.limit {
                break Stopped::TimeLimit;
            }
        };
        Ok(summarize(&samples, stopped, unit))
    }

    /// The same with the peaks of a resource, and how its results were checked.
    pub(super) fn against(
        &self,
        measured: Measured,
        resource: Resource,
        verified: &str,
    ) -> Measured {
        let peaks = peaks(self.device.properties(), resource, measured.sm_clock_mhz);
        Measured {
            peaks,
            verified: Some(verified.to_owned()),
            ..measured
        }
    }
}
