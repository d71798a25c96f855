//! What `bench gpu` found: on a terminal, as JSON, and as a page.

mod charts;
mod compare;
mod page;
mod pairs;
mod tune;

pub use compare::{suite_comparison_json, suite_comparison_text};

use crate::record::{Measured, SuiteGpu, SuiteRecord, TestOutcome};
use crate::units;
use crate::verdict::{Against, SuiteGate, SuiteJudgement};
use comfy_table::CellAlignment;
use serde::Serialize;

/// One test in words.
struct Row {
    test: String,
    median: String,
    range: String,
    samples: String,
    conditions: String,
    peaks: String,
    checked: String,
}

const STOPPED: [&str; 3] = ["steady", "planned", "time limit"];

impl Row {
    fn new(test: &str, outcome: &TestOutcome) -> Self {
        let told = |median: &str, checked: &str| Self {
            test: test.to_owned(),
            median: median.to_owned(),
            range: String::new(),
            samples: String::new(),
            conditions: String::new(),
            peaks: String::new(),
            checked: checked.to_owned(),
        };
        match outcome {
            TestOutcome::Measured(found) => Self::measured(test, found),
            TestOutcome::Skipped(reason) => told("skipped", reason),
            TestOutcome::Wrong(what) => told("WRONG", what),
            TestOutcome::Failed(error) => told("FAILED", error),
        }
    }

    fn measured(test: &str, found: &Measured) -> Self {
        let number = units::number;
        let mut conditions = Vec::new();
        if let Some(clock) = found.sm_clock_mhz {
            conditions.push(format!("{clock:.0} MHz"));
        }
        if let Some(power) = found.power_watts {
            conditions.push(format!("{power:.0} W"));
        }
        if let Some(temperature) = found.temperature_celsius {
            conditions.push(format!("{temperature:.0} °C"));
        }
        if found.throttled_samples > 0 {
            conditions.push(format!("{} throttled", found.throttled_samples));
        }
        if found.power_capped_samples > 0 {
            conditions.push(format!("{} at the power limit", found.power_capped_samples));
        }
        let peaks = found.peaks.iter().map(|peak| {
            let share = units::percent(found.median / peak.value);
            format!("{share} of {}", peak.name)
        });
        Self {
            test: test.to_owned(),
            median: format!("{} {}", number(found.median), found.unit),
            range: format!("{} – {}", number(found.q1), number(found.q3)),
            samples: format!("{}, {}", found.samples, STOPPED[found.stopped as usize]),
            conditions: conditions.join(", "),
            peaks: peaks.collect::<Vec<_>>().join("\n"),
            checked: found.verified.clone().unwrap_or_default(),
        }
    }
}

fn rows(gpu: &SuiteGpu) -> Vec<Row> {
    let results = gpu.results.iter();
    results
        .map(|result| Row::new(&result.test, &result.outcome))
        .collect()
}

fn title(gpu: &SuiteGpu) -> String {
    if gpu.name.is_empty() {
        return format!("GPU {}", gpu.ordinal);
    }
    format!(
        "GPU {}: {}, {}, compute capability {}, {} multiprocessors, {}",
        gpu.ordinal,
        gpu.name,
        units::bytes(gpu.memory_bytes as f64),
        gpu.capability,
        gpu.multiprocessors,
        gpu.pci_bus_id
    )
}

/// The parts of a record with what they show.
fn parts(record: &SuiteRecord) -> Vec<(&'static str, &[SuiteGpu])> {
    let mut parts = vec![("each by itself", record.gpus.as_slice())];
    if !record.together.is_empty() {
        parts.push(("all at once", record.together.as_slice()));
    }
    parts
}

