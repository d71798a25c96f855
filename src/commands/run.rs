//! `bench run`: from a scenario to a verdict.

use super::baseline::{self, BaselineOptions};
use super::child::ServerChild;
use super::github::GitHub;
use super::history::Origin;
use super::input::CommandError;
use super::live::Follower;
use super::push::push_after_run;
use super::{Ending, Format, Output, ceiling, gpu_ceiling, preflight, signals, views};
use crate::engine::ports::{RunClock, Sink, Stop, WallClock};
use crate::engine::{self, Placement, Ports};
use crate::http::{HttpTarget, TcpConnect, TlsClient};
use crate::plan::{BaseUrl, PhasePlan, Plan, TargetAddress};
use crate::record::{
    Doubt, Entry, Environment, Header, JOURNAL_VERSION, RunRecord, ServiceCompute,
};
use crate::scenario::GpuSource;
use crate::store::{Address, JournalWriter, RunFolder, new_run_id, read_journal};
use crate::telemetry::{self, DcgmProbe, Sources};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::runtime::LocalOptions;
use tokio::sync::watch;

/// How a plan is run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The folder that gets the run's folder.
    pub results: PathBuf,
    /// Whether the target must answer once before any load is sent.
    pub preflight: bool,
    /// The database that gets the run when it is over; without, the one that the scenario names.
    pub database: Option<Address>,
    /// What the run is compared with, and the relative change that matters.
    pub baseline: Option<(String, f64)>,
    /// How long that may take.
    pub push_timeout: Duration,
    /// Whether the run is shown on the full screen of a terminal while it goes on.
    pub full_screen: bool,
    /// What is printed in the end.
    pub format: Format,
    /// Whether GitHub Actions is told even where it does not show itself.
    pub github: bool,
}

/// Runs a plan to its verdict.
///
/// # Errors
/// Everything that keeps the run from beginning. What happens later is in the record.
pub fn run(plan: &Plan, options: &RunOptions, output: Output) -> Result<Ending, CommandError> {
    let database = database(plan, options)?;
    let (record, folder) = measure(plan, options, output)?;
    let github = GitHub::detect(options.github);
    let ending = views::publish(&record, &folder, options.format, github.as_ref(), output);
    if let Some(address) = &database {
        push_after_run(&folder, &record, address, options.push_timeout, output);
    }
    ending
}

/// Runs a plan; nothing but its journal has been written then.
///
/// # Errors
/// Everything that keeps the run from beginning. What happens later is in the record.
pub(super) fn measure(
    plan: &Plan,
    options: &RunOptions,
    output: Output,
) -> Result<(RunRecord, RunFolder), CommandError> {
    preflight::check_machine(plan, &options.results)?;
    let started_at = jiff::Timestamp::now();
    let id = new_run_id(started_at, &plan.scenario.name);
    let (folder, journal) = RunFolder::create(&options.results, &id).map_err(|error| {
        CommandError::setup(
            error.to_string(),
            "choose a folder that can be written with --results",
        )
    })?;
    let mut sink = RunSink {
        journal,
        unsaved: Vec::new(),
        broken: false,
        follower: Follower::new(options.full_screen, output),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .map_err(|error| CommandError::setup(format!("cannot start a runtime: {error}"), ""))?;
    let run = Run {
        plan,
        options,
        folder: &folder,
        output,
        id,
        started_at: started_at.to_string(),
    };
    if let Err(error) = runtime.block_on(run.execute(&mut sink)) {
        folder.discard(&[TRUTH]);
        return Err(error);
    }
    let record = sink.into_record(&folder)?;
    Ok((record, folder))
}

/// The database that gets the run, if there is one.
fn database(plan: &Plan, options: &RunOptions) -> Result<Option<Address>, CommandError> {
    match (&options.database, &plan.database) {
        (Some(address), _) => Ok(Some(address.clone())),
        (None, None) => Ok(None),
        (None, Some(url)) => Address::parse(url).map(Some).map_err(|error| {
            CommandError::setup(error, "it is `database` of [history] in the scenario")
        }),
    }
}

/// What the reference API says it did, in the run's folder.
const TRUTH: &str = "reference-truth.json";

/// One execution of a plan.
struct Run<'a> {
    plan: &'a Plan,
    options: &'a RunOptions,
    folder: &'a RunFolder,
    output: Output,
    id: String,
    started_at: String,
}

