//! What the generator shows of itself in one phase, in a few numbers, and the doubts that come of it.
//!
//! Each number has a limit beyond which gates on requests cannot be judged, and a lower one beyond
//! which the reader is told; `docs/load.md` lists them.

use super::doubt::{
    BUSY_NOTICE, DELAY_NOTICE_NS, Doubt, HELD_NOTICE, LocalResource, NEAR_LIMIT, STOLEN_NOTICE,
    WAITED_NOTICE, held,
};
use super::latencies::Distribution as _;
use super::phase::PhaseRecord;
use super::run::RunRecord;
use super::series::Series;

/// The names of the series that telemetry samples of the generator.
pub mod generator_metric {
    /// CPU time of one worker in cores; an instance for each.
    pub const WORKER_CPU: &str = "generator.worker.cpu";
    /// Share of time in which one worker was ready and had no CPU; an instance for each.
    pub const WORKER_WAIT: &str = "generator.worker.wait";
    /// Open descriptors as a share of those that it may have.
    pub const DESCRIPTORS_USED: &str = "generator.descriptors.used";
    /// Local ports that connections to the target hold, as a share of those that there are.
    pub const PORTS_USED: &str = "generator.ports.used";
}

/// The generator in one phase. `None` stands where nothing is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Instrument {
    /// Share of time in which the busiest worker was busy, in the worst ten seconds.
    pub busiest_worker: f64,
    /// The 99th percentile of how long a ready task waited for its turn, in nanoseconds.
    pub loop_delay_p99_ns: Option<u64>,
    /// CPU time of the worker that used most, in cores, in the worst ten seconds.
    pub worker_cpu: Option<f64>,
    /// Share of time in which the worker that waited most was ready and had no CPU, in the worst ten
    /// seconds.
    pub worker_wait: Option<f64>,
    /// Share of all CPU time that the hypervisor gave to others, in the worst ten seconds.
    pub stolen: Option<f64>,
    /// The largest share of descriptors in use.
    pub descriptors: Option<f64>,
    /// The largest share of local ports in use.
    pub ports: Option<f64>,
    /// Mean requests in flight.
    pub in_flight: f64,
    /// Mean requests with the target, by Little's law; see [`PhaseRecord::mean_at_target`].
    pub at_target: Option<f64>,
    /// How long a request waits in this program on average, in nanoseconds, where that is known.
    pub held_ns: Option<f64>,
}

impl Instrument {
    /// What is known of the generator in the measured window of a phase.
    pub fn of(record: &RunRecord, phase: &PhaseRecord) -> Self {
        // Less than this is no percentile.
        const FEWEST: u64 = 100;
        let (from_ns, to_ns) = (phase.measured_from_ns, phase.measured_to_ns);
        let most = |metric: &str, of: fn(&Series<'_>, u64, u64) -> Option<f64>| {
            record
                .series(metric)
                .filter_map(|series| of(&series, from_ns, to_ns))
                .reduce(f64::max)
        };
        let largest = |series: &Series<'_>, from_ns, to_ns| {
            series.window(from_ns, to_ns).map(|window| window.maximum)
        };
        Self {
            busiest_worker: phase.busiest_worker(),
            loop_delay_p99_ns: (phase.loop_delay.count() >= FEWEST)
                .then(|| phase.loop_delay.quantile_ns(0.99))
                .flatten(),
            worker_cpu: most(generator_metric::WORKER_CPU, worst_stretch),
            worker_wait: most(generator_metric::WORKER_WAIT, worst_stretch),
            stolen: most("host.cpu.steal", worst_stretch),
            descriptors: most(generator_metric::DESCRIPTORS_USED, largest),
            ports: most(generator_metric::PORTS_USED, largest),
            in_flight: phase.mean_in_flight(),
            at_target: phase.mean_at_target().map(|(at_target, _)| at_target),
            held_ns: phase.mean_at_target().map(|(_, held_ns)| held_ns),
        }
    }

    /// What is beyond what the reader should be told.
    pub(super) fn doubts(&self, phase: usize) -> Vec<Doubt> {
        let above = |value: Option<f64>, notice: f64| value.filter(|value| *value > notice);
        let mut doubts = Vec::new();
        if let Some(busy) = above(Some(self.busiest_worker), BUSY_NOTICE) {
            doubts.push(Doubt::GeneratorBusy { phase, busy });
        }
        if let Some(delay_p99_ns) = self.loop_delay_p99_ns.filter(|ns| *ns > DELAY_NOTICE_NS) {
            doubts.push(Doubt::GeneratorDelayed {
                phase,
                delay_p99_ns,
            });
        }
        if let Some(waited) = above(self.worker_wait, WAITED_NOTICE) {
            doubts.push(Doubt::GeneratorStarved { phase, waited });
        }
        if let Some(stolen) = above(self.stolen, STOLEN_NOTICE) {
            doubts.push(Doubt::CpuStolen { phase, stolen });
        }
        if let (Some(at_target), Some(held_ns)) = (self.at_target, self.held_ns)
            && held(self.in_flight, at_target) > HELD_NOTICE
        {
            doubts.push(Doubt::GeneratorHolds {
                phase,
                in_flight: self.in_flight,
                at_target,
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "it is above the usual, and a float cast saturates"
                )]
                held_ns: held_ns as u64,
            });
        }
        for (resource, used) in [
            (LocalResource::Descriptors, self.descriptors),
            (LocalResource::Ports, self.ports),
        ] {
            if let Some(used) = above(used, NEAR_LIMIT) {
                doubts.push(Doubt::GeneratorNearLimit {
                    phase,
                    resource,
                    used,
                });
            }
        }
        doubts
    }
}

