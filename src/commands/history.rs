//! `bench history`, `bench show`: what earlier runs measured.

use super::input::CommandError;
use super::judge::read_run;
use super::{Ending, Format, Output, push};
use crate::gate::parse_part_metric;
use crate::gpu::suite::TESTS;
use crate::history::{Filter, MergedPhase, RunSummary, trends};
use crate::record::RunFigures;
use crate::report;
use crate::store::{
    self, Address, Baselines, Database, DatabaseError, RunFolder, StoredRuns, Wanted, summary_of,
    within, write_file,
};
use jiff::Timestamp;
use std::path::PathBuf;
use std::time::Duration;

/// What `bench history` shows.
#[derive(Clone, Debug)]
pub struct HistoryOptions {
    /// Where the runs are.
    pub origin: Origin,
    /// Which runs.
    pub filter: Filter,
    /// What of them.
    pub view: HistoryView,
    /// What is printed.
    pub format: HistoryFormat,
}

/// What is shown of the runs.
#[derive(Clone, Debug)]
pub enum HistoryView {
    /// A list of them.
    List,
    /// All their requests together.
    Merged,
    /// How a metric went.
    Trend(TrendView),
}

/// A trend, and where it goes beside the output.
#[derive(Clone, Debug)]
pub struct TrendView {
    /// The metric.
    pub metric: String,
    /// The phase; all without.
    pub phase: Option<String>,
    /// File that gets the trend as a page.
    pub html: Option<PathBuf>,
    /// File that gets the trend as a picture.
    pub png: Option<PathBuf>,
}

/// What `bench history` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryFormat {
    /// Tables for people.
    Text,
    /// The summaries.
    Json,
    /// The points of the trends, or the percentiles of all requests.
    Csv,
    /// What Apache Otava reads.
    Otava,
}

/// Lists runs, shows the trend of a metric, or all requests together.
///
/// # Errors
/// When the metric is unknown, runs cannot be read or a file cannot be written. No runs at all is an
/// answer.
pub fn history(options: &HistoryOptions, output: Output) -> Result<Ending, CommandError> {
    let metric = match &options.view {
        HistoryView::Trend(trend) => canonical(&trend.metric)?,
        HistoryView::List | HistoryView::Merged => String::new(),
    };
    let wanted = match (&options.view, options.format) {
        (HistoryView::Trend(trend), _) => Wanted::Metric(&metric, trend.phase.as_deref()),
        (HistoryView::Merged, _) | (HistoryView::List, HistoryFormat::Text) => Wanted::Facts,
        (HistoryView::List, _) => Wanted::Everything,
    };
    let runs = options.origin.runs(&options.filter, wanted, output)?;
    let text = match &options.view {
        HistoryView::List => list(options, &runs, output)?,
        HistoryView::Merged => merged(options, &runs, output)?,
        HistoryView::Trend(view) => trend(view, &metric, options.format, &runs, output)?,
    };
    output.result(&text);
    Ok(Ending::Done)
}

/// A metric's name as summaries have it: that of a gate, or of a test of the GPU suite.
///
/// # Errors
/// When there is no such metric.
pub(super) fn canonical(metric: &str) -> Result<String, CommandError> {
    if TESTS.iter().any(|test| test.name == metric) {
        return Ok(metric.to_owned());
    }
    parse_part_metric(metric)
        .map(|of| of.to_string())
        .map_err(|(message, hint)| CommandError::setup(message, hint.unwrap_or_default()))
}

fn list(
    options: &HistoryOptions,
    runs: &[RunSummary],
    output: Output,
) -> Result<String, CommandError> {
    Ok(match options.format {
        HistoryFormat::Text if runs.is_empty() => format!("no runs {}\n", options.origin.place()),
        HistoryFormat::Text => report::runs_table(runs, output.width()),
        HistoryFormat::Json => report::history_json(runs),
        HistoryFormat::Otava => report::otava_csv(runs).map_err(|message| {
            CommandError::setup(message, "choose with --scenario and --environment")
        })?,
        HistoryFormat::Csv => {
            return Err(CommandError::setup(
                "a list of runs has no CSV",
                "take a trend with --metric response.p99, or all requests with --merge",
            ));
        }
    })
}

fn merged(
    options: &HistoryOptions,
    runs: &[RunSummary],
    output: Output,
) -> Result<String, CommandError> {
    let phases = options.origin.merged(runs)?;
    Ok(match options.format {
        HistoryFormat::Json => report::merged_json(&phases),
        HistoryFormat::Csv => report::merged_csv(&phases),
        _ if phases.is_empty() => format!(
            "no run {} that came to its end has requests\n",
            options.origin.place()
        ),
        _ => report::merged_text(&phases, output.width()),
    })
}

