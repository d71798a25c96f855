//! The result on a terminal.
//!
//! Readable without colour, and never wider than it was told; the last line is the headline. The
//! caller strips the styles where nobody would see them.

use super::instrument::worst_line;
use super::parts;
use super::rows::{self, GateRow, LatencyRow, PhaseRow};
use crate::record::{Distribution as _, Doubt, RunRecord};
use crate::verdict::{Judgement, Verdict};
use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// The result as text with ANSI styles, in so many columns. Only the headline, which is one line so
/// that `tail -n 1` finds it whole, may be longer.
pub fn console(record: &RunRecord, judgement: &Judgement, width: usize) -> String {
    let width = width.max(40);
    let mut blocks = vec![header(record, width)];
    blocks.push(phases(record, width));
    blocks.push(parts::console(record, width));
    blocks.push(streams(record, width));
    blocks.push(gates(judgement, width));
    blocks.push(reasons(record, judgement, width));
    blocks.push(doubts(record, width));
    let verdict = style(judgement.verdict);
    blocks.push(paint(
        verdict,
        judgement.verdict.as_str(),
        &one_line(&judgement.headline),
    ));
    blocks.retain(|block| !block.is_empty());
    let mut text = blocks.join("\n\n");
    text.push('\n');
    text
}

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

pub(super) fn style(verdict: Verdict) -> Style {
    let colour = match verdict {
        Verdict::Pass => AnsiColor::Green,
        Verdict::Fail => AnsiColor::Red,
        Verdict::Inconclusive => AnsiColor::Yellow,
    };
    colour.on_default().bold()
}

/// The line with the first occurrence of a word in a style.
pub(super) fn paint(style: Style, word: &str, line: &str) -> String {
    line.replacen(word, &format!("{style}{word}{style:#}"), 1)
}

/// What ran, against what, when; and what nobody may overlook.
fn header(record: &RunRecord, width: usize) -> String {
    let name = one_line(&record.header.scenario.name);
    let facts = [
        name.clone(),
        one_line(&rows::target(record)),
        rows::started(record),
        rows::duration(record),
    ];
    let facts = facts.join(" · ");
    let mut text = paint(BOLD, &name, &wrap(&facts, width, ""));
    let simulated = rows::simulated(record);
    if !simulated.is_empty() {
        let words = format!(
            "SIMULATED: the values of {} are made up",
            simulated.join(", ")
        );
        text.push('\n');
        text.push_str(&paint(
            style(Verdict::Inconclusive),
            "SIMULATED",
            &wrap(&words, width, ""),
        ));
    }
    if let Some(reason) = rows::partial(record) {
        let words = format!("PARTIAL: {}", one_line(&reason));
        text.push('\n');
        text.push_str(&paint(
            style(Verdict::Inconclusive),
            "PARTIAL",
            &wrap(&words, width, ""),
        ));
    }
    text
}

