//! Ctrl-C and SIGTERM: once to stop and drain, twice to stop now.

use super::Output;
use crate::engine::ports::Stop;
use tokio::sync::watch;

/// Watches for signals from now on; the receiver tells how urgently to stop.
///
/// Must be called inside a runtime.
pub(super) fn watch_for_stop(output: Output) -> watch::Receiver<Stop> {
    let (sender, receiver) = watch::channel(Stop::Go);
    tokio::spawn(async move {
        next_signal().await;
        output.say("\nstopping: waiting for the requests in flight (again to stop at once)");
        sender.send_replace(Stop::Drain);
        next_signal().await;
        output.say("\nstopping at once");
        sender.send_replace(Stop::Now);
        // Keeps the channel open, so that the engine goes on listening.
        sender.closed().await;
    });
    receiver
}

/// Waits for the first signal that asks this process to end.
pub(super) async fn next_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let (Ok(mut interrupt), Ok(mut terminate)) = (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        ) {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        // Without signals the run goes on to its planned end.
        std::future::pending::<()>().await;
    }
}
