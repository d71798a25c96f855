//! One generator against one server: how many requests it made, what they cost, and who says how long
//! they took.

use super::generators::Generator;
use super::place::Place;
use serde::Serialize;
use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What every generator is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Load {
    pub(crate) connections: u32,
    /// Requests at once on each connection, over HTTP/2; `None` for HTTP/1.1.
    pub(crate) streams: Option<u32>,
    pub(crate) seconds: u64,
    /// How long the server keeps each request.
    pub(crate) delay_us: u64,
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.streams {
            None => write!(f, "c={}", self.connections),
            Some(streams) => write!(f, "{}x{streams}", self.connections),
        }
    }
}

/// What one run of one generator came to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Running {
    pub(crate) generator: &'static str,
    pub(crate) repetition: usize,
    pub(crate) load: Load,
    /// Requests answered per second in the middle of the run, by the server's count.
    pub(crate) requests_per_second: f64,
    /// User and system time of the generator for each request that the server answered, in the same
    /// stretch of time: without its start and its reports.
    pub(crate) cpu_us_per_request: f64,
    /// How much of its core the server used: near 1 the server was the limit, and a generator's rate says
    /// less than what a request cost it.
    pub(crate) server_busy: f64,
    /// The highest resident size that was seen.
    pub(crate) peak_rss_mib: f64,
    /// What the server says about that stretch of time, where it knows when the kernel received.
    pub(crate) truth_p50_ms: Option<f64>,
    pub(crate) truth_p99_ms: Option<f64>,
    /// What the generator says.
    pub(crate) said_p50_ms: Option<f64>,
    pub(crate) said_p99_ms: Option<f64>,
}

impl Running {
    pub(crate) fn measure(
        generator: Generator,
        load: Load,
        place: &Place,
        repetition: usize,
    ) -> Self {
        const RAMP: Duration = Duration::from_secs(1);
        const STEP: Duration = Duration::from_millis(20);
        const MOST_STEPS: usize = 6000;
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(place.server_core, load);
        let opens_in = generator.opens_in(load.connections);
        let mut child = generator
            .command(
                load,
                load.seconds + 3 + opens_in.as_secs(),
                server.port,
                folder.path(),
            )
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("taskset is there, it belongs to util-linux");
        let mut output = child.stdout.take().unwrap();
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            output.read_to_string(&mut text).unwrap();
            text
        });
        // Some take many seconds until they send, and ask for this and that before.
        let mut asked = 0;
        for _ in 0..MOST_STEPS {
            asked += server.account().0;
            if asked >= u64::from(load.connections) || child.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(STEP);
        }
        let begin = Instant::now();
        let mut peak = 0;
        let mut watch = |until: Duration, child: &mut Child| {
            // Looking for them takes time, and those that matter have been started by now.
            let family = family(child.id());
            while begin.elapsed() < until && child.try_wait().unwrap().is_none() {
                peak = peak.max(resident_kib(&family));
                std::thread::sleep(STEP);
            }
        };
        let ramp = RAMP + opens_in;
        watch(ramp, &mut child);
        server.account();
        let (from, cpu_from) = (Instant::now(), cpu_time(child.id()));
        let server_from = cpu_time(server.child.id());
        watch(ramp + Duration::from_secs(load.seconds), &mut child);
        let (requests, p50, p99) = server.account();
        let measured = from.elapsed();
        let cpu = cpu_time(child.id()).saturating_sub(cpu_from);
        let server_cpu = cpu_time(server.child.id()).saturating_sub(server_from);
        if !generator.ends_by_itself() {
            child.kill().unwrap();
        }
        watch(Duration::from_mins(10), &mut child);
        child.wait().unwrap();
        let text = reader.join().unwrap();
        let said = generator.latencies_ms(&text);
        let running = Self {
            generator: generator.name(),
            repetition,
            load,
            requests_per_second: requests as f64 / measured.as_secs_f64(),
            cpu_us_per_request: cpu.as_secs_f64() * 1e6 / requests.max(1) as f64,
            server_busy: server_cpu.as_secs_f64() / measured.as_secs_f64(),
            peak_rss_mib: peak as f64 / 1024.0,
            truth_p50_ms: p50.map(|ns| ns as f64 / 1e6),
            truth_p99_ms: p99.map(|ns| ns as f64 / 1e6),
            said_p50_ms: said.map(|(p50, _)| p50),
            said_p99_ms: said.map(|(_, p99)| p99),
        };
        println!(
            "{:<13} {:<9} rep {} {:>9.0} req/s {:>6.2} us/req {:>6.1} MiB, server busy {:.2}",
            running.generator,
            load.to_string(),
            repetition,
            running.requests_per_second,
            running.cpu_us_per_request,
            running.peak_rss_mib,
            running.server_busy
        );
        running
    }
}

/// The words of `/proc/PID/stat` behind the name, which may hold anything: the first is the state.
fn stat(pid: u32) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let behind = stat.rsplit(')').next()?;
    Some(behind.split_whitespace().map(str::to_owned).collect())
}

/// A process and all that it has started, as long as they run.
fn family(pid: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap();
    let parents: Vec<(u32, u32)> = processes
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            Some((pid, stat(pid)?.get(1)?.parse().ok()?))
        })
        .collect();
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        family.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(pid, _)| pid),
        );
        next += 1;
    }
    family
}

/// User and system time of a process and of all that it has started, in ticks of 10 ms; that of those
/// that have ended is with their parents.
fn cpu_time(pid: u32) -> Duration {
    const TICK: Duration = Duration::from_millis(10);
    let ticks = |pid: u32| -> u32 {
        let fields = stat(pid).unwrap_or_default();
        let times = fields.iter().skip(11).take(4);
        times.filter_map(|field| field.parse::<u32>().ok()).sum()
    };
    TICK * family(pid).into_iter().map(ticks).sum()
}

/// The highest resident memory of each process so far, added up; pages that they share count for each.
fn resident_kib(family: &[u32]) -> u64 {
    let peak = |pid: &u32| -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.split_whitespace().next()?.parse().ok()
    };
    family.iter().filter_map(peak).sum()
}

/// The server as a process of its own.
struct Server {
    child: Child,
    port: u16,
    /// Where it tells what it has done.
    account_port: u16,
}

impl Server {
    fn start(core: usize, load: Load) -> Self {
        let role = match load.streams {
            None => "--serve",
            Some(_) => "--serve-http2",
        };
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([role, &core.to_string(), &load.delay_us.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let mut ports = line.split_whitespace().map(|port| port.parse().unwrap());
        let port = ports.next().expect("the server tells its port");
        Self {
            child,
            port,
            account_port: ports.next().unwrap_or(port),
        }
    }

    /// Requests, and p50 and p99 in nanoseconds where they are known, since the last call.
    fn account(&self) -> (u64, Option<u64>, Option<u64>) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.account_port)).unwrap();
        stream.write_all(b"GET /account HTTP/1.1\r\n\r\n").unwrap();
        let mut bytes = vec![0; 4096];
        let mut length = 0;
        loop {
            length += stream.read(&mut bytes[length..]).unwrap();
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if let Some((_, body)) = text.split_once("\r\n\r\n") {
                let mut numbers = body.split(' ').map_while(|number| number.parse().ok());
                if let Some(requests) = numbers.next() {
                    return (requests, numbers.next(), numbers.next());
                }
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
