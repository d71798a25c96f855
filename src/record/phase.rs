//! What happened in one phase, and in each second of it.

use super::doubt::{Doubt, LAG_LIMIT_NS, UNSENT_LIMIT};
use super::journal::{PartIndex, PhaseInfo};
use super::latencies::{Distribution as _, Latencies};
use super::outcome::Cause;
use super::packed::PackedLatencies;
use super::steadiness;
use super::steps::Steps;
use super::tally::{Connections, Counts, Errors, Interval, Population, RequestTally};
use crate::gate::LatencyKind;
use std::panic::resume_unwind;

/// What happened in one phase.
#[derive(Clone, Debug, PartialEq)]
pub struct PhaseRecord {
    /// Which phase of the header.
    pub index: usize,
    /// What was going to happen.
    pub info: PhaseInfo,
    /// When it began, in nanoseconds since the start of the run.
    pub started_ns: u64,
    /// Begin of the measured window.
    pub measured_from_ns: u64,
    /// End of the measured window.
    pub measured_to_ns: u64,
    /// When its last request was over; `None` when the run ended before that.
    pub ended_ns: Option<u64>,
    /// Requests of the warm-up, summed up.
    pub warmup: Population,
    /// Requests and flows of the measured window, summed up.
    pub measured: Population,
    /// Steps of the flows of the measured window, summed up.
    pub flow_steps: Population,
    /// All of `measured` as one.
    pub total: RequestTally,
    /// Connections, summed up.
    pub connections: Connections,
    /// Errors, summed up.
    pub errors: Errors,
    /// Being taken up to actual send, less the time to connect, summed up.
    pub send_lag: Latencies,
    /// Where the time of requests went, summed up.
    pub steps: Steps,
    /// Intended start to the decision to send, summed up; empty in a closed loop.
    pub lateness: Latencies,
    /// How long a task of a worker that was ready waited for its turn, summed up.
    pub loop_delay: Latencies,
    /// What was counted in each second.
    pub intervals: Vec<PhaseInterval>,
}

/// One second of a phase.
#[derive(Clone, Debug, PartialEq)]
pub struct PhaseInterval {
    /// When it began, in nanoseconds since the start of the run.
    pub from_ns: u64,
    /// All measured requests as one.
    pub measured: RequestTally<PackedLatencies>,
    /// The measured requests by kind.
    pub by_request: Population<PackedLatencies>,
    /// The steps of measured flows.
    pub flow_steps: Population<PackedLatencies>,
    /// All requests of the warm-up as one.
    pub warmup: RequestTally<PackedLatencies>,
    /// The requests of the warm-up by kind.
    pub warmup_by_request: Population<PackedLatencies>,
    /// What concerns both.
    pub counts: Counts<PackedLatencies>,
}

/// Histograms of many seconds, summed up.
#[derive(Default)]
struct Sums {
    warmup: Population,
    measured: Population,
    flow_steps: Population,
    send_lag: Latencies,
    steps: Steps,
    lateness: Latencies,
    loop_delay: Latencies,
}

impl Sums {
    /// The sums of these seconds. A night has a hundred thousand histograms: halves of a long phase are summed
    /// up side by side.
    fn of(seconds: &[PhaseInterval]) -> Self {
        const LONG: usize = 1000;
        if seconds.len() < LONG {
            return Self::one_by_one(seconds);
        }
        let (first, rest) = seconds.split_at(seconds.len() / 2);
        std::thread::scope(|scope| {
            let rest = scope.spawn(|| Self::one_by_one(rest));
            let mut sums = Self::one_by_one(first);
            sums.merge(&rest.join().unwrap_or_else(|panic| resume_unwind(panic)));
            sums
        })
    }

    fn one_by_one(seconds: &[PhaseInterval]) -> Self {
        let mut sums = Self::default();
        seconds.iter().for_each(|second| sums.add(second));
        sums
    }

