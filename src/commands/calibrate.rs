//! `bench calibrate`: measures what this machine can generate, and keeps it for later runs.
//!
//! Each step is a run of the real engine against a server on this machine that does nothing but
//! answer, in a process of its own. A load counts as generated where no doubt about the generator
//! would keep a run from being judged: the same limits as in every run. TLS, HTTP/2 and streams cost
//! other amounts of CPU than plain requests, and have ceilings of their own.

use super::ceiling::state_folder;
use super::child::ServerChild;
use super::input::{CommandError, usable_cores};
use super::preflight::local_ports;
use super::run::{SystemWall, header};
use super::{Ending, Format, Output, signals};
use crate::diag::SourceText;
use crate::engine::ports::{RunClock, Sink, Stop};
use crate::engine::{self, Placement, Ports};
use crate::http::{HttpTarget, TcpConnect, TlsClient};
use crate::plan::{self, Facts, Plan, TargetAddress};
use crate::record::{
    CALIBRATION_SCHEMA, Calibration, CalibrationStep, Distribution as _, Doubt, EVENTS_PER_SECOND,
    Entry, Environment, Instrument, KindCalibration, LoadUnit, Machine, PhaseRecord, Program,
    RunRecord, TrafficKind,
};
use crate::report;
use crate::scenario::{self, Lookup};
use crate::store;
use crate::telemetry::{self, Sources};
use crate::units;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How this machine is measured.
#[derive(Clone, Debug)]
pub struct CalibrateOptions {
    /// Whether a short look suffices.
    pub quick: bool,
    /// Threads that generate load; `None` for one for each core.
    pub workers: Option<usize>,
    /// Where the result is kept; `None` for the usual folder.
    pub state: Option<PathBuf>,
    /// What is printed in the end.
    pub format: Format,
}

/// How long steps take, and everything.
struct Pace {
    step: Duration,
    /// For plain requests, and for each other kind of traffic.
    plain: Duration,
    other: Duration,
    /// How often the gap between the last rate that held and the first that did not is halved.
    halvings: u32,
    /// How often a step is tried that did not hold.
    tries: u32,
    users: &'static [u32],
    streams: &'static [u32],
}

const QUICK: Pace = Pace {
    step: Duration::from_secs(1),
    plain: Duration::from_secs(38),
    other: Duration::from_secs(14),
    halvings: 1,
    tries: 1,
    users: &[100, 1000, 5000],
    streams: &[100, 1000],
};
const FULL: Pace = Pace {
    step: Duration::from_secs(3),
    plain: Duration::from_secs(135),
    other: Duration::from_secs(45),
    halvings: 3,
    tries: 2,
    users: &[100, 1000, 2000, 5000, 10_000, 20_000],
    streams: &[100, 500, 1000, 2000, 5000],
};

/// The rates that are tried, until one does not hold.
const RATES: [f64; 9] = [
    100.0, 1000.0, 5000.0, 10_000.0, 20_000.0, 50_000.0, 100_000.0, 200_000.0, 500_000.0,
];
/// What other kinds of traffic than plain requests begin with, as a share of what plain ones reach.
const FIRST_SHARE: f64 = 0.1;
/// How many events a stream has.
const EVENTS: u32 = 100;
/// The share of the events that must come where the server keeps up.
const LEAST_EVENTS: f64 = 0.9;
/// Users of the closed loop that shows what is left without pacing.
const UNPACED_USERS: u32 = 100;
/// Descriptors of this process and of the server beside their connections.
const OTHER_DESCRIPTORS: u64 = 256;

