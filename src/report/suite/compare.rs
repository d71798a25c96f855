//! A comparison of two GPU suites as text for a terminal and as JSON.

use crate::record::Difference;
use crate::units;
use crate::verdict::{SuiteCompareRow, SuiteComparison};
use serde::Serialize;

/// For a terminal: what differs in the conditions, each test, and the verdict.
pub fn suite_comparison_text(comparison: &SuiteComparison, width: usize) -> String {
    let mut text = String::new();
    if !comparison.differences.is_empty() {
        text.push_str("These suites did not run under the same conditions:\n");
        for Difference { what, old, new } in &comparison.differences {
            text.push_str(&format!("  {what:<18} {old}  →  {new}\n"));
        }
        text.push('\n');
    }
    let head = ["GPU", "test", "old", "new", "change", "why"];
    let mut table = crate::report::console::table(&head, 2, width);
    for row in &comparison.rows {
        let value = |value: f64| format!("{} {}", units::number(value), row.unit);
        table.add_row([
            row.gpu.to_string(),
            row.test.clone(),
            value(row.old),
            row.new.map(value).unwrap_or_default(),
            row.change.as_str().to_owned(),
            row.reason.clone(),
        ]);
    }
    text.push_str(&format!("{table}\n\n{}\n", comparison.headline));
    text
}

/// The version of the JSON format.
const SCHEMA: &str = "bench.gpu_comparison/1";

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    verdict: &'static str,
    headline: &'a str,
    differences: &'a [Difference],
    tests: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    gpu: u32,
    together: bool,
    test: &'a str,
    unit: &'a str,
    old: f64,
    new: Option<f64>,
    ratio: Option<f64>,
    ratio_lower: Option<f64>,
    ratio_upper: Option<f64>,
    change: &'static str,
    reason: &'a str,
}

impl<'a> From<&'a SuiteCompareRow> for Row<'a> {
    fn from(row: &'a SuiteCompareRow) -> Self {
        Self {
            gpu: row.gpu,
            together: row.together,
            test: &row.test,
            unit: &row.unit,
            old: row.old,
            new: row.new,
            ratio: row.ratio.map(|[value, ..]| value),
            ratio_lower: row.ratio.map(|[_, lower, _]| lower),
            ratio_upper: row.ratio.map(|[.., upper]| upper),
            change: row.change.as_str(),
            reason: &row.reason,
        }
    }
}

/// As JSON.
pub fn suite_comparison_json(comparison: &SuiteComparison) -> String {
    let document = Document {
        schema: SCHEMA,
        verdict: comparison.verdict.as_str(),
        headline: &comparison.headline,
        differences: &comparison.differences,
        tests: comparison.rows.iter().map(Row::from).collect(),
    };
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}
