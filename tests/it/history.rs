//! Run history from folders alone, through the real binary.

use crate::support::program::Bench;
use crate::support::records::{Story, answers};
use bench::record::{Gpu, Header};
use serde_json::Value;

const GATE: &str = "response.p99 < 100ms";

/// A run of ten seconds whose answers all take so long.
pub(crate) fn run(id: &str, started_at: &str, ms: f64) -> Story {
    let seconds = vec![answers(200, ms); 10];
    Story::new()
        .phase("c10", &[GATE, "error_rate < 50%"], &seconds)
        .called(id, started_at)
        .with_header(|header| header.environment.git_branch = Some("main".to_owned()))
}

fn on_gpus(header: &mut Header) {
    header.environment.gpus = vec![Gpu {
        index: 0,
        uuid: "GPU-1".to_owned(),
        name: "H100".to_owned(),
        memory_bytes: 1,
        pci_bus_id: String::new(),
    }];
}

/// Four runs that pass or fail, one of them on other hardware and one cut off.
fn some_runs() -> Bench {
    let bench = Bench::new();
    let results = bench.path().join("results");
    run("20261101-a", "2026-11-01T08:00:00Z", 50.0).store(&results);
    run("20261102-b", "2026-11-02T08:00:00Z", 52.0).store(&results);
    run("20261103-c", "2026-11-03T08:00:00Z", 200.0)
        .with_header(|header| header.environment.git_branch = Some("slow".to_owned()))
        .store(&results);
    run("20261104-d", "2026-11-04T08:00:00Z", 40.0)
        .with_header(on_gpus)
        .store(&results);
    run("20261105-e", "2026-11-05T08:00:00Z", 50.0)
        .cut_off()
        .store(&results);
    bench
}

fn ids(bench: &Bench, args: &[&str]) -> Vec<String> {
    let mut all = vec!["history", "--format", "json"];
    all.extend(args);
    let said = bench.run(&all).exits(0);
    let history: Value = serde_json::from_str(&said.stdout).unwrap();
    let runs = history["runs"].as_array().unwrap();
    let id = |run: &Value| run["id"].as_str().unwrap()[9..].to_owned();
    runs.iter().map(id).collect()
}

