//! One run in a screenful, from whatever is known of it.

use super::{interval, minute, revision, shown, verdict_word};
use crate::history::{MetricValue, RunSummary};
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
    let (of_parts, of_all): (Vec<&MetricValue>, Vec<&MetricValue>) = run
        .metrics
        .iter()
        .partition(|value| value.metric.ends_with('}'));
    if !of_all.is_empty() {
        let head = ["Phase", "Metric", "Value", "95 % each side", "Samples"];
        let mut rows = table(&head, 2, width);
        for value in of_all {
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
    if !of_parts.is_empty() {
        text.push('\n');
        text.push_str(&parts_table(&of_parts, width));
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

/// What is shown of each request, flow and step; the JSON has all that is known.
const OF_PARTS: [&str; 4] = ["response.p50", "response.p99", "error_rate", "throughput"];

/// A line for each part of each phase, named as trends ask for it: `step=job/submit`.
fn parts_table(values: &[&MetricValue], width: usize) -> String {
    let mut parts: Vec<(&str, &str, [String; 4])> = Vec::new();
    for value in values {
        let Some((metric, part)) = value.metric.split_once('{') else {
            continue;
        };
        let part = part.trim_end_matches('}');
        let known = parts
            .iter()
            .position(|(phase, name, _)| (*phase, *name) == (&value.phase, part));
        let at = known.unwrap_or_else(|| {
            parts.push((&value.phase, part, [const { String::new() }; 4]));
            parts.len() - 1
        });
        if let Some(column) = OF_PARTS.iter().position(|shown| *shown == metric) {
            parts[at].2[column] = shown(metric, value.value);
        }
    }
    let [p50, p99, errors, rate] = OF_PARTS;
    let head = ["Phase", "Part", p50, p99, errors, rate];
    let mut rows = table(&head, 2, width);
    for (phase, part, [p50, p99, errors, rate]) in parts {
        rows.add_row([one_line(phase), one_line(part), p50, p99, errors, rate]);
    }
    print(&rows)
}
