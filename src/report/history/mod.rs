//! Views of many runs: a table, trends on a terminal, JSON, CSV, a page and a picture.

mod export;
mod merged;
mod page;
mod regression;
mod show;

pub use export::{history_json, otava_csv, trends_csv, trends_json};
pub use merged::{merged_csv, merged_json, merged_text};
pub use page::{trend_page, trend_picture};
pub use regression::{RegressionRow, regression};
pub use show::show;

use super::console::{one_line, paint, print, style, table};
use super::rows::NOTHING;
use crate::gate::parse_part_metric;
use crate::history::{RunSummary, Trend, sparkline};
use crate::units::{self, Quantity};

/// A value of a metric in its unit; as a bare number where this version does not know the metric.
pub(super) fn shown(metric: &str, value: f64) -> String {
    parse_part_metric(metric).map_or_else(
        |_| units::number(value),
        |of| {
            Quantity {
                value,
                dimension: of.metric.dimension(),
            }
            .measured()
        },
    )
}

fn interval(metric: &str, lower: Option<f64>, upper: Option<f64>) -> String {
    match (lower, upper) {
        (Some(lower), Some(upper)) => {
            format!("{} to {}", shown(metric, lower), shown(metric, upper))
        }
        (Some(lower), None) => format!("at least {}", shown(metric, lower)),
        (None, Some(upper)) => format!("at most {}", shown(metric, upper)),
        (None, None) => NOTHING.to_owned(),
    }
}

/// `2026-11-25 12:34` of a moment in RFC 3339; anything else as it is.
fn minute(moment: &str) -> String {
    moment.parse::<jiff::Timestamp>().map_or_else(
        |_| one_line(moment),
        |at| at.strftime("%F %H:%M").to_string(),
    )
}

fn verdict_word(run: &RunSummary) -> &'static str {
    run.verdict.map_or("running", |verdict| verdict.as_str())
}

/// Where the code came from: `main 4b825dc642cb`.
fn revision(run: &RunSummary) -> String {
    let parts = [run.git_branch.as_deref(), run.git_commit.as_deref()];
    let parts: Vec<&str> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        NOTHING.to_owned()
    } else {
        one_line(&parts.join(" "))
    }
}

/// Runs as a table, in so many columns.
pub fn runs_table(runs: &[RunSummary], width: usize) -> String {
    let head = [
        "Began (UTC)",
        "Verdict",
        "Scenario",
        "Revision",
        "Environment",
        "Run",
    ];
    let mut rows = table(&head, head.len(), width);
    for run in runs {
        let mut word = verdict_word(run).to_owned();
        if run.partial {
            word.push_str(" partial");
        }
        if run.simulated {
            word.push_str(" SIMULATED");
        }
        rows.add_row([
            minute(&run.started_at),
            word,
            one_line(&run.scenario),
            revision(run),
            run.environment_key.clone(),
            one_line(&run.id),
        ]);
    }
    let mut lines: Vec<String> = print(&rows).lines().map(str::to_owned).collect();
    // A row may have been wrapped; the verdict stands in its first line only.
    for line in lines.iter_mut().skip(1) {
        let found = runs.iter().find_map(|run| {
            let verdict = run.verdict?;
            line.contains(verdict.as_str()).then_some(verdict)
        });
        if let Some(verdict) = found {
            *line = paint(style(verdict), verdict.as_str(), line);
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

/// How many runs of a trend are listed below its line.
const LISTED: usize = 10;

/// Trends for a terminal: a line of blocks each, and the newest runs below it.
pub fn trends_text(trends: &[Trend<'_>], width: usize) -> String {
    let blocks: Vec<String> = trends
        .iter()
        .map(|trend| trend_text(trend, width))
        .collect();
    let mut text = blocks.join("\n\n");
    text.push('\n');
    text
}

fn trend_text(trend: &Trend<'_>, width: usize) -> String {
    let metric = trend.metric;
    let values: Vec<f64> = trend.points.iter().map(|point| point.value.value).collect();
    let (low, high) = values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &value| {
            (low.min(value), high.max(value))
        });
    let mut text = format!(
        "{metric} of {} · {} · environment {}\n{}  {} to {}, median {}, {} run{}\n",
        one_line(trend.scenario),
        one_line(trend.phase),
        trend.environment_key,
        sparkline(&values, width.saturating_sub(50).max(20)),
        shown(metric, low),
        shown(metric, high),
        shown(metric, trend.median()),
        values.len(),
        if values.len() == 1 { "" } else { "s" },
    );
    let head = [
        "Began (UTC)",
        "Verdict",
        "Value",
        "95 % each side",
        "Revision",
        "Run",
    ];
    let mut rows = table(&head, head.len(), width);
    for point in trend.points.iter().rev().take(LISTED) {
        rows.add_row([
            minute(&point.run.started_at),
            verdict_word(point.run).to_owned(),
            shown(metric, point.value.value),
            interval(metric, point.value.lower, point.value.upper),
            revision(point.run),
            one_line(&point.run.id),
        ]);
    }
    text.push_str(&print(&rows));
    text
}
