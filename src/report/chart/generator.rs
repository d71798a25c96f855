//! The lanes of the generator itself: how busy and how late it was.
//!
//! They come from the load's own intervals, so that they are there whatever telemetry is.

use super::axis::{Unit, YAxis};
use super::palette::Colour;
use super::timeline::{Timeline, supported_quantile};
use super::{Chart, Content, Limit, Series, Size, Stroke, TimeFrame};
use crate::record::BUSY_LIMIT;
use crate::units::{self, Dimension};

/// The lane of the generator's busiest thread, with the share above which its numbers are its own.
pub(super) fn busiest_worker(frame: &TimeFrame, timeline: &Timeline) -> Chart {
    let series = vec![Series::new(
        "busiest worker",
        Colour::Nth(0),
        Stroke::Line,
        timeline.values(|stretch| Some(stretch.busiest)),
    )];
    let content = Content::Lines {
        spans: timeline.spans(),
        series,
    };
    let y = YAxis::fixed(Unit::Of(Dimension::Ratio), 0.0, 1.0);
    let mut chart = frame.chart("generator-busy", "Generator's busiest worker", y, content);
    chart.size = Size::Lane;
    "share of time in which its thread was not waiting".clone_into(&mut chart.subtitle);
    let end = timeline
        .stretches
        .last()
        .map_or(0.0, |stretch| stretch.to_s);
    chart.limits = vec![Limit {
        value: BUSY_LIMIT,
        from: 0.0,
        to: end,
        label: format!("bottleneck above {}", units::percent(BUSY_LIMIT)),
    }];
    chart
}

/// The lane of the generator's lateness.
pub(super) fn send_lag(frame: &TimeFrame, timeline: &Timeline) -> Chart {
    let percentile = |quantile: f64| {
        timeline.values(move |stretch| supported_quantile(&stretch.send_lag, quantile))
    };
    let series = vec![
        Series::new("p50", Colour::P50, Stroke::Line, percentile(0.5)),
        Series::new("p99", Colour::P99, Stroke::Line, percentile(0.99)),
    ];
    let seen: Vec<f64> = series
        .iter()
        .flat_map(|series| series.values.iter().copied().flatten())
        .collect();
    let y = YAxis::wide(Unit::Of(Dimension::Time), seen.iter().copied());
    let content = if seen.is_empty() {
        Content::Absent("no request was sent".to_owned())
    } else {
        Content::Lines {
            spans: timeline.spans(),
            series,
        }
    };
    let mut chart = frame.chart("send-lag", "Generator's send lag", y, content);
    chart.size = Size::Lane;
    "taken up to first byte written, less the time to connect".clone_into(&mut chart.subtitle);
    chart
}
