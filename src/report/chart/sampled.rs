//! The samples of one metric as lines of a chart.
//!
//! Where there are more than a chart can show, neighbours are joined into their mean and range; a
//! pause of the source is a gap and never a line across it.

use super::palette::Colour;
use super::timeline::MOST_STRETCHES;
use super::{Content, Series, Stroke};
use crate::record::Source;

/// The samples of one metric, in groups where there are more than a chart can show.
pub(super) struct Sampled {
    spans: Vec<(f64, f64)>,
    pub(super) lines: Vec<Line>,
    joined: bool,
}

/// The samples of one instance.
pub(super) struct Line {
    label: String,
    pub(super) means: Vec<Option<f64>>,
    pub(super) lows: Vec<Option<f64>>,
    pub(super) highs: Vec<Option<f64>>,
}

impl Sampled {
    pub(super) fn of(source: &Source, metric: &str) -> Self {
        // Twice the number of stretches: a tenth of a second over a minute is shown as it is.
        let each = source.at_ns.len().div_ceil(2 * MOST_STRETCHES).max(1);
        let longest_pause = 3 * source.info.period_ns.max(1);
        let mut groups: Vec<Option<std::ops::Range<usize>>> = Vec::new();
        let mut from = 0;
        while from < source.at_ns.len() {
            let mut to = from + 1;
            while to < source.at_ns.len().min(from + each)
                && source.at_ns[to].saturating_sub(source.at_ns[to - 1]) <= longest_pause
            {
                to += 1;
            }
            let paused = from > 0
                && source.at_ns[from].saturating_sub(source.at_ns[from - 1]) > longest_pause;
            if paused {
                groups.push(None);
            }
            groups.push(Some(from..to));
            from = to;
        }
        let seconds = |index: usize| source.at_ns[index] as f64 / 1e9;
        let mut last = 0.0;
        let spans = groups
            .iter()
            .map(|group| {
                if let Some(group) = group {
                    last = seconds(group.end - 1);
                    (seconds(group.start), last)
                } else {
                    (last, last)
                }
            })
            .collect();
        let lines = source
            .of(metric)
            .map(|series| {
                let label = legend(metric, &series.info.instance);
                Line::of(label, &series.held(), &groups)
            })
            .collect();
        Self {
            spans,
            lines,
            joined: each > 1,
        }
    }

    pub(super) fn content(self) -> Content {
        let mut series = Vec::new();
        // Beyond two instances the ranges would hide each other.
        let shows_ranges = self.joined && self.lines.len() <= 2;
        for (index, line) in self.lines.iter().enumerate().filter(|_| shows_ranges) {
            let range = line
                .highs
                .iter()
                .zip(&line.lows)
                .map(|(high, low)| Some((*high)? - (*low)?))
                .collect();
            let base = line
                .lows
                .iter()
                .map(|low| low.unwrap_or_default())
                .collect();
            series.push(Series::new("", Colour::Nth(index), Stroke::Range, range).on(base));
        }
        for (index, line) in self.lines.into_iter().enumerate() {
            let stroke = Stroke::Line;
            series.push(Series::new(
                line.label,
                Colour::Nth(index),
                stroke,
                line.means,
            ));
        }
        Content::Lines {
            spans: self.spans,
            series,
        }
    }
}

impl Line {
    fn of(
        label: String,
        values: &[Option<f64>],
        groups: &[Option<std::ops::Range<usize>>],
    ) -> Self {
        let mut line = Self {
            label,
            means: Vec::new(),
            lows: Vec::new(),
            highs: Vec::new(),
        };
        for group in groups {
            let known: Vec<f64> = group
                .iter()
                .flat_map(|group| values.get(group.clone()).unwrap_or_default())
                .filter_map(|value| value.filter(|value| value.is_finite()))
                .collect();
            let some = |value: f64| (!known.is_empty()).then_some(value);
            line.means
                .push(some(known.iter().sum::<f64>() / known.len().max(1) as f64));
            line.lows
                .push(some(known.iter().copied().fold(f64::INFINITY, f64::min)));
            line.highs.push(some(
                known.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            ));
        }
        line
    }
}

fn legend(metric: &str, instance: &str) -> String {
    match (metric.split('.').next(), instance) {
        (_, "") => metric.to_owned(),
        (Some("gpu"), instance) => format!("GPU {instance}"),
        (_, instance) => instance.to_owned(),
    }
}