fn trend(
    view: &TrendView,
    metric: &str,
    format: HistoryFormat,
    runs: &[RunSummary],
    output: Output,
) -> Result<String, CommandError> {
    let trends = trends(runs, metric, view.phase.as_deref());
    let mut files = Vec::new();
    if let Some(path) = &view.html {
        files.push((path, report::trend_page(metric, &trends).into_bytes()));
    }
    if let Some(path) = &view.png {
        files.push((path, report::trend_picture(metric, &trends)));
    }
    for (path, bytes) in files {
        write_file(path, &bytes).map_err(|error| CommandError::setup(error.to_string(), ""))?;
        output.say(&format!("trend: {}", path.display()));
    }
    Ok(match format {
        HistoryFormat::Csv => report::trends_csv(&trends),
        HistoryFormat::Json => report::trends_json(metric, &trends),
        _ if trends.is_empty() => format!("no run that came to its end has `{metric}`\n"),
        _ => report::trends_text(&trends, output.width()),
    })
}

/// Shows one run.
///
/// # Errors
/// When there is no such run.
pub fn show(
    origin: &Origin,
    run: &str,
    format: Format,
    output: Output,
) -> Result<Ending, CommandError> {
    let summary = origin.run(run)?;
    output.result(&match format {
        Format::Text => report::show(&summary, output.width()),
        Format::Json => report::history_json(&[summary]),
    });
    Ok(Ending::Done)
}

/// Where earlier runs are looked for.
#[derive(Clone, Debug)]
pub enum Origin {
    /// In the folders below this one.
    Folders(PathBuf),
    /// In this database.
    Database(Box<Address>),
}

/// How long a database may take to show that it is there.
const GREETING: Duration = Duration::from_secs(10);
/// How long a question to a database may take.
const ANSWER: Duration = Duration::from_mins(1);

impl Origin {
    fn place(&self) -> String {
        match self {
            Self::Folders(results) => format!("below `{}`", results.display()),
            Self::Database(address) => format!("in {address}"),
        }
    }

    /// The runs that a filter takes, the newest first. Folders give all metrics, whatever is wanted.
    pub(super) fn runs(
        &self,
        filter: &Filter,
        wanted: Wanted<'_>,
        output: Output,
    ) -> Result<Vec<RunSummary>, CommandError> {
        match self {
            Self::Folders(results) => {
                let stored = StoredRuns::read(results);
                for reason in &stored.unreadable {
                    output.warn(&format!("warning: {reason}; this run is left out"));
                }
                Ok(filter.of(stored.runs.into_iter().map(|run| run.summary)))
            }
            Self::Database(address) => push::runtime()?
                .block_on(within(ANSWER, address, async {
                    Database::open(address).await?.runs(filter, wanted).await
                }))
                .map_err(|error| unanswered(&error)),
        }
    }

    /// Whether it can be asked at all. Folders always can.
    pub(super) fn answers(&self) -> Result<(), String> {
        let Self::Database(address) = self else {
            return Ok(());
        };
        let runtime = push::runtime().map_err(|_| "cannot start a runtime".to_owned())?;
        runtime
            .block_on(within(GREETING, address, Database::open(address)))
            .map(drop)
            .map_err(|error| error.to_string())
    }

    fn merged(&self, runs: &[RunSummary]) -> Result<Vec<MergedPhase>, CommandError> {
        match self {
            Self::Folders(results) => {
                store::merged(results, runs).map_err(|error| CommandError::setup(error, ""))
            }
            Self::Database(address) => push::runtime()?
                .block_on(within(ANSWER, address, async {
                    Database::open(address).await?.merged(runs).await
                }))
                .map_err(|error| unanswered(&error)),
        }
    }

    /// One run.
    pub(super) fn run(&self, name: &str) -> Result<RunSummary, CommandError> {
        const NAMES: &str = "name a run by its id or the beginning of it, by its folder, or as `last` or `last-pass`";
        match self {
            Self::Folders(results) => {
                let folder = RunFolder::find_with_suites(results, name)
                    .map_err(|error| CommandError::setup(error, NAMES))?;
                summary_of(&folder).map_err(|error| CommandError::setup(error, ""))
            }
            Self::Database(address) => push::runtime()?
                .block_on(within(ANSWER, address, async {
                    Database::open(address).await?.run_named(name).await
                }))
                .map_err(|error| unanswered(&error)),
        }
    }

    /// The figures by which a run is compared with others.
    pub(super) fn figures(&self, name: &str) -> Result<RunFigures, CommandError> {
        match self {
            Self::Folders(results) => Ok(RunFigures::of(&read_run(results, name)?)),
            Self::Database(_) => Ok(self.run(name)?.figures()),
        }
    }

    /// When the level began that somebody accepted for runs like this one: that of its baseline.
    pub(super) fn level_since(&self, run: &RunSummary) -> Result<Option<Timestamp>, CommandError> {
        let Self::Folders(results) = self else {
            return Ok(None);
        };
        let baselines = Baselines::read(results).map_err(|error| CommandError::setup(error, ""))?;
        let Some(baseline) = baselines.of(run) else {
            return Ok(None);
        };
        Ok(Some(self.run(&baseline.run)?.began()))
    }
}

fn unanswered(error: &DatabaseError) -> CommandError {
    CommandError::setup(error.to_string(), "--folders reads the run folders instead")
}
