//! What a phase that was not steady does to a verdict: the gate is judged once more as if the change went on
//! for as long again, or without the warm-up that was left in the measured window.
//!
//! A latency that rises makes a PASS doubtful and not a FAIL, and one that falls the other way round. A
//! verdict that the change could not turn stands.

use super::tallied::Tallied;
use super::{ScopedGate, Subject, Verdict, requests};
use crate::gate::{Metric, Op};
use crate::record::{Doubt, PhaseRecord, SteadySeries};

/// A change that the verdict must bear.
pub(super) struct Change<'a> {
    /// In words.
    pub(super) doubt: &'a Doubt,
    /// What it has to bear.
    pub(super) trial: Trial,
}

/// How a verdict is tried.
pub(super) enum Trial {
    /// The gate with a limit that stands for as much again.
    Further(Box<ScopedGate>),
    /// The gate without so many nanoseconds at the beginning of the measured window.
    Later(u64),
}

/// The change that speaks against this verdict, if there is one in the phase that the gate looks at.
pub(super) fn against<'a>(
    verdict: Verdict,
    gate: &ScopedGate,
    doubts: &'a [Doubt],
) -> Option<Change<'a>> {
    let wanted = match gate.gate.metric {
        Metric::Latency { .. } => SteadySeries::Median,
        Metric::Throughput | Metric::Goodput => SteadySeries::Throughput,
        _ => return None,
    };
    doubts.iter().find_map(|doubt| {
        let (phase, series, change, unlike_ns) = match doubt {
            Doubt::NeverSettled {
                phase,
                series,
                change,
            }
            | Doubt::Drifting {
                phase,
                series,
                change,
            } => (phase, series, change, None),
            Doubt::WarmupTooShort {
                phase,
                series,
                change,
                unlike_ns,
            } => (phase, series, change, Some(*unlike_ns)),
            _ => return None,
        };
        let gets_worse = (*change > 0.0) == (gate.gate.op == Op::Below);
        let speaks = match verdict {
            Verdict::Pass => gets_worse,
            Verdict::Fail => !gets_worse,
            Verdict::Inconclusive => false,
        };
        if !speaks || *series != wanted || gate.scope.phase != Some(*phase) {
            return None;
        }
        let trial = unlike_ns.map_or_else(|| further(gate, *change), Trial::Later);
        Some(Change { doubt, trial })
    })
}

/// A value that changes by this share once more is as good as a limit that is as much nearer.
fn further(gate: &ScopedGate, change: f64) -> Trial {
    let mut further = gate.clone();
    further.gate.limit.value /= 1.0 + change.max(LARGEST_FALL);
    Trial::Further(Box::new(further))
}

/// What falls by more than this would be nothing soon; the limit stays finite.
const LARGEST_FALL: f64 = -0.9;

/// In which case a verdict would turn; `None` where it bears the trial.
pub(super) fn turned(
    trial: &Trial,
    gate: &ScopedGate,
    subject: &Subject<'_>,
    verdict: Verdict,
) -> Option<String> {
    let judge = |gate: &ScopedGate, subject: &Subject<'_>| match gate.gate.metric {
        Metric::Latency { kind, percentile } => requests::latency(gate, subject, kind, percentile),
        _ => requests::rate(gate, subject),
    };
    match trial {
        Trial::Further(further) => (judge(further, subject).verdict != verdict)
            .then(|| "if that goes on, the verdict turns".to_owned()),
        Trial::Later(unlike_ns) => {
            let later = |phase: &&PhaseRecord| phase.later(phase.measured_from_ns + unlike_ns);
            let later: Vec<PhaseRecord> = subject.phases.iter().map(later).collect();
            let without = judge(
                gate,
                &Subject {
                    phases: &later.iter().collect::<Vec<_>>(),
                    // What was counted is of the whole phase.
                    tallied: &Tallied::default(),
                    part: subject.part,
                },
            );
            (without.verdict != verdict).then(|| {
                format!(
                    "with them the gate is {verdict}, without them {}: {}",
                    without.verdict, without.reason
                )
            })
        }
    }
}
