//! Reads `[[flow]]`: several requests, one after the other, as one unit of load.

use super::decode::{Context, Located, Table};
use super::parse::{is_name, name_error};
use super::request::{
    check_pointer, read_exchange, read_json_expectations, read_statuses, read_weight,
};
use super::target::positive;
use super::{JsonExpectation, Request};
use crate::diag::{Code, nearest};
use hyper::header::HeaderName;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

/// Several requests, one after the other, with one latency from the first to the last.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Its name.
    pub name: Located<String>,
    /// How often it is chosen, relative to the other flows and requests of its phase.
    pub weight: u32,
    /// Its steps, in order.
    pub steps: Vec<Step>,
}

/// One request of a flow.
#[derive(Clone, Debug)]
pub struct Step {
    /// What is sent and expected; its name is that of the step.
    pub request: Request,
    /// What later steps may use of its answer.
    pub captures: Vec<Capture>,
    /// Whether it is sent again and again until something has happened.
    pub poll: Option<Poll>,
}

/// A value of an answer that later steps use as `{{capture.NAME}}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Capture {
    /// The name.
    pub name: Located<String>,
    /// Where it stands in the answer.
    pub source: CaptureSource,
    /// Whether it must never be shown.
    pub secret: bool,
}

/// Where a captured value stands in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaptureSource {
    /// A JSON pointer (RFC 6901) into the body.
    Json(String),
    /// The first header of this name, in lower case.
    Header(String),
}

/// A step that is sent again and again until something has happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Poll {
    /// What ends it well.
    pub until: Condition,
    /// What ends it at once as failed.
    pub fail: Option<Condition>,
    /// The pause between an answer and the next request.
    pub every: Duration,
    /// How long it may take from the first request on.
    pub limit: Duration,
}

/// What must be so of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Condition {
    /// Its status is one of these; empty for any.
    pub status: Vec<u16>,
    /// This stands in its body.
    pub json: Vec<JsonExpectation>,
}

/// Reads all flows.
pub(super) fn read_flows(
    cx: &mut Context<'_>,
    root: &mut Table<'_>,
    unit_names: &mut Vec<String>,
    literal_secrets: &mut Vec<Range<usize>>,
) -> Vec<Flow> {
    let mut flows = Vec::new();
    for mut table in root.array_of_tables(cx, "flow") {
        let name = table.required_text(cx, "name", "for example name = \"job\"");
        let name = name.map(|text| Located {
            value: text.value,
            span: text.span,
        });
        if let Some(name) = &name {
            if !is_name(&name.value) {
                name_error(cx, name.span.clone(), "a flow's name");
            }
            if unit_names.contains(&name.value) {
                cx.error(
                    Code::Conflict,
                    name.span.clone(),
                    format!(
                        "there is already a request or a flow named `{}`",
                        name.value
                    ),
                    "gates and reports refer to both by name",
                );
            }
            unit_names.push(name.value.clone());
        }
        let weight = read_weight(cx, &mut table);
        table.require(
            cx,
            "step",
            "write [[flow.step]] below it, with name and path, for each request",
        );
        let steps = read_steps(cx, &mut table, literal_secrets);
        if steps.is_empty() && table.has("step") && !cx.diagnostics.has_errors() {
            cx.error(
                Code::MissingKey,
                table.key_span("step"),
                "the flow has no step",
                "write [[flow.step]] below it, with name and path, for each request",
            );
        }
        table.finish(cx);
        flows.extend(name.map(|name| Flow {
            name,
            weight,
            steps,
        }));
    }
    flows
}

fn read_steps(
    cx: &mut Context<'_>,
    flow: &mut Table<'_>,
    literal_secrets: &mut Vec<Range<usize>>,
) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut captured: Vec<String> = Vec::new();
    for table in flow.array_of_tables(cx, "step") {
        let table = table.titled("[[flow.step]]");
        let Some(step) = read_step(cx, table, literal_secrets) else {
            continue;
        };
        let name = &step.request.name;
        if steps
            .iter()
            .any(|known| known.request.name.value == name.value)
        {
            cx.error(
                Code::Conflict,
                name.span.clone(),
                format!("the flow has two steps named `{}`", name.value),
                "gates and reports refer to steps by name",
            );
        }
        check_uses(cx, &step, &captured);
        captured.extend(
            step.captures
                .iter()
                .map(|capture| capture.name.value.clone()),
        );
        steps.push(step);
    }
    steps
}

fn read_step(
    cx: &mut Context<'_>,
    mut table: Table<'_>,
    literal_secrets: &mut Vec<Range<usize>>,
) -> Option<Step> {
    let name = table.required_text(cx, "name", "for example name = \"submit\"");
    if let Some(name) = &name
        && !is_name(&name.value)
    {
        name_error(cx, name.span.clone(), "a step's name");
    }
    let (value, span) = match &name {
        Some(name) => (name.value.clone(), name.span.clone()),
        None => (String::new(), table.span.clone()),
    };
    let mut request = read_exchange(cx, Located { value, span }, &mut table, literal_secrets);
    let captures = read_captures(cx, &mut table);
    let poll = read_poll(cx, &mut table, &mut request.secrets);
    if request.stream.is_some() {
        let of_json = |capture: &&Capture| matches!(capture.source, CaptureSource::Json(_));
        let span = captures
            .iter()
            .find(of_json)
            .map(|capture| capture.name.span.clone())
            .or_else(|| poll.as_ref().map(|_| table.key_span("poll")));
        if let Some(span) = span {
            cx.error(
                Code::Conflict,
                span,
                "a streamed answer is not one JSON value: it can be neither captured from nor polled",
                "leave out `stream`, or capture a header",
            );
        }
    }
    table.finish(cx);
    name.map(|_| Step {
        request,
        captures,
        poll,
    })
}

