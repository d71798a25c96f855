//! The database that a team shares: a real PostgreSQL server, the real binary.

use crate::history::run;
use crate::support::authority::Authority;
use crate::support::postgres::{self, Database, Postgres, runtime};
use crate::support::program::{Bench, Said};
use crate::support::tcp::{Manner, Tcp};
use bench::store::{self, Address, Migration};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Child;
use std::time::Duration;

/// A database with the schema; without a server the test that asks for it is over.
macro_rules! database {
    () => {
        match postgres::shared() {
            Some(server) => migrated(server),
            None => return,
        }
    };
}

fn migrated(server: &Postgres) -> Database {
    let database = server.database();
    let url = database.url();
    Bench::new()
        .run(&["db", "migrate", "--database-url", &url])
        .exits(0);
    database
}

fn with_runs(count: usize) -> Bench {
    let bench = Bench::new();
    fill(&bench.path().join("results"), count);
    bench
}

fn fill(results: &Path, count: usize) {
    for day in 1..=count {
        let began = format!("2026-11-{day:02}T08:00:00Z");
        run(&format!("202611{day:02}-r"), &began, 50.0 + day as f64).store(results);
    }
}

fn push(bench: &Bench, database: &Database) -> Said {
    bench.run(&["push", "--all", "--database-url", &database.url()])
}

fn runs_in(database: &Database) -> i64 {
    database.number("select count(*) from bench.run where sealed")
}

#[test]
fn what_was_pushed_reads_the_same_as_the_folders() {
    let database = database!();
    let bench = with_runs(3);
    let said = push(&bench, &database).exits(0);
    assert_eq!(said.stdout, "3 pushed, 0 already there\n");
    // Noted in the folders: nothing is left to do.
    assert_eq!(
        push(&bench, &database).stdout,
        "0 pushed, 0 already there\n"
    );
    let url = database.url();
    for args in [
        &["history"][..],
        &["history", "--format", "json", "--last", "2"],
        &["history", "--metric", "response.p99"],
        &["history", "--metric", "throughput", "--format", "csv"],
        &["history", "--export", "otava"],
        &["show", "20261102"],
        &["show", "last-pass"],
    ] {
        let from_folders = bench.run(args).exits(0).stdout;
        let mut args = args.to_vec();
        args.extend(["--database-url", &url]);
        let from_database = bench.run(&args).exits(0).stdout;
        assert_eq!(sorted(&from_database), sorted(&from_folders), "{args:?}");
    }
    for (old, new, code) in [
        ("20261101", "20261102", 3),
        ("20261101,20261102,20261103", "20261103", 3),
        (
            "20261101,20261102,20261103",
            "20261101,20261102,20261103",
            0,
        ),
    ] {
        for format in ["text", "json"] {
            let args = ["compare", old, new, "--format", format];
            let folders = bench.run(&args).exits(code);
            let from_database = [&args[..], &["--database-url", &url]].concat();
            let database = bench.run(&from_database).exits(code);
            assert_eq!(database.stdout, folders.stdout, "{args:?}");
        }
    }
    let missing = bench.run(&["compare", "20261101", "20270101", "--database-url", &url]);
    assert!(missing.exits(2).stderr.contains("it has no run `20270101`"),);
}

