//! Integration tests: one binary, one module for each concern.

#[cfg(target_os = "linux")]
mod fake_nvml;
#[cfg(target_os = "linux")]
mod gpu;
