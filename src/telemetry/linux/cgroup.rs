//! The limits of the control groups that this process is in: versions 1 and 2, also both at once.
//!
//! Groups nest, and each on the way up may limit: the least counts.

use super::kernel_text;
use procfs::prelude::FromRead;
use procfs::process::MountInfo;
use procfs::{ProcessCGroup, ProcessCGroups};
use std::path::{Component, Path, PathBuf};

/// Where the groups of a process lie, and how their files are read.
pub(super) struct Groups<R> {
    member_of: Vec<ProcessCGroup>,
    mounts: Vec<MountInfo>,
    read: R,
}

impl Groups<fn(&Path) -> Option<String>> {
    /// The groups of this process; `None` where the kernel does not tell.
    pub(super) fn of_this_process() -> Option<Self> {
        let groups = kernel_text(Path::new("/proc/self/cgroup"))?;
        let mounts = kernel_text(Path::new("/proc/self/mountinfo"))?;
        Self::parse(&groups, &mounts, kernel_text)
    }
}

impl<R: Fn(&Path) -> Option<String>> Groups<R> {
    fn parse(groups: &str, mounts: &str, read: R) -> Option<Self> {
        let ProcessCGroups(member_of) = ProcessCGroups::from_read(groups.as_bytes()).ok()?;
        let mounts = mounts
            .lines()
            .filter_map(|line| MountInfo::from_line(line).ok())
            .filter(|mount| mount.fs_type.starts_with("cgroup"))
            .collect();
        Some(Self {
            member_of,
            mounts,
            read,
        })
    }

    /// How many CPUs' time the process may use, possibly a fraction; `None` without a limit.
    pub(super) fn cpu_quota(&self) -> Option<f64> {
        let unified = self.unified().filter_map(|folder| {
            let text = (self.read)(&folder.join("cpu.max"))?;
            let (quota, period) = text.split_once(' ')?;
            quotient(quota, period)
        });
        let legacy = self.legacy("cpu").filter_map(|folder| {
            let quota = (self.read)(&folder.join("cpu.cfs_quota_us"))?;
            let period = (self.read)(&folder.join("cpu.cfs_period_us"))?;
            quotient(&quota, &period)
        });
        unified.chain(legacy).reduce(f64::min)
    }

    /// How much memory the process may use, in bytes; `None` without a limit.
    pub(super) fn memory_limit_bytes(&self) -> Option<u64> {
        // Version 1 writes "no limit" as the largest number of pages.
        const NO_LIMIT: u64 = 1 << 62;
        let unified = self.unified().map(|folder| folder.join("memory.max"));
        let legacy = self
            .legacy("memory")
            .map(|folder| folder.join("memory.limit_in_bytes"));
        unified
            .chain(legacy)
            .filter_map(|file| (self.read)(&file)?.parse().ok())
            .filter(|&limit| limit < NO_LIMIT)
            .min()
    }

    /// The folders of the process's group of version 2, from it up to the root.
    fn unified(&self) -> impl Iterator<Item = PathBuf> {
        let mount = self.mounts.iter().find(|mount| mount.fs_type == "cgroup2");
        let group = self.member_of.iter().find(|group| group.hierarchy == 0);
        folders(mount, group)
    }

    /// The folders of the process's group of one controller of version 1.
    fn legacy(&self, controller: &str) -> impl Iterator<Item = PathBuf> {
        let mount = self.mounts.iter().find(|mount| {
            mount.fs_type == "cgroup" && mount.super_options.contains_key(controller)
        });
        let group = self
            .member_of
            .iter()
            .find(|group| group.controllers.iter().any(|name| name == controller));
        folders(mount, group)
    }
}

