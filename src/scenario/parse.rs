//! From TOML text to a [`Scenario`], collecting every fault.

use super::decode::{Context, Table};
use super::expand::Lookup;
use super::phase::{read_gates, read_phases};
use super::request::read_request;
use super::target::{missing_target, read_target};
use super::{GpuSource, Scenario, Telemetry};
use crate::diag::{Code, Diagnostic, Diagnostics, SourceText};
use std::ops::Range;
use std::time::Duration;
use toml::de::{DeTable, DeValue};

const DEFAULT_GPU_INTERVAL: Duration = Duration::from_millis(100);

/// Reads a scenario. The diagnostics hold every fault that was found; where they have errors, the
/// scenario is incomplete and must not be run.
pub fn parse(source: &SourceText, lookup: &dyn Lookup) -> (Scenario, Diagnostics) {
    let (document, syntax_errors) = DeTable::parse_recoverable(&source.text);
    let mut cx = Context {
        source,
        lookup,
        diagnostics: Diagnostics::default(),
    };
    for error in &syntax_errors {
        let mut diagnostic = Diagnostic::error(Code::Syntax, error.message());
        if let Some(span) = error.span() {
            diagnostic = diagnostic.at(span);
        }
        cx.diagnostics.push(diagnostic);
    }
    // A file that is not TOML yields a document with holes: complaints about those would only hide
    // the real fault.
    let only_syntax = !syntax_errors.is_empty();
    let mut root = Table::new(document.get_ref(), 0..0, "the scenario");
    let scenario = read_scenario(&mut cx, &mut root);
    root.finish(&mut cx);
    if only_syntax {
        let mut syntax = Diagnostics::default();
        for item in cx.diagnostics.in_text_order() {
            if item.code == Code::Syntax {
                syntax.push(item.clone());
            }
        }
        return (scenario, syntax);
    }
    (scenario, cx.diagnostics)
}

fn read_scenario(cx: &mut Context<'_>, root: &mut Table<'_>) -> Scenario {
    let name = root.required_text(cx, "name", "it names the run, for example name = \"prod\"");
    if let Some(name) = &name
        && !is_name(&name.value)
    {
        name_error(cx, name.span.clone(), "a scenario's name");
    }
    let name = name.map_or_else(|| "unnamed".to_owned(), |name| name.value);
    root.require(
        cx,
        "target",
        "say where the service is: [target] with url = \"http://host:port\", or url = \"reference\"",
    );
    let mut literal_secrets = Vec::new();
    let target = match root.table(cx, "target", "[target]") {
        Some(table) => read_target(cx, table, &mut literal_secrets),
        None => missing_target(),
    };
    root.require(
        cx,
        "request",
        "add at least one request: [request.infer] with method and path",
    );
    let mut requests = Vec::new();
    let mut request_names = Vec::new();
    if let Some(table) = root.table(cx, "request", "[request]") {
        for (name, value) in table.named_entries() {
            if !is_name(&name.value) {
                name_error(cx, name.span.clone(), "a request's name");
            }
            request_names.push(name.value.clone());
            let DeValue::Table(entries) = value.get_ref() else {
                cx.error(
                    Code::WrongType,
                    name.span.clone(),
                    format!("`request.{}` is a table", name.value),
                    format!(
                        "write [request.{}] with method and path below it",
                        name.value
                    ),
                );
                continue;
            };
            let title = format!("[request.{}]", name.value);
            let table = Table::new(entries, value.span(), title);
            requests.push(read_request(cx, name, table, &mut literal_secrets));
        }
    }
    root.require(
        cx,
        "phase",
        "add at least one phase: [[phase]] with concurrency and duration",
    );
    let phases = read_phases(cx, root, &request_names);
    let gates = read_gates(cx, root);
    let telemetry = match root.table(cx, "telemetry", "[telemetry]") {
        Some(table) => read_telemetry(cx, table),
        None => default_telemetry(),
    };
    Scenario {
        source: cx.source.clone(),
        literal_secrets,
        name,
        target,
        requests,
        request_names,
        phases,
        gates,
        telemetry,
    }
}

/// Names become parts of file names, JUnit ids and series labels.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && !name.starts_with('.')
}

pub(super) fn name_error(cx: &mut Context<'_>, span: Range<usize>, what: &str) {
    cx.error(
        Code::InvalidValue,
        span,
        format!("{what} consists of letters, digits, `-`, `_` and `.`, at most 64 of them"),
        "",
    );
}

fn default_telemetry() -> Telemetry {
    Telemetry {
        gpu: GpuSource::Auto,
        gpu_interval: DEFAULT_GPU_INTERVAL,
    }
}

fn read_telemetry(cx: &mut Context<'_>, mut table: Table<'_>) -> Telemetry {
    const FORMS: &str =
        "`gpu` is \"auto\", \"nvml\", \"none\" or { nvml = \"/path/to/libnvidia-ml.so.1\" }";
    let gpu = match table.get("gpu") {
        None => GpuSource::Auto,
        Some(value) => match value.get_ref() {
            DeValue::Table(entries) => {
                let mut inner = Table::new(entries, value.span(), "gpu");
                let library = inner.text(cx, "nvml").map(|text| text.value);
                if inner.has("dcgm") {
                    inner.get("dcgm");
                    cx.error(
                        Code::Unsupported,
                        inner.key_span("dcgm"),
                        "GPU telemetry from dcgm-exporter is not available in this version",
                        FORMS,
                    );
                }
                inner.finish(cx);
                GpuSource::Nvml(library)
            }
            _ => match cx.text(value, "gpu") {
                None => GpuSource::Auto,
                Some(text) => match text.value.as_str() {
                    "auto" => GpuSource::Auto,
                    "nvml" => GpuSource::Nvml(None),
                    "none" => GpuSource::None,
                    other => {
                        cx.error(
                            Code::InvalidValue,
                            text.span,
                            format!("`{other}` is not a source of GPU telemetry"),
                            FORMS,
                        );
                        GpuSource::Auto
                    }
                },
            },
        },
    };
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
    table.finish(cx);
    Telemetry {
        gpu,
        gpu_interval: interval.map_or(DEFAULT_GPU_INTERVAL, |interval| interval.value),
    }
}
