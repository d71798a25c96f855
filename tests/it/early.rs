//! Phases and runs that end before their time, because their gates are decided.

use crate::support::memory::{Memory, ms, ok};
use crate::support::{plan_with, run, scenario_text};
use bench::record::{Doubt, RunRecord};
use bench::verdict::{GateResult, Verdict, gates_of, judge};

fn judged(record: &RunRecord) -> Vec<GateResult> {
    judge(record, &gates_of(record).unwrap()).gates
}

fn measured_s(record: &RunRecord, phase: usize) -> f64 {
    record.phases[phase].measured_ns() as f64 / 1e9
}

const DECIDED: &str = r#"
[[phase]]
name = "decided"
concurrency = 10
warmup = "1500ms"
duration = "10m"
until = "decided"
min_duration = "20s"
gates = ["response.p95 < 100ms", "error_rate < 5%"]
"#;

#[test]
fn a_phase_ends_as_soon_as_its_gates_are_decided() {
    for (delay, verdict) in [(50, Verdict::Pass), (150, Verdict::Fail)] {
        let server = Memory::new(move |_| ok(ms(delay)));
        let record = run(&plan_with(&scenario_text(DECIDED), 2, &[]), &server);
        let seconds = measured_s(&record, 0);
        // The warm-up ends within a second, so that the twentieth whole one ends half a second later.
        assert!((20.0..22.0).contains(&seconds), "{seconds}");
        let gates = judged(&record);
        assert_eq!(gates[0].verdict, verdict, "{}", gates[0].reason);
        assert!(
            gates[0]
                .reason
                .starts_with("decided after 20.0 s, at look 1 of at most"),
            "{}",
            gates[0].reason
        );
        // Nothing is missing: it was to end like this.
        assert!(!record.is_partial(), "{:?}", record.doubts);
        let phase = &record.phases[0];
        assert_eq!(phase.total.planned, phase.total.outcomes.total());
    }
}

#[test]
fn what_cannot_be_decided_goes_on_to_its_end() {
    // One in twenty is slow, which is the limit.
    let server = Memory::new(|seen| ok(ms(if seen.number % 20 == 7 { 150 } else { 50 })));
    let text = scenario_text(&DECIDED.replace("10m", "60s"));
    let record = run(&plan_with(&text, 1, &[]), &server);
    assert_eq!(measured_s(&record, 0), 60.0);
    assert_eq!(judged(&record)[0].verdict, Verdict::Inconclusive);
}

const ABORT: &str = r#"
[[phase]]
name = "first"
rate = 50
duration = "60s"
gates = ["response.p99 < 100ms abort", "throughput > 1/s"]
[[phase]]
name = "second"
rate = 50
duration = "60s"
gates = ["response.p99 < 100ms"]
"#;

#[test]
fn a_gate_that_says_abort_counts_wherever_it_stands() {
    // Both fail at the same look; the one that ends the phase only is written first.
    let text = ABORT.replace(
        "gates = [\"response.p99 < 100ms abort\", \"throughput > 1/s\"]",
        "until = \"decided\"\ngates = [\"response.p99 < 90ms\", \"response.p99 < 100ms abort\"]",
    );
    let server = Memory::new(|_| ok(ms(150)));
    let record = run(&plan_with(&scenario_text(&text), 1, &[]), &server);
    assert_eq!(record.phases.len(), 1, "the second phase has begun");
    assert!(
        record
            .doubts
            .iter()
            .any(|doubt| matches!(doubt, Doubt::Aborted { .. }))
    );
}

#[test]
fn a_gate_that_says_abort_ends_the_run_when_it_has_failed() {
    let server = Memory::new(|_| ok(ms(150)));
    let record = run(&plan_with(&scenario_text(ABORT), 1, &[]), &server);
    assert!((15.0..16.0).contains(&measured_s(&record, 0)));
    assert_eq!(record.phases.len(), 1);
    let aborted = record.doubts.iter().find_map(|doubt| match doubt {
        Doubt::Aborted { phase, gate, .. } => Some((*phase, gate.as_str())),
        _ => None,
    });
    assert_eq!(aborted, Some((0, "response.p99 < 100ms abort")));
    let judgement = judge(&record, &gates_of(&record).unwrap());
    assert_eq!(judgement.verdict, Verdict::Fail, "{}", judgement.headline);
    assert_eq!(judgement.gates[2].verdict, Verdict::Inconclusive);
    assert!(record.is_partial());
    // A service that is fast enough is not touched, and passes as it would without.
    let server = Memory::new(|_| ok(ms(50)));
    let record = run(&plan_with(&scenario_text(ABORT), 1, &[]), &server);
    assert_eq!(measured_s(&record, 1), 60.0);
    assert!(
        judged(&record)
            .iter()
            .all(|gate| gate.verdict == Verdict::Pass)
    );
}

#[test]
fn phases_side_by_side_end_by_themselves() {
    let text = scenario_text(
        r#"
[[phase]]
name = "short"
group = "both"
concurrency = 10
duration = "2m"
until = "decided"
min_duration = "10s"
gates = ["response.p95 < 100ms"]
[[phase]]
name = "long"
group = "both"
concurrency = 2
duration = "30s"
"#,
    );
    let record = run(&plan_with(&text, 2, &[]), &Memory::new(|_| ok(ms(50))));
    assert!((10.0..12.0).contains(&measured_s(&record, 0)));
    assert_eq!(measured_s(&record, 1), 30.0);
}
