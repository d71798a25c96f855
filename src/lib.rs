//! `bench`: the performance gate that a GPU inference service must pass before a release.
//!
//! Data flows one way: scenario file → Scenario → Plan → engine, telemetry → journal → RunRecord →
//! verdict → reports. `docs/ARCHITECTURE.md` describes each module and what it must never do;
//! `tests/it/layers.rs` holds the code to it.

pub mod cli;
pub mod commands;
pub mod diag;
pub mod engine;
pub mod gate;
pub mod gpu;
pub mod history;
pub mod http;
pub mod plan;
pub mod record;
pub mod reference;
pub mod report;
pub mod scenario;
pub mod schedule;
pub mod stats;
pub mod store;
pub mod stream;
pub mod telemetry;
pub mod units;
pub mod verdict;
