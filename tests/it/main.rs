//! Integration tests: one binary, one module for each concern.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

mod engine;
#[cfg(target_os = "linux")]
mod fake_nvml;
#[cfg(target_os = "linux")]
mod gpu;
mod support;
