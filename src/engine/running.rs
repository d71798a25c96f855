//! A phase that runs, as the control side sees it: the seconds of all its workers become one.

use super::ports::Stop;
use super::worker::Finished;
use crate::record::Interval;
use crate::verdict::Lookout;
use std::collections::BTreeMap;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

/// A phase that runs.
pub(super) struct Running {
    pub(super) merge: Merge,
    /// Where each worker gets its emptied seconds back.
    pub(super) spares: Vec<UnboundedSender<Box<Interval>>>,
    pub(super) finished: Vec<Finished>,
    /// Tells the workers of this phase to stop early.
    pub(super) halt: watch::Sender<Stop>,
    /// Says when its gates are decided, where that may be before its end.
    pub(super) lookout: Option<Lookout>,
}

impl Running {
    /// Stops its workers at least as urgently as this.
    pub(super) fn stop(&self, level: Stop) {
        self.halt.send_if_modified(|known| {
            let more = level > *known;
            *known = level.max(*known);
            more
        });
    }
}

/// Merges the seconds of all workers, each of which delivers its own in order.
pub(super) struct Merge {
    /// How many seconds each worker has delivered; `u32::MAX` when it has finished.
    delivered: Vec<u32>,
    pending: BTreeMap<u32, Interval>,
}

impl Merge {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            delivered: vec![0; workers],
            pending: BTreeMap::new(),
        }
    }

    pub(super) fn add(
        &mut self,
        worker: usize,
        mut interval: Box<Interval>,
        spares: &[UnboundedSender<Box<Interval>>],
    ) {
        self.delivered[worker] = interval.index + 1;
        let merged = self
            .pending
            .entry(interval.index)
            .or_insert_with(|| Interval {
                index: interval.index,
                ..Interval::default()
            });
        merged.merge(&mut interval);
        // The worker may have finished meanwhile and want it back no more.
        let _ = spares[worker].send(interval);
    }

    pub(super) fn finish(&mut self, worker: usize) {
        self.delivered[worker] = u32::MAX;
    }

    /// The earliest second, once every worker has delivered it.
    pub(super) fn next_complete(&mut self) -> Option<Interval> {
        let first = *self.pending.keys().next()?;
        let complete = self.delivered.iter().all(|&delivered| delivered > first);
        complete.then(|| self.pending.remove(&first)).flatten()
    }
}
