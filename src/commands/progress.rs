//! What is shown while a run goes on: a line that is redrawn on a terminal, a line now and then
//! elsewhere. It listens to the entries of the journal and to nothing else.

use super::Output;
use crate::plan::Plan;
use crate::record::{
    Distribution, Doubt, Entry, Interval, Latencies, Outcomes, PackedLatencies, PhaseInfo, Samples,
    SourceInfo, per_second,
};
use crate::units;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::time::Duration;

/// Follows a run.
pub(super) struct Progress {
    output: Output,
    bars: MultiProgress,
    phases: Vec<PhaseInfo>,
    /// The phases that run, by their position in the plan.
    running: BTreeMap<usize, Live>,
    /// Positions of `gpu.utilization` among the series of its source.
    gpu: Option<(usize, Vec<usize>)>,
    gpu_utilization: Option<f64>,
}

/// What is known of a running phase.
#[derive(Default)]
struct Live {
    bar: Option<ProgressBar>,
    response: Latencies,
    outcomes: Outcomes,
    last_ok: u64,
    waiting: u64,
    seconds: u32,
}

/// Elsewhere than on a terminal, a line is printed every so many seconds.
const LINE_EVERY_S: u32 = 10;

impl Progress {
    /// Nothing has begun yet.
    pub(super) fn new(plan: &Plan, output: Output) -> Self {
        let phases: Vec<PhaseInfo> = plan
            .phases
            .iter()
            .map(crate::plan::PhasePlan::info)
            .collect();
        Self {
            output,
            bars: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()),
            phases,
            running: BTreeMap::new(),
            gpu: None,
            gpu_utilization: None,
        }
    }

    /// Takes notice of an entry.
    pub(super) fn entry(&mut self, entry: &Entry) {
        match entry {
            Entry::Sources { sources } => self.gpu = find_gpu(sources),
            Entry::PhaseStarted { phase, .. } => self.start(*phase),
            Entry::Interval { phase, interval } => self.second(*phase, interval),
            Entry::Samples(samples) => self.samples(samples),
            Entry::PhaseEnded {
                phase,
                measured_from_ns,
                measured_to_ns,
                ..
            } => self.end(*phase, measured_to_ns.saturating_sub(*measured_from_ns)),
            Entry::Doubt(doubt) => self.doubt(doubt),
            Entry::RunStarted(_) | Entry::Baseline(_) | Entry::RunEnded { .. } => {}
        }
    }

    fn start(&mut self, phase: usize) {
        let info = &self.phases[phase];
        if !self.output.is_live() {
            let text = format!("{}: {}, {}", info.name, info.load.describe(), planned(info));
            self.output.say(&text);
            self.running.insert(phase, Live::default());
            return;
        }
        let bar = self.bars.add(ProgressBar::new(length(info)));
        let width = self
            .phases
            .iter()
            .map(|info| info.name.len())
            .max()
            .unwrap_or(0);
        let template = format!("{{prefix:{width}}} {{bar:16.cyan/238}} {{msg}}");
        let style = ProgressStyle::with_template(&template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("━━─");
        bar.set_style(style);
        bar.set_prefix(info.name.clone());
        bar.set_message("starting");
        self.running.insert(
            phase,
            Live {
                bar: Some(bar),
                ..Live::default()
            },
        );
    }

    fn second(&mut self, phase: usize, interval: &Interval<PackedLatencies>) {
        let Some(live) = self.running.get_mut(&phase) else {
            return;
        };
        live.seconds = interval.index + 1;
        live.last_ok = 0;
        live.waiting = interval.counts.waiting;
        for population in [&interval.warmup, &interval.measured] {
            for tally in population.requests() {
                live.last_ok += tally.response.count();
            }
        }
        for tally in interval.measured.requests() {
            live.response.merge(&tally.response);
            live.outcomes.merge(&tally.outcomes);
        }
        let info = &self.phases[phase];
        let text = describe(live, info, self.gpu_utilization);
        match &live.bar {
            Some(bar) => {
                let position = match info.count {
                    Some(_) => live.outcomes.total(),
                    None => u64::from(live.seconds),
                };
                bar.set_position(position);
                bar.set_message(text);
            }
            None if live.seconds.is_multiple_of(LINE_EVERY_S) => {
                self.output.say(&format!("{}: {text}", info.name));
            }
            None => {}
        }
    }

    fn samples(&mut self, samples: &Samples) {
        let Some((source, positions)) = &self.gpu else {
            return;
        };
        if samples.source != *source {
            return;
        }
        let latest: Vec<f64> = positions
            .iter()
            .filter_map(|&position| samples.values.get(position)?.last().copied().flatten())
            .collect();
        if !latest.is_empty() {
            self.gpu_utilization = Some(latest.iter().sum::<f64>() / latest.len() as f64);
        }
    }

    fn end(&mut self, phase: usize, measured_ns: u64) {
        let Some(live) = self.running.remove(&phase) else {
            return;
        };
        let text = describe_end(&live, measured_ns);
        if let Some(bar) = live.bar {
            bar.set_position(bar.length().unwrap_or_default());
            bar.abandon_with_message(text);
        } else {
            let name = &self.phases[phase].name;
            self.output.say(&format!("{name}: {text}"));
        }
    }

    fn doubt(&mut self, doubt: &Doubt) {
        let text = format!("note: {doubt}");
        if self.running.values().any(|live| live.bar.is_some()) {
            // A terminal that is gone has no reader.
            let _ = self.bars.println(text);
        } else {
            self.output.say(&text);
        }
    }
}

