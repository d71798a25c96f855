//! This program itself: its process, each worker's thread, and how much of this machine's descriptors
//! and ports it uses.

use super::facts::{descriptors, ephemeral_ports};
use super::process::{ProcessProbe, own_process};
use crate::engine::ports::Probe;
use crate::record::{SeriesInfo, SourceInfo, generator_metric};
use crate::units::Dimension;
use procfs::process::Process;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;
use tokio::time::Instant;

/// How the engine names the threads of its workers; a number follows.
const THREADS: &str = "load-";

/// Samples this program.
#[derive(Debug)]
pub struct GeneratorProbe {
    process: ProcessProbe,
    own: Process,
    workers: Workers,
    soft_limit: Option<u64>,
    ports: Option<Ports>,
}

/// Telemetry of this program itself, which has so many workers and connects to these addresses.
///
/// # Errors
/// The absent source, where the kernel does not tell.
pub fn generator_source(
    workers: usize,
    targets: &[SocketAddr],
) -> Result<GeneratorProbe, SourceInfo> {
    let process = own_process()?;
    let own = Process::myself()
        .map_err(|error| super::super::unavailable("generator", error.to_string()))?;
    Ok(GeneratorProbe {
        process,
        workers: Workers::new(workers, own.schedstat().is_ok()),
        own,
        soft_limit: descriptors().ok().map(|limits| limits.soft),
        ports: ephemeral_ports().map(|range| Ports {
            range,
            targets: targets.to_vec(),
            next: None,
        }),
    })
}

impl Probe for GeneratorProbe {
    fn info(&self) -> SourceInfo {
        let share = |metric: &str, instance: String| {
            SeriesInfo::new(metric, instance).of_dimension(Dimension::Ratio)
        };
        let mut info = self.process.info();
        info.series
            .push(share(generator_metric::DESCRIPTORS_USED, String::new()));
        let ports = share(generator_metric::PORTS_USED, String::new()).refreshing();
        info.series.push(match &self.ports {
            Some(_) => ports,
            None => ports.lacking("the kernel does not tell its range of local ports"),
        });
        for metric in [generator_metric::WORKER_CPU, generator_metric::WORKER_WAIT] {
            for worker in 0..self.workers.threads.len() {
                let series = share(metric, worker.to_string());
                info.series.push(if self.workers.is_known {
                    series
                } else {
                    series.lacking("this kernel keeps no schedstat")
                });
            }
        }
        info
    }

    fn sample(&mut self, values: &mut Vec<Option<f64>>) -> Result<(), String> {
        self.process.sample(values)?;
        let open = values.last().copied().flatten();
        values.push(match (open, self.soft_limit) {
            (Some(open), Some(limit)) if limit > 0 => Some(open / limit as f64),
            _ => None,
        });
        let now = Instant::now();
        values.push(self.ports.as_mut().and_then(|ports| ports.sample(now)));
        self.workers.sample(&self.own, now);
        values.extend(self.workers.threads.iter().map(|thread| thread.cpu));
        values.extend(self.workers.threads.iter().map(|thread| thread.wait));
        Ok(())
    }
}

/// The threads of the workers.
#[derive(Debug)]
struct Workers {
    threads: Vec<Thread>,
    /// Which worker a thread of this process is. A thread gets its name only after it has begun.
    known: BTreeMap<i32, usize>,
    before: Option<Instant>,
    is_known: bool,
}

/// One worker. It gets a new thread with every phase.
#[derive(Clone, Debug, Default)]
struct Thread {
    tid: i32,
    ran_ns: u64,
    waited_ns: u64,
    cpu: Option<f64>,
    wait: Option<f64>,
}

impl Workers {
    fn new(count: usize, is_known: bool) -> Self {
        Self {
            threads: vec![Thread::default(); count],
            known: BTreeMap::new(),
            before: None,
            is_known,
        }
    }

