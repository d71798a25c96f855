//! Reads `[telemetry]`.

use super::{
    Combine, DcgmSource, Endpoint, GpuSource, MetricSource, Select, SourceMetric, Take, Telemetry,
};
use crate::diag::Code;
use crate::gate::metric_names;
use crate::scenario::decode::{Context, Located, Table};
use crate::scenario::parse::{is_name, name_error};
use crate::scenario::target::read_headers;
use crate::units::{self, Dimension};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

pub(super) const DEFAULT_GPU_INTERVAL: Duration = Duration::from_millis(100);
const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
/// An agent samples ten times a second; a page has the newest sample.
const DEFAULT_AGENT_INTERVAL: Duration = Duration::from_millis(200);
const GPU_FORMS: &str = "`gpu` is \"auto\", \"nvml\", \"none\", { nvml = \"/path/to/libnvidia-ml.so.1\" }, { dcgm = [\"http://gpu-1:9400/metrics\"] } or { agent = [\"http://gpu-1:9500\"] }";

/// The keys of a metric: a table with none of them is the inside of a dotted name.
const KEYS: [&str; 7] = [
    "metric", "query", "pointer", "labels", "as", "combine", "unit",
];

/// How the metrics of a source are found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Page,
    Query,
    Json,
}

pub(in crate::scenario) fn read_telemetry(
    cx: &mut Context<'_>,
    mut table: Table<'_>,
    literal_secrets: &mut Vec<Range<usize>>,
) -> Telemetry {
    let gpu = read_gpu(cx, &mut table, literal_secrets);
    let interval = table.duration(cx, "gpu_interval");
    if let Some(interval) = &interval
        && !(Duration::from_millis(10)..=Duration::from_secs(2)).contains(&interval.value)
    {
        cx.error(
            Code::InvalidValue,
            interval.span.clone(),
            "`gpu_interval` lies between 10ms and 2s",
            "a gap of more than 2s makes a gate inconclusive",
        );
    }
    let mut sources = Vec::new();
    for (key, kind) in [
        ("prometheus", Kind::Page),
        ("promql", Kind::Query),
        ("json", Kind::Json),
    ] {
        for source in table.array_of_tables(cx, key) {
            sources.extend(read_source(cx, source, kind, &sources, literal_secrets));
        }
    }
    table.finish(cx);
    cx.named = sources
        .iter()
        .flat_map(|source: &MetricSource| &source.metrics)
        .map(|metric| (metric.name.clone(), metric.dimension))
        .collect();
    Telemetry {
        gpu,
        gpu_interval: interval.map_or(DEFAULT_GPU_INTERVAL, |interval| interval.value),
        sources,
    }
}

fn read_gpu(
    cx: &mut Context<'_>,
    table: &mut Table<'_>,
    literal_secrets: &mut Vec<Range<usize>>,
) -> GpuSource {
    let Some(value) = table.get("gpu") else {
        return GpuSource::Auto;
    };
    if let DeValue::Table(entries) = value.get_ref() {
        let mut inner = Table::new(entries, value.span(), "gpu");
        if inner.has("dcgm") || inner.has("agent") {
            return read_dcgm(cx, inner, literal_secrets);
        }
        if !inner.has("nvml") {
            cx.error(
                Code::MissingKey,
                value.span(),
                "`gpu` names no source of GPU telemetry",
                GPU_FORMS,
            );
            for key in ["dcgm", "agent", "headers", "interval", "labels"] {
                inner.get(key);
            }
        }
        let library = inner.text(cx, "nvml").map(|text| text.value);
        inner.finish(cx);
        return GpuSource::Nvml(library);
    }
    let Some(text) = cx.text(value, "gpu") else {
        return GpuSource::Auto;
    };
    match text.value.as_str() {
        "auto" => GpuSource::Auto,
        "nvml" => GpuSource::Nvml(None),
        "none" => GpuSource::None,
        other => {
            cx.error(
                Code::InvalidValue,
                text.span,
                format!("`{other}` is not a source of GPU telemetry"),
                GPU_FORMS,
            );
            GpuSource::Auto
        }
    }
}

