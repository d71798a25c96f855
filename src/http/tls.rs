//! TLS by rustls, as the client of a target.

use crate::plan::TlsPlan;
use crate::scenario::Protocol;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, OtherError,
    RootCertStore, SignatureScheme,
};
use std::fmt;
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What every TLS connection to the target begins with.
#[derive(Clone)]
pub struct TlsClient {
    connector: TlsConnector,
    name: ServerName<'static>,
    protocol: Protocol,
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl TlsClient {
    /// A client that trusts and shows what the plan says, and will speak this protocol.
    ///
    /// # Errors
    /// What is wrong with the certificates, the key or the name.
    pub fn new(plan: &TlsPlan, host: &str, protocol: Protocol) -> Result<Self, String> {
        let provider = Arc::new(ring::default_provider());
        let versions: &[_] = if plan.only_1_3 {
            &[&rustls::version::TLS13]
        } else {
            rustls::ALL_VERSIONS
        };
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|error| error.to_string())?;
        let verifier = Verifier {
            trust: Trust::new(plan, &provider)?,
            provider,
        };
        let config = config
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &plan.client {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => config
                .with_client_auth_cert(
                    certificates(certificate, "tls.certificate")?,
                    PrivateKeyDer::from_pem_slice(key.as_bytes())
                        .map_err(|error| format!("`tls.key` is not a private key: {error}"))?,
                )
                .map_err(|error| format!("`tls.certificate` and `tls.key`: {error}"))?,
        };
        config.alpn_protocols = vec![protocol.alpn().to_vec()];
        let name = plan.server_name.as_deref().unwrap_or(host).to_owned();
        let name = ServerName::try_from(name)
            .map_err(|error| format!("the server's name cannot stand in a certificate: {error}"))?;
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            name,
            protocol,
        })
    }

    pub(super) async fn agree(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let stream = self
            .connector
            .connect(self.name.clone(), stream)
            .await
            .map_err(|error| match error.get_ref() {
                Some(inner) if is_no_common_protocol(inner) => not_spoken(self.protocol),
                Some(inner) => match distrust(inner) {
                    Some(why) => io::Error::new(error.kind(), why),
                    None => error,
                },
                None => error,
            })?;
        // A server that knows nothing of ALPN speaks HTTP/1.1.
        let agreed = stream.get_ref().1.alpn_protocol();
        if matches!(self.protocol, Protocol::Http2 { .. }) && agreed != Some(self.protocol.alpn()) {
            return Err(not_spoken(self.protocol));
        }
        Ok(stream)
    }
}

fn is_no_common_protocol(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    let refused = rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol);
    matches!(
        error.downcast_ref::<rustls::Error>(),
        Some(error) if *error == refused || *error == rustls::Error::NoApplicationProtocol
    )
}

/// What to do about a certificate that is not trusted, where rustls says only that it is not.
fn distrust(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Option<String> {
    let rustls::Error::InvalidCertificate(fault) = error.downcast_ref()? else {
        return None;
    };
    if *fault == CertificateError::UnknownIssuer {
        return Some(
            "nobody who is trusted here has signed the target's certificate; name who has: \
             tls = { ca = \"${file:ca.pem}\" }"
                .to_owned(),
        );
    }
    is_of_an_authority(fault).then(|| {
        "the target shows the certificate of an authority as its own; to trust just this one, name it: \
         tls = { ca = \"${file:target.pem}\" }"
            .to_owned()
    })
}

/// Whether a certificate was refused only because it may sign others, as the self-signed ones of
/// `openssl req -x509` may.
fn is_of_an_authority(fault: &CertificateError) -> bool {
    matches!(
        fault,
        CertificateError::Other(OtherError(inner))
            if matches!(inner.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
    )
}

fn not_spoken(protocol: Protocol) -> io::Error {
    let (version, other) = match protocol {
        Protocol::Http1 => ("1.1", "2"),
        Protocol::Http2 { .. } => ("2", "1.1"),
    };
    io::Error::new(
        io::ErrorKind::Unsupported,
        format!("over TLS the target does not agree to HTTP/{version}; set `http = \"{other}\"`"),
    )
}

fn certificates(pem: &str, key: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let list: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| format!("`{key}` is not a PEM certificate: {error}"))?;
    if list.is_empty() {
        return Err(format!("`{key}` holds no PEM certificate"));
    }
    Ok(list)
}

/// Whom to take for the target.
#[derive(Debug)]
enum Trust {
    /// Whoever answers, for who has said so in the scenario.
    Anyone,
    /// A server that somebody vouches for: the authorities of the scenario or of this system, or the scenario
    /// itself by naming the server's own certificate as `tls.ca`.
    Vouched {
        by_authority: Arc<WebPkiServerVerifier>,
        /// The certificates of the scenario.
        named: Vec<CertificateDer<'static>>,
    },
}

impl Trust {
    fn new(plan: &TlsPlan, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        if plan.insecure {
            return Ok(Self::Anyone);
        }
        let mut roots = RootCertStore::empty();
        let mut named = Vec::new();
        if let Some(pem) = &plan.ca {
            named = certificates(pem, "tls.ca")?;
            for certificate in &named {
                roots
                    .add(certificate.clone())
                    .map_err(|error| format!("`tls.ca`: {error}"))?;
            }
        } else {
            let native = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(native.certs);
            if roots.is_empty() {
                return Err(
                    "this system has no CA certificates: install them, or name the target's with \
                     `tls.ca`"
                        .to_owned(),
                );
            }
        }
        let roots = Arc::new(roots);
        let by_authority = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self::Vouched {
            by_authority,
            named,
        })
    }
}

/// Decides whether the server is the target.
#[derive(Debug)]
struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Trust::Vouched {
            by_authority,
            named,
        } = &self.trust
        else {
            return Ok(ServerCertVerified::assertion());
        };
        let verified = by_authority.verify_server_cert(certificate, intermediates, name, ocsp, now);
        match &verified {
            // Its times have been checked before; its name has not.
            Err(rustls::Error::InvalidCertificate(fault))
                if is_of_an_authority(fault) && named.contains(certificate) =>
            {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            _ => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
