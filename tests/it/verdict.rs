//! Verdicts on made-up records whose truth is known.

use crate::support::records::{Second, Story, answers, quantile_ms};
use bench::record::{Doubt, Outcome, RunRecord};
use bench::verdict::{GateResult, Judgement, Verdict, gates_of, judge};

fn judged(record: &RunRecord) -> Judgement {
    judge(record, &gates_of(record).unwrap())
}

fn only_gate(story: Story) -> GateResult {
    let judgement = judged(&story.record());
    assert_eq!(judgement.gates.len(), 1);
    judgement.gates.into_iter().next().unwrap()
}

/// A phase with one gate and these seconds.
fn with(gate: &str, seconds: &[Second]) -> Story {
    Story::new().phase("p", &[gate], seconds)
}

/// A minute of 100 answers a second, `slow` of each hundred of them slow.
fn minute(slow: usize) -> Vec<Second> {
    vec![answers(100 - slow, 20.0).and(slow, 150.0); 60]
}

#[test]
fn a_percentile_is_judged_by_the_share_of_slow_requests() {
    let gate = "response.p95 < 100ms";
    let pass = only_gate(with(gate, &minute(2)));
    assert_eq!(pass.verdict, Verdict::Pass, "{}", pass.reason);
    let share = pass.share.unwrap();
    assert_eq!((share.over_at_most, share.total), (120, 6000));
    assert!(share.upper < 0.05 && share.lower < 0.02);
    assert!((pass.observed.unwrap() - 0.020).abs() < 0.0001);

    let fail = only_gate(with(gate, &minute(9)));
    assert_eq!(fail.verdict, Verdict::Fail, "{}", fail.reason);
    assert!((fail.observed.unwrap() - 0.150).abs() < 0.0002);

    let unclear = only_gate(with(gate, &minute(5)));
    assert_eq!(unclear.verdict, Verdict::Inconclusive);
    assert!(
        unclear.reason.contains("more of the same would not decide"),
        "{}",
        unclear.reason
    );
}

#[test]
fn inconclusive_says_what_it_would_take() {
    // 0.5 % over a limit of 1 %, too few to be sure.
    let seconds = vec![answers(100, 20.0); 4]
        .into_iter()
        .chain(vec![answers(99, 20.0).and(1, 150.0); 4])
        .collect::<Vec<_>>();
    let result = only_gate(with("response.p99 < 100ms", &seconds));
    assert_eq!(result.verdict, Verdict::Inconclusive);
    assert!(result.reason.contains("more requests"), "{}", result.reason);
    assert!(result.reason.contains("would decide"), "{}", result.reason);
    // With ten times as much of the same it is decided.
    let more: Vec<Second> = seconds.iter().cycle().take(80).cloned().collect();
    assert_eq!(
        only_gate(with("response.p99 < 100ms", &more)).verdict,
        Verdict::Pass
    );
}

#[test]
fn the_interval_of_a_percentile_agrees_with_the_verdict() {
    // Latencies from 50 to 149 ms evenly in every second: p95 is 144 ms.
    let even = Second {
        ok_ms: (0..100).map(|step| 50.5 + f64::from(step)).collect(),
        ..Second::default()
    };
    for limit_ms in (130..160).step_by(2) {
        let gate = format!("response.p95 < {limit_ms}ms");
        let result = only_gate(with(&gate, &vec![even.clone(); 60]));
        let (lower, upper) = (result.lower.unwrap(), result.upper.unwrap());
        let limit = f64::from(limit_ms) / 1000.0;
        let expected = if upper < limit {
            Verdict::Pass
        } else if lower > limit {
            Verdict::Fail
        } else {
            Verdict::Inconclusive
        };
        assert_eq!(result.verdict, expected, "{gate}: {lower} to {upper}");
        assert!(lower <= result.observed.unwrap() && result.observed.unwrap() <= upper);
    }
}

#[test]
fn a_burst_is_one_event_and_proves_little() {
    // 2 % of the requests are slow, but all of them in one second: a stall, not a share.
    let mut seconds = vec![answers(100, 20.0); 50];
    seconds[20] = answers(100, 150.0);
    let result = only_gate(with("response.p99 < 100ms", &seconds));
    assert_eq!(result.verdict, Verdict::Inconclusive, "{}", result.reason);
    assert!(result.share.unwrap().design_effect > 30.0);
    // The same share evenly spread is a service that is too slow.
    let even: Vec<Second> = (0..50).map(|_| answers(98, 20.0).and(2, 150.0)).collect();
    assert_eq!(
        only_gate(with("response.p99 < 100ms", &even)).verdict,
        Verdict::Fail
    );
}

/// 100 in flight, 16 ms on average; something else slows a third of a second to this latency.
fn hiccup(latency_ms: f64, seconds: usize) -> Story {
    let quiet = Second {
        ok_ms: (0..6200).map(|at| 10.0 + f64::from(at) / 516.0).collect(),
        ..Second::default()
    };
    let mut seconds = vec![quiet; seconds];
    seconds[17].ok_ms[..1900].fill(latency_ms);
    with("response.p99 < 100ms", &seconds)
}