/// The highest mean of any ten seconds in a row, or of the whole stretch where that is shorter.
fn worst_stretch(series: &Series<'_>, from_ns: u64, to_ns: u64) -> Option<f64> {
    const WIDTH_NS: u64 = 10_000_000_000;
    let points: Vec<(u64, f64)> = series
        .points()
        // A value tells of the time before it: what was sampled at the very begin is not of the window.
        .filter(|(at, _)| (from_ns + series.period_ns / 2..=to_ns).contains(at))
        .collect();
    let (last, _) = points.last()?;
    let mut worst: Option<f64> = None;
    let (mut first, mut sum) = (0, 0.0);
    for (index, (at, value)) in points.iter().enumerate() {
        sum += value;
        while at - points[first].0 >= WIDTH_NS {
            sum -= points[first].1;
            first += 1;
        }
        let is_wide = at - from_ns >= WIDTH_NS || at == last;
        if is_wide {
            let mean = sum / (index + 1 - first) as f64;
            worst = Some(worst.map_or(mean, |worst| worst.max(mean)));
        }
    }
    worst
}

impl PhaseRecord {
    /// Mean requests that were with the target in the measured window: throughput × mean service time
    /// (Little 1961), service time ending with the kernel's receipt where that is known. The rest of
    /// those in flight waits in this program; how long each does so on average, in nanoseconds, stands
    /// beside it.
    ///
    /// `None` where it would mislead: where requests failed, where connections were opened all the
    /// time, where a request takes a good part of the window, and where what the generator adds is less
    /// than a millisecond for each request, which is its usual work.
    pub fn mean_at_target(&self) -> Option<(f64, f64)> {
        const FAILED: f64 = 0.01;
        const OPENED: f64 = 0.01;
        const LONG: f64 = 0.05;
        const USUAL_NS: f64 = 1e6;
        let (window_ns, total) = (self.measured_ns() as f64, &self.total);
        let ended = total.outcomes.total() as f64;
        let sum_ns = total.service.mean_ns()? * total.service.count() as f64;
        let in_flight = self.mean_in_flight();
        let at_target = sum_ns / window_ns.max(1.0);
        let own_ns = (in_flight - at_target) * window_ns / ended;
        let is_telling = window_ns > 0.0
            && in_flight > 0.0
            && total.outcomes.not_ok() as f64 <= FAILED * ended
            && self.connections.opened as f64 <= OPENED * ended
            && total.service.mean_ns()? <= LONG * window_ns
            && own_ns >= USUAL_NS;
        is_telling.then_some((at_target, own_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::super::series::SeriesInfo;
    use super::*;

    const S: u64 = 1_000_000_000;

    fn worst(value: impl Fn(u64) -> f64, from_s: u64, to_s: u64) -> Option<f64> {
        let info = SeriesInfo::new(generator_metric::WORKER_WAIT, "0");
        let at_ns: Vec<u64> = (0..120).map(|half| half * S / 2).collect();
        let values: Vec<Option<f64>> = (0..120).map(|half| Some(value(half))).collect();
        let series = Series {
            info: &info,
            period_ns: S / 2,
            at_ns: &at_ns,
            values: &values,
        };
        worst_stretch(&series, from_s * S, to_s * S)
    }

    #[test]
    fn the_worst_ten_seconds_count() {
        // Bad from 20 s to 25 s: half of the worst ten seconds.
        let bad = |half: u64| f64::from(u8::from((41..=50).contains(&half)));
        assert_eq!(worst(bad, 0, 60), Some(0.5));
        // A window of five seconds is judged as a whole.
        assert_eq!(worst(bad, 20, 25), Some(1.0));
        assert_eq!(worst(bad, 30, 60), Some(0.0));
        assert_eq!(worst(|_| 0.3, 70, 80), None);
    }

    #[test]
    fn what_is_within_its_bounds_is_no_doubt() {
        let calm = Instrument {
            busiest_worker: 0.3,
            loop_delay_p99_ns: Some(200_000),
            worker_cpu: Some(0.3),
            worker_wait: Some(0.01),
            stolen: Some(0.0),
            descriptors: Some(0.1),
            ports: None,
            in_flight: 100.0,
            at_target: Some(99.0),
            held_ns: Some(1_200_000.0),
        };
        assert_eq!(calm.doubts(0), []);
        let told = Instrument {
            busiest_worker: 0.8,
            loop_delay_p99_ns: Some(2_000_000),
            worker_wait: Some(0.2),
            stolen: Some(0.05),
            descriptors: Some(0.9),
            ports: Some(0.85),
            at_target: Some(70.0),
            ..calm.clone()
        };
        assert_eq!(told.doubts(0).len(), 7);
        assert!(!told.doubts(0).iter().any(Doubt::undermines_requests));
        let beyond = Instrument {
            busiest_worker: 0.95,
            loop_delay_p99_ns: Some(7_000_000),
            worker_wait: Some(0.6),
            stolen: Some(0.2),
            at_target: Some(30.0),
            held_ns: Some(8_000_000.0),
            ..calm
        };
        for doubt in beyond.doubts(0) {
            assert!(doubt.undermines_requests() && doubt.blames_generator());
            let words = doubt.to_string();
            assert!(
                words.starts_with("the generator was the bottleneck: "),
                "{words}"
            );
        }
    }
}
