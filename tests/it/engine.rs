//! The engine and the HTTP target over in-memory streams under a paused clock: exact asserts on
//! minutes of load in milliseconds.

use crate::support::memory::{Memory, Reply, ms, ok};
use crate::support::{
    Circumstances, FakeWall, Kept, entries_of, plan_with, run, run_with, scenario_text,
};
use bench::engine::ports::{Probe, Stamped, Stop};
use bench::gate::LatencyKind;
use bench::record::{
    Cause, Distribution, Doubt, Entry, Outcome, PhaseRecord, RunRecord, SeriesInfo, SourceInfo,
    SourceState,
};
use std::time::Duration;

const CLOSED: &str = r#"
[[phase]]
name = "c10"
concurrency = 10
warmup = "1s"
duration = "10s"
"#;

fn only_phase(record: &RunRecord) -> &PhaseRecord {
    assert_eq!(record.phases.len(), 1);
    &record.phases[0]
}

/// Milliseconds of a quantile, within the histogram's three digits.
#[track_caller]
fn assert_quantile(phase: &PhaseRecord, kind: LatencyKind, quantile: f64, truth_ms: f64) {
    let value = phase.latencies(kind).quantile_ns(quantile).unwrap() as f64 / 1e6;
    assert!(
        (value / truth_ms - 1.0).abs() < 0.001,
        "{} at {quantile}: {value} ms, truth {truth_ms} ms",
        kind.as_str()
    );
}

#[track_caller]
fn assert_books_closed(record: &RunRecord) {
    for phase in &record.phases {
        assert_eq!(phase.total.planned, phase.total.outcomes.total());
        let warmup = phase.warmup.total();
        assert_eq!(warmup.planned, warmup.outcomes.total());
    }
    let broken = |doubt: &Doubt| {
        matches!(
            doubt,
            Doubt::BooksOpen { .. } | Doubt::LittleMismatch { .. }
        )
    };
    assert!(!record.doubts.iter().any(broken), "{:?}", record.doubts);
}

#[test]
fn a_closed_loop_measures_exactly_what_the_server_takes() {
    let server = Memory::new(|_| ok(ms(50)));
    let record = run(&plan_with(&scenario_text(CLOSED), 1, &[]), &server);
    let phase = only_phase(&record);
    // Ten slots at 20 requests a second each, for ten seconds; the warm-up takes 20 of each.
    assert_eq!(phase.total.outcomes.of(Outcome::Ok), 2000);
    assert_eq!(phase.warmup.total().outcomes.of(Outcome::Ok), 200);
    assert_eq!(server.requests(), 2200);
    for quantile in [0.001, 0.5, 0.99, 1.0] {
        assert_quantile(phase, LatencyKind::Response, quantile, 50.0);
        assert_quantile(phase, LatencyKind::Service, quantile, 50.0);
        assert_quantile(phase, LatencyKind::Ttfb, quantile, 50.0);
    }
    assert!((phase.throughput() - 200.0).abs() < 1e-9);
    assert!((phase.mean_in_flight() - 10.0).abs() < 1e-6);
    assert_eq!(phase.measured_ns(), 10_000_000_000);
    assert_eq!((phase.connections.opened, server.connections()), (10, 10));
    assert_books_closed(&record);
    assert!(!record.is_partial(), "{:?}", record.doubts);
}

#[test]
fn several_workers_count_as_one() {
    let one = run(
        &plan_with(&scenario_text(CLOSED), 1, &[]),
        &Memory::new(|_| ok(ms(50))),
    );
    let three = run(
        &plan_with(&scenario_text(CLOSED), 3, &[]),
        &Memory::new(|_| ok(ms(50))),
    );
    let (one, three) = (only_phase(&one), only_phase(&three));
    assert_eq!(one.total.response, three.total.response);
    assert_eq!(one.total.outcomes, three.total.outcomes);
    assert_eq!(one.intervals.len(), three.intervals.len());
    assert!((three.mean_in_flight() - 10.0).abs() < 1e-6);
}

