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

/// Tests of dense products in half precision, the best first: what the reference model could reach.
const TESTS: [&str; 4] = ["gemm.f16", "wgmma.f16", "layer.f16", "mma.f16"];

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
                1.0,
            ),
        ],
    })
}

/// The newest measurement of the GPU that computes, where there is one. One of a made-up GPU is none of a
/// real one.
pub(super) fn of(results: &Path, compute: &ServiceCompute) -> Option<Ceiling> {
    let uuid = compute.gpu_uuid.as_ref()?;
    store::suites_newest_first(results).find_map(|record| ceiling(&record, uuid, compute.simulated))
}

fn ceiling(record: &SuiteRecord, uuid: &str, simulated: bool) -> Option<Ceiling> {
    if record.simulated != simulated {
        return None;
    }
    let gpu = record.gpus.iter().find(|gpu| gpu.uuid == uuid)?;
    let found = TESTS
        .iter()
        .find_map(|test| Some((test, gpu.measured(test)?)));
    let (test, measured) = found.filter(|(_, measured)| measured.unit == "TFLOP/s")?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "operations per second fit"
    )]
    let operations_per_second = (measured.median * 1e12) as u64;
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
            gpus: vec![SuiteGpu {
                uuid: "GPU-1".to_owned(),
                results: results.collect(),
                ..SuiteGpu::default()
            }],
            ..SuiteRecord::default()
        }
    }

    #[test]
    fn the_best_measurement_of_the_same_gpu_is_the_ceiling() {
        let all = [("mma.f16", 1.5), ("wgmma.f16", 2.5), ("fp32.fma", 9.0)];
        let found = ceiling(&record(false, &all), "GPU-1", false).expect("measured");
        assert_eq!(found.test, "wgmma.f16");
        assert_eq!(found.operations_per_second, 2_500_000_000_000);
        assert_eq!(ceiling(&record(false, &all), "GPU-2", false), None);
        assert_eq!(ceiling(&record(true, &all), "GPU-1", false), None);
        assert_eq!(ceiling(&record(false, &all[2..]), "GPU-1", false), None);
    }
}