fn read_dcgm(
    cx: &mut Context<'_>,
    mut table: Table<'_>,
    literal_secrets: &mut Vec<Range<usize>>,
) -> GpuSource {
    let mut exporters = Vec::new();
    let mut secrets = Vec::new();
    let key = if table.has("agent") { "agent" } else { "dcgm" };
    let span = table.key_span(key);
    let mut addresses = table.texts(cx, "dcgm").unwrap_or_default();
    addresses.extend(table.texts(cx, "agent").unwrap_or_default());
    for text in addresses {
        match Endpoint::parse(&text.value, &text.shown) {
            Ok(Endpoint::Http(url)) => exporters.push(url),
            Ok(Endpoint::Target(_)) => cx.error(
                Code::InvalidValue,
                text.span,
                "a URL begins with `http://`",
                "for example \"http://gpu-1:9400/metrics\"",
            ),
            Err((message, hint)) => cx.error(Code::InvalidValue, text.span, message, hint),
        }
        secrets.extend(text.secrets);
    }
    if exporters.is_empty() {
        cx.error(
            Code::MissingKey,
            span,
            format!("`{key}` names no address"),
            "for example dcgm = [\"http://gpu-1:9400/metrics\"] or agent = [\"http://gpu-1:9500\"]",
        );
    }
    let interval = table.duration(cx, "interval");
    let usual = if key == "agent" {
        DEFAULT_AGENT_INTERVAL
    } else {
        DEFAULT_INTERVAL
    };
    let interval = in_range(cx, interval, "interval", 50, 60_000).unwrap_or(usual);
    let (headers, header_secrets) = constant_headers(cx, &mut table, literal_secrets);
    secrets.extend(header_secrets);
    let labels = read_labels(cx, &mut table);
    table.finish(cx);
    GpuSource::Dcgm(DcgmSource {
        exporters,
        headers,
        labels,
        interval,
        secrets,
    })
}

fn read_labels(cx: &mut Context<'_>, table: &mut Table<'_>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    if let Some(wanted) = table.table(cx, "labels", "labels") {
        for (label, value) in wanted.named_entries() {
            if let Some(text) = cx.text(value, &label.value) {
                labels.insert(label.value, text.value);
            }
        }
    }
    labels
}

fn read_source(
    cx: &mut Context<'_>,
    mut table: Table<'_>,
    kind: Kind,
    others: &[MetricSource],
    literal_secrets: &mut Vec<Range<usize>>,
) -> Option<MetricSource> {
    let hint = "it is the first part of its metrics' names, for example name = \"server\"";
    let name = table.required_text(cx, "name", hint);
    if let Some(name) = &name {
        check_name(cx, &name.value, name.span.clone(), others);
    }
    let url = table.required_text(
        cx,
        "url",
        "for example url = \"http://host:9090/metrics\", or \"/metrics\" for a path at the target",
    );
    let endpoint = url.as_ref().and_then(|url| {
        Endpoint::parse(&url.value, &url.shown)
            .map_err(|(message, hint)| {
                cx.error(Code::InvalidValue, url.span.clone(), message, hint);
            })
            .ok()
    });
    let interval = table.duration(cx, "interval");
    let interval = in_range(cx, interval, "interval", 50, 60_000).unwrap_or(DEFAULT_INTERVAL);
    let timeout = table.duration(cx, "timeout");
    // A server that does not answer must not hold up the samples that follow.
    let timeout = in_range(cx, timeout, "timeout", 10, 60_000)
        .unwrap_or_else(|| interval.clamp(Duration::from_secs(1), Duration::from_secs(10)));
    let (headers, mut secrets) = constant_headers(cx, &mut table, literal_secrets);
    secrets.extend(url.into_iter().flat_map(|url| url.secrets));
    let prefix = name.as_ref().map_or("", |name| &name.value).to_owned();
    let mut metrics = Vec::new();
    match table.table(cx, "metrics", "metrics") {
        Some(entries) => read_metrics(cx, &entries, &prefix, kind, &mut metrics),
        None => table.require(
            cx,
            "metrics",
            match kind {
                Kind::Page => "for example metrics = { queue_depth = \"inference_queue_depth\" }",
                Kind::Query => "for example metrics = { queue_depth = \"sum(queue_depth)\" }",
                Kind::Json => "for example metrics = { replicas = \"/workers/ready\" }",
            },
        ),
    }
    table.finish(cx);
    Some(MetricSource {
        name: name?.value,
        endpoint: endpoint?,
        headers,
        secrets,
        interval,
        timeout,
        metrics,
    })
}