#[test]
fn more_workers_than_slots_leave_no_one_idle_with_work() {
    let text = scenario_text(
        r#"
[[phase]]
name = "few"
concurrency = 2
count = 101
"#,
    );
    let mut plan = plan_with(&text, 2, &[]);
    plan.workers = 8;
    let server = Memory::new(|_| ok(ms(10)));
    let record = run(&plan, &server);
    assert_eq!(only_phase(&record).total.outcomes.total(), 101);
    assert_eq!(server.requests(), 101);
    assert_books_closed(&record);
}

#[test]
fn a_count_is_kept_to_the_request() {
    let text = scenario_text(
        r#"
[[phase]]
name = "count"
concurrency = 7
warmup = "500ms"
count = 1000
"#,
    );
    let server = Memory::new(|_| ok(ms(50)));
    let record = run(&plan_with(&text, 3, &[]), &server);
    let phase = only_phase(&record);
    assert_eq!(phase.total.planned, 1000);
    assert_eq!(phase.total.outcomes.of(Outcome::Ok), 1000);
    assert_eq!(phase.warmup.total().planned, 70);
    assert_books_closed(&record);
}

#[test]
fn phases_follow_each_other_with_their_own_windows() {
    let text = scenario_text(
        r#"
[[phase]]
name = "first"
concurrency = 2
duration = "3s"
[[phase]]
name = "second"
concurrency = 4
warmup = "2s"
duration = "3s"
"#,
    );
    let record = run(&plan_with(&text, 1, &[]), &Memory::new(|_| ok(ms(100))));
    let [first, second] = record.phases.as_slice() else {
        panic!("two phases, not {}", record.phases.len());
    };
    assert_eq!(first.total.outcomes.total(), 60);
    assert_eq!(second.total.outcomes.total(), 120);
    assert!(second.started_ns >= first.ended_ns.unwrap());
    assert_eq!(second.measured_from_ns - second.started_ns, 2_000_000_000);
    assert_eq!(second.warmup.total().planned, 80);
}

#[test]
fn a_freeze_shows_in_full_where_a_closed_loop_can_see_it() {
    // The server answers in 10 ms, but freezes from 5 s to 6 s: every slot has one request that takes
    // up to a second, and there is no other slow one.
    let server = Memory::new(|seen| {
        let (from, to) = (ms(5000), ms(6000));
        let done = seen.at + ms(10);
        ok(if done > from && seen.at < to {
            to.max(done).checked_sub(seen.at).unwrap()
        } else {
            ms(10)
        })
    });
    let text = scenario_text(
        r#"
[[phase]]
name = "freeze"
concurrency = 10
duration = "10s"
"#,
    );
    let record = run(&plan_with(&text, 1, &[]), &server);
    let phase = only_phase(&record);
    let slow = phase.total.response.above(500_000_000);
    assert_eq!((slow.at_least, slow.at_most), (10, 10));
    // 10 slots, 9 s of 10 ms answers each, and one long one.
    assert_eq!(phase.total.outcomes.total(), 10 * 901);
    assert_quantile(phase, LatencyKind::Response, 1.0, 1000.0);
    assert_books_closed(&record);
}

#[test]
fn what_times_out_counts_as_at_least_its_timeout() {
    let server = Memory::new(|seen| {
        if seen.number % 10 == 9 {
            Reply::Never
        } else {
            ok(ms(10))
        }
    });
    let record = run(&plan_with(&scenario_text(CLOSED), 1, &[]), &server);
    let phase = only_phase(&record);
    let outcomes = phase.total.outcomes;
    assert!(outcomes.of(Outcome::Timeout) > 20, "{outcomes:?}");
    assert_eq!(
        outcomes.total(),
        outcomes.of(Outcome::Ok) + outcomes.of(Outcome::Timeout)
    );
    assert_eq!(phase.total.censored.count(), outcomes.of(Outcome::Timeout));
    let shortest = phase.total.censored.quantile_ns(0.0).unwrap() as f64 / 1e9;
    assert!((shortest - 2.0).abs() < 0.003, "{shortest}");
    // They are over any limit below the timeout, and none of them is among the good latencies.
    let over = phase.total.over(LatencyKind::Response, 1_000_000_000);
    assert_eq!(over.at_least, outcomes.of(Outcome::Timeout));
    assert_quantile(phase, LatencyKind::Response, 1.0, 10.0);
    // Each costs its connection.
    let all_timeouts =
        outcomes.of(Outcome::Timeout) + phase.warmup.total().outcomes.of(Outcome::Timeout);
    assert!(
        server.connections() >= all_timeouts,
        "{}",
        server.connections()
    );
    let error = phase.errors.by_frequency()[0];
    assert_eq!(error.key.cause, Cause::NoAnswer);
    assert_books_closed(&record);
}

