//! What the engine needs from outside: small traits that it owns and others implement.

pub use super::clock::RunClock;
use crate::plan::Captured;
use crate::record::{Entry, Failure, Outcome, SourceInfo, StepTimes, Streamed};
use rand_pcg::Pcg64Mcg;
use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

/// The service under test, as the engine sees it: each worker gets a client of it.
pub trait Target: Clone + Send + 'static {
    /// What a worker reaches it with.
    type Client: Client;

    /// A client for one worker in one phase. Called on the thread that will use it, within a runtime
    /// that can spawn local tasks; it must not block.
    fn client(&self) -> Self::Client;

    /// From now on this token stands for `{{login.token}}`, in all clients.
    fn set_token(&self, token: &str);

    /// Returns when the service has turned away a request for the token that is valid by the login's
    /// word: after an answer of 401 to it (RFC 9110, 15.5.2). Once for each token.
    fn token_refused(&self) -> impl Future<Output = ()>;
}

/// What one worker reaches the target with: its slots may share connections.
pub trait Client: 'static {
    /// A place for one request at a time.
    type Slot: Slot;

    /// Opens a slot. It must not block.
    fn open(&self) -> Self::Slot;
}

/// A place for one request at a time, such as a user or a connection.
pub trait Slot: 'static {
    /// Sends one request and awaits its end, at the latest at the call's deadline.
    ///
    /// A failing target is an outcome, not an error. The future may be dropped; the slot is not used
    /// again then.
    fn exchange<'a>(&'a mut self, call: Call<'a>) -> impl Future<Output = Exchange> + 'a;

    /// Whether each of its requests goes out by itself. Where slots share a connection, what they send in
    /// one turn goes out together.
    fn sends_alone(&self) -> bool {
        true
    }

    /// Takes back the stream of its last exchange, so that its memory is used again.
    fn reclaim(&mut self, stream: Box<Streamed>) {
        drop(stream);
    }
}

/// One request to be sent.
#[derive(Debug)]
pub struct Call<'a> {
    /// Which request of the plan.
    pub request: usize,
    /// Its number within the run, unique but not without gaps.
    pub number: u64,
    /// Where its random values come from.
    pub random: &'a mut Pcg64Mcg,
    /// When it is given up, in nanoseconds since the start of the run.
    pub deadline_ns: u64,
    /// The run's clock, which the times of the exchange are told by.
    pub clock: RunClock,
    /// Counts events with tokens as they come.
    pub token_events: &'a Cell<u64>,
    /// What earlier steps of its flow captured; what this one captures is added.
    pub captured: &'a mut Captured,
}

/// How one request went. Times are nanoseconds since the start of the run. It is kept small, with what few requests
/// have on the heap: it is handed on a few times for each.
#[derive(Debug)]
pub struct Exchange {
    /// How it ended.
    pub outcome: Outcome,
    /// When its first byte was handed to the network; `None` if it never was.
    pub sent_ns: Option<u64>,
    /// When its last byte had been.
    pub all_sent_ns: Option<u64>,
    /// When the first byte of the answer came.
    pub first_byte_ns: Option<u64>,
    /// When it was over: its last byte had been read, or it was given up.
    pub end_ns: u64,
    /// When the kernel had received its last byte, where that is known.
    pub received_ns: Option<u64>,
    /// How long the steps of opening a connection took, if one was opened for it.
    pub opening: Option<Box<StepTimes>>,
    /// What went wrong, if anything did.
    pub failure: Option<Box<Failure>>,
    /// What the answer says of what comes next.
    pub told: Told,
    /// What happened to the connection.
    pub connection: ConnectionUse,
    /// Bytes written.
    pub bytes_sent: u64,
    /// Bytes read.
    pub bytes_received: u64,
    /// What came of a streamed answer; `None` where none began.
    pub stream: Option<Box<Streamed>>,
}

impl Exchange {
    /// How long its steps took.
    pub fn steps(&self) -> StepTimes {
        let between = |from: Option<u64>, to: Option<u64>| to?.checked_sub(from?);
        // Without a complete answer there is no status.
        let last_ns = self.told.status.map(|_| self.end_ns);
        StepTimes {
            send_ns: between(self.sent_ns, self.all_sent_ns),
            wait_ns: between(self.all_sent_ns, self.first_byte_ns),
            transfer_ns: between(self.first_byte_ns, last_ns),
            client_queue_ns: between(self.received_ns, last_ns),
            ..self.opening.as_deref().copied().unwrap_or_default()
        }
    }
}

/// What a complete answer says of what comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Its status; `None` without a complete answer.
    pub status: Option<u16>,
    /// Whether what a step waits for has not happened yet.
    pub not_yet: bool,
    /// How long to wait before another try, where it turned the request away and said so.
    pub retry_after: Option<Duration>,
}

impl Told {
    /// What turns a request away for now (RFC 6585, 4, and RFC 9110, 15.6.4).
    const TURNED_AWAY: [u16; 2] = [429, 503];

    /// Whether the request is turned away for now.
    pub fn turns_away(&self) -> bool {
        self.status
            .is_some_and(|status| Self::TURNED_AWAY.contains(&status))
    }

    /// Whether further tries may follow.
    pub fn is_of_tries(&self) -> bool {
        self.not_yet || self.turns_away()
    }
}

/// What one request did to its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionUse {
    /// How long opening a connection took, if one was opened, in nanoseconds.
    pub opened_ns: Option<u64>,
    /// How long the request waited until it had a connection, be it opened for it or for another one, in
    /// nanoseconds.
    pub waited_ns: u64,
    /// Whether opening one failed.
    pub failed: bool,
    /// Whether the kept connection turned out to be closed before anything was sent on it.
    pub reopened: bool,
}

/// A source of time series.
pub trait Probe: Send {
    /// What it samples.
    fn info(&self) -> SourceInfo;

    /// Takes one sample: one value for each series of [`Probe::info`], in that order.
    ///
    /// # Errors
    /// When the source is lost; the next sample may succeed again.
    fn sample(&mut self, values: &mut Vec<Option<f64>>) -> Result<(), String>;

    /// The readings that the source has taken by itself since it was last asked, oldest first. `None`: it
    /// takes none, and is sampled instead.
    fn stamped(&mut self) -> Option<Result<Vec<Stamped>, String>> {
        None
    }
}

/// A reading that a source took by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Stamped {
    /// How long ago the time began that it is about.
    pub age: Duration,
    /// One value for each series; `None` where the reading is about others.
    pub values: Vec<Option<f64>>,
}

/// Where the entries of the journal go.
pub trait Sink {
    /// Takes one entry.
    ///
    /// # Errors
    /// When it cannot be kept safe. The engine then stops the load and still delivers the rest.
    fn entry(&mut self, entry: Entry) -> Result<(), String>;
}

/// The wall clock: only used to notice that it was set.
pub trait WallClock {
    /// Milliseconds since the Unix epoch.
    fn unix_ms(&self) -> i64;
}

/// How urgently a run is to be stopped from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Not at all.
    #[default]
    Go,
    /// Send nothing more, and wait for what is in flight.
    Drain,
    /// Send nothing more, and wait for nothing.
    Now,
}
