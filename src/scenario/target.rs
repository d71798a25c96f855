//! Reads `[target]`, its headers, and the set-up of the reference API.

use super::connection::{Connecting, read_connecting};
use super::decode::{Context, Located, Table};
use super::expand::Text;
use super::reference::{
    BackendChoice, Delay, GpuChoice, Precision, ReferenceOptions, Scaling, Stall,
};
use super::template::Template;
use super::{Header, Target};
use crate::diag::{Code, Diagnostic};
use hyper::header::{HeaderName, HeaderValue};
use std::ops::Range;
use std::time::Duration;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// Header names whose values are credentials.
const CREDENTIAL_HEADERS: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-api-key",
    "api-key",
    "x-auth-token",
];

/// Header names that say how the body is framed.
const FRAMING_HEADERS: &[&str] = &["content-length", "transfer-encoding"];

pub(super) fn missing_target() -> Target {
    Target {
        url: Text {
            value: "reference".to_owned(),
            shown: "reference".to_owned(),
            secrets: Vec::new(),
            from_outside: false,
            span: 0..0,
        },
        timeout: DEFAULT_TIMEOUT,
        headers: Vec::new(),
        connecting: Connecting::default(),
        reference: ReferenceOptions::default(),
    }
}

pub(super) fn read_target(
    cx: &mut Context<'_>,
    mut table: Table<'_>,
    literal_secrets: &mut Vec<Range<usize>>,
) -> Target {
    let url = table.required_text(
        cx,
        "url",
        "for example url = \"http://127.0.0.1:8000\", or url = \"reference\" for the built-in API",
    );
    let timeout = table.duration(cx, "timeout");
    let timeout = positive(cx, timeout, "timeout");
    let headers = read_headers(cx, &mut table, literal_secrets);
    let connecting = read_connecting(cx, &mut table);
    let reference = match table.table(cx, "reference", "[target.reference]") {
        Some(options) => read_reference(cx, options),
        None => ReferenceOptions::default(),
    };
    table.finish(cx);
    let fallback = missing_target();
    Target {
        url: url.unwrap_or(fallback.url),
        timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
        headers,
        connecting,
        reference,
    }
}

pub(super) fn positive(
    cx: &mut Context<'_>,
    duration: Option<Located<Duration>>,
    name: &str,
) -> Option<Duration> {
    let duration = duration?;
    if duration.value.is_zero() {
        cx.error(
            Code::InvalidValue,
            duration.span,
            format!("`{name}` must be longer than zero"),
            "",
        );
        return None;
    }
    Some(duration.value)
}

pub(super) fn read_headers(
    cx: &mut Context<'_>,
    table: &mut Table<'_>,
    literal_secrets: &mut Vec<Range<usize>>,
) -> Vec<Header> {
    let Some(headers) = table.table(cx, "headers", "headers") else {
        return Vec::new();
    };
    let mut read = Vec::new();
    for (name, value) in headers.named_entries() {
        let lower = name.value.to_ascii_lowercase();
        if HeaderName::from_bytes(lower.as_bytes()).is_err() {
            cx.error(
                Code::InvalidValue,
                name.span.clone(),
                format!("`{}` is not a header name", name.value),
                "",
            );
        }
        if FRAMING_HEADERS.contains(&lower.as_str()) {
            cx.error(
                Code::InvalidValue,
                name.span.clone(),
                format!("`{}` is not the scenario's to set", name.value),
                "it follows from the body: leave it out",
            );
            continue;
        }
        let Some(text) = cx.text(value, &name.value) else {
            continue;
        };
        if HeaderValue::from_str(&text.value).is_err() {
            cx.error(
                Code::InvalidValue,
                text.span.clone(),
                format!(
                    "the value of `{}` holds characters that a header cannot carry",
                    name.value
                ),
                "line breaks and control characters are not allowed; does the variable end in one?",
            );
        }
        let Some(template) = cx.template(&text) else {
            continue;
        };
        let credential = CREDENTIAL_HEADERS.contains(&lower.as_str());
        if credential && !text.from_outside && template.is_constant() && !text.value.is_empty() {
            literal_secrets.push(text.span.clone());
            cx.diagnostics.push(
                Diagnostic::warning(
                    Code::LiteralSecret,
                    format!("`{}` is written into the scenario", name.value),
                )
                .at(text.span.clone())
                .hint("take it from the environment, \"${BENCH_TOKEN}\", or from a file, \"${file:token}\"")
                .hint("it is left out of records and reports"),
            );
        }
        let mut secrets = text.secrets.clone();
        let mut shown = template.shown.clone();
        if credential && !text.from_outside && template.is_constant() {
            secrets.push(text.value.clone());
            "***".clone_into(&mut shown);
        }
        read.push(Header {
            name: Located {
                value: lower,
                span: name.span,
            },
            value: Template { shown, ..template },
            secrets,
        });
    }
    read
}

