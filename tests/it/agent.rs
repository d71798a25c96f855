//! `bench agent` as a program on a host with (simulated) GPUs, and a run elsewhere that reads it.

use crate::fake_nvml::FakeNvml;
use crate::support::program::{Bench, Said, files_below, signal};
use crate::support::tcp::{Manner, Tcp};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Child;
use std::time::Duration;

const TWO: &str = "driver 580.1\n\
    gpu SIMULATED H200\nutilization 72\nmemory_used 4294967296\npower_mw 512000\n\
    gpu SIMULATED H200\nutilization 64\nmemory_used 2147483648\npower_mw 498000\n";

/// An agent that runs.
struct Agent {
    child: Child,
    address: String,
    _bench: Bench,
    _library: FakeNvml,
}

impl Agent {
    fn start(script: &str, args: &[&str]) -> Self {
        let fake = FakeNvml::new(script);
        let bench = Bench::new();
        let library = fake.path().display().to_string();
        let mut all = vec![
            "agent",
            "--listen",
            "127.0.0.1:0",
            "--nvml-library",
            &library,
        ];
        all.extend(args);
        let mut child = bench.command(&all).spawn().unwrap();
        let mut line = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}"));
        Self {
            child,
            address: ready["listening"].as_str().unwrap().to_owned(),
            _bench: bench,
            _library: fake,
        }
    }

    /// Asks, and leaves the connection open behind the head.
    fn ask(&self, path: &str, header: &str) -> (String, BufReader<TcpStream>) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: a\r\n{header}connection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(answer.read_line(&mut head).unwrap() > 0, "{head}");
        }
        (head, answer)
    }

    fn get(&self, path: &str) -> String {
        let (head, mut answer) = self.ask(path, "");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let mut body = String::new();
        answer.read_to_string(&mut body).unwrap();
        body
    }

    fn host_name(&self) -> String {
        let status: Value = serde_json::from_str(&self.get("/status")).unwrap();
        status["host"].as_str().unwrap().to_owned()
    }

    /// The page once it holds this line.
    fn page_with(&self, line: &str) -> String {
        for _ in 0..300 {
            let page = self.get("/metrics");
            if page.contains(line) {
                return page;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("no {line:?} in {}", self.get("/metrics"));
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_page_has_the_newest_sample_of_each_gpu_in_base_units() {
    let agent = Agent::start(TWO, &[]);
    // Each source is sampled by itself: either may be the first.
    agent.page_with("bench_host_memory{hostname=");
    let page = agent.page_with("bench_gpu_utilization{");
    let value = |name: &str, gpu: u32| {
        let line = page.lines().find(|line| {
            line.starts_with(&format!("{name}{{")) && line.contains(&format!("gpu=\"{gpu}\""))
        });
        let line = line.unwrap_or_else(|| panic!("no {name} of GPU {gpu} in\n{page}"));
        assert!(line.contains("modelName=\"SIMULATED H200\""), "{line}");
        assert!(line.contains("driver=\"580.1"), "{line}");
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert_eq!(value("bench_gpu_utilization", 0), 0.72);
    assert_eq!(value("bench_gpu_utilization", 1), 0.64);
    assert_eq!(value("bench_gpu_power", 0), 512.0);
    assert_eq!(value("bench_gpu_memory_used", 1), 2_147_483_648.0);
    // What NVML does not tell has no line.
    assert!(!page.contains("bench_gpu_sm_active"), "{page}");
    assert!(page.contains("bench_host_memory{hostname="), "{page}");
    assert!(
        page.contains("# HELP bench_gpu_power power drawn by the GPU board"),
        "{page}"
    );
    assert!(page.ends_with("# EOF\n"), "{page}");
    let status: Value = serde_json::from_str(&agent.get("/status")).unwrap();
    assert_eq!(status["gpus"].as_array().unwrap().len(), 2);
    assert_eq!(agent.get("/health"), "ok\n");
}

#[test]
fn what_comes_at_a_pace_of_its_own_stays_on_the_page() {
    let agent = Agent::start(
        "driver 580.1\ngpu SIMULATED H200\nutilization 72\nsampled 50\ngpm 70 60 50 90\n\
         energy_mj 5000\nprocess 4711 1048576\n\
         gpu SIMULATED H200\nmig 1\ngpm 40 30 20 60\npart 7 2097152\n",
        &[],
    );
    let labels =
        |gpu: u32, part: &str| format!("{{hostname=\"{}\",gpu=\"{gpu}\"{part}", agent.host_name());
    let lines = [
        format!("bench_gpu_energy{}", labels(0, ",uuid=")),
        format!("bench_gpu_utilization{}", labels(0, ",uuid=")),
        format!("bench_gpu_tensor_active{}", labels(0, ",uuid=")),
        format!(
            "bench_gpu_process_memory{}",
            labels(0, ",pid=\"4711\",uuid=")
        ),
        format!(
            "bench_gpu_engine_active{}",
            labels(1, ",GPU_I_ID=\"7\",uuid=")
        ),
        format!(
            "bench_gpu_memory_used{}",
            labels(1, ",GPU_I_ID=\"7\",uuid=")
        ),
    ];
    for line in &lines {
        agent.page_with(line);
    }
    // Each page has all of them, although the driver has new ones once a second.
    for _ in 0..5 {
        let page = agent.get("/metrics");
        for line in &lines {
            assert!(page.contains(line), "{line} in {page}");
        }
    }
}

#[test]
fn the_stream_has_every_sample_and_says_when_a_gpu_is_lost() {
    // Reading 0 is taken when the library is opened.
    let agent = Agent::start(
        "gpu SIMULATED H200\nutilization 10 1\nlost 40\n",
        &["--interval", "50ms"],
    );
    let (head, mut answer) = agent.ask("/stream", "");
    assert!(head.contains("application/x-ndjson"), "{head}");
    let mut lines = Vec::new();
    let mut line = String::new();
    let lost = loop {
        line.clear();
        assert!(answer.read_line(&mut line).unwrap() > 0, "{lines:?}");
        // Sizes of chunks stand between the lines.
        let Ok(value) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        if value.get("lost").is_some() {
            break value;
        }
        if value.is_object() {
            lines.push(value);
        }
    };
    assert!(lost["lost"].as_str().unwrap().contains("lost"), "{lost}");
    let sources = lines[0]["sources"].as_array().unwrap();
    let gpu = sources
        .iter()
        .find(|source| source["name"] == "gpu")
        .unwrap();
    let series = gpu["series"].as_array().unwrap();
    let place = series
        .iter()
        .position(|series| series["metric"] == "gpu.utilization")
        .unwrap();
    let samples: Vec<&Value> = lines
        .iter()
        .filter(|line| line["source"] == "gpu")
        .collect();
    assert!(samples.len() >= 2, "{lines:?}");
    // One percent more in each reading: none is missing, none comes twice.
    for pair in samples.windows(2) {
        let of = |sample: &Value| (sample["values"][place].as_f64().unwrap() * 100.0).round();
        assert_eq!(of(pair[1]) - of(pair[0]), 1.0, "{pair:?}");
        let at = |sample: &Value| sample["at_unix_ns"].as_u64().unwrap();
        assert!(at(pair[1]) > at(pair[0]), "{pair:?}");
    }
    let page = agent.page_with("bench_agent_source_up{source=\"gpu\"");
    assert!(!page.contains("bench_gpu_utilization"), "{page}");
}

#[test]
fn without_the_token_nothing_is_told() {
    let agent = Agent::start(TWO, &["--token", "s3cret"]);
    for path in ["/metrics", "/stream", "/status"] {
        for header in [
            "",
            "authorization: Bearer wrong\r\n",
            "authorization: Basic s3cret\r\n",
        ] {
            let (head, _) = agent.ask(path, header);
            assert!(head.starts_with("HTTP/1.1 401 "), "{path} {header}: {head}");
            assert!(
                head.to_lowercase().contains("www-authenticate: bearer"),
                "{head}"
            );
        }
        let (head, _) = agent.ask(path, "authorization: Bearer s3cret\r\n");
        assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
    }
    assert_eq!(agent.get("/health"), "ok\n");
}

#[test]
fn it_is_not_opened_to_other_hosts_by_accident() {
    let bench = Bench::new();
    let said = bench.run(&["agent", "--listen", "0.0.0.0:0"]).exits(2);
    assert!(said.stderr.contains("no token is set"), "{}", said.stderr);
    bench.write("token", " \n");
    let said = bench.run(&["agent", "--token-file", "token"]).exits(2);
    assert!(
        said.stderr.contains("the token is empty"),
        "{}",
        said.stderr
    );
}

#[test]
fn it_ends_at_ctrl_c_even_while_a_stream_is_read() {
    let mut agent = Agent::start(TWO, &[]);
    let (_, _stream) = agent.ask("/stream", "");
    signal(&agent.child, "INT");
    assert_eq!(agent.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_run_elsewhere_reads_the_gpus_of_the_agent() {
    let agent = Agent::start(TWO, &["--token", "s3cret"]);
    agent_is_read(&agent, "Bearer s3cret", |said, run| {
        said.exits(0);
        assert_eq!(run["simulated"], true, "{run}");
        let gates = run["gates"].as_array().unwrap();
        assert_eq!(gates[0]["verdict"], "PASS", "{gates:?}");
        assert_eq!(gates[0]["observed"], 0.64, "the worst of both: {gates:?}");
    });
    agent_is_read(&agent, "Bearer wrong", |said, run| {
        said.exits(3);
        let reason = run["gates"][0]["reason"].as_str().unwrap();
        assert!(reason.contains("401"), "{reason}");
    });
}

fn agent_is_read(agent: &Agent, authorization: &str, look: impl FnOnce(Said, Value)) {
    let server = Tcp::serve(Manner::Answer(
        200,
        b"ok".to_vec(),
        Duration::from_millis(5),
    ));
    let bench = Bench::with(&format!(
        r#"
name = "elsewhere"
[target]
url = "{}"
timeout = "2s"
[request.r]
path = "/"
[[phase]]
name = "p"
concurrency = 2
duration = "4s"
gates = ["gpu.utilization > 60%"]
[telemetry]
gpu = {{ agent = ["http://{}"], headers = {{ authorization = "${{AUTHORIZATION}}" }} }}
"#,
        server.url(),
        agent.address
    ));
    let mut command = bench.command(&["run", "scenario.toml"]);
    let said = command
        .env("AUTHORIZATION", authorization)
        .output()
        .unwrap();
    let run = bench.run_json();
    for file in files_below(bench.path()) {
        let bytes = std::fs::read(&file).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            !text.contains("s3cret"),
            "{} holds the token",
            file.display()
        );
    }
    look(said.into(), run);
}
