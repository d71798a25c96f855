//! The heads of requests, as HTTP/2 sends them.

use crate::http::failure::fault;
use crate::plan::{BaseUrl, Captured, Draw, Fault, Rendered, RequestPlan};
use crate::record::{Cause, Outcome};
use bytes::Bytes;
use hyper::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderValue};
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::{Method, Request, Uri, Version};

/// One request of the plan.
#[derive(Clone, Debug)]
pub(in crate::http) struct Head {
    scheme: Scheme,
    authority: String,
    /// Path before those of the requests.
    prefix: String,
    headers: HeaderMap,
    /// Whether its length is told even if it is zero.
    tells_length: bool,
    /// The whole request and its body, where they are always the same.
    whole: Option<(Request<()>, Bytes)>,
}

impl Head {
    pub(in crate::http) fn new(plan: &RequestPlan, url: &BaseUrl) -> Self {
        let mut headers = plan.fixed_headers().clone();
        // What HTTP/1.1 calls the host is the authority here.
        let host = headers.remove(HOST);
        let named = host.and_then(|host| host.to_str().ok().map(str::to_owned));
        let mut head = Self {
            scheme: if url.secure {
                Scheme::HTTPS
            } else {
                Scheme::HTTP
            },
            authority: named.unwrap_or_else(|| url.authority()),
            prefix: url.prefix.clone(),
            headers,
            tells_length: [Method::POST, Method::PUT, Method::PATCH].contains(&plan.method),
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
            // What cannot be sent is told each time that it is tried.
            head.whole = head
                .render(plan, 0, &mut draw, &mut Rendered::default())
                .ok();
        }
        head
    }

    /// The next request and its body.
    pub(super) fn render(
        &self,
        plan: &RequestPlan,
        row: usize,
        draw: &mut Draw<'_>,
        rendered: &mut Rendered,
    ) -> Result<(Request<()>, Bytes), Fault> {
        if let Some(whole) = &self.whole {
            return Ok(whole.clone());
        }
        plan.render(row, draw, rendered);
        let mut headers = self.headers.clone();
        let mut authority = self.authority.as_bytes();
        for (name, value) in plan.changing_headers().zip(&rendered.header_values) {
            if *name == HOST {
                authority = value;
                continue;
            }
            let value = HeaderValue::from_bytes(value)
                .map_err(|_| unsendable(&format!("the value of `{name}`")))?;
            headers.insert(name.clone(), value);
        }
        let body = Bytes::copy_from_slice(&rendered.body);
        if self.tells_length || !body.is_empty() {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        let mut path = Vec::with_capacity(self.prefix.len() + rendered.path.len());
        path.extend_from_slice(self.prefix.as_bytes());
        path.extend_from_slice(&rendered.path);
        let path = PathAndQuery::from_maybe_shared(Bytes::from(path))
            .map_err(|_| unsendable("the path"))?;
        let authority =
            Authority::try_from(authority).map_err(|_| unsendable("the value of `host`"))?;
        let uri = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(authority)
            .path_and_query(path)
            .build()
            .map_err(|_| unsendable("the URL"))?;
        let mut request = Request::new(());
        *request.method_mut() = plan.method.clone();
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok((request, body))
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
