//! The catalogue of metrics that a gate can name.

use super::growth::GrowthMetric;
use crate::units::Dimension;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{LazyLock, Mutex};

/// Which latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LatencyKind {
    /// Intended start to last byte.
    Response,
    /// Actual send to last byte.
    Service,
    /// Intended start to first byte.
    Ttfb,
    /// Intended start to first token.
    Ttft,
    /// Actual send to first token.
    TtftService,
    /// One token, or the first of several that came together, to the next.
    Itl,
    /// First token to last token, by the tokens after the first.
    Tpot,
}

impl LatencyKind {
    /// All of them, in the order in which reports show them.
    pub const ALL: [Self; 7] = [
        Self::Response,
        Self::Service,
        Self::Ttfb,
        Self::Ttft,
        Self::TtftService,
        Self::Itl,
        Self::Tpot,
    ];

    /// The name in gates, records and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Response => "response",
            Self::Service => "service",
            Self::Ttfb => "ttfb",
            Self::Ttft => "ttft",
            Self::TtftService => "ttft_service",
            Self::Itl => "itl",
            Self::Tpot => "tpot",
        }
    }

    /// What it measures, in a few words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Response => "response time: intended start to last byte",
            Self::Service => "service time: actual send to last byte",
            Self::Ttfb => "time to first byte, from the intended start",
            Self::Ttft => "time to first token, from the intended start",
            Self::TtftService => "time to first token, from the actual send",
            Self::Itl => {
                "inter-token latency: from one event with tokens to the next, of all streams"
            }
            Self::Tpot => {
                "time per output token of a stream: first to last token, by the tokens after the first"
            }
        }
    }

    /// Whether only streamed answers have it.
    pub fn is_of_streams(self) -> bool {
        matches!(
            self,
            Self::Ttft | Self::TtftService | Self::Itl | Self::Tpot
        )
    }

    /// Whether it ends with the first token.
    pub fn is_of_first_token(self) -> bool {
        matches!(self, Self::Ttft | Self::TtftService)
    }
}

/// A percentile such as p99 or p99.9.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Percentile {
    percent: f64,
}

impl Percentile {
    /// A percentile of `percent`, which must lie above 0 and below 100.
    pub fn new(percent: f64) -> Option<Self> {
        (percent > 0.0 && percent < 100.0).then_some(Self { percent })
    }

    /// As a share: 0.99 for p99.
    pub fn quantile(self) -> f64 {
        self.percent / 100.0
    }

    /// The share of requests that may lie above it: 0.01 for p99.
    pub fn allowed_share(self) -> f64 {
        // 100 - 99.9 is 0.0999…9; the rounding takes the noise of the subtraction away.
        ((100.0 - self.percent) * 1e9).round() / 1e11
    }
}

impl fmt::Display for Percentile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.percent)
    }
}

/// How a series is reduced to the one value that a gate looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// The time-weighted mean over the measured window.
    Mean,
    /// The largest value in the measured window.
    Maximum,
    /// The smallest value in the measured window.
    Minimum,
}

impl Statistic {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Maximum => "maximum",
            Self::Minimum => "minimum",
        }
    }
}

/// A metric that is sampled beside the load.
#[derive(Debug, PartialEq)]
pub struct TelemetryMetric {
    /// The name in gates, series and reports.
    pub name: &'static str,
    /// The dimension of its values.
    pub dimension: Dimension,
    /// How a gate reduces it.
    pub statistic: Statistic,
    /// What it is, in a few words.
    pub describe: &'static str,
}

impl TelemetryMetric {
    /// Looks a metric up by its name.
    pub fn find(name: &str) -> Option<&'static Self> {
        TELEMETRY.iter().find(|metric| metric.name == name)
    }

    /// A metric that the scenario itself has named. It lives as long as the program, like those of the
    /// catalogue, so that a gate stays a small value that is copied freely; there are as many as
    /// scenarios name.
    pub(super) fn named(name: &str, dimension: Dimension, statistic: Statistic) -> &'static Self {
        static NAMED: LazyLock<Mutex<BTreeMap<String, &'static TelemetryMetric>>> =
            LazyLock::new(Mutex::default);
        let key = format!("{name} {dimension:?} {statistic:?}");
        let mut known = NAMED.lock().expect("nobody panics while holding it");
        known.entry(key).or_insert_with(|| {
            Box::leak(Box::new(Self {
                name: String::leak(name.to_owned()),
                dimension,
                statistic,
                describe: "named by the scenario",
            }))
        })
    }

    /// The whole catalogue.
    pub fn all() -> &'static [Self] {
        TELEMETRY
    }
}