fn read_reference(cx: &mut Context<'_>, mut table: Table<'_>) -> ReferenceOptions {
    let mut options = ReferenceOptions::default();
    if let Some(backend) = table.parsed(
        cx,
        "backend",
        "what computes the model: \"auto\", \"cpu\" or \"cuda\"",
        BackendChoice::parse,
    ) {
        options.backend = backend.value;
    }
    if let Some(gpus) = table.parsed(
        cx,
        "gpu",
        "which GPUs compute: \"first\", \"all\", or a list such as \"0,1\"",
        GpuChoice::parse,
    ) {
        options.gpus = gpus.value;
    }
    if let Some(precision) = table.parsed(
        cx,
        "precision",
        "the model's numbers on a GPU: \"f16\" or \"bf16\"",
        Precision::parse,
    ) {
        options.precision = precision.value;
    }
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    if let Some(width) = table.integer(cx, "model_width", 256..=BackendChoice::WIDEST as u64) {
        options.model_width = Some(size(width.value));
    }
    if let Some(layers) = table.integer(cx, "model_layers", 0..=BackendChoice::DEEPEST as u64) {
        options.model_layers = Some(size(layers.value));
    }
    if let Some(seed) = table.integer(cx, "seed", 0..=u64::from(u32::MAX)) {
        options.seed = seed.value;
    }
    if let Some(batch) = table.integer(cx, "max_batch", 1..=4096) {
        options.max_batch = usize::try_from(batch.value).unwrap_or(4096);
    }
    if let Some(wait) = table.duration(cx, "max_wait") {
        options.max_wait = wait.value;
    }
    if let Some(step) = table.duration(cx, "step_time") {
        options.step_time = step.value;
    }
    if let Some(delay) = table.parsed(
        cx,
        "delay",
        "a duration such as \"5ms\" or a mix such as \"90% 5ms, 10% 50ms\"",
        Delay::parse,
    ) {
        options.delay = delay.value;
    }
    options.stall = table
        .parsed(cx, "stall", "a freeze such as \"1s at 10s\"", Stall::parse)
        .map(|stall| stall.value);
    if let Some(rate) = table.ratio(cx, "error_rate") {
        options.error_rate = rate.value;
    }
    if let Some(rate) = table.ratio(cx, "reject_logins") {
        options.reject_logins = rate.value;
    }
    if let Some(leak) = table.bytes(cx, "leak_per_request") {
        options.leak_per_request = leak.value;
    }
    let limit = table.bytes(cx, "leak_limit").map(|limit| limit.value);
    options.leak_limit = limit.filter(|limit| *limit > 0);
    options.scaling = table
        .parsed(
            cx,
            "scaling",
            "a rule such as \"1 to 4 at 20 queued, start 2s, cooldown 5s\"",
            Scaling::parse,
        )
        .map(|scaling| scaling.value);
    if let Some(lifetime) = table.duration(cx, "token_lifetime") {
        if lifetime.value < Duration::from_secs(1) || lifetime.value.subsec_nanos() != 0 {
            cx.error(
                Code::InvalidValue,
                lifetime.span,
                "`token_lifetime` is a number of whole seconds",
                "for example token_lifetime = \"5s\"",
            );
        } else {
            options.token_lifetime = lifetime.value;
        }
    }
    if let Some(auth) = table.boolean(cx, "require_auth") {
        options.require_auth = auth;
    }
    table.finish(cx);
    options
}
