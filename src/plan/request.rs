//! One request: what is sent, drawn anew each time, and what its answer must be.

use super::check::{Checks, Expected, Fault, JsonCheck, Judged, Received};
use super::compile::Facts;
use super::data::{self, Rows};
use super::flow::{CapturePlan, Captured, Criteria, PollCheck};
use super::render::{Compiler, Draw, Form, Renderer};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::record::RequestInfo;
use crate::scenario::{
    Body, Condition, DataOrder, Flow, Header, JsonExpectation, Protocol, Request, Step, Target,
};
use crate::stream::StreamForm;
use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Uri};
use rand::RngExt;

/// One request, ready to be rendered.
#[derive(Clone, Debug)]
pub struct RequestPlan {
    /// Its name.
    pub name: String,
    /// The HTTP method.
    pub method: Method,
    /// The path as written in the scenario.
    pub shown_path: String,
    path: Renderer,
    headers: HeaderMap,
    changing_headers: Vec<(HeaderName, Renderer)>,
    body: Option<Renderer>,
    rows: Vec<Box<[Bytes]>>,
    order: DataOrder,
    checks: Checks,
    stream: Option<StreamForm>,
    /// The path of the target's URL, which a captured path already has.
    prefix: String,
}

/// What changes from one sending of a request to the next; its memory is kept between them.
#[derive(Clone, Debug, Default)]
pub struct Rendered {
    /// Path and query, without the prefix of the target's URL.
    pub path: Vec<u8>,
    /// The values of [`RequestPlan::changing_headers`], in their order.
    pub header_values: Vec<Vec<u8>>,
    /// The body; empty for none.
    pub body: Vec<u8>,
}

impl RequestPlan {
    /// The row of the data file that the next request is rendered with.
    pub fn draw_row(&self, draw: &mut Draw<'_>) -> usize {
        match (self.rows.len(), self.order) {
            (0 | 1, _) => 0,
            (rows, DataOrder::Sequential) => {
                usize::try_from(draw.number % rows as u64).unwrap_or_default()
            }
            (rows, DataOrder::Random) => draw.random.random_range(0..rows),
        }
    }

    /// Whether every request is rendered to the same bytes.
    pub fn is_constant(&self) -> bool {
        self.path.constant().is_some()
            && self.changing_headers.is_empty()
            && self
                .body
                .as_ref()
                .is_none_or(|body| body.constant().is_some())
    }

    /// Whether it is sent with the token of the login.
    pub fn carries_token(&self) -> bool {
        let headers = self.changing_headers.iter().map(|(_, value)| value);
        headers
            .chain(&self.body)
            .chain([&self.path])
            .any(Renderer::holds_token)
    }

    /// Renders one request.
    pub fn render(&self, row: usize, draw: &mut Draw<'_>, out: &mut Rendered) {
        let cells = self.cells(row);
        out.path.clear();
        self.path.render(cells, draw, &mut out.path);
        if self.path.begins_with_capture() {
            relative_to_target(&mut out.path, &self.prefix);
        }
        escape_path(&mut out.path);
        out.header_values
            .resize_with(self.changing_headers.len(), Vec::new);
        for ((_, renderer), value) in self.changing_headers.iter().zip(&mut out.header_values) {
            value.clear();
            renderer.render(cells, draw, value);
            // Data may hold what a header cannot carry; such bytes are left out.
            value.retain(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f));
        }
        out.body.clear();
        if let Some(body) = &self.body {
            body.render(cells, draw, &mut out.body);
        }
    }

    /// The headers that are always the same, without those of the connection.
    pub fn fixed_headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The names of the headers that are rendered anew each time.
    pub fn changing_headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.changing_headers.iter().map(|(name, _)| name)
    }

    fn cells(&self, row: usize) -> &[Bytes] {
        self.rows.get(row).map_or(&[], |cells| cells)
    }

    /// Whether the body of the answer must be kept until it is complete.
    pub fn needs_body(&self) -> bool {
        self.checks.need_body()
    }

    /// How the answer is streamed, if it is.
    pub fn stream(&self) -> Option<&StreamForm> {
        self.stream.as_ref()
    }

    /// Whether a status is right.
    pub fn status_is_right(&self, status: u16) -> bool {
        self.checks.status_is_right(status)
    }

    /// Judges an answer to the request that was rendered with this row.
    ///
    /// # Errors
    /// What is not as expected.
    pub fn judge(
        &self,
        received: &Received<'_>,
        row: usize,
        captured: &mut Captured,
    ) -> Result<Judged, Fault> {
        self.checks.judge(received, row, self.cells(row), captured)
    }

    /// The headers of the answer that later steps use, in lower case.
    pub fn captured_headers(&self) -> impl Iterator<Item = &str> {
        self.checks.captured_headers()
    }

    /// Whether an answer holds what must never be shown.
    pub fn captures_secrets(&self) -> bool {
        self.checks.capture_secrets()
    }

    /// What the record keeps of it.
    pub fn info(&self) -> RequestInfo {
        RequestInfo {
            name: self.name.clone(),
            method: self.method.to_string(),
            path: self.shown_path.clone(),
            steps: Vec::new(),
        }
    }
}

