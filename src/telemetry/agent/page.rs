//! The newest samples in the text format of `OpenMetrics`.
//!
//! Names are those of the metrics with `bench_` before and `_` for dots; values are in base units. A
//! series without a value has no line.

use super::Agent;
use crate::gate::TelemetryMetric;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::fmt;

/// Media type of the text.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A snapshot: by metric, the labels and the value of each series.
#[derive(Debug, Default)]
struct Snapshot {
    gauges: BTreeMap<String, Vec<(Labels, f64)>>,
    samples: Vec<(Labels, u64)>,
}

type Labels = Vec<(&'static str, String)>;

impl Agent {
    /// The page.
    pub(super) fn page(&self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self.snapshot()));
        let mut text = String::new();
        text::encode(&mut text, &registry).expect("a string takes all text");
        text
    }

    fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let gauge = |snapshot: &mut Snapshot, name: &str, labels: Labels, value: f64| {
            let all = snapshot.gauges.entry(name.to_owned()).or_default();
            all.push((labels, value));
        };
        let host = || ("hostname", self.inner.host.clone());
        let mut info = vec![("version", env!("CARGO_PKG_VERSION").to_owned()), host()];
        if let Some(driver) = &self.inner.driver {
            info.push(("driver", driver.clone()));
        }
        gauge(&mut snapshot, "bench_agent_info", info, 1.0);
        for absent in &self.inner.absent {
            let labels = vec![("source", absent.name.clone()), host()];
            gauge(&mut snapshot, "bench_agent_source_up", labels, 0.0);
        }
        for watched in &self.inner.sources {
            let newest = watched.newest().clone();
            let source = vec![("source", watched.info.name.clone()), host()];
            let is_up = newest.lost.is_none() && newest.samples > 0;
            gauge(
                &mut snapshot,
                "bench_agent_source_up",
                source.clone(),
                f64::from(u8::from(is_up)),
            );
            snapshot.samples.push((source, newest.samples));
            for (series, value) in watched.info.series.iter().zip(&newest.values) {
                let Some(value) = value else { continue };
                let labels = self.labels(&series.metric, &series.instance);
                gauge(&mut snapshot, &page_name(&series.metric), labels, *value);
            }
            // Readers of one GPU tell by this whether its values are new.
            if watched.info.name == "gpu" && is_up {
                for gpu in &self.inner.gpus {
                    let labels = self.labels("gpu.samples", &gpu.index.to_string());
                    gauge(
                        &mut snapshot,
                        "bench_gpu_samples",
                        labels,
                        newest.samples as f64,
                    );
                }
            }
        }
        snapshot
    }

    fn labels(&self, metric: &str, instance: &str) -> Labels {
        let mut labels = vec![("hostname", self.inner.host.clone())];
        if !metric.starts_with("gpu.") {
            if !instance.is_empty() {
                labels.push(("instance", instance.to_owned()));
            }
            return labels;
        }
        // `0`, `0/mig7` for a part of it, `0/4711` for a process that uses it.
        let (index, part) = instance.split_once('/').unwrap_or((instance, ""));
        labels.push(("gpu", index.to_owned()));
        match part.strip_prefix("mig") {
            Some(mig) => labels.push(("GPU_I_ID", mig.to_owned())),
            None if part.is_empty() => {}
            None => labels.push(("pid", part.to_owned())),
        }
        let mut gpus = self.inner.gpus.iter();
        if let Some(gpu) = gpus.find(|gpu| gpu.index.to_string() == index) {
            labels.push(("uuid", gpu.uuid.clone()));
            labels.push(("modelName", gpu.name.clone()));
            labels.push(("pci_bus_id", gpu.pci_bus_id.clone()));
        }
        if let Some(driver) = &self.inner.driver {
            labels.push(("driver", driver.clone()));
        }
        labels
    }
}

/// What a line of the page means.
fn help(name: &str) -> &'static str {
    match name {
        "bench_agent_info" => "Version, host and driver, as labels",
        "bench_agent_source_up" => "Whether a source delivers samples now; /status says why not",
        "bench_gpu_samples" => "Samples of this GPU so far",
        _ => TelemetryMetric::all()
            .iter()
            .find(|metric| page_name(metric.name) == name)
            .map_or("The newest sample", |metric| metric.describe),
    }
}

/// The name of a metric on the page.
fn page_name(metric: &str) -> String {
    format!("bench_{}", metric.replace('.', "_"))
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (name, series) in &self.gauges {
            let mut gauges =
                encoder.encode_descriptor(name, help(name), None, MetricType::Gauge)?;
            for (labels, value) in series {
                ConstGauge::new(*value).encode(gauges.encode_family(labels)?)?;
            }
        }
        let mut counters = encoder.encode_descriptor(
            "bench_agent_samples",
            "Samples so far",
            None,
            MetricType::Counter,
        )?;
        for (labels, samples) in &self.samples {
            ConstCounter::new(*samples).encode(counters.encode_family(labels)?)?;
        }
        Ok(())
    }
}
