//! When a request left, as its connection saw it.

use std::cell::Cell;
use tokio::time::Instant;

/// When the frames of one request were handed to the network; a slot uses it again and again.
#[derive(Debug, Default)]
pub(super) struct Departure {
    begun: Cell<Option<Instant>>,
    ended: Cell<Option<Instant>>,
}

impl Departure {
    pub(super) fn reset(&self) {
        self.begun.set(None);
        self.ended.set(None);
    }

    /// A write, from its begin to its end, took what there was of the request; whether that was the last.
    pub(super) fn written(&self, from: Instant, to: Instant, whole: bool) {
        if self.begun.get().is_none() {
            self.begun.set(Some(from));
        }
        if whole {
            self.ended.set(Some(to));
        }
    }

    /// When the first bytes were handed over.
    pub(super) fn begun(&self) -> Option<Instant> {
        self.begun.get()
    }

    /// When the last ones had been.
    pub(super) fn ended(&self) -> Option<Instant> {
        self.ended.get()
    }
}
