//! Judges the GPUs of a suite: what is wrong, what is slower than its siblings, what could not be seen.

use super::Verdict;
use crate::record::{Measured, SuiteGpu, SuiteRecord, TestOutcome};

/// What was found about a GPU.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// FAIL: the GPU is sick. INCONCLUSIVE: look at it.
    pub verdict: Verdict,
    /// Which GPU, by its ordinal; `None`: all of it.
    pub gpu: Option<u32>,
    /// One sentence.
    pub reason: String,
}

/// The findings and the verdict over all of them.
#[derive(Clone, Debug, PartialEq)]
pub struct SuiteJudgement {
    /// FAIL if anything failed, else INCONCLUSIVE if anything could not be decided, else PASS.
    pub verdict: Verdict,
    /// What was found, in the order of GPUs and tests.
    pub findings: Vec<Finding>,
    /// One line.
    pub headline: String,
}

/// A GPU is slower than its siblings when it lies this share below their median, or four times the spread
/// of the samples if that is more.
const SLOWER: f64 = 0.05;

/// Judges a record. Nothing measured is never a pass.
pub fn judge_suite(record: &SuiteRecord) -> SuiteJudgement {
    let mut findings = Vec::new();
    let mut add = |verdict, gpu, reason| {
        findings.push(Finding {
            verdict,
            gpu,
            reason,
        });
    };
    if let Some(reason) = &record.unavailable {
        add(Verdict::Inconclusive, None, reason.clone());
    }
    let mut measured = 0;
    for gpu in record.gpus.iter().chain(&record.together) {
        if let Some(failure) = &gpu.failure {
            add(Verdict::Fail, Some(gpu.ordinal), failure.clone());
        }
        for result in &gpu.results {
            let test = &result.test;
            match &result.outcome {
                TestOutcome::Measured(found) => {
                    measured += 1;
                    if found.throttled_samples > 0 {
                        let reason = format!(
                            "{test}: clocks were held back in {} of {} samples",
                            found.throttled_samples, found.samples
                        );
                        add(Verdict::Inconclusive, Some(gpu.ordinal), reason);
                    }
                }
                TestOutcome::Skipped(_) => {}
                TestOutcome::Wrong(what) => {
                    add(Verdict::Fail, Some(gpu.ordinal), format!("{test}: {what}"));
                }
                TestOutcome::Failed(error) => {
                    add(Verdict::Fail, Some(gpu.ordinal), format!("{test}: {error}"));
                }
            }
        }
    }
    for gpus in [&record.gpus, &record.together] {
        for gpu in gpus {
            for (test, reason) in slower_than_siblings(gpu, gpus) {
                add(
                    Verdict::Fail,
                    Some(gpu.ordinal),
                    format!("{test}: {reason}"),
                );
            }
        }
    }
    if measured == 0 && record.unavailable.is_none() {
        add(
            Verdict::Inconclusive,
            None,
            "nothing was measured".to_owned(),
        );
    }
    let has = |verdict| findings.iter().any(|finding| finding.verdict == verdict);
    let verdict = if has(Verdict::Fail) {
        Verdict::Fail
    } else if has(Verdict::Inconclusive) {
        Verdict::Inconclusive
    } else {
        Verdict::Pass
    };
    let first = findings.iter().find(|finding| finding.verdict == verdict);
    let headline = match first {
        None => format!(
            "{measured} measurements on {} GPUs, every result right",
            record.gpus.len()
        ),
        Some(Finding {
            gpu: None, reason, ..
        }) => reason.clone(),
        Some(Finding {
            gpu: Some(gpu),
            reason,
            ..
        }) => format!("GPU {gpu}: {reason}"),
    };
    SuiteJudgement {
        verdict,
        findings,
        headline,
    }
}

