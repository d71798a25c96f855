//! One worker's books: every request it plans, sends and ends, by the second.
//!
//! On the hot path nothing is shared and nothing is sent; a full second is handed over as a whole.

use super::control::Message;
use super::ports::{Exchange, Told};
use crate::plan::{PhasePlan, StepPlan};
use crate::record::{Cause, Failure, INTERVAL_NS, Interval, Outcome, Sample, Streamed, TryTally};
use crate::units::nanoseconds;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

/// A request or flow that is planned, and may have been taken up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    /// Which unit of the plan.
    pub(super) request: usize,
    /// Its number within the phase.
    pub(super) number: u64,
    /// When the schedule wanted it to leave.
    pub(super) intended_ns: u64,
    /// When a slot took it up; the intended start until then.
    pub(super) taken_ns: u64,
    /// Whether its intended start lies in the measured window.
    pub(super) measured: bool,
    /// The step that a flow is at.
    pub(super) step: Option<StepTicket>,
}

/// A step of a flow that has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct StepTicket {
    /// Its position among the steps of all flows.
    pub(super) index: usize,
    /// When it was to begin: at the end of the step before it.
    pub(super) intended_ns: u64,
    /// Whether its answer is a stream.
    pub(super) streams: bool,
}

/// Where the measured window of a phase lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct MeasuredWindow {
    pub(super) from_ns: u64,
    /// `u64::MAX` while it is not known.
    pub(super) to_ns: u64,
}

impl MeasuredWindow {
    /// How much of a stretch of time lies in the window.
    fn overlap(&self, from_ns: u64, to_ns: u64) -> u64 {
        to_ns
            .min(self.to_ns)
            .saturating_sub(from_ns.max(self.from_ns))
    }
}

pub(super) struct Recorder {
    phase: usize,
    worker: usize,
    phase_started_ns: u64,
    pub(super) window: MeasuredWindow,
    current: Interval,
    current_ends_ns: u64,
    in_flight: u64,
    in_flight_since_ns: u64,
    waiting: u64,
    /// Events with tokens that slots have seen since the second began.
    token_events: Rc<Cell<u64>>,
    busy: BusyTime,
    out: UnboundedSender<Message>,
    spares: UnboundedReceiver<Box<Interval>>,
}

impl Recorder {
    pub(super) fn new(
        (phase, worker): (usize, usize),
        phase_started_ns: u64,
        window: MeasuredWindow,
        out: UnboundedSender<Message>,
        spares: UnboundedReceiver<Box<Interval>>,
    ) -> Self {
        Self {
            phase,
            worker,
            phase_started_ns,
            window,
            current: Interval::default(),
            current_ends_ns: phase_started_ns + INTERVAL_NS,
            in_flight: 0,
            in_flight_since_ns: phase_started_ns,
            waiting: 0,
            token_events: Rc::default(),
            busy: BusyTime::start(),
            out,
            spares,
        }
    }

