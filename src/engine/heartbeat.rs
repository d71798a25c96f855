//! What the control side notices about time: that this program stood still, and that the wall clock was set.

use super::clock::RunClock;
use super::ports::WallClock;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

/// The control side's own heartbeat.
pub(super) struct Pulse {
    pub(super) ticks: tokio::time::Interval,
}

impl Pulse {
    pub(super) fn start() -> Self {
        let period = Duration::from_millis(500);
        let mut ticks = tokio::time::interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Self { ticks }
    }
}

/// Notices that the wall clock was set, by comparing it with the monotonic one.
pub(super) struct WallWatch<'a> {
    wall: &'a dyn WallClock,
    clock: RunClock,
    offset_ms: i64,
}

impl<'a> WallWatch<'a> {
    pub(super) fn new(wall: &'a dyn WallClock, clock: RunClock) -> Self {
        let mut watch = Self {
            wall,
            clock,
            offset_ms: 0,
        };
        watch.offset_ms = watch.offset();
        watch
    }

    fn offset(&self) -> i64 {
        self.wall.unix_ms() - i64::try_from(self.clock.now_ns() / 1_000_000).unwrap_or(i64::MAX)
    }

    /// By how much the clock was set since the last look, if by more than slewing explains.
    pub(super) fn step(&mut self) -> Option<i64> {
        const LARGEST_SLEW_MS: i64 = 500;
        let offset = self.offset();
        let by = offset - self.offset_ms;
        if by.abs() <= LARGEST_SLEW_MS {
            return None;
        }
        self.offset_ms = offset;
        Some(by)
    }
}
