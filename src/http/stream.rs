//! What carries the bytes of a connection, and how they are received: with the kernel's own time of
//! arrival where there is one.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// Nanoseconds since the Unix epoch, by the wall clock.
pub(super) type WallTime = u64;

/// What one read brought.
#[derive(Clone, Copy, Debug)]
pub struct Receipt {
    /// How many bytes; 0 at the end of the stream.
    pub(super) bytes: usize,
    /// When the kernel had received the last of them, where it tells.
    pub(super) stamp: Option<WallTime>,
}

/// A byte stream to the target.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + 'static {
    /// Reads what is there.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<Receipt>> {
        let mut read = ReadBuf::new(buffer);
        ready!(Pin::new(self).poll_read(cx, &mut read))?;
        Poll::Ready(Ok(Receipt {
            bytes: read.filled().len(),
            stamp: None,
        }))
    }

    /// Writes what the stream takes.
    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self).poll_write(cx, bytes)
    }

    /// Whether nothing has come, not even an end. What has is read and lost, and nobody is woken when
    /// more does: [`Stream::poll_receive`] sees to that.
    fn is_silent(&mut self, buffer: &mut [u8]) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        self.poll_receive(&mut nobody, buffer).is_pending()
    }
}

/// In memory, for tests: there is no kernel below.
impl Stream for DuplexStream {}