/// A running phase: the rate of its last second, percentiles of all that was measured.
fn describe(live: &Live, info: &PhaseInfo, gpu_utilization: Option<f64>) -> String {
    let mut parts = vec![units::duration(Duration::from_secs(live.seconds.into()))];
    if u64::from(live.seconds) * 1_000_000_000 <= info.warmup_ns {
        parts.push("warming up".to_owned());
    }
    parts.push(format!("{}/s", units::number(live.last_ok as f64)));
    if live.waiting > 0 {
        parts.push(format!("{} waiting", units::count(live.waiting)));
    }
    parts.extend(percentiles_and_failures(live));
    if let Some(utilization) = gpu_utilization {
        parts.push(format!("GPU {:.0} %", utilization * 100.0));
    }
    parts.join("  ")
}

/// A phase that has ended: its rate over the measured window.
fn describe_end(live: &Live, measured_ns: u64) -> String {
    let rate = per_second(live.response.count(), measured_ns);
    let mut parts = vec![
        format!("{} requests", units::count(live.outcomes.total())),
        format!("{}/s", units::number(rate)),
    ];
    parts.extend(percentiles_and_failures(live));
    parts.join("  ")
}

fn percentiles_and_failures(live: &Live) -> Vec<String> {
    let mut parts = Vec::new();
    for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
        if let Some(value) = live.response.quantile_ns(quantile) {
            parts.push(format!("{name} {}", units::seconds(value as f64 / 1e9)));
        }
    }
    let failed = live.outcomes.not_ok();
    if failed > 0 {
        let share = failed as f64 / live.outcomes.total() as f64;
        parts.push(format!("{} failed", units::percent(share)));
    }
    parts
}

fn find_gpu(sources: &[SourceInfo]) -> Option<(usize, Vec<usize>)> {
    let source = sources.iter().position(|source| source.name == "gpu")?;
    let positions = sources[source]
        .series
        .iter()
        .enumerate()
        .filter(|(_, series)| series.metric == "gpu.utilization")
        .map(|(position, _)| position)
        .collect();
    Some((source, positions))
}

/// The length of the bar: seconds, or requests where the phase ends by count.
fn length(info: &PhaseInfo) -> u64 {
    info.count.unwrap_or_else(|| {
        (info.warmup_ns + info.duration_ns.unwrap_or_default()).div_ceil(1_000_000_000)
    })
}

fn planned(info: &PhaseInfo) -> String {
    let seconds = |ns: u64| units::duration(Duration::from_nanos(ns));
    let measured = match (info.duration_ns, info.count) {
        (Some(duration), _) => seconds(duration),
        (None, Some(count)) => format!("{} requests", units::count(count)),
        (None, None) => String::new(),
    };
    if info.warmup_ns == 0 {
        measured
    } else {
        format!("{} warm-up and {measured}", seconds(info.warmup_ns))
    }
}
