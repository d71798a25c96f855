//! The target over HTTP: connections, requests, and what went wrong with them.

mod alarm;
mod answer;
mod codec;
mod connect;
mod failure;
mod http1;
mod http2;
#[cfg_attr(not(target_os = "linux"), path = "no_kernel.rs")]
mod kernel;
mod progress;
mod retry_after;
mod slot;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod token;
mod wire;

pub use connect::{Connect, TcpConnect, TcpLink};
pub use slot::HttpSlot;
pub use stream::{Receipt, Stream};
pub use tls::TlsClient;

use crate::engine::ports::{Client, Target};
use crate::plan::{BaseUrl, Captured, Fault, Plan, RequestPlan, printable};
use crate::record::{Failure, Outcome};
use crate::scenario::Protocol;
use http1::Http1;
use http2::{Head, Http2, Pool, PoolRules};
use hyper::header::HeaderValue;
use slot::Carrier;
use std::rc::Rc;
use std::sync::Arc;
use token::Token;
use wire::Wire;

/// An HTTP service, reached through `C`.
#[derive(Clone)]
pub struct HttpTarget<C> {
    connect: C,
    shared: Arc<Shared>,
    forms: Forms,
}

/// The requests of the plan as a protocol sends them.
#[derive(Clone)]
enum Forms {
    Http1(Arc<[Wire]>),
    Http2(Arc<[Head]>, PoolRules),
}

struct Shared {
    requests: Vec<RequestPlan>,
    secrets: Vec<String>,
    token: Token,
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
        let most_uses = plan.target.most_uses;
        let requests = plan.requests.iter();
        let forms = match plan.target.protocol {
            Protocol::Http1 => {
                let closes = most_uses == Some(1);
                Forms::Http1(requests.map(|one| Wire::new(one, url, closes)).collect())
            }
            Protocol::Http2 { most_streams } => Forms::Http2(
                requests.map(|one| Head::new(one, url)).collect(),
                PoolRules {
                    most_streams,
                    most_uses,
                    patience: plan.target.timeout,
                },
            ),
        };
        Ok(Self {
            connect,
            shared: Arc::new(Shared {
                requests: plan.requests.clone(),
                secrets: plan.secrets.clone(),
                token: Token::default(),
                most_uses,
            }),
            forms,
        })
    }
}

impl<C: Connect> Target for HttpTarget<C> {
    type Client = HttpClient<C>;

    fn set_token(&self, token: &str) {
        self.shared.token.set(token);
    }

    async fn token_refused(&self) {
        self.shared.token.refused().await;
    }

    fn client(&self) -> HttpClient<C> {
        let pool = match &self.forms {
            Forms::Http1(_) => None,
            Forms::Http2(_, rules) => Some(Rc::new(Pool::new(self.connect.clone(), *rules))),
        };
        HttpClient {
            target: Rc::new(self.clone()),
            pool,
        }
    }
}

/// What one worker reaches an [`HttpTarget`] with. Over HTTP/1.1 each of its slots has a connection of
/// its own; over HTTP/2 they share connections.
pub struct HttpClient<C: Connect> {
    target: Rc<HttpTarget<C>>,
    pool: Option<Rc<Pool<C>>>,
}

impl<C: Connect> Client for HttpClient<C> {
    type Slot = HttpSlot<C>;

    fn open(&self) -> HttpSlot<C> {
        let carrier = match (&self.target.forms, &self.pool) {
            (Forms::Http2(heads, _), Some(pool)) => {
                Carrier::Http2(Http2::new(Arc::clone(heads), Rc::clone(pool)))
            }
            (Forms::Http1(wires), _) => Carrier::Http1(Http1::new(Arc::clone(wires))),
            (Forms::Http2(..), None) => unreachable!("a client over HTTP/2 has a pool"),
        };
        HttpSlot::new(Rc::clone(&self.target), carrier)
    }
}

impl Shared {
    /// What the record keeps of a fault. A target may echo a token: secrets are blanked before
    /// anything is cut, so that no half of one remains.
    fn failure(
        &self,
        plan: &RequestPlan,
        fault: Fault,
        body: &[u8],
        captured: &Captured,
    ) -> Failure {
        let mut detail = fault.detail;
        let mut body = printable(body);
        if plan.captures_secrets() && !matches!(fault.outcome, Outcome::BadStatus) {
            // The secret is somewhere in it, and has not been taken out.
            detail = fault.cause.to_string();
            body = String::new();
        }
        let tokens = self.token.secrets();
        let known = self.secrets.iter().map(String::as_str);
        let known = known.chain(tokens.iter().map(AsRef::as_ref));
        for secret in known.chain(captured.secrets()) {
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
