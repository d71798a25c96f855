//! Judges the GPUs of a suite: what is wrong, what is sick, what is slower than its siblings, than it was
//! itself, or than was demanded, and what could not be seen.

mod compare;
mod floors;
mod health;
mod place;
mod speed;
mod sustained;
#[cfg(test)]
mod tests;

use super::Verdict;
use crate::record::{Health, SuiteGpu, SuiteRecord, TestOutcome};

pub use compare::{SuiteCompareRow, SuiteComparison, compare_suites};
pub use speed::{Against, SuiteGate};

/// What was found about a GPU.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// FAIL: the GPU is sick. INCONCLUSIVE: look at it. PASS: a remark.
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
    /// Every comparison of a speed, in the order of GPUs and tests.
    pub gates: Vec<SuiteGate>,
    /// What was found beside them, in the order of GPUs and tests.
    pub findings: Vec<Finding>,
    /// One line.
    pub headline: String,
}

struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, verdict: Verdict, gpu: Option<u32>, reason: impl Into<String>) {
        let reason = reason.into();
        self.0.push(Finding {
            verdict,
            gpu,
            reason,
        });
    }
}

/// Judges a record. Nothing measured is never a pass.
pub fn judge_suite(record: &SuiteRecord) -> SuiteJudgement {
    let mut findings = Findings(Vec::new());
    if let Some(reason) = &record.unavailable {
        findings.add(Verdict::Inconclusive, None, reason.clone());
    }
    let gpus = || record.gpus.iter().chain(&record.together);
    for gpu in gpus() {
        outcomes(gpu, &mut findings);
        health::judge(gpu, &mut findings);
        sustained::judge(gpu, &mut findings);
    }
    health::messages(record, &mut findings);
    sustained::pairs(record, &mut findings);
    let gates = speed::gates(record, &record.criteria, &mut findings);
    let measured = gpus()
        .flat_map(|gpu| &gpu.results)
        .chain(record.pairs.iter().flat_map(|pair| &pair.results))
        .filter(|result| matches!(result.outcome, TestOutcome::Measured(_)))
        .count()
        + gpus()
            .flat_map(|gpu| &gpu.tune)
            .map(|series| series.points.len())
            .sum::<usize>();
    if measured == 0 && record.unavailable.is_none() {
        findings.add(Verdict::Inconclusive, None, "nothing was measured");
    }
    let findings = findings.0;
    let verdicts = findings.iter().map(|finding| finding.verdict);
    let verdict = verdicts
        .chain(gates.iter().map(|gate| gate.verdict))
        .max()
        .unwrap_or(Verdict::Pass);
    let headline = match first(verdict, &findings, &gates) {
        Some((None, reason)) => reason,
        Some((Some(gpu), reason)) => format!("GPU {gpu}: {reason}"),
        None => all_well(record, measured, gates.len()),
    };
    SuiteJudgement {
        verdict,
        gates,
        findings,
        headline,
    }
}

/// The first reason for a verdict that is not PASS.
fn first(
    verdict: Verdict,
    findings: &[Finding],
    gates: &[SuiteGate],
) -> Option<(Option<u32>, String)> {
    if verdict == Verdict::Pass {
        return None;
    }
    let found = findings.iter().find(|finding| finding.verdict == verdict);
    let gate = || gates.iter().find(|gate| gate.verdict == verdict);
    found
        .map(|finding| (finding.gpu, finding.reason.clone()))
        .or_else(|| gate().map(|gate| (Some(gate.gpu), gate.reason.clone())))
}

fn all_well(record: &SuiteRecord, measured: usize, gates: usize) -> String {
    let some = |count: usize, what: &str| {
        let ending = if count == 1 { "" } else { "s" };
        format!("{count} {what}{ending}")
    };
    let mut text = format!(
        "{} on {}, every result right",
        some(measured, "measurement"),
        some(record.gpus.len(), "GPU")
    );
    if gates > 0 {
        text.push_str(&format!(", {} passed", some(gates, "gate")));
    }
    // A pass says what it does not rest on.
    let is_unseen = |gpu: &SuiteGpu| {
        let unread = |health: &Health| health.after.is_empty() && !health.missing.is_empty();
        gpu.health.as_ref().is_none_or(unread)
    };
    if record.gpus.iter().any(is_unseen) {
        text.push_str("; health was not seen");
    }
    text
}

fn outcomes(gpu: &SuiteGpu, findings: &mut Findings) {
    let at = Some(gpu.ordinal);
    if let Some(failure) = &gpu.failure {
        findings.add(Verdict::Fail, at, failure.clone());
    }
    for series in &gpu.tune {
        if let Some(what) = &series.failed {
            let reason = format!("{} by {}: {what}", series.precision, series.kernels);
            findings.add(Verdict::Fail, at, reason);
        }
    }
    for result in &gpu.results {
        let test = &result.test;
        match &result.outcome {
            TestOutcome::Measured(found) if found.throttled_samples > 0 => {
                let reason = format!(
                    "{test}: heat or hardware held the clocks back in {} of {} samples",
                    found.throttled_samples, found.samples
                );
                findings.add(Verdict::Inconclusive, at, reason);
            }
            TestOutcome::Measured(_) | TestOutcome::Skipped(_) => {}
            TestOutcome::Wrong(what) | TestOutcome::Failed(what) => {
                findings.add(Verdict::Fail, at, format!("{test}: {what}"));
            }
        }
    }
}
