//! How a slot gets its byte stream: TCP, or whatever a test puts in its place.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Opens byte streams to the target.
pub trait Connect: Clone + Send + 'static {
    /// The stream.
    type Stream: AsyncRead + AsyncWrite + Unpin + 'static;

    /// Opens one.
    fn connect(&self) -> impl Future<Output = io::Result<Self::Stream>>;
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
    type Stream = TcpStream;

    async fn connect(&self) -> io::Result<TcpStream> {
        let mut last = None;
        for &address in self.addresses.iter() {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::other("no address to connect to")))
    }
}
