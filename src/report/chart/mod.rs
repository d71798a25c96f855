//! What a chart shows, with no word about how it is drawn: `svg` and `png` render the same model.

mod all;
pub(crate) mod axis;
pub(crate) mod distribution;
mod gate;
mod generator;
pub(crate) mod lanes;
pub(crate) mod load;
pub(crate) mod palette;
mod sampled;
pub(crate) mod timeline;
mod trend;

use axis::{XAxis, YAxis};
use palette::Colour;

pub use all::Charts;
pub(crate) use gate::{GateLine, LIMIT_AT};
pub(crate) use load::TimeFrame;
pub use timeline::Timeline;

/// One chart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chart {
    /// A short name: the anchor in HTML and the file name of the PNG.
    pub(crate) name: String,
    /// What it shows.
    pub(crate) title: String,
    /// What must be known to read it; empty where the title says it all.
    pub(crate) subtitle: String,
    /// How much room it gets.
    pub(crate) size: Size,
    /// The axis along the bottom.
    pub(crate) x: XAxis,
    /// The upright axis.
    pub(crate) y: YAxis,
    /// What is drawn.
    pub(crate) content: Content,
    /// Shaded stretches of the x axis: warm-up.
    pub(crate) bands: Vec<Band>,
    /// Upright lines: where phases begin.
    pub(crate) marks: Vec<Mark>,
    /// Level lines: limits of gates.
    pub(crate) limits: Vec<Limit>,
}

/// How much room a chart gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// The main ones.
    Tall,
    /// Those beside them.
    Medium,
    /// One lane of many.
    Lane,
}

/// What is drawn.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    /// Lines and areas over the same stretches of the x axis.
    Lines {
        /// Each stretch: from and to. A line goes through the middles.
        spans: Vec<(f64, f64)>,
        /// What is drawn over them.
        series: Vec<Series>,
    },
    /// Counts by time and latency.
    Heat(Heat),
    /// Nothing, for this reason.
    Absent(String),
}

/// One series, with a value for each stretch of the chart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    /// Its name in the legend; empty for a companion of another series.
    pub(crate) label: String,
    /// Its colour.
    pub(crate) colour: Colour,
    /// How it is drawn.
    pub(crate) stroke: Stroke,
    /// Its values; `None` where nothing is known, which breaks the line.
    pub(crate) values: Vec<Option<f64>>,
    /// Where the area of each stretch begins, when it does not at the bottom.
    pub(crate) base: Option<Vec<f64>>,
}

/// How a series is drawn. The order is that of drawing: the last lies on top.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stroke {
    /// A faint area: the range behind a mean.
    Range,
    /// A filled area in steps, one for each stretch.
    Area,
    /// A line in the background.
    Faint,
    /// A line.
    Line,
    /// A broken line, through which the one below can be seen.
    Dashed,
    /// The line that matters most.
    Bold,
}

/// Counts by time and value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Heat {
    /// Each column: from and to.
    pub(crate) columns: Vec<(f64, f64)>,
    /// The edges of the rows, from the lowest to the highest.
    pub(crate) edges: Vec<f64>,
    /// For each column and row, the level: 0 for nothing, up to [`LEVELS`].
    pub(crate) levels: Vec<Vec<u8>>,
    /// The largest count of a cell.
    pub(crate) most: u64,
}

/// How many levels a heat map has.
pub(crate) const LEVELS: u8 = 8;

/// A shaded stretch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Band {
    /// Its begin.
    pub(crate) from: f64,
    /// Its end.
    pub(crate) to: f64,
}

/// An upright line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mark {
    /// Where it stands.
    pub(crate) at: f64,
    /// What begins there.
    pub(crate) label: String,
}

/// A level line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Limit {
    /// Its value.
    pub(crate) value: f64,
    /// Where it begins.
    pub(crate) from: f64,
    /// Where it ends.
    pub(crate) to: f64,
    /// The gate, in few words.
    pub(crate) label: String,
}