/// A listing of metrics is in the order of the catalogue or of names.
fn sorted(text: &str) -> Vec<String> {
    if let Ok(mut value) = serde_json::from_str::<Value>(text) {
        for run in value["runs"].as_array_mut().unwrap() {
            let metrics = run["metrics"].as_array_mut().unwrap();
            metrics.sort_by_key(|metric| metric["metric"].to_string());
        }
        return vec![value.to_string()];
    }
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn a_second_push_changes_nothing_and_another_run_of_the_same_name_is_refused() {
    let database = database!();
    let bench = with_runs(1);
    push(&bench, &database).exits(0);
    std::fs::remove_file(bench.only_run().join("pushed.json")).unwrap();
    let said = push(&bench, &database).exits(0);
    assert_eq!(said.stdout, "0 pushed, 1 already there\n");
    let other = Bench::new();
    run("20261101-r", "2026-11-01T08:00:00Z", 99.0).store(&other.path().join("results"));
    let said = push(&other, &database).exits(2);
    assert!(
        said.stderr.contains("another run with the id `20261101-r`"),
        "{}",
        said.stderr
    );
    assert_eq!(runs_in(&database), 1);
}

#[test]
fn pushers_at_the_same_time_send_each_run_once() {
    let database = database!();
    let bench = with_runs(10);
    let url = database.url();
    let pushers: Vec<Child> = (0..6)
        .map(|_| {
            let mut command = bench.command(&["push", "--all", "--database-url", &url]);
            command.spawn().unwrap()
        })
        .collect();
    let mut sent = 0;
    for pusher in pushers {
        let said = Said::from(pusher.wait_with_output().unwrap()).exits(0);
        sent += said
            .stdout
            .split(' ')
            .next()
            .unwrap()
            .parse::<i64>()
            .unwrap();
    }
    assert_eq!(sent, 10);
    assert_eq!(runs_in(&database), 10);
    let metrics = "select count(distinct run_id) from bench.metric";
    assert_eq!(database.number(metrics), 10);
}

/// A scenario of two seconds that passes.
fn scenario(server: &Tcp) -> String {
    format!(
        "name = \"t\"\n[target]\nurl = \"{}\"\n[request.get]\npath = \"/\"\n[[phase]]\nname = \"p\"\n\
         concurrency = 2\nduration = \"3s\"\ngates = [\"error_rate < 50%\"]\n\
         [telemetry]\ngpu = \"none\"\n",
        server.url()
    )
}

fn good() -> Tcp {
    Tcp::serve(Manner::Answer(
        200,
        b"ok".to_vec(),
        Duration::from_millis(2),
    ))
}

#[test]
fn a_run_is_pushed_when_it_is_over() {
    let database = database!();
    let server = good();
    let bench = Bench::with(&scenario(&server));
    let url = database.url();
    let said = bench
        .run(&["run", "scenario.toml", "--database-url", &url])
        .gives_a_verdict();
    assert!(
        said.stderr.contains("pushed to postgresql://"),
        "{}",
        said.stderr
    );
    assert_eq!(runs_in(&database), 1);
    assert_eq!(
        push(&bench, &database).stdout,
        "0 pushed, 0 already there\n"
    );
    // Everything of it is there.
    for table in ["phase", "metric", "histogram", "series_block", "gate"] {
        let rows = database.number(&format!("select count(*) from bench.{table}"));
        assert!(rows > 0, "{table}");
    }
    let requests =
        database.number("select sum(count)::bigint from bench.histogram where kind = 'response'");
    let ok = bench.run_json()["phases"][0]["requests"]["ok"].as_i64();
    assert_eq!(Some(requests), ok);
}

#[test]
fn steps_of_flows_are_pushed_and_shown_and_count_once() {
    let database = database!();
    let server = good();
    let bench = Bench::with(&format!(
        "name = \"t\"\n[target]\nurl = \"{}\"\n[[flow]]\nname = \"job\"\n\
         [[flow.step]]\nname = \"submit\"\npath = \"/\"\n[[flow.step]]\nname = \"fetch\"\npath = \"/\"\n\
         [[phase]]\nname = \"p\"\nconcurrency = 2\nduration = \"3s\"\ngates = [\"error_rate < 50%\"]\n\
         [telemetry]\ngpu = \"none\"\n",
        server.url()
    ));
    let url = database.url();
    bench
        .run(&["run", "scenario.toml", "--database-url", &url])
        .gives_a_verdict();
    let count = |request: &str, is_step: bool| {
        database.number(&format!(
            "select sum(count)::bigint from bench.histogram \
             where kind = 'response' and request = '{request}' and is_step = {is_step}"
        ))
    };
    let flows = count("job", false);
    assert!(flows > 100, "{flows}");
    // The last flows may have been cut off between their steps.
    for step in ["job/submit", "job/fetch"] {
        let steps = count(step, true);
        assert!(
            (flows..flows + 10).contains(&steps),
            "{step}: {steps} of {flows}"
        );
    }
    let merged = |place: &[&str]| {
        let mut args = vec!["history", "--merge", "--format", "json"];
        args.extend(place);
        bench.run(&args).exits(0).stdout
    };
    let ours = merged(&["--folders"]);
    assert_eq!(merged(&["--database-url", &url]), ours);
    let document: Value = serde_json::from_str(&ours).unwrap();
    assert_eq!(document["phases"][0]["ok"], json!(flows));

    // The trend of a step is the same from both, however its name is written.
    let step = "response.p50{step=job/submit}";
    let trend = |metric: &str, place: &[&str]| {
        let mut args = vec!["history", "--metric", metric, "--format", "csv"];
        args.extend(place);
        bench.run(&args).exits(0).stdout
    };
    let ours = trend(step, &["--folders"]);
    assert_eq!(ours.lines().count(), 2, "{ours}");
    let theirs = trend(
        "response.p50 { step = job/submit }",
        &["--database-url", &url],
    );
    // A database keeps the moment to the microsecond.
    let but_moment = |csv: &str| {
        csv.lines()
            .last()?
            .split_once(',')
            .map(|(_, rest)| rest.to_owned())
    };
    assert_eq!(but_moment(&theirs), but_moment(&ours));
    let stored = format!("select count(*) from bench.metric where metric = '{step}'");
    assert_eq!(database.number(&stored), 1);
    let said = bench
        .run(&["show", "last", "--database-url", &url])
        .exits(0);
    assert!(said.stdout.contains("step=job/fetch"), "{}", said.stdout);
    let said = bench.run(&["history", "--metric", "gpu.utilization{flow=job}"]);
    assert!(
        said.exits(2)
            .stderr
            .contains("not a matter of single requests")
    );

    let file = |name: &str| bench.read(name);
    assert!(file("parts.csv").contains(",p,job/submit,"));
    assert!(file("latency.hlog").contains("\nTag=p:job/fetch,"));
    assert!(file("summary.md").contains("| p | &nbsp;&nbsp;job/submit |"));
}

#[test]
fn a_database_that_does_not_take_the_run_changes_no_verdict() {
    let Some(server) = postgres::shared() else {
        return;
    };
    let target = good();
    let readonly = migrated(server);
    readonly.run(&format!(
        "alter database {} set default_transaction_read_only = on",
        readonly.name()
    ));
    let full = migrated(server);
    full.run(
        "create function public.full() returns trigger language plpgsql as \
         $$ begin raise 'no space left on device' using errcode = 'disk_full'; end $$; \
         create trigger full_disk before insert on bench.metric \
         for each row execute function public.full()",
    );
    let slow = migrated(server);
    let down = "postgresql://ann:s3cret@127.0.0.1:1/team".to_owned();
    let bare = server.database();
    let runtime = runtime();
    // Whoever holds this lock keeps the push waiting.
    let holder = runtime.block_on(async {
        let client = slow.client("bench").await;
        client
            .batch_execute("begin; lock table bench.gate in access exclusive mode")
            .await
            .unwrap();
        client
    });
    let cases = [
        (readonly.url(), "it is read-only"),
        (full.url(), "its disk is full"),
        (slow.url(), "no answer within 2 s"),
        (down, "error connecting to server"),
        (bare.url(), "it has no tables of bench"),
    ];
    for (url, words) in &cases {
        let bench = Bench::with(&scenario(&target));
        let said = bench
            .judged_as(|| {
                let mut command = bench.command(&["run", "scenario.toml", "--push-timeout", "2s"]);
                command.env("BENCH_DATABASE_URL", url);
                command
            })
            .exits(0);
        assert!(
            said.stderr.contains("note: the run was not pushed"),
            "{}",
            said.stderr
        );
        assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
        assert!(!said.stderr.contains("s3cret"), "{}", said.stderr);
        assert!(said.last_line().starts_with("PASS: "), "{}", said.stdout);
        assert!(!bench.only_run().join("pushed.json").exists());
    }
    drop(holder);
    for database in [&readonly, &full, &slow] {
        assert_eq!(runs_in(database), 0);
    }
}

#[test]
fn a_server_that_is_killed_in_mid_push_loses_nothing() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let database = migrated(&server);
    let bench = with_runs(2);
    let runtime = runtime();
    let holder = runtime.block_on(async {
        let client = database.client("bench").await;
        client
            .batch_execute("begin; lock table bench.gate in access exclusive mode")
            .await
            .unwrap();
        client
    });
    let url = database.url();
    let mut command = bench.command(&["push", "--all", "--database-url", &url]);
    let pusher = command.spawn().unwrap();
    // The run and its metrics have been sent when the push waits for the gates.
    let waits = "select count(*) from pg_locks where not granted";
    let is_waiting = (0..600).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        database.number(waits) > 0
    });
    assert!(is_waiting);
    server.kill();
    let said = Said::from(pusher.wait_with_output().unwrap()).exits(2);
    assert!(
        said.stderr.contains("`bench push --all` sends"),
        "{}",
        said.stderr
    );
    drop(holder);
    server.run();
    assert_eq!(database.number("select count(*) from bench.run"), 0);
    assert_eq!(
        push(&bench, &database).exits(0).stdout,
        "2 pushed, 0 already there\n"
    );
    assert_eq!(runs_in(&database), 2);
}

