//! One request and its answer, as a stream of an HTTP/2 connection.

use super::departure::Departure;
use super::failure;
use super::line::Line;
use crate::http::answer::Answer;
use crate::http::progress::Progress;
use crate::http::slot::Ended;
use crate::plan::RequestPlan;
use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use std::cell::Cell;
use std::future::Future as _;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// A stream that is open.
pub(super) struct Talk<'a> {
    pub(super) line: &'a Line,
    pub(super) departure: &'a Rc<Departure>,
    /// What is left of the request's body.
    pub(super) unsent: Bytes,
    pub(super) stream: SendStream<Bytes>,
    pub(super) response: ResponseFuture,
    /// The body of the answer, once its head is there.
    pub(super) body: Option<RecvStream>,
    pub(super) answer: &'a mut Answer,
    pub(super) plan: &'a RequestPlan,
    pub(super) token_events: &'a Cell<u64>,
}

impl Talk<'_> {
    /// Sends what the server's window takes and reads what has come, until the answer is complete.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, progress: &mut Progress) -> Poll<Ended> {
        self.poll_send(cx);
        let ended = ready!(self.poll_receive(cx, progress));
        Poll::Ready(ended.map_err(|error| failure::of_stream(&error, self.line)))
    }

    /// What goes wrong here shows in the answer: a server may answer before it has heard everything.
    fn poll_send(&mut self, cx: &mut Context<'_>) {
        while !self.unsent.is_empty() {
            self.stream.reserve_capacity(self.unsent.len());
            let room = match self.stream.capacity() {
                0 => match self.stream.poll_capacity(cx) {
                    Poll::Ready(Some(Ok(room))) if room > 0 => room,
                    Poll::Ready(Some(Ok(_))) | Poll::Pending => return,
                    Poll::Ready(Some(Err(_)) | None) => {
                        self.unsent.clear();
                        return;
                    }
                },
                room => room,
            };
            let piece = self.unsent.split_to(room.min(self.unsent.len()));
            let is_last = self.unsent.is_empty();
            self.line.depart(self.departure, is_last);
            if self.stream.send_data(piece, is_last).is_err() {
                self.unsent.clear();
            }
        }
    }

    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        progress: &mut Progress,
    ) -> Poll<Result<(), h2::Error>> {
        let body = match &mut self.body {
            Some(body) => body,
            none => {
                let (head, body) = ready!(Pin::new(&mut self.response).poll(cx))?.into_parts();
                let at = self.line.arrival();
                progress.first = Some(at);
                let status = head.status.as_u16();
                self.answer.begin(self.plan, status, &head.headers, at);
                none.insert(body)
            }
        };
        let ended = loop {
            match ready!(body.poll_data(cx)) {
                Some(Ok(piece)) => {
                    let at = self.line.arrival();
                    self.answer.chunk(self.plan, &piece, at, self.token_events);
                    // It fails only for a stream that is over.
                    let _ = body.flow_control().release_capacity(piece.len());
                }
                Some(Err(error)) => break Err(error),
                None => break ready!(body.poll_trailers(cx)).map(drop),
            }
        };
        match ended {
            Err(error) if !is_enough(&error) => Poll::Ready(Err(error)),
            _ => {
                self.answer.touch(self.line.arrival());
                Poll::Ready(Ok(()))
            }
        }
    }
}

/// Whether a server only does not want the rest of the request: its answer is complete then (RFC 9113,
/// section 8.1).
fn is_enough(error: &h2::Error) -> bool {
    error.is_reset() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR)
}
