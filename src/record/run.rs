//! The run record: a fold over the journal.
//!
//! After a clean end, after a crash or a year later, [`RunRecord::from_journal`] builds it, and every
//! verdict and report reads nothing else.

use super::doubt::{Doubt, LAG_LIMIT_NS, UNSENT_LIMIT};
use super::figures::{Baseline, RunFigures, differences};
use super::instrument::Instrument;
use super::journal::{Entry, Header, JOURNAL_VERSION, PartIndex, PhaseInfo};
use super::latencies::{Distribution, Latencies};
use super::login::{LoginRecord, longest_lapse};
use super::outcome::Cause;
use super::packed::PackedLatencies;
use super::series::{Series, Source, SourceState};
use super::steadiness;
use super::steps::Steps;
use super::tally::{Connections, Counts, ErrorKey, Errors, Interval, Population, RequestTally};
use crate::gate::LatencyKind;
use crate::stats::{self, ALPHA, Budget, Envelope, Finding, Second};

/// Everything that is known about a run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRecord {
    /// What was going to happen.
    pub header: Header,
    /// What happened in each phase that began.
    pub phases: Vec<PhaseRecord>,
    /// Telemetry.
    pub sources: Vec<Source>,
    /// Every login, in order.
    pub logins: Vec<LoginRecord>,
    /// Whatever weakens the measurement.
    pub doubts: Vec<Doubt>,
    /// The runs that it is compared with, if it is.
    pub baseline: Option<Baseline>,
    /// When the run ended, or the last moment that is known of it, in nanoseconds since its start.
    pub ended_ns: u64,
}

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
    /// What concerns both.
    pub counts: Counts<PackedLatencies>,
}