    fn sample(&mut self, process: &Process, now: Instant) {
        for thread in &mut self.threads {
            (thread.cpu, thread.wait) = (None, None);
        }
        let elapsed = self
            .before
            .replace(now)
            .map(|before| now.saturating_duration_since(before));
        // What cannot be read now is a gap in these series.
        let Ok(tasks) = process.tasks() else { return };
        let mut seen = BTreeMap::new();
        for task in tasks.flatten() {
            let known = self.known.get(&task.tid).copied();
            let named = || task.stat().ok().and_then(|stat| worker_of(&stat.comm));
            let Some(worker) = known.or_else(named) else {
                continue;
            };
            seen.insert(task.tid, worker);
            if let (Some(thread), Ok(stat)) = (self.threads.get_mut(worker), task.schedstat()) {
                thread.take(task.tid, (stat.sum_exec_runtime, stat.run_delay), elapsed);
            }
        }
        self.known = seen;
    }
}

impl Thread {
    /// Takes what the thread has run and waited since it began.
    fn take(&mut self, tid: i32, (ran_ns, waited_ns): (u64, u64), elapsed: Option<Duration>) {
        // The counters of a new thread begin at 0.
        let (ran_before, waited_before) = if tid == self.tid {
            (self.ran_ns, self.waited_ns)
        } else {
            (0, 0)
        };
        let share = |now: u64, before: u64| {
            let elapsed_ns = elapsed?.as_nanos() as f64;
            (elapsed_ns > 0.0).then(|| (now.saturating_sub(before) as f64 / elapsed_ns).min(1.0))
        };
        self.cpu = share(ran_ns, ran_before);
        self.wait = share(waited_ns, waited_before);
        (self.tid, self.ran_ns, self.waited_ns) = (tid, ran_ns, waited_ns);
    }
}

/// Which worker a thread of this name is.
fn worker_of(name: &str) -> Option<usize> {
    name.strip_prefix(THREADS)?.parse().ok()
}

/// The local ports that connections to the target hold. Those of closed connections are held for a
/// minute.
#[derive(Debug)]
struct Ports {
    range: RangeInclusive<u16>,
    targets: Vec<SocketAddr>,
    /// When to look again.
    next: Option<Instant>,
}

impl Ports {
    /// The share in use, unless it is too early to look again: the kernel's table has a line for each
    /// connection, and reading it must cost no more than a hundredth of the time.
    fn sample(&mut self, now: Instant) -> Option<f64> {
        const PAUSE: u32 = 100;
        if self.next.is_some_and(|next| now < next) {
            return None;
        }
        let share = self.read();
        let taken = Instant::now().saturating_duration_since(now);
        self.next = Some(now + taken * PAUSE);
        share
    }

    fn read(&self) -> Option<f64> {
        let has_v6 = self.targets.iter().any(SocketAddr::is_ipv6);
        let has_v4 = self.targets.iter().any(SocketAddr::is_ipv4);
        let mut entries = Vec::new();
        if has_v4 {
            entries.extend(procfs::net::tcp().ok()?);
        }
        if has_v6 {
            entries.extend(procfs::net::tcp6().ok()?);
        }
        let pairs: Vec<(SocketAddr, SocketAddr)> = entries
            .iter()
            .map(|entry| (entry.local_address, entry.remote_address))
            .collect();
        Some(self.share(&pairs))
    }

    /// The largest share that the connections to one address hold, by their local and remote ends.
    fn share(&self, connections: &[(SocketAddr, SocketAddr)]) -> f64 {
        let count = usize::from(self.range.end() - self.range.start()) + 1;
        let to = |target: &SocketAddr| {
            connections
                .iter()
                .filter(|(local, remote)| {
                    remote.port() == target.port()
                        && plain(remote.ip()) == plain(target.ip())
                        && self.range.contains(&local.port())
                })
                .count()
        };
        let most = self.targets.iter().map(to).max().unwrap_or(0);
        most as f64 / count as f64
    }
}

