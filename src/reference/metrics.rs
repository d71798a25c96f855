//! The books as Prometheus metrics, in the text format of `OpenMetrics`.
//!
//! Made anew for each scrape from one snapshot, so that the numbers of a scrape fit together.

use super::books::Ledger;
use super::queue::Depth;
use super::workers::WorkerCounts;
use crate::record::Distribution as _;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::fmt;

/// What a scrape shows.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) ledger: Ledger,
    pub(super) in_flight: u64,
    pub(super) depth: Depth,
    pub(super) workers: WorkerCounts,
    /// Resident memory of this process in bytes, where the system tells.
    pub(super) resident_bytes: Option<u64>,
}

/// Media type of the text.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the batch-size buckets, in items.
const BATCH_BOUNDS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0];
/// Upper bounds of the latency buckets, in seconds.
const TIME_BOUNDS: &[f64] = &[
    0.001, 0.002_5, 0.005, 0.01, 0.015, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

impl Snapshot {
    /// The text of the metrics.
    pub(super) fn text(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        text::encode(&mut text, &registry).expect("a string takes all text");
        text
    }

    fn encode_batch_sizes(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let sizes = &self.ledger.batch_sizes;
        let sum: f64 = sizes
            .iter()
            .map(|(&size, &count)| size as f64 * count as f64)
            .sum();
        let items = sizes.iter().map(|(&size, &count)| (size as f64, count));
        encoder
            .encode_descriptor(
                "reference_batch_size",
                "Items per batch",
                None,
                MetricType::Histogram,
            )?
            .encode_histogram::<NoLabelSet>(
                sum,
                self.ledger.batches(),
                &buckets(items, BATCH_BOUNDS),
                None,
            )
    }

    /// A time is placed by the upper end of its bucket in the books: one within a thousandth below a
    /// bound may be counted above it.
    fn encode_server_time(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let times = &self.ledger.server_time;
        let items = times.buckets().map(|(ns, count)| (ns as f64 / 1e9, count));
        encoder
            .encode_descriptor(
                "reference_inference_seconds",
                "Server time of successful inference requests",
                None,
                MetricType::Histogram,
            )?
            .encode_histogram::<NoLabelSet>(
                self.ledger.server_time_sum.as_secs_f64(),
                times.count(),
                &buckets(items, TIME_BOUNDS),
                None,
            )
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut requests = encoder.encode_descriptor(
            "reference_requests",
            "Answered requests",
            None,
            MetricType::Counter,
        )?;
        for (&(route, status), count) in &self.ledger.requests {
            let labels = [
                ("route", route.path().to_owned()),
                ("status", status.to_string()),
            ];
            count_of(&mut requests.encode_family(&labels)?, *count)?;
        }
        let mut depth = encoder.encode_descriptor(
            "reference_queue_depth",
            "Items that wait for the backend",
            None,
            MetricType::Gauge,
        )?;
        for (priority, waiting) in [("high", self.depth.high), ("low", self.depth.low)] {
            depth
                .encode_family(&[("priority", priority)])?
                .encode_gauge(&(waiting as u64))?;
        }
        for (name, help, value) in [
            (
                "reference_in_flight_requests",
                "Requests being answered",
                Some(self.in_flight),
            ),
            (
                "reference_replicas",
                "Workers that take batches",
                Some(self.workers.ready.into()),
            ),
            (
                "reference_replicas_desired",
                "Workers that the scaling rule wants",
                Some(self.workers.desired.into()),
            ),
            (
                "process_resident_memory_bytes",
                "Resident memory",
                self.resident_bytes,
            ),
        ] {
            if let Some(value) = value {
                encoder
                    .encode_descriptor(name, help, None, MetricType::Gauge)?
                    .encode_gauge(&value)?;
            }
        }
        let mut tokens = encoder.encode_descriptor(
            "reference_tokens",
            "Tokens generated",
            None,
            MetricType::Counter,
        )?;
        count_of(&mut tokens, self.ledger.tokens)?;
        let mut operations = encoder.encode_descriptor(
            "reference_operations",
            "Multiplications and additions of the model",
            None,
            MetricType::Counter,
        )?;
        count_of(&mut operations, self.ledger.operations)?;
        let mut busy = encoder.encode_descriptor(
            "reference_backend_busy_seconds",
            "Time that the processor of the backend was busy",
            None,
            MetricType::Counter,
        )?;
        let seconds = self.ledger.busy.as_secs_f64();
        busy.encode_counter::<NoLabelSet, _, u64>(&seconds, None)?;
        self.encode_batch_sizes(&mut encoder)?;
        self.encode_server_time(&mut encoder)
    }
}

fn count_of(encoder: &mut MetricEncoder<'_>, count: u64) -> fmt::Result {
    encoder.encode_counter::<NoLabelSet, _, u64>(&count, None)
}

/// How many items lie in each bucket, none of them counted twice; the last one is open.
fn buckets(items: impl Iterator<Item = (f64, u64)>, bounds: &[f64]) -> Vec<(f64, u64)> {
    let mut buckets: Vec<(f64, u64)> = bounds
        .iter()
        .chain([&f64::INFINITY])
        .map(|&bound| (bound, 0))
        .collect();
    for (value, count) in items {
        let bucket = buckets.iter_mut().find(|(bound, _)| value <= *bound);
        bucket.expect("the last bucket is open").1 += count;
    }
    buckets
}

/// Resident memory of this process in bytes, where the system tells.
pub(super) fn resident_bytes() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        let pages = procfs::process::Process::myself().ok()?.statm().ok()?;
        Some(pages.resident * procfs::page_size())
    }
    #[cfg(not(target_os = "linux"))]
    None
}

