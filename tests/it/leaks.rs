//! Leaks and plateaus over hours that are made up second by second: the truth is known.

use crate::support::records::{Second, Story, answers};
use bench::verdict::{GateResult, Verdict, gates_of, judge};

const MIB: f64 = 1_048_576.0;
const HOUR: usize = 3600;

/// An hour of steady load and one sampled series; the function takes seconds.
fn judged(gate: &str, metric: &str, seconds: usize, value: &dyn Fn(f64) -> f64) -> GateResult {
    let load = vec![answers(10, 20.0); seconds];
    let story = Story::new()
        .phase("soak", &[gate], &load)
        .series(metric, &[&|sample| Some(value(sample as f64 / 10.0))]);
    only(story)
}

fn only(story: Story) -> GateResult {
    let record = story.record();
    let mut judgement = judge(&record, &gates_of(&record).unwrap());
    assert_eq!(judgement.gates.len(), 1);
    judgement.gates.remove(0)
}

/// Noise of one MiB to either side, without a memory (the finalizer of `SplitMix64`).
fn noise(t: f64) -> f64 {
    let mut mixed = t.to_bits().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed >> 11) as f64 / (1_u64 << 53) as f64 - 0.5) * 2.0 * MIB
}

#[test]
fn a_leak_is_found_with_its_rate_its_beginning_and_its_end() {
    let leak = |t: f64| 500.0 * MIB + 60.0 * MIB * (t - 1800.0).max(0.0) / 3600.0 + noise(t);
    let result = judged("target.memory.leak < 10MiB/h", "target.memory", HOUR, &leak);
    assert_eq!(result.verdict, Verdict::Fail, "{}", result.reason);
    let growth = result.growth.unwrap();
    let per_hour = |rate: f64| rate * 3600.0 / MIB;
    assert!((per_hour(growth.recent) - 60.0).abs() < 3.0, "{growth:?}");
    assert!(
        (growth.onset_s.unwrap() - 1800.0).abs() < 150.0,
        "{growth:?}"
    );
    assert_eq!(growth.blocks.len(), 40);
    assert!(result.reason.contains("; it began "), "{}", result.reason);

    let steady = |t: f64| 500.0 * MIB + 60.0 * MIB * t / 3600.0 + noise(t);
    let result = judged(
        "target.memory.leak < 10MiB/h",
        "target.memory",
        HOUR,
        &steady,
    );
    assert_eq!(result.verdict, Verdict::Fail, "{}", result.reason);
    assert!((per_hour(result.observed.unwrap()) - 60.0).abs() < 1.0);
    // Ten requests a second, 36 000 an hour.
    let per_1000 = result.growth.unwrap().per_1000_requests.unwrap();
    assert!((per_1000 / MIB - 60.0 / 36.0).abs() < 0.05, "{per_1000}");
}

