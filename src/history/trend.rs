//! How a metric went over the runs that may be compared.

use super::{MetricValue, RunSummary};
use std::collections::BTreeMap;

/// One metric of one phase over the runs of one environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Trend<'a> {
    /// The scenario.
    pub scenario: &'a str,
    /// The phase.
    pub phase: &'a str,
    /// The metric.
    pub metric: &'a str,
    /// The environment key that all runs share.
    pub environment_key: &'a str,
    /// The runs, the oldest first.
    pub points: Vec<Point<'a>>,
}

/// One run of a trend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point<'a> {
    /// The run.
    pub run: &'a RunSummary,
    /// What it measured.
    pub value: &'a MetricValue,
}

impl Trend<'_> {
    /// The median of all values.
    pub fn median(&self) -> f64 {
        let mut values: Vec<f64> = self.points.iter().map(|point| point.value.value).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.len() {
            0 => f64::NAN,
            length if length % 2 == 1 => values[middle],
            _ => f64::midpoint(values[middle - 1], values[middle]),
        }
    }

    /// The newest run.
    pub fn newest(&self) -> Option<&Point<'_>> {
        self.points.last()
    }
}

/// The trends of a metric, one for each scenario, phase and environment; that with the newest run
/// first. Runs without the metric are left out. Runs that never came to their end are too: what they
/// measured is not what the phase asks for.
pub fn trends<'a>(runs: &'a [RunSummary], metric: &str, phase: Option<&str>) -> Vec<Trend<'a>> {
    let mut all: BTreeMap<(&str, &str, &str), Vec<Point<'a>>> = BTreeMap::new();
    let whole = runs
        .iter()
        .filter(|run| !run.partial && run.verdict.is_some());
    for run in whole {
        let wanted = run.metrics.iter().filter(|value| {
            value.metric == metric && phase.is_none_or(|phase| value.phase == phase)
        });
        for value in wanted {
            all.entry((&run.scenario, &value.phase, &run.environment_key))
                .or_default()
                .push(Point { run, value });
        }
    }
    let mut trends: Vec<Trend<'a>> = all
        .into_iter()
        .map(|((scenario, phase, environment_key), mut points)| {
            points.sort_by_key(|point| (point.run.began(), &point.run.id));
            Trend {
                scenario,
                phase,
                metric: points.last().map_or("", |point| &point.value.metric),
                environment_key,
                points,
            }
        })
        .collect();
    trends.sort_by_key(|trend| std::cmp::Reverse(trend.newest().map(|point| point.run.began())));
    trends
}

/// The last values as a line of blocks, from the lowest to the highest of them; at most `width`.
pub fn sparkline(values: &[f64], width: usize) -> String {
    let values = &values[values.len().saturating_sub(width)..];
    let (low, high) = values
        .iter()
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &value| {
            (low.min(value), high.max(value))
        });
    let share = |value: f64| {
        if high > low {
            (value - low) / (high - low)
        } else {
            0.5
        }
    };
    values.iter().map(|&value| block(share(value))).collect()
}

/// A block as high as a share of a line; a blank for what is no number.
pub fn block(share: f64) -> char {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    if !share.is_finite() {
        return ' ';
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share between 0 and 1 of seven"
    )]
    let level = (share.clamp(0.0, 1.0) * 7.0).round() as usize;
    BLOCKS[level.min(7)]
}

#[cfg(test)]
mod tests {
    use super::super::summary::example;
    use super::*;

    #[test]
    fn runs_that_may_not_be_compared_are_kept_apart() {
        let mut runs: Vec<RunSummary> = (1..=6)
            .map(|day| {
                example(
                    &format!("r{day}"),
                    &format!("2026-11-0{day}T00:00:00Z"),
                    f64::from(day),
                )
            })
            .collect();
        runs[1].environment_key = "other".to_owned();
        runs[2].partial = true;
        runs[3].metrics.clear();
        runs.reverse();
        let trends = trends(&runs, "response.p99", None);
        let shown: Vec<(&str, Vec<&str>)> = trends
            .iter()
            .map(|trend| {
                let ids = trend.points.iter().map(|point| point.run.id.as_str());
                (trend.environment_key, ids.collect())
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("0123456789abcdef", vec!["r1", "r5", "r6"]),
                ("other", vec!["r2"])
            ]
        );
        assert_eq!(trends[0].median(), 5.0);
        assert!(super::trends(&runs, "response.p99", Some("c200")).is_empty());
    }

    #[test]
    fn a_sparkline_runs_from_lowest_to_highest() {
        assert_eq!(sparkline(&[9.0, 1.0, 2.0, 8.0], 3), "▁▂█");
        assert_eq!(sparkline(&[5.0, 5.0], 10), "▅▅");
        assert_eq!(sparkline(&[1.0, f64::NAN, 2.0], 10), "▁ █");
        assert_eq!(sparkline(&[], 10), "");
    }
}
