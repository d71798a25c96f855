//! One run in a screenful, from whatever is known of it.

use super::{interval, minute, revision, shown, verdict_word};
use crate::history::RunSummary;
use crate::report::console::{one_line, paint, print, style, table};

/// A run's summary as text: facts, metrics by phase, and the headline as the last line.
pub fn show(run: &RunSummary, width: usize) -> String {
    let mut facts = vec![
        ("run", one_line(&run.id)),
        ("scenario", one_line(&run.scenario)),
        ("target", one_line(&run.target)),
        (
            "began",
            format!(
                "{} UTC, {}",
                minute(&run.started_at),
                crate::units::seconds(run.duration_s)
            ),
        ),
        ("revision", revision(run)),
        ("environment", run.environment_key.clone()),
        (
            "made by",
            format!(
                "bench {} on {}",
                one_line(&run.bench_version),
                one_line(&run.host)
            ),
        ),
    ];
    if run.simulated {
        facts.push((
            "SIMULATED",
            "values of its telemetry are made up".to_owned(),
        ));
    }
    if run.partial {
        facts.push(("PARTIAL", "it did not come to its planned end".to_owned()));
    }
    let mut text: String = facts
        .iter()
        .map(|(name, value)| format!("{name:<12} {value}\n"))
        .collect();
    if !run.metrics.is_empty() {
        let head = ["Phase", "Metric", "Value", "95 % each side", "Samples"];
        let mut rows = table(&head, 2, width);
        for value in &run.metrics {
            rows.add_row([
                one_line(&value.phase),
                one_line(&value.metric),
                shown(&value.metric, value.value),
                interval(&value.metric, value.lower, value.upper),
                crate::units::count(value.samples),
            ]);
        }
        text.push('\n');
        text.push_str(&print(&rows));
        text.push('\n');
    }
    let headline = if run.headline.is_empty() {
        format!("{}: no verdict as yet", verdict_word(run))
    } else {
        one_line(&run.headline)
    };
    let headline = match run.verdict {
        Some(verdict) => paint(style(verdict), verdict.as_str(), &headline),
        None => headline,
    };
    format!("{text}\n{headline}\n")
}
