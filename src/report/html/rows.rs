//! The rows of the HTML report's tables.
//!
//! Text only: the template escapes every one of them.

use crate::gate::LatencyKind;
use crate::record::{
    BUSY_NOTICE, Distribution as _, Doubt, PhaseRecord, ReceiveStamps, RunRecord, SourceState,
};
use crate::report::chart::lanes;
use crate::report::rows::{
    LatencyRow, NOTHING, commit, doubt_scope, doubt_weight, duration, series_of, started, steps,
    target, unbroken,
};
use crate::units;
use askama::Template;

/// A name and a value.
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) value: String,
}

impl Fact {
    fn new(name: &'static str, value: impl Into<String>) -> Self {
        Self {
            name,
            value: value.into(),
        }
    }
}

/// What ran, against what, when: the first screen.
pub(super) fn facts(record: &RunRecord) -> Vec<Fact> {
    let header = &record.header;
    let commit = commit(record).unwrap_or_else(|| "not in a git repository".to_owned());
    vec![
        Fact::new("Target", target(record)),
        Fact::new("Started", started(record)),
        Fact::new("Commit", commit),
        Fact::new("Duration", duration(record)),
        Fact::new("Run", header.id.clone()),
        Fact::new("Scenario", header.scenario.file.clone()),
        Fact::new("GPUs", gpus(record)),
        Fact::new("Seed", header.seed.to_string()),
    ]
}

/// The GPUs in few words: `2 × NVIDIA H100 80GB HBM3`.
fn gpus(record: &RunRecord) -> String {
    let mut kinds: Vec<(&str, usize)> = Vec::new();
    for gpu in &record.header.environment.gpus {
        match kinds.iter_mut().find(|(name, _)| *name == gpu.name) {
            Some((_, count)) => *count += 1,
            None => kinds.push((&gpu.name, 1)),
        }
    }
    if kinds.is_empty() {
        return "none seen from here".to_owned();
    }
    let words: Vec<String> = kinds
        .iter()
        .map(|(name, count)| format!("{count} × {name}"))
        .collect();
    words.join(", ")
}

/// A doubt.
pub(super) struct DoubtEntry {
    pub(super) class: &'static str,
    pub(super) scope: String,
    pub(super) text: Coded,
    pub(super) weight: &'static str,
}

/// All doubts, the heaviest first.
pub(super) fn doubts(record: &RunRecord) -> Vec<DoubtEntry> {
    let weight = |doubt: &Doubt| match (doubt.forbids_pass(), doubt.undermines_requests()) {
        (true, _) => 0,
        (false, true) => 1,
        (false, false) => 2,
    };
    let mut doubts: Vec<&Doubt> = record.doubts.iter().collect();
    doubts.sort_by_key(|doubt| weight(doubt));
    doubts
        .into_iter()
        .map(|doubt| DoubtEntry {
            class: if weight(doubt) < 2 { "heavy" } else { "light" },
            scope: doubt_scope(record, doubt).to_owned(),
            text: Coded::of(&doubt.to_string()),
            weight: doubt_weight(doubt),
        })
        .collect()
}

/// One latency of one phase.
pub(super) struct LatencyEntry {
    pub(super) phase: String,
    pub(super) kind: &'static str,
    pub(super) row: LatencyRow,
}

/// Every latency of every phase that has any.
pub(super) fn latencies(record: &RunRecord) -> Vec<LatencyEntry> {
    let rows = record.phases.iter().flat_map(|phase| {
        LatencyKind::ALL
            .into_iter()
            .filter(|kind| !phase.latencies(*kind).is_empty())
            .map(|kind| LatencyEntry {
                phase: phase.info.name.clone(),
                kind: kind.as_str(),
                row: LatencyRow::of(phase.latencies(kind)),
            })
    });
    rows.collect()
}

/// Every step of the requests of every phase that has any.
pub(super) fn step_times(record: &RunRecord) -> Vec<LatencyEntry> {
    let rows = record.phases.iter().flat_map(|phase| {
        steps(&phase.steps)
            .into_iter()
            .filter(|(_, times)| !times.is_empty())
            .map(|(kind, times)| LatencyEntry {
                phase: phase.info.name.clone(),
                kind,
                row: LatencyRow::of(times),
            })
    });
    rows.collect()
}

/// One kind of error.
pub(super) struct ErrorEntry {
    pub(super) count: String,
    pub(super) phase: String,
    pub(super) request: String,
    pub(super) outcome: &'static str,
    pub(super) cause: String,
    pub(super) detail: String,
    pub(super) body: String,
    pub(super) first_at: String,
}