/// An IPv4 address as itself, also where it is written as one of IPv6.
fn plain(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    fn sample(probe: &mut GeneratorProbe) -> BTreeMap<String, Option<f64>> {
        let mut values = Vec::new();
        probe.sample(&mut values).expect("it runs");
        let series = probe.info().series;
        assert_eq!(series.len(), values.len());
        series.iter().map(ToString::to_string).zip(values).collect()
    }

    #[test]
    fn workers_are_known_by_the_names_of_their_threads() {
        assert_eq!(worker_of("load-0"), Some(0));
        assert_eq!(worker_of("load-12"), Some(12));
        assert_eq!(worker_of("sample-host"), None);
        assert_eq!(worker_of("load-"), None);
    }

    #[test]
    fn a_worker_that_computes_is_seen() {
        let mut probe = generator_source(1, &[]).expect("Linux tells");
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = std::sync::Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("load-0".to_owned())
            .spawn(move || {
                let mut sum = 0_u64;
                while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                    sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
                }
            })
            .expect("a thread");
        let first = sample(&mut probe);
        assert_eq!(
            first["generator.worker.cpu[0]"], None,
            "one sample is no rate"
        );
        assert_eq!(first["generator.ports.used"], Some(0.0), "no target");
        let mut seen = 0.0;
        for _ in 0..100_000 {
            let values = sample(&mut probe);
            let cpu = values["generator.worker.cpu[0]"].unwrap_or(0.0);
            let wait = values["generator.worker.wait[0]"].unwrap_or(0.0);
            seen += cpu;
            assert!((0.0..=1.0).contains(&wait), "{wait}");
            if seen > 0.0 {
                break;
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        thread.join().expect("it ends");
        assert!(seen > 0.0);
        let values = sample(&mut probe);
        assert!(values["generator.descriptors.used"].is_some_and(|used| used > 0.0 && used < 1.0));
    }

    #[test]
    fn a_new_thread_of_a_worker_begins_at_nothing() {
        let mut thread = Thread::default();
        let second = Some(Duration::from_secs(1));
        thread.take(7, (100_000_000, 0), None);
        assert_eq!(thread.cpu, None);
        thread.take(7, (600_000_000, 250_000_000), second);
        assert_eq!((thread.cpu, thread.wait), (Some(0.5), Some(0.25)));
        thread.take(8, (200_000_000, 0), second);
        assert_eq!((thread.cpu, thread.wait), (Some(0.2), Some(0.0)));
    }

    #[test]
    fn connections_to_the_target_hold_ports() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let held: Vec<TcpStream> = (0..5)
            .map(|_| TcpStream::connect(address).expect("somebody listens"))
            .collect();
        let ports = |targets: &[SocketAddr]| Ports {
            range: ephemeral_ports().expect("Linux tells"),
            targets: targets.to_vec(),
            next: None,
        };
        let range = ephemeral_ports().expect("Linux tells");
        let count = f64::from(range.end() - range.start()) + 1.0;
        let share = ports(&[address]).read().expect("Linux tells");
        assert!((share * count - 5.0).abs() < 1e-6, "{share}");
        drop(held);
        // Looked at again only after a pause.
        let mut ports = ports(&[address]);
        let now = Instant::now();
        assert!(ports.sample(now).is_some());
        assert_eq!(ports.sample(now), None);
    }

    #[test]
    fn an_address_of_version_4_is_one_however_it_is_written() {
        let entry = |local: &str, remote: &str| {
            let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
            (address(local), address(remote))
        };
        let ports = Ports {
            range: 40_000..=40_009,
            targets: vec!["10.0.0.1:80".parse().expect("an address")],
            next: None,
        };
        let entries = [
            entry("10.0.0.2:40000", "10.0.0.1:80"),
            entry("[::ffff:10.0.0.2]:40001", "[::ffff:10.0.0.1]:80"),
            entry("10.0.0.2:40002", "10.0.0.1:81"),
            entry("10.0.0.2:22", "10.0.0.1:80"),
        ];
        assert_eq!(ports.share(&entries), 0.2);
    }
}
