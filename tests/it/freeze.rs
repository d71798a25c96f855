//! The freeze test: a server that stands still for a while, and what a true measurement says of it.
//!
//! The truth is arithmetic. A tool that measures from the actual send reports a p95 below 20 ms where
//! one in ten requests had to wait.

use crate::support::memory::{Memory, Reply, ms, ok};
use crate::support::{plan_with, run, scenario_text};
use bench::gate::LatencyKind;
use bench::record::{Distribution, Outcome, RunRecord};
use std::time::Duration;

/// A server that takes `service_ms` for an answer, and does nothing at all for a while.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_field_names, reason = "the unit belongs to each")]
struct Freeze {
    service_ms: u64,
    from_ms: u64,
    for_ms: u64,
}

impl Freeze {
    /// How long a request that arrives then has to wait for its answer.
    fn latency_ms(self, arrives_ms: u64) -> u64 {
        let (from, to) = (self.from_ms, self.from_ms + self.for_ms);
        let done = arrives_ms + self.service_ms;
        if done > from && arrives_ms < to {
            to.max(done) - arrives_ms
        } else {
            self.service_ms
        }
    }

    fn server(self) -> Memory {
        Memory::new(move |seen| {
            let arrives_ms = u64::try_from(seen.at.as_millis()).unwrap();
            ok(ms(self.latency_ms(arrives_ms)))
        })
    }
}

/// The percentiles of a record against those of the truth, within the histogram's three digits.
#[track_caller]
fn assert_truth(record: &RunRecord, mut truth_ms: Vec<u64>, what: &str) {
    truth_ms.sort_unstable();
    let response = record.phases[0].latencies(LatencyKind::Response);
    assert_eq!(response.count(), truth_ms.len() as u64, "{what}");
    for per_mille in [1usize, 100, 500, 900, 950, 990, 999, 1000] {
        let rank = (truth_ms.len() * per_mille).div_ceil(1000).max(1);
        let truth = truth_ms[rank - 1] as f64;
        let value = response.rank_ns(rank as u64).unwrap() as f64 / 1e6;
        assert!(
            (value / truth - 1.0).abs() < 0.001,
            "{what}: {per_mille} ‰ is {value} ms, truth {truth} ms"
        );
    }
}

#[test]
fn one_second_in_ten_is_a_p95_of_half_a_second() {
    let text = scenario_text("[[phase]]\nname = \"freeze\"\nrate = 500\nduration = \"10s\"\n");
    let freeze = Freeze {
        service_ms: 5,
        from_ms: 4000,
        for_ms: 1000,
    };
    let record = run(&plan_with(&text, 1, &[]), &freeze.server());
    let phase = &record.phases[0];
    let p95 = phase.total.response.quantile_ns(0.95).unwrap() as f64 / 1e6;
    assert!((p95 - 504.0).abs() < 2.0, "{p95}");
    assert_truth(
        &record,
        (0..5000).map(|k| freeze.latency_ms(2 * k)).collect(),
        "500/s",
    );
}

#[test]
fn any_rate_and_any_freeze() {
    for rate in [20u64, 50, 100, 250, 1000] {
        for (service_ms, from_ms, for_ms) in [
            (1, 0, 500),
            (5, 2500, 250),
            (20, 3990, 1900),
            (300, 1000, 1000),
        ] {
            let freeze = Freeze {
                service_ms,
                from_ms,
                for_ms,
            };
            let text = scenario_text(&format!(
                "[[phase]]\nname = \"freeze\"\nrate = {rate}\nduration = \"8s\"\n"
            ));
            let record = run(&plan_with(&text, 2, &[]), &freeze.server());
            let truth = (0..8 * rate).map(|k| freeze.latency_ms(k * 1000 / rate));
            assert_truth(&record, truth.collect(), &format!("{rate}/s, {freeze:?}"));
        }
    }
}

