//! How the backend's loop waits: on its own thread to the microsecond, or on a runtime whose clock
//! a test has paused.
//!
//! The runtime's timers are rounded up to whole milliseconds, which would add up to one to every
//! batch; so the loop has a thread that parks instead.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use tokio::time::Instant;

/// Waits for an instant.
pub(super) trait Timer {
    /// Completes at this instant, or as soon after as it can.
    fn until(&self, at: Instant) -> impl Future<Output = ()>;
}

/// The timers of the current runtime.
pub(super) struct RuntimeTimer;

impl Timer for RuntimeTimer {
    fn until(&self, at: Instant) -> impl Future<Output = ()> {
        tokio::time::sleep_until(at)
    }
}

/// The timer of a thread that runs one future with [`block_on`] and nothing else.
#[derive(Default)]
pub(super) struct ThreadTimer {
    /// When the future wants to be polled again, if nothing wakes it before.
    alarm: Cell<Option<Instant>>,
}

impl Timer for ThreadTimer {
    fn until(&self, at: Instant) -> impl Future<Output = ()> {
        poll_fn(move |_| {
            if at <= Instant::now() {
                return Poll::Ready(());
            }
            let earlier = self.alarm.get().is_some_and(|alarm| alarm <= at);
            if !earlier {
                self.alarm.set(Some(at));
            }
            Poll::Pending
        })
    }
}

/// Runs a future on this thread to its end. It may wait for this timer and for whatever wakes it
/// from other threads, and for nothing that needs a runtime.
pub(super) fn block_on<F: Future>(timer: &ThreadTimer, future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        // Each poll says anew what it waits for.
        timer.alarm.set(None);
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        match timer.alarm.get() {
            Some(at) => {
                std::thread::park_timeout(at.saturating_duration_since(Instant::now()));
            }
            None => std::thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::sync::oneshot;

    #[test]
    fn waits_no_shorter_than_asked() {
        let timer = ThreadTimer::default();
        let begin = Instant::now();
        let wait = Duration::from_micros(300);
        block_on(&timer, timer.until(begin + wait));
        assert!(begin.elapsed() >= wait);
    }

    #[test]
    fn of_two_alarms_the_earlier_one_counts() {
        let timer = ThreadTimer::default();
        let begin = Instant::now();
        let (near, far) = (Duration::from_millis(1), Duration::from_hours(1));
        // Ends this hour only if the later alarm does not replace the earlier one.
        for (first, second) in [(near, far), (far, near)] {
            let earlier = async {
                tokio::select! {
                    biased;
                    () = timer.until(begin + first) => first,
                    () = timer.until(begin + second) => second,
                }
            };
            assert_eq!(block_on(&timer, earlier), near);
        }
    }

    #[test]
    fn another_thread_wakes_it() {
        let timer = ThreadTimer::default();
        let (sender, receiver) = oneshot::channel();
        let other = std::thread::spawn(move || sender.send(7));
        assert_eq!(block_on(&timer, receiver), Ok(7));
        assert_eq!(other.join().unwrap(), Ok(()));
    }
}
