//! How long a task of a worker that is ready waits for its turn.
//!
//! What a late timer shows is mostly the timer: the runtime's counts in milliseconds. A task that
//! gives up its turn and is at once ready again waits behind all others and behind one look at the
//! sockets, as the end of an answer does.

use super::worker::Shared;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::AbortHandle;

/// Rare enough to cost nothing, often enough for a percentile in every second.
const PERIOD: Duration = Duration::from_millis(5);

/// Ends its task when it is dropped.
pub(super) struct Watch(Option<AbortHandle>);

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Looks from now on. Not under a clock that tests can pause, which stands still while tasks wait.
pub(super) fn start(shared: &Rc<Shared>) -> Watch {
    if shared.orders.clock.can_be_paused() {
        return Watch(None);
    }
    let shared = Rc::clone(shared);
    let task = tokio::task::spawn_local(async move {
        loop {
            tokio::time::sleep(PERIOD).await;
            let ready_ns = shared.now_ns();
            tokio::task::yield_now().await;
            let delay_ns = shared.now_ns() - ready_ns;
            shared.recorder.borrow_mut().delayed(delay_ns);
        }
    });
    Watch(Some(task.abort_handle()))
}
