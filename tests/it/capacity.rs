//! `bench capacity` against a server whose capacity is known.

use crate::support::program::Bench;
use serde_json::Value;

/// Eight requests every 16 ms are 500 a second, and no more.
const SCENARIO: &str = r#"
name = "known"
[target]
url = "reference"
timeout = "2s"
[target.reference]
max_batch = 8
step_time = "16ms"
max_wait = "0ms"
[request.infer]
path = "/v1/inference"
data = "inputs.jsonl"
json = { model = "reference-mlp", inputs = "{{data.inputs}}" }
[[phase]]
name = "steady"
rate = 200
duration = "2s"
gates = ["response.p95 < 300ms", "error_rate < 5%", "throughput > 1/s"]
[telemetry]
gpu = "none"
"#;

fn bench(scenario: &str) -> Bench {
    let bench = Bench::with(scenario);
    bench.write(
        "inputs.jsonl",
        include_str!("../../scenarios/data/inputs.jsonl"),
    );
    bench
}

#[test]
fn what_is_found_lies_below_what_the_server_can_do() {
    let bench = bench(SCENARIO);
    let said = bench.run(&[
        "capacity",
        "scenario.toml",
        "--to=1600",
        "--probe=3s",
        "--hold=4s",
        "--resolution=100%",
    ]);
    let folder = bench.only_run();
    let text = std::fs::read_to_string(folder.join("capacity.json")).unwrap();
    let found: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(found["schema"], "bench.capacity/1");
    assert_eq!(found["unit"], "rate");
    // More load does not make it harder to reach a throughput.
    assert_eq!(found["left_out"][0], "throughput > 1/s");
    let steps = found["steps"].as_array().unwrap();
    let last = steps.last().unwrap();
    // A machine that other work keeps from generating the load may show less, but never more.
    let held = found["answer"]["found"]["level"]
        .as_f64()
        .or(found["answer"]["at_least"]["level"].as_f64());
    match held {
        Some(level) => {
            assert!(level <= 500.0, "{text}");
            assert_eq!(said.code, 0);
            assert_eq!(
                (last["hold"].as_bool(), last["trial"].as_str()),
                (Some(true), Some("pass"))
            );
        }
        None => assert_eq!(said.code, 3, "{text}"),
    }
    for step in steps {
        // A trial is a run like any other.
        let folder = folder.join(step["run"].as_str().unwrap());
        assert!(folder.join("report.html").is_file());
        let run = std::fs::read(folder.join("run.json")).unwrap();
        let run: Value = serde_json::from_slice(&run).unwrap();
        // What is shown to fail is only what the server cannot do: where the machine was busy, that is less.
        let is_quiet = run["doubts"].as_array().unwrap().is_empty();
        if is_quiet && step["trial"] == "fail" {
            assert!(step["level"].as_f64().unwrap() > 400.0, "{step}");
        }
    }
    let html = std::fs::read_to_string(folder.join("capacity.html")).unwrap();
    assert!(html.contains("capacity-latency") && html.contains("capacity-throughput"));
}

#[test]
fn a_service_that_misses_its_gate_at_any_load_has_no_capacity() {
    let strict = SCENARIO
        .replace("p95 < 300ms", "p95 < 1ms")
        .replace("rate = 200", "concurrency = 2");
    let said = bench(&strict)
        .run(&["capacity", "scenario.toml", "--probe=2s", "--hold=2s"])
        .exits(1);
    assert_eq!(said.last_line(), "nothing passed, not even 1 concurrent");
}

#[test]
fn what_cannot_be_searched_is_refused_before_any_load() {
    let check = |scenario: &str, args: &[&str], wanted: &str| {
        let bench = bench(scenario);
        let said = bench
            .run(&[&["capacity", "scenario.toml"], args].concat())
            .exits(2);
        assert!(said.stderr.contains(wanted), "{}", said.stderr);
        assert!(bench.runs().is_empty());
    };
    let loose = SCENARIO.replace("\"response.p95 < 300ms\", \"error_rate < 5%\", ", "");
    check(&loose, &[], "no gate that more load makes harder");
    check(SCENARIO, &["--phase=other"], "its phases: steady");
    check(SCENARIO, &["--to=100"], "lies below the first level");
    check(SCENARIO, &["--probe=1s"], "2s at least");
    check(SCENARIO, &["--resolution=0%"], "between 0.5% and 100%");
    let trace = SCENARIO.replace("rate = 200\nduration = \"2s\"", "trace = \"trace.csv\"");
    let bench = bench(&trace);
    bench.write(
        "trace.csv",
        &(0..4000)
            .map(|k| format!("{}\n", f64::from(k) / 1000.0))
            .collect::<String>(),
    );
    let said = bench.run(&["capacity", "scenario.toml"]).exits(2);
    assert!(said.stderr.contains("replays a trace"), "{}", said.stderr);
}
