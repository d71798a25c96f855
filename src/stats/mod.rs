//! Statistics behind the gates: numbers in, numbers out.
//!
//! No files, no clocks, no randomness. Every formula names its source; the simulated error rates of
//! the rules are in `docs/statistics.md`.

mod beta;
mod binomial;
mod bounds;
mod bursts;
mod cells;
mod compare;
mod correlation;
mod early;
mod excursions;
mod leak;
mod mean;
mod median;
mod reserve;
pub mod search;
mod steady;

pub use binomial::{
    Share, largest_passing_count, lower_bound, requests_to_decide, smallest_failing_count,
    smallest_sample_that_can_pass, upper_bound,
};
pub use bounds::{Counted, Evidence, ShareBounds, quiet_s, share_bounds};
pub use bursts::{BurstTally, Bursts};
pub use cells::Cells;
pub use compare::{Ratio, paired_ratio, ratio, runs_to_see};
pub use correlation::{
    Effective, Memory, Second, design_effect, effective, normal_quantile, student_quantile,
};
pub use early::{Alphas, Looks, Sides};
pub use leak::{
    BLOCKS, Basis, Budget, Envelope, Finding, Growth, Reduction, SHORTEST_S, Unclear, growth,
    growth_by,
};
pub use mean::{MeanInterval, batch_means};
pub use median::median_bounds;
pub use reserve::{NEAR, Reserve};
pub use steady::{Settling, drift, settling};

/// The error probability of each one-sided bound: a PASS and a FAIL are each wrong at most this
/// often when the truth lies exactly on the limit.
pub const ALPHA: f64 = 0.05;
