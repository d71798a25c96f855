//! The charts of the distribution: every percentile, and the heat map over time.
//!
//! A percentile is drawn as far as there are requests above it, and no further.

use super::axis::{Scale, Unit, XAxis, YAxis};
use super::load::{TimeFrame, joined, values};
use super::palette::Colour;
use super::timeline::{Timeline, supported_quantile};
use super::{Chart, Content, Heat, LEVELS, Limit, Series, Size, Stroke};
use crate::gate::{LatencyKind, Metric};
use crate::record::{Distribution as _, Latencies, RunRecord};
use crate::units::Dimension;
use crate::verdict::Judgement;

/// The whole distribution: every percentile of response and service time, by phase.
pub(crate) fn percentiles(record: &RunRecord, judgement: &Judgement) -> Chart {
    const POINTS_PER_NINE: u32 = 50;
    let most = record
        .phases
        .iter()
        .map(|phase| phase.total.response.count())
        .max();
    let nines = match most.unwrap_or(0) {
        0..1_000 => 2,
        1_000..10_000 => 3,
        _ => 4,
    };
    let shares: Vec<f64> = (0..=nines * POINTS_PER_NINE)
        .map(|point| 1.0 - 10_f64.powf(-f64::from(point) / f64::from(POINTS_PER_NINE)))
        .collect();
    let along = |latencies: &Latencies| -> Vec<Option<f64>> {
        let value = |&share: &f64| supported_quantile(latencies, share);
        shares.iter().map(value).collect()
    };
    let mut series = Vec::new();
    for (index, phase) in record.phases.iter().enumerate() {
        for (kind, stroke) in [
            (LatencyKind::Response, Stroke::Line),
            (LatencyKind::Service, Stroke::Dashed),
        ] {
            let label = format!("{} {}", phase.info.name, kind.as_str());
            let values = along(phase.latencies(kind));
            if values.iter().any(Option::is_some) {
                series.push(Series::new(label, Colour::Nth(index), stroke, values));
            }
        }
    }
    let limits = percentile_limits(judgement);
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
        name: "percentiles".to_owned(),
        title: "Latency by percentile".to_owned(),
        subtitle:
            "successful requests of the measured windows; the gap between response (solid) and \
                   service (broken) is time spent waiting to be sent or, here, to be read"
                .to_owned(),
        size: Size::Tall,
        x: XAxis::Percentile { to: top },
        y: YAxis::wide(Unit::Of(Dimension::Time), seen.iter().copied()),
        content,
        bands: Vec::new(),
        marks: Vec::new(),
        limits,
    }
}

/// Each limit on a response time once, as far as its percentile.
fn percentile_limits(judgement: &Judgement) -> Vec<Limit> {
    let mut limits: Vec<Limit> = Vec::new();
    for result in &judgement.gates {
        let gate = &result.gate.gate;
        if let Metric::Latency {
            kind: LatencyKind::Response,
            percentile,
        } = gate.metric
        {
            let limit = Limit {
                value: gate.limit.value,
                from: 0.0,
                to: percentile.quantile(),
                label: format!("{percentile} {} {}", gate.op.symbol(), gate.limit),
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
    use crate::report::chart::Content;
    use crate::report::sample;

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
