//! Everything that NVML tells of a GPU but its utilization, which the driver samples by itself.
//!
//! What a GPU does not tell is a series without values that says why: a gate on it must not be judged by
//! the other GPUs alone.

use super::GPU;
use super::series::{GpuSeries, Origin, SERIES, Seen, dimension, instance, of_part};
use crate::engine::ports::Probe;
use crate::gpu::{Activity, Counters, HeldBack, MigPart, Nvml, Reading, Unavailable};
use crate::record::{SeriesInfo, SourceInfo, SourceState};
use crate::units::nanoseconds;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Counters and lists of processes are read once a second: the driver refreshes them no faster.
const COUNTED_EVERY: Duration = Duration::from_millis(950);

/// Samples all GPUs that NVML can read.
#[derive(Debug)]
pub struct NvmlProbe {
    nvml: Arc<Nvml>,
    period: Duration,
    watches: Vec<Watch>,
}

/// What is kept of one GPU between two samples.
#[derive(Debug)]
struct Watch {
    place: usize,
    gpu: u32,
    counters: Option<(Counters, Instant)>,
    /// Whether the driver counts energy; else it is integrated from power.
    counts_energy: bool,
    /// Whether it counts the time with clocks held back; else each sample looks at them.
    counts_held_back: bool,
    integrated_joules: f64,
    power: Option<(f64, Instant)>,
    /// Processes that had memory when the run began.
    processes: Vec<u32>,
    /// Why nothing is known of processes.
    unlisted: Option<String>,
    /// Why the GPU's own counters tell nothing.
    inactive: Option<String>,
    listed_at: Option<Instant>,
}

impl NvmlProbe {
    /// Samples the GPUs of an open NVML.
    pub fn new(nvml: Arc<Nvml>, period: Duration) -> Self {
        let watches = nvml
            .gpus()
            .iter()
            .enumerate()
            .map(|(place, gpu)| Watch::begin(&nvml, place, gpu.index))
            .collect();
        Self {
            nvml,
            period,
            watches,
        }
    }

    /// A series of one GPU, with the reason where it is known to lack it; `None` where the driver's own
    /// samples are the better source.
    fn describe(&self, series: &GpuSeries, watch: &Watch) -> Option<SeriesInfo> {
        let gpu = watch.gpu;
        let info = SeriesInfo {
            dimension: dimension(series.metric),
            ..SeriesInfo::new(series.metric, instance(gpu, None))
        };
        let lack = |what: &str| {
            let mut lacks = self.nvml.lacks().iter();
            lacks.find(|lack| lack.gpu == gpu && lack.what == what)
        };
        let keeps = |kept: bool, what: &str| {
            let info = info.clone().refreshing();
            if kept {
                return info;
            }
            info.lacking(format!(
                "GPU {gpu} does not report its {what}: this GPU or driver does not count it"
            ))
        };
        let counters = watch
            .counters
            .map(|(counters, _)| counters)
            .unwrap_or_default();
        let held = counters.held_back;
        let is_split = !self.nvml.parts(watch.place).is_empty();
        Some(match series.origin {
            Origin::Answer(what) => match lack(what) {
                Some(lack) => info.lacking(lack.to_string()),
                None => info,
            },
            Origin::Polled(what) => {
                let reason = self.nvml.unsampled(watch.place)?;
                match lack(what) {
                    Some(lack) => info.lacking(lack.to_string()),
                    None => info.noting(format!(
                        "polled: the driver's own samples cannot be read ({reason})"
                    )),
                }
            }
            // The parts of a GPU that is split tell what the whole does not.
            Origin::Activity if watch.inactive.is_some() && is_split => return None,
            Origin::Activity => match &watch.inactive {
                None => info.refreshing(),
                Some(reason) => info.lacking(format!(
                    "GPU {gpu} does not report its activity: {reason}"
                )),
            },
            Origin::Counter(what) => {
                let kept = match series.metric {
                    "gpu.pcie.replays" => counters.pcie_replays.is_some(),
                    "gpu.throttled.power" => held.power.is_some(),
                    "gpu.throttled.thermal" => held.thermal.is_some(),
                    "gpu.throttled.board" => held.board.is_some(),
                    _ => held.reliability.is_some(),
                };
                keeps(kept, what)
            }
            Origin::Energy if watch.counts_energy => info.refreshing(),
            Origin::Energy => match lack("power") {
                Some(lack) => info.lacking(lack.to_string()),
                None => info.noting("integrated from readings of power: this GPU does not count energy"),
            },
            Origin::HeldBack if !watch.counts_held_back => {
                match lack("throttle reasons") {
                    Some(lack) => info.lacking(lack.to_string()),
                    None => info.noting(
                        "looked at in each sample: this GPU does not count the time with clocks held back",
                    ),
                }
            }
            Origin::HeldBack => info.refreshing(),
            Origin::Pcie if watch.inactive.is_none() => info
                .refreshing()
                .noting("from the GPU's own counters (GPM)"),
            Origin::Pcie => keeps(counters.pcie_sent_bytes.is_some(), "PCIe traffic")
                .noting("from the driver's counters of bytes, second by second"),
        })
    }

