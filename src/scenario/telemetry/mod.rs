//! What is sampled beside the load: `[telemetry]`.

mod metric;
mod read;
mod url;

pub(super) use read::read_telemetry;
pub use url::{Endpoint, HttpUrl};

use crate::units::Dimension;
use hyper::HeaderMap;
use std::collections::BTreeMap;
use std::time::Duration;

/// What is sampled beside the load.
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    /// Where GPU series come from.
    pub gpu: GpuSource,
    /// The distance between two samples of a GPU of this host.
    pub gpu_interval: Duration,
    /// Servers that are asked for metrics.
    pub sources: Vec<MetricSource>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            gpu: GpuSource::Auto,
            gpu_interval: read::DEFAULT_GPU_INTERVAL,
            sources: Vec::new(),
        }
    }
}

impl Telemetry {
    /// Everything in it that must never be shown.
    pub fn secrets(&self) -> impl Iterator<Item = &String> {
        let exporters = match &self.gpu {
            GpuSource::Dcgm(dcgm) => dcgm.secrets.as_slice(),
            _ => &[],
        };
        let sources = self.sources.iter().flat_map(|source| &source.secrets);
        sources.chain(exporters)
    }
}

/// Where GPU series come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GpuSource {
    /// NVML where the target is on this host and a driver is there.
    Auto,
    /// NVML of this host, wherever the target is; optionally from this library file.
    Nvml(Option<String>),
    /// dcgm-exporter on the hosts that have them.
    Dcgm(DcgmSource),
    /// Nowhere.
    None,
}

/// Exporters that report the GPUs of their hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DcgmSource {
    /// Where they are.
    pub exporters: Vec<HttpUrl>,
    /// Headers beside the usual ones; they may hold credentials.
    pub headers: HeaderMap,
    /// Labels that a GPU's lines must have.
    pub labels: BTreeMap<String, String>,
    /// The distance between two questions.
    pub interval: Duration,
    /// Parts of headers and addresses that must never be shown.
    pub secrets: Vec<String>,
}

/// A server that is asked for metrics beside the load.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricSource {
    /// The first part of its metrics' names.
    pub name: String,
    /// Where it is.
    pub endpoint: Endpoint,
    /// Headers beside the usual ones; they may hold credentials.
    pub headers: HeaderMap,
    /// Parts of the headers and the address that must never be shown.
    pub secrets: Vec<String>,
    /// The distance between two questions.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// What is looked for in the answers.
    pub metrics: Vec<SourceMetric>,
}

/// One metric of a source.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceMetric {
    /// Its whole name, as in gates: `server.queue_depth`.
    pub name: String,
    /// Where its value is found.
    pub select: Select,
    /// What its values are.
    pub dimension: Dimension,
    /// Takes a value as it is found to the base unit of its dimension.
    pub factor: f64,
}

/// Where a value is found.
#[derive(Clone, Debug, PartialEq)]
pub enum Select {
    /// On a page in the Prometheus text format.
    Series {
        /// The name of the series.
        metric: String,
        /// Labels that a series must have; a label that it lacks is empty.
        labels: BTreeMap<String, String>,
        /// What is taken of it.
        take: Take,
        /// How several series become one value; `None` where there must be one only.
        combine: Option<Combine>,
    },
    /// The answer of a Prometheus server to a query.
    Query {
        /// The query, in PromQL.
        query: String,
        /// How several series become one value; `None` where there must be one only.
        combine: Option<Combine>,
    },
    /// A number in a JSON document.
    Json {
        /// Its place, as a JSON pointer (RFC 6901).
        pointer: String,
    },
}

/// What is taken of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Take {
    /// Its value.
    Gauge,
    /// Its growth per second since the last sample.
    Rate,
    /// A quantile of what a histogram has counted since the last sample.
    Quantile(f64),
}

/// How the values of several series become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combine {
    /// Their sum.
    Sum,
    /// The largest.
    Maximum,
    /// The smallest.
    Minimum,
    /// Their mean.
    Mean,
}
