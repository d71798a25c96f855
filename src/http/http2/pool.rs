//! The HTTP/2 connections of one worker, and who has a place on which.

use super::failure;
use super::link::{Link, State};
use crate::http::connect::Connect;
use crate::http::progress::Progress;
use crate::plan::Fault;
use crate::units::nanoseconds;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// How connections are shared.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct PoolRules {
    /// How many requests a connection carries at once, if the server allows that many.
    pub(in crate::http) most_streams: u32,
    /// How many it carries before it is closed.
    pub(in crate::http) most_uses: Option<u64>,
    /// How long opening one may take.
    pub(in crate::http) patience: Duration,
}

/// The connections of one worker.
pub(in crate::http) struct Pool<C> {
    connect: C,
    rules: PoolRules,
    links: RefCell<Vec<Rc<Link>>>,
    /// Connections that the server closed and that have not been replaced yet.
    lost: Cell<u64>,
    /// How many streams the server allowed on the last connection.
    allowed: Cell<usize>,
}

/// A place for one request on a connection.
pub(super) struct Lease {
    pub(super) link: Rc<Link>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.link.taken.set(self.link.taken.get() - 1);
    }
}

/// A place on a connection that may not be open yet.
struct Place {
    lease: Lease,
    /// Whether the connection is opened for this request.
    fresh: bool,
    /// Whether it was open when the place was taken.
    kept: bool,
}

impl<C: Connect> Pool<C> {
    pub(in crate::http) fn new(connect: C, rules: PoolRules) -> Self {
        Self {
            connect,
            rules,
            links: RefCell::default(),
            lost: Cell::new(0),
            allowed: Cell::new(usize::MAX),
        }
    }

    /// A place on the connection of the request before, or on that with the fewest requests if that one is
    /// full, or on a new one if all are.
    ///
    /// A kept connection that turns out to be gone before anything was sent on it is replaced; the time
    /// for that counts.
    pub(super) async fn lease(
        &self,
        last: &Weak<Link>,
        progress: &mut Progress,
    ) -> Result<Lease, Fault> {
        // Only who waits looks at the clock.
        let mut begin = None;
        progress.connecting = true;
        loop {
            let Place { lease, fresh, kept } = self.place(last, progress);
            let link = &lease.link;
            if !kept {
                begin.get_or_insert_with(Instant::now);
            }
            match poll_fn(|cx| link.poll_opened(cx)).await {
                // Its time was that of the request it was opened for, not ours.
                State::Opening | State::GaveUp => continue,
                State::Failed(fault) => {
                    progress.connection.failed = fresh;
                    return Err(fault);
                }
                State::Open => {}
            }
            self.allowed.set(link.allowed().unwrap_or(usize::MAX));
            // More had hoped for a place than the server allows.
            if link.taken.get() > self.room(link) {
                continue;
            }
            let refusal = link.connection.borrow().refusal();
            let Some(lost) = refusal else {
                progress.connecting = false;
                progress.connection.waited_ns =
                    begin.map_or(0, |begin| nanoseconds(begin.elapsed()));
                if let Some(opening) = link.opening.take() {
                    progress.connection.opened_ns = Some(nanoseconds(opening.took));
                    progress.opening = Some(Box::new(opening.steps));
                }
                return Ok(lease);
            };
            self.discard(link);
            if !kept {
                return Err(failure::of_stream(&lost));
            }
            self.lost.set(self.lost.get() + 1);
        }
    }

    /// Gives out no more places on a connection that is probably dead.
    pub(super) fn retire(&self, gone: &Rc<Link>) {
        if self.discard(gone) {
            self.lost.set(self.lost.get() + 1);
        }
    }

    fn place(&self, last: &Weak<Link>, progress: &mut Progress) -> Place {
        // To look at one connection costs the same however many there are.
        let same = last.upgrade().filter(|link| self.has_room(link));
        let known = same.or_else(|| self.emptiest());
        let fresh = known.is_none();
        let link = known.unwrap_or_else(|| {
            let link = Link::open(self.connect.clone(), self.rules.patience);
            self.links.borrow_mut().push(Rc::clone(&link));
            link
        });
        if fresh && self.lost.get() > 0 {
            self.lost.set(self.lost.get() - 1);
            progress.connection.reopened = true;
        }
        link.taken.set(link.taken.get() + 1);
        link.uses.set(link.uses.get() + 1);
        let most = self.rules.most_uses;
        if most.is_some_and(|most| link.uses.get() >= most) {
            // Whoever has a place keeps it; nobody else gets one.
            self.discard(&link);
        }
        let kept = !link.is_opening();
        let lease = Lease { link };
        Place { lease, fresh, kept }
    }

    /// The connection with the fewest requests that has room for one more.
    fn emptiest(&self) -> Option<Rc<Link>> {
        let mut links = self.links.borrow_mut();
        links.retain(|link| {
            if link.is_gone() {
                self.lost.set(self.lost.get() + 1);
            }
            link.is_usable()
        });
        let with_room = links.iter().filter(|link| self.has_room(link));
        with_room.min_by_key(|link| link.taken.get()).cloned()
    }

    fn has_room(&self, link: &Link) -> bool {
        link.is_offered.get() && link.is_usable() && link.taken.get() < self.room(link)
    }

    /// How many requests a connection carries at once. A server that allows none for a while is asked
    /// to carry one all the same: the request waits for it.
    fn room(&self, link: &Link) -> usize {
        let allowed = link.allowed().unwrap_or_else(|| self.allowed.get());
        let most = usize::try_from(self.rules.most_streams).unwrap_or(usize::MAX);
        allowed.min(most).max(1)
    }

    /// No more places on it; whether there were any until now.
    fn discard(&self, gone: &Rc<Link>) -> bool {
        self.links
            .borrow_mut()
            .retain(|link| !Rc::ptr_eq(link, gone));
        gone.is_offered.replace(false)
    }
}