    fn series_of(&self, watch: &Watch) -> Vec<SeriesInfo> {
        let mut all: Vec<SeriesInfo> = SERIES
            .iter()
            .filter_map(|series| self.describe(series, watch))
            .collect();
        for part in self.nvml.parts(watch.place) {
            let instance = instance(watch.gpu, Some(part.instance));
            all.extend(of_part().map(|series| {
                let info = SeriesInfo::new(series.metric, instance.clone());
                match (series.origin, self.nvml.inactive(watch.place)) {
                    (Origin::Activity, Some(reason)) => info.lacking(reason),
                    (Origin::Activity, None) => info.refreshing(),
                    _ => info,
                }
            }));
        }
        let of_process = |what: String| SeriesInfo::new(PROCESS_MEMORY, what).refreshing();
        match &watch.unlisted {
            Some(reason) => all.push(of_process(instance(watch.gpu, None)).lacking(format!(
                "the memory of processes on GPU {} is not known: {reason}",
                watch.gpu
            ))),
            None => all.extend(
                watch
                    .processes
                    .iter()
                    .map(|pid| of_process(format!("{}/{pid}", watch.gpu))),
            ),
        }
        all
    }

    fn sample_gpu(
        nvml: &Nvml,
        watch: &mut Watch,
        values: &mut Vec<Option<f64>>,
    ) -> Result<(), Unavailable> {
        let reading = nvml.read(watch.place)?;
        let now = Instant::now();
        watch.integrate(&reading, now);
        let earlier = watch.counters;
        let counters = watch.count(nvml, now)?;
        let activity = match watch.inactive {
            None => or_none(nvml.activity(watch.place, None))?.flatten(),
            Some(_) => None,
        };
        let seen = Seen {
            reading: Some(&reading),
            counts_itself: watch.inactive.is_none(),
            activity: activity.as_ref(),
            counters: counters.as_ref(),
            before: earlier.as_ref().map(|(before, at)| {
                let elapsed = now.saturating_duration_since(*at).as_nanos();
                (before, u64::try_from(elapsed).unwrap_or(u64::MAX))
            }),
            counts_held_back: watch.counts_held_back,
            integrated_joules: (!watch.counts_energy && watch.power.is_some())
                .then_some(watch.integrated_joules),
        };
        let is_polled = nvml.unsampled(watch.place).is_some();
        let is_whole = watch.inactive.is_none() || nvml.parts(watch.place).is_empty();
        let has_value = |series: &&GpuSeries| match series.origin {
            Origin::Polled(_) => is_polled,
            Origin::Activity => is_whole,
            _ => true,
        };
        values.extend(
            SERIES
                .iter()
                .filter(has_value)
                .map(|series| (series.value)(&seen)),
        );
        for part in nvml.parts(watch.place) {
            sample_part(nvml, watch.place, *part, values)?;
        }
        watch.list(nvml, now, values)
    }
}

const PROCESS_MEMORY: &str = "gpu.process.memory";

fn sample_part(
    nvml: &Nvml,
    place: usize,
    part: MigPart,
    values: &mut Vec<Option<f64>>,
) -> Result<(), Unavailable> {
    let activity: Option<Activity> = match nvml.inactive(place) {
        None => or_none(nvml.activity(place, Some(part)))?.flatten(),
        Some(_) => None,
    };
    let memory = or_none(nvml.memory_of(place, part))?;
    let reading = Reading {
        memory_used_bytes: memory.map(|(used, _)| used),
        memory_total_bytes: memory.map(|(_, total)| total),
        ..Reading::default()
    };
    let seen = Seen {
        reading: Some(&reading),
        activity: activity.as_ref(),
        ..Seen::default()
    };
    values.extend(of_part().map(|series| (series.value)(&seen)));
    Ok(())
}