#[test]
fn what_is_in_flight_at_the_end_is_drained_or_counted() {
    let slow = |drain: &str| {
        let text = scenario_text(&format!(
            r#"
[[phase]]
name = "slow"
concurrency = 5
duration = "3s"
drain = "{drain}"
"#
        ));
        // 1.9 s each: two rounds are begun, the second ends after the window.
        run(&plan_with(&text, 2, &[]), &Memory::new(|_| ok(ms(1900))))
    };
    let drained = slow("2s");
    let phase = only_phase(&drained);
    assert_eq!(phase.total.outcomes.of(Outcome::Ok), 10);
    assert_quantile(phase, LatencyKind::Response, 1.0, 1900.0);
    assert_books_closed(&drained);

    let cut = slow("100ms");
    let phase = only_phase(&cut);
    assert_eq!(phase.total.outcomes.of(Outcome::Ok), 5);
    assert_eq!(phase.total.outcomes.of(Outcome::InFlightAtEnd), 5);
    // They had been out for 1.2 s: over a limit of 1 s for certain, over one of 2 s perhaps.
    let over = |limit_ms: u64| {
        phase
            .total
            .over(LatencyKind::Response, limit_ms * 1_000_000)
    };
    assert_eq!((over(1000).at_least, over(1000).at_most), (10, 10));
    assert_eq!((over(1950).at_least, over(1950).at_most), (0, 5));
    assert_books_closed(&cut);
}

#[test]
fn each_fault_of_the_target_has_its_own_outcome() {
    let text = scenario_text(
        r#"
[[phase]]
name = "faults"
concurrency = 1
count = 6
"#,
    );
    let server = Memory::new(|seen| match seen.number {
        0 => ok(ms(1)),
        1 => Reply::Answer {
            after: ms(1),
            status: 503,
            body: b"<h1>busy</h1>\xff".to_vec(),
        },
        2 => Reply::Cut { after: ms(1) },
        3 => Reply::Raw {
            after: ms(1),
            bytes: b"220 smtp.example.com ESMTP\r\n".to_vec(),
        },
        4 => Reply::Raw {
            after: ms(1),
            bytes: Vec::new(),
        },
        _ => Reply::Never,
    });
    let record = run(&plan_with(&text, 1, &[]), &server);
    let phase = only_phase(&record);
    for (outcome, count) in [
        (Outcome::Ok, 1),
        (Outcome::BadStatus, 1),
        (Outcome::Reset, 2),
        (Outcome::Malformed, 1),
        (Outcome::Timeout, 1),
    ] {
        assert_eq!(
            phase.total.outcomes.of(outcome),
            count,
            "{}",
            outcome.as_str()
        );
    }
    let errors = phase.errors.by_frequency();
    let of = |cause: Cause| errors.iter().find(|error| error.key.cause == cause);
    let busy = of(Cause::Status(503)).unwrap();
    assert_eq!(busy.body, "<h1>busy</h1>\\xff");
    assert_eq!(busy.detail, "expected status 2xx, got 503");
    assert_eq!(of(Cause::ClosedEarly).unwrap().count, 2);
    assert!(of(Cause::NotHttp).is_some(), "{errors:?}");
    assert_books_closed(&record);
}

#[test]
fn an_answer_that_sends_elsewhere_says_where() {
    let text = scenario_text(
        r#"
[[phase]]
name = "moved"
concurrency = 1
count = 2
"#,
    );
    let server = Memory::new(|_| Reply::Raw {
        after: ms(1),
        bytes: b"HTTP/1.1 301 Moved\r\nlocation: /new/\r\ncontent-length: 0\r\n\r\n".to_vec(),
    });
    let record = run(&plan_with(&text, 1, &[]), &server);
    let errors = only_phase(&record).errors.by_frequency();
    assert_eq!(errors[0].key.cause, Cause::Status(301));
    assert_eq!(
        errors[0].detail,
        "expected status 2xx, got 301 to `/new/`; redirects are not followed: aim the request at it"
    );
}

