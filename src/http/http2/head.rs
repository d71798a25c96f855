//! Requests, as HTTP/2 sends them.

use super::hpack::Encoder;
use crate::http::failure::fault;
use crate::plan::{BaseUrl, Captured, Draw, Fault, Rendered, RequestPlan};
use crate::record::{Cause, Outcome};
use bytes::Bytes;
use hyper::Method;
use hyper::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderValue};
use hyper::http::uri::{Authority, PathAndQuery};

/// One request of the plan.
#[derive(Clone, Debug)]
pub(in crate::http) struct Head {
    method: String,
    scheme: &'static str,
    authority: String,
    /// Path before those of the requests.
    prefix: String,
    headers: HeaderMap,
    /// Whether its length is told even if it is zero.
    tells_length: bool,
    /// Whether the answer has no body, whatever its head says.
    pub(super) is_bodiless: bool,
    /// The request, where it is always the same.
    whole: Option<Whole>,
}

#[derive(Clone, Debug)]
struct Whole {
    rendered: Rendered,
    body: Bytes,
}

/// One request to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    /// Its position in the plan.
    pub(super) request: usize,
    pub(super) head: &'a Head,
    plan: &'a RequestPlan,
    rendered: &'a Rendered,
    constant_body: Option<&'a Bytes>,
}

impl Head {
    pub(in crate::http) fn new(plan: &RequestPlan, url: &BaseUrl) -> Self {
        let mut headers = plan.fixed_headers().clone();
        // What HTTP/1.1 calls the host is the authority here.
        let host = headers.remove(HOST);
        let named = host.and_then(|host| host.to_str().ok().map(str::to_owned));
        let mut head = Self {
            method: plan.method.to_string(),
            scheme: if url.secure { "https" } else { "http" },
            authority: named.unwrap_or_else(|| url.authority()),
            prefix: url.prefix.clone(),
            headers,
            tells_length: [Method::POST, Method::PUT, Method::PATCH].contains(&plan.method),
            is_bodiless: plan.method == Method::HEAD,
            whole: None,
        };
        if plan.is_constant() {
            let mut random = rand_pcg::Pcg64Mcg::new(0);
            let mut draw = Draw {
                number: 0,
                random: &mut random,
                captured: &Captured::nothing(),
                token: "",
            };
            let mut rendered = Rendered::default();
            plan.render(0, &mut draw, &mut rendered);
            // What cannot be sent is told each time that it is tried.
            if head.check(plan, &rendered).is_ok() {
                let body = Bytes::copy_from_slice(&rendered.body);
                head.whole = Some(Whole { rendered, body });
            }
        }
        head
    }

    /// The next request.
    pub(super) fn render<'a>(
        &'a self,
        request: usize,
        plan: &'a RequestPlan,
        row: usize,
        draw: &mut Draw<'_>,
        rendered: &'a mut Rendered,
    ) -> Result<Message<'a>, Fault> {
        let (rendered, constant_body) = if let Some(whole) = &self.whole {
            (&whole.rendered, Some(&whole.body))
        } else {
            plan.render(row, draw, rendered);
            self.check(plan, rendered)?;
            (&*rendered, None)
        };
        Ok(Message {
            request,
            head: self,
            plan,
            rendered,
            constant_body,
        })
    }

    /// Whether this protocol has a form for what was rendered.
    fn check(&self, plan: &RequestPlan, rendered: &Rendered) -> Result<(), Fault> {
        for (name, value) in plan.changing_headers().zip(&rendered.header_values) {
            let is_sendable = match *name {
                HOST => Authority::try_from(value.as_slice()).is_ok(),
                _ => HeaderValue::from_bytes(value).is_ok(),
            };
            if !is_sendable {
                return Err(unsendable(&format!("the value of `{name}`")));
            }
        }
        Authority::try_from(self.authority.as_bytes())
            .map_err(|_| unsendable("the value of `host`"))?;
        PathAndQuery::try_from(self.path(rendered).as_slice())
            .map_err(|_| unsendable("the path"))?;
        Ok(())
    }

    fn path(&self, rendered: &Rendered) -> Vec<u8> {
        let path = [self.prefix.as_bytes(), &rendered.path].concat();
        if path.is_empty() { b"/".to_vec() } else { path }
    }
}

impl Message<'_> {
    /// Whether it is the same each time.
    pub(super) fn is_constant(&self) -> bool {
        self.constant_body.is_some()
    }

    pub(super) fn body(&self) -> Bytes {
        self.constant_body
            .cloned()
            .unwrap_or_else(|| Bytes::copy_from_slice(&self.rendered.body))
    }

    /// Writes the fields of its head.
    pub(super) fn write(&self, encoder: &mut Encoder, block: &mut Vec<u8>) {
        let head = self.head;
        let changing = || {
            let values = self.rendered.header_values.iter();
            self.plan.changing_headers().zip(values)
        };
        encoder.constant(b":method", head.method.as_bytes(), block);
        encoder.constant(b":scheme", head.scheme.as_bytes(), block);
        match changing().find(|(name, _)| **name == HOST) {
            Some((_, host)) => encoder.changing(b":authority", host, block),
            None => encoder.constant(b":authority", head.authority.as_bytes(), block),
        }
        let path = head.path(self.rendered);
        let length = self.rendered.body.len();
        let length = (head.tells_length || length > 0).then(|| length.to_string());
        if self.is_constant() {
            encoder.constant(b":path", &path, block);
        } else {
            encoder.changing(b":path", &path, block);
        }
        for (name, value) in &head.headers {
            encoder.constant(name.as_str().as_bytes(), value.as_bytes(), block);
        }
        for (name, value) in changing().filter(|(name, _)| **name != HOST) {
            encoder.changing(name.as_str().as_bytes(), value, block);
        }
        if let Some(length) = length {
            let name = CONTENT_LENGTH.as_str().as_bytes();
            if self.is_constant() {
                encoder.constant(name, length.as_bytes(), block);
            } else {
                encoder.changing(name, length.as_bytes(), block);
            }
        }
    }
}

/// A request that this protocol has no form for.
fn unsendable(what: &str) -> Fault {
    fault(
        Outcome::Malformed,
        Cause::Unsendable,
        format!("{what} cannot stand in an HTTP/2 request"),
    )
}
