//! The server's own account of what it did: the truth that a gate's numbers can be held against.
//!
//! Everything is counted where it happens and nowhere twice: metrics and truth are views of these
//! books, and cannot differ from each other.

use super::route::Route;
use crate::record::{Distribution, Latencies, PackedLatencies};
use crate::units::nanoseconds;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// The form of [`Truth`].
pub const TRUTH_SCHEMA: &str = "bench.reference-truth/1";

/// Everything counted so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    pub(super) requests: BTreeMap<(Route, u16), u64>,
    pub(super) batch_sizes: BTreeMap<usize, u64>,
    pub(super) operations: u64,
    pub(super) busy: Duration,
    pub(super) backend_failure: Option<String>,
    pub(super) server_time: Latencies,
    pub(super) server_time_sum: Duration,
    pub(super) injected_errors: u64,
    pub(super) rejected_logins: u64,
    pub(super) delays: BTreeMap<Duration, u64>,
    pub(super) held: u64,
    pub(super) leaked_bytes: u64,
    pub(super) tokens: u64,
    pub(super) scaled: Vec<Scaled>,
    pub(super) first_token: Latencies,
    pub(super) token_gap: Latencies,
}

impl Ledger {
    pub(super) fn batches(&self) -> u64 {
        self.batch_sizes.values().sum()
    }
}

/// The books, written by handlers and the backend.
#[derive(Debug, Default)]
pub(super) struct Books {
    ledger: Mutex<Ledger>,
    in_flight: AtomicU64,
}

impl Books {
    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger
            .lock()
            .expect("nobody panics while holding the books")
    }

    /// Everything counted so far.
    pub(super) fn snapshot(&self) -> Ledger {
        self.lock().clone()
    }

    /// A request has come in. It counts as in flight until the guard is gone, answered or not.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// How many requests are in flight.
    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// An answer is handed to the HTTP stack, so long after its request came in.
    pub(super) fn answered(&self, route: Route, status: u16, took: Duration) {
        let mut ledger = self.lock();
        *ledger.requests.entry((route, status)).or_default() += 1;
        if route.answers_inference() && status == 200 {
            let took_ns = nanoseconds(took);
            ledger.server_time.record(took_ns);
            ledger.server_time_sum += took;
        }
    }

    /// The backend has computed a batch, with so many operations in so much of its processor's time.
    pub(super) fn batch(&self, size: usize, operations: u64, busy: Duration) {
        let mut ledger = self.lock();
        *ledger.batch_sizes.entry(size).or_default() += 1;
        ledger.operations += operations;
        ledger.busy += busy;
    }

    /// The backend can compute no more. The first reason is kept.
    pub(super) fn backend_failed(&self, reason: &str) {
        let mut ledger = self.lock();
        ledger
            .backend_failure
            .get_or_insert_with(|| reason.to_owned());
    }

    /// Why the backend can compute no more, if it cannot.
    pub(super) fn backend_failure(&self) -> Option<String> {
        self.lock().backend_failure.clone()
    }

    /// A request fails because the server was told so.
    pub(super) fn injected_error(&self) {
        self.lock().injected_errors += 1;
    }

    /// A login fails because the server was told so.
    pub(super) fn rejected_login(&self) {
        self.lock().rejected_logins += 1;
    }

    /// An answer was delayed because the server was told so.
    pub(super) fn delayed(&self, by: Duration) {
        *self.lock().delays.entry(by).or_default() += 1;
    }

    /// A request or an answer was held until the end of the stall.
    pub(super) fn held(&self) {
        self.lock().held += 1;
    }

    /// Memory was left behind because the server was told so.
    pub(super) fn leaked(&self, bytes: u64) {
        self.lock().leaked_bytes += bytes;
    }

    /// The number of workers has changed.
    pub(super) fn scaled(&self, at: Duration, ready: u32, desired: u32) {
        self.lock().scaled.push(Scaled {
            at_ms: milliseconds(at),
            ready,
            desired,
        });
    }

    /// A token of a stream is handed to the HTTP stack: the first one so long after its request came
    /// in, another one so long after the one before.
    pub(super) fn streamed_token(&self, is_first: bool, after: Duration) {
        let after_ns = nanoseconds(after);
        let mut ledger = self.lock();
        ledger.tokens += 1;
        if is_first {
            ledger.first_token.record(after_ns);
        } else {
            ledger.token_gap.record(after_ns);
        }
    }

    /// Tokens were generated.
    pub(super) fn tokens(&self, count: u64) {
        self.lock().tokens += count;
    }
}

