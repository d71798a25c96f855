//! Trends as one self-contained page and as a picture, through the chart model of the reports.

use super::{interval, minute, revision, shown, verdict_word};
use crate::gate::parse_part_metric;
use crate::history::{Point, Trend};
use crate::report::chart::axis::{Unit, XAxis, YAxis};
use crate::report::chart::palette::Colour;
use crate::report::chart::{Chart, Content, Limit, Series, Size, Stroke};
use crate::report::{html, png};

fn seconds<'a>(trend: &'a Trend<'_>) -> impl Iterator<Item = f64> + 'a {
    let began = trend.points.iter().map(|point| point.run.began());
    began.map(|moment| moment.as_second() as f64)
}

/// The stretch of time that all charts of a view share.
fn stretch(trends: &[Trend<'_>]) -> XAxis {
    let (first, last) = trends
        .iter()
        .flat_map(seconds)
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(first, last), at| {
            (first.min(at), last.max(at))
        });
    // A run alone stands in the middle of an hour.
    let room = if last > first { 0.0 } else { 1800.0 };
    XAxis::Dates {
        origin_s: first - room,
        to_s: last - first + 2.0 * room,
    }
}

/// One trend as a chart: every run a point, its interval behind it.
fn chart(trend: &Trend<'_>, index: usize, x: XAxis) -> Chart {
    let (origin_s, to_s) = match x {
        XAxis::Dates { origin_s, to_s } => (origin_s, to_s),
        XAxis::Time { to_s }
        | XAxis::Percentile { to: to_s }
        | XAxis::Level { to: to_s }
        | XAxis::Log { to: to_s, .. } => (0.0, to_s),
    };
    let spans = seconds(trend)
        .map(|at| (at - origin_s, at - origin_s))
        .collect();
    let of = |value: fn(&crate::history::MetricValue) -> f64| -> Vec<f64> {
        trend
            .points
            .iter()
            .map(|point| value(point.value))
            .collect()
    };
    let values = of(|value| value.value);
    let lower = of(|value| value.lower.unwrap_or(value.value));
    let upper = of(|value| value.upper.unwrap_or(value.value));
    let unit =
        parse_part_metric(trend.metric).map_or(Unit::Count, |of| Unit::Of(of.metric.dimension()));
    let median = trend.median();
    let width = lower
        .iter()
        .zip(&upper)
        .map(|(lower, upper)| Some(upper - lower))
        .collect();
    let is_open = |point: &Point<'_>| point.value.lower.is_none() || point.value.upper.is_none();
    // A bound that is not known cannot be drawn, and must not look as if it were the value.
    let open = if trend.points.iter().any(is_open) {
        "; where it ends at the line, that side is open"
    } else {
        ""
    };
    Chart {
        name: format!("trend-{index}"),
        title: format!("{}: {}", trend.phase, trend.metric),
        subtitle: format!(
            "{} in environment {}; {} runs by the moment they began, the shade is 95 % on each side{open}",
            trend.scenario,
            trend.environment_key,
            trend.points.len()
        ),
        size: Size::Tall,
        x,
        y: YAxis::close(unit, values.iter().chain(&lower).chain(&upper).copied()),
        content: Content::Lines {
            spans,
            series: vec![
                Series::new("", Colour::P99, Stroke::Range, width).on(lower),
                Series::new(
                    trend.metric,
                    Colour::P99,
                    Stroke::Bold,
                    values.into_iter().map(Some).collect(),
                ),
            ],
        },
        bands: Vec::new(),
        marks: Vec::new(),
        limits: vec![Limit {
            value: median,
            from: 0.0,
            to: to_s,
            label: format!("median {}", shown(trend.metric, median)),
        }],
    }
}

fn is_simulated(trends: &[Trend<'_>]) -> bool {
    trends
        .iter()
        .flat_map(|trend| &trend.points)
        .any(|point| point.run.simulated)
}

/// The trends as one HTML page that loads nothing.
pub fn trend_page(metric: &str, trends: &[Trend<'_>]) -> String {
    let x = stretch(trends);
    let sections = trends
        .iter()
        .enumerate()
        .map(|(index, trend)| html::TrendSection {
            scenario: trend.scenario.to_owned(),
            chart: chart(trend, index, x),
            rows: trend
                .points
                .iter()
                .rev()
                .map(|point| {
                    [
                        minute(&point.run.started_at),
                        verdict_word(point.run).to_owned(),
                        shown(trend.metric, point.value.value),
                        interval(trend.metric, point.value.lower, point.value.upper),
                        revision(point.run),
                        point.run.id.clone(),
                    ]
                })
                .collect(),
        })
        .collect();
    html::trend(metric, is_simulated(trends), sections)
}

/// How many charts a picture has room for.
const IN_A_PICTURE: usize = 3;

/// The trends with the newest runs as a PNG file.
pub fn trend_picture(metric: &str, trends: &[Trend<'_>]) -> Vec<u8> {
    let x = stretch(trends);
    let charts: Vec<Chart> = trends
        .iter()
        .take(IN_A_PICTURE)
        .enumerate()
        .map(|(index, trend)| chart(trend, index, x))
        .collect();
    png::trend(metric, is_simulated(trends), &charts)
}