    fn add(&mut self, second: &PhaseInterval) {
        self.warmup.merge(&second.warmup_by_request);
        self.measured.merge(&second.by_request);
        self.flow_steps.merge(&second.flow_steps);
        self.send_lag.merge(&second.counts.send_lag);
        self.steps.merge(&second.counts.steps);
        self.lateness.merge(&second.counts.lateness);
        self.loop_delay.merge(&second.counts.loop_delay);
    }

    fn merge(&mut self, other: &Self) {
        self.warmup.merge(&other.warmup);
        self.measured.merge(&other.measured);
        self.flow_steps.merge(&other.flow_steps);
        self.send_lag.merge(&other.send_lag);
        self.steps.merge(&other.steps);
        self.lateness.merge(&other.lateness);
        self.loop_delay.merge(&other.loop_delay);
    }
}

impl PhaseInterval {
    /// The measured requests of one kind, or all of them; `None` where that kind did not occur.
    pub fn of(&self, part: Option<PartIndex>) -> Option<&RequestTally<PackedLatencies>> {
        match part {
            None => Some(&self.measured),
            Some(PartIndex::Unit(unit)) => self.by_request.requests().get(unit),
            Some(PartIndex::Step(step)) => self.flow_steps.requests().get(step),
        }
    }

    /// A count of all requests of one kind, or of all, that ended in this second, whenever they began: a rate
    /// is about the second and not about its requests. Of steps only those of measured flows are known.
    pub fn ended(
        &self,
        part: Option<PartIndex>,
        count: impl Fn(&RequestTally<PackedLatencies>) -> u64,
    ) -> u64 {
        let of_warmup = match part {
            None => Some(&self.warmup),
            Some(PartIndex::Unit(unit)) => self.warmup_by_request.requests().get(unit),
            Some(PartIndex::Step(_)) => None,
        };
        [self.of(part), of_warmup]
            .into_iter()
            .flatten()
            .map(count)
            .sum()
    }
}