/// A request in flight.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Books>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the server did, and what it was told to do wrong, up to one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// [`TRUTH_SCHEMA`].
    pub schema: String,
    /// Answered requests by route and status. Requests whose client left before the answer are in
    /// none of these counts.
    pub requests: BTreeMap<String, BTreeMap<u16, u64>>,
    /// Answers with status 200 of `/v1/inference` and `/v1/inference/batch`.
    pub inference_answers: u64,
    /// Inference requests of any kind that failed because of `error_rate`.
    pub injected_errors: u64,
    /// Logins that failed because of `reject_logins`.
    pub rejected_logins: u64,
    /// Delays because of `delay`.
    pub delays: Delays,
    /// The freeze because of `stall`, once the first inference request has fixed its place.
    pub stall: Option<StallWindow>,
    /// Bytes lost because of `leak_per_request`.
    pub leaked_bytes: u64,
    /// Batches that the backend has computed.
    pub batches: u64,
    /// How many batches had so many items.
    pub batch_sizes: BTreeMap<usize, u64>,
    /// Multiplications and additions of the model.
    #[serde(default)]
    pub operations: u64,
    /// How long the processor was busy with them, in milliseconds; on a GPU by its own clock.
    #[serde(default)]
    pub busy_ms: f64,
    /// Why the backend can compute no more.
    #[serde(default)]
    pub backend_failure: Option<String>,
    /// Tokens that chat completions have generated.
    pub tokens: u64,
    /// How the number of workers changed; empty where it cannot change.
    #[serde(default)]
    pub scaled: Vec<Scaled>,
    /// The server's own time from each streamed chat's request to its first token.
    pub first_token: ServerTime,
    /// The server's own time from each token of a stream to the next one.
    pub token_gap: ServerTime,
    /// The server's own time for each of `inference_answers`.
    pub server_time: ServerTime,
}

/// Injected delays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Delays {
    /// How many answers were delayed, by zero too if the mix says so.
    pub answers: u64,
    /// The sum of all delays, in milliseconds.
    pub sum_ms: f64,
    /// The longest of them, in milliseconds.
    pub longest_ms: f64,
    /// How many answers were delayed by so many microseconds.
    pub by_us: BTreeMap<u64, u64>,
}

/// How many workers there were from this moment on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaled {
    /// Milliseconds since the server's start.
    pub at_ms: f64,
    /// Workers that took batches.
    pub ready: u32,
    /// Workers that the rule wanted.
    pub desired: u32,
}

/// A freeze as it was applied, in milliseconds since the server's start.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StallWindow {
    /// Its beginning.
    pub from_ms: f64,
    /// Its end.
    pub to_ms: f64,
    /// How many times a request, an answer or a part of one was held until the end.
    pub held: u64,
}

/// The server's own times, from the beginning of a request's handler to something being handed to the
/// HTTP stack, or from one such moment to the next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerTime {
    /// The median in milliseconds; all of these are `None` without any answer.
    pub p50_ms: Option<f64>,
    /// 90 % lie at or below it.
    pub p90_ms: Option<f64>,
    /// 99 % lie at or below it.
    pub p99_ms: Option<f64>,
    /// 99.9 % lie at or below it.
    pub p999_ms: Option<f64>,
    /// The longest.
    pub max_ms: Option<f64>,
    /// All of them.
    pub latencies: PackedLatencies,
}

impl From<Latencies> for ServerTime {
    fn from(latencies: Latencies) -> Self {
        let in_ms = |ns: Option<u64>| ns.map(|ns| ns as f64 / 1e6);
        let at = |quantile| in_ms(latencies.quantile_ns(quantile));
        Self {
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: in_ms(latencies.max_ns()),
            latencies: latencies.pack(),
        }
    }
}