/// Makes a path of what a step captured, which may be a URL (`Location`, RFC 9110, 10.2.2): without its
/// origin, and without the path that the target's own URL puts in front.
fn relative_to_target(path: &mut Vec<u8>, prefix: &str) {
    if let Some(scheme) = path.windows(3).position(|window| window == b"://") {
        let authority = scheme + 3;
        let end = path[authority..].iter().position(|&byte| byte == b'/');
        path.drain(..end.map_or(path.len(), |end| authority + end));
    }
    let follows = path.get(prefix.len()).is_none_or(|&next| next == b'/');
    if !prefix.is_empty() && path.starts_with(prefix.as_bytes()) && follows {
        path.drain(..prefix.len());
    }
    if path.first() != Some(&b'/') {
        path.insert(0, b'/');
    }
}

/// Percent-encodes what data may bring into a path and HTTP does not allow there.
fn escape_path(path: &mut Vec<u8>) {
    let is_plain = |byte: u8| {
        (b'!'..=b'~').contains(&byte)
            && !matches!(byte, b'"' | b'<' | b'>' | b'`' | b'{' | b'}' | b'#')
    };
    if path.iter().all(|&byte| is_plain(byte)) {
        return;
    }
    let escaped: Vec<u8> = path
        .iter()
        .flat_map(|&byte| {
            if is_plain(byte) {
                vec![byte]
            } else {
                format!("%{byte:02X}").into_bytes()
            }
        })
        .collect();
    *path = escaped;
}

/// Whether this is a path that a request can carry.
fn is_path(path: &str) -> bool {
    path.starts_with('/') && path.parse::<Uri>().is_ok()
}

/// What all requests of a scenario have in common.
pub(super) struct Surroundings<'a> {
    pub(super) target: &'a Target,
    /// The path of the target's URL.
    pub(super) prefix: &'a str,
    pub(super) facts: &'a Facts,
}

/// One step of a flow.
pub(super) fn compile_step(
    flow: &Flow,
    step: &Step,
    surroundings: &Surroundings<'_>,
    found: &mut Diagnostics,
) -> Option<RequestPlan> {
    // A name that is captured twice is one value, the later one.
    let mut names: Vec<String> = Vec::new();
    for capture in flow.steps.iter().flat_map(|step| &step.captures) {
        if !names.contains(&capture.name.value) {
            names.push(capture.name.value.clone());
        }
    }
    let mut plan = compile_with(
        &step.request,
        Compiler::with_captures(names.clone()),
        &surroundings.target.headers.iter().collect::<Vec<_>>(),
        surroundings,
        found,
    )?;
    let slot_of = |name: &str| names.iter().position(|known| known == name);
    plan.checks.captures = step
        .captures
        .iter()
        .filter_map(|capture| {
            Some(CapturePlan {
                slot: slot_of(&capture.name.value)?,
                source: capture.source.clone(),
                secret: capture.secret,
            })
        })
        .collect();
    if let Some(poll) = &step.poll {
        let rows = load_rows(&step.request, surroundings.facts, found)?;
        let mut criteria = |condition: &Condition| Criteria {
            status: condition.status.clone(),
            json: bind(&condition.json, &rows, found),
        };
        plan.checks.poll = Some(PollCheck {
            until: criteria(&poll.until),
            fail: poll.fail.as_ref().map(criteria),
        });
    }
    Some(plan)
}

/// The login: it has no token yet, so that it leaves out the target's headers that hold it.
pub(super) fn compile_login_request(
    request: &Request,
    captures: Vec<CapturePlan>,
    surroundings: &Surroundings<'_>,
    found: &mut Diagnostics,
) -> Option<RequestPlan> {
    let headers = surroundings.target.headers.iter();
    let headers: Vec<&Header> = headers
        .filter(|header| header.value.token().is_none())
        .collect();
    let mut plan = compile_with(request, Compiler::default(), &headers, surroundings, found)?;
    plan.checks.captures = captures;
    Some(plan)
}

/// Conditions on a JSON body, bound to the rows of their data file.
fn bind(expectations: &[JsonExpectation], rows: &Rows, found: &mut Diagnostics) -> Vec<JsonCheck> {
    let mut checks = Vec::new();
    for expectation in expectations {
        match Expected::bind(&expectation.value, rows) {
            Ok(expected) => checks.push(JsonCheck {
                pointer: expectation.pointer.clone(),
                expected,
            }),
            Err(message) => found
                .push(Diagnostic::error(Code::InvalidValue, message).at(expectation.span.clone())),
        }
    }
    checks
}

/// A request of its own.
pub(super) fn compile_request(
    request: &Request,
    surroundings: &Surroundings<'_>,
    found: &mut Diagnostics,
) -> Option<RequestPlan> {
    let headers: Vec<&Header> = surroundings.target.headers.iter().collect();
    compile_with(request, Compiler::default(), &headers, surroundings, found)
}