#[test]
fn a_hiccup_far_below_the_limit_leaves_the_rest_as_evidence() {
    let judge = |hiccup_ms| only_gate(hiccup(hiccup_ms, 30));
    let far = judge(60.0);
    assert_eq!(far.verdict, Verdict::Pass, "{}", far.reason);
    // The design effect of requests over the observed p99 alone would leave ninety of them.
    assert!(far.share.unwrap().effective_requests < 200.0);
    assert!(far.upper.unwrap() <= 0.1);
    // A window of 30 s says what it cannot exclude.
    assert!(
        far.reason.contains("could have been missed"),
        "{}",
        far.reason
    );
    // What came so near may go beyond.
    let near = judge(90.0);
    assert_eq!(near.verdict, Verdict::Inconclusive, "{}", near.reason);
}

/// An early look knows how far latencies stay below the limit, as the judgement at the end does.
#[test]
fn a_hiccup_far_below_the_limit_does_not_keep_a_phase_going() {
    let judge = |hiccup_ms| only_gate(hiccup(hiccup_ms, 60).decided_from(30));
    let far = judge(60.0);
    assert_eq!(far.verdict, Verdict::Pass, "{}", far.reason);
    assert!(
        far.reason.starts_with("decided after 30.0 s, at look 1"),
        "{}",
        far.reason
    );
    let near = judge(90.0);
    assert_eq!(near.verdict, Verdict::Inconclusive, "{}", near.reason);
}

#[test]
fn what_failed_or_timed_out_is_slower_than_any_limit() {
    for outcome in [
        Outcome::BadStatus,
        Outcome::Timeout,
        Outcome::Reset,
        Outcome::Shed,
    ] {
        let seconds = vec![answers(95, 20.0).and_other(5, outcome); 60];
        let result = only_gate(with("response.p99 < 1s", &seconds));
        assert_eq!(result.verdict, Verdict::Fail, "{}", outcome.as_str());
        // The 99th percentile lies among requests without a latency.
        assert_eq!(result.observed, None);
    }
    let all_failed = vec![answers(0, 0.0).and_other(100, Outcome::BadStatus); 60];
    for gate in ["response.p50 < 10s", "error_rate < 99%", "throughput > 1/s"] {
        assert_eq!(
            only_gate(with(gate, &all_failed)).verdict,
            Verdict::Fail,
            "{gate}"
        );
    }
}

#[test]
fn a_fast_error_never_improves_a_percentile() {
    let slow = |errors: usize| {
        let seconds = vec![
            answers(97 - errors, 20.0)
                .and(3, 150.0)
                .and_other(errors, Outcome::BadStatus);
            60
        ];
        only_gate(with("response.p95 < 100ms", &seconds))
            .share
            .unwrap()
            .over_at_least
    };
    assert!(slow(10) > slow(0));
}

#[test]
fn no_data_is_never_a_pass() {
    for gate in [
        "response.p99 < 100ms",
        "service.p50 < 1s",
        "ttfb.p99 < 1s",
        "error_rate < 99%",
        "throughput > 1/s",
        "gpu.utilization > 1%",
        "host.memory < 99%",
        "target.memory < 1TiB",
    ] {
        let result = only_gate(with(gate, &vec![Second::default(); 60]));
        assert_ne!(result.verdict, Verdict::Pass, "{gate}");
        let never_ran = judged(&Story::new().unbegun("p", &[gate]).record());
        assert_eq!(never_ran.gates[0].verdict, Verdict::Inconclusive, "{gate}");
        assert_eq!(never_ran.verdict, Verdict::Inconclusive);
    }
}

#[test]
fn within_one_second_nothing_can_be_judged() {
    let result = only_gate(with("response.p99 < 100ms", &[answers(100_000, 1.0)]));
    assert_eq!(result.verdict, Verdict::Inconclusive);
    assert!(result.reason.contains("hang together"), "{}", result.reason);
}

#[test]
fn error_rate_and_throughput_have_intervals() {
    let seconds: Vec<Second> = (0..60)
        .map(|second| answers(200 + second % 7, 20.0).and_other(second % 2, Outcome::FailedCheck))
        .collect();
    let errors = only_gate(with("error_rate < 1%", &seconds));
    assert_eq!(errors.verdict, Verdict::Pass, "{}", errors.reason);
    assert!((errors.observed.unwrap() - 30.0 / 12_204.0).abs() < 1e-9);
    let rate = only_gate(with("throughput > 195/s", &seconds));
    assert_eq!(rate.verdict, Verdict::Pass, "{}", rate.reason);
    assert!((rate.observed.unwrap() - 12_174.0 / 60.0).abs() < 1e-9);
    assert!(rate.lower.unwrap() < 202.9 && rate.upper.unwrap() > 203.0);
    assert_eq!(
        only_gate(with("throughput > 208/s", &seconds)).verdict,
        Verdict::Fail
    );
    let short = only_gate(with("throughput > 1/s", &seconds[..4]));
    assert_eq!(short.verdict, Verdict::Inconclusive);
}

