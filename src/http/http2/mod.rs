//! HTTP/2 (RFC 9113): requests as streams that share connections.
//!
//! A connection is driven by a task of its own, which reads, writes and wakes whoever a frame is for; the
//! slots of a worker share its connections. A request that a server refuses, or that a connection which
//! goes away did not take up, is not sent again: it has failed, and says why.

mod departure;
mod failure;
mod head;
mod line;
mod link;
mod pool;
mod talk;
mod turns;

pub(super) use head::Head;
pub(super) use pool::{Pool, PoolRules};

use super::connect::Connect;
use super::progress::Progress;
use super::slot::{Ended, Order};
use crate::plan::Rendered;
use departure::Departure;
use line::Line;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use talk::Talk;

/// What a slot needs to send requests over the connections of its worker.
pub(super) struct Http2<C: Connect> {
    heads: Arc<[Head]>,
    pool: Rc<Pool<C>>,
    rendered: Rendered,
    departure: Rc<Departure>,
    /// The connection that carries the request.
    line: Option<Rc<Line>>,
}

impl<C: Connect> Http2<C> {
    /// `heads` are the requests of the plan.
    pub(super) fn new(heads: Arc<[Head]>, pool: Rc<Pool<C>>) -> Self {
        Self {
            heads,
            pool,
            rendered: Rendered::default(),
            departure: Rc::default(),
            line: None,
        }
    }

    /// Sends a request and reads its answer to the end. When it is dropped, the stream is cancelled and
    /// the connection goes on.
    pub(super) async fn carry(&mut self, order: Order<'_>, progress: &mut Progress) -> Ended {
        self.departure.reset();
        let Order {
            request,
            plan,
            row,
            mut draw,
            answer,
            token_events,
        } = order;
        let (head, body) = self.heads[request].render(plan, row, &mut draw, &mut self.rendered)?;
        let mut lease = self.pool.lease(progress).await?;
        let line = lease.line();
        self.line = Some(Rc::clone(&line));
        let (response, stream) = lease
            .send(head, body.is_empty())
            .map_err(|error| failure::of_stream(&error, &line))?;
        line.depart(&self.departure, body.is_empty());
        let mut talk = Talk {
            line: &line,
            departure: &self.departure,
            unsent: body,
            stream,
            response,
            body: None,
            answer: &mut *answer,
            plan,
            token_events,
        };
        poll_fn(|cx| talk.poll(cx, progress)).await?;
        answer.end(plan, row, token_events)
    }

    /// The request is over, one way or another.
    pub(super) fn settle(&mut self, progress: &mut Progress, given_up: bool) {
        progress.sent = self.departure.begun();
        progress.all_sent = self.departure.ended();
        if progress.sent.is_none() {
            // Its frames may still leave: that must not be taken for the next request's departure.
            self.departure = Rc::default();
        }
        if let Some(line) = self.line.take() {
            (progress.written, progress.read) = line.take_bytes();
            // A peer that is gone without a word looks like this: over HTTP/1.1 such a connection is
            // dropped as well.
            if given_up && progress.sent.is_none_or(|sent| line.is_silent_since(sent)) {
                self.pool.retire(&line);
            }
        }
    }
}
