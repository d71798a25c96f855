//! One worker: its slots, each sending one request after the other, for one phase.

use super::clock::RunClock;
use super::control::Message;
use super::ports::{Call, Slot, Stop, Target};
use super::recorder::{MeasuredWindow, Recorder, Ticket};
use crate::plan::PhasePlan;
use crate::record::Interval;
use crate::schedule::{self, part_of};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};

/// A slot that could not connect waits this long, as a client would: without it, a target that refuses
/// at once would be counted by how fast this machine can ask.
const PAUSE_AFTER_FAILED_CONNECT: Duration = Duration::from_millis(100);

/// What a worker is told to do in one phase.
pub(super) struct Orders {
    pub(super) worker: usize,
    pub(super) workers: usize,
    pub(super) phase: PhasePlan,
    /// The phase's position in the plan: part of the seed.
    pub(super) phase_index: usize,
    pub(super) started_ns: u64,
    pub(super) timeout: Duration,
    pub(super) seed: u64,
    pub(super) clock: RunClock,
    pub(super) stop: watch::Receiver<Stop>,
    pub(super) out: UnboundedSender<Message>,
    pub(super) spares: UnboundedReceiver<Box<Interval>>,
}

/// When the worker stopped taking up requests, and when its last one was over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finished {
    pub(super) measured_to_ns: u64,
    pub(super) ended_ns: u64,
}

/// What the slots of one worker share. Never borrowed across an await.
struct Shared {
    orders: Orders,
    recorder: RefCell<Recorder>,
    /// When nothing more is taken up, known in advance or set when it happens.
    closes_ns: Cell<u64>,
    /// Measured requests still to be taken up, in phases that end by count.
    quota: Cell<u64>,
    next_number: Cell<u64>,
    /// The request that each slot is busy with.
    tickets: Vec<Cell<Option<Ticket>>>,
    last_end_ns: Cell<u64>,
}

impl Shared {
    /// The next request of a closed loop: intended to start when the one before was over.
    fn take(&self, slot: usize, intended_ns: u64, random: &mut Pcg64Mcg) -> Option<Ticket> {
        if intended_ns >= self.closes_ns.get() {
            return None;
        }
        let measured = intended_ns >= self.recorder.borrow().window.from_ns;
        if measured {
            let left = self.quota.get().checked_sub(1)?;
            self.quota.set(left);
        }
        let mix = &self.orders.phase.mix;
        let request = mix.pick(random.random_range(0..mix.total()));
        let ticket = Ticket {
            request,
            intended_ns,
            taken_ns: intended_ns.max(self.orders.started_ns),
            measured,
        };
        self.recorder.borrow_mut().begin(&ticket);
        self.tickets[slot].set(Some(ticket));
        Some(ticket)
    }

    fn number(&self) -> u64 {
        let number = self.next_number.get();
        self.next_number.set(number + self.orders.workers as u64);
        number
    }

    /// Takes up nothing more from now on.
    fn close(&self, now_ns: u64) {
        if now_ns < self.closes_ns.get() {
            self.closes_ns.set(now_ns);
            let mut recorder = self.recorder.borrow_mut();
            recorder.rotate(now_ns);
            recorder.window.to_ns = recorder.window.to_ns.min(now_ns);
        }
    }
}

/// Runs one worker's share of a phase to its end.
pub(super) async fn run<T: Target>(orders: Orders, target: T) -> Finished {
    let clock = orders.clock;
    let slots = part_of(
        u64::from(orders.phase.load.slots()),
        orders.workers as u64,
        orders.worker as u64,
    );
    let from_ns = orders.started_ns + nanoseconds(orders.phase.warmup);
    let (closes_ns, quota) = match orders.phase.stop {
        schedule::Stop::After(duration) => (from_ns + nanoseconds(duration), u64::MAX),
        schedule::Stop::Count(count) => {
            let share = part_of(count, orders.workers as u64, orders.worker as u64);
            (u64::MAX, share)
        }
    };
    let drain_ns = nanoseconds(orders.phase.drain);
    let mut stop = orders.stop.clone();
    let mut orders = orders;
    let (_, closed) = tokio::sync::mpsc::unbounded_channel();
    let recorder = Recorder::new(
        orders.worker,
        clock,
        orders.started_ns,
        MeasuredWindow {
            from_ns,
            to_ns: closes_ns,
        },
        orders.out.clone(),
        std::mem::replace(&mut orders.spares, closed),
    );
    let shared = Rc::new(Shared {
        closes_ns: Cell::new(closes_ns),
        quota: Cell::new(quota),
        next_number: Cell::new(orders.worker as u64),
        tickets: (0..slots).map(|_| Cell::new(None)).collect(),
        last_end_ns: Cell::new(orders.started_ns),
        recorder: RefCell::new(recorder),
        orders,
    });
    let local = LocalSet::new();
    local
        .run_until(async {
            tokio::time::sleep_until(clock.at(shared.orders.started_ns)).await;
            let mut running = JoinSet::new();
            for slot in 0..shared.tickets.len() {
                running.spawn_local(run_slot(Rc::clone(&shared), slot, target.open()));
            }
            supervise(&shared, &mut running, &mut stop, drain_ns).await;
            // What is still running is dropped with its connections.
            running.shutdown().await;
        })
        .await;
    finish(&shared)
}

