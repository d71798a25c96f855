//! Scenario + facts → Plan: all numbers resolved, and promises that no run could keep refused.
//!
//! Pure: data files, the number of cores and the like come in as [`Facts`].

mod check;
mod compile;
mod data;
mod flow;
mod load;
mod login;
mod promises;
mod render;
mod request;
mod target;

pub use check::{Checks, Fault, Judged, Received, printable};
pub use compile::{Facts, compile};
pub use flow::{Captured, FlowPlan, PollPlan, SendPlan, StepPlan, Unit};
pub use login::{LoginPlan, Token};
pub use render::{Draw, Renderer};
pub use request::{Rendered, RequestPlan};
pub use target::{BaseUrl, TargetAddress, TargetPlan, TlsPlan};

use crate::gate::{Gate, Objective};
use crate::record::{
    ArrivalInfo, LoadInfo, PhaseInfo, ProtocolInfo, RequestInfo, ScenarioInfo, TargetInfo,
};
use crate::scenario::{Protocol, Telemetry};
use crate::schedule::{Arrivals, Load, Mix, Stop};
use crate::units::nanoseconds;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Everything that a run needs to know, with nothing left to decide.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The scenario it came from.
    pub scenario: ScenarioInfo,
    /// The service under test.
    pub target: TargetPlan,
    /// Everything that can be sent: the requests of the scenario, the steps of its flows, the login.
    pub requests: Vec<RequestPlan>,
    /// What the load consists of: the requests of the scenario, then its flows.
    pub units: Arc<[Unit]>,
    /// How a token is had; its request is the last one.
    pub login: Option<LoginPlan>,
    /// The phases, in order.
    pub phases: Vec<PhasePlan>,
    /// Gates on the whole run.
    pub gates: Vec<PlannedGate>,
    /// What is sampled beside the load.
    pub telemetry: Telemetry,
    /// The seed of everything drawn at random.
    pub seed: u64,
    /// Threads that generate load.
    pub workers: usize,
    /// The URL of the database that gets the run. It may hold a password.
    pub database: Option<String>,
    /// Texts that came from outside and must not appear in any record.
    pub secrets: Vec<String>,
}

/// One phase of the plan.
#[derive(Clone, Debug)]
pub struct PhasePlan {
    /// Its name.
    pub name: String,
    /// What drives it.
    pub load: Load,
    /// The phases with the same group run side by side; they follow each other in the plan.
    pub group: Option<String>,
    /// How long at the start nothing is measured.
    pub warmup: Duration,
    /// When its measured part ends.
    pub stop: Stop,
    /// It ends before that once its gates are decided, but not before this time; zero where the gates
    /// themselves say from when.
    pub decided_after: Option<Duration>,
    /// How long requests in flight at the end may still take.
    pub drain: Duration,
    /// Which units it sends.
    pub mix: Mix,
    /// All units of the plan.
    pub units: Arc<[Unit]>,
    /// Its gates.
    pub gates: Vec<PlannedGate>,
    /// What a request must do to count as good.
    pub objectives: Vec<Objective>,
    /// The same, as the user wrote it.
    pub slo: Vec<String>,
    /// Whether each unit of the plan is one request that is answered by a stream.
    pub streamed: Vec<bool>,
}

/// A gate with the words in which the user wrote it.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedGate {
    /// As the user wrote it.
    pub text: String,
    /// What it means.
    pub gate: Gate,
}

impl PhasePlan {
    /// Whether a unit is one request that is answered by a stream.
    pub fn streams(&self, unit: usize) -> bool {
        self.streamed.get(unit).copied().unwrap_or_default()
    }

