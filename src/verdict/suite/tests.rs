//! Records made by hand, and what is found in them. All figures are made up.

use super::*;
use crate::record::{
    Health, Measured, PcieLink, Peak, PeerPair, SuiteCriteria, TestResult, TuneSeries, Xid,
};
use std::collections::BTreeMap;

fn measured(median: f64, reach: f64) -> Measured {
    Measured {
        unit: "GB/s".to_owned(),
        median,
        q1: median - reach / 2.0,
        q3: median + reach / 2.0,
        lower: Some(median - reach),
        upper: Some(median + reach),
        min: median - reach,
        max: median + reach,
        samples: 10,
        sm_clock_mhz: Some(2000.0),
        peaks: vec![Peak {
            name: "datasheet".to_owned(),
            value: 200.0,
            source: "made up".to_owned(),
        }],
        ..Measured::default()
    }
}

fn gpu(ordinal: u32, median: f64, reach: f64) -> SuiteGpu {
    SuiteGpu {
        ordinal,
        name: "SIMULATED".to_owned(),
        uuid: format!("GPU-{ordinal}"),
        health: Some(Health::default()),
        results: vec![TestResult {
            test: "memory.copy".to_owned(),
            outcome: TestOutcome::Measured(measured(median, reach)),
        }],
        ..SuiteGpu::default()
    }
}

fn of(gpus: Vec<SuiteGpu>) -> SuiteRecord {
    SuiteRecord {
        id: "earlier".to_owned(),
        simulated: true,
        gpus,
        ..SuiteRecord::default()
    }
}

/// The verdict, and everything that is not a pass or was remarked.
fn told(record: &SuiteRecord, criteria: &SuiteCriteria) -> String {
    let judged = judge_suite(&SuiteRecord {
        criteria: criteria.clone(),
        ..record.clone()
    });
    let mut lines = vec![format!("{}: {}", judged.verdict.as_str(), judged.headline)];
    for finding in &judged.findings {
        let gpu = finding.gpu.map(|gpu| format!("{gpu} ")).unwrap_or_default();
        let verdict = finding.verdict.as_str();
        lines.push(format!("  {verdict} {gpu}{}", finding.reason));
    }
    for gate in &judged.gates {
        let verdict = gate.verdict.as_str();
        lines.push(format!("  {verdict} {} {}", gate.gpu, gate.reason));
    }
    lines.join("\n")
}

fn plain(record: &SuiteRecord) -> String {
    told(record, &SuiteCriteria::default())
}

#[test]
fn a_sick_gpu_is_found_among_siblings_and_noise_is_not_decided() {
    let with = |last| plain(&of(vec![gpu(0, 100.0, 1.0), gpu(1, 101.0, 1.0), last]));
    insta::assert_snapshot!(
        [
            with(gpu(2, 99.0, 1.0)),
            with(gpu(2, 90.0, 1.0)),
            with(gpu(2, 93.0, 8.0)),
            plain(&of(vec![gpu(0, 100.0, 1.0), gpu(1, 50.0, 1.0)])),
        ]
        .join("\n"),
        @r"
        PASS: 3 measurements on 3 GPUs, every result right, 3 gates passed
          PASS 0 memory.copy: 100.0 % (98.0 – 102.0) of the median of its 2 siblings, at least 95.0 % is demanded
          PASS 1 memory.copy: 101.5 % (99.5 – 103.6) of the median of its 2 siblings, at least 95.0 % is demanded
          PASS 2 memory.copy: 98.5 % (96.6 – 100.5) of the median of its 2 siblings, at least 95.0 % is demanded
        FAIL: GPU 2: memory.copy: 89.6 % (87.7 – 91.5) of the median of its 2 siblings, at least 95.0 % is demanded
          PASS 0 memory.copy: 104.7 % (102.6 – 106.9) of the median of its 2 siblings, at least 95.0 % is demanded
          PASS 1 memory.copy: 106.3 % (104.2 – 108.5) of the median of its 2 siblings, at least 95.0 % is demanded
          FAIL 2 memory.copy: 89.6 % (87.7 – 91.5) of the median of its 2 siblings, at least 95.0 % is demanded
        INCONCLUSIVE: GPU 2: memory.copy: 92.5 % (83.7 – 101.5) of the median of its 2 siblings, at least 95.0 % is demanded
          PASS 0 memory.copy: 103.1 % (97.5 – 109.2) of the median of its 2 siblings, at least 95.0 % is demanded
          PASS 1 memory.copy: 104.7 % (99.0 – 110.9) of the median of its 2 siblings, at least 95.0 % is demanded
          INCONCLUSIVE 2 memory.copy: 92.5 % (83.7 – 101.5) of the median of its 2 siblings, at least 95.0 % is demanded
        INCONCLUSIVE: GPU 1: memory.copy: it and its only sibling differ by 50.0 %: one of the two is slow
          INCONCLUSIVE 1 memory.copy: it and its only sibling differ by 50.0 %: one of the two is slow
        "
    );
}

