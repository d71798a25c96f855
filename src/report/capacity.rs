//! The views of a search for the capacity: terminal, JSON and HTML.

use super::chart::axis::{Unit, XAxis, YAxis};
use super::chart::palette::Colour;
use super::chart::{Chart, Content, Mark, Series, Size, Stroke};
use super::html;
use crate::record::{Capacity, CapacityStep, LoadUnit};
use crate::stats::search::{Answer, Trial};
use crate::units::{self, Dimension};
use askama::Template;

/// The result as text for a terminal of so many columns; the last line is the answer.
pub fn capacity_console(capacity: &Capacity, width: usize) -> String {
    let head = ["Load", "Trial", "Throughput", "p50", "p90", "p99", "Not ok"];
    let mut table = super::console::table(&head, 2, width);
    for step in &capacity.steps {
        let row = Row::of(capacity, step);
        table.add_row([
            row.level,
            row.trial.to_owned(),
            row.throughput,
            row.p50,
            row.p90,
            row.p99,
            row.not_ok,
        ]);
    }
    let mut text = super::console::print(&table);
    text.push('\n');
    if let Some(knee) = capacity.knee() {
        text.push_str(&format!(
            "\nKnee: {} (the most throughput for its mean latency)\n",
            capacity.unit.describe(knee.level)
        ));
    }
    if !capacity.left_out.is_empty() {
        text.push_str(&format!(
            "Left out, because more load does not make them harder: {}\n",
            capacity.left_out.join(", ")
        ));
    }
    text.push_str(&format!("\n{}\n", capacity.headline()));
    text
}

/// One step in a line, said when it is over.
pub fn capacity_line(capacity: &Capacity, step: &CapacityStep) -> String {
    let row = Row::of(capacity, step);
    format!(
        "{:<18} {:<13} {:>10}  p50 {}  p99 {}  not ok {}",
        row.level, row.trial, row.throughput, row.p50, row.p99, row.not_ok
    )
}

/// The contents of `capacity.json`.
pub fn capacity_json(capacity: &Capacity) -> String {
    let mut text = serde_json::to_string_pretty(capacity).unwrap_or_default();
    text.push('\n');
    text
}

/// The page: the answer, the curve, and every step with a link to its own report.
pub fn capacity_html(capacity: &Capacity) -> String {
    let page = Page {
        policy: html::policy_without_script(),
        style: html::STYLE.trim_end(),
        class: match capacity.answer {
            Some(Answer::Found { .. } | Answer::AtLeast { .. }) => "pass",
            Some(Answer::Nothing { .. }) => "fail",
            Some(Answer::Undecided { .. } | Answer::Unstable { .. }) | None => "inconclusive",
        },
        word: capacity.answer.map_or_else(
            || "INTERRUPTED".to_owned(),
            |answer| match answer {
                Answer::Found { level, .. } => capacity.unit.describe(level),
                Answer::AtLeast { level, .. } => {
                    format!("at least {}", capacity.unit.describe(level))
                }
                Answer::Nothing { .. } => "NOTHING PASSED".to_owned(),
                Answer::Undecided { .. } => "UNDECIDED".to_owned(),
                Answer::Unstable { .. } => "NOTHING HELD".to_owned(),
            },
        ),
        headline: capacity.headline(),
        capacity,
        charts: charts(capacity).iter().map(html::figure).collect(),
        rows: capacity
            .steps
            .iter()
            .map(|step| Row::of(capacity, step))
            .collect(),
        knee: capacity
            .knee()
            .map(|step| capacity.unit.describe(step.level)),
    };
    // Writing a template to memory fails only when a value of it does, and these do not.
    page.render().unwrap_or_default()
}

#[derive(Template)]
#[template(path = "capacity.html")]
struct Page<'a> {
    policy: &'static str,
    style: &'static str,
    class: &'static str,
    word: String,
    headline: String,
    capacity: &'a Capacity,
    charts: Vec<String>,
    rows: Vec<Row>,
    knee: Option<String>,
}

/// A step in words.
struct Row {
    level: String,
    trial: &'static str,
    class: &'static str,
    throughput: String,
    p50: String,
    p90: String,
    p99: String,
    not_ok: String,
    headline: String,
    run: String,
}

