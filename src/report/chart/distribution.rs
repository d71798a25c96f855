//! The charts of the distribution: every percentile, and the heat map over time.
//!
//! A percentile is drawn as far as there are requests above it, and no further.

use super::axis::{Scale, Unit, XAxis, YAxis};
use super::load::{TimeFrame, joined, values};
use super::palette::{Colour, NTH};
use super::timeline::{Timeline, supported_quantile};
use super::{Chart, Content, Heat, LEVELS, Limit, Series, Size, Stroke};
use crate::gate::{LatencyKind, Metric};
use crate::record::{Distribution as _, Latencies, PartIndex, RunRecord};
use crate::units::Dimension;
use crate::verdict::{Judgement, ScopedGate};

/// Points for each further nine of a percentile: p90, p99, p99.9.
const POINTS_PER_NINE: u32 = 50;

/// The percentiles of an axis that reaches as far as this many requests allow.
fn shares(requests: u64) -> Vec<f64> {
    let nines = match requests {
        0..1_000 => 2,
        1_000..10_000 => 3,
        _ => 4,
    };
    (0..=nines * POINTS_PER_NINE)
        .map(|point| 1.0 - 10_f64.powf(-f64::from(point) / f64::from(POINTS_PER_NINE)))
        .collect()
}

/// The latencies at these shares, as far as there are requests above.
fn along(latencies: &Latencies, shares: &[f64]) -> Vec<Option<f64>> {
    let value = |&share: &f64| supported_quantile(latencies, share);
    shares.iter().map(value).collect()
}

/// A chart over percentiles.
fn over_percentiles(
    name: String,
    title: String,
    shares: &[f64],
    mut series: Vec<Series>,
    limits: Vec<Limit>,
) -> Chart {
    series.retain(|series| series.values.iter().any(Option::is_some));
    let seen: Vec<f64> = series
        .iter()
        .flat_map(|series| series.values.iter().copied().flatten())
        .chain(values(&limits))
        .collect();
    let top = shares.last().copied().unwrap_or_default();
    let content = if series.is_empty() {
        Content::Absent("no request succeeded in a measured window".to_owned())
    } else {
        Content::Lines {
            spans: shares.iter().map(|&share| (share, share)).collect(),
            series,
        }
    };
    Chart {
        name,
        title,
        subtitle: String::new(),
        size: Size::Tall,
        x: XAxis::Percentile { to: top },
        y: YAxis::wide(Unit::Of(Dimension::Time), seen.iter().copied()),
        content,
        bands: Vec::new(),
        marks: Vec::new(),
        limits,
    }
}

/// The whole distribution: every percentile of response and service time, by phase, and what is known of
/// the baseline.
pub(crate) fn percentiles(record: &RunRecord, judgement: &Judgement) -> Chart {
    let counts = record
        .phases
        .iter()
        .map(|phase| phase.total.response.count());
    let shares = shares(counts.max().unwrap_or(0));
    let mut series = Vec::new();
    let mut has_baseline = false;
    for (index, phase) in record.phases.iter().enumerate() {
        let name = &phase.info.name;
        for (kind, stroke) in [
            (LatencyKind::Response, Stroke::Line),
            (LatencyKind::Service, Stroke::Dashed),
        ] {
            let label = format!("{name} {}", kind.as_str());
            let values = along(phase.latencies(kind), &shares);
            series.push(Series::new(label, Colour::Nth(index), stroke, values));
        }
        if let Some(baseline) = &record.baseline {
            let known = [
                ("response.p50", 0.5),
                ("response.p90", 0.9),
                ("response.p99", 0.99),
            ];
            let known = known
                .into_iter()
                .filter_map(|(metric, share)| Some((share, baseline.usual(name, metric)?)));
            let values = joined_up(&known.collect::<Vec<_>>(), &shares);
            has_baseline |= values.iter().any(Option::is_some);
            let label = format!("{name} {}", baseline.label());
            series.push(Series::new(
                label,
                Colour::Nth(index),
                Stroke::Faint,
                values,
            ));
        }
    }
    let gates = judgement.gates.iter().map(|result| &result.gate);
    let limits = percentile_limits(gates, false);
    let (name, title) = ("percentiles".to_owned(), "Latency by percentile".to_owned());
    let mut chart = over_percentiles(name, title, &shares, series, limits);
    "successful requests of the measured windows; the gap between response (solid) and service (broken) is \
     time spent waiting to be sent or, here, to be read"
        .clone_into(&mut chart.subtitle);
    if has_baseline {
        chart
            .subtitle
            .push_str("; baseline (thin): straight lines through p50, p90, p99");
    }
    chart
}

