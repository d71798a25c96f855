//! Waits for the moments at which requests are to leave.
//!
//! The runtime's own timers have a resolution of a millisecond and round up. On Linux a timer of the
//! kernel is armed with the absolute time instead, which meets it within tens of microseconds.

use super::clock::RunClock;

/// So long before the moment a precise pacer begins to look at the clock all the time, and the others at most.
const LONGEST_LEAD_NS: u64 = 50_000;

/// By so much a lead shrinks with each wake-up that was early enough, and grows by [`GROWTH`] times that with
/// each that was not.
const STEP_NS: u64 = 100;

/// Three of four wake-ups are early enough where the lead rests: the share is `GROWTH / (GROWTH + 1)`.
const GROWTH: u64 = 3;

/// One part in so many of the time may be spent looking at the clock, unless nothing is to be late.
const PARTS: u64 = 16;

/// What is not spent is kept up to this.
const LARGEST_PURSE_NS: u64 = 1_000_000;

/// How long before a moment to be woken for it: between the timer and the task that waits for it lie an
/// interrupt, the scheduler and the runtime, which take 5 to 30 µs. What is left then is spent looking at the clock.
#[derive(Clone, Copy, Debug)]
enum Lead {
    /// Always the longest.
    Longest,
    /// As long as most wake-ups were late so far: a quantile by stochastic approximation, which follows the
    /// machine, and which single late ones do not move.
    Learned(u64),
}

impl Lead {
    fn ns(self) -> u64 {
        match self {
            Self::Longest => LONGEST_LEAD_NS,
            Self::Learned(lead_ns) => lead_ns,
        }
    }

    /// A wake-up was late by this much.
    fn learn(&mut self, late_ns: u64) {
        if let Self::Learned(lead_ns) = self {
            *lead_ns = if late_ns > *lead_ns {
                (*lead_ns + STEP_NS * GROWTH).min(LONGEST_LEAD_NS)
            } else {
                lead_ns.saturating_sub(STEP_NS)
            };
        }
    }
}

/// The time that may be spent looking at the clock.
#[derive(Clone, Copy, Debug, Default)]
struct Purse {
    filled_at_ns: u64,
    ns: u64,
}

impl Purse {
    /// What is in it now.
    fn at(&mut self, now_ns: u64) -> u64 {
        let earned_ns = now_ns.saturating_sub(self.filled_at_ns) / PARTS;
        self.ns = (self.ns + earned_ns).min(LARGEST_PURSE_NS);
        self.filled_at_ns = now_ns;
        self.ns
    }

    fn spend(&mut self, ns: u64) {
        self.ns = self.ns.saturating_sub(ns);
    }
}

/// Waits for moments. Under a clock that tests can pause, and where the kernel's timer cannot be had, the runtime's
/// does, and the lateness says so.
pub(super) struct Pacer {
    clock: RunClock,
    kernel: Option<kernel::KernelTimer>,
    lead: Lead,
    purse: Purse,
}

impl Pacer {
    /// One that is `precise` spends more CPU time, so that hardly any request leaves late.
    pub(super) fn new(clock: RunClock, precise: bool) -> Self {
        Self {
            clock,
            kernel: kernel::KernelTimer::new(clock),
            lead: if precise {
                Lead::Longest
            } else {
                Lead::Learned(0)
            },
            purse: Purse::default(),
        }
    }

    /// How long before a moment to be woken now.
    fn lead_ns(&mut self, now_ns: u64) -> u64 {
        let lead_ns = self.lead.ns();
        match self.lead {
            Lead::Learned(_) if lead_ns > self.purse.at(now_ns) => 0,
            _ => lead_ns,
        }
    }

    /// Returns at this moment, in nanoseconds since the start of the run; if it has passed, once the other tasks have had
    /// their turn. May be dropped and called again.
    pub(super) async fn until(&mut self, at_ns: u64) {
        let mut now_ns = self.clock.now_ns();
        if now_ns >= at_ns {
            return tokio::task::yield_now().await;
        }
        let wake_ns = at_ns.saturating_sub(self.lead_ns(now_ns));
        if now_ns < wake_ns {
            if let Some(timer) = &mut self.kernel {
                timer.until(wake_ns).await;
                now_ns = self.clock.now_ns();
                self.lead.learn(now_ns.saturating_sub(wake_ns));
            } else {
                tokio::time::sleep_until(self.clock.at(wake_ns)).await;
                now_ns = self.clock.now_ns();
            }
        }
        while now_ns < at_ns {
            // Whatever else is ready runs meanwhile.
            tokio::task::yield_now().await;
            let looked_ns = self.clock.now_ns();
            self.purse.spend(looked_ns.saturating_sub(now_ns));
            now_ns = looked_ns;
        }
    }
}

#[cfg(target_os = "linux")]
mod kernel {
    use super::RunClock;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use std::os::fd::OwnedFd;
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    /// A timer of the kernel on the monotonic clock.
    pub(super) struct KernelTimer {
        timer: AsyncFd<OwnedFd>,
        clock: RunClock,
        /// The kernel's monotonic clock at the start of the run.
        origin_ns: u64,
        armed_for_ns: Option<u64>,
    }

