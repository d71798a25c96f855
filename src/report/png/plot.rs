//! Draws one chart of the model onto a bitmap.
//!
//! The same picture as `svg` makes of it; when one of the two changes, so does the other.

use super::canvas::{Align, Canvas, Edge, Frame, Lettering};
use super::{GRID, INK, LINE, PAPER, SHADE, SOFT};
use crate::report::chart::palette::{HEAT, Rgb, mix};
use crate::report::chart::{Chart, Content, Heat, Limit, Series, Size, Stroke};
use crate::units;

/// How opaque areas are, as in the style sheet.
const AREA: f64 = 0.82;
const RANGE: f64 = 0.22;

/// Draws a chart with its caption into a frame. `labels` is the room for the upright axis.
pub(super) fn plot(
    canvas: &mut Canvas<'_>,
    chart: &Chart,
    frame: Frame,
    labels: f64,
    shows_axis: bool,
) {
    let is_lane = chart.size == Size::Lane;
    caption(canvas, chart, frame);
    let field = Frame {
        left: frame.left + labels,
        right: frame.right,
        top: frame.top + if is_lane { 32.0 } else { 76.0 },
        bottom: frame.bottom - if shows_axis { 40.0 } else { 14.0 },
    };
    if let Content::Absent(reason) = &chart.content {
        let room = Frame {
            bottom: frame.bottom - 8.0,
            ..field
        };
        absent(canvas, reason, room);
        return;
    }
    background(canvas, chart, field);
    match &chart.content {
        Content::Lines { spans, .. } => {
            for series in chart.layers() {
                draw_series(canvas, chart, field, series, spans);
            }
        }
        Content::Heat(heat) => cells(canvas, chart, field, heat),
        Content::Absent(_) => {}
    }
    foreground(canvas, chart, field, shows_axis);
}

fn lettering(size: f64, colour: Rgb, align: Align) -> Lettering {
    Lettering {
        size,
        bold: false,
        colour,
        align,
    }
}

fn bold(size: f64, align: Align) -> Lettering {
    Lettering {
        bold: true,
        ..lettering(size, INK, align)
    }
}

/// Title, explanation and legend.
fn caption(canvas: &mut Canvas<'_>, chart: &Chart, frame: Frame) {
    let is_lane = chart.size == Size::Lane;
    let title = bold(if is_lane { 19.0 } else { 22.0 }, Align::Left);
    let middle = frame.top + 15.0;
    canvas.text(&chart.title, (frame.left, middle), title);
    let after_title = frame.left + canvas.measure(&chart.title, title) + 18.0;
    let legend_left = legend(canvas, chart, frame, middle);
    let small = lettering(if is_lane { 16.0 } else { 17.0 }, SOFT, Align::Left);
    if is_lane {
        let room = legend_left - after_title - 20.0;
        let words = canvas.fitting(&chart.subtitle, room, small);
        canvas.text(&words, (after_title, middle), small);
    } else {
        let words = canvas.fitting(&chart.subtitle, frame.width(), small);
        canvas.text(&words, (frame.left, middle + 25.0), small);
    }
}

/// The legend, right to left. Returns where it begins.
fn legend(canvas: &mut Canvas<'_>, chart: &Chart, frame: Frame, middle: f64) -> f64 {
    let words = lettering(17.0, SOFT, Align::Left);
    let mut right = frame.right;
    match &chart.content {
        Content::Heat(heat) => return ramp(canvas, heat, right, middle),
        Content::Absent(_) => return right,
        Content::Lines { .. } => {}
    }
    // A lane has no room for words beside its limits.
    let limits = if chart.size == Size::Lane {
        chart.limit_labels()
    } else {
        Vec::new()
    };
    for label in limits.into_iter().rev() {
        right -= canvas.measure(&label, words);
        canvas.text(&label, (right, middle), words);
        let key = [(right - 40.0, middle), (right - 10.0, middle)];
        canvas.dashes(&key, 1.6, INK);
        right -= 64.0;
    }
    let entries: Vec<&Series> = chart.legend().collect();
    for series in entries.into_iter().rev() {
        if right < frame.left + frame.width() / 3.0 {
            // The title needs its room; the curves are named in the HTML report.
            canvas.text("…", (right, middle), words);
            break;
        }
        right -= canvas.measure(&series.label, words);
        canvas.text(&series.label, (right, middle), words);
        right = key(canvas, series, right - 10.0, middle) - 24.0;
    }
    right
}

