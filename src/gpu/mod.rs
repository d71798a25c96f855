//! The GPUs of this host.
//!
//! A machine without GPUs, without a driver or with a broken one is an everyday case here: whatever
//! is missing is a value with a reason, never a panic, and a reading that does not exist is never 0.

pub mod cuda;
mod half;
pub mod kernels;
mod nvml;
pub mod peaks;
mod reading;
pub mod suite;
mod unavailable;

pub use half::{from_half, to_half};
pub use nvml::{Nvml, SIMULATED};
pub use reading::{Lack, Reading, Throttle};
pub use unavailable::Unavailable;
