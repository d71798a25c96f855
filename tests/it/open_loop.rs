//! Open loops, ramps and phases side by side, over in-memory streams under a paused clock.

use crate::support::memory::{Memory, Reply, ms, ok};
use crate::support::{Circumstances, plan_with, run, run_with, scenario_text};
use bench::engine::ports::Stop;
use bench::gate::LatencyKind;
use bench::record::{Cause, Distribution, Doubt, Outcome, PhaseRecord, RunRecord};
use std::time::Duration;

fn only_phase(record: &RunRecord) -> &PhaseRecord {
    assert_eq!(record.phases.len(), 1);
    &record.phases[0]
}

fn quantile_ms(phase: &PhaseRecord, kind: LatencyKind, quantile: f64) -> f64 {
    phase.latencies(kind).quantile_ns(quantile).unwrap() as f64 / 1e6
}

#[track_caller]
fn assert_near(value: f64, truth: f64) {
    assert!(
        (value / truth - 1.0).abs() < 0.001,
        "{value}, truth {truth}"
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
fn a_rate_is_kept_whatever_the_target_takes() {
    let text = scenario_text(
        r#"
[[phase]]
name = "r500"
rate = 500
warmup = "1s"
duration = "10s"
"#,
    );
    let server = Memory::new(|_| ok(ms(299)));
    let record = run(&plan_with(&text, 1, &[]), &server);
    let phase = only_phase(&record);
    assert_eq!(phase.total.planned, 5000);
    assert_eq!(phase.total.outcomes.of(Outcome::Ok), 5000);
    assert_eq!(phase.warmup.total().outcomes.of(Outcome::Ok), 500);
    for quantile in [0.01, 0.5, 1.0] {
        assert_near(quantile_ms(phase, LatencyKind::Response, quantile), 299.0);
    }
    // Little: 500 a second times 0.299 s.
    assert_near(phase.mean_in_flight(), 149.5);
    assert_eq!(server.connections(), 150);
    for (k, seen) in server.seen().iter().enumerate() {
        assert_eq!(seen.at, ms(2 * k as u64), "request {k}");
    }
    assert_eq!(phase.lateness.count(), 5500);
    assert_eq!(phase.lateness.max_ns(), Some(1000));
    assert_books_closed(&record);
    assert!(!record.is_partial(), "{:?}", record.doubts);
}

#[test]
fn the_schedule_does_not_depend_on_the_number_of_workers() {
    let text = scenario_text(
        r#"
[[phase]]
name = "poisson"
rate = 200
arrival = "poisson"
count = 2000
"#,
    );
    let arrivals = |workers: usize| {
        let server = Memory::new(|_| ok(ms(5)));
        let record = run(&plan_with(&text, workers, &[]), &server);
        assert_eq!(only_phase(&record).total.outcomes.of(Outcome::Ok), 2000);
        assert_books_closed(&record);
        let mut at: Vec<Duration> = server.seen().iter().map(|seen| seen.at).collect();
        at.sort();
        at
    };
    let one = arrivals(1);
    assert_eq!(one, arrivals(3));
    let mean = one.last().unwrap().as_secs_f64() / 1999.0;
    assert!((mean * 200.0 - 1.0).abs() < 0.1, "{mean}");
}

#[test]
fn what_waits_keeps_its_intended_start_and_nothing_is_dropped() {
    let text = scenario_text(
        r#"
[[phase]]
name = "capped"
rate = 10
duration = "3s"
drain = "60s"
max_in_flight = 1
"#,
    );
    // 30 requests at one every 100 ms, each of which takes 190 ms and one at a time: the k-th is over
    // after 190·(k + 1) ms, which is 90·k + 190 ms after its intended start.
    let server = Memory::new(|_| ok(ms(190)));
    let record = run(&plan_with(&text, 2, &[]), &server);
    let phase = only_phase(&record);
    assert_eq!(phase.total.outcomes.of(Outcome::Ok), 30);
    assert_eq!((phase.connections.opened, server.connections()), (1, 1));
    for (rank, truth_ms) in [(1, 190), (15, 1450), (30, 2800)] {
        let value = phase.total.response.rank_ns(rank).unwrap() as f64 / 1e6;
        assert_near(value, f64::from(truth_ms));
    }
    assert_near(quantile_ms(phase, LatencyKind::Service, 1.0), 190.0);
    // At the end of the second second 10 are over and one is in flight.
    assert_eq!(phase.intervals[1].counts.waiting, 9);
    assert_books_closed(&record);
}

#[test]
fn what_still_waits_at_the_end_is_censored() {
    let text = scenario_text(
        r#"
[[phase]]
name = "capped"
rate = 10
duration = "3s"
drain = "500ms"
max_in_flight = 1
"#,
    );
    let record = run(&plan_with(&text, 1, &[]), &Memory::new(|_| ok(ms(400))));
    let phase = only_phase(&record);
    let outcomes = phase.total.outcomes;
    // Eight fit into 3.5 s, the ninth is on its way, and 21 were never sent.
    assert_eq!(outcomes.of(Outcome::Ok), 8);
    assert_eq!(outcomes.of(Outcome::InFlightAtEnd), 22);
    assert_eq!((phase.total.planned, phase.total.sent), (30, 9));
    assert_eq!(phase.total.censored.count(), 22);
    // The one that was intended last has waited 600 ms.
    assert_near(
        phase.total.censored.quantile_ns(0.0).unwrap() as f64 / 1e6,
        600.0,
    );
    assert_books_closed(&record);
}

#[test]
fn shedding_is_explicit_and_counts_as_failure() {
    let text = scenario_text(
        r#"
[[phase]]
name = "shed"
rate = 10
duration = "3s"
max_in_flight = 1
shed_after = "250ms"
"#,
    );
    let record = run(&plan_with(&text, 1, &[]), &Memory::new(|_| ok(ms(500))));
    let phase = only_phase(&record);
    let outcomes = phase.total.outcomes;
    assert_eq!(phase.total.planned, 30);
    assert_eq!(outcomes.total(), 30);
    assert_eq!(outcomes.failed(), outcomes.of(Outcome::Shed));
    // A place becomes free every 500 ms; whoever waits then has waited less than 250 ms.
    assert_eq!(outcomes.of(Outcome::Ok), 7);
    assert_eq!(outcomes.of(Outcome::Shed), 23);
    assert_near(
        phase.total.failed.quantile_ns(1.0).unwrap() as f64 / 1e6,
        250.0,
    );
    assert!(quantile_ms(phase, LatencyKind::Response, 1.0) < 751.0);
    let error = phase.errors.by_frequency()[0];
    assert_eq!((error.key.cause, error.count), (Cause::WaitedTooLong, 23));
    assert_eq!(
        phase
            .total
            .over(LatencyKind::Response, 10_000_000_000)
            .at_least,
        23
    );
    assert_books_closed(&record);
}

#[test]
fn an_interrupted_open_loop_closes_its_books() {
    let text = scenario_text(
        r#"
[[phase]]
name = "stopped"
rate = 100
duration = "60s"
max_in_flight = 5
"#,
    );
    for level in [Stop::Drain, Stop::Now] {
        let circumstances = Circumstances {
            stop: Some((Duration::from_secs(5), level)),
            ..Circumstances::default()
        };
        let server = Memory::new(|_| ok(ms(100)));
        let record = run_with(&plan_with(&text, 1, &[]), &server, circumstances);
        let phase = only_phase(&record);
        // The phase began 20 ms into the run.
        assert!(
            (497..=499).contains(&phase.total.planned),
            "{}",
            phase.total.planned
        );
        let left = phase.total.outcomes.of(Outcome::InFlightAtEnd);
        assert_eq!(left > 200, level == Stop::Now, "{left}");
        assert_books_closed(&record);
        assert!(record.is_partial());
    }
}

#[test]
fn a_refusing_target_fails_every_request_of_the_schedule() {
    let text = scenario_text("[[phase]]\nname = \"refused\"\nrate = 50\nduration = \"4s\"\n");
    let server = Memory::new(|_| ok(ms(1))).accepting(|_| false);
    let record = run(&plan_with(&text, 2, &[]), &server);
    let phase = only_phase(&record);
    assert_eq!(phase.total.outcomes.of(Outcome::Connect), 200);
    assert_eq!(phase.total.planned, 200);
    assert_books_closed(&record);
}

#[test]
fn timeouts_count_from_the_send_and_latency_from_the_intended_start() {
    let text = scenario_text(
        r#"
[[phase]]
name = "slow"
rate = 2
duration = "10s"
max_in_flight = 2
drain = "60s"
"#,
    );
    let server = Memory::new(|_| Reply::Never);
    let record = run(&plan_with(&text, 1, &[]), &server);
    let phase = only_phase(&record);
    assert_eq!(phase.total.outcomes.of(Outcome::Timeout), 20);
    // Two at a time for 2 s each: the last two leave after 18 and 18.5 s, 9 s after they should have.
    assert_near(
        phase.total.censored.quantile_ns(1.0).unwrap() as f64 / 1e9,
        11.0,
    );
    assert_near(
        phase.total.censored.quantile_ns(0.0).unwrap() as f64 / 1e9,
        2.0,
    );
    assert_books_closed(&record);
}

#[test]
fn ramps_and_steps_send_the_area_below_them() {
    let text = scenario_text(
        r#"
[[phase]]
name = "ramp"
rate = [{ to = 200, over = "10s" }, { at = 50, for = "4s" }, { to = 0, over = "2s" }]
"#,
    );
    let server = Memory::new(|_| ok(ms(1)));
    let record = run(&plan_with(&text, 2, &[]), &server);
    let phase = only_phase(&record);
    assert_eq!(phase.measured_ns(), 16_000_000_000);
    // 1000, 200 and 50; the arrival at the very end lies outside of the window.
    assert_eq!(phase.total.outcomes.of(Outcome::Ok), 1250);
    let until = |seconds: u64| {
        let arrived = server
            .seen()
            .iter()
            .filter(|seen| seen.at < ms(1000 * seconds))
            .count();
        i64::try_from(arrived).unwrap()
    };
    // Nothing moves a request by more than one beside the line.
    for (seconds, area) in [(5, 250), (10, 1000), (12, 1100), (14, 1200), (16, 1250)] {
        assert!(
            (until(seconds) - area).abs() <= 2,
            "{} by {seconds} s",
            until(seconds)
        );
    }
    assert_books_closed(&record);
}

#[test]
fn a_trace_is_replayed_at_its_speed() {
    let trace = "# seconds\n100.0\n100.5\n100.5\n103\n";
    let text = scenario_text("[[phase]]\nname = \"trace\"\ntrace = \"t.txt\"\nspeed = 0.5\n");
    let server = Memory::new(|_| ok(ms(1)));
    let record = run(&plan_with(&text, 1, &[("t.txt", trace)]), &server);
    let at: Vec<Duration> = server.seen().iter().map(|seen| seen.at).collect();
    assert_eq!(at, [ms(0), ms(1000), ms(1000), ms(6000)]);
    assert_eq!(only_phase(&record).total.outcomes.of(Outcome::Ok), 4);
    assert_books_closed(&record);
}

#[test]
fn ramped_concurrency_starts_and_ends_its_users_one_by_one() {
    let text = scenario_text(
        r#"
[[phase]]
name = "users"
concurrency = [{ to = 10, over = "10s" }, { at = 10, for = "10s" }, { to = 0, over = "10s" }]
"#,
    );
    for workers in [1, 3] {
        let record = run(
            &plan_with(&text, workers, &[]),
            &Memory::new(|_| ok(ms(100))),
        );
        let phase = only_phase(&record);
        // 10·10/2 + 10·10 + 10·10/2 user-seconds.
        assert!(
            (phase.mean_in_flight() * 30.0 - 200.0).abs() < 2.0,
            "{}",
            phase.mean_in_flight()
        );
        for (second, users) in [(0, 1), (4, 5), (15, 10), (24, 5)] {
            let in_flight = phase.intervals[second].counts.in_flight;
            assert!(
                in_flight.abs_diff(users) <= 1,
                "{in_flight} after {second} s"
            );
        }
        assert_books_closed(&record);
    }
}

#[test]
fn users_think_between_their_requests() {
    let text = scenario_text(
        r#"
[[phase]]
name = "thinking"
concurrency = 4
think_time = "400ms"
duration = "10s"
"#,
    );
    let record = run(&plan_with(&text, 2, &[]), &Memory::new(|_| ok(ms(100))));
    let phase = only_phase(&record);
    // Each user sends two a second, and is on its way a fifth of the time.
    assert_eq!(phase.total.outcomes.of(Outcome::Ok), 80);
    assert_near(phase.mean_in_flight(), 0.8);
    assert_near(quantile_ms(phase, LatencyKind::Response, 1.0), 100.0);
    assert_books_closed(&record);
}

#[test]
fn a_thinking_user_does_not_hold_up_the_end() {
    let text = scenario_text(
        "[[phase]]\nname = \"long\"\nconcurrency = 1\nthink_time = \"50s\"\nduration = \"60s\"\n",
    );
    let circumstances = Circumstances {
        stop: Some((Duration::from_secs(5), Stop::Drain)),
        ..Circumstances::default()
    };
    let server = Memory::new(|_| ok(ms(100)));
    let record = run_with(&plan_with(&text, 1, &[]), &server, circumstances);
    assert!(record.ended_ns < 5_100_000_000, "{}", record.ended_ns);
    assert_books_closed(&record);
}

#[test]
fn phases_of_a_group_run_side_by_side_with_their_own_books() {
    let text = scenario_text(
        r#"
[request.slow]
path = "/slow"
[[phase]]
name = "before"
concurrency = 1
duration = "2s"
requests = ["get"]
[[phase]]
name = "fast"
group = "mixed"
rate = 50
duration = "4s"
requests = ["get"]
[[phase]]
name = "slow"
group = "mixed"
concurrency = 3
duration = "6s"
requests = ["slow"]
[[phase]]
name = "after"
concurrency = 1
duration = "2s"
requests = ["get"]
"#,
    );
    let server = Memory::new(|seen| ok(ms(if seen.head.contains("/slow") { 200 } else { 20 })));
    for workers in [1, 2] {
        let record = run(&plan_with(&text, workers, &[]), &server);
        let [before, fast, slow, after] = record.phases.as_slice() else {
            panic!("{} phases", record.phases.len());
        };
        assert_eq!(fast.started_ns, slow.started_ns);
        assert!(fast.started_ns >= before.ended_ns.unwrap());
        assert!(after.started_ns >= slow.ended_ns.unwrap());
        assert_eq!(fast.total.outcomes.of(Outcome::Ok), 200);
        assert_eq!(slow.total.outcomes.of(Outcome::Ok), 90);
        assert_near(quantile_ms(fast, LatencyKind::Response, 1.0), 20.0);
        assert_near(quantile_ms(slow, LatencyKind::Response, 1.0), 200.0);
        assert_books_closed(&record);
        assert!(!record.is_partial());
    }
}

/// Variance over mean of the counts in windows: 0 for even spacing, 1 for Poisson.
fn dispersion(at: &[Duration], window: Duration, windows: usize) -> f64 {
    let mut counts = vec![0_u32; windows];
    for at in at {
        let place = usize::try_from(at.as_nanos() / window.as_nanos()).unwrap();
        if let Some(count) = counts.get_mut(place) {
            *count += 1;
        }
    }
    let mean = counts.iter().map(|&count| f64::from(count)).sum::<f64>() / windows as f64;
    let square = |&count: &u32| (f64::from(count) - mean).powi(2);
    counts.iter().map(square).sum::<f64>() / windows as f64 / mean
}

#[test]
fn departures_are_as_even_as_their_process() {
    let index = |arrival: &str| {
        let text = scenario_text(&format!(
            "[[phase]]\nname = \"p\"\nrate = 1000\narrival = \"{arrival}\"\nduration = \"40s\"\n"
        ));
        let server = Memory::new(|_| ok(ms(5)));
        let record = run(&plan_with(&text, 2, &[]), &server);
        assert_books_closed(&record);
        let at: Vec<Duration> = server.seen().iter().map(|seen| seen.at).collect();
        dispersion(&at, ms(10), 4000)
    };
    assert!(index("constant") < 0.01);
    // 4000 windows: the index has a standard error of sqrt(2 / 4000) = 0.022.
    let poisson = index("poisson");
    assert!((poisson - 1.0).abs() < 0.1, "{poisson}");
}
