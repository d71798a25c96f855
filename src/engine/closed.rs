//! A closed loop: every slot is a user that sends its next request when the one before is over.

use super::ports::{Client, Slot};
use super::recorder::Ticket;
use super::worker::Shared;
use crate::schedule::{Closed, part_of};
use crate::units::nanoseconds;
use rand::RngExt;
use rand_pcg::Pcg64Mcg;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use tokio::task::JoinSet;

/// A user that could not connect waits this long, as a client would: without it, a target that refuses
/// at once would be counted by how fast this machine can ask.
const PAUSE_AFTER_FAILED_CONNECT: Duration = Duration::from_millis(100);

/// What the users of one worker share.
struct Users {
    shared: Rc<Shared>,
    load: Closed,
    /// Measured requests still to be taken up, in phases that end by count.
    quota: Cell<u64>,
    next_number: Cell<u64>,
}

/// Starts the worker's share of the users.
pub(super) fn start<C: Client>(
    shared: &Rc<Shared>,
    load: &Closed,
    client: &C,
    running: &mut JoinSet<()>,
) {
    let orders = &shared.orders;
    let (worker, workers) = (orders.worker as u64, orders.workers as u64);
    let users = Rc::new(Users {
        shared: Rc::clone(shared),
        load: load.clone(),
        quota: Cell::new(match shared.count {
            u64::MAX => u64::MAX,
            count => part_of(count, workers, worker),
        }),
        next_number: Cell::new(worker),
    });
    let slots = part_of(u64::from(orders.phase.load.slots()), workers, worker);
    for _ in 0..slots {
        let slot = shared.add_slot();
        running.spawn_local(run_user(Rc::clone(&users), slot, client.open()));
    }
}

impl Users {
    /// A user takes up its next request, intended to start when the one before was over; whether there is
    /// one.
    fn take(&self, slot: usize, intended_ns: u64, random: &mut Pcg64Mcg) -> bool {
        let shared = &self.shared;
        let orders = &shared.orders;
        if intended_ns >= shared.closes_ns() {
            return false;
        }
        let measured = shared.is_measured(intended_ns);
        if measured {
            let Some(left) = self.quota.get().checked_sub(1) else {
                return false;
            };
            self.quota.set(left);
        }
        let mix = &orders.phase.mix;
        let number = self.next_number.get();
        self.next_number.set(number + orders.workers as u64);
        let ticket = Ticket {
            request: mix.pick(random.random_range(0..mix.total())),
            number,
            intended_ns,
            taken_ns: intended_ns.max(orders.started_ns),
            measured,
            step: None,
        };
        shared.recorder.borrow_mut().plan(&ticket, ticket.taken_ns);
        shared.begin(slot, ticket);
        true
    }

    /// When a user may send again, from this time on; `None` if never.
    fn when_active(&self, user: u64, from_ns: u64) -> Option<u64> {
        let started_ns = self.shared.orders.started_ns;
        let offset_ns = from_ns.saturating_sub(started_ns);
        // The level is rounded to whole users.
        let active_ns = self.load.users.when_above(user as f64 + 0.5, offset_ns)?;
        Some(started_ns + active_ns)
    }
}

/// One user: one request after the other until the phase closes.
#[expect(
    clippy::manual_async_fn,
    reason = "an `async fn` would move what it is given within its future, which would have room for it twice"
)]
fn run_user<S: Slot>(users: Rc<Users>, slot: usize, mut connection: S) -> impl Future<Output = ()> {
    async move {
        let shared = &users.shared;
        let orders = &shared.orders;
        let mut random = shared.random(&[orders.worker as u64, slot as u64]);
        // Neighbouring users sit on different workers, so that a ramp loads all of them.
        let user = (orders.worker + slot * orders.workers) as u64;
        let think_ns = nanoseconds(users.load.think_time);
        let mut intended_ns = orders.started_ns;
        // A time that has come: nobody need look at the clock for what was intended until then.
        let mut passed_ns = 0;
        loop {
            let Some(active_ns) = users.when_active(user, intended_ns) else {
                return;
            };
            intended_ns = active_ns;
            if intended_ns > passed_ns && intended_ns > shared.now_ns() {
                shared.pause_until(intended_ns).await;
            } else if connection.sends_alone() {
                // Whoever has an answer now reads it first, and then all of them send. A server that has been
                // asked for one thing falls asleep before the next one comes, and has to be woken each time.
                let_others_go_first().await;
            }
            if !users.take(slot, intended_ns, &mut random) {
                return;
            }
            let (end_ns, reachable) = shared.exchange(slot, &mut connection, &mut random).await;
            passed_ns = end_ns;
            intended_ns = end_ns.saturating_add(think_ns);
            if !reachable {
                let pause_ns = nanoseconds(PAUSE_AFTER_FAILED_CONNECT);
                intended_ns = intended_ns.max(shared.now_ns().saturating_add(pause_ns));
            }
        }
    }
}

/// Ready once every task that is ready now has had its turn. The runtime's own `yield_now` would have the waker
/// cloned, kept until the sockets have been looked at, and the task touched once more when it no longer is in
/// the processor's caches.
fn let_others_go_first() -> impl Future<Output = ()> {
    let mut is_last = false;
    poll_fn(move |cx| {
        if std::mem::replace(&mut is_last, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}
