//! From TOML text to a [`Scenario`], collecting every fault.

use super::decode::{Context, Table};
use super::expand::Lookup;
use super::flow::read_flows;
use super::history::read_history;
use super::login::{Login, read_login};
use super::phase::{read_gates, read_objectives, read_phases};
use super::request::read_request;
use super::target::{missing_target, read_target};
use super::telemetry::read_telemetry;
use super::template::Template;
use super::{Scenario, Telemetry};
use crate::diag::{Code, Diagnostic, Diagnostics, SourceText};
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// Reads a scenario. The diagnostics hold every fault that was found; where they have errors, the
/// scenario is incomplete and must not be run.
pub fn parse(source: &SourceText, lookup: &dyn Lookup) -> (Scenario, Diagnostics) {
    let (document, syntax_errors) = DeTable::parse_recoverable(&source.text);
    let mut cx = Context {
        source,
        lookup,
        diagnostics: Diagnostics::default(),
        named: Vec::new(),
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
    if !root.has("flow") {
        root.require(
            cx,
            "request",
            "add at least one request: [request.infer] with method and path",
        );
    }
    let mut requests = Vec::new();
    let mut unit_names = Vec::new();
    if let Some(table) = root.table(cx, "request", "[request]") {
        for (name, value) in table.named_entries() {
            if !is_name(&name.value) {
                name_error(cx, name.span.clone(), "a request's name");
            }
            unit_names.push(name.value.clone());
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
    let request_count = unit_names.len();
    let flows = read_flows(cx, root, &mut unit_names, &mut literal_secrets);
    let login = read_login(cx, root, &mut literal_secrets);
    // Before the gates, which may name its metrics.
    let telemetry = match root.table(cx, "telemetry", "[telemetry]") {
        Some(table) => read_telemetry(cx, table, &mut literal_secrets),
        None => Telemetry::default(),
    };
    root.require(
        cx,
        "phase",
        "add at least one phase: [[phase]] with concurrency or rate, and duration",
    );
    let phases = read_phases(cx, root, &unit_names, request_count);
    let gates = read_gates(cx, root);
    let database = root
        .table(cx, "history", "[history]")
        .and_then(|table| read_history(cx, table, &mut literal_secrets));
    let slo = read_objectives(cx, root).unwrap_or_default();
    let scenario = Scenario {
        database,
        source: cx.source.clone(),
        literal_secrets,
        name,
        target,
        requests,
        flows,
        login,
        unit_names,
        request_count,
        phases,
        gates,
        slo,
        telemetry,
    };
    check_token(cx, &scenario);
    scenario
}

/// `{{login.token}}` needs a login, and a login somebody who sends its token.
fn check_token(cx: &mut Context<'_>, scenario: &Scenario) {
    let mut uses: Vec<Range<usize>> = Vec::new();
    let mut note = |template: &Template| uses.extend(template.token().cloned());
    for header in &scenario.target.headers {
        note(&header.value);
    }
    let steps = scenario.flows.iter().flat_map(|flow| &flow.steps);
    let steps = steps.map(|step| &step.request);
    for request in scenario.requests.iter().chain(steps) {
        request.sent_templates(&mut note);
    }
    match &scenario.login {
        None => {
            for span in uses {
                cx.error(
                    Code::MissingKey,
                    span,
                    "`{{login.token}}` needs a login",
                    "add [login] with path, json and token = \"/access_token\"",
                );
            }
        }
        Some(Login { request, .. }) => {
            if uses.is_empty() {
                let span = request.name.span.clone();
                cx.diagnostics.push(
                    Diagnostic::warning(Code::MissingKey, "no request sends the token of [login]")
                        .at(span)
                        .hint(
                            "in [target]: headers = { authorization = \"Bearer {{login.token}}\" }",
                        ),
                );
            }
            let mut own: Vec<Range<usize>> = Vec::new();
            request.sent_templates(&mut |template| own.extend(template.token().cloned()));
            for span in own {
                cx.error(
                    Code::InvalidTemplate,
                    span,
                    "the login itself has no token yet",
                    "",
                );
            }
        }
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