#[test]
fn a_busy_generator_makes_everything_about_requests_inconclusive() {
    let busy: Vec<Second> = minute(9)
        .into_iter()
        .map(|second| Second {
            busy: 0.96,
            ..second
        })
        .collect();
    for gate in [
        "response.p95 < 100ms",
        "error_rate < 1%",
        "throughput > 10/s",
    ] {
        let result = only_gate(with(gate, &busy));
        assert_eq!(result.verdict, Verdict::Inconclusive, "{gate}");
        assert!(
            result.reason.contains("the generator was the bottleneck"),
            "{}",
            result.reason
        );
    }
    // Where too few requests would be the reason otherwise, more of them are not what it takes.
    let unclear = |busy: f64| {
        let seconds: Vec<Second> = (0..6)
            .map(|second| {
                let failed = if second == 3 { 150 } else { 0 };
                let second = answers(200 - failed, 20.0).and_other(failed, Outcome::FailedCheck);
                Second { busy, ..second }
            })
            .collect();
        only_gate(with("error_rate < 10%", &seconds))
    };
    let result = unclear(0.2);
    assert_eq!(result.verdict, Verdict::Inconclusive);
    assert!(result.reason.contains("would decide"), "{}", result.reason);
    let result = unclear(0.96);
    assert_eq!(result.verdict, Verdict::Inconclusive);
    assert!(
        result
            .reason
            .starts_with("the generator was the bottleneck"),
        "{}",
        result.reason
    );
    // What is sampled does not depend on it, and other phases are not touched.
    let story = with("gpu.utilization > 70%", &busy)
        .phase("calm", &["response.p95 < 100ms"], &minute(0))
        .series("gpu.utilization", &[&|_| Some(0.9)]);
    let judgement = judged(&story.record());
    assert!(
        judgement
            .gates
            .iter()
            .all(|gate| gate.verdict == Verdict::Pass),
        "{judgement:?}"
    );
}

#[test]
fn gpus_are_judged_one_by_one() {
    let gate = "gpu.utilization > 70%";
    let story = || with(gate, &minute(0));
    let pass = only_gate(story().series(
        "gpu.utilization",
        &[&|n| Some(if n % 10 < 9 { 1.0 } else { 0.0 })],
    ));
    assert_eq!(pass.verdict, Verdict::Pass, "{}", pass.reason);
    assert!((pass.observed.unwrap() - 0.9).abs() < 0.001);

    // The mean over both would be 75 %.
    let idle = only_gate(story().series("gpu.utilization", &[&|_| Some(1.0), &|_| Some(0.5)]));
    assert_eq!(idle.verdict, Verdict::Fail);
    assert!(idle.reason.contains("on GPU 1"), "{}", idle.reason);

    let unclear = only_gate(story().series(
        "gpu.utilization",
        &[&|n| Some(if n / 100 % 2 == 0 { 1.0 } else { 0.42 })],
    ));
    assert_eq!(unclear.verdict, Verdict::Inconclusive, "{}", unclear.reason);
}

#[test]
fn a_gap_in_telemetry_is_not_a_value() {
    let gate = "gpu.utilization > 70%";
    let gap = |from: u64, to: u64| {
        let value = move |n: u64| (!(from..to).contains(&n)).then_some(0.95);
        only_gate(with(gate, &minute(0)).series("gpu.utilization", &[&value]))
    };
    // Half a second, three seconds, a tenth of the window in small pieces of its own.
    assert_eq!(gap(100, 105).verdict, Verdict::Pass);
    let long = gap(100, 135);
    assert_eq!(long.verdict, Verdict::Inconclusive);
    assert!(long.reason.contains("telemetry gap"), "{}", long.reason);
    let never = gap(0, 10_000);
    assert_eq!(never.verdict, Verdict::Inconclusive);
    let sparse = |n: u64| (n % 20 < 5).then_some(0.95);
    let sparse = only_gate(with(gate, &minute(0)).series("gpu.utilization", &[&sparse]));
    assert_eq!(sparse.verdict, Verdict::Inconclusive, "{}", sparse.reason);
}

#[test]
fn an_absent_source_gives_its_reason() {
    let reason = "no NVIDIA driver on this host";
    let result = only_gate(with("gpu.utilization > 70%", &minute(0)).absent("gpu", reason));
    assert_eq!(result.verdict, Verdict::Inconclusive);
    assert_eq!(result.reason, reason);
}

#[test]
fn extremes_are_judged_as_they_were_seen() {
    let memory = |peak: f64| {
        let value = move |n: u64| Some(if n == 300 { peak } else { 1.0e9 });
        only_gate(with("target.memory < 2GB", &minute(0)).series("target.memory", &[&value]))
            .verdict
    };
    assert_eq!(memory(1.9e9), Verdict::Pass);
    assert_eq!(memory(2.1e9), Verdict::Fail);
    let disk = only_gate(
        with("host.disk.free > 10%", &minute(0))
            .series("host.disk.free", &[&|n| Some(0.5 - n as f64 / 1000.0)]),
    );
    assert_eq!(disk.verdict, Verdict::Fail);
    assert!(disk.observed.unwrap() < 0.0, "{disk:?}");
}

