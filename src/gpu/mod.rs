//! The GPUs of this host.
//!
//! A machine without GPUs, without a driver or with a broken one is an everyday case here: whatever
//! is missing is a value with a reason, never a panic, and a reading that does not exist is never 0.

mod counters;
pub mod cuda;
mod gpm;
mod half;
mod health;
pub mod kernels;
mod nvml;
pub mod peaks;
mod processes;
mod reading;
mod samples;
pub mod suite;
mod unavailable;

pub use counters::{Counters, HeldBack};
pub use gpm::Activity;
pub use half::{from_bfloat, from_half, to_bfloat, to_half};
pub use health::HealthReading;
pub use nvml::{MigPart, Nvml, SIMULATED};
pub use processes::ProcessMemory;
pub use reading::{Lack, Reading, Throttle};
pub use samples::{DriverSample, Sampled};
pub use unavailable::Unavailable;
