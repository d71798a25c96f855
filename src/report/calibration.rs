//! What a machine can generate, in words.

use super::console::{print, table};
use crate::record::{Calibration, CalibrationStep, LoadUnit};
use crate::units;

/// A calibration as text for a terminal of so many columns; the last line is the summary.
pub fn calibration_text(found: &Calibration, width: usize) -> String {
    let head = [
        "Load",
        "Throughput",
        "Late p50",
        "p99",
        "Ready waited p99",
        "Busiest",
        "",
    ];
    let mut rows = table(&head, 1, width);
    let steps = |unit: LoadUnit, steps: &[CalibrationStep]| -> Vec<Vec<String>> {
        steps.iter().map(|step| row(unit, step)).collect()
    };
    let all = steps(LoadUnit::Rate, &found.rates)
        .into_iter()
        .chain(steps(LoadUnit::Concurrency, &found.users));
    for cells in all {
        rows.add_row(cells);
    }
    let mut text = print(&rows);
    text.push_str("\n\n");
    let short = found
        .rates
        .iter()
        .chain(&found.users)
        .filter_map(|step| step.short_of.as_deref().map(|why| (step.level, why)));
    for (level, why) in short {
        text.push_str(&format!("{}: {why}\n", units::number(level)));
    }
    if let Some((p50, p99)) = found.floor_ns {
        text.push_str(&format!(
            "A single user sees {} at p50 and {} at p99 at the least.\n",
            time(p50),
            time(p99)
        ));
    }
    text.push_str(&format!(
        "100 users that never pause reach {}/s.\n",
        units::number(found.closed_loop_rps)
    ));
    if found.cut_short {
        text.push_str("The time ran out before everything was tried.\n");
    }
    text.push_str(&format!("{}\n", calibration_line(found)));
    text
}

/// The ceilings in one line.
pub fn calibration_line(found: &Calibration) -> String {
    let ceiling = |unit: LoadUnit| found.ceiling(unit);
    let rate = ceiling(LoadUnit::Rate).map_or_else(
        || "no rate without a doubt".to_owned(),
        |rate| format!("{}/s", units::number(rate)),
    );
    let users = ceiling(LoadUnit::Concurrency).map_or_else(
        || "no number of users without a doubt".to_owned(),
        |users| format!("{} concurrent", units::number(users)),
    );
    let workers = found.workers;
    format!(
        "This machine can generate at least {rate} and {users}, with {workers} worker{} beside a server of its own",
        if workers == 1 { "" } else { "s" }
    )
}

/// The contents of `calibration.json`.
pub fn calibration_json(found: &Calibration) -> String {
    let mut text = serde_json::to_string_pretty(found).unwrap_or_default();
    text.push('\n');
    text
}

/// One step in a line, said when it is over.
pub fn calibration_step_line(unit: LoadUnit, step: &CalibrationStep) -> String {
    let late = step.lateness_ns.map_or_else(String::new, |(p50, p99)| {
        format!(", late {} / {}", time(p50), time(p99))
    });
    let held = step.short_of.as_deref().unwrap_or("held");
    format!(
        "{}: {}/s, busiest worker {}{late}: {held}",
        unit.describe(step.level),
        units::number(step.throughput_rps),
        units::percent(step.busiest_worker)
    )
}

fn row(unit: LoadUnit, step: &CalibrationStep) -> Vec<String> {
    let nothing = || super::rows::NOTHING.to_owned();
    vec![
        unit.describe(step.level),
        format!("{}/s", units::number(step.throughput_rps)),
        step.lateness_ns.map_or_else(nothing, |(p50, _)| time(p50)),
        step.lateness_ns.map_or_else(nothing, |(_, p99)| time(p99)),
        step.loop_delay_p99_ns.map_or_else(nothing, time),
        units::percent(step.busiest_worker),
        if step.short_of.is_none() {
            "held".to_owned()
        } else {
            "no".to_owned()
        },
    ]
}

fn time(ns: u64) -> String {
    units::seconds(ns as f64 / 1e9)
}
