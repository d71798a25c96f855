//! The journal: what is written while a run goes on, one entry a line, enough to rebuild everything.
//!
//! `store` writes and reads the lines; this is their meaning. A journal is only ever appended to, and
//! its last line may be cut off.

use super::doubt::Doubt;
use super::environment::Environment;
use super::figures::Baseline;
use super::load::LoadInfo;
use super::login::LoginRecord;
use super::packed::PackedLatencies;
use super::series::{Samples, SourceInfo};
use super::tally::Interval;
use crate::gate::{Part, PartKind};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The version of the journal's format. Readers refuse newer ones.
pub const JOURNAL_VERSION: u32 = 1;

/// One entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// The first entry: what was going to happen.
    RunStarted(Box<Header>),
    /// The telemetry sources, in the order by which [`Samples`] name them.
    Sources {
        /// All of them.
        sources: Vec<SourceInfo>,
    },
    /// The runs that this one is compared with.
    Baseline(Box<Baseline>),
    /// A phase began.
    PhaseStarted {
        /// Which phase of the header.
        phase: usize,
        /// When, in nanoseconds since the start of the run.
        at_ns: u64,
    },
    /// One second of a phase.
    Interval {
        /// Which phase of the header.
        phase: usize,
        /// What was counted.
        interval: Box<Interval<PackedLatencies>>,
    },
    /// Telemetry.
    Samples(Samples),
    /// A token was asked for.
    Login(LoginRecord),
    /// A phase ended, its drain included.
    PhaseEnded {
        /// Which phase of the header.
        phase: usize,
        /// The measured window, in nanoseconds since the start of the run.
        measured_from_ns: u64,
        /// Its end.
        measured_to_ns: u64,
        /// When the last request was over.
        at_ns: u64,
    },
    /// Something that weakens the measurement.
    Doubt(Doubt),
    /// The last entry.
    RunEnded {
        /// When, in nanoseconds since the start of the run.
        at_ns: u64,
    },
}

/// What was going to happen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`JOURNAL_VERSION`] of the writer.
    pub version: u32,
    /// The run's id, which is also the name of its folder.
    pub id: String,
    /// When the run began, UTC, RFC 3339.
    pub started_at: String,
    /// The scenario.
    pub scenario: ScenarioInfo,
    /// The service under test.
    pub target: TargetInfo,
    /// The requests of the scenario, then its flows.
    pub requests: Vec<RequestInfo>,
    /// The phases of the plan.
    pub phases: Vec<PhaseInfo>,
    /// Gates on the whole run, as the user wrote them.
    pub gates: Vec<String>,
    /// The seed of everything drawn at random.
    pub seed: u64,
    /// Threads that generated load.
    pub workers: usize,
    /// Where it took place.
    pub environment: Environment,
}

/// Where a part of the load is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartIndex {
    /// A request or a flow, by its position in the header.
    Unit(usize),
    /// A step, by its position among the steps of all flows.
    Step(usize),
}

/// Where a part of the load is counted that a gate names, among these requests and flows.
pub fn find_part(units: &[RequestInfo], part: &Part) -> Option<PartIndex> {
    match part.kind {
        PartKind::Request | PartKind::Flow => units
            .iter()
            .position(|unit| {
                unit.name == part.name && unit.steps.is_empty() == (part.kind == PartKind::Request)
            })
            .map(PartIndex::Unit),
        PartKind::Step => step_names(units)
            .position(|name| name == part.name)
            .map(PartIndex::Step),
    }
}

fn step_names(units: &[RequestInfo]) -> impl Iterator<Item = String> {
    units.iter().flat_map(|unit| {
        let steps = unit.steps.iter();
        steps.map(|step| format!("{}/{}", unit.name, step.name))
    })
}

impl Header {
    /// Where the requests, the flow or the step that a gate names are counted.
    pub fn find_part(&self, part: &Part) -> Option<PartIndex> {
        find_part(&self.requests, part)
    }

