//! Compares two sets of runs, phase by phase: better, same, worse or unclear.

use super::{GateResult, Scope, ScopedGate, Verdict};
use crate::gate::{Gate, LatencyKind, Metric, Op, Percentile};
use crate::record::{Difference, RunFigures, RunRecord, differences};
use crate::stats::{self, ALPHA, Ratio};
use crate::units::{self, Dimension, Quantity};
use serde::Serialize;

/// How runs are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CompareOptions {
    /// The relative change that matters: smaller ones are "same".
    pub margin: f64,
    /// The runs alternated, old and new: they are compared pair by pair.
    pub paired: bool,
}

/// What the comparison says about one metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It is certainly better by more than the margin.
    Better,
    /// It certainly lies within the margin.
    Same,
    /// It is certainly worse by more than the margin.
    Worse,
    /// It is certainly not worse by more than the margin; whether it is better is open.
    NotWorse,
    /// Nothing of that is certain.
    Unclear,
}

impl Change {
    /// As a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Same => "same",
            Self::Worse => "worse",
            Self::NotWorse => "not worse",
            Self::Unclear => "unclear",
        }
    }

    /// The bounds that it rests on, at 95 %: of each side by itself where nothing is worse, else of both.
    fn bounds(self, ratio: &Ratio) -> (f64, f64) {
        match self {
            Self::Same | Self::NotWorse => (ratio.at_least, ratio.at_most),
            _ => (ratio.lower, ratio.upper),
        }
    }

    pub(super) fn verdict(self) -> Verdict {
        match self {
            Self::Better | Self::Same | Self::NotWorse => Verdict::Pass,
            Self::Worse => Verdict::Fail,
            Self::Unclear => Verdict::Inconclusive,
        }
    }
}

/// One metric of one phase.
#[derive(Clone, Debug, PartialEq)]
pub struct CompareRow {
    /// The phase.
    pub phase: String,
    /// The metric, as gates call it.
    pub metric: &'static str,
    /// The dimension of its values.
    pub dimension: Dimension,
    /// The mean over the old runs; `None` without data.
    pub old: Option<f64>,
    /// The mean over the new runs.
    pub new: Option<f64>,
    /// New over old, with its 95 % interval, where runs were repeated.
    pub ratio: Option<Ratio>,
    /// What that means.
    pub change: Change,
    /// Why, in one sentence.
    pub reason: String,
}

/// The comparison of two sets of runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// What differs between the environments, first of all.
    pub differences: Vec<Difference>,
    /// Each metric of each phase that both have.
    pub rows: Vec<CompareRow>,
    /// FAIL if anything is worse, else INCONCLUSIVE if anything is unclear, else PASS.
    pub verdict: Verdict,
    /// One line that says it all.
    pub headline: String,
}

/// A metric that is compared: its name, its dimension, and which side of it is good.
struct Compared {
    metric: Metric,
    name: &'static str,
    op: Op,
}

/// What is compared of each phase.
fn compared() -> [Compared; 5] {
    let response = |percent: f64| Metric::Latency {
        kind: LatencyKind::Response,
        percentile: Percentile::new(percent).expect("between 0 and 100"),
    };
    let compared = |metric, name, op| Compared { metric, name, op };
    [
        compared(response(50.0), "response.p50", Op::Below),
        compared(response(90.0), "response.p90", Op::Below),
        compared(response(99.0), "response.p99", Op::Below),
        compared(Metric::Throughput, "throughput", Op::Above),
        compared(Metric::ErrorRate, "error_rate", Op::Below),
    ]
}

