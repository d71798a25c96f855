//! What a phase that never settled does to a verdict: it asks how the gate would be judged if the change went
//! on for as long again.
//!
//! A latency that rises makes a PASS doubtful and not a FAIL, and one that falls the other way round. A
//! verdict that the change could not turn stands.

use super::{ScopedGate, Verdict};
use crate::gate::{Metric, Op};
use crate::record::{Doubt, SteadySeries};

/// A change that the verdict must bear.
pub(super) struct Change<'a> {
    /// In words.
    pub(super) doubt: &'a Doubt,
    /// The gate with a limit that stands for as much again.
    pub(super) further: ScopedGate,
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
        let (Doubt::NeverSettled {
            phase,
            series,
            change,
        }
        | Doubt::Drifting {
            phase,
            series,
            change,
        }) = doubt
        else {
            return None;
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
        let mut further = gate.clone();
        // A value that changes by this share once more is as good as a limit that is as much nearer.
        further.gate.limit.value /= 1.0 + change.max(LARGEST_FALL);
        Some(Change { doubt, further })
    })
}

/// What falls by more than this would be nothing soon; the limit stays finite.
const LARGEST_FALL: f64 = -0.9;
