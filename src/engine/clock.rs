//! The run's clock: monotonic, in nanoseconds since the run began.

use crate::units::nanoseconds;
use std::time::Duration;
use tokio::time::Instant;

/// Tells the nanoseconds since the start of the run.
///
/// A request looks at the clock several times. So the kernel's monotonic clock is read by itself where it can be,
/// which an [`Instant`] is one and the same with, and comes in nanoseconds at once.
#[derive(Clone, Copy, Debug)]
pub struct RunClock {
    origin: Instant,
    /// What the kernel's monotonic clock said then; `None` where it is not read by itself.
    origin_of_kernel_ns: Option<u64>,
    can_be_paused: bool,
}

impl RunClock {
    /// A clock that starts now.
    pub fn start() -> Self {
        // The narrowest of a few looks: between the two of one the process may be held up.
        let looks = (0..5).filter_map(|_| {
            let (before_ns, origin, after_ns) = (kernel_ns()?, Instant::now(), kernel_ns()?);
            Some((after_ns - before_ns, before_ns, origin))
        });
        let narrowest = looks.min_by_key(|(width_ns, ..)| *width_ns);
        Self {
            origin: narrowest.map_or_else(Instant::now, |(.., origin)| origin),
            origin_of_kernel_ns: narrowest.map(|(width_ns, before_ns, _)| before_ns + width_ns / 2),
            can_be_paused: false,
        }
    }

    /// The runtime's clock from now on, which tests can pause.
    pub fn of_runtime() -> Self {
        Self {
            origin: Instant::now(),
            origin_of_kernel_ns: None,
            can_be_paused: true,
        }
    }

    /// Whether it stands still while the runtime's clock does.
    pub fn can_be_paused(&self) -> bool {
        self.can_be_paused
    }

    /// What the kernel's monotonic clock said at the start of the run, in nanoseconds; `None` where that clock is
    /// not read by itself.
    pub fn origin_of_kernel_ns(&self) -> Option<u64> {
        self.origin_of_kernel_ns
    }

    /// Nanoseconds from the start of the run to an instant; 0 for earlier ones.
    pub fn ns(&self, instant: Instant) -> u64 {
        nanoseconds(instant.saturating_duration_since(self.origin))
    }

    /// Nanoseconds from the start of the run to now.
    #[inline]
    pub fn now_ns(&self) -> u64 {
        match (self.origin_of_kernel_ns, kernel_ns()) {
            (Some(origin_ns), Some(now_ns)) => now_ns.saturating_sub(origin_ns),
            _ => self.ns(Instant::now()),
        }
    }

    /// The instant so many nanoseconds after the start of the run.
    pub fn at(&self, ns: u64) -> Instant {
        self.origin + Duration::from_nanos(ns)
    }
}

/// The kernel's monotonic clock, in nanoseconds.
#[cfg(target_os = "linux")]
#[expect(
    clippy::unnecessary_wraps,
    reason = "the same form as where there is none"
)]
fn kernel_ns() -> Option<u64> {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    // It counts from the start of the machine.
    Some(now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned())
}

/// None that an [`Instant`] is sure to be one and the same with.
#[cfg(not(target_os = "linux"))]
fn kernel_ns() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Read directly or by way of the runtime: the same, and never backwards.
    #[test]
    fn the_kernels_clock_and_instants_tell_the_same_time() {
        let clock = RunClock::start();
        assert_eq!(
            clock.origin_of_kernel_ns().is_some(),
            cfg!(target_os = "linux")
        );
        let apart_ns = (0..100)
            .map(|_| {
                let before_ns = clock.now_ns();
                let instant_ns = clock.ns(Instant::now());
                let after_ns = clock.now_ns();
                assert!(before_ns <= after_ns);
                before_ns
                    .abs_diff(instant_ns)
                    .max(after_ns.abs_diff(instant_ns))
            })
            .min()
            .expect("a hundred looks");
        assert!(apart_ns < 1_000_000, "{apart_ns}");
        assert_eq!(clock.ns(clock.at(1_234_567)), 1_234_567);
        assert_eq!(clock.ns(clock.at(0)), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_runtimes_clock_stands_still_while_it_is_paused() {
        let clock = RunClock::of_runtime();
        // Meanwhile time passes, where that can be seen.
        let passing = RunClock::start();
        while passing.origin_of_kernel_ns().is_some() && passing.now_ns() < 2_000_000 {}
        assert_eq!(clock.now_ns(), 0);
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(clock.now_ns(), 3_000_000_000);
    }
}
