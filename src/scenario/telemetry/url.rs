//! The addresses of servers that are asked for telemetry.

use hyper::Uri;
use std::fmt;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// At the target's own address, at this path.
    Target(String),
    /// At an address of its own.
    Http(HttpUrl),
}

/// An `http://` URL.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl {
    /// Host name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path and query; beginning with `/`.
    pub path: String,
    /// The URL as it may be shown.
    pub shown: String,
}

/// Only what may be shown.
impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpUrl").field(&self.shown).finish()
    }
}

impl HttpUrl {
    /// Host and port as they stand in a `Host` header.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl Endpoint {
    /// Reads `http://host:port/path`, or a path at the target. `shown` is the text without secrets.
    pub(super) fn parse(text: &str, shown: &str) -> Result<Self, (String, &'static str)> {
        const FORM: &str = "write \"http://host:port/metrics\", or \"/metrics\" for a path at the target's own address";
        // The value may come from the environment and hold credentials: it is never repeated here.
        let invalid = |message: &str| (message.to_owned(), FORM);
        let uri: Uri = text.parse().map_err(|_| invalid("this is not a URL"))?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let Some(authority) = uri.authority() else {
            return if text.starts_with('/') {
                Ok(Self::Target(path.to_owned()))
            } else {
                Err(invalid("this is not a URL"))
            };
        };
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err((
                    "telemetry over TLS is not available in this version".to_owned(),
                    "aim at the exporter's plain HTTP port, or put a TLS proxy on this host",
                ));
            }
            _ => return Err(invalid("a URL begins with `http://`")),
        }
        if authority.as_str().contains('@') {
            return Err((
                "credentials do not belong into the URL".to_owned(),
                "set a header: headers = { authorization = \"Bearer ${METRICS_TOKEN}\" }",
            ));
        }
        Ok(Self::Http(HttpUrl {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            path: path.to_owned(),
            shown: shown.to_owned(),
        }))
    }

    /// The URL, where the target is at this host and port.
    pub fn at(&self, target_host: &str, target_port: u16) -> HttpUrl {
        match self {
            Self::Http(url) => url.clone(),
            Self::Target(path) => HttpUrl {
                host: target_host.to_owned(),
                port: target_port,
                path: path.clone(),
                shown: format!("the target's {path}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses_and_paths_at_the_target() {
        let Ok(Endpoint::Http(url)) = Endpoint::parse("http://[::1]:9400/m?x=1", "shown") else {
            panic!("a URL");
        };
        assert_eq!(
            (url.host.as_str(), url.port, url.path.as_str()),
            ("::1", 9400, "/m?x=1")
        );
        assert_eq!(url.authority(), "[::1]:9400");
        assert_eq!(format!("{url:?}"), "HttpUrl(\"shown\")");
        let path = Endpoint::parse("/metrics", "/metrics").unwrap();
        assert_eq!(path.at("h", 7).authority(), "h:7");
        for (text, message) in [
            ("https://h/metrics", "TLS"),
            ("http://u:p@h/metrics", "credentials"),
            ("ftp://h/metrics", "begins with"),
            ("metrics", "begins with"),
            ("", "not a URL"),
        ] {
            let (found, _) = Endpoint::parse(text, text).expect_err(text);
            assert!(found.contains(message), "{text}: {found}");
        }
    }
}
