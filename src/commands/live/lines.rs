//! A line for each phase: redrawn on a terminal, printed now and then elsewhere.

use super::state::{LivePhase, LiveRun};
use crate::commands::Output;
use crate::record::{Distribution as _, Entry, PhaseInfo, per_second};
use crate::units;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::time::Duration;

/// Elsewhere than on a terminal, a line is printed every so many seconds.
const LINE_EVERY_S: u32 = 10;

pub(super) struct Lines {
    output: Output,
    bars: MultiProgress,
    /// Those of the phases that run, where lines can be redrawn.
    open: BTreeMap<usize, ProgressBar>,
}

impl Lines {
    pub(super) fn new(output: Output) -> Self {
        Self {
            output,
            bars: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()),
            open: BTreeMap::new(),
        }
    }

    /// Shows what an entry has changed.
    pub(super) fn entry(&mut self, entry: &Entry, run: &LiveRun) {
        match entry {
            Entry::PhaseStarted { phase, .. } => self.start(*phase, run),
            Entry::Interval { phase, .. } => self.second(*phase, run),
            Entry::PhaseEnded { phase, .. } => self.end(*phase, &run.phases[*phase]),
            Entry::Doubt(doubt) => self.note(&format!("note: {doubt}")),
            _ => {}
        }
    }

    fn start(&mut self, phase: usize, run: &LiveRun) {
        let info = &run.phases[phase].info;
        if !self.output.is_live() {
            let text = format!("{}: {}, {}", info.name, info.load.describe(), planned(info));
            self.output.say(&text);
            return;
        }
        let bar = self.bars.add(ProgressBar::new(0));
        let names = run.phases.iter().map(|phase| phase.info.name.len());
        let width = names.max().unwrap_or(0);
        let template = format!("{{prefix:{width}}} {{bar:16.cyan/238}} {{msg}}");
        let style = ProgressStyle::with_template(&template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("━━─");
        bar.set_style(style);
        bar.set_prefix(info.name.clone());
        bar.set_message("starting");
        self.open.insert(phase, bar);
    }

    fn second(&mut self, phase: usize, run: &LiveRun) {
        let live = &run.phases[phase];
        let text = describe(live, run.mean_of_newest("gpu.utilization"));
        match self.open.get(&phase) {
            Some(bar) => {
                let (position, length) = live.position();
                bar.set_length(length);
                bar.set_position(position);
                bar.set_message(text);
            }
            None if live.seconds.is_multiple_of(LINE_EVERY_S) => {
                self.output.say(&format!("{}: {text}", live.info.name));
            }
            None => {}
        }
    }

    fn end(&mut self, phase: usize, live: &LivePhase) {
        let text = describe_end(live);
        if let Some(bar) = self.open.remove(&phase) {
            bar.set_position(bar.length().unwrap_or_default());
            bar.abandon_with_message(text);
        } else {
            self.output.say(&format!("{}: {text}", live.info.name));
        }
    }

    fn note(&self, text: &str) {
        if self.open.is_empty() {
            self.output.say(text);
        } else {
            // A terminal that is gone has no reader.
            let _ = self.bars.println(text);
        }
    }
}

/// A running phase: the rate of its last second, percentiles of all that was measured.
fn describe(live: &LivePhase, gpu_utilization: Option<f64>) -> String {
    let mut parts = vec![units::duration(Duration::from_secs(live.seconds.into()))];
    if live.is_warming_up() {
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
pub(super) fn describe_end(live: &LivePhase) -> String {
    let total = live.measured.total();
    let rate = per_second(total.response.count(), live.measured_ns());
    let mut parts = vec![
        format!("{} requests", units::count(total.outcomes.total())),
        format!("{}/s", units::number(rate)),
    ];
    parts.extend(percentiles_and_failures(live));
    parts.join("  ")
}

fn percentiles_and_failures(live: &LivePhase) -> Vec<String> {
    let total = live.measured.total();
    let mut parts = Vec::new();
    for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
        if let Some(value) = total.response.quantile_ns(quantile) {
            parts.push(format!("{name} {}", units::seconds(value as f64 / 1e9)));
        }
    }
    let failed = total.outcomes.not_ok();
    if failed > 0 {
        let share = failed as f64 / total.outcomes.total() as f64;
        parts.push(format!("{} failed", units::percent(share)));
    }
    parts
}

/// How long a phase is, in words.
pub(super) fn planned(info: &PhaseInfo) -> String {
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
