//! What an exchange has come to so far.

use super::answer::Arrival;
use crate::engine::ports::{ConnectionUse, RunClock};
use crate::record::StepTimes;
use tokio::time::Instant;

/// What an exchange has come to so far; it survives the timeout. It is kept small: what a thousand slots
/// touch for each request must stay in the processor's caches.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) connection: ConnectionUse,
    /// The steps of opening a connection, if one was opened for it.
    pub(super) opening: Option<Box<StepTimes>>,
    pub(super) connecting: bool,
    /// When the first byte of the request was handed to the network.
    pub(super) sent: Option<Instant>,
    /// When the last one had been.
    pub(super) all_sent: Option<Instant>,
    /// When the first byte came after that.
    pub(super) first: Option<Instant>,
    pub(super) written: u64,
    pub(super) read: u64,
}

/// The times of an exchange, in nanoseconds since the start of the run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) sent: Option<u64>,
    pub(super) all_sent: Option<u64>,
    pub(super) first: Option<u64>,
    /// When the last bytes of a complete answer had been read.
    pub(super) last: Option<u64>,
    /// When the kernel had received them, where that is known.
    pub(super) received: Option<u64>,
}

impl Progress {
    /// The times of an exchange whose answer was complete then, if it was.
    pub(super) fn times(&self, completed: Option<Arrival>, clock: RunClock) -> Times {
        let ns = |at: Option<Instant>| at.map(|at| clock.ns(at));
        let sent = ns(self.sent);
        // A stamp from before the request is one of a wall clock that was set.
        let stamp = ns(completed.and_then(|at| at.kernel));
        Times {
            sent,
            all_sent: ns(self.all_sent),
            first: ns(self.first),
            last: ns(completed.map(|at| at.read)),
            received: stamp.filter(|&stamp| sent.is_some_and(|sent| stamp >= sent)),
        }
    }

    pub(super) fn steps(&self, times: &Times) -> StepTimes {
        let between = |from: Option<u64>, to: Option<u64>| to?.checked_sub(from?);
        StepTimes {
            send_ns: between(times.sent, times.all_sent),
            wait_ns: between(times.all_sent, times.first),
            transfer_ns: between(times.first, times.last),
            client_queue_ns: between(times.received, times.last),
            ..self.opening.as_deref().copied().unwrap_or_default()
        }
    }
}
