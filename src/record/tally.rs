//! What is counted about requests: per worker and second while they run, and summed up afterwards.
//!
//! Each type exists in two forms: over [`Latencies`] to be counted in, and over [`PackedLatencies`]
//! at rest, in the journal and in the seconds of a record.

use super::journal::PartIndex;
use super::latencies::{Distribution, Latencies};
use super::outcome::{Cause, Class, Outcome, Outcomes};
use super::packed::PackedLatencies;
use super::steps::Steps;
use super::streams::{StreamTally, Streamed};
use super::tries::TryTally;
use crate::gate::Objective;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One finished request, as the engine saw it. Times are nanoseconds since the start of the run.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Which request or flow of the plan, or which step of all flows.
    pub request: usize,
    /// When the schedule wanted it to leave.
    pub intended_ns: u64,
    /// When its first byte was written; `None` if it never was.
    pub sent_ns: Option<u64>,
    /// When the first byte of the answer came.
    pub first_byte_ns: Option<u64>,
    /// When its last byte had been read, or when it was given up.
    pub end_ns: u64,
    /// When the kernel had received its last byte, where that is known.
    pub received_ns: Option<u64>,
    /// How it ended.
    pub outcome: Outcome,
    /// What came of its stream, if its answer was to be one.
    pub stream: Option<Box<Streamed>>,
}

impl Sample {
    /// Whether the request succeeded and met all of these objectives. One that no such latency can be
    /// told of (a stream of one token has no time between tokens) is met, but a stream without any
    /// token has not met one on its first.
    pub fn is_good(&self, objectives: &[Objective]) -> bool {
        self.outcome == Outcome::Ok
            && objectives
                .iter()
                .all(|objective| match self.latency_ns(objective.kind) {
                    Some(latency) => latency < objective.limit_ns,
                    None => self.stream.is_none() || !objective.kind.is_of_first_token(),
                })
    }
}

/// What is known about one named request in one population.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RequestTally<H = Latencies> {
    /// How many the schedule wanted.
    pub planned: u64,
    /// How many reached the network.
    pub sent: u64,
    /// How they ended.
    pub outcomes: Outcomes,
    /// Response times of those that succeeded.
    pub response: H,
    /// Service times of those that succeeded.
    pub service: H,
    /// Times to first byte of those that succeeded.
    pub ttfb: H,
    /// Response times of those that failed.
    pub failed: H,
    /// Elapsed times of those that timed out or never ended: lower limits.
    pub censored: H,
    /// Those that succeeded and met every objective of the phase, if it has any.
    #[serde(default)]
    pub good: u64,
    /// What came of streamed answers.
    #[serde(
        default,
        skip_serializing_if = "StreamTally::is_empty",
        bound(deserialize = "H: Default + Deserialize<'de>")
    )]
    pub streams: StreamTally<H>,
    /// Answers that turned requests away, and further tries.
    #[serde(
        default,
        skip_serializing_if = "TryTally::is_empty",
        bound(deserialize = "H: Default + Deserialize<'de>")
    )]
    pub tries: TryTally<H>,
}

impl RequestTally<Latencies> {
    /// Counts a finished request.
    pub fn finish(&mut self, sample: &Sample) {
        self.outcomes.add(sample.outcome);
        if let Some(stream) = &sample.stream {
            self.streams.finish(sample, stream);
        }
        self.sent += u64::from(sample.sent_ns.is_some());
        let response = sample.end_ns.saturating_sub(sample.intended_ns);
        match sample.outcome.class() {
            Class::Ok => {
                self.response.record(response);
                let sent = sample.sent_ns.unwrap_or(sample.intended_ns);
                // What an answer waited for this program is not the service's time.
                let received = sample.received_ns.unwrap_or(sample.end_ns);
                self.service.record(received.saturating_sub(sent));
                if let Some(first_byte) = sample.first_byte_ns {
                    self.ttfb
                        .record(first_byte.saturating_sub(sample.intended_ns));
                }
            }
            Class::Failed => self.failed.record(response),
            Class::Censored => self.censored.record(response),
        }
    }

