//! What else was wrong while a gate was missed: GPUs, replicas, the generator.

use super::{Cause, Explanation, Look};
use crate::gate::Metric;
use crate::record::{Doubt, Window};
use crate::units;
use crate::verdict::Verdict;

/// Held back for this share of the time, a GPU is worth a word.
const THROTTLED: f64 = 0.05;
/// A GPU below this, while another is above four times as much, had nothing to do.
const IDLE: f64 = 0.2;

impl Look<'_> {
    /// What else was wrong while the gate was missed.
    pub(super) fn circumstances(&self) -> Vec<Explanation> {
        let mut all = Vec::new();
        let nothing_over = self
            .result
            .share
            .is_some_and(|share| share.over_at_most == 0);
        if nothing_over {
            return all;
        }
        all.extend(self.throttled());
        all.extend(self.idle_gpu());
        all.extend(self.replica_missing());
        // What the generator adds makes latencies longer: a share of a FAIL may be its own.
        let is_slow = self.result.verdict == Verdict::Fail
            && matches!(self.result.gate.gate.metric, Metric::Latency { .. });
        let busy = self.record.doubts.iter().find(|doubt| {
            is_slow && matches!(doubt, Doubt::GeneratorBusy { .. }) && self.concerns(doubt)
        });
        all.extend(busy.map(|doubt| Cause::Generator.because(doubt.to_string())));
        all
    }

    /// Each instance of a metric, over the phases that the gate looks at.
    fn windows(&self, metric: &str) -> Vec<(String, Window)> {
        let phases = || {
            self.subject
                .phases
                .iter()
                .filter(|phase| phase.measured_ns() > 0)
        };
        let from = phases().map(|phase| phase.measured_from_ns).min();
        let to = phases().map(|phase| phase.measured_to_ns).max();
        let (Some(from), Some(to)) = (from, to) else {
            return Vec::new();
        };
        self.record
            .series(metric)
            .filter_map(|series| Some((series.info.instance.clone(), series.window(from, to)?)))
            .collect()
    }

    fn throttled(&self) -> Option<Explanation> {
        let all = self.windows("gpu.throttled");
        let (gpu, window) = all
            .into_iter()
            .max_by(|a, b| a.1.mean.total_cmp(&b.1.mean))?;
        (window.mean > THROTTLED).then(|| {
            Cause::GpuThrottled.because(format!(
                "GPU {gpu} was held back by power, heat or hardware {} of the time",
                units::percent(window.mean)
            ))
        })
    }

    fn idle_gpu(&self) -> Option<Explanation> {
        let all = self.windows("gpu.utilization");
        let by_mean = |a: &&(String, Window), b: &&(String, Window)| a.1.mean.total_cmp(&b.1.mean);
        let (busiest, idlest) = (all.iter().max_by(by_mean)?, all.iter().min_by(by_mean)?);
        let is_idle = idlest.1.mean < IDLE && busiest.1.mean > 4.0 * idlest.1.mean.max(0.05);
        is_idle.then(|| {
            Cause::GpuIdle.because(format!(
                "GPU {} was busy {} of the time while GPU {} was busy {}: a replica is missing, or gets no \
                 requests",
                idlest.0,
                units::percent(idlest.1.mean),
                busiest.0,
                units::percent(busiest.1.mean)
            ))
        })
    }

    fn replica_missing(&self) -> Option<Explanation> {
        let names: Vec<String> = self
            .record
            .sources
            .iter()
            .flat_map(crate::record::Source::all)
            .map(|series| series.info.metric.clone())
            .filter(|metric| super::super::scaling::is_replicas(metric))
            .collect();
        names.iter().find_map(|name| {
            let most = self
                .record
                .series(name)
                .flat_map(|series| series.points().map(|(_, value)| value).collect::<Vec<_>>())
                .fold(0.0, f64::max);
            let (_, window) = self.windows(name).into_iter().next()?;
            (window.maximum < most).then(|| {
                Cause::ReplicaMissing.because(format!(
                    "at most {} replicas were ready, and {} at other times of the run",
                    units::whole(window.maximum),
                    units::whole(most)
                ))
            })
        })
    }
}
