//! The series of a GPU: which metrics there are, and what each is read from.

use crate::gpu::{Activity, Counters, Reading};
use crate::units::Dimension;

/// What was learnt of one GPU, or of one part of it, in one sample.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen<'a> {
    /// What NVML answers.
    pub(super) reading: Option<&'a Reading>,
    /// Whether the GPU has counters of its own; then what the driver counts of the same is not mixed in.
    pub(super) counts_itself: bool,
    /// What the GPU's own counters say; `None` where there is no new reading of them.
    pub(super) activity: Option<&'a Activity>,
    /// What the driver counts.
    pub(super) counters: Option<&'a Counters>,
    /// What it counted before, and how many nanoseconds ago.
    pub(super) before: Option<(&'a Counters, u64)>,
    /// Whether the driver counts the time with clocks held back.
    pub(super) counts_held_back: bool,
    /// Energy as integrated from power, in joules, where the driver does not count it.
    pub(super) integrated_joules: Option<f64>,
}

/// Where the value of a series comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A plain answer of NVML, by the name that it has where a GPU lacks it.
    Answer(&'static str),
    /// The plain query for utilization, where the driver keeps no samples of it.
    Polled(&'static str),
    /// The GPU's own counters.
    Activity,
    /// Counters of the driver, with what they are called where a GPU lacks them.
    Counter(&'static str),
    /// Energy, counted or integrated.
    Energy,
    /// The share of time with clocks held back, counted or looked at.
    HeldBack,
    /// Traffic on the PCI bus, from the GPU's own counters or else from the driver's.
    Pcie,
}

/// A series of each GPU.
pub(super) struct GpuSeries {
    pub(super) metric: &'static str,
    pub(super) origin: Origin,
    /// The value in a sample.
    pub(super) value: fn(&Seen<'_>) -> Option<f64>,
}

const fn series(
    metric: &'static str,
    origin: Origin,
    value: fn(&Seen<'_>) -> Option<f64>,
) -> GpuSeries {
    GpuSeries {
        metric,
        origin,
        value,
    }
}

/// What a GPU is called in series: `0`, or `0/mig7` for one of its MIG instances.
pub(super) fn instance(gpu: u32, part: Option<u32>) -> String {
    match part {
        None => gpu.to_string(),
        Some(part) => format!("{gpu}/mig{part}"),
    }
}

/// The series of a whole GPU.
pub(super) const SERIES: [GpuSeries; 22] = [
    series("gpu.utilization", Origin::Polled("utilization"), |gpu| {
        gpu.reading?.utilization
    }),
    series("gpu.sm_active", Origin::Activity, |gpu| {
        gpu.activity?.multiprocessors
    }),
    series("gpu.tensor_active", Origin::Activity, |gpu| {
        gpu.activity?.tensor
    }),
    series("gpu.dram_active", Origin::Activity, |gpu| {
        gpu.activity?.memory
    }),
    series("gpu.engine_active", Origin::Activity, |gpu| {
        gpu.activity?.engine
    }),
    series(
        "gpu.memory.activity",
        Origin::Polled("utilization"),
        |gpu| gpu.reading?.memory_activity,
    ),
    series("gpu.memory", Origin::Answer("memory"), |gpu| {
        gpu.reading?.memory_ratio()
    }),
    series("gpu.memory.used", Origin::Answer("memory"), |gpu| {
        gpu.reading?.memory_used_bytes.map(|bytes| bytes as f64)
    }),
    series("gpu.power", Origin::Answer("power"), |gpu| {
        gpu.reading?.power_watts
    }),
    series("gpu.energy", Origin::Energy, |gpu| {
        let counted = gpu.counters.and_then(|counters| counters.energy_joules);
        counted.or(gpu.integrated_joules)
    }),
    series("gpu.temperature", Origin::Answer("temperature"), |gpu| {
        gpu.reading?.temperature_celsius
    }),
    series("gpu.clock.sm", Origin::Answer("SM clock"), |gpu| {
        gpu.reading?.sm_clock_mhz
    }),
    series("gpu.clock.memory", Origin::Answer("memory clock"), |gpu| {
        gpu.reading?.memory_clock_mhz
    }),
    series("gpu.throttled", Origin::HeldBack, throttled),
    series(
        "gpu.throttled.power",
        Origin::Counter("throttle time"),
        |gpu| held_back(gpu, 0),
    ),
    series(
        "gpu.throttled.thermal",
        Origin::Counter("throttle time"),
        |gpu| held_back(gpu, 1),
    ),
    series(
        "gpu.throttled.board",
        Origin::Counter("throttle time"),
        |gpu| held_back(gpu, 2),
    ),
    series(
        "gpu.throttled.reliability",
        Origin::Counter("throttle time"),
        |gpu| held_back(gpu, 3),
    ),
    series(
        "gpu.throttle.reasons",
        Origin::Answer("throttle reasons"),
        |gpu| {
            gpu.reading?
                .throttle
                .map(|throttle| throttle.reasons as f64)
        },
    ),
    series("gpu.pcie.sent", Origin::Pcie, |gpu| {
        if gpu.counts_itself {
            return gpu.activity?.pcie_sent;
        }
        rate(gpu, |counters| counters.pcie_sent_bytes)
    }),
    series("gpu.pcie.received", Origin::Pcie, |gpu| {
        if gpu.counts_itself {
            return gpu.activity?.pcie_received;
        }
        rate(gpu, |counters| counters.pcie_received_bytes)
    }),
    series("gpu.pcie.replays", Origin::Counter("PCIe replays"), |gpu| {
        gpu.counters?.pcie_replays.map(|replays| replays as f64)
    }),
];

fn throttled(gpu: &Seen<'_>) -> Option<f64> {
    let counted = gpu
        .counters
        .zip(gpu.before)
        .and_then(|(now, (before, ns))| now.held_back.share_since(&before.held_back, ns));
    if gpu.counts_held_back {
        return counted;
    }
    let throttle = gpu.reading?.throttle?;
    Some(f64::from(u8::from(throttle.is_throttled())))
}

fn held_back(gpu: &Seen<'_>, reason: usize) -> Option<f64> {
    let (before, elapsed_ns) = gpu.before?;
    gpu.counters?
        .held_back
        .shares_since(&before.held_back, elapsed_ns)[reason]
}

fn rate(gpu: &Seen<'_>, counter: fn(&Counters) -> Option<u64>) -> Option<f64> {
    let (before, elapsed_ns) = gpu.before?;
    // A counter that went back has wrapped or was reset: how far it got before is not known.
    let bytes = counter(gpu.counters?)?.checked_sub(counter(before)?)?;
    (elapsed_ns > 0).then(|| bytes as f64 / (elapsed_ns as f64 / 1e9))
}

/// What the values of a series are that gates do not know.
pub(super) fn dimension(metric: &str) -> Option<Dimension> {
    match metric {
        "gpu.memory.activity" => Some(Dimension::Ratio),
        "gpu.energy" => Some(Dimension::Energy),
        _ if metric.starts_with("gpu.throttled.") => Some(Dimension::Ratio),
        _ => None,
    }
}

/// The series of a MIG instance: what NVML knows of it.
pub(super) fn of_part() -> impl Iterator<Item = &'static GpuSeries> {
    SERIES
        .iter()
        .filter(|series| matches!(series.origin, Origin::Activity | Origin::Answer("memory")))
}