    /// Adds another tally.
    pub fn merge(&mut self, other: &RequestTally<impl Distribution>) {
        self.planned += other.planned;
        self.sent += other.sent;
        self.outcomes.merge(&other.outcomes);
        self.response.merge(&other.response);
        self.service.merge(&other.service);
        self.ttfb.merge(&other.ttfb);
        self.failed.merge(&other.failed);
        self.censored.merge(&other.censored);
        self.good += other.good;
        self.streams.merge(&other.streams);
        self.tries.merge(&other.tries);
    }

    /// Forgets everything, and keeps the memory.
    pub fn reset(&mut self) {
        self.planned = 0;
        self.sent = 0;
        self.outcomes = Outcomes::default();
        self.good = 0;
        self.streams.reset();
        self.tries.reset();
        for latencies in [
            &mut self.response,
            &mut self.service,
            &mut self.ttfb,
            &mut self.failed,
            &mut self.censored,
        ] {
            latencies.reset();
        }
    }

    /// The same tally at rest.
    pub fn pack(&self) -> RequestTally<PackedLatencies> {
        RequestTally {
            planned: self.planned,
            sent: self.sent,
            outcomes: self.outcomes,
            response: self.response.pack(),
            service: self.service.pack(),
            ttfb: self.ttfb.pack(),
            failed: self.failed.pack(),
            censored: self.censored.pack(),
            good: self.good,
            streams: self.streams.pack(),
            tries: self.tries.pack(),
        }
    }
}

impl<H> RequestTally<H> {
    /// Whether nothing was planned and nothing ended.
    pub fn is_empty(&self) -> bool {
        self.planned == 0 && self.outcomes.total() == 0 && self.tries.is_empty()
    }
}

/// Tallies by request. Requests that did not occur may be absent at the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent, bound(deserialize = "H: Default + Deserialize<'de>"))]
pub struct Population<H = Latencies> {
    requests: Vec<RequestTally<H>>,
}

impl<H> Default for Population<H> {
    fn default() -> Self {
        Self {
            requests: Vec::new(),
        }
    }
}

impl<H> Population<H> {
    /// The tallies by request, in the order of the plan.
    pub fn requests(&self) -> &[RequestTally<H>] {
        &self.requests
    }

    /// Whether nothing happened at all.
    pub fn is_empty(&self) -> bool {
        self.requests.iter().all(RequestTally::is_empty)
    }
}

impl Population<Latencies> {
    /// The tally of one request.
    pub fn of(&mut self, request: usize) -> &mut RequestTally {
        if self.requests.len() <= request {
            self.requests
                .resize_with(request + 1, RequestTally::default);
        }
        &mut self.requests[request]
    }

    /// Adds another population.
    pub fn merge(&mut self, other: &Population<impl Distribution>) {
        for (request, tally) in other.requests.iter().enumerate() {
            if !tally.is_empty() {
                self.of(request).merge(tally);
            }
        }
    }

    /// Forgets everything, and keeps the memory.
    pub fn reset(&mut self) {
        self.requests.iter_mut().for_each(RequestTally::reset);
    }

    /// All requests as one.
    pub fn total(&self) -> RequestTally {
        let mut total = RequestTally::default();
        for tally in &self.requests {
            total.merge(tally);
        }
        total
    }

    fn pack(&self) -> Population<PackedLatencies> {
        Population {
            requests: self.requests.iter().map(RequestTally::pack).collect(),
        }
    }
}

impl Population<PackedLatencies> {
    /// All requests as one.
    pub fn into_total(self) -> RequestTally<PackedLatencies> {
        let mut occurred = self.requests.iter().filter(|tally| !tally.is_empty());
        let (first, more) = (occurred.next(), occurred.next().is_some());
        if more {
            let mut total = RequestTally::default();
            self.requests.iter().for_each(|tally| total.merge(tally));
            return total.pack();
        }
        first.cloned().unwrap_or_default()
    }
}

