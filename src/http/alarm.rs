//! The deadline of a slot's requests.
//!
//! Most requests end long before it, and each has a later one than the one before. So the runtime's timer
//! stays where it is: when it goes off and the deadline has moved on meanwhile, it is set anew. A slot
//! touches it once in a timeout instead of once in a request.

use crate::engine::ports::RunClock;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::time::{Sleep, sleep_until};

/// Goes off at the deadline of one request after the other.
#[derive(Default)]
pub(super) struct Alarm(Option<Set>);

/// A timer of the runtime that has been set.
struct Set {
    /// When it goes off, in nanoseconds since the start of the run.
    at_ns: u64,
    /// Whom it wakes then.
    waker: Waker,
    sleep: Pin<Box<Sleep>>,
}

impl Alarm {
    /// Awaits something until a deadline; `None` if that came first.
    pub(super) fn within<'a, F: Future>(
        &'a mut self,
        deadline_ns: u64,
        clock: RunClock,
        future: Pin<&'a mut F>,
    ) -> Within<'a, F> {
        Within {
            alarm: self,
            deadline_ns,
            clock,
            future,
        }
    }

    /// Ready once the deadline is over; until then, the task is woken when it is.
    fn poll(&mut self, cx: &mut Context<'_>, deadline_ns: u64, clock: RunClock) -> Poll<()> {
        // A timer that has not gone off, and will do so in time, needs no look at the clock.
        if let Some(set) = &self.0
            && !set.sleep.is_elapsed()
            && set.at_ns <= deadline_ns
            && set.waker.will_wake(cx.waker())
        {
            return Poll::Pending;
        }
        if clock.now_ns() >= deadline_ns {
            return Poll::Ready(());
        }
        let deadline = clock.at(deadline_ns);
        let set = match &mut self.0 {
            Some(set) => {
                set.sleep.as_mut().reset(deadline);
                set.at_ns = deadline_ns;
                set.waker.clone_from(cx.waker());
                set
            }
            none => none.insert(Set {
                at_ns: deadline_ns,
                waker: cx.waker().clone(),
                sleep: Box::pin(sleep_until(deadline)),
            }),
        };
        set.sleep.as_mut().poll(cx)
    }
}

/// The future of [`Alarm::within`]. What it awaits is pinned by the caller: given by value it would be
/// there twice, and what a thousand slots carry must stay in the processor's caches.
pub(super) struct Within<'a, F> {
    alarm: &'a mut Alarm,
    deadline_ns: u64,
    clock: RunClock,
    future: Pin<&'a mut F>,
}

impl<F: Future> Future for Within<'_, F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(output) = self.future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        let (deadline_ns, clock) = (self.deadline_ns, self.clock);
        self.alarm.poll(cx, deadline_ns, clock).map(|()| None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use std::pin::pin;
    use std::time::Duration;

    const SECOND_NS: u64 = 1_000_000_000;

    async fn seconds(count: u64) {
        tokio::time::sleep(Duration::from_secs(count)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn every_deadline_holds_whatever_came_before() {
        let clock = RunClock::of_runtime();
        let mut alarm = Alarm::default();
        // A request that is over at once, and leaves the timer as it is.
        for second in [10, 11, 12] {
            let over = pin!(ready(second));
            let within = alarm.within(second * SECOND_NS, clock, over);
            assert_eq!(within.await, Some(second));
        }
        // One that is not over is given up at its deadline: a later one than the timer's (12 s after
        // it was set for 5 s), an earlier one, and one that is set after the timer went off in vain.
        let mut passed = 0;
        for (pause, limit) in [(0, 5), (0, 7), (0, 3), (20, 4), (0, 1)] {
            seconds(pause).await;
            let short = pin!(tokio::time::sleep(Duration::from_millis(500)));
            let deadline_ns = clock.now_ns() + limit * SECOND_NS;
            assert_eq!(alarm.within(deadline_ns, clock, short).await, Some(()));
            let endless = pin!(pending::<()>());
            assert_eq!(alarm.within(deadline_ns, clock, endless).await, None);
            passed += pause + limit;
            let late_ns = clock.now_ns().checked_sub(passed * SECOND_NS);
            let late_ns = late_ns.expect("nothing is given up early");
            assert!(late_ns < 10_000_000, "{limit}: {late_ns}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_awaits_is_woken() {
        let mut alarm = Alarm::default();
        let clock = RunClock::of_runtime();
        for round in 1..4 {
            // Each in a task of its own, with a waker of its own.
            let task = async move {
                let endless = pin!(pending::<()>());
                let done = alarm.within(round * SECOND_NS, clock, endless).await;
                (alarm, done)
            };
            let (back, done) = tokio::spawn(task).await.expect("it does not panic");
            assert_eq!(done, None);
            alarm = back;
        }
    }
}
