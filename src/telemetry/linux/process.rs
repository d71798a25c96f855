//! Processes: CPU time, memory, threads and descriptors of the target and of this program.
//!
//! A process is held open, so that another one that gets its number later is never taken for it.

use super::PERIOD_NS;
use crate::engine::ports::Probe;
use crate::record::{SeriesInfo, SourceInfo, SourceState};
use crate::telemetry::unavailable;
use procfs::ProcError;
use procfs::process::Process;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

/// Samples a set of processes, added up.
#[derive(Debug)]
pub struct ProcessProbe {
    family: Family,
    processes: Vec<Process>,
    before: Option<(Instant, u64)>,
}

/// Whose processes they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Target,
    Generator,
}

impl Family {
    fn name(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Generator => "generator",
        }
    }

    fn series(self) -> &'static [&'static str] {
        match self {
            Self::Target => &[
                "target.cpu",
                "target.memory",
                "target.threads",
                "target.descriptors",
            ],
            // `generator` tells of its threads one by one. The descriptors stand last.
            Self::Generator => &["generator.cpu", "generator.memory", "generator.descriptors"],
        }
    }
}

/// Telemetry of the target's processes: those that [`listeners`](super::listeners()) has found, or a
/// child that this program has started. `Err` is the reason why none are known.
///
/// # Errors
/// The absent source, with the reason.
pub fn target_source(processes: Result<Vec<u32>, String>) -> Result<ProcessProbe, SourceInfo> {
    ProcessProbe::open(Family::Target, processes)
}

/// The process of this program.
///
/// # Errors
/// The absent source, where the kernel does not tell.
pub(super) fn own_process() -> Result<ProcessProbe, SourceInfo> {
    ProcessProbe::open(Family::Generator, Ok(vec![std::process::id()]))
}

impl ProcessProbe {
    fn open(family: Family, pids: Result<Vec<u32>, String>) -> Result<Self, SourceInfo> {
        let absent = |reason: String| unavailable(family.name(), reason);
        let pids: BTreeSet<u32> = pids.map_err(absent)?.into_iter().collect();
        if pids.is_empty() {
            return Err(absent(format!(
                "no process of the {} is known",
                family.name()
            )));
        }
        let processes: Result<Vec<Process>, String> =
            pids.into_iter().map(|pid| open(family, pid)).collect();
        let probe = Self {
            family,
            processes: processes.map_err(absent)?,
            before: None,
        };
        match probe.read() {
            Ok(_) => Ok(probe),
            Err(reason) => Err(absent(reason)),
        }
    }

    fn read(&self) -> Result<Sum, String> {
        let mut sum = Sum {
            descriptors: Some(0),
            ..Sum::default()
        };
        for process in &self.processes {
            sum.add(process)
                .map_err(|error| failure(self.family, process.pid, &error))?;
        }
        Ok(sum)
    }
}

impl Probe for ProcessProbe {
    fn info(&self) -> SourceInfo {
        SourceInfo {
            name: self.family.name().to_owned(),
            state: SourceState::Present,
            period_ns: PERIOD_NS,
            series: self
                .family
                .series()
                .iter()
                .map(|&metric| SeriesInfo::new(metric, ""))
                .collect(),
            simulated: false,
        }
    }

    /// A process that has ended makes every sample an error: what is left is not the whole target.
    fn sample(&mut self, values: &mut Vec<Option<f64>>) -> Result<(), String> {
        let sum = self.read()?;
        let now = Instant::now();
        let cpu = self.before.and_then(|(then, ticks)| {
            let per_second = procfs::ticks_per_second();
            cores(
                sum.cpu_ticks.saturating_sub(ticks),
                per_second,
                now.saturating_duration_since(then),
            )
        });
        self.before = Some((now, sum.cpu_ticks));
        values.push(cpu);
        let memory_bytes = sum.memory_pages.saturating_mul(procfs::page_size());
        values.push(Some(memory_bytes as f64));
        if self.family == Family::Target {
            values.push(Some(sum.threads as f64));
        }
        values.push(sum.descriptors.map(|count| count as f64));
        Ok(())
    }
}

