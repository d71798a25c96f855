//! Where a database is. A password in it is never shown.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// How long to wait for a connection where the URL says nothing.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether and how the connection is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Encryption {
    /// Not at all.
    Off,
    /// TLS; certificate and host name are verified against these roots, or those of the system.
    Verified(Option<PathBuf>),
}

/// The address of a database, read from a URL.
#[derive(Clone)]
pub struct Address {
    pub(super) config: Config,
    pub(super) encryption: Encryption,
    shown: String,
}

/// Without user and password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.shown)
    }
}

impl Address {
    /// Reads `postgresql://user:password@host:5432/database?sslmode=verify-full`.
    ///
    /// Without `sslmode`, TLS is demanded of every host but this one, and of this one too where
    /// `sslrootcert` names whom to trust.
    ///
    /// # Errors
    /// What is wrong with it; never any part of it, which may hold a password.
    pub fn parse(url: &str) -> Result<Self, String> {
        const FORM: &str = "write it as postgresql://user@host:5432/database";
        if !["postgresql://", "postgres://"]
            .iter()
            .any(|scheme| url.starts_with(scheme))
        {
            return Err(format!("the database URL has another scheme: {FORM}"));
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut mode = None;
        let mut roots = None;
        let mut rest = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value),
                Some(("sslrootcert", value)) => roots = Some(PathBuf::from(value)),
                _ => rest.push(pair),
            }
        }
        let mut cleaned = base.to_owned();
        if !rest.is_empty() {
            cleaned.push('?');
            cleaned.push_str(&rest.join("&"));
        }
        let mut config: Config = cleaned
            .parse()
            .map_err(|_| format!("the database URL cannot be read: {FORM}"))?;
        if config.get_hosts().is_empty() {
            return Err(format!("the database URL names no host: {FORM}"));
        }
        let encryption = match mode {
            Some("disable") if roots.is_some() => {
                return Err(
                    "the database URL has `sslrootcert`, which verifies TLS, and `sslmode=disable`, \
                     which does without: leave one out"
                        .to_owned(),
                );
            }
            Some("disable") => Encryption::Off,
            None if roots.is_none() && config.get_hosts().iter().all(is_here) => Encryption::Off,
            None | Some("require" | "verify-full") => Encryption::Verified(roots),
            Some(_) => {
                return Err(
                    "`sslmode` of the database URL is `verify-full` or `disable`: the others send \
                     passwords to whoever answers"
                        .to_owned(),
                );
            }
        };
        config.ssl_mode(match encryption {
            Encryption::Off => SslMode::Disable,
            Encryption::Verified(_) => SslMode::Require,
        });
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_application_name().is_none() {
            config.application_name("bench");
        }
        let shown = show(&config);
        Ok(Self {
            config,
            encryption,
            shown,
        })
    }
}

fn is_here(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost"
                || name
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

fn show(config: &Config) -> String {
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .enumerate()
        .map(|(index, host)| {
            let ports = config.get_ports();
            let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
            match host {
                Host::Tcp(name) => format!("{name}:{port}"),
                #[cfg(unix)]
                Host::Unix(path) => format!("{}:{port}", path.display()),
            }
        })
        .collect();
    let database = config.get_dbname().or(config.get_user()).unwrap_or("");
    format!("postgresql://{}/{database}", hosts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_never_shown() {
        let url = "postgresql://ann:s3cret@db.example:6432/team?sslmode=require";
        let address = Address::parse(url).unwrap();
        assert_eq!(address.to_string(), "postgresql://db.example:6432/team");
        assert!(!format!("{address:?}").contains("s3cret"));
        for bad in [
            "mysql://ann:s3cret@db/team",
            "host=db password=s3cret",
            "postgresql://ann:s3cret@db:port/team",
            "postgresql://ann:s3cret@db/team?s3cret=1",
            "postgresql://ann:s3cret@db/team?sslmode=s3cret",
            "postgresql:///team?password=s3cret",
        ] {
            let error = Address::parse(bad).unwrap_err();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn other_hosts_need_tls_unless_somebody_says_no() {
        let of = |url: &str| Address::parse(url).map(|address| address.encryption);
        let system = Encryption::Verified(None);
        assert_eq!(of("postgresql://db.example/team"), Ok(system.clone()));
        assert_eq!(
            of("postgresql://db.example/team?sslmode=verify-full"),
            Ok(system)
        );
        assert_eq!(
            of("postgresql://db.example/team?sslrootcert=ca.pem"),
            Ok(Encryption::Verified(Some(PathBuf::from("ca.pem"))))
        );
        // Whoever says whom to trust wants it verified, here as elsewhere.
        assert_eq!(
            of("postgresql://localhost/team?sslrootcert=ca.pem"),
            Ok(Encryption::Verified(Some(PathBuf::from("ca.pem"))))
        );
        let both = of("postgresql://db/team?sslmode=disable&sslrootcert=ca.pem");
        assert!(both.unwrap_err().contains("leave one out"));
        for here in [
            "postgresql://localhost/team",
            "postgresql://127.0.0.1:5/team",
        ] {
            assert_eq!(of(here), Ok(Encryption::Off));
        }
        assert_eq!(
            of("postgresql://db/team?sslmode=disable"),
            Ok(Encryption::Off)
        );
        assert!(of("postgresql://db/team?sslmode=prefer").is_err());
    }
}
