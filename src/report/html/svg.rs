//! Renders a chart as inline SVG.
//!
//! Text and lines keep their size on any screen: only the curves stretch. Colours are variables of
//! the style sheet, so that the page decides between light and dark. All words go through the
//! template, which escapes them.

use super::paths::{Shape, shapes, short, stroke_class};
use crate::report::chart::axis::{Unit, XAxis};
use crate::report::chart::palette::HEAT;
use crate::report::chart::{Chart, Content, Limit, Size};
use crate::units::{self, Dimension};
use askama::Template;

/// The chart as markup: a figure with its caption, legend and picture.
pub(in crate::report) fn figure(chart: &Chart) -> String {
    let height = height(chart);
    let figure = Figure {
        chart,
        class: match chart.size {
            Size::Tall => "tall",
            Size::Medium => "medium",
            Size::Lane => "lane",
        },
        height,
        absent: match &chart.content {
            Content::Absent(reason) => Some(reason),
            _ => None,
        },
        legend: chart
            .legend()
            .map(|series| Key {
                label: &series.label,
                stroke: stroke_class(series.stroke),
                variable: series.colour.variable(),
            })
            .collect(),
        rows: chart
            .y
            .ticks(if chart.size == Size::Lane { 2 } else { 5 })
            .into_iter()
            .map(|tick| (down(tick.at, height), tick.label))
            .collect(),
        columns: columns(chart),
        bands: chart
            .bands
            .iter()
            .map(|band| {
                (
                    percent(chart.x.position(band.from)),
                    width(chart, band.from, band.to),
                )
            })
            .collect(),
        marks: chart
            .marks
            .iter()
            .map(|mark| (percent(chart.x.position(mark.at)), mark.label.as_str()))
            .collect(),
        limits: chart
            .visible_limits()
            .map(|limit| level(chart, limit, height))
            .collect(),
        shapes: shapes(chart, f64::from(height)),
        values: values(chart),
        read_out: read_out(chart.y.unit),
        along: match chart.x {
            XAxis::Time { .. } => "time",
            XAxis::Dates { .. } => "date",
            XAxis::Percentile { .. } => "share",
            XAxis::Level { .. } | XAxis::Log { .. } => "level",
        },
        origin: match chart.x {
            XAxis::Dates { origin_s, .. } => Some(origin_s),
            _ => None,
        },
        extent: match chart.x {
            XAxis::Time { to_s } | XAxis::Dates { to_s, .. } => to_s,
            XAxis::Percentile { to } | XAxis::Level { to } | XAxis::Log { to, .. } => to,
        },
    };
    // Writing a template to memory fails only when a value of it does.
    figure.render().unwrap_or_default()
}

/// The height of the picture without its axis, in pixels.
fn height(chart: &Chart) -> u32 {
    match (&chart.content, chart.size) {
        (Content::Absent(_), _) => 0,
        (_, Size::Tall) => 240,
        (_, Size::Medium) => 150,
        (_, Size::Lane) => 64,
    }
}

#[derive(Template)]
#[template(path = "chart.html")]
struct Figure<'a> {
    chart: &'a Chart,
    class: &'static str,
    height: u32,
    absent: Option<&'a String>,
    legend: Vec<Key<'a>>,
    rows: Vec<(String, String)>,
    columns: Vec<Column>,
    bands: Vec<(String, String)>,
    marks: Vec<(String, &'a str)>,
    limits: Vec<Level<'a>>,
    shapes: Vec<Shape>,
    values: String,
    read_out: &'static str,
    along: &'static str,
    origin: Option<f64>,
    extent: f64,
}

impl Figure<'_> {
    fn is_lane(&self) -> bool {
        self.chart.size == Size::Lane
    }

    /// The steps of a heat map and the count of its strongest one.
    fn ramp(&self) -> Option<(Vec<usize>, String)> {
        match &self.chart.content {
            Content::Heat(heat) => Some(((0..HEAT.len()).collect(), units::count(heat.most))),
            _ => None,
        }
    }

    /// A lane has no room for words: its limits stand in the legend.
    fn limits_in_legend(&self) -> Vec<String> {
        if self.is_lane() {
            self.chart.limit_labels()
        } else {
            Vec::new()
        }
    }
}

/// A place on the axis along the bottom.
struct Column {
    at: String,
    label: String,
    anchor: &'static str,
    /// Every other label gives way on a narrow screen.
    class: &'static str,
}

fn columns(chart: &Chart) -> Vec<Column> {
    let ticks = chart.x.ticks(10);
    ticks
        .into_iter()
        .enumerate()
        .map(|(index, tick)| Column {
            at: percent(tick.at),
            label: tick.label,
            anchor: anchor(tick.at),
            class: if index % 2 == 1 {
                "column odd"
            } else {
                "column"
            },
        })
        .collect()
}

/// Labels at the ends of the axis stay inside the picture.
fn anchor(at: f64) -> &'static str {
    if at > 0.985 {
        "end"
    } else if at < 0.015 {
        "start"
    } else {
        "middle"
    }
}

struct Key<'a> {
    label: &'a str,
    stroke: &'static str,
    variable: String,
}

/// A level line with its label.
struct Level<'a> {
    from: String,
    to: String,
    at: String,
    /// How far below the line its label stands: above it, unless the line is near the top.
    below: i32,
    label: &'a str,
}