fn check_name(cx: &mut Context<'_>, name: &str, span: Range<usize>, others: &[MetricSource]) {
    if !is_name(name) || name.contains('.') {
        name_error(cx, span, "the name of a telemetry source");
        return;
    }
    // Gates are told apart by the first part of their metric.
    let taken = metric_names()
        .iter()
        .any(|known| known.split('.').next() == Some(name))
        || name == "generator"
        || name == "scale_up"
        || name == "scale_down"
        || name == "scale";
    if taken || others.iter().any(|other| other.name == name) {
        cx.error(
            Code::Conflict,
            span,
            format!("`{name}` already names other metrics"),
            "choose another name: gates refer to metrics by it",
        );
    }
}

fn in_range(
    cx: &mut Context<'_>,
    duration: Option<Located<Duration>>,
    key: &str,
    least_ms: u64,
    most_ms: u64,
) -> Option<Duration> {
    let duration = duration?;
    let (least, most) = (
        Duration::from_millis(least_ms),
        Duration::from_millis(most_ms),
    );
    if !(least..=most).contains(&duration.value) {
        cx.error(
            Code::InvalidValue,
            duration.span,
            format!(
                "`{key}` lies between {} and {}",
                units::duration(least),
                units::duration(most)
            ),
            "",
        );
        return None;
    }
    Some(duration.value)
}