    /// Whatever is counted by itself: each request, and each flow before its steps, which are named
    /// `flow/step`.
    pub fn parts(&self) -> Vec<(Part, PartIndex)> {
        let part = |kind, name| Part { kind, name };
        let mut steps = self.step_names().enumerate();
        let mut all = Vec::new();
        for (index, unit) in self.requests.iter().enumerate() {
            let kind = if unit.steps.is_empty() {
                PartKind::Request
            } else {
                PartKind::Flow
            };
            all.push((part(kind, unit.name.clone()), PartIndex::Unit(index)));
            let own = steps.by_ref().take(unit.steps.len());
            all.extend(
                own.map(|(index, name)| (part(PartKind::Step, name), PartIndex::Step(index))),
            );
        }
        all
    }

    /// The same where there are several: one alone is all there is.
    pub fn several_parts(&self) -> Vec<(Part, PartIndex)> {
        let parts = self.parts();
        if parts.len() > 1 { parts } else { Vec::new() }
    }

    /// The names of the steps of all flows, in the order in which they are counted: `flow/step`.
    pub fn step_names(&self) -> impl Iterator<Item = String> {
        step_names(&self.requests)
    }
}

/// The scenario of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScenarioInfo {
    /// Its name.
    pub name: String,
    /// Its file, as it was given.
    pub file: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// The file itself, literal secrets blanked.
    pub text: String,
}

/// The service under test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetInfo {
    /// Its URL, without credentials.
    pub url: String,
    /// Whether it is the built-in reference API.
    pub reference: bool,
    /// How the reference API was told to misbehave, in words; empty if it was not.
    pub misbehaviour: String,
    /// How long one request could take, in nanoseconds.
    pub timeout_ns: u64,
    /// What was spoken with it.
    #[serde(default, skip_serializing_if = "ProtocolInfo::is_usual")]
    pub protocol: ProtocolInfo,
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProtocolInfo {
    /// HTTP/1.1: one request at a time on a connection.
    #[default]
    Http1,
    /// HTTP/2.
    Http2 {
        /// How many requests one connection carried at once.
        max_streams: u32,
    },
}

impl ProtocolInfo {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde hands it a reference"
    )]
    fn is_usual(&self) -> bool {
        *self == Self::Http1
    }
}

impl fmt::Display for ProtocolInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http1 => f.write_str("HTTP/1.1"),
            Self::Http2 { max_streams } => {
                write!(
                    f,
                    "HTTP/2, up to {max_streams} requests at once on a connection"
                )
            }
        }
    }
}

/// One request of the scenario, or one flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestInfo {
    /// Its name.
    pub name: String,
    /// Its method; of a flow none.
    pub method: String,
    /// Its path as written in the scenario; of a flow none.
    pub path: String,
    /// The steps of a flow; of a request none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepInfo>,
}

/// One step of a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepInfo {
    /// Its name.
    pub name: String,
    /// Its method.
    pub method: String,
    /// Its path as written in the scenario.
    pub path: String,
    /// Whether it is sent again and again until something has happened.
    pub polls: bool,
}

/// One phase of the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseInfo {
    /// Its name.
    pub name: String,
    /// What drives it.
    pub load: LoadInfo,
    /// The phases with the same group run side by side.
    pub group: Option<String>,
    /// How long at the start nothing was measured, in nanoseconds.
    pub warmup_ns: u64,
    /// How long it was to be measured, in nanoseconds, if that was how it ends.
    pub duration_ns: Option<u64>,
    /// It could end before that, once its gates were decided, but not before this time; 0 where the
    /// gates themselves say from when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_after_ns: Option<u64>,
    /// How many requests were to be measured, if that was how it ends.
    pub count: Option<u64>,
    /// How long requests in flight at the end could still take, in nanoseconds.
    pub drain_ns: u64,
    /// Its gates, as the user wrote them.
    pub gates: Vec<String>,
    /// What a request must do to count as good, as the user wrote it.
    #[serde(default)]
    pub slo: Vec<String>,
}
