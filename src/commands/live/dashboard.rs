//! The full screen as lines: what is most urgent first, and nothing that does not fit.

use super::gates::{LiveGate, Standing};
use super::past::Past;
use super::state::{LivePhase, LiveRun, Progress};
use crate::engine::ports::Stop;
use crate::history::block;
use crate::record::{Distribution as _, Outcome, per_second};
use crate::report::one_line;
use crate::units;
use anstyle::{AnsiColor, Style};
use console::{Alignment, measure_text_width, pad_str, truncate_str};
use std::time::Duration;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const LINE: Style = AnsiColor::Cyan.on_default();

/// The screen in so many columns and rows; with styles, which the caller may strip.
pub(super) fn lines(run: &LiveRun, columns: usize, rows: usize) -> Vec<String> {
    let mut top = vec![header(run, columns), String::new()];
    let running: Vec<&LivePhase> = run
        .phases
        .iter()
        .filter(|phase| phase.progress == Progress::Running)
        .collect();
    for phase in &running {
        top.extend(running_phase(phase, columns));
        top.push(String::new());
    }
    let footer = match run.stop {
        Stop::Go => {
            format!("{DIM}Ctrl-C: stop and wait for what is in flight · again: stop now{DIM:#}")
        }
        Stop::Drain => {
            format!("{BAD}stopping{BAD:#}: waiting for what is in flight · Ctrl-C: stop now")
        }
        Stop::Now => format!("{BAD}stopping now{BAD:#}"),
    };
    // By urgency. The first ones leave a heading and two lines to each other, the rest is for tall
    // terminals.
    const URGENT: usize = 3;
    let sections = [
        section("Gates so far", gates(run, columns)),
        section("Notes", notes(run)),
        section("GPUs", gpus(run)),
        section("Phases", other_phases(run)),
        section("Hosts", hosts(run)),
    ];
    let least = |section: &Vec<String>| section.len().min(3) + 1;
    let mut screen = top;
    let mut left = rows.saturating_sub(screen.len() + 1);
    for (position, section) in sections.iter().enumerate() {
        // A heading, a line, and the blank one after them.
        if section.is_empty() || left < 3 {
            continue;
        }
        let others = sections[..URGENT].iter().skip(position + 1);
        let others = others.filter(|other| !other.is_empty());
        let kept: usize = others.map(least).sum();
        let most = left.saturating_sub(kept).max(least(section)).min(left) - 1;
        let shown = shorten(section, most);
        left -= shown.len() + 1;
        screen.extend(shown);
        screen.push(String::new());
    }
    screen.truncate(rows.saturating_sub(1));
    screen.resize(rows.saturating_sub(1), String::new());
    screen.push(footer);
    screen
        .iter()
        .map(|line| truncate_str(line, columns, "…").into_owned())
        .collect()
}

fn section(title: &str, lines: Vec<String>) -> Vec<String> {
    if lines.is_empty() {
        return lines;
    }
    let mut all = vec![format!("{BOLD}{title}{BOLD:#}")];
    all.extend(lines);
    all
}

/// At most so many lines; the last one says how many are missing.
fn shorten(lines: &[String], most: usize) -> Vec<String> {
    if lines.len() <= most {
        return lines.to_vec();
    }
    let shown = most.saturating_sub(1);
    let mut short = lines[..shown].to_vec();
    short.push(format!("{DIM}… {} more{DIM:#}", lines.len() - shown));
    short
}

fn clock(seconds: u64) -> String {
    if seconds == 0 {
        return "0 s".to_owned();
    }
    units::duration(Duration::from_secs(seconds))
}

fn header(run: &LiveRun, columns: usize) -> String {
    let left = format!(
        "{BOLD}{}{BOLD:#}  {}",
        one_line(&run.scenario),
        one_line(&run.target)
    );
    ends(&left, &clock(run.seconds), columns)
}

