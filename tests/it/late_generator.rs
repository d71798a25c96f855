//! Records of an open loop whose generator was late, and what gates make of them.

use crate::support::records::{Second, Story, answers};
use bench::record::{Doubt, RunRecord};
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
fn beyond_five_milliseconds_nothing_can_be_judged() {
    for answer_ms in [20.0, 300.0] {
        let (record, verdict, reason) = run(answer_ms, 8, "response.p99 < 200ms");
        assert_eq!(verdict, Verdict::Inconclusive);
        assert!(reason.contains("generator was the bottleneck"), "{reason}");
        let late = |doubt: &Doubt| matches!(doubt, Doubt::GeneratorLate { .. });
        assert!(record.doubts.iter().any(late));
    }
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