impl Run<'_> {
    /// Sets everything up, runs the load, and takes everything down. All that happens after the
    /// header has been written is in the journal.
    async fn execute(&self, sink: &mut RunSink) -> Result<(), CommandError> {
        let stop = signals::watch_for_stop(Output {
            quiet: self.output.quiet || sink.follower.is_full_screen(),
            ..self.output
        });
        sink.follower.watch(stop.clone());
        let child = self.start_reference().await?;
        let url = match (&self.plan.target.address, &child) {
            (TargetAddress::Http(url), _) => url.clone(),
            (TargetAddress::Reference(_), child) => BaseUrl {
                host: "127.0.0.1".to_owned(),
                port: child.as_ref().map_or(0, |child| child.address.port()),
                secure: false,
                prefix: String::new(),
            },
        };
        let connect = TcpConnect::resolve(&url.host, url.port)
            .await
            .map(|connect| connect.resolving_each_time(self.plan.target.resolves_each_time));
        let (sources, environment) = self.look_around(connect.as_ref().ok(), child.as_ref(), &url);
        let mut beforehand = ceiling::known(&environment).doubts(self.plan);
        let ports = preflight::local_ports();
        beforehand.extend(preflight::machine_doubts(self.plan, &environment, ports));
        let (id, started_at) = (self.id.clone(), self.started_at.clone());
        let header = header(self.plan, id, started_at, environment);
        let baseline = match self.baseline(&header) {
            Ok(baseline) => baseline,
            Err(error) => {
                if let Some(child) = child {
                    child.stop().await;
                }
                return Err(error);
            }
        };
        sink.begin(header)?;
        if let Some(baseline) = baseline {
            // A disk that fails now is told when the views are written.
            let _ = sink.entry(baseline);
        }
        self.output.say(&format!(
            "{} against {}; results in {}",
            self.plan.scenario.name,
            self.plan.target.shown,
            self.folder.path().display()
        ));
        for doubt in beforehand {
            self.output.say(&format!("warning: {doubt}"));
            // A disk that fails now is told when the views are written.
            let _ = sink.entry(Entry::Doubt(doubt));
        }
        if self
            .plan
            .target
            .tls
            .as_ref()
            .is_some_and(|tls| tls.insecure)
        {
            // A disk that fails now is told when the views are written.
            let _ = sink.entry(Entry::Doubt(Doubt::UncheckedCertificate));
        }
        let target = connect
            .map_err(|error| format!("`{}` does not resolve: {error}", url.host))
            .and_then(|connect| match &self.plan.target.tls {
                Some(tls) => {
                    let protocol = self.plan.target.protocol;
                    Ok(connect.with_tls(TlsClient::new(tls, &url.host, protocol)?))
                }
                None => Ok(connect),
            })
            .and_then(|connect| HttpTarget::new(self.plan, &url, connect));
        let load = match target {
            Ok(target) => self.load(target, sources, stop, sink).await,
            Err(reason) => {
                refuse(sink, reason);
                Ok(())
            }
        };
        if let Some(child) = child {
            child.stop().await;
        }
        load
    }

    async fn start_reference(&self) -> Result<Option<ServerChild>, CommandError> {
        let TargetAddress::Reference(options) = &self.plan.target.address else {
            return Ok(None);
        };
        let truth = self.folder.path().join(TRUTH);
        ServerChild::reference(options, &truth).await.map(Some)
    }

    /// What can be sampled beside the load, and where the run takes place.
    fn look_around(
        &self,
        connect: Option<&TcpConnect>,
        child: Option<&ServerChild>,
        url: &BaseUrl,
    ) -> (Sources, Environment) {
        let addresses = connect.map_or(&[][..], TcpConnect::addresses);
        let processes = match child.and_then(ServerChild::pid) {
            Some(pid) => Ok(vec![pid]),
            None => telemetry::listeners(addresses),
        };
        // A tunnel has a local address; the GPUs behind it are elsewhere all the same.
        let local = telemetry::is_local(addresses)
            && !matches!(&processes, Err(unseen) if unseen.elsewhere);
        let mut sources = Sources::default();
        let (driver, gpus) = if let GpuSource::Dcgm(exporters) = &self.plan.telemetry.gpu {
            let probe = telemetry::dcgm_source(exporters);
            let seen = probe.as_ref().map_or((None, Vec::new()), DcgmProbe::gpus);
            sources.add(probe);
            seen
        } else {
            let probe = telemetry::gpu_source(&self.plan.telemetry, local);
            let seen = probe.as_ref().map_or((None, Vec::new()), |probe| {
                let nvml = probe.nvml();
                (Some(nvml.driver().to_owned()), nvml.gpus().to_vec())
            });
            sources.add_gpus(probe);
            seen
        };
        sources.add(telemetry::host_source(self.folder.path()));
        sources.add(telemetry::target_source(
            processes.map_err(|unseen| unseen.reason),
        ));
        sources.add(telemetry::generator_source(self.plan.workers, addresses));
        for source in &self.plan.telemetry.sources {
            let probe = telemetry::metric_source(source, (&url.host, url.port));
            sources.present.push(Box::new(probe));
        }
        if let Some(books) = child.and_then(|child| gpu_ceiling::books(child.compute.as_ref()?)) {
            let probe = telemetry::metric_source(&books, (&url.host, url.port));
            sources.present.push(Box::new(probe));
        }
        let scenario = Path::new(&self.plan.scenario.file);
        let folder = scenario.parent().unwrap_or(Path::new(""));
        let environment = Environment {
            compute: child.and_then(|child| self.compute_of(child)),
            ..telemetry::environment(folder, driver, gpus)
        };
        (sources, environment)
    }

    /// What computes the answers of the reference API, with what its GPU was measured to be able to do.
    fn compute_of(&self, child: &ServerChild) -> Option<ServiceCompute> {
        let compute = child.compute.clone()?;
        let ceiling = gpu_ceiling::of(&self.options.results, &compute);
        Some(ServiceCompute { ceiling, ..compute })
    }

    /// What the run is compared with, if it is: in the database, where there is one, else in folders.
    fn baseline(&self, header: &Header) -> Result<Option<Entry>, CommandError> {
        let Some((asked, margin)) = self.options.baseline.clone() else {
            return Ok(None);
        };
        let results = self.options.results.clone();
        let origin = match database(self.plan, self.options)? {
            Some(address) => Origin::Database(Box::new(address)),
            None => Origin::Folders(results.clone()),
        };
        let options = BaselineOptions {
            origin,
            results,
            asked,
            margin,
        };
        // On a thread of its own: this one drives asynchronous tasks, and asking a database is one more.
        let find = || baseline::look_up(&options, header, self.output);
        std::thread::scope(|scope| scope.spawn(find).join())
            .unwrap_or_else(|fault| std::panic::resume_unwind(fault))
            .map(Some)
    }

    async fn load(
        &self,
        target: HttpTarget<TcpConnect>,
        sources: Sources,
        stop: watch::Receiver<Stop>,
        sink: &mut RunSink,
    ) -> Result<(), CommandError> {
        let logged_in = match engine::log_in(self.plan, &target, RunClock::start()).await {
            Ok(logged_in) => logged_in,
            Err(reason) => {
                refuse(sink, reason);
                return Ok(());
            }
        };
        if self.options.preflight
            && let Err(reason) = preflight::check_target(self.plan, &target).await
        {
            refuse(sink, reason);
            return Ok(());
        }
        let ports = Ports {
            target,
            probes: sources.present,
            absent: sources.absent,
            sink,
            stop,
            wall: &SystemWall,
            logged_in,
            placement: Placement::Threads,
        };
        engine::run(self.plan, RunClock::start(), ports)
            .await
            .map_err(|fault| {
                CommandError::setup(fault.to_string(), "please report this fault of bench")
            })
    }
}

