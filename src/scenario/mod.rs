//! The scenario file: TOML text in, a [`Scenario`] and every fault out.
//!
//! Pure: environment variables and secret files come in through [`Lookup`]; data files are named
//! here and read elsewhere.

mod connection;
mod decode;
mod expand;
mod flow;
mod history;
mod json;
mod load;
mod login;
mod parse;
mod phase;
mod reference;
mod request;
mod retry;
mod stream;
mod target;
mod telemetry;
mod template;

pub use connection::{Connecting, Protocol, Tls};
pub use decode::Located;
pub use expand::{Lookup, Text};
pub use flow::{Capture, CaptureSource, Condition, Flow, Poll, Step};
pub use json::JsonTemplate;
pub use load::{PhaseLoad, Sending};
pub use login::{Login, Validity};
pub use parse::parse;
pub use reference::{BackendChoice, Delay, GpuChoice, Precision, ReferenceOptions, Scaling, Stall};
pub use telemetry::{
    Combine, DcgmSource, Endpoint, GpuSource, HttpUrl, MetricSource, Select, SourceMetric, Take,
    Telemetry,
};
pub use template::{Part, Template};

use crate::diag::SourceText;
use crate::gate::{Gate, Objective};
use crate::schedule::Retry;
use crate::stream::StreamForm;
use std::ops::Range;
use std::time::Duration;

/// A scenario file, read.
///
/// Where the file had faults, the parts that could not be read are left out, so that later passes
/// can look for faults of their own in the rest.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The file as it was read.
    pub source: SourceText,
    /// Bytes of the file that hold a literal secret and must be blanked before it is stored.
    pub literal_secrets: Vec<Range<usize>>,
    /// The name of the scenario.
    pub name: String,
    /// The service under test.
    pub target: Target,
    /// The requests in the order of the file.
    pub requests: Vec<Request>,
    /// The flows in the order of the file.
    pub flows: Vec<Flow>,
    /// How a token is had, if requests need one.
    pub login: Option<Login>,
    /// The names of all requests and then of all flows, also of those that could not be read.
    pub unit_names: Vec<String>,
    /// How many of the names are those of requests.
    pub request_count: usize,
    /// The phases in the order of the file.
    pub phases: Vec<Phase>,
    /// Gates on the whole run.
    pub gates: Vec<ScenarioGate>,
    /// What a request must do to count as good, in phases that do not say otherwise.
    pub slo: Vec<ScenarioObjective>,
    /// What is sampled beside the load.
    pub telemetry: Telemetry,
    /// The URL of the database that gets its runs. It may hold a password.
    pub database: Option<Text>,
}

/// What the load consists of.
#[derive(Clone, Copy, Debug)]
pub enum Unit<'a> {
    /// A request of its own.
    Request(&'a Request),
    /// Several, one after the other.
    Flow(&'a Flow),
}

impl Scenario {
    /// The request or flow with this position in [`Scenario::unit_names`], if it could be read.
    pub fn unit(&self, position: usize) -> Option<Unit<'_>> {
        let name = self.unit_names.get(position)?;
        if position < self.request_count {
            let mut requests = self.requests.iter();
            let request = requests.find(|known| known.name.value == *name);
            return request.map(Unit::Request);
        }
        let flow = self.flows.iter().find(|known| known.name.value == *name);
        flow.map(Unit::Flow)
    }

    /// Every request that can be sent: those of their own, the steps of flows, and the login.
    pub fn all_requests(&self) -> impl Iterator<Item = &Request> {
        let steps = self.flows.iter().flat_map(|flow| &flow.steps);
        let login = self.login.iter().map(|login| &login.request);
        self.requests
            .iter()
            .chain(steps.map(|step| &step.request))
            .chain(login)
    }
}

/// The service under test.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its base URL, or `reference`.
    pub url: Text,
    /// How long one request may take.
    pub timeout: Duration,
    /// Headers of every request.
    pub headers: Vec<Header>,
    /// How connections to it are made.
    pub connecting: Connecting,
    /// How the reference API is set up, if it is the target.
    pub reference: ReferenceOptions,
}