/// Connections to the target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Connections<H = Latencies> {
    /// How many were opened.
    pub opened: u64,
    /// How many attempts failed.
    pub failed: u64,
    /// How many requests found their kept connection closed, or not taking up any more, and were sent over
    /// another one.
    pub reopened: u64,
    /// How long opening took (TCP).
    pub connect: H,
}

impl Connections<Latencies> {
    /// Adds another tally.
    pub fn merge(&mut self, other: &Connections<impl Distribution>) {
        self.opened += other.opened;
        self.failed += other.failed;
        self.reopened += other.reopened;
        self.connect.merge(&other.connect);
    }

    fn reset(&mut self) {
        self.opened = 0;
        self.failed = 0;
        self.reopened = 0;
        self.connect.reset();
    }
}

/// Which requests failed in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ErrorKey {
    /// Which request or flow of the plan.
    pub request: usize,
    /// Which step, by its position among the steps of all flows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why.
    pub cause: Cause,
}

impl ErrorKey {
    /// Whether it befell this part of the load.
    pub fn befell(&self, part: PartIndex) -> bool {
        match part {
            PartIndex::Unit(unit) => self.request == unit,
            PartIndex::Step(step) => self.step == Some(step),
        }
    }
}

/// Requests that failed in the same way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorTally {
    /// Which.
    #[serde(flatten)]
    pub key: ErrorKey,
    /// How many.
    pub count: u64,
    /// When the first of them ended, in nanoseconds since the start of the run.
    pub first_ns: u64,
    /// What was said, for example the text of the operating system.
    pub detail: String,
    /// The beginning of the answer's body, unprintable bytes as `\xNN`; empty if there was none.
    pub body: String,
}

/// What one failure looked like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Why.
    pub cause: Cause,
    /// What was said.
    pub detail: String,
    /// The beginning of the answer's body.
    pub body: String,
}

/// The errors of a stretch of time, one entry for each kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<ErrorTally>", into = "Vec<ErrorTally>")]
pub struct Errors {
    kinds: BTreeMap<ErrorKey, ErrorTally>,
}

impl From<Vec<ErrorTally>> for Errors {
    fn from(list: Vec<ErrorTally>) -> Self {
        let mut errors = Self::default();
        list.into_iter().for_each(|tally| errors.merge_one(tally));
        errors
    }
}

impl From<Errors> for Vec<ErrorTally> {
    fn from(errors: Errors) -> Self {
        errors.kinds.into_values().collect()
    }
}

impl Errors {
    /// Counts one failure; the first of its kind leaves its details.
    pub fn add(
        &mut self,
        (request, step): (usize, Option<usize>),
        outcome: Outcome,
        failure: Failure,
        at_ns: u64,
    ) {
        let key = ErrorKey {
            request,
            step,
            outcome,
            cause: failure.cause,
        };
        self.kinds
            .entry(key)
            .and_modify(|tally| tally.count += 1)
            .or_insert_with(|| ErrorTally {
                key,
                count: 1,
                first_ns: at_ns,
                detail: failure.detail,
                body: failure.body,
            });
    }

    /// Adds the errors of another stretch.
    pub fn merge(&mut self, other: Self) {
        for tally in other.kinds.into_values() {
            self.merge_one(tally);
        }
    }

    fn merge_one(&mut self, tally: ErrorTally) {
        match self.kinds.get_mut(&tally.key) {
            Some(known) => {
                let count = known.count + tally.count;
                if tally.first_ns < known.first_ns {
                    *known = tally;
                }
                known.count = count;
            }
            None => {
                self.kinds.insert(tally.key, tally);
            }
        }
    }

