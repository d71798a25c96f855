//! One connection slot: one HTTP/1.1 request at a time over a kept connection.
//!
//! The task that sends a request also reads its answer: no channel, no second task. In steady state
//! nothing is allocated: requests that never change are built once, others into memory that is kept, and
//! all slots of a worker read into one buffer.

use super::HttpTarget;
use super::answer::{Answer, Arrival, Headers};
use super::codec::{Decoder, EarlyEnd, Listener, NotHttp};
use super::connect::Connect;
use super::failure;
use super::stream::Stream;
use super::wire::{Wire, WireBuffer};
use crate::engine::ports::{Call, ConnectionUse, Exchange, Slot};
use crate::plan::{Draw, Fault, RequestPlan};
use crate::record::{Cause, Outcome, StepTimes};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::time::{Instant, Sleep, sleep_until};

/// What one read can bring.
const INBOX: usize = 64 * 1024;

thread_local! {
    /// Where all slots of a worker read into: what is not needed at once is copied out of it. A buffer
    /// for each connection would push the others out of the processor's caches.
    static SHARED_INBOX: RefCell<Box<[u8]>> = RefCell::new(vec![0; INBOX].into_boxed_slice());
}

/// A slot of an [`HttpTarget`].
pub struct HttpSlot<C: Connect> {
    target: HttpTarget<C>,
    open: Option<C::Stream>,
    /// How many requests the open connection has carried.
    uses: u64,
    decoder: Decoder,
    answer: Answer,
    buffer: WireBuffer,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<C: Connect> HttpSlot<C> {
    pub(super) fn new(target: HttpTarget<C>) -> Self {
        Self {
            target,
            open: None,
            uses: 0,
            decoder: Decoder::default(),
            answer: Answer::default(),
            buffer: WireBuffer::default(),
            timer: None,
        }
    }
}

/// What an exchange has come to so far; it survives the timeout.
#[derive(Default)]
struct Progress {
    connection: ConnectionUse,
    /// The steps of opening a connection, if one was opened.
    opening: StepTimes,
    connecting: bool,
    /// When the first byte of the request was handed to the network.
    sent: Option<Instant>,
    /// When the last one had been.
    all_sent: Option<Instant>,
    /// When the first byte came after that.
    first: Option<Arrival>,
    written: u64,
    read: u64,
}

impl Progress {
    /// The kernel's stamp, unless the wall clock was set meanwhile: then it may lie before the request.
    fn believable(&self, stamp: Option<Instant>) -> Option<Instant> {
        stamp.filter(|stamp| self.sent.is_some_and(|sent| *stamp >= sent))
    }

    fn steps(&self, last: Option<Arrival>, received: Option<Instant>) -> StepTimes {
        let between = |from: Option<Instant>, to: Option<Instant>| {
            let time = to?.checked_duration_since(from?)?;
            u64::try_from(time.as_nanos()).ok()
        };
        let (first, last) = (self.first.map(|at| at.read), last.map(|at| at.read));
        StepTimes {
            send_ns: between(self.sent, self.all_sent),
            wait_ns: between(self.all_sent, first),
            transfer_ns: between(first, last),
            client_queue_ns: between(received, last),
            ..self.opening
        }
    }
}

type Ended = Result<(), Fault>;

impl<C: Connect> Slot for HttpSlot<C> {
    async fn exchange(&mut self, call: Call<'_>) -> Exchange {
        let shared = &*self.target.shared;
        let (plan, wire) = &shared.requests[call.request];
        let mut draw = Draw {
            number: call.number,
            random: call.random,
        };
        let row = plan.draw_row(&mut draw);
        let attempt = Attempt {
            plan,
            row,
            wire,
            bytes: wire.bytes(plan, row, &mut draw, &mut self.buffer),
            decoder: &mut self.decoder,
            answer: &mut self.answer,
            token_events: call.token_events,
        };
        attempt.answer.reset();
        let mut progress = Progress::default();
        let attempt = attempt.run(&self.target.connect, &mut self.open, &mut progress);
        let ended = within(&mut self.timer, call.deadline, attempt).await;
        let ended = ended.unwrap_or_else(|| {
            // What may still come belongs to no request any more.
            self.open = None;
            Err(timed_out(&progress))
        });
        self.uses = match progress.connection.opened {
            Some(_) => 1,
            None => self.uses + 1,
        };
        if shared.most_uses.is_some_and(|most| self.uses >= most) {
            self.open = None;
        }
        let (outcome, failure) = match ended {
            Ok(()) => (Outcome::Ok, None),
            Err(fault) => (
                fault.outcome,
                Some(shared.failure(fault, self.answer.body())),
            ),
        };
        // The judgement of an answer is not part of its latency.
        let completed = match outcome {
            Outcome::Ok | Outcome::BadStatus | Outcome::FailedCheck => self.answer.last(),
            _ => None,
        };
        let received_by_kernel = completed.and_then(|at| progress.believable(at.kernel));
        Exchange {
            outcome,
            sent: progress.sent,
            first_byte: progress.first.map(|at| at.read),
            end: completed.map_or_else(Instant::now, |at| at.read),
            received_by_kernel,
            steps: progress.steps(completed, received_by_kernel),
            failure,
            connection: progress.connection,
            bytes_sent: progress.written,
            bytes_received: progress.read,
            stream: self.answer.take_times(),
        }
    }
}

fn timed_out(progress: &Progress) -> Fault {
    let (cause, detail) = if progress.connecting {
        (Cause::ConnectTimeout, "no connection within the timeout")
    } else {
        (Cause::NoAnswer, "no complete answer within the timeout")
    };
    Fault {
        outcome: Outcome::Timeout,
        cause,
        detail: detail.to_owned(),
    }
}

/// Awaits something until a deadline. The timer is kept: the runtime moves the deadline of a timer that
/// exists without touching its wheel.
async fn within<F: Future>(
    timer: &mut Option<Pin<Box<Sleep>>>,
    deadline: Instant,
    future: F,
) -> Option<F::Output> {
    let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
    if timer.deadline() != deadline {
        timer.as_mut().reset(deadline);
    }
    let mut future = pin!(future);
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        timer.as_mut().poll(cx).map(|()| None)
    })
    .await
}