#[test]
fn a_gate_on_the_run_takes_all_phases_together() {
    let story = Story::new()
        .phase("good", &["error_rate < 1%"], &vec![answers(100, 20.0); 60])
        .phase(
            "bad",
            &[],
            &vec![answers(97, 20.0).and_other(3, Outcome::BadStatus); 60],
        )
        .run_gates(&["error_rate < 1%", "error_rate < 5%"]);
    let judgement = judged(&story.record());
    let verdicts: Vec<Verdict> = judgement.gates.iter().map(|gate| gate.verdict).collect();
    assert_eq!(verdicts, [Verdict::Pass, Verdict::Fail, Verdict::Pass]);
    assert_eq!(judgement.gates[1].samples, 12_000);
}

#[test]
fn the_run_fails_before_it_is_inconclusive_before_it_passes() {
    let verdict_of = |gates: &[&str]| {
        let story = Story::new()
            .phase("p", gates, &minute(2))
            .absent("gpu", "no GPU");
        judged(&story.record()).verdict
    };
    let (pass, fail, unclear) = (
        "error_rate < 1%",
        "response.p99 < 100ms",
        "gpu.utilization > 70%",
    );
    assert_eq!(verdict_of(&[pass]), Verdict::Pass);
    assert_eq!(verdict_of(&[pass, unclear]), Verdict::Inconclusive);
    assert_eq!(verdict_of(&[pass, unclear, fail]), Verdict::Fail);
    assert_eq!(verdict_of(&[]), Verdict::Inconclusive);
}

#[test]
fn an_incomplete_run_cannot_pass_and_can_fail() {
    let pass = || with("error_rate < 1%", &minute(0));
    assert_eq!(judged(&pass().record()).verdict, Verdict::Pass);
    for doubt in [
        Doubt::Interrupted { at_ns: 1 },
        Doubt::JournalFailed {
            at_ns: 1,
            reason: "disk full".to_owned(),
        },
    ] {
        assert_eq!(
            judged(&pass().doubt(doubt).record()).verdict,
            Verdict::Inconclusive
        );
    }
    assert_eq!(
        judged(&pass().cut_off().record()).verdict,
        Verdict::Inconclusive
    );
    let fail = with(
        "error_rate < 1%",
        &vec![answers(50, 20.0).and_other(50, Outcome::BadStatus); 60],
    );
    let cut = judged(&fail.doubt(Doubt::Interrupted { at_ns: 1 }).record());
    assert_eq!(cut.verdict, Verdict::Fail);
    // A clock that was set changes nothing.
    let set = pass().doubt(Doubt::ClockStep {
        at_ns: 1,
        by_ms: 9000,
    });
    assert_eq!(judged(&set.record()).verdict, Verdict::Pass);
}

#[test]
fn the_headline_says_it_all_in_one_line() {
    let gates = [
        "response.p95 < 100ms",
        "error_rate < 1%",
        "gpu.utilization > 70%",
    ];
    let reason = "no NVIDIA driver on this host: libnvidia-ml.so.1 was not found";
    let story = |slow| {
        Story::new()
            .phase("c1000", &gates, &minute(slow))
            .absent("gpu", reason)
    };
    let headline = |slow| judged(&story(slow).record()).headline;
    insta::assert_snapshot!(headline(1), @"INCONCLUSIVE: 2 of 3 gates pass; `gpu.utilization > 70%` (c1000) cannot be judged: no NVIDIA driver on this host: libnvidia-ml.so.1 was not found");
    insta::assert_snapshot!(headline(9), @"FAIL: 1 of 3 gates pass; `response.p95 < 100ms` (c1000) failed: at least 8.36 % of requests are over 100 ms (95 % bound), and only 5 % may be; the target's own service time is 150 ms at p99 of a response time of 150 ms: nothing waited before it was sent");
    let all_good = Story::new().phase("p", &gates[..2], &minute(1));
    insta::assert_snapshot!(judged(&all_good.record()).headline, @"PASS: 2 of 2 gates pass");
    let refused = Story::new()
        .unbegun("p", &gates[..2])
        .doubt(Doubt::Preflight {
            reason: "the target refused the connection".to_owned(),
        });
    insta::assert_snapshot!(judged(&refused.record()).headline, @"INCONCLUSIVE: 0 of 2 gates pass; no load was sent: the target refused the connection");
}

#[test]
fn the_summary_and_the_gate_show_the_same_percentile() {
    let record = with("response.p95 < 100ms", &minute(9)).record();
    let gate = &judged(&record).gates[0];
    let summary = quantile_ms(&record.phases[0].total.response, 0.95);
    assert!((gate.observed.unwrap() * 1000.0 - summary).abs() < 1e-9);
}