/// Every kind of error of every phase, the most frequent first.
pub(super) fn errors(record: &RunRecord) -> Vec<ErrorEntry> {
    let rows = record.phases.iter().flat_map(|phase| {
        phase
            .errors
            .by_frequency()
            .into_iter()
            .map(|error| ErrorEntry {
                count: units::count(error.count),
                phase: phase.info.name.clone(),
                request: record
                    .name_of(&error.key)
                    .unwrap_or_else(|| NOTHING.to_owned()),
                outcome: error.key.outcome.as_str(),
                cause: error.key.cause.to_string(),
                detail: error.detail.clone(),
                body: error.body.clone(),
                first_at: units::seconds(error.first_ns as f64 / 1e9),
            })
    });
    rows.collect()
}

/// One source of telemetry.
pub(super) struct SourceRow {
    pub(super) name: String,
    pub(super) state: String,
    pub(super) simulated: bool,
    pub(super) period: String,
    pub(super) samples: String,
    pub(super) series: String,
}

/// Every source of telemetry.
pub(super) fn sources(record: &RunRecord) -> Vec<SourceRow> {
    record
        .sources
        .iter()
        .map(|source| {
            let series: Vec<String> = source.info.series.iter().map(ToString::to_string).collect();
            SourceRow {
                name: source.info.name.clone(),
                state: match &source.info.state {
                    SourceState::Present => "present".to_owned(),
                    SourceState::Off => "switched off in the scenario".to_owned(),
                    SourceState::Unavailable(reason) => format!("unavailable: {reason}"),
                },
                simulated: source.info.simulated,
                period: units::seconds(source.info.period_ns as f64 / 1e9),
                samples: units::count(source.at_ns.len() as u64),
                series: if series.is_empty() {
                    NOTHING.to_owned()
                } else {
                    series.join(", ")
                },
            }
        })
        .collect()
}

/// One series in the measured window of one phase.
pub(super) struct WindowRow {
    pub(super) phase: String,
    pub(super) series: String,
    pub(super) mean: String,
    pub(super) minimum: String,
    pub(super) maximum: String,
    pub(super) coverage: String,
}

/// Every series in every measured window.
pub(super) fn windows(record: &RunRecord) -> Vec<WindowRow> {
    let mut rows = Vec::new();
    for phase in record.phases.iter().filter(|phase| phase.measured_ns() > 0) {
        for source in &record.sources {
            for series in series_of(source) {
                let unit = lanes::unit(series.info);
                let window = series.window(phase.measured_from_ns, phase.measured_to_ns);
                let shown = |value: Option<f64>| {
                    value.map_or_else(|| NOTHING.to_owned(), |value| unit.show(value))
                };
                rows.push(WindowRow {
                    phase: phase.info.name.clone(),
                    series: series.info.to_string(),
                    mean: shown(window.as_ref().map(|window| window.mean)),
                    minimum: shown(window.as_ref().map(|window| window.minimum)),
                    maximum: shown(window.as_ref().map(|window| window.maximum)),
                    coverage: units::percent(window.map_or(0.0, |window| window.coverage)),
                });
            }
        }
    }
    rows
}

/// What the instrument shows of itself in one phase.
pub(super) struct InstrumentRow {
    pub(super) phase: String,
    pub(super) busiest: String,
    pub(super) is_busy: bool,
    pub(super) lateness: LatencyRow,
    pub(super) lag: LatencyRow,
    pub(super) client_queue: String,
    pub(super) mean_in_flight: String,
    pub(super) planned: String,
    /// How many of them came to an end.
    pub(super) accounted: String,
    pub(super) is_open: bool,
    pub(super) little: &'static str,
    pub(super) opened: String,
    pub(super) reopened: String,
    pub(super) failed: String,
    pub(super) connect_p99: String,
}

/// What the instrument shows of itself.
pub(super) fn instruments(record: &RunRecord) -> Vec<InstrumentRow> {
    record
        .phases
        .iter()
        .map(|phase| InstrumentRow::of(record, phase))
        .collect()
}

