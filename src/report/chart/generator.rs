//! The lanes of the generator itself: how busy and how late it was.
//!
//! They come from the load's own intervals, so that they are there whatever telemetry is.

use super::axis::{Unit, YAxis};
use super::palette::Colour;
use super::timeline::{Stretch, Timeline, supported_quantile};
use super::{Chart, Content, Limit, Series, Size, Stroke, TimeFrame};
use crate::record::{BUSY_LIMIT, Distribution as _, Latencies};
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
    let mut chart = percentiles(
        frame,
        timeline,
        ("send-lag", "Generator's send lag", "no request was sent"),
        |stretch| &stretch.send_lag,
    );
    "taken up to first byte written, less the time to connect".clone_into(&mut chart.subtitle);
    chart
}

/// The lane of the wait of tasks that are ready; `None` where nobody looked.
pub(super) fn loop_delay(frame: &TimeFrame, timeline: &Timeline) -> Option<Chart> {
    let mut stretches = timeline.stretches.iter();
    stretches.find(|stretch| !stretch.loop_delay.is_empty())?;
    let mut chart = percentiles(
        frame,
        timeline,
        ("loop-delay", "Generator's loop delay", "too few looks"),
        |stretch| &stretch.loop_delay,
    );
    "how long a task that was ready waited for its turn".clone_into(&mut chart.subtitle);
    Some(chart)
}

fn percentiles(
    frame: &TimeFrame,
    timeline: &Timeline,
    (name, title, absent): (&'static str, &str, &str),
    of: fn(&Stretch) -> &Latencies,
) -> Chart {
    let percentile =
        |quantile: f64| timeline.values(move |stretch| supported_quantile(of(stretch), quantile));
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
        Content::Absent(absent.to_owned())
    } else {
        Content::Lines {
            spans: timeline.spans(),
            series,
        }
    };
    let mut chart = frame.chart(name, title, y, content);
    chart.size = Size::Lane;
    chart
}