#[test]
fn a_freeze_with_few_connections_is_a_queue_and_not_an_omission() {
    // Ten connections at most, as many load generators have: the queue forms on this side.
    let freeze = Freeze {
        service_ms: 10,
        from_ms: 3000,
        for_ms: 1500,
    };
    let text = scenario_text(
        "[[phase]]\nname = \"capped\"\nrate = 200\nduration = \"10s\"\nmax_in_flight = 10\n",
    );
    let record = run(&plan_with(&text, 1, &[]), &freeze.server());
    // The same queue by hand: each request goes to the connection that is free first.
    let mut free_ms = [0u64; 10];
    let truth: Vec<u64> = (0..2000)
        .map(|k| {
            let intended = 5 * k;
            let connection = free_ms.iter_mut().min().unwrap();
            let sent = intended.max(*connection);
            *connection = sent + freeze.latency_ms(sent);
            *connection - intended
        })
        .collect();
    assert_truth(&record, truth, "ten connections");
    // Service time alone hides it.
    let service = record.phases[0].latencies(LatencyKind::Service);
    assert!(service.quantile_ns(0.95).unwrap() < 11_000_000);
    let response = record.phases[0].latencies(LatencyKind::Response);
    assert!(response.quantile_ns(0.95).unwrap() > 900_000_000);
}

#[test]
fn timeouts_in_the_freeze_are_counted_and_censored() {
    // The timeout is 2 s: of a freeze of 5 s, requests of the first 3 s never get their answer.
    let freeze = Freeze {
        service_ms: 10,
        from_ms: 2000,
        for_ms: 4995,
    };
    let text = scenario_text("[[phase]]\nname = \"freeze\"\nrate = 100\nduration = \"10s\"\n");
    let record = run(&plan_with(&text, 1, &[]), &freeze.server());
    let phase = &record.phases[0];
    let all: Vec<u64> = (0..1000).map(|k| freeze.latency_ms(10 * k)).collect();
    let (ok, lost): (Vec<u64>, Vec<u64>) = all.iter().partition(|&&latency| latency <= 2000);
    assert_truth(&record, ok, "those that were answered");
    let timeouts = phase.total.outcomes.of(Outcome::Timeout);
    assert!(
        timeouts.abs_diff(lost.len() as u64) <= 1,
        "{timeouts} of {}",
        lost.len()
    );
    assert_eq!(phase.total.outcomes.total(), 1000);
    // Over any limit below the timeout for certain, and over every limit perhaps.
    let slower = |limit_ms: u64| all.iter().filter(|&&latency| latency > limit_ms).count() as u64;
    for limit_ms in [100, 1000, 1500] {
        let over = phase
            .total
            .over(LatencyKind::Response, limit_ms * 1_000_000);
        assert!(
            over.at_least <= slower(limit_ms) && slower(limit_ms) <= over.at_most,
            "{over:?}"
        );
        assert!(over.at_most - over.at_least <= 1, "{over:?}");
    }
    let over = phase.total.over(LatencyKind::Response, 4_000_000_000);
    assert_eq!((over.at_least, over.at_most), (0, timeouts));
}

#[test]
fn a_freeze_in_a_closed_loop_holds_every_user_once() {
    for (users, service_ms, for_ms) in [(1u64, 10, 1000), (10, 10, 500), (50, 20, 1900)] {
        let freeze = Freeze {
            service_ms,
            from_ms: 4000,
            for_ms,
        };
        let text = scenario_text(&format!(
            "[[phase]]\nname = \"freeze\"\nconcurrency = {users}\nduration = \"10s\"\n"
        ));
        let record = run(&plan_with(&text, 1, &[]), &freeze.server());
        let mut truth = Vec::new();
        let mut at = 0;
        while at < 10_000 {
            let latency = freeze.latency_ms(at);
            truth.extend((0..users).map(|_| latency));
            at += latency;
        }
        assert_truth(&record, truth, &format!("{users} users, {freeze:?}"));
    }
}

#[test]
fn a_server_that_dies_for_a_while_fails_what_falls_into_it() {
    let text = scenario_text("[[phase]]\nname = \"dead\"\nrate = 100\nduration = \"5s\"\n");
    let server = Memory::new(|seen| {
        let dead = seen.at >= Duration::from_secs(2) && seen.at < Duration::from_secs(3);
        if dead {
            Reply::Cut { after: ms(1) }
        } else {
            ok(ms(1))
        }
    });
    let record = run(&plan_with(&text, 1, &[]), &server);
    let outcomes = record.phases[0].total.outcomes;
    assert_eq!(
        (outcomes.of(Outcome::Ok), outcomes.of(Outcome::Reset)),
        (400, 100)
    );
}