impl Series {
    /// A series in the legend.
    pub(crate) fn new(
        label: impl Into<String>,
        colour: Colour,
        stroke: Stroke,
        values: Vec<Option<f64>>,
    ) -> Self {
        Self {
            label: label.into(),
            colour,
            stroke,
            values,
            base: None,
        }
    }

    /// The same, its area standing on these values.
    pub(crate) fn on(mut self, base: Vec<f64>) -> Self {
        self.base = Some(base);
        self
    }

    /// Stretches with values, without interruption: ranges of indexes.
    pub(crate) fn runs(&self) -> Vec<std::ops::Range<usize>> {
        let mut runs = Vec::new();
        let mut start = None;
        for (index, value) in self.values.iter().enumerate() {
            match (value, start) {
                (Some(_), None) => start = Some(index),
                (None, Some(from)) => {
                    runs.push(from..index);
                    start = None;
                }
                _ => {}
            }
        }
        if let Some(from) = start {
            runs.push(from..self.values.len());
        }
        runs
    }

    /// The lower and the upper edge at an index.
    pub(crate) fn edges(&self, index: usize) -> Option<(f64, f64)> {
        let value = self.values.get(index).copied().flatten()?;
        let base = self
            .base
            .as_ref()
            .and_then(|base| base.get(index).copied())
            .unwrap_or(0.0);
        Some((base, base + value))
    }
}

impl Chart {
    /// The series in the legend.
    pub(crate) fn legend(&self) -> impl Iterator<Item = &Series> {
        let series: &[Series] = match &self.content {
            Content::Lines { series, .. } => series,
            Content::Heat(_) | Content::Absent(_) => &[],
        };
        series.iter().filter(|series| !series.label.is_empty())
    }

    /// The series in the order of drawing.
    pub(crate) fn layers(&self) -> Vec<&Series> {
        let mut layers: Vec<&Series> = match &self.content {
            Content::Lines { series, .. } => series.iter().collect(),
            Content::Heat(_) | Content::Absent(_) => Vec::new(),
        };
        layers.sort_by_key(|series| series.stroke);
        layers
    }

    /// The words of its limits, each once.
    pub(crate) fn limit_labels(&self) -> Vec<String> {
        let mut labels: Vec<String> = Vec::new();
        for limit in &self.limits {
            let label = if self.y.holds(limit.value) {
                limit.label.clone()
            } else {
                format!("{} (beyond the picture)", limit.label)
            };
            if !labels.contains(&label) {
                labels.push(label);
            }
        }
        labels
    }

    /// The limits that lie in the picture.
    pub(crate) fn visible_limits(&self) -> impl Iterator<Item = &Limit> {
        self.limits.iter().filter(|limit| self.y.holds(limit.value))
    }

    /// What a screen reader says of it.
    pub(crate) fn describe(&self) -> String {
        let mut words = self.title.clone();
        if !self.subtitle.is_empty() {
            words.push_str(". ");
            words.push_str(&self.subtitle);
        }
        let names: Vec<&str> = self.legend().map(|series| series.label.as_str()).collect();
        if !names.is_empty() {
            words.push_str(". Shown: ");
            words.push_str(&names.join(", "));
        }
        for limit in self.limit_labels() {
            words.push_str(". Limit: ");
            words.push_str(&limit);
        }
        if let Content::Absent(reason) = &self.content {
            words.push_str(". No data: ");
            words.push_str(reason);
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_break_a_line() {
        let series = |values: &[Option<f64>]| {
            Series::new("x", Colour::Ok, Stroke::Line, values.to_vec()).runs()
        };
        assert_eq!(
            series(&[None, Some(1.0), Some(2.0), None, Some(3.0)]),
            [1..3, 4..5]
        );
        assert_eq!(series(&[None, None]), []);
        assert_eq!(series(&[Some(1.0)]).first(), Some(&(0..1)));
    }

    #[test]
    fn an_area_stands_on_its_base() {
        let values = vec![Some(2.0), None];
        let series = Series::new("x", Colour::Ok, Stroke::Area, values).on(vec![3.0, 4.0]);
        assert_eq!(series.edges(0), Some((3.0, 5.0)));
        assert_eq!(series.edges(1), None);
        assert_eq!(series.edges(2), None);
    }
}