/// One text at each end of a line.
fn ends(left: &str, right: &str, columns: usize) -> String {
    let room = columns.saturating_sub(measure_text_width(right) + 1);
    let left = truncate_str(left, room, "…");
    format!("{} {right}", pad_str(&left, room, Alignment::Left, None))
}

fn running_phase(phase: &LivePhase, columns: usize) -> Vec<String> {
    let info = &phase.info;
    let (position, length) = phase.position();
    let how_far = if info.count.is_some() {
        format!("{} of {}", units::count(position), units::count(length))
    } else if position > length {
        "waiting for what is in flight".to_owned()
    } else {
        let what = if phase.is_warming_up() {
            "warming up, "
        } else {
            ""
        };
        format!("{what}{} of {}", clock(position), clock(length))
    };
    let title = format!(
        "{BOLD}{}{BOLD:#}  {}",
        one_line(&info.name),
        info.load.describe()
    );
    let share = position as f64 / length.max(1) as f64;
    let total = phase.measured.total();
    let latency = |quantile: f64| {
        total
            .response
            .quantile_ns(quantile)
            .map_or_else(|| "–".to_owned(), |ns| units::seconds(ns as f64 / 1e9))
    };
    let rate = match phase.measured_ns() {
        0 => "–".to_owned(),
        window => format!(
            "{}/s",
            units::number(per_second(total.response.count(), window))
        ),
    };
    let mut lines = vec![
        ends(&title, &how_far, columns),
        bar(share, columns),
        charted("rate", &rate, &phase.rate, columns),
        charted("p50", &latency(0.5), &phase.p50, columns),
        charted("p99", &latency(0.99), &phase.p99, columns),
    ];
    let mut now = format!("in flight {}", units::count(phase.in_flight));
    if phase.waiting > 0 {
        now.push_str(&format!(
            ", waiting in line {}",
            units::count(phase.waiting)
        ));
    }
    match failures(phase) {
        Some(failures) => lines.extend([now, failures]),
        None => lines.push(now + ", no errors"),
    }
    lines
}

/// What did not succeed, by kind.
fn failures(phase: &LivePhase) -> Option<String> {
    let outcomes = phase.measured.total().outcomes;
    if outcomes.not_ok() == 0 {
        return None;
    }
    let share = units::percent(outcomes.not_ok() as f64 / outcomes.total() as f64);
    let kinds: Vec<String> = outcomes
        .iter()
        .filter(|(outcome, _)| *outcome != Outcome::Ok)
        .map(|(outcome, count)| format!("{} {}", units::count(count), outcome.as_str()))
        .collect();
    Some(format!("{BAD}{share} not ok{BAD:#}: {}", kinds.join(", ")))
}

fn bar(share: f64, columns: usize) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share between 0 and 1 of the columns"
    )]
    let full = ((share.clamp(0.0, 1.0) * columns as f64).round() as usize).min(columns);
    format!(
        "{LINE}{}{LINE:#}{DIM}{}{DIM:#}",
        "━".repeat(full),
        "─".repeat(columns - full)
    )
}

/// A value so far, and how it went by the second, from zero to its highest.
fn charted(name: &str, value: &str, past: &Past, columns: usize) -> String {
    const NAME: usize = 5;
    const VALUE: usize = 11;
    const HIGHEST: usize = 14;
    let points = past.columns(columns.saturating_sub(NAME + VALUE + HIGHEST));
    let highest = points.iter().copied().fold(0.0, f64::max);
    let blocks: String = points.iter().map(|point| block(point / highest)).collect();
    let highest = match (points.is_empty(), name) {
        (true, _) => String::new(),
        (false, "rate") => format!("max {}/s", units::number(highest)),
        (false, _) => format!("max {}", units::seconds(highest)),
    };
    format!("{name:NAME$}{value:VALUE$}{LINE}{blocks}{LINE:#} {DIM}{highest}{DIM:#}")
}

