//! What takes the place of `linux` on other systems: the same names, and nothing behind them.

use super::{Descriptors, Unseen, unavailable};
use crate::engine::ports::Probe;
use crate::record::{Environment, Gpu, SourceInfo};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::Path;

/// Why there is nothing.
const REASON: &str = "this telemetry is available only on Linux";

/// There is none here.
#[derive(Debug)]
pub enum HostProbe {}

/// There is none here.
#[derive(Debug)]
pub enum ProcessProbe {}

/// There is none here.
#[derive(Debug)]
pub enum GeneratorProbe {}

impl Probe for HostProbe {
    fn info(&self) -> SourceInfo {
        match *self {}
    }

    fn sample(&mut self, _values: &mut Vec<Option<f64>>) -> Result<(), String> {
        match *self {}
    }
}

impl Probe for ProcessProbe {
    fn info(&self) -> SourceInfo {
        match *self {}
    }

    fn sample(&mut self, _values: &mut Vec<Option<f64>>) -> Result<(), String> {
        match *self {}
    }
}

impl Probe for GeneratorProbe {
    fn info(&self) -> SourceInfo {
        match *self {}
    }

    fn sample(&mut self, _values: &mut Vec<Option<f64>>) -> Result<(), String> {
        match *self {}
    }
}

/// See the same function on Linux.
///
/// # Errors
/// Always.
pub fn host_source(_disk: &Path) -> Result<HostProbe, SourceInfo> {
    Err(unavailable("host", REASON))
}

/// See the same function on Linux.
///
/// # Errors
/// Always.
pub fn target_source(_processes: Result<Vec<u32>, String>) -> Result<ProcessProbe, SourceInfo> {
    Err(unavailable("target", REASON))
}

/// See the same function on Linux.
///
/// # Errors
/// Always.
pub fn generator_source(
    _workers: usize,
    _targets: &[SocketAddr],
) -> Result<GeneratorProbe, SourceInfo> {
    Err(unavailable("generator", REASON))
}

/// See the same function on Linux.
///
/// # Errors
/// Always.
pub fn listeners(_addresses: &[SocketAddr]) -> Result<Vec<u32>, Unseen> {
    Err(Unseen::here(REASON))
}

/// The little that the standard library knows of this machine.
pub fn environment(_folder: &Path, gpu_driver: Option<String>, gpus: Vec<Gpu>) -> Environment {
    Environment {
        bench_version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: std::env::consts::OS.to_owned(),
        cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        gpu_driver,
        gpus,
        ..Environment::default()
    }
}

/// See the same function on Linux.
///
/// # Errors
/// Always.
pub fn descriptors() -> Result<Descriptors, String> {
    Err(REASON.to_owned())
}

/// See the same function on Linux.
///
/// # Errors
/// Always.
pub fn raise_descriptors(_needed: u64) -> Result<(), String> {
    Err(REASON.to_owned())
}

/// See the same function on Linux.
///
/// # Errors
/// Always.
pub fn free_disk_bytes(_path: &Path) -> Result<u64, String> {
    Err(REASON.to_owned())
}

/// Not known here.
pub fn ephemeral_ports() -> Option<RangeInclusive<u16>> {
    None
}

/// Not known here.
pub fn memory_limit_bytes() -> Option<u64> {
    None
}

/// Not known here.
pub fn clock_source() -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::SourceState;

    #[test]
    fn says_that_there_is_nothing_and_why() {
        let unavailable = SourceState::Unavailable(REASON.to_owned());
        let host = host_source(Path::new(".")).expect_err("none");
        assert_eq!((host.name.as_str(), host.state), ("host", unavailable));
        assert!(target_source(Ok(vec![1])).is_err());
        assert!(generator_source(1, &[]).is_err());
        assert!(listeners(&[]).is_err());
        assert!(descriptors().is_err() && raise_descriptors(1).is_err());
        assert!(free_disk_bytes(Path::new(".")).is_err());
        assert_eq!((ephemeral_ports(), memory_limit_bytes()), (None, None));
        assert_eq!(clock_source(), None);
        let environment = environment(Path::new("."), Some("driver".to_owned()), Vec::new());
        assert_eq!(environment.gpu_driver.as_deref(), Some("driver"));
        assert!(environment.cpus > 0);
    }
}
