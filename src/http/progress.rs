//! What an exchange has come to so far.

use super::answer::Arrival;
use crate::engine::ports::ConnectionUse;
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

impl Progress {
    /// The kernel's stamp, unless the wall clock was set meanwhile: then it may lie before the request.
    pub(super) fn believable(&self, stamp: Option<Instant>) -> Option<Instant> {
        stamp.filter(|stamp| self.sent.is_some_and(|sent| *stamp >= sent))
    }

    pub(super) fn steps(&self, last: Option<Arrival>, received: Option<Instant>) -> StepTimes {
        let between = |from: Option<Instant>, to: Option<Instant>| {
            let time = to?.checked_duration_since(from?)?;
            u64::try_from(time.as_nanos()).ok()
        };
        let last = last.map(|at| at.read);
        StepTimes {
            send_ns: between(self.sent, self.all_sent),
            wait_ns: between(self.all_sent, self.first),
            transfer_ns: between(self.first, last),
            client_queue_ns: between(received, last),
            ..self.opening.as_deref().copied().unwrap_or_default()
        }
    }
}
