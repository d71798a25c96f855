//! All requests of several runs, as text, JSON and CSV.

use super::export::{lines, pretty};
use crate::history::MergedPhase;
use crate::record::Distribution as _;
use crate::report::console::{one_line, print, table};
use crate::units;
use serde::Serialize;

/// Kinds whose percentiles are shown, and what they are called.
const KINDS: [(&str, &str); 3] = [
    ("response", "Response"),
    ("service", "Service"),
    ("ttfb", "TTFB"),
];

const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// For a terminal: a block for each phase.
pub fn merged_text(phases: &[MergedPhase], width: usize) -> String {
    let blocks: Vec<String> = phases.iter().map(|phase| block(phase, width)).collect();
    let mut text = blocks.join("\n\n");
    text.push('\n');
    text
}

fn block(phase: &MergedPhase, width: usize) -> String {
    let runs = match &phase.runs[..] {
        [one] => format!("1 run, {}", one_line(one)),
        [first, .., last] => format!(
            "{} runs, {} to {}",
            phase.runs.len(),
            one_line(first),
            one_line(last)
        ),
        [] => String::new(),
    };
    let mut text = format!(
        "{} · {} · environment {}\n{runs}\n{} ok, {} failed, {} timed out or never ended\n",
        one_line(&phase.scenario),
        one_line(&phase.phase),
        phase.environment_key,
        phase.count("response"),
        phase.count("failed"),
        phase.count("censored"),
    );
    let head = ["Of the ok", "p50", "p90", "p99", "p99.9", "Max"];
    let mut rows = table(&head, 1, width);
    for (kind, name) in KINDS {
        let Some(latencies) = phase.latencies(kind) else {
            continue;
        };
        let shown = |ns: Option<u64>| {
            ns.map_or_else(|| "–".to_owned(), |ns| units::seconds(ns as f64 / 1e9))
        };
        let mut row = vec![name.to_owned()];
        row.extend(QUANTILES.map(|(_, quantile)| shown(latencies.quantile_ns(quantile))));
        row.push(shown(latencies.max_ns()));
        rows.add_row(row);
    }
    text.push_str(&print(&rows));
    text
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    phases: Vec<PhaseJson<'a>>,
}

#[derive(Serialize)]
struct PhaseJson<'a> {
    scenario: &'a str,
    phase: &'a str,
    environment_key: &'a str,
    runs: &'a [String],
    ok: u64,
    failed: u64,
    timed_out_or_never_ended: u64,
    latencies: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    kind: &'static str,
    p50: Option<f64>,
    p90: Option<f64>,
    p99: Option<f64>,
    #[serde(rename = "p99.9")]
    p999: Option<f64>,
    max: Option<f64>,
}

fn rows(phase: &MergedPhase) -> Vec<Row> {
    let seconds = |ns: Option<u64>| ns.map(|ns| ns as f64 / 1e9);
    KINDS
        .iter()
        .filter_map(|&(kind, _)| {
            let latencies = phase.latencies(kind)?;
            let [p50, p90, p99, p999] =
                QUANTILES.map(|(_, quantile)| seconds(latencies.quantile_ns(quantile)));
            let max = seconds(latencies.max_ns());
            Some(Row {
                kind,
                p50,
                p90,
                p99,
                p999,
                max,
            })
        })
        .collect()
}

/// As JSON, latencies in seconds.
pub fn merged_json(phases: &[MergedPhase]) -> String {
    let phases = phases
        .iter()
        .map(|phase| PhaseJson {
            scenario: &phase.scenario,
            phase: &phase.phase,
            environment_key: &phase.environment_key,
            runs: &phase.runs,
            ok: phase.count("response"),
            failed: phase.count("failed"),
            timed_out_or_never_ended: phase.count("censored"),
            latencies: rows(phase),
        })
        .collect();
    pretty(&Document {
        schema: "bench.merged/1",
        phases,
    })
}

/// A line for each phase and kind of latency, in seconds.
pub fn merged_csv(phases: &[MergedPhase]) -> String {
    let head = [
        "scenario",
        "phase",
        "environment",
        "runs",
        "ok",
        "failed",
        "timed_out_or_never_ended",
        "latency",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "max",
    ];
    let rows = phases.iter().flat_map(|phase| {
        rows(phase).into_iter().map(|row| {
            let mut cells = vec![
                phase.scenario.clone(),
                phase.phase.clone(),
                phase.environment_key.clone(),
                phase.runs.len().to_string(),
                phase.count("response").to_string(),
                phase.count("failed").to_string(),
                phase.count("censored").to_string(),
                row.kind.to_owned(),
            ];
            let values = [row.p50, row.p90, row.p99, row.p999, row.max];
            cells.extend(
                values.map(|value| value.map(|value| value.to_string()).unwrap_or_default()),
            );
            cells
        })
    });
    lines(&head.map(str::to_owned), rows)
}