fn compile_with(
    request: &Request,
    mut compiler: Compiler,
    target_headers: &[&Header],
    surroundings: &Surroundings<'_>,
    found: &mut Diagnostics,
) -> Option<RequestPlan> {
    let rows = load_rows(request, surroundings.facts, found)?;
    let path = compiler.text(&request.path);
    let body = match &request.body {
        Body::Empty => None,
        Body::Json(json) => Some(compiler.json(json)),
        Body::Text(text) => Some(compiler.text(text)),
    };
    let mut headers = default_headers(&request.body);
    let mut changing_headers: Vec<_> = Vec::new();
    let target = surroundings.target;
    for header in target_headers.iter().copied().chain(&request.headers) {
        refuse_of_connection(header, target.connecting.protocol, found);
        let (Ok(name), renderer) = (
            HeaderName::from_bytes(header.name.value.as_bytes()),
            compiler.text(&header.value),
        ) else {
            continue;
        };
        // A request's own header replaces the target's.
        changing_headers.retain(|(known, _)| *known != name);
        if let Some(value) = renderer.constant() {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.insert(name, value);
            }
        } else {
            headers.remove(&name);
            changing_headers.push((name, renderer));
        }
    }
    let mut checks = Checks {
        status: request.expect.status.clone(),
        json: bind(&request.expect.json, &rows, found),
        ..Checks::default()
    };
    for text in &request.expect.body {
        checks.text.push(compiler.text(text));
    }
    let cells = match data::render(&rows, &compiler.uses) {
        Ok(cells) => cells,
        Err((position, message)) => {
            let fault = &compiler.uses[position];
            let mut diagnostic =
                Diagnostic::error(Code::InvalidData, message).at(fault.span.clone());
            if let Some(data) = &request.data {
                diagnostic = diagnostic.label(format!("not in `{}`", data.file.value));
                if fault.form == Form::Parsed {
                    diagnostic = diagnostic.hint("leave out `| json` to send the field as text");
                }
            }
            found.push(diagnostic);
            return None;
        }
    };
    if let Some(path) = path.constant()
        && !is_path(&String::from_utf8_lossy(path))
    {
        // A path that does not begin with `/` was reported when it was read.
        if path.starts_with(b"/") {
            let name = &request.name;
            found.push(
                Diagnostic::error(
                    Code::InvalidValue,
                    format!(
                        "the path of `{}` holds characters that a URL cannot carry",
                        name.value
                    ),
                )
                .at(name.span.clone()),
            );
        }
        return None;
    }
    Some(RequestPlan {
        name: request.name.value.clone(),
        method: request.method.parse().unwrap_or(Method::GET),
        shown_path: request.path.shown.clone(),
        path,
        headers,
        changing_headers,
        body,
        rows: cells,
        order: request
            .data
            .as_ref()
            .map_or(DataOrder::Sequential, |data| data.order),
        checks,
        stream: request.stream.clone(),
        prefix: surroundings.prefix.to_owned(),
    })
}

/// HTTP/2 has no headers about the connection (RFC 9113, section 8.2.2).
fn refuse_of_connection(header: &Header, protocol: Protocol, found: &mut Diagnostics) {
    const OF_CONNECTION: &[&str] = &["connection", "keep-alive", "proxy-connection", "upgrade"];
    let name = header.name.value.as_str();
    let is_refused =
        OF_CONNECTION.contains(&name) || (name == "te" && header.value.shown != "trailers");
    if matches!(protocol, Protocol::Http2 { .. }) && is_refused {
        found.push(
            Diagnostic::error(Code::InvalidValue, format!("HTTP/2 has no header `{name}`"))
                .at(header.name.span.clone())
                .hint(
                    "leave it out: how connections are used is said by `connections` in [target]",
                ),
        );
    }
}

fn default_headers(body: &Body) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("bench/", env!("CARGO_PKG_VERSION"))),
    );
    match body {
        Body::Empty => {}
        Body::Json(_) => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Body::Text(_) => {
            headers.insert(
                CONTENT_TYPE,
                HeaderValue::from_static("text/plain; charset=utf-8"),
            );
        }
    }
    headers
}

fn load_rows(request: &Request, facts: &Facts, found: &mut Diagnostics) -> Option<Rows> {
    let Some(data) = &request.data else {
        return Some(Rows::new());
    };
    let name = &data.file.value;
    let missing = || Err("it was not read".to_owned());
    let rows = match facts.data_files.get(name).cloned().unwrap_or_else(missing) {
        Ok(text) => data::read(name, &text).map_err(|message| (Code::InvalidData, message)),
        Err(message) => Err((
            Code::UnreadableFile,
            format!("cannot read the data file `{name}`: {message}"),
        )),
    };
    match rows {
        Ok(rows) => Some(rows),
        Err((code, message)) => {
            let mut diagnostic = Diagnostic::error(code, message).at(data.file.span.clone());
            if code == Code::UnreadableFile {
                diagnostic = diagnostic.hint("the path is relative to the folder of the scenario");
            }
            found.push(diagnostic);
            None
        }
    }
}
