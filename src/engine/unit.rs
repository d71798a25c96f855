//! Sends one unit of the load: a request with its further tries, or the steps of a flow one after the
//! other.
//!
//! Latency counts from the intended start of the first try; that of a later step from the end of the
//! step before it. Pauses between tries and polls are part of it.

use super::clock::RunClock;
use super::ports::{Call, Exchange, Slot};
use crate::plan::{Captured, FlowPlan, PollPlan, SendPlan, StepPlan, Unit};
use crate::record::{Cause, Failure, Outcome};
use crate::schedule::GivenUp;
use crate::units::{self, nanoseconds};
use rand_pcg::Pcg64Mcg;
use std::cell::Cell;
use std::future::Future;
use std::time::Duration;
use tokio::time::sleep_until;

/// Is told what happens on the way.
pub trait Witness {
    /// One exchange, decided upon at `taken_ns`, is over. `step` is the step that it belongs to.
    fn exchanged(&self, step: Option<&StepPlan>, taken_ns: u64, exchange: &Exchange);

    /// A request that was turned away will be sent again, for the first time or not.
    fn retries(&self, step: Option<&StepPlan>, is_first: bool);

    /// A step begins.
    fn begins(&self, step: &StepPlan, intended_ns: u64);

    /// A step is over.
    fn ended(&self, step: &StepPlan, intended_ns: u64, exchange: &mut Exchange);
}

/// Nobody cares.
impl Witness for () {
    fn exchanged(&self, _: Option<&StepPlan>, _: u64, _: &Exchange) {}

    fn retries(&self, _: Option<&StepPlan>, _: bool) {}

    fn begins(&self, _: &StepPlan, _: u64) {}

    fn ended(&self, _: &StepPlan, _: u64, _: &mut Exchange) {}
}

/// What a unit is sent with. Times are nanoseconds since the start of the run.
#[derive(Debug)]
pub struct Errand<'a> {
    /// Its number within the run.
    pub number: u64,
    /// When the schedule wanted it to leave.
    pub intended_ns: u64,
    /// When it was taken up.
    pub taken_ns: u64,
    /// The run's clock.
    pub clock: RunClock,
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
        let taken_ns = way.errand.taken_ns;
        match unit {
            Unit::Request(send) => {
                let exchange = way
                    .send(send, None, taken_ns, &mut Captured::nothing())
                    .await;
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
        mut taken_ns: u64,
        captured: &mut Captured,
    ) -> Exchange {
        let clock = self.errand.clock;
        let mut first_sent_ns = None;
        let mut retries = 0;
        loop {
            // Gone before the pause: what is kept over it is room in every slot.
            let until = {
                let call = Call {
                    request: send.request,
                    number: self.errand.number,
                    random: self.errand.random,
                    deadline_ns: taken_ns.saturating_add(nanoseconds(self.errand.timeout)),
                    clock,
                    token_events: self.errand.token_events,
                    captured,
                };
                let mut exchange = self.slot.exchange(call).await;
                self.witness.exchanged(step, taken_ns, &exchange);
                first_sent_ns = first_sent_ns.or(exchange.sent_ns);
                match pause_before_retry(send, &exchange, retries) {
                    Some(Ok(pause)) => clock.at(exchange.end_ns) + pause,
                    given_up => {
                        exchange.sent_ns = first_sent_ns;
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
            taken_ns = clock.now_ns();
        }
    }

    /// The steps one after the other, until one does not succeed.
    async fn flow<'u>(&mut self, flow: &'u FlowPlan) -> (Exchange, Option<&'u StepPlan>) {
        let mut captured = Captured::nothing();
        let mut first_sent_ns = None;
        let (mut intended_ns, mut taken_ns) = (self.errand.intended_ns, self.errand.taken_ns);
        let (last, steps) = flow.steps.split_last().expect("a flow has a step");
        for step in steps {
            let exchange = self.step(step, intended_ns, taken_ns, &mut captured).await;
            first_sent_ns = first_sent_ns.or(exchange.sent_ns);
            if exchange.outcome != Outcome::Ok {
                return (as_whole(exchange, first_sent_ns), Some(step));
            }
            intended_ns = exchange.end_ns;
            taken_ns = exchange.end_ns;
        }
        let exchange = self.step(last, intended_ns, taken_ns, &mut captured).await;
        first_sent_ns = first_sent_ns.or(exchange.sent_ns);
        let failed = (exchange.outcome != Outcome::Ok).then_some(last);
        (as_whole(exchange, first_sent_ns), failed)
    }

    /// One step, sent again and again if it waits for something.
    async fn step(
        &mut self,
        step: &StepPlan,
        intended_ns: u64,
        taken_ns: u64,
        captured: &mut Captured,
    ) -> Exchange {
        let clock = self.errand.clock;
        self.witness.begins(step, intended_ns);
        let mut exchange = self.send(&step.send, Some(step), taken_ns, captured).await;
        if let Some(poll) = step.poll {
            let first_sent_ns = exchange.sent_ns;
            let limit_ns = taken_ns.saturating_add(nanoseconds(poll.limit));
            while exchange.told.not_yet {
                if clock.now_ns() >= limit_ns {
                    not_in_time(&mut exchange, poll);
                    break;
                }
                // The last look is at the limit, so that what is told of it is certain.
                let next_ns = exchange.end_ns.saturating_add(nanoseconds(poll.every));
                sleep_until(clock.at(next_ns.min(limit_ns))).await;
                let again_ns = clock.now_ns();
                exchange = self.send(&step.send, Some(step), again_ns, captured).await;
            }
            exchange.sent_ns = first_sent_ns;
        }
        self.witness.ended(step, intended_ns, &mut exchange);
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
    exchange.failure = Some(Box::new(Failure {
        cause: Cause::NotYet,
        detail: format!("not done after {}", units::duration(poll.limit)),
        body: String::new(),
    }));
}

/// The last exchange of a flow, as one of the whole of it.
fn as_whole(exchange: Exchange, first_sent_ns: Option<u64>) -> Exchange {
    Exchange {
        sent_ns: first_sent_ns,
        first_byte_ns: None,
        stream: None,
        ..exchange
    }
}
