//! One connection slot: one request at a time, carried by HTTP/1.1 or HTTP/2.
//!
//! What carries a request notes how far it has come; the deadline, the judgement and the books are the
//! same for both.

use super::HttpTarget;
use super::alarm::Alarm;
use super::answer::Answer;
use super::connect::Connect;
use super::http1::{self, Http1};
use super::http2::{self, Http2};
use super::progress::Progress;
use super::token::Known;
use crate::engine::ports::{Call, Exchange, RunClock, Slot, Told};
use crate::plan::{Draw, Fault, RequestPlan};
use crate::record::{Cause, Outcome, Streamed};
use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;

/// A request lacks valid credentials (RFC 9110, 15.5.2).
const UNAUTHORIZED: u16 = 401;

/// A slot of an [`HttpTarget`].
pub struct HttpSlot<C: Connect> {
    target: Rc<HttpTarget<C>>,
    carrier: Carrier<C>,
    answer: Answer,
    alarm: Alarm,
    token: Known,
}

/// What carries the requests of a slot.
pub(super) enum Carrier<C: Connect> {
    Http1(Http1<C>),
    Http2(Http2<C>),
}

/// A request of a slot that is being carried.
enum Carried<'a, C: Connect> {
    Http1(http1::Attempt<'a, C>),
    Http2(http2::Attempt<'a, C>),
}

impl<'a, C: Connect> Carried<'a, C> {
    /// The request is over, one way or another; its answer.
    fn settle(
        self,
        progress: &mut Progress,
        given_up: bool,
        most_uses: Option<u64>,
    ) -> &'a mut Answer {
        match self {
            Self::Http1(attempt) => attempt.settle(progress, given_up, most_uses),
            Self::Http2(attempt) => attempt.settle(progress, given_up),
        }
    }
}

/// One request to be carried.
pub(super) struct Order<'a> {
    /// Its position in the plan.
    pub(super) request: usize,
    pub(super) plan: &'a RequestPlan,
    pub(super) row: usize,
    pub(super) answer: &'a mut Answer,
    pub(super) token_events: &'a Cell<u64>,
    pub(super) clock: RunClock,
}

/// How a request ended that was not given up.
pub(super) type Ended = Result<(), Fault>;

impl<C: Connect> HttpSlot<C> {
    pub(super) fn new(target: Rc<HttpTarget<C>>, carrier: Carrier<C>) -> Self {
        Self {
            target,
            carrier,
            answer: Answer::default(),
            alarm: Alarm::default(),
            token: Known::default(),
        }
    }
}

impl<C: Connect> Slot for HttpSlot<C> {
    // What is needed to begin is used up before there is a future: within one it would stay until its end, and
    // what a thousand slots carry must stay in the processor's caches.
    fn exchange<'a>(&'a mut self, call: Call<'a>) -> impl Future<Output = Exchange> + 'a {
        let HttpTarget {
            connect, shared, ..
        } = &*self.target;
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
            answer: &mut self.answer,
            token_events: call.token_events,
            clock: call.clock,
        };
        let mut carried = match &mut self.carrier {
            Carrier::Http1(http1) => Carried::Http1(http1.attempt(connect, order, &mut draw)),
            Carrier::Http2(http2) => Carried::Http2(http2.attempt(order, &mut draw)),
        };
        let (alarm, token) = (&mut self.alarm, &self.token);
        let Call {
            deadline_ns,
            captured,
            clock,
            ..
        } = call;
        async move {
            let mut progress = Progress::default();
            let ended = match &mut carried {
                Carried::Http1(attempt) => {
                    let run = pin!(attempt.run(&mut progress));
                    alarm.within(deadline_ns, clock, run).await
                }
                Carried::Http2(attempt) => {
                    let run = pin!(attempt.run(&mut progress));
                    alarm.within(deadline_ns, clock, run).await
                }
            };
            let answer = carried.settle(&mut progress, ended.is_none(), shared.most_uses);
            answer.hand_captured_to(captured);
            let (outcome, failure) = match ended.unwrap_or_else(|| Err(timed_out(&progress))) {
                Ok(()) => (Outcome::Ok, None),
                Err(fault) => (
                    fault.outcome,
                    Some(Box::new(shared.failure(
                        plan,
                        fault,
                        answer.body(),
                        captured,
                    ))),
                ),
            };
            // The judgement of an answer is not part of its latency.
            let completed = match outcome {
                Outcome::Ok | Outcome::BadStatus | Outcome::FailedCheck => answer.last(),
                _ => None,
            };
            let told = completed.map_or_else(Told::default, |_| answer.told());
            let is_unauthorized =
                outcome == Outcome::BadStatus && told.status == Some(UNAUTHORIZED);
            if is_unauthorized && plan.carries_token() {
                shared.token.refuse(token);
            }
            Exchange {
                outcome,
                sent_ns: progress.sent_ns,
                all_sent_ns: progress.all_sent_ns,
                first_byte_ns: progress.first_ns,
                end_ns: completed.map_or_else(|| clock.now_ns(), |at| at.read_ns),
                received_ns: completed.and_then(|at| progress.received_ns(at)),
                opening: progress.opening,
                failure,
                told,
                connection: progress.connection,
                bytes_sent: progress.written,
                bytes_received: progress.read,
                stream: answer.take_stream(),
            }
        }
    }

    fn sends_alone(&self) -> bool {
        matches!(self.carrier, Carrier::Http1(_))
    }

    fn reclaim(&mut self, stream: Box<Streamed>) {
        self.answer.reclaim(stream);
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