#[test]
fn every_earlier_schema_becomes_the_newest() {
    let Some(server) = postgres::shared() else {
        return;
    };
    let newest = Migration::all().last().unwrap().version;
    let bench = with_runs(1);
    for from in 0..newest {
        let database = server.database();
        let url = database.url();
        let address = Address::parse(&url).unwrap();
        runtime().block_on(async {
            let mut open = store::Database::connect(&address).await.unwrap();
            let applied = open.migrate_to(from).await.unwrap();
            assert_eq!(applied.len(), usize::try_from(from).unwrap());
        });
        let said = bench
            .run(&["db", "status", "--database-url", &url])
            .exits(0);
        let wanted = format!("schema version {from} of {newest}");
        assert!(said.stdout.contains(&wanted), "{}", said.stdout);
        let said = bench
            .run(&["db", "migrate", "--database-url", &url])
            .exits(0);
        let steps = usize::try_from(newest - from).unwrap();
        assert_eq!(said.stdout.lines().count(), steps, "{}", said.stdout);
        let said = bench
            .run(&["db", "migrate", "--database-url", &url])
            .exits(0);
        assert_eq!(said.stdout, "nothing to apply\n");
        bench
            .run(&["push", "last", "--database-url", &url])
            .exits(0);
        assert_eq!(runs_in(&database), 1);
    }
}