#[test]
fn a_bad_stretch_is_seen_where_the_whole_is_good() {
    // One stretch of ten seconds in five minutes has 5 % slow answers.
    let seconds: Vec<Second> = (0..300)
        .map(|second| {
            let slow = if (100..110).contains(&second) { 20 } else { 0 };
            answers(400 - slow, 20.0).and(slow, 500.0)
        })
        .collect();
    let judged = |gate: &str| only_gate(with(gate, &seconds));
    assert_eq!(judged("response.p90 < 100ms").verdict, Verdict::Pass);
    // 0.17 % of all, but from a single event nothing is known of how often it comes.
    let single = judged("response.p99 < 100ms");
    assert_eq!(single.verdict, Verdict::Inconclusive);
    assert!(
        single.reason.contains("they came in 1 burst"),
        "{}",
        single.reason
    );
    assert!(
        single.reason.contains("1 h 40 m would hold 20"),
        "{}",
        single.reason
    );
    let worst = judged("response.p99 < 100ms worst 10s");
    assert_eq!(worst.verdict, Verdict::Fail, "{}", worst.reason);
    assert!(
        worst.reason.contains("requests are over 100 ms"),
        "{}",
        worst.reason
    );
    let share = worst.share.unwrap();
    assert!(share.lower > 0.01, "{share:?}");
    let tolerant = judged("response.p90 < 100ms worst 10s");
    assert_eq!(tolerant.verdict, Verdict::Pass, "{}", tolerant.reason);
    assert!(
        tolerant.reason.contains("200 of 4000"),
        "{}",
        tolerant.reason
    );
    // A hundred requests show no p99.
    let few = judged("response.p99.9 < 1s worst 2s");
    assert_eq!(few.verdict, Verdict::Inconclusive, "{}", few.reason);
    let rate = judged("throughput > 390/s worst 10s");
    assert_eq!(rate.verdict, Verdict::Pass, "{}", rate.reason);
    assert_eq!(
        judged("throughput > 410/s worst 10s").verdict,
        Verdict::Fail
    );
    let quiet = only_gate(with(
        "error_rate < 1% worst 10s",
        &vec![Second::default(); 60],
    ));
    assert_eq!(quiet.verdict, Verdict::Inconclusive);
}

#[test]
fn a_service_on_the_limit_does_not_fail_for_its_worst_stretch() {
    // One answer in a hundred is slow, in each second: 1 % exactly.
    let seconds = vec![answers(99, 20.0).and(1, 500.0); 300];
    let result = only_gate(with("response.p99 < 100ms worst 10s", &seconds));
    assert_eq!(result.verdict, Verdict::Inconclusive, "{}", result.reason);
}

#[test]
fn one_kind_of_request_is_judged_by_itself() {
    let seconds: Vec<Second> = (0..60)
        .map(|_| Second {
            list_ms: vec![300.0; 40],
            ..answers(100, 20.0)
        })
        .collect();
    let judged = |gate: &str| {
        only_gate(with(gate, &seconds).with_header(|header| {
            header.requests = ["infer", "list"]
                .map(|name| bench::record::RequestInfo {
                    name: name.to_owned(),
                    method: "GET".to_owned(),
                    path: "/".to_owned(),
                    steps: Vec::new(),
                })
                .to_vec();
        }))
    };
    assert_eq!(judged("response.p99 < 100ms").verdict, Verdict::Fail);
    let infer = judged("response.p99{request=infer} < 100ms");
    assert_eq!((infer.verdict, infer.samples), (Verdict::Pass, 6000));
    let list = judged("response.p99{request=list} < 100ms worst 10s");
    assert_eq!((list.verdict, list.samples), (Verdict::Fail, 400));
    assert_eq!(
        judged("throughput{request=list} > 39/s").verdict,
        Verdict::Pass
    );
    let unknown = judged("error_rate{request=lost} < 1%");
    assert_eq!(unknown.verdict, Verdict::Inconclusive);
    assert!(unknown.reason.contains("no request named `lost`"));
}

#[test]
fn a_phase_that_is_not_steady_says_so() {
    let doubts = |count: &dyn Fn(usize) -> usize| {
        let seconds: Vec<Second> = (0..300)
            .map(|at| answers(count(at) + at % 3, 20.0))
            .collect();
        let record = Story::new().phase("p", &[], &seconds).record();
        let texts: Vec<String> = record.doubts.iter().map(ToString::to_string).collect();
        texts
    };
    assert_eq!(doubts(&|_| 200), [""; 0]);
    let warming = doubts(&|at| if at < 40 { 120 } else { 200 });
    assert!(
        warming[0].contains("the first 40.0 s of the measured window differ in throughput"),
        "{warming:?}"
    );
    let drifting = doubts(&|at| 200 - at / 5);
    assert!(drifting[0].contains("never settled"), "{drifting:?}");
}

