//! One request: what is sent, drawn anew each time, and what its answer must be.

use super::check::{Checks, Expected, Fault, JsonCheck};
use super::compile::Facts;
use super::data::{self, Rows};
use super::render::{Compiler, Draw, Form, Renderer};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::record::RequestInfo;
use crate::scenario::{Body, DataOrder, Header, Protocol, Request, Target};
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

    /// Renders one request.
    pub fn render(&self, row: usize, draw: &mut Draw<'_>, out: &mut Rendered) {
        let cells = self.cells(row);
        out.path.clear();
        self.path.render(cells, draw, &mut out.path);
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
    pub fn judge(&self, status: u16, body: &[u8], row: usize) -> Result<(), Fault> {
        self.checks.judge(status, body, row, self.cells(row))
    }

    /// What the record keeps of it.
    pub fn info(&self) -> RequestInfo {
        RequestInfo {
            name: self.name.clone(),
            method: self.method.to_string(),
            path: self.shown_path.clone(),
        }
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

pub(super) fn compile_request(
    request: &Request,
    target: &Target,
    facts: &Facts,
    found: &mut Diagnostics,
) -> Option<RequestPlan> {
    let rows = load_rows(request, facts, found)?;
    let mut compiler = Compiler::default();
    let path = compiler.text(&request.path);
    let body = match &request.body {
        Body::Empty => None,
        Body::Json(json) => Some(compiler.json(json)),
        Body::Text(text) => Some(compiler.text(text)),
    };
    let mut headers = default_headers(&request.body);
    let mut changing_headers: Vec<_> = Vec::new();
    for header in target.headers.iter().chain(&request.headers) {
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
        ..Checks::default()
    };
    for text in &request.expect.body {
        checks.text.push(compiler.text(text));
    }
    for expectation in &request.expect.json {
        match Expected::bind(&expectation.value, &rows) {
            Ok(expected) => checks.json.push(JsonCheck {
                pointer: expectation.pointer.clone(),
                expected,
            }),
            Err(message) => found
                .push(Diagnostic::error(Code::InvalidValue, message).at(expectation.span.clone())),
        }
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