/// Measures this machine.
///
/// # Errors
/// When the server cannot be started, or the result not be kept.
pub fn calibrate(options: &CalibrateOptions, output: Output) -> Result<Ending, CommandError> {
    let state = options.state.clone().or_else(state_folder).ok_or_else(|| {
        CommandError::setup(
            "there is no folder to keep the calibration in: neither BENCH_STATE_DIR nor XDG_STATE_HOME nor HOME is set",
            "name one with --state",
        )
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::setup(format!("cannot start a runtime: {error}"), ""))?;
    let Some(found) = runtime.block_on(measure(options, output))? else {
        output.say("interrupted: nothing is kept");
        return Ok(Ending::Interrupted);
    };
    let path = store::save_calibration(&state, &found).map_err(|error| {
        CommandError::setup(error.to_string(), "choose another folder with --state")
    })?;
    output.say(&format!("\nkept in {}\n", path.display()));
    output.result(&match options.format {
        Format::Text => report::calibration_text(&found, output.width()),
        Format::Json => report::calibration_json(&found),
    });
    Ok(Ending::Done)
}

/// Measures; `None` when it was interrupted.
async fn measure(
    options: &CalibrateOptions,
    output: Output,
) -> Result<Option<Calibration>, CommandError> {
    let pace = if options.quick { QUICK } else { FULL };
    let cores = usable_cores();
    let workers = options.workers.unwrap_or(cores);
    // As many descriptors as the hard limit gives: both processes hold an end of each connection, and
    // the child inherits what is raised now.
    let most_users = pace.users.iter().copied().max().unwrap_or(0);
    let wanted = u64::from(most_users) + OTHER_DESCRIPTORS;
    if telemetry::raise_descriptors(wanted).is_err()
        && let Ok(limits) = telemetry::descriptors()
    {
        let _ = telemetry::raise_descriptors(limits.hard);
    }
    let server_threads = cores.div_ceil(2);
    let stop = signals::watch_for_stop(output);
    let environment = telemetry::environment(Path::new("."), None, Vec::new());
    let mut kinds: Vec<KindCalibration> = Vec::new();
    let mut cut_short = false;
    for kind in TrafficKind::ALL {
        let server = ServerChild::null(server_threads, kind).await?;
        let mut bench = Bench {
            kind,
            address: server.address,
            workers,
            stop: stop.clone(),
            environment: environment.clone(),
            ends_at: Instant::now()
                + match kind {
                    TrafficKind::Http1 => pace.plain,
                    _ => pace.other,
                },
            pace: &pace,
            output,
            cut_short: false,
        };
        let plain = kinds
            .first()
            .and_then(|plain| plain.ceiling(LoadUnit::Rate));
        let found = bench.everything(plain).await;
        cut_short |= bench.cut_short;
        server.stop().await;
        kinds.push(found?);
    }
    if *stop.borrow() != Stop::Go {
        return Ok(None);
    }
    Ok(Some(Calibration {
        schema: CALIBRATION_SCHEMA.to_owned(),
        program: Program::this(),
        made_at: jiff::Timestamp::now().to_string(),
        quick: options.quick,
        cut_short,
        machine: Machine::of(&environment),
        workers,
        server_threads,
        kinds,
    }))
}

/// What the steps of one kind of traffic have in common.
struct Bench<'a> {
    kind: TrafficKind,
    address: SocketAddr,
    workers: usize,
    stop: watch::Receiver<Stop>,
    environment: Environment,
    ends_at: Instant,
    pace: &'a Pace,
    output: Output,
    cut_short: bool,
}

