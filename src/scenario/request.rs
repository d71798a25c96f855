//! Reads `[request.NAME]`, and what a step of a flow has in common with it.

use super::decode::{Context, Located, Table};
use super::expand::Text;
use super::json;
use super::retry::read_retry;
use super::stream::{EndingKeys, read_stream};
use super::target::read_headers;
use super::template::{Part, Template};
use super::{Body, Data, DataOrder, Expect, JsonExpectation, Request};
use crate::diag::{Code, nearest};
use std::ops::Range;
use toml::Spanned;
use toml::de::DeValue;

/// One request of its own.
pub(super) fn read_request(
    cx: &mut Context<'_>,
    name: Located<String>,
    mut table: Table<'_>,
    literal_secrets: &mut Vec<Range<usize>>,
) -> Request {
    let request = Request {
        weight: read_weight(cx, &mut table),
        ..read_exchange(cx, name, &mut table, literal_secrets)
    };
    for (name, span) in request.sent_captures() {
        cx.error(
            Code::UnknownName,
            span,
            format!("`{{{{capture.{name}}}}}` has no value here: only steps of a flow capture any"),
            "put both requests into one [[flow]], as its steps",
        );
    }
    table.finish(cx);
    request
}

/// How often it is chosen, relative to the others of its phase.
pub(super) fn read_weight(cx: &mut Context<'_>, table: &mut Table<'_>) -> u32 {
    table
        .integer(cx, "weight", 1..=1_000_000)
        .map_or(1, |weight| u32::try_from(weight.value).unwrap_or(u32::MAX))
}

/// What is sent and what is expected: everything but the keys of the table that holds it.
pub(super) fn read_exchange(
    cx: &mut Context<'_>,
    name: Located<String>,
    table: &mut Table<'_>,
    literal_secrets: &mut Vec<Range<usize>>,
) -> Request {
    let (request, ending) = read_plain(cx, name, table, literal_secrets);
    Request {
        stream: read_stream(cx, table, ending),
        retry: read_retry(cx, table),
        ..request
    }
}

/// The same of an answer that is neither streamed nor asked for again; and what `expect` says of the
/// end of a stream.
pub(super) fn read_plain(
    cx: &mut Context<'_>,
    name: Located<String>,
    table: &mut Table<'_>,
    literal_secrets: &mut Vec<Range<usize>>,
) -> (Request, EndingKeys) {
    let mut secrets = Vec::new();
    let body = read_body(cx, table, &mut secrets);
    let method = read_method(cx, table, &body);
    table.require(cx, "path", "for example path = \"/v1/inference\"");
    let path = table.text(cx, "path").and_then(|text| {
        secrets.extend(text.secrets.iter().cloned());
        // What a step captured may be a whole path, as `Location` gives it.
        if !text.value.starts_with('/') && !text.value.starts_with("{{capture.") {
            cx.error(
                Code::InvalidValue,
                text.span.clone(),
                "a path begins with `/`",
                "the host stands in [target] url",
            );
        }
        cx.template(&text)
    });
    let headers = read_headers(cx, table, literal_secrets);
    let data = read_data(cx, table);
    let mut expect = Expect::default();
    let mut ending = EndingKeys::default();
    if let Some(mut table) = table.table(cx, "expect", "expect") {
        ending = EndingKeys::read(cx, &mut table);
        expect = read_expect(cx, table, &mut secrets);
    }
    let request = Request {
        name,
        method,
        path: path.unwrap_or_else(root_path),
        headers,
        body,
        data,
        weight: 1,
        expect,
        stream: None,
        retry: None,
        secrets,
    };
    require_data_file(cx, &request, table.title());
    (request, ending)
}

/// Stands for a path that could not be read.
fn root_path() -> Template {
    Template {
        parts: vec![Part::Literal("/".to_owned())],
        shown: "/".to_owned(),
    }
}

fn read_method(cx: &mut Context<'_>, table: &mut Table<'_>, body: &Body) -> String {
    const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    let default = if matches!(body, Body::Empty) {
        "GET"
    } else {
        "POST"
    };
    let Some(method) = table.text(cx, "method") else {
        return default.to_owned();
    };
    if !METHODS.contains(&method.value.as_str()) {
        let upper = method.value.to_ascii_uppercase();
        let hint = nearest(&upper, METHODS).map_or_else(
            || format!("known methods: {}", METHODS.join(", ")),
            |near| format!("did you mean \"{near}\"?"),
        );
        cx.error(
            Code::InvalidValue,
            method.span,
            format!("`{}` is not an HTTP method", method.value),
            hint,
        );
    }
    method.value
}

fn read_body(cx: &mut Context<'_>, table: &mut Table<'_>, secrets: &mut Vec<String>) -> Body {
    if table.has("json") && table.has("body") {
        cx.error(
            Code::Conflict,
            table.key_span("body"),
            "a request has `json` or `body`, not both",
            "",
        );
    }
    let text = table.get("body");
    if let Some(value) = table.get("json") {
        return Body::Json(json::read(cx, value, secrets));
    }
    let text = text.and_then(|value| cx.text(value, "body"));
    let template = text.and_then(|text| {
        secrets.extend(text.secrets.iter().cloned());
        cx.template(&text)
    });
    template.map_or(Body::Empty, Body::Text)
}