const TELEMETRY: &[TelemetryMetric] = &[
    TelemetryMetric {
        name: "gpu.utilization",
        dimension: Dimension::Ratio,
        statistic: Statistic::Mean,
        describe: "share of time in which at least one kernel ran on the GPU",
    },
    TelemetryMetric {
        name: "gpu.sm_active",
        dimension: Dimension::Ratio,
        statistic: Statistic::Mean,
        describe: "share of cycles in which a multiprocessor had work, over all of them",
    },
    TelemetryMetric {
        name: "gpu.tensor_active",
        dimension: Dimension::Ratio,
        statistic: Statistic::Mean,
        describe: "share of cycles in which the tensor cores were busy",
    },
    TelemetryMetric {
        name: "gpu.dram_active",
        dimension: Dimension::Ratio,
        statistic: Statistic::Mean,
        describe: "share of cycles in which GPU memory was read or written",
    },
    TelemetryMetric {
        name: "gpu.engine_active",
        dimension: Dimension::Ratio,
        statistic: Statistic::Mean,
        describe: "share of cycles in which the compute engine was busy; also known of MIG instances",
    },
    TelemetryMetric {
        name: "gpu.memory",
        dimension: Dimension::Ratio,
        statistic: Statistic::Maximum,
        describe: "GPU memory in use, as a share of all of it",
    },
    TelemetryMetric {
        name: "gpu.memory.used",
        dimension: Dimension::Bytes,
        statistic: Statistic::Maximum,
        describe: "GPU memory in use",
    },
    TelemetryMetric {
        name: "gpu.process.memory",
        dimension: Dimension::Bytes,
        statistic: Statistic::Maximum,
        describe: "GPU memory of each process that had some when the run began",
    },
    TelemetryMetric {
        name: "gpu.power",
        dimension: Dimension::Power,
        statistic: Statistic::Mean,
        describe: "power drawn by the GPU board",
    },
    TelemetryMetric {
        name: "gpu.temperature",
        dimension: Dimension::Temperature,
        statistic: Statistic::Maximum,
        describe: "GPU core temperature",
    },
    TelemetryMetric {
        name: "gpu.throttled",
        dimension: Dimension::Ratio,
        statistic: Statistic::Mean,
        describe: "share of time in which the GPU was held back by power, heat or hardware",
    },
    TelemetryMetric {
        name: "host.cpu",
        dimension: Dimension::Ratio,
        statistic: Statistic::Mean,
        describe: "CPU time in use on the generator's host, over all cores",
    },
    TelemetryMetric {
        name: "host.memory",
        dimension: Dimension::Ratio,
        statistic: Statistic::Maximum,
        describe: "memory in use on the generator's host",
    },
    TelemetryMetric {
        name: "host.disk.free",
        dimension: Dimension::Ratio,
        statistic: Statistic::Minimum,
        describe: "free space on the disk that takes the results",
    },
    TelemetryMetric {
        name: "target.cpu",
        dimension: Dimension::Ratio,
        statistic: Statistic::Mean,
        describe: "CPU time of the target's processes; 100 % is one core",
    },
    TelemetryMetric {
        name: "target.memory",
        dimension: Dimension::Bytes,
        statistic: Statistic::Maximum,
        describe: "resident memory of the target's processes",
    },
];

/// How soon, and how steadily, replicas follow a step of the load. The step is the beginning of the
/// gate's phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScalingMetric {
    /// From the step to the level of ready replicas at which they settle.
    UpTime,
    /// From the step to where a latency gate is met again, and stays met.
    Recovery,
    /// The most ready replicas, relative to the level at which they settle.
    Overshoot,
    /// From the step down to the level at which they settle.
    DownTime,
    /// How far they fall below the level at which they settle, as a share of it.
    Undershoot,
    /// Changes of direction.
    Flaps,
}

impl ScalingMetric {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::UpTime,
        Self::Recovery,
        Self::Overshoot,
        Self::DownTime,
        Self::Undershoot,
        Self::Flaps,
    ];

    /// The name in gates, records and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UpTime => "scale_up.time",
            Self::Recovery => "scale_up.recovery",
            Self::Overshoot => "scale_up.overshoot",
            Self::DownTime => "scale_down.time",
            Self::Undershoot => "scale_down.undershoot",
            Self::Flaps => "scale.flaps",
        }
    }

    /// The dimension of its values.
    pub fn dimension(self) -> Dimension {
        match self {
            Self::UpTime | Self::Recovery | Self::DownTime => Dimension::Time,
            Self::Overshoot | Self::Undershoot => Dimension::Ratio,
            Self::Flaps => Dimension::Count,
        }
    }

    /// What it measures, in a few words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::UpTime => "from the step to the level at which ready replicas settle",
            Self::Recovery => "from the step to where the latency gate is met again and stays met",
            Self::Overshoot => "most ready replicas, relative to the level at which they settle",
            Self::DownTime => "from the step down to the level at which ready replicas settle",
            Self::Undershoot => {
                "how far ready replicas fall below the level at which they settle, as a share of it"
            }
            Self::Flaps => "changes of direction in the number of ready replicas",
        }
    }
}