/// What is going to happen, for the journal.
pub(super) fn header(
    plan: &Plan,
    id: String,
    started_at: String,
    environment: Environment,
) -> Header {
    Header {
        version: JOURNAL_VERSION,
        id,
        started_at,
        scenario: plan.scenario.clone(),
        target: plan.target_info(),
        requests: plan.unit_infos(),
        phases: plan.phases.iter().map(PhasePlan::info).collect(),
        gates: plan.gates.iter().map(|gate| gate.text.clone()).collect(),
        seed: plan.seed,
        workers: plan.workers,
        environment,
    }
}

/// Ends a run before any load.
fn refuse(sink: &mut RunSink, reason: String) {
    for entry in [
        Entry::Doubt(Doubt::Preflight { reason }),
        Entry::RunEnded { at_ns: 0 },
    ] {
        // A disk that fails now is told when the views are written.
        let _ = sink.entry(entry);
    }
}

/// Writes the journal and shows the progress. What the disk does not take stays in memory: the engine
/// stops the load then, so that it is little.
struct RunSink {
    journal: JournalWriter,
    unsaved: Vec<Entry>,
    broken: bool,
    follower: Follower,
}

impl RunSink {
    /// Writes the header, without which there is no run.
    fn begin(&mut self, header: Header) -> Result<(), CommandError> {
        self.follower.begin(&header);
        let entry = Entry::RunStarted(Box::new(header));
        self.journal.append(&entry).map_err(|error| {
            CommandError::setup(error.to_string(), "choose another folder with --results")
        })
    }

    fn append(&mut self, entry: &Entry) -> Result<(), String> {
        self.journal
            .append(entry)
            .map_err(|error| error.to_string())?;
        if matches!(entry, Entry::PhaseEnded { .. } | Entry::RunEnded { .. }) {
            self.journal.sync().map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// The record of the run: the journal on disk, and what the disk did not take.
    fn into_record(self, folder: &RunFolder) -> Result<RunRecord, CommandError> {
        let broken = |message: String| {
            CommandError::setup(
                format!("the journal cannot be read back: {message}"),
                "`bench report` can be tried on the run's folder",
            )
        };
        let mut entries = read_journal(&folder.journal_path()).map_err(broken)?;
        entries.extend(self.unsaved);
        RunRecord::from_journal(entries).map_err(|error| broken(error.to_string()))
    }
}

impl Sink for RunSink {
    fn entry(&mut self, entry: Entry) -> Result<(), String> {
        self.follower.entry(&entry);
        if self.broken {
            self.unsaved.push(entry);
            return Ok(());
        }
        let written = self.append(&entry);
        if written.is_err() {
            self.broken = true;
            self.unsaved.push(entry);
        }
        written
    }
}

/// The system's wall clock.
pub(super) struct SystemWall;

impl WallClock for SystemWall {
    fn unix_ms(&self) -> i64 {
        jiff::Timestamp::now().as_millisecond()
    }
}
