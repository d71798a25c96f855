//! The arguments of each subcommand.

use super::calibrate::{CalibrateArgs, NullServerArgs};
use super::database::{DatabaseArgs, DbArgs, PushArgs};
use super::first_steps::{CompletionsArgs, DocsArgs, DoctorArgs, ExplainArgs, InitArgs};
use super::gpu::{AgentArgs, GpuArgs};
use super::history::{BaselineArgs, HistoryArgs, OriginArgs, PruneArgs, RegressionArgs, ShowArgs};
use crate::commands::{
    self, CapacityOptions, CommandError, Format, JudgeOptions, Loaded, RunOptions, ServeOptions,
};
use crate::scenario::{
    BackendChoice, Delay, GpuChoice, Precision, ReferenceOptions, Scaling, Stall,
};
use crate::units;
use anstream::ColorChoice;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// The performance gate that a GPU inference service must pass before a release.
///
/// Drives real load against an HTTP API, watches the GPUs and hosts behind it on the same clock, and
/// ends in a verdict: PASS, FAIL or INCONCLUSIVE, with the evidence in a report.
#[derive(Debug, Parser)]
#[command(name = "bench", version, propagate_version = true, after_help = EXIT_CODES)]
pub(super) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
    /// Say nothing but the result.
    #[arg(long, short, global = true)]
    pub(super) quiet: bool,
    /// When to use colour; `NO_COLOR` is heeded.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(super) color: When,
}

const EXIT_CODES: &str = "\
Exit codes:
    0  PASS, or the command did its work
    1  FAIL: a gate was missed
    2  the arguments, the scenario or this machine do not allow the run
    3  INCONCLUSIVE: the evidence does not suffice
  130  interrupted; there is a partial report";

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write a commented scenario, from answers, from flags, or from an OpenAPI document.
    Init(InitArgs),
    /// Run a scenario and judge it by its gates.
    Run(RunCommand),
    /// Search for the highest load that still passes the gates of a phase.
    Capacity(CapacityArgs),
    /// Read a scenario and print its plan, without sending anything.
    Check(CheckArgs),
    /// Build the reports of a run again from its journal, also of one that was cut off.
    Report(ReportArgs),
    /// List earlier runs, or show how a metric went over them.
    History(HistoryArgs),
    /// Show an earlier run in a few numbers.
    Show(ShowArgs),
    /// Judge whether a run is worse than the runs before it.
    Regression(RegressionArgs),
    /// Send runs to the database that a team shares.
    Push(PushArgs),
    /// Look after that database.
    Db(DbArgs),
    /// Choose the run that others of its scenario and environment are compared with.
    Baseline(BaselineArgs),
    /// Remove runs that no rule keeps.
    Prune(PruneArgs),
    /// Compare new runs with old ones: better, same, worse or unclear.
    Compare(CompareArgs),
    /// Judge a finished run again, by its own gates and by new ones.
    Judge(JudgeArgs),
    /// Serve the built-in reference inference API.
    Serve(ServeArgs),
    /// Measure what the GPUs of this host can do, and find those that are sick.
    Gpu(GpuArgs),
    /// Measure how much load this machine can generate.
    Calibrate(CalibrateArgs),
    /// Offer this host's GPU telemetry to runs that are driven from another host.
    Agent(AgentArgs),
    /// Say what this machine lacks for generating load and watching GPUs.
    Doctor(DoctorArgs),
    /// Explain a code of a finding or a doubt, or list all of them.
    Explain(ExplainArgs),
    /// Print the JSON Schema of scenarios, for editors.
    Schema,
    /// Print completions for a shell.
    Completions(CompletionsArgs),
    /// Print the man page: `bench man > bench.1`.
    Man,
    /// Serve nothing but answers, for `bench calibrate`.
    #[command(hide = true)]
    NullServer(NullServerArgs),
    /// Print a page of the documentation that is made from the code.
    #[command(hide = true)]
    Docs(DocsArgs),
}

/// When to use colour.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum When {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl From<When> for ColorChoice {
    fn from(when: When) -> Self {
        match when {
            When::Auto => Self::Auto,
            When::Always => Self::Always,
            When::Never => Self::Never,
        }
    }
}

/// What is printed on stdout in the end.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum FormatArg {
    /// Tables for people.
    Text,
    /// The contents of run.json.
    Json,
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Text => Self::Text,
            FormatArg::Json => Self::Json,
        }
    }
}

/// What a scenario is read with.
#[derive(Debug, Args)]
pub(super) struct ScenarioArgs {
    /// The scenario file.
    #[arg(value_name = "SCENARIO")]
    pub(super) scenario: PathBuf,
    /// Seed of everything drawn at random.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
    /// Threads that generate load [default: one for each core].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) workers: Option<u16>,
}