fn read_data(cx: &mut Context<'_>, table: &mut Table<'_>) -> Option<Data> {
    let value = table.get("data")?;
    let located = |text: Text| Located {
        value: text.value,
        span: text.span,
    };
    if let DeValue::Table(entries) = value.get_ref() {
        let mut table = Table::new(entries, value.span(), "data");
        let file = table.required_text(cx, "file", "for example file = \"inputs.jsonl\"");
        let order = match table.text(cx, "order") {
            None => DataOrder::Sequential,
            Some(text) if text.value == "sequential" => DataOrder::Sequential,
            Some(text) if text.value == "random" => DataOrder::Random,
            Some(text) => {
                cx.error(
                    Code::InvalidValue,
                    text.span,
                    format!(
                        "`order` is \"sequential\" or \"random\", not \"{}\"",
                        text.value
                    ),
                    "",
                );
                DataOrder::Sequential
            }
        };
        table.finish(cx);
        return Some(Data {
            file: located(file?),
            order,
        });
    }
    Some(Data {
        file: located(cx.text(value, "data")?),
        order: DataOrder::Sequential,
    })
}

fn read_expect(cx: &mut Context<'_>, mut table: Table<'_>, secrets: &mut Vec<String>) -> Expect {
    let mut expect = Expect {
        status: read_statuses(cx, &mut table, "without it, any 2xx is right"),
        ..Expect::default()
    };
    if let Some(json) = table.table(cx, "json", "expect.json") {
        expect.json = read_json_expectations(cx, &json, secrets);
    }
    if let Some(value) = table.get("body") {
        let items: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            _ => vec![value],
        };
        for item in items {
            if let Some(text) = cx.text(item, "body") {
                secrets.extend(text.secrets.iter().cloned());
                expect.body.extend(cx.template(&text));
            }
        }
    }
    table.finish(cx);
    expect
}

/// One HTTP status or several.
pub(super) fn read_statuses(cx: &mut Context<'_>, table: &mut Table<'_>, more: &str) -> Vec<u16> {
    let Some(value) = table.get("status") else {
        return Vec::new();
    };
    let items: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
        DeValue::Array(items) => items.iter().collect(),
        _ => vec![value],
    };
    let mut statuses = Vec::new();
    for item in items {
        let status = item
            .get_ref()
            .as_integer()
            .and_then(|integer| integer.as_str().parse().ok())
            .filter(|status| (100..=599).contains(status));
        match status {
            Some(status) => statuses.push(status),
            None => cx.error(
                Code::InvalidValue,
                item.span(),
                "`status` is an HTTP status, or an array of them",
                format!("for example status = 200 or status = [200, 202]; {more}"),
            ),
        }
    }
    statuses
}

/// JSON pointers and what must stand there.
pub(super) fn read_json_expectations(
    cx: &mut Context<'_>,
    json: &Table<'_>,
    secrets: &mut Vec<String>,
) -> Vec<JsonExpectation> {
    let mut expectations = Vec::new();
    for (pointer, value) in json.named_entries() {
        check_pointer(cx, &pointer);
        expectations.push(JsonExpectation {
            pointer: pointer.value,
            value: json::read(cx, value, secrets),
            span: pointer.span,
        });
    }
    expectations
}

/// Reports what is not a JSON pointer (RFC 6901).
pub(super) fn check_pointer(cx: &mut Context<'_>, pointer: &Located<String>) {
    if !pointer.value.is_empty() && !pointer.value.starts_with('/') {
        cx.error(
            Code::InvalidValue,
            pointer.span.clone(),
            format!("`{}` is not a JSON pointer", pointer.value),
            format!(
                "a pointer begins with `/`: \"/{}\"",
                pointer.value.replace('.', "/")
            ),
        );
    }
}

/// `{{data.…}}` without a data file would never have a value.
fn require_data_file(cx: &mut Context<'_>, request: &Request, title: &str) {
    if request.data.is_some() {
        return;
    }
    let mut missing: Vec<(String, Range<usize>)> = Vec::new();
    request.templates(&mut |template| {
        missing.extend(
            template
                .data_fields()
                .map(|(field, span)| (field.to_owned(), span.clone())),
        );
    });
    for (field, span) in missing {
        cx.error(
            Code::MissingKey,
            span,
            format!("`{{{{data.{field}}}}}` needs a data file"),
            format!("add data = \"file.jsonl\" (or .csv) to {title}"),
        );
    }
}

impl Request {
    /// Visits every template of the request.
    pub fn templates(&self, visit: &mut dyn FnMut(&Template)) {
        self.sent_templates(visit);
        for expectation in &self.expect.json {
            expectation.value.templates(visit);
        }
        self.expect.body.iter().for_each(visit);
    }

    /// Visits every template of what is sent.
    pub(super) fn sent_templates(&self, visit: &mut dyn FnMut(&Template)) {
        visit(&self.path);
        for header in &self.headers {
            visit(&header.value);
        }
        match &self.body {
            Body::Empty => {}
            Body::Json(json) => json.templates(visit),
            Body::Text(template) => visit(template),
        }
    }

    /// Every use of what a step captured in what is sent, with its place.
    pub(super) fn sent_captures(&self) -> Vec<(String, Range<usize>)> {
        let mut uses = Vec::new();
        self.sent_templates(&mut |template| {
            let captures = template.captures();
            uses.extend(captures.map(|(name, span)| (name.to_owned(), span.clone())));
        });
        uses
    }
}
