//! The socket of a connection, driven in turns: each turn reads once and writes once.
//!
//! One read: the streams that it is for get to run before the next one. One write: the frames of all
//! requests that have been sent since the turn before leave together, as a call of the system costs more
//! than a frame.

use super::connection::Connection;
use super::reason::{End, Lost};
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// What one read can bring.
const INBOX: usize = 64 * 1024;

thread_local! {
    /// Where all connections of a worker read into: what is not needed at once is copied out of it.
    static SHARED_INBOX: RefCell<Box<[u8]>> = RefCell::new(vec![0; INBOX].into_boxed_slice());
}

/// A socket, and why nothing can be written to it any more.
#[derive(Debug)]
pub(super) struct Socket<S> {
    stream: S,
    write_failed: Option<io::Error>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            write_failed: None,
        }
    }

    /// One turn; ready when the connection can be closed.
    pub(super) fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        connection: &RefCell<Connection>,
    ) -> Poll<()> {
        let connection = &mut *connection.borrow_mut();
        connection.drive(cx);
        let has_read = connection.wants_more() && self.poll_read(cx, connection).is_ready();
        let could_write = self.write_failed.is_none();
        let is_written = self.poll_write(cx, connection).is_ready();
        if connection.is_done() && is_written {
            return Poll::Ready(());
        }
        if has_read || (could_write && self.write_failed.is_some()) {
            // There may be more to read. Behind the streams that it has woken.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// The connection is told of what comes, and of the end.
    fn poll_read(&mut self, cx: &mut Context<'_>, connection: &mut Connection) -> Poll<()> {
        SHARED_INBOX.with_borrow_mut(|inbox| {
            let mut buffer = ReadBuf::new(inbox);
            let end = match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => End::Closed,
                Poll::Ready(Ok(())) => {
                    // The kernel's stamps are of reads, and a read holds pieces of many answers: they say
                    // nothing of one stream.
                    connection.take(buffer.filled(), Instant::now());
                    return Poll::Ready(());
                }
                Poll::Ready(Err(error)) => failed(&error),
                // A server may have answered before it stopped listening: what it sent comes first.
                Poll::Pending => match &self.write_failed {
                    None => return Poll::Pending,
                    Some(error) => failed(error),
                },
            };
            connection.end(&Lost::Ended(end));
            Poll::Ready(())
        })
    }

    /// Ready when everything is written, or never will be.
    fn poll_write(&mut self, cx: &mut Context<'_>, connection: &mut Connection) -> Poll<()> {
        while self.write_failed.is_none() {
            let rest = connection.unwritten();
            if rest.is_empty() {
                break;
            }
            let from = Instant::now();
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest)) {
                Ok(0) => self.write_failed = Some(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => connection.wrote(from, bytes),
                Err(error) => self.write_failed = Some(error),
            }
        }
        // TLS has an outbox of its own.
        if self.write_failed.is_none()
            && let Err(error) = ready!(Pin::new(&mut self.stream).poll_flush(cx))
        {
            self.write_failed = Some(error);
        }
        Poll::Ready(())
    }

    /// Says goodbye.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // The server may be gone already.
        Pin::new(&mut self.stream).poll_shutdown(cx).map(drop)
    }
}

fn failed(error: &io::Error) -> End {
    End::Failed(error.kind(), error.to_string())
}
