//! An open loop: requests leave when the schedule says, whatever the target does.
//!
//! A request that finds every slot busy waits in line with its intended start. Slots are opened as they
//! are needed, up to the limit on requests in flight.

use super::pacer::Pacer;
use super::ports::{Client, Slot};
use super::recorder::Ticket;
use super::worker::Shared;
use crate::record::Outcome;
use crate::schedule::{Arrival, Open, Share, part_of};
use crate::units::nanoseconds;
use rand::RngExt;
use rand_pcg::Pcg64Mcg;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use tokio::task::JoinSet;

/// So many requests are sent off in a row before slots get to run.
const BATCH: usize = 64;

/// A planned request, and where its random values come from.
struct Job {
    ticket: Ticket,
    random: Pcg64Mcg,
}

/// What the slots of one worker share.
struct Queue {
    shared: Rc<Shared>,
    waiting: RefCell<VecDeque<Job>>,
    slots: RefCell<Slots>,
    shed_after_ns: Option<u64>,
    /// Nothing more will come.
    is_over: Cell<bool>,
}

#[derive(Default)]
struct Slots {
    /// What each slot is to do next, and how it is woken.
    seats: Vec<(Option<Job>, Option<Waker>)>,
    /// Slots that have nothing to do, the one that was busy last at the end: few connections stay warm.
    idle: Vec<usize>,
}

/// The open loop of one worker.
pub(super) struct OpenLoop<C> {
    queue: Rc<Queue>,
    client: C,
    arrivals: Share,
    next: Option<Arrival>,
    pacer: Pacer,
    most_slots: usize,
}

/// What is ahead of an open loop.
pub(super) struct Ahead {
    /// When it has to be looked at again, whatever the schedule says.
    pub(super) wake_ns: u64,
    /// Nothing more is intended to start, and nothing waits.
    pub(super) is_over: bool,
}

impl<C: Client> OpenLoop<C> {
    pub(super) fn new(shared: &Rc<Shared>, load: &Open, client: C) -> Self {
        let orders = &shared.orders;
        let (worker, workers) = (orders.worker as u64, orders.workers as u64);
        let mut arrivals = Share::new(
            &load.arrivals,
            shared.schedule_seed(),
            (worker, workers),
            nanoseconds(orders.phase.warmup),
            shared.count,
        );
        let most = part_of(u64::from(load.max_in_flight), workers, worker);
        Self {
            next: arrivals.next(),
            arrivals,
            queue: Rc::new(Queue {
                shared: Rc::clone(shared),
                waiting: RefCell::default(),
                slots: RefCell::default(),
                shed_after_ns: load.shed_after.map(nanoseconds),
                is_over: Cell::new(false),
            }),
            client,
            pacer: Pacer::new(orders.clock, load.precise),
            most_slots: usize::try_from(most).unwrap_or(usize::MAX),
        }
    }

    /// When the next request is intended to start; `None` if none is before the phase closes.
    fn next_ns(&self) -> Option<u64> {
        let shared = &self.queue.shared;
        let due_ns = shared
            .orders
            .started_ns
            .saturating_add(self.next?.offset_ns);
        (due_ns < shared.closes_ns()).then_some(due_ns)
    }

    /// Returns when the next request is due; never when there is none.
    pub(super) async fn until_due(&mut self) {
        let Some(due_ns) = self.next_ns() else {
            return std::future::pending().await;
        };
        // Behind the schedule slots must get to run all the same.
        self.pacer.until(due_ns).await;
    }

    /// Sends off what is due, and gives up what has waited too long.
    pub(super) fn keep_up(&mut self, running: &mut JoinSet<()>) -> Ahead {
        for _ in 0..BATCH {
            let now_ns = self.queue.shared.now_ns();
            let Some(job) = self.take_due(now_ns) else {
                break;
            };
            self.dispatch(job, now_ns, running);
        }
        self.queue.shed(self.queue.shared.now_ns());
        let shared = &self.queue.shared;
        let is_counted = shared.closes_ns() == u64::MAX;
        let has_closed = is_counted || shared.now_ns() >= shared.closes_ns();
        let is_over = self.next_ns().is_none() && has_closed;
        if is_over {
            self.queue.finish();
        }
        Ahead {
            wake_ns: if has_closed {
                self.queue.sheds_ns()
            } else {
                self.queue.sheds_ns().min(shared.closes_ns())
            },
            is_over,
        }
    }

