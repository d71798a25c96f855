//! The byte stream under an HTTP/2 connection, in turns: each turn of the connection's task reads once and
//! writes once.
//!
//! One read: the streams that it is for get to run before the next one, so that the time of the last read
//! is the time at which what they see was read. Should a runtime ever let the connection run ahead of
//! them, the time is too late, never too early.
//!
//! One write: the frames of all requests that have been sent since the turn before leave together. The
//! connection would hand over each larger frame by itself, and a call of the system costs more than the
//! frame.

use super::line::{End, Line};
use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// So many bytes wait for the end of a turn; more are written at once.
const OUTBOX: usize = 64 * 1024;

/// The stream, and what of it waits to be written.
#[derive(Debug)]
pub(super) struct Turns<S> {
    stream: RefCell<S>,
    outbox: RefCell<Vec<u8>>,
    /// How much of the outbox has been written.
    written: Cell<usize>,
    /// Why nothing more can be written.
    write_failed: Cell<Option<io::ErrorKind>>,
    line: Rc<Line>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Turns<S> {
    pub(super) fn new(stream: S, line: Rc<Line>) -> Rc<Self> {
        Rc::new(Self {
            stream: RefCell::new(stream),
            outbox: RefCell::default(),
            written: Cell::new(0),
            write_failed: Cell::new(None),
            line,
        })
    }

    /// One turn of whoever reads and writes through [`Held`].
    pub(super) fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        turn: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.line.begin_turn();
        let polled = turn(cx);
        let failed_before = self.write_failed.get().is_some();
        // What is left now leaves in a later turn: the stream wakes the task when it takes more.
        let _ = self.poll_write_out(cx);
        let has_failed = self.write_failed.get().is_some() && !failed_before;
        if polled.is_pending() && (self.line.has_read() || has_failed) {
            // Behind the streams that it has woken.
            cx.waker().wake_by_ref();
        }
        polled
    }

    /// Ready when the outbox is empty, or never will be.
    fn poll_write_out(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut stream = self.stream.borrow_mut();
        let mut outbox = self.outbox.borrow_mut();
        while self.written.get() < outbox.len() && self.write_failed.get().is_none() {
            let from = Instant::now();
            let rest = &outbox[self.written.get()..];
            match ready!(Pin::new(&mut *stream).poll_write(cx, rest)) {
                Ok(0) => self.fail(io::ErrorKind::WriteZero),
                Ok(bytes) => {
                    self.written.set(self.written.get() + bytes);
                    self.line.take_write(from, bytes);
                }
                Err(error) => self.fail(error.kind()),
            }
        }
        outbox.clear();
        self.written.set(0);
        // TLS has an outbox of its own.
        if let Err(error) = ready!(Pin::new(&mut *stream).poll_flush(cx)) {
            self.fail(error.kind());
        }
        Poll::Ready(())
    }

    fn fail(&self, kind: io::ErrorKind) {
        self.write_failed.set(Some(kind));
    }

    /// Room in the outbox.
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.outbox.borrow().len() >= OUTBOX {
            ready!(self.poll_write_out(cx));
        }
        if let Some(kind) = self.write_failed.get() {
            return Poll::Ready(Err(kind.into()));
        }
        Poll::Ready(Ok(OUTBOX - self.outbox.borrow().len()))
    }
}

/// The stream as the connection holds it.
#[derive(Debug)]
pub(super) struct Held<S>(pub(super) Rc<Turns<S>>);

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Held<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let turns = &*self.0;
        let line = &turns.line;
        if line.has_read() {
            // The task is woken again after the streams.
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut *turns.stream.borrow_mut()).poll_read(cx, buffer);
        match read {
            Poll::Ready(Ok(())) if buffer.filled().len() > before => {
                line.take_read(&buffer.filled()[before..]);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(())) => {
                line.finish(End::Closed);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => {
                line.finish(End::Broken(error.kind()));
                Poll::Ready(Err(error))
            }
            // A server may have answered before it stopped listening: what it sent comes first.
            Poll::Pending => match turns.write_failed.get() {
                None => Poll::Pending,
                Some(kind) => {
                    line.finish(End::Broken(kind));
                    Poll::Ready(Err(kind.into()))
                }
            },
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Held<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let room = ready!(self.0.poll_room(cx))?;
        let taken = &bytes[..bytes.len().min(room)];
        self.0.outbox.borrow_mut().extend_from_slice(taken);
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let room = ready!(self.0.poll_room(cx))?;
        let mut outbox = self.0.outbox.borrow_mut();
        let mut left = room;
        for slice in slices {
            let taken = &slice[..slice.len().min(left)];
            outbox.extend_from_slice(taken);
            left -= taken.len();
        }
        Poll::Ready(Ok(room - left))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Nothing leaves before the end of the turn.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.0.poll_write_out(cx));
        Pin::new(&mut *self.0.stream.borrow_mut()).poll_shutdown(cx)
    }
}
