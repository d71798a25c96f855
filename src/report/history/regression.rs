//! A run against the runs before it, for a terminal.

use super::shown;
use crate::history::{Regression, RunSummary};
use crate::report::console::{one_line, paint, print, style, table};
use crate::report::rows::NOTHING;
use crate::verdict::Verdict;

/// The judgement on one metric of one phase.
#[derive(Clone, Debug)]
pub struct RegressionRow {
    /// The phase.
    pub phase: String,
    /// The metric.
    pub metric: String,
    /// The value of the run that is judged, in the metric's base unit.
    pub value: f64,
    /// The judgement.
    pub result: Regression,
}

/// All judgements, and the verdict as the last line.
pub fn regression(
    run: &RunSummary,
    rows: &[RegressionRow],
    verdict: Verdict,
    width: usize,
) -> String {
    let head = [
        "Verdict",
        "Phase",
        "Metric",
        "Value",
        "Typical",
        "Worse from",
    ];
    let mut lines = table(&head, 3, width);
    for row in rows {
        let value = |value: Option<f64>| {
            value.map_or_else(|| NOTHING.to_owned(), |value| shown(&row.metric, value))
        };
        lines.add_row([
            row.result.verdict.as_str().to_owned(),
            one_line(&row.phase),
            row.metric.clone(),
            shown(&row.metric, row.value),
            value(row.result.typical),
            value(row.result.limit),
        ]);
    }
    let mut text = String::new();
    if !rows.is_empty() {
        text.push_str(&print(&lines));
        text.push_str("\n\n");
    }
    for row in rows {
        text.push_str(&format!(
            "{} of {}: {}\n",
            row.metric,
            one_line(&row.phase),
            row.result.reason
        ));
    }
    let of = |wanted: Verdict| {
        rows.iter()
            .filter(|row| row.result.verdict == wanted)
            .count()
    };
    let line = match rows.len() {
        _ if run.partial => format!("{verdict}: the run did not come to its end"),
        0 => format!("{verdict}: the run has none of these metrics"),
        all => format!(
            "{verdict}: {} worse, {} undecided, {} of {all} not worse than earlier runs",
            of(Verdict::Fail),
            of(Verdict::Inconclusive),
            of(Verdict::Pass)
        ),
    };
    text.push_str(&format!(
        "\n{}\n",
        paint(style(verdict), verdict.as_str(), &line)
    ));
    text
}
