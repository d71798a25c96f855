//! `bench regression`: whether a run is worse than the runs before it.

use super::history::{Origin, canonical};
use super::input::CommandError;
use super::{Ending, Output};
use crate::history::{Filter, Policy, RunSummary, direction, judge};
use crate::report::{self, RegressionRow};
use crate::store::Wanted;
use crate::verdict::Verdict;

/// What is judged, and against what.
#[derive(Clone, Debug)]
pub struct RegressionOptions {
    /// Where the runs are.
    pub origin: Origin,
    /// The run.
    pub run: String,
    /// A second run of the same version, which must be worse too.
    pub confirm: Option<String>,
    /// The metrics.
    pub metrics: Vec<String>,
    /// At most so many runs make the history, the newest with PASS.
    pub last: usize,
    /// What it takes to call a run worse.
    pub policy: Policy,
}

/// Judges a run against the runs with PASS of its scenario and environment before it.
///
/// # Errors
/// When a run or a metric is not there.
pub fn regression(options: &RegressionOptions, output: Output) -> Result<Ending, CommandError> {
    let metrics: Vec<String> = options
        .metrics
        .iter()
        .map(|metric| canonical(metric))
        .collect::<Result<_, _>>()?;
    let run = options.origin.run(&options.run)?;
    let second = options
        .confirm
        .as_ref()
        .map(|name| options.origin.run(name))
        .transpose()?;
    if let Some(second) = &second
        && (second.id == run.id || second.environment_key != run.environment_key)
    {
        return Err(CommandError::setup(
            format!("`{}` cannot confirm `{}`", second.id, run.id),
            "a second run confirms the first when scenario and environment are the same",
        ));
    }
    let earlier = earlier(options, &run, second.as_ref(), output)?;
    let wanted: Vec<(&str, &str, f64)> = run
        .metrics
        .iter()
        .filter(|value| metrics.contains(&value.metric))
        .map(|value| (value.phase.as_str(), value.metric.as_str(), value.value))
        .collect();
    let policy = Policy {
        metrics: wanted.len().max(1),
        ..options.policy
    };
    let rows: Vec<RegressionRow> = wanted
        .into_iter()
        .map(|(phase, metric, value)| {
            let of = |run: &RunSummary| run.metric(phase, metric).map(|value| value.value);
            let history: Vec<f64> = earlier.iter().filter_map(of).collect();
            let confirmation = second.as_ref().and_then(of);
            RegressionRow {
                phase: phase.to_owned(),
                metric: metric.to_owned(),
                value,
                result: judge(&history, value, confirmation, direction(metric), &policy),
            }
        })
        .collect();
    let verdict = rows
        .iter()
        .map(|row| row.result.verdict)
        .max()
        .filter(|_| !run.partial)
        .unwrap_or(Verdict::Inconclusive);
    output.result(&report::regression(&run, &rows, verdict, output.width()));
    Ok(match verdict {
        Verdict::Pass => Ending::Pass,
        Verdict::Fail => Ending::Fail,
        Verdict::Inconclusive => Ending::Inconclusive,
    })
}

/// The history: the newest runs with PASS before the run that is judged.
fn earlier(
    options: &RegressionOptions,
    run: &RunSummary,
    second: Option<&RunSummary>,
    output: Output,
) -> Result<Vec<RunSummary>, CommandError> {
    let before = second.map_or(run.began(), |second| second.began().min(run.began()));
    let filter = Filter {
        scenario: Some(run.scenario.clone()),
        verdict: Some(Verdict::Pass),
        environment: Some(run.environment_key.clone()),
        since: options.origin.level_since(run)?,
        before: Some(before),
        ..Filter::default()
    };
    let mut runs = options.origin.runs(&filter, Wanted::Everything, output)?;
    runs.retain(RunSummary::is_baseline_material);
    runs.truncate(options.last);
    Ok(runs)
}
