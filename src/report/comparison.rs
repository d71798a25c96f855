//! A comparison of runs as text for a terminal and as JSON.

use super::rows::NOTHING;
use crate::record::Difference;
use crate::units::Quantity;
use crate::verdict::{Change, CompareRow, Comparison, Verdict};
use serde::Serialize;

/// For a terminal: what differs in the environment, each metric, and the verdict.
pub fn comparison_text(comparison: &Comparison) -> String {
    let mut text = String::new();
    if !comparison.differences.is_empty() {
        text.push_str("These runs did not take place under the same conditions:\n");
        for Difference { what, old, new } in &comparison.differences {
            let (old, new) = (short(old), short(new));
            text.push_str(&format!("  {what:<13} {old}  →  {new}\n"));
        }
        text.push('\n');
    }
    text.push_str(&format!(
        "{:<12} {:<13} {:>11} {:>11}  {:<10} {}\n",
        "PHASE", "METRIC", "OLD", "NEW", "CHANGE", "WHY"
    ));
    for row in &comparison.rows {
        text.push_str(&format!(
            "{:<12} {:<13} {:>11} {:>11}  {:<10} {}\n",
            row.phase,
            row.metric,
            shown(row, row.old),
            shown(row, row.new),
            row.change.as_str(),
            row.reason
        ));
    }
    text.push_str(&format!("\n{}\n", comparison.headline));
    text
}

fn shown(row: &CompareRow, value: Option<f64>) -> String {
    value.map_or_else(
        || NOTHING.to_owned(),
        |value| {
            Quantity {
                value,
                dimension: row.dimension,
            }
            .measured()
        },
    )
}

/// The version of the JSON format.
const SCHEMA: &str = "bench.comparison/1";

#[derive(Serialize)]
struct ComparisonJson<'a> {
    schema: &'static str,
    verdict: Verdict,
    headline: &'a str,
    differences: &'a [Difference],
    metrics: Vec<RowJson<'a>>,
}

#[derive(Serialize)]
struct RowJson<'a> {
    phase: &'a str,
    metric: &'a str,
    unit: &'static str,
    old: Option<f64>,
    new: Option<f64>,
    ratio: Option<f64>,
    ratio_lower: Option<f64>,
    ratio_upper: Option<f64>,
    change: Change,
    reason: &'a str,
}

/// For other programs.
pub fn comparison_json(comparison: &Comparison) -> String {
    let metrics = comparison
        .rows
        .iter()
        .map(|row| {
            let ratio = |pick: fn(&crate::stats::Ratio) -> f64| {
                row.ratio.as_ref().map(pick).and_then(super::json::number)
            };
            let (unit, factor) = super::json::unit(row.dimension);
            let value =
                |value: Option<f64>| value.and_then(|value| super::json::number(value * factor));
            RowJson {
                phase: &row.phase,
                metric: row.metric,
                unit,
                old: value(row.old),
                new: value(row.new),
                ratio: ratio(|ratio| ratio.value),
                ratio_lower: ratio(|ratio| ratio.lower),
                ratio_upper: ratio(|ratio| ratio.upper),
                change: row.change,
                reason: &row.reason,
            }
        })
        .collect();
    let json = ComparisonJson {
        schema: SCHEMA,
        verdict: comparison.verdict,
        headline: &comparison.headline,
        differences: &comparison.differences,
        metrics,
    };
    let mut text = serde_json::to_string_pretty(&json).expect("numbers and text");
    text.push('\n');
    text
}

/// A SHA-256 by its beginning, which is enough to tell two apart; anything else as it is.
fn short(value: &str) -> &str {
    let is_digest = value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_digest { &value[..12] } else { value }
}
