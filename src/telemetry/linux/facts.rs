//! Facts about this machine that decide whether a run can work at all: descriptors, ports, disk,
//! memory, clock.

use super::{cgroup, kernel_text};
use crate::telemetry::Descriptors;
use procfs::process::Process;
use rlimit::Resource;
use rustix::io::Errno;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;

/// The file descriptors that this process has and may have.
///
/// # Errors
/// When the kernel does not tell, in words.
pub fn descriptors() -> Result<Descriptors, String> {
    let unknown = |reason: &dyn std::fmt::Display| {
        format!("the limit of open files cannot be read: {reason}")
    };
    let (soft, hard) = Resource::NOFILE.get().map_err(|error| unknown(&error))?;
    let open = Process::myself()
        .and_then(|process| process.fd_count())
        .map_err(|error| unknown(&error))?;
    Ok(Descriptors {
        soft,
        hard,
        open: open as u64,
    })
}

/// Makes sure that this process may have `needed` descriptors open at once, those that are open now
/// included. A limit that suffices is left alone.
///
/// # Errors
/// When the hard limit forbids it, in words that say what to do.
pub fn raise_descriptors(needed: u64) -> Result<(), String> {
    let (soft, hard) = Resource::NOFILE
        .get()
        .map_err(|error| format!("the limit of open files cannot be read: {error}"))?;
    if soft >= needed {
        return Ok(());
    }
    if hard < needed {
        return Err(format!(
            "{needed} open files are needed, and this process may have {hard} at most; raise the hard \
             limit (`ulimit -Hn {needed}` as root, `LimitNOFILE=` of a systemd unit, `--ulimit \
             nofile={needed}` of a container)"
        ));
    }
    Resource::NOFILE.set(needed, hard).map_err(|error| {
        format!(
            "{needed} open files are needed, and the limit cannot be raised from {soft}: {error}"
        )
    })
}

/// The ports that the kernel gives to outgoing connections. To one address of a target there can be
/// only as many connections at once.
pub fn ephemeral_ports() -> Option<RangeInclusive<u16>> {
    port_range(&kernel_text(Path::new(
        "/proc/sys/net/ipv4/ip_local_port_range",
    ))?)
}

fn port_range(text: &str) -> Option<RangeInclusive<u16>> {
    let mut ends = text.split_whitespace().map(str::parse);
    match (ends.next(), ends.next()) {
        (Some(Ok(first)), Some(Ok(last))) if first <= last => Some(first..=last),
        _ => None,
    }
}

/// The memory of this machine, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) total: u64,
    /// What a new program could have without swapping.
    pub(super) available: u64,
}

impl Memory {
    /// What is not available, as a share of all.
    pub(super) fn in_use(self) -> f64 {
        let available = self.available as f64 / self.total as f64;
        (1.0 - available).clamp(0.0, 1.0)
    }
}

/// The memory of this machine; `None` where the kernel does not tell.
pub(super) fn memory() -> Option<Memory> {
    meminfo(&kernel_text(Path::new("/proc/meminfo"))?)
}

/// Two lines of the table. procfs refuses all of it where a sandbox leaves out a line that it expects.
fn meminfo(text: &str) -> Option<Memory> {
    let bytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kibibytes.checked_mul(1024)
    };
    let memory = Memory {
        total: bytes("MemTotal:")?,
        available: bytes("MemAvailable:")?,
    };
    (memory.total > 0).then_some(memory)
}

/// The least memory limit of the control groups that this process is in, in bytes; `None` without
/// a limit. It may be larger than the machine's memory.
pub fn memory_limit_bytes() -> Option<u64> {
    cgroup::Groups::of_this_process()?.memory_limit_bytes()
}

/// The clock that the kernel reads, for example `tsc`. A slow one (`hpet`, `acpi_pm`) makes reading
/// the time a system call.
pub fn clock_source() -> Option<String> {
    kernel_text(Path::new(
        "/sys/devices/system/clocksource/clocksource0/current_clocksource",
    ))
}

/// The bytes that a program without special rights can still write to the file system that holds
/// `path`, which need not exist yet.
///
/// # Errors
/// When the file system does not tell, with the path.
pub fn free_disk_bytes(path: &Path) -> Result<u64, String> {
    file_system(path).map(|disk| disk.available.saturating_mul(disk.block_bytes))
}

/// The size of a file system, in blocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileSystem {
    block_bytes: u64,
    blocks: u64,
    /// Free, and not reserved for the administrator.
    available: u64,
}

