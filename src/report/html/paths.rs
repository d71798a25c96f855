//! Turns the series of a chart into SVG paths: numbers and commands, no words.
//!
//! Everything lies in a box [`WIDTH`] wide, which the page stretches.

use crate::report::chart::palette::HEAT;
use crate::report::chart::{Chart, Content, Heat, Series, Stroke};

/// A path with its look.
pub(super) struct Shape {
    pub(super) class: &'static str,
    pub(super) variable: String,
    pub(super) path: String,
}

/// The curves lie in a square of this width, which is stretched to the picture.
const WIDTH: f64 = 1000.0;

/// The paths of a chart, in the order of drawing.
pub(super) fn shapes(chart: &Chart, height: f64) -> Vec<Shape> {
    let x = |value: f64| chart.x.position(value) * WIDTH;
    let y = |value: f64| (1.0 - chart.y.position(value)) * height;
    match &chart.content {
        Content::Lines { spans, .. } => chart
            .layers()
            .into_iter()
            .map(|series| Shape {
                class: stroke_class(series.stroke),
                variable: series.colour.variable(),
                path: match series.stroke {
                    Stroke::Area => steps(series, spans, &x, &y),
                    Stroke::Range => ribbon(series, spans, &x, &y),
                    _ => line(series, spans, &x, &y),
                },
            })
            .collect(),
        Content::Heat(heat) => cells(heat, &x, &y),
        Content::Absent(_) => Vec::new(),
    }
}

type Along<'a> = &'a dyn Fn(f64) -> f64;

fn line(series: &Series, spans: &[(f64, f64)], x: Along<'_>, y: Along<'_>) -> String {
    let mut path = String::new();
    for run in series.runs() {
        let lone = run.len() == 1;
        for (position, index) in run.enumerate() {
            let (Some(value), (from, to)) = (series.values[index], spans[index]) else {
                continue;
            };
            let command = if position == 0 { 'M' } else { 'L' };
            let at = if lone { from } else { f64::midpoint(from, to) };
            path.push_str(&format!("{command}{} {}", short(x(at)), short(y(value))));
            if lone {
                // A value alone is a dash as long as its stretch, and at least a dot.
                path.push_str(&format!("H{}", short(x(to).max(x(from) + 1.0))));
            }
        }
    }
    path
}

fn steps(series: &Series, spans: &[(f64, f64)], x: Along<'_>, y: Along<'_>) -> String {
    let mut path = String::new();
    for run in series.runs() {
        let first = x(spans[run.start].0);
        let mut upper = Vec::new();
        let mut lower = Vec::new();
        for index in run {
            if let Some((low, high)) = series.edges(index) {
                let (from, to) = (x(spans[index].0), x(spans[index].1));
                upper.push(format!("V{}H{}", short(y(high)), short(to)));
                lower.push(format!("V{}H{}", short(y(low)), short(from)));
            }
        }
        // There along the upper edge, and back along the lower one.
        lower.reverse();
        let (there, back) = (upper.concat(), lower.concat());
        path.push_str(&format!(
            "M{} {}{there}{back}Z",
            short(first),
            short(y(0.0))
        ));
    }
    path
}

fn ribbon(series: &Series, spans: &[(f64, f64)], x: Along<'_>, y: Along<'_>) -> String {
    let mut path = String::new();
    for run in series.runs() {
        let mut upper = Vec::new();
        let mut lower = Vec::new();
        for index in run {
            if let Some((low, high)) = series.edges(index) {
                let at = short(x(f64::midpoint(spans[index].0, spans[index].1)));
                upper.push(format!("{at} {}", short(y(high))));
                lower.push(format!("{at} {}", short(y(low))));
            }
        }
        lower.reverse();
        upper.append(&mut lower);
        path.push_str(&format!("M{}Z", upper.join("L")));
    }
    path
}

