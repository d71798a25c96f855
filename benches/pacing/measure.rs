//! One sender at one rate against one server.

use super::place::{Place, client_core};
use super::wrk::percentile_ms;
use serde::Serialize;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Sender {
    Bench,
    Wrk2,
}

impl Sender {
    pub(crate) fn is_there(self) -> bool {
        let path = std::env::var("PATH").unwrap_or_default();
        self == Self::Bench
            || std::env::split_paths(&path).any(|folder| folder.join("wrk2").is_file())
    }
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Load {
    pub(crate) sender: Sender,
    pub(crate) rate: u32,
    pub(crate) poisson: bool,
    pub(crate) precise: bool,
}

/// What one run came to.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Sent {
    load: Load,
    repetition: u64,
    /// What the sender says of how late it was, in microseconds; of wrk2 the percentile of its latency less that of
    /// the latency which it calls uncorrected.
    lateness_p50_us: Option<f64>,
    lateness_p99_us: Option<f64>,
    /// Share of time in which its worker was busy.
    busiest_worker: Option<f64>,
    /// Share of time in which its worker was ready and had no CPU.
    no_cpu: Option<f64>,
    /// Requests that the server counted in a second.
    arrived_per_second: f64,
    /// Index of dispersion at the server, over milliseconds.
    dispersion: f64,
}

impl Load {
    pub(crate) fn measure(self, place: Place, seconds: u64, repetition: u64) -> Sent {
        const RAMP: Duration = Duration::from_secs(2);
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(place.server_core);
        let mut child = self
            .command(seconds + 4, server.port, folder.path())
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
        std::thread::sleep(RAMP);
        server.account();
        std::thread::sleep(Duration::from_secs(seconds));
        let (requests, dispersion) = server.account();
        child.wait().unwrap();
        let text = reader.join().unwrap();
        let mut sent = Sent {
            load: self,
            repetition,
            lateness_p50_us: None,
            lateness_p99_us: None,
            busiest_worker: None,
            no_cpu: None,
            arrived_per_second: requests as f64 / seconds as f64,
            dispersion,
        };
        if self.sender == Sender::Wrk2 {
            let (corrected, uncorrected) = text
                .split_once("Uncorrected Latency")
                .expect("wrk2 prints both where it is asked to");
            let late_us = |percent| {
                let of = |table| percentile_ms(table, percent);
                Some((of(corrected)? - of(uncorrected)?) * 1000.0)
            };
            sent.lateness_p50_us = late_us(50.0);
            sent.lateness_p99_us = late_us(99.0);
        } else {
            let run: serde_json::Value = serde_json::from_str(&text).unwrap();
            let own = &run["instrument"]["phases"][0];
            let us = |name: &str| own["lateness"][name].as_f64().map(|ms| ms * 1000.0);
            sent.lateness_p50_us = us("p50_ms");
            sent.lateness_p99_us = us("p99_ms");
            sent.busiest_worker = own["busiest_worker"].as_f64();
            sent.no_cpu = own["worker_wait"].as_f64();
        }
        println!("{}", sent.line());
        sent
    }

    fn command(self, seconds: u64, port: u16, folder: &Path) -> Command {
        let mut command = Command::new("taskset");
        command.args(["-c", &client_core().to_string()]);
        let url = format!("http://127.0.0.1:{port}/");
        if self.sender == Sender::Wrk2 {
            command
                .args(["wrk2", "-t1", "-c100", "--u_latency"])
                .arg(format!("-d{seconds}s"))
                .arg(format!("-R{}", self.rate))
                .arg(url);
            return command;
        }
        let scenario = folder.join("pacing.toml");
        let arrival = if self.poisson { "poisson" } else { "constant" };
        let text = format!(
            "name = \"pacing\"\n[target]\nurl = \"{url}\"\n[request.get]\npath = \"/\"\n\
             [[phase]]\nname = \"p\"\nrate = {}\narrival = \"{arrival}\"\nprecise = {}\n\
             duration = \"{seconds}s\"\nmax_in_flight = 100\n[telemetry]\ngpu = \"none\"\n",
            self.rate, self.precise
        );
        std::fs::write(&scenario, text).unwrap();
        command
            .arg(std::env::var("PACING_BENCH").unwrap_or(env!("CARGO_BIN_EXE_bench").to_owned()))
            .args([
                "run",
                "--workers",
                "1",
                "--no-preflight",
                "--format",
                "json",
            ])
            .arg("--results")
            .arg(folder.join("results"))
            .arg(scenario);
        command
    }

    fn name(self) -> String {
        let who = match self.sender {
            Sender::Bench => "bench",
            Sender::Wrk2 => "wrk2",
        };
        let how = match (self.poisson, self.precise) {
            (true, _) => "poisson",
            (false, true) => "constant, precise",
            (false, false) => "constant",
        };
        format!("{who} {}/s {how}", self.rate)
    }
}

impl Sent {
    fn line(&self) -> String {
        let shown =
            |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.0}"));
        let percent = |value: Option<f64>| {
            value.map_or("–".to_owned(), |value| format!("{:.1} %", 100.0 * value))
        };
        format!(
            "{:<32} late p50 {:>5} µs  p99 {:>6} µs  dispersion {:>7.3}  arrived {:>6.0}/s  busy {:>7}  no CPU {:>7}",
            self.load.name(),
            shown(self.lateness_p50_us),
            shown(self.lateness_p99_us),
            self.dispersion,
            self.arrived_per_second,
            percent(self.busiest_worker),
            percent(self.no_cpu),
        )
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The medians of each load.
pub(crate) fn table(loads: &[Load], results: &[Sent]) {
    println!("\nmedians");
    for load in loads {
        let of = |what: fn(&Sent) -> Option<f64>| {
            let own = results.iter().filter(|sent| sent.load == *load);
            median(own.filter_map(what).collect())
        };
        let middle = Sent {
            load: *load,
            repetition: 0,
            lateness_p50_us: of(|sent| sent.lateness_p50_us),
            lateness_p99_us: of(|sent| sent.lateness_p99_us),
            busiest_worker: of(|sent| sent.busiest_worker),
            no_cpu: of(|sent| sent.no_cpu),
            arrived_per_second: of(|sent| Some(sent.arrived_per_second)).unwrap_or(f64::NAN),
            dispersion: of(|sent| Some(sent.dispersion)).unwrap_or(f64::NAN),
        };
        println!("{}", middle.line());
    }
}

/// Everything that was measured, as JSON.
pub(crate) fn write_json(place: Place, results: &[Sent]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pacing.json");
    let all = serde_json::json!({ "place": place, "results": results });
    std::fs::write(&path, serde_json::to_string_pretty(&all).unwrap()).unwrap();
    path
}

/// The server as a process of its own.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(core: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--serve", &core.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        Self {
            child,
            port: line.trim().parse().unwrap(),
        }
    }

    /// Requests and their index of dispersion since the last call.
    fn account(&self) -> (u64, f64) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(b"GET /account HTTP/1.1\r\n\r\n").unwrap();
        let mut bytes = vec![0; 4096];
        let mut length = 0;
        loop {
            let read = stream.read(&mut bytes[length..]).unwrap();
            assert!(read > 0, "the server has ended");
            length += read;
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            let Some((_, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let mut numbers = body.split(' ');
            if let (Some(requests), Some(dispersion)) = (numbers.next(), numbers.nth(2)) {
                return (requests.parse().unwrap(), dispersion.parse().unwrap());
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