/// A value that could not be had is none; a GPU that is gone is an error.
fn or_none<T>(answer: Result<T, Unavailable>) -> Result<Option<T>, Unavailable> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(reason) if reason.is_final() => Err(reason),
        Err(_) => Ok(None),
    }
}

impl Watch {
    /// Learns what a GPU has to tell. One that is lost already is noticed by the first sample.
    fn begin(nvml: &Nvml, place: usize, gpu: u32) -> Self {
        let counters = nvml.count(place).ok();
        // The first question also begins the time that the second is about.
        let inactive = match nvml.inactive(place) {
            Some(reason) => Some(reason.to_owned()),
            None => nvml
                .activity(place, None)
                .err()
                .map(|reason| reason.to_string()),
        };
        for part in nvml.parts(place) {
            let _ = nvml.activity(place, Some(*part));
        }
        let listed = nvml.processes(place);
        let (processes, unlisted) = match listed {
            Ok(listed) if listed.is_empty() => (
                Vec::new(),
                Some(
                    "no process had memory of it when the run began, or this container may not see them"
                        .to_owned(),
                ),
            ),
            Ok(listed) => (listed.iter().map(|process| process.pid).collect(), None),
            Err(reason) => (Vec::new(), Some(reason.to_string())),
        };
        Self {
            place,
            gpu,
            counts_energy: counters.is_some_and(|counters| counters.energy_joules.is_some()),
            counts_held_back: counters
                .is_some_and(|counters| counters.held_back != HeldBack::default()),
            counters: counters.map(|counters| (counters, Instant::now())),
            integrated_joules: 0.0,
            power: None,
            processes,
            unlisted,
            inactive,
            listed_at: None,
        }
    }

    /// Adds up energy from power, by trapezoids.
    fn integrate(&mut self, reading: &Reading, now: Instant) {
        let Some(watts) = reading.power_watts else {
            self.power = None;
            return;
        };
        if let Some((before, at)) = self.power {
            let seconds = now.saturating_duration_since(at).as_secs_f64();
            self.integrated_joules += f64::midpoint(before, watts) * seconds;
        }
        self.power = Some((watts, now));
    }

    /// The driver's counters, where it is time to read them again.
    fn count(&mut self, nvml: &Nvml, now: Instant) -> Result<Option<Counters>, Unavailable> {
        let is_due =
            |(_, at): (Counters, Instant)| now.saturating_duration_since(at) >= COUNTED_EVERY;
        if !self.counters.is_none_or(is_due) {
            return Ok(None);
        }
        let counters = or_none(nvml.count(self.place))?;
        self.counters = counters.map(|counters| (counters, now));
        Ok(counters)
    }

    /// The memory of each process that had some when the run began. One that has ended has no value.
    fn list(
        &mut self,
        nvml: &Nvml,
        now: Instant,
        values: &mut Vec<Option<f64>>,
    ) -> Result<(), Unavailable> {
        if self.unlisted.is_some() {
            values.push(None);
            return Ok(());
        }
        let is_due = |at: Instant| now.saturating_duration_since(at) >= COUNTED_EVERY;
        if !self.listed_at.is_none_or(is_due) {
            values.extend(self.processes.iter().map(|_| None));
            return Ok(());
        }
        self.listed_at = Some(now);
        let listed = or_none(nvml.processes(self.place))?.unwrap_or_default();
        values.extend(self.processes.iter().map(|pid| {
            let process = listed.iter().find(|process| process.pid == *pid)?;
            process.bytes.map(|bytes| bytes as f64)
        }));
        Ok(())
    }
}

impl Probe for NvmlProbe {
    fn info(&self) -> SourceInfo {
        SourceInfo {
            name: GPU.to_owned(),
            state: SourceState::Present,
            period_ns: nanoseconds(self.period),
            series: self
                .watches
                .iter()
                .flat_map(|watch| self.series_of(watch))
                .collect(),
            simulated: self.nvml.simulated(),
        }
    }

    /// One GPU that is lost makes the whole sample an error: a service behind several GPUs is not
    /// measured by those that are left.
    fn sample(&mut self, values: &mut Vec<Option<f64>>) -> Result<(), String> {
        let nvml = Arc::clone(&self.nvml);
        for watch in &mut self.watches {
            Self::sample_gpu(&nvml, watch, values).map_err(|reason| reason.to_string())?;
        }
        Ok(())
    }
}
