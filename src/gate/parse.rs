//! Reads a gate expression, with the place of the fault when it cannot be read.

use super::{Gate, LatencyKind, Metric, Op, Percentile, TelemetryMetric, metric_names};
use crate::diag::nearest;
use crate::units::{self, Dimension};
use std::ops::Range;

/// Why a gate cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateError {
    /// What is wrong.
    pub message: String,
    /// Where in the expression, in bytes.
    pub span: Range<usize>,
    /// What to do.
    pub hint: Option<String>,
}

/// Reads `response.p99 < 100ms` and its like.
///
/// # Errors
/// When the metric is unknown, the operator is missing, or the limit has the wrong dimension.
pub fn parse(text: &str) -> Result<Gate, GateError> {
    let fault = |span: Range<usize>, message: String, hint: Option<String>| GateError {
        message,
        span,
        hint,
    };
    let Some(at) = text.find(['<', '>']) else {
        return Err(fault(
            0..text.len(),
            "a gate needs `<` or `>`".to_owned(),
            Some("write for example `response.p99 < 100ms`".to_owned()),
        ));
    };
    let op = if text[at..].starts_with('<') {
        Op::Below
    } else {
        Op::Above
    };
    let name = text[..at].trim();
    let name_start = text.len() - text.trim_start().len();
    let name_span = name_start..name_start + name.len();
    let metric = metric_named(name).map_err(|(message, hint)| fault(name_span, message, hint))?;

    if op == Op::Above && matches!(metric, Metric::Latency { .. } | Metric::ErrorRate) {
        return Err(fault(
            at..at + 1,
            format!("`{metric}` is bounded from above"),
            Some(format!("write `{metric} < …`")),
        ));
    }

    let after = at
        + if text[at + 1..].starts_with('=') {
            2
        } else {
            1
        };
    let limit_text = text[after..].trim();
    let limit_start = after + (text[after..].len() - text[after..].trim_start().len());
    let limit_span = if limit_text.is_empty() {
        0..text.len()
    } else {
        limit_start..limit_start + limit_text.len()
    };
    let expected = format!(
        "`{metric}` is compared with {}",
        metric.dimension().example()
    );
    let limit = units::parse_quantity(limit_text)
        .map_err(|error| fault(limit_span.clone(), error.message, Some(expected.clone())))?;
    if limit.dimension != metric.dimension() {
        return Err(fault(
            limit_span,
            format!("`{limit_text}` does not fit `{metric}`"),
            Some(expected),
        ));
    }
    if limit.dimension == Dimension::Ratio && limit.value > 1.0 && !exceeds_one(metric) {
        return Err(fault(
            limit_span,
            format!("`{metric}` never exceeds 100%"),
            None,
        ));
    }
    if limit.value <= 0.0 && op == Op::Below {
        return Err(fault(
            limit_span,
            "nothing is below zero".to_owned(),
            Some(
                "a share of zero cannot be shown by counting; allow for example `0.1%`".to_owned(),
            ),
        ));
    }
    Ok(Gate { metric, op, limit })
}

/// Whether a share above 100 % makes sense: processes use several cores.
fn exceeds_one(metric: Metric) -> bool {
    matches!(metric, Metric::Telemetry(metric) if metric.name == "target.cpu")
}

/// The metric of this name.
///
/// # Errors
/// What is wrong with the name, and what may have been meant.
pub fn metric_named(name: &str) -> Result<Metric, (String, Option<String>)> {
    match name {
        "" => return Err(("the metric is missing".to_owned(), None)),
        "error_rate" => return Ok(Metric::ErrorRate),
        "throughput" => return Ok(Metric::Throughput),
        _ => {}
    }
    if let Some(metric) = TelemetryMetric::find(name) {
        return Ok(Metric::Telemetry(metric));
    }
    if let Some((kind, statistic)) = name.split_once('.')
        && let Some(&kind) = LatencyKind::ALL.iter().find(|k| k.as_str() == kind)
    {
        let percentile = statistic
            .strip_prefix('p')
            .and_then(|percent| percent.parse().ok())
            .and_then(Percentile::new);
        return match percentile {
            Some(percentile) => Ok(Metric::Latency { kind, percentile }),
            None => Err((
                format!("`{statistic}` is not a percentile"),
                Some(format!(
                    "write `{0}.p50`, `{0}.p99` or `{0}.p99.9`; a mean or a maximum cannot be judged from a sample",
                    kind.as_str()
                )),
            )),
        };
    }
    let names = metric_names();
    let hint = nearest(name, names.iter().map(String::as_str)).map_or_else(
        || format!("known metrics: {}", names.join(", ")),
        |near| format!("did you mean `{near}`?"),
    );
    Err((format!("unknown metric `{name}`"), Some(hint)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_gates_of_every_kind() {
        for (text, printed) in [
            ("response.p99 < 100ms", "response.p99 < 100 ms"),
            ("response.p99.9<=1s", "response.p99.9 < 1 s"),
            ("  service.p50 < 20ms ", "service.p50 < 20 ms"),
            ("ttfb.p95 < 250ms", "ttfb.p95 < 250 ms"),
            ("error_rate < 1%", "error_rate < 1 %"),
            ("throughput > 400/s", "throughput > 400/s"),
            ("gpu.utilization > 70%", "gpu.utilization > 70 %"),
            ("gpu.memory < 90%", "gpu.memory < 90 %"),
            ("gpu.memory.used < 70GiB", "gpu.memory.used < 70 GiB"),
            ("target.cpu < 400%", "target.cpu < 400 %"),
            ("host.disk.free >= 10%", "host.disk.free > 10 %"),
        ] {
            let gate = parse(text).unwrap_or_else(|error| panic!("{text}: {}", error.message));
            assert_eq!(gate.to_string(), printed);
        }
        let Metric::Latency { percentile, .. } = parse("response.p99.9 < 1s").unwrap().metric
        else {
            panic!("a latency gate");
        };
        assert_eq!(percentile.allowed_share(), 0.001);
    }

    #[test]
    fn points_at_the_fault() {
        for (text, underlined, message) in [
            ("respons.p99 < 100ms", "respons.p99", "unknown metric"),
            ("response.max < 100ms", "response.max", "not a percentile"),
            ("response.p100 < 100ms", "response.p100", "not a percentile"),
            ("response.p99 < 100", "100", "no unit"),
            ("response.p99 < 70%", "70%", "does not fit"),
            ("response.p99", "response.p99", "needs `<` or `>`"),
            ("error_rate < 0%", "0%", "below zero"),
            ("gpu.utilization > 170%", "170%", "never exceeds 100%"),
            ("response.p99 > 100ms", ">", "bounded from above"),
            (" < 1s", "", "metric is missing"),
            ("error_rate <", "error_rate <", "empty"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.message.contains(message), "{text}: {}", error.message);
            assert_eq!(&text[error.span], underlined, "{text}");
        }
        let hint = parse("respons.p99 < 100ms").unwrap_err().hint;
        assert_eq!(hint.as_deref(), Some("did you mean `response.p99`?"));
    }

    proptest! {
        #[test]
        fn never_panics_and_stays_inside(text in "\\PC{0,30}") {
            if let Err(error) = parse(&text) {
                prop_assert!(text.get(error.span).is_some());
            }
        }
    }
}
