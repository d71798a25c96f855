//! Runs of the GPU suite in the history: folders and a database say the same of them.

use crate::support::postgres;
use crate::support::program::Bench;
use bench::record::{Measured, Peak, SuiteGpu, SuiteRecord, TestOutcome, TestResult};
use std::path::Path;

/// A run of the suite on two made-up GPUs, of which the second copies at so many GB/s.
fn suite(id: &str, began: &str, slower: f64) -> SuiteRecord {
    let test = |name: &str, unit: &str, median: f64| TestResult {
        test: name.to_owned(),
        outcome: TestOutcome::Measured(Measured {
            unit: unit.to_owned(),
            less_is_better: unit == "µs",
            median,
            q1: median * 0.99,
            q3: median * 1.01,
            min: median * 0.98,
            max: median * 1.02,
            samples: 30,
            peaks: vec![Peak {
                name: "datasheet".to_owned(),
                value: 3350.0,
                source: "made up".to_owned(),
            }],
            ..Measured::default()
        }),
    };
    let gpu = |ordinal: u32, copy: f64| SuiteGpu {
        ordinal,
        name: "NVIDIA H100".to_owned(),
        uuid: format!("GPU-{ordinal}"),
        results: vec![
            test("memory.copy", "GB/s", copy),
            test("launch.enqueue", "µs", 3.0),
            TestResult {
                test: "memory.chase".to_owned(),
                outcome: if copy < 2000.0 {
                    TestOutcome::Wrong("a bit flipped".to_owned())
                } else {
                    TestOutcome::Skipped("not here".to_owned())
                },
            },
        ],
        ..SuiteGpu::default()
    };
    SuiteRecord {
        schema: 1,
        id: id.to_owned(),
        started_at: began.to_owned(),
        took_s: 90.0,
        host: "node-1".to_owned(),
        bench_version: "0.1.0".to_owned(),
        driver: Some("580.95.05".to_owned()),
        gpus: vec![gpu(0, 2900.0), gpu(1, slower)],
        together: vec![gpu(0, 2880.0), gpu(1, slower)],
        ..SuiteRecord::default()
    }
}

fn store(results: &Path, record: &SuiteRecord) {
    let folder = results.join(&record.id);
    std::fs::create_dir_all(&folder).unwrap();
    let text = serde_json::to_string(record).unwrap();
    std::fs::write(folder.join("gpu.json"), text).unwrap();
}

fn two_runs() -> Bench {
    let bench = Bench::new();
    let results = bench.path().join("results");
    store(
        &results,
        &suite("20261101-gpu", "2026-11-01T08:00:00Z", 2890.0),
    );
    store(
        &results,
        &suite("20261102-gpu", "2026-11-02T08:00:00Z", 1400.0),
    );
    bench
}

#[test]
fn folders_of_the_suite_are_listed_shown_and_drawn() {
    let bench = two_runs();
    // It has no requests to be merged, and is in nobody's way.
    bench
        .run(&["history", "--merge", "--format", "json"])
        .exits(0);
    let list = bench.run(&["history", "--scenario", "gpu"]).exits(0).stdout;
    let lines: Vec<&str> = list.lines().collect();
    assert!(
        lines[1].contains("FAIL") && lines[1].contains("20261102-gpu"),
        "{list}"
    );
    assert!(
        lines[2].contains("PASS") && lines[2].contains("20261101-gpu"),
        "{list}"
    );
    let shown = bench.run(&["show", "20261102"]).exits(0).stdout;
    assert!(shown.contains("2 x NVIDIA H100"), "{shown}");
    assert!(
        shown.lines().any(|line| line.contains("gpu1.together")
            && line.contains("memory.copy")
            && line.contains("1400")),
        "{shown}"
    );
    assert!(
        shown
            .trim_end()
            .lines()
            .last()
            .unwrap()
            .starts_with("FAIL: "),
        "{shown}"
    );
    let trend = [
        "history",
        "--metric",
        "memory.copy",
        "--phase",
        "gpu1",
        "--format",
        "csv",
    ];
    let trend = bench.run(&trend).exits(0).stdout;
    assert!(trend.contains("2890") && trend.contains("1400"), "{trend}");
    let unknown = bench.run(&["history", "--metric", "memory.cpy"]).exits(2);
    assert!(unknown.stderr.contains("memory.cpy"), "{}", unknown.stderr);
}

#[test]
fn results_of_the_suite_reach_the_database_once_and_read_the_same_from_there() {
    let Some(server) = postgres::shared() else {
        return;
    };
    let database = server.database();
    let url = database.url();
    let bench = two_runs();
    let with = |args: &[&str]| bench.run(&[args, &["--database-url", &url]].concat());
    with(&["db", "migrate"]).exits(0);
    for (again, said) in [
        (false, "2 pushed, 0 already there\n"),
        (true, "0 pushed, 2 already there\n"),
    ] {
        if again {
            // The notes only save work.
            for run in ["20261101-gpu", "20261102-gpu"] {
                std::fs::remove_file(bench.path().join("results").join(run).join("pushed.json"))
                    .unwrap();
            }
        }
        assert_eq!(with(&["push", "--all"]).exits(0).stdout, said);
        // Two tests, on two GPUs, alone and together.
        let rows = "select count(*) from bench.gpu_result where run_id = '20261102-gpu'";
        assert_eq!(database.number(rows), 8);
    }
    let slow = "select value::bigint from bench.gpu_result where gpu_uuid = 'GPU-1' and metric = 'GB/s' \
                and test = 'memory.copy' and run_id = '20261102-gpu' and peak = 3350";
    assert_eq!(database.number(slow), 1400);
    for args in [
        &["history"][..],
        &["history", "--format", "json"],
        &["history", "--metric", "memory.copy", "--format", "csv"],
        &["show", "20261102"],
    ] {
        let folders = bench.run(args).exits(0).stdout;
        let from_database = with(args).exits(0).stdout;
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&from_database), sorted(&folders), "{args:?}");
    }
    // The same id with other figures is another run.
    let results = bench.path().join("results");
    store(
        &results,
        &suite("20261102-gpu", "2026-11-02T08:00:00Z", 2895.0),
    );
    let refused = with(&["push", "20261102-gpu"]).exits(2);
    assert!(
        refused.stderr.contains("another run with the id"),
        "{}",
        refused.stderr
    );
}
