//! What each doubt says, with what to do about it.

use super::super::figures::Difference;
use super::{BUSY_LIMIT, Doubt, LAG_LIMIT_NS, LocalResource, STOLEN_LIMIT, WAITED_LIMIT};
use crate::units;
use std::fmt;

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
                 `bench calibrate`; use more cores or more machines",
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
