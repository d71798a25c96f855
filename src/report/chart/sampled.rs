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
    /// How many samples a point stands for, at most.
    each: usize,
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
        Self { spans, lines, each }
    }

    /// What a point stands for, where it is not one sample.
    pub(super) fn joined(&self) -> Option<String> {
        let whose = if self.shows_each_range() {
            "their range"
        } else {
            "the range of all"
        };
        (self.each > 1).then(|| {
            format!(
                "a point is the mean of up to {} samples, the shade {whose}",
                self.each
            )
        })
    }

    /// Beyond two instances their ranges would hide each other.
    fn shows_each_range(&self) -> bool {
        self.lines.len() <= 2
    }

    /// The ranges of joined samples, so that no peak is lost: of each instance, or of all as one.
    fn ranges(&self) -> Vec<Series> {
        if self.each == 1 {
            return Vec::new();
        }
        if self.shows_each_range() {
            let each = self.lines.iter().enumerate();
            let range =
                |(index, line): (usize, &Line)| range(Colour::Nth(index), &line.lows, &line.highs);
            return each.map(range).collect();
        }
        let over_all = |of: fn(&Line) -> &[Option<f64>], pick: fn(f64, f64) -> f64| {
            let at = |place: usize| {
                self.lines
                    .iter()
                    .filter_map(|line| of(line)[place])
                    .reduce(pick)
            };
            (0..self.spans.len()).map(at).collect::<Vec<_>>()
        };
        let lows = over_all(|line| &line.lows, f64::min);
        let highs = over_all(|line| &line.highs, f64::max);
        vec![range(Colour::Maximum, &lows, &highs)]
    }

    pub(super) fn content(self) -> Content {
        let mut series = self.ranges();
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

fn range(colour: Colour, lows: &[Option<f64>], highs: &[Option<f64>]) -> Series {
    let heights = highs.iter().zip(lows);
    let heights = heights
        .map(|(high, low)| Some((*high)? - (*low)?))
        .collect();
    let base = lows.iter().map(|low| low.unwrap_or_default()).collect();
    Series::new("", colour, Stroke::Range, heights).on(base)
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
            let values = group
                .iter()
                .flat_map(|group| values.get(group.clone()).unwrap_or_default());
            let (mut count, mut sum) = (0_u32, 0.0);
            let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
            for &value in values.flatten().filter(|value| value.is_finite()) {
                count += 1;
                sum += value;
                (low, high) = (low.min(value), high.max(value));
            }
            let some = |value: f64| (count > 0).then_some(value);
            line.means.push(some(sum / f64::from(count.max(1))));
            line.lows.push(some(low));
            line.highs.push(some(high));
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
