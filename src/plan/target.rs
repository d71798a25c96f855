//! The service under test: where it is and how it is reached.

use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::scenario::{Protocol, ReferenceOptions, Scenario, Target, Text};
use hyper::Uri;
use std::time::Duration;

/// The service under test.
#[derive(Clone, Debug)]
pub struct TargetPlan {
    /// Where it is.
    pub address: TargetAddress,
    /// How long one request may take.
    pub timeout: Duration,
    /// The address as it may be shown.
    pub shown: String,
    /// After how many requests a connection is closed; `None` for as long as the server keeps it.
    pub most_uses: Option<u64>,
    /// Whether its name is resolved anew for every connection.
    pub resolves_each_time: bool,
    /// What is spoken with it.
    pub protocol: Protocol,
    /// How TLS is spoken with it; `None` where the URL is not `https://`.
    pub tls: Option<TlsPlan>,
}

/// How TLS is spoken with the target.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TlsPlan {
    /// The certificates that vouch for the server, as PEM; `None` for the system's.
    pub ca: Option<String>,
    /// The client's own certificate chain and its key, as PEM.
    pub client: Option<(String, String)>,
    /// The name that the server's certificate must carry, if not the URL's host.
    pub server_name: Option<String>,
    /// Whether TLS 1.3 is the least that is accepted.
    pub only_1_3: bool,
    /// Whether any certificate is accepted.
    pub insecure: bool,
}

impl std::fmt::Debug for TlsPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsPlan")
            .field("server_name", &self.server_name)
            .field("only_1_3", &self.only_1_3)
            .field("insecure", &self.insecure)
            .finish_non_exhaustive()
    }
}

/// Where the service is.
#[derive(Clone, Debug, PartialEq)]
pub enum TargetAddress {
    /// The built-in reference API, to be started on a loopback port.
    Reference(Box<ReferenceOptions>),
    /// An HTTP URL.
    Http(BaseUrl),
}

/// An `http://` or `https://` URL that requests are relative to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    /// Host name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether TLS is spoken.
    pub secure: bool,
    /// Path before those of the requests; empty or beginning with `/`, never ending with it.
    pub prefix: String,
}

impl BaseUrl {
    fn usual_port(&self) -> u16 {
        if self.secure { 443 } else { 80 }
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    /// Host and port as they stand in a `Host` header.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        if self.port == self.usual_port() {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

pub(super) fn compile_address(
    url: &Text,
    scenario: &Scenario,
    found: &mut Diagnostics,
) -> Option<TargetAddress> {
    if url.value == "reference" {
        let options = scenario.target.reference.clone();
        return Some(TargetAddress::Reference(Box::new(options)));
    }
    match parse_base_url(&url.value) {
        Ok(base) => Some(TargetAddress::Http(base)),
        Err((code, message, hint)) => {
            found.push(
                Diagnostic::error(code, message)
                    .at(url.span.clone())
                    .hint(hint),
            );
            None
        }
    }
}

/// What the scenario says about TLS, if it is spoken at all.
pub(super) fn compile_tls(
    target: &Target,
    address: Option<&TargetAddress>,
    found: &mut Diagnostics,
) -> Option<TlsPlan> {
    let secure = matches!(address, Some(TargetAddress::Http(url)) if url.secure);
    let Some(tls) = &target.connecting.tls else {
        return secure.then(TlsPlan::default);
    };
    if address.is_some() && !secure {
        let message = "`tls` is set, but the URL is not `https://`".to_owned();
        found.push(
            Diagnostic::error(Code::InvalidValue, message)
                .at(tls.span.clone())
                .hint("write `https://` in the URL, or leave out `tls`"),
        );
    }
    if tls.certificate.is_some() != tls.key.is_some() {
        let message = "a client certificate needs both `certificate` and `key`".to_owned();
        found.push(
            Diagnostic::error(Code::MissingKey, message)
                .at(tls.span.clone())
                .hint("for example certificate = \"${file:client.pem}\", key = \"${file:client.key}\""),
        );
    }
    for (key, text, marks) in [
        ("ca", &tls.ca, "CERTIFICATE-----"),
        ("certificate", &tls.certificate, "CERTIFICATE-----"),
        ("key", &tls.key, "PRIVATE KEY-----"),
    ] {
        // The value may be a key: it is never repeated here.
        if let Some(text) = text.as_ref().filter(|text| !text.value.contains(marks)) {
            found.push(
                Diagnostic::error(
                    Code::InvalidValue,
                    format!("`{key}` is PEM text, and there is none in this"),
                )
                .at(text.span.clone())
                .hint(format!(
                    "to read it from a file: {key} = \"${{file:path/to/{key}.pem}}\""
                )),
            );
        }
    }
    let value = |text: &Option<Text>| text.as_ref().map(|text| text.value.clone());
    Some(TlsPlan {
        ca: value(&tls.ca),
        client: value(&tls.certificate).zip(value(&tls.key)),
        server_name: value(&tls.server_name),
        only_1_3: tls.only_1_3,
        insecure: tls.insecure,
    })
}

fn parse_base_url(text: &str) -> Result<BaseUrl, (Code, String, &'static str)> {
    const FORM: &str = "write \"http://host:port\", or \"reference\" for the built-in API";
    let invalid = |message: String| (Code::InvalidValue, message, FORM);
    // The value may come from the environment and hold credentials: it is never repeated here.
    let uri: Uri = text
        .parse()
        .map_err(|_| invalid("this is not a URL".to_owned()))?;
    let secure = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => {
            return Err(invalid(
                "a URL begins with `http://` or `https://`".to_owned(),
            ));
        }
    };
    let authority = uri
        .authority()
        .ok_or_else(|| invalid("the URL has no host".to_owned()))?;
    if authority.as_str().contains('@') {
        return Err((
            Code::LiteralSecret,
            "credentials do not belong into the URL".to_owned(),
            "set a header: headers = { authorization = \"Bearer ${BENCH_TOKEN}\" }",
        ));
    }
    if uri.query().is_some() {
        return Err(invalid(
            "the base URL has a query; queries belong to requests".to_owned(),
        ));
    }
    Ok(BaseUrl {
        host: authority.host().trim_matches(['[', ']']).to_owned(),
        port: authority
            .port_u16()
            .unwrap_or(if secure { 443 } else { 80 }),
        secure,
        prefix: uri.path().trim_end_matches('/').to_owned(),
    })
}