#[test]
fn migrations_at_the_same_time_happen_once() {
    let Some(server) = postgres::shared() else {
        return;
    };
    let database = server.database();
    let url = database.url();
    let bench = Bench::new();
    let all: Vec<Child> = (0..5)
        .map(|_| {
            let mut command = bench.command(&["db", "migrate", "--database-url", &url]);
            command.spawn().unwrap()
        })
        .collect();
    let applied: usize = all
        .into_iter()
        .map(|one| Said::from(one.wait_with_output().unwrap()).exits(0))
        .map(|said| said.stdout.matches("applied").count())
        .sum();
    assert_eq!(applied, Migration::all().len());
}

#[test]
fn a_database_of_another_version_is_refused() {
    let database = database!();
    let url = database.url();
    let status = || Bench::new().run(&["db", "status", "--database-url", &url]);
    status().exits(0);
    database.run("insert into bench.schema_migration values (1000, 'later', '00')");
    for command in [["db", "status"], ["db", "migrate"]] {
        let mut args = command.to_vec();
        args.extend(["--database-url", &url]);
        let said = Bench::new().run(&args).exits(2);
        assert!(said.stderr.contains("use a newer bench"), "{}", said.stderr);
    }
    let said = push(&with_runs(1), &database).exits(2);
    assert!(said.stderr.contains("use a newer bench"), "{}", said.stderr);
    database.run(
        "delete from bench.schema_migration where version = 1000; \
         update bench.schema_migration set sha256 = '00' where version = 1",
    );
    let said = status().exits(2);
    assert!(
        said.stderr.contains("is not that of this bench"),
        "{}",
        said.stderr
    );
}