/// The steps of a heat map from one to the largest count. Returns where it begins.
fn ramp(canvas: &mut Canvas<'_>, heat: &Heat, right: f64, middle: f64) -> f64 {
    let words = lettering(17.0, SOFT, Align::Left);
    let most = format!("{} in a cell", units::count(heat.most));
    let mut right = right - canvas.measure(&most, words);
    canvas.text(&most, (right, middle), words);
    right -= 10.0;
    for paint in HEAT.into_iter().rev() {
        let cell = Frame {
            left: right - 22.0,
            right,
            top: middle - 7.0,
            bottom: middle + 7.0,
        };
        canvas.fill(cell, paint);
        right = cell.left;
    }
    right -= 18.0;
    canvas.text("1", (right, middle), words);
    right
}

/// A sample of a series' stroke, ending at `right`. Returns where it begins.
fn key(canvas: &mut Canvas<'_>, series: &Series, right: f64, middle: f64) -> f64 {
    let paint = series.colour.rgb();
    let length = match series.stroke {
        Stroke::Area | Stroke::Range => 14.0,
        _ => 28.0,
    };
    let left = right - length;
    match series.stroke {
        Stroke::Area | Stroke::Range => {
            let chip = Frame {
                left,
                right,
                top: middle - 7.0,
                bottom: middle + 7.0,
            };
            canvas.fill(chip, paint);
        }
        Stroke::Dashed => canvas.dashes(&[(left, middle), (right, middle)], 2.0, paint),
        stroke => canvas.line((left, middle), (right, middle), width(stroke), paint),
    }
    left
}

fn width(stroke: Stroke) -> f64 {
    match stroke {
        Stroke::Bold => 3.4,
        Stroke::Faint => 1.4,
        _ => 2.2,
    }
}

/// Why there is nothing to draw, below the caption.
fn absent(canvas: &mut Canvas<'_>, reason: &str, field: Frame) {
    let strip = Frame {
        bottom: (field.top + 48.0).min(field.bottom),
        ..field
    };
    let middle = f64::midpoint(strip.top, strip.bottom);
    canvas.fill(strip, SHADE);
    canvas.text(
        "no data",
        (strip.left + 20.0, middle),
        bold(19.0, Align::Left),
    );
    let words = lettering(19.0, SOFT, Align::Left);
    let text = canvas.fitting(reason, strip.width() - 140.0, words);
    canvas.text(&text, (strip.left + 116.0, middle), words);
}

fn x(chart: &Chart, field: Frame, value: f64) -> f64 {
    field.left + chart.x.position(value) * field.width()
}

fn y(chart: &Chart, field: Frame, value: f64) -> f64 {
    field.bottom - chart.y.position(value) * field.height()
}

/// Warm-up, grid and the labels of the upright axis.
fn background(canvas: &mut Canvas<'_>, chart: &Chart, field: Frame) {
    for band in &chart.bands {
        let stretch = Frame {
            left: x(chart, field, band.from),
            right: x(chart, field, band.to),
            ..field
        };
        canvas.fill(stretch, SHADE);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a picture has room for a handful"
    )]
    let about = (field.height() / 62.0).clamp(2.0, 8.0) as usize;
    for tick in chart.y.ticks(about) {
        let at = field.bottom - tick.at * field.height();
        canvas.line((field.left, at), (field.right, at), 1.0, GRID);
        let words = lettering(16.0, SOFT, Align::Right);
        canvas.text(&tick.label, (field.left - 10.0, at), words);
    }
}

/// Phases, limits and the axis along the bottom.
fn foreground(canvas: &mut Canvas<'_>, chart: &Chart, field: Frame, shows_axis: bool) {
    let is_lane = chart.size == Size::Lane;
    for mark in &chart.marks {
        let at = x(chart, field, mark.at);
        let top = field.top - if is_lane { 0.0 } else { 16.0 };
        canvas.line((at, top), (at, field.bottom), 1.4, SOFT);
        if !is_lane {
            canvas.text(&mark.label, (at + 7.0, top + 6.0), bold(16.0, Align::Left));
        }
    }
    for limit in chart.visible_limits() {
        draw_limit(canvas, chart, field, limit);
    }
    canvas.line(
        (field.left, field.bottom),
        (field.right, field.bottom),
        1.2,
        LINE,
    );
    for tick in chart.x.ticks(12) {
        let at = field.left + tick.at * field.width();
        canvas.line((at, field.bottom), (at, field.bottom + 5.0), 1.2, LINE);
        if shows_axis {
            let align = if tick.at > 0.985 {
                Align::Right
            } else if tick.at < 0.01 {
                Align::Left
            } else {
                Align::Middle
            };
            let words = lettering(16.0, SOFT, align);
            canvas.text(&tick.label, (at, field.bottom + 18.0), words);
        }
    }
}