/// The result on a terminal, in so many columns; the last line is the headline.
pub fn suite_console(record: &SuiteRecord, judged: &SuiteJudgement, width: usize) -> String {
    let mut text = String::new();
    if record.simulated {
        text.push_str(
            "SIMULATED: these GPUs are made up; no figure here is one of real hardware\n\n",
        );
    }
    for (what, gpus) in parts(record) {
        for gpu in gpus {
            text.push_str(&format!("{} ({what})\n", title(gpu)));
            if gpu.results.is_empty() {
                continue;
            }
            const HEAD: [&str; 7] = [
                "test",
                "median",
                "quartiles",
                "samples",
                "meanwhile",
                "peaks",
                "checked",
            ];
            let mut table = super::console::table(&HEAD, HEAD.len(), width);
            for row in rows(gpu) {
                table.add_row([
                    row.test,
                    row.median,
                    row.range,
                    row.samples,
                    row.conditions,
                    row.peaks,
                    row.checked,
                ]);
            }
            if let Some(column) = table.column_mut(1) {
                column.set_cell_alignment(CellAlignment::Right);
            }
            text.push_str(&format!("{table}\n\n"));
        }
    }
    text.push_str(&tune::tuned(record, width));
    text.push_str(&pairs::console(record, width));
    if let Some(reason) = &record.no_telemetry {
        text.push_str(&format!("no temperatures and watts: {reason}\n"));
    }
    for finding in &judged.findings {
        let gpu = finding
            .gpu
            .map(|gpu| format!("GPU {gpu}: "))
            .unwrap_or_default();
        text.push_str(&format!(
            "{} {gpu}{}\n",
            finding.verdict.as_str(),
            finding.reason
        ));
    }
    for gate in &judged.gates {
        text.push_str(&format!(
            "{} GPU {}: {}\n",
            gate.verdict.as_str(),
            gate.gpu,
            gate.reason
        ));
    }
    text.push_str(&format!(
        "{}: {}\n",
        judged.verdict.as_str(),
        judged.headline
    ));
    text
}

/// A comparison of a speed.
#[derive(Serialize)]
struct Gate<'a> {
    verdict: &'static str,
    gpu: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<u32>,
    together: bool,
    test: &'a str,
    against: String,
    unit: &'a str,
    observed: Option<f64>,
    lower: Option<f64>,
    upper: Option<f64>,
    limit: Option<f64>,
    samples: usize,
    reason: &'a str,
}

impl<'a> From<&'a SuiteGate> for Gate<'a> {
    fn from(gate: &'a SuiteGate) -> Self {
        Self {
            verdict: gate.verdict.as_str(),
            gpu: gate.gpu,
            to: gate.to,
            together: gate.together,
            test: &gate.test,
            against: match &gate.against {
                Against::Siblings(count) => format!("median of {count} siblings"),
                Against::Baseline(id) => format!("baseline {id}"),
                Against::Floor => "floor".to_owned(),
            },
            unit: &gate.unit,
            observed: gate.observed,
            lower: gate.lower,
            upper: gate.upper,
            limit: gate.limit,
            samples: gate.samples,
            reason: &gate.reason,
        }
    }
}

#[derive(Serialize)]
struct Document<'a> {
    verdict: &'static str,
    headline: &'a str,
    findings: Vec<(&'static str, Option<u32>, &'a str)>,
    gates: Vec<Gate<'a>>,
    #[serde(flatten)]
    record: &'a SuiteRecord,
}

/// The record with its verdict as JSON.
pub fn suite_json(record: &SuiteRecord, judged: &SuiteJudgement) -> String {
    let findings = judged.findings.iter();
    let document = Document {
        verdict: judged.verdict.as_str(),
        headline: &judged.headline,
        findings: findings
            .map(|finding| {
                (
                    finding.verdict.as_str(),
                    finding.gpu,
                    finding.reason.as_str(),
                )
            })
            .collect(),
        gates: judged.gates.iter().map(Gate::from).collect(),
        record,
    };
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

/// The page: one file that needs no network.
pub fn suite_html(record: &SuiteRecord, judged: &SuiteJudgement) -> String {
    page::page(record, judged)
}

/// Every file of a suite, by its name within its folder.
pub fn suite_files(record: &SuiteRecord, judged: &SuiteJudgement) -> Vec<(String, Vec<u8>)> {
    vec![
        (
            "gpu.json".to_owned(),
            suite_json(record, judged).into_bytes(),
        ),
        (
            "report.html".to_owned(),
            suite_html(record, judged).into_bytes(),
        ),
    ]
}