#[test]
fn sealed_runs_stay_as_they_are() {
    let database = database!();
    push(&with_runs(1), &database).exits(0);
    for change in [
        "update bench.run set verdict = 'FAIL'",
        "update bench.run set sealed = false",
        "delete from bench.run",
        "update bench.metric set value = 0",
        "delete from bench.gate",
        "insert into bench.metric select run_id, 'x', 'x', 1, 1, 1, 1 from bench.run",
    ] {
        // Even for the owner of the tables.
        let error = database.try_as("bench", change).unwrap_err();
        assert!(error.contains("is sealed"), "{change}: {error}");
    }
}

#[test]
fn roles_may_do_what_they_must_and_no_more() {
    let database = database!();
    // Logins belong to the whole server; other tests may have made them.
    let (writer, reader) = (
        format!("w_{}", database.name()),
        format!("r_{}", database.name()),
    );
    database.run(&format!(
        "create role {writer} login in role bench_writer; create role {reader} login in role bench_reader"
    ));
    let bench = with_runs(1);
    let as_user = |user: &str, args: &[&str]| {
        let url = database.url_for(user);
        let mut args = args.to_vec();
        args.extend(["--database-url", &url]);
        bench.run(&args)
    };
    let said = as_user(&reader, &["push", "last"]).exits(2);
    assert!(said.stderr.contains("permission denied"), "{}", said.stderr);
    as_user(&writer, &["push", "last"]).exits(0);
    let said = as_user(&reader, &["history"]).exits(0);
    assert!(said.stdout.contains("20261101-r"), "{}", said.stdout);
    for (user, change) in [
        (&writer, "update bench.run set verdict = 'FAIL'"),
        (&writer, "delete from bench.metric"),
        (&writer, "truncate bench.gate"),
        (&writer, "drop table bench.gate"),
        (
            &writer,
            "insert into bench.schema_migration values (9, 'x', 'x')",
        ),
        (
            &reader,
            "insert into bench.phase (run_id, position, name, load) values ('x', 0, 'x', '0')",
        ),
    ] {
        let error = database.try_as(user, change).unwrap_err();
        assert!(
            error.contains("permission denied") || error.contains("must be owner"),
            "{change}: {error}"
        );
    }
}

#[test]
fn ten_thousand_runs_are_asked_like_ten() {
    let database = database!();
    database.run(
        "insert into bench.run select 'r' || to_char(n, 'FM00000'), decode(repeat('00', 32), 'hex'), \
         'prod', timestamptz '2026-01-01 00:00Z' + n * interval '10 minutes', 30, \
         case when n % 10 = 0 then 'FAIL' else 'PASS' end, '', false, false, 'http://t', 'main', null, \
         '0.1.0', 'ci', 'k' || n % 4, '[]', '{}', '[]' from generate_series(1, 10000) n; \
         insert into bench.metric select 'r' || to_char(n, 'FM00000'), 'c100', m, n % 7 + 1, 1, 9, 100 \
         from generate_series(1, 10000) n, unnest(array['response.p99', 'throughput']) m; \
         update bench.run set sealed = true; analyze bench.run; analyze bench.metric",
    );
    let url = database.url();
    let ask = |args: &[&str]| {
        let mut args = args.to_vec();
        args.extend(["--database-url", &url]);
        Bench::new().run(&args).exits(0).stdout
    };
    let trend = ask(&["history", "--metric", "response.p99", "--format", "csv"]);
    assert_eq!(trend.lines().count(), 10_001);
    let failed = ask(&[
        "history",
        "--verdict",
        "fail",
        "--environment",
        "k2",
        "--format",
        "json",
    ]);
    let failed: Value = serde_json::from_str(&failed).unwrap();
    assert_eq!(failed["runs"].as_array().unwrap().len(), 500);
    assert_eq!(failed["runs"][0]["id"], "r09990");
    assert!(ask(&["show", "last-pass"]).starts_with("run          r09999\n"));
}

