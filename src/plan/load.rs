//! What drives a phase, with all numbers resolved.

use super::compile::Facts;
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::scenario::{Length, Located, Phase, PhaseLoad, Sending};
use crate::schedule::{Arrivals, Closed, Load, Open, Profile, Stop, Trace};
use crate::units;
use std::time::Duration;

/// Without `max_in_flight`, no more than this many requests are in flight at once.
const GENEROUS: f64 = 10_000.0;

pub(super) fn compile(
    phase: &Phase,
    timeout: Duration,
    facts: &Facts,
    found: &mut Diagnostics,
) -> Option<Load> {
    let (arrivals, sending) = match &phase.load {
        PhaseLoad::Concurrency { users, think_time } => {
            return Some(Load::Closed(Closed {
                users: users.clone(),
                think_time: *think_time,
            }));
        }
        PhaseLoad::Rate {
            rate,
            process,
            sending,
        } => {
            let arrivals = Arrivals::Rate {
                rate: rate.clone(),
                process: *process,
            };
            (arrivals, sending)
        }
        PhaseLoad::Trace {
            file,
            speed,
            sending,
        } => {
            let trace = read_trace(file, *speed, facts, found)?;
            (Arrivals::Trace(trace), sending)
        }
    };
    let max_in_flight = most_in_flight(*sending, &arrivals.rate(), timeout);
    Some(Load::Open(Open {
        arrivals,
        max_in_flight,
        shed_after: sending.shed_after,
        precise: sending.precise,
    }))
}

/// At most rate × timeout requests can be in flight before they time out, so that a cap of that size
/// holds nothing back.
fn most_in_flight(sending: Sending, rate: &Profile, timeout: Duration) -> u32 {
    sending.max_in_flight.unwrap_or_else(|| {
        let most = rate.peak() * timeout.as_secs_f64() * 1.1 + 16.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 16 and ten thousand"
        )]
        let most = most.min(GENEROUS).ceil() as u32;
        most
    })
}

fn read_trace(
    file: &Located<String>,
    speed: f64,
    facts: &Facts,
    found: &mut Diagnostics,
) -> Option<Trace> {
    let name = &file.value;
    let text = match facts.data_files.get(name) {
        Some(Ok(text)) => text,
        other => {
            let reason = match other {
                Some(Err(reason)) => reason,
                _ => "it was not read",
            };
            let message = format!("cannot read the trace `{name}`: {reason}");
            found.push(
                Diagnostic::error(Code::UnreadableFile, message)
                    .at(file.span.clone())
                    .hint("the path is relative to the folder of the scenario"),
            );
            return None;
        }
    };
    match Trace::parse(text, speed) {
        Ok(trace) => Some(trace),
        Err(error) => {
            let place = match error.line {
                0 => name.clone(),
                line => format!("{name}, line {line}"),
            };
            let message = format!("{place}: {}", error.message);
            found.push(
                Diagnostic::error(Code::InvalidData, message)
                    .at(file.span.clone())
                    .hint("a trace holds one arrival per line, in order: seconds, or RFC 3339"),
            );
            None
        }
    }
}

/// When the measured part ends.
pub(super) fn stop(phase: &Phase, load: &Load, found: &mut Diagnostics) -> Option<Stop> {
    let length = match phase.length.value {
        Length::Duration(duration) => return Some(Stop::After(duration)),
        Length::Count(count) => return Some(Stop::Count(count)),
        Length::OfLoad => match load {
            Load::Closed(closed) => closed.users.length_ns(),
            Load::Open(open) => match &open.arrivals {
                Arrivals::Rate { rate, .. } => rate.length_ns(),
                // Its last arrival is still part of it.
                Arrivals::Trace(trace) => trace.length_ns().saturating_add(1),
            },
        },
    };
    let length = Duration::from_nanos(length);
    let measured = length.saturating_sub(phase.warmup);
    if measured.is_zero() {
        let message = format!(
            "the load of `{}` takes {}, and the warm-up all of it",
            phase.name.value,
            units::duration(length)
        );
        found.push(
            Diagnostic::error(Code::ImpossiblePromise, message)
                .at(phase.length.span.clone())
                .hint("shorten `warmup`, or say with `duration` how long to measure"),
        );
        return None;
    }
    Some(Stop::After(measured))
}

/// How many requests an open loop intends to start in the measured window; `None` for a closed loop.
pub(super) fn planned_requests(load: &Load, warmup: Duration, duration: Duration) -> Option<u64> {
    let Load::Open(open) = load else {
        return None;
    };
    let ns = units::nanoseconds;
    let rate = open.arrivals.rate();
    let area = rate.area(ns(warmup + duration)) - rate.area(ns(warmup));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count; a float cast saturates"
    )]
    let planned = area.round() as u64;
    Some(planned)
}
