//! Sends one unit of the load: a request with its further tries, or the steps of a flow one after the
//! other.
//!
//! Latency counts from the intended start of the first try; that of a later step from the end of the
//! step before it. Pauses between tries and polls are part of it.

use super::ports::{Call, Exchange, Slot};
use crate::plan::{Captured, FlowPlan, PollPlan, SendPlan, StepPlan, Unit};
use crate::record::{Cause, Failure, Outcome};
use crate::schedule::GivenUp;
use crate::units;
use rand_pcg::Pcg64Mcg;
use std::cell::Cell;
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Is told what happens on the way.
pub trait Witness {
    /// One exchange, decided upon at `taken`, is over. `step` is the step that it belongs to.
    fn exchanged(&self, step: Option<&StepPlan>, taken: Instant, exchange: &Exchange);

    /// A request that was turned away will be sent again, for the first time or not.
    fn retries(&self, step: Option<&StepPlan>, is_first: bool);

    /// A step begins.
    fn begins(&self, step: &StepPlan, intended: Instant);

    /// A step is over.
    fn ended(&self, step: &StepPlan, intended: Instant, exchange: &mut Exchange);
}

/// Nobody cares.
impl Witness for () {
    fn exchanged(&self, _: Option<&StepPlan>, _: Instant, _: &Exchange) {}

    fn retries(&self, _: Option<&StepPlan>, _: bool) {}

    fn begins(&self, _: &StepPlan, _: Instant) {}

    fn ended(&self, _: &StepPlan, _: Instant, _: &mut Exchange) {}
}

/// What a unit is sent with.
#[derive(Debug)]
pub struct Errand<'a> {
    /// Its number within the run.
    pub number: u64,
    /// When the schedule wanted it to leave.
    pub intended: Instant,
    /// When it was taken up.
    pub taken: Instant,
    /// How long one answer may take.
    pub timeout: Duration,
    /// Where its random values come from.
    pub random: &'a mut Pcg64Mcg,
    /// Counts events with tokens as they come.
    pub token_events: &'a Cell<u64>,
}

/// Sends a unit and awaits its end. Of a flow, the exchange is the last one with the time at which the
/// first byte of all was sent, and the step is the one that did not succeed.
pub fn send<'u, 'a, S: Slot, W: Witness>(
    unit: &'u Unit,
    slot: &'a mut S,
    errand: Errand<'a>,
    witness: &'a W,
) -> impl Future<Output = (Exchange, Option<&'u StepPlan>)> {
    // Not within the future: the arguments would be in it twice.
    let mut way = Way {
        slot,
        errand,
        witness,
    };
    async move {
        let taken = way.errand.taken;
        match unit {
            Unit::Request(send) => {
                let exchange = way.send(send, None, taken, &mut Captured::nothing()).await;
                (exchange, None)
            }
            // On the heap, so that requests of their own carry no room for it.
            Unit::Flow(flow) => Box::pin(way.flow(flow)).await,
        }
    }
}

/// What all exchanges of one unit share.
struct Way<'a, S, W> {
    slot: &'a mut S,
    errand: Errand<'a>,
    witness: &'a W,
}

