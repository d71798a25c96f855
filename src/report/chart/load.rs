//! The charts of the load over time: rate, response times, requests in flight, errors.
//!
//! They are made from histograms and counts only, and never smooth anything.

use super::axis::{Scale, Unit, XAxis, YAxis};
use super::palette::Colour;
use super::timeline::{Stretch, Timeline};
use super::{Band, Chart, Content, Limit, Mark, Series, Size, Stroke};
use crate::gate::{LatencyKind, Metric};
use crate::record::{Distribution as _, INTERVAL_NS, Outcome, RunRecord};
use crate::units::{self, Dimension};
use crate::verdict::Judgement;

/// What all time charts of a run share: its length, its warm-ups, its phases.
#[derive(Clone, Debug)]
pub(crate) struct TimeFrame {
    /// The axis.
    pub(crate) x: XAxis,
    bands: Vec<Band>,
    marks: Vec<Mark>,
}

impl TimeFrame {
    /// The frame of a run.
    pub(crate) fn of(record: &RunRecord) -> Self {
        let seconds = |ns: u64| ns as f64 / 1e9;
        let bands = record
            .phases
            .iter()
            .filter(|phase| phase.measured_from_ns > phase.started_ns)
            .map(|phase| Band {
                from: seconds(phase.started_ns),
                to: seconds(phase.measured_from_ns.min(record.ended_ns)),
            });
        let marks = record.phases.iter().map(|phase| Mark {
            at: seconds(phase.started_ns),
            label: phase.info.name.clone(),
        });
        Self {
            // A run that ended at once still has an axis.
            x: XAxis::Time {
                to_s: seconds(record.ended_ns.max(INTERVAL_NS)),
            },
            bands: bands.collect(),
            marks: marks.collect(),
        }
    }

    /// A chart on this axis.
    pub(crate) fn chart(
        &self,
        name: impl Into<String>,
        title: impl Into<String>,
        y: YAxis,
        content: Content,
    ) -> Chart {
        Chart {
            name: name.into(),
            title: title.into(),
            subtitle: String::new(),
            size: Size::Medium,
            x: self.x,
            y,
            content,
            bands: self.bands.clone(),
            marks: self.marks.clone(),
            limits: Vec::new(),
        }
    }
}

/// The limits of all gates on a metric, each over the windows that it looks at. Those of a part of the load
/// are no limits of the whole, and a baseline is drawn itself.
pub(crate) fn limits(
    record: &RunRecord,
    judgement: &Judgement,
    wanted: impl Fn(Metric) -> bool,
) -> Vec<Limit> {
    let mut limits = Vec::new();
    for result in &judgement.gates {
        let gate = &result.gate.gate;
        if !wanted(gate.metric) || gate.part.is_some() || gate.baseline.is_some() {
            continue;
        }
        let what = match gate.metric {
            Metric::Latency { percentile, .. } => format!("{percentile} "),
            _ => String::new(),
        };
        for phase in &record.phases {
            let looks = result
                .gate
                .scope
                .phase
                .is_none_or(|index| index == phase.index);
            if looks && phase.measured_ns() > 0 {
                limits.push(Limit {
                    value: gate.limit.value,
                    from: phase.measured_from_ns as f64 / 1e9,
                    to: phase.measured_to_ns as f64 / 1e9,
                    label: format!("{what}{} {}", gate.op.symbol(), gate.limit),
                });
            }
        }
    }
    limits
}