#[test]
fn a_refusing_target_is_not_hammered() {
    let text = scenario_text(
        r#"
[[phase]]
name = "refused"
concurrency = 4
duration = "10s"
"#,
    );
    let server = Memory::new(|_| ok(ms(1))).accepting(|_| false);
    let record = run(&plan_with(&text, 2, &[]), &server);
    let phase = only_phase(&record);
    // Every 100 ms, not as fast as the machine can: 100 or 101 attempts of each slot.
    let refused = phase.total.outcomes.of(Outcome::Connect);
    assert!((400..=404).contains(&refused), "{refused}");
    assert_eq!(phase.total.outcomes.total(), refused);
    assert_eq!(phase.total.sent, 0);
    assert_eq!(phase.connections.failed, refused);
    assert_eq!(phase.errors.by_frequency()[0].key.cause, Cause::Refused);
    assert_books_closed(&record);
}

#[test]
fn connections_are_kept_and_replaced_as_the_server_wants() {
    let text = scenario_text(
        r#"
[[phase]]
name = "connections"
concurrency = 1
count = 9
"#,
    );
    let plan = plan_with(&text, 1, &[]);
    let closing = Memory::new(|_| Reply::AnswerAndClose { after: ms(1) });
    let record = run(&plan, &closing);
    let phase = only_phase(&record);
    assert_eq!(phase.total.outcomes.of(Outcome::Ok), 9);
    assert_eq!(closing.connections(), 9);
    assert_eq!(phase.connections.reopened, 0);

    // A server that closes without a word: the next request finds out and goes out anew, and nothing
    // is sent twice.
    let vanishing = Memory::new(|_| Reply::AnswerAndVanish { after: ms(1) });
    let record = run(&plan, &vanishing);
    let phase = only_phase(&record);
    assert_eq!(phase.total.outcomes.of(Outcome::Ok), 9);
    assert_eq!((vanishing.requests(), vanishing.connections()), (9, 9));
}