impl Bench<'_> {
    /// Everything of this kind; `plain` is the rate that plain requests reach.
    async fn everything(&mut self, plain: Option<f64>) -> Result<KindCalibration, CommandError> {
        let mut found = KindCalibration {
            kind: self.kind,
            closed_loop_rps: None,
            floor_ns: None,
            rates: Vec::new(),
            users: Vec::new(),
        };
        if self.kind == TrafficKind::Streams {
            found.users = self.users(self.pace.streams).await?;
            return Ok(found);
        }
        let floor = self.run(&self.closed(1, 0)).await?;
        let unpaced = self.run(&self.closed(UNPACED_USERS, 0)).await?;
        found.floor_ns = floor.as_ref().and_then(only_phase).and_then(|phase| {
            let at = |quantile| phase.total.response.quantile_ns(quantile);
            Some((at(0.5)?, at(0.99)?))
        });
        let closed_loop_rps = unpaced
            .as_ref()
            .and_then(only_phase)
            .map_or(0.0, PhaseRecord::throughput);
        found.closed_loop_rps = Some(closed_loop_rps);
        self.output.say(&format!(
            "{}, {UNPACED_USERS} users without a pause: {}/s",
            self.kind.words(),
            units::number(closed_loop_rps)
        ));
        let first = plain.map_or(0.0, |plain| plain * FIRST_SHARE);
        found.rates = self.rates(first, closed_loop_rps).await?;
        if self.kind == TrafficKind::Http1 {
            found.users = self.users(self.pace.users).await?;
        }
        Ok(found)
    }

    /// Rates from the first one upwards until one does not hold, then between the last that did and that
    /// one.
    async fn rates(
        &mut self,
        first: f64,
        closed_loop_rps: f64,
    ) -> Result<Vec<CalibrationStep>, CommandError> {
        let mut steps = Vec::new();
        let mut held: Option<f64> = None;
        let mut failed: Option<f64> = None;
        // What even an unpaced loop does not reach need not be tried in full.
        let highest = closed_loop_rps * 1.25;
        // The lowest is always tried.
        let rates = RATES
            .into_iter()
            .filter(|rate| *rate >= first || *rate == RATES[0]);
        for rate in rates {
            if rate > highest && failed.is_none() && held.is_some() {
                failed = Some(highest);
                break;
            }
            let Some(step) = self.step(LoadUnit::Rate, rate).await? else {
                return Ok(steps);
            };
            let has_held = step.short_of.is_none();
            steps.push(step);
            if !has_held {
                failed = Some(rate);
                break;
            }
            held = Some(rate);
        }
        let (Some(mut low), Some(mut high)) = (held, failed) else {
            return Ok(steps);
        };
        for _ in 0..self.pace.halvings {
            // Two digits are as much as such a figure is worth.
            let rate = two_digits((low * high).sqrt());
            if rate <= low || rate >= high {
                break;
            }
            let Some(step) = self.step(LoadUnit::Rate, rate).await? else {
                break;
            };
            if step.short_of.is_none() {
                low = rate;
            } else {
                high = rate;
            }
            steps.push(step);
        }
        steps.sort_by(|a, b| a.level.total_cmp(&b.level));
        Ok(steps)
    }

    /// Numbers of users upwards until one does not hold, as far as descriptors and ports reach.
    async fn users(&mut self, levels: &[u32]) -> Result<Vec<CalibrationStep>, CommandError> {
        let descriptors = telemetry::descriptors().map_or(u64::MAX, |limits| limits.soft);
        let ports = local_ports().unwrap_or(u64::MAX);
        let most = descriptors.saturating_sub(OTHER_DESCRIPTORS).min(ports);
        let mut steps = Vec::new();
        for &users in levels {
            if u64::from(users) > most {
                self.output.say(&format!(
                    "{users} concurrent: not tried, the limits of this machine are {descriptors} descriptors and {ports} ports"
                ));
                break;
            }
            let Some(step) = self.step(LoadUnit::Concurrency, users.into()).await? else {
                break;
            };
            let has_held = step.short_of.is_none();
            steps.push(step);
            if !has_held {
                break;
            }
        }
        Ok(steps)
    }

    /// Tries one load; `None` when time has run out or the user has had enough.
    async fn step(
        &mut self,
        unit: LoadUnit,
        level: f64,
    ) -> Result<Option<CalibrationStep>, CommandError> {
        let text = match unit {
            LoadUnit::Rate => self.open(level),
            LoadUnit::Concurrency => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "it comes from a list of whole numbers"
                )]
                let users = level as u32;
                match self.kind {
                    TrafficKind::Streams => self.streams(users),
                    _ => self.closed(users, SLOW_MS),
                }
            }
        };
        let mut last = None;
        for _ in 0..self.pace.tries {
            let Some(record) = self.run(&text).await? else {
                break;
            };
            let Some(mut step) = only_phase(&record).map(|phase| step_of(&record, phase, level))
            else {
                break;
            };
            if self.kind == TrafficKind::Streams && step.short_of.is_none() {
                step.short_of = missing_events(&step);
            }
            let has_held = step.short_of.is_none();
            last = Some(step);
            if has_held {
                break;
            }
        }
        if let Some(step) = &last {
            self.output
                .say(&report::calibration_step_line(self.kind, unit, step));
        }
        Ok(last)
    }

    fn open(&self, rate: f64) -> String {
        let seconds = self.pace.step.as_secs();
        let phase = format!(
            "rate = {rate:?}\nwarmup = \"1s\"\nduration = \"{seconds}s\"\nmax_in_flight = 1000\ndrain = \"1s\""
        );
        self.scenario("/", "", &phase)
    }

    /// Users that each get their answers after so many milliseconds. They begin one after the other:
    /// all at once they would come as one clump for ever.
    fn closed(&self, users: u32, delay_ms: u64) -> String {
        let seconds = self.pace.step.as_secs();
        if delay_ms == 0 {
            let phase = format!(
                "concurrency = {users}\nwarmup = \"1s\"\nduration = \"{seconds}s\"\ndrain = \"1s\""
            );
            return self.scenario("/", "", &phase);
        }
        let phase = format!(
            "concurrency = [{{ to = {users}, over = \"{delay_ms}ms\" }}, {{ at = {users}, for = \"{}s\" }}]\n\
             warmup = \"{delay_ms}ms\"\ndrain = \"3s\"",
            seconds.max(2)
        );
        self.scenario(&format!("/after/{delay_ms}"), "", &phase)
    }

    /// Users that each read one stream after the other.
    fn streams(&self, users: u32) -> String {
        let seconds = self.pace.step.as_secs().max(2);
        let gap_ms = 1000 / EVENTS_PER_SECOND;
        let length_ms = EVENTS * gap_ms;
        let phase = format!(
            "concurrency = [{{ to = {users}, over = \"{length_ms}ms\" }}, {{ at = {users}, for = \"{seconds}s\" }}]\n\
             warmup = \"{length_ms}ms\"\ndrain = \"3s\""
        );
        let form = "stream = \"sse\"\nshape = \"openai-chat\"\n";
        self.scenario(&format!("/events/{EVENTS}/{gap_ms}"), form, &phase)
    }

    fn scenario(&self, path: &str, request: &str, phase: &str) -> String {
        let address = self.address;
        let target = match self.kind {
            TrafficKind::Http1 | TrafficKind::Streams => format!("url = \"http://{address}\""),
            // The certificate is one that the server made for itself a moment ago.
            TrafficKind::Tls => format!("url = \"https://{address}\"\ntls = {{ insecure = true }}"),
            TrafficKind::Http2 => format!("url = \"http://{address}\"\nhttp = \"2\""),
        };
        format!(
            "name = \"calibration\"\n[target]\n{target}\ntimeout = \"5s\"\n\
             [request.get]\npath = \"{path}\"\n{request}[[phase]]\nname = \"load\"\n{phase}\n\
             [telemetry]\ngpu = \"none\"\n"
        )
    }

    /// Runs a scenario and returns its record; `None` when time has run out or it was interrupted.
    async fn run(&mut self, text: &str) -> Result<Option<RunRecord>, CommandError> {
        if *self.stop.borrow() != Stop::Go {
            return Ok(None);
        }
        let plan = compile(text, self.workers)?;
        let length = plan.planned_length().unwrap_or_default();
        if Instant::now() + length > self.ends_at {
            self.cut_short = true;
            return Ok(None);
        }
        let broken = |error: String| CommandError::setup(format!("cannot calibrate: {error}"), "");
        let TargetAddress::Http(url) = &plan.target.address else {
            return Ok(None);
        };
        let connect = TcpConnect::resolve(&url.host, url.port)
            .await
            .map_err(|error| broken(error.to_string()))?;
        let connect = match &plan.target.tls {
            None => connect,
            Some(tls) => {
                let client = TlsClient::new(tls, &url.host, plan.target.protocol);
                connect.with_tls(client.map_err(broken)?)
            }
        };
        let target = HttpTarget::new(&plan, url, connect).map_err(broken)?;
        let mut sources = Sources::default();
        sources.add(telemetry::host_source(Path::new(".")));
        sources.add(telemetry::generator_source(plan.workers, &[self.address]));
        let started_at = jiff::Timestamp::now().to_string();
        let environment = self.environment.clone();
        let first = header(&plan, "calibration".to_owned(), started_at, environment);
        let mut kept = Kept(vec![Entry::RunStarted(Box::new(first))]);
        let ports = Ports {
            target,
            probes: sources.present,
            absent: sources.absent,
            sink: &mut kept,
            stop: self.stop.clone(),
            wall: &SystemWall,
            logged_in: None,
            placement: Placement::Threads,
        };
        engine::run(&plan, RunClock::start(), ports)
            .await
            .map_err(|fault| broken(fault.to_string()))?;
        let record = RunRecord::from_journal(kept.0).map_err(|error| broken(error.to_string()))?;
        let interrupted = *self.stop.borrow() != Stop::Go;
        Ok((!interrupted).then_some(record))
    }
}

