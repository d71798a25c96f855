//! `bench history`, `bench show`: what earlier runs measured.

use super::input::CommandError;
use super::{Ending, Format, Output};
use crate::gate::metric_named;
use crate::history::{Filter, RunSummary, trends};
use crate::report;
use crate::store::{RunFolder, StoredRuns, summary_of, write_file};
use std::path::{Path, PathBuf};

/// What `bench history` shows.
#[derive(Clone, Debug)]
pub struct HistoryOptions {
    /// The folder with the folders of runs.
    pub results: PathBuf,
    /// Which runs.
    pub filter: Filter,
    /// The metric whose trend is shown; a list of runs without.
    pub metric: Option<String>,
    /// The phase whose trend is shown; all without.
    pub phase: Option<String>,
    /// What is printed.
    pub format: HistoryFormat,
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
    /// The points of the trends.
    Csv,
    /// What Apache Otava reads.
    Otava,
}

/// Lists runs, or shows the trend of a metric.
///
/// # Errors
/// When the metric is unknown or a file cannot be written. No runs at all is an answer.
pub fn history(options: &HistoryOptions, output: Output) -> Result<Ending, CommandError> {
    if let Some(metric) = &options.metric {
        metric_named(metric)
            .map_err(|(message, hint)| CommandError::setup(message, hint.unwrap_or_default()))?;
    }
    let runs = options.filter.of(read(&options.results, output));
    let refuse =
        |message: String| CommandError::setup(message, "choose with --scenario and --environment");
    let text = match (options.format, &options.metric) {
        (HistoryFormat::Json, None) => report::history_json(&runs),
        (HistoryFormat::Otava, _) => report::otava_csv(&runs).map_err(refuse)?,
        (HistoryFormat::Text, None) if runs.is_empty() => {
            format!("no runs below `{}`\n", options.results.display())
        }
        (HistoryFormat::Text, None) => report::runs_table(&runs, output.width()),
        (HistoryFormat::Csv, None) => {
            return Err(CommandError::setup(
                "a trend as CSV is that of a metric",
                "name it with --metric, for example --metric response.p99",
            ));
        }
        (format, Some(metric)) => trend(options, format, metric, &runs, output)?,
    };
    output.result(&text);
    Ok(Ending::Done)
}

fn trend(
    options: &HistoryOptions,
    format: HistoryFormat,
    metric: &str,
    runs: &[RunSummary],
    output: Output,
) -> Result<String, CommandError> {
    let trends = trends(runs, metric, options.phase.as_deref());
    let mut files = Vec::new();
    if let Some(path) = &options.html {
        files.push((path, report::trend_page(metric, &trends).into_bytes()));
    }
    if let Some(path) = &options.png {
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

/// The summaries of all runs; what cannot be read is told.
fn read(results: &Path, output: Output) -> Vec<RunSummary> {
    let stored = StoredRuns::read(results);
    for reason in &stored.unreadable {
        output.warn(&format!("warning: {reason}; this run is left out"));
    }
    stored.runs.into_iter().map(|run| run.summary).collect()
}

/// Shows one run.
///
/// # Errors
/// When there is no such run.
pub fn show(
    results: &Path,
    run: &str,
    format: Format,
    output: Output,
) -> Result<Ending, CommandError> {
    let folder = RunFolder::find(results, run).map_err(|error| {
        CommandError::setup(
            error,
            "name a run's folder, its id or the beginning of it, `last` or `last-pass`",
        )
    })?;
    let summary = summary_of(&folder).map_err(|error| CommandError::setup(error, ""))?;
    output.result(&match format {
        Format::Text => report::show(&summary, output.width()),
        Format::Json => report::history_json(&[summary]),
    });
    Ok(Ending::Done)
}
