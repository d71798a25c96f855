//! Reads `[telemetry]`.

use super::metric::{Kind, read_metrics};
use super::{DcgmSource, Endpoint, GpuSource, MetricSource, Telemetry};
use crate::diag::Code;
use crate::gate::metric_names;
use crate::scenario::decode::{Context, Located, Table};
use crate::scenario::parse::{is_name, name_error};
use crate::scenario::target::read_headers;
use crate::units;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;
use toml::de::DeValue;

pub(super) const DEFAULT_GPU_INTERVAL: Duration = Duration::from_millis(100);
const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
/// An agent samples ten times a second; a page has the newest sample.
const DEFAULT_AGENT_INTERVAL: Duration = Duration::from_millis(200);
const GPU_FORMS: &str = "`gpu` is \"auto\", \"nvml\", \"none\", { nvml = \"/path/to/libnvidia-ml.so.1\" }, { dcgm = [\"http://gpu-1:9400/metrics\"] } or { agent = [\"http://gpu-1:9500\"] }";

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

pub(super) fn read_labels(cx: &mut Context<'_>, table: &mut Table<'_>) -> BTreeMap<String, String> {
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

#[cfg(test)]
mod tests {
    use crate::diag::SourceText;
    use crate::scenario::{self, Lookup, Scenario};
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