#[test]
fn siblings_with_another_model_or_power_limit_are_none() {
    let mut capped = gpu(2, 60.0, 1.0);
    capped.power_limit_watts = Some(350.0);
    let record = of(vec![gpu(0, 100.0, 1.0), gpu(1, 100.0, 1.0), capped]);
    assert!(judge_suite(&record).gates.is_empty());
}

#[test]
fn a_gpu_is_held_to_its_own_past() {
    let against = |new: SuiteRecord, old: SuiteRecord| {
        let criteria = SuiteCriteria {
            baseline: Some(Box::new(old)),
            ..SuiteCriteria::default()
        };
        told(&new, &criteria)
    };
    let mut capped = gpu(0, 80.0, 1.0);
    if let TestOutcome::Measured(measured) = &mut capped.results[0].outcome {
        measured.sm_clock_mhz = Some(1600.0);
    }
    let mut newer = of(vec![gpu(0, 99.0, 1.0)]);
    newer.driver = Some("590.1".to_owned());
    newer.gpus[0].power_limit_watts = Some(600.0);
    let mut other_kernels = of(vec![gpu(0, 100.0, 1.0)]);
    other_kernels.kernels = "abc".to_owned();
    let old = || of(vec![gpu(0, 100.0, 1.0)]);
    insta::assert_snapshot!(
        [
            against(newer, old()),
            against(of(vec![gpu(0, 80.0, 1.0)]), old()),
            against(of(vec![capped]), old()),
            against(of(vec![gpu(0, 94.0, 2.0)]), old()),
            against(other_kernels, old()),
            against(of(vec![gpu(7, 100.0, 1.0)]), old()),
        ]
        .join("\n"),
        @r"
        PASS: 1 measurement on 1 GPU, every result right, 1 gate passed
          PASS the driver was unknown in the baseline and is 590.1
          PASS 0 its power limit was unknown in the baseline and is 600 W
          PASS 0 memory.copy: 99.0 % (97.0 – 101.0) of the baseline, at least 95.0 % is demanded
        FAIL: GPU 0: memory.copy: 80.0 % (78.2 – 81.8) of the baseline, at least 95.0 % is demanded
          FAIL 0 memory.copy: 80.0 % (78.2 – 81.8) of the baseline, at least 95.0 % is demanded
        FAIL: GPU 0: memory.copy: 80.0 % (78.2 – 81.8) of the baseline, at least 95.0 % is demanded; the clock was 1600 MHz instead of 2000: look at power, cooling and settings
          FAIL 0 memory.copy: 80.0 % (78.2 – 81.8) of the baseline, at least 95.0 % is demanded; the clock was 1600 MHz instead of 2000: look at power, cooling and settings
        INCONCLUSIVE: GPU 0: memory.copy: 94.0 % (91.1 – 97.0) of the baseline, at least 95.0 % is demanded
          INCONCLUSIVE 0 memory.copy: 94.0 % (91.1 – 97.0) of the baseline, at least 95.0 % is demanded
        INCONCLUSIVE: cannot be compared with the baseline earlier: they were measured with different kernels
          INCONCLUSIVE cannot be compared with the baseline earlier: they were measured with different kernels
        INCONCLUSIVE: the GPU GPU-0 of the baseline earlier is not here
          INCONCLUSIVE the GPU GPU-0 of the baseline earlier is not here
          INCONCLUSIVE 7 the baseline earlier does not have it
        "
    );
}