#[cfg(test)]
mod tests {
    use super::super::books::Books;
    use super::super::route::Route;
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_scrape_shows_the_books() {
        let books = Books::default();
        let ms = Duration::from_millis;
        [10, 11, 300].into_iter().for_each(|took| {
            books.answered(Route::Inference, 200, ms(took));
        });
        books.answered(Route::Job, 404, ms(1));
        [1, 3, 128, 5000]
            .into_iter()
            .for_each(|size| books.batch(size, 1000, ms(2)));
        books.tokens(12);
        let snapshot = Snapshot {
            ledger: books.snapshot(),
            in_flight: 4,
            depth: Depth { high: 2, low: 7 },
            workers: WorkerCounts {
                ready: 2,
                desired: 3,
                min: 1,
                max: 4,
            },
            resident_bytes: Some(1024),
        };
        insta::assert_snapshot!(snapshot.text(), @r#"
        # HELP reference_requests Answered requests
        # TYPE reference_requests counter
        reference_requests_total{route="/v1/inference",status="200"} 3
        reference_requests_total{route="/v1/jobs/{id}",status="404"} 1
        # HELP reference_queue_depth Items that wait for the backend
        # TYPE reference_queue_depth gauge
        reference_queue_depth{priority="high"} 2
        reference_queue_depth{priority="low"} 7
        # HELP reference_in_flight_requests Requests being answered
        # TYPE reference_in_flight_requests gauge
        reference_in_flight_requests 4
        # HELP reference_replicas Workers that take batches
        # TYPE reference_replicas gauge
        reference_replicas 2
        # HELP reference_replicas_desired Workers that the scaling rule wants
        # TYPE reference_replicas_desired gauge
        reference_replicas_desired 3
        # HELP process_resident_memory_bytes Resident memory
        # TYPE process_resident_memory_bytes gauge
        process_resident_memory_bytes 1024
        # HELP reference_tokens Tokens generated
        # TYPE reference_tokens counter
        reference_tokens_total 12
        # HELP reference_operations Multiplications and additions of the model
        # TYPE reference_operations counter
        reference_operations_total 4000
        # HELP reference_backend_busy_seconds Time that the processor of the backend was busy
        # TYPE reference_backend_busy_seconds counter
        reference_backend_busy_seconds_total 0.008
        # HELP reference_batch_size Items per batch
        # TYPE reference_batch_size histogram
        reference_batch_size_sum 5132.0
        reference_batch_size_count 4
        reference_batch_size_bucket{le="1.0"} 1
        reference_batch_size_bucket{le="2.0"} 1
        reference_batch_size_bucket{le="4.0"} 2
        reference_batch_size_bucket{le="8.0"} 2
        reference_batch_size_bucket{le="16.0"} 2
        reference_batch_size_bucket{le="32.0"} 2
        reference_batch_size_bucket{le="64.0"} 2
        reference_batch_size_bucket{le="128.0"} 3
        reference_batch_size_bucket{le="256.0"} 3
        reference_batch_size_bucket{le="1024.0"} 3
        reference_batch_size_bucket{le="+Inf"} 4
        # HELP reference_inference_seconds Server time of successful inference requests
        # TYPE reference_inference_seconds histogram
        reference_inference_seconds_sum 0.321
        reference_inference_seconds_count 3
        reference_inference_seconds_bucket{le="0.001"} 0
        reference_inference_seconds_bucket{le="0.0025"} 0
        reference_inference_seconds_bucket{le="0.005"} 0
        reference_inference_seconds_bucket{le="0.01"} 0
        reference_inference_seconds_bucket{le="0.015"} 2
        reference_inference_seconds_bucket{le="0.025"} 2
        reference_inference_seconds_bucket{le="0.05"} 2
        reference_inference_seconds_bucket{le="0.075"} 2
        reference_inference_seconds_bucket{le="0.1"} 2
        reference_inference_seconds_bucket{le="0.25"} 2
        reference_inference_seconds_bucket{le="0.5"} 3
        reference_inference_seconds_bucket{le="1.0"} 3
        reference_inference_seconds_bucket{le="2.5"} 3
        reference_inference_seconds_bucket{le="5.0"} 3
        reference_inference_seconds_bucket{le="10.0"} 3
        reference_inference_seconds_bucket{le="+Inf"} 3
        # EOF
        "#);
    }

    #[test]
    fn this_process_has_memory() {
        if cfg!(target_os = "linux") {
            assert!(resident_bytes() > Some(100_000));
        }
    }
}