/// Headers without placeholders: nobody draws data for telemetry.
fn constant_headers(
    cx: &mut Context<'_>,
    table: &mut Table<'_>,
    literal_secrets: &mut Vec<Range<usize>>,
) -> (HeaderMap, Vec<String>) {
    let mut headers = HeaderMap::new();
    let mut secrets = Vec::new();
    for header in read_headers(cx, table, literal_secrets) {
        let Some(text) = header.value.constant() else {
            cx.error(
                Code::InvalidTemplate,
                header.name.span,
                "the headers of a telemetry source have no `{{…}}`",
                "",
            );
            continue;
        };
        if let (Ok(name), Ok(mut value)) = (
            HeaderName::from_bytes(header.name.value.as_bytes()),
            HeaderValue::from_str(&text),
        ) {
            // Left out of every debug output.
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        secrets.extend(header.secrets);
    }
    (headers, secrets)
}

/// Reads the metrics of a source. `queue.depth = …` without quotes is a table in a table in TOML.
fn read_metrics(
    cx: &mut Context<'_>,
    table: &Table<'_>,
    prefix: &str,
    kind: Kind,
    metrics: &mut Vec<SourceMetric>,
) {
    for (key, value) in table.named_entries() {
        let name = format!("{prefix}.{}", key.value);
        if !is_name(&key.value) {
            name_error(cx, key.span.clone(), "a metric's name");
            continue;
        }
        if let DeValue::Table(entries) = value.get_ref() {
            let inner = Table::new(entries, value.span(), format!("`{name}`"));
            if !KEYS.iter().any(|key| inner.has(key)) {
                read_metrics(cx, &inner, &name, kind, metrics);
                continue;
            }
        }
        let Some(metric) = read_metric(cx, name, &key, value, kind) else {
            continue;
        };
        if metrics.iter().any(|other| other.name == metric.name) {
            let message = format!("there are two metrics named `{}`", metric.name);
            cx.error(Code::Conflict, key.span, message, "");
            continue;
        }
        metrics.push(metric);
    }
}

fn read_metric(
    cx: &mut Context<'_>,
    name: String,
    key: &Located<String>,
    value: &Spanned<DeValue<'_>>,
    kind: Kind,
) -> Option<SourceMetric> {
    let DeValue::Table(entries) = value.get_ref() else {
        let text = cx.text(value, &key.value)?;
        let place = Located {
            value: text.value,
            span: text.span,
        };
        let (select, unit) = match kind {
            Kind::Page => {
                let take = default_take(&place.value);
                let unit = usual_unit(&place.value, take);
                let select = Select::Series {
                    metric: place.value,
                    labels: BTreeMap::new(),
                    take,
                    combine: None,
                };
                (select, unit)
            }
            Kind::Query => (
                Select::Query {
                    query: place.value,
                    combine: None,
                },
                Dimension::Count,
            ),
            Kind::Json => (json_select(cx, place)?, Dimension::Count),
        };
        return Some(SourceMetric {
            name,
            select,
            dimension: unit,
            factor: 1.0,
        });
    };
    let mut table = Table::new(entries, value.span(), format!("`{name}`"));
    let unit = table.parsed(
        cx,
        "unit",
        "a unit such as \"ms\" or \"MiB\"; \"1\" for a plain number",
        units::parse_unit,
    );
    let (select, usual) = match kind {
        Kind::Page => read_series(cx, &mut table),
        Kind::Query => {
            let query = table.required_text(cx, "query", "the query, in PromQL");
            let combine = read_combine(cx, &mut table);
            let select = query.map(|query| Select::Query {
                query: query.value,
                combine,
            });
            (select, Dimension::Count)
        }
        Kind::Json => {
            let pointer =
                table.required_text(cx, "pointer", "a JSON pointer such as \"/workers/ready\"");
            let select = pointer.and_then(|text| {
                json_select(
                    cx,
                    Located {
                        value: text.value,
                        span: text.span,
                    },
                )
            });
            (select, Dimension::Count)
        }
    };
    table.finish(cx);
    let (dimension, factor) = unit.map_or((usual, 1.0), |unit| unit.value);
    Some(SourceMetric {
        name,
        select: select?,
        dimension,
        factor,
    })
}

fn json_select(cx: &mut Context<'_>, pointer: Located<String>) -> Option<Select> {
    if pointer.value.starts_with('/') {
        return Some(Select::Json {
            pointer: pointer.value,
        });
    }
    cx.error(
        Code::InvalidValue,
        pointer.span,
        "a JSON pointer begins with `/`",
        "for example \"/workers/ready\"",
    );
    None
}

fn read_series(cx: &mut Context<'_>, table: &mut Table<'_>) -> (Option<Select>, Dimension) {
    let metric = table.required_text(cx, "metric", "the name of the series on the page");
    let labels = read_labels(cx, table);
    let take = table.parsed(
        cx,
        "as",
        "\"gauge\", \"rate\" or a percentile of a histogram such as \"p99\"",
        parse_take,
    );
    let combine = read_combine(cx, table);
    let Some(metric) = metric else {
        return (None, Dimension::Count);
    };
    let take = take.map_or_else(|| default_take(&metric.value), |take| take.value);
    let usual = usual_unit(&metric.value, take);
    let select = Select::Series {
        metric: metric.value,
        labels,
        take,
        combine,
    };
    (Some(select), usual)
}

fn read_combine(cx: &mut Context<'_>, table: &mut Table<'_>) -> Option<Combine> {
    let parse = |text: &str| match text {
        "sum" => Ok(Combine::Sum),
        "max" => Ok(Combine::Maximum),
        "min" => Ok(Combine::Minimum),
        "mean" => Ok(Combine::Mean),
        other => Err(format!("`{other}` is none of them")),
    };
    let combine = table.parsed(
        cx,
        "combine",
        "\"sum\", \"max\", \"min\" or \"mean\"",
        parse,
    );
    combine.map(|combine| combine.value)
}

fn parse_take(text: &str) -> Result<Take, String> {
    match text {
        "gauge" => return Ok(Take::Gauge),
        "rate" => return Ok(Take::Rate),
        _ => {}
    }
    text.strip_prefix('p')
        .and_then(|percent| percent.parse::<f64>().ok())
        .filter(|percent| *percent > 0.0 && *percent < 100.0)
        // 99.9 / 100 is 0.99900…1; the rounding takes the noise of the division away.
        .map(|percent| Take::Quantile((percent * 1e9).round() / 1e11))
        .ok_or_else(|| format!("`{text}` is none of them"))
}

/// A counter says by its name that it is one, and only its rate means something beside a load.
fn default_take(metric: &str) -> Take {
    if metric.ends_with("_total") {
        Take::Rate
    } else {
        Take::Gauge
    }
}

/// What the values are by Prometheus' own rules for names: base units, at the end of the name.
fn usual_unit(metric: &str, take: Take) -> Dimension {
    let base = metric.strip_suffix("_total").unwrap_or(metric);
    let of_value = if base.ends_with("_bytes") {
        Dimension::Bytes
    } else if base.ends_with("_seconds") {
        Dimension::Time
    } else if base.ends_with("_ratio") {
        Dimension::Ratio
    } else {
        Dimension::Count
    };
    match (take, of_value) {
        // Seconds per second: the share of time, or of a core.
        (Take::Rate, Dimension::Time) => Dimension::Ratio,
        (Take::Rate, _) => Dimension::PerSecond,
        (Take::Gauge | Take::Quantile(_), of_value) => of_value,
    }
}

#[cfg(test)]
mod tests {
    use crate::diag::SourceText;
    use crate::scenario::{self, Lookup, Scenario, Take};
    use crate::units::Dimension;

    struct Nothing;

    impl Lookup for Nothing {
        fn variable(&self, _name: &str) -> Option<String> {
            None
        }

        fn file(&self, _path: &str) -> Result<String, String> {
            Err("no such file".to_owned())
        }
    }

    fn read(telemetry: &str, gates: &str) -> (Scenario, Vec<String>) {
        let text = format!(
            "name = \"t\"\n[target]\nurl = \"http://h\"\n[request.a]\npath = \"/\"\n\
             [[phase]]\nname = \"p\"\nconcurrency = 1\nduration = \"5s\"\ngates = {gates}\n\
             [telemetry]\n{telemetry}"
        );
        let (scenario, found) = scenario::parse(&SourceText::new("t.toml", text), &Nothing);
        let messages = found
            .in_text_order()
            .into_iter()
            .map(|one| one.message.clone());
        (scenario, messages.collect())
    }

    #[test]
    fn names_and_units_follow_from_prometheus_own_rules() {
        let (scenario, found) = read(
            r#"prometheus = [{ name = "s", url = "/m", metrics = {
                depth = "queue_depth", hits = "hits_total", cpu = "process_cpu_seconds_total",
                rss = "process_resident_memory_bytes", kv.cache = "kv_usage_ratio",
                wait = { metric = "wait_seconds", as = "p99" },
                rx = { metric = "rx_bytes", as = "rate" },
                ms = { metric = "latency", unit = "ms" },
            } }]"#,
            r#"["s.depth < 1000", "s.kv.cache.mean < 90%", "s.wait < 250ms", "s.ms < 1s"]"#,
        );
        assert!(found.is_empty(), "{found:?}");
        let metrics = &scenario.telemetry.sources[0].metrics;
        let of = |name: &str| {
            let metric = metrics
                .iter()
                .find(|metric| metric.name == name)
                .expect(name);
            (metric.dimension, metric.factor)
        };
        assert_eq!(of("s.depth"), (Dimension::Count, 1.0));
        assert_eq!(of("s.hits"), (Dimension::PerSecond, 1.0));
        assert_eq!(of("s.cpu"), (Dimension::Ratio, 1.0));
        assert_eq!(of("s.rss"), (Dimension::Bytes, 1.0));
        assert_eq!(of("s.kv.cache"), (Dimension::Ratio, 1.0));
        assert_eq!(of("s.wait"), (Dimension::Time, 1.0));
        assert_eq!(of("s.rx"), (Dimension::PerSecond, 1.0));
        assert_eq!(of("s.ms"), (Dimension::Time, 1e-3));
        assert_eq!(
            super::parse_take("p99.9").map(|take| take == Take::Quantile(0.999)),
            Ok(true)
        );
    }

    #[test]
    fn every_fault_is_named() {
        for (telemetry, gates, message) in [
            (
                r#"prometheus = [{ url = "/m", metrics = { a = "b" } }]"#,
                "[]",
                "needs `name`",
            ),
            (
                r#"prometheus = [{ name = "s", metrics = { a = "b" } }]"#,
                "[]",
                "needs `url`",
            ),
            (
                r#"prometheus = [{ name = "s", url = "/m" }]"#,
                "[]",
                "needs `metrics`",
            ),
            (
                r#"prometheus = [{ name = "gpu", url = "/m", metrics = { a = "b" } }]"#,
                "[]",
                "already names other",
            ),
            (
                r#"prometheus = [{ name = "a.b", url = "/m", metrics = { a = "b" } }]"#,
                "[]",
                "consists of letters",
            ),
            (
                r#"prometheus = [{ name = "s", url = "https://h", metrics = { a = "b" } }]"#,
                "[]",
                "TLS is not",
            ),
            (
                r#"prometheus = [{ name = "s", url = "/m", interval = "1ms", metrics = { a = "b" } }]"#,
                "[]",
                "`interval` lies",
            ),
            (
                r#"prometheus = [{ name = "s", url = "/m", metrics = { a = { metric = "b", as = "sum" } } }]"#,
                "[]",
                "none of them",
            ),
            (
                r#"prometheus = [{ name = "s", url = "/m", metrics = { a = { metrik = "b", as = "rate" } } }]"#,
                "[]",
                "needs `metric`",
            ),
            (
                r#"prometheus = [{ name = "s", url = "/m", metrics = { a = { metric = "b", unit = "lb" } } }]"#,
                "[]",
                "no unit",
            ),
            (
                r#"json = [{ name = "s", url = "/m", metrics = { a = "b" } }]"#,
                "[]",
                "begins with `/`",
            ),
            (
                r#"prometheus = [{ name = "s", url = "/m", metrics = { a = "b" } }]"#,
                r#"["s.b < 1"]"#,
                "unknown metric `s.b`",
            ),
            (
                r#"prometheus = [{ name = "s", url = "/m", metrics = { a = "b" } }]"#,
                r#"["s.a < 1ms"]"#,
                "not a number",
            ),
            (
                r#"prometheus = [{ name = "s", url = "/m", headers = { a = "{{uuid}}" }, metrics = { a = "b" } }]"#,
                "[]",
                "no `{{…}}`",
            ),
        ] {
            let (_, found) = read(telemetry, gates);
            assert!(
                found.iter().any(|text| text.contains(message)),
                "{telemetry}: {found:?}"
            );
        }
        let literal = r#"prometheus = [{ name = "s", url = "/m", headers = { authorization = "Bearer abcdef" }, metrics = { a = "b" } }]"#;
        let (scenario, found) = read(literal, "[]");
        assert_eq!(found, ["`authorization` is written into the scenario"]);
        assert_eq!(scenario.literal_secrets.len(), 1);
    }
}
