//! HTTP/1.1: one request at a time over a connection of the slot's own.
//!
//! The task that sends a request also reads its answer: no channel, no second task. In steady state
//! nothing is allocated: requests that never change are built once, others into memory that is kept, and
//! all slots of a worker read into one buffer.

use super::answer::{Answer, Arrival, Headers};
use super::codec::{Decoder, EarlyEnd, Listener, NotHttp};
use super::connect::Connect;
use super::failure;
use super::kernel;
use super::progress::Progress;
use super::slot::{Ended, Order};
use super::stream::Stream;
use super::wire::{Wire, WireBuffer};
use crate::engine::ports::RunClock;
use crate::plan::{Draw, Fault, RequestPlan};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite as _;

/// What one read can bring.
const INBOX: usize = 64 * 1024;

thread_local! {
    /// Where all slots of a worker read into: what is not needed at once is copied out of it. A buffer
    /// for each connection would push the others out of the processor's caches.
    static SHARED_INBOX: RefCell<Box<[u8]>> = RefCell::new(vec![0; INBOX].into_boxed_slice());
}

/// The connection of a slot, and what is needed to use it.
pub(super) struct Http1<C: Connect> {
    wires: Arc<[Wire]>,
    open: Option<C::Stream>,
    /// How many requests the open connection has carried.
    uses: u64,
    decoder: Decoder,
    buffer: Box<WireBuffer>,
}

impl<C: Connect> Http1<C> {
    /// `wires` are the requests of the plan.
    pub(super) fn new(wires: Arc<[Wire]>) -> Self {
        Self {
            wires,
            open: None,
            uses: 0,
            decoder: Decoder::default(),
            buffer: Box::default(),
        }
    }

    /// A request that is ready to be sent.
    pub(super) fn attempt<'a>(
        &'a mut self,
        connect: &'a C,
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
        let wire = &self.wires[request];
        Attempt {
            connect,
            open: &mut self.open,
            uses: &mut self.uses,
            plan,
            row,
            wire,
            bytes: wire.bytes(plan, row, draw, &mut self.buffer),
            decoder: &mut self.decoder,
            answer,
            token_events,
            clock,
            write_fault: None,
        }
    }
}

/// One request on its way.
pub(super) struct Attempt<'a, C: Connect> {
    connect: &'a C,
    open: &'a mut Option<C::Stream>,
    /// How many requests it has carried.
    uses: &'a mut u64,
    plan: &'a RequestPlan,
    row: usize,
    wire: &'a Wire,
    bytes: &'a [u8],
    decoder: &'a mut Decoder,
    answer: &'a mut Answer,
    token_events: &'a Cell<u64>,
    clock: RunClock,
    /// Why not all of it could be written.
    write_fault: Option<io::Error>,
}

/// Why there is no answer.
enum Broken {
    /// The connection was closed before anything was written to it.
    Unsent(io::Error),
    Io(io::Error),
    Early,
    NotHttp(NotHttp),
}

impl From<EarlyEnd> for Broken {
    fn from(end: EarlyEnd) -> Self {
        match end {
            EarlyEnd::Incomplete => Self::Early,
            EarlyEnd::NotHttp(fault) => Self::NotHttp(fault),
        }
    }
}

