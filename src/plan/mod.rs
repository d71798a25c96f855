//! Scenario + facts → Plan: all numbers resolved, and promises that no run could keep refused.
//!
//! Pure: data files, the number of cores and the like come in as [`Facts`].

mod check;
mod compile;
mod data;
mod load;
mod render;

pub use check::{Checks, Fault, printable};
pub use compile::{Facts, compile};
pub use render::{Draw, Renderer};

use crate::gate::{Gate, Objective};
use crate::record::{ArrivalInfo, LoadInfo, PhaseInfo, RequestInfo, ScenarioInfo, TargetInfo};
use crate::scenario::{DataOrder, ReferenceOptions, Telemetry};
use crate::schedule::{Arrivals, Load, Mix, Stop};
use crate::stream::StreamForm;
use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName};
use hyper::{Method, Uri};
use rand::RngExt;
use std::ops::Range;
use std::time::Duration;

/// Everything that a run needs to know, with nothing left to decide.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The scenario it came from.
    pub scenario: ScenarioInfo,
    /// The service under test.
    pub target: TargetPlan,
    /// The requests, in the order of the scenario.
    pub requests: Vec<RequestPlan>,
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

/// The service under test.
#[derive(Clone, Debug)]
pub struct TargetPlan {
    /// Where it is.
    pub address: TargetAddress,
    /// How long one request may take.
    pub timeout: Duration,
    /// The address as it may be shown.
    pub shown: String,
    /// After how many requests a connection is closed; `None` for as long as the server keeps it.
    pub most_uses: Option<u64>,
    /// Whether its name is resolved anew for every connection.
    pub resolves_each_time: bool,
    /// How TLS is spoken with it; `None` where the URL is not `https://`.
    pub tls: Option<TlsPlan>,
}

/// How TLS is spoken with the target.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TlsPlan {
    /// The certificates that vouch for the server, as PEM; `None` for the system's.
    pub ca: Option<String>,
    /// The client's own certificate chain and its key, as PEM.
    pub client: Option<(String, String)>,
    /// The name that the server's certificate must carry, if not the URL's host.
    pub server_name: Option<String>,
    /// Whether TLS 1.3 is the least that is accepted.
    pub only_1_3: bool,
    /// Whether any certificate is accepted.
    pub insecure: bool,
}

impl std::fmt::Debug for TlsPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsPlan")
            .field("server_name", &self.server_name)
            .field("only_1_3", &self.only_1_3)
            .field("insecure", &self.insecure)
            .finish_non_exhaustive()
    }
}

/// Where the service is.
#[derive(Clone, Debug, PartialEq)]
pub enum TargetAddress {
    /// The built-in reference API, to be started on a loopback port.
    Reference(ReferenceOptions),
    /// An HTTP URL.
    Http(BaseUrl),
}

/// An `http://` or `https://` URL that requests are relative to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    /// Host name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether TLS is spoken.
    pub secure: bool,
    /// Path before those of the requests; empty or beginning with `/`, never ending with it.
    pub prefix: String,
}

