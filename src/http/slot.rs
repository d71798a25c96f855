//! One connection slot: one request at a time, carried by HTTP/1.1 or HTTP/2.
//!
//! What carries a request notes how far it has come; the deadline, the judgement and the books are the
//! same for both.

use super::HttpTarget;
use super::answer::Answer;
use super::connect::Connect;
use super::http1::Http1;
use super::http2::Http2;
use super::progress::Progress;
use super::token::Known;
use crate::engine::ports::{Call, Exchange, Slot, Told};
use crate::plan::{Draw, Fault, RequestPlan};
use crate::record::{Cause, Outcome};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use tokio::time::{Instant, Sleep, sleep_until};

/// A request lacks valid credentials (RFC 9110, 15.5.2).
const UNAUTHORIZED: u16 = 401;

/// A slot of an [`HttpTarget`].
pub struct HttpSlot<C: Connect> {
    target: HttpTarget<C>,
    carrier: Carrier<C>,
    answer: Answer,
    timer: Option<Pin<Box<Sleep>>>,
    token: Known,
}

/// What carries the requests of a slot.
pub(super) enum Carrier<C: Connect> {
    Http1(Http1<C>),
    Http2(Http2<C>),
}

/// One request to be carried.
pub(super) struct Order<'a> {
    /// Its position in the plan.
    pub(super) request: usize,
    pub(super) plan: &'a RequestPlan,
    pub(super) row: usize,
    pub(super) draw: Draw<'a>,
    pub(super) answer: &'a mut Answer,
    pub(super) token_events: &'a Cell<u64>,
}

/// How a request ended that was not given up.
pub(super) type Ended = Result<(), Fault>;

impl<C: Connect> HttpSlot<C> {
    pub(super) fn new(target: HttpTarget<C>, carrier: Carrier<C>) -> Self {
        Self {
            target,
            carrier,
            answer: Answer::default(),
            timer: None,
            token: Known::default(),
        }
    }
}

impl<C: Connect> Slot for HttpSlot<C> {
    async fn exchange(&mut self, call: Call<'_>) -> Exchange {
        let HttpTarget {
            connect, shared, ..
        } = &self.target;
        let plan = &shared.requests[call.request];
        let mut draw = Draw {
            number: call.number,
            random: call.random,
            captured: call.captured,
            token: self.token.current(&shared.token),
        };
        self.answer.reset();
        let order = Order {
            request: call.request,
            plan,
            row: plan.draw_row(&mut draw),
            draw,
            answer: &mut self.answer,
            token_events: call.token_events,
        };
        let mut progress = Progress::default();
        let (timer, deadline) = (&mut self.timer, call.deadline);
        let ended = match &mut self.carrier {
            Carrier::Http1(http1) => {
                let ended = {
                    let carried = pin!(http1.carry(connect, order, &mut progress));
                    within(timer, deadline, carried).await
                };
                http1.settle(&progress, ended.is_none(), shared.most_uses);
                ended
            }
            Carrier::Http2(http2) => {
                let ended = {
                    let carried = pin!(http2.carry(order, &mut progress));
                    within(timer, deadline, carried).await
                };
                http2.settle(&mut progress, ended.is_none());
                ended
            }
        };
        self.answer.hand_captured_to(call.captured);
        let (outcome, failure) = match ended.unwrap_or_else(|| Err(timed_out(&progress))) {
            Ok(()) => (Outcome::Ok, None),
            Err(fault) => (
                fault.outcome,
                Some(shared.failure(plan, fault, self.answer.body(), call.captured)),
            ),
        };
        // The judgement of an answer is not part of its latency.
        let completed = match outcome {
            Outcome::Ok | Outcome::BadStatus | Outcome::FailedCheck => self.answer.last(),
            _ => None,
        };
        let told = completed.map_or_else(Told::default, |_| self.answer.told());
        let is_unauthorized = outcome == Outcome::BadStatus && told.status == Some(UNAUTHORIZED);
        if is_unauthorized && plan.carries_token() {
            shared.token.refuse(&self.token);
        }
        let received_by_kernel = completed.and_then(|at| progress.believable(at.kernel));
        Exchange {
            outcome,
            sent: progress.sent,
            first_byte: progress.first.map(|at| at.read),
            end: completed.map_or_else(Instant::now, |at| at.read),
            received_by_kernel,
            steps: progress.steps(completed, received_by_kernel),
            failure,
            told,
            connection: progress.connection,
            bytes_sent: progress.written,
            bytes_received: progress.read,
            stream: self.answer.take_times(),
        }
    }

    fn reclaim(&mut self, gaps_ns: Vec<u64>) {
        self.answer.reclaim(gaps_ns);
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
/// exists without touching its wheel. The future is pinned by the caller: given by value it would be there
/// twice, and what a thousand slots carry must stay in the processor's caches.
async fn within<F: Future>(
    timer: &mut Option<Pin<Box<Sleep>>>,
    deadline: Instant,
    mut future: Pin<&mut F>,
) -> Option<F::Output> {
    let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
    if timer.deadline() != deadline {
        timer.as_mut().reset(deadline);
    }
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        timer.as_mut().poll(cx).map(|()| None)
    })
    .await
}