/// Straight lines, on axes of nines and logarithms, through a few known percentiles.
fn joined_up(known: &[(f64, f64)], shares: &[f64]) -> Vec<Option<f64>> {
    let nines = |share: f64| -(1.0 - share).log10();
    let value = |&share: &f64| {
        known.windows(2).find_map(|pair| {
            let ((from, low), (to, high)) = (pair[0], pair[1]);
            let part = (nines(share) - nines(from)) / (nines(to) - nines(from));
            let is_between = (-1e-9..=1.0 + 1e-9).contains(&part) && low > 0.0 && high > 0.0;
            is_between.then(|| low * (high / low).powf(part))
        })
    };
    shares.iter().map(value).collect()
}

/// The percentiles of each request, flow and step, a chart for each phase that has several.
pub(crate) fn parts(record: &RunRecord, judgement: &Judgement) -> Vec<Chart> {
    let all = record.header.several_parts();
    if all.is_empty() {
        return Vec::new();
    }
    let has_flows = all
        .iter()
        .any(|(_, index)| matches!(index, PartIndex::Step(_)));
    let phases = record.phases.iter().enumerate();
    let charts = phases.map(|(index, phase)| {
        let shares = shares(phase.total.response.count());
        let known = all.iter().filter_map(|(part, index)| {
            let tally = phase.of(Some(*index)).filter(|tally| !tally.response.is_empty())?;
            let stroke = match index {
                PartIndex::Unit(_) => Stroke::Bold,
                PartIndex::Step(_) => Stroke::Line,
            };
            Some((&part.name, stroke, along(&tally.response, &shares)))
        });
        let known: Vec<_> = known.collect();
        let more = known.len().saturating_sub(NTH);
        let series = known
            .into_iter()
            .take(NTH)
            .enumerate()
            .map(|(at, (name, stroke, values))| Series::new(name, Colour::Nth(at), stroke, values))
            .collect();
        let what = if has_flows { "flow and step" } else { "request" };
        let title = format!("Response time of each {what}: {}", phase.info.name);
        let gates = judgement.gates.iter().map(|result| &result.gate);
        let own = gates.filter(|gate| gate.scope.phase.is_none_or(|of| of == phase.index));
        let limits = percentile_limits(own, true);
        let mut chart =
            over_percentiles(format!("parts-{}", index + 1), title, &shares, series, limits);
        "by percentile, successful ones of the measured window".clone_into(&mut chart.subtitle);
        if has_flows {
            chart.subtitle.push_str(
                "; a flow (bold) counts from its intended start, a step from the end of the one before",
            );
        }
        if more > 0 {
            chart.subtitle.push_str(&format!("; the first {NTH} of {}", NTH + more));
        }
        chart
    });
    charts
        .filter(|chart| !matches!(chart.content, Content::Absent(_)))
        .collect()
}

/// Each limit on a response time once, as far as its percentile, of gates on the whole load or on parts of
/// it. A baseline is drawn itself.
fn percentile_limits<'a>(
    gates: impl Iterator<Item = &'a ScopedGate>,
    of_parts: bool,
) -> Vec<Limit> {
    let mut limits: Vec<Limit> = Vec::new();
    for gate in gates.map(|scoped| &scoped.gate) {
        if gate.part.is_some() != of_parts || gate.baseline.is_some() {
            continue;
        }
        let whose = gate
            .part
            .as_ref()
            .map_or_else(String::new, |part| format!("{} ", part.name));
        if let Metric::Latency {
            kind: LatencyKind::Response,
            percentile,
        } = gate.metric
        {
            let limit = Limit {
                value: gate.limit.value,
                from: 0.0,
                to: percentile.quantile(),
                label: format!("{whose}{percentile} {} {}", gate.op.symbol(), gate.limit),
            };
            if !limits.contains(&limit) {
                limits.push(limit);
            }
        }
    }
    limits
}

