//! A byte stream that notes when the first byte went out and came in, and how many did.
//!
//! It sits below HTTP, so that the times are those of the socket calls and not of the parser.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// The notes of one stream, shared with the slot that uses it.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    first_write: Cell<Option<Instant>>,
    first_read: Cell<Option<Instant>>,
    written: Cell<u64>,
    read: Cell<u64>,
}

impl Stamps {
    /// Forgets all notes: a new request begins.
    pub(super) fn reset(&self) {
        self.first_write.set(None);
        self.first_read.set(None);
        self.written.set(0);
        self.read.set(0);
    }

    pub(super) fn first_write(&self) -> Option<Instant> {
        self.first_write.get()
    }

    /// The first byte that came in after the first one went out.
    pub(super) fn first_read(&self) -> Option<Instant> {
        self.first_read.get()
    }

    pub(super) fn written(&self) -> u64 {
        self.written.get()
    }

    pub(super) fn read(&self) -> u64 {
        self.read.get()
    }

    fn note_write(&self, before: Instant, bytes: usize) {
        if bytes > 0 {
            if self.first_write.get().is_none() {
                self.first_write.set(Some(before));
            }
            self.written.set(self.written.get() + bytes as u64);
        }
    }

    fn note_read(&self, bytes: usize) {
        if bytes > 0 {
            if self.first_read.get().is_none() {
                self.first_read.set(Some(Instant::now()));
            }
            self.read.set(self.read.get() + bytes as u64);
        }
    }
}

#[derive(Debug)]
pub(super) struct Stamped<S> {
    stream: S,
    stamps: Rc<Stamps>,
}

impl<S> Stamped<S> {
    pub(super) fn new(stream: S, stamps: Rc<Stamps>) -> Self {
        Self { stream, stamps }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stamped<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if matches!(result, Poll::Ready(Ok(()))) {
            self.stamps.note_read(buffer.filled().len() - before);
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stamped<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let before = Instant::now();
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = result {
            self.stamps.note_write(before, written);
        }
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let before = Instant::now();
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        if let Poll::Ready(Ok(written)) = result {
            self.stamps.note_write(before, written);
        }
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