impl FileSystem {
    /// What is available as a share of the whole; `None` for a file system without a size.
    pub(super) fn free_share(self) -> Option<f64> {
        (self.blocks > 0).then(|| self.available as f64 / self.blocks as f64)
    }
}

/// The file system that holds `path`, or would hold it if it were made.
pub(super) fn file_system(path: &Path) -> Result<FileSystem, String> {
    let mut failed = Errno::NOENT;
    for folder in path.ancestors() {
        // The last ancestor of a relative path is empty and stands for the working folder.
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        match rustix::fs::statvfs(folder) {
            Ok(found) => {
                return Ok(FileSystem {
                    block_bytes: found.f_frsize,
                    blocks: found.f_blocks,
                    available: found.f_bavail,
                });
            }
            Err(error) => failed = error,
        }
        if failed != Errno::NOENT {
            break;
        }
    }
    let error = io::Error::from(failed);
    Err(format!(
        "the disk of `{}` cannot be read: {error}",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test for all that touches the limit: it belongs to the whole process.
    #[test]
    fn descriptors_are_raised_as_far_as_the_hard_limit() {
        let before = descriptors().expect("Linux tells");
        assert!(before.open >= 3 && before.open <= before.soft, "{before:?}");
        assert!(before.soft <= before.hard, "{before:?}");
        let lowered = before.soft - 1;
        Resource::NOFILE
            .set(lowered, before.hard)
            .expect("lowering is always allowed");
        raise_descriptors(lowered).expect("it suffices");
        assert_eq!(descriptors().map(|now| now.soft), Ok(lowered));
        raise_descriptors(before.soft).expect("the hard limit allows it");
        assert_eq!(descriptors().map(|now| now.soft), Ok(before.soft));
        let refused = raise_descriptors(u64::MAX).expect_err("no kernel allows that");
        assert!(refused.contains("18446744073709551615"), "{refused}");
        assert_eq!(descriptors().map(|now| now.soft), Ok(before.soft));
    }

    #[test]
    fn reads_a_range_of_ports() {
        assert_eq!(port_range("32768\t60999"), Some(32768..=60999));
        assert_eq!(port_range("60999 32768"), None);
        assert_eq!(port_range("32768"), None);
        assert_eq!(port_range("a b"), None);
        assert!(ephemeral_ports().is_some_and(|ports| ports.contains(ports.start())));
    }

    #[test]
    fn memory_in_use_is_what_is_not_available() {
        let text = "MemTotal:  1000 kB\nMemFree:  10 kB\nMemAvailable:  250 kB\n";
        let memory = meminfo(text).expect("both lines are there");
        assert_eq!((memory.total, memory.available), (1_024_000, 256_000));
        assert_eq!(memory.in_use(), 0.75);
        // Kernels before 3.14, and what makes no sense.
        assert_eq!(meminfo("MemTotal: 1000 kB\nMemFree: 10 kB\n"), None);
        assert_eq!(meminfo("MemTotal: 0 kB\nMemAvailable: 0 kB\n"), None);
        assert_eq!(meminfo("MemTotal: many\nMemAvailable: 1 kB\n"), None);
        let more = meminfo("MemTotal: 10 kB\nMemAvailable: 20 kB\n").expect("both are there");
        assert_eq!(more.in_use(), 0.0);
        assert!(super::memory().is_some_and(|here| here.in_use() > 0.0));
    }

    #[test]
    fn a_path_that_is_not_there_yet_lies_on_the_disk_of_its_folder() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let here = file_system(folder.path()).expect("it is there");
        let below = file_system(&folder.path().join("results/run-1")).expect("its folder is there");
        assert_eq!(
            (here.blocks, here.block_bytes),
            (below.blocks, below.block_bytes)
        );
        assert!(free_disk_bytes(Path::new("not/there")).is_ok_and(|bytes| bytes > 0));
        assert!(here.free_share().is_some_and(|free| free < 1.0));
        // Below a file there can be no folder.
        let error = file_system(Path::new("/proc/self/stat/results")).expect_err("not a folder");
        assert!(error.contains("/proc/self/stat/results"), "{error}");
    }

    #[test]
    fn a_file_system_without_a_size_has_no_free_share() {
        let proc = file_system(Path::new("/proc")).expect("it is there");
        assert_eq!(proc.free_share(), None);
    }
}
