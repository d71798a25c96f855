//! The run's clock: monotonic, in nanoseconds since the run began.

use std::time::Duration;
use tokio::time::Instant;

/// Maps instants to nanoseconds since the start of the run.
#[derive(Clone, Copy, Debug)]
pub struct RunClock {
    origin: Instant,
}

impl RunClock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    /// Nanoseconds from the start of the run to an instant; 0 for earlier ones.
    pub fn ns(&self, instant: Instant) -> u64 {
        let elapsed = instant.saturating_duration_since(self.origin);
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Nanoseconds from the start of the run to now.
    pub fn now_ns(&self) -> u64 {
        self.ns(Instant::now())
    }

    /// The instant so many nanoseconds after the start of the run.
    pub fn at(&self, ns: u64) -> Instant {
        self.origin + Duration::from_nanos(ns)
    }
}
