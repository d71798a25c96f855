//! Waits for the moments at which requests are to leave.
//!
//! The runtime's own timers have a resolution of a millisecond and round up. On Linux a timer of the
//! kernel is armed with the absolute time instead, which meets it within tens of microseconds.

use super::clock::RunClock;
use std::time::Duration;
use tokio::time::Instant;

/// What a schedule is kept with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The kernel's timer, where there is one that can be awaited.
    Kernel,
    /// The runtime's, which tests can pause.
    Runtime,
}

/// So long before the moment a precise pacer begins to look at the clock all the time.
const SPIN: Duration = Duration::from_micros(50);

/// Waits for moments.
pub(super) struct Pacer {
    kernel: Option<kernel::KernelTimer>,
    /// Whether to spend CPU time on the last microseconds.
    precise: bool,
}

impl Pacer {
    pub(super) fn new(timer: Timer, clock: RunClock, precise: bool) -> Self {
        let kernel = match timer {
            // Where it cannot be had, the runtime's timer does, and the lateness says so.
            Timer::Kernel => kernel::KernelTimer::new(clock),
            Timer::Runtime => None,
        };
        Self { kernel, precise }
    }

    /// Returns at this moment, or at once if it has passed. May be dropped and called again.
    pub(super) async fn until(&mut self, at: Instant) {
        let wake = if self.precise { at - SPIN } else { at };
        if Instant::now() < wake {
            match &mut self.kernel {
                Some(timer) => timer.until(wake).await,
                None => tokio::time::sleep_until(wake).await,
            }
        }
        while self.precise && Instant::now() < at {
            // Whatever else is ready runs meanwhile.
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(target_os = "linux")]
mod kernel {
    use super::RunClock;
    use rustix::time::{
        ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec,
        clock_gettime, timerfd_create, timerfd_settime,
    };
    use std::os::fd::OwnedFd;
    use std::time::Duration;
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;
    use tokio::time::Instant;

    /// A timer of the kernel on the monotonic clock.
    pub(super) struct KernelTimer {
        timer: AsyncFd<OwnedFd>,
        clock: RunClock,
        /// The kernel's monotonic clock at the origin of the run's clock.
        origin: Duration,
        armed_for: Option<Instant>,
    }

    impl KernelTimer {
        /// A timer; `None` where the process may have no more descriptors.
        pub(super) fn new(clock: RunClock) -> Option<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags).ok()?;
            let before_ns = clock.now_ns();
            let now = clock_gettime(ClockId::Monotonic);
            let between_ns = u64::midpoint(before_ns, clock.now_ns());
            let now = Duration::new(
                u64::try_from(now.tv_sec).ok()?,
                u32::try_from(now.tv_nsec).ok()?,
            );
            #[expect(
                deprecated,
                reason = "it is unsound for types whose descriptor changes; that of an `OwnedFd` does not, \
                          and the other constructor is unsafe"
            )]
            let timer = AsyncFd::with_interest(timer, Interest::READABLE).ok()?;
            Some(Self {
                timer,
                clock,
                origin: now.checked_sub(Duration::from_nanos(between_ns))?,
                armed_for: None,
            })
        }

        pub(super) async fn until(&mut self, at: Instant) {
            if self.armed_for != Some(at) && self.arm(at).is_none() {
                tokio::time::sleep_until(at).await;
                return;
            }
            while Instant::now() < at {
                match self.timer.readable().await {
                    // Arming it again empties it; here only the notice is taken down.
                    Ok(mut ready) => ready.clear_ready(),
                    Err(_) => tokio::time::sleep_until(at).await,
                }
            }
        }

        fn arm(&mut self, at: Instant) -> Option<()> {
            let due = self.origin + Duration::from_nanos(self.clock.ns(at));
            let none = Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            let setting = Itimerspec {
                it_interval: none,
                it_value: Timespec {
                    tv_sec: i64::try_from(due.as_secs()).ok()?,
                    tv_nsec: due.subsec_nanos().into(),
                },
            };
            timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &setting).ok()?;
            self.armed_for = Some(at);
            Some(())
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod kernel {
    use super::RunClock;
    use tokio::time::Instant;

    /// There is no timer of the kernel that can be awaited here.
    pub(super) enum KernelTimer {}

    impl KernelTimer {
        pub(super) fn new(_: RunClock) -> Option<Self> {
            None
        }

        #[expect(clippy::unused_async, reason = "the same form as where there is one")]
        pub(super) async fn until(&mut self, _: Instant) {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Never early, whatever the timer, and late by no more than tests on a busy machine must bear.
    #[test]
    fn a_moment_is_awaited_and_never_early() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            for timer in [Timer::Kernel, Timer::Runtime] {
                for precise in [false, true] {
                    let clock = RunClock::start();
                    let mut pacer = Pacer::new(timer, clock, precise);
                    for millisecond in 1..=20u64 {
                        let at = clock.at(millisecond * 1_000_000);
                        // Dropped on the way, as a `select!` does, and taken up again.
                        let cut = tokio::time::timeout(Duration::ZERO, pacer.until(at)).await;
                        assert!(cut.is_err() || Instant::now() >= at);
                        pacer.until(at).await;
                        assert!(Instant::now() >= at);
                    }
                    // What has passed is not awaited.
                    pacer.until(clock.at(0)).await;
                }
            }
        });
    }
}
