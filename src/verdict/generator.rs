//! Whether the generator was so late that a latency gate would judge it instead of the target.

use super::ScopedGate;
use crate::gate::{Gate, Op};
use crate::record::{Doubt, LAG_LIMIT_NS, LAG_SHARE, PhaseRecord};

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
