//! Telemetry and facts of a Linux machine, from /proc, /sys and a few system calls.
//!
//! Containers, sandboxes and old kernels leave some of it out: everything may be missing.

mod cgroup;
mod environment;
mod facts;
mod generator;
mod host;
mod listeners;
mod process;

pub use environment::environment;
pub use facts::{
    clock_source, descriptors, ephemeral_ports, free_disk_bytes, memory_limit_bytes,
    raise_descriptors,
};
pub use generator::{GeneratorProbe, generator_source};
pub use host::{HostProbe, host_source};
pub use listeners::listeners;
pub use process::{ProcessProbe, target_source};

use std::path::Path;

/// The distance between two samples of a host or a process. The kernel counts CPU time in steps of
/// 10 ms, so that a shorter one would mostly show those.
const PERIOD_NS: u64 = 500_000_000;

/// The text of one of the kernel's own small files, without the space around it; `None` where there
/// is no such file or this process may not read it.
#[expect(
    clippy::disallowed_methods,
    reason = "/proc and /sys are the kernel's answers, not files of the user; procfs does not know these"
)]
fn kernel_text(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ports::Probe;
    use crate::gate::TelemetryMetric;

    #[test]
    fn every_metric_that_a_gate_can_name_has_a_series() {
        let host = host_source(Path::new(".")).expect("Linux tells").info();
        let own = vec![std::process::id()];
        let target = target_source(Ok(own)).expect("it runs").info();
        let generator = generator_source(2, &[]).expect("it runs").info();
        for source in [&host, &target, &generator] {
            // A metric finds its source by the first part of its name.
            let family = format!("{}.", source.name);
            for series in &source.series {
                assert!(series.metric.starts_with(&family), "{series}");
            }
            assert_eq!(source.period_ns, PERIOD_NS);
        }
        let series: Vec<String> = [host, target, generator]
            .iter()
            .flat_map(|source| source.series.iter().map(ToString::to_string))
            .collect();
        for metric in TelemetryMetric::all() {
            let here = !metric.name.starts_with("gpu.");
            assert_eq!(
                series.iter().any(|name| name == metric.name),
                here,
                "{}",
                metric.name
            );
        }
        let others = [
            "host.cpu.steal",
            "target.threads",
            "target.descriptors",
            "generator.cpu",
            "generator.memory",
            "generator.descriptors",
            "generator.descriptors.used",
            "generator.ports.used",
            "generator.worker.cpu[1]",
            "generator.worker.wait[1]",
        ];
        for name in others {
            assert!(series.iter().any(|series| series == name), "{name}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_nothing() {
        assert_eq!(kernel_text(Path::new("/proc/no/such/file")), None);
        let version = kernel_text(Path::new("/proc/version")).expect("Linux tells");
        assert_eq!(version.trim(), version);
    }
}
