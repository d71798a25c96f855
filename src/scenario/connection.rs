//! Reads how connections to the target are made: how long they are kept, how its name is resolved, TLS.

use super::decode::{Context, Table};
use super::expand::Text;
use crate::diag::{Code, Diagnostic};
use std::ops::Range;
use toml::de::DeValue;

/// How connections to the target are made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connecting {
    /// After how many requests a connection is closed; `None` for as long as the server keeps it.
    pub most_uses: Option<u64>,
    /// Whether the target's name is resolved anew for every connection.
    pub resolves_each_time: bool,
    /// What is spoken over them.
    pub protocol: Protocol,
    /// TLS, as far as the scenario says something about it.
    pub tls: Option<Tls>,
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1: one request at a time on a connection.
    #[default]
    Http1,
    /// HTTP/2: many at once, each a stream. Over TLS it is agreed on by ALPN, without TLS it is known
    /// beforehand that the target speaks it.
    Http2 {
        /// How many requests one connection carries at once.
        most_streams: u32,
    },
}

impl Protocol {
    /// Its version as a scenario names it.
    pub fn version(self) -> &'static str {
        match self {
            Self::Http1 => "1.1",
            Self::Http2 { .. } => "2",
        }
    }

    /// Its name in the negotiation of TLS (RFC 7301).
    pub fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 { .. } => b"h2",
        }
    }
}

/// How many streams a connection carries at once if the scenario says nothing: what servers allow at
/// least, as a rule (RFC 9113, section 6.5.2).
const DEFAULT_MOST_STREAMS: u32 = 100;

/// What the scenario says about TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The certificates that vouch for the server, as PEM, instead of the system's.
    pub ca: Option<Text>,
    /// The client's own certificate chain, as PEM.
    pub certificate: Option<Text>,
    /// The key of the client's certificate, as PEM.
    pub key: Option<Text>,
    /// The name that the server's certificate must carry, if not the URL's host.
    pub server_name: Option<Text>,
    /// Whether TLS 1.3 is the least that is accepted.
    pub only_1_3: bool,
    /// Whether any certificate is accepted.
    pub insecure: bool,
    /// Where it stands in the scenario.
    pub span: Range<usize>,
}

pub(super) fn read_connecting(cx: &mut Context<'_>, table: &mut Table<'_>) -> Connecting {
    let mut connecting = Connecting::default();
    if let Some(value) = table.get("connections") {
        connecting.most_uses = if let DeValue::Integer(_) = value.get_ref() {
            cx.integer(value, "connections", 1..=u64::from(u32::MAX))
                .map(|uses| uses.value)
        } else {
            let expected = "\"keep\", \"per-request\", or after how many requests one is closed";
            let read = cx.parsed(value, "connections", expected, |text| match text {
                "keep" => Ok(None),
                "per-request" => Ok(Some(1)),
                other => Err(format!("`{other}` is no way of using connections")),
            });
            read.and_then(|uses| uses.value)
        };
    }
    let expected = "\"once\" or \"per-connection\"";
    let resolve = table.parsed(cx, "resolve", expected, |text| match text {
        "once" => Ok(false),
        "per-connection" => Ok(true),
        other => Err(format!("`{other}` is no time to resolve a name")),
    });
    connecting.resolves_each_time = resolve.is_some_and(|resolve| resolve.value);
    connecting.protocol = read_protocol(cx, table);
    connecting.tls = table
        .table(cx, "tls", "target.tls")
        .map(|options| read_tls(cx, options, table.key_span("tls")));
    connecting
}

fn read_protocol(cx: &mut Context<'_>, table: &mut Table<'_>) -> Protocol {
    let version = table.parsed(cx, "http", "\"1.1\" or \"2\"", |text| match text {
        "1.1" => Ok(false),
        "2" => Ok(true),
        other => Err(format!(
            "`{other}` is no version of HTTP that is spoken here"
        )),
    });
    let is_http2 = version.as_ref().is_some_and(|version| version.value);
    let span = table.key_span("max_streams");
    let most = table.integer(cx, "max_streams", 1..=100_000);
    if most.is_some() && !is_http2 {
        cx.diagnostics.push(
            Diagnostic::error(
                Code::InvalidValue,
                "`max_streams` is about HTTP/2".to_owned(),
            )
            .at(span)
            .hint("set `http = \"2\"`, or leave out `max_streams`"),
        );
    }
    if !is_http2 {
        return Protocol::Http1;
    }
    let most = most.and_then(|most| u32::try_from(most.value).ok());
    Protocol::Http2 {
        most_streams: most.unwrap_or(DEFAULT_MOST_STREAMS),
    }
}

fn read_tls(cx: &mut Context<'_>, mut table: Table<'_>, span: Range<usize>) -> Tls {
    let tls = Tls {
        ca: table.text(cx, "ca"),
        certificate: table.text(cx, "certificate"),
        key: table.text(cx, "key"),
        server_name: table.text(cx, "server_name"),
        only_1_3: table
            .parsed(cx, "min_version", "\"1.2\" or \"1.3\"", |text| match text {
                "1.2" => Ok(false),
                "1.3" => Ok(true),
                other => Err(format!(
                    "`{other}` is no version of TLS that is spoken here"
                )),
            })
            .is_some_and(|version| version.value),
        insecure: table.boolean(cx, "insecure").unwrap_or(false),
        span,
    };
    table.finish(cx);
    if tls.insecure {
        let message = "the target's certificate will not be checked".to_owned();
        cx.diagnostics.push(
            Diagnostic::warning(Code::InvalidValue, message)
                .at(tls.span.clone())
                .hint("name the CA that signed it: ca = \"${file:ca.pem}\""),
        );
    }
    tls
}
