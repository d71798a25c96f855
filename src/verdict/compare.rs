//! Compares two sets of runs, phase by phase: better, same, worse or unclear.

use super::Verdict;
use crate::record::{Distribution as _, PhaseRecord, RunRecord};
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

    fn verdict(self) -> Verdict {
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

/// Something about the environment or the scenario that is not the same in all runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What.
    pub what: &'static str,
    /// In the first of the old runs.
    pub old: String,
    /// In the first run that differs from it.
    pub new: String,
}

/// A metric that is compared: its name, its dimension, whether more of it is good, and its value.
struct Compared {
    name: &'static str,
    dimension: Dimension,
    more_is_good: bool,
    value: fn(&PhaseRecord) -> Option<f64>,
}

fn quantile(phase: &PhaseRecord, quantile: f64) -> Option<f64> {
    phase
        .total
        .response
        .quantile_ns(quantile)
        .map(|ns| ns as f64 / 1e9)
}

const COMPARED: [Compared; 5] = [
    Compared {
        name: "response.p50",
        dimension: Dimension::Time,
        more_is_good: false,
        value: |phase| quantile(phase, 0.5),
    },
    Compared {
        name: "response.p90",
        dimension: Dimension::Time,
        more_is_good: false,
        value: |phase| quantile(phase, 0.9),
    },
    Compared {
        name: "response.p99",
        dimension: Dimension::Time,
        more_is_good: false,
        value: |phase| quantile(phase, 0.99),
    },
    Compared {
        name: "throughput",
        dimension: Dimension::PerSecond,
        more_is_good: true,
        value: |phase| (phase.measured_ns() > 0).then(|| phase.throughput()),
    },
    Compared {
        name: "error_rate",
        dimension: Dimension::Ratio,
        more_is_good: false,
        value: |phase| {
            let total = phase.total.outcomes.total();
            (total > 0).then(|| phase.total.outcomes.not_ok() as f64 / total as f64)
        },
    },
];