impl ScenarioArgs {
    /// Reads the scenario.
    pub(super) fn load(&self) -> Result<Loaded, CommandError> {
        commands::load(&self.scenario, self.seed, self.workers.map(usize::from))
    }
}

/// Arguments of `bench run`.
#[derive(Debug, Args)]
pub(super) struct RunCommand {
    #[command(flatten)]
    pub(super) run: RunArgs,
    /// Show the run on the whole terminal while it goes on: rates, latencies, GPUs, gates so far.
    #[arg(long, conflicts_with = "quiet")]
    pub(super) tui: bool,
    #[command(flatten)]
    pub(super) baseline: ComparedWith,
}

/// What a run is compared with.
#[derive(Debug, Args)]
pub(super) struct ComparedWith {
    /// Compare the run with earlier ones as part of its verdict: `last-pass` for those with PASS of the
    /// same scenario and environment, a name given with `bench baseline`, or runs separated by commas.
    #[arg(long, value_name = "RUN")]
    baseline: Option<String>,
    /// The relative change that matters.
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = margin)]
    baseline_margin: f64,
}

impl ComparedWith {
    pub(super) fn wanted(self) -> Option<(String, f64)> {
        Some((self.baseline?, self.baseline_margin))
    }
}

/// A change that is no change cannot be excluded by any number of runs.
fn margin(text: &str) -> Result<f64, String> {
    match units::parse_ratio(text) {
        Ok(share) if (0.001..=1.0).contains(&share) => Ok(share),
        Ok(_) => Err("a margin lies between 0.1% and 100%".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// What `bench run` and `bench capacity` have in common.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) scenario: ScenarioArgs,
    /// Folder that gets the folder of the run.
    #[arg(long, value_name = "FOLDER", default_value = "results")]
    pub(super) results: PathBuf,
    /// Send the load even if the target does not answer as expected at first.
    #[arg(long)]
    pub(super) no_preflight: bool,
    /// What to print in the end.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(super) format: FormatArg,
    /// Write the step summary, annotations and outputs of GitHub Actions. In a job of GitHub Actions
    /// this happens by itself.
    #[arg(long)]
    pub(super) github: bool,
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    /// How long sending the run to the database may take.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = units::parse_duration)]
    pub(super) push_timeout: Duration,
}

impl From<&RunArgs> for RunOptions {
    fn from(args: &RunArgs) -> Self {
        Self {
            results: args.results.clone(),
            preflight: !args.no_preflight,
            full_screen: false,
            database: None,
            baseline: None,
            push_timeout: args.push_timeout,
            format: args.format.into(),
            github: args.github,
        }
    }
}

/// Arguments of `bench capacity`.
#[derive(Debug, Args)]
pub(super) struct CapacityArgs {
    #[command(flatten)]
    pub(super) run: RunArgs,
    /// The phase whose rate or concurrency is varied [default: the first].
    #[arg(long, value_name = "NAME")]
    phase: Option<String>,
    /// The first level that is tried [default: that of the phase].
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    from: Option<f64>,
    /// The highest level that is tried [default: 64 times the first].
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    to: Option<f64>,
    /// How close the level that passes and the one that does not must come.
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = resolution)]
    resolution: f64,
    /// How long each level is measured, after the phase's own warm-up.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = long_enough)]
    probe: Duration,
    /// How long the level that was found must hold.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = long_enough)]
    hold: Duration,
}

impl From<&CapacityArgs> for CapacityOptions {
    fn from(args: &CapacityArgs) -> Self {
        Self {
            run: (&args.run).into(),
            phase: args.phase.clone(),
            from: args.from,
            to: args.to,
            resolution: args.resolution,
            probe: args.probe,
            hold: args.hold,
        }
    }
}

fn level(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(level) if level.is_finite() && level > 0.0 => Ok(level),
        _ => Err("a level is a number above 0".to_owned()),
    }
}