fn level<'a>(chart: &Chart, limit: &'a Limit, height: u32) -> Level<'a> {
    let at = chart.y.position(limit.value);
    Level {
        from: percent(chart.x.position(limit.from)),
        to: percent(chart.x.position(limit.to)),
        at: down(at, height),
        below: if at > 0.85 { 12 } else { -5 },
        label: &limit.label,
    }
}

/// From the top, in pixels.
fn down(at: f64, height: u32) -> String {
    short((1.0 - at) * f64::from(height))
}

fn width(chart: &Chart, from: f64, to: f64) -> String {
    percent(chart.x.position(to) - chart.x.position(from))
}

/// The numbers behind the curves, for the read-out; empty where there are none.
fn values(chart: &Chart) -> String {
    let Content::Lines { spans, series } = &chart.content else {
        return String::new();
    };
    let places: Vec<String> = spans
        .iter()
        .map(|(from, to)| digits(f64::midpoint(*from, *to), 7))
        .collect();
    let columns: Vec<String> = series
        .iter()
        .filter(|series| !series.label.is_empty())
        .map(|series| {
            let values: Vec<String> = series
                .values
                .iter()
                .map(|value| value.map_or_else(|| "null".to_owned(), |value| digits(value, 4)))
                .collect();
            format!("[{}]", values.join(","))
        })
        .collect();
    format!(
        "{{\"x\":[{}],\"y\":[{}]}}",
        places.join(","),
        columns.join(",")
    )
}

/// How the read-out prints a value.
fn read_out(unit: Unit) -> &'static str {
    match unit {
        Unit::Of(Dimension::Time) => "time",
        Unit::Of(Dimension::Ratio) => "ratio",
        Unit::Of(Dimension::Bytes) => "bytes",
        Unit::Of(Dimension::PerSecond) => "rate",
        Unit::Of(Dimension::Temperature) => "temperature",
        Unit::Of(Dimension::Power) => "power",
        Unit::Of(Dimension::Energy) => "energy",
        Unit::Of(Dimension::BytesPerSecond | Dimension::Drift) => "growth",
        Unit::Megahertz => "clock",
        Unit::BytesPerSecond => "traffic",
        Unit::Of(Dimension::Count) | Unit::Count => "count",
    }
}

/// A number with so many significant digits, as JSON.
fn digits(value: f64, significant: i32) -> String {
    if !value.is_finite() {
        return "null".to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the exponent of a finite number"
    )]
    let decimals = significant - 1 - value.abs().log10().floor() as i32;
    let factor = 10_f64.powi(decimals);
    let rounded = (value * factor).round() / factor;
    // Beyond 10³⁰⁸ the factor is no number; such a value needs no rounding either.
    if rounded.is_finite() {
        rounded.to_string()
    } else {
        value.to_string()
    }
}

fn percent(share: f64) -> String {
    format!("{}%", (share * 10_000.0).round() / 100.0 + 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::chart::axis::YAxis;
    use crate::report::chart::palette::Colour;
    use crate::report::chart::{Band, Mark, Series, Stroke};

    fn chart(content: Content) -> Chart {
        Chart {
            name: "test".to_owned(),
            title: "A <b>title</b>".to_owned(),
            subtitle: String::new(),
            size: Size::Medium,
            x: XAxis::Time { to_s: 4.0 },
            y: YAxis::fixed(Unit::Count, 0.0, 10.0),
            content,
            bands: vec![Band { from: 0.0, to: 1.0 }],
            marks: vec![Mark {
                at: 0.0,
                label: "a & b".to_owned(),
            }],
            limits: vec![Limit {
                value: 5.0,
                from: 1.0,
                to: 4.0,
                label: "< 5".to_owned(),
            }],
        }
    }

    fn lines(stroke: Stroke, values: &[Option<f64>]) -> Content {
        let spans = (0..values.len())
            .map(|at| (at as f64, at as f64 + 1.0))
            .collect();
        let series = vec![Series::new("s", Colour::Ok, stroke, values.to_vec())];
        Content::Lines { spans, series }
    }

    #[test]
    fn words_are_escaped_and_the_picture_has_a_name() {
        let markup = figure(&chart(lines(Stroke::Line, &[Some(1.0), None])));
        assert!(!markup.contains("<b>title"), "{markup}");
        assert!(markup.contains("A &#60;b&#62;title"), "{markup}");
        assert!(markup.contains("a &#38; b"), "{markup}");
        assert!(
            markup.contains("role=\"img\" aria-label=\"A &#60;b&#62;title"),
            "{markup}"
        );
        assert!(
            markup.contains(r#"{"x":[0.5,1.5],"y":[[1,null]]}"#),
            "{markup}"
        );
    }

    #[test]
    fn a_chart_without_data_says_why() {
        let markup = figure(&chart(Content::Absent("no <driver>".to_owned())));
        assert!(markup.contains("no &#60;driver&#62;"), "{markup}");
        assert!(!markup.contains("<svg"), "{markup}");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(digits(0.097_856_3, 4), "0.09786");
        assert_eq!(digits(123_456.0, 4), "123500");
        assert_eq!(digits(f64::NAN, 4), "null");
        assert_eq!(percent(0.123_456), "12.35%");
    }
}
