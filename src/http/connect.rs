//! How a slot gets its byte stream: TCP, or whatever a test puts in its place.

use super::kernel;
use super::stream::{Receipt, Stream};
use super::tls::TlsClient;
use crate::record::StepTimes;
use crate::units::nanoseconds;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

/// Opens byte streams to the target.
pub trait Connect: Clone + Send + 'static {
    /// The stream.
    type Stream: Stream;

    /// Opens one, and notes how long each step took.
    fn connect(&self, steps: &mut StepTimes) -> impl Future<Output = io::Result<Self::Stream>>;
}

/// TCP to one of the addresses that the target's name resolved to.
#[derive(Clone, Debug)]
pub struct TcpConnect {
    host: Arc<str>,
    port: u16,
    addresses: Arc<[SocketAddr]>,
    resolves_each_time: bool,
    tls: Option<TlsClient>,
}

impl TcpConnect {
    /// Resolves a host name once; every connection goes to these addresses, in their order.
    ///
    /// # Errors
    /// When the name does not resolve.
    pub async fn resolve(host: &str, port: u16) -> io::Result<Self> {
        Ok(Self {
            host: host.into(),
            port,
            addresses: lookup(host, port).await?,
            resolves_each_time: false,
            tls: None,
        })
    }

    /// Whether the name is resolved anew for every connection.
    #[must_use]
    pub fn resolving_each_time(mut self, each_time: bool) -> Self {
        self.resolves_each_time = each_time;
        self
    }

    /// Speaks TLS on every connection.
    #[must_use]
    pub fn with_tls(mut self, tls: TlsClient) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The addresses, in the order in which they are tried.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

impl Connect for TcpConnect {
    type Stream = TcpLink;

    async fn connect(&self, steps: &mut StepTimes) -> io::Result<TcpLink> {
        let addresses = if self.resolves_each_time {
            let begin = Instant::now();
            let addresses = lookup(&self.host, self.port).await?;
            steps.dns_ns = Some(since(begin));
            addresses
        } else {
            Arc::clone(&self.addresses)
        };
        let begin = Instant::now();
        let stream = connect_to_one(&addresses).await?;
        steps.tcp_ns = Some(since(begin));
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            let stamped = kernel::enable(&stream);
            return Ok(TcpLink::Plain { stream, stamped });
        };
        let begin = Instant::now();
        let stream = tls.agree(stream).await?;
        steps.tls_ns = Some(since(begin));
        Ok(TcpLink::Tls(Box::new(stream)))
    }
}

fn since(begin: Instant) -> u64 {
    nanoseconds(begin.elapsed())
}

async fn lookup(host: &str, port: u16) -> io::Result<Arc<[SocketAddr]>> {
    let not_found = |reason: String| io::Error::new(io::ErrorKind::NotFound, reason);
    let addresses: Arc<[SocketAddr]> = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| not_found(error.to_string()))?
        .collect();
    if addresses.is_empty() {
        return Err(not_found("the name has no address".to_owned()));
    }
    Ok(addresses)
}

async fn connect_to_one(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = None;
    for &address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::other("no address to connect to")))
}

/// A TCP connection, with or without TLS.
#[derive(Debug)]
pub enum TcpLink {
    /// Without TLS.
    Plain {
        /// The connection.
        stream: TcpStream,
        /// Whether the kernel stamps what it receives.
        stamped: bool,
    },
    /// With TLS, whose records hide which bytes the kernel stamped.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream for TcpLink {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<Receipt>> {
        match self {
            Self::Plain {
                stream,
                stamped: true,
            } => kernel::poll_receive(stream, cx, buffer),
            Self::Plain { stream, .. } => stream.poll_receive(cx, buffer),
            Self::Tls(stream) => stream.poll_receive(cx, buffer),
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain { stream, .. } => kernel::poll_send(stream, cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn is_silent(&mut self, buffer: &mut [u8]) -> bool {
        match self {
            // Asks the system only where the runtime knows of something, and registers nobody.
            Self::Plain { stream, .. } => stream
                .try_read(buffer)
                .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock),
            Self::Tls(stream) => stream.is_silent(buffer),
        }
    }
}

/// Without the kernel's stamps.
impl Stream for TcpStream {}
impl Stream for TlsStream<TcpStream> {}

impl AsyncRead for TcpLink {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain { stream, .. } => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for TcpLink {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain { stream, .. } => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain { stream, .. } => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain { stream, .. } => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain { stream, .. } => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain { stream, .. } => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