fn resolution(text: &str) -> Result<f64, String> {
    match units::parse_ratio(text) {
        Ok(share) if (0.005..=1.0).contains(&share) => Ok(share),
        Ok(_) => Err("a resolution lies between 0.5% and 100%".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Less than two seconds do not show how requests hang together, and cannot be judged.
fn long_enough(text: &str) -> Result<Duration, String> {
    match units::parse_duration(text) {
        Ok(duration) if duration >= Duration::from_secs(2) => Ok(duration),
        Ok(_) => Err("a level must be measured for 2s at least".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Arguments of `bench check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    pub(super) scenario: ScenarioArgs,
}

/// Arguments of `bench report`.
#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// The run: its folder, its id or the beginning of it, `last` or `last-pass`.
    #[arg(value_name = "RUN")]
    pub(super) run: String,
    /// Folder with the folders of runs.
    #[arg(long, value_name = "FOLDER", default_value = "results")]
    pub(super) results: PathBuf,
    /// What to print in the end.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(super) format: FormatArg,
    /// Write the step summary, annotations and outputs of GitHub Actions.
    #[arg(long)]
    pub(super) github: bool,
}

/// Arguments of `bench compare`.
#[derive(Debug, Args)]
pub(super) struct CompareArgs {
    /// The old runs, separated by commas: folders, ids, or `last`. How runs vary of themselves shows
    /// only in three or more. Or one record of a GPU suite, with another as NEW.
    #[arg(
        value_name = "OLD",
        value_delimiter = ',',
        num_args = 1,
        required = true
    )]
    pub(super) old: Vec<String>,
    /// The new runs, separated by commas.
    #[arg(
        value_name = "NEW",
        value_delimiter = ',',
        num_args = 1,
        required = true
    )]
    pub(super) new: Vec<String>,
    /// The relative change that matters.
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = margin)]
    pub(super) margin: f64,
    /// The runs alternated, old and new: compare them pair by pair.
    #[arg(long)]
    pub(super) paired: bool,
    #[command(flatten)]
    pub(super) origin: OriginArgs,
    /// What to print.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(super) format: FormatArg,
}

/// Arguments of `bench judge`.
#[derive(Debug, Args)]
pub(super) struct JudgeArgs {
    /// The run: its folder, its id below the folder of results, or `last`.
    #[arg(value_name = "RUN")]
    pub(super) run: String,
    /// A gate beside its own, on the whole run or, with a phase's name in front, on that:
    /// `c100: response.p99 < 100ms`. May be given several times.
    #[arg(long = "gate", value_name = "GATE")]
    pub(super) gates: Vec<String>,
    /// Leave out the run's own gates.
    #[arg(long, requires = "gates")]
    pub(super) only: bool,
    /// Folder with the folders of runs.
    #[arg(long, value_name = "FOLDER", default_value = "results")]
    pub(super) results: PathBuf,
    /// What to print.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(super) format: FormatArg,
}

impl From<&JudgeArgs> for JudgeOptions {
    fn from(args: &JudgeArgs) -> Self {
        Self {
            gates: args.gates.clone(),
            only: args.only,
            format: args.format.into(),
        }
    }
}

/// Arguments of `bench serve`.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Address to listen on.
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(super) host: IpAddr,
    /// Port to listen on; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 8000)]
    pub(super) port: u16,
    /// What computes the model: `cuda` a GPU or nothing, `cpu`, `auto` a GPU if there is one that can.
    #[arg(long, value_name = "auto|cpu|cuda", default_value = "auto", value_parser = BackendChoice::parse)]
    pub(super) backend: BackendChoice,
    /// Which GPUs compute: `first`, `all`, or a list of CUDA's numbers, UUIDs (or how they begin) and PCI addresses.
    #[arg(long = "gpu", value_name = "GPU,…", default_value = "first", value_parser = GpuChoice::parse)]
    pub(super) gpus: GpuChoice,
    /// What the model's numbers are on a GPU: `f16` or `bf16`.
    #[arg(long, value_name = "f16|bf16", default_value = "f16", value_parser = Precision::parse)]
    pub(super) precision: Precision,
    /// Units of a hidden layer on a GPU, rounded up to a multiple of 256; as many as keep all of it busy unless given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(256..=BackendChoice::WIDEST as i64))]
    pub(super) model_width: Option<u32>,
    /// Further hidden layers on a GPU; as many as make a full batch last --step-time unless given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=BackendChoice::DEEPEST as i64))]
    pub(super) model_layers: Option<u32>,
    /// Largest batch that the backend takes, in items.
    #[arg(long, value_name = "N", default_value_t = ReferenceOptions::default().max_batch)]
    pub(super) max_batch: usize,
    /// How long the first item of a batch waits for others.
    #[arg(long, value_name = "TIME", default_value = "2ms", value_parser = units::parse_duration)]
    pub(super) max_wait: Duration,
    /// Least time that one batch occupies the backend, as on an accelerator.
    #[arg(long, value_name = "TIME", default_value = "8ms", value_parser = units::parse_duration)]
    pub(super) step_time: Duration,
    /// Let the number of workers follow the queue: `1 to 4 at 20 queued, start 2s, cooldown 5s`.
    #[arg(long, value_name = "RULE", value_parser = Scaling::parse)]
    pub(super) scaling: Option<Scaling>,
    /// Demand a token from /auth/token on /v1/….
    #[arg(long)]
    pub(super) require_auth: bool,
    /// How long a token of /auth/token is valid, in whole seconds.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = whole_seconds)]
    pub(super) token_lifetime: Duration,
    #[command(flatten)]
    pub(super) misbehaviour: MisbehaviourArgs,
    /// Write what the server did to this file, every second and at the end.
    #[arg(long, value_name = "FILE")]
    pub(super) truth: Option<PathBuf>,
    /// End when stdin closes, as a child process should.
    #[arg(long, hide = true)]
    pub(super) until_stdin_closes: bool,
}

/// Ways in which the reference API can be told to misbehave.
#[derive(Debug, Args)]
#[command(next_help_heading = "Misbehaviour, for testing gates against a known truth")]
pub(super) struct MisbehaviourArgs {
    /// Seed of everything that the server draws at random.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
    /// Delay answers: `5ms`, or a mix such as `90% 5ms, 9% 20ms, 1% 80ms`.
    #[arg(long, value_name = "MIX", value_parser = Delay::parse)]
    pub(super) delay: Option<Delay>,
    /// Freeze once: `1s at 10s` after the first inference.
    #[arg(long, value_name = "STALL", value_parser = Stall::parse)]
    pub(super) stall: Option<Stall>,
    /// Share of inference requests that are answered with 500.
    #[arg(long, value_name = "SHARE", default_value = "0%", value_parser = units::parse_ratio)]
    pub(super) error_rate: f64,
    /// Share of logins that are refused.
    #[arg(long, value_name = "SHARE", default_value = "0%", value_parser = units::parse_ratio)]
    pub(super) reject_logins: f64,
    /// Memory that each inference request leaks.
    #[arg(long, value_name = "SIZE", default_value = "0B", value_parser = units::parse_bytes)]
    pub(super) leak_per_request: u64,
    /// After how much in all it leaks nothing more, like a cache that is full; 0B for never.
    #[arg(long, value_name = "SIZE", default_value = "0B", value_parser = units::parse_bytes)]
    pub(super) leak_limit: u64,
}

fn whole_seconds(text: &str) -> Result<Duration, String> {
    let duration = units::parse_duration(text).map_err(|error| error.to_string())?;
    if duration < Duration::from_secs(1) || duration.subsec_nanos() != 0 {
        return Err("it is a number of whole seconds, at least one".to_owned());
    }
    Ok(duration)
}

impl From<ServeArgs> for ServeOptions {
    fn from(args: ServeArgs) -> Self {
        let told = args.misbehaviour;
        Self {
            address: SocketAddr::new(args.host, args.port),
            reference: ReferenceOptions {
                backend: args.backend,
                gpus: args.gpus,
                precision: args.precision,
                model_width: args.model_width.map(|width| width as usize),
                model_layers: args.model_layers.map(|layers| layers as usize),
                seed: told.seed,
                max_batch: args.max_batch.max(1),
                max_wait: args.max_wait,
                step_time: args.step_time,
                delay: told.delay.unwrap_or_default(),
                stall: told.stall,
                error_rate: told.error_rate,
                reject_logins: told.reject_logins,
                leak_per_request: told.leak_per_request,
                leak_limit: Some(told.leak_limit).filter(|limit| *limit > 0),
                require_auth: args.require_auth,
                token_lifetime: args.token_lifetime,
                scaling: args.scaling,
            },
            truth: args.truth,
            until_stdin_closes: args.until_stdin_closes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_and_the_child_say_the_same() {
        let parse = |args: &[String]| {
            let all = ["bench", "serve"]
                .map(str::to_owned)
                .into_iter()
                .chain(args.iter().cloned());
            match Cli::try_parse_from(all).unwrap().command {
                Command::Serve(args) => ServeOptions::from(args).reference,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(parse(&[]), ReferenceOptions::default());
        let told = ReferenceOptions {
            backend: BackendChoice::Cuda,
            gpus: GpuChoice::parse("1,GPU-0000").unwrap(),
            precision: Precision::Bf16,
            model_width: Some(512),
            model_layers: Some(0),
            seed: 7,
            max_batch: 3,
            max_wait: Duration::from_micros(1500),
            step_time: Duration::ZERO,
            delay: Delay::parse("90% 5ms, 10% 20ms").unwrap(),
            stall: Some(Stall::parse("1s at 10s").unwrap()),
            error_rate: 0.25,
            reject_logins: 0.5,
            leak_per_request: 4096,
            leak_limit: Some(1 << 20),
            require_auth: true,
            token_lifetime: Duration::from_secs(7),
            scaling: Some(Scaling::parse("1 to 4 at 20 queued, start 2s, cooldown 5s").unwrap()),
        };
        assert_eq!(parse(&told.to_args()), told);
    }
}
