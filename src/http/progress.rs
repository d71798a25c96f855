//! What an exchange has come to so far.

use super::answer::Arrival;
use crate::engine::ports::ConnectionUse;
use crate::record::StepTimes;

/// What an exchange has come to so far; it survives the timeout. It is kept small: what a thousand slots
/// touch for each request must stay in the processor's caches.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) connection: ConnectionUse,
    /// The steps of opening a connection, if one was opened for it.
    pub(super) opening: Option<Box<StepTimes>>,
    pub(super) connecting: bool,
    /// When the first byte of the request was handed to the network. This and the others in nanoseconds since the
    /// start of the run.
    pub(super) sent_ns: Option<u64>,
    /// When the last one had been.
    pub(super) all_sent_ns: Option<u64>,
    /// When the first byte came after that.
    pub(super) first_ns: Option<u64>,
    pub(super) written: u64,
    pub(super) read: u64,
}

impl Progress {
    /// When the kernel had received an answer that was complete then. A stamp from before the request is one of a
    /// wall clock that was set.
    pub(super) fn received_ns(&self, completed: Arrival) -> Option<u64> {
        let stamp_ns = completed.kernel_ns?;
        (stamp_ns >= self.sent_ns?).then_some(stamp_ns)
    }
}