    impl KernelTimer {
        /// A timer; `None` where the clock is not the kernel's, or the process may have no more descriptors.
        pub(super) fn new(clock: RunClock) -> Option<Self> {
            let origin_ns = clock.origin_of_kernel_ns()?;
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags).ok()?;
            #[expect(
                deprecated,
                reason = "it is unsound for types whose descriptor changes; that of an `OwnedFd` does not, \
                          and the other constructor is unsafe"
            )]
            let timer = AsyncFd::with_interest(timer, Interest::READABLE).ok()?;
            Some(Self {
                timer,
                clock,
                origin_ns,
                armed_for_ns: None,
            })
        }

        pub(super) async fn until(&mut self, at_ns: u64) {
            if self.armed_for_ns != Some(at_ns) && self.arm(at_ns).is_none() {
                return self.sleep_until(at_ns).await;
            }
            while self.clock.now_ns() < at_ns {
                match self.timer.readable().await {
                    // Arming it again empties it; here only the notice is taken down.
                    Ok(mut ready) => ready.clear_ready(),
                    Err(_) => self.sleep_until(at_ns).await,
                }
            }
        }

        /// The runtime's timer, should the kernel's fail.
        async fn sleep_until(&self, at_ns: u64) {
            tokio::time::sleep_until(self.clock.at(at_ns)).await;
        }

        fn arm(&mut self, at_ns: u64) -> Option<()> {
            const SECOND_NS: u64 = 1_000_000_000;
            let due_ns = self.origin_ns.checked_add(at_ns)?;
            let none = Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            let setting = Itimerspec {
                it_interval: none,
                it_value: Timespec {
                    tv_sec: i64::try_from(due_ns / SECOND_NS).ok()?,
                    tv_nsec: i64::try_from(due_ns % SECOND_NS).ok()?,
                },
            };
            timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &setting).ok()?;
            self.armed_for_ns = Some(at_ns);
            Some(())
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod kernel {
    use super::RunClock;

    /// There is no timer of the kernel that can be awaited here.
    pub(super) enum KernelTimer {}

    impl KernelTimer {
        pub(super) fn new(_: RunClock) -> Option<Self> {
            None
        }

        #[expect(clippy::unused_async, reason = "the same form as where there is one")]
        pub(super) async fn until(&mut self, _: u64) {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;
    use std::time::Duration;

    /// The lead follows what most wake-ups take, up and down, and not the few that take far longer.
    #[test]
    fn a_lead_is_as_long_as_most_wake_ups_are_late() {
        let mut random = Pcg64Mcg::seed_from_u64(11);
        let mut lead = Lead::Learned(0);
        for usual_ns in [5_000..13_000, 20_000..28_000, 2_000..4_000] {
            let mut early_enough = 0;
            for wake_up in 0..20_000 {
                let late_ns = if random.random_range(0..50) == 0 {
                    5_000_000
                } else {
                    random.random_range(usual_ns.clone())
                };
                early_enough += u32::from(wake_up >= 10_000 && late_ns <= lead.ns());
                lead.learn(late_ns);
            }
            assert!((7_000..8_000).contains(&early_enough), "{early_enough}");
        }
        // A machine that is always late gets no more than the longest.
        for _ in 0..1000 {
            lead.learn(4_000_000);
        }
        assert_eq!(lead.ns(), LONGEST_LEAD_NS);
    }

    /// A schedule of many requests a second leaves no time for looks at the clock: there the timer has to do.
    #[test]
    fn looking_at_the_clock_takes_its_share_and_no_more() {
        for (gap_ns, look_ns, share_of_leads) in [
            // As at 10 000, 50 000 and 1000 requests a second.
            (100_000, 3_000, 0.99..=1.0),
            (20_000, 3_000, 0.35..=0.5),
            (1_000_000, 20_000, 0.99..=1.0),
        ] {
            let mut purse = Purse::default();
            let (mut leads, mut looked_ns) = (0, 0);
            for request in 1..=10_000_u64 {
                if purse.at(request * gap_ns) >= 10_000 {
                    leads += 1;
                    looked_ns += look_ns;
                    purse.spend(look_ns);
                }
            }
            let share = f64::from(leads) / 10_000.0;
            assert!(share_of_leads.contains(&share), "{gap_ns}: {share}");
            assert!(
                looked_ns * PARTS <= 10_000 * gap_ns,
                "{gap_ns}: {looked_ns}"
            );
        }
    }

    /// Never early, whatever the timer.
    #[test]
    fn a_moment_is_awaited_and_never_early() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            for clock in [RunClock::start(), RunClock::of_runtime()] {
                for precise in [false, true] {
                    let mut pacer = Pacer::new(clock, precise);
                    let from_ms = clock.now_ns() / 1_000_000;
                    for millisecond in 1..=20 {
                        let at_ns = (from_ms + millisecond) * 1_000_000;
                        // Dropped on the way, as a `select!` does, and taken up again.
                        let cut = tokio::time::timeout(Duration::ZERO, pacer.until(at_ns)).await;
                        assert!(cut.is_err() || clock.now_ns() >= at_ns);
                        pacer.until(at_ns).await;
                        assert!(clock.now_ns() >= at_ns);
                    }
                    // What has passed is not awaited.
                    pacer.until(0).await;
                }
            }
        });
    }
}
