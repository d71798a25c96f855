//! What several test modules share: an in-memory HTTP server, plans from scenario text, and sinks.

pub(crate) mod authority;
pub(crate) mod http2;
pub(crate) mod http2_service;
pub(crate) mod memory;
#[cfg(target_os = "linux")]
pub(crate) mod postgres;
pub(crate) mod program;
pub(crate) mod records;
pub(crate) mod tcp;

use bench::diag::SourceText;
use bench::engine::ports::{Probe, RunClock, Sink, Stop, WallClock};
use bench::engine::{self, Placement, Ports};
use bench::http::{Connect, HttpTarget, TcpConnect};
use bench::plan::{self, Facts, Plan, TargetAddress};
use bench::record::{Entry, Environment, Header, JOURNAL_VERSION, RunRecord};
use bench::scenario::{self, Lookup};
use std::cell::Cell;
use std::collections::BTreeMap;
use tokio::sync::watch;
use tokio::task::LocalSet;

/// Variables and secret files of a test.
#[derive(Default)]
pub(crate) struct Outside(pub(crate) BTreeMap<String, String>);

impl Lookup for Outside {
    fn variable(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    fn file(&self, path: &str) -> Result<String, String> {
        self.0
            .get(path)
            .cloned()
            .ok_or_else(|| format!("cannot read `{path}`: no such file"))
    }
}

/// A plan from scenario text that has no faults.
pub(crate) fn plan_with(text: &str, workers: usize, files: &[(&str, &str)]) -> Plan {
    let source = SourceText::new("test.toml", text);
    let (scenario, found) = scenario::parse(&source, &Outside::default());
    assert!(found.is_empty(), "{found}");
    let facts = Facts {
        data_files: files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), Ok((*text).to_owned())))
            .collect(),
        cores: workers,
    };
    plan::compile(&scenario, &facts, 42).unwrap_or_else(|found| panic!("{found}"))
}

/// A scenario against the in-memory server, with one request and these phases.
pub(crate) fn scenario_text(phases: &str) -> String {
    format!(
        r#"
name = "test"
[target]
url = "http://memory"
timeout = "2s"
[request.get]
path = "/"
{phases}
"#
    )
}

/// Keeps all entries; fails from a given entry on, if told so.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) entries: Vec<Entry>,
    pub(crate) fails_from: Option<usize>,
}

impl Sink for Kept {
    fn entry(&mut self, entry: Entry) -> Result<(), String> {
        self.entries.push(entry);
        match self.fails_from {
            Some(from) if self.entries.len() > from => Err("no space left on device".to_owned()),
            _ => Ok(()),
        }
    }
}

/// A wall clock that runs with the test's time and can be set.
#[derive(Default)]
pub(crate) struct FakeWall {
    pub(crate) steps: Vec<(std::time::Duration, i64)>,
    pub(crate) origin: Cell<Option<tokio::time::Instant>>,
}

impl WallClock for FakeWall {
    fn unix_ms(&self) -> i64 {
        let now = tokio::time::Instant::now();
        let origin = self.origin.get().unwrap_or(now);
        self.origin.set(Some(origin));
        let elapsed = now - origin;
        let steps: i64 = self
            .steps
            .iter()
            .filter(|(at, _)| elapsed >= *at)
            .map(|(_, by)| by)
            .sum();
        1_700_000_000_000 + i64::try_from(elapsed.as_millis()).unwrap() + steps
    }
}

/// What a test changes about a run; the default is a plain one.
#[derive(Default)]
pub(crate) struct Circumstances {
    pub(crate) probes: Vec<Box<dyn Probe>>,
    pub(crate) wall: FakeWall,
    pub(crate) sink: Kept,
    /// Stops the run after this time.
    pub(crate) stop: Option<(std::time::Duration, Stop)>,
}

/// Runs a plan against the in-memory server under a paused clock, and returns all entries.
pub(crate) fn entries_of(plan: &Plan, server: &impl Connect, with: Circumstances) -> Vec<Entry> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let mut sink = with.sink;
    LocalSet::new().block_on(&runtime, async {
        let clock = RunClock::of_runtime();
        let TargetAddress::Http(url) = &plan.target.address else {
            panic!("the in-memory server is reached by URL");
        };
        let target = HttpTarget::new(plan, url, server.clone()).unwrap();
        let logged_in = engine::log_in(plan, &target, clock).await.unwrap();
        let (sender, stop) = watch::channel(Stop::Go);
        let stopper = with.stop;
        tokio::task::spawn_local(async move {
            if let Some((after, level)) = stopper {
                tokio::time::sleep(after).await;
                sender.send_replace(level);
            }
            // Kept open: a closed channel is its own case.
            std::future::pending::<()>().await;
            drop(sender);
        });
        sink.entry(Entry::RunStarted(Box::new(header(plan))))
            .unwrap();
        let ports = Ports {
            target,
            probes: with.probes,
            absent: Vec::new(),
            sink: &mut sink,
            stop,
            wall: &with.wall,
            logged_in,
            placement: Placement::SameThread,
        };
        engine::run(plan, clock, ports).await.unwrap();
    });
    sink.entries
}

/// Runs a plan against the in-memory server under a paused clock.
pub(crate) fn run(plan: &Plan, server: &impl Connect) -> RunRecord {
    run_with(plan, server, Circumstances::default())
}

/// The same, under special circumstances.
pub(crate) fn run_with(plan: &Plan, server: &impl Connect, with: Circumstances) -> RunRecord {
    let entries = entries_of(plan, server, with);
    RunRecord::from_journal(entries).unwrap()
}

/// Runs a plan as a measurement does: against real sockets, each worker on a thread of its own.
pub(crate) fn run_on_threads(plan: &Plan, probes: Vec<Box<dyn Probe>>) -> RunRecord {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut sink = Kept::default();
    sink.entry(Entry::RunStarted(Box::new(header(plan))))
        .unwrap();
    runtime.block_on(async {
        let TargetAddress::Http(url) = &plan.target.address else {
            panic!("the target is a URL");
        };
        let connect = TcpConnect::resolve(&url.host, url.port).await.unwrap();
        // Kept open: a closed channel is its own case.
        let (_open, stop) = watch::channel(Stop::Go);
        let ports = Ports {
            target: HttpTarget::new(plan, url, connect).unwrap(),
            probes,
            absent: Vec::new(),
            sink: &mut sink,
            stop,
            wall: &FakeWall::default(),
            logged_in: None,
            placement: Placement::Threads,
        };
        engine::run(plan, RunClock::start(), ports).await.unwrap();
    });
    RunRecord::from_journal(sink.entries).unwrap()
}

pub(crate) fn header(plan: &Plan) -> Header {
    Header {
        version: JOURNAL_VERSION,
        id: "test-run".to_owned(),
        started_at: "2026-11-23T07:36:12Z".to_owned(),
        scenario: plan.scenario.clone(),
        target: plan.target_info(),
        requests: plan.unit_infos(),
        phases: plan.phases.iter().map(plan::PhasePlan::info).collect(),
        gates: plan.gates.iter().map(|gate| gate.text.clone()).collect(),
        seed: plan.seed,
        workers: plan.workers,
        environment: Environment::default(),
    }
}
