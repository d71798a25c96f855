//! What is known of the bytes of one HTTP/2 connection: when they came and went, how many, and how it all
//! ended.

use super::departure::Departure;
use crate::http::answer::Arrival;
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use tokio::time::Instant;

/// The first frame of a server: its length, type, flags and stream.
const FRAME_HEAD: usize = 9;

/// How the bytes of a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It closed the connection.
    Closed,
    /// The connection broke.
    Broken(io::ErrorKind),
}

/// What the connection's task knows, and its streams want to know.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// When the last read was.
    read_at: Cell<Option<Instant>>,
    /// Whether this turn of the task has had its read.
    has_read: Cell<bool>,
    end: Cell<Option<End>>,
    /// The first bytes that came, and how many of them there are.
    first: Cell<([u8; FRAME_HEAD], usize)>,
    written: Cell<u64>,
    read: Cell<u64>,
    /// Requests that leave with the next write, and whether that is all of them.
    departing: RefCell<Vec<(Rc<Departure>, bool)>>,
}

impl Line {
    /// When what the streams see now was read. The kernel's stamps are of reads, and a read holds
    /// pieces of many answers: they say nothing of one stream.
    pub(super) fn arrival(&self) -> Arrival {
        Arrival {
            read: self.read_at.get().unwrap_or_else(Instant::now),
            kernel: None,
        }
    }

    /// Whether nothing has been read since then.
    pub(super) fn is_silent_since(&self, then: Instant) -> bool {
        self.read_at.get().is_none_or(|at| at < then)
    }

    /// The frames of a request leave with the next write; whether all of them do.
    pub(super) fn depart(&self, departure: &Rc<Departure>, whole: bool) {
        self.departing
            .borrow_mut()
            .push((Rc::clone(departure), whole));
    }

    /// Bytes written and read since the last call.
    pub(super) fn take_bytes(&self) -> (u64, u64) {
        (self.written.take(), self.read.take())
    }

    /// No more bytes come or go.
    pub(super) fn finish(&self, end: End) {
        self.end.set(Some(end));
    }

    /// How the bytes ended, if they have.
    pub(super) fn end(&self) -> Option<End> {
        self.end.get()
    }

    /// The first bytes that the server sent, up to nine.
    pub(super) fn first_bytes(&self) -> Vec<u8> {
        let (bytes, length) = self.first.get();
        bytes[..length].to_vec()
    }

    /// A new turn of the connection's task.
    pub(super) fn begin_turn(&self) {
        self.has_read.set(false);
    }

    /// Whether something was read in this turn: there may be more.
    pub(super) fn has_read(&self) -> bool {
        self.has_read.get()
    }

    /// Something was read.
    pub(super) fn take_read(&self, bytes: &[u8]) {
        self.has_read.set(true);
        self.read_at.set(Some(Instant::now()));
        self.read.set(self.read.get() + bytes.len() as u64);
        let (mut first, length) = self.first.get();
        if length < FRAME_HEAD {
            let more = bytes.len().min(FRAME_HEAD - length);
            first[length..length + more].copy_from_slice(&bytes[..more]);
            self.first.set((first, length + more));
        }
    }

    /// Something was written, by a write that began then.
    pub(super) fn take_write(&self, from: Instant, bytes: usize) {
        self.written.set(self.written.get() + bytes as u64);
        let mut departing = self.departing.borrow_mut();
        if departing.is_empty() {
            return;
        }
        let to = Instant::now();
        for (departure, whole) in departing.drain(..) {
            departure.written(from, to, whole);
        }
    }
}
