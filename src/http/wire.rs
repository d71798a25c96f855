//! The bytes of requests, as HTTP/1.1 sends them: built once where nothing changes from one to the next.

use crate::plan::{BaseUrl, Captured, Draw, Rendered, RequestPlan};
use hyper::Method;
use hyper::header::{CONNECTION, HOST};

/// One request of the plan on the wire.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    /// The whole request, where it is always the same.
    whole: Option<Box<[u8]>>,
    /// `POST /prefix`.
    begin: Vec<u8>,
    /// From the version to the last header that is always the same.
    headers: Vec<u8>,
    /// Whether its length is told even if it is zero.
    tells_length: bool,
    /// Whether the answer has no body, whatever its head says.
    pub(super) is_head: bool,
    /// Whether the scenario has it close its connection.
    pub(super) closes: bool,
}

/// Memory for the bytes of a request that is rendered.
#[derive(Debug, Default)]
pub(super) struct WireBuffer {
    rendered: Rendered,
    bytes: Vec<u8>,
}

impl Wire {
    /// `closes` has every request ask the server to close the connection after it.
    pub(super) fn new(plan: &RequestPlan, url: &BaseUrl, closes: bool) -> Self {
        let begin = format!("{} {}", plan.method, url.prefix).into_bytes();
        let mut headers = b" HTTP/1.1\r\n".to_vec();
        let fixed = plan.fixed_headers();
        if !fixed.contains_key(HOST) && plan.changing_headers().all(|name| *name != HOST) {
            append_header(&mut headers, HOST.as_str(), url.authority().as_bytes());
        }
        let mut closes = closes;
        if closes && !fixed.contains_key(CONNECTION) {
            append_header(&mut headers, CONNECTION.as_str(), b"close");
        }
        for (name, value) in fixed {
            closes |= *name == CONNECTION && value.as_bytes().eq_ignore_ascii_case(b"close");
            append_header(&mut headers, name.as_str(), value.as_bytes());
        }
        let mut wire = Self {
            whole: None,
            begin,
            headers,
            tells_length: [Method::POST, Method::PUT, Method::PATCH].contains(&plan.method),
            is_head: plan.method == Method::HEAD,
            closes,
        };
        if plan.is_constant() {
            let mut random = rand_pcg::Pcg64Mcg::new(0);
            let mut draw = Draw {
                number: 0,
                random: &mut random,
                captured: &Captured::nothing(),
                token: "",
            };
            let mut buffer = WireBuffer::default();
            wire.render(plan, 0, &mut draw, &mut buffer);
            wire.whole = Some(buffer.bytes.into_boxed_slice());
        }
        wire
    }

    /// The bytes of the next request.
    pub(super) fn bytes<'a>(
        &'a self,
        plan: &RequestPlan,
        row: usize,
        draw: &mut Draw<'_>,
        buffer: &'a mut WireBuffer,
    ) -> &'a [u8] {
        if let Some(whole) = &self.whole {
            return whole;
        }
        self.render(plan, row, draw, buffer);
        &buffer.bytes
    }

    fn render(&self, plan: &RequestPlan, row: usize, draw: &mut Draw<'_>, buffer: &mut WireBuffer) {
        let WireBuffer { rendered, bytes } = buffer;
        plan.render(row, draw, rendered);
        bytes.clear();
        bytes.extend_from_slice(&self.begin);
        bytes.extend_from_slice(&rendered.path);
        bytes.extend_from_slice(&self.headers);
        for (name, value) in plan.changing_headers().zip(&rendered.header_values) {
            append_header(bytes, name.as_str(), value);
        }
        if self.tells_length || !rendered.body.is_empty() {
            append_length(bytes, rendered.body.len());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&rendered.body);
    }
}

fn append_header(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn append_length(out: &mut Vec<u8>, length: usize) {
    use std::io::Write as _;
    write!(out, "content-length: {length}\r\n").expect("writing to memory does not fail");
}