    /// Where slots count events with tokens.
    pub(super) fn token_events(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.token_events)
    }

    /// When the current second is over.
    pub(super) fn current_ends_ns(&self) -> u64 {
        self.current_ends_ns
    }

    /// A request is planned: from here on it must end.
    pub(super) fn plan(&mut self, ticket: &Ticket, now_ns: u64) {
        self.rotate(now_ns);
        self.population(ticket.measured).of(ticket.request).planned += 1;
        self.waiting += 1;
    }

    /// The schedule of an open loop was kept by this much.
    pub(super) fn late(&mut self, by_ns: u64) {
        self.current.counts.lateness.record(by_ns);
    }

    /// A task of this worker that was ready had to wait so long for its turn.
    pub(super) fn delayed(&mut self, by_ns: u64) {
        self.current.counts.loop_delay.record(by_ns);
    }

    /// A planned request is taken up.
    pub(super) fn begin(&mut self, ticket: &Ticket) {
        self.rotate(ticket.taken_ns);
        self.count_in_flight(ticket.taken_ns);
        // A worker that stood still begins what was taken up in the past, of which the time has been counted
        // without this one.
        let missed = self
            .window
            .overlap(ticket.taken_ns, self.in_flight_since_ns);
        self.current.counts.in_flight_ns += missed;
        self.waiting -= 1;
        self.in_flight += 1;
    }

    /// One exchange is over, be it all of a request, a try or a step.
    pub(super) fn exchanged(&mut self, taken_ns: u64, exchange: &Exchange) {
        self.rotate(exchange.end_ns);
        let counts = &mut self.current.counts;
        if let Some(sent_ns) = exchange.sent_ns {
            let connecting_ns = exchange.connection.waited_ns;
            let own_ns = sent_ns.saturating_sub(taken_ns);
            counts.send_lag.record(own_ns.saturating_sub(connecting_ns));
        }
        counts.steps.record(&exchange.steps());
        counts.bytes_sent += exchange.bytes_sent;
        counts.bytes_received += exchange.bytes_received;
        let connections = &mut counts.connections;
        if let Some(opened_ns) = exchange.connection.opened_ns {
            connections.opened += 1;
            connections.connect.record(opened_ns);
        }
        connections.failed += u64::from(exchange.connection.failed);
        connections.reopened += u64::from(exchange.connection.reopened);
    }

    /// What an answer says of tries that may follow.
    pub(super) fn answered(&mut self, ticket: &Ticket, step: Option<&StepPlan>, told: Told) {
        if told.not_yet {
            self.tries(ticket, step, |tries| tries.not_yet += 1);
        }
        if told.turns_away() {
            self.tries(ticket, step, |tries| {
                tries.turned_away += 1;
                if let Some(asked) = told.retry_after {
                    tries.told += 1;
                    tries.asked.record(nanoseconds(asked));
                }
            });
        }
    }

    /// A request that was turned away is sent again.
    pub(super) fn retries(&mut self, ticket: &Ticket, step: Option<&StepPlan>, is_first: bool) {
        self.tries(ticket, step, |tries| {
            tries.retries += 1;
            tries.retried += u64::from(is_first);
        });
    }

    fn tries(&mut self, ticket: &Ticket, step: Option<&StepPlan>, count: impl Fn(&mut TryTally)) {
        count(&mut self.population(ticket.measured).of(ticket.request).tries);
        if let Some(step) = step.filter(|_| ticket.measured) {
            count(&mut self.current.flow_steps.of(step.index).tries);
        }
    }

    /// A step of a flow begins: from here on it must end.
    pub(super) fn begin_step(&mut self, ticket: &Ticket, step: StepTicket) {
        if ticket.measured {
            self.current.flow_steps.of(step.index).planned += 1;
        }
    }

    /// A step of a flow has ended.
    pub(super) fn end_step(
        &mut self,
        ticket: &Ticket,
        step: &StepPlan,
        intended_ns: u64,
        exchange: &mut Exchange,
    ) {
        if !ticket.measured {
            return;
        }
        let stream = exchange.stream.take();
        let sample = Sample {
            request: step.index,
            intended_ns,
            ..sample(
                exchange,
                exchange.end_ns,
                step.streams.then(|| stream.unwrap_or_default()),
            )
        };
        self.rotate(sample.end_ns);
        self.current.flow_steps.of(step.index).finish(&sample);
    }

    /// A request or flow has ended, at `end_ns` if not before it was taken up; the step is the one that
    /// did not succeed. Gives back what is known of its stream, for its memory.
    pub(super) fn end(
        &mut self,
        phase: &PhasePlan,
        ticket: &Ticket,
        exchange: &mut Exchange,
        end_ns: u64,
        failed: Option<&StepPlan>,
    ) -> Option<Box<Streamed>> {
        self.rotate(end_ns);
        self.leave(ticket, end_ns);
        let stream = exchange.stream.take();
        let streams = phase.streams(ticket.request);
        let sample = Sample {
            request: ticket.request,
            intended_ns: ticket.intended_ns,
            ..sample(
                exchange,
                end_ns,
                streams.then(|| stream.unwrap_or_default()),
            )
        };
        let tally = self.population(ticket.measured).of(ticket.request);
        tally.finish(&sample);
        if !phase.objectives.is_empty() {
            tally.good += u64::from(sample.is_good(&phase.objectives));
        }
        if let Some(failure) = exchange.failure.take() {
            let step = failed.map(|step| step.index);
            self.current.counts.errors.add(
                (ticket.request, step),
                exchange.outcome,
                *failure,
                end_ns,
            );
        }
        sample.stream
    }

    /// The run is over before this request is.
    pub(super) fn abandon(&mut self, phase: &PhasePlan, ticket: &Ticket, now_ns: u64) {
        self.rotate(now_ns);
        self.leave(ticket, now_ns);
        let sample = Sample {
            request: ticket.request,
            intended_ns: ticket.intended_ns,
            sent_ns: Some(ticket.taken_ns),
            first_byte_ns: None,
            end_ns: now_ns,
            received_ns: None,
            outcome: Outcome::InFlightAtEnd,
            stream: phase.streams(ticket.request).then(Box::default),
        };
        if let Some(step) = ticket.step.filter(|_| ticket.measured) {
            let of_step = Sample {
                request: step.index,
                intended_ns: step.intended_ns,
                stream: step.streams.then(Box::default),
                ..sample.clone()
            };
            self.current.flow_steps.of(step.index).finish(&of_step);
        }
        self.population(ticket.measured)
            .of(ticket.request)
            .finish(&sample);
    }

    /// A request that waits is never sent: it waited too long, or the run is over.
    pub(super) fn give_up(
        &mut self,
        phase: &PhasePlan,
        ticket: &Ticket,
        outcome: Outcome,
        now_ns: u64,
    ) {
        self.rotate(now_ns);
        self.waiting -= 1;
        let sample = Sample {
            request: ticket.request,
            intended_ns: ticket.intended_ns,
            sent_ns: None,
            first_byte_ns: None,
            end_ns: now_ns,
            received_ns: None,
            outcome,
            stream: phase.streams(ticket.request).then(Box::default),
        };
        self.population(ticket.measured)
            .of(ticket.request)
            .finish(&sample);
        if outcome == Outcome::Shed {
            let waited = Duration::from_nanos(now_ns.saturating_sub(ticket.intended_ns));
            let failure = Failure {
                cause: Cause::WaitedTooLong,
                detail: format!(
                    "not sent after waiting {} for a request in flight to end",
                    crate::units::duration(waited)
                ),
                body: String::new(),
            };
            self.current
                .counts
                .errors
                .add((ticket.request, None), outcome, failure, now_ns);
        }
    }

    fn leave(&mut self, ticket: &Ticket, end_ns: u64) {
        self.count_in_flight(end_ns);
        self.in_flight -= 1;
        self.current.counts.overlap_ns += self.window.overlap(ticket.taken_ns, end_ns);
    }

    fn population(&mut self, measured: bool) -> &mut crate::record::Population {
        if measured {
            &mut self.current.measured
        } else {
            &mut self.current.warmup
        }
    }

    /// Integrates the requests in flight up to now.
    fn count_in_flight(&mut self, now_ns: u64) {
        let elapsed = self.window.overlap(self.in_flight_since_ns, now_ns);
        self.current.counts.in_flight_ns += elapsed * self.in_flight;
        self.in_flight_since_ns = self.in_flight_since_ns.max(now_ns);
    }

    /// Hands over every second that is over by now.
    pub(super) fn rotate(&mut self, now_ns: u64) {
        while now_ns >= self.current_ends_ns {
            let ends_ns = self.current_ends_ns;
            self.count_in_flight(ends_ns);
            self.hand_over();
            self.current_ends_ns = ends_ns + INTERVAL_NS;
        }
    }

    /// Hands over the last, incomplete second.
    pub(super) fn close(&mut self, now_ns: u64) {
        self.rotate(now_ns);
        self.count_in_flight(now_ns);
        self.hand_over();
    }

    fn hand_over(&mut self) {
        self.current.counts.in_flight = self.in_flight;
        self.current.counts.waiting = self.waiting;
        self.current.counts.token_events = self.token_events.take();
        let busy = self.busy.since_last();
        self.current.counts.busy_ns = busy;
        self.current.counts.busiest_ns = busy;
        let mut next = self.spares.try_recv().unwrap_or_default();
        let number = (self.current_ends_ns - self.phase_started_ns) / INTERVAL_NS;
        next.reset(u32::try_from(number).unwrap_or(u32::MAX));
        let full = std::mem::replace(&mut self.current, *next);
        // A control side that is gone wants no more seconds.
        let _ = self.out.send(Message::Second {
            phase: self.phase,
            worker: self.worker,
            interval: Box::new(full),
        });
    }
}

/// What is known of an exchange; whose it is, is filled in.
fn sample(exchange: &Exchange, end_ns: u64, stream: Option<Box<Streamed>>) -> Sample {
    Sample {
        request: 0,
        intended_ns: 0,
        sent_ns: exchange.sent_ns,
        first_byte_ns: exchange.first_byte_ns,
        end_ns,
        received_ns: exchange.received_ns,
        outcome: exchange.outcome,
        stream,
    }
}

/// How long this thread's runtime has been busy.
struct BusyTime {
    last: Duration,
}

impl BusyTime {
    fn start() -> Self {
        Self { last: total_busy() }
    }

    fn since_last(&mut self) -> u64 {
        let total = total_busy();
        let busy = total.saturating_sub(self.last);
        self.last = total;
        nanoseconds(busy)
    }
}

fn total_busy() -> Duration {
    tokio::runtime::Handle::current()
        .metrics()
        .worker_total_busy_duration(0)
}
