//! Reads a gate expression, with the place of the fault when it cannot be read.

use super::metric::ENERGY_PER_REQUEST;
use super::part::{Part, PartMetric, parse_part};
use super::{
    Gate, GrowthMetric, LatencyKind, Metric, Op, Percentile, ScalingMetric, Statistic,
    TelemetryMetric, metric_names,
};
use crate::diag::nearest;
use crate::units::{self, Dimension, Quantity, UnitError};
use std::ops::Range;
use std::time::Duration;

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

/// Metrics beside the catalogue: those that the scenario's own telemetry names.
#[derive(Clone, Copy, Debug)]
pub enum Named<'a> {
    /// These, with the dimension of their values.
    Only(&'a [(String, Dimension)]),
    /// Any, with the dimension of the limit: the gate of a record was checked when it was made.
    Any,
}

/// Reads `response.p99 < 100ms` and its like.
///
/// # Errors
/// When the metric is unknown, the operator is missing, or the limit has the wrong dimension.
pub fn parse(text: &str) -> Result<Gate, GateError> {
    parse_with(text, Named::Only(&[]))
}

/// The same, with metrics beside the catalogue.
///
/// # Errors
/// As [`parse`].
pub fn parse_with(text: &str, named: Named<'_>) -> Result<Gate, GateError> {
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
    let (name, part) = split_part(text[..at].trim())
        .map_err(|(message, hint)| fault(0..at, message, Some(hint)))?;
    let name_start = text.len() - text.trim_start().len();
    let name_span = name_start..name_start + name.len();
    let limit_of_named = || limit_dimension(&text[at + 1..]);
    let metric = parse_named(name, op, named, limit_of_named)
        .map_or_else(|| parse_metric(name, named), Ok)
        .map_err(|(message, hint)| fault(name_span, message, hint))?;

    if op == Op::Above && bounded_from_above(metric) {
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
    let (limit_text, suffix_at) = split_suffix(text, after);
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
    // The metric's name says what it is counted by.
    let bare = metric == Metric::TokensPerSecond && limit_text.parse::<f64>().is_ok();
    let with_unit = if bare {
        format!("{limit_text}/s")
    } else {
        limit_text.to_owned()
    };
    let limit = parse_limit(&with_unit, metric.dimension())
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
    if let Some((message, hint)) = part_misfit(metric, part.as_ref()) {
        return Err(fault(0..at, message, Some(hint)));
    }
    let (worst, abort) = parse_suffix(text, suffix_at)?;
    if abort && (worst.is_some() || !is_looked_at(metric)) {
        return Err(fault(
            suffix_at..text.len(),
            format!("`{metric}` cannot end a run early here"),
            Some(
                "`abort` stands behind a percentile or `error_rate` that is judged over the whole phase"
                    .to_owned(),
            ),
        ));
    }
    if worst.is_some() && !has_windows(metric) {
        return Err(fault(
            suffix_at..text.len(),
            format!("`{metric}` is not judged over windows"),
            Some("leave out `worst …`".to_owned()),
        ));
    }
    Ok(Gate {
        metric,
        op,
        limit,
        part,
        worst,
        abort,
        baseline: None,
    })
}

/// `response.p99{request=infer}` as its two parts.
fn split_part(name: &str) -> Result<(&str, Option<Part>), (String, String)> {
    let Some((metric, label)) = name.split_once('{') else {
        return Ok((name, None));
    };
    let metric = metric.trim_end();
    let Some(label) = label.strip_suffix('}') else {
        return Err((
            format!("`{{{label}` is not closed"),
            format!("write for example `{metric}{{request=infer}} < …`"),
        ));
    };
    parse_part(label.trim(), metric).map(|part| (metric, Some(part)))
}

/// The limit, and where what follows it begins.
fn split_suffix(text: &str, after: usize) -> (&str, usize) {
    let end = [" worst", " over", " abort"]
        .iter()
        .filter_map(|word| text[after..].find(word))
        .min()
        .map_or(text.len(), |at| after + at);
    (text[after..end].trim(), end)
}

/// Reads `worst 10s`, with `over` before it if somebody likes, and `abort`.
fn parse_suffix(text: &str, at: usize) -> Result<(Option<Duration>, bool), GateError> {
    let mut rest = text[at..].trim();
    let fault = |message: String, hint: &str| GateError {
        message,
        span: at..text.len(),
        hint: Some(hint.to_owned()),
    };
    let abort = rest == "abort" || rest.ends_with(" abort");
    rest = rest
        .strip_suffix("abort")
        .filter(|_| abort)
        .unwrap_or(rest)
        .trim();
    if rest.is_empty() {
        return Ok((None, abort));
    }
    if let Some(window) = rest.strip_prefix("over ") {
        rest = window.trim_start();
    }
    let Some(length) = rest.strip_prefix("worst") else {
        return Err(fault(
            format!("`{rest}` means nothing behind a limit"),
            "a limit may be followed by `worst 10s` or `abort`",
        ));
    };
    let length = units::parse_duration(length)
        .map_err(|error| fault(error.message, "write for example `worst 10s`"))?;
    if length < Duration::from_secs(1) || length.subsec_nanos() != 0 {
        return Err(fault(
            format!(
                "a window of {} is not a number of seconds",
                units::duration(length)
            ),
            "windows are whole seconds, for example `worst 10s`",
        ));
    }
    Ok((Some(length), abort))
}

/// Whether only an upper limit makes sense.
fn bounded_from_above(metric: Metric) -> bool {
    matches!(
        metric,
        Metric::Latency { .. } | Metric::ErrorRate | Metric::Growth(_) | Metric::Drift { .. }
    )
}

/// Whether looks before the end keep their promise: it is the share of requests that is judged.
fn is_looked_at(metric: Metric) -> bool {
    matches!(metric, Metric::Latency { .. } | Metric::ErrorRate)
}

/// Whether it is judged by counting requests, so that each window can be judged by itself.
fn has_windows(metric: Metric) -> bool {
    matches!(
        metric,
        Metric::Latency { .. } | Metric::ErrorRate | Metric::Throughput
    )
}

fn parse_limit(text: &str, dimension: Dimension) -> Result<Quantity, UnitError> {
    if dimension == Dimension::Count {
        let value = units::parse_number(text)?;
        return Ok(Quantity { value, dimension });
    }
    units::parse_quantity(text)
}

/// The dimension of what stands behind `<` or `>`.
fn limit_dimension(text: &str) -> Dimension {
    let text = text.trim_start_matches('=').trim();
    units::parse_quantity(text).map_or(Dimension::Count, |limit| limit.dimension)
}

/// Whether a share above 100 % makes sense: processes use several cores, and of a metric that the
/// scenario has named nothing is known.
fn exceeds_one(metric: Metric) -> bool {
    match metric {
        Metric::Scaling(_) => true,
        Metric::Telemetry(metric) => {
            metric.name == "target.cpu" || TelemetryMetric::find(metric.name).is_none()
        }
        _ => false,
    }
}

/// A metric of the scenario's own telemetry, such as `server.queue_depth`: without a statistic the
/// gate holds at every moment; with `.mean`, `.max` or `.min` it is about that one.
fn parse_named(
    name: &str,
    op: Op,
    named: Named<'_>,
    limit: impl Fn() -> Dimension,
) -> Option<Metric> {
    let find = |name: &str| match named {
        Named::Only(known) => known
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, dimension)| *dimension),
        // Anything dotted that the catalogue does not know.
        Named::Any => (name.contains('.') && parse_metric(name, named).is_err()).then(&limit),
    };
    let statistic = |word: &str| match word {
        "mean" => Some(Statistic::Mean),
        "max" => Some(Statistic::Maximum),
        "min" => Some(Statistic::Minimum),
        _ => None,
    };
    if let Some((base, word)) = name.rsplit_once('.')
        && let Some(statistic) = statistic(word)
        && let Some(dimension) = find(base)
    {
        return Some(Metric::Telemetry(TelemetryMetric::named(
            base, dimension, statistic,
        )));
    }
    let always = match op {
        Op::Below => Statistic::Maximum,
        Op::Above => Statistic::Minimum,
    };
    let dimension = find(name)?;
    Some(Metric::Telemetry(TelemetryMetric::named(
        name, dimension, always,
    )))
}

