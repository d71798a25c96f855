//! Doubts: whatever weakens a measurement, as typed values that are stored, printed and judged.

use super::capacity::LoadUnit;
use super::figures::Difference;
use crate::units;
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

impl LocalResource {
    /// In words, and what to do when they run short.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Descriptors => (
                "of the file descriptors it may have",
                "raise the limit (`ulimit -Hn`), or lower `concurrency` or `max_in_flight`",
            ),
            Self::Ports => (
                "of this machine's local ports for connections to the target",
                "widen net.ipv4.ip_local_port_range, or keep connections open",
            ),
        }
    }
}

/// More than this at p99 between intended start and send is the generator's fault, whatever the gate:
/// a server's p99 of 29 ms reads 67 ms when the generator lags by this order (`docs/load.md`).
pub const LAG_LIMIT_NS: u64 = 5_000_000;
/// The same, as a share of the gate's own limit where that is less.
pub const LAG_SHARE: f64 = 0.05;
/// A larger share of requests than this that could not be sent makes the load another one.
pub(super) const UNSENT_LIMIT: f64 = 0.01;

/// How a doubt begins that takes the blame from the target.
const BOTTLENECK: &str = "the generator was the bottleneck";

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |ns: u64| units::seconds(ns as f64 / 1e9);
        match self {
            Self::GeneratorBusy { busy, .. } if *busy > BUSY_LIMIT => write!(
                f,
                "the generator was the bottleneck: its busiest worker was busy {} of the time; \
                 give it more cores, a machine of its own, or less load",
                units::percent(*busy)
            ),
            Self::GeneratorBusy { busy, .. } => write!(
                f,
                "the generator was busy: its busiest worker was occupied {} of the time, \
                 which adds to the upper percentiles",
                units::percent(*busy)
            ),
            Self::GeneratorDelayed { delay_p99_ns, .. } => {
                let was = if self.undermines_requests() {
                    BOTTLENECK
                } else {
                    "the generator was slow to react"
                };
                write!(
                    f,
                    "{was}: its tasks that were ready waited {} at p99 for their turn (limit {}); give it \
                     more cores, or less load",
                    time(*delay_p99_ns),
                    time(LAG_LIMIT_NS)
                )
            }
            Self::GeneratorStarved { waited, .. } => {
                let was = if self.undermines_requests() {
                    BOTTLENECK
                } else {
                    "the generator had to wait for a CPU"
                };
                write!(
                    f,
                    "{was}: a worker that was ready had no CPU for {} of the time (limit {}); stop what \
                     else runs here, or give it cores or a machine of its own",
                    units::percent(*waited),
                    units::percent(WAITED_LIMIT)
                )
            }
            Self::CpuStolen { stolen, .. } => {
                let was = if self.undermines_requests() {
                    BOTTLENECK
                } else {
                    "the generator's machine was disturbed"
                };
                write!(
                    f,
                    "{was}: the hypervisor gave {} of its CPU time to others (limit {}); use a machine \
                     with dedicated CPUs",
                    units::percent(*stolen),
                    units::percent(STOLEN_LIMIT)
                )
            }
            Self::GeneratorHolds {
                in_flight,
                at_target,
                held_ns,
                ..
            } => {
                let was = if self.undermines_requests() {
                    BOTTLENECK
                } else {
                    "the generator held requests back"
                };
                write!(
                    f,
                    "{was}: of {} requests in flight only {} were with the target (throughput × service \
                     time), each waited here for {} on average; give it more cores, or less load",
                    units::number(*in_flight),
                    units::number(*at_target),
                    time(*held_ns)
                )
            }
            Self::GeneratorNearLimit { resource, used, .. } => {
                let (what, remedy) = resource.words();
                write!(
                    f,
                    "the generator came near a limit: {} {what} were in use; {remedy}",
                    units::percent(*used)
                )
            }
            Self::PoorMachine { reason } => write!(f, "this machine: {reason}"),
            Self::NearCeiling {
                unit,
                asked,
                ceiling,
                ..
            } => write!(
                f,
                "the load is {} of what this machine was shown to generate: {} asked for, {} shown by \
                 `bench calibrate` with small plain requests; use more cores or more machines",
                units::percent(asked / ceiling),
                unit.describe(*asked),
                unit.describe(*ceiling)
            ),
            Self::WarmupTooShort {
                series, unlike_ns, ..
            } => write!(
                f,
                "the warm-up was too short: the first {} of the measured window differ in {series} from the rest; lengthen `warmup` by that",
                time(*unlike_ns)
            ),
            Self::NeverSettled { series, change, .. } => write!(
                f,
                "the phase never settled: {series} {} by {} and was still changing in the second half of the \
                 measured window",
                if *change > 0.0 { "rose" } else { "fell" },
                units::percent(change.abs())
            ),
            Self::Drifting { series, change, .. } => write!(
                f,
                "the phase drifts: {series} {} by {} from the begin to the end of the measured window",
                if *change > 0.0 { "rose" } else { "fell" },
                units::percent(change.abs())
            ),
            Self::GeneratorGrows {
                bytes_per_second, ..
            } => write!(
                f,
                "the generator's own memory grew by {}/h: growth of this host's memory is not the target's alone",
                units::bytes(*bytes_per_second * 3600.0)
            ),
            Self::GeneratorLate {
                lag_p99_ns,
                limit_ns,
                ..
            } => write!(
                f,
                "the generator was the bottleneck: it added {} at p99 before requests left, and {} can \
                 be borne; give it more cores, a machine of its own, or less load",
                time(*lag_p99_ns),
                time(*limit_ns)
            ),
            Self::GeneratorShort {
                planned, unsent, ..
            } => write!(
                f,
                "the generator was the bottleneck: {unsent} of {planned} requests found no descriptor or \
                 port here; raise the limits, or lower `concurrency` or `max_in_flight`"
            ),
            Self::BooksOpen { planned, ended, .. } => write!(
                f,
                "{planned} requests were planned and {ended} accounted for: please report this fault of bench"
            ),
            Self::LittleMismatch {
                counted, summed, ..
            } => write!(
                f,
                "Little's law does not hold: {} requests in flight by counting, {} by their latencies",
                units::number(*counted),
                units::number(*summed)
            ),
            Self::Paused { at_ns, for_ns } => write!(
                f,
                "the generator stood still for {} at {}: suspended, stopped or starved of CPU",
                time(*for_ns),
                time(*at_ns)
            ),
            Self::ClockStep { at_ns, by_ms } => write!(
                f,
                "the wall clock was set by {} ms at {}; latencies are measured on the monotonic clock",
                by_ms,
                time(*at_ns)
            ),
            Self::TelemetryLost {
                source,
                at_ns,
                reason,
            } => write!(
                f,
                "telemetry `{source}` was lost at {}: {reason}",
                time(*at_ns)
            ),
            Self::TokenLapsed { from_ns, for_ns } => write!(
                f,
                "the token of the login ended at {}, and for {} there was no other: requests \
                 were refused meanwhile",
                time(*from_ns),
                time(*for_ns)
            ),
            Self::UncheckedCertificate => f.write_str(
                "the target's certificate was not checked (`insecure = true`): \
                 anyone may have answered in its name",
            ),
            Self::Preflight { reason } => write!(f, "no load was sent: {reason}"),
            Self::JournalFailed { at_ns, reason } => write!(
                f,
                "the load was stopped at {}, because the journal could not be written: {reason}",
                time(*at_ns)
            ),
            Self::Aborted { gate, at_ns, .. } => write!(
                f,
                "ended at {}, because `{gate}` had failed and says `abort`",
                time(*at_ns)
            ),
            Self::Interrupted { at_ns } => write!(f, "interrupted at {}", time(*at_ns)),
            Self::CutOff { at_ns } => write!(
                f,
                "the journal ends at {} without an end: bench was killed or the machine went down",
                time(*at_ns)
            ),
            Self::NoBaseline {
                asked,
                found,
                needed,
            } => write!(
                f,
                "not compared with `{asked}`: {found} comparable run{} with PASS, and how runs vary of \
                 themselves shows in {needed}",
                if *found == 1 { "" } else { "s" }
            ),
            Self::BaselineDiffers(Difference { what, old, new }) => {
                write!(f, "the baseline differs in {what}: {old}, and {new} here")
            }
            Self::Simulated { source } => {
                write!(
                    f,
                    "telemetry `{source}` is SIMULATED: its values are made up"
                )
            }
        }
    }
}
