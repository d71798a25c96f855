//! The summary card: verdict, gates and phases on one picture, for a message or a slide.

use super::canvas::{Align, Canvas, Frame, HEIGHT, Lettering, WIDTH};
use super::{GRID, INK, LINE, MARGIN, PAPER, SHADE, SOFT, banners, footer, stack, verdict_colour};
use crate::record::RunRecord;
use crate::report::chart::{Charts, GateLine, LIMIT_AT};
use crate::report::rows::{self, GateRow};
use crate::verdict::{Judgement, Verdict};

/// Height of a row of a table.
const ROW: f64 = 42.0;
/// Gates that fit; the rest are counted.
const MOST_GATES: usize = 8;
/// Phases that fit.
const MOST_PHASES: usize = 4;
/// The least height at which a chart can be read.
const LEAST_CHART: f64 = 165.0;
/// How wide the picture of a gate is.
const LINE_WIDTH: f64 = 250.0;

const RIGHT: f64 = WIDTH as f64 - MARGIN;

fn lettering(size: f64, colour: super::Rgb) -> Lettering {
    Lettering {
        size,
        bold: false,
        colour,
        align: Align::Left,
    }
}

fn bold(size: f64, colour: super::Rgb) -> Lettering {
    Lettering {
        bold: true,
        ..lettering(size, colour)
    }
}

fn right(lettering: Lettering) -> Lettering {
    Lettering {
        align: Align::Right,
        ..lettering
    }
}

/// Draws the card.
pub(super) fn card(
    canvas: &mut Canvas<'_>,
    record: &RunRecord,
    judgement: &Judgement,
    charts: &Charts,
) {
    let top = banners(canvas, record);
    let top = title(canvas, record, judgement, top);
    let phases = rows::phases(record);
    let shown_phases = phases.len().min(MOST_PHASES);
    let room = f64::from(HEIGHT) - 60.0 - top - ROW * (shown_phases as f64 + 1.7);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a handful of rows, and a float cast saturates"
    )]
    let fit = ((room / ROW - 1.0).floor().max(1.0) as usize).min(MOST_GATES);
    let top = gates(canvas, judgement, fit, top + ROW / 2.0);
    if !phases.is_empty() {
        let top = top + ROW * 0.7;
        let bottom = phase_table(canvas, &phases[..shown_phases], phases.len(), top);
        let frame = Frame {
            left: MARGIN,
            right: RIGHT,
            top: bottom + 18.0,
            bottom: f64::from(HEIGHT) - 46.0,
        };
        if frame.height() >= LEAST_CHART {
            stack(canvas, &[charts.response()], frame);
        }
    }
    footer(canvas, record);
}

/// Verdict, scenario, target, when, and the headline. Returns where it ends.
fn title(canvas: &mut Canvas<'_>, record: &RunRecord, judgement: &Judgement, top: f64) -> f64 {
    let word = judgement.verdict.as_str();
    let label = Lettering {
        align: Align::Middle,
        ..bold(48.0, PAPER)
    };
    let tag = Frame {
        left: MARGIN,
        right: MARGIN + canvas.measure(word, label) + 64.0,
        top: top + 36.0,
        bottom: top + 126.0,
    };
    canvas.fill(tag, verdict_colour(judgement.verdict));
    canvas.text(word, (tag.left + tag.width() / 2.0, top + 81.0), label);
    let left = tag.right + 28.0;
    let name = bold(40.0, INK);
    let words = canvas.fitting(&record.header.scenario.name, RIGHT - left, name);
    canvas.text(&words, (left, top + 62.0), name);
    let facts = format!(
        "{}  ·  {}, {}",
        rows::target(record),
        rows::started(record),
        rows::duration(record)
    );
    let small = lettering(22.0, SOFT);
    let words = canvas.fitting(&facts, RIGHT - left, small);
    canvas.text(&words, (left, top + 106.0), small);
    let mut bottom = top + 166.0;
    let words = lettering(23.0, INK);
    // The tag has said the verdict.
    let headline = judgement.headline.replace('`', "");
    let headline = headline
        .strip_prefix(&format!("{word}: "))
        .unwrap_or(&headline);
    for line in wrapped(canvas, headline, RIGHT - MARGIN, words) {
        canvas.text(&line, (MARGIN, bottom), words);
        bottom += 32.0;
    }
    bottom
}

/// At most two lines; what does not fit is cut.
fn wrapped(canvas: &Canvas<'_>, text: &str, room: f64, lettering: Lettering) -> Vec<String> {
    let mut first = String::new();
    let mut words = text.split(' ').peekable();
    while let Some(word) = words.peek() {
        let longer = if first.is_empty() {
            (*word).to_owned()
        } else {
            format!("{first} {word}")
        };
        if !first.is_empty() && canvas.measure(&longer, lettering) > room {
            break;
        }
        first = longer;
        words.next();
    }
    let rest: Vec<&str> = words.collect();
    let mut lines = vec![canvas.fitting(&first, room, lettering)];
    if !rest.is_empty() {
        lines.push(canvas.fitting(&rest.join(" "), room, lettering));
    }
    lines
}

fn heading(canvas: &mut Canvas<'_>, columns: &[(&str, f64, Align)], y: f64) {
    for &(name, x, align) in columns {
        let lettering = Lettering {
            align,
            ..lettering(18.0, SOFT)
        };
        canvas.text(name, (x, y), lettering);
    }
    rule(canvas, y + ROW / 2.0, LINE);
}

fn rule(canvas: &mut Canvas<'_>, y: f64, colour: super::Rgb) {
    canvas.line((MARGIN, y), (RIGHT, y), 1.0, colour);
}