/// From the group's folder up to the mount point. In a container the group is often named by its path
/// on the host, of which only the end is mounted here, or nothing at all.
fn folders(
    mount: Option<&MountInfo>,
    group: Option<&ProcessCGroup>,
) -> impl Iterator<Item = PathBuf> + use<> {
    let place = mount.zip(group).map(|(mount, group)| {
        let inside = Path::new(&group.pathname)
            .strip_prefix(&mount.root)
            .ok()
            .filter(|path| {
                path.components()
                    .all(|part| matches!(part, Component::Normal(_)))
            })
            .unwrap_or(Path::new(""));
        (mount.mount_point.clone(), inside.to_owned())
    });
    place.into_iter().flat_map(|(mount_point, inside)| {
        let all: Vec<PathBuf> = inside
            .ancestors()
            .map(|part| mount_point.join(part))
            .collect();
        all
    })
}

/// A quota by its period, in CPUs; `None` for `max` and −1.
fn quotient(quota: &str, period: &str) -> Option<f64> {
    let quota: f64 = quota.trim().parse().ok()?;
    let period: f64 = period.trim().parse().ok()?;
    let cpus = quota / period;
    (cpus.is_finite() && cpus > 0.0).then_some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNT_2: &str = "25 30 0:22 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate";

    /// Limits of a process in these groups and mounts, with these files.
    fn limits(groups: &str, mounts: &str, files: &[(&str, &str)]) -> (Option<f64>, Option<u64>) {
        let read = |path: &Path| {
            files
                .iter()
                .find(|(name, _)| Path::new(name) == path)
                .map(|(_, text)| (*text).to_owned())
        };
        let groups = Groups::parse(groups, mounts, read).expect("well-formed");
        (groups.cpu_quota(), groups.memory_limit_bytes())
    }

    #[test]
    fn version_2_in_a_container() {
        let files = [
            ("/sys/fs/cgroup/cpu.max", "150000 100000"),
            ("/sys/fs/cgroup/memory.max", "8589934592"),
        ];
        assert_eq!(
            limits("0::/", MOUNT_2, &files),
            (Some(1.5), Some(8_589_934_592))
        );
        let unlimited = [
            ("/sys/fs/cgroup/cpu.max", "max 100000"),
            ("/sys/fs/cgroup/memory.max", "max"),
        ];
        assert_eq!(limits("0::/", MOUNT_2, &unlimited), (None, None));
        assert_eq!(limits("0::/", MOUNT_2, &[]), (None, None));
    }

    #[test]
    fn the_least_limit_on_the_way_up_counts() {
        let files = [
            ("/sys/fs/cgroup/a/b/cpu.max", "400000 100000"),
            ("/sys/fs/cgroup/a/cpu.max", "200000 100000"),
            ("/sys/fs/cgroup/a/b/memory.max", "1000"),
            ("/sys/fs/cgroup/a/memory.max", "2000"),
            ("/sys/fs/cgroup/c/memory.max", "1"),
        ];
        assert_eq!(limits("0::/a/b", MOUNT_2, &files), (Some(2.0), Some(1000)));
    }

    #[test]
    fn version_1_with_the_path_of_the_host() {
        let groups = "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n";
        let mounts = "\
            33 31 0:30 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n\
            35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let files = [
            ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000"),
            ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000"),
            (
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "9223372036854771712",
            ),
        ];
        assert_eq!(limits(groups, mounts, &files), (Some(0.5), None));
        let unlimited = [
            ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1"),
            ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "4096"),
        ];
        assert_eq!(limits(groups, mounts, &unlimited), (None, Some(4096)));
    }

    #[test]
    fn a_group_outside_of_what_is_mounted_falls_back_to_the_mount() {
        let files = [("/sys/fs/cgroup/cpu.max", "100000 100000")];
        assert_eq!(limits("0::/../x", MOUNT_2, &files).0, Some(1.0));
        assert_eq!(limits("", "nonsense\n", &files), (None, None));
    }

    #[test]
    fn this_process_can_be_asked() {
        // Any answer will do; it must not be a panic.
        if let Some(groups) = Groups::of_this_process() {
            assert!(groups.cpu_quota().is_none_or(|cpus| cpus > 0.0));
            assert!(groups.memory_limit_bytes().is_none_or(|bytes| bytes > 0));
        }
    }
}
