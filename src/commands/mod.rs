//! One file for each subcommand; the only place that wires the parts together.

mod agent;
mod baseline;
mod calibrate;
mod capacity;
mod ceiling;
mod check;
mod child;
mod compare;
mod doctor;
mod explain;
mod github;
mod gpu;
mod gpu_ceiling;
mod history;
mod init;
mod input;
mod judge;
mod live;
mod null;
mod output;
mod preflight;
mod prune;
mod push;
mod reference;
mod regression;
mod report;
mod run;
mod serve;
mod signals;
mod views;

pub use agent::{AgentOptions, agent};
pub use calibrate::{CalibrateOptions, calibrate};
pub use capacity::{CapacityOptions, capacity};
pub use check::check;
pub use compare::compare;
pub use doctor::doctor;
pub use explain::explain;
pub use gpu::{GpuOptions, gpu};
pub use history::{HistoryFormat, HistoryOptions, HistoryView, Origin, TrendView, history, show};
pub use init::{Auth, InitOptions, Kind, init};
pub use input::{CommandError, Loaded, load};
pub use judge::{JudgeOptions, judge};
pub use null::null_server;
pub use output::Output;
pub use prune::{baseline, prune};
pub use push::{PushWhat, database_status, migrate, push};
pub use reference::{Page, SCENARIO_SCHEMA, page, schema};
pub use regression::{RegressionOptions, regression};
pub use report::report;
pub use run::{RunOptions, run};
pub use serve::{ServeOptions, serve};

/// How a command ended that could do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// There was nothing to judge, and all is well.
    Done,
    /// The verdict is PASS.
    Pass,
    /// The verdict is FAIL.
    Fail,
    /// The verdict is INCONCLUSIVE.
    Inconclusive,
    /// The run was interrupted; there is a partial report.
    Interrupted,
    /// This machine does not allow runs.
    Refused,
}

/// What is printed on stdout in the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Tables for people.
    #[default]
    Text,
    /// The contents of `run.json`.
    Json,
}
