//! The real binary: what it prints, what it leaves, how it exits, and how it takes trouble.

use crate::support::program::{Bench, Said, files_below, signal};
use crate::support::records::{Story, answers};
use crate::support::tcp::{Manner, Tcp, nobody};
use serde_json::Value;
use std::cell::Cell;
use std::process::Stdio;
use std::time::Duration;

/// A scenario against a server, with one phase.
fn scenario(url: &str, phase: &str) -> String {
    format!(
        "name = \"t\"\n[target]\nurl = \"{url}\"\ntimeout = \"2s\"\n[request.get]\npath = \"/\"\n\
         [[phase]]\nname = \"p\"\n{phase}\n[telemetry]\ngpu = \"none\"\n"
    )
}

const SHORT: &str = "concurrency = 4\nduration = \"3s\"\n\
                     gates = [\"response.p50 < 10s\", \"error_rate < 50%\"]";

/// Long enough for the generator not to be the bottleneck, even where many tests share few cores.
const SOON: Duration = Duration::from_millis(20);

fn good() -> Tcp {
    Tcp::serve(Manner::Answer(200, b"ok".to_vec(), SOON))
}

fn run_short(manner: Manner) -> (Bench, Said) {
    let server = Tcp::serve(manner);
    let bench = Bench::with(&scenario(&server.url(), SHORT));
    let said = bench.judged(&["run", "scenario.toml", "--no-preflight"]);
    (bench, said)
}

fn error_causes(run: &Value) -> Vec<String> {
    let errors = run["phases"][0]["errors"].as_array().unwrap();
    errors
        .iter()
        .map(|error| {
            format!(
                "{}: {}",
                error["outcome"].as_str().unwrap(),
                error["cause"].as_str().unwrap()
            )
        })
        .collect()
}

