//! How long finished runs take: reports of a minute to eight hours, and the history of a team: a push of
//! an hour, questions to 10 000 runs, 2 000 folders.
//!
//! `cargo bench --bench history` prints tables and one line of JSON. Every time is that of a whole
//! command, from its start to its end.
#![expect(clippy::print_stdout, reason = "the table is the result")]
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "this measures time on files and servers of its own; whoever runs it reads why it stops"
)]

#[path = "../../tests/it/support/authority.rs"]
#[expect(dead_code, reason = "only the server's type needs it")]
mod authority;
#[path = "../../tests/it/support/postgres.rs"]
#[expect(dead_code, reason = "tests use the rest")]
mod postgres;
#[path = "../../tests/it/support/records.rs"]
#[expect(dead_code, reason = "tests use the rest")]
mod records;

use records::{Second, Story, answers};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};

/// How often each command runs, after one that fills the caches.
const REPETITIONS: usize = 7;
const HOUR: usize = 3600;
const FOLDERS: usize = 2000;

fn main() {
    // `cargo test` builds and runs benches too; it wants to know that they work, not how well.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let mut rows = Vec::new();
    let folder = tempfile::tempdir().unwrap();
    let sizes = reports(folder.path(), &mut rows);
    folders(folder.path(), &mut rows);
    if let Some(server) = postgres::Postgres::start() {
        push(&server, &mut rows);
        questions(&server, &mut rows);
    }
    println!("{:55} {:>8} {:>8}", "seconds", "best", "median");
    for row in &rows {
        println!("{:55} {:>8.3} {:>8.3}", row.what, row.best, row.median);
    }
    println!("\n{:55} {:>8} {:>8}", "MiB", "HTML", "all");
    for size in &sizes {
        println!(
            "{:55} {:>8.2} {:>8.2}",
            size.what, size.html_mib, size.all_mib
        );
    }
    let mut result: Vec<Value> = rows
        .iter()
        .map(|row| json!({ "what": row.what, "best_s": row.best, "median_s": row.median }))
        .collect();
    result.extend(sizes.iter().map(
        |size| json!({ "what": size.what, "html_mib": size.html_mib, "all_mib": size.all_mib }),
    ));
    println!("\n{}", json!(result));
}

/// What a run's folder takes on disk.
struct FolderSize {
    what: &'static str,
    html_mib: f64,
    /// Everything but the journal.
    all_mib: f64,
}

/// Runs of three lengths: a thousand requests in each second, ten series at ten samples a second.
fn reports(at: &Path, rows: &mut Vec<Row>) -> Vec<FolderSize> {
    const MIB: f64 = 1024.0 * 1024.0;
    let lengths = [
        ("bench report, a run of 1 min", "minute", 60),
        ("bench report, a run of 1 h", "hour", HOUR),
        ("bench report, a run of 8 h", "night", 8 * HOUR),
    ];
    let results = at.join("reports");
    let mut sizes = Vec::new();
    for (what, id, length) in lengths {
        let folder = mixed(length)
            .called(id, "2026-11-23T07:36:12Z")
            .store(&results);
        let args = ["report", id, "--results", "reports"];
        rows.push(Row::of(what, || {}, &args, at));
        let bytes = |path: &Path| path.metadata().unwrap().len() as f64 / MIB;
        let files = ["", "charts"].into_iter().flat_map(|part| {
            let entries = folder.path().join(part).read_dir().unwrap();
            entries.map(|entry| entry.unwrap().path())
        });
        sizes.push(FolderSize {
            what,
            html_mib: bytes(&folder.path().join("report.html")),
            all_mib: files
                .filter(|path| path.is_file() && !path.ends_with("journal.jsonl"))
                .map(|path| bytes(&path))
                .sum(),
        });
    }
    sizes
}

/// Latencies from 5 ms to 200 ms that come and go, and what is sampled beside them.
fn mixed(length: usize) -> Story {
    let latency = |second: usize, request: usize| {
        let share = ((request * 7919 + second * 104_729) % 1000) as f64 / 1000.0;
        5.0 * 40_f64.powf(share * share) * (1.0 + 0.2 * (second as f64 / 600.0).sin())
    };
    let seconds: Vec<Second> = (0..length)
        .map(|second| Second {
            ok_ms: (0..1000).map(|request| latency(second, request)).collect(),
            ..Second::default()
        })
        .collect();
    let mut story = Story::new().phase(
        "soak",
        &["response.p99 < 300ms", "error_rate < 1%"],
        &seconds,
    );
    let value = |sample: u64| Some((sample * 7919 % 1000) as f64 / 1000.0);
    for metric in ["utilization", "memory", "power", "temperature"] {
        story = story.series(&format!("gpu.{metric}"), &[&value, &value]);
    }
    for metric in ["target.memory", "host.cpu"] {
        story = story.series(metric, &[&value]);
    }
    story
}

/// A command and how long it took, in seconds.
struct Row {
    what: &'static str,
    best: f64,
    median: f64,
}

impl Row {
    /// Times what is prepared anew before each repetition.
    fn of(what: &'static str, mut prepare: impl FnMut(), args: &[&str], at: &Path) -> Self {
        let mut times = Vec::with_capacity(REPETITIONS);
        for repetition in 0..=REPETITIONS {
            prepare();
            let took = seconds(args, at);
            if repetition > 0 {
                times.push(took);
            }
        }
        times.sort_by(f64::total_cmp);
        Self {
            what,
            best: times[0],
            median: times[REPETITIONS / 2],
        }
    }
}

