//! A server that does nothing but answer: what a generator can do at most shows against it.
//!
//! `GET /` is answered at once, `GET /after/250` after 250 ms, `GET /events/100/20` with a stream of 100
//! events, one every 20 ms; over HTTP/2 everything is answered at once. Whatever is not understood is
//! answered at once, too.

mod http1;
mod http2;

use crate::record::TrafficKind;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// 200 bytes, like a small prediction.
const BODY: usize = 200;

/// Answers traffic of one kind on `threads` threads until the process ends.
///
/// # Errors
/// When the address cannot be listened on, a thread not be started, or no certificate be made.
pub fn start_null(
    address: SocketAddr,
    threads: usize,
    kind: TrafficKind,
) -> io::Result<SocketAddr> {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
    };
    let tls = match kind {
        TrafficKind::Tls => Some(acceptor().map_err(io::Error::other)?),
        TrafficKind::Http1 | TrafficKind::Http2 | TrafficKind::Streams => None,
    };
    let talks = Talks { kind, tls };
    let listener = {
        let runtime = runtime()?;
        let _inside = runtime.enter();
        super::bind(address)?.into_std()?
    };
    let listening = listener.local_addr()?;
    for number in 0..threads.max(1) {
        let listener = listener.try_clone()?;
        let runtime = runtime()?;
        let talks = talks.clone();
        std::thread::Builder::new()
            .name(format!("null-{number}"))
            .spawn(move || {
                runtime.block_on(async move {
                    if let Ok(listener) = TcpListener::from_std(listener) {
                        talks.accept(listener).await;
                    }
                });
            })?;
    }
    Ok(listening)
}

/// What is spoken on a connection.
#[derive(Clone)]
struct Talks {
    kind: TrafficKind,
    tls: Option<TlsAcceptor>,
}

impl Talks {
    async fn accept(&self, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let _ = stream.set_nodelay(true);
                    tokio::spawn(self.clone().talk(stream));
                }
                // No descriptor is left: some will be closed.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    async fn talk(self, stream: TcpStream) {
        match (&self.tls, self.kind) {
            (Some(tls), _) => {
                // A client that does not agree is gone.
                if let Ok(stream) = tls.accept(stream).await {
                    http1::talk(stream).await;
                }
            }
            (None, TrafficKind::Http2) => http2::talk(stream).await,
            (None, _) => http1::talk(stream).await,
        }
    }
}

/// TLS with a certificate that nobody knows, made for this process.
fn acceptor() -> Result<TlsAcceptor, Box<dyn std::error::Error + Send + Sync>> {
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