impl Truth {
    /// What the books say, and the stall's place, if it has one, since the server's start.
    pub(super) fn new(ledger: Ledger, stall: Option<(Duration, Duration)>) -> Self {
        let mut requests: BTreeMap<String, BTreeMap<u16, u64>> = BTreeMap::new();
        for (&(route, status), &count) in &ledger.requests {
            let statuses = requests.entry(route.path().to_owned()).or_default();
            statuses.insert(status, count);
        }
        Self {
            schema: TRUTH_SCHEMA.to_owned(),
            requests,
            inference_answers: ledger.server_time.count(),
            injected_errors: ledger.injected_errors,
            rejected_logins: ledger.rejected_logins,
            delays: Delays::new(&ledger.delays),
            stall: stall.map(|(from, to)| StallWindow {
                from_ms: milliseconds(from),
                to_ms: milliseconds(to),
                held: ledger.held,
            }),
            leaked_bytes: ledger.leaked_bytes,
            batches: ledger.batches(),
            batch_sizes: ledger.batch_sizes,
            operations: ledger.operations,
            busy_ms: milliseconds(ledger.busy),
            backend_failure: ledger.backend_failure,
            tokens: ledger.tokens,
            scaled: ledger.scaled,
            first_token: ledger.first_token.into(),
            token_gap: ledger.token_gap.into(),
            server_time: ledger.server_time.into(),
        }
    }
}

impl Delays {
    fn new(delays: &BTreeMap<Duration, u64>) -> Self {
        let micros = |delay: &Duration| u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        Self {
            answers: delays.values().sum(),
            // The sum of no floating-point numbers at all would be -0.
            sum_ms: delays.iter().fold(0.0, |sum, (delay, &count)| {
                sum + milliseconds(*delay) * count as f64
            }),
            longest_ms: delays
                .last_key_value()
                .map_or(0.0, |(delay, _)| milliseconds(*delay)),
            by_us: delays
                .iter()
                .map(|(delay, &count)| (micros(delay), count))
                .collect(),
        }
    }
}

/// Milliseconds to the microsecond.
pub(super) fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_survives_json() {
        let books = Books::default();
        books.answered(Route::Inference, 200, Duration::from_micros(12_345));
        books.answered(Route::Inference, 200, Duration::from_millis(1));
        books.answered(Route::Inference, 500, Duration::from_secs(9));
        books.answered(Route::Job, 200, Duration::from_secs(8));
        books.batch(3, 30, Duration::from_millis(2));
        books.backend_failed("lost");
        books.backend_failed("later");
        books.delayed(Duration::from_millis(5));
        books.delayed(Duration::from_millis(5));
        books.delayed(Duration::from_micros(1500));
        let stall = (Duration::from_millis(10), Duration::from_millis(30));
        let truth = Truth::new(books.snapshot(), Some(stall));
        let text = serde_json::to_string(&truth).unwrap();
        assert_eq!(serde_json::from_str::<Truth>(&text).unwrap(), truth);
        assert!(
            text.starts_with("{\"schema\":\"bench.reference-truth/1\""),
            "{text}"
        );
        assert_eq!((truth.operations, truth.busy_ms), (30, 2.0));
        assert_eq!(truth.backend_failure.as_deref(), Some("lost"));
        assert_eq!(truth.requests["/v1/inference"][&500], 1);
        // Failed answers and polls are no inference answers.
        assert_eq!(truth.inference_answers, 2);
        assert_eq!(truth.server_time.max_ms, Some(12.351));
        assert_eq!((truth.delays.sum_ms, truth.delays.longest_ms), (11.5, 5.0));
        assert_eq!(Vec::from_iter(truth.delays.by_us), [(1500, 1), (5000, 2)]);
    }

    #[test]
    fn requests_are_in_flight_until_their_guard_is_gone() {
        let books = Arc::new(Books::default());
        let first = books.begin();
        let second = books.begin();
        assert_eq!(books.in_flight(), 2);
        drop(first);
        drop(second);
        assert_eq!(books.in_flight(), 0);
    }
}