/// Hands over the seconds and watches for the end, until every slot is done or the drain is over.
async fn supervise(
    shared: &Shared,
    running: &mut JoinSet<()>,
    stop: &mut watch::Receiver<Stop>,
    drain_ns: u64,
) {
    let clock = shared.orders.clock;
    let mut stoppable = true;
    loop {
        let level = *stop.borrow_and_update();
        match level {
            Stop::Go => {}
            Stop::Drain => shared.close(clock.now_ns()),
            Stop::Now => {
                shared.close(clock.now_ns());
                return;
            }
        }
        let second_ends_ns = shared.recorder.borrow().current_ends_ns();
        let gives_up_ns = shared.closes_ns.get().saturating_add(drain_ns);
        let wake_ns = second_ends_ns.min(gives_up_ns);
        tokio::select! {
            ended = running.join_next() => match ended {
                None => return,
                // A slot never panics of itself; if it does, the run must not end as if all were well.
                Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Some(_) => {}
            },
            () = tokio::time::sleep_until(clock.at(wake_ns)) => {
                let now_ns = clock.now_ns();
                shared.recorder.borrow_mut().rotate(now_ns);
                if now_ns >= gives_up_ns {
                    return;
                }
            }
            // Once whoever could stop the run is gone, it goes on to its planned end.
            changed = stop.changed(), if stoppable => stoppable = changed.is_ok(),
        }
    }
}

/// Closes the books.
fn finish(shared: &Shared) -> Finished {
    let now_ns = shared.orders.clock.now_ns();
    let mut recorder = shared.recorder.borrow_mut();
    let mut ended_ns = shared.last_end_ns.get();
    for ticket in &shared.tickets {
        if let Some(ticket) = ticket.take() {
            recorder.abandon(&ticket, now_ns);
            ended_ns = now_ns;
        }
    }
    let closes_ns = shared.closes_ns.get();
    // A phase that ends by count is measured until its last request is over.
    let measured_to_ns = if closes_ns == u64::MAX {
        ended_ns
    } else {
        closes_ns
    };
    recorder.close(now_ns.max(ended_ns));
    Finished {
        measured_to_ns,
        ended_ns: ended_ns.max(measured_to_ns),
    }
}

/// One slot: one request after the other until the phase closes.
async fn run_slot<S: Slot>(shared: Rc<Shared>, slot: usize, mut connection: S) {
    let orders = &shared.orders;
    let clock = orders.clock;
    let mut random = seeded(orders.seed, orders.phase_index, orders.worker, slot);
    let mut intended_ns = orders.started_ns;
    while let Some(ticket) = shared.take(slot, intended_ns, &mut random) {
        let call = Call {
            request: ticket.request,
            number: shared.number(),
            random: &mut random,
            deadline: clock.at(ticket.taken_ns) + orders.timeout,
        };
        let exchange = connection.exchange(call).await;
        let unreachable = exchange.connection.failed;
        shared.tickets[slot].set(None);
        intended_ns = clock.ns(exchange.end).max(ticket.taken_ns);
        shared
            .last_end_ns
            .set(shared.last_end_ns.get().max(intended_ns));
        shared.recorder.borrow_mut().end(&ticket, exchange);
        if unreachable {
            tokio::time::sleep(PAUSE_AFTER_FAILED_CONNECT).await;
            intended_ns = clock.now_ns();
        }
    }
}

/// A random number generator of its own for every slot, from the run's seed.
fn seeded(seed: u64, phase: usize, worker: usize, slot: usize) -> Pcg64Mcg {
    let mut mixed = seed;
    for part in [phase, worker, slot] {
        // SplitMix64's increment and finalizer (Steele, Lea and Flood 2014) keep the streams apart.
        mixed = mixed
            .wrapping_add(part as u64)
            .wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
    }
    Pcg64Mcg::seed_from_u64(mixed)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