/// One path for each level: neighbouring cells of a row join into one rectangle.
fn cells(heat: &Heat, x: Along<'_>, y: Along<'_>) -> Vec<Shape> {
    let mut paths = vec![String::new(); HEAT.len()];
    for row in 0..heat.edges.len().saturating_sub(1) {
        let (bottom, top) = (y(heat.edges[row]), y(heat.edges[row + 1]));
        let mut column = 0;
        while column < heat.columns.len() {
            let level = heat.levels[column][row];
            let mut end = column + 1;
            while end < heat.columns.len()
                && heat.levels[end][row] == level
                && heat.columns[end].0 <= heat.columns[end - 1].1 + 1e-6
            {
                end += 1;
            }
            if level > 0 {
                let (from, to) = (x(heat.columns[column].0), x(heat.columns[end - 1].1));
                paths[usize::from(level) - 1].push_str(&format!(
                    "M{} {}H{}V{}H{}Z",
                    short(from),
                    short(top),
                    short(to),
                    short(bottom),
                    short(from)
                ));
            }
            column = end;
        }
    }
    paths
        .into_iter()
        .enumerate()
        .filter(|(_, path)| !path.is_empty())
        .map(|(level, path)| Shape {
            class: "cell",
            variable: format!("--heat{level}"),
            path,
        })
        .collect()
}

/// How a stroke is named in the style sheet.
pub(super) fn stroke_class(stroke: Stroke) -> &'static str {
    match stroke {
        Stroke::Line => "line",
        Stroke::Bold => "line bold",
        Stroke::Faint => "line faint",
        Stroke::Dashed => "line dashed",
        Stroke::Area => "area",
        Stroke::Range => "range",
    }
}

/// A coordinate: a tenth of a unit is finer than a screen.
pub(super) fn short(value: f64) -> String {
    let rounded = (value * 10.0).round() / 10.0;
    // Negative zero would be written with its sign.
    (rounded + 0.0).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::chart::Size;
    use crate::report::chart::axis::{Unit, XAxis, YAxis};
    use crate::report::chart::palette::Colour;

    fn chart(content: Content) -> Chart {
        Chart {
            name: "test".to_owned(),
            title: "test".to_owned(),
            subtitle: String::new(),
            size: Size::Medium,
            x: XAxis::Time { to_s: 4.0 },
            y: YAxis::fixed(Unit::Count, 0.0, 10.0),
            content,
            bands: Vec::new(),
            marks: Vec::new(),
            limits: Vec::new(),
        }
    }

    fn lines(stroke: Stroke, values: &[Option<f64>]) -> Content {
        let spans = (0..values.len())
            .map(|at| (at as f64, at as f64 + 1.0))
            .collect();
        let series = vec![Series::new("s", Colour::Ok, stroke, values.to_vec())];
        Content::Lines { spans, series }
    }

    fn path(stroke: Stroke, values: &[Option<f64>]) -> String {
        let chart = chart(lines(stroke, values));
        shapes(&chart, 100.0).remove(0).path
    }

    #[test]
    fn a_line_goes_through_the_middles_and_breaks_at_gaps() {
        let values = [Some(0.0), Some(10.0), None, Some(5.0)];
        assert_eq!(path(Stroke::Line, &values), "M125 100L375 0M750 50H1000");
    }

    #[test]
    fn an_area_goes_in_steps() {
        let values = [Some(5.0), Some(10.0)];
        assert_eq!(
            path(Stroke::Area, &values),
            "M0 100V50H250V0H500V100H250V100H0Z"
        );
    }

    #[test]
    fn cells_of_one_level_join() {
        let heat = Heat {
            columns: vec![(0.0, 1.0), (1.0, 2.0), (3.0, 4.0)],
            edges: vec![1.0, 10.0],
            levels: vec![vec![2], vec![2], vec![2]],
            most: 9,
        };
        let shapes = shapes(&chart(Content::Heat(heat)), 100.0);
        assert_eq!(shapes.len(), 1);
        assert_eq!(shapes[0].path, "M0 0H500V90H0ZM750 0H1000V90H750Z");
    }

    #[test]
    fn coordinates_are_short() {
        assert_eq!(
            (short(-0.01), short(12.345)),
            ("0".to_owned(), "12.3".to_owned())
        );
    }
}