/// The causes of the only gate, which must not pass.
fn causes(story: Story) -> Vec<&'static str> {
    let result = only_gate(story);
    assert_ne!(result.verdict, Verdict::Pass, "{}", result.reason);
    for explanation in &result.explanations {
        assert!(result.why().contains(&explanation.text));
        assert!(!explanation.text.contains("NaN"), "{}", explanation.text);
    }
    let causes = result.explanations.iter();
    causes.map(|explanation| explanation.cause.code()).collect()
}

#[test]
fn a_gate_that_fails_says_what_lies_behind_it() {
    let gate = "response.p99 < 100ms";
    // Answers that fail.
    let failing = vec![answers(90, 20.0).and_other(10, Outcome::BadStatus); 60];
    assert_eq!(causes(with(gate, &failing)), ["errors"]);
    assert_eq!(causes(with("error_rate < 1%", &failing)), ["errors"]);
    // A service that is slow throughout.
    assert_eq!(causes(with(gate, &minute(9))), ["service_time"]);
    // One that turns requests away, which then wait before they come again.
    let mut again = minute(9);
    again.iter_mut().for_each(|second| second.retried = 9);
    assert_eq!(causes(with(gate, &again)), ["retries"]);
    // One that stands still in two seconds of fifty.
    let mut stalled = vec![answers(100, 20.0); 50];
    stalled[20] = answers(100, 900.0);
    stalled[41] = answers(100, 900.0);
    assert_eq!(causes(with(gate, &stalled))[0], "stall");
    let text = only_gate(with(gate, &stalled)).why();
    assert!(
        text.contains("in 2 of 50 seconds, the first at 20.0 s"),
        "{text}"
    );
    // A gate that passes has nothing to explain.
    assert!(only_gate(with(gate, &minute(0))).explanations.is_empty());
}

#[test]
fn a_gpu_that_is_held_back_or_idle_is_named() {
    let gate = "response.p99 < 100ms";
    let throttled = |sample: u64| Some(f64::from(u8::from(sample.is_multiple_of(4))));
    let story = with(gate, &minute(9)).series("gpu.throttled", &[&|_| Some(0.0), &throttled]);
    assert_eq!(causes(story), ["service_time", "gpu_throttled"]);
    let story = with(gate, &minute(9)).series("gpu.utilization", &[&|_| Some(0.9), &|_| Some(0.0)]);
    let result = only_gate(story);
    let last = result.explanations.last().unwrap();
    assert_eq!(last.cause.code(), "gpu_idle");
    assert!(last.text.starts_with("GPU 1 was busy 0 %"), "{}", last.text);
}

#[test]
fn energy_is_divided_by_the_requests_that_it_served() {
    // Two GPUs at 300 W and 100 W, 100 answers a second: 4 J each.
    let watts = |watts: f64| move |sample: u64| Some(1e6 + watts * sample as f64 / 10.0);
    let story = |gate: &str, seconds: &[Second]| {
        with(gate, seconds).series("gpu.energy", &[&watts(300.0), &watts(100.0)])
    };
    let result = only_gate(story("gpu.energy_per_request < 4.5J", &minute(0)));
    assert_eq!(result.verdict, Verdict::Pass, "{}", result.reason);
    assert!(
        (result.observed.unwrap() - 4.0).abs() < 1e-9,
        "{}",
        result.reason
    );
    assert!(
        result.reason.starts_with("4.00 J of 2 GPUs"),
        "{}",
        result.reason
    );
    let result = only_gate(story("gpu.energy_per_request < 3.9J", &minute(0)));
    assert_eq!(result.verdict, Verdict::Fail, "{}", result.reason);
    // The same power for requests that come unevenly: between the bounds nothing can be said.
    let uneven: Vec<Second> = (0..60)
        .map(|second| answers(if second % 7 < 3 { 30 } else { 150 }, 20.0))
        .collect();
    let result = only_gate(story("gpu.energy_per_request < 4.06J", &uneven));
    let (lower, upper) = (result.lower.unwrap(), result.upper.unwrap());
    assert!(lower < 4.06 && upper > 4.06, "{}", result.reason);
    assert_eq!(result.verdict, Verdict::Inconclusive, "{}", result.reason);
    // A counter that is read once a second, as the driver refreshes it, says the same.
    let slow = |sample: u64| sample.is_multiple_of(10).then_some(30.0 * sample as f64);
    let result =
        only_gate(with("gpu.energy_per_request < 4J", &minute(0)).series("gpu.energy", &[&slow]));
    assert_eq!(result.verdict, Verdict::Pass, "{}", result.reason);
    assert!(
        (result.observed.unwrap() - 3.0).abs() < 1e-9,
        "{}",
        result.reason
    );
}