    /// Each kind of error, the most frequent first.
    pub fn by_frequency(&self) -> Vec<&ErrorTally> {
        let mut kinds: Vec<&ErrorTally> = self.kinds.values().collect();
        kinds.sort_by_key(|tally| (std::cmp::Reverse(tally.count), tally.key));
        kinds
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    fn take(&mut self) -> Self {
        Self {
            kinds: std::mem::take(&mut self.kinds),
        }
    }
}

/// Everything that was counted in one interval of a phase, by one worker or by all of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval<H = Latencies> {
    /// Its number within the phase: it covers the seconds from `index` to `index + 1`.
    pub index: u32,
    /// Requests whose intended start lay in the warm-up.
    #[serde(bound(deserialize = "H: Default + Deserialize<'de>"))]
    pub warmup: Population<H>,
    /// Requests whose intended start lay in the measured window.
    #[serde(bound(deserialize = "H: Default + Deserialize<'de>"))]
    pub measured: Population<H>,
    /// Steps of flows, by their position among the steps of all flows; those of the measured window.
    #[serde(
        default,
        skip_serializing_if = "Population::is_empty",
        bound(deserialize = "H: Default + Deserialize<'de>")
    )]
    pub flow_steps: Population<H>,
    /// What concerns both.
    pub counts: Counts<H>,
}

/// What was counted in one interval regardless of warm-up and measured window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts<H = Latencies> {
    /// Requests in flight at the end of the interval.
    pub in_flight: u64,
    /// In-flight requests integrated over the part of the interval that lies in the measured window,
    /// in request-nanoseconds.
    pub in_flight_ns: u64,
    /// The time that requests spent between being taken up and their end, as far as it lies in the
    /// measured window, in request-nanoseconds; counted when they end.
    pub overlap_ns: u64,
    /// Connections.
    pub connections: Connections<H>,
    /// Requests of an open loop that wait for one in flight to end, at the end of the interval.
    pub waiting: u64,
    /// Being taken up to actual send, less the time to connect, of every request that was sent: what
    /// the generator itself adds.
    pub send_lag: H,
    /// Where the time of requests went.
    pub steps: Steps<H>,
    /// Intended start to the decision to send, of every request of an open loop: how late the
    /// schedule was kept.
    pub lateness: H,
    /// How long a task of a worker that was ready waited for its turn, looked at every few milliseconds.
    #[serde(default, bound(deserialize = "H: Default + Deserialize<'de>"))]
    pub loop_delay: H,
    /// Bytes written.
    pub bytes_sent: u64,
    /// Bytes read.
    pub bytes_received: u64,
    /// Events with tokens that came in the interval, of all streams.
    #[serde(default)]
    pub token_events: u64,
    /// Time that the workers' runtimes were busy, in nanoseconds.
    pub busy_ns: u64,
    /// The same of the busiest worker.
    pub busiest_ns: u64,
    /// Errors, in the warm-up and in the measured window.
    pub errors: Errors,
}

impl Interval {
    /// Adds what another worker counted in the same interval; its errors are taken out of it.
    pub fn merge(&mut self, other: &mut Self) {
        self.warmup.merge(&other.warmup);
        self.measured.merge(&other.measured);
        self.flow_steps.merge(&other.flow_steps);
        let (counts, more) = (&mut self.counts, &mut other.counts);
        counts.in_flight += more.in_flight;
        counts.in_flight_ns += more.in_flight_ns;
        counts.overlap_ns += more.overlap_ns;
        counts.connections.merge(&more.connections);
        counts.waiting += more.waiting;
        counts.send_lag.merge(&more.send_lag);
        counts.steps.merge(&more.steps);
        counts.lateness.merge(&more.lateness);
        counts.loop_delay.merge(&more.loop_delay);
        counts.bytes_sent += more.bytes_sent;
        counts.bytes_received += more.bytes_received;
        counts.token_events += more.token_events;
        counts.busy_ns += more.busy_ns;
        counts.busiest_ns = counts.busiest_ns.max(more.busiest_ns);
        counts.errors.merge(more.errors.take());
    }

    /// Forgets everything, and keeps the memory.
    pub fn reset(&mut self, index: u32) {
        self.index = index;
        self.warmup.reset();
        self.measured.reset();
        self.flow_steps.reset();
        let counts = &mut self.counts;
        counts.in_flight = 0;
        counts.in_flight_ns = 0;
        counts.overlap_ns = 0;
        counts.connections.reset();
        counts.waiting = 0;
        counts.send_lag.reset();
        counts.steps.reset();
        counts.lateness.reset();
        counts.loop_delay.reset();
        counts.bytes_sent = 0;
        counts.bytes_received = 0;
        counts.token_events = 0;
        counts.busy_ns = 0;
        counts.busiest_ns = 0;
        counts.errors.take();
    }

