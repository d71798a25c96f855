//! Doubts: whatever weakens a measurement, as typed values that are stored, printed and judged.

mod words;

use super::capacity::LoadUnit;
use super::figures::Difference;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What must be steady under a steady load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SteadySeries {
    /// Successful requests of each second.
    #[serde(rename = "throughput")]
    Throughput,
    /// The median response time of each second.
    #[serde(rename = "the median response time")]
    Median,
}

impl fmt::Display for SteadySeries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Throughput => "throughput",
            Self::Median => "the median response time",
        })
    }
}

/// Something that weakens a measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "doubt", rename_all = "snake_case")]
pub enum Doubt {
    /// The generator's own threads had hardly a free moment, so that latencies are its own.
    GeneratorBusy {
        /// Which phase.
        phase: usize,
        /// Share of time in which the busiest worker was busy.
        busy: f64,
    },
    /// Tasks of the generator that were ready waited long for their turn.
    GeneratorDelayed {
        /// Which phase.
        phase: usize,
        /// The 99th percentile of that wait, in nanoseconds.
        delay_p99_ns: u64,
    },
    /// Threads of the generator that were ready waited for a CPU, which others had.
    GeneratorStarved {
        /// Which phase.
        phase: usize,
        /// Share of time in which the worker that waited most did so.
        waited: f64,
    },
    /// The hypervisor took CPU time from this machine while there was work to do.
    CpuStolen {
        /// Which phase.
        phase: usize,
        /// Share of the CPU time of all CPUs.
        stolen: f64,
    },
    /// Much of what the requests in flight spent, they spent in the generator and not with the target.
    GeneratorHolds {
        /// Which phase.
        phase: usize,
        /// Mean requests in flight.
        in_flight: f64,
        /// Mean requests with the target: throughput times mean service time (Little's law).
        at_target: f64,
        /// How long a request waited in the generator on average, in nanoseconds.
        held_ns: u64,
    },
    /// Few descriptors or ports of this machine were left.
    GeneratorNearLimit {
        /// Which phase.
        phase: usize,
        /// What is scarce.
        resource: LocalResource,
        /// The largest share of it that was in use.
        used: f64,
    },
    /// The phase asks for more than a good part of what this machine was shown to generate.
    NearCeiling {
        /// Which phase.
        phase: usize,
        /// In what.
        unit: LoadUnit,
        /// What is asked for, by all phases side by side.
        asked: f64,
        /// What this machine was shown to generate.
        ceiling: f64,
    },
    /// Something about this machine makes measurements on it worse; known before any load.
    PoorMachine {
        /// What, and what to do.
        reason: String,
    },
    /// The generator's own memory grew all through a phase: a leak gate on the same host may see it.
    GeneratorGrows {
        /// Which phase.
        phase: usize,
        /// Its growth in bytes per second.
        bytes_per_second: f64,
    },
    /// The measured window begins with a part that is unlike the rest: the warm-up was too short.
    WarmupTooShort {
        /// Which phase.
        phase: usize,
        /// What shows it.
        series: SteadySeries,
        /// How long the part is, in nanoseconds.
        unlike_ns: u64,
        /// The change from it to the rest, as a share of its own mean.
        change: f64,
    },
    /// Throughput or latency still changed when the measured window ended.
    NeverSettled {
        /// Which phase.
        phase: usize,
        /// What shows it.
        series: SteadySeries,
        /// The change from begin to end, as a share of the mean.
        change: f64,
    },
    /// Throughput or latency rose or fell all through the measured window.
    Drifting {
        /// Which phase.
        phase: usize,
        /// What shows it.
        series: SteadySeries,
        /// The change from begin to end, as a share of the mean.
        change: f64,
    },
    /// Requests left later than intended by more than the gates can bear.
    GeneratorLate {
        /// Which phase.
        phase: usize,
        /// The 99th percentile of what the generator itself added before the send, in nanoseconds.
        lag_p99_ns: u64,
        /// What could be borne, in nanoseconds.
        limit_ns: u64,
    },
    /// Requests were not sent because this machine had no descriptor or port for them.
    GeneratorShort {
        /// Which phase.
        phase: usize,
        /// Requests that were planned, those of the warm-up included.
        planned: u64,
        /// Those that could not be sent.
        unsent: u64,
    },
    /// Planned requests and their ends do not add up: the books are wrong.
    BooksOpen {
        /// Which phase.
        phase: usize,
        /// Requests that were planned.
        planned: u64,
        /// Requests whose end was counted.
        ended: u64,
    },
    /// Little's law does not hold between the in-flight count and the latencies.
    LittleMismatch {
        /// Which phase.
        phase: usize,
        /// Mean requests in flight by counting starts and ends.
        counted: f64,
        /// Mean requests in flight by adding up how long each took.
        summed: f64,
    },
    /// The process did not run for a while: suspended, stopped or starved.
    Paused {
        /// When, in nanoseconds since the start of the run.
        at_ns: u64,
        /// For how long.
        for_ns: u64,
    },
    /// The wall clock was set while the run went on. Latencies do not depend on it.
    ClockStep {
        /// When it was noticed, in nanoseconds since the start of the run.
        at_ns: u64,
        /// By how much, in milliseconds.
        by_ms: i64,
    },
    /// A telemetry source stopped delivering.
    TelemetryLost {
        /// Which source.
        source: String,
        /// When, in nanoseconds since the start of the run.
        at_ns: u64,
        /// Why.
        reason: String,
    },
    /// The target is not as it should be before any load.
    Preflight {
        /// What is wrong.
        reason: String,
    },
    /// The token of the login ended before another one was there.
    TokenLapsed {
        /// When it ended, in nanoseconds since the start of the run.
        from_ns: u64,
        /// How long there was none, in nanoseconds.
        for_ns: u64,
    },
    /// Whoever answered, its certificate was not checked: the scenario says `insecure`.
    UncheckedCertificate,
    /// The journal could not be written, so that the load was stopped.
    JournalFailed {
        /// When, in nanoseconds since the start of the run.
        at_ns: u64,
        /// Why.
        reason: String,
    },
    /// A gate that says `abort` had certainly failed, so that the run was ended.
    Aborted {
        /// Which phase.
        phase: usize,
        /// The gate.
        gate: String,
        /// When, in nanoseconds since the start of the run.
        at_ns: u64,
    },
    /// The run was interrupted from outside.
    Interrupted {
        /// When, in nanoseconds since the start of the run.
        at_ns: u64,
    },
    /// The journal has no end: the process was killed or the machine went down.
    CutOff {
        /// The last moment that the journal knows.
        at_ns: u64,
    },
    /// Too few runs can be compared with this one, so that it was not compared.
    NoBaseline {
        /// What was asked for.
        asked: String,
        /// Comparable runs with PASS.
        found: usize,
        /// How many it takes.
        needed: usize,
    },
    /// The baseline was made under other circumstances.
    BaselineDiffers(Difference),
    /// Values of this source are made up.
    Simulated {
        /// Which source.
        source: String,
    },
}

