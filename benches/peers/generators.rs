//! The generators that are compared, and how each is told to send the same load.

use super::measure::Load;
use super::wrk::percentile_ms;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// 512 bytes of JSON, posted by every generator.
pub(crate) fn body() -> String {
    format!("{{\"inputs\":\"{}\"}}", "x".repeat(512 - 13))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generator {
    Bench,
    Wrk,
    Wrk2,
    Oha,
    Hey,
    H2load,
    K6,
    PerfAnalyzer,
    AiPerf,
}

const ALL: [Generator; 9] = [
    Generator::Bench,
    Generator::Wrk,
    Generator::Wrk2,
    Generator::Oha,
    Generator::Hey,
    Generator::H2load,
    Generator::K6,
    Generator::PerfAnalyzer,
    Generator::AiPerf,
];

impl Generator {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bench => "bench",
            Self::Wrk => "wrk",
            Self::Wrk2 => "wrk2",
            Self::Oha => "oha",
            Self::Hey => "hey",
            Self::H2load => "h2load",
            Self::K6 => "k6",
            Self::PerfAnalyzer => "perf_analyzer",
            Self::AiPerf => "aiperf",
        }
    }

    fn is_there(self) -> bool {
        self == Self::Bench || on_path(self.name())
    }

    /// Those that were asked for by `PEERS_GENERATORS`, names with commas between; all of them by default.
    fn wanted() -> Vec<Self> {
        let Ok(names) = std::env::var("PEERS_GENERATORS") else {
            return ALL.to_vec();
        };
        let named = |name: &str| {
            let one = ALL.into_iter().find(|one| one.name() == name.trim());
            one.unwrap_or_else(|| panic!("PEERS_GENERATORS: no generator is called `{name}`"))
        };
        names.split(',').map(named).collect()
    }

    pub(crate) fn found() -> Vec<Self> {
        let mut wanted = Self::wanted();
        wanted.retain(|one| one.is_there());
        wanted
    }

    pub(crate) fn missing() -> Vec<&'static str> {
        let mut wanted = Self::wanted();
        wanted.retain(|one| !one.is_there());
        wanted.into_iter().map(Self::name).collect()
    }

    /// Whether it stops sending by itself. The measurement windows of `perf_analyzer` do not end while
    /// the server is fast.
    pub(crate) fn ends_by_itself(self) -> bool {
        self != Self::PerfAnalyzer
    }

    pub(crate) fn speaks_http2(self) -> bool {
        matches!(self, Self::Bench | Self::Oha | Self::H2load)
    }

    /// Whether its own latencies can be read and compared with the server's truth.
    pub(crate) fn tells_latency(self) -> bool {
        matches!(self, Self::Bench | Self::Wrk | Self::Oha)
    }

    /// How long it takes until all of its connections are open.
    pub(crate) fn opens_in(self, connections: u32) -> Duration {
        match self {
            // One after the other, in its schedule.
            Self::Wrk2 => connections * Duration::from_millis(5),
            _ => Duration::ZERO,
        }
    }

    /// The command that sends this load to this port for a time; files it needs go into `folder`.
    pub(crate) fn command(self, load: Load, seconds: u64, port: u16, folder: &Path) -> Command {
        let url = format!("http://127.0.0.1:{port}/v1/inference");
        let connections = load.connections.to_string();
        let body_file = folder.join("body.json");
        std::fs::write(&body_file, body()).unwrap();
        let duration = format!("{seconds}s");
        let mut command = Command::new("taskset");
        command.args(["-c", &super::place::client_core().to_string()]);
        match self {
            Self::Bench => {
                let scenario = folder.join("peer.toml");
                std::fs::write(&scenario, scenario_text(load, seconds, port)).unwrap();
                command
                    .arg(
                        std::env::var("PEERS_BENCH")
                            .unwrap_or(env!("CARGO_BIN_EXE_bench").to_owned()),
                    )
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
            }
            Self::Wrk | Self::Wrk2 => {
                let script = folder.join("post.lua");
                std::fs::write(
                    &script,
                    format!(
                        "wrk.method = 'POST'\nwrk.body = '{}'\n\
                         wrk.headers['content-type'] = 'application/json'\n",
                        body()
                    ),
                )
                .unwrap();
                command.args([self.name(), "-t1", "--latency", "-c", &connections]);
                if self == Self::Wrk2 {
                    // It always keeps a rate: one that it cannot reach.
                    command.arg("-R1000000");
                }
                command.args(["-d", &duration, "-s"]).arg(script).arg(url);
            }
            Self::Oha => {
                if let Some(streams) = load.streams {
                    command.args(["oha", "--http2", "-p", &streams.to_string()]);
                } else {
                    command.arg("oha");
                }
                command
                    .args(["--no-tui", "--output-format", "json", "-m", "POST"])
                    .args(["-c", &connections, "-z", &duration, "-D"])
                    .arg(body_file)
                    .args(["-T", "application/json", &url]);
            }
            Self::Hey => {
                command
                    .args(["hey", "-cpus", "1", "-m", "POST", "-c", &connections])
                    .args(["-z", &duration, "-T", "application/json", "-D"])
                    .arg(body_file)
                    .arg(url);
            }
            Self::H2load => {
                match load.streams {
                    None => command.args(["h2load", "--h1"]),
                    Some(streams) => command.args(["h2load", "-m", &streams.to_string()]),
                };
                command
                    .args(["-t1", "-c", &connections, "-D", &seconds.to_string()])
                    .args(["-H", "content-type: application/json", "-d"])
                    .arg(body_file)
                    .arg(url);
            }
            Self::K6 => {
                let script = folder.join("post.js");
                std::fs::write(&script, k6_script(&url)).unwrap();
                command
                    .env("GOMAXPROCS", "1")
                    .args(["k6", "run", "--quiet", "--no-usage-report"])
                    .args(["--vus", &connections, "--duration", &duration])
                    .arg(script);
            }
            Self::PerfAnalyzer => {
                let input = folder.join("input.json");
                let data = format!(r#"{{"data":[{{"payload":[{}]}}]}}"#, body());
                std::fs::write(&input, data).unwrap();
                command
                    .args(["perf_analyzer", "-m", "peer", "--service-kind", "openai"])
                    .args(["--endpoint", "v1/inference", "--async"])
                    .args(["-u", &format!("127.0.0.1:{port}")])
                    .args(["--concurrency-range", &connections, "--input-data"])
                    .arg(input);
            }
            Self::AiPerf => {
                let input = folder.join("input.jsonl");
                let prompt = "x".repeat(512 - 100);
                std::fs::write(&input, format!("{{\"text\":\"{prompt}\"}}\n")).unwrap();
                command
                    .args(["aiperf", "profile", "-m", "peer", "--endpoint-type", "chat"])
                    .args(["--url", &format!("http://127.0.0.1:{port}")])
                    .args(["--concurrency", &connections])
                    .args(["--benchmark-duration", &seconds.to_string()])
                    .args(["--custom-dataset-type", "single_turn", "--input-file"])
                    .arg(input)
                    .arg("--tokenizer")
                    .arg(tokenizer(folder))
                    .args(["--ui-type", "none", "--artifact-dir"])
                    .arg(folder.join("artifacts"));
            }
        }
        command
    }

    /// p50 and p99 that it reports, in milliseconds: of the service time where it tells two kinds.
    pub(crate) fn latencies_ms(self, output: &str) -> Option<(f64, f64)> {
        match self {
            Self::Bench => {
                let run: serde_json::Value = serde_json::from_str(output).ok()?;
                let service = &run["phases"][0]["service"];
                Some((service["p50_ms"].as_f64()?, service["p99_ms"].as_f64()?))
            }
            Self::Wrk => Some((percentile_ms(output, 50.0)?, percentile_ms(output, 99.0)?)),
            Self::Oha => {
                let run: serde_json::Value = serde_json::from_str(output).ok()?;
                let of = |name: &str| Some(run["latencyPercentiles"][name].as_f64()? * 1e3);
                Some((of("p50")?, of("p99")?))
            }
            Self::Wrk2
            | Self::Hey
            | Self::H2load
            | Self::K6
            | Self::PerfAnalyzer
            | Self::AiPerf => None,
        }
    }
}