/// What the processes use, added up.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    /// User and system time since each process started, in ticks.
    cpu_ticks: u64,
    memory_pages: u64,
    threads: u64,
    /// `None` when those of one process may not be counted: they belong to another user.
    descriptors: Option<u64>,
}

impl Sum {
    fn add(&mut self, process: &Process) -> Result<(), ProcError> {
        let stat = process.stat()?;
        // One that has ended keeps its entry, without memory, until its parent asks for it.
        if matches!(stat.state, 'Z' | 'X' | 'x') {
            return Err(ProcError::NotFound(None));
        }
        self.cpu_ticks += stat.utime + stat.stime;
        // `statm` and not `stat`, of which the manual warns that its resident size is inaccurate.
        self.memory_pages += process.statm()?.resident;
        self.threads += u64::try_from(stat.num_threads).unwrap_or(0);
        let descriptors = match process.fd_count() {
            Ok(count) => Some(count as u64),
            Err(ProcError::PermissionDenied(_)) => None,
            Err(error) => return Err(error),
        };
        self.descriptors = match (self.descriptors, descriptors) {
            (Some(sum), Some(more)) => Some(sum + more),
            _ => None,
        };
        Ok(())
    }
}

fn open(family: Family, pid: u32) -> Result<Process, String> {
    let number = i32::try_from(pid).map_err(|_| format!("{pid} is not the number of a process"))?;
    Process::new(number).map_err(|error| failure(family, number, &error))
}

fn failure(family: Family, pid: i32, error: &ProcError) -> String {
    let whose = family.name();
    match error {
        ProcError::NotFound(_) => format!("the {whose}'s process {pid} ended"),
        ProcError::PermissionDenied(_) => {
            format!("the {whose}'s process {pid} may not be read by this user")
        }
        other => format!("the {whose}'s process {pid} cannot be read: {other}"),
    }
}

