//! Gates on auto-scaling over made-up series whose truth is known: one step up, one step down.

use crate::support::records::{Second, Story, answers};
use bench::record::Outcome;
use bench::verdict::{GateResult, Verdict, gates_of, judge};

/// A minute of light load, two of heavy load and two of light load again; replicas by the second, and the
/// seconds of the heavy load. The gates are those of the heavy phase and of the last one.
fn judged(
    heavy: &[&str],
    after: &[&str],
    seconds: &[Second],
    replicas: fn(u64) -> f64,
) -> Vec<GateResult> {
    let calm = |count: usize| vec![answers(50, 20.0); count];
    let record = Story::new()
        .phase("light", &["response.p90 < 100ms"], &calm(60))
        .phase("heavy", heavy, seconds)
        .phase("again", after, &calm(120))
        .series("server.replicas", &[&|sample| Some(replicas(sample / 10))])
        .record();
    let mut gates = judge(&record, &gates_of(&record).unwrap()).gates;
    gates.remove(0);
    gates
}

/// Slow answers for so many seconds after the step, then fast ones.
fn slow_for(slow: usize) -> Vec<Second> {
    (0..120)
        .map(|second| answers(200, if second < slow { 400.0 } else { 30.0 }))
        .collect()
}

/// Two replicas more, 10 s and 20 s after the step, and back 30 s after the step down.
fn textbook(second: u64) -> f64 {
    match second {
        70..80 => 3.0,
        80..210 => 4.0,
        _ => 2.0,
    }
}

fn observed(gate: &GateResult) -> f64 {
    gate.observed
        .unwrap_or_else(|| panic!("{}: {}", gate.gate.text, gate.reason))
}

#[test]
fn every_measure_of_a_textbook_step_is_what_was_made_up() {
    let heavy = [
        "scale_up.time < 30s",
        "scale_up.recovery < 30s",
        "scale_up.overshoot < 110%",
    ];
    let after = ["scale_down.time < 40s", "scale.flaps < 1"];
    let gates = judged(&heavy, &after, &slow_for(20), textbook);
    for gate in &gates {
        assert_eq!(
            gate.verdict,
            Verdict::Pass,
            "{}: {}",
            gate.gate.text,
            gate.reason
        );
    }
    // Replicas are sampled ten times a second.
    assert!((observed(&gates[0]) - 20.0).abs() < 0.15, "{:?}", gates[0]);
    assert!(
        (20.0..=26.0).contains(&observed(&gates[1])),
        "{:?}",
        gates[1]
    );
    assert!((observed(&gates[2]) - 1.0).abs() < 1e-9);
    assert!((observed(&gates[3]) - 30.0).abs() < 0.15, "{:?}", gates[3]);
    assert_eq!(observed(&gates[4]), 0.0);
    // The same against limits that it misses.
    let missed = judged(
        &["scale_up.time < 19s", "scale_up.recovery < 10s"],
        &["scale_down.time < 29s"],
        &slow_for(20),
        textbook,
    );
    for gate in &missed {
        assert_eq!(
            gate.verdict,
            Verdict::Fail,
            "{}: {}",
            gate.gate.text,
            gate.reason
        );
    }
}

#[test]
fn too_many_replicas_on_the_way_are_overshoot() {
    let gates = judged(
        &["scale_up.overshoot < 150%"],
        &[],
        &slow_for(20),
        |second| match second {
            0..70 => 2.0,
            70..100 => 8.0,
            _ => 4.0,
        },
    );
    assert!((observed(&gates[0]) - 2.0).abs() < 1e-9);
    assert_eq!(gates[0].verdict, Verdict::Fail, "{}", gates[0].reason);
}

#[test]
fn too_few_replicas_on_the_way_down_are_undershoot() {
    let judge = |replicas| {
        judged(
            &[],
            &["scale_down.undershoot < 10%"],
            &slow_for(20),
            replicas,
        )
    };
    // Four, one, and two in the end.
    let gates = judge(|second| match second {
        60..190 => 4.0,
        190..220 => 1.0,
        _ => 2.0,
    });
    assert!((observed(&gates[0]) - 0.5).abs() < 1e-9);
    assert_eq!(gates[0].verdict, Verdict::Fail, "{}", gates[0].reason);
    assert_eq!(observed(&judge(textbook)[0]), 0.0);
    // Nothing goes at all: there is no way down to fall short of.
    let stays = judge(|_| 2.0);
    assert_eq!(
        stays[0].verdict,
        Verdict::Inconclusive,
        "{}",
        stays[0].reason
    );
}

#[test]
fn replicas_that_go_up_and_down_flap() {
    let gates = judged(&["scale.flaps < 2"], &[], &slow_for(20), |second| {
        // Up and down every ten seconds of the heavy load.
        if (60..180).contains(&second) && (second / 10) % 2 == 1 {
            4.0
        } else {
            2.0
        }
    });
    assert!(observed(&gates[0]) >= 8.0, "{:?}", gates[0]);
    assert_eq!(gates[0].verdict, Verdict::Fail, "{}", gates[0].reason);
}

#[test]
fn what_had_not_happened_at_the_end_is_no_measure() {
    // Nothing is scaled although most requests are slow: missed, whatever the limit.
    let gates = judged(
        &["response.p90 < 100ms", "scale_up.time < 1h"],
        &[],
        &slow_for(120),
        |_| 2.0,
    );
    assert_eq!(gates[1].verdict, Verdict::Fail, "{}", gates[1].reason);
    assert!(
        gates[1].reason.contains("nothing was scaled up"),
        "{}",
        gates[1].reason
    );
    // Slow to the end: longer than two minutes, but nobody knows how long.
    let recovery = |limit: &str| judged(&[limit], &[], &slow_for(120), textbook).remove(0);
    assert_eq!(recovery("scale_up.recovery < 60s").verdict, Verdict::Fail);
    assert_eq!(
        recovery("scale_up.recovery < 1h").verdict,
        Verdict::Inconclusive
    );
    // They never come down.
    let stays = |second: u64| if second < 80 { textbook(second) } else { 4.0 };
    let down = |limit: &str| judged(&[], &[limit], &slow_for(20), stays).remove(0);
    assert_eq!(down("scale_down.time < 60s").verdict, Verdict::Fail);
    assert_eq!(down("scale_down.time < 1h").verdict, Verdict::Inconclusive);
}

#[test]
fn errors_while_it_scales_count_against_recovery_and_are_told() {
    let failing: Vec<Second> = (0..120)
        .map(|second| {
            let failed = if second < 15 { 100 } else { 0 };
            answers(200 - failed, 30.0).and_other(failed, Outcome::BadStatus)
        })
        .collect();
    let gates = judged(
        &["scale_up.recovery < 10s", "error_rate < 1%"],
        &[],
        &failing,
        textbook,
    );
    assert_eq!(gates[0].verdict, Verdict::Fail, "{}", gates[0].reason);
    assert!(
        gates[0].reason.contains("1500 of them failed")
            || gates[0].reason.contains("1 500 of them failed"),
        "{}",
        gates[0].reason
    );
    assert_ne!(gates[1].verdict, Verdict::Pass, "{}", gates[1].reason);
}
