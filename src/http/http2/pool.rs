//! The HTTP/2 connections of one worker, and who has a place on which.

use super::failure;
use super::line::Line;
use super::link::{Link, Readiness};
use crate::http::connect::Connect;
use crate::http::failure::closed_early;
use crate::http::progress::Progress;
use crate::plan::Fault;
use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use hyper::Request;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
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
    place: Place,
    sender: SendRequest<Bytes>,
}

/// A place on a connection that may not be open yet.
struct Place {
    link: Rc<Link>,
    /// Whether the connection is opened for this request.
    fresh: bool,
    /// Whether it was open when the place was taken.
    kept: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.link.taken.set(self.link.taken.get() - 1);
    }
}

impl Lease {
    pub(super) fn line(&self) -> Rc<Line> {
        Rc::clone(&self.place.link.line)
    }

    /// Opens a stream for a request; `whole` if it has no body.
    pub(super) fn send(
        &mut self,
        head: Request<()>,
        whole: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        self.sender.send_request(head, whole)
    }
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

    /// A place on the connection with the fewest requests, or on a new one if all are full.
    ///
    /// A kept connection that turns out to be gone before anything was sent on it is replaced; the time
    /// for that counts.
    pub(super) async fn lease(&self, progress: &mut Progress) -> Result<Lease, Fault> {
        let begin = Instant::now();
        progress.connecting = true;
        loop {
            let place = self.place(progress);
            let readiness = poll_fn(|cx| place.link.poll_open(cx)).await;
            let gone = match readiness {
                Readiness::Open(sender) => {
                    self.allowed
                        .set(place.link.allowed.get().unwrap_or(usize::MAX));
                    // More had hoped for a place than the server allows.
                    if place.link.taken.get() > self.room(&place.link) {
                        continue;
                    }
                    match ready(sender) {
                        Ok(sender) => {
                            progress.connecting = false;
                            progress.connection.waited = begin.elapsed();
                            if let Some(opening) = place.link.opening.take() {
                                progress.connection.opened = Some(opening.took);
                                progress.opening = opening.steps;
                            }
                            return Ok(Lease { place, sender });
                        }
                        Err(error) => failure::of_stream(&error, &place.link.line),
                    }
                }
                Readiness::Closed => closed_early(),
                // Its time was that of the request it was opened for, not ours.
                Readiness::GaveUp => continue,
                Readiness::Failed(fault) => {
                    progress.connection.failed = place.fresh;
                    return Err(fault);
                }
            };
            if !place.kept {
                self.discard(&place.link);
                return Err(gone);
            }
            self.discard(&place.link);
            self.lost.set(self.lost.get() + 1);
        }
    }

    /// Gives out no more places on a connection that is probably dead.
    pub(super) fn retire(&self, line: &Rc<Line>) {
        let mut links = self.links.borrow_mut();
        let before = links.len();
        links.retain(|link| !Rc::ptr_eq(&link.line, line));
        if links.len() < before {
            self.lost.set(self.lost.get() + 1);
        }
    }

    fn place(&self, progress: &mut Progress) -> Place {
        let mut links = self.links.borrow_mut();
        links.retain(|link| {
            if link.is_closed() {
                self.lost.set(self.lost.get() + 1);
            }
            link.is_usable()
        });
        let with_room = links
            .iter()
            .filter(|link| link.taken.get() < self.room(link))
            .min_by_key(|link| link.taken.get());
        let fresh = with_room.is_none();
        let link = with_room.map_or_else(
            || Link::open(self.connect.clone(), self.rules.patience),
            Rc::clone,
        );
        if fresh {
            links.push(Rc::clone(&link));
        }
        if fresh && self.lost.get() > 0 {
            self.lost.set(self.lost.get() - 1);
            progress.connection.reopened = true;
        }
        link.taken.set(link.taken.get() + 1);
        link.uses.set(link.uses.get() + 1);
        if self
            .rules
            .most_uses
            .is_some_and(|most| link.uses.get() >= most)
        {
            // Whoever has a place keeps it; nobody else gets one.
            links.retain(|other| !Rc::ptr_eq(other, &link));
        }
        let kept = !link.is_opening();
        Place { link, fresh, kept }
    }

    /// How many requests a connection carries at once. A server that allows none for a while is asked
    /// to carry one all the same: the request waits for it.
    fn room(&self, link: &Link) -> usize {
        let allowed = link.allowed.get().unwrap_or_else(|| self.allowed.get());
        let most = usize::try_from(self.rules.most_streams).unwrap_or(usize::MAX);
        allowed.min(most).max(1)
    }

    fn discard(&self, link: &Rc<Link>) {
        self.links
            .borrow_mut()
            .retain(|other| !Rc::ptr_eq(other, link));
    }
}

/// A connection that takes up new streams, or why it does not: the server may have told it to go away.
fn ready(mut sender: SendRequest<Bytes>) -> Result<SendRequest<Bytes>, h2::Error> {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    // Nothing is pending on a sender that has just been cloned.
    match sender.poll_ready(&mut cx) {
        Poll::Ready(Err(error)) => Err(error),
        Poll::Ready(Ok(())) | Poll::Pending => Ok(sender),
    }
}
