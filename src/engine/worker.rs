//! One worker: its share of one phase, from the first request to the end of the drain.

use super::clock::RunClock;
use super::closed;
use super::control::Message;
use super::loop_delay;
use super::open::OpenLoop;
use super::ports::{Client, Exchange, Slot, Stop, Target};
use super::recorder::{MeasuredWindow, Recorder, StepTicket, Ticket};
use super::unit::{self, Errand, Witness};
use crate::plan::{PhasePlan, StepPlan};
use crate::record::{Interval, Outcome};
use crate::schedule::{self, Load};
use crate::units::nanoseconds;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

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

/// When the worker began, when it stopped taking up requests, and when its last one was over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finished {
    /// All in nanoseconds since the start of the run.
    pub(super) started: u64,
    pub(super) measured_to: u64,
    pub(super) ended: u64,
}

/// A slot sends only what it has taken up.
const TAKEN_UP: &str = "the slot has taken up a unit";

/// What the slots of one worker share. Never borrowed across an await.
pub(super) struct Shared {
    pub(super) orders: Orders,
    pub(super) recorder: RefCell<Recorder>,
    /// Where slots count events with tokens.
    pub(super) token_events: Rc<Cell<u64>>,
    /// Measured requests over all workers, in phases that end by count.
    pub(super) count: u64,
    /// When nothing more is intended to start, known in advance or set when it happens.
    closes_ns: Cell<u64>,
    /// Wakes whoever pauses when the phase closes early.
    closed: Notify,
    /// The request that each slot is busy with.
    tickets: RefCell<Vec<Option<Ticket>>>,
    last_end_ns: Cell<u64>,
}

impl Shared {
    pub(super) fn closes_ns(&self) -> u64 {
        self.closes_ns.get()
    }

    pub(super) fn now_ns(&self) -> u64 {
        self.orders.clock.now_ns()
    }

    /// Whether a request that is intended to start then is measured.
    pub(super) fn is_measured(&self, intended_ns: u64) -> bool {
        intended_ns >= self.recorder.borrow().window.from_ns
    }

    /// A place for one more request in flight.
    pub(super) fn add_slot(&self) -> usize {
        let mut tickets = self.tickets.borrow_mut();
        tickets.push(None);
        tickets.len() - 1
    }

    /// A slot takes up a planned request.
    pub(super) fn begin(&self, slot: usize, ticket: Ticket) {
        self.recorder.borrow_mut().begin(&ticket);
        self.tickets.borrow_mut()[slot] = Some(ticket);
    }

    /// What a slot is busy with. It stands in one place and is not carried along: what a thousand slots
    /// touch for each request must stay in the processor's caches.
    fn ticket(&self, slot: usize) -> Ticket {
        self.tickets.borrow()[slot].expect(TAKEN_UP)
    }

    /// Sends the unit that a slot has taken up, and notes how it went. Returns when it was over, and
    /// whether a connection could be had.
    pub(super) async fn exchange<S: Slot>(
        &self,
        slot: usize,
        connection: &mut S,
        random: &mut Pcg64Mcg,
    ) -> (u64, bool) {
        let ticket = self.ticket(slot);
        let errand = Errand {
            number: ticket.number,
            intended_ns: ticket.intended_ns,
            taken_ns: ticket.taken_ns,
            clock: self.orders.clock,
            timeout: self.orders.timeout,
            random,
            token_events: &self.token_events,
        };
        let unit = &self.orders.phase.units[ticket.request];
        let notes = Notes { shared: self, slot };
        let (mut exchange, failed) = unit::send(unit, connection, errand, &notes).await;
        let unreachable = exchange.outcome == Outcome::Connect;
        let ticket = self.tickets.borrow_mut()[slot].take();
        let ticket = ticket.expect(TAKEN_UP);
        let end_ns = exchange.end_ns.max(ticket.taken_ns);
        self.last_end_ns.set(self.last_end_ns.get().max(end_ns));
        let phase = &self.orders.phase;
        let stream = self
            .recorder
            .borrow_mut()
            .end(phase, &ticket, &mut exchange, end_ns, failed);
        if let Some(stream) = stream {
            connection.reclaim(stream);
        }
        (end_ns, !unreachable)
    }

    /// Returns at this time, or when the phase closes.
    pub(super) async fn pause_until(&self, at_ns: u64) {
        let at_ns = at_ns.min(self.closes_ns.get());
        tokio::select! {
            () = tokio::time::sleep_until(self.orders.clock.at(at_ns)) => {}
            () = self.closed.notified() => {}
        }
    }

    /// Takes up nothing more from now on.
    fn close(&self, now_ns: u64) {
        if now_ns < self.closes_ns.get() {
            self.closes_ns.set(now_ns);
            let mut recorder = self.recorder.borrow_mut();
            recorder.rotate(now_ns);
            recorder.window.to_ns = recorder.window.to_ns.min(now_ns);
            self.closed.notify_waiters();
        }
    }

    /// A random number generator of its own for every part of the work, from the run's seed.
    pub(super) fn random(&self, parts: &[u64]) -> Pcg64Mcg {
        let phase = self.orders.phase_index as u64;
        Pcg64Mcg::seed_from_u64(mix(
            self.orders.seed,
            std::iter::once(phase).chain(parts.iter().copied()),
        ))
    }

    /// The seed of the phase's schedule, which all workers share.
    pub(super) fn schedule_seed(&self) -> u64 {
        mix(self.orders.seed, [self.orders.phase_index as u64, u64::MAX])
    }
}

