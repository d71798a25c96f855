//! The streams of one connection.

use super::hpack::Fields;
use super::reason::Lost;
use bytes::Bytes;
use std::collections::VecDeque;
use std::ops::{Index, IndexMut};
use std::task::Waker;
use tokio::time::Instant;

/// The largest identifier that a stream can have; they are never used twice.
const LAST: u32 = (1 << 31) - 1;

/// One request and what has come of its answer. The memory is used for one stream after the other.
#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) id: u32,
    /// Whoever waits for the answer.
    pub(super) waker: Option<Waker>,
    /// Status and time of the head, and its fields.
    pub(super) head: Option<(u16, Instant)>,
    pub(super) fields: Fields,
    /// What has come of the body and has not been taken yet, and where in it each piece ends.
    pub(super) bytes: Vec<u8>,
    pub(super) pieces: Vec<(usize, Instant)>,
    /// How much of the body is still to come, where the head has told.
    pub(super) missing: Option<u64>,
    /// Whether the answer has no body, whatever its head says.
    pub(super) is_bodiless: bool,
    /// Once nothing more comes: when the answer was complete, or why it is not.
    pub(super) ended: Option<Result<Instant, Lost>>,
    /// Bytes that the server has sent of what it may.
    pub(super) received: u32,
    /// What is left of the request's body, and how much of it the server takes.
    pub(super) unsent: Bytes,
    pub(super) window: i64,
    /// Whether it stands in the queue of those that have something to send.
    pub(super) is_queued: bool,
    /// When the first and the last bytes of the request were handed to the network.
    pub(super) begun: Option<Instant>,
    pub(super) sent: Option<Instant>,
}

impl Stream {
    /// Begins anew.
    fn reset(&mut self, id: u32, window: i64) {
        self.id = id;
        self.head = None;
        self.fields.clear();
        self.bytes.clear();
        self.pieces.clear();
        self.missing = None;
        self.is_bodiless = false;
        self.ended = None;
        self.received = 0;
        self.window = window;
        self.is_queued = false;
        self.begun = None;
        self.sent = None;
    }

    /// More of the body.
    pub(super) fn append(&mut self, bytes: &[u8], at: Instant) {
        self.bytes.extend_from_slice(bytes);
        let end = self.bytes.len();
        match self.pieces.last_mut() {
            Some((last, when)) if *when == at => *last = end,
            _ => self.pieces.push((end, at)),
        }
    }

    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// What an identifier means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// A stream at this place.
    Open(usize),
    /// A stream that is over.
    Closed,
    /// No stream that this side has opened.
    Idle,
}

/// All streams of a connection. A stream that is over keeps its place until its user has let go of it.
#[derive(Debug)]
pub(super) struct Streams {
    places: Vec<Stream>,
    free: Vec<usize>,
    /// The places of the streams from `first` on, in the order of their identifiers; `None` where one is over.
    open: VecDeque<Option<usize>>,
    first: u32,
    next: u32,
    count: usize,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            open: VecDeque::new(),
            first: 1,
            next: 1,
            count: 0,
        }
    }
}

impl Index<usize> for Streams {
    type Output = Stream;

    fn index(&self, place: usize) -> &Stream {
        &self.places[place]
    }
}

impl IndexMut<usize> for Streams {
    fn index_mut(&mut self, place: usize) -> &mut Stream {
        &mut self.places[place]
    }
}

impl Streams {
    /// How many are open.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Whether every identifier has been used.
    pub(super) fn are_used_up(&self) -> bool {
        self.next > LAST
    }

    /// Opens the next stream, at the place that is returned. There must be one left.
    pub(super) fn open(&mut self, window: i64) -> usize {
        debug_assert!(!self.are_used_up(), "no more places are given out then");
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(Stream::default());
            self.places.len() - 1
        });
        self.places[place].reset(self.next, window);
        self.open.push_back(Some(place));
        self.next += 2;
        self.count += 1;
        place
    }

    pub(super) fn find(&self, id: u32) -> Known {
        if id >= self.next || id.is_multiple_of(2) {
            return Known::Idle;
        }
        let Some(behind) = id.checked_sub(self.first) else {
            return Known::Closed;
        };
        let place = usize::try_from(behind / 2)
            .ok()
            .and_then(|at| self.open.get(at));
        place.copied().flatten().map_or(Known::Closed, Known::Open)
    }

    /// Nothing more comes or goes on it.
    pub(super) fn close(&mut self, place: usize) {
        let behind = self.places[place].id.wrapping_sub(self.first) / 2;
        let at = usize::try_from(behind).ok();
        if let Some(entry) = at.and_then(|at| self.open.get_mut(at))
            && *entry == Some(place)
        {
            *entry = None;
            self.count -= 1;
        }
        while self.open.front() == Some(&None) {
            self.open.pop_front();
            self.first += 2;
        }
    }

    /// Its user has let go of it, and it is closed.
    pub(super) fn release(&mut self, place: usize) {
        let stream = &mut self.places[place];
        stream.id = 0;
        stream.waker = None;
        stream.unsent = Bytes::new();
        self.free.push(place);
    }

    /// The places of those that are open.
    pub(super) fn all_open(&self) -> Vec<usize> {
        self.open.iter().copied().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_used_once_and_places_again() {
        let mut streams = Streams::default();
        let (a, b, c) = (streams.open(1), streams.open(1), streams.open(1));
        assert_eq!([a, b, c].map(|place| streams[place].id), [1, 3, 5]);
        assert_eq!(streams.find(3), Known::Open(b));
        for id in [0, 2, 4, 7] {
            assert_eq!(streams.find(id), Known::Idle, "{id}");
        }
        streams.close(b);
        streams.close(b);
        assert_eq!((streams.find(3), streams.count()), (Known::Closed, 2));
        streams.close(a);
        streams.release(a);
        assert_eq!(
            (streams.find(1), streams.find(5)),
            (Known::Closed, Known::Open(c))
        );
        assert_eq!(streams.open.len(), 1, "what is over takes no memory");
        let d = streams.open(1);
        assert_eq!((d, streams[d].id), (a, 7));
        // A place that was given to another stream is not closed by the one before.
        assert_eq!(streams.all_open(), [c, d]);
    }

    #[test]
    fn pieces_that_came_in_one_read_are_one() {
        let mut stream = Stream::default();
        let now = Instant::now();
        stream.append(b"a", now);
        stream.append(b"bc", now);
        let later = now + std::time::Duration::from_millis(1);
        stream.append(b"d", later);
        let ends: Vec<_> = stream.pieces.iter().map(|(end, _)| *end).collect();
        assert_eq!((ends, stream.bytes.as_slice()), (vec![3, 4], &b"abcd"[..]));
    }
}
