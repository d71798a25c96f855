//! What is known of many runs: each in a few numbers, which of them may be compared, and how a metric
//! went over time.
//!
//! Pure. `store` brings the summaries in, from run folders or from PostgreSQL; the same questions are
//! asked of both.

mod environment;
mod filter;
mod merged;
mod regression;
mod suite;
mod summary;
mod trend;

pub use environment::{Comparable, comparable, comparable_suite};
pub use filter::{Filter, Since, parse_since};
pub use merged::{MergedPhase, Merger};
pub use regression::{Direction, Policy, Regression, direction, judge};
pub use suite::{SUITE, suite_phase};
pub use summary::{MetricValue, RunSummary, SUMMARY_FILE, SUMMARY_SCHEMA};
pub use trend::{Point, Trend, block, sparkline, trends};
