//! The arguments of the subcommands about earlier runs.

use super::args::FormatArg;
use super::database::DatabaseArgs;
use crate::commands::{
    CommandError, HistoryFormat, HistoryOptions, HistoryView, Origin, RegressionOptions, TrendView,
};
use crate::history::{Filter, Policy, Since, parse_since};
use crate::store::Rules;
use crate::units;
use crate::verdict::Verdict;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use std::path::PathBuf;

/// Where the runs are.
#[derive(Debug, Args)]
pub(super) struct ResultsArgs {
    /// Folder with the folders of runs.
    #[arg(long, value_name = "FOLDER", default_value = "results")]
    pub(super) results: PathBuf,
}

/// Where earlier runs are looked for.
#[derive(Debug, Args)]
pub(super) struct OriginArgs {
    #[command(flatten)]
    results: ResultsArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    /// Read the run folders even where a database is named.
    #[arg(long)]
    folders: bool,
}

impl OriginArgs {
    pub(super) fn origin(&self) -> Result<Origin, CommandError> {
        let address = if self.folders {
            None
        } else {
            self.database.address()?
        };
        Ok(address.map_or_else(
            || Origin::Folders(self.results.results.clone()),
            |address| Origin::Database(Box::new(address)),
        ))
    }
}

/// Which runs.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which runs")]
pub(super) struct FilterArgs {
    /// Only runs of this scenario.
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// Only runs with this verdict.
    #[arg(long, value_name = "VERDICT", ignore_case = true)]
    verdict: Option<VerdictArg>,
    /// Only runs whose target's URL contains this.
    #[arg(long, value_name = "TEXT")]
    target: Option<String>,
    /// Only runs of this git branch.
    #[arg(long, value_name = "NAME")]
    branch: Option<String>,
    /// Only runs with this environment key, or one that begins with it.
    #[arg(long, value_name = "KEY")]
    environment: Option<String>,
    /// Only runs that began since `2026-11-01`, `2026-11-01T08:00:00Z`, or for the last `7d`.
    #[arg(long, value_name = "WHEN", value_parser = parse_since)]
    since: Option<Since>,
    /// Only the newest so many.
    #[arg(long, value_name = "N")]
    last: Option<usize>,
}

impl FilterArgs {
    fn into_filter(self, now: Timestamp) -> Filter {
        Filter {
            scenario: self.scenario,
            verdict: self.verdict.map(Verdict::from),
            target: self.target,
            branch: self.branch,
            environment: self.environment,
            since: self.since.map(|since| since.at(now)),
            before: None,
            last: self.last,
        }
    }
}

/// A verdict.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum VerdictArg {
    Pass,
    Fail,
    Inconclusive,
}

impl From<VerdictArg> for Verdict {
    fn from(verdict: VerdictArg) -> Self {
        match verdict {
            VerdictArg::Pass => Self::Pass,
            VerdictArg::Fail => Self::Fail,
            VerdictArg::Inconclusive => Self::Inconclusive,
        }
    }
}

/// What `bench history` prints.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum HistoryFormatArg {
    /// Tables for people.
    Text,
    /// Summaries, the trend or all requests, for programs.
    Json,
    /// The points of the trend, or the percentiles of all requests.
    Csv,
}

/// A program that history is exported for.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ExportArg {
    /// Apache Otava: CSV with a line for each run and a column for each metric.
    Otava,
}

/// Arguments of `bench history`.
#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    #[command(flatten)]
    origin: OriginArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// Show the trend of this metric, for example response.p99 or response.p99{step=job/submit}.
    #[arg(long, value_name = "METRIC")]
    metric: Option<String>,
    /// Only the trend of this phase.
    #[arg(long, value_name = "NAME", requires = "metric")]
    phase: Option<String>,
    /// What to print.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: HistoryFormatArg,
    /// Show all requests of the runs together: percentiles of merged histograms.
    #[arg(long, conflicts_with = "metric")]
    merge: bool,
    /// Print the runs for another program.
    #[arg(long, value_name = "PROGRAM", conflicts_with_all = ["metric", "merge", "format"])]
    export: Option<ExportArg>,
    /// Write the trend to this file as a page.
    #[arg(long, value_name = "FILE", requires = "metric")]
    html: Option<PathBuf>,
    /// Write the trend to this file as a picture.
    #[arg(long, value_name = "FILE", requires = "metric")]
    png: Option<PathBuf>,
}