    /// The same interval at rest.
    pub fn pack(self) -> Interval<PackedLatencies> {
        let counts = self.counts;
        Interval {
            index: self.index,
            warmup: self.warmup.pack(),
            measured: self.measured.pack(),
            flow_steps: self.flow_steps.pack(),
            counts: Counts {
                in_flight: counts.in_flight,
                in_flight_ns: counts.in_flight_ns,
                overlap_ns: counts.overlap_ns,
                connections: Connections {
                    opened: counts.connections.opened,
                    failed: counts.connections.failed,
                    reopened: counts.connections.reopened,
                    connect: counts.connections.connect.pack(),
                },
                waiting: counts.waiting,
                send_lag: counts.send_lag.pack(),
                steps: counts.steps.pack(),
                lateness: counts.lateness.pack(),
                loop_delay: counts.loop_delay.pack(),
                bytes_sent: counts.bytes_sent,
                bytes_received: counts.bytes_received,
                token_events: counts.token_events,
                busy_ns: counts.busy_ns,
                busiest_ns: counts.busiest_ns,
                errors: counts.errors,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(outcome: Outcome) -> Sample {
        Sample {
            request: 0,
            intended_ns: 1_000_000,
            sent_ns: Some(3_000_000),
            first_byte_ns: Some(4_000_000),
            received_ns: None,
            end_ns: 6_000_000,
            outcome,
            stream: None,
        }
    }

    #[test]
    fn each_class_has_its_own_histogram() {
        let mut tally = RequestTally::default();
        for outcome in Outcome::ALL {
            tally.finish(&sample(outcome));
        }
        assert_eq!(tally.response.count(), 1);
        assert_eq!(tally.failed.count(), 6);
        assert_eq!(tally.censored.count(), 2);
        assert_eq!(tally.outcomes.total(), 9);
        let median_ms = |latencies: &Latencies| latencies.quantile_ns(0.5).unwrap() as f64 / 1e6;
        assert!((median_ms(&tally.response) - 5.0).abs() < 0.005);
        assert!((median_ms(&tally.service) - 3.0).abs() < 0.003);
        assert!((median_ms(&tally.ttfb) - 3.0).abs() < 0.003);
    }

    #[test]
    fn errors_keep_the_first_example_and_count_all() {
        let failure = |detail: &str| Failure {
            cause: Cause::Status(500),
            detail: detail.to_owned(),
            body: String::new(),
        };
        let mut late = Errors::default();
        late.add((0, None), Outcome::BadStatus, failure("late"), 20);
        late.add((0, None), Outcome::BadStatus, failure("later"), 30);
        let mut early = Errors::default();
        early.add((0, None), Outcome::BadStatus, failure("early"), 10);
        early.add((1, None), Outcome::BadStatus, failure("other request"), 11);
        late.merge(early);
        let kinds = late.by_frequency();
        assert_eq!((kinds[0].count, kinds[0].detail.as_str()), (3, "early"));
        assert_eq!((kinds[1].count, kinds[1].key.request), (1, 1));
        let text = serde_json::to_string(&late).unwrap();
        assert_eq!(serde_json::from_str::<Errors>(&text).unwrap(), late);
    }

    #[test]
    fn a_reset_interval_is_like_new() {
        let mut interval = Interval::default();
        interval.measured.of(1).planned += 1;
        interval.measured.of(1).finish(&sample(Outcome::Ok));
        interval.counts.send_lag.record(5);
        interval.counts.busy_ns = 7;
        interval.reset(3);
        assert!(interval.measured.is_empty());
        assert_eq!(interval.index, 3);
        assert_eq!(interval.measured.total(), RequestTally::default());
        assert!(interval.counts.send_lag.is_empty());
    }
}