/// Compares new runs with old ones, by the phases that all of them have.
pub fn compare(old: &[RunRecord], new: &[RunRecord], options: CompareOptions) -> Comparison {
    let differences = differences(old, new);
    let names: Vec<String> = old
        .first()
        .map(|run| {
            run.phases
                .iter()
                .map(|phase| phase.info.name.clone())
                .collect()
        })
        .unwrap_or_default();
    let mut rows = Vec::new();
    for name in &names {
        for metric in &COMPARED {
            rows.push(row(name, metric, old, new, options));
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
    old: &[RunRecord],
    new: &[RunRecord],
    options: CompareOptions,
) -> CompareRow {
    let values = |runs: &[RunRecord]| -> Option<Vec<f64>> {
        let of = |run: &RunRecord| {
            let phase = run.phases.iter().find(|known| known.info.name == phase)?;
            (metric.value)(phase)
        };
        runs.iter().map(of).collect()
    };
    let mean = |values: &Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    let (before, after) = (values(old), values(new));
    let (mut ratio, change, reason) = match (&before, &after) {
        (Some(before), Some(after)) if before == after => {
            (None, Change::Same, "every value is the same".to_owned())
        }
        (Some(before), Some(after)) => weigh(metric, before, after, options),
        _ => (
            None,
            Change::Unclear,
            "the phase or its data is missing in one of the runs".to_owned(),
        ),
    };
    if let (Some(before), Some(after)) = (&before, &after)
        && metric.dimension == Dimension::Ratio
        && before != after
    {
        ratio = None;
        let (change, reason) = weigh_shares(old, new, phase, options.margin);
        return CompareRow {
            phase: phase.to_owned(),
            metric: metric.name,
            dimension: metric.dimension,
            old: Some(mean(before)),
            new: Some(mean(after)),
            ratio,
            change,
            reason,
        };
    }
    CompareRow {
        phase: phase.to_owned(),
        metric: metric.name,
        dimension: metric.dimension,
        old: before.as_ref().map(mean),
        new: after.as_ref().map(mean),
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
    let change = judge(ratio, metric.more_is_good, options.margin);
    let percent = |value: f64| units::percent((value - 1.0).abs());
    let direction = |value: f64| if value < 1.0 { "−" } else { "+" };
    let mut reason = format!(
        "{}{}, between {}{} and {}{} at 95 %; {} matters",
        direction(ratio.value),
        percent(ratio.value),
        direction(ratio.lower),
        percent(ratio.lower),
        direction(ratio.upper),
        percent(ratio.upper),
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

fn judge(ratio: Ratio, more_is_good: bool, margin: f64) -> Change {
    let (most, least) = (1.0 + margin, 1.0 / (1.0 + margin));
    // As if less were good.
    let (lower, upper) = if more_is_good {
        (1.0 / ratio.upper, 1.0 / ratio.lower)
    } else {
        (ratio.lower, ratio.upper)
    };
    if lower > most {
        Change::Worse
    } else if upper < least {
        Change::Better
    } else if upper < most && lower > least {
        Change::Same
    } else if upper < most {
        Change::NotWorse
    } else {
        Change::Unclear
    }
}

/// Error rates are often zero, so that they have no ratio: what counts is their difference, in points.
fn weigh_shares(
    old: &[RunRecord],
    new: &[RunRecord],
    phase: &str,
    margin: f64,
) -> (Change, String) {
    let share = |runs: &[RunRecord]| {
        let phases = runs
            .iter()
            .filter_map(|run| run.phases.iter().find(|known| known.info.name == phase));
        let (mut failed, mut total) = (0, 0);
        for phase in phases {
            failed += phase.total.outcomes.not_ok();
            total += phase.total.outcomes.total();
        }
        failed as f64 / total.max(1) as f64
    };
    let points = share(new) - share(old);
    // A twentieth of the margin, in points: with 5 %, a quarter of a percentage point.
    let matters = margin / 20.0;
    let shown = |value: f64| {
        Quantity {
            value,
            dimension: Dimension::Ratio,
        }
        .measured()
    };
    let text = format!("{} against {}", shown(share(new)), shown(share(old)));
    if points.abs() <= matters {
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
        if points > 0.0 && least_new > worst_old {
            (
                Change::Worse,
                format!("{text}: every new run has more errors than any old one"),
            )
        } else if points < 0.0 {
            (Change::NotWorse, text)
        } else {
            (Change::Unclear, format!("{text}, and the runs overlap"))
        }
    }
}

/// What is not the same in all runs.
fn differences(old: &[RunRecord], new: &[RunRecord]) -> Vec<Difference> {
    let Some(first) = old.first() else {
        return Vec::new();
    };
    type Fact = (&'static str, fn(&RunRecord) -> String);
    const FACTS: [Fact; 13] = [
        ("scenario", |run| run.header.scenario.sha256.clone()),
        ("target", |run| run.header.target.url.clone()),
        ("misbehaviour", |run| run.header.target.misbehaviour.clone()),
        ("bench", |run| run.header.environment.bench_version.clone()),
        ("host", |run| run.header.environment.host.clone()),
        ("kernel", |run| run.header.environment.kernel.clone()),
        ("CPU", |run| run.header.environment.cpu.clone()),
        ("CPUs", |run| run.header.environment.cpus.to_string()),
        ("memory", |run| {
            units::bytes(run.header.environment.memory_bytes as f64)
        }),
        ("git commit", |run| {
            run.header
                .environment
                .git_commit
                .clone()
                .unwrap_or_default()
        }),
        ("GPU driver", |run| {
            run.header
                .environment
                .gpu_driver
                .clone()
                .unwrap_or_default()
        }),
        ("GPUs", |run| {
            let names = run
                .header
                .environment
                .gpus
                .iter()
                .map(|gpu| gpu.name.as_str());
            names.collect::<Vec<_>>().join(", ")
        }),
        ("workers", |run| run.header.workers.to_string()),
    ];
    FACTS
        .iter()
        .filter_map(|(what, fact)| {
            let usual = fact(first);
            let other = old
                .iter()
                .chain(new)
                .map(fact)
                .find(|other| *other != usual)?;
            let known = |text: String| {
                if text.is_empty() {
                    "–".to_owned()
                } else {
                    text
                }
            };
            Some(Difference {
                what,
                old: known(usual),
                new: known(other),
            })
        })
        .collect()
}