impl PhaseRecord {
    pub(super) fn new(index: usize, info: PhaseInfo, started_ns: u64) -> Self {
        let measured_from_ns = started_ns + info.warmup_ns;
        Self {
            index,
            measured_from_ns,
            measured_to_ns: measured_from_ns,
            info,
            started_ns,
            ended_ns: None,
            warmup: Population::default(),
            measured: Population::default(),
            flow_steps: Population::default(),
            total: RequestTally::default(),
            connections: Connections::default(),
            errors: Errors::default(),
            send_lag: Latencies::default(),
            steps: Steps::default(),
            lateness: Latencies::default(),
            loop_delay: Latencies::default(),
            intervals: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, second: Interval<PackedLatencies>) {
        self.connections.merge(&second.counts.connections);
        self.errors.merge(second.counts.errors.clone());
        self.intervals.push(PhaseInterval {
            from_ns: self.started_ns + u64::from(second.index) * INTERVAL_NS,
            by_request: second.measured.clone(),
            flow_steps: second.flow_steps,
            measured: second.measured.into_total(),
            warmup_by_request: second.warmup.clone(),
            warmup: second.warmup.into_total(),
            counts: second.counts,
        });
    }

    pub(super) fn intervals_end_ns(&self) -> u64 {
        self.intervals
            .last()
            .map_or(self.started_ns, |interval| interval.from_ns + INTERVAL_NS)
    }

    pub(super) fn close(&mut self, run_ended_ns: u64) {
        let sums = Sums::of(&self.intervals);
        self.warmup = sums.warmup;
        self.measured = sums.measured;
        self.flow_steps = sums.flow_steps;
        self.send_lag = sums.send_lag;
        self.steps = sums.steps;
        self.lateness = sums.lateness;
        self.loop_delay = sums.loop_delay;
        self.total = self.measured.total();
        if self.ended_ns.is_none() {
            // Cut off: what is known of the window ends with the last second on disk.
            let planned = self.info.duration_ns.map_or(u64::MAX, |duration| {
                self.measured_from_ns.saturating_add(duration)
            });
            self.measured_to_ns = self
                .intervals_end_ns()
                .min(run_ended_ns)
                .min(planned)
                .max(self.measured_from_ns);
        }
    }

    /// The phase without what ended before this moment of its measured window. Whatever is not about
    /// measured requests is left out.
    #[must_use]
    pub fn later(&self, from_ns: u64) -> Self {
        let mut later = Self::new(self.index, self.info.clone(), self.started_ns);
        later.measured_from_ns = from_ns.clamp(self.measured_from_ns, self.measured_to_ns);
        later.measured_to_ns = self.measured_to_ns;
        later.ended_ns = self.ended_ns;
        let rest = |interval: &&PhaseInterval| interval.from_ns >= later.measured_from_ns;
        later.intervals = self.intervals.iter().filter(rest).cloned().collect();
        let sums = Sums::of(&later.intervals);
        later.measured = sums.measured;
        later.flow_steps = sums.flow_steps;
        later.total = later.measured.total();
        later
    }

    /// The length of the measured window in nanoseconds.
    pub fn measured_ns(&self) -> u64 {
        self.measured_to_ns.saturating_sub(self.measured_from_ns)
    }

    /// Successful requests per second: the mean of what ended in each whole second of the measured window.
    pub fn throughput(&self) -> f64 {
        self.rate(self.total.response.count(), |tally| tally.response.count())
    }

    /// The mean over the whole seconds of the measured window of what ended in each; where it has none, what
    /// was measured by the length of the window.
    fn rate(&self, measured: u64, count: impl Fn(&RequestTally<PackedLatencies>) -> u64) -> f64 {
        let (mut ended, mut seconds) = (0, 0_u64);
        for second in self.whole_seconds() {
            ended += second.ended(None, &count);
            seconds += 1;
        }
        if seconds == 0 {
            return per_second(measured, self.measured_ns());
        }
        ended as f64 / seconds as f64
    }

    /// Requests per second that the schedule of an open loop intended in the measured window; `None`
    /// for a closed loop.
    pub fn offered_rate(&self) -> Option<f64> {
        let rate = self.info.load.rate()?;
        let area = |ns: u64| rate.area(ns.saturating_sub(self.started_ns));
        let intended = area(self.measured_to_ns) - area(self.measured_from_ns);
        Some(intended / (self.measured_ns().max(1) as f64 / 1e9))
    }

    /// The 99th percentile of what the generator itself adds before a request of an open loop is on its
    /// way, in nanoseconds: how late the schedule was kept, or how long a request then took to be
    /// written. `None` for a closed loop, whose requests leave when there is time for them, and where
    /// there are too few to tell.
    pub fn own_lag_p99_ns(&self) -> Option<u64> {
        const FEWEST: u64 = 100;
        if !self.info.load.is_open() {
            return None;
        }
        [&self.lateness, &self.send_lag]
            .into_iter()
            .filter(|lag| lag.count() >= FEWEST)
            .filter_map(|lag| lag.quantile_ns(0.99))
            .max()
    }

    /// Requests that failed because this machine had no descriptor or port for them.
    fn unsent_here(&self) -> u64 {
        self.errors
            .by_frequency()
            .into_iter()
            .filter(|error| error.key.cause == Cause::LocalLimit)
            .map(|error| error.count)
            .sum()
    }

    /// Requests per second that succeeded and met every objective, as [`throughput`] counts them; `None` where
    /// the phase has none.
    ///
    /// [`throughput`]: PhaseRecord::throughput
    pub fn goodput(&self) -> Option<f64> {
        let has_objectives = !self.info.slo.is_empty();
        has_objectives.then(|| self.rate(self.total.good, |tally| tally.good))
    }

    /// Output tokens that came per second of the measured window, of all streams: events with tokens
    /// as they came, times the tokens that one carried on average. `None` without streams or without
    /// a whole second.
    pub fn tokens_per_second(&self) -> Option<f64> {
        let per_event = self.total.streams.tokens_per_event()?;
        let (mut events, mut seconds) = (0, 0u64);
        for second in self.whole_seconds() {
            events += second.counts.token_events;
            seconds += 1;
        }
        (seconds > 0).then(|| events as f64 * per_event / seconds as f64)
    }

    /// The seconds that lie in the measured window as a whole.
    pub fn whole_seconds(&self) -> impl Iterator<Item = &PhaseInterval> {
        self.intervals.iter().filter(|interval| {
            interval.from_ns >= self.measured_from_ns
                && interval.from_ns + INTERVAL_NS <= self.measured_to_ns
        })
    }

    /// Mean requests in flight in the measured window.
    pub fn mean_in_flight(&self) -> f64 {
        let sum: u64 = self.intervals.iter().map(|i| i.counts.in_flight_ns).sum();
        sum as f64 / self.measured_ns().max(1) as f64
    }

    /// The same, by adding up how long each request took.
    fn summed_in_flight(&self) -> f64 {
        let sum: u64 = self.intervals.iter().map(|i| i.counts.overlap_ns).sum();
        sum as f64 / self.measured_ns().max(1) as f64
    }

    /// Share of time in which the busiest worker was busy: the highest of any ten seconds in a row,
    /// or of the whole phase where that is shorter.
    pub fn busiest_worker(&self) -> f64 {
        const SECONDS: usize = 10;
        let measured: Vec<f64> = self
            .whole_seconds()
            .map(|interval| interval.counts.busiest_ns as f64 / INTERVAL_NS as f64)
            .collect();
        let width = SECONDS.min(measured.len()).max(1);
        measured
            .windows(width)
            .map(|window| window.iter().sum::<f64>() / width as f64)
            .fold(0.0, f64::max)
    }

    /// The measured requests of one kind, or all of them; `None` where that kind did not occur.
    pub fn of(&self, part: Option<PartIndex>) -> Option<&RequestTally> {
        match part {
            None => Some(&self.total),
            Some(PartIndex::Unit(unit)) => self.measured.requests().get(unit),
            Some(PartIndex::Step(step)) => self.flow_steps.requests().get(step),
        }
    }

    /// The latencies of successful requests of one kind.
    pub fn latencies(&self, kind: LatencyKind) -> &Latencies {
        self.total.latencies(kind)
    }

    pub(super) fn doubts(&self) -> Vec<Doubt> {
        let mut doubts = Vec::new();
        let phase = self.index;
        let (planned, ended) = (self.total.planned, self.total.outcomes.total());
        let steps = self.flow_steps.total();
        let (steps, steps_ended) = (steps.planned, steps.outcomes.total());
        if self.ended_ns.is_some() && (planned, steps) != (ended, steps_ended) {
            doubts.push(Doubt::BooksOpen {
                phase,
                planned: planned + steps,
                ended: ended + steps_ended,
            });
        }
        if let Some(lag_p99_ns) = self.own_lag_p99_ns()
            && lag_p99_ns > LAG_LIMIT_NS
        {
            doubts.push(Doubt::GeneratorLate {
                phase,
                lag_p99_ns,
                limit_ns: LAG_LIMIT_NS,
            });
        }
        let unsent = self.unsent_here();
        let attempted = planned + self.warmup.total().planned;
        if unsent as f64 > UNSENT_LIMIT * attempted as f64 {
            doubts.push(Doubt::GeneratorShort {
                phase,
                planned: attempted,
                unsent,
            });
        }
        doubts.extend(steadiness::doubts(self));
        let (counted, summed) = (self.mean_in_flight(), self.summed_in_flight());
        if self.ended_ns.is_some() && counted > 0.0 && (summed / counted - 1.0).abs() > 0.005 {
            doubts.push(Doubt::LittleMismatch {
                phase,
                counted,
                summed,
            });
        }
        doubts
    }
}

/// The length of one interval: a second.
pub const INTERVAL_NS: u64 = 1_000_000_000;

/// A count per second over a time in nanoseconds.
pub fn per_second(count: u64, over_ns: u64) -> f64 {
    if over_ns == 0 {
        0.0
    } else {
        count as f64 / (over_ns as f64 / 1e9)
    }
}
