//! What is known of a run while it goes on: a fold over the journal's entries whose size does not grow
//! with the run.

use super::gates::{LiveGate, live_gates};
use super::past::{Join, Past};
use crate::engine::ports::Stop;
use crate::record::{
    Distribution as _, Entry, Header, Interval, PackedLatencies, PhaseInfo, Population, Samples,
    SeriesInfo,
};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

const SECOND_NS: u64 = 1_000_000_000;
/// How many notes are kept.
const NOTES: usize = 100;

/// A run that goes on.
#[derive(Default)]
pub(super) struct LiveRun {
    pub(super) scenario: String,
    pub(super) target: String,
    /// All phases of the plan.
    pub(super) phases: Vec<LivePhase>,
    /// All gates of the plan.
    pub(super) gates: Vec<LiveGate>,
    /// The newest value of each series, by metric and instance.
    pub(super) newest: BTreeMap<(String, String), f64>,
    /// The newest notes, the oldest first.
    pub(super) notes: VecDeque<String>,
    /// Seconds since the start of the run.
    pub(super) seconds: u64,
    /// Whether it was told to stop.
    pub(super) stop: Stop,
    series: Vec<Vec<SeriesInfo>>,
}

/// How far a phase is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Waiting,
    Running,
    Ended,
}

/// A phase of a run that goes on.
pub(super) struct LivePhase {
    pub(super) info: PhaseInfo,
    pub(super) progress: Progress,
    pub(super) seconds: u32,
    /// What was measured so far.
    pub(super) measured: Population,
    /// The steps of flows among it.
    pub(super) flow_steps: Population,
    /// Successful requests in the last second.
    pub(super) last_ok: u64,
    pub(super) in_flight: u64,
    pub(super) waiting: u64,
    pub(super) rate: Past,
    pub(super) p50: Past,
    pub(super) p99: Past,
    started_ns: u64,
    /// The measured window; without an end as long as it goes on.
    window_ns: Range<u64>,
}

impl LivePhase {
    fn new(info: &PhaseInfo) -> Self {
        Self {
            info: info.clone(),
            progress: Progress::Waiting,
            seconds: 0,
            measured: Population::default(),
            flow_steps: Population::default(),
            last_ok: 0,
            in_flight: 0,
            waiting: 0,
            rate: Past::new(Join::Mean),
            p50: Past::new(Join::Maximum),
            p99: Past::new(Join::Maximum),
            started_ns: 0,
            window_ns: 0..0,
        }
    }

    /// Whether nothing has been measured yet.
    pub(super) fn is_warming_up(&self) -> bool {
        u64::from(self.seconds) * SECOND_NS <= self.info.warmup_ns
    }

    /// The measured window so far, in nanoseconds.
    pub(super) fn measured_ns(&self) -> u64 {
        if self.progress == Progress::Ended {
            return self.window_ns.end.saturating_sub(self.window_ns.start);
        }
        let so_far = (u64::from(self.seconds) * SECOND_NS).saturating_sub(self.info.warmup_ns);
        so_far.min(self.info.duration_ns.unwrap_or(u64::MAX))
    }

    /// How far it is and how long it is: in requests where it ends by count, else in seconds.
    pub(super) fn position(&self) -> (u64, u64) {
        let info = &self.info;
        match info.count {
            Some(count) => (self.measured.total().outcomes.total(), count),
            None => (
                u64::from(self.seconds),
                (info.warmup_ns + info.duration_ns.unwrap_or_default()).div_ceil(SECOND_NS),
            ),
        }
    }

    fn second(&mut self, interval: &Interval<PackedLatencies>) {
        self.seconds = interval.index + 1;
        self.waiting = interval.counts.waiting;
        self.in_flight = interval.counts.in_flight;
        let mut second = Population::default();
        second.merge(&interval.warmup);
        second.merge(&interval.measured);
        let response = second.total().response;
        self.last_ok = response.count();
        self.rate.push(self.last_ok as f64);
        for (past, quantile) in [(&mut self.p50, 0.5), (&mut self.p99, 0.99)] {
            if let Some(value) = response.quantile_ns(quantile) {
                past.push(value as f64 / 1e9);
            }
        }
        self.measured.merge(&interval.measured);
        self.flow_steps.merge(&interval.flow_steps);
    }
}

