//! How a made-up run comes about: seconds of load and samples of telemetry, from one seed.
//!
//! Plausible, not true: nothing here models a real service.

use super::{GIB, MS, S};
use crate::record::{
    Cause, Entry, Failure, Header, Interval, Outcome, Sample, Samples, SourceInfo,
};
use rand::RngExt;
use rand_pcg::Pcg64Mcg;

/// How a phase goes.
#[derive(Clone, Copy)]
pub(super) struct Phase {
    pub(super) name: &'static str,
    pub(super) concurrency: u32,
    pub(super) seconds: u64,
    pub(super) rate: f64,
    pub(super) median_ms: f64,
    pub(super) spread: f64,
    pub(super) failures: f64,
    pub(super) timeouts: f64,
    pub(super) busy: f64,
    /// From which second on nothing is answered, and for how long.
    pub(super) stall: Option<(u64, u64)>,
}

/// A journal in the making.
pub(super) struct Story {
    pub(super) entries: Vec<Entry>,
    random: Pcg64Mcg,
    pub(super) now_ns: u64,
    seconds: Vec<(u64, f64)>,
}

impl Story {
    pub(super) fn new(header: Header) -> Self {
        Self {
            entries: vec![Entry::RunStarted(Box::new(header))],
            random: Pcg64Mcg::new(42),
            now_ns: 20 * MS,
            seconds: Vec::new(),
        }
    }

    pub(super) fn sources(&mut self, sources: &[SourceInfo]) {
        let sources = sources.to_vec();
        self.entries.push(Entry::Sources { sources });
    }

    pub(super) fn end(mut self) -> Vec<Entry> {
        let at_ns = self.now_ns;
        self.entries.push(Entry::RunEnded { at_ns });
        self.entries
    }