fn gates(run: &LiveRun, columns: usize) -> Vec<String> {
    // Those of phases that are over move no more.
    let is_over = |gate: &&LiveGate| {
        gate.phase
            .is_some_and(|phase| run.phases[phase].progress == Progress::Ended)
    };
    let (over, open): (Vec<_>, Vec<_>) = run.gates.iter().partition(is_over);
    let rows: Vec<(String, Standing)> = open
        .into_iter()
        .chain(over)
        .map(|gate| {
            let mut name = one_line(&gate.text);
            if let Some(phase) = gate.phase {
                name.push_str(&format!(" ({})", one_line(&run.phases[phase].info.name)));
            }
            (name, gate.standing(&run.phases))
        })
        .collect();
    let widest = rows.iter().map(|(name, _)| measure_text_width(name)).max();
    let width = widest.unwrap_or(0).min(columns * 3 / 5);
    rows.iter()
        .map(|(name, standing)| {
            let name = truncate_str(name, width, "…");
            let name = pad_str(&name, width, Alignment::Left, None);
            // Words beside the colour: it must be readable without.
            let (word, style, text) = match standing {
                Standing::Within(text) => ("within", GOOD, text.as_str()),
                Standing::Beyond(text) => ("beyond", BAD, text.as_str()),
                Standing::Nothing => ("no data", DIM, ""),
                Standing::AtTheEnd => ("at the end", DIM, ""),
            };
            format!("{name}  {style}{word}{style:#}  {text}")
                .trim_end()
                .to_owned()
        })
        .collect()
}

fn gpus(run: &LiveRun) -> Vec<String> {
    const BAR: usize = 20;
    run.newest("gpu.utilization")
        .map(|(gpu, utilization)| {
            let of = |metric: &str| {
                let mut all = run.newest(metric);
                all.find_map(|(instance, value)| (instance == gpu).then_some(value))
            };
            let mut parts = vec![format!(
                "{:3} {} {:>4.0} %",
                one_line(gpu),
                bar(utilization, BAR),
                utilization * 100.0
            )];
            if let Some(used) = of("gpu.memory.used") {
                parts.push(units::bytes(used));
            }
            if let Some(power) = of("gpu.power") {
                parts.push(format!("{power:.0} W"));
            }
            if let Some(temperature) = of("gpu.temperature") {
                parts.push(format!("{temperature:.0} °C"));
            }
            if of("gpu.throttled").is_some_and(|share| share > 0.0) {
                parts.push(format!("{BAD}throttled{BAD:#}"));
            }
            parts.join("  ")
        })
        .collect()
}

fn hosts(run: &LiveRun) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some(cpu) = run.mean_of_newest("host.cpu") {
        parts.push(format!("host CPU {}", units::percent(cpu)));
    }
    if let Some(memory) = run.mean_of_newest("target.memory") {
        parts.push(format!("target memory {}", units::bytes(memory)));
    }
    if let Some(memory) = run.mean_of_newest("generator.memory") {
        parts.push(format!("bench memory {}", units::bytes(memory)));
    }
    if parts.is_empty() {
        return parts;
    }
    vec![parts.join("  ")]
}

fn notes(run: &LiveRun) -> Vec<String> {
    const NEWEST: usize = 3;
    let newest = run.notes.iter().rev().take(NEWEST);
    newest.map(|note| one_line(note)).collect()
}

