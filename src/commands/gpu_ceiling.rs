//! What the GPU of the reference API does, and what it was measured to be able to do: from the server's
//! books, and from the records of `bench gpu` beside those of runs.

use crate::record::{BUSY_SERIES, Ceiling, OPERATIONS_SERIES, ServiceCompute, SuiteRecord};
use crate::scenario::{Endpoint, MetricSource, Select, SourceMetric, Take};
use crate::store;
use crate::units::Dimension;
use hyper::HeaderMap;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Tests of dense products in the model's precision, the best first: what the reference model could reach.
fn tests(precision: &str) -> &'static [&'static str] {
    match precision {
        "bf16" => &["gemm.bf16", "wgmma.bf16", "mma.bf16"],
        // What older servers do not say was FP16.
        _ => &["gemm.f16", "wgmma.f16", "layer.f16", "mma.f16"],
    }
}

/// The books of a reference API that computes on a GPU, as a source of series: how fast it computes, and how
/// long its GPU is busy with that.
pub(super) fn books(compute: &ServiceCompute) -> Option<MetricSource> {
    compute.gpu_uuid.as_ref()?;
    let rate = |name: &str, counter: &str, dimension, factor| SourceMetric {
        name: name.to_owned(),
        select: Select::Series {
            metric: counter.to_owned(),
            labels: BTreeMap::new(),
            take: Take::Rate,
            combine: None,
        },
        dimension,
        factor,
    };
    Some(MetricSource {
        name: "reference".to_owned(),
        endpoint: Endpoint::Target("/metrics".to_owned()),
        headers: HeaderMap::new(),
        secrets: Vec::new(),
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(2),
        metrics: vec![
            rate(
                OPERATIONS_SERIES,
                "reference_operations_total",
                Dimension::Count,
                1e-12,
            ),
            rate(
                BUSY_SERIES,
                "reference_backend_busy_seconds_total",
                Dimension::Ratio,
                // Seconds of all GPUs are added up.
                1.0 / compute.gpus().count().max(1) as f64,
            ),
        ],
    })
}

/// The newest measurement of all GPUs that compute, where there is one. One of a made-up GPU is none of a
/// real one.
pub(super) fn of(results: &Path, compute: &ServiceCompute) -> Option<Ceiling> {
    compute.gpu_uuid.as_ref()?;
    store::suites_newest_first(results).find_map(|record| ceiling(&record, compute))
}

fn ceiling(record: &SuiteRecord, compute: &ServiceCompute) -> Option<Ceiling> {
    if record.simulated != compute.simulated {
        return None;
    }
    let all_measured = |test: &str| {
        compute
            .gpus()
            .map(|uuid| {
                let gpu = record.gpus.iter().find(|gpu| gpu.uuid == uuid)?;
                let measured = gpu.measured(test)?;
                (measured.unit == "TFLOP/s").then_some(measured.median)
            })
            .sum::<Option<f64>>()
    };
    let (test, sum) = tests(&compute.precision)
        .iter()
        .find_map(|test| Some((test, all_measured(test)?)))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "operations per second fit"
    )]
    let operations_per_second = (sum * 1e12) as u64;
    Some(Ceiling {
        test: (*test).to_owned(),
        operations_per_second,
        record: record.id.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Measured, SuiteGpu, TestOutcome, TestResult};

    fn record(simulated: bool, tests: &[(&str, f64)]) -> SuiteRecord {
        let results = tests.iter().map(|(test, median)| TestResult {
            test: (*test).to_owned(),
            outcome: TestOutcome::Measured(Measured {
                unit: "TFLOP/s".to_owned(),
                median: *median,
                ..Measured::default()
            }),
        });
        SuiteRecord {
            id: "then".to_owned(),
            simulated,
            gpus: ["GPU-1", "GPU-2"]
                .map(|uuid| SuiteGpu {
                    uuid: uuid.to_owned(),
                    results: results.clone().collect(),
                    ..SuiteGpu::default()
                })
                .to_vec(),
            ..SuiteRecord::default()
        }
    }

    #[test]
    fn the_best_measurement_of_the_same_gpus_is_the_ceiling() {
        let all = [
            ("mma.f16", 1.5),
            ("wgmma.f16", 2.5),
            ("mma.bf16", 1.25),
            ("fp32.fma", 9.0),
        ];
        let of = |uuid: &str| ServiceCompute {
            gpu_uuid: Some(uuid.to_owned()),
            ..ServiceCompute::default()
        };
        let found = ceiling(&record(false, &all), &of("GPU-1")).expect("measured");
        assert_eq!(found.test, "wgmma.f16");
        assert_eq!(found.operations_per_second, 2_500_000_000_000);
        assert_eq!(ceiling(&record(false, &all), &of("GPU-3")), None);
        assert_eq!(ceiling(&record(true, &all), &of("GPU-1")), None);
        assert_eq!(ceiling(&record(false, &all[3..]), &of("GPU-1")), None);
        // In the model's own precision, and of all its GPUs together.
        let both = ServiceCompute {
            precision: "bf16".to_owned(),
            other_gpus: vec!["GPU-2".to_owned()],
            ..of("GPU-1")
        };
        let found = ceiling(&record(false, &all), &both).expect("measured");
        assert_eq!(found.test, "mma.bf16");
        assert_eq!(found.operations_per_second, 2_500_000_000_000);
        let one_unknown = ServiceCompute {
            other_gpus: vec!["GPU-3".to_owned()],
            ..of("GPU-1")
        };
        assert_eq!(ceiling(&record(false, &all), &one_unknown), None);
    }
}