fn scenario_text(load: Load, seconds: u64, port: u16) -> String {
    let target = load.streams.map_or(String::new(), |streams| {
        format!("http = \"2\"\nmax_streams = {streams}\n")
    });
    format!(
        r#"name = "peer"
[target]
url = "http://127.0.0.1:{port}"
{target}[request.infer]
method = "POST"
path = "/v1/inference"
headers = {{ content-type = "application/json" }}
body = '{}'
[[phase]]
name = "load"
concurrency = {}
duration = "{seconds}s"
[telemetry]
gpu = "none"
"#,
        body(),
        load.connections * load.streams.unwrap_or(1)
    )
}

fn k6_script(url: &str) -> String {
    let body = body();
    format!(
        "import http from 'k6/http';\n\
         const headers = {{ 'content-type': 'application/json' }};\n\
         export default function () {{ http.post('{url}', '{body}', {{ headers }}); }}\n"
    )
}

/// A tokenizer of its own for `aiperf`, which otherwise asks a hub for one: each word is a token.
fn tokenizer(folder: &Path) -> PathBuf {
    let tokenizer = folder.join("tokenizer");
    std::fs::create_dir_all(&tokenizer).unwrap();
    let model = serde_json::json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": { "type": "Whitespace" },
        "post_processor": null,
        "decoder": null,
        "model": { "type": "WordLevel", "vocab": { "[UNK]": 0 }, "unk_token": "[UNK]" },
    });
    std::fs::write(tokenizer.join("tokenizer.json"), model.to_string()).unwrap();
    let class = serde_json::json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": "[UNK]",
    });
    std::fs::write(tokenizer.join("tokenizer_config.json"), class.to_string()).unwrap();
    tokenizer
}

fn on_path(name: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut candidates = std::env::split_paths(&path).map(|folder: PathBuf| folder.join(name));
    candidates.any(|file| file.is_file())
}
