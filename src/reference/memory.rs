//! Connections within this process: the whole service without a socket, in virtual time if the
//! runtime's clock is paused.

use axum::serve::Listener;
use std::io;
use tokio::io::{DuplexStream, duplex};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// How many bytes fit between the two ends of a connection, in each direction.
const BUFFER: usize = 64 * 1024;

/// Both ends of a network that exists in memory only.
pub fn in_memory() -> (Dialer, MemoryListener) {
    let (sender, receiver) = unbounded_channel();
    (Dialer(sender), MemoryListener(receiver))
}

/// Opens connections to a [`MemoryListener`].
#[derive(Clone, Debug)]
pub struct Dialer(UnboundedSender<DuplexStream>);

impl Dialer {
    /// Opens a connection.
    ///
    /// # Errors
    /// When nobody listens any more.
    pub fn connect(&self) -> io::Result<DuplexStream> {
        let (near, far) = duplex(BUFFER);
        self.0
            .send(far)
            .map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
        Ok(near)
    }
}

/// Accepts the connections of a [`Dialer`] and its clones.
#[derive(Debug)]
pub struct MemoryListener(UnboundedReceiver<DuplexStream>);

impl Listener for MemoryListener {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (DuplexStream, ()) {
        match self.0.recv().await {
            Some(stream) => (stream, ()),
            // Nobody can connect any more; the shutdown ends the server.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}