/// The value of a metric in each run; `None` where one of them does not have it.
fn values(runs: &[RunFigures], phase: &str, metric: &Compared) -> Option<Vec<f64>> {
    let of = |run: &RunFigures| {
        let phase = run.phase(phase)?;
        if metric.metric == Metric::ErrorRate {
            return (phase.ended > 0).then(|| phase.not_ok as f64 / phase.ended as f64);
        }
        phase.values.get(metric.name).copied()
    };
    runs.iter().map(of).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The gates that hold a phase of a record against its baseline; none where it has none, or where too
/// few runs could be found, which is a doubt.
pub(super) fn gates(record: &RunRecord, scope: &Scope) -> Vec<ScopedGate> {
    let Some(baseline) = &record.baseline else {
        return Vec::new();
    };
    compared()
        .iter()
        .filter_map(|metric| {
            let old = mean(&values(&baseline.runs, &scope.name, metric)?);
            if !old.is_finite() {
                return None;
            }
            let gate = Gate {
                metric: metric.metric,
                op: metric.op,
                limit: Quantity {
                    value: worst_allowed(metric, old, baseline.margin),
                    dimension: metric.metric.dimension(),
                },
                part: None,
                worst: None,
                abort: false,
                baseline: Some(baseline.margin),
            };
            Some(ScopedGate {
                scope: scope.clone(),
                text: gate.to_string(),
                gate,
            })
        })
        .collect()
}

/// The value from which on a metric is worse than it may be.
fn worst_allowed(metric: &Compared, old: f64, margin: f64) -> f64 {
    match (metric.metric, metric.op) {
        (Metric::ErrorRate, _) => old + points(margin),
        (_, Op::Below) => old * (1.0 + margin),
        (_, Op::Above) => old / (1.0 + margin),
    }
}

/// Judges one gate of [`gates`].
pub(super) fn judge_gate(record: &RunRecord, gate: &ScopedGate, margin: f64) -> GateResult {
    let all = compared();
    let metric = all.iter().find(|known| known.metric == gate.gate.metric);
    let (Some(metric), Some(baseline)) = (metric, &record.baseline) else {
        return GateResult::undecided(gate, "the run has no baseline".to_owned());
    };
    let own = RunFigures::of(record);
    let samples = own.phase(&gate.scope.name).map_or(0, |phase| phase.ended);
    let options = CompareOptions {
        margin,
        paired: false,
    };
    let row = row(&gate.scope.name, metric, &baseline.runs, &[own], options);
    let (lower, upper) = match (row.old, &row.ratio) {
        (Some(old), Some(ratio)) => {
            let (lower, upper) = row.change.bounds(ratio);
            (Some(old * lower), Some(old * upper))
        }
        _ => (None, None),
    };
    GateResult {
        verdict: row.change.verdict(),
        observed: row.new,
        lower,
        upper,
        samples,
        reason: format!("{}: {}", row.change.as_str(), row.reason),
        ..GateResult::undecided(gate, String::new())
    }
}

/// Compares new runs with old ones, by the phases that all of them have.
pub fn compare(old: &[RunFigures], new: &[RunFigures], options: CompareOptions) -> Comparison {
    let differences = differences(old, new);
    let phases = old.first().map_or(&[][..], |run| &run.phases);
    let mut rows = Vec::new();
    for phase in phases {
        for metric in &compared() {
            rows.push(row(&phase.name, metric, old, new, options));
        }
    }
    let verdict = rows
        .iter()
        .map(|row| row.change.verdict())
        .max()
        .unwrap_or(Verdict::Inconclusive);
    let headline = headline(verdict, &rows);
    Comparison {
        differences,
        rows,
        verdict,
        headline,
    }
}

fn headline(verdict: Verdict, rows: &[CompareRow]) -> String {
    let count = |change: Change| rows.iter().filter(|row| row.change == change).count();
    let first = |wanted: Verdict| rows.iter().find(|row| row.change.verdict() == wanted);
    let mut line = format!(
        "{verdict}: {} worse, {} unclear, {} same, {} better, {} not worse",
        count(Change::Worse),
        count(Change::Unclear),
        count(Change::Same),
        count(Change::Better),
        count(Change::NotWorse)
    );
    if let (Verdict::Fail | Verdict::Inconclusive, Some(row)) = (verdict, first(verdict)) {
        line.push_str(&format!("; {} ({}): {}", row.metric, row.phase, row.reason));
    }
    line
}

fn row(
    phase: &str,
    metric: &Compared,
    old: &[RunFigures],
    new: &[RunFigures],
    options: CompareOptions,
) -> CompareRow {
    let (before, after) = (values(old, phase, metric), values(new, phase, metric));
    let (ratio, change, reason) = match (&before, &after) {
        (Some(before), Some(after)) if before == after => {
            (None, Change::Same, "every value is the same".to_owned())
        }
        (Some(_), Some(_)) if metric.metric == Metric::ErrorRate => {
            let (change, reason) = weigh_shares(old, new, phase, options.margin);
            (None, change, reason)
        }
        (Some(before), Some(after)) => weigh(metric, before, after, options),
        _ => (
            None,
            Change::Unclear,
            "the phase or its data is missing in one of the runs".to_owned(),
        ),
    };
    CompareRow {
        phase: phase.to_owned(),
        metric: metric.name,
        dimension: metric.metric.dimension(),
        old: before.as_deref().map(mean),
        new: after.as_deref().map(mean),
        ratio,
        change,
        reason,
    }
}

fn weigh(
    metric: &Compared,
    before: &[f64],
    after: &[f64],
    options: CompareOptions,
) -> (Option<Ratio>, Change, String) {
    let ratio = if options.paired {
        stats::paired_ratio(before, after, ALPHA)
    } else {
        stats::ratio(before, after, ALPHA)
    };
    let Some(ratio) = ratio else {
        let reason = format!(
            "{} run{} against {}: how runs vary of themselves is not known; it takes three on one side, better five on each",
            after.len(),
            if after.len() == 1 { "" } else { "s" },
            before.len()
        );
        return (None, Change::Unclear, reason);
    };
    let change = judge(ratio, metric.op, options.margin);
    let percent = |value: f64| units::percent((value - 1.0).abs());
    let direction = |value: f64| if value < 1.0 { "−" } else { "+" };
    let (lower, upper) = change.bounds(&ratio);
    let how = match change {
        Change::Same | Change::NotWorse => "at 95 % each",
        _ => "at 95 %",
    };
    let mut reason = format!(
        "{}{}, between {}{} and {}{} {how}; {} matters",
        direction(ratio.value),
        percent(ratio.value),
        direction(lower),
        percent(lower),
        direction(upper),
        percent(upper),
        units::percent(options.margin)
    );
    if change == Change::Unclear {
        let runs = stats::runs_to_see(options.margin, ratio.spread, ALPHA);
        reason.push_str(&format!(
            "; runs vary by {}, so that about {runs} on each side would show a change of that size",
            units::percent(ratio.spread)
        ));
    }
    (Some(ratio), change, reason)
}

fn judge(ratio: Ratio, op: Op, margin: f64) -> Change {
    let (most, least) = (1.0 + margin, 1.0 / (1.0 + margin));
    // As if less were good.
    let as_less = |lower: f64, upper: f64| match op {
        Op::Above => (1.0 / upper, 1.0 / lower),
        Op::Below => (lower, upper),
    };
    let (lower, upper) = as_less(ratio.lower, ratio.upper);
    let (at_least, at_most) = as_less(ratio.at_least, ratio.at_most);
    if lower > most {
        Change::Worse
    } else if upper < least {
        Change::Better
    } else if at_most < most && at_least > least {
        Change::Same
    } else if at_most < most {
        Change::NotWorse
    } else {
        Change::Unclear
    }
}

/// Error rates are often zero, so that they have no ratio: what counts is their difference, in points.
fn weigh_shares(
    old: &[RunFigures],
    new: &[RunFigures],
    phase: &str,
    margin: f64,
) -> (Change, String) {
    let share = |runs: &[RunFigures]| {
        let (mut failed, mut total) = (0, 0);
        for phase in runs.iter().filter_map(|run| run.phase(phase)) {
            failed += phase.not_ok;
            total += phase.ended;
        }
        failed as f64 / total.max(1) as f64
    };
    let change = share(new) - share(old);
    let matters = points(margin);
    let shown = |value: f64| {
        Quantity {
            value,
            dimension: Dimension::Ratio,
        }
        .measured()
    };
    let text = format!("{} against {}", shown(share(new)), shown(share(old)));
    if change.abs() <= matters {
        (
            Change::Same,
            format!("{text}: less than {} apart", shown(matters)),
        )
    } else if old.len().min(new.len()) < 3 {
        (
            Change::Unclear,
            format!(
                "{text}, and how runs vary of themselves is not known; it takes three on each side"
            ),
        )
    } else {
        let worst_old = old
            .iter()
            .map(|run| share(std::slice::from_ref(run)))
            .fold(0.0, f64::max);
        let least_new = new
            .iter()
            .map(|run| share(std::slice::from_ref(run)))
            .fold(1.0, f64::min);
        if change > 0.0 && least_new > worst_old {
            (
                Change::Worse,
                format!("{text}: every new run has more errors than any old one"),
            )
        } else if change < 0.0 {
            (Change::NotWorse, text)
        } else {
            (Change::Unclear, format!("{text}, and the runs overlap"))
        }
    }
}

/// The change of an error rate that matters: a twentieth of the margin, in points. With 5 %, a quarter of
/// a percentage point.
fn points(margin: f64) -> f64 {
    margin / 20.0
}
