//! What a machine can generate, in words.

use super::console::{print, table};
use crate::record::{
    Calibration, CalibrationStep, EVENTS_PER_SECOND, KindCalibration, LoadUnit, TrafficKind,
};
use crate::units;

/// A calibration as text for a terminal of so many columns; the last line is the summary.
pub fn calibration_text(found: &Calibration, width: usize) -> String {
    let mut text = String::new();
    for kind in &found.kinds {
        text.push_str(&kind_text(kind, width));
        text.push('\n');
    }
    if found.cut_short {
        text.push_str("The time ran out before everything was tried.\n");
    }
    text.push_str(&format!("{}\n", calibration_line(found)));
    text
}

fn kind_text(found: &KindCalibration, width: usize) -> String {
    let head = [
        found.kind.words(),
        "Throughput",
        "Late p50",
        "p99",
        "Ready waited p99",
        "Busiest",
        "",
    ];
    let mut rows = table(&head, 1, width);
    for (unit, step) in steps(found) {
        rows.add_row(row(unit, step));
    }
    let mut text = print(&rows);
    text.push('\n');
    for (unit, step) in steps(found) {
        if let Some(why) = &step.short_of {
            text.push_str(&format!("{}: {why}\n", unit.describe(step.level)));
        }
    }
    if let Some((p50, p99)) = found.floor_ns {
        text.push_str(&format!(
            "A single user sees {} at p50 and {} at p99 at the least.\n",
            time(p50),
            time(p99)
        ));
    }
    if let Some(rps) = found.closed_loop_rps {
        text.push_str(&format!(
            "100 users that never pause reach {}/s.\n",
            units::number(rps)
        ));
    }
    text
}

fn steps(found: &KindCalibration) -> impl Iterator<Item = (LoadUnit, &CalibrationStep)> {
    let rates = found.rates.iter().map(|step| (LoadUnit::Rate, step));
    let users = found.users.iter().map(|step| (LoadUnit::Concurrency, step));
    rates.chain(users)
}

/// The ceilings in one line.
pub fn calibration_line(found: &Calibration) -> String {
    let ceiling = |kind: TrafficKind, unit: LoadUnit| found.of(kind)?.ceiling(unit);
    let rate = |kind: TrafficKind| {
        let held = ceiling(kind, LoadUnit::Rate);
        held.map(|rate| format!("{}/s", units::number(rate)))
    };
    let plain = rate(TrafficKind::Http1).unwrap_or_else(|| "no rate without a doubt".to_owned());
    let users = ceiling(TrafficKind::Http1, LoadUnit::Concurrency).map_or_else(
        || "no number of users without a doubt".to_owned(),
        |users| format!("{} concurrent", units::number(users)),
    );
    let mut others = String::new();
    if let Some(rate) = rate(TrafficKind::Tls) {
        others.push_str(&format!(", {rate} over TLS"));
    }
    if let Some(rate) = rate(TrafficKind::Http2) {
        others.push_str(&format!(", {rate} over HTTP/2"));
    }
    if let Some(streams) = ceiling(TrafficKind::Streams, LoadUnit::Concurrency) {
        others.push_str(&format!(
            ", {} streams of {EVENTS_PER_SECOND} events a second",
            units::number(streams)
        ));
    }
    let workers = found.workers;
    format!(
        "This machine can generate at least {plain} and {users}{others}, with {workers} worker{} beside a server of its own",
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
pub fn calibration_step_line(kind: TrafficKind, unit: LoadUnit, step: &CalibrationStep) -> String {
    let late = step.lateness_ns.map_or_else(String::new, |(p50, p99)| {
        format!(", late {} / {}", time(p50), time(p99))
    });
    let held = step.short_of.as_deref().unwrap_or("held");
    format!(
        "{}, {}: {}/s, busiest worker {}{late}: {held}",
        kind.words(),
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