impl Doubt {
    /// The phase it concerns; `None` for the whole run.
    pub fn phase(&self) -> Option<usize> {
        match self {
            Self::GeneratorBusy { phase, .. }
            | Self::GeneratorDelayed { phase, .. }
            | Self::GeneratorStarved { phase, .. }
            | Self::CpuStolen { phase, .. }
            | Self::GeneratorHolds { phase, .. }
            | Self::GeneratorNearLimit { phase, .. }
            | Self::NearCeiling { phase, .. }
            | Self::GeneratorGrows { phase, .. }
            | Self::WarmupTooShort { phase, .. }
            | Self::NeverSettled { phase, .. }
            | Self::Drifting { phase, .. }
            | Self::GeneratorLate { phase, .. }
            | Self::GeneratorShort { phase, .. }
            | Self::BooksOpen { phase, .. }
            | Self::LittleMismatch { phase, .. }
            | Self::Aborted { phase, .. } => Some(*phase),
            _ => None,
        }
    }

    /// Whether a judgement on the requests of the phase would rest on sand.
    pub fn undermines_requests(&self) -> bool {
        match self {
            Self::GeneratorBusy { busy, .. } => *busy > BUSY_LIMIT,
            Self::GeneratorDelayed { delay_p99_ns, .. } => *delay_p99_ns > LAG_LIMIT_NS,
            Self::GeneratorStarved { waited, .. } => *waited > WAITED_LIMIT,
            Self::CpuStolen { stolen, .. } => *stolen > STOLEN_LIMIT,
            Self::GeneratorHolds {
                in_flight,
                at_target,
                held_ns,
                ..
            } => held(*in_flight, *at_target) > HELD_LIMIT && *held_ns > LAG_LIMIT_NS,
            Self::GeneratorLate { .. }
            | Self::GeneratorShort { .. }
            | Self::BooksOpen { .. }
            | Self::LittleMismatch { .. }
            | Self::Paused { .. }
            | Self::Preflight { .. } => true,
            Self::GeneratorNearLimit { .. }
            | Self::NearCeiling { .. }
            | Self::PoorMachine { .. }
            | Self::GeneratorGrows { .. }
            | Self::WarmupTooShort { .. }
            | Self::NeverSettled { .. }
            | Self::Drifting { .. }
            | Self::ClockStep { .. }
            | Self::TelemetryLost { .. }
            | Self::TokenLapsed { .. }
            | Self::UncheckedCertificate
            | Self::JournalFailed { .. }
            | Self::Aborted { .. }
            | Self::Interrupted { .. }
            | Self::CutOff { .. }
            | Self::NoBaseline { .. }
            | Self::BaselineDiffers(_)
            | Self::Simulated { .. } => false,
        }
    }