/// One HTTP header.
#[derive(Clone, Debug)]
pub struct Header {
    /// The name, in lower case.
    pub name: Located<String>,
    /// The value.
    pub value: Template,
    /// Parts of the value that must never be shown.
    pub secrets: Vec<String>,
}

/// One named request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its name.
    pub name: Located<String>,
    /// The HTTP method.
    pub method: String,
    /// Path and query, joined to the target's URL.
    pub path: Template,
    /// Headers beside those of the target.
    pub headers: Vec<Header>,
    /// What is sent.
    pub body: Body,
    /// The data file that `{{data.…}}` draws from.
    pub data: Option<Data>,
    /// How often it is chosen, relative to the others of its phase.
    pub weight: u32,
    /// What counts as success.
    pub expect: Expect,
    /// How the answer is streamed, if it is.
    pub stream: Option<StreamForm>,
    /// Whether and how it is tried again; `None` for not.
    pub retry: Option<Retry>,
    /// Parts of path and body that must never be shown.
    pub secrets: Vec<String>,
}

/// The body of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// None.
    Empty,
    /// JSON.
    Json(JsonTemplate),
    /// Any other text.
    Text(Template),
}

/// A data file and how it is drawn from.
#[derive(Clone, Debug, PartialEq)]
pub struct Data {
    /// The file, relative to the folder of the scenario.
    pub file: Located<String>,
    /// In which order rows are taken.
    pub order: DataOrder,
}

/// In which order the rows of a data file are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataOrder {
    /// From the first to the last, then again.
    Sequential,
    /// Each request draws a row at random, from the run's seed.
    Random,
}

/// What counts as success.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    /// The statuses that are right; empty for any 2xx.
    pub status: Vec<u16>,
    /// JSON pointers into the body, and what stands there.
    pub json: Vec<JsonExpectation>,
    /// Texts that the body must contain.
    pub body: Vec<Template>,
}

/// One condition on a JSON body.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonExpectation {
    /// A JSON pointer (RFC 6901).
    pub pointer: String,
    /// The value that must stand there.
    pub value: JsonTemplate,
    /// Where the condition stands in the scenario.
    pub span: Range<usize>,
}

/// A stretch of load.
#[derive(Clone, Debug)]
pub struct Phase {
    /// Its name.
    pub name: Located<String>,
    /// What drives it.
    pub load: PhaseLoad,
    /// The phases with the same group run side by side.
    pub group: Option<Located<String>>,
    /// How long at the start nothing is measured.
    pub warmup: Duration,
    /// When it ends.
    pub length: Located<Length>,
    /// It ends before that once its gates are decided, but not before this time; zero where that is
    /// left to the gates.
    pub decided: Option<Located<Duration>>,
    /// How long requests in flight at the end may still take; `None` for the target's timeout.
    pub drain: Option<Duration>,
    /// The requests and flows it runs, as indexes into [`Scenario::unit_names`]; `None` for all.
    pub units: Option<Vec<usize>>,
    /// Its gates.
    pub gates: Vec<ScenarioGate>,
    /// What a request must do to count as good; `None` for what the scenario says.
    pub slo: Option<Vec<ScenarioObjective>>,
}

/// An objective as it stands in the scenario.
#[derive(Clone, Debug)]
pub struct ScenarioObjective {
    /// As the user wrote it.
    pub text: String,
    /// What it means.
    pub objective: Objective,
    /// Where it stands.
    pub span: Range<usize>,
}

/// When the measured part of a phase ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// After this long.
    Duration(Duration),
    /// After this many requests.
    Count(u64),
    /// When its load has run through: the stages of its rate or concurrency, or its trace.
    OfLoad,
}

/// A gate as it stands in the scenario.
#[derive(Clone, Debug)]
pub struct ScenarioGate {
    /// As the user wrote it.
    pub text: String,
    /// What it means.
    pub gate: Gate,
    /// Where it stands.
    pub span: Range<usize>,
}
