//! Which requests a gate objects to, and what is counted beside them to know how they hang together.

use crate::gate::{Gate, LatencyKind, Metric};
use crate::record::{Distribution, Over, RequestTally};
use crate::stats::NEAR;

/// Which requests a gate objects to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Objection {
    /// Those slower than a limit in nanoseconds, and those that did not succeed.
    Slower(LatencyKind, u64),
    /// Those that did not succeed.
    NotOk,
}

impl Objection {
    /// That of a gate on the share of requests; `None` for every other gate.
    pub(super) fn of(gate: &Gate) -> Option<Self> {
        match gate.metric {
            Metric::Latency { kind, .. } => Some(Self::Slower(kind, gate.limit_ns())),
            Metric::ErrorRate => Some(Self::NotOk),
            _ => None,
        }
    }

    /// This objection, with those that show how the requests hang together that it objects to. Whether requests fail
    /// together shows in those that fail, and in no latency.
    pub(super) fn with_companions(self, total: &RequestTally) -> Objections {
        let mut all = Objections {
            thresholds: vec![self],
            reserve: None,
        };
        if let Self::Slower(kind, limit_ns) = self {
            let lower = [0.95, 0.99].map(|quantile| total.response.quantile_ns(quantile));
            let slower = |ns| Self::Slower(LatencyKind::Response, ns);
            all.thresholds
                .extend(lower.into_iter().flatten().map(slower));
            let most = total.latencies(kind).quantile_ns(0.95);
            all.reserve = most.map(|ns| Room {
                near: Self::Slower(kind, part_of(limit_ns, NEAR)),
                lower: Self::Slower(kind, ns),
                height: ns as f64 / limit_ns.max(1) as f64,
            });
        }
        all
    }

    pub(super) fn count<H: Distribution>(self, tally: &RequestTally<H>) -> Over {
        match self {
            Self::Slower(kind, limit_ns) => tally.over(kind, limit_ns),
            Self::NotOk => Over {
                at_most: tally.outcomes.not_ok(),
                at_least: tally.outcomes.not_ok(),
                total: tally.outcomes.total(),
            },
        }
    }
}

/// An objection with its companions.
#[derive(Clone, Debug)]
pub(super) struct Objections {
    /// That of the gate, and to what is slower than the observed p95 and p99 of the response time: where the design
    /// effect is taken.
    pub(super) thresholds: Vec<Objection>,
    /// How far below the limit latencies stay.
    pub(super) reserve: Option<Room>,
}

/// What is counted for a [`Reserve`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// To what is near the limit or beyond.
    pub(super) near: Objection,
    /// To what is slower than the observed p95 of what the gate looks at.
    pub(super) lower: Objection,
    /// That p95 in parts of the limit.
    pub(super) height: f64,
}

impl Objections {
    /// Everything that is counted.
    pub(super) fn all(&self) -> impl Iterator<Item = Objection> {
        let room = self.reserve.iter();
        let room = room.flat_map(|room| [room.near, room.lower]);
        self.thresholds.iter().copied().chain(room)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a part of a latency in nanoseconds"
)]
fn part_of(limit_ns: u64, part: f64) -> u64 {
    (limit_ns as f64 * part) as u64
}

/// The share of requests that may be over the limit of a gate; `None` for a gate on something else.
pub(super) fn allowed_share(gate: &Gate) -> Option<f64> {
    match gate.metric {
        Metric::Latency { percentile, .. } => Some(percentile.allowed_share()),
        Metric::ErrorRate => Some(gate.limit.value),
        _ => None,
    }
}