    /// Whether it says that the generator, and not the target, was the limit.
    pub fn blames_generator(&self) -> bool {
        matches!(
            self,
            Self::GeneratorBusy { .. }
                | Self::GeneratorDelayed { .. }
                | Self::GeneratorStarved { .. }
                | Self::CpuStolen { .. }
                | Self::GeneratorHolds { .. }
                | Self::GeneratorLate { .. }
                | Self::Paused { .. }
        ) && self.undermines_requests()
    }

    /// Whether the run as a whole cannot PASS, even if every gate does.
    pub fn forbids_pass(&self) -> bool {
        matches!(
            self,
            Self::JournalFailed { .. }
                | Self::Aborted { .. }
                | Self::Interrupted { .. }
                | Self::CutOff { .. }
                | Self::Preflight { .. }
        )
    }
}

/// Above this share of busy time a worker's latencies are its own (measured: p50 too high by a factor
/// of two at 0.97).
pub const BUSY_LIMIT: f64 = 0.9;
/// Above this share the reader is told.
pub const BUSY_NOTICE: f64 = 0.7;

/// The share of requests in flight that the generator keeps to itself.
pub(super) fn held(in_flight: f64, at_target: f64) -> f64 {
    1.0 - at_target / in_flight
}

/// What a wait for a CPU does to requests shows in lateness, send lag, loop delay and requests held.
/// Above this share of time without one, not even those can be relied upon: they are measured by the
/// same threads.
pub(super) const WAITED_LIMIT: f64 = 0.5;
/// Above this share the reader is told.
pub(super) const WAITED_NOTICE: f64 = 0.1;
/// Above this share of stolen CPU time the machine is not the one that was asked for.
pub(super) const STOLEN_LIMIT: f64 = 0.1;
/// Above this share the reader is told.
pub(super) const STOLEN_NOTICE: f64 = 0.02;
/// Above this at p99 the reader is told that ready tasks wait; above [`LAG_LIMIT_NS`] it is too long.
pub(super) const DELAY_NOTICE_NS: u64 = 1_000_000;
/// Above this share of requests in flight that are not with the target, for more than [`LAG_LIMIT_NS`]
/// each, the load is another one.
pub(super) const HELD_LIMIT: f64 = 0.5;
/// Above this share the reader is told.
pub(super) const HELD_NOTICE: f64 = 0.2;
/// Above this share of descriptors or ports in use the reader is told. What is refused in the end is
/// counted as [`Doubt::GeneratorShort`].
pub(super) const NEAR_LIMIT: f64 = 0.8;

/// What a machine has only so much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LocalResource {
    /// Open files and connections of this process.
    Descriptors,
    /// Local ports for connections to one address.
    Ports,
}

/// More than this at p99 between intended start and send is the generator's fault, whatever the gate:
/// a server's p99 of 29 ms reads 67 ms when the generator lags by this order (`docs/load.md`).
pub const LAG_LIMIT_NS: u64 = 5_000_000;
/// The same, as a share of the gate's own limit where that is less.
pub const LAG_SHARE: f64 = 0.05;
/// A larger share of requests than this that could not be sent makes the load another one.
pub(super) const UNSENT_LIMIT: f64 = 0.01;