#[test]
fn requests_carry_their_data_and_answers_are_checked_against_it() {
    let text = r#"
name = "data"
[target]
url = "http://memory/base"
timeout = "2s"
headers = { x-run = "r{{number}}" }
[request.infer]
path = "/v1/{{data.id}}"
json = { inputs = "{{data.inputs}}", text = "no {{data.id}}: \"{{data.word}}\"" }
data = "rows.jsonl"
expect = { status = 200, json = { "/class" = "{{data.class}}" } }
[[phase]]
name = "count"
concurrency = 1
count = 6
"#;
    let rows = "{\"id\": 1, \"inputs\": [0.5, 1], \"word\": \"a\\\"b\", \"class\": 7}\n\
                {\"id\": 2, \"inputs\": [], \"word\": \"é\", \"class\": 8}\n";
    let server = Memory::new(|seen| Reply::Answer {
        after: ms(1),
        status: 200,
        // Right for the first row, wrong for the second.
        body: format!(
            "{{\"class\": {}}}",
            if seen.body.contains("0.5") { 7 } else { 9 }
        )
        .into_bytes(),
    });
    let record = run(&plan_with(text, 1, &[("rows.jsonl", rows)]), &server);
    let seen = server.seen();
    assert!(
        seen[0].head.starts_with("POST /base/v1/1 HTTP/1.1\r\n"),
        "{}",
        seen[0].head
    );
    assert!(
        seen[0].head.contains("\r\nhost: memory\r\n"),
        "{}",
        seen[0].head
    );
    assert!(seen[0].head.contains("\r\nx-run: r0"), "{}", seen[0].head);
    assert!(seen[0].head.contains("\r\ncontent-type: application/json"));
    assert_eq!(
        seen[0].body,
        r#"{"inputs":[0.5,1],"text":"no 1: \"a\"b\""}"#.replace("a\"b", "a\\\"b")
    );
    assert_eq!(seen[1].body, r#"{"inputs":[],"text":"no 2: \"é\""}"#);
    let phase = only_phase(&record);
    assert_eq!(phase.total.outcomes.of(Outcome::Ok), 3);
    assert_eq!(phase.total.outcomes.of(Outcome::FailedCheck), 3);
    let error = phase.errors.by_frequency()[0];
    assert_eq!(error.detail, "`/class` is 9, expected 8");
}

#[test]
fn a_mix_follows_its_weights_and_the_seed() {
    let text = r#"
name = "mix"
[target]
url = "http://memory"
[request.often]
path = "/often"
weight = 9
[request.rare]
path = "/rare?x={{int:1,1000000}}"
[[phase]]
name = "mix"
concurrency = 4
count = 4000
"#;
    let paths = |seed: u64| {
        let mut plan = plan_with(text, 1, &[]);
        plan.seed = seed;
        let server = Memory::new(|_| ok(ms(1)));
        let record = run(&plan, &server);
        let phase = only_phase(&record);
        let by_request: Vec<u64> = phase
            .measured
            .requests()
            .iter()
            .map(|tally| tally.outcomes.total())
            .collect();
        assert_eq!(by_request.iter().sum::<u64>(), 4000);
        // 400 expected, standard deviation 19.
        assert!((320..=480).contains(&by_request[1]), "{by_request:?}");
        let heads: Vec<String> = server.seen().into_iter().map(|seen| seen.head).collect();
        heads
    };
    let first = paths(1);
    assert_eq!(first, paths(1));
    assert_ne!(first, paths(2));
}

#[test]
fn an_interrupt_drains_and_a_second_one_does_not() {
    let interrupted = |level: Stop| {
        run_with(
            &plan_with(&scenario_text(CLOSED), 2, &[]),
            &Memory::new(|_| ok(ms(700))),
            Circumstances {
                stop: Some((ms(5000), level)),
                ..Circumstances::default()
            },
        )
    };
    let drained = interrupted(Stop::Drain);
    let phase = only_phase(&drained);
    assert_eq!(phase.total.outcomes.of(Outcome::InFlightAtEnd), 0);
    // The window ends with the interrupt: 1 s of warm-up, 4 s of measurement.
    let measured = phase.measured_ns() as f64 / 1e9;
    assert!((3.9..4.1).contains(&measured), "{measured}");
    assert_books_closed(&drained);
    assert!(drained.is_partial());
    assert!(
        drained
            .doubts
            .iter()
            .any(|doubt| matches!(doubt, Doubt::Interrupted { .. }))
    );

    let cut = interrupted(Stop::Now);
    let phase = only_phase(&cut);
    assert_eq!(phase.total.outcomes.of(Outcome::InFlightAtEnd), 10);
    assert_books_closed(&cut);
}

#[test]
fn an_interrupt_ends_the_run_before_the_next_phase() {
    let text = scenario_text(
        r#"
[[phase]]
name = "first"
concurrency = 1
duration = "5s"
[[phase]]
name = "second"
concurrency = 1
duration = "5s"
"#,
    );
    let record = run_with(
        &plan_with(&text, 1, &[]),
        &Memory::new(|_| ok(ms(10))),
        Circumstances {
            stop: Some((ms(2000), Stop::Drain)),
            ..Circumstances::default()
        },
    );
    assert_eq!(record.phases.len(), 1);
    assert!(record.is_partial());
}

#[test]
fn a_full_disk_stops_the_load_and_loses_nothing() {
    let entries = entries_of(
        &plan_with(&scenario_text(CLOSED), 1, &[]),
        &Memory::new(|_| ok(ms(50))),
        Circumstances {
            sink: Kept {
                fails_from: Some(6),
                ..Kept::default()
            },
            ..Circumstances::default()
        },
    );
    let record = RunRecord::from_journal(entries).unwrap();
    let phase = only_phase(&record);
    assert!(
        phase.measured_ns() < 5_000_000_000,
        "{}",
        phase.measured_ns()
    );
    assert_books_closed(&record);
    let reason = record.doubts.iter().find_map(|doubt| match doubt {
        Doubt::JournalFailed { reason, .. } => Some(reason.as_str()),
        _ => None,
    });
    assert_eq!(reason, Some("no space left on device"));
    assert!(record.is_partial());
}

#[test]
fn a_set_wall_clock_is_noticed_and_changes_no_latency() {
    let record = run_with(
        &plan_with(&scenario_text(CLOSED), 1, &[]),
        &Memory::new(|_| ok(ms(50))),
        Circumstances {
            wall: FakeWall {
                steps: vec![(ms(4000), -3_600_000)],
                ..FakeWall::default()
            },
            ..Circumstances::default()
        },
    );
    let steps: Vec<i64> = record
        .doubts
        .iter()
        .filter_map(|doubt| match doubt {
            Doubt::ClockStep { by_ms, .. } => Some(*by_ms),
            _ => None,
        })
        .collect();
    assert_eq!(steps.len(), 1);
    assert!((steps[0] + 3_600_000).abs() <= 1, "{steps:?}");
    assert_quantile(only_phase(&record), LatencyKind::Response, 1.0, 50.0);
    assert!(!record.is_partial());
}

/// A probe that counts its samples, and fails for a while.
struct Counting {
    taken: u64,
    fails: std::ops::Range<u64>,
}

impl Probe for Counting {
    fn info(&self) -> SourceInfo {
        SourceInfo {
            name: "gpu".to_owned(),
            state: SourceState::Present,
            period_ns: 100_000_000,
            series: vec![
                SeriesInfo::new("gpu.utilization", "0"),
                SeriesInfo::new("gpu.power", "0"),
            ],
            simulated: true,
        }
    }

    fn sample(&mut self, values: &mut Vec<Option<f64>>) -> Result<(), String> {
        self.taken += 1;
        if self.fails.contains(&self.taken) {
            return Err("the GPU is lost".to_owned());
        }
        values.push(Some(0.5));
        values.push((!self.taken.is_multiple_of(2)).then_some(f64::NAN));
        Ok(())
    }
}

#[test]
fn telemetry_runs_beside_the_load_without_gaps() {
    let record = run_with(
        &plan_with(&scenario_text(CLOSED), 1, &[]),
        &Memory::new(|_| ok(ms(50))),
        Circumstances {
            probes: vec![Box::new(Counting {
                taken: 0,
                fails: 0..0,
            })],
            ..Circumstances::default()
        },
    );
    let phase = only_phase(&record);
    let series = record.series("gpu.utilization").next().unwrap();
    let window = series
        .window(phase.measured_from_ns, phase.measured_to_ns)
        .unwrap();
    assert!((window.coverage - 1.0).abs() < 1e-9, "{window:?}");
    assert_eq!(window.samples, 100);
    assert!((window.mean - 0.5).abs() < 1e-9);
    // What is not a number is not a value.
    assert_eq!(
        record.series("gpu.power").next().unwrap().points().count(),
        0
    );
    assert!(record.is_simulated());
}

#[test]
fn lost_telemetry_is_a_doubt_and_a_gap() {
    let record = run_with(
        &plan_with(&scenario_text(CLOSED), 1, &[]),
        &Memory::new(|_| ok(ms(50))),
        Circumstances {
            probes: vec![Box::new(Counting {
                taken: 0,
                fails: 50..80,
            })],
            ..Circumstances::default()
        },
    );
    let lost: Vec<&Doubt> = record
        .doubts
        .iter()
        .filter(|doubt| matches!(doubt, Doubt::TelemetryLost { .. }))
        .collect();
    assert_eq!(lost.len(), 1, "{lost:?}");
    let phase = only_phase(&record);
    let series = record.series("gpu.utilization").next().unwrap();
    let window = series
        .window(phase.measured_from_ns, phase.measured_to_ns)
        .unwrap();
    assert!(window.longest_gap_ns > 2_500_000_000, "{window:?}");
    assert!(window.coverage < 0.8, "{window:?}");
}

/// A source that reads by itself every 300 ms, and tells of it once a second.
struct Buffered {
    asked: u64,
}

impl Probe for Buffered {
    fn info(&self) -> SourceInfo {
        SourceInfo {
            name: "gpu.utilization".to_owned(),
            state: SourceState::Present,
            period_ns: 1_000_000_000,
            series: vec![SeriesInfo::new("gpu.utilization", "0").refreshing()],
            simulated: true,
        }
    }

    fn sample(&mut self, _: &mut Vec<Option<f64>>) -> Result<(), String> {
        panic!("it stamps its readings itself")
    }

    fn stamped(&mut self) -> Option<Result<Vec<Stamped>, String>> {
        // Asked at whole seconds: what began between one second and the next, and once before the run.
        let now_ms = self.asked * 1000;
        self.asked += 1;
        let from_ms = now_ms.saturating_sub(1000);
        let readings = (0..)
            .map(|number| number * 300)
            .skip_while(|at| *at < from_ms)
            .take_while(|at| *at < now_ms)
            .map(|at| (now_ms - at, f64::from(u8::from(at % 600 == 0))));
        let before = (self.asked == 1).then_some((5000, 0.9));
        let stamped = before
            .into_iter()
            .chain(readings)
            .map(|(age_ms, value)| Stamped {
                age: ms(age_ms),
                values: vec![Some(value)],
            });
        Some(Ok(stamped.collect()))
    }
}

#[test]
fn readings_that_a_source_has_stamped_stand_where_they_belong() {
    let record = run_with(
        &plan_with(&scenario_text(CLOSED), 1, &[]),
        &Memory::new(|_| ok(ms(50))),
        Circumstances {
            probes: vec![Box::new(Buffered { asked: 0 })],
            ..Circumstances::default()
        },
    );
    let series = record.series("gpu.utilization").next().unwrap();
    let points: Vec<(u64, f64)> = series.points().collect();
    // Every 300 ms, although it was asked once a second; nothing from before the run.
    let first: Vec<(u64, f64)> = points[..4]
        .iter()
        .map(|(at, value)| ((at + 5_000_000) / 10_000_000 * 10, *value))
        .collect();
    assert_eq!(first, [(0, 1.0), (300, 0.0), (600, 1.0), (900, 0.0)]);
    assert_eq!(series.period_ns, 1_000_000_000);
    let phase = only_phase(&record);
    let window = series
        .window(phase.measured_from_ns, phase.measured_to_ns - 2_000_000_000)
        .unwrap();
    assert!((window.coverage - 1.0).abs() < 1e-9, "{window:?}");
    assert!((window.mean - 0.5).abs() < 0.05, "{window:?}");
}

#[test]
fn a_journal_cut_off_anywhere_still_makes_a_record() {
    let text = scenario_text(
        r#"
[[phase]]
name = "first"
concurrency = 3
warmup = "1s"
duration = "3s"
[[phase]]
name = "second"
concurrency = 3
duration = "2s"
"#,
    );
    let entries: Vec<Entry> = entries_of(
        &plan_with(&text, 2, &[]),
        &Memory::new(|_| ok(ms(50))),
        Circumstances::default(),
    );
    let whole = RunRecord::from_journal(entries.clone()).unwrap();
    assert!(!whole.is_partial());
    for length in 1..entries.len() {
        let record = RunRecord::from_journal(entries[..length].to_vec()).unwrap();
        assert!(record.is_partial(), "{length} of {} entries", entries.len());
        let cut_off = record
            .doubts
            .iter()
            .any(|doubt| matches!(doubt, Doubt::CutOff { .. }));
        assert!(cut_off, "{length}");
        for phase in &record.phases {
            assert!(phase.measured_to_ns >= phase.measured_from_ns);
            assert!(
                phase.total.outcomes.total() <= whole.phases[phase.index].total.outcomes.total()
            );
        }
    }
    // The same entries make the same record, also after a round trip through JSON.
    let text: Vec<String> = entries
        .iter()
        .map(|entry| serde_json::to_string(entry).unwrap())
        .collect();
    let read: Vec<Entry> = text
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(RunRecord::from_journal(read).unwrap(), whole);
}

#[test]
fn a_soak_of_an_hour_takes_a_moment() {
    let text = scenario_text(
        r#"
[[phase]]
name = "soak"
concurrency = 2
duration = "1h"
"#,
    );
    let server = Memory::new(|seen| {
        ok(if seen.number == 777 {
            Duration::from_millis(1500)
        } else {
            ms(500)
        })
    });
    let record = run(&plan_with(&text, 1, &[]), &server);
    let phase = only_phase(&record);
    assert_eq!(phase.intervals.len(), 3600 + 1);
    assert_eq!(phase.total.response.above(1_000_000_000).at_least, 1);
    assert_quantile(phase, LatencyKind::Response, 1.0, 1500.0);
    assert_books_closed(&record);
}