/// Requests that ended, by how they ended.
pub(crate) fn rate(
    record: &RunRecord,
    judgement: &Judgement,
    frame: &TimeFrame,
    timeline: &Timeline,
) -> Chart {
    let ok = |stretch: &Stretch| stretch.outcomes.of(Outcome::Ok) as f64 / stretch.seconds;
    let failed = |stretch: &Stretch| stretch.outcomes.failed() as f64 / stretch.seconds;
    let unanswered = |stretch: &Stretch| {
        let outcomes = &stretch.outcomes;
        (outcomes.not_ok() - outcomes.failed()) as f64 / stretch.seconds
    };
    let offered = |stretch: &Stretch| {
        let phase = &record.phases[stretch.phase];
        let rate = phase.info.load.rate()?;
        // What is intended after the end of the window is never sent.
        let at = |seconds: f64| {
            let until = phase.measured_to_ns.saturating_sub(phase.started_ns);
            rate.area(
                nanoseconds(seconds)
                    .saturating_sub(phase.started_ns)
                    .min(until),
            )
        };
        let arrivals = at(stretch.from_s + stretch.seconds) - at(stretch.from_s);
        Some(arrivals / stretch.seconds)
    };
    let limits = limits(record, judgement, |metric| metric == Metric::Throughput);
    let all = |stretch: &Stretch| stretch.outcomes.total() as f64 / stretch.seconds;
    let y = YAxis::from_zero(
        Unit::Of(Dimension::PerSecond),
        timeline
            .stretches
            .iter()
            .map(all)
            .chain(timeline.stretches.iter().filter_map(offered))
            .chain(values(&limits)),
    );
    let area = |label: &str, colour, value: &dyn Fn(&Stretch) -> f64| {
        let values = timeline.values(|stretch| Some(value(stretch)));
        Series::new(label, colour, Stroke::Area, values)
    };
    let base = |value: &dyn Fn(&Stretch) -> f64| -> Vec<f64> {
        let values = timeline.values(|stretch| Some(value(stretch)));
        values.into_iter().map(Option::unwrap_or_default).collect()
    };
    let mut series = vec![area("successful", Colour::Ok, &ok)];
    if timeline
        .stretches
        .iter()
        .any(|stretch| failed(stretch) > 0.0)
    {
        series.push(area("failed", Colour::Failed, &failed).on(base(&ok)));
    }
    if timeline
        .stretches
        .iter()
        .any(|stretch| unanswered(stretch) > 0.0)
    {
        let below = |stretch: &Stretch| ok(stretch) + failed(stretch);
        series.push(area("timed out", Colour::TimedOut, &unanswered).on(base(&below)));
    }
    if record.phases.iter().any(|phase| phase.info.load.is_open()) {
        let values = timeline.values(offered);
        series.push(Series::new(
            "offered",
            Colour::Maximum,
            Stroke::Dashed,
            values,
        ));
    }
    let mut chart = frame.chart("rate", "Request rate", y, lines(timeline, series));
    chart.subtitle = format!("requests that ended, by how they ended{}", joined(timeline));
    chart.limits = limits;
    chart
}

/// Percentiles of the response time over time.
pub(crate) fn response(
    record: &RunRecord,
    judgement: &Judgement,
    frame: &TimeFrame,
    timeline: &Timeline,
) -> Chart {
    let limits = limits(record, judgement, |metric| {
        matches!(
            metric,
            Metric::Latency {
                kind: LatencyKind::Response,
                ..
            }
        )
    });
    let largest = |stretch: &Stretch| stretch.response.max_ns().map(|ns| ns as f64 / 1e9);
    let mut series = Vec::new();
    for (quantile, label, colour, stroke) in [
        (0.5, "p50", Colour::P50, Stroke::Line),
        (0.9, "p90", Colour::P90, Stroke::Line),
        (0.99, "p99", Colour::P99, Stroke::Bold),
        (0.999, "p99.9", Colour::P999, Stroke::Line),
    ] {
        let values = timeline.values(|stretch| stretch.quantile(quantile));
        if values.iter().any(Option::is_some) {
            series.push(Series::new(label, colour, stroke, values));
        }
    }
    series.push(Series::new(
        "max",
        Colour::Maximum,
        Stroke::Faint,
        timeline.values(largest),
    ));
    if let Some(baseline) = &record.baseline {
        for (metric, name, colour) in [
            ("response.p50", "p50", Colour::P50),
            ("response.p99", "p99", Colour::P99),
        ] {
            let usual = |stretch: &Stretch| {
                let phase = &record.phases[stretch.phase];
                let is_measured = stretch.to_s * 1e9 > phase.measured_from_ns as f64;
                let usual = baseline.usual(&phase.info.name, metric);
                usual.filter(|_| is_measured)
            };
            let values = timeline.values(usual);
            if values.iter().any(Option::is_some) {
                let label = format!("{name} of {}", baseline.label());
                series.push(Series::new(label, colour, Stroke::Dashed, values));
            }
        }
    }
    let seen: Vec<f64> = series
        .iter()
        .flat_map(|series| series.values.iter().copied().flatten())
        .chain(values(&limits))
        .collect();
    let y = YAxis::wide(Unit::Of(Dimension::Time), seen.iter().copied());
    let nothing = timeline
        .stretches
        .iter()
        .all(|stretch| stretch.response.is_empty());
    let content = if nothing {
        Content::Absent("no request succeeded".to_owned())
    } else {
        lines(timeline, series)
    };
    let mut chart = frame.chart("response", "Response time", y, content);
    chart.size = Size::Tall;
    chart.subtitle = format!(
        "intended start to last byte of successful requests{}{}",
        joined(timeline),
        if y.scale == Scale::Log {
            ", logarithmic"
        } else {
            ""
        }
    );
    chart.limits = limits;
    chart
}

