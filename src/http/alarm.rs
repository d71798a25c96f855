//! The deadline of a slot's requests.
//!
//! Most requests end long before it, and each has a later one than the one before. So the runtime's timer
//! stays where it is: when it goes off and the deadline has moved on meanwhile, it is set anew. A slot
//! touches it once in a timeout instead of once in a request.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::time::{Instant, Sleep, sleep_until};

/// Goes off at the deadline of one request after the other.
#[derive(Default)]
pub(super) struct Alarm(Option<Set>);

/// A timer of the runtime that has been set.
struct Set {
    /// When it goes off.
    at: Instant,
    /// Whom it wakes then.
    waker: Waker,
    sleep: Pin<Box<Sleep>>,
}

impl Alarm {
    /// Awaits something until a deadline; `None` if that came first.
    pub(super) fn within<'a, F: Future>(
        &'a mut self,
        deadline: Instant,
        future: Pin<&'a mut F>,
    ) -> Within<'a, F> {
        Within {
            alarm: self,
            deadline,
            future,
        }
    }

    /// Ready once the deadline is over; until then, the task is woken when it is.
    fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        // A timer that has not gone off, and will do so in time, needs no look at the clock.
        if let Some(set) = &self.0
            && !set.sleep.is_elapsed()
            && set.at <= deadline
            && set.waker.will_wake(cx.waker())
        {
            return Poll::Pending;
        }
        if Instant::now() >= deadline {
            return Poll::Ready(());
        }
        let set = match &mut self.0 {
            Some(set) => {
                set.sleep.as_mut().reset(deadline);
                set.at = deadline;
                set.waker.clone_from(cx.waker());
                set
            }
            none => none.insert(Set {
                at: deadline,
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
    deadline: Instant,
    future: Pin<&'a mut F>,
}

impl<F: Future> Future for Within<'_, F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(output) = self.future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        let deadline = self.deadline;
        self.alarm.poll(cx, deadline).map(|()| None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use std::pin::pin;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn every_deadline_holds_whatever_came_before() {
        let begin = Instant::now();
        let mut alarm = Alarm::default();
        // A request that is over at once, and leaves the timer as it is.
        for seconds in [10, 11, 12] {
            let over = pin!(ready(seconds));
            let deadline = begin + seconds * SECOND;
            assert_eq!(alarm.within(deadline, over).await, Some(seconds));
        }
        // One that is not over is given up at its deadline: a later one than the timer's (12 s after
        // it was set for 5 s), an earlier one, and one that is set after the timer went off in vain.
        let mut elapsed = Duration::ZERO;
        for (pause, limit) in [(0, 5), (0, 7), (0, 3), (20, 4), (0, 1)] {
            tokio::time::sleep(pause * SECOND).await;
            let short = pin!(tokio::time::sleep(SECOND / 2));
            let deadline = Instant::now() + limit * SECOND;
            assert_eq!(alarm.within(deadline, short).await, Some(()));
            assert_eq!(alarm.within(deadline, pin!(pending::<()>())).await, None);
            elapsed += (pause + limit) * SECOND;
            let late = begin.elapsed().saturating_sub(elapsed);
            assert!(late < Duration::from_millis(10), "{limit}: {late:?}");
            assert!(begin.elapsed() >= elapsed, "{limit}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_awaits_is_woken() {
        let mut alarm = Alarm::default();
        let begin = Instant::now();
        for round in 1..4 {
            // Each in a task of its own, with a waker of its own.
            let task = async move {
                let done = alarm
                    .within(begin + round * SECOND, pin!(pending::<()>()))
                    .await;
                (alarm, done)
            };
            let (back, done) = tokio::spawn(task).await.expect("it does not panic");
            assert_eq!(done, None);
            alarm = back;
        }
    }
}