/// CPU time in cores: 1.0 is one core all the time. `None` when no time has passed.
fn cores(ticks: u64, ticks_per_second: u64, elapsed: Duration) -> Option<f64> {
    if elapsed.is_zero() || ticks_per_second == 0 {
        return None;
    }
    Some(ticks as f64 / ticks_per_second as f64 / elapsed.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Pid, WaitId, WaitIdOptions};
    use std::io::{Read, Write};
    use std::process::{Child, Command, Stdio};

    /// A process that does nothing until it is told to end.
    struct Idle(Child);

    impl Idle {
        fn start() -> Self {
            let mut child = Command::new("cat")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("every system has `cat`");
            // When the byte comes back, it has started up and sits in its loop.
            let pipe = child.stdin.as_mut().expect("piped");
            pipe.write_all(b"x").expect("it reads");
            let mut byte = [0];
            let pipe = child.stdout.as_mut().expect("piped");
            pipe.read_exact(&mut byte).expect("it answers");
            Self(child)
        }

        /// One that has touched so much memory: a block that it has read as a whole and now writes to a
        /// pipe, which holds less.
        fn holding(mib: u32) -> Self {
            let mut child = Command::new("dd")
                .args(["if=/dev/zero", &format!("bs={mib}M")])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("every system has `dd`");
            let mut byte = [0];
            let pipe = child.stdout.as_mut().expect("piped");
            pipe.read_exact(&mut byte).expect("it writes");
            Self(child)
        }

        fn probe(children: &[&Self]) -> ProcessProbe {
            let pids = children.iter().map(|child| child.0.id()).collect();
            target_source(Ok(pids)).expect("it runs")
        }
    }

    impl Drop for Idle {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn sample(probe: &mut ProcessProbe) -> Result<Vec<Option<f64>>, String> {
        let mut values = Vec::new();
        probe.sample(&mut values).map(|()| values)
    }

    #[test]
    fn cpu_time_is_counted_in_cores() {
        let second = Duration::from_secs(1);
        assert_eq!(cores(50, 100, second), Some(0.5));
        assert_eq!(cores(800, 100, 4 * second), Some(2.0));
        assert_eq!(cores(5, 100, Duration::ZERO), None);
    }

    #[test]
    fn this_process_uses_cpu_once_it_works() {
        let mut probe = own_process().expect("it runs");
        let first = sample(&mut probe).expect("it runs");
        assert_eq!(first[0], None, "one sample is no rate");
        let mut seen = 0.0;
        for round in 0_u64..10_000 {
            // Enough to be seen after some rounds on any machine.
            let mut sum = round;
            for number in 0_u64..100_000 {
                sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(number));
            }
            let values = sample(&mut probe).expect("it runs");
            seen = values[0].unwrap_or(0.0);
            if seen > 0.0 {
                break;
            }
        }
        assert!(seen > 0.0, "it has computed all the time");
    }

    #[test]
    fn memory_is_what_a_process_has_touched() {
        const MIB: f64 = 1024.0 * 1024.0;
        let memory = |mib: u32| {
            let holder = Idle::holding(mib);
            sample(&mut Idle::probe(&[&holder])).expect("it runs")[1].expect("a size")
        };
        let more = (memory(65) - memory(1)) / MIB;
        assert!((62.0..=66.0).contains(&more), "{more} MiB");
    }

    #[test]
    fn several_processes_are_added_up_and_each_counts_once() {
        let (one, two) = (Idle::start(), Idle::start());
        let alone = sample(&mut Idle::probe(&[&one])).expect("it runs");
        let twice = sample(&mut Idle::probe(&[&one, &one])).expect("it runs");
        let both = sample(&mut Idle::probe(&[&one, &two])).expect("they run");
        // Memory, threads, descriptors.
        assert_eq!(alone[1..], twice[1..]);
        assert_eq!((alone[2], both[2]), (Some(1.0), Some(2.0)));
        assert!(both[1] > alone[1]);
        let open = std::fs::read_dir(format!("/proc/{}/fd", one.0.id())).expect("it runs");
        assert_eq!(alone[3], Some(open.count() as f64));
    }

    #[test]
    fn a_process_that_ends_makes_the_sample_an_error() {
        let (mut one, two) = (Idle::start(), Idle::start());
        let mut probe = Idle::probe(&[&one, &two]);
        sample(&mut probe).expect("both run");
        let pid = one.0.id();
        one.0.kill().expect("it runs");
        // It has ended, and its parent has not yet asked for it.
        let id = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
        rustix::process::waitid(
            WaitId::Pid(id),
            WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
        )
        .expect("it is a child");
        let ended = Err(format!("the target's process {pid} ended"));
        assert_eq!(sample(&mut probe), ended);
        one.0.wait().expect("it is a child");
        assert_eq!(sample(&mut probe), ended);
        let source = target_source(Ok(vec![pid])).expect_err("it is gone");
        assert_eq!(source.name, "target");
    }

    #[test]
    fn without_processes_the_reason_is_passed_on() {
        let absent = target_source(Err("the target is on another host".to_owned()));
        let reason = SourceState::Unavailable("the target is on another host".to_owned());
        assert_eq!(absent.expect_err("nothing to sample").state, reason);
        assert!(target_source(Ok(Vec::new())).is_err());
        assert!(target_source(Ok(vec![u32::MAX])).is_err());
    }

    #[test]
    fn each_sample_has_a_value_for_each_series() {
        let child = Idle::start();
        for mut probe in [Idle::probe(&[&child]), own_process().expect("it runs")] {
            let values = sample(&mut probe).expect("it runs");
            assert_eq!(values.len(), probe.info().series.len());
        }
    }
}