/// The gates that matter most. Returns where the table ends.
fn gates(canvas: &mut Canvas<'_>, judgement: &Judgement, fit: usize, top: f64) -> f64 {
    const GATE: f64 = MARGIN + 190.0;
    const LINE_LEFT: f64 = RIGHT - LINE_WIDTH;
    const OBSERVED: f64 = LINE_LEFT - 40.0;
    let mut all: Vec<_> = rows::gates(judgement)
        .into_iter()
        .zip(&judgement.gates)
        .collect();
    // Where not all fit, those that did not pass are the ones to know of.
    let is_cut = all.len() > fit;
    if is_cut {
        all.sort_by_key(|(row, _)| std::cmp::Reverse(severity(row)));
    }
    let columns = [
        ("Verdict", MARGIN, Align::Left),
        ("Gate", GATE, Align::Left),
        ("Observed", OBSERVED, Align::Right),
        ("95 % interval and limit", LINE_LEFT, Align::Left),
    ];
    heading(canvas, &columns, top);
    let mut y = top;
    let shown = if is_cut { fit - 1 } else { all.len() };
    for (row, result) in &all[..shown] {
        y += ROW;
        let colour = verdict_colour(row.verdict);
        canvas.text(row.verdict.as_str(), (MARGIN, y), bold(19.0, colour));
        let observed = right(bold(22.0, INK));
        let value_room = canvas.measure(&row.observed, observed);
        canvas.text(&row.observed, (OBSERVED, y), observed);
        let room = OBSERVED - value_room - 30.0 - GATE;
        let (name, scope) = (lettering(22.0, INK), lettering(22.0, SOFT));
        let words = canvas.fitting(row.gate, room, name);
        canvas.text(&words, (GATE, y), name);
        let used = canvas.measure(&words, name) + 16.0;
        let words = canvas.fitting(&row.scope, room - used, scope);
        canvas.text(&words, (GATE + used, y), scope);
        gate_line(canvas, &GateLine::of(result), colour, (LINE_LEFT, y));
        rule(canvas, y + ROW / 2.0, GRID);
    }
    if is_cut {
        y += ROW;
        let words = format!("and {} more gates, in the report", all.len() - shown);
        canvas.text(&words, (GATE, y), lettering(20.0, SOFT));
    }
    y + ROW / 2.0
}

fn severity(row: &GateRow<'_>) -> u8 {
    match row.verdict {
        Verdict::Pass => 0,
        Verdict::Inconclusive => 1,
        Verdict::Fail => 2,
    }
}

fn gate_line(canvas: &mut Canvas<'_>, line: &GateLine, colour: super::Rgb, at: (f64, f64)) {
    // Room for the arrow.
    let place = |share: f64| at.0 + share * (LINE_WIDTH - 16.0);
    let band = |(from, to): (f64, f64), half: f64| Frame {
        left: place(from),
        right: place(to).max(place(from) + 3.0),
        top: at.1 - half,
        bottom: at.1 + half,
    };
    canvas.fill(band(line.good, 13.0), SHADE);
    canvas.line((place(0.0), at.1), (place(1.0), at.1), 1.0, LINE);
    if let Some(interval) = line.interval {
        canvas.fill(band(interval, 6.0), colour);
    }
    if line.goes_on {
        let (x, y) = (place(1.0), at.1);
        let tip = (x + 14.0, y);
        canvas.quad([(x, y - 10.0), tip, tip, (x, y + 10.0)], colour);
    }
    let limit = place(LIMIT_AT);
    canvas.line((limit, at.1 - 16.0), (limit, at.1 + 16.0), 3.0, INK);
    if let Some(observed) = line.observed {
        let x = place(observed);
        canvas.line((x - 0.1, at.1), (x + 0.1, at.1 + 0.1), 13.0, PAPER);
        canvas.line((x - 0.1, at.1), (x + 0.1, at.1 + 0.1), 9.0, INK);
    }
}

/// Returns where the table ends.
fn phase_table(canvas: &mut Canvas<'_>, phases: &[rows::PhaseRow], all: usize, top: f64) -> f64 {
    const LOAD: f64 = MARGIN + 190.0;
    let ends = [
        RIGHT - 640.0,
        RIGHT - 480.0,
        RIGHT - 320.0,
        RIGHT - 160.0,
        RIGHT,
    ];
    let names = ["Rate", "p50", "p99", "p99.9", "Not ok"];
    let mut columns = vec![("Phase", MARGIN, Align::Left), ("Load", LOAD, Align::Left)];
    columns.extend(
        names
            .into_iter()
            .zip(ends)
            .map(|(name, x)| (name, x, Align::Right)),
    );
    heading(canvas, &columns, top);
    let mut y = top;
    for phase in phases {
        y += ROW;
        let name = canvas.fitting(&phase.name, LOAD - MARGIN - 20.0, bold(22.0, INK));
        canvas.text(&name, (MARGIN, y), bold(22.0, INK));
        let latencies = &phase.response;
        let cells = [
            &phase.rate,
            &latencies.p50,
            &latencies.p99,
            &latencies.p999,
            &phase.counts.error_rate,
        ];
        let mut room = ends[0] - LOAD - 30.0;
        for (index, (cell, x)) in cells.into_iter().zip(ends).enumerate() {
            let value = right(lettering(22.0, INK));
            if index == 0 {
                room -= canvas.measure(cell, value);
            }
            canvas.text(cell, (x, y), value);
        }
        let load = canvas.fitting(&phase.load, room, lettering(22.0, SOFT));
        canvas.text(&load, (LOAD, y), lettering(22.0, SOFT));
        rule(canvas, y + ROW / 2.0, GRID);
    }
    if all > phases.len() {
        y += ROW;
        let words = format!("and {} more phases, in the report", all - phases.len());
        canvas.text(&words, (LOAD, y), lettering(20.0, SOFT));
    }
    y + ROW / 2.0
}