/// Seconds from the start of `bench` to its end.
fn seconds(args: &[&str], at: &Path) -> f64 {
    let begin = std::time::Instant::now();
    let status = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(args)
        .current_dir(at)
        .env_remove("BENCH_DATABASE_URL")
        .stdout(Stdio::null())
        .status()
        .unwrap();
    let took = begin.elapsed().as_secs_f64();
    // A report says what the run was worth with its code; 2 is that there is none.
    assert!(status.code().is_some_and(|code| code != 2), "{args:?}");
    took
}

fn folders(at: &Path, rows: &mut Vec<Row>) {
    let results = at.join("results");
    for run in 0..FOLDERS {
        let (day, hour) = (run / 24, run % 24);
        let began = format!(
            "2026-{:02}-{:02}T{hour:02}:00:00Z",
            day / 28 + 1,
            day % 28 + 1
        );
        Story::new()
            .phase(
                "c10",
                &["response.p99 < 100ms"],
                &vec![answers(200, 50.0 + (run % 7) as f64); 10],
            )
            .called(&format!("r{run:05}"), &began)
            .store(&results);
    }
    let nothing = || {};
    rows.push(Row::of(
        "bench history, 2 000 folders",
        nothing,
        &["history"],
        at,
    ));
    rows.push(Row::of(
        "bench history --metric response.p99, 2 000 folders",
        nothing,
        &["history", "--metric", "response.p99"],
        at,
    ));
}

/// A run of one hour: a thousand requests in each second, 160 series of GPUs and two of the target.
fn hour() -> Story {
    let seconds: Vec<Second> = (0..HOUR)
        .map(|second| answers(900, 20.0 + (second % 60) as f64).and(100, 80.0))
        .collect();
    let mut story = Story::new()
        .phase(
            "hour",
            &["response.p99 < 100ms", "error_rate < 1%"],
            &seconds,
        )
        .called("hour", "2026-11-23T07:36:12Z");
    let value = |sample: u64| Some((sample * 7919 % 1000) as f64 / 1000.0);
    let every_second =
        move |sample: u64| sample.is_multiple_of(10).then(|| value(sample)).flatten();
    let gpus: [&dyn Fn(u64) -> Option<f64>; 8] = [&every_second; 8];
    for metric in 0..20 {
        story = story.series(&format!("gpu.metric{metric}"), &gpus);
    }
    story.series("target.memory", &[&every_second, &every_second])
}

fn push(server: &postgres::Postgres, rows: &mut Vec<Row>) {
    let folder = tempfile::tempdir().unwrap();
    let run = hour().store(&folder.path().join("results"));
    let database = server.database();
    let url = database.url();
    seconds(&["db", "migrate", "--database-url", &url], folder.path());
    // A run that is there already is not sent again.
    let forget = || {
        database.run(
            "set session_replication_role = replica; \
             delete from bench.gate; delete from bench.series_block; delete from bench.histogram; \
             delete from bench.metric; delete from bench.phase; delete from bench.run",
        );
        let _ = std::fs::remove_file(run.path().join("pushed.json"));
    };
    rows.push(Row::of(
        "bench push, a run of 1 h, 162 series",
        forget,
        &["push", "hour", "--database-url", &url],
        folder.path(),
    ));
    let blocks = database.number("select count(*) from bench.series_block");
    assert!(blocks >= 162 * 6, "the series are there: {blocks}");
}

fn questions(server: &postgres::Postgres, rows: &mut Vec<Row>) {
    let folder = tempfile::tempdir().unwrap();
    let database = server.database();
    let url = database.url();
    seconds(&["db", "migrate", "--database-url", &url], folder.path());
    database.run(
        "insert into bench.run select 'r' || to_char(n, 'FM00000'), decode(repeat('00', 32), 'hex'), \
         'prod', timestamptz '2026-01-01 00:00Z' + n * interval '10 minutes', 30, \
         case when n % 10 = 0 then 'FAIL' else 'PASS' end, '', false, false, 'http://t', 'main', null, \
         '0.1.0', 'ci', 'k' || n % 4, '[]', '{}', '[]' from generate_series(1, 10000) n; \
         insert into bench.metric select 'r' || to_char(n, 'FM00000'), p, m, n % 7 + 1, 1, 9, 100 \
         from generate_series(1, 10000) n, unnest(array['c100', 'c1000']) p, \
         unnest(array['response.p50', 'response.p90', 'response.p95', 'response.p99', 'response.p999', \
         'throughput', 'error_rate', 'gpu.utilization', 'service.p50', 'service.p99']) m; \
         update bench.run set sealed = true; analyze bench.run; analyze bench.metric",
    );
    let nothing = || {};
    for (what, metric) in [
        ("bench history --metric, 10 000 runs in a database", true),
        ("bench history, 10 000 runs in a database", false),
    ] {
        let mut args = vec!["history", "--database-url", &url];
        if metric {
            args.extend(["--metric", "response.p99", "--phase", "c100"]);
        }
        rows.push(Row::of(what, nothing, &args, folder.path()));
    }
}