impl<'a, C: Connect> Attempt<'a, C> {
    /// The request is over, one way or another; its answer.
    pub(super) fn settle(
        self,
        progress: &Progress,
        given_up: bool,
        most_uses: Option<u64>,
    ) -> &'a mut Answer {
        *self.uses = match progress.connection.opened_ns {
            Some(_) => 1,
            None => *self.uses + 1,
        };
        // What may still come after it was given up belongs to no request any more.
        if given_up || most_uses.is_some_and(|most| *self.uses >= most) {
            *self.open = None;
        }
        self.answer
    }

    /// Sends the request and reads its answer to the end.
    pub(super) async fn run(&mut self, progress: &mut Progress) -> Ended {
        loop {
            let kept = is_kept_open(self.open);
            if !kept {
                // On the heap, so that requests over a kept connection carry no room for it.
                *self.open = Some(Box::pin(open_one(self.connect, self.clock, progress)).await?);
            }
            self.decoder.start(self.wire.is_head);
            self.write_fault = None;
            match poll_fn(|cx| self.poll_talk(cx, progress)).await {
                Ok(reusable) => {
                    if !reusable {
                        *self.open = None;
                    }
                    return self.answer.end(self.plan, self.row, self.token_events);
                }
                // A kept connection that the server closed before anything was written: the request is
                // still ours, and any client would open another one. Its time counts.
                Err(Broken::Unsent(_)) if kept => {
                    progress.connection.reopened = true;
                    *self.open = None;
                }
                Err(broken) => {
                    *self.open = None;
                    return Err(match broken {
                        Broken::Unsent(error) | Broken::Io(error) => failure::of_exchange(&error),
                        Broken::Early => failure::closed_early(),
                        Broken::NotHttp(fault) => failure::not_http(fault.0),
                    });
                }
            }
        }
    }

    /// Writes what the connection takes and reads what it has, until the answer is complete; whether
    /// the connection can carry another request then.
    fn poll_talk(
        &mut self,
        cx: &mut Context<'_>,
        progress: &mut Progress,
    ) -> Poll<Result<bool, Broken>> {
        if self.write_fault.is_none()
            && let Poll::Ready(Err(error)) = self.poll_write(cx, progress)
        {
            if progress.sent_ns.is_none() {
                return Poll::Ready(Err(Broken::Unsent(error)));
            }
            // The server may have answered before it stopped listening.
            self.write_fault = Some(error);
        }
        loop {
            let taken = SHARED_INBOX.with_borrow_mut(|inbox| {
                let stream = connected(self.open);
                let receipt = ready!(stream.poll_receive(cx, inbox)).map_err(Broken::Io)?;
                let at = kernel::arrival(receipt.stamp, self.clock);
                Poll::Ready(self.take(&inbox[..receipt.bytes], at, progress))
            });
            match ready!(taken) {
                Ok(None) => {}
                Ok(Some(reusable)) => return Poll::Ready(Ok(reusable)),
                Err(broken) => {
                    return Poll::Ready(Err(match (broken, self.write_fault.take()) {
                        (Broken::Early, Some(error)) => Broken::Io(error),
                        (broken, _) => broken,
                    }));
                }
            }
        }
    }

    /// Ready when everything is written.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        progress: &mut Progress,
    ) -> Poll<io::Result<()>> {
        let bytes = self.bytes;
        let stream = connected(self.open);
        while let Some(rest) = unwritten(bytes, progress) {
            let before_ns = self.clock.now_ns();
            let written = ready!(stream.poll_send(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            progress.sent_ns.get_or_insert(before_ns);
            progress.written += written as u64;
            progress.all_sent_ns = Some(self.clock.now_ns());
        }
        Pin::new(stream).poll_flush(cx)
    }

    /// Takes what has been read; `Some` when the answer is complete.
    fn take(
        &mut self,
        bytes: &[u8],
        at: Arrival,
        progress: &mut Progress,
    ) -> Result<Option<bool>, Broken> {
        if bytes.is_empty() {
            self.decoder.end()?;
            self.answer.touch(at);
            return Ok(Some(false));
        }
        progress.first_ns.get_or_insert(at.read_ns);
        progress.read += bytes.len() as u64;
        let mut judge = Judge {
            plan: self.plan,
            answer: self.answer,
            at,
            token_events: self.token_events,
        };
        let used = self
            .decoder
            .feed(bytes, &mut judge)
            .map_err(Broken::NotHttp)?;
        if !self.decoder.is_done() {
            return Ok(None);
        }
        self.answer.touch(at);
        // What was not asked for, or was answered before it was heard out, spoils the connection.
        let clean = used == bytes.len() && unwritten(self.bytes, progress).is_none();
        Ok(Some(
            clean && self.decoder.is_persistent() && !self.wire.closes,
        ))
    }
}

/// The connection of a request that is being carried.
fn connected<S>(open: &mut Option<S>) -> &mut S {
    open.as_mut()
        .expect("it was opened before anything is sent")
}

/// What is left to be written of a request.
fn unwritten<'a>(bytes: &'a [u8], progress: &Progress) -> Option<&'a [u8]> {
    let written = usize::try_from(progress.written).unwrap_or(usize::MAX);
    bytes.get(written..).filter(|rest| !rest.is_empty())
}

/// Passes an answer on to whoever judges it.
struct Judge<'a> {
    plan: &'a RequestPlan,
    answer: &'a mut Answer,
    at: Arrival,
    token_events: &'a Cell<u64>,
}

impl Listener for Judge<'_> {
    fn head(&mut self, status: u16, headers: &dyn Headers) {
        self.answer.begin(self.plan, status, headers, self.at);
    }

    fn data(&mut self, bytes: &[u8]) {
        self.answer
            .chunk(self.plan, bytes, self.at, self.token_events);
    }
}

/// Whether there is a connection that can take a request; one that has been closed meanwhile, or that
/// says something unasked, is dropped.
fn is_kept_open<S: Stream>(open: &mut Option<S>) -> bool {
    let is_silent = |stream: &mut S| SHARED_INBOX.with_borrow_mut(|inbox| stream.is_silent(inbox));
    let is_kept = open.as_mut().is_some_and(is_silent);
    if !is_kept {
        *open = None;
    }
    is_kept
}

async fn open_one<C: Connect>(
    connect: &C,
    clock: RunClock,
    progress: &mut Progress,
) -> Result<C::Stream, Fault> {
    progress.connecting = true;
    let begin_ns = clock.now_ns();
    let steps = progress.opening.get_or_insert_default();
    let stream = connect.connect(steps).await.map_err(|error| {
        progress.connection.failed = true;
        failure::of_connect(&error)
    })?;
    let took_ns = clock.now_ns() - begin_ns;
    progress.connection.opened_ns = Some(took_ns);
    progress.connection.waited_ns += took_ns;
    progress.connecting = false;
    Ok(stream)
}
