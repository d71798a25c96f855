//! HTTP/2 (RFC 9113): requests as streams that share connections.
//!
//! `connection` is the protocol without a socket, `drive` its socket, read and written by one task for each
//! connection; `link` opens it, `pool` shares the connections of a worker among its slots, `talk` is one
//! stream. `frame` and `hpack` are the wire format. A request that a connection did not take up which the server
//! closes in good order is sent over another one; what a server refuses is not sent again: it has failed, and
//! says why.

mod connection;
mod drive;
mod failure;
mod frame;
mod head;
mod hpack;
mod link;
mod outbox;
mod pool;
mod reason;
mod streams;
mod talk;

pub(super) use head::Head;
pub(super) use pool::{Pool, PoolRules};

use super::answer::Answer;
use super::connect::Connect;
use super::progress::Progress;
use super::slot::{Ended, Order};
use crate::engine::ports::RunClock;
use crate::plan::{Draw, Fault, Rendered, RequestPlan};
use head::Message;
use link::Link;
use std::cell::Cell;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use talk::Talk;

/// So often a request is sent again whose connection was closed in good order: a server that takes up
/// nothing would be asked forever.
const MOST_AGAIN: u32 = 3;

/// What a slot needs to send requests over the connections of its worker.
pub(super) struct Http2<C: Connect> {
    heads: Arc<[Head]>,
    pool: Rc<Pool<C>>,
    rendered: Rendered,
    /// The connection of the request before.
    last: Weak<Link>,
    /// The stream of the request.
    talk: Option<Talk>,
}

impl<C: Connect> Http2<C> {
    /// `heads` are the requests of the plan.
    pub(super) fn new(heads: Arc<[Head]>, pool: Rc<Pool<C>>) -> Self {
        Self {
            heads,
            pool,
            rendered: Rendered::default(),
            last: Weak::new(),
            talk: None,
        }
    }

    /// A request that is ready to be sent.
    pub(super) fn attempt<'a>(
        &'a mut self,
        order: Order<'a>,
        draw: &mut Draw<'_>,
    ) -> Attempt<'a, C> {
        let Order {
            request,
            plan,
            row,
            answer,
            token_events,
            clock,
        } = order;
        let head = &self.heads[request];
        Attempt {
            message: head.render(request, plan, row, draw, &mut self.rendered),
            pool: &self.pool,
            last: &mut self.last,
            talk: &mut self.talk,
            plan,
            row,
            answer,
            token_events,
            clock,
        }
    }
}

/// One request on its way.
pub(super) struct Attempt<'a, C: Connect> {
    /// What is to be sent, if this protocol has a form for it.
    message: Result<Message<'a>, Fault>,
    pool: &'a Rc<Pool<C>>,
    last: &'a mut Weak<Link>,
    talk: &'a mut Option<Talk>,
    plan: &'a RequestPlan,
    row: usize,
    answer: &'a mut Answer,
    token_events: &'a Cell<u64>,
    clock: RunClock,
}

impl<'a, C: Connect> Attempt<'a, C> {
    /// Sends the request and reads its answer to the end.
    pub(super) async fn run(&mut self, progress: &mut Progress) -> Ended {
        let message = self.message.as_ref().map_err(Clone::clone)?;
        let (plan, token_events, clock) = (self.plan, self.token_events, self.clock);
        let mut again = 0;
        loop {
            let lease = self.pool.lease(self.last, progress).await?;
            let connection = &lease.link.connection;
            let opened = poll_fn(|cx| connection.borrow_mut().poll_open(cx, message)).await;
            let ended = match opened {
                Ok(place) => {
                    let talk = self.talk.insert(Talk { lease, place });
                    poll_fn(|cx| talk.poll(cx, plan, self.answer, token_events, clock, progress))
                        .await
                }
                Err(lost) => Err(lost),
            };
            match ended {
                Ok(()) => return self.answer.end(plan, self.row, token_events),
                Err(lost) if lost.is_in_good_order() && again < MOST_AGAIN => {
                    again += 1;
                    progress.connection.reopened = true;
                    if let Some(talk) = self.talk.take() {
                        talk.note(progress, clock);
                    }
                }
                Err(lost) => return Err(failure::of_stream(&lost)),
            }
        }
    }

    /// The request is over, one way or another; its answer. If it was given up, its stream is cancelled.
    pub(super) fn settle(self, progress: &mut Progress, given_up: bool) -> &'a mut Answer {
        let Some(talk) = self.talk.take() else {
            return self.answer;
        };
        talk.note(progress, self.clock);
        let link = &talk.lease.link;
        *self.last = Rc::downgrade(link);
        let is_silent = || {
            let connection = link.connection.borrow();
            progress
                .sent_ns
                .is_none_or(|sent_ns| connection.is_silent_since(self.clock.at(sent_ns)))
        };
        // A peer that is gone without a word looks like this: over HTTP/1.1 such a connection is dropped
        // as well.
        if given_up && is_silent() {
            self.pool.retire(link);
        }
        self.answer
    }
}