impl BaseUrl {
    fn usual_port(&self) -> u16 {
        if self.secure { 443 } else { 80 }
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    /// Host and port as they stand in a `Host` header.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        if self.port == self.usual_port() {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

/// One request, ready to be rendered.
#[derive(Clone, Debug)]
pub struct RequestPlan {
    /// Its name.
    pub name: String,
    /// The HTTP method.
    pub method: Method,
    /// The path as written in the scenario.
    pub shown_path: String,
    path: Renderer,
    headers: HeaderMap,
    changing_headers: Vec<(HeaderName, Renderer)>,
    body: Option<Renderer>,
    rows: Vec<Box<[Bytes]>>,
    order: DataOrder,
    checks: Checks,
    stream: Option<StreamForm>,
}

/// What changes from one sending of a request to the next; its memory is kept between them.
#[derive(Clone, Debug, Default)]
pub struct Rendered {
    /// Path and query, without the prefix of the target's URL.
    pub path: Vec<u8>,
    /// The values of [`RequestPlan::changing_headers`], in their order.
    pub header_values: Vec<Vec<u8>>,
    /// The body; empty for none.
    pub body: Vec<u8>,
}

impl RequestPlan {
    /// The row of the data file that the next request is rendered with.
    pub fn draw_row(&self, draw: &mut Draw<'_>) -> usize {
        match (self.rows.len(), self.order) {
            (0 | 1, _) => 0,
            (rows, DataOrder::Sequential) => {
                usize::try_from(draw.number % rows as u64).unwrap_or_default()
            }
            (rows, DataOrder::Random) => draw.random.random_range(0..rows),
        }
    }

    /// Whether every request is rendered to the same bytes.
    pub fn is_constant(&self) -> bool {
        self.path.constant().is_some()
            && self.changing_headers.is_empty()
            && self
                .body
                .as_ref()
                .is_none_or(|body| body.constant().is_some())
    }

    /// Renders one request.
    pub fn render(&self, row: usize, draw: &mut Draw<'_>, out: &mut Rendered) {
        let cells = self.cells(row);
        out.path.clear();
        self.path.render(cells, draw, &mut out.path);
        escape_path(&mut out.path);
        out.header_values
            .resize_with(self.changing_headers.len(), Vec::new);
        for ((_, renderer), value) in self.changing_headers.iter().zip(&mut out.header_values) {
            value.clear();
            renderer.render(cells, draw, value);
            // Data may hold what a header cannot carry; such bytes are left out.
            value.retain(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f));
        }
        out.body.clear();
        if let Some(body) = &self.body {
            body.render(cells, draw, &mut out.body);
        }
    }

    /// The headers that are always the same, without those of the connection.
    pub fn fixed_headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The names of the headers that are rendered anew each time.
    pub fn changing_headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.changing_headers.iter().map(|(name, _)| name)
    }

    fn cells(&self, row: usize) -> &[Bytes] {
        self.rows.get(row).map_or(&[], |cells| cells)
    }

    /// Whether the body of the answer must be kept until it is complete.
    pub fn needs_body(&self) -> bool {
        self.checks.need_body()
    }

    /// How the answer is streamed, if it is.
    pub fn stream(&self) -> Option<&StreamForm> {
        self.stream.as_ref()
    }

    /// Whether a status is right.
    pub fn status_is_right(&self, status: u16) -> bool {
        self.checks.status_is_right(status)
    }

    /// Judges an answer to the request that was rendered with this row.
    ///
    /// # Errors
    /// What is not as expected.
    pub fn judge(&self, status: u16, body: &[u8], row: usize) -> Result<(), Fault> {
        self.checks.judge(status, body, row, self.cells(row))
    }

    /// What the record keeps of it.
    pub fn info(&self) -> RequestInfo {
        RequestInfo {
            name: self.name.clone(),
            method: self.method.to_string(),
            path: self.shown_path.clone(),
        }
    }
}

/// Percent-encodes what data may bring into a path and HTTP does not allow there.
fn escape_path(path: &mut Vec<u8>) {
    let is_plain = |byte: u8| {
        (b'!'..=b'~').contains(&byte)
            && !matches!(byte, b'"' | b'<' | b'>' | b'`' | b'{' | b'}' | b'#')
    };
    if path.iter().all(|&byte| is_plain(byte)) {
        return;
    }
    let escaped: Vec<u8> = path
        .iter()
        .flat_map(|&byte| {
            if is_plain(byte) {
                vec![byte]
            } else {
                format!("%{byte:02X}").into_bytes()
            }
        })
        .collect();
    *path = escaped;
}

/// Whether this is a path that a request can carry.
fn is_path(path: &str) -> bool {
    path.starts_with('/') && path.parse::<Uri>().is_ok()
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
    /// How long requests in flight at the end may still take.
    pub drain: Duration,
    /// Which requests it sends.
    pub mix: Mix,
    /// Its gates.
    pub gates: Vec<PlannedGate>,
    /// What a request must do to count as good.
    pub objectives: Vec<Objective>,
    /// The same, as the user wrote it.
    pub slo: Vec<String>,
    /// Whether each request of the plan is answered by a stream.
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
    /// Whether a request is answered by a stream.
    pub fn streams(&self, request: usize) -> bool {
        self.streamed.get(request).copied().unwrap_or_default()
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

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
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
        }
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

    /// The largest number of connections that the plan opens at once.
    pub fn most_connections(&self) -> u32 {
        self.steps()
            .map(|step| {
                self.phases[step]
                    .iter()
                    .fold(0, |sum: u32, phase| sum.saturating_add(phase.load.slots()))
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