    /// What the record keeps of it.
    pub fn info(&self) -> PhaseInfo {
        let (duration_ns, count) = match self.stop {
            Stop::After(duration) => (Some(nanoseconds(duration)), None),
            Stop::Count(count) => (None, Some(count)),
        };
        PhaseInfo {
            name: self.name.clone(),
            load: load_info(&self.load),
            group: self.group.clone(),
            warmup_ns: nanoseconds(self.warmup),
            duration_ns,
            decided_after_ns: self.decided_after.map(nanoseconds),
            count,
            drain_ns: nanoseconds(self.drain),
            gates: self.gates.iter().map(|gate| gate.text.clone()).collect(),
            slo: self.slo.clone(),
        }
    }
}

fn load_info(load: &Load) -> LoadInfo {
    match load {
        Load::Closed(closed) => LoadInfo::Concurrency {
            users: closed.users.clone(),
            think_time_ns: nanoseconds(closed.think_time),
        },
        Load::Open(open) => LoadInfo::Rate {
            rate: open.arrivals.rate(),
            arrival: match &open.arrivals {
                Arrivals::Rate { process, .. } => ArrivalInfo::Process(*process),
                Arrivals::Trace(_) => ArrivalInfo::Trace,
            },
            max_in_flight: open.max_in_flight,
            shed_after_ns: open.shed_after.map(nanoseconds),
        },
    }
}

impl Plan {
    /// What the record keeps of the target.
    pub fn target_info(&self) -> TargetInfo {
        let misbehaviour = match &self.target.address {
            TargetAddress::Reference(options) if options.misbehaves() => {
                options.describe_misbehaviour()
            }
            _ => String::new(),
        };
        TargetInfo {
            url: self.target.shown.clone(),
            reference: matches!(self.target.address, TargetAddress::Reference(_)),
            misbehaviour,
            timeout_ns: nanoseconds(self.target.timeout),
            protocol: match self.target.protocol {
                Protocol::Http1 => ProtocolInfo::Http1,
                Protocol::Http2 { most_streams } => ProtocolInfo::Http2 {
                    max_streams: most_streams,
                },
            },
        }
    }

    /// What the record keeps of the requests and flows.
    pub fn unit_infos(&self) -> Vec<RequestInfo> {
        let of_request = |request: usize| self.requests[request].info();
        self.units
            .iter()
            .map(|unit| unit.info(of_request))
            .collect()
    }

    /// The phases by what runs side by side: each of these begins when the one before has ended.
    pub fn steps(&self) -> impl Iterator<Item = Range<usize>> {
        let mut from = 0;
        self.phases
            .chunk_by(|a, b| a.group.is_some() && a.group == b.group)
            .map(move |step| {
                let range = from..from + step.len();
                from = range.end;
                range
            })
    }

    /// The largest number of connections that the plan opens at once. Over HTTP/2 there are more if the
    /// target allows fewer streams on each than the plan would use.
    pub fn most_connections(&self) -> u32 {
        let connections = |phase: &PhasePlan| match self.target.protocol {
            Protocol::Http1 => phase.load.slots(),
            Protocol::Http2 { most_streams } => {
                let workers = u32::try_from(self.workers).unwrap_or(u32::MAX).max(1);
                let slots = phase.load.slots();
                // Each worker has connections of its own.
                let each = slots.div_ceil(workers).div_ceil(most_streams.max(1));
                each.saturating_mul(workers.min(slots))
            }
        };
        self.steps()
            .map(|step| {
                self.phases[step]
                    .iter()
                    .fold(0, |sum: u32, phase| sum.saturating_add(connections(phase)))
            })
            .max()
            .unwrap_or(0)
    }

    /// How long the load takes if nothing goes wrong; `None` where a phase ends by count.
    pub fn planned_length(&self) -> Option<Duration> {
        self.steps()
            .map(|step| {
                self.phases[step]
                    .iter()
                    .map(|phase| match phase.stop {
                        Stop::After(duration) => Some(phase.warmup + duration),
                        Stop::Count(_) => None,
                    })
                    .try_fold(Duration::ZERO, |longest, length| Some(longest.max(length?)))
            })
            .sum()
    }
}
