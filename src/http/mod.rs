//! The target over HTTP: connections, requests, and what went wrong with them.

mod answer;
mod codec;
mod connect;
mod failure;
#[cfg_attr(not(target_os = "linux"), path = "no_kernel.rs")]
mod kernel;
mod slot;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod wire;

pub use answer::Arrival;
pub use connect::{Connect, TcpConnect, TcpLink};
pub use slot::HttpSlot;
pub use stream::{Receipt, Stream};
pub use tls::TlsClient;

use crate::engine::ports::Target;
use crate::plan::{BaseUrl, Fault, Plan, RequestPlan, printable};
use crate::record::Failure;
use hyper::header::HeaderValue;
use std::sync::Arc;
use wire::Wire;

/// An HTTP service, reached through `C`.
#[derive(Clone)]
pub struct HttpTarget<C> {
    connect: C,
    shared: Arc<Shared>,
}

struct Shared {
    /// Each request of the plan, and how it goes over the wire.
    requests: Vec<(RequestPlan, Wire)>,
    secrets: Vec<String>,
    /// After how many requests a connection is closed.
    most_uses: Option<u64>,
}

impl<C: Connect> HttpTarget<C> {
    /// The service at `url`, with the requests of a plan.
    ///
    /// # Errors
    /// When the host cannot stand in a `Host` header.
    pub fn new(plan: &Plan, url: &BaseUrl, connect: C) -> Result<Self, String> {
        HeaderValue::from_str(&url.authority())
            .map_err(|_| format!("`{}` is not a host", url.host))?;
        let closes = plan.target.most_uses == Some(1);
        let with_wire = |request: &RequestPlan| (request.clone(), Wire::new(request, url, closes));
        Ok(Self {
            connect,
            shared: Arc::new(Shared {
                requests: plan.requests.iter().map(with_wire).collect(),
                secrets: plan.secrets.clone(),
                most_uses: plan.target.most_uses,
            }),
        })
    }
}

impl<C: Connect> Target for HttpTarget<C> {
    type Slot = HttpSlot<C>;

    fn open(&self) -> HttpSlot<C> {
        HttpSlot::new(self.clone())
    }
}

impl Shared {
    /// What the record keeps of a fault. A target may echo a token: secrets are blanked before
    /// anything is cut, so that no half of one remains.
    fn failure(&self, fault: Fault, body: &[u8]) -> Failure {
        let mut detail = fault.detail;
        let mut body = printable(body);
        for secret in &self.secrets {
            for text in [&mut detail, &mut body] {
                if text.contains(secret) {
                    *text = text.replace(secret, "***");
                }
            }
        }
        Failure {
            cause: fault.cause,
            detail: shortened(detail),
            body: shortened(body),
        }
    }
}

/// The beginning of a text that may be long.
fn shortened(mut text: String) -> String {
    const LONGEST: usize = 512;
    if text.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|&at| text.is_char_boundary(at));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}
