//! Pages of the documentation that are made from the code: scenario keys, metrics, exit codes, codes.

use super::{Output, explain};
use crate::gate::{GrowthMetric, LatencyKind, Metric, ScalingMetric, TelemetryMetric};
use crate::units::Dimension;
use serde_json::Value;

/// The JSON Schema of a scenario, for editors.
pub const SCENARIO_SCHEMA: &str = include_str!("../../assets/scenario.schema.json");

/// A page that is made from the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// Every key of a scenario.
    Scenario,
    /// Every metric that a gate can name.
    Metrics,
    /// Every code that `bench explain` knows.
    Codes,
}

/// Prints the JSON Schema of a scenario.
pub fn schema(output: Output) {
    output.result(SCENARIO_SCHEMA);
}

/// Prints a page.
pub fn page(page: Page, output: Output) {
    output.result(&match page {
        Page::Scenario => scenario(),
        Page::Metrics => metrics(),
        Page::Codes => explain::page(),
    });
}

const MADE: &str =
    "<!-- Made from the code: `bench docs PAGE` prints it, and a test compares. -->\n";

/// A line as a sentence: with a capital and a full stop.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(char::to_uppercase);
    let mut sentence: String = first.into_iter().flatten().chain(letters).collect();
    if !sentence.ends_with('.') {
        sentence.push('.');
    }
    sentence
}

/// A cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn scenario() -> String {
    let schema: Value = serde_json::from_str(SCENARIO_SCHEMA).unwrap_or_default();
    let mut text = format!(
        "{MADE}# Keys of a scenario\n\n\
         A scenario is a TOML file. Every value with a dimension is a string with its unit; unknown keys are\n\
         errors. `${{NAME}}`, `${{NAME:-default}}` and `${{file:path}}` stand in any string and are replaced when\n\
         the file is read; `{{{{data.FIELD}}}}`, `{{{{pick:a,b}}}}`, `{{{{int:1,100}}}}`, `{{{{uuid}}}}` and `{{{{number}}}}` in\n\
         paths, headers and bodies, for each request, and `{{{{capture.NAME}}}}` in those of later steps of a flow,\n\
         `{{{{login.token}}}}` where there is a `[login]`.\n\
         `bench schema` prints the JSON Schema.\n"
    );
    table(&mut text, &schema);
    for definition in schema["$defs"].as_object().into_iter().flatten() {
        if definition.1["title"].is_string() {
            table(&mut text, definition.1);
        }
    }
    text
}

fn table(text: &mut String, schema: &Value) {
    let title = schema["title"].as_str().unwrap_or_default();
    let heading = if title.starts_with('[') {
        format!("`{title}`")
    } else if title.starts_with("the ") {
        "At the top".to_owned()
    } else {
        format!("`{title} = {{ … }}`")
    };
    text.push_str(&format!(
        "\n## {heading}\n\n| key | value | default | |\n|---|---|---|---|\n"
    ));
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let default = match &property["default"] {
            Value::Null if required.contains(&name.as_str()) => "required".to_owned(),
            Value::Null => String::new(),
            Value::String(text) => format!("`\"{text}\"`"),
            other => format!("`{other}`"),
        };
        text.push_str(&format!(
            "| `{name}` | {} | {default} | {} |\n",
            cell(&kind(property)),
            cell(property["description"].as_str().unwrap_or_default())
        ));
    }
}

/// What kind of value a property takes, in a word or two.
fn kind(property: &Value) -> String {
    if let Some(name) = property["$ref"].as_str() {
        return match name.trim_start_matches("#/$defs/") {
            word @ ("duration" | "ratio" | "bytes" | "name") => word.to_owned(),
            "gates" => "list of gates".to_owned(),
            _ => "table".to_owned(),
        };
    }
    if let Some(values) = property["enum"].as_array() {
        let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
        return values.join(", ");
    }
    if let Some(choices) = property["anyOf"].as_array() {
        // Placeholders stand in any string; the page says so once.
        let is_value = |choice: &&Value| choice["$ref"] != "#/$defs/placeholder";
        let choices: Vec<String> = choices.iter().filter(is_value).map(kind).collect();
        return choices.join(" or ");
    }
    match property["type"].as_str() {
        Some("array") => "list".to_owned(),
        Some("object") => "table".to_owned(),
        Some(kind) => kind.to_owned(),
        None => "any".to_owned(),
    }
}

fn metrics() -> String {
    let mut text = format!(
        "{MADE}# Metrics\n\n\
         What a gate can name: `METRIC < LIMIT` or `METRIC > LIMIT`, the limit with its unit. A percentile is\n\
         any, `p50` and `p99.9` alike. What is about requests can be about some of them: `METRIC{{request=NAME}}`,\n\
         `METRIC{{flow=NAME}}` or `METRIC{{step=FLOW/STEP}}`.\n\n\
         | metric | limit | |\n|---|---|---|\n"
    );
    let mut row = |name: &str, dimension: Dimension, describe: &str| {
        text.push_str(&format!(
            "| `{name}` | {} | {} |\n",
            dimension.example(),
            cell(describe)
        ));
    };
    for kind in LatencyKind::ALL {
        let name = format!("{}.p99", kind.as_str());
        row(&name, Dimension::Time, kind.describe());
    }
    for (name, dimension, describe) in [
        (
            "error_rate",
            Dimension::Ratio,
            "share of requests that failed, timed out or never ended",
        ),
        (
            "throughput",
            Dimension::PerSecond,
            "successful requests per second",
        ),
        (
            "goodput",
            Dimension::PerSecond,
            "successful requests per second that met every objective of the phase (`slo`)",
        ),
        (
            "tokens_per_second",
            Dimension::PerSecond,
            "output tokens per second of all streams",
        ),
        (
            "response.p99.drift",
            Dimension::Drift,
            "lasting growth of a percentile of any latency over the phase",
        ),
    ] {
        row(name, dimension, describe);
    }
    for metric in TelemetryMetric::all() {
        let describe = format!("{}: {}", metric.statistic.as_str(), metric.describe);
        row(metric.name, metric.dimension, &describe);
    }
    let energy = Metric::EnergyPerRequest;
    row(&energy.to_string(), energy.dimension(), energy.describe());
    for metric in ScalingMetric::ALL {
        row(metric.as_str(), metric.dimension(), metric.describe());
    }
    for metric in GrowthMetric::all() {
        row(metric.name, metric.dimension, metric.describe);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_metric_that_a_gate_can_name() {
        let page = metrics();
        for name in crate::gate::metric_names() {
            assert!(page.contains(&format!("| `{name}` |")), "{name}");
        }
    }
}
