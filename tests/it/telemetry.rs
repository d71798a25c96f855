//! Telemetry of servers beside the load, from the scenario to the report.

use crate::support::program::Bench;
use serde_json::Value;

fn bench(telemetry: &str, phase: &str) -> Bench {
    let bench = Bench::with(&format!(
        r#"
name = "watched"
[target]
url = "reference"
[target.reference]
step_time = "20ms"
max_batch = 4
[request.infer]
path = "/v1/inference"
data = "inputs.jsonl"
json = {{ model = "reference-mlp", inputs = "{{{{data.inputs}}}}" }}
[[phase]]
name = "p"
{phase}
[telemetry]
gpu = "none"
{telemetry}
"#
    ));
    bench.write(
        "inputs.jsonl",
        include_str!("../../scenarios/data/inputs.jsonl"),
    );
    bench
}

fn gate<'a>(run: &'a Value, name: &str) -> &'a Value {
    run["gates"]
        .as_array()
        .unwrap()
        .iter()
        .find(|gate| gate["gate"].as_str().unwrap().starts_with(name))
        .unwrap_or_else(|| panic!("{}", run["gates"]))
}

/// 40 requests at once against batches of 4: 36 wait nearly all the time, and 200 a second are
/// answered. Prometheus' own names say what the values are.
#[test]
fn a_page_of_the_target_is_sampled_and_gated() {
    let bench = bench(
        r#"prometheus = [{ name = "server", url = "/metrics", interval = "100ms", metrics = {
            queue_depth = { metric = "reference_queue_depth", combine = "sum" },
            batches = { metric = "reference_batch_size_count", as = "rate" },
            wait = { metric = "reference_inference_seconds", as = "p50" },
            memory = "process_resident_memory_bytes",
            gone = "no_such_metric",
        } }]"#,
        r#"
concurrency = 40
warmup = "500ms"
duration = "4s"
gates = ["server.queue_depth < 1000", "server.queue_depth.mean > 10", "server.batches.mean > 5/s",
         "server.memory.mean < 1MiB", "server.gone < 5", "server.wait.mean > 50ms"]"#,
    );
    let said = bench.judged(&["run", "scenario.toml"]).exits(1);
    let run = bench.run_json();
    let verdict = |name: &str| gate(&run, name)["verdict"].as_str().unwrap().to_owned();
    assert_eq!(verdict("server.queue_depth <"), "PASS", "{}", said.stdout);
    assert_eq!(
        verdict("server.queue_depth.mean"),
        "PASS",
        "{}",
        said.stdout
    );
    assert_eq!(verdict("server.batches"), "PASS", "{}", said.stdout);
    assert_eq!(verdict("server.wait"), "PASS", "{}", said.stdout);
    assert_eq!(verdict("server.memory"), "FAIL", "{}", said.stdout);
    let gone = gate(&run, "server.gone");
    assert_eq!(gone["verdict"], "INCONCLUSIVE");
    let reason = gone["reason"].as_str().unwrap();
    assert!(reason.contains("`no_such_metric` is not there"), "{reason}");
    // No more than all of them can wait, whatever the page was read at.
    let depth = gate(&run, "server.queue_depth <")["observed"]
        .as_f64()
        .unwrap();
    assert!((1.0..=40.0).contains(&depth), "{depth}");
    // The report has a lane for each of them.
    let html = bench.read("report.html");
    assert!(html.contains("server.queue_depth") && html.contains("server-queue_depth"));
    // The record can be judged again.
    let id = bench.only_run().display().to_string();
    let again = bench.run(&["report", &id]).exits(1);
    assert_eq!(again.last_line(), said.last_line());
}

#[test]
fn a_server_that_is_not_there_makes_its_gates_inconclusive_and_nothing_else() {
    let bench = bench(
        r#"prometheus = [{ name = "server", url = "http://127.0.0.1:1/metrics", metrics = { up = "up" } }]"#,
        r#"
concurrency = 2
duration = "3s"
gates = ["server.up < 5", "response.p50 < 4s"]"#,
    );
    let said = bench.run(&["run", "scenario.toml"]).exits(3);
    let run = bench.run_json();
    assert_eq!(gate(&run, "response")["verdict"], "PASS", "{}", said.stdout);
    let gate = gate(&run, "server.up");
    assert_eq!(gate["verdict"], "INCONCLUSIVE");
    assert!(
        said.stdout.contains("telemetry `server` was lost"),
        "{}",
        said.stdout
    );
}