#[test]
fn help_shows_commands_and_exit_codes() {
    let said = Bench::new().run(&["--help"]).exits(0);
    insta::assert_snapshot!(said.stdout, @"
    The performance gate that a GPU inference service must pass before a release.

    Drives real load against an HTTP API, watches the GPUs and hosts behind it on the same clock, and
    ends in a verdict: PASS, FAIL or INCONCLUSIVE, with the evidence in a report.

    Usage: bench [OPTIONS] <COMMAND>

    Commands:
      init         Write a commented scenario, from answers, from flags, or from an OpenAPI document
      run          Run a scenario and judge it by its gates
      capacity     Search for the highest load that still passes the gates of a phase
      check        Read a scenario and print its plan, without sending anything
      report       Build the reports of a run again from its journal, also of one that was cut off
      history      List earlier runs, or show how a metric went over them
      show         Show an earlier run in a few numbers
      regression   Judge whether a run is worse than the runs before it
      push         Send runs to the database that a team shares
      db           Look after that database
      baseline     Choose the run that others of its scenario and environment are compared with
      prune        Remove runs that no rule keeps
      compare      Compare new runs with old ones: better, same, worse or unclear
      judge        Judge a finished run again, by its own gates and by new ones
      serve        Serve the built-in reference inference API
      gpu          Measure what the GPUs of this host can do, and find those that are sick
      calibrate    Measure how much load this machine can generate
      agent        Offer this host's GPU telemetry to runs that are driven from another host
      doctor       Say what this machine lacks for generating load and watching GPUs
      explain      Explain a code of a finding or a doubt, or list all of them
      schema       Print the JSON Schema of scenarios, for editors
      completions  Print completions for a shell
      man          Print the man page: `bench man > bench.1`
      help         Print this message or the help of the given subcommand(s)

    Options:
      -q, --quiet
              Say nothing but the result

          --color <WHEN>
              When to use colour; `NO_COLOR` is heeded

              Possible values:
              - auto:   On a terminal
              - always: Always
              - never:  Never
              
              [default: auto]

      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Exit codes:
        0  PASS, or the command did its work
        1  FAIL: a gate was missed
        2  the arguments, the scenario or this machine do not allow the run
        3  INCONCLUSIVE: the evidence does not suffice
      130  interrupted; there is a partial report
    ");
}

#[test]
fn a_good_service_passes() {
    let server = good();
    let bench = Bench::with(&scenario(&server.url(), SHORT));
    let before = Cell::new(0);
    let said = bench.judged_as(|| {
        before.set(server.requests());
        bench.command(&["run", "scenario.toml"])
    });
    let said = said.exits(0);
    assert_eq!(said.last_line(), "PASS: 2 of 2 gates pass");
    let run = bench.run_json();
    assert_eq!(run["schema"], "bench.run/1");
    assert_eq!(run["verdict"], "PASS");
    assert_eq!(run["partial"], false);
    let requests = &run["phases"][0]["requests"];
    assert_eq!(requests["planned"], requests["ok"]);
    // One request of the preflight; none of a warm-up.
    let sent = server.requests() - before.get();
    assert_eq!(requests["ok"].as_u64().unwrap() + 1, sent);
    for name in [
        "report.html",
        "junit.xml",
        "summary.md",
        "latency.hlog",
        "load.csv",
        "telemetry.csv",
    ] {
        assert!(!bench.read(name).is_empty(), "{name}");
    }
}

#[test]
fn a_service_that_misses_a_gate_fails() {
    let server = good();
    let phase = SHORT.replace("10s", "1ms");
    let bench = Bench::with(&scenario(&server.url(), &phase));
    let said = bench.judged(&["run", "scenario.toml"]).exits(1);
    assert!(
        said.last_line()
            .starts_with("FAIL: 1 of 2 gates pass; `response.p50 < 1ms` (p) failed"),
        "{}",
        said.last_line()
    );
    assert!(bench.read("junit.xml").contains("<failure"));
}

#[test]
fn json_goes_to_stdout_and_talk_to_stderr() {
    let server = good();
    let bench = Bench::with(&scenario(&server.url(), SHORT));
    let said = bench
        .run(&["run", "scenario.toml", "--format", "json", "--quiet"])
        .gives_a_verdict();
    assert_eq!(said.stdout, bench.read("run.json"));
    assert_eq!(said.stderr, "");
}

#[test]
fn talk_is_plain_where_it_is_not_a_terminal() {
    let server = good();
    let bench = Bench::with(&scenario(&server.url(), SHORT));
    let said = bench.judged(&["run", "scenario.toml"]).exits(0);
    assert!(!said.stdout.contains('\x1b') && !said.stderr.contains('\x1b'));
    assert!(
        said.stderr.contains("p: 4 concurrent, 3 s"),
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains("report: results/"), "{}", said.stderr);
    let colored = bench.run(&["--color", "always", "report", "last"]).exits(0);
    assert!(colored.stdout.contains('\x1b'));
}

#[test]
fn reports_are_rebuilt_to_the_byte() {
    let server = good();
    let bench = Bench::with(&scenario(&server.url(), SHORT));
    bench.judged(&["run", "scenario.toml"]).exits(0);
    let run = bench.only_run();
    let mut views = files_below(&run);
    views.retain(|path| !path.ends_with("journal.jsonl"));
    assert!(views.len() >= 8, "{views:?}");
    let before: Vec<Vec<u8>> = views
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    for path in &views {
        std::fs::remove_file(path).unwrap();
    }
    bench.run(&["report", "last"]).exits(0);
    for (path, bytes) in views.iter().zip(before) {
        assert!(std::fs::read(path).unwrap() == bytes, "{path:?} differs");
    }
}

#[test]
fn check_prints_the_plan_and_sends_nothing() {
    let server = good();
    let bench = Bench::with(&scenario(&server.url(), SHORT));
    let said = bench
        .run(&["check", "scenario.toml", "--workers", "2"])
        .exits(0);
    let shown = said.stdout.replace(&server.url(), "http://SERVER");
    insta::assert_snapshot!(shown, @"
    t · scenario.toml

    target     http://SERVER; HTTP/1.1; timeout 2 s
    request    get — GET /
    phase      p — 4 concurrent × [get], 0 ms warm-up, 3 s measured
                 gate response.p50 < 10s
                 gate error_rate < 50%
    telemetry  no GPUs; host, target and generator processes
    in all     3 s of load, at most 4 connections, 2 workers, seed 1
    ");
    assert_eq!(server.requests(), 0);
    assert!(bench.runs().is_empty());
}

#[test]
fn faults_of_a_scenario_exit_with_2_before_anything_happens() {
    let bench = Bench::with("name = \"x\"\n[traget]\nurl = 5\n");
    for command in ["run", "check"] {
        let said = bench.run(&[command, "scenario.toml"]).exits(2);
        assert!(said.stderr.contains("scenario.toml:2:2"), "{}", said.stderr);
        assert!(
            said.stderr.contains("did you mean `target`?"),
            "{}",
            said.stderr
        );
        assert_eq!(said.stdout, "");
    }
    assert!(bench.runs().is_empty());
    let missing = bench.run(&["run", "none.toml"]).exits(2);
    assert!(
        missing
            .stderr
            .contains("cannot read the scenario `none.toml`"),
        "{}",
        missing.stderr
    );
    let arguments = bench.run(&["run"]).exits(2);
    assert!(
        arguments.stderr.contains("<SCENARIO>"),
        "{}",
        arguments.stderr
    );
}

#[test]
fn secrets_come_from_outside_and_appear_nowhere() {
    // The server echoes what it should not.
    let server = Tcp::serve(Manner::Answer(
        401,
        b"bad token t0p-s3cret-value!".to_vec(),
        SOON,
    ));
    let text = scenario(&server.url(), SHORT).replace(
        "timeout = \"2s\"",
        "timeout = \"2s\"\nheaders = { authorization = \"Bearer ${TOKEN}\", x-file = \"${file:token.txt}\" }",
    );
    let bench = Bench::with(&text);
    bench.write("token.txt", "file-s3cret-value\n");
    let said = bench.judged_as(|| {
        let mut command = bench.command(&["run", "scenario.toml", "--no-preflight"]);
        command.env("TOKEN", "t0p-s3cret-value");
        command
    });
    let said = said.exits(1);
    assert!(!said.stdout.contains("s3cret") && !said.stderr.contains("s3cret"));
    let run = bench.only_run();
    for path in files_below(&run) {
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        assert!(!text.contains("s3cret"), "{path:?}");
    }
    assert!(bench.read("report.html").contains("bad token ***!"));
}

#[test]
fn a_refusing_target_ends_the_run_before_any_load() {
    let bench = Bench::with(&scenario(&format!("http://{}", nobody()), SHORT));
    let said = bench.run(&["run", "scenario.toml"]).exits(3);
    assert!(said.last_line().starts_with("INCONCLUSIVE: 0 of 2 gates pass; no load was sent: the target did not answer `get` (GET /) as expected: could not connect"), "{}", said.last_line());
    assert_eq!(bench.run_json()["partial"], true);
    let unknown = Bench::with(&scenario("http://no-such-host.invalid", SHORT));
    let said = unknown.run(&["run", "scenario.toml"]).exits(3);
    assert!(
        said.last_line()
            .contains("`no-such-host.invalid` does not resolve"),
        "{}",
        said.last_line()
    );
}

#[test]
fn every_fault_of_the_target_is_counted_and_fails_the_gate() {
    let hung = "concurrency = 4\nduration = \"5s\"\ngates = [\"response.p50 < 10s\", \"error_rate < 50%\"]";
    let server = Tcp::serve(Manner::ThenSilence(0));
    let bench = Bench::with(&scenario(&server.url(), hung));
    bench
        .run(&["run", "scenario.toml", "--no-preflight"])
        .exits(3);
    // Twelve requests in all: too few to judge by, and each of them timed out.
    assert_eq!(
        error_causes(&bench.run_json()),
        ["timeout: no answer in time"]
    );

    for (manner, expected) in [
        (
            Manner::Answer(500, b"oops".to_vec(), SOON),
            "bad_status: status 500",
        ),
        (Manner::Garbage, "malformed: not HTTP"),
        (
            Manner::HangUp,
            "reset: closed before the answer was complete",
        ),
    ] {
        let (bench, said) = run_short(manner.clone());
        let said = said.exits(1);
        assert!(
            said.last_line().starts_with("FAIL: 0 of 2 gates pass"),
            "{}",
            said.last_line()
        );
        assert_eq!(error_causes(&bench.run_json()), [expected]);
        let requests = &bench.run_json()["phases"][0]["requests"];
        assert_eq!(requests["planned"], requests["failed"], "{manner:?}");
    }
    let bench = Bench::with(&scenario(&format!("http://{}", nobody()), SHORT));
    let said = bench.run(&["run", "scenario.toml", "--no-preflight"]);
    assert_eq!(
        error_causes(&bench.run_json()),
        ["connect: connection refused"]
    );
    // Thirty attempts of each of four slots.
    assert!(said.code == 1 || said.code == 3, "{}", said.stdout);
}

#[test]
fn hostile_bodies_are_inert_in_the_report() {
    let body = b"<script>alert(1)</script>\xff\xfe<img src=x onerror=alert(2)>".to_vec();
    let (bench, said) = run_short(Manner::Answer(500, body, SOON));
    said.exits(1);
    let html = bench.read("report.html");
    assert!(!html.contains("<script>alert") && !html.contains("<img src=x"));
    assert!(
        html.contains("&lt;script&gt;alert(1)") || html.contains("&#60;script&#62;alert(1)"),
        "the example is missing"
    );
    assert!(html.contains("\\xff\\xfe"));
}

#[test]
fn ctrl_c_once_drains_and_reports_what_there_is() {
    let server = good();
    let phase = SHORT.replace("3s", "60s");
    let bench = Bench::with(&scenario(&server.url(), &phase));
    let mut child = bench.command(&["run", "scenario.toml"]).spawn().unwrap();
    bench.await_seconds(&mut child, 3);
    signal(&child, "INT");
    let said = Said::from(child.wait_with_output().unwrap()).exits(130);
    assert!(
        said.stderr
            .contains("stopping: waiting for the requests in flight"),
        "{}",
        said.stderr
    );
    assert!(
        said.last_line()
            .starts_with("INCONCLUSIVE: 2 of 2 gates pass; interrupted at"),
        "{}",
        said.last_line()
    );
    let run = bench.run_json();
    assert_eq!(run["partial"], true);
    let requests = &run["phases"][0]["requests"];
    assert_eq!(requests["planned"], requests["ok"]);
    assert_eq!(requests["in_flight_at_end"], 0);
}

#[test]
fn ctrl_c_twice_does_not_wait() {
    let server = Tcp::serve(Manner::ThenSilence(200));
    let text = scenario(&server.url(), &SHORT.replace("3s", "60s")).replace("2s", "300s");
    let bench = Bench::with(&text);
    let mut child = bench.command(&["run", "scenario.toml"]).spawn().unwrap();
    bench.await_seconds(&mut child, 2);
    signal(&child, "INT");
    signal(&child, "INT");
    // Signals of one kind that come together may be merged into one.
    std::thread::sleep(Duration::from_millis(300));
    if child.try_wait().unwrap().is_none() {
        signal(&child, "INT");
    }
    Said::from(child.wait_with_output().unwrap()).exits(130);
    assert_eq!(
        bench.run_json()["phases"][0]["requests"]["in_flight_at_end"],
        4
    );
}

/// Users that should have gone on meanwhile are behind by the length of the stop; they count as in flight
/// since then, in every book.
#[test]
fn a_generator_that_was_stopped_for_a_while_says_so_and_its_books_agree() {
    let server = Tcp::serve(Manner::Answer(
        200,
        b"ok".to_vec(),
        Duration::from_millis(30),
    ));
    let phase = SHORT
        .replace("3s", "5s")
        .replace("concurrency = 4", "concurrency = 20\nthink_time = \"50ms\"");
    let bench = Bench::with(&scenario(&server.url(), &phase));
    let mut child = bench.command(&["run", "scenario.toml"]).spawn().unwrap();
    bench.await_seconds(&mut child, 2);
    signal(&child, "STOP");
    std::thread::sleep(Duration::from_millis(1500));
    signal(&child, "CONT");
    let said = Said::from(child.wait_with_output().unwrap()).exits(3);
    // How long, and what else weakens the run, depends on what this machine does meanwhile.
    assert!(
        said.stdout.contains("the generator stood still for"),
        "{}",
        said.stdout
    );
    assert!(
        !said.stdout.contains("Little's law does not hold"),
        "{}",
        said.stdout
    );
}

#[test]
fn a_killed_run_is_reported_from_its_journal() {
    let server = good();
    let bench = Bench::with(&scenario(&server.url(), &SHORT.replace("3s", "60s")));
    let mut child = bench.command(&["run", "scenario.toml"]).spawn().unwrap();
    bench.await_seconds(&mut child, 3);
    signal(&child, "KILL");
    child.wait().unwrap();
    assert!(!bench.only_run().join("run.json").exists());
    let said = bench.run(&["report", "last"]).exits(3);
    assert!(
        said.last_line()
            .contains("without an end: bench was killed or the machine went down"),
        "{}",
        said.last_line()
    );
    let run = bench.run_json();
    assert_eq!(run["partial"], true);
    assert!(run["phases"][0]["requests"]["ok"].as_u64().unwrap() > 100);
}

#[test]
fn results_that_cannot_be_written_are_told_before_any_load() {
    let server = good();
    let bench = Bench::with(&scenario(&server.url(), SHORT));
    bench.write("blocked", "a file, not a folder");
    let said = bench
        .run(&["run", "scenario.toml", "--results", "blocked"])
        .exits(2);
    assert!(
        said.stderr.contains("cannot make the folder `blocked/"),
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains("--results"), "{}", said.stderr);
    assert_eq!(server.requests(), 0);
}

#[test]
fn a_disk_that_fills_up_stops_the_load_and_loses_nothing() {
    let server = good();
    let bench = Bench::with(&scenario(&server.url(), &SHORT.replace("3s", "60s")));
    // A limit on the size of files stands for a full disk; in blocks of 512 bytes.
    let limits = "trap '' XFSZ; ulimit -f 48";
    let said: Said = bench
        .limited(limits, &["run", "scenario.toml"])
        .output()
        .unwrap()
        .into();
    let said = said.exits(3);
    assert!(
        said.last_line().contains("the load was stopped at"),
        "{}",
        said.last_line()
    );
    assert!(
        said.last_line().contains("journal could not be written"),
        "{}",
        said.last_line()
    );
    assert!(
        said.stdout.contains("response.p50 < 10s"),
        "{}",
        said.stdout
    );
}

#[test]
fn too_few_descriptors_are_told_before_any_load() {
    let server = good();
    let many = SHORT.replace("concurrency = 4", "concurrency = 1000");
    let bench = Bench::with(&scenario(&server.url(), &many));
    let said: Said = bench
        .limited("ulimit -n 256", &["run", "scenario.toml"])
        .output()
        .unwrap()
        .into();
    let said = said.exits(2);
    assert!(
        said.stderr.contains("1000 connections need"),
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains("file descriptors"), "{}", said.stderr);
    assert_eq!(server.requests(), 0);
    assert!(bench.runs().is_empty());
}

#[test]
fn a_low_soft_limit_is_raised() {
    let server = Tcp::serve(Manner::Answer(
        200,
        b"ok".to_vec(),
        Duration::from_millis(100),
    ));
    let many = SHORT.replace("concurrency = 4", "concurrency = 200");
    let bench = Bench::with(&scenario(&server.url(), &many));
    let output = bench
        .limited("ulimit -Sn 100", &["run", "scenario.toml"])
        .output()
        .unwrap();
    Said::from(output).gives_a_verdict();
    let phase = &bench.run_json()["phases"][0];
    assert_eq!(phase["connections"]["opened"], 200);
    assert_eq!(phase["connections"]["failed"], 0);
}

#[test]
fn a_taken_port_is_told() {
    let taken = good();
    let port = format!("--port={}", taken.address.port());
    let said = Bench::new().run(&["serve", &port]).exits(2);
    assert!(
        said.stderr.contains("cannot listen on 127.0.0.1:"),
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains("--port"), "{}", said.stderr);
}

#[test]
fn a_server_ends_when_it_is_told_to() {
    let bench = Bench::new();
    let mut child = bench
        .command(&[
            "serve",
            "--port=0",
            "--truth=truth.json",
            "--until-stdin-closes",
        ])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdin.take());
    Said::from(child.wait_with_output().unwrap()).exits(0);
    let truth = std::fs::read_to_string(bench.path().join("truth.json")).unwrap();
    assert!(truth.contains("bench.reference-truth/1"), "{truth}");
}

#[test]
fn reports_of_nothing_are_refused() {
    let bench = Bench::new();
    let said = bench.run(&["report", "last"]).exits(2);
    assert!(
        said.stderr.contains("there is no run below `results`"),
        "{}",
        said.stderr
    );
}

/// A minute in which 1 % of the answers are slow, on disk.
fn finished_run(bench: &Bench) {
    let seconds = vec![answers(198, 20.0).and(2, 300.0); 60];
    Story::new()
        .phase("c10", &["response.p95 < 100ms"], &seconds)
        .called("one", "2026-11-23T07:36:12Z")
        .store(&bench.path().join("results"));
}

#[test]
fn a_finished_run_is_judged_again_bit_for_bit() {
    let bench = Bench::new();
    finished_run(&bench);
    let report = bench.run(&["report", "one", "--format", "json"]).exits(0);
    let before = files_below(&bench.only_run());
    let again = bench.run(&["judge", "one", "--format", "json"]).exits(0);
    assert_eq!(report.stdout, again.stdout);
    assert_eq!(files_below(&bench.only_run()), before);
}

#[test]
fn new_gates_on_an_old_run_decide_the_exit_code() {
    let bench = Bench::new();
    finished_run(&bench);
    let judge = |gates: &[&str]| {
        let mut args = vec!["judge", "last", "--format", "json"];
        gates.iter().for_each(|gate| args.extend(["--gate", gate]));
        bench.run(&args)
    };
    judge(&["c10: response.p90 < 100ms", "error_rate < 1%"]).exits(0);
    judge(&["c10: response.p99.5 < 100ms"]).exits(1);
    let unclear = judge(&["response.p99 < 100ms"]).exits(3);
    let run: Value = serde_json::from_str(&unclear.stdout).unwrap();
    let gates = run["gates"].as_array().unwrap();
    assert_eq!(gates.len(), 2);
    assert_eq!(
        (&gates[0]["scope"], &gates[0]["verdict"]),
        (&"c10".into(), &"PASS".into())
    );
    assert_eq!(
        (&gates[1]["scope"], &gates[1]["verdict"]),
        (&"run".into(), &"INCONCLUSIVE".into())
    );
    let wrong = judge(&["respons.p99 < 100ms"]).exits(2);
    assert!(
        wrong.stderr.contains("did you mean `response.p99`?"),
        "{}",
        wrong.stderr
    );
    let args = ["judge", "one", "--only", "--gate", "throughput > 1000/s"];
    bench.run(&args).exits(1);
    bench.run(&["judge", "two"]).exits(2);
}

/// A minute of answers of one latency, on disk.
fn run_of(bench: &Bench, id: &str, ms: f64) {
    Story::new()
        .phase("c10", &[], &vec![answers(100, ms); 60])
        .called(id, "2026-11-23T07:36:12Z")
        .store(&bench.path().join("results"));
}

#[test]
fn repeated_runs_are_compared_and_single_ones_are_not_judged() {
    let bench = Bench::new();
    for (id, ms) in [
        ("a1", 20.0),
        ("a2", 20.3),
        ("a3", 20.1),
        ("a4", 19.8),
        ("a5", 20.2),
    ] {
        run_of(&bench, id, ms);
        run_of(&bench, &id.replace('a', "b"), ms * 1.2);
        run_of(&bench, &id.replace('a', "c"), ms * 1.003);
    }
    let compare = |old: &str, new: &str| bench.run(&["compare", old, new, "--format", "json"]);
    let all = |side: &str| {
        (1..=5)
            .map(|n| format!("{side}{n}"))
            .collect::<Vec<_>>()
            .join(",")
    };
    let slower = compare(&all("a"), &all("b")).exits(1);
    let json: Value = serde_json::from_str(&slower.stdout).unwrap();
    let p99 = &json["metrics"][2];
    assert_eq!(
        (&p99["metric"], &p99["change"]),
        (&"response.p99".into(), &"worse".into())
    );
    assert!((p99["ratio"].as_f64().unwrap() - 1.2).abs() < 0.01, "{p99}");
    compare(&all("a"), &all("c")).exits(0);
    compare(&all("a"), &all("a")).exits(0);
    compare("a1", "a1").exits(0);
    // One new run is held against what five old ones predict; one against one says nothing.
    compare(&all("a"), "b1").exits(1);
    let single = compare("a1", "b1").exits(3);
    assert!(
        single
            .stdout
            .contains("how runs vary of themselves is not known")
    );
    bench
        .run(&["compare", "a1,a2,a3", "b1,b2", "--paired"])
        .exits(2);
    let text = bench
        .run(&["compare", &all("a"), &all("b"), "--paired"])
        .exits(1);
    assert!(
        text.stdout.contains("WHY") && text.last_line().starts_with("FAIL"),
        "{}",
        text.stdout
    );
}