/// Where response times lie over time, and how many.
pub(crate) fn heat_map(frame: &TimeFrame, timeline: &Timeline) -> Chart {
    let absent = |reason: &str| {
        let y = YAxis::from_zero(Unit::Of(Dimension::Time), std::iter::empty());
        frame.chart(
            "heatmap",
            "Response time heat map",
            y,
            Content::Absent(reason.to_owned()),
        )
    };
    let extremes = timeline
        .stretches
        .iter()
        .flat_map(|stretch| [stretch.response.rank_ns(1), stretch.response.max_ns()])
        .flatten()
        .map(|ns| ns as f64 / 1e9);
    let (low, high) = extremes.fold((f64::INFINITY, 0.0), |(low, high), value| {
        (value.min(low), value.max(high))
    });
    if !low.is_finite() || low <= 0.0 {
        return absent("no request succeeded");
    }
    let (low, high) = (low / 1.05, (high * 1.05).max(low * 2.0));
    let heat = heat(timeline, low, high);
    let subtitle = format!(
        "successful requests by when they ended and how long they took{}",
        joined(timeline)
    );
    let y = YAxis {
        unit: Unit::Of(Dimension::Time),
        scale: Scale::Log,
        low,
        high,
    };
    let mut chart = frame.chart("heatmap", "Response time heat map", y, Content::Heat(heat));
    chart.subtitle = subtitle;
    chart
}

fn heat(timeline: &Timeline, low: f64, high: f64) -> Heat {
    const ROWS: u32 = 36;
    let ratio = high / low;
    let edges = (0..=ROWS)
        .map(|edge| low * ratio.powf(f64::from(edge) / f64::from(ROWS)))
        .collect();
    let row = |seconds: f64| {
        let position = (seconds / low).ln() / ratio.ln() * f64::from(ROWS);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to the rows; a float cast saturates"
        )]
        let row = position.max(0.0) as usize;
        row.min(ROWS as usize - 1)
    };
    let counts: Vec<Vec<u64>> = timeline
        .stretches
        .iter()
        .map(|stretch| {
            let mut column = vec![0; ROWS as usize];
            for (ns, count) in stretch.response.buckets() {
                column[row(ns as f64 / 1e9)] += count;
            }
            column
        })
        .collect();
    let most = counts.iter().flatten().copied().max().unwrap_or(0);
    let level = |count: u64| level(count, most);
    Heat {
        columns: timeline
            .stretches
            .iter()
            .map(|stretch| (stretch.from_s, stretch.to_s))
            .collect(),
        edges,
        levels: counts
            .into_iter()
            .map(|column| column.into_iter().map(level).collect())
            .collect(),
        most,
    }
}

