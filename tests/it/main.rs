//! Integration tests: one binary, one module for each concern.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on should say where; tests read and write files of their own"
)]

mod agent;
mod allocations;
#[cfg(target_os = "linux")]
mod calibrate;
mod capacity;
mod ci;
mod cli;
mod connections;
#[cfg(target_os = "linux")]
mod cuda;
mod database;
mod early;
mod engine;
#[cfg(target_os = "linux")]
mod fake_cuda;
#[cfg(target_os = "linux")]
mod fake_nvml;
mod first_steps;
mod flows;
mod freeze;
#[cfg(target_os = "linux")]
mod full_screen;
#[cfg(target_os = "linux")]
mod gpu;
#[cfg(target_os = "linux")]
mod gpu_check;
mod history;
mod http2;
mod http2_load;
mod http2_rules;
mod http2_tls;
mod journeys;
#[cfg(target_os = "linux")]
mod kernel_stamps;
mod kernels;
mod late_generator;
mod layers;
mod leaks;
mod open_loop;
mod real_load;
#[cfg(target_os = "linux")]
mod reference_cuda;
mod resolution;
mod scaling;
mod scenarios;
mod statistics;
mod streams;
#[cfg(target_os = "linux")]
mod suite;
mod suite_history;
mod support;
mod telemetry;
mod tls;
mod turns;
mod verdict;
