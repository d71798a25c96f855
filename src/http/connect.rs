//! How a slot gets its byte stream: TCP, or whatever a test puts in its place.

use super::kernel;
use super::stream::{Receipt, Stream};
use crate::record::StepTimes;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

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
    addresses: Arc<[SocketAddr]>,
}

impl TcpConnect {
    /// Resolves a host name once; every connection goes to these addresses, in their order.
    ///
    /// # Errors
    /// When the name does not resolve.
    pub async fn resolve(host: &str, port: u16) -> io::Result<Self> {
        let addresses: Arc<[SocketAddr]> = tokio::net::lookup_host((host, port)).await?.collect();
        if addresses.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the name has no address",
            ));
        }
        Ok(Self { addresses })
    }

    /// The addresses, in the order in which they are tried.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

impl Connect for TcpConnect {
    type Stream = TcpLink;

    async fn connect(&self, steps: &mut StepTimes) -> io::Result<TcpLink> {
        let begin = Instant::now();
        let mut last = None;
        for &address in self.addresses.iter() {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    steps.tcp_ns = u64::try_from(begin.elapsed().as_nanos()).ok();
                    return TcpLink::new(stream);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::other("no address to connect to")))
    }
}

/// A TCP connection whose received bytes the kernel stamps, where it can.
#[derive(Debug)]
pub struct TcpLink {
    stream: TcpStream,
    stamped: bool,
}

impl TcpLink {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let stamped = kernel::enable(&stream);
        Ok(Self { stream, stamped })
    }
}

impl Stream for TcpLink {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<Receipt>> {
        if self.stamped {
            kernel::poll_receive(&mut self.stream, cx, buffer)
        } else {
            self.stream.poll_receive(cx, buffer)
        }
    }
}

/// Without the kernel's stamps.
impl Stream for TcpStream {}

impl AsyncRead for TcpLink {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for TcpLink {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