#[test]
fn histograms_of_several_runs_are_merged() {
    let database = database!();
    let bench = with_runs(2);
    push(&bench, &database).exits(0);
    let url = database.url();
    let merged = |format: &str, place: &[&str]| {
        let mut args = vec!["history", "--merge", "--format", format];
        args.extend(place);
        bench.run(&args).exits(0).stdout
    };
    for format in ["text", "json", "csv"] {
        let ours = merged(format, &[]);
        assert_eq!(ours, merged(format, &["--database-url", &url]), "{format}");
    }
    let document: Value = serde_json::from_str(&merged("json", &[])).unwrap();
    let phase = &document["phases"][0];
    assert_eq!(
        (&phase["phase"], &phase["ok"]),
        (&json!("c10"), &json!(4000))
    );
    assert_eq!(phase["runs"], json!(["20261101-r", "20261102-r"]));
    // All answers of one run took 51 ms, all of the other 52: no percentile of the two together lies
    // between them.
    let response = &phase["latencies"][0];
    let near = |quantile: &str, ms: f64| {
        let value = response[quantile].as_f64().unwrap() * 1e3;
        assert!((value / ms - 1.0).abs() < 0.002, "{quantile}: {value}");
    };
    near("p50", 51.0);
    near("p90", 52.0);
    let text = merged("text", &[]);
    assert!(
        text.contains("2 runs, 20261101-r to 20261102-r\n4000 ok, 0 failed"),
        "{text}"
    );
}

/// A scenario whose runs can be compared, and the server that it is run against.
fn team() -> (Tcp, Bench) {
    let server = Tcp::serve(Manner::Answer(
        200,
        b"ok".to_vec(),
        Duration::from_millis(5),
    ));
    let bench = Bench::with(&format!(
        "name = \"team\"\n[target]\nurl = \"{}\"\ntimeout = \"2s\"\n[request.r]\npath = \"/\"\n\
         [[phase]]\nname = \"p\"\nconcurrency = 2\nduration = \"2s\"\ngates = [\"response.p10 < 2s\"]\n\
         [telemetry]\ngpu = \"none\"\n",
        server.url()
    ));
    (server, bench)
}

#[test]
fn a_run_is_compared_with_passes_of_the_database() {
    let database = database!();
    let url = database.url();
    let (_server, bench) = team();
    let compared = |results: &str| {
        let args = [
            "run",
            "scenario.toml",
            "--format",
            "json",
            "--baseline",
            "last-pass",
            "--baseline-margin",
            "90%",
            "--results",
            results,
            "--database-url",
            &url,
        ];
        let said = bench.judged(&args);
        serde_json::from_str::<Value>(&said.stdout)
            .unwrap_or_else(|_| panic!("{}\n{}", said.stdout, said.stderr))
    };
    // Each in a folder of its own: only the database knows the runs before.
    for run in 0..3 {
        let json = compared(&format!("r{run}"));
        assert_eq!(json["verdict"], "PASS", "{json}");
        assert_eq!(json["gates"].as_array().unwrap().len(), 1);
    }
    let json = compared("r3");
    let gates = json["gates"].as_array().unwrap();
    assert!(gates.len() > 1, "{gates:?}");
    let against = |gate: &Value| gate["gate"].as_str().unwrap().contains("baseline");
    assert!(gates.iter().any(against), "{gates:?}");
}