impl Row {
    fn of(capacity: &Capacity, step: &CapacityStep) -> Self {
        let latency = |pick: fn(&crate::record::StepLatency) -> f64| {
            step.response
                .as_ref()
                .map_or_else(|| "–".to_owned(), |at| units::seconds(pick(at) / 1e3))
        };
        let (trial, class) = match (step.trial, step.hold) {
            (Trial::Pass, true) => ("held", "pass"),
            (Trial::Pass, false) => ("passed", "pass"),
            (Trial::Fail, true) => ("did not hold", "fail"),
            (Trial::Fail, false) => ("failed", "fail"),
            (Trial::Unclear, _) => ("unclear", "inconclusive"),
            (Trial::OutOfReach, _) => ("out of reach", "inconclusive"),
        };
        Self {
            level: capacity.unit.describe(step.level),
            trial,
            class,
            throughput: format!("{}/s", units::number(step.throughput_rps)),
            p50: latency(|at| at.p50_ms),
            p90: latency(|at| at.p90_ms),
            p99: latency(|at| at.p99_ms),
            not_ok: units::percent(step.error_share),
            headline: step.headline.clone(),
            run: step.run.clone(),
        }
    }
}

/// Latency and throughput by level.
fn charts(capacity: &Capacity) -> Vec<Chart> {
    let steps = capacity.by_level();
    let to = steps.last().map_or(1.0, |step| step.level);
    let axis = match capacity.unit {
        LoadUnit::Rate => "offered requests per second",
        LoadUnit::Concurrency => "requests kept in flight",
    };
    let values = |pick: &dyn Fn(&CapacityStep) -> Option<f64>| -> Vec<Option<f64>> {
        steps.iter().map(|step| pick(step)).collect()
    };
    let mut marks = Vec::new();
    if let Some(knee) = capacity.knee() {
        marks.push(Mark {
            at: knee.level,
            label: "knee".to_owned(),
        });
    }
    if let Some(Answer::Found { level, .. } | Answer::AtLeast { level, .. }) = capacity.answer
        && marks.iter().all(|mark| mark.at != level)
    {
        marks.push(Mark {
            at: level,
            label: "held".to_owned(),
        });
    }
    let chart = |name: &str, title: &str, subtitle: String, y: YAxis, series: Vec<Series>| Chart {
        name: name.to_owned(),
        title: title.to_owned(),
        subtitle,
        size: Size::Tall,
        x: XAxis::Level { to },
        y,
        content: if steps.is_empty() {
            Content::Absent("no level was tried".to_owned())
        } else {
            Content::Lines {
                spans: steps.iter().map(|step| (step.level, step.level)).collect(),
                series,
            }
        },
        bands: Vec::new(),
        marks: marks.clone(),
        limits: Vec::new(),
    };
    let latencies: Vec<Series> = [
        ("p50", Colour::Nth(0), Stroke::Line),
        ("p99", Colour::Nth(1), Stroke::Bold),
    ]
    .into_iter()
    .map(|(label, colour, stroke)| {
        let of = |step: &CapacityStep| {
            step.response.map(|at| {
                let ms = if label == "p50" { at.p50_ms } else { at.p99_ms };
                ms / 1e3
            })
        };
        Series::new(label, colour, stroke, values(&of))
    })
    .collect();
    let seen: Vec<f64> = latencies
        .iter()
        .flat_map(|series| series.values.iter().copied().flatten())
        .collect();
    let throughput = values(&|step| Some(step.throughput_rps));
    let most = throughput.iter().copied().flatten().collect::<Vec<f64>>();
    vec![
        chart(
            "capacity-latency",
            "Response time by load",
            format!("successful requests; along the bottom: {axis}"),
            YAxis::wide(Unit::Of(Dimension::Time), seen.iter().copied()),
            latencies,
        ),
        chart(
            "capacity-throughput",
            "Throughput by load",
            format!("successful requests per second; along the bottom: {axis}"),
            YAxis::from_zero(Unit::Of(Dimension::PerSecond), most.iter().copied()),
            vec![Series::new(
                "throughput",
                Colour::Ok,
                Stroke::Bold,
                throughput,
            )],
        ),
    ]
}
