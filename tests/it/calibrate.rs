//! `bench calibrate`, and what other commands make of its result.

use crate::support::program::{Bench, Said};
use serde_json::{Value, json};
use std::path::Path;

/// A scenario that sends nothing anywhere when it is only checked.
fn scenario(load: &str) -> String {
    scenario_of("url = \"http://127.0.0.1:9\"", "", load)
}

fn scenario_of(target: &str, request: &str, load: &str) -> String {
    format!(
        "name = \"near\"\n[target]\n{target}\n[request.get]\npath = \"/\"\n{request}\n\
         [[phase]]\nname = \"p\"\n{load}\nduration = \"5s\"\ngates = [\"error_rate < 1%\"]\n"
    )
}

fn run(bench: &Bench, args: &[&str]) -> Said {
    let mut command = bench.command(args);
    command.env("BENCH_STATE_DIR", bench.path().join("state"));
    command.output().unwrap().into()
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn a_machine_is_measured_and_scenarios_near_its_ceiling_are_flagged() {
    let bench = Bench::with(&scenario("rate = 800"));
    let nothing = run(&bench, &["check", "scenario.toml"]).exits(0);
    assert!(!nothing.stdout.contains("machine"), "{}", nothing.stdout);
    let said = run(&bench, &["calibrate", "--quick", "--format", "json"]).exits(0);
    let path = bench.path().join("state/calibration.json");
    let mut found = read(&path);
    assert_eq!(serde_json::from_str::<Value>(&said.stdout).unwrap(), found);
    assert_eq!(found["schema"], "bench.calibration/2");
    let kinds = found["kinds"].as_array().unwrap();
    let names: Vec<_> = kinds.iter().map(|kind| kind["kind"].as_str()).collect();
    let expected = ["http1", "tls", "http2", "streams"];
    assert_eq!(names, expected.map(Some));
    for kind in &kinds[..3] {
        assert!(kind["closed_loop_rps"].as_f64().unwrap() > 0.0, "{kind}");
        // The lowest rate is tried on any machine, and its lateness is known.
        let rates = kind["rates"].as_array().unwrap();
        assert_eq!(rates[0]["level"], 100.0, "{kind}");
        assert!(rates[0]["lateness_ns"][1].as_u64().unwrap() > 0);
    }
    assert_eq!(kinds[0]["users"][0]["level"], 100.0);
    let streams = &kinds[3]["users"][0];
    assert_eq!(streams["level"], 100.0);
    assert!(
        streams["throughput_rps"].as_f64().unwrap() > 0.0,
        "{streams}"
    );

    // From here on the ceilings are known.
    let step = |level: f64| {
        json!({
            "level": level, "throughput_rps": level, "lateness_ns": null,
            "loop_delay_p99_ns": null, "busiest_worker": 0.5, "short_of": null,
        })
    };
    let kind = |name: &str, rates: Value, users: Value| {
        json!({
            "kind": name, "closed_loop_rps": 1.0, "floor_ns": null, "rates": rates, "users": users,
        })
    };
    found["kinds"] = json!([
        kind("http1", json!([step(1000.0)]), json!([step(200.0)])),
        kind("tls", json!([step(700.0)]), json!([])),
        kind("http2", json!([step(900.0)]), json!([])),
        kind("streams", json!([]), json!([step(50.0)])),
    ]);
    found["workers"] = json!(1);
    let keep = |found: &Value| std::fs::write(&path, found.to_string()).unwrap();
    keep(&found);
    let check_of = |scenario: &str, flagged: Option<&str>| {
        bench.write("scenario.toml", scenario);
        let said = run(&bench, &["check", "scenario.toml"]).exits(0);
        assert!(said.stdout.contains("at least 1000/s and 200 concurrent"));
        match flagged {
            None => assert_eq!(said.stderr, ""),
            Some(words) => assert!(said.stderr.contains(words), "{}", said.stderr),
        }
    };
    let check = |load: &str, flagged: Option<&str>| check_of(&scenario(load), flagged);
    check("rate = 690", None);
    check(
        "rate = 800",
        Some("80.0 % of what this machine was shown to generate: 800/s asked for, 1000/s shown"),
    );
    check("concurrency = 100", None);
    // Each kind of traffic has a ceiling of its own; two kinds at once have the lower one.
    let tls = "url = \"https://127.0.0.1:9\"";
    let http2 = "url = \"http://127.0.0.1:9\"\nhttp = \"2\"";
    let both = "url = \"https://127.0.0.1:9\"\nhttp = \"2\"";
    let of = |target: &str, load: &str| scenario_of(target, "", load);
    check_of(&of(tls, "rate = 480"), None);
    check_of(&of(tls, "rate = 560"), Some("80.0 % of what"));
    check_of(&of(http2, "rate = 560"), None);
    check_of(
        &of(http2, "rate = 720"),
        Some("720/s asked for, 900/s shown"),
    );
    check_of(
        &of(both, "rate = 560"),
        Some("560/s asked for, 700/s shown"),
    );
    check_of(&of(tls, "concurrency = 100"), None);
    let plain = "url = \"http://127.0.0.1:9\"";
    let stream = |load: &str| scenario_of(plain, "stream = \"sse\"\nshape = \"openai-chat\"", load);
    check_of(&stream("concurrency = 30"), None);
    check_of(
        &stream("concurrency = 40"),
        Some("40 concurrent asked for, 50 concurrent shown"),
    );
    check("concurrency = 300", Some("150 % of what"));

    // A run says it before any load, and keeps it.
    let said = run(&bench, &["run", "scenario.toml", "--quiet"]).exits(3);
    assert!(
        said.stdout.contains("doubt (p): the load is 150 %"),
        "{}",
        said.stdout
    );
    assert_eq!(bench.run_json()["doubts"][0]["doubt"], "near_ceiling");
    let doctor = run(&bench, &["doctor"]);
    assert!(
        doctor.stdout.contains("good  calibration"),
        "{}",
        doctor.stdout
    );

    // What was measured elsewhere is not used.
    found["machine"]["cpu"] = json!("abacus");
    keep(&found);
    let said = run(&bench, &["check", "scenario.toml"]).exits(0);
    assert!(
        said.stdout
            .contains("stale: it was made on another machine (abacus)")
    );
    assert_eq!(said.stderr, "");
    let doctor = run(&bench, &["doctor"]);
    assert!(
        doctor.stdout.contains("weak  calibration"),
        "{}",
        doctor.stdout
    );
}

#[test]
fn a_result_that_can_be_kept_nowhere_is_not_measured() {
    let bench = Bench::new();
    let said = bench.run(&["calibrate", "--quick"]).exits(2);
    assert!(
        said.stderr.contains("name one with --state"),
        "{}",
        said.stderr
    );
}