/// The tests in which a GPU is clearly worse than the median of the others of its model. With one other
/// there is no telling which of the two is sick, so it takes two.
fn slower_than_siblings<'a>(gpu: &'a SuiteGpu, all: &'a [SuiteGpu]) -> Vec<(&'a str, String)> {
    let siblings: Vec<&SuiteGpu> = all
        .iter()
        .filter(|other| other.ordinal != gpu.ordinal && other.name == gpu.name)
        .collect();
    if siblings.len() < 2 {
        return Vec::new();
    }
    let mut slower = Vec::new();
    for result in &gpu.results {
        let TestOutcome::Measured(own) = &result.outcome else {
            continue;
        };
        let mut others: Vec<f64> = siblings
            .iter()
            .filter_map(|sibling| sibling.measured(&result.test))
            .map(|found| found.median)
            .collect();
        if others.len() < 2 {
            continue;
        }
        others.sort_by(f64::total_cmp);
        let middle = f64::midpoint(others[(others.len() - 1) / 2], others[others.len() / 2]);
        let behind = behind(own, middle);
        let spread = (own.q3 - own.q1) / own.median.abs().max(f64::MIN_POSITIVE);
        if behind > SLOWER.max(4.0 * spread) {
            let reason = format!(
                "{:.1} % behind the median of its {} siblings",
                behind * 100.0,
                others.len()
            );
            slower.push((result.test.as_str(), reason));
        }
    }
    slower
}

/// By which share a measurement is worse than a value.
fn behind(own: &Measured, value: f64) -> f64 {
    if own.less_is_better {
        own.median / value - 1.0
    } else {
        1.0 - own.median / value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Stopped, TestResult};

    fn gpu(ordinal: u32, median: f64, iqr: f64) -> SuiteGpu {
        let measured = Measured {
            unit: "GB/s".to_owned(),
            less_is_better: false,
            median,
            q1: median - iqr / 2.0,
            q3: median + iqr / 2.0,
            min: median,
            max: median,
            samples: 10,
            stopped: Stopped::Steady,
            verified: None,
            sm_clock_mhz: None,
            power_watts: None,
            temperature_celsius: None,
            throttled_samples: 0,
            peaks: Vec::new(),
        };
        SuiteGpu {
            ordinal,
            name: "x".to_owned(),
            results: vec![TestResult {
                test: "memory.copy".to_owned(),
                outcome: TestOutcome::Measured(measured),
            }],
            ..SuiteGpu::default()
        }
    }

    fn told(gpus: Vec<SuiteGpu>) -> String {
        let judged = judge_suite(&SuiteRecord {
            gpus,
            ..SuiteRecord::default()
        });
        format!("{} {}", judged.verdict.as_str(), judged.headline)
    }

    #[test]
    fn a_sick_gpu_is_found_among_siblings_and_noise_is_not() {
        let with = |last| told(vec![gpu(0, 100.0, 1.0), gpu(1, 101.0, 1.0), last]);
        insta::assert_snapshot!(
            [
                with(gpu(2, 99.0, 1.0)),
                with(gpu(2, 90.0, 1.0)),
                with(gpu(2, 90.0, 8.0)),
                told(vec![gpu(0, 100.0, 1.0), gpu(1, 50.0, 1.0)]),
            ]
            .join("\n"),
            @r"
        PASS 3 measurements on 3 GPUs, every result right
        FAIL GPU 2: memory.copy: 10.4 % behind the median of its 2 siblings
        PASS 3 measurements on 3 GPUs, every result right
        PASS 2 measurements on 2 GPUs, every result right
        "
        );
    }

    #[test]
    fn wrong_results_fail_and_nothing_is_never_a_pass() {
        let mut sick = gpu(0, 100.0, 1.0);
        sick.results[0].outcome = TestOutcome::Wrong("3 words of the copy are wrong".to_owned());
        assert_eq!(
            told(vec![sick]),
            "FAIL GPU 0: memory.copy: 3 words of the copy are wrong"
        );
        assert_eq!(told(Vec::new()), "INCONCLUSIVE nothing was measured");
    }
}