/// How long the server takes for an answer where many users wait at once.
const SLOW_MS: u64 = 1000;

fn compile(text: &str, workers: usize) -> Result<Plan, CommandError> {
    let source = SourceText::new("calibration", text);
    let (scenario, mut found) = scenario::parse(&source, &NoLookup);
    let facts = Facts {
        cores: workers,
        ..Facts::default()
    };
    plan::compile(&scenario, &facts, 1).map_err(|more| {
        found.extend(more);
        CommandError::Scenario(Box::new((source, found)))
    })
}

fn only_phase(record: &RunRecord) -> Option<&PhaseRecord> {
    record.phases.first()
}

fn step_of(record: &RunRecord, phase: &PhaseRecord, level: f64) -> CalibrationStep {
    let seen = Instrument::of(record, phase);
    let at = |quantile| phase.lateness.quantile_ns(quantile);
    let outcomes = &phase.total.outcomes;
    let doubt = record
        .doubts
        .iter()
        .find(|doubt| doubt.undermines_requests());
    CalibrationStep {
        level,
        throughput_rps: phase.throughput(),
        lateness_ns: at(0.5).zip(at(0.99)),
        loop_delay_p99_ns: seen.loop_delay_p99_ns,
        busiest_worker: seen.busiest_worker,
        short_of: doubt.map(Doubt::to_string).or_else(|| {
            (outcomes.not_ok() > 0).then(|| {
                format!(
                    "{} of {} requests were not answered",
                    outcomes.not_ok(),
                    outcomes.total()
                )
            })
        }),
    }
}

/// Why a step of streams does not count: their events did not all come, though nothing speaks against the
/// generator.
fn missing_events(step: &CalibrationStep) -> Option<String> {
    let came = step.throughput_rps * f64::from(EVENTS);
    let wanted = step.level * f64::from(EVENTS_PER_SECOND);
    (came < wanted * LEAST_EVENTS).then(|| {
        format!(
            "{} of {} events a second came",
            units::number(came),
            units::number(wanted)
        )
    })
}

/// A number with two significant digits.
fn two_digits(value: f64) -> f64 {
    format!("{value:.1e}").parse().unwrap_or(value)
}

/// Keeps the entries of a step in memory.
struct Kept(Vec<Entry>);

impl Sink for Kept {
    fn entry(&mut self, entry: Entry) -> Result<(), String> {
        self.0.push(entry);
        Ok(())
    }
}

/// A scenario that is made here names nothing.
struct NoLookup;

impl Lookup for NoLookup {
    fn variable(&self, _name: &str) -> Option<String> {
        None
    }

    fn file(&self, path: &str) -> Result<String, String> {
        Err(format!("`{path}` is not looked for"))
    }
}
