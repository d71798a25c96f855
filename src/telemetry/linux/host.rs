//! This host: CPU time, memory, and the disk that takes the results.
//!
//! It is the generator's host, and the target's only where both run on one.

use super::PERIOD_NS;
use super::facts::{FileSystem, Memory, file_system, memory};
use crate::engine::ports::Probe;
use crate::record::{SeriesInfo, SourceInfo, SourceState};
use crate::telemetry::unavailable;
use procfs::{CpuTime, CurrentSI, KernelStats};
use std::path::{Path, PathBuf};

/// The name of the source.
const HOST: &str = "host";
const SERIES: [&str; 4] = [
    "host.cpu",
    "host.cpu.steal",
    "host.memory",
    "host.disk.free",
];

/// Samples this host.
#[derive(Debug)]
pub struct HostProbe {
    disk: PathBuf,
    before: Option<Ticks>,
}

/// Telemetry of this host, with the file system that holds `disk`, which need not exist yet.
///
/// # Errors
/// The absent source, where the kernel does not tell.
pub fn host_source(disk: &Path) -> Result<HostProbe, SourceInfo> {
    let mut probe = HostProbe {
        disk: disk.to_owned(),
        before: None,
    };
    // Whether there is anything to be had shows now, not a second into the load.
    match probe.sample(&mut Vec::new()) {
        Ok(()) => Ok(probe),
        Err(reason) => Err(unavailable(HOST, reason)),
    }
}

impl Probe for HostProbe {
    fn info(&self) -> SourceInfo {
        SourceInfo {
            name: HOST.to_owned(),
            state: SourceState::Present,
            period_ns: PERIOD_NS,
            series: SERIES
                .map(|metric| SeriesInfo::new(metric, ""))
                .into_iter()
                .collect(),
            simulated: false,
        }
    }

    /// A value that cannot be read is left out; an error means that there was none at all.
    fn sample(&mut self, values: &mut Vec<Option<f64>>) -> Result<(), String> {
        let now = KernelStats::current().map(|stats| Ticks::of(&stats.total));
        let memory = memory();
        let disk = file_system(&self.disk);
        if let (Err(now), None, Err(disk)) = (&now, &memory, &disk) {
            return Err(format!("this host cannot be read: {now}; {disk}"));
        }
        let shares = match (self.before, now.as_ref().ok()) {
            (Some(before), Some(now)) => now.since(before),
            _ => None,
        };
        self.before = now.ok();
        values.push(shares.map(|shares| shares.busy));
        values.push(shares.and_then(|shares| shares.stolen));
        values.push(memory.map(Memory::in_use));
        values.push(disk.ok().and_then(FileSystem::free_share));
        Ok(())
    }
}

/// CPU time over all cores since the host started, in the kernel's ticks.
#[derive(Clone, Copy, Debug)]
struct Ticks {
    all: u64,
    /// Idle, or idle while something waits for a disk.
    idle: u64,
    /// Taken by the hypervisor while there was work to do; old kernels do not say.
    stolen: Option<u64>,
}

/// What became of the CPU time between two samples, each 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Shares {
    busy: f64,
    stolen: Option<f64>,
}

impl Ticks {
    fn of(time: &CpuTime) -> Self {
        let optional = |ticks: Option<u64>| ticks.unwrap_or(0);
        let idle = time.idle + optional(time.iowait);
        // Time of guests is part of `user` and `nice` already.
        let busy = time.user
            + time.nice
            + time.system
            + optional(time.irq)
            + optional(time.softirq)
            + optional(time.steal);
        Self {
            all: idle + busy,
            idle,
            stolen: time.steal,
        }
    }

    /// The shares since an earlier moment; `None` when no tick has passed. Stolen time counts as busy:
    /// there was work, and no CPU to be had for it.
    fn since(self, before: Self) -> Option<Shares> {
        let all = self.all.saturating_sub(before.all);
        if all == 0 {
            return None;
        }
        let share = |ticks: u64| (ticks as f64 / all as f64).min(1.0);
        // The kernel's idle counters may step back a little.
        let idle = self.idle.saturating_sub(before.idle).min(all);
        Some(Shares {
            busy: share(all - idle),
            stolen: match (self.stolen, before.stolen) {
                (Some(now), Some(before)) => Some(share(now.saturating_sub(before))),
                _ => None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use procfs::ExplicitSystemInfo;
    use procfs::prelude::FromReadSI;

    fn ticks(line: &str) -> Ticks {
        let system = ExplicitSystemInfo {
            boot_time_secs: 0,
            ticks_per_second: 100,
            page_size: 4096,
            is_little_endian: true,
        };
        let text = format!("{line}\nctxt 1\nbtime 1\nprocesses 1\n");
        let stats = KernelStats::from_read(text.as_bytes(), &system).expect("a /proc/stat");
        Ticks::of(&stats.total)
    }

    #[test]
    fn cpu_is_what_is_not_idle_and_steal_is_part_of_it() {
        //                      user nice sys idle iowait irq softirq steal guest guest_nice
        let before = ticks("cpu  100 10 50 1000 20 1 4 5 30 0");
        let after = ticks("cpu  140 10 60 1030 30 1 4 15 60 0");
        // 100 ticks: 40 user (30 of them a guest's), 10 system, 40 idle or waiting, 10 stolen.
        let shares = after.since(before).expect("ticks have passed");
        assert_eq!(shares.busy, 0.6);
        assert_eq!(shares.stolen, Some(0.1));
    }

    #[test]
    fn no_tick_is_no_value_and_a_step_back_is_no_panic() {
        let line = "cpu  100 10 50 1000 20 1 4 5 0 0";
        assert_eq!(ticks(line).since(ticks(line)), None);
        assert_eq!(
            ticks("cpu 0 0 0 0 0 0 0 0").since(ticks(line)),
            None,
            "a sandbox that shows zeros"
        );
        // Waiting time steps back by 5, user time goes on by 10: nothing but busy time is left.
        let after = ticks("cpu  110 10 50 1000 15 1 4 5 0 0");
        let shares = after.since(ticks(line)).expect("ticks have passed");
        assert_eq!(shares.busy, 1.0);
    }

    #[test]
    fn a_kernel_without_steal_has_no_such_value() {
        let after = ticks("cpu 20 0 0 20").since(ticks("cpu 10 0 0 10"));
        let shares = Shares {
            busy: 0.5,
            stolen: None,
        };
        assert_eq!(after, Some(shares));
    }

    #[test]
    fn this_host_has_values_for_all_of_its_series() {
        let mut probe = host_source(Path::new("not/there/yet")).expect("Linux tells");
        let mut values = Vec::new();
        // Rates need two samples and a tick between them; reading takes time, so one will come.
        for _ in 0..100_000 {
            values.clear();
            probe.sample(&mut values).expect("Linux tells");
            if values[0].is_some() {
                break;
            }
        }
        assert_eq!(values.len(), probe.info().series.len());
        for (value, series) in values.iter().zip(probe.info().series) {
            let value = value.expect("every value is there");
            assert!((0.0..=1.0).contains(&value), "{series}: {value}");
        }
        // A running machine uses memory, and this test needs some disk.
        assert!(values[2] > Some(0.0) && values[3] < Some(1.0), "{values:?}");
    }
}
