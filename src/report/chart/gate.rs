//! A gate on one line: interval, observed value and limit. The limit stands at the same place for every
//! gate, so that a column of them reads at a glance.

use crate::gate::Op;
use crate::verdict::GateResult;

/// Where the limit stands on a line from 0 to 1.
pub(crate) const LIMIT_AT: f64 = 0.63;

/// What is drawn; places lie between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct GateLine {
    /// The good side of the limit.
    pub(crate) good: (f64, f64),
    /// The interval, as far as it lies on the line.
    pub(crate) interval: Option<(f64, f64)>,
    /// The observed value, if it lies on the line.
    pub(crate) observed: Option<f64>,
    /// Whether the line ends before the values do.
    pub(crate) goes_on: bool,
}

impl GateLine {
    pub(crate) fn of(result: &GateResult) -> Self {
        let gate = &result.gate.gate;
        let limit = gate.limit.value;
        let place = |value: f64| {
            let share = if limit > 0.0 {
                value / limit
            } else {
                1.0 + value
            };
            (share * LIMIT_AT).max(0.0)
        };
        let good = match gate.op {
            Op::Below => (0.0, LIMIT_AT),
            Op::Above => (LIMIT_AT, 1.0),
        };
        let observed = result.observed.map(place);
        // Without a bound the interval is open on that side, unless there is no interval at all.
        let interval = (result.lower.is_some() || result.upper.is_some()).then(|| {
            (
                result.lower.map_or(0.0, place),
                result.upper.map_or(f64::INFINITY, place),
            )
        });
        let last = interval
            .map_or(0.0, |(_, to)| to)
            .max(observed.unwrap_or(0.0));
        Self {
            good,
            interval: interval.map(|(from, to)| (from.min(1.0), to.min(1.0))),
            observed: observed.filter(|&at| at <= 1.0),
            goes_on: last > 1.0,
        }
    }
}
