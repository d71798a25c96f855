//! Gate expressions, read into values that cannot be wrong:
//! `<metric>[{request=<name>}] <op> <quantity> [worst <duration>] [abort]`, or `flow=<name>`, or
//! `step=<flow>/<step>`.
//!
//! The catalogue of metrics lives here, because scenario, plan and verdict must agree on it. Nothing
//! here judges anything.

mod growth;
mod metric;
mod objective;
mod parse;
mod part;

pub use growth::GrowthMetric;
pub use metric::{
    LatencyKind, Metric, Percentile, ScalingMetric, Statistic, TelemetryMetric, metric_names,
};
pub use objective::{Objective, parse_objective};
pub use parse::{GateError, Named, parse, parse_part_metric, parse_with};
pub use part::{Part, PartKind, PartMetric};

use crate::units::{self, Dimension, Quantity};
use std::fmt;
use std::time::Duration;

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
    /// The only requests that count; `None` for all of them.
    pub part: Option<Part>,
    /// It must hold in every stretch of this length, not only over the whole.
    pub worst: Option<Duration>,
    /// The run ends as soon as it has certainly failed.
    pub abort: bool,
    /// It is held against the run's baseline, and may be worse by this share; the limit is the value
    /// that this makes.
    pub baseline: Option<f64>,
}

impl Gate {
    /// What it looks at, without the condition.
    pub fn of(&self) -> PartMetric {
        PartMetric {
            metric: self.metric,
            part: self.part.clone(),
        }
    }

    /// The limit of a latency in nanoseconds.
    pub fn limit_ns(&self) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "limits are positive, and a float cast saturates"
        )]
        let nanoseconds = (self.limit.value * 1e9).round() as u64;
        nanoseconds
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.of())?;
        if let Some(margin) = self.baseline {
            return write!(f, " {}", against_baseline(self.op, margin));
        }
        write!(f, " {} {}", self.op.symbol(), self.limit)?;
        if let Some(worst) = self.worst {
            write!(f, " worst {}", units::duration(worst))?;
        }
        if self.abort {
            f.write_str(" abort")?;
        }
        Ok(())
    }
}

/// The condition of a gate against the baseline: `< baseline + 5 %`.
fn against_baseline(op: Op, margin: f64) -> String {
    let sign = match op {
        Op::Below => '+',
        Op::Above => '−',
    };
    let margin = Quantity {
        value: margin,
        dimension: Dimension::Ratio,
    };
    format!("{} baseline {sign} {margin}", op.symbol())
}