    /// Plans the next request if it is due.
    fn take_due(&mut self, now_ns: u64) -> Option<Job> {
        let intended_ns = self.next_ns()?;
        if intended_ns > now_ns {
            return None;
        }
        let arrival = self.next?;
        self.next = self.arrivals.next();
        let shared = &self.queue.shared;
        // From its number alone, so that a schedule sends the same whatever the target does.
        let mut random = shared.random(&[u64::MAX, arrival.number]);
        let mix = &shared.orders.phase.mix;
        let ticket = Ticket {
            request: mix.pick(random.random_range(0..mix.total())),
            number: arrival.number,
            intended_ns,
            taken_ns: intended_ns,
            measured: shared.is_measured(intended_ns),
            step: None,
        };
        let mut recorder = shared.recorder.borrow_mut();
        recorder.plan(&ticket, now_ns);
        recorder.late(now_ns - intended_ns);
        Some(Job { ticket, random })
    }

    fn dispatch(&mut self, job: Job, now_ns: u64, running: &mut JoinSet<()>) {
        let idle = self.queue.slots.borrow_mut().idle.pop();
        if let Some(slot) = idle {
            self.queue.hand(slot, job, now_ns);
        } else if self.queue.slots.borrow().seats.len() < self.most_slots {
            let slot = self.queue.shared.add_slot();
            self.queue.slots.borrow_mut().seats.push((None, None));
            self.queue.hand(slot, job, now_ns);
            let queue = Rc::clone(&self.queue);
            running.spawn_local(run_slot(queue, slot, self.client.open()));
        } else {
            self.queue.waiting.borrow_mut().push_back(job);
        }
    }

    /// The run is over: what was due and not sent is in the books all the same.
    pub(super) fn give_up(mut self) {
        let now_ns = self.queue.shared.now_ns();
        while let Some(job) = self.take_due(now_ns) {
            self.queue.waiting.borrow_mut().push_back(job);
        }
        let mut recorder = self.queue.shared.recorder.borrow_mut();
        for job in self.queue.waiting.borrow_mut().drain(..) {
            recorder.give_up(
                &self.queue.shared.orders.phase,
                &job.ticket,
                Outcome::InFlightAtEnd,
                now_ns,
            );
        }
    }
}

impl Queue {
    /// Gives a slot something to do.
    fn hand(&self, slot: usize, mut job: Job, now_ns: u64) {
        job.ticket.taken_ns = now_ns.max(job.ticket.intended_ns);
        self.shared.begin(slot, job.ticket);
        let mut slots = self.slots.borrow_mut();
        let (seat, waker) = &mut slots.seats[slot];
        *seat = Some(job);
        if let Some(waker) = waker.take() {
            waker.wake();
        }
    }

    /// A slot has nothing to do any more: the first in line is its next, if there is one.
    fn release(&self, slot: usize) {
        let now_ns = self.shared.now_ns();
        self.shed(now_ns);
        let next = self.waiting.borrow_mut().pop_front();
        match next {
            Some(job) => self.hand(slot, job, now_ns),
            None => self.slots.borrow_mut().idle.push(slot),
        }
    }

    /// What a slot is to do next; `None` when nothing more will come.
    async fn job(&self, slot: usize) -> Option<Job> {
        poll_fn(|cx| {
            let mut slots = self.slots.borrow_mut();
            let (seat, waker) = &mut slots.seats[slot];
            if let Some(job) = seat.take() {
                return Poll::Ready(Some(job));
            }
            if self.is_over.get() {
                return Poll::Ready(None);
            }
            *waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Gives up what has waited longer than the scenario allows.
    fn shed(&self, now_ns: u64) {
        while self.sheds_ns() <= now_ns {
            let Some(job) = self.waiting.borrow_mut().pop_front() else {
                return;
            };
            let mut recorder = self.shared.recorder.borrow_mut();
            recorder.give_up(
                &self.shared.orders.phase,
                &job.ticket,
                Outcome::Shed,
                now_ns,
            );
        }
    }

    /// When the first in line will have waited too long.
    fn sheds_ns(&self) -> u64 {
        let first = self
            .waiting
            .borrow()
            .front()
            .map(|job| job.ticket.intended_ns);
        match (first, self.shed_after_ns) {
            (Some(intended_ns), Some(limit_ns)) => intended_ns.saturating_add(limit_ns),
            _ => u64::MAX,
        }
    }

    /// Nothing more will come: slots without work end.
    fn finish(&self) {
        if self.is_over.replace(true) {
            return;
        }
        for (_, waker) in &mut self.slots.borrow_mut().seats {
            if let Some(waker) = waker.take() {
                waker.wake();
            }
        }
    }
}

/// One slot: one request after the other, as long as there are any.
async fn run_slot<S: Slot>(queue: Rc<Queue>, slot: usize, mut connection: S) {
    while let Some(mut job) = queue.job(slot).await {
        queue
            .shared
            .exchange(slot, &mut connection, &mut job.random)
            .await;
        queue.release(slot);
    }
}