/// Notes what happens on the way of one unit.
struct Notes<'a> {
    shared: &'a Shared,
    slot: usize,
}

impl Witness for Notes<'_> {
    fn exchanged(&self, step: Option<&StepPlan>, taken_ns: u64, exchange: &Exchange) {
        let mut recorder = self.shared.recorder.borrow_mut();
        recorder.exchanged(taken_ns, exchange);
        if exchange.told.is_of_tries() {
            recorder.answered(&self.shared.ticket(self.slot), step, exchange.told);
        }
    }

    fn retries(&self, step: Option<&StepPlan>, is_first: bool) {
        let mut recorder = self.shared.recorder.borrow_mut();
        recorder.retries(&self.shared.ticket(self.slot), step, is_first);
    }

    fn begins(&self, step: &StepPlan, intended_ns: u64) {
        let begun = StepTicket {
            index: step.index,
            intended_ns,
            streams: step.streams,
        };
        let mut recorder = self.shared.recorder.borrow_mut();
        recorder.begin_step(&self.shared.ticket(self.slot), begun);
        if let Some(ticket) = &mut self.shared.tickets.borrow_mut()[self.slot] {
            ticket.step = Some(begun);
        }
    }

    fn ended(&self, step: &StepPlan, intended_ns: u64, exchange: &mut Exchange) {
        let mut recorder = self.shared.recorder.borrow_mut();
        recorder.end_step(&self.shared.ticket(self.slot), step, intended_ns, exchange);
        if let Some(ticket) = &mut self.shared.tickets.borrow_mut()[self.slot] {
            ticket.step = None;
        }
    }
}

/// `SplitMix64`'s increment and finalizer (Steele, Lea and Flood 2014) keep the streams apart.
fn mix(seed: u64, parts: impl IntoIterator<Item = u64>) -> u64 {
    let mut mixed = seed;
    for part in parts {
        mixed = mixed.wrapping_add(part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
    }
    mixed
}

/// Runs one worker's share of a phase to its end.
pub(super) async fn run<T: Target>(mut orders: Orders, target: T) -> Finished {
    let clock = orders.clock;
    let from_ns = orders.started_ns + nanoseconds(orders.phase.warmup);
    let (closes_ns, count) = match orders.phase.stop {
        schedule::Stop::After(duration) => (from_ns + nanoseconds(duration), u64::MAX),
        schedule::Stop::Count(count) => (u64::MAX, count),
    };
    let mut stop = orders.stop.clone();
    let (_, closed) = tokio::sync::mpsc::unbounded_channel();
    let recorder = Recorder::new(
        (orders.phase_index, orders.worker),
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
        closed: Notify::new(),
        count,
        tickets: RefCell::default(),
        last_end_ns: Cell::new(orders.started_ns),
        token_events: recorder.token_events(),
        recorder: RefCell::new(recorder),
        orders,
    });
    tokio::time::sleep_until(clock.at(shared.orders.started_ns)).await;
    let client = target.client();
    let mut running = JoinSet::new();
    let mut open = match &shared.orders.phase.load {
        Load::Closed(load) => {
            closed::start(&shared, load, &client, &mut running);
            None
        }
        Load::Open(load) => Some(OpenLoop::new(&shared, load, client)),
    };
    let watch = loop_delay::start(&shared);
    supervise(&shared, &mut running, &mut stop, open.as_mut()).await;
    drop(watch);
    // What is still running is dropped with its connections.
    running.shutdown().await;
    if let Some(open) = open {
        open.give_up();
    }
    finish(&shared)
}

/// Keeps the schedule, hands over the seconds and watches for the end, until every slot is done or
/// the drain is over.
async fn supervise<C: Client>(
    shared: &Shared,
    running: &mut JoinSet<()>,
    stop: &mut watch::Receiver<Stop>,
    mut open: Option<&mut OpenLoop<C>>,
) {
    let clock = shared.orders.clock;
    let drain_ns = nanoseconds(shared.orders.phase.drain);
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
        let mut wake_ns = shared.recorder.borrow().current_ends_ns();
        let gives_up_ns = shared.closes_ns.get().saturating_add(drain_ns);
        wake_ns = wake_ns.min(gives_up_ns);
        let mut is_due = None;
        if let Some(open) = open.as_deref_mut() {
            let next = open.keep_up(running);
            if next.is_over && running.is_empty() {
                return;
            }
            wake_ns = wake_ns.min(next.wake_ns);
            is_due = Some(open.until_due());
        }
        tokio::select! {
            biased;
            () = async { is_due.expect("the schedule of an open loop").await }, if is_due.is_some() => {}
            ended = running.join_next(), if !running.is_empty() => match ended {
                // A slot never panics of itself; if it does, the run must not end as if all were well.
                Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                _ if running.is_empty() && open.is_none() => return,
                _ => {}
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
    let now_ns = shared.now_ns();
    let mut recorder = shared.recorder.borrow_mut();
    let mut ended_ns = shared.last_end_ns.get();
    for ticket in shared.tickets.borrow_mut().drain(..).flatten() {
        recorder.abandon(&shared.orders.phase, &ticket, now_ns);
        ended_ns = now_ns;
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
        started: shared.orders.started_ns,
        measured_to: measured_to_ns,
        ended: ended_ns.max(measured_to_ns),
    }
}
