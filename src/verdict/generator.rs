//! Whether a latency gate would judge the generator instead of the target: how much of what it saw the
//! generator can have added at most.

use super::{ScopedGate, Subject, requests};
use crate::gate::{Gate, Metric, Op};
use crate::record::{
    Distribution as _, Doubt, LAG_LIMIT_NS, LAG_SHARE, Latencies, PartIndex, PhaseRecord,
    RequestInfo,
};
use crate::units;

/// A generator that added more than the gate can bear.
pub(super) struct Late {
    /// In words.
    pub(super) doubt: Doubt,
    lag_p99_ns: u64,
}

impl Late {
    /// The gate with what the generator added taken off, by a higher limit.
    pub(super) fn forgiving(&self, gate: &ScopedGate) -> ScopedGate {
        let mut forgiving = gate.clone();
        forgiving.gate.limit.value += self.lag_p99_ns as f64 / 1e9;
        forgiving
    }
}

/// The phase in which the generator itself added more than a gate on a latency can bear: more than 5 ms
/// at p99, or than 5 % of the gate's limit where that is less.
pub(super) fn too_late(gate: &Gate, phases: &[&PhaseRecord]) -> Option<Late> {
    if gate.op != Op::Below {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "limits are positive, and a float cast saturates"
    )]
    let share_ns = (gate.limit.value * LAG_SHARE * 1e9) as u64;
    let limit_ns = LAG_LIMIT_NS.min(share_ns);
    phases
        .iter()
        .filter_map(|phase| Some((phase.index, phase.own_lag_p99_ns()?)))
        .filter(|(_, lag_p99_ns)| *lag_p99_ns > limit_ns)
        .max_by_key(|(_, lag_p99_ns)| *lag_p99_ns)
        .map(|(phase, lag_p99_ns)| Late {
            doubt: Doubt::GeneratorLate {
                phase,
                lag_p99_ns,
                limit_ns,
            },
            lag_p99_ns,
        })
}

/// A request passes through the loop of its worker so often: to be sent, when its connection is there, when
/// the answer begins and when it ends.
const TURNS: u64 = 4;

/// So many times the mean that requests were held is tried as what one of them was held: by Markov's
/// inequality no more than the inverse of that share of them was held longer.
const TIMES_THE_MEAN: [u32; 5] = [3, 5, 10, 20, 50];

/// Why a gate on a latency fails whatever these doubts say of the generator: the share of requests over the
/// limit is too large even where all that it can have done is counted in favour of the target.
///
/// Taken off each latency is the longest that a request left late, that a task waited, and that the process
/// stood still; a service that does not slow down when requests come earlier would have been at most so much
/// faster. Requests that failed are left out: they may have been refused because late ones came together.
///
/// `None` where the gate does not fail for certain, and where one of the doubts has no such bound.
pub(super) fn cannot_explain(
    doubts: &[&Doubt],
    gate: &ScopedGate,
    subject: &Subject<'_>,
    units_of_run: &[RequestInfo],
) -> Option<String> {
    let Metric::Latency { kind, .. } = gate.gate.metric else {
        return None;
    };
    if gate.gate.op != Op::Below || gate.gate.worst.is_some() {
        return None;
    }
    let mut added_ns = 0;
    let mut mean_held_ns = 0;
    for doubt in doubts {
        match doubt {
            Doubt::GeneratorLate { lag_p99_ns, .. } => {
                added_ns += longest(subject, lateness).max(*lag_p99_ns);
            }
            Doubt::GeneratorDelayed { .. } => {
                let turns = TURNS * exchanges(subject.part, units_of_run)?;
                added_ns += turns * longest(subject, |phase| max_ns(&phase.loop_delay));
            }
            Doubt::Paused { for_ns, .. } => added_ns += for_ns,
            Doubt::GeneratorHolds { held_ns, .. } => mean_held_ns = mean_held_ns.max(*held_ns),
            // What could not be sent has failed.
            Doubt::GeneratorShort { .. } => {}
            _ => return None,
        }
    }
    let outcomes = subject.total().outcomes;
    let failed = outcomes.failed() as f64 / outcomes.total().max(1) as f64;
    if kind.is_of_streams() && failed > 0.0 {
        return None;
    }
    let trials: Vec<(u64, f64)> = if mean_held_ns == 0 {
        vec![(added_ns, failed)]
    } else {
        let held = |times: u32| {
            let ns = mean_held_ns.saturating_mul(times.into());
            (added_ns + ns, failed + 1.0 / f64::from(times))
        };
        TIMES_THE_MEAN.map(held).to_vec()
    };
    trials.into_iter().find_map(|(added_ns, excused)| {
        let lower = requests::certainly_over(gate, subject, added_ns, excused)?;
        let left_out = if excused > 0.0 {
            format!(" and {} of the requests left out", units::percent(excused))
        } else {
            String::new()
        };
        Some(format!(
            "it cannot explain that: with {} taken off each{left_out}, still at least {} of them are over the limit",
            units::seconds(added_ns as f64 / 1e9),
            units::percent(lower - excused),
        ))
    })
}

/// The largest of something over the phases that a gate looks at.
fn longest(subject: &Subject<'_>, of: impl Fn(&PhaseRecord) -> u64) -> u64 {
    subject
        .phases
        .iter()
        .map(|phase| of(phase))
        .max()
        .unwrap_or(0)
}

/// The latest that a request was on its way.
fn lateness(phase: &PhaseRecord) -> u64 {
    max_ns(&phase.lateness) + max_ns(&phase.send_lag)
}

fn max_ns(of: &Latencies) -> u64 {
    of.max_ns().unwrap_or(0)
}

/// The most exchanges that what a gate looks at can consist of; `None` where it polls, which may go on.
fn exchanges(part: Option<PartIndex>, units: &[RequestInfo]) -> Option<u64> {
    let of = |unit: &RequestInfo| {
        let polls = unit.steps.iter().any(|step| step.polls);
        (!polls).then_some(unit.steps.len().max(1) as u64)
    };
    match part {
        Some(PartIndex::Unit(index)) => of(units.get(index)?),
        Some(PartIndex::Step(_)) => {
            let polls = units
                .iter()
                .flat_map(|unit| &unit.steps)
                .any(|step| step.polls);
            (!polls).then_some(1)
        }
        None => units
            .iter()
            .try_fold(1, |most, unit| Some(of(unit)?.max(most))),
    }
}