/// The phases that do not run: how they ended, or that they come.
fn other_phases(run: &LiveRun) -> Vec<String> {
    let of = |phase: &LivePhase| match phase.progress {
        Progress::Running => None,
        Progress::Ended => Some(super::lines::describe_end(phase)),
        Progress::Waiting => Some(format!(
            "{DIM}to come: {}, {}{DIM:#}",
            phase.info.load.describe(),
            super::lines::planned(&phase.info)
        )),
    };
    let width = run.phases.iter().map(|phase| phase.info.name.len()).max();
    let width = width.unwrap_or(0);
    run.phases
        .iter()
        .filter_map(|phase| {
            let name = one_line(&phase.info.name);
            of(phase).map(|text| format!("{name:width$}  {text}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Entry;
    use crate::report::sample;
    use anstream::adapter::strip_str;

    /// The sample run in the 20th second of its second phase.
    fn run() -> LiveRun {
        let mut entries = sample::prod_entries().into_iter();
        let Some(Entry::RunStarted(header)) = entries.next() else {
            panic!("a journal begins with the header");
        };
        let mut run = LiveRun::new(&header);
        let (samples, load): (Vec<_>, Vec<_>) =
            entries.partition(|entry| matches!(entry, Entry::Samples(_)));
        let so_far = load.iter().take_while(|entry| {
            !matches!(entry, Entry::Interval { phase: 1, interval } if interval.index >= 20)
        });
        so_far.chain(&samples).for_each(|entry| run.entry(entry));
        run.entry(&Entry::Doubt(crate::record::Doubt::ClockStep {
            at_ns: 0,
            by_ms: -1200,
        }));
        run
    }

    fn plain(run: &LiveRun, columns: usize, rows: usize) -> Vec<String> {
        let lines = lines(run, columns, rows);
        lines
            .iter()
            .map(|line| strip_str(line).to_string())
            .collect()
    }

    #[test]
    fn a_terminal_of_80_by_24_shows_what_matters() {
        let screen = plain(&run(), 80, 24);
        assert_eq!(screen.len(), 24);
        let text = screen.join("\n");
        for shown in [
            "prod  http://10.0.0.7:8000",
            "c1000  1000 concurrent",
            "20 s of 35 s",
            "rate 2282/s",
            "in flight 1000\n0.955 % not ok: 170 bad status, 79 timed out",
            "response.p99 < 100ms (c1000)   beyond  99.9 % over, 1.00 % allowed",
            "gpu.utilization > 70% (c1000)  beyond  64.7 %",
            "more\n\nNotes\n",
            "the wall clock",
            "GPUs\n0 ",
            "Ctrl-C: stop and wait",
        ] {
            assert!(text.contains(shown), "{shown} is not in\n{text}");
        }
        // The gates of the phase that runs come before those of the one that is over.
        let of = |gate: &str| text.find(gate).unwrap_or(usize::MAX);
        assert!(of("(c1000)  ") < of("(c100)"), "{text}");
    }

    #[test]
    fn whatever_the_terminal_is_nothing_sticks_out() {
        let run = run();
        for (columns, rows) in [(80, 24), (200, 60), (60, 15), (30, 8), (10, 3), (1, 1)] {
            let screen = plain(&run, columns, rows);
            assert_eq!(screen.len(), rows, "{columns} by {rows}");
            for line in &screen {
                assert!(measure_text_width(line) <= columns, "{columns}: {line}");
            }
        }
        let tall = plain(&run, 100, 50).join("\n");
        assert!(
            tall.contains("Phases\nc100   ") && tall.contains("Hosts\n"),
            "{tall}"
        );
        assert!(!tall.contains("more"), "{tall}");
    }

    #[test]
    fn before_anything_is_measured_no_gate_stands_anywhere() {
        let mut entries = sample::prod_entries().into_iter();
        let Some(Entry::RunStarted(header)) = entries.next() else {
            panic!("a journal begins with the header");
        };
        let mut run = LiveRun::new(&header);
        run.entry(&Entry::PhaseStarted { phase: 0, at_ns: 0 });
        let text = plain(&run, 80, 30).join("\n");
        assert_eq!(text.matches("no data").count(), 7, "{text}");
        assert!(text.contains("warming up, 0 s of 35 s"), "{text}");
        run.stop = Stop::Drain;
        assert!(plain(&run, 80, 30)[29].starts_with("stopping: "));
    }
}