/// Requests in flight, beside what the phase asks for.
pub(crate) fn in_flight(record: &RunRecord, frame: &TimeFrame, timeline: &Timeline) -> Chart {
    let asked = |stretch: &Stretch| {
        let phase = &record.phases[stretch.phase];
        let users = phase.info.load.users()?;
        Some(users.at(middle_ns(stretch).saturating_sub(phase.started_ns)))
    };
    let series = vec![
        Series::new(
            "asked for",
            Colour::Maximum,
            Stroke::Dashed,
            timeline.values(asked),
        ),
        Series::new(
            "in flight",
            Colour::Nth(0),
            Stroke::Line,
            timeline.values(|stretch| Some(stretch.in_flight)),
        ),
    ];
    let seen = timeline
        .stretches
        .iter()
        .flat_map(|stretch| [Some(stretch.in_flight), asked(stretch)])
        .flatten();
    let y = YAxis::from_zero(Unit::Count, seen);
    let mut chart = frame.chart("in-flight", "In flight", y, lines(timeline, series));
    chart.subtitle = format!(
        "requests in flight at the end of each second{}",
        joined(timeline)
    );
    chart
}

/// The middle of a stretch, in nanoseconds since the start of the run.
fn middle_ns(stretch: &Stretch) -> u64 {
    nanoseconds(f64::midpoint(stretch.from_s, stretch.to_s))
}

fn nanoseconds(seconds: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a time of the run; a float cast saturates"
    )]
    let nanoseconds = (seconds * 1e9).round() as u64;
    nanoseconds
}

/// Requests that did not succeed, by cause; `None` when there were none.
pub(crate) fn errors(frame: &TimeFrame, timeline: &Timeline) -> Option<Chart> {
    if timeline.kinds.is_empty() {
        return None;
    }
    let count = |stretch: &Stretch, kind: usize| stretch.errors[kind] as f64 / stretch.seconds;
    let others = timeline.kinds.len();
    let has_others = timeline
        .stretches
        .iter()
        .any(|stretch| stretch.errors[others] > 0);
    let shown = others + usize::from(has_others);
    let series = (0..shown)
        .map(|kind| {
            let label = timeline
                .kinds
                .get(kind)
                .map_or_else(|| "other".to_owned(), |kind| kind.label());
            let base = timeline
                .values(|stretch| Some((0..kind).map(|below| count(stretch, below)).sum()))
                .into_iter()
                .map(Option::unwrap_or_default)
                .collect();
            let values = timeline.values(|stretch| Some(count(stretch, kind)));
            Series::new(label, error_colour(kind), Stroke::Area, values).on(base)
        })
        .collect();
    let all = |stretch: &Stretch| stretch.errors.iter().sum::<u64>() as f64 / stretch.seconds;
    let y = YAxis::from_zero(
        Unit::Of(Dimension::PerSecond),
        timeline.stretches.iter().map(all),
    );
    let mut chart = frame.chart("errors", "Errors", y, lines(timeline, series));
    chart.subtitle = format!(
        "requests that did not succeed, by cause{}",
        joined(timeline)
    );
    Some(chart)
}