#[test]
fn energy_that_is_not_known_is_no_energy() {
    let gate = "gpu.energy_per_request < 1J";
    let undecided = |story: Story, why: &str| {
        let result = only_gate(story);
        assert_eq!(result.verdict, Verdict::Inconclusive);
        assert!(result.reason.contains(why), "{}", result.reason);
    };
    undecided(with(gate, &minute(0)), "nothing sampled `gpu.energy`");
    let absent = with(gate, &minute(0)).absent("gpu", "no NVIDIA driver on this host");
    undecided(absent, "no NVIDIA driver");
    // Reset in the middle, again and again: what was counted before is lost.
    let reset = |sample: u64| Some((sample % 15) as f64);
    undecided(
        with(gate, &minute(0)).series("gpu.energy", &[&reset]),
        "telemetry gap",
    );
    let half = |sample: u64| (sample < 300).then_some(sample as f64);
    undecided(
        with(gate, &minute(0)).series("gpu.energy", &[&half]),
        "is known for 48.3",
    );
}

#[test]
fn fewer_replicas_than_before_are_named() {
    let story = Story::new()
        .phase("before", &[], &minute(0))
        .phase("p", &["response.p99 < 100ms"], &minute(9))
        .series(
            "server.replicas",
            &[&|sample| Some(if sample < 400 { 4.0 } else { 3.0 })],
        );
    let causes = causes(story);
    assert_eq!(causes, ["service_time", "replica_missing"]);
}

#[test]
fn a_busy_gpu_cannot_be_asked_of_a_generator_that_cannot_send() {
    let story = |busy: f64| {
        let seconds: Vec<Second> = minute(0)
            .into_iter()
            .map(|second| Second { busy, ..second })
            .collect();
        with("gpu.utilization > 70%", &seconds).series(
            "gpu.utilization",
            &[&|sample| Some(0.3 + 0.01 * (sample % 7) as f64)],
        )
    };
    assert_eq!(only_gate(story(0.2)).verdict, Verdict::Fail);
    let result = only_gate(story(0.97));
    assert_eq!(result.verdict, Verdict::Inconclusive);
    assert!(result.reason.contains("bottleneck"), "{}", result.reason);
}

/// A minute whose answers all take so long.
fn steady(ms: f64) -> Story {
    with("response.p50 < 1s", &vec![answers(100, ms); 60])
}

#[test]
fn a_run_is_judged_against_its_baseline_too() {
    let old: Vec<RunRecord> = [20.0, 20.3, 20.1, 19.8, 20.2]
        .map(|ms| steady(ms).record())
        .into();
    let judged_at = |ms: f64, old: &[RunRecord]| judged(&steady(ms).baseline(0.05, old).record());
    let worse = judged_at(24.0, &old);
    assert_eq!(worse.verdict, Verdict::Fail, "{}", worse.headline);
    let texts: Vec<&str> = worse.gates.iter().map(|gate| &gate.gate.text[..]).collect();
    assert_eq!(
        texts,
        [
            "response.p50 < 1s",
            "response.p50 < baseline + 5 %",
            "response.p90 < baseline + 5 %",
            "response.p99 < baseline + 5 %",
            "throughput > baseline − 5 %",
            "error_rate < baseline + 5 %",
        ]
    );
    let p99 = &worse.gates[3];
    assert_eq!(p99.verdict, Verdict::Fail);
    assert!(p99.reason.starts_with("worse: +19"), "{}", p99.reason);
    // The bounds and the limit are times, as the observed value is, and agree with the verdict.
    assert!((p99.gate.gate.limit.value - 0.021_08).abs() < 1e-4);
    assert!(p99.lower.unwrap() > p99.gate.gate.limit.value);
    let same = judged_at(20.1, &old);
    assert_eq!(same.verdict, Verdict::Pass, "{}", same.headline);
    // One old run says nothing of how runs vary.
    let single = judged_at(20.5, &old[..1]);
    assert_eq!(single.verdict, Verdict::Inconclusive);
    // Its own gates are judged all the same, and a baseline of other circumstances is told.
    let elsewhere: Vec<RunRecord> = old
        .iter()
        .map(|_| steady(20.0).with_header(|header| header.environment.kernel = "5".to_owned()))
        .map(Story::record)
        .collect();
    let record = steady(20.0).baseline(0.05, &elsewhere).record();
    let doubts: Vec<String> = record.doubts.iter().map(ToString::to_string).collect();
    assert_eq!(doubts, ["the baseline differs in kernel: 5, and – here"]);
}

#[test]
fn a_phase_that_never_settled_bears_only_verdicts_that_its_change_could_not_turn() {
    // Ten minutes in which the response time goes from one value to another.
    let drifting = |from: f64, to: f64| -> Vec<Second> {
        (0..600)
            .map(|second| answers(50, from + (to - from) * f64::from(second) / 600.0))
            .collect()
    };
    let verdict = |gate: &str, seconds: &[Second]| {
        let result = only_gate(with(gate, seconds));
        (result.verdict, result.reason)
    };
    let rising = drifting(60.0, 90.0);
    // Below the limit as yet, but not if it goes on.
    let (near, reason) = verdict("response.p50 < 95ms", &rising);
    assert_eq!(near, Verdict::Inconclusive, "{reason}");
    assert!(
        reason.contains("if that goes on, the verdict turns"),
        "{reason}"
    );
    // Far below, and above: no change of that size turns it.
    assert_eq!(verdict("response.p50 < 200ms", &rising).0, Verdict::Pass);
    assert_eq!(verdict("response.p99 < 50ms", &rising).0, Verdict::Fail);
    assert_eq!(verdict("response.p50 < 58ms", &rising).0, Verdict::Fail);
    // What falls may be a warm-up: a PASS is safe, a FAIL is not.
    let falling = drifting(90.0, 60.0);
    assert_eq!(verdict("response.p50 < 100ms", &falling).0, Verdict::Pass);
    let (near, reason) = verdict("response.p50 < 58ms", &falling);
    assert_eq!(near, Verdict::Inconclusive, "{reason}");
    assert!(
        reason.contains("if that goes on, the verdict turns"),
        "{reason}"
    );
    // The share of errors did not change.
    assert_eq!(verdict("error_rate < 50%", &rising).0, Verdict::Pass);
}