/// The places around a word that are drawn in the colour of paper.
const RIM: [(f64, f64); 8] = [
    (-2.0, 0.0),
    (2.0, 0.0),
    (0.0, -2.0),
    (0.0, 2.0),
    (-1.5, -1.5),
    (1.5, -1.5),
    (-1.5, 1.5),
    (1.5, 1.5),
];

fn draw_limit(canvas: &mut Canvas<'_>, chart: &Chart, field: Frame, limit: &Limit) {
    let at = y(chart, field, limit.value);
    let (from, to) = (x(chart, field, limit.from), x(chart, field, limit.to));
    canvas.dashes(&[(from, at), (to, at)], 1.6, INK);
    if chart.size == Size::Lane {
        return;
    }
    let words = lettering(16.0, INK, Align::Right);
    let below = chart.y.position(limit.value) > 0.9;
    let middle = at + if below { 14.0 } else { -14.0 };
    // A rim of paper around the words keeps them readable over any curve, and hides next to nothing.
    let rim = lettering(16.0, PAPER, Align::Right);
    for (dx, dy) in RIM {
        let at = (to - 7.0 + dx, middle + dy);
        canvas.text(&limit.label, at, rim);
    }
    canvas.text(&limit.label, (to - 7.0, middle), words);
}

fn draw_series(
    canvas: &mut Canvas<'_>,
    chart: &Chart,
    field: Frame,
    series: &Series,
    spans: &[(f64, f64)],
) {
    let paint = series.colour.rgb();
    for run in series.runs() {
        match series.stroke {
            Stroke::Area => {
                for index in run {
                    if let Some((low, high)) = series.edges(index) {
                        let step = Frame {
                            left: x(chart, field, spans[index].0),
                            right: x(chart, field, spans[index].1),
                            top: y(chart, field, high),
                            bottom: y(chart, field, low),
                        };
                        if step.height() > 0.0 && step.width() > 0.0 {
                            canvas.fill(step, mix(PAPER, paint, AREA));
                        }
                    }
                }
            }
            Stroke::Range => {
                let edge = |index: usize| {
                    let (low, high) = series.edges(index)?;
                    let middle = f64::midpoint(spans[index].0, spans[index].1);
                    Some(Edge {
                        at: x(chart, field, middle),
                        top: y(chart, field, high),
                        bottom: y(chart, field, low),
                    })
                };
                for index in run.clone().skip(1) {
                    if let (Some(left), Some(right)) = (edge(index - 1), edge(index)) {
                        canvas.between(left, right, mix(PAPER, paint, RANGE));
                    }
                }
            }
            stroke => draw_line(canvas, chart, field, series, spans, run, stroke),
        }
    }
}

fn draw_line(
    canvas: &mut Canvas<'_>,
    chart: &Chart,
    field: Frame,
    series: &Series,
    spans: &[(f64, f64)],
    run: std::ops::Range<usize>,
    stroke: Stroke,
) {
    let paint = series.colour.rgb();
    let mut points: Vec<(f64, f64)> = run
        .clone()
        .filter_map(|index| {
            let middle = f64::midpoint(spans[index].0, spans[index].1);
            let value = series.values[index]?;
            Some((x(chart, field, middle), y(chart, field, value)))
        })
        .collect();
    if let [(_, level)] = points[..] {
        // A value alone is a dash as long as its stretch, and at least a dot.
        let (from, to) = spans[run.start];
        let left = x(chart, field, from);
        points = vec![(left, level), (x(chart, field, to).max(left + 2.0), level)];
    }
    if stroke == Stroke::Dashed {
        canvas.dashes(&points, width(stroke), paint);
    } else {
        canvas.path(&points, width(stroke), paint);
    }
}

fn cells(canvas: &mut Canvas<'_>, chart: &Chart, field: Frame, heat: &Heat) {
    for (column, levels) in heat.columns.iter().zip(&heat.levels) {
        for (row, &level) in levels.iter().enumerate().filter(|(_, level)| **level > 0) {
            let cell = Frame {
                left: x(chart, field, column.0),
                right: x(chart, field, column.1),
                top: y(chart, field, heat.edges[row + 1]),
                bottom: y(chart, field, heat.edges[row]),
            };
            let paint = HEAT[usize::from(level).min(HEAT.len()) - 1];
            canvas.fill(cell, paint);
        }
    }
}