impl InstrumentRow {
    fn of(record: &RunRecord, phase: &PhaseRecord) -> Self {
        let little_fails = record.doubts.iter().any(|doubt| {
            matches!(doubt, Doubt::LittleMismatch { phase: index, .. } if *index == phase.index)
        });
        let busy = phase.busiest_worker();
        let (planned, ended) = (phase.total.planned, phase.total.outcomes.total());
        Self {
            phase: phase.info.name.clone(),
            busiest: units::percent(busy),
            is_busy: busy > BUSY_NOTICE,
            lateness: LatencyRow::of(&phase.lateness),
            lag: LatencyRow::of(&phase.send_lag),
            client_queue: match phase.steps.receive_stamps() {
                ReceiveStamps::Kernel => LatencyRow::of(&phase.steps.client_queue).p99,
                ReceiveStamps::Program => "not known".to_owned(),
            },
            mean_in_flight: units::number(phase.mean_in_flight()),
            planned: units::count(planned),
            accounted: units::count(ended),
            is_open: planned != ended,
            little: match (phase.ended_ns, little_fails) {
                (None, _) => "not checked",
                (_, true) => "does not hold",
                (_, false) => "holds",
            },
            opened: units::count(phase.connections.opened),
            reopened: units::count(phase.connections.reopened),
            failed: units::count(phase.connections.failed),
            connect_p99: LatencyRow::of(&phase.connections.connect).p99,
        }
    }
}

/// Where the run took place.
pub(super) fn environment(record: &RunRecord) -> Vec<Fact> {
    let environment = &record.header.environment;
    let mut facts = vec![
        Fact::new("bench", environment.bench_version.clone()),
        Fact::new("Host", environment.host.clone()),
        Fact::new("Kernel", environment.kernel.clone()),
        Fact::new(
            "CPU",
            format!(
                "{}, {} usable",
                environment.cpu,
                units::count(environment.cpus as u64)
            ),
        ),
        Fact::new(
            "CPU quota",
            environment
                .cpu_quota
                .clone()
                .unwrap_or_else(|| "none".to_owned()),
        ),
        Fact::new("Memory", units::bytes(environment.memory_bytes as f64)),
        Fact::new(
            "Clock source",
            environment
                .clock_source
                .clone()
                .unwrap_or_else(|| "not known".to_owned()),
        ),
        Fact::new("Load workers", record.header.workers.to_string()),
        Fact::new(
            "Request timeout",
            units::seconds(record.header.target.timeout_ns as f64 / 1e9),
        ),
        Fact::new(
            "GPU driver",
            environment
                .gpu_driver
                .clone()
                .unwrap_or_else(|| "none".to_owned()),
        ),
    ];
    facts.extend(environment.gpus.iter().map(|gpu| {
        let value = format!(
            "{}: {}, {}, {}, {}",
            gpu.index,
            gpu.name,
            units::bytes(gpu.memory_bytes as f64),
            gpu.pci_bus_id,
            gpu.uuid
        );
        Fact::new("GPU", value)
    }));
    if let Some(compute) = &environment.compute {
        facts.push(Fact::new("Reference API", compute.describe()));
    }
    let achieved = crate::report::rows::achieved(record).into_iter();
    facts.extend(
        achieved.map(|(phase, work)| Fact::new("Work of the GPU", format!("{phase}: {work}"))),
    );
    facts
}

/// A text in which backticks mark code: it prints itself escaped, with the code marked up.
#[derive(Template)]
#[template(
    source = "{% for (is_code, text) in pieces %}{% if *is_code %}<code>{{ text }}</code>{% else %}{{ text }}{% endif %}{% endfor %}",
    ext = "html"
)]
pub(super) struct Coded {
    pieces: Vec<(bool, String)>,
}

impl Coded {
    pub(super) fn of(text: &str) -> Self {
        let text = unbroken(text);
        let pieces = text
            .split('`')
            .enumerate()
            .map(|(index, piece)| (index % 2 == 1, piece.to_owned()))
            .filter(|(_, piece)| !piece.is_empty());
        Self {
            pieces: pieces.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn backticks_mark_code() {
        assert_eq!(
            Coded::of("`a < b` & c").to_string(),
            "<code>a &#60; b</code> &#38; c"
        );
        assert_eq!(Coded::of("").to_string(), "");
    }

    #[test]
    fn the_heaviest_doubt_comes_first() {
        let (mut record, _) = sample::prod().clone();
        record.doubts.push(Doubt::Interrupted { at_ns: 5 });
        let doubts = doubts(&record);
        assert_eq!(doubts[0].class, "heavy");
        assert_eq!(doubts[0].scope, "run");
        assert_eq!(doubts.len(), record.doubts.len());
        assert!(doubts.iter().any(|doubt| doubt.scope == "c1000"));
    }

    #[test]
    fn gpus_of_one_kind_are_counted() {
        assert_eq!(gpus(&sample::prod().0), "2 × NVIDIA H100 80GB HBM3");
    }
}