#[test]
fn a_warm_up_that_was_too_short_bears_only_verdicts_that_do_not_rest_on_it() {
    // Five minutes, of which the first hundred seconds are unlike the rest.
    let story = |first: f64, then: f64| -> Vec<Second> {
        (0..300)
            .map(|second| answers(50, if second < 100 { first } else { then }))
            .collect()
    };
    let judge = |gate: &str, seconds: &[Second]| {
        let result = only_gate(with(gate, seconds));
        (result.verdict, result.reason)
    };
    let cold = story(150.0, 60.0);
    let (verdict, reason) = judge("response.p97 < 100ms", &cold);
    assert_eq!(verdict, Verdict::Inconclusive, "{reason}");
    assert!(
        reason.starts_with("the warm-up was too short: the first 100 s of the measured window")
            && reason.contains("with them the gate is FAIL, without them PASS: "),
        "{reason}"
    );
    // Missed by all of them, and met by all of them.
    assert_eq!(judge("response.p95 < 50ms", &cold).0, Verdict::Fail);
    assert_eq!(judge("response.p50 < 200ms", &cold).0, Verdict::Pass);
    // An empty queue at first: a PASS rests on it, and a FAIL is safe.
    let empty: Vec<Second> = (0..300)
        .map(|second| answers(if second < 100 { 100 } else { 50 }, 20.0))
        .collect();
    let (verdict, reason) = judge("throughput > 55/s", &empty);
    assert_eq!(verdict, Verdict::Inconclusive, "{reason}");
    assert!(reason.contains("without them FAIL"), "{reason}");
    assert_eq!(judge("throughput > 110/s", &empty).0, Verdict::Fail);
    // The share of errors did not change.
    assert_eq!(judge("error_rate < 1%", &cold).0, Verdict::Pass);
}

#[test]
fn no_error_in_a_service_whose_latency_wanders_shows_that_there_are_few() {
    // Latencies hang together for a minute each time; errors do not come at all, or in one burst.
    let seconds = |failed: usize| -> Vec<Second> {
        (0..300)
            .map(|second| {
                let slow = if second / 60 % 2 == 0 { 20.0 } else { 90.0 };
                let failed = if second == 150 { failed } else { 0 };
                answers(100 - failed, slow).and_other(failed, Outcome::BadStatus)
            })
            .collect()
    };
    let judge = |failed| only_gate(with("error_rate < 0.1%", &seconds(failed)));
    let none = judge(0);
    assert_eq!(none.verdict, Verdict::Pass, "{}", none.reason);
    assert_eq!(none.share.unwrap().design_effect, 1.0);
    // Of a single burst nobody knows how often it comes.
    let burst = judge(20);
    assert_eq!(burst.verdict, Verdict::Inconclusive, "{}", burst.reason);
}

#[test]
fn a_ramp_is_no_drift_and_what_comes_after_it_is_looked_at() {
    use bench::record::LoadInfo;
    use bench::schedule::{Profile, Stage};
    let story = |seconds: &[Second]| {
        with("response.p99 < 1s", seconds).with_header(|header| {
            let stage = |to, over_s: u64| Stage {
                to,
                over_ns: over_s * 1_000_000_000,
            };
            header.phases[0].load = LoadInfo::Concurrency {
                users: Profile::new(vec![stage(10.0, 100), stage(10.0, 300)]),
                think_time_ns: 0,
            };
        })
    };
    let ramp = || (0..100).map(|second| answers(1 + second / 2, 20.0));
    let steady = ramp().chain((0..300).map(|_| answers(50, 20.0)));
    let record = story(&steady.collect::<Vec<_>>()).record();
    assert!(record.doubts.is_empty(), "{:?}", record.doubts);
    let sinking = ramp().chain((0..300).map(|second| answers(80 - second / 10, 20.0)));
    let record = story(&sinking.collect::<Vec<_>>()).record();
    let doubts: Vec<String> = record.doubts.iter().map(ToString::to_string).collect();
    assert_eq!(doubts.len(), 1, "{doubts:?}");
    assert!(doubts[0].contains("throughput fell"), "{doubts:?}");
}
