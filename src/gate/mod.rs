//! Gate expressions: `<metric> <op> <quantity>`, read into values that cannot be wrong.
//!
//! The catalogue of metrics lives here, because scenario, plan and verdict must agree on it. Nothing
//! here judges anything.

mod metric;
mod objective;
mod parse;

pub use metric::{
    LatencyKind, Metric, Percentile, ScalingMetric, Statistic, TelemetryMetric, metric_names,
};
pub use objective::{Objective, parse_objective};
pub use parse::{GateError, Named, metric_named, parse, parse_with};

use crate::units::Quantity;
use std::fmt;

/// Which side of the limit is the good one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `<` or `<=`: the metric must stay below the limit.
    Below,
    /// `>` or `>=`: the metric must stay above the limit.
    Above,
}

impl Op {
    /// `<` or `>`.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Below => "<",
            Self::Above => ">",
        }
    }
}

/// One condition on one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    /// What is looked at.
    pub metric: Metric,
    /// Which side of the limit is good.
    pub op: Op,
    /// The limit itself, in the metric's dimension.
    pub limit: Quantity,
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.metric, self.op.symbol(), self.limit)
    }
}
