//! History for other programs: JSON, CSV, and the CSV that Apache Otava reads.

use super::{RunSummary, Trend};
use serde::Serialize;
use std::collections::BTreeSet;

/// The version of the JSON.
const SCHEMA: &str = "bench.history/1";

#[derive(Serialize)]
struct History<'a> {
    schema: &'static str,
    runs: &'a [RunSummary],
}

/// Runs as JSON, in the order given; metrics in their base units.
pub fn history_json(runs: &[RunSummary]) -> String {
    pretty(&History {
        schema: SCHEMA,
        runs,
    })
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    metric: &'a str,
    trends: Vec<TrendJson<'a>>,
}

#[derive(Serialize)]
struct TrendJson<'a> {
    scenario: &'a str,
    phase: &'a str,
    environment_key: &'a str,
    median: f64,
    points: Vec<PointJson<'a>>,
}

#[derive(Serialize)]
struct PointJson<'a> {
    run: &'a str,
    began: &'a str,
    verdict: &'static str,
    git_commit: Option<&'a str>,
    value: f64,
    lower: Option<f64>,
    upper: Option<f64>,
    samples: u64,
}

/// Trends as JSON, the oldest run first; values in the metric's base unit.
pub fn trends_json(metric: &str, trends: &[Trend<'_>]) -> String {
    let trends = trends
        .iter()
        .map(|trend| TrendJson {
            scenario: trend.scenario,
            phase: trend.phase,
            environment_key: trend.environment_key,
            median: trend.median(),
            points: trend
                .points
                .iter()
                .map(|point| PointJson {
                    run: &point.run.id,
                    began: &point.run.started_at,
                    verdict: super::verdict_word(point.run),
                    git_commit: point.run.git_commit.as_deref(),
                    value: point.value.value,
                    lower: point.value.lower,
                    upper: point.value.upper,
                    samples: point.value.samples,
                })
                .collect(),
        })
        .collect();
    pretty(&Document {
        schema: SCHEMA,
        metric,
        trends,
    })
}

pub(super) fn pretty(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value)
        .expect("its fields have names, and its numbers are finite");
    text.push('\n');
    text
}

/// One line for each run of each trend, in the metric's base unit.
pub fn trends_csv(trends: &[Trend<'_>]) -> String {
    let head = [
        "began",
        "scenario",
        "phase",
        "environment",
        "run",
        "branch",
        "commit",
        "verdict",
        "metric",
        "value",
        "lower",
        "upper",
        "samples",
    ];
    let rows = trends.iter().flat_map(|trend| {
        trend.points.iter().map(|point| {
            let run = point.run;
            let bound =
                |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
            vec![
                run.started_at.clone(),
                run.scenario.clone(),
                trend.phase.to_owned(),
                run.environment_key.clone(),
                run.id.clone(),
                run.git_branch.clone().unwrap_or_default(),
                run.git_commit.clone().unwrap_or_default(),
                super::verdict_word(run).to_owned(),
                trend.metric.to_owned(),
                point.value.value.to_string(),
                bound(point.value.lower),
                bound(point.value.upper),
                point.value.samples.to_string(),
            ]
        })
    });
    lines(&head.map(str::to_owned), rows)
}

/// One line for each run and one column for each metric that all of them have, the oldest run first:
/// what Apache Otava's CSV importer reads. Runs that did not come to their end are left out.
///
/// # Errors
/// When the runs may not be compared with each other.
pub fn otava_csv(runs: &[RunSummary]) -> Result<String, String> {
    let mut whole: Vec<&RunSummary> = runs
        .iter()
        .filter(|run| !run.partial && run.verdict.is_some())
        .collect();
    whole.sort_by_key(|run| (run.began(), &run.id));
    let kinds: BTreeSet<(&str, &str)> = whole
        .iter()
        .map(|run| (run.scenario.as_str(), run.environment_key.as_str()))
        .collect();
    if kinds.len() > 1 {
        let kinds: Vec<String> = kinds
            .iter()
            .map(|(scenario, environment)| format!("{scenario} in {environment}"))
            .collect();
        return Err(format!(
            "these runs may not be compared with each other: {}",
            kinds.join(", ")
        ));
    }
    let names = |run: &RunSummary| -> BTreeSet<(String, String)> {
        run.metrics
            .iter()
            .map(|value| (value.phase.clone(), value.metric.clone()))
            .collect()
    };
    let common = whole
        .iter()
        .map(|run| names(run))
        .reduce(|common, own| common.intersection(&own).cloned().collect())
        .unwrap_or_default();
    let head: Vec<String> = ["time", "run", "commit", "branch", "verdict"]
        .into_iter()
        .map(str::to_owned)
        .chain(
            common
                .iter()
                .map(|(phase, metric)| format!("{phase}.{metric}")),
        )
        .collect();
    let rows = whole.iter().map(|run| {
        let facts = [
            run.started_at.clone(),
            run.id.clone(),
            run.git_commit.clone().unwrap_or_else(|| run.id.clone()),
            run.git_branch.clone().unwrap_or_default(),
            super::verdict_word(run).to_owned(),
        ];
        let values = common.iter().map(|(phase, metric)| {
            run.metric(phase, metric)
                .map(|value| value.value.to_string())
                .unwrap_or_default()
        });
        facts.into_iter().chain(values).collect()
    });
    Ok(lines(&head, rows))
}

pub(super) fn lines(head: &[String], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // Writing to memory does not fail, and every row has the columns of the head.
    let _ = writer.write_record(head);
    for row in rows {
        let _ = writer.write_record(&row);
    }
    String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
}