#[test]
fn a_database_that_is_down_leaves_the_comparison_to_the_folders_or_refuses_before_any_load() {
    let (_server, bench) = team();
    let run = |more: &[&str]| bench.run(&[&["run", "scenario.toml"], more].concat());
    let against = [
        "--baseline",
        "last-pass",
        "--baseline-margin",
        "90%",
        // Nobody listens on this port.
        "--database-url",
        "postgresql://bench@127.0.0.1:1/bench",
    ];
    let runs = || {
        bench
            .path()
            .join("results")
            .read_dir()
            .map_or(0, Iterator::count)
    };
    let refused = run(&against).exits(2);
    assert!(
        refused.stderr.contains("127.0.0.1:1")
            && refused
                .stderr
                .contains("below `results` are 0 of the 3 comparable runs with PASS"),
        "{}",
        refused.stderr
    );
    assert_eq!(runs(), 0, "nothing has begun");
    for _ in 0..3 {
        run(&[]).exits(0);
    }
    // How even this machine is today decides whether three runs are enough to tell.
    let said = run(&against);
    assert!([0, 3].contains(&said.code), "{}", said.stderr);
    assert!(!said.stderr.contains("left out"), "{}", said.stderr);
    assert!(
        said.stderr
            .contains("compared with the runs below `results` instead"),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr.contains("`bench push --all` sends it"),
        "{}",
        said.stderr
    );
    let compared = said.stdout.contains("response.p99 < baseline + 90 %");
    assert!(compared, "{}", said.stdout);
    // A run that was not asked to be compared does not need it.
    run(&against[4..]).exits(0);
}

#[test]
fn a_server_is_trusted_by_its_certificate_and_its_name() {
    let authority = Authority::new();
    let identity = authority.sign("localhost");
    let Some(server) = Postgres::listening(Some(&identity)) else {
        return;
    };
    let database = migrated(&server);
    let bench = with_runs(1);
    let trusted = bench.path().join("ca.pem");
    std::fs::write(&trusted, &authority.pem).unwrap();
    let other = bench.path().join("other.pem");
    std::fs::write(&other, Authority::new().pem).unwrap();
    let of = |host: &str, file: &Path| {
        database.tcp_url(host, &format!("sslrootcert={}", file.display()))
    };
    let push = |url: &str| bench.run(&["push", "--all", "--database-url", url]);
    for (url, words) in [
        (
            of("localhost", &other),
            "invalid peer certificate: BadSignature",
        ),
        (of("127.0.0.1", &trusted), "not valid for name"),
    ] {
        let said = push(&url).exits(2);
        assert!(said.stderr.contains(words), "{url}: {}", said.stderr);
        assert_eq!(runs_in(&database), 0);
    }
    database.run(
        "create table public.seen (encrypted boolean); \
         create function public.look() returns trigger language plpgsql as \
         $$ begin insert into public.seen select ssl from pg_stat_ssl where pid = pg_backend_pid(); \
         return new; end $$; \
         create trigger look after insert on bench.run for each row execute function public.look()",
    );
    let said = push(&of("localhost", &trusted)).exits(0);
    assert_eq!(said.stdout, "1 pushed, 0 already there\n");
    assert_eq!(
        database.number("select count(*) from public.seen where encrypted"),
        1
    );
}

#[test]
fn a_server_without_tls_gets_nothing_where_tls_is_demanded() {
    let Some(server) = Postgres::listening(None) else {
        return;
    };
    let database = migrated(&server);
    let bench = with_runs(1);
    std::fs::write(bench.path().join("ca.pem"), Authority::new().pem).unwrap();
    let query = format!("sslrootcert={}", bench.path().join("ca.pem").display());
    let url = database.tcp_url("localhost", &query);
    let said = bench
        .run(&["push", "--all", "--database-url", &url])
        .exits(2);
    assert!(said.stderr.contains("TLS"), "{}", said.stderr);
    assert_eq!(runs_in(&database), 0);
    // On this host it may go without, if nothing else is said.
    let url = database.tcp_url("localhost", "");
    bench
        .run(&["push", "--all", "--database-url", &url])
        .exits(0);
    assert_eq!(runs_in(&database), 1);
}

#[test]
fn a_scenario_names_the_database_itself() {
    let Some(server) = postgres::shared() else {
        return;
    };
    let target = good();
    let database = migrated(server);
    let named = format!("[history]\ndatabase = \"{}\"\n", database.url());
    let bench = Bench::with(&format!("{}\n{named}", scenario(&target)));
    bench.run(&["run", "scenario.toml"]).gives_a_verdict();
    assert_eq!(runs_in(&database), 1);
}