/// Why a journal is not a run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// It has no entry at all, or does not begin with [`Entry::RunStarted`].
    #[error("the journal does not begin with the start of a run")]
    NoStart,
    /// It was written by a newer version.
    #[error(
        "the journal has version {found}, and this bench reads up to {JOURNAL_VERSION}: use a newer bench"
    )]
    Newer {
        /// The version found.
        found: u32,
    },
    /// An entry contradicts those before it.
    #[error("entry {position} of the journal makes no sense: {reason}")]
    Contradiction {
        /// Its position, from 1.
        position: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl RunRecord {
    /// Builds the record from the entries of a journal.
    ///
    /// # Errors
    /// When the entries are not those of a run. A journal that merely ends too early is one.
    pub fn from_journal(entries: impl IntoIterator<Item = Entry>) -> Result<Self, FoldError> {
        let mut entries = entries.into_iter();
        let Some(Entry::RunStarted(header)) = entries.next() else {
            return Err(FoldError::NoStart);
        };
        if header.version > JOURNAL_VERSION {
            return Err(FoldError::Newer {
                found: header.version,
            });
        }
        let mut record = Self {
            header: *header,
            phases: Vec::new(),
            sources: Vec::new(),
            logins: Vec::new(),
            doubts: Vec::new(),
            baseline: None,
            ended_ns: 0,
        };
        let mut has_end = false;
        for (position, entry) in entries.enumerate() {
            has_end = matches!(entry, Entry::RunEnded { .. });
            record
                .apply(entry)
                .map_err(|reason| FoldError::Contradiction {
                    position: position + 2,
                    reason,
                })?;
        }
        record.close(has_end);
        Ok(record)
    }

    fn apply(&mut self, entry: Entry) -> Result<(), String> {
        match entry {
            Entry::RunStarted(_) => return Err("the run starts twice".to_owned()),
            Entry::Sources { sources } => {
                self.sources = sources.into_iter().map(Source::new).collect();
            }
            Entry::PhaseStarted { phase, at_ns } => {
                let info = self
                    .header
                    .phases
                    .get(phase)
                    .ok_or_else(|| format!("there is no phase {phase}"))?;
                self.phases
                    .push(PhaseRecord::new(phase, info.clone(), at_ns));
                self.seen(at_ns);
            }
            Entry::Interval { phase, interval } => {
                let record = self.phase_mut(phase)?;
                record.add(*interval);
                let end = record.intervals_end_ns();
                self.seen(end);
            }
            Entry::Samples(samples) => {
                if let Some(&last) = samples.at_ns.last() {
                    self.seen(last);
                }
                let source = samples.source;
                self.sources
                    .get_mut(source)
                    .ok_or_else(|| format!("there is no telemetry source {source}"))?
                    .append(samples)?;
            }
            Entry::PhaseEnded {
                phase,
                measured_from_ns,
                measured_to_ns,
                at_ns,
            } => {
                let record = self.phase_mut(phase)?;
                record.measured_from_ns = measured_from_ns;
                record.measured_to_ns = measured_to_ns;
                record.ended_ns = Some(at_ns);
                self.seen(at_ns);
            }
            Entry::Baseline(baseline) => self.baseline = Some(*baseline),
            Entry::Login(login) => {
                self.seen(login.at_ns.saturating_add(login.took_ns));
                self.logins.push(login);
            }
            Entry::Doubt(doubt) => self.doubts.push(doubt),
            Entry::RunEnded { at_ns } => self.seen(at_ns),
        }
        Ok(())
    }

    fn phase_mut(&mut self, phase: usize) -> Result<&mut PhaseRecord, String> {
        self.phases
            .iter_mut()
            .find(|record| record.index == phase)
            .ok_or_else(|| format!("phase {phase} has not begun"))
    }

    fn seen(&mut self, at_ns: u64) {
        self.ended_ns = self.ended_ns.max(at_ns);
    }

    /// Adds what only shows when everything is known.
    fn close(&mut self, has_end: bool) {
        let ended_ns = self.ended_ns;
        for phase in &mut self.phases {
            phase.close(ended_ns);
        }
        self.compare_circumstances();
        if let Some((from_ns, for_ns)) = longest_lapse(&self.logins, ended_ns) {
            self.doubts.push(Doubt::TokenLapsed { from_ns, for_ns });
        }
        let derived: Vec<Doubt> = self.phases.iter().flat_map(PhaseRecord::doubts).collect();
        self.doubts.extend(derived);
        let of_instrument: Vec<Doubt> = self
            .phases
            .iter()
            .flat_map(|phase| Instrument::of(self, phase).doubts(phase.index))
            .collect();
        self.doubts.extend(of_instrument);
        for source in &self.sources {
            if source.info.simulated && source.info.state == SourceState::Present {
                self.doubts.push(Doubt::Simulated {
                    source: source.info.name.clone(),
                });
            }
        }
        let compute = self.header.environment.compute.as_ref();
        if compute.is_some_and(|compute| compute.simulated) {
            self.doubts.push(Doubt::Simulated {
                source: "reference".to_owned(),
            });
        }
        let grown = self
            .phases
            .iter()
            .filter_map(|phase| self.generator_growth(phase));
        let grown: Vec<Doubt> = grown.collect();
        self.doubts.extend(grown);
        if !has_end {
            self.doubts.push(Doubt::CutOff {
                at_ns: self.ended_ns,
            });
        }
    }

    /// What a comparison with the baseline must be read with.
    fn compare_circumstances(&mut self) {
        let Some(baseline) = &self.baseline else {
            return;
        };
        let own = RunFigures::of(self);
        let found = differences(&baseline.runs, &[own]);
        self.doubts
            .extend(found.into_iter().map(Doubt::BaselineDiffers));
    }

    /// The control of every leak gate: this program under the same rule.
    fn generator_growth(&self, phase: &PhaseRecord) -> Option<Doubt> {
        const LIMIT_BYTES_PER_SECOND: f64 = 10.0 * 1_048_576.0 / 3600.0;
        const LEAST_VARIANCE: f64 = 0.05 * 1_048_576.0 * 1_048_576.0;
        let from_ns = phase.measured_from_ns + phase.measured_ns() / 5;
        let series = self.series("generator.memory").next()?;
        let seconds = series.each_second(from_ns, phase.measured_to_ns);
        let known: Vec<f64> = seconds.into_iter().flatten().collect();
        let growth = stats::growth(
            &Envelope::of(&known, 1.0)?,
            &Budget {
                per_second: LIMIT_BYTES_PER_SECOND,
                quantum: 0.0,
                least_variance: LEAST_VARIANCE,
                headroom: None,
                alpha: ALPHA,
            },
        );
        (growth.finding == Finding::Growing).then_some(Doubt::GeneratorGrows {
            phase: phase.index,
            bytes_per_second: growth.rate,
        })
    }

    /// Whether the run did not come to its planned end.
    pub fn is_partial(&self) -> bool {
        self.doubts.iter().any(Doubt::forbids_pass) || self.phases.len() < self.header.phases.len()
    }

    /// Whether anything in it is made up.
    pub fn is_simulated(&self) -> bool {
        self.doubts
            .iter()
            .any(|doubt| matches!(doubt, Doubt::Simulated { .. }))
    }

    /// The name of what an error befell: the request, or the step of the flow.
    pub fn name_of(&self, error: &ErrorKey) -> Option<String> {
        if let Some(step) = error.step {
            return self.header.step_names().nth(step);
        }
        let unit = self.header.requests.get(error.request)?;
        Some(unit.name.clone())
    }

    /// The series of a metric, one for each instance.
    pub fn series<'a>(&'a self, metric: &'a str) -> impl Iterator<Item = Series<'a>> {
        self.sources
            .iter()
            .flat_map(move |source| source.of(metric))
    }

    /// The source that is responsible for a metric: by the first part of its name.
    pub fn source_of(&self, metric: &str) -> Option<&Source> {
        let family = metric.split('.').next().unwrap_or_default();
        self.sources
            .iter()
            .find(|source| source.info.name == family)
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
}

impl PhaseRecord {
    fn new(index: usize, info: PhaseInfo, started_ns: u64) -> Self {
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

    fn add(&mut self, second: Interval<PackedLatencies>) {
        self.warmup.merge(&second.warmup);
        self.measured.merge(&second.measured);
        self.flow_steps.merge(&second.flow_steps);
        self.connections.merge(&second.counts.connections);
        self.errors.merge(second.counts.errors.clone());
        self.send_lag.merge(&second.counts.send_lag);
        self.steps.merge(&second.counts.steps);
        self.lateness.merge(&second.counts.lateness);
        self.loop_delay.merge(&second.counts.loop_delay);
        self.intervals.push(PhaseInterval {
            from_ns: self.started_ns + u64::from(second.index) * INTERVAL_NS,
            by_request: second.measured.clone(),
            flow_steps: second.flow_steps,
            measured: second.measured.into_total(),
            warmup: second.warmup.into_total(),
            counts: second.counts,
        });
    }

    fn intervals_end_ns(&self) -> u64 {
        self.intervals
            .last()
            .map_or(self.started_ns, |interval| interval.from_ns + INTERVAL_NS)
    }

    fn close(&mut self, run_ended_ns: u64) {
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

    /// The length of the measured window in nanoseconds.
    pub fn measured_ns(&self) -> u64 {
        self.measured_to_ns.saturating_sub(self.measured_from_ns)
    }

    /// Successful requests per second of the measured window.
    pub fn throughput(&self) -> f64 {
        per_second(self.total.response.count(), self.measured_ns())
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

    /// Requests per second of the measured window that succeeded and met every objective; `None` where
    /// the phase has none.
    pub fn goodput(&self) -> Option<f64> {
        (!self.info.slo.is_empty()).then(|| per_second(self.total.good, self.measured_ns()))
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

    fn doubts(&self) -> Vec<Doubt> {
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

impl<H: Distribution> RequestTally<H> {
    /// The latencies of successful requests of one kind.
    pub fn latencies(&self, kind: LatencyKind) -> &H {
        match kind {
            LatencyKind::Response => &self.response,
            LatencyKind::Service => &self.service,
            LatencyKind::Ttfb => &self.ttfb,
            LatencyKind::Ttft => &self.streams.ttft,
            LatencyKind::TtftService => &self.streams.ttft_service,
            LatencyKind::Itl => &self.streams.itl,
            LatencyKind::Tpot => &self.streams.tpot,
        }
    }

    /// The histograms by the names under which they are kept: latencies of requests that succeeded,
    /// of those that failed, and of those that timed out or never ended.
    pub fn kinds(&self) -> [(&'static str, &H); 5] {
        [
            ("response", &self.response),
            ("service", &self.service),
            ("ttfb", &self.ttfb),
            ("failed", &self.failed),
            ("censored", &self.censored),
        ]
    }

    /// Requests over a latency limit. Those that failed count as over; those that timed out or never
    /// ended are over if they had already taken longer than the limit, and may be if not. Of latencies
    /// between tokens, each one is counted, and each stream that did not succeed as one that is over.
    pub fn over(&self, kind: LatencyKind, limit_ns: u64) -> Over {
        if kind.is_of_streams() {
            return self.streams.over(self.latencies(kind), limit_ns);
        }
        let slow = self.latencies(kind).above(limit_ns);
        let censored = self.censored.above(limit_ns);
        let failed = self.outcomes.failed();
        Over {
            at_most: slow.at_most + self.censored.count() + failed,
            at_least: slow.at_least + censored.at_least + failed,
            total: self.outcomes.total(),
        }
    }
}

/// How many requests were over a limit, as far as is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Over {
    /// Everything uncertain counted as over. Used to PASS.
    pub at_most: u64,
    /// Everything uncertain counted as not over. Used to FAIL.
    pub at_least: u64,
    /// Out of how many.
    pub total: u64,
}

impl Over {
    /// As one second of a phase, with everything uncertain counted as over.
    pub fn second(self) -> Second {
        Second {
            requests: self.total,
            over: self.at_most,
        }
    }

    /// Adds another count.
    pub fn merge(&mut self, other: Self) {
        self.at_most += other.at_most;
        self.at_least += other.at_least;
        self.total += other.total;
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