fn scaling(rule: &str, heavy: &str) -> (Bench, Value, String) {
    let bench = Bench::with(&format!(
        r#"
name = "scaling"
[target]
url = "reference"
[target.reference]
max_batch = 8
step_time = "20ms"
scaling = "{rule}"
[request.infer]
path = "/v1/inference"
data = "inputs.jsonl"
json = {{ model = "reference-mlp", inputs = "{{{{data.inputs}}}}" }}
[[phase]]
name = "light"
concurrency = 5
duration = "3s"
gates = ["response.p50 < 80ms"]
[[phase]]
name = "heavy"
{heavy}
[[phase]]
name = "light-again"
concurrency = 5
duration = "12s"
gates = ["scale_down.time < 11s", "scale.flaps < 1"]
[telemetry]
gpu = "none"
prometheus = [{{ name = "server", url = "/metrics", interval = "100ms", metrics = {{
    replicas = "reference_replicas", desired = "reference_replicas_desired" }} }}]
"#
    ));
    bench.write(
        "inputs.jsonl",
        include_str!("../../scenarios/data/inputs.jsonl"),
    );
    let said = bench.run(&["run", "scenario.toml"]);
    let run = bench.run_json();
    (bench, run, said.stdout)
}

/// The step makes four workers necessary; each needs a second to start, and goes three seconds after it
/// is needed no more. What was measured is held against the server's own account.
#[test]
fn scaling_up_and_down_is_measured() {
    let (bench, run, stdout) = scaling(
        "1 to 4 at 7 queued, start 1s, cooldown 3s",
        r#"
concurrency = 60
duration = "10s"
gates = ["scale_up.time < 9s", "scale_up.recovery < 9s", "scale_up.overshoot < 120%"]"#,
    );
    for name in [
        "scale_up.time",
        "scale_up.overshoot",
        "scale_down.time",
        "scale.flaps",
    ] {
        assert_eq!(gate(&run, name)["verdict"], "PASS", "{stdout}");
    }
    assert_ne!(
        gate(&run, "scale_up.recovery")["verdict"],
        "INCONCLUSIVE",
        "{stdout}"
    );
    let truth: Value = serde_json::from_str(&bench.read("reference-truth.json")).unwrap();
    let changes = truth["scaled"].as_array().unwrap();
    let at = |key: &str, value: u64| {
        let change = changes.iter().find(|change| change[key] == value);
        change.unwrap_or_else(|| panic!("{truth}"))["at_ms"]
            .as_f64()
            .unwrap()
    };
    // The load began before the server decided, and was seen no earlier than it happened.
    let took = at("ready", 4) - at("desired", 4);
    let seen = gate(&run, "scale_up.time")["observed"].as_f64().unwrap();
    assert!(seen >= took, "{seen} ms seen, {took} ms true");
    assert_eq!(changes.last().unwrap()["ready"], 1, "{truth}");
    let html = bench.read("report.html");
    assert!(html.contains("server-replicas"), "no lane of the replicas");
}

/// A service that cannot scale fails; a step that needs no scaling shows nothing.
#[test]
fn what_does_not_scale_fails_and_what_need_not_scale_is_inconclusive() {
    let (_, run, stdout) = scaling(
        "1 to 1 at 7 queued",
        r#"
concurrency = 60
duration = "5s"
gates = ["scale_up.time < 9s", "scale_up.recovery < 3s", "response.p50 < 80ms"]"#,
    );
    let up = gate(&run, "scale_up.time");
    assert_eq!(up["verdict"], "FAIL", "{stdout}");
    let reason = up["reason"].as_str().unwrap();
    assert!(reason.contains("replicas stayed at 1"), "{reason}");
    assert_eq!(
        gate(&run, "scale_up.recovery")["verdict"],
        "FAIL",
        "{stdout}"
    );
    let down = gate(&run, "scale_down.time");
    assert_eq!(down["verdict"], "INCONCLUSIVE", "{stdout}");
    assert!(
        down["reason"]
            .as_str()
            .unwrap()
            .contains("nothing to scale down"),
        "{down}"
    );
    let (_, run, stdout) = scaling(
        "1 to 4 at 50 queued",
        r#"
concurrency = 6
duration = "5s"
gates = ["scale_up.time < 9s"]"#,
    );
    let up = gate(&run, "scale_up.time");
    assert_eq!(up["verdict"], "INCONCLUSIVE", "{stdout}");
    assert!(
        up["reason"]
            .as_str()
            .unwrap()
            .contains("the step is too small"),
        "{up}"
    );
}

#[test]
fn scaling_gates_that_nothing_could_decide_are_refused() {
    let bench = bench(
        "",
        "concurrency = 1\nduration = \"5s\"\ngates = [\"scale_up.time < 9s\"]",
    );
    let said = bench.run(&["check", "scenario.toml"]).exits(2);
    assert!(
        said.stderr.contains("nothing counts the replicas"),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr.contains("is about a step of the load"),
        "{}",
        said.stderr
    );
}
