//! One worker's books: every request it plans, sends and ends, by the second.
//!
//! On the hot path nothing is shared and nothing is sent; a full second is handed over as a whole.

use super::clock::RunClock;
use super::control::Message;
use super::ports::Exchange;
use crate::plan::PhasePlan;
use crate::record::{Cause, Failure, INTERVAL_NS, Interval, Outcome, Sample, Streamed};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

/// A request that is planned, and may have been taken up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    /// Which request of the plan.
    pub(super) request: usize,
    /// Its number within the phase.
    pub(super) number: u64,
    /// When the schedule wanted it to leave.
    pub(super) intended_ns: u64,
    /// When a slot took it up; the intended start until then.
    pub(super) taken_ns: u64,
    /// Whether its intended start lies in the measured window.
    pub(super) measured: bool,
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
    clock: RunClock,
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
        clock: RunClock,
        phase_started_ns: u64,
        window: MeasuredWindow,
        out: UnboundedSender<Message>,
        spares: UnboundedReceiver<Box<Interval>>,
    ) -> Self {
        Self {
            phase,
            worker,
            clock,
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
        self.waiting -= 1;
        self.in_flight += 1;
    }

    /// A request has ended.
    pub(super) fn end(&mut self, phase: &PhasePlan, ticket: &Ticket, exchange: Exchange) {
        let end_ns = self.clock.ns(exchange.end).max(ticket.taken_ns);
        self.rotate(end_ns);
        self.leave(ticket, end_ns);
        let sample = Sample {
            request: ticket.request,
            intended_ns: ticket.intended_ns,
            sent_ns: exchange.sent.map(|at| self.clock.ns(at)),
            first_byte_ns: exchange.first_byte.map(|at| self.clock.ns(at)),
            end_ns,
            received_ns: exchange.received_by_kernel.map(|at| self.clock.ns(at)),
            outcome: exchange.outcome,
            stream: phase.streams(ticket.request).then(|| {
                let stream = exchange.stream.unwrap_or_default();
                Streamed {
                    first_ns: stream.first.map(|at| self.clock.ns(at)),
                    first_received_ns: stream.first_received.map(|at| self.clock.ns(at)),
                    last_ns: stream.last.map(|at| self.clock.ns(at)),
                    gaps_ns: stream.gaps_ns,
                    events: stream.events,
                    tokens: stream.tokens,
                }
            }),
        };
        let tally = self.population(ticket.measured).of(ticket.request);
        tally.finish(&sample);
        if !phase.objectives.is_empty() {
            tally.good += u64::from(sample.is_good(&phase.objectives));
        }
        if let Some(sent_ns) = sample.sent_ns {
            let connecting_ns = nanoseconds(exchange.connection.waited);
            let own_ns = sent_ns.saturating_sub(ticket.taken_ns);
            self.current
                .counts
                .send_lag
                .record(own_ns.saturating_sub(connecting_ns));
        }
        self.current.counts.steps.record(&exchange.steps);
        self.current.counts.bytes_sent += exchange.bytes_sent;
        self.current.counts.bytes_received += exchange.bytes_received;
        let connections = &mut self.current.counts.connections;
        if let Some(opened) = exchange.connection.opened {
            connections.opened += 1;
            connections.connect.record(nanoseconds(opened));
        }
        connections.failed += u64::from(exchange.connection.failed);
        connections.reopened += u64::from(exchange.connection.reopened);
        if let Some(failure) = exchange.failure {
            self.current
                .counts
                .errors
                .add(ticket.request, exchange.outcome, failure, end_ns);
        }
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
            stream: phase.streams(ticket.request).then(Streamed::default),
        };
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
            stream: phase.streams(ticket.request).then(Streamed::default),
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
                .add(ticket.request, outcome, failure, now_ns);
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

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
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