#[test]
fn floors_are_judged_with_intervals_and_what_did_not_run_is_undecided() {
    let criteria = |floors: &[&str]| SuiteCriteria {
        floors: floors.iter().map(|floor| floor.parse().unwrap()).collect(),
        ..SuiteCriteria::default()
    };
    let record = of(vec![gpu(0, 100.0, 1.0)]);
    let floors = [
        "memory.copy=0.09TB/s",
        "memory.copy=102GB/s",
        "memory.copy=100GB/s",
        "memory.copy=40%",
        "memory.copy=20us",
        "memory.read=1GB/s",
    ];
    insta::assert_snapshot!(told(&record, &criteria(&floors)), @r"
        FAIL: GPU 0: memory.copy: 100 (99.0 – 101) GB/s, at least 102 GB/s is demanded
          PASS 0 memory.copy: 100 (99.0 – 101) GB/s, at least 90.0 GB/s is demanded
          FAIL 0 memory.copy: 100 (99.0 – 101) GB/s, at least 102 GB/s is demanded
          INCONCLUSIVE 0 memory.copy: 100 (99.0 – 101) GB/s, at least 100 GB/s is demanded
          PASS 0 memory.copy: 100 (99.0 – 101) GB/s, at least 80.0 GB/s is demanded (40.0 % of the data sheet)
          INCONCLUSIVE 0 memory.copy: it is measured in GB/s, and the demand is in µs
          INCONCLUSIVE 0 memory.read: it did not run
        ");
    let mut few = of(vec![gpu(0, 100.0, 1.0)]);
    if let TestOutcome::Measured(measured) = &mut few.gpus[0].results[0].outcome {
        (measured.lower, measured.samples) = (None, 2);
        measured.peaks.clear();
    }
    insta::assert_snapshot!(told(&few, &criteria(&["memory.copy=1GB/s", "memory.copy=40%"])), @r"
        INCONCLUSIVE: GPU 0: memory.copy: 2 samples are too few
          INCONCLUSIVE 0 memory.copy: 2 samples are too few
          INCONCLUSIVE 0 memory.copy: the data sheet of this GPU is not known for it: demand a value with a unit
        ");
}

#[test]
fn counters_link_and_messages_tell_a_sick_gpu() {
    let counters = |values: &[(&str, u64)]| -> BTreeMap<String, u64> {
        let values = values.iter();
        values
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect()
    };
    let mut sick = gpu(0, 100.0, 1.0);
    sick.health = Some(Health {
        before: counters(&[
            ("ecc.uncorrected", 2),
            ("ecc.corrected", 5),
            ("ecc.uncorrected_lifetime", 9),
            ("remapped.pending", 0),
            ("remapped.uncorrected", 3),
            ("pcie.replays", 10),
            ("recovery_action", 1),
            ("slowed.power", 0),
            ("slowed.thermal", 0),
            ("slowed.board", 500),
        ]),
        after: counters(&[
            ("ecc.uncorrected", 3),
            ("ecc.corrected", 5),
            ("ecc.uncorrected_lifetime", 9),
            ("remapped.pending", 1),
            ("remapped.uncorrected", 4),
            ("pcie.replays", 12),
            ("recovery_action", 1),
            ("slowed.power", 9_000_000_000),
            ("slowed.thermal", 2_000_000_000),
            ("slowed.board", 1_000_500),
        ]),
        seconds: 10.0,
        link: Some(PcieLink {
            generation: 5,
            width: 8,
            highest_generation: 5,
            widest: 16,
        }),
        missing: Vec::new(),
    });
    let mut record = of(vec![sick]);
    let xid = |uuid: &str, code| Xid {
        uuid: uuid.to_owned(),
        code,
    };
    record.xids = Some(vec![xid("GPU-0", 79), xid("GPU-0", 31), xid("GPU-9", 48)]);
    insta::assert_snapshot!(plain(&record), @r"
        FAIL: GPU 0: ecc.uncorrected: 3 memory errors that could not be corrected since the driver was loaded (1 of them new)
          FAIL 0 ecc.uncorrected: 3 memory errors that could not be corrected since the driver was loaded (1 of them new)
          FAIL 0 remapped.uncorrected: 1 memory rows remapped after errors that could not be corrected during the suite
          FAIL 0 remapped.pending: 1 memory rows wait to be remapped: reset the GPU (1 of them new)
          INCONCLUSIVE 0 pcie.replays: 2 packets repeated on PCIe during the suite
          FAIL 0 recovery_action: 1 is the recovery that the driver asks for (1 reset, 2 reboot, 3 drain, 4 drain and reset)
          FAIL 0 slowed.thermal: clocks were held back by heat for 2.00 s (20.0 % of the time)
          INCONCLUSIVE 0 slowed.board: clocks were held back by a limit of the board, such as a power brake for 1.00 ms (0.0100 % of the time)
          FAIL 0 under load its PCIe link had generation 5 with 8 lanes, and generation 5 with 16 lanes is possible here: is it seated well?
          FAIL 0 the driver reported Xid 79 during the suite, which is a fault of the GPU, its link or its driver
          INCONCLUSIVE 0 the driver reported Xid 31 during the suite, which a program on this GPU can have caused
          FAIL the driver reported Xid 48 about GPU-9 during the suite, which is a fault of the GPU, its link or its driver
        ");
}

#[test]
fn wrong_results_and_heat_are_found_and_nothing_is_never_a_pass() {
    let mut wrong = gpu(0, 100.0, 1.0);
    wrong.results[0].outcome = TestOutcome::Wrong("3 words of the copy are wrong".to_owned());
    let mut hot = gpu(0, 100.0, 1.0);
    if let TestOutcome::Measured(measured) = &mut hot.results[0].outcome {
        (measured.throttled_samples, measured.power_capped_samples) = (3, 7);
    }
    let mut capped = gpu(0, 100.0, 1.0);
    capped.health = None;
    if let TestOutcome::Measured(measured) = &mut capped.results[0].outcome {
        measured.power_capped_samples = 10;
    }
    let all = [vec![wrong], vec![hot], vec![capped], Vec::new()];
    insta::assert_snapshot!(all.map(|gpus| plain(&of(gpus))).join("\n"), @r"
        FAIL: GPU 0: memory.copy: 3 words of the copy are wrong
          FAIL 0 memory.copy: 3 words of the copy are wrong
          INCONCLUSIVE nothing was measured
        INCONCLUSIVE: GPU 0: memory.copy: heat or hardware held the clocks back in 3 of 10 samples
          INCONCLUSIVE 0 memory.copy: heat or hardware held the clocks back in 3 of 10 samples
        PASS: 1 measurement on 1 GPU, every result right; health was not seen
        INCONCLUSIVE: nothing was measured
          INCONCLUSIVE nothing was measured
        ");
}

/// Two GPUs with copies between them, in both orders.
fn linked(there: f64, back: f64) -> SuiteRecord {
    let pair = |from, to, speed: f64| {
        let result = |test: &str| TestResult {
            test: test.to_owned(),
            outcome: TestOutcome::Measured(measured(speed, 1.0)),
        };
        PeerPair {
            from,
            to,
            unreachable: None,
            results: vec![result("peer.copy")],
        }
    };
    let mut record = of(vec![gpu(0, 100.0, 1.0), gpu(1, 100.0, 1.0)]);
    record.pairs = vec![pair(0, 1, there), pair(1, 0, back)];
    record
}

#[test]
fn links_between_gpus_are_held_to_their_past_and_to_floors() {
    let against = |new: &SuiteRecord, floors: &[&str], old: Option<SuiteRecord>| {
        let criteria = SuiteCriteria {
            baseline: old.map(Box::new),
            floors: floors.iter().map(|floor| floor.parse().unwrap()).collect(),
            ..SuiteCriteria::default()
        };
        let told = told(new, &criteria);
        let lines = told.lines().filter(|line| !line.contains("memory.copy"));
        lines.collect::<Vec<_>>().join("\n")
    };
    // CUDA counted the GPUs the other way round: they are the same by their UUIDs.
    let mut swapped = linked(290.0, 300.0);
    for gpu in &mut swapped.gpus {
        gpu.ordinal = 1 - gpu.ordinal;
    }
    let mut cut = linked(300.0, 290.0);
    cut.pairs[0].unreachable = Some("there is no way".to_owned());
    cut.pairs[0].results.clear();
    let one = of(vec![gpu(0, 100.0, 1.0)]);
    let usual = || linked(300.0, 290.0);
    insta::assert_snapshot!(
        [
            against(&usual(), &[], Some(swapped)),
            against(&linked(250.0, 260.0), &[], Some(usual())),
            against(&cut, &["peer.copy=280GB/s"], Some(usual())),
            against(&usual(), &[], Some(of(usual().gpus))),
            against(&one, &["peer.copy=300GB/s"], None),
        ]
        .join("\n"),
        @r"
        PASS: 4 measurements on 2 GPUs, every result right, 4 gates passed
          PASS 0 peer.copy to GPU 1: 100.0 % (99.3 – 100.7) of the baseline, at least 90.0 % is demanded
          PASS 1 peer.copy to GPU 0: 100.0 % (99.3 – 100.7) of the baseline, at least 90.0 % is demanded
        FAIL: GPU 0: peer.copy to GPU 1: 83.3 % (82.7 – 83.9) of the baseline, at least 90.0 % is demanded
          FAIL 0 peer.copy to GPU 1: 83.3 % (82.7 – 83.9) of the baseline, at least 90.0 % is demanded
          INCONCLUSIVE 1 peer.copy to GPU 0: 89.7 % (89.0 – 90.3) of the baseline, at least 90.0 % is demanded
        INCONCLUSIVE: GPU 0: the baseline earlier has copies from it to GPU 1, and now there is no way
          INCONCLUSIVE 0 the baseline earlier has copies from it to GPU 1, and now there is no way
          PASS 1 peer.copy to GPU 0: 100.0 % (99.3 – 100.7) of the baseline, at least 90.0 % is demanded
          INCONCLUSIVE 0 peer.copy to GPU 1: there is no way
          PASS 1 peer.copy to GPU 0: 290 (289 – 291) GB/s, at least 280 GB/s is demanded
        PASS: 4 measurements on 2 GPUs, every result right, 2 gates passed
        INCONCLUSIVE: GPU 0: peer.copy: copies between GPUs were not measured: is there one GPU only?
          INCONCLUSIVE 0 peer.copy: copies between GPUs were not measured: is there one GPU only?
        "
    );
    // The same in a comparison.
    let worse = compare_suites(&usual(), &linked(200.0, 290.0), 0.05);
    assert_eq!(worse.verdict, Verdict::Fail);
    assert_eq!(worse.rows.len(), 4);
    assert_eq!(
        (worse.rows[2].gpu, worse.rows[2].test.as_str()),
        (0, "peer.copy to GPU 1")
    );
    assert!(
        worse.headline.contains("GPU 0 peer.copy to GPU 1: -33.3 %"),
        "{}",
        worse.headline
    );
    assert_eq!(compare_suites(&usual(), &one, 0.05).rows.len(), 2);
}

#[test]
fn what_was_not_compared_is_no_pass() {
    let baseline = |old: SuiteRecord| SuiteCriteria {
        baseline: Some(Box::new(old)),
        ..SuiteCriteria::default()
    };
    let both = || of(vec![gpu(0, 100.0, 1.0), gpu(1, 100.0, 1.0)]);
    let one = || of(vec![gpu(0, 100.0, 1.0)]);
    let mut other_test = one();
    "memory.read".clone_into(&mut other_test.gpus[0].results[0].test);
    insta::assert_snapshot!(
        [
            told(&one(), &baseline(both())),
            told(&other_test, &baseline(one())),
        ]
        .join("\n"),
        @r"
        INCONCLUSIVE: the GPU GPU-1 of the baseline earlier is not here
          INCONCLUSIVE the GPU GPU-1 of the baseline earlier is not here
          PASS 0 memory.copy: 100.0 % (98.0 – 102.0) of the baseline, at least 95.0 % is demanded
        INCONCLUSIVE: GPU 0: the baseline earlier has no test in common with it
          INCONCLUSIVE 0 the baseline earlier has no test in common with it
        "
    );
    // Nor where two records are compared.
    assert_eq!(
        compare_suites(&both(), &both(), 0.05).verdict,
        Verdict::Pass
    );
    let compared = compare_suites(&both(), &one(), 0.05);
    assert_eq!(compared.verdict, Verdict::Inconclusive);
    assert_eq!(compared.rows.len(), 2);
    assert_eq!(compared.rows[1].gpu, 1);
    assert_eq!(
        compared.rows[1].reason,
        "the new record does not have this GPU"
    );
    // However wide the margin, something can be worse.
    let slow = of(vec![gpu(0, 40.0, 1.0)]);
    assert_eq!(compare_suites(&one(), &slow, 1.0).verdict, Verdict::Fail);
}

#[test]
fn a_sweep_that_went_wrong_fails_and_health_that_was_not_read_is_told() {
    let mut wrong = of(vec![gpu(0, 100.0, 1.0)]);
    wrong.gpus[0].tune = vec![TuneSeries {
        precision: "bf16".to_owned(),
        kernels: "cuBLASLt".to_owned(),
        skipped: None,
        failed: Some("a wrong product".to_owned()),
        points: Vec::new(),
    }];
    assert_eq!(
        plain(&wrong),
        "FAIL: GPU 0: bf16 by cuBLASLt: a wrong product\n  FAIL 0 bf16 by cuBLASLt: a wrong product"
    );
    let mut unread = of(vec![gpu(0, 100.0, 1.0)]);
    unread.gpus[0].health = Some(Health {
        missing: vec!["ecc: no permission".to_owned()],
        ..Health::default()
    });
    let said = plain(&unread);
    assert!(said.ends_with("; health was not seen"), "{said}");
}