/// Why a metric cannot be asked of a part of the requests, and what to do about it.
fn part_misfit(metric: Metric, part: Option<&Part>) -> Option<(String, String)> {
    let part = part.filter(|_| !metric.is_of_requests())?;
    Some((
        format!("`{metric}` is sampled, and not a matter of single requests"),
        format!("leave out `{{{}=…}}`", part.kind.as_str()),
    ))
}

/// A metric of the catalogue by its name, with the part of the requests that it is about if one is named.
///
/// # Errors
/// What is wrong with the name, and what may have been meant.
pub fn parse_part_metric(name: &str) -> Result<PartMetric, (String, Option<String>)> {
    let hinted = |(message, hint)| (message, Some(hint));
    let (metric, part) = split_part(name.trim()).map_err(hinted)?;
    let metric = parse_metric(metric, Named::Only(&[]))?;
    match part_misfit(metric, part.as_ref()) {
        Some(misfit) => Err(hinted(misfit)),
        None => Ok(PartMetric { metric, part }),
    }
}

fn parse_metric(name: &str, named: Named<'_>) -> Result<Metric, (String, Option<String>)> {
    match name {
        "" => return Err(("the metric is missing".to_owned(), None)),
        "error_rate" => return Ok(Metric::ErrorRate),
        "throughput" => return Ok(Metric::Throughput),
        "goodput" => return Ok(Metric::Goodput),
        "tokens_per_second" => return Ok(Metric::TokensPerSecond),
        ENERGY_PER_REQUEST => return Ok(Metric::EnergyPerRequest),
        _ => {}
    }
    if let Some(metric) = TelemetryMetric::find(name) {
        return Ok(Metric::Telemetry(metric));
    }
    if let Some(metric) = ScalingMetric::ALL
        .iter()
        .find(|metric| metric.as_str() == name)
    {
        return Ok(Metric::Scaling(*metric));
    }
    if let Some(metric) = GrowthMetric::find(name) {
        return Ok(Metric::Growth(metric));
    }
    if let Some((kind, statistic)) = name.split_once('.')
        && let Some(&kind) = LatencyKind::ALL.iter().find(|k| k.as_str() == kind)
    {
        let (statistic, drift) = statistic
            .strip_suffix(".drift")
            .map_or((statistic, false), |statistic| (statistic, true));
        let percentile = statistic
            .strip_prefix('p')
            .and_then(|percent| percent.parse().ok())
            .and_then(Percentile::new);
        return match percentile {
            Some(percentile) if drift => Ok(Metric::Drift { kind, percentile }),
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
    let mut names = metric_names();
    if let Named::Only(known) = named {
        names.extend(known.iter().map(|(name, _)| name.clone()));
    }
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
            ("ttft.p95<250ms", "ttft.p95 < 250 ms"),
            ("itl.p99 < 50ms", "itl.p99 < 50 ms"),
            ("tokens_per_second > 4000", "tokens_per_second > 4000/s"),
            ("goodput > 400/s", "goodput > 400/s"),
            ("error_rate < 1%", "error_rate < 1 %"),
            ("throughput > 400/s", "throughput > 400/s"),
            ("gpu.utilization > 70%", "gpu.utilization > 70 %"),
            ("gpu.memory < 90%", "gpu.memory < 90 %"),
            ("gpu.memory.used < 70GiB", "gpu.memory.used < 70 GiB"),
            ("target.cpu < 400%", "target.cpu < 400 %"),
            ("host.disk.free >= 10%", "host.disk.free > 10 %"),
            ("gpu.memory.leak < 10MiB/h", "gpu.memory.leak < 10 MiB/h"),
            (
                "target.descriptors.growth < 5/h",
                "target.descriptors.growth < 5/h",
            ),
            (
                "response.p99.drift < 10ms/h",
                "response.p99.drift < 10 ms/h",
            ),
            ("error_rate < 5% worst 10s", "error_rate < 5 % worst 10 s"),
            (
                "ttfb.p95{request=infer} < 1s",
                "ttfb.p95{request=infer} < 1 s",
            ),
            (
                "response.p99 { request = a-b } < 1s over worst 1m",
                "response.p99{request=a-b} < 1 s worst 60 s",
            ),
            ("throughput > 9/s worst 1m", "throughput > 9/s worst 60 s"),
            ("response.p99 < 1s abort", "response.p99 < 1 s abort"),
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
    fn names_of_metrics_have_one_form() {
        for (text, printed) in [
            ("response.p99", Ok("response.p99")),
            (
                " response.p99.90 { step = job/submit } ",
                Ok("response.p99.9{step=job/submit}"),
            ),
            ("throughput{flow=a.b}", Ok("throughput{flow=a.b}")),
            ("gpu.utilization{flow=job}", Err("is sampled")),
            ("response.p99{step=submit}", Err("not a step of a flow")),
            ("response.p99{flow=job", Err("is not closed")),
            ("respons.p99{flow=job}", Err("unknown metric")),
        ] {
            let read = parse_part_metric(text);
            match printed {
                Ok(printed) => assert_eq!(read.unwrap().to_string(), printed),
                Err(words) => {
                    let (message, _) = read.unwrap_err();
                    assert!(message.contains(words), "{text}: {message}");
                }
            }
        }
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
            ("throughput > 9/s abort", " abort", "cannot end a run early"),
            (
                "error_rate < 1% worst 5s abort",
                " worst 5s abort",
                "cannot end a run early",
            ),
            ("error_rate < 1% aborted", " aborted", "means nothing"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.message.contains(message), "{text}: {}", error.message);
            assert_eq!(&text[error.span], underlined, "{text}");
        }
        let hint = parse("respons.p99 < 100ms").unwrap_err().hint;
        assert_eq!(hint.as_deref(), Some("did you mean `response.p99`?"));
    }

    #[test]
    fn metrics_that_the_scenario_names() {
        let known = [
            ("server.queue_depth".to_owned(), Dimension::Count),
            ("server.kv.max".to_owned(), Dimension::Ratio),
        ];
        let read = |text: &str| {
            let Gate { metric, limit, .. } = parse_with(text, Named::Only(&known))?;
            let Metric::Telemetry(metric) = metric else {
                panic!("a sampled metric");
            };
            Ok::<_, GateError>((metric.name, metric.statistic, limit.value))
        };
        use Statistic::{Maximum, Mean, Minimum};
        for (text, expected) in [
            (
                "server.queue_depth < 1_000",
                ("server.queue_depth", Maximum, 1000.0),
            ),
            (
                "server.queue_depth >= 1",
                ("server.queue_depth", Minimum, 1.0),
            ),
            (
                "server.queue_depth.mean < 9.5",
                ("server.queue_depth", Mean, 9.5),
            ),
            ("server.kv.max < 90%", ("server.kv.max", Maximum, 0.9)),
            ("server.kv.max.mean < 150%", ("server.kv.max", Mean, 1.5)),
        ] {
            assert_eq!(read(text), Ok(expected), "{text}");
        }
        for (text, message) in [
            ("server.queue_depht < 5", "unknown metric"),
            ("server.queue_depth < 5ms", "not a number"),
            ("server.kv.max < 5", "no unit"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.message.contains(message), "{text}: {}", error.message);
        }
        let hint = read("server.queue_depht < 5").unwrap_err().hint;
        assert_eq!(hint.as_deref(), Some("did you mean `server.queue_depth`?"));
        // Of a record: what the limit says.
        let gate = parse_with("server.queue_depth < 1000", Named::Any).unwrap();
        assert_eq!(gate.to_string(), "server.queue_depth < 1000");
        assert!(parse_with("respons < 1", Named::Any).is_err());
        let gate = parse_with("response.p99 < 10ms", Named::Any).unwrap();
        assert!(matches!(gate.metric, Metric::Latency { .. }));
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