impl TryFrom<HistoryArgs> for HistoryOptions {
    type Error = CommandError;

    fn try_from(args: HistoryArgs) -> Result<Self, CommandError> {
        let format = match (args.export, args.format) {
            (Some(ExportArg::Otava), _) => HistoryFormat::Otava,
            (None, HistoryFormatArg::Text) => HistoryFormat::Text,
            (None, HistoryFormatArg::Json) => HistoryFormat::Json,
            (None, HistoryFormatArg::Csv) => HistoryFormat::Csv,
        };
        let view = match args.metric {
            Some(metric) => HistoryView::Trend(TrendView {
                metric,
                phase: args.phase,
                html: args.html,
                png: args.png,
            }),
            None if args.merge => HistoryView::Merged,
            None => HistoryView::List,
        };
        Ok(Self {
            origin: args.origin.origin()?,
            filter: args.filter.into_filter(Timestamp::now()),
            view,
            format,
        })
    }
}

/// Arguments of `bench show`.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The run: its folder, its id or the beginning of it, `last` or `last-pass`.
    #[arg(value_name = "RUN")]
    pub(super) run: String,
    #[command(flatten)]
    pub(super) origin: OriginArgs,
    /// What to print.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(super) format: FormatArg,
}

/// Arguments of `bench regression`.
#[derive(Debug, Args)]
pub(super) struct RegressionArgs {
    /// The run: its folder, its id or the beginning of it, `last` or `last-pass`.
    #[arg(value_name = "RUN")]
    run: String,
    #[command(flatten)]
    origin: OriginArgs,
    /// A second run of the same version; only what is worse in both fails.
    #[arg(long, value_name = "RUN")]
    confirm: Option<String>,
    /// The metrics, judged in every phase; of one request, flow or step as response.p99{flow=job}.
    #[arg(
        long,
        value_name = "METRIC",
        value_delimiter = ',',
        default_value = "response.p99,throughput"
    )]
    metric: Vec<String>,
    /// How many earlier runs with PASS make the history, at most.
    #[arg(long, value_name = "N", default_value_t = 20)]
    last: usize,
    /// How many it takes at least.
    #[arg(long, value_name = "N", default_value_t = Policy::default().fewest_runs)]
    fewest: usize,
    /// The least change that matters.
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = units::parse_ratio)]
    least_effect: f64,
}

impl TryFrom<RegressionArgs> for RegressionOptions {
    type Error = CommandError;

    fn try_from(args: RegressionArgs) -> Result<Self, CommandError> {
        Ok(Self {
            origin: args.origin.origin()?,
            run: args.run,
            confirm: args.confirm,
            metrics: args.metric,
            last: args.last,
            policy: Policy {
                least_effect: args.least_effect,
                fewest_runs: args.fewest,
                ..Policy::default()
            },
        })
    }
}

/// Arguments of `bench prune`.
#[derive(Debug, Args)]
pub(super) struct PruneArgs {
    #[command(flatten)]
    pub(super) results: ResultsArgs,
    /// Keep the newest so many runs of each scenario and environment.
    #[arg(long, value_name = "N")]
    keep_last: Option<usize>,
    /// Keep runs with PASS.
    #[arg(long)]
    keep_passes: bool,
    /// Keep runs that are younger than this: `30d`, `2026-11-01`.
    #[arg(long, value_name = "WHEN", value_parser = parse_since)]
    older_than: Option<Since>,
    /// Remove them; without it, only say which would go.
    #[arg(long)]
    pub(super) yes: bool,
}

impl PruneArgs {
    pub(super) fn rules(&self) -> Rules {
        Rules {
            keep_last: self.keep_last,
            keep_passes: self.keep_passes,
            keep_since: self.older_than.map(|since| since.at(Timestamp::now())),
        }
    }
}

/// Arguments of `bench baseline`.
#[derive(Debug, Args)]
pub(super) struct BaselineArgs {
    /// The run: its folder, its id or the beginning of it, `last` or `last-pass`.
    #[arg(value_name = "RUN")]
    pub(super) run: String,
    /// Why it is the one to compare with.
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: String,
    /// A name under which `bench run --baseline` finds it.
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    #[command(flatten)]
    pub(super) results: ResultsArgs,
}