/// A table without lines; the first `left` columns are text, the others numbers.
pub(super) fn table(head: &[&str], left: usize, width: usize) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(u16::try_from(width).unwrap_or(u16::MAX))
        .set_header(head.to_vec());
    let last = head.len() - 1;
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if index == last { 0 } else { 2 }));
        if index >= left {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// The table as text, its header dimmed.
pub(super) fn print(table: &Table) -> String {
    let text = table.trim_fmt();
    let (head, body) = text.split_once('\n').unwrap_or((&text, ""));
    format!("{DIM}{head}{DIM:#}\n{body}")
}

fn phases(record: &RunRecord, width: usize) -> String {
    let all = rows::phases(record);
    let mut blocks = Vec::new();
    if !all.is_empty() {
        let head = [
            "Phase", "Requests", "Not ok", "Rate", "p50", "p90", "p99", "p99.9", "Max",
        ];
        let mut table = table(&head, 1, width);
        for phase in &all {
            table.add_row(phase_row(phase));
        }
        let queueing: Vec<String> = all
            .iter()
            .map(|phase| format!("{} {}", phase.name, phase.queueing))
            .collect();
        let note = format!("Queueing added at p99: {}", queueing.join(", "));
        blocks.push(print(&table));
        blocks.push(wrap(&note, width, ""));
        blocks.extend(lateness(record).map(|note| wrap(&note, width, "")));
        blocks.extend(worst_line(record).map(|note| wrap(&note, width, "")));
        blocks.extend(steps(record).into_iter().map(|note| wrap(&note, width, "")));
        let achieved = rows::achieved(record).into_iter();
        blocks.extend(
            achieved.map(|(phase, work)| {
                wrap(&format!("Work of the GPU in {phase}: {work}"), width, "")
            }),
        );
    }
    blocks.join("\n")
}

/// How well the schedules of open loops were kept.
fn lateness(record: &RunRecord) -> Option<String> {
    let open: Vec<String> = record
        .phases
        .iter()
        .filter(|phase| !phase.lateness.is_empty())
        .map(|phase| {
            let row = LatencyRow::of(&phase.lateness);
            format!("{} {} / {}", phase.info.name, row.p50, row.p99)
        })
        .collect();
    (!open.is_empty()).then(|| format!("Generator late by p50 / p99: {}", open.join(", ")))
}

/// Where the time of requests went, for each phase of which it is known.
fn steps(record: &RunRecord) -> Vec<String> {
    let lines = record.phases.iter().filter_map(|phase| {
        let known = rows::steps(&phase.steps)
            .into_iter()
            .filter(|(_, times)| !times.is_empty());
        let parts: Vec<String> = known
            .map(|(name, times)| {
                let row = LatencyRow::of(times);
                format!("{name} {} / {}", row.p50, row.p99)
            })
            .collect();
        let name = &phase.info.name;
        (!parts.is_empty()).then(|| {
            format!(
                "Time in requests of {name}, p50 / p99: {}",
                parts.join(", ")
            )
        })
    });
    lines.collect()
}

/// What came of streamed answers, and what of all requests was good.
fn streams(record: &RunRecord, width: usize) -> String {
    let all = rows::streams(record);
    let mut blocks = Vec::new();
    if !all.is_empty() {
        let head = [
            "Streams", "Tokens", "Rate", "Per user", "TTFT p50", "p99", "ITL p50", "p99",
            "TPOT p50", "p99",
        ];
        let mut table = table(&head, 1, width);
        for row in &all {
            let cells = [
                &row.phase,
                &row.tokens,
                &row.rate,
                &row.per_user,
                &row.ttft.p50,
                &row.ttft.p99,
                &row.itl.p50,
                &row.itl.p99,
                &row.tpot.p50,
                &row.tpot.p99,
            ];
            table.add_row(cells.into_iter().cloned().collect::<Vec<String>>());
        }
        let counted: Vec<String> = all
            .iter()
            .map(|row| format!("{} {}", row.phase, row.counted))
            .collect();
        blocks.push(print(&table));
        blocks.push(wrap(
            &format!("Tokens counted: {}", counted.join("; ")),
            width,
            "",
        ));
    }
    for row in rows::goodputs(record) {
        let words = format!(
            "Goodput of {}: {}, {} of requests met {}",
            row.phase, row.goodput, row.share, row.slo
        );
        blocks.push(wrap(&one_line(&words), width, "  "));
    }
    blocks.join("\n")
}

fn phase_row(phase: &PhaseRow) -> Vec<String> {
    let response = &phase.response;
    [
        &phase.name,
        &phase.counts.planned,
        &phase.counts.error_rate,
        &phase.rate,
        &response.p50,
        &response.p90,
        &response.p99,
        &response.p999,
        &response.max,
    ]
    .into_iter()
    .cloned()
    .collect()
}

fn gates(judgement: &Judgement, width: usize) -> String {
    if judgement.gates.is_empty() {
        return String::new();
    }
    let head = ["Verdict", "Scope", "Gate", "Observed", "95 % interval"];
    let mut table = table(&head, 3, width);
    for row in rows::gates(judgement) {
        table.add_row(gate_row(&row));
    }
    let lines: Vec<String> = print(&table).lines().map(verdict_in_colour).collect();
    lines.join("\n")
}

fn gate_row(row: &GateRow<'_>) -> Vec<String> {
    vec![
        row.verdict.to_string(),
        one_line(&row.scope),
        one_line(row.gate),
        row.observed.clone(),
        row.interval.clone(),
    ]
}

/// A line that begins with a verdict, with that verdict in its colour.
fn verdict_in_colour(line: &str) -> String {
    [Verdict::Pass, Verdict::Fail, Verdict::Inconclusive]
        .into_iter()
        .find(|verdict| line.starts_with(verdict.as_str()))
        .map_or_else(
            || line.to_owned(),
            |verdict| paint(style(verdict), verdict.as_str(), line),
        )
}

/// Why each gate that did not pass did not; a reason that several share stands once, and not even that
/// where the first lines of the result have it.
fn reasons(record: &RunRecord, judgement: &Judgement, width: usize) -> String {
    let said = rows::partial(record).unwrap_or_default();
    let mut groups: Vec<(Verdict, String, Vec<String>)> = Vec::new();
    for row in rows::gates(judgement) {
        let name = format!("{} {}", one_line(&row.scope), one_line(row.gate));
        let same = groups
            .iter_mut()
            .find(|(verdict, why, _)| (*verdict, why) == (row.verdict, &row.why));
        match same {
            _ if row.verdict == Verdict::Pass || said.starts_with(&row.why) => {}
            Some((_, _, names)) => names.push(name),
            None => groups.push((row.verdict, row.why, vec![name])),
        }
    }
    let lines: Vec<String> = groups
        .into_iter()
        .map(|(verdict, why, names)| {
            let which = match &names[..] {
                [one] => one.clone(),
                several => format!("{} gates", several.len()),
            };
            let words = format!("{verdict} {which}: {}", one_line(&why));
            verdict_in_colour(&wrap(&words, width, "  "))
        })
        .collect();
    lines.join("\n")
}

fn doubts(record: &RunRecord, width: usize) -> String {
    // Why nothing was sent stands at the top.
    let said_later = |doubt: &&Doubt| !matches!(doubt, Doubt::Preflight { .. });
    let doubts = record.doubts.iter().filter(said_later).map(|doubt| {
        let scope = one_line(rows::doubt_scope(record, doubt));
        let words = format!("doubt ({scope}): {}", one_line(&doubt.to_string()));
        paint(BOLD, "doubt", &wrap(&words, width, "  "))
    });
    doubts.collect::<Vec<_>>().join("\n")
}

/// Text in lines of at most `width` characters, those after the first indented.
pub(super) fn wrap(text: &str, width: usize, indent: &str) -> String {
    let mut lines = Vec::new();
    let mut line = String::new();
    let text = rows::unbroken(text);
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let needed = line.chars().count() + 1 + word.chars().count();
        if line.trim().is_empty() {
            line.push_str(word);
        } else if needed > width {
            lines.push(std::mem::replace(&mut line, format!("{indent}{word}")));
        } else {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.push(line);
    lines.join("\n").replace('\u{a0}', " ")
}

/// What came from elsewhere must not steer the terminal.
pub fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use anstream::adapter::strip_str;

    fn plain(run: &(RunRecord, Judgement), width: usize) -> String {
        strip_str(&console(&run.0, &run.1, width)).to_string()
    }

    #[test]
    fn fits_into_eighty_columns() {
        insta::assert_snapshot!(plain(sample::prod(), 80), @"
        prod · http://10.0.0.7:8000 · 2026-08-05 12:34:56 UTC · 71.4 s
        SIMULATED: the values of gpu are made up

        Phase  Requests   Not ok    Rate      p50      p90      p99   p99.9     Max
        c100     48 138  0.108 %  1600/s  48.4 ms  66.2 ms  87.6 ms  119 ms  160 ms
        c1000    63 137  0.972 %  2051/s   362 ms   643 ms   1.12 s  3.61 s  4.52 s
        Queueing added at p99: c100 0 ms, c1000 0 ms
        Generator at worst: busiest worker 76.4 %
        Time in requests of c100, p50 / p99: client queue 40.0 µs / 40.0 µs
        Time in requests of c1000, p50 / p99: client queue 40.0 µs / 40.0 µs

        Verdict       Scope  Gate                   Observed        95 % interval
        PASS          c100   response.p99 < 100ms    88.7 ms   87.9 ms to 89.9 ms
        PASS          c100   error_rate < 1%         0.108 %  0.0814 % to 0.141 %
        PASS          c100   throughput > 1000/s      1600/s     1582/s to 1617/s
        FAIL          c1000  response.p99 < 100ms     3.76 s      at least 3.59 s
        INCONCLUSIVE  c1000  error_rate < 1%         0.972 %    0.900 % to 1.05 %
        INCONCLUSIVE  c1000  gpu.utilization > 70%    65.5 %     58.4 % to 72.6 %
        PASS          run    gpu.memory < 90%         63.4 %

        FAIL c1000 response.p99 < 100ms: at least 99.8 % of requests are over 100 ms
          (95 % bound), and only 1 % may be; the target is saturated: 10.6 times as many
          requests in flight as in `c100` brought 1.28 times its throughput, so that
          they wait in its queue; the generator was busy: its busiest worker was
          occupied 76.4 % of the time, which adds to the upper percentiles
        INCONCLUSIVE c1000 error_rate < 1%: 0.972 % of requests are not ok, the truth
          lies between 0.900 % and 1.05 % at 95 % each, and 1 % may be; about 400 744
          more requests (3 m 10 s more at this rate) would decide; 614 of 63 137
          requests did not succeed: status 503 41.8 %, reset by peer 20.4 %, no answer
          in time 18.7 %
        INCONCLUSIVE c1000 gpu.utilization > 70%: mean 65.5 % on GPU 0, between 58.4 %
          and 72.6 % at 95 % each

        doubt (run): the wall clock was set by -1200 ms at 41.0 s; latencies are
          measured on the monotonic clock
        doubt (c1000): the generator was busy: its busiest worker was occupied 76.4 % of
          the time, which adds to the upper percentiles
        doubt (run): telemetry `gpu` is SIMULATED: its values are made up

        FAIL: 4 of 7 gates pass; `response.p99 < 100ms` (c1000) failed: at least 99.8 % of requests are over 100 ms (95 % bound), and only 1 % may be; the target is saturated: 10.6 times as many requests in flight as in `c100` brought 1.28 times its throughput, so that they wait in its queue; the generator was busy: its busiest worker was occupied 76.4 % of the time, which adds to the upper percentiles
        ");
    }

    #[test]
    fn a_reason_that_all_share_stands_once() {
        insta::assert_snapshot!(plain(sample::preflight_failed(), 80), @"
        prod · http://10.0.0.7:8000 · 2026-08-05 12:34:56 UTC · 180 ms
        PARTIAL: no load was sent: `GET /health` was refused: nobody listens on
        10.0.0.7:8000; not begun: c100, c1000

        Verdict       Scope  Gate                   Observed  95 % interval
        INCONCLUSIVE  c100   response.p99 < 100ms          –
        INCONCLUSIVE  c100   error_rate < 1%               –
        INCONCLUSIVE  c100   throughput > 1000/s           –
        INCONCLUSIVE  c1000  response.p99 < 100ms          –
        INCONCLUSIVE  c1000  error_rate < 1%               –
        INCONCLUSIVE  c1000  gpu.utilization > 70%         –
        INCONCLUSIVE  run    gpu.memory < 90%              –

        INCONCLUSIVE: 0 of 7 gates pass; no load was sent: `GET /health` was refused: nobody listens on 10.0.0.7:8000
        ");
    }

    #[test]
    fn a_pass_is_short() {
        insta::assert_snapshot!(plain(sample::calm(), 80), @"
        prod · http://10.0.0.7:8000 · 2026-08-05 12:34:56 UTC · 66.0 s

        Phase  Requests  Not ok    Rate      p50      p90      p99   p99.9     Max
        c100     90 269     0 %  1503/s  43.3 ms  60.7 ms  82.9 ms  117 ms  191 ms
        Queueing added at p99: c100 0 ms
        Generator at worst: busiest worker 31.8 %
        Time in requests of c100, p50 / p99: client queue 40.0 µs / 40.0 µs

        Verdict  Scope  Gate                   Observed       95 % interval
        PASS     c100   response.p99 < 100ms    82.9 ms  82.0 ms to 83.6 ms
        PASS     c100   error_rate < 1%             0 %    0 % to 0.00381 %
        PASS     c100   gpu.utilization > 70%    82.8 %    82.4 % to 83.2 %

        PASS: 3 of 3 gates pass
        ");
    }

    #[test]
    fn only_the_headline_is_wider_than_it_was_told() {
        for (name, run) in sample::all() {
            for width in [60, 80, 120] {
                let text = plain(&run, width);
                let lines: Vec<&str> = text.lines().collect();
                let (last, rest) = lines.split_last().unwrap();
                assert_eq!(*last, one_line(&run.1.headline), "{name}");
                for line in rest {
                    let is_long_word = line.trim().split(' ').count() == 1;
                    assert!(
                        line.chars().count() <= width || is_long_word,
                        "{name} at {width}: {line}"
                    );
                }
            }
        }
    }

    #[test]
    fn nothing_but_its_own_styles_steers_the_terminal() {
        let text = plain(&sample::hostile(), 80);
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text}");
    }
}