    /// A number with the given mean and deviation (Box and Muller 1958).
    fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        let radius = (-2.0 * (1.0 - self.random.random::<f64>()).ln()).sqrt();
        let angle = std::f64::consts::TAU * self.random.random::<f64>();
        mean + deviation * radius * angle.cos()
    }

    pub(super) fn phase(&mut self, index: usize, phase: Phase) {
        let Some(Entry::RunStarted(header)) = self.entries.first() else {
            return;
        };
        let warmup_ns = header.phases[index].warmup_ns;
        let n_requests = header.requests.len();
        let started_ns = self.now_ns;
        self.entries.push(Entry::PhaseStarted {
            phase: index,
            at_ns: started_ns,
        });
        let warmup_s = warmup_ns / S;
        let total = warmup_s + phase.seconds;
        // The last second is the drain.
        for second in 0..=total {
            let interval = self.second(phase, second, warmup_s, total, n_requests);
            self.entries.push(Entry::Interval {
                phase: index,
                interval: Box::new(interval.pack()),
            });
        }
        let measured_to_ns = started_ns + total * S;
        self.now_ns = measured_to_ns + 380 * MS;
        self.entries.push(Entry::PhaseEnded {
            phase: index,
            measured_from_ns: started_ns + warmup_ns,
            measured_to_ns,
            at_ns: self.now_ns,
        });
    }

    fn second(
        &mut self,
        phase: Phase,
        second: u64,
        warmup_s: u64,
        total: u64,
        n_requests: usize,
    ) -> Interval {
        let start_ns = self.now_ns + second * S;
        let stalled = phase
            .stall
            .is_some_and(|(from, length)| (from..from + length).contains(&second));
        let after_stall = phase
            .stall
            .is_some_and(|(from, length)| second == from + length);
        let is_drain = second == total;
        // Cold caches: the first seconds of the warm-up are slower.
        let cold = if second < warmup_s.min(3) { 1.6 } else { 1.0 };
        let mean = match (is_drain, stalled) {
            (true, _) => f64::from(phase.concurrency),
            (_, true) => phase.rate * 0.02,
            _ => self.normal(phase.rate / cold, phase.rate * 0.03),
        };
        let mut interval: Interval = Interval {
            index: u32::try_from(second).expect("few seconds"),
            ..Interval::default()
        };
        if !is_drain {
            interval.counts.in_flight = u64::from(phase.concurrency);
        }
        let busy = if stalled { 0.12 } else { phase.busy };
        interval.counts.busiest_ns = whole(self.normal(busy, 0.012).clamp(0.0, 1.0) * S as f64);
        interval.counts.busy_ns = interval.counts.busiest_ns * 3;
        if second == 0 {
            interval.counts.connections.opened = u64::from(phase.concurrency);
            interval.counts.connections.connect.record(420_000);
        }
        for number in 0..whole(mean) {
            let mut sample = self.request(phase, start_ns, cold, number, n_requests);
            if after_stall && number % 8 == 0 {
                // Those that waited through the stall.
                sample.end_ns += 3 * S + whole(self.random.random::<f64>() * 2e8);
            }
            if second >= warmup_s && !is_drain {
                // Every request in flight is with the target, as Little's law has it.
                let taken_ns = sample.sent_ns.unwrap_or(sample.intended_ns);
                interval.counts.in_flight_ns += sample.end_ns.saturating_sub(taken_ns);
            }
            self.count(phase, &mut interval, sample, second < warmup_s);
        }
        interval.counts.overlap_ns = interval.counts.in_flight_ns;
        self.seconds.push((
            start_ns,
            if stalled || is_drain {
                0.05
            } else {
                1.0 / cold
            },
        ));
        interval
    }

    fn request(
        &mut self,
        phase: Phase,
        start_ns: u64,
        cold: f64,
        number: u64,
        n_requests: usize,
    ) -> Sample {
        let request = usize::try_from(number % 5 / 4)
            .expect("0 or 1")
            .min(n_requests - 1);
        let slower = if request == 1 { 1.35 } else { 1.0 };
        let logarithm = self.normal(0.0, phase.spread);
        let tail = if self.random.random::<f64>() < 0.004 {
            2.2
        } else {
            1.0
        };
        let response_ms = phase.median_ms * slower * cold * tail * logarithm.exp();
        let lag_ms = self.normal(0.0, 0.3).abs() * phase.busy * phase.busy;
        let intended_ns = start_ns;
        let sent_ns = intended_ns + whole(lag_ms * 1e6);
        let end_ns = sent_ns + whole(response_ms * 1e6);
        Sample {
            request,
            intended_ns,
            sent_ns: Some(sent_ns),
            first_byte_ns: Some(sent_ns + whole(response_ms * 0.96e6)),
            received_ns: None,
            end_ns,
            outcome: Outcome::Ok,
            stream: None,
        }
    }

    fn count(&mut self, phase: Phase, interval: &mut Interval, mut sample: Sample, warm: bool) {
        let draw = self.random.random::<f64>();
        let (outcome, cause, detail, body) = if draw < phase.failures * 0.7 {
            let body = "<html><body><h1>503</h1><script>alert('x')</script>\n\\xff\\xfe queue full";
            (
                Outcome::BadStatus,
                Cause::Status(503),
                "Service Unavailable",
                body,
            )
        } else if draw < phase.failures {
            (
                Outcome::Reset,
                Cause::ResetByPeer,
                "Connection reset by peer (os error 104)",
                "",
            )
        } else if draw < phase.failures + phase.timeouts {
            (
                Outcome::Timeout,
                Cause::NoAnswer,
                "no answer within 10 s",
                "",
            )
        } else {
            (Outcome::Ok, Cause::RunEnded, "", "")
        };
        sample.outcome = outcome;
        if outcome == Outcome::Timeout {
            sample.end_ns = sample.intended_ns + 10 * S;
        }
        if outcome != Outcome::Ok {
            let failure = Failure {
                cause,
                detail: detail.to_owned(),
                body: body.to_owned(),
            };
            interval
                .counts
                .errors
                .add((sample.request, None), outcome, failure, sample.end_ns);
        }
        interval
            .counts
            .send_lag
            .record(sample.sent_ns.unwrap_or_default() - sample.intended_ns);
        interval.counts.steps.client_queue.record(40_000);
        let population = if warm {
            &mut interval.warmup
        } else {
            &mut interval.measured
        };
        let tally = population.of(sample.request);
        tally.planned += 1;
        tally.finish(&sample);
    }

    /// How hard the target works at a moment.
    fn load_at(&self, at_ns: u64) -> f64 {
        self.seconds
            .iter()
            .rev()
            .find(|(from, _)| *from <= at_ns)
            .map_or(0.02, |(_, load)| *load)
    }

    fn sample_each(
        &mut self,
        source: usize,
        period_ms: u64,
        n_series: usize,
        mut value: impl FnMut(&mut Self, u64, usize) -> f64,
    ) {
        let mut at_ns = Vec::new();
        let mut values = vec![Vec::new(); n_series];
        let mut now = 0;
        while now < self.now_ns {
            at_ns.push(now);
            for (series, values) in values.iter_mut().enumerate() {
                values.push(Some(value(self, now, series)));
            }
            now += period_ms * MS;
        }
        self.entries.push(Entry::Samples(Samples {
            source,
            at_ns,
            values,
        }));
    }

    pub(super) fn gpu_samples(&mut self, index: usize, info: &SourceInfo, utilization: f64) {
        let series = info.series.clone();
        self.sample_each(index, 100, series.len(), |story, now, position| {
            let gpu = (position % 2) as f64;
            let load = story.load_at(now);
            match series[position].metric.as_str() {
                "gpu.utilization" => story
                    .normal(load * (utilization + 0.02 * gpu), 0.05)
                    .clamp(0.0, 1.0),
                "gpu.memory" => story.normal(0.61 + 0.02 * gpu, 0.001),
                "gpu.power" => story.normal(95.0 + 420.0 * load + 8.0 * gpu, 9.0),
                "gpu.clock" => story.normal(1980.0 - 90.0 * load, 8.0),
                _ => story.normal(38.0 + 24.0 * load + 3.0 * gpu, 0.4),
            }
        });
    }

    pub(super) fn target_samples(&mut self, index: usize, start_gib: f64) {
        let end_ns = self.now_ns as f64;
        self.sample_each(index, 500, 2, |story, now, position| {
            let load = if story.seconds.len() > 1000 {
                1.0
            } else {
                story.load_at(now)
            };
            match position {
                0 => story.normal(0.1 + 3.4 * load, 0.08).max(0.0),
                _ => (start_gib + 0.3 * now as f64 / end_ns) * GIB + story.normal(0.0, 4e6),
            }
        });
    }

    pub(super) fn host_samples(&mut self, index: usize) {
        self.sample_each(index, 1000, 3, |story, now, position| match position {
            0 => story
                .normal(0.06 + 0.5 * story.load_at(now), 0.02)
                .clamp(0.0, 1.0),
            1 => story.normal(0.34, 0.001),
            _ => 0.62,
        });
    }

    pub(super) fn generator_samples(&mut self, index: usize) {
        self.sample_each(index, 1000, 2, |story, now, position| match position {
            0 => story
                .normal(0.05 + 0.4 * story.load_at(now), 0.01)
                .clamp(0.0, 1.0),
            _ => 0.061 * GIB + story.normal(0.0, 1e5),
        });
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "invented values are small and not negative"
)]
fn whole(value: f64) -> u64 {
    value.max(0.0).round() as u64
}