impl<S: Slot, W: Witness> Way<'_, S, W> {
    /// Sends one request, again if it is turned away and the scenario says so.
    async fn send(
        &mut self,
        send: &SendPlan,
        step: Option<&StepPlan>,
        mut taken: Instant,
        captured: &mut Captured,
    ) -> Exchange {
        let mut first_sent = None;
        let mut retries = 0;
        loop {
            // Gone before the pause: what is kept over it is room in every slot.
            let until = {
                let call = Call {
                    request: send.request,
                    number: self.errand.number,
                    random: self.errand.random,
                    deadline: taken + self.errand.timeout,
                    token_events: self.errand.token_events,
                    captured,
                };
                let mut exchange = self.slot.exchange(call).await;
                self.witness.exchanged(step, taken, &exchange);
                first_sent = first_sent.or(exchange.sent);
                match pause_before_retry(send, &exchange, retries) {
                    Some(Ok(pause)) => exchange.end + pause,
                    given_up => {
                        exchange.sent = first_sent;
                        if let (Some(Err(why)), Some(failure)) = (given_up, &mut exchange.failure) {
                            say_why(why, retries, failure);
                        }
                        return exchange;
                    }
                }
            };
            self.witness.retries(step, retries == 0);
            retries += 1;
            sleep_until(until).await;
            taken = Instant::now();
        }
    }

    /// The steps one after the other, until one does not succeed.
    async fn flow<'u>(&mut self, flow: &'u FlowPlan) -> (Exchange, Option<&'u StepPlan>) {
        let mut captured = Captured::nothing();
        let mut first_sent = None;
        let (mut intended, mut taken) = (self.errand.intended, self.errand.taken);
        let (last, steps) = flow.steps.split_last().expect("a flow has a step");
        for step in steps {
            let exchange = self.step(step, intended, taken, &mut captured).await;
            first_sent = first_sent.or(exchange.sent);
            if exchange.outcome != Outcome::Ok {
                return (as_whole(exchange, first_sent), Some(step));
            }
            intended = exchange.end;
            taken = exchange.end;
        }
        let exchange = self.step(last, intended, taken, &mut captured).await;
        first_sent = first_sent.or(exchange.sent);
        let failed = (exchange.outcome != Outcome::Ok).then_some(last);
        (as_whole(exchange, first_sent), failed)
    }

    /// One step, sent again and again if it waits for something.
    async fn step(
        &mut self,
        step: &StepPlan,
        intended: Instant,
        taken: Instant,
        captured: &mut Captured,
    ) -> Exchange {
        self.witness.begins(step, intended);
        let mut exchange = self.send(&step.send, Some(step), taken, captured).await;
        if let Some(poll) = step.poll {
            let first_sent = exchange.sent;
            while exchange.told.not_yet {
                let now = Instant::now();
                if now >= taken + poll.limit {
                    not_in_time(&mut exchange, poll);
                    break;
                }
                // The last look is at the limit, so that what is told of it is certain.
                let next = (exchange.end + poll.every).min(taken + poll.limit);
                sleep_until(next).await;
                let again = Instant::now();
                exchange = self.send(&step.send, Some(step), again, captured).await;
            }
            exchange.sent = first_sent;
        }
        self.witness.ended(step, intended, &mut exchange);
        exchange
    }
}

/// How long to wait before another try; `None` where there is no question of one.
fn pause_before_retry(
    send: &SendPlan,
    exchange: &Exchange,
    retries: u32,
) -> Option<Result<Duration, GivenUp>> {
    let retry = send.retry.as_ref()?;
    let status = exchange.told.status?;
    let turned_away = exchange.outcome == Outcome::BadStatus && retry.statuses.contains(&status);
    turned_away.then(|| retry.pause_before(retries + 1, exchange.told.retry_after))
}

/// What is told of a request that was turned away for good.
fn say_why(why: GivenUp, retries: u32, failure: &mut Failure) {
    let more = match why {
        GivenUp::TriedEnough => format!("; tried {} times", retries + 1),
        GivenUp::AskedTooMuch(asked) => format!(
            "; not tried again: the server asks to wait {}, longer than `retry` allows",
            units::duration(asked)
        ),
    };
    failure.detail.push_str(&more);
}

fn not_in_time(exchange: &mut Exchange, poll: PollPlan) {
    exchange.outcome = Outcome::Timeout;
    exchange.failure = Some(Failure {
        cause: Cause::NotYet,
        detail: format!("not done after {}", units::duration(poll.limit)),
        body: String::new(),
    });
}

/// The last exchange of a flow, as one of the whole of it.
fn as_whole(exchange: Exchange, first_sent: Option<Instant>) -> Exchange {
    Exchange {
        sent: first_sent,
        first_byte: None,
        stream: None,
        ..exchange
    }
}
