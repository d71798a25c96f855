//! A run of the GPU suite in a few numbers, as history knows every run.

use super::environment::comparable_suite;
use super::summary::{MetricValue, RunSummary, SUMMARY_SCHEMA};
use crate::record::{SuiteGpu, SuiteRecord};
use crate::verdict::SuiteJudgement;
use std::collections::BTreeMap;

/// What stands for the scenario of a run of the suite.
pub const SUITE: &str = "gpu";

impl RunSummary {
    /// The summary of a run of the GPU suite. Its phases are the GPUs (`gpu0`, and `gpu0.together` while
    /// all of them worked), its metrics the tests, each a median in the test's own unit. Whoever
    /// never measured anything did not come to an end.
    pub fn of_suite(record: &SuiteRecord, judged: &SuiteJudgement) -> Self {
        let alone = record.gpus.iter().map(|gpu| (suite_phase(gpu, false), gpu));
        let together = record.together.iter();
        let together = together.map(|gpu| (suite_phase(gpu, true), gpu));
        let metrics: Vec<MetricValue> = alone
            .chain(together)
            .flat_map(|(phase, gpu)| medians(&phase, gpu))
            .collect();
        Self {
            schema: SUMMARY_SCHEMA.to_owned(),
            id: record.id.clone(),
            scenario: SUITE.to_owned(),
            started_at: record.started_at.clone(),
            duration_s: record.took_s,
            verdict: Some(judged.verdict),
            headline: format!("{}: {}", judged.verdict, judged.headline),
            partial: metrics.is_empty(),
            simulated: record.simulated,
            target: models(record),
            git_branch: None,
            git_commit: None,
            bench_version: record.bench_version.clone(),
            host: record.host.clone(),
            environment_key: comparable_suite(record).key,
            metrics,
        }
    }
}

/// What stands for the phase of a GPU.
pub fn suite_phase(gpu: &SuiteGpu, together: bool) -> String {
    let suffix = if together { ".together" } else { "" };
    format!("gpu{}{suffix}", gpu.ordinal)
}

fn medians(phase: &str, gpu: &SuiteGpu) -> Vec<MetricValue> {
    gpu.results
        .iter()
        .filter_map(|result| {
            let measured = gpu.measured(&result.test)?;
            Some(MetricValue {
                phase: phase.to_owned(),
                metric: result.test.clone(),
                value: measured.median,
                lower: None,
                upper: None,
                samples: measured.samples as u64,
            })
        })
        .collect()
}

/// `2 x NVIDIA H100`.
fn models(record: &SuiteRecord) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for gpu in &record.gpus {
        *counts.entry(&gpu.name).or_default() += 1;
    }
    let models = counts
        .into_iter()
        .map(|(model, count)| format!("{count} x {model}"));
    let models: Vec<String> = models.collect();
    if models.is_empty() {
        "no GPU".to_owned()
    } else {
        models.join(", ")
    }
}