#[test]
fn what_settles_is_acquitted() {
    type Shape = (&'static str, fn(f64) -> f64);
    let shapes: [Shape; 5] = [
        ("flat", |_| 0.0),
        ("a warm-up", |t| 300.0 * (1.0 - (-t / 600.0).exp())),
        ("a cache that is full after half an hour", |t| {
            400.0 * (t / 1800.0).min(1.0)
        }),
        ("a collector", |t| 200.0 * (t / 75.0).fract()),
        ("a few steps", |t| 32.0 * (t / 400.0).floor().min(4.0)),
    ];
    for (name, shape) in shapes {
        let value = |t: f64| 500.0 * MIB + shape(t) * MIB + noise(t);
        let result = judged(
            "target.memory.leak < 10MiB/h",
            "target.memory",
            HOUR,
            &value,
        );
        assert_eq!(result.verdict, Verdict::Pass, "{name}: {}", result.reason);
        let growth = result.growth.unwrap();
        assert!(
            growth.smallest_detectable * 3600.0 / MIB < 20.0,
            "{name}: {growth:?}"
        );
    }
}

#[test]
fn ten_minutes_acquit_nobody_and_convict_only_of_what_would_soon_be_over() {
    let leaking = |per_second: f64| move |t: f64| 500.0 * MIB + per_second * MIB * t + noise(t);
    let short = |value: &dyn Fn(f64) -> f64| {
        let load = vec![answers(10, 20.0); 600];
        let story = Story::new()
            .memory_bytes(16.0 * 1024.0 * MIB)
            .phase("soak", &["target.memory.leak < 10MiB/h"], &load)
            .series(
                "target.memory",
                &[&|sample| Some(value(sample as f64 / 10.0))],
            )
            .series("host.memory", &[&|_| Some(0.5)]);
        only(story)
    };
    let flat = short(&leaking(0.0));
    assert_eq!(flat.verdict, Verdict::Inconclusive);
    assert!(flat.reason.contains("it takes 45 m"), "{}", flat.reason);
    // 3.5 GiB an hour of 8 GiB that are free, and 35 GiB an hour.
    assert_eq!(short(&leaking(1.0)).verdict, Verdict::Inconclusive);
    let fast = short(&leaking(10.0));
    assert_eq!(fast.verdict, Verdict::Fail, "{}", fast.reason);
    let left = fast.growth.unwrap().exhausted_in_s.unwrap();
    assert!((left - 819.0).abs() < 20.0, "{left}");
}

#[test]
fn memory_of_gpus_grows_in_steps_and_each_gpu_counts() {
    let gate = "gpu.memory.leak < 10MiB/h";
    let steps = |per_hour: f64, quantum: f64| {
        move |sample: u64| {
            let t = sample as f64 / 10.0;
            Some(((8000.0 + per_hour * t / 3600.0) / quantum).ceil() * quantum * MIB)
        }
    };
    let load = vec![answers(10, 20.0); HOUR];
    let two = |first: &dyn Fn(u64) -> Option<f64>, second: &dyn Fn(u64) -> Option<f64>| {
        let story = Story::new().phase("soak", &[gate], &load);
        only(story.series("gpu.memory.used", &[first, second]))
    };
    let flat = steps(0.0, 2.0);
    assert_eq!(two(&flat, &flat).verdict, Verdict::Pass);
    let leaking = two(&flat, &steps(60.0, 2.0));
    assert_eq!(leaking.verdict, Verdict::Fail, "{}", leaking.reason);
    assert_eq!(leaking.growth.unwrap().instance, "1");
    // Segments of 20 MiB: one step in the window neither convicts nor acquits.
    let coarse = two(&flat, &steps(30.0, 20.0));
    assert_eq!(coarse.verdict, Verdict::Inconclusive, "{}", coarse.reason);
    assert!(
        coarse.reason.contains("steps of 20.0 MiB"),
        "{}",
        coarse.reason
    );
}

#[test]
fn descriptors_threads_and_latencies_can_creep_too() {
    let leaked = |t: f64| (100.0 + t / 60.0).floor();
    let gate = "target.descriptors.growth < 5/h";
    let result = judged(gate, "target.descriptors", HOUR, &leaked);
    assert_eq!(result.verdict, Verdict::Fail, "{}", result.reason);
    let steady = judged(
        "target.threads.growth < 5/h",
        "target.threads",
        HOUR,
        &|_| 64.0,
    );
    assert_eq!(steady.verdict, Verdict::Pass, "{}", steady.reason);

    let creeping = |per_hour_ms: f64| {
        let load: Vec<Second> = (0..HOUR)
            .map(|t| {
                let slow = 50.0 + per_hour_ms * t as f64 / 3600.0 + (t * 7 % 5) as f64 / 10.0;
                answers(48, 20.0).and(2, slow)
            })
            .collect();
        only(Story::new().phase("soak", &["response.p99.drift < 5ms/h"], &load))
    };
    assert_eq!(
        creeping(0.0).verdict,
        Verdict::Pass,
        "{}",
        creeping(0.0).reason
    );
    let slower = creeping(30.0);
    assert_eq!(slower.verdict, Verdict::Fail, "{}", slower.reason);
    assert!((slower.observed.unwrap() * 3600.0 - 0.030).abs() < 0.003);
}

#[test]
fn memory_of_a_generator_that_grows_itself_convicts_nobody() {
    let gate = "host.memory.leak < 10MiB/h";
    let grow = |sample: u64| Some(300.0 * MIB + sample as f64 * 0.005 * MIB);
    let share = |sample: u64| Some(0.5 + sample as f64 * 0.005 / (16.0 * 1024.0));
    let load = vec![answers(10, 20.0); HOUR];
    let story = || {
        Story::new()
            .memory_bytes(16.0 * 1024.0 * MIB)
            .phase("soak", &[gate], &load)
            .series("host.memory", &[&share])
    };
    assert_eq!(only(story()).verdict, Verdict::Fail);
    let both = only(story().series("generator.memory", &[&grow]));
    assert_eq!(both.verdict, Verdict::Inconclusive, "{}", both.reason);
    assert!(
        both.reason.contains("generator's own memory"),
        "{}",
        both.reason
    );
}

#[test]
fn growth_over_two_phases_is_no_growth() {
    let load = vec![answers(10, 20.0); 100];
    let story = Story::new()
        .phase("one", &[], &load)
        .phase("two", &[], &load)
        .run_gates(&["target.memory.leak < 10MiB/h"])
        .series("target.memory", &[&|_| Some(1e9)]);
    let result = only(story);
    assert_eq!(result.verdict, Verdict::Inconclusive);
    assert!(
        result.reason.contains("one steady load"),
        "{}",
        result.reason
    );
}