impl LiveRun {
    pub(super) fn new(header: &Header) -> Self {
        Self {
            scenario: header.scenario.name.clone(),
            target: header.target.url.clone(),
            phases: header.phases.iter().map(LivePhase::new).collect(),
            gates: live_gates(header),
            ..Self::default()
        }
    }

    /// Takes notice of an entry.
    pub(super) fn entry(&mut self, entry: &Entry) {
        match entry {
            Entry::Sources { sources } => {
                self.series = sources.iter().map(|source| source.series.clone()).collect();
            }
            Entry::PhaseStarted { phase, at_ns } => {
                let phase = &mut self.phases[*phase];
                phase.progress = Progress::Running;
                phase.started_ns = *at_ns;
                phase.window_ns = at_ns + phase.info.warmup_ns..u64::MAX;
            }
            Entry::Interval { phase, interval } => {
                let phase = &mut self.phases[*phase];
                phase.second(interval);
                let at = phase.started_ns / SECOND_NS + u64::from(phase.seconds);
                self.seconds = self.seconds.max(at);
            }
            Entry::Samples(samples) => self.samples(samples),
            Entry::PhaseEnded {
                phase,
                measured_from_ns,
                measured_to_ns,
                ..
            } => {
                let phase = &mut self.phases[*phase];
                phase.progress = Progress::Ended;
                phase.window_ns = *measured_from_ns..*measured_to_ns;
            }
            Entry::Doubt(doubt) => self.note(doubt.to_string()),
            Entry::Login(login) => {
                if let Some(failure) = &login.failure {
                    self.note(format!("no token could be had: {}", failure.detail));
                }
            }
            Entry::RunStarted(_) | Entry::Baseline(_) | Entry::RunEnded { .. } => {}
        }
    }

    fn note(&mut self, text: String) {
        if self.notes.len() == NOTES {
            self.notes.pop_front();
        }
        self.notes.push_back(text);
    }

    fn samples(&mut self, samples: &Samples) {
        let Some(series) = self.series.get(samples.source) else {
            return;
        };
        for (info, values) in series.iter().zip(&samples.values) {
            let mut known = samples
                .at_ns
                .iter()
                .zip(values)
                .filter_map(|(&at, value)| value.map(|value| (at, value)));
            for (at_ns, value) in known.clone() {
                for gate in &mut self.gates {
                    let counts = |phase: &LivePhase| phase.window_ns.contains(&at_ns);
                    let is_measured = match gate.phase {
                        Some(phase) => counts(&self.phases[phase]),
                        None => self.phases.iter().any(counts),
                    };
                    if is_measured {
                        gate.sample(&info.metric, &info.instance, value);
                    }
                }
            }
            if let Some((_, value)) = known.next_back() {
                let key = (info.metric.clone(), info.instance.clone());
                self.newest.insert(key, value);
            }
        }
    }

    /// The newest values of a metric, by instance.
    pub(super) fn newest<'a>(&'a self, metric: &str) -> impl Iterator<Item = (&'a str, f64)> {
        self.newest
            .range((metric.to_owned(), String::new())..)
            .map(|((name, instance), &value)| (name, instance.as_str(), value))
            .take_while({
                let metric = metric.to_owned();
                move |(name, _, _)| **name == metric
            })
            .map(|(_, instance, value)| (instance, value))
    }

    /// The mean of the newest values of a metric over its instances.
    pub(super) fn mean_of_newest(&self, metric: &str) -> Option<f64> {
        let values: Vec<f64> = self.newest(metric).map(|(_, value)| value).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }
}