#[test]
fn runs_are_listed_with_what_may_not_be_overlooked() {
    let bench = some_runs();
    let said = bench.run(&["history"]).exits(0);
    insta::assert_snapshot!(said.stdout, @"
    Began (UTC)       Verdict               Scenario  Revision  Environment       Run
    2026-11-05 08:00  INCONCLUSIVE partial  story     main      ff7451a18ea2d131  20261105-e
    2026-11-04 08:00  PASS                  story     main      83fbf527ae112d5e  20261104-d
    2026-11-03 08:00  FAIL                  story     slow      ff7451a18ea2d131  20261103-c
    2026-11-02 08:00  PASS                  story     main      ff7451a18ea2d131  20261102-b
    2026-11-01 08:00  PASS                  story     main      ff7451a18ea2d131  20261101-a
    ");
    // What was made from the journal once is kept.
    for run in bench.runs() {
        assert!(run.join("summary.json").is_file(), "{}", run.display());
    }
    assert_eq!(bench.run(&["history"]).stdout, said.stdout);
}

#[test]
fn every_filter_does_its_work() {
    let bench = some_runs();
    assert_eq!(ids(&bench, &[]), ["e", "d", "c", "b", "a"]);
    assert_eq!(ids(&bench, &["--verdict", "fail"]), ["c"]);
    assert_eq!(ids(&bench, &["--branch", "slow"]), ["c"]);
    assert_eq!(ids(&bench, &["--since", "2026-11-03"]), ["e", "d", "c"]);
    assert_eq!(ids(&bench, &["--last", "2"]), ["e", "d"]);
    assert_eq!(ids(&bench, &["--scenario", "other"]), Vec::<String>::new());
    assert_eq!(ids(&bench, &["--target", "nowhere"]), Vec::<String>::new());
    let said = bench.run(&["history", "--format", "json", "--last", "2"]);
    let history: Value = serde_json::from_str(&said.stdout).unwrap();
    let key = history["runs"][1]["environment_key"].as_str().unwrap();
    assert_eq!(ids(&bench, &["--environment", key]), ["d"]);
    let said = bench.run(&["history", "--since", "soon"]).exits(2);
    assert!(
        said.stderr.contains("`soon` is not a date"),
        "{}",
        said.stderr
    );
}

#[test]
fn no_runs_is_an_answer() {
    let bench = Bench::new();
    let said = bench.run(&["history"]).exits(0);
    assert_eq!(said.stdout, "no runs below `results`\n");
}

#[test]
fn a_trend_holds_only_what_may_be_compared() {
    let bench = some_runs();
    let said = bench.run(&["history", "--metric", "response.p99"]).exits(0);
    insta::assert_snapshot!(said.stdout, @"
    response.p99 of story · c10 · environment 83fbf527ae112d5e
    ▅  40.0 ms to 40.0 ms, median 40.0 ms, 1 run
    Began (UTC)       Verdict  Value    95 % each side      Revision  Run
    2026-11-04 08:00  PASS     40.0 ms  40.0 ms to 40.0 ms  main      20261104-d

    response.p99 of story · c10 · environment ff7451a18ea2d131
    ▁▁█  50.0 ms to 200 ms, median 52.0 ms, 3 runs
    Began (UTC)       Verdict  Value    95 % each side      Revision  Run
    2026-11-03 08:00  FAIL     200 ms   200 ms to 200 ms    slow      20261103-c
    2026-11-02 08:00  PASS     52.0 ms  52.0 ms to 52.0 ms  main      20261102-b
    2026-11-01 08:00  PASS     50.0 ms  50.0 ms to 50.0 ms  main      20261101-a
    ");
    let said = bench
        .run(&["history", "--metric", "throughput", "--format", "csv"])
        .exits(0);
    insta::assert_snapshot!(said.stdout, @"
    began,scenario,phase,environment,run,branch,commit,verdict,metric,value,lower,upper,samples
    2026-11-04T08:00:00Z,story,c10,83fbf527ae112d5e,20261104-d,main,,PASS,throughput,200,200,200,2000
    2026-11-01T08:00:00Z,story,c10,ff7451a18ea2d131,20261101-a,main,,PASS,throughput,200,200,200,2000
    2026-11-02T08:00:00Z,story,c10,ff7451a18ea2d131,20261102-b,main,,PASS,throughput,200,200,200,2000
    2026-11-03T08:00:00Z,story,c10,ff7451a18ea2d131,20261103-c,slow,,FAIL,throughput,200,200,200,2000
    ");
    let said = bench.run(&["history", "--metric", "speed"]).exits(2);
    assert!(
        said.stderr.contains("unknown metric `speed`"),
        "{}",
        said.stderr
    );
}

#[test]
fn a_trend_becomes_a_page_and_a_picture() {
    let bench = some_runs();
    let args = [
        "history",
        "--metric",
        "response.p99",
        "--html",
        "out/trend.html",
        "--png",
        "out/trend.png",
    ];
    bench.run(&args).exits(0);
    let page = std::fs::read_to_string(bench.path().join("out/trend.html")).unwrap();
    assert_eq!(page.matches("<figure").count(), 2);
    assert!(page.contains("2026-11-03"), "{page}");
    assert!(!page.contains("NaN"), "{page}");
    let picture = std::fs::read(bench.path().join("out/trend.png")).unwrap();
    assert!(picture.starts_with(b"\x89PNG"));
}

#[test]
fn otava_gets_only_runs_of_one_kind() {
    let bench = some_runs();
    let said = bench.run(&["history", "--export", "otava"]).exits(2);
    assert!(
        said.stderr.contains("may not be compared with each other"),
        "{}",
        said.stderr
    );
    let said = bench
        .run(&["history", "--export", "otava", "--since", "2026-11-04"])
        .exits(0);
    let mut lines = said.stdout.lines();
    let head = lines.next().unwrap();
    assert!(
        head.starts_with("time,run,commit,branch,verdict,"),
        "{head}"
    );
    assert!(head.contains(",c10.response.p99,"), "{head}");
    let row = lines.next().unwrap();
    assert!(row.starts_with("2026-11-04T08:00:00Z,20261104-d,"), "{row}");
    assert_eq!(row.split(',').count(), head.split(',').count());
    assert_eq!(lines.next(), None);
}

#[test]
fn one_run_is_shown_by_any_of_its_names() {
    let bench = some_runs();
    let said = bench.run(&["show", "20261102"]).exits(0);
    insta::assert_snapshot!(said.stdout, @"
    run          20261102-b
    scenario     story
    target       http://story
    began        2026-11-02 08:00 UTC, 10.0 s
    revision     main
    environment  ff7451a18ea2d131
    made by      bench  on 

    Phase  Metric            Value      95 % each side  Samples
    c10    response.p50    52.0 ms  52.0 ms to 52.0 ms     2000
    c10    response.p90    52.0 ms  52.0 ms to 52.0 ms     2000
    c10    response.p95    52.0 ms  52.0 ms to 52.0 ms     2000
    c10    response.p99    52.0 ms  52.0 ms to 52.0 ms     2000
    c10    response.p99.9  52.0 ms    at least 52.0 ms     2000
    c10    service.p50     52.0 ms  52.0 ms to 52.0 ms     2000
    c10    service.p90     52.0 ms  52.0 ms to 52.0 ms     2000
    c10    service.p95     52.0 ms  52.0 ms to 52.0 ms     2000
    c10    service.p99     52.0 ms  52.0 ms to 52.0 ms     2000
    c10    service.p99.9   52.0 ms    at least 52.0 ms     2000
    c10    ttfb.p50        1.00 µs  1.00 µs to 1.00 µs     2000
    c10    ttfb.p90        1.00 µs  1.00 µs to 1.00 µs     2000
    c10    ttfb.p95        1.00 µs  1.00 µs to 1.00 µs     2000
    c10    ttfb.p99        1.00 µs  1.00 µs to 1.00 µs     2000
    c10    ttfb.p99.9      1.00 µs    at least 1.00 µs     2000
    c10    error_rate          0 %      0 % to 0.186 %     2000
    c10    throughput        200/s      200/s to 200/s     2000

    PASS: 2 of 2 gates pass
    ");
    let id = |name: &str| {
        let said = bench.run(&["show", name]).exits(0);
        said.stdout.lines().next().unwrap().to_owned()
    };
    assert_eq!(id("last"), "run          20261105-e");
    assert_eq!(id("last-pass"), "run          20261104-d");
    assert_eq!(id("results/20261101-a"), "run          20261101-a");
    let said = bench.run(&["show", "202611"]).exits(2);
    assert!(
        said.stderr.contains("the beginning of 5 runs"),
        "{}",
        said.stderr
    );
}

#[test]
fn what_cannot_be_read_is_told_and_left_out() {
    let bench = some_runs();
    bench.write(
        "results/20261101-a/journal.jsonl",
        "{\"entry\":\"colour\"}\n",
    );
    let said = bench.run(&["history", "--format", "json"]).exits(0);
    assert!(
        said.stderr.contains("20261101-a/journal.jsonl:1"),
        "{}",
        said.stderr
    );
    assert!(!said.stdout.contains("20261101-a"));
}

#[test]
fn a_run_that_goes_on_is_listed_without_a_verdict_and_never_pruned() {
    let bench = Bench::new();
    let results = bench.path().join("results");
    let (folder, journal) = run("20261101-a", "2026-11-01T08:00:00Z", 50.0)
        .cut_off()
        .begin(&results);
    let said = bench.run(&["history"]).exits(0);
    assert!(said.stdout.contains("running"), "{}", said.stdout);
    let prune = ["prune", "--older-than", "1s", "--yes"];
    assert_eq!(bench.run(&prune).exits(0).stdout, "");
    assert!(folder.path().is_dir());
    drop(journal);
    assert_eq!(bench.run(&prune).exits(0).stdout, "removed 20261101-a\n");
    assert!(!folder.path().exists());
}

#[test]
fn pruning_keeps_what_a_rule_names_and_every_baseline() {
    let bench = some_runs();
    let said = bench.run(&["prune"]).exits(2);
    assert!(
        said.stderr.contains("no rule says what to keep"),
        "{}",
        said.stderr
    );
    bench
        .run(&["baseline", "20261101", "--reason", "release 2.4"])
        .exits(0);
    let said = bench
        .run(&["baseline", "20261103", "--reason", "no"])
        .exits(2);
    assert!(
        said.stderr.contains("cannot be a baseline"),
        "{}",
        said.stderr
    );
    // Without --yes nothing goes.
    let said = bench.run(&["prune", "--keep-last", "1"]).exits(0);
    let would = "would remove 20261103-c\nwould remove 20261102-b\n";
    assert_eq!(said.stdout, would);
    assert_eq!(
        said.stdout,
        bench.run(&["prune", "--keep-last", "1"]).stdout
    );
    let said = bench
        .run(&["prune", "--keep-last", "1", "--keep-passes", "--yes"])
        .exits(0);
    assert_eq!(said.stdout, "removed 20261103-c\n");
    assert_eq!(ids(&bench, &[]), ["e", "d", "b", "a"]);
    // Baselines that cannot be read stop everything.
    bench.write("results/baselines.json", "{");
    let said = bench.run(&["prune", "--keep-last", "1", "--yes"]).exits(2);
    assert!(said.stderr.contains("makes no sense"), "{}", said.stderr);
    assert_eq!(ids(&bench, &[]).len(), 4);
}

#[test]
fn a_worse_run_fails_once_a_second_one_confirms_it() {
    let bench = Bench::new();
    let results = bench.path().join("results");
    for day in 1..=6u32 {
        let began = format!("2026-11-{day:02}T08:00:00Z");
        let ms = 50.0 + f64::from(day % 3) / 2.0;
        run(&format!("2026110{day}-r"), &began, ms).store(&results);
    }
    run("20261107-good", "2026-11-07T08:00:00Z", 50.5).store(&results);
    run("20261108-slow", "2026-11-08T08:00:00Z", 80.0).store(&results);
    run("20261109-slow", "2026-11-09T08:00:00Z", 81.0).store(&results);
    let judge = |args: &[&str]| {
        let mut all = vec!["regression", "--metric", "response.p99"];
        all.extend(args);
        bench.run(&all)
    };
    assert!(
        judge(&["20261107"])
            .exits(0)
            .last_line()
            .starts_with("PASS: ")
    );
    let said = judge(&["20261108"]).exits(3);
    assert!(
        said.stdout.contains("a second run must confirm it"),
        "{}",
        said.stdout
    );
    let said = judge(&["20261108", "--confirm", "20261109"]).exits(1);
    insta::assert_snapshot!(said.stdout, @"
    Verdict  Phase  Metric          Value  Typical  Worse from
    FAIL     c10    response.p99  80.1 ms  50.5 ms     53.0 ms

    response.p99 of c10: +58.5 % against 7 runs, beyond +5.0 %, and +60.4 % in the second run

    FAIL: 1 worse, 0 undecided, 0 of 1 not worse than earlier runs
    ");
    judge(&["20261108", "--confirm", "20261107"]).exits(0);
    let said = judge(&["20261108", "--confirm", "20261108"]).exits(2);
    assert!(said.stderr.contains("cannot confirm"), "{}", said.stderr);
    // Too short a history is never a pass.
    let said = judge(&["20261104"]).exits(3);
    assert!(
        said.stdout.contains("no baseline: 3 comparable runs"),
        "{}",
        said.stdout
    );
    // An accepted level begins the history anew.
    bench
        .run(&["baseline", "20261105", "--reason", "new model"])
        .exits(0);
    let said = judge(&["20261107"]).exits(3);
    assert!(
        said.stdout.contains("no baseline: 2 comparable runs"),
        "{}",
        said.stdout
    );
}
