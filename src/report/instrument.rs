//! The generator's own numbers in words, for the views for people.

use super::rows::{LatencyRow, NOTHING};
use crate::record::{Doubt, Instrument, PhaseRecord, RunRecord};
use crate::units;

/// What the generator and its machine showed in one phase, in words.
pub(super) struct MachineRow {
    pub(super) phase: String,
    pub(super) loop_delay: LatencyRow,
    pub(super) worker_cpu: String,
    pub(super) worker_wait: String,
    pub(super) stolen: String,
    pub(super) descriptors: String,
    pub(super) ports: String,
    pub(super) in_flight: String,
    pub(super) at_target: String,
    /// Whether ready tasks waited too long, a CPU was missing, or taken.
    pub(super) is_delayed: bool,
    pub(super) is_starved: bool,
    pub(super) is_stolen: bool,
    pub(super) is_held: bool,
}

/// Every phase that was measured, in words.
pub(super) fn machines(record: &RunRecord) -> Vec<MachineRow> {
    let measured = record.phases.iter().filter(|phase| phase.measured_ns() > 0);
    measured
        .map(|phase| MachineRow::of(record, phase))
        .collect()
}

impl MachineRow {
    fn of(record: &RunRecord, phase: &PhaseRecord) -> Self {
        let seen = Instrument::of(record, phase);
        let has = |is: fn(&Doubt) -> bool| {
            let of_phase = |doubt: &&Doubt| doubt.phase() == Some(phase.index);
            record.doubts.iter().filter(of_phase).any(is)
        };
        Self {
            phase: phase.info.name.clone(),
            loop_delay: LatencyRow::of(&phase.loop_delay),
            worker_cpu: share(seen.worker_cpu),
            worker_wait: share(seen.worker_wait),
            stolen: share(seen.stolen),
            descriptors: share(seen.descriptors),
            ports: share(seen.ports),
            in_flight: units::number(seen.in_flight),
            at_target: seen
                .at_target
                .map_or_else(|| "all".to_owned(), units::number),
            is_delayed: has(|doubt| matches!(doubt, Doubt::GeneratorDelayed { .. })),
            is_starved: has(|doubt| matches!(doubt, Doubt::GeneratorStarved { .. })),
            is_stolen: has(|doubt| matches!(doubt, Doubt::CpuStolen { .. })),
            is_held: has(|doubt| matches!(doubt, Doubt::GeneratorHolds { .. })),
        }
    }
}

fn share(value: Option<f64>) -> String {
    value.map_or_else(|| NOTHING.to_owned(), units::percent)
}

/// The worst of all phases in one line; `None` where nothing was measured.
pub(super) fn worst_line(record: &RunRecord) -> Option<String> {
    let all: Vec<Instrument> = record
        .phases
        .iter()
        .filter(|phase| phase.measured_ns() > 0)
        .map(|phase| Instrument::of(record, phase))
        .collect();
    let most = |of: fn(&Instrument) -> Option<f64>| all.iter().filter_map(of).reduce(f64::max);
    let parts = [
        ("busiest worker", most(|seen| Some(seen.busiest_worker))),
        ("no CPU for", most(|seen| seen.worker_wait)),
        ("CPU stolen", most(|seen| seen.stolen)),
        ("descriptors", most(|seen| seen.descriptors)),
        ("ports", most(|seen| seen.ports)),
    ];
    let mut words: Vec<String> = parts
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name} {}", units::percent(value?))))
        .collect();
    if let Some(ns) = all.iter().filter_map(|seen| seen.loop_delay_p99_ns).max() {
        let text = format!(
            "ready tasks waited {} at p99",
            units::seconds(ns as f64 / 1e9)
        );
        words.insert(1, text);
    }
    (!words.is_empty()).then(|| format!("Generator at worst: {}", words.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn one_line_has_the_worst_of_all_phases() {
        let line = worst_line(&sample::prod().0).unwrap();
        assert!(
            line.starts_with("Generator at worst: busiest worker 7"),
            "{line}"
        );
        assert_eq!(worst_line(&sample::preflight_failed().0), None);
    }

    #[test]
    fn what_is_not_known_is_said() {
        let rows = machines(&sample::prod().0);
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].ports, NOTHING);
        assert!(!rows[0].is_starved);
    }
}