/// What a step uses must have been captured before it.
fn check_uses(cx: &mut Context<'_>, step: &Step, captured: &[String]) {
    let expected = step.request.expect.body.iter();
    for (_, span) in expected.flat_map(super::Template::captures) {
        cx.error(
            Code::InvalidTemplate,
            span.clone(),
            "what was captured can be sent, and not be expected",
            "an expectation holds fixed values and `{{data.FIELD}}`",
        );
    }
    for (name, span) in step.request.sent_captures() {
        if captured.contains(&name) {
            continue;
        }
        let hint = match nearest(&name, captured.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{{{{capture.{near}}}}}`?"),
            None if captured.is_empty() => format!(
                "capture it in an earlier step of the flow: capture = {{ {name} = \"/{name}\" }}"
            ),
            None => format!("earlier steps capture: {}", captured.join(", ")),
        };
        cx.error(
            Code::UnknownName,
            span,
            format!("no earlier step of the flow captures `{name}`"),
            hint,
        );
    }
}

fn read_captures(cx: &mut Context<'_>, table: &mut Table<'_>) -> Vec<Capture> {
    let Some(table) = table.table(cx, "capture", "capture") else {
        return Vec::new();
    };
    let mut captures = Vec::new();
    for (name, value) in table.named_entries() {
        if !is_name(&name.value) {
            name_error(cx, name.span.clone(), "the name of a captured value");
        }
        captures.extend(
            read_capture(cx, &name, value).map(|(source, secret)| Capture {
                name,
                source,
                secret,
            }),
        );
    }
    captures
}

pub(super) fn read_capture(
    cx: &mut Context<'_>,
    name: &Located<String>,
    value: &Spanned<DeValue<'_>>,
) -> Option<(CaptureSource, bool)> {
    let DeValue::Table(entries) = value.get_ref() else {
        return Some((read_pointer(cx, value, &name.value)?, false));
    };
    let mut table = Table::new(entries, value.span(), format!("capture.{}", name.value));
    let json = table
        .get("json")
        .and_then(|value| read_pointer(cx, value, "json"));
    let header = table.text(cx, "header").map(|text| {
        let lower = text.value.to_ascii_lowercase();
        if HeaderName::from_bytes(lower.as_bytes()).is_err() {
            cx.error(
                Code::InvalidValue,
                text.span,
                format!("`{}` is not a header name", text.value),
                "",
            );
        }
        CaptureSource::Header(lower)
    });
    let secret = table.boolean(cx, "secret").unwrap_or(false);
    if table.has("json") == table.has("header") {
        cx.error(
            Code::Conflict,
            table.span.clone(),
            format!("`{}` is captured from `json` or from `header`", name.value),
            "write { json = \"/pointer\" } or { header = \"name\" }",
        );
    }
    table.finish(cx);
    Some((json.or(header)?, secret))
}

fn read_pointer(
    cx: &mut Context<'_>,
    value: &Spanned<DeValue<'_>>,
    name: &str,
) -> Option<CaptureSource> {
    let text = cx.text(value, name)?;
    let pointer = Located {
        value: text.value,
        span: text.span,
    };
    check_pointer(cx, &pointer);
    Some(CaptureSource::Json(pointer.value))
}

fn read_poll(
    cx: &mut Context<'_>,
    table: &mut Table<'_>,
    secrets: &mut Vec<String>,
) -> Option<Poll> {
    let mut table = table.table(cx, "poll", "poll")?;
    table.require(
        cx,
        "until",
        "for example until = { json = { \"/status\" = \"completed\" } }",
    );
    table.require(cx, "every", "for example every = \"100ms\"");
    table.require(cx, "limit", "for example limit = \"30s\"");
    let until = read_condition(cx, &mut table, "until", secrets);
    let fail = read_condition(cx, &mut table, "fail", secrets);
    let every = table.duration(cx, "every");
    let every = positive(cx, every, "every");
    let limit = table.duration(cx, "limit");
    let limit = positive(cx, limit, "limit");
    if let (Some(every), Some(limit)) = (every, limit)
        && limit < every
    {
        cx.error(
            Code::Conflict,
            table.key_span("limit"),
            "the limit ends before the second request: it is shorter than `every`",
            "give it the time that the work may take",
        );
    }
    table.finish(cx);
    Some(Poll {
        until: until?,
        fail,
        every: every?,
        limit: limit?,
    })
}

fn read_condition(
    cx: &mut Context<'_>,
    table: &mut Table<'_>,
    key: &'static str,
    secrets: &mut Vec<String>,
) -> Option<Condition> {
    let mut table = table.table(cx, key, key)?;
    let status = read_statuses(cx, &mut table, "without it, any status");
    let json = match table.table(cx, "json", "json") {
        Some(json) => read_json_expectations(cx, &json, secrets),
        None => Vec::new(),
    };
    if status.is_empty() && json.is_empty() && !table.has("status") {
        cx.error(
            Code::MissingKey,
            table.span.clone(),
            format!("`{key}` says nothing"),
            "write { status = 200 }, { json = { \"/status\" = \"completed\" } }, or both",
        );
    }
    table.finish(cx);
    Some(Condition { status, json })
}
