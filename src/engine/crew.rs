//! The threads that work: each runs its share of every phase of a step.

use super::Placement;
use super::control::Message;
use super::ports::Target;
use super::worker::{self, Orders};
use crate::plan::Plan;
use futures_util::future::join_all;
use tokio::runtime::LocalOptions;
use tokio::sync::mpsc::UnboundedSender;

/// The runtime takes in so many events at once. A user that sends its next request does so after the
/// others of its turn have read their answers: were there more of them, the connection would have left the
/// processor's caches meanwhile.
const EVENTS_AT_ONCE: usize = 128;
/// After so many tasks the runtime looks for what has come: those that read in this turn, and those
/// that send what the turn before had answered.
const EVENT_INTERVAL: u32 = 256;

/// What is needed to start the workers of a phase.
pub(super) struct Crew<'a, T> {
    pub(super) plan: &'a Plan,
    pub(super) target: &'a T,
    pub(super) out: &'a UnboundedSender<Message>,
}

/// A worker that runs somewhere.
pub(super) enum Hand {
    Thread(std::thread::JoinHandle<()>),
    Task(tokio::task::JoinHandle<()>),
}

impl Hand {
    pub(super) async fn join(self) {
        match self {
            // It has said that it is finished: this does not wait.
            Self::Thread(thread) => drop(thread.join()),
            Self::Task(task) => drop(task.await),
        }
    }
}

/// Starts a thread with its share of every phase of a step.
pub(super) fn start_thread<T: Target>(
    orders: Vec<Orders>,
    crew: &Crew<'_, T>,
    placement: Placement,
) -> Hand {
    let out = crew.out.clone();
    let target = crew.target.clone();
    match placement {
        Placement::SameThread => Hand::Task(tokio::task::spawn_local(run_all(orders, target, out))),
        Placement::Threads => {
            let number = orders.first().map_or(0, |orders| orders.worker);
            let thread = std::thread::Builder::new()
                .name(format!("load-{number}"))
                .spawn(move || {
                    let broken = BrokenGuard { out: out.clone() };
                    // Looks at sockets and timers often: what has come waits behind so many tasks.
                    let runtime = tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        .event_interval(EVENT_INTERVAL)
                        .max_io_events_per_tick(EVENTS_AT_ONCE)
                        .build_local(LocalOptions::default())
                        .expect("a runtime needs an epoll instance and a pipe");
                    runtime.block_on(run_all(orders, target, out));
                    drop(runtime);
                    std::mem::forget(broken);
                })
                .expect("the system can start a thread for each core");
            Hand::Thread(thread)
        }
    }
}

/// Runs a thread's share of every phase to its end.
async fn run_all<T: Target>(orders: Vec<Orders>, target: T, out: UnboundedSender<Message>) {
    let workers = orders.into_iter().map(|orders| {
        let (target, out) = (target.clone(), out.clone());
        async move {
            let (phase, worker) = (orders.phase_index, orders.worker);
            let finished = worker::run(orders, target).await;
            let _ = out.send(Message::Finished {
                phase,
                worker,
                finished,
            });
        }
    });
    join_all(workers).await;
}

/// Tells the control side when a worker's thread unwinds.
struct BrokenGuard {
    out: UnboundedSender<Message>,
}

impl Drop for BrokenGuard {
    fn drop(&mut self) {
        let message = "its thread panicked; the message stands above".to_owned();
        let _ = self.out.send(Message::Broken { message });
    }
}
