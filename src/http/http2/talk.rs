//! One request and its answer, as a stream of an HTTP/2 connection.

use super::pool::Lease;
use super::reason::Lost;
use crate::engine::ports::RunClock;
use crate::http::answer::{Answer, Arrival};
use crate::http::progress::Progress;
use crate::plan::RequestPlan;
use std::cell::Cell;
use std::task::{Context, Poll};

/// A stream that is open, or whose answer has come. It is cancelled when it is dropped before that; the
/// connection goes on.
pub(super) struct Talk {
    pub(super) lease: Lease,
    /// Its place among the streams of the connection.
    pub(super) place: usize,
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.lease.link.connection.borrow_mut().release(self.place);
    }
}

impl Talk {
    /// Hands on what has come of the answer; ready when it is complete, or never will be.
    pub(super) fn poll(
        &self,
        cx: &mut Context<'_>,
        plan: &RequestPlan,
        answer: &mut Answer,
        token_events: &Cell<u64>,
        clock: RunClock,
        progress: &mut Progress,
    ) -> Poll<Result<(), Lost>> {
        let arrival = |read| Arrival {
            read_ns: clock.ns(read),
            kernel_ns: None,
        };
        let mut connection = self.lease.link.connection.borrow_mut();
        let stream = connection.stream(self.place);
        if let Some((status, at)) = stream.head
            && progress.first_ns.is_none()
        {
            let at = arrival(at);
            progress.first_ns = Some(at.read_ns);
            answer.begin(plan, status, &stream.fields, at);
        }
        let mut begin = 0;
        for (end, at) in stream.pieces.drain(..) {
            answer.chunk(plan, &stream.bytes[begin..end], arrival(at), token_events);
            begin = end;
        }
        stream.bytes.clear();
        match &stream.ended {
            None => {
                match &mut stream.waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    none => *none = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
            Some(Ok(at)) => {
                answer.touch(arrival(*at));
                Poll::Ready(Ok(()))
            }
            Some(Err(lost)) => Poll::Ready(Err(lost.clone())),
        }
    }

    /// What the connection knows of the request, for the books.
    pub(super) fn note(&self, progress: &mut Progress, clock: RunClock) {
        let mut connection = self.lease.link.connection.borrow_mut();
        let stream = connection.stream(self.place);
        progress.sent_ns = stream.begun.map(|at| clock.ns(at));
        progress.all_sent_ns = stream.sent.map(|at| clock.ns(at));
        let (written, read) = connection.take_bytes();
        progress.written += written;
        progress.read += read;
    }
}
