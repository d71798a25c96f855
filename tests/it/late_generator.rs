//! Records of an open loop whose generator was late, and what gates make of them.

use crate::support::records::{Second, Story, answers};
use bench::record::{Doubt, Outcome, RunRecord};
use bench::verdict::{self, Verdict};

const MS: u64 = 1_000_000;

/// Twenty seconds of 1000 answers each at 500/s and more, the generator late by so much in all of them.
fn run(answer_ms: f64, late_ms: u64, gate: &str) -> (RunRecord, Verdict, String) {
    let second = Second {
        late_ns: late_ms * MS,
        ..answers(1000, answer_ms)
    };
    let record = Story::new()
        .open_phase("p", &[gate], &vec![second; 20])
        .record();
    let judgement = verdict::judge(&record, &verdict::gates_of(&record).unwrap());
    let result = &judgement.gates[0];
    (record.clone(), result.verdict, result.reason.clone())
}

#[test]
fn a_punctual_generator_changes_nothing() {
    assert_eq!(run(20.0, 0, "response.p99 < 50ms").1, Verdict::Pass);
    assert_eq!(run(80.0, 0, "response.p99 < 50ms").1, Verdict::Fail);
}

#[test]
fn beyond_five_milliseconds_nothing_is_judged_that_lateness_can_explain() {
    for answer_ms in [20.0, 205.0] {
        let (record, verdict, reason) = run(answer_ms, 8, "response.p99 < 200ms");
        assert_eq!(verdict, Verdict::Inconclusive);
        assert!(reason.contains("generator was the bottleneck"), "{reason}");
        let late = |doubt: &Doubt| matches!(doubt, Doubt::GeneratorLate { .. });
        assert!(record.doubts.iter().any(late));
    }
}

#[test]
fn a_late_generator_does_not_hide_an_overload() {
    let (_, verdict, reason) = run(1900.0, 8, "response.p99 < 200ms");
    assert_eq!(verdict, Verdict::Fail, "{reason}");
    for part in [
        "generator was the bottleneck",
        "it cannot explain that",
        "ms taken off each",
    ] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
}

/// Twenty seconds, of each these answers and as many bad ones, with a doubt about the generator.
fn doubted(second: &Second, doubt: Doubt, gate: &str) -> (Verdict, String) {
    let record = Story::new()
        .open_phase("p", &[gate], &vec![second.clone(); 20])
        .doubt(doubt)
        .record();
    let judgement = verdict::judge(&record, &verdict::gates_of(&record).unwrap());
    let result = &judgement.gates[0];
    (result.verdict, result.reason.clone())
}

#[test]
fn what_late_requests_may_have_been_refused_for_is_left_out() {
    let late = || Doubt::GeneratorLate {
        phase: 0,
        lag_p99_ns: 6 * MS,
        limit_ns: 5 * MS,
    };
    let refused = answers(500, 20.0).and_other(500, Outcome::BadStatus);
    let (verdict, reason) = doubted(&refused, late(), "response.p99 < 100ms");
    assert_eq!(verdict, Verdict::Inconclusive, "{reason}");
    // Slow ones beside them are the target's own.
    let slow = answers(400, 20.0)
        .and(300, 900.0)
        .and_other(300, Outcome::BadStatus);
    let (verdict, reason) = doubted(&slow, late(), "response.p99 < 100ms");
    assert_eq!(verdict, Verdict::Fail, "{reason}");
    assert!(
        reason.contains("30.0 % of the requests left out"),
        "{reason}"
    );
    // A share of failures has no such bound.
    let (verdict, _) = doubted(&refused, late(), "error_rate < 1%");
    assert_eq!(verdict, Verdict::Inconclusive);
}

#[test]
fn requests_held_back_explain_no_more_than_their_mean_allows() {
    let held = |held_ns| Doubt::GeneratorHolds {
        phase: 0,
        in_flight: 100.0,
        at_target: 40.0,
        held_ns,
    };
    let gate = "response.p99 < 100ms";
    // Held for 20 ms on average: at most a fifth of them for 100 ms and more.
    let (verdict, reason) = doubted(&answers(1000, 900.0), held(20 * MS), gate);
    assert_eq!(verdict, Verdict::Fail, "{reason}");
    // All of them for 150 ms is what they were over the limit by.
    let (verdict, _) = doubted(&answers(1000, 250.0), held(150 * MS), gate);
    assert_eq!(verdict, Verdict::Inconclusive);
}

#[test]
fn a_doubt_without_a_bound_hides_everything() {
    let starved = Doubt::GeneratorStarved {
        phase: 0,
        waited: 0.8,
    };
    let (verdict, _) = doubted(&answers(1000, 1900.0), starved, "response.p99 < 100ms");
    assert_eq!(verdict, Verdict::Inconclusive);
}

#[test]
fn lateness_excuses_only_a_failure_that_it_could_have_caused() {
    // Late by 4 ms where the gate bears 2.5 ms.
    let gate = "response.p99 < 50ms";
    assert_eq!(run(52.0, 4, gate).1, Verdict::Inconclusive);
    assert_eq!(run(60.0, 4, gate).1, Verdict::Fail);
    assert_eq!(run(40.0, 4, gate).1, Verdict::Pass);
    // Late by 2 ms: that much it bears.
    assert_eq!(run(52.0, 2, gate).1, Verdict::Fail);
}