/// By the logarithm of the count: a single slow request must be visible beside a thousand fast ones.
fn level(count: u64, most: u64) -> u8 {
    if count == 0 {
        return 0;
    }
    let share = (count as f64).ln() / (most.max(2) as f64).ln();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between one and the number of levels"
    )]
    let level = 1 + (share * f64::from(LEVELS)) as u8;
    level.min(LEVELS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Baseline, RunFigures, StepInfo};
    use crate::report::chart::Content;
    use crate::report::sample;
    use crate::verdict::gate_on;

    #[test]
    fn percentiles_are_those_of_the_record_and_end_where_requests_do() {
        let (record, judgement) = sample::prod();
        let chart = percentiles(record, judgement);
        let Content::Lines { spans, series } = &chart.content else {
            panic!("there are requests");
        };
        let labels: Vec<&str> = series.iter().map(|series| series.label.as_str()).collect();
        assert_eq!(
            labels,
            [
                "c100 response",
                "c100 service",
                "c1000 response",
                "c1000 service"
            ]
        );
        let at = spans
            .iter()
            .position(|(share, _)| (share - 0.99).abs() < 1e-9)
            .unwrap();
        let p99 = record.phases[0].total.response.quantile_ns(0.99).unwrap() as f64 / 1e9;
        assert_eq!(series[0].values[at], Some(p99));
        let (record, judgement) = sample::counted();
        let chart = percentiles(record, judgement);
        let Content::Lines { series, .. } = &chart.content else {
            panic!("there are requests");
        };
        // 25 requests: the axis reaches to p99, the line to p96.
        assert_eq!(chart.x, XAxis::Percentile { to: 0.99 });
        assert!(series[0].values.last().unwrap().is_none());
    }

    #[test]
    fn a_baseline_lies_beside_the_curve_where_it_is_known() {
        let (mut record, judgement) = sample::prod().clone();
        let mut own = RunFigures::of(&record);
        own.phases.truncate(1);
        record.baseline = Some(Baseline {
            asked: "last-pass".to_owned(),
            margin: 0.05,
            runs: vec![own],
        });
        let chart = percentiles(&record, &judgement);
        let Content::Lines { spans, series } = &chart.content else {
            panic!("there are requests");
        };
        let find = |label: &str| series.iter().find(|series| series.label == label);
        let (new, old) = (
            find("c100 response").unwrap(),
            find("c100 baseline").unwrap(),
        );
        assert!(find("c1000 baseline").is_none());
        for (index, (share, _)) in spans.iter().enumerate() {
            let is_known = (0.5 - 1e-9..=0.99 + 1e-9).contains(share);
            assert_eq!(old.values[index].is_some(), is_known, "{share}");
            if [0.9, 0.99].iter().any(|known| (share - known).abs() < 1e-9) {
                let ratio = old.values[index].unwrap() / new.values[index].unwrap();
                assert!((ratio - 1.0).abs() < 1e-9, "{share}: {ratio}");
            }
        }
        assert!(chart.subtitle.contains("straight lines through"));
    }

    #[test]
    fn flows_and_steps_have_a_chart_for_each_phase() {
        let (record, judgement) = sample::prod();
        assert_eq!(parts(record, judgement).len(), 2);
        let (mut record, judgement) = sample::calm().clone();
        record.header.requests.truncate(1);
        assert!(parts(&record, &judgement).is_empty());
        let step = |name: &str| StepInfo {
            name: name.to_owned(),
            method: "GET".to_owned(),
            path: "/".to_owned(),
            polls: false,
        };
        record.header.requests[0].steps = vec![step("submit"), step("fetch")];
        let tally = record.phases[0].total.clone();
        record.phases[0].flow_steps.of(1).merge(&tally);
        let mut judgement = judgement;
        let flow_p99 = gate_on(
            &record,
            "response.p99{flow=FLOW} < 2s"
                .replace("FLOW", &record.header.requests[0].name)
                .as_str(),
        );
        judgement.gates[0].gate = flow_p99.unwrap();
        assert!(
            percentiles(&record, &judgement)
                .limits
                .iter()
                .all(|limit| limit.value < 1.9)
        );
        let charts = parts(&record, &judgement);
        let [chart] = &charts[..] else {
            panic!("one phase: {charts:?}");
        };
        let labels: Vec<&str> = chart.legend().map(|series| series.label.as_str()).collect();
        let flow = &record.header.requests[0].name;
        // The other step was never reached.
        assert_eq!(labels, [flow.as_str(), &format!("{flow}/fetch")]);
        assert_eq!(chart.title, "Response time of each flow and step: c100");
        let label = &chart.limits[0].label;
        assert!(label.starts_with(&format!("{flow} p99 < 2")), "{label}");
    }

    #[test]
    fn every_cell_with_a_request_is_seen() {
        let (record, _) = sample::prod();
        let timeline = Timeline::of(record);
        let chart = heat_map(&TimeFrame::of(record), &timeline);
        let Content::Heat(heat) = &chart.content else {
            panic!("there are requests");
        };
        for (stretch, levels) in timeline.stretches.iter().zip(&heat.levels) {
            let is_empty = levels.iter().all(|level| *level == 0);
            assert_eq!(is_empty, stretch.response.is_empty());
            assert_eq!(levels.len() + 1, heat.edges.len());
        }
        assert!(heat.edges.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(heat.levels.iter().flatten().any(|level| *level == LEVELS));
    }

    #[test]
    fn levels_go_by_the_logarithm() {
        assert_eq!(level(0, 1000), 0);
        assert_eq!(level(1, 1000), 1);
        assert_eq!(level(1000, 1000), LEVELS);
        assert_eq!(level(1, 1), 1);
        assert!(level(30, 1000) > 3);
    }
}