/// One request on its way.
struct Attempt<'a> {
    plan: &'a RequestPlan,
    row: usize,
    wire: &'a Wire,
    bytes: &'a [u8],
    decoder: &'a mut Decoder,
    answer: &'a mut Answer,
    token_events: &'a Cell<u64>,
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

impl Attempt<'_> {
    async fn run<C: Connect>(
        mut self,
        connect: &C,
        open: &mut Option<C::Stream>,
        progress: &mut Progress,
    ) -> Ended {
        loop {
            let kept = is_kept_open(open).await;
            if !kept {
                *open = Some(open_one(connect, progress).await?);
            }
            let stream = open.as_mut().expect("connected above");
            self.decoder.start(self.wire.is_head);
            let mut write_fault = None;
            let talk = poll_fn(|cx| self.poll_talk(cx, stream, progress, &mut write_fault)).await;
            match talk {
                Ok(reusable) => {
                    if !reusable {
                        *open = None;
                    }
                    return self.answer.end(self.plan, self.row, self.token_events);
                }
                // A kept connection that the server closed before anything was written: the request is
                // still ours, and any client would open another one. Its time counts.
                Err(Broken::Unsent(_)) if kept => {
                    progress.connection.reopened = true;
                    *open = None;
                }
                Err(broken) => {
                    *open = None;
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
    fn poll_talk<S: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        progress: &mut Progress,
        write_fault: &mut Option<io::Error>,
    ) -> Poll<Result<bool, Broken>> {
        if write_fault.is_none()
            && let Poll::Ready(Err(error)) = self.poll_write(cx, stream, progress)
        {
            if progress.sent.is_none() {
                return Poll::Ready(Err(Broken::Unsent(error)));
            }
            // The server may have answered before it stopped listening.
            *write_fault = Some(error);
        }
        loop {
            let taken = SHARED_INBOX.with_borrow_mut(|inbox| {
                let receipt = ready!(stream.poll_receive(cx, inbox)).map_err(Broken::Io)?;
                Poll::Ready(self.take(&inbox[..receipt.bytes], receipt.at, progress))
            });
            match ready!(taken) {
                Ok(None) => {}
                Ok(Some(reusable)) => return Poll::Ready(Ok(reusable)),
                Err(Broken::Early) if write_fault.is_some() => {
                    let error = write_fault.take().expect("there is one");
                    return Poll::Ready(Err(Broken::Io(error)));
                }
                Err(broken) => return Poll::Ready(Err(broken)),
            }
        }
    }

    /// Ready when everything is written.
    fn poll_write<S: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        progress: &mut Progress,
    ) -> Poll<io::Result<()>> {
        while let Some(rest) = self.unwritten(progress) {
            let before = Instant::now();
            let written = ready!(Pin::new(&mut *stream).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            progress.sent.get_or_insert(before);
            progress.written += written as u64;
            progress.all_sent = Some(Instant::now());
        }
        Pin::new(stream).poll_flush(cx)
    }

    fn unwritten(&self, progress: &Progress) -> Option<&[u8]> {
        let written = usize::try_from(progress.written).unwrap_or(usize::MAX);
        self.bytes.get(written..).filter(|rest| !rest.is_empty())
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
        progress.first.get_or_insert(at);
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
        let clean = used == bytes.len() && self.unwritten(progress).is_none();
        Ok(Some(
            clean && self.decoder.is_persistent() && !self.wire.closes,
        ))
    }
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
async fn is_kept_open<S: Stream>(open: &mut Option<S>) -> bool {
    let Some(stream) = open else {
        return false;
    };
    let silent = poll_fn(|cx| {
        let silent =
            SHARED_INBOX.with_borrow_mut(|inbox| stream.poll_receive(cx, inbox).is_pending());
        Poll::Ready(silent)
    })
    .await;
    if !silent {
        *open = None;
    }
    silent
}

async fn open_one<C: Connect>(connect: &C, progress: &mut Progress) -> Result<C::Stream, Fault> {
    progress.connecting = true;
    let begin = Instant::now();
    let stream = connect
        .connect(&mut progress.opening)
        .await
        .map_err(|error| {
            progress.connection.failed = true;
            failure::of_connect(&error)
        })?;
    progress.connection.opened = Some(begin.elapsed());
    progress.connecting = false;
    Ok(stream)
}