/// The name of [`Metric::EnergyPerRequest`].
pub(super) const ENERGY_PER_REQUEST: &str = "gpu.energy_per_request";

/// What a gate looks at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Metric {
    /// A percentile of a latency.
    Latency {
        /// Which latency.
        kind: LatencyKind,
        /// Which percentile.
        percentile: Percentile,
    },
    /// The share of requests that did not succeed.
    ErrorRate,
    /// Successful requests per second.
    Throughput,
    /// Successful requests per second that met every objective.
    Goodput,
    /// Output tokens per second of all streams.
    TokensPerSecond,
    /// Energy of all sampled GPUs for each successful request.
    EnergyPerRequest,
    /// A sampled series.
    Telemetry(&'static TelemetryMetric),
    /// Replicas that follow the load.
    Scaling(ScalingMetric),
    /// The lasting growth of a sampled series.
    Growth(&'static GrowthMetric),
    /// The lasting growth of a percentile of a latency.
    Drift {
        /// Which latency.
        kind: LatencyKind,
        /// Which percentile.
        percentile: Percentile,
    },
}

impl Metric {
    /// The dimension that a limit on this metric must have.
    pub fn dimension(self) -> Dimension {
        match self {
            Self::Latency { .. } => Dimension::Time,
            Self::ErrorRate => Dimension::Ratio,
            Self::Throughput | Self::Goodput | Self::TokensPerSecond => Dimension::PerSecond,
            Self::EnergyPerRequest => Dimension::Energy,
            Self::Telemetry(metric) => metric.dimension,
            Self::Scaling(metric) => metric.dimension(),
            Self::Growth(metric) => metric.dimension,
            Self::Drift { .. } => Dimension::Drift,
        }
    }

    /// Whether it is about requests, so that it can be asked of one kind of request or of a window.
    pub fn is_of_requests(self) -> bool {
        !matches!(
            self,
            Self::EnergyPerRequest | Self::Telemetry(_) | Self::Growth(_) | Self::Scaling(_)
        )
    }

    /// What the metric is, in a few words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Latency { kind, .. } => kind.describe(),
            Self::ErrorRate => "share of requests that failed, timed out or never ended",
            Self::Throughput => "successful requests per second",
            Self::Goodput => "requests per second that succeeded and met every objective of `slo`",
            Self::TokensPerSecond => "output tokens that came per second, of all streams",
            Self::EnergyPerRequest => {
                "energy that all sampled GPUs took in the measured window, by its successful requests"
            }
            Self::Telemetry(metric) => metric.describe,
            Self::Scaling(metric) => metric.describe(),
            Self::Growth(metric) => metric.describe,
            Self::Drift { .. } => "lasting growth of a percentile of a latency",
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latency { kind, percentile } => write!(f, "{}.{percentile}", kind.as_str()),
            Self::ErrorRate => f.write_str("error_rate"),
            Self::Throughput => f.write_str("throughput"),
            Self::Goodput => f.write_str("goodput"),
            Self::TokensPerSecond => f.write_str("tokens_per_second"),
            Self::EnergyPerRequest => f.write_str(ENERGY_PER_REQUEST),
            Self::Telemetry(metric) => f.write_str(metric.name),
            Self::Scaling(metric) => f.write_str(metric.as_str()),
            Self::Growth(metric) => f.write_str(metric.name),
            Self::Drift { kind, percentile } => {
                write!(f, "{}.{percentile}.drift", kind.as_str())
            }
        }
    }
}

/// The names of all metrics, with `p99` standing for any percentile.
pub fn metric_names() -> Vec<String> {
    LatencyKind::ALL
        .iter()
        .map(|kind| format!("{}.p99", kind.as_str()))
        .chain(["error_rate", "throughput", "goodput", "tokens_per_second"].map(str::to_owned))
        .chain(["response.p99.drift".to_owned()])
        .chain(TELEMETRY.iter().map(|metric| metric.name.to_owned()))
        .chain([ENERGY_PER_REQUEST.to_owned()])
        .chain(ScalingMetric::ALL.map(|metric| metric.as_str().to_owned()))
        .chain(
            GrowthMetric::all()
                .iter()
                .map(|metric| metric.name.to_owned()),
        )
        .collect()
}