/// Warm colours first: what fails should not look like what succeeds.
fn error_colour(kind: usize) -> Colour {
    const ORDER: [usize; 7] = [5, 1, 3, 6, 2, 4, 7];
    Colour::Nth(ORDER[kind % ORDER.len()])
}

fn lines(timeline: &Timeline, series: Vec<Series>) -> Content {
    if timeline.stretches.is_empty() {
        return Content::Absent("no load was sent".to_owned());
    }
    Content::Lines {
        spans: timeline.spans(),
        series,
    }
}

/// The values of limits, which the axis has to reach.
pub(crate) fn values(limits: &[Limit]) -> impl Iterator<Item = f64> + Clone {
    limits.iter().map(|limit| limit.value)
}

/// How many seconds a point stands for, where it is not one.
pub(crate) fn joined(timeline: &Timeline) -> String {
    match timeline.seconds_each {
        0 | 1 => String::new(),
        seconds => format!(", by stretches of {}", units::seconds(seconds as f64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::{self, Run};

    fn framed(run: &Run) -> (TimeFrame, Timeline) {
        (TimeFrame::of(&run.0), Timeline::of(&run.0))
    }

    #[test]
    fn the_limits_of_a_phase_reach_over_its_window() {
        let (record, judgement) = sample::prod();
        let (frame, timeline) = framed(sample::prod());
        let chart = response(record, judgement, &frame, &timeline);
        let limits: Vec<(f64, f64)> = chart.limits.iter().map(|l| (l.from, l.to)).collect();
        let windows: Vec<(f64, f64)> = record
            .phases
            .iter()
            .map(|p| {
                (
                    p.measured_from_ns as f64 / 1e9,
                    p.measured_to_ns as f64 / 1e9,
                )
            })
            .collect();
        assert_eq!(limits, windows);
        assert_eq!(chart.limit_labels(), ["p99 < 100 ms"]);
        assert_eq!(chart.y.scale, Scale::Log);
        assert_eq!((chart.bands.len(), chart.marks.len()), (2, 2));
    }

    #[test]
    fn the_areas_of_a_rate_stand_on_each_other() {
        let (record, judgement) = sample::prod();
        let (frame, timeline) = framed(sample::prod());
        let chart = rate(record, judgement, &frame, &timeline);
        let series: Vec<&Series> = chart.legend().collect();
        let names: Vec<&str> = series.iter().map(|series| series.label.as_str()).collect();
        assert_eq!(names, ["successful", "failed", "timed out"]);
        for (index, _) in timeline.spans().iter().enumerate() {
            let edges: Vec<_> = series.iter().map(|series| series.edges(index)).collect();
            if let [Some(ok), Some(failed), Some(timed_out)] = edges[..] {
                assert!((ok.1 - failed.0).abs() < 1e-9);
                assert!((failed.1 - timed_out.0).abs() < 1e-9);
                assert!(timed_out.1 <= chart.y.high);
            }
        }
    }

    #[test]
    fn without_errors_there_is_no_chart_of_them() {
        let (frame, timeline) = framed(sample::calm());
        assert_eq!(errors(&frame, &timeline), None);
        let (frame, timeline) = framed(sample::prod());
        let chart = errors(&frame, &timeline).unwrap();
        let names: Vec<&str> = chart.legend().map(|series| series.label.as_str()).collect();
        assert_eq!(names, ["status 503", "reset by peer", "no answer in time"]);
    }

    #[test]
    fn without_load_each_chart_says_so() {
        let (record, judgement) = sample::preflight_failed();
        let (frame, timeline) = framed(sample::preflight_failed());
        for chart in [
            rate(record, judgement, &frame, &timeline),
            response(record, judgement, &frame, &timeline),
            in_flight(record, &frame, &timeline),
        ] {
            assert!(
                matches!(chart.content, Content::Absent(_)),
                "{}",
                chart.name
            );
        }
    }
}
