//! Where the kernel does not tell when it received bytes.

use super::answer::Arrival;
use super::stream::{Receipt, Stream as _, WallTime};
use crate::engine::ports::RunClock;
use std::io;
use std::task::{Context, Poll};
use tokio::net::TcpStream;

/// Has the kernel stamp what a socket receives: it cannot here.
pub(super) fn enable(_stream: &TcpStream) -> bool {
    false
}

/// Writes what the socket takes.
pub(super) fn poll_send(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    stream.poll_send(cx, bytes)
}

/// Reads what is there.
pub(super) fn poll_receive(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<io::Result<Receipt>> {
    stream.poll_receive(cx, buffer)
}

/// Now.
pub(super) fn arrival(_: Option<WallTime>, clock: RunClock) -> Arrival {
    Arrival {
        read_ns: clock.now_ns(),
        kernel_ns: None,
    }
}
