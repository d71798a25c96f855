//! What waits to be written, and whose requests it is.

use std::collections::VecDeque;

/// Bodies wait while so many bytes do; heads and answers to the server are short and never wait.
const ROOM: usize = 64 * 1024;

/// The bytes of one connection on their way out.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) bytes: Vec<u8>,
    /// How many of them have been written.
    written: usize,
    leaving: VecDeque<Leaving>,
}

/// A part of a request among the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leaving {
    pub(super) place: usize,
    pub(super) stream: u32,
    begin: usize,
    end: usize,
    /// Whether the request ends with it.
    pub(super) is_last: bool,
}

impl Outbox {
    pub(super) fn unwritten(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// Whether more of a body may be added.
    pub(super) fn has_room(&self) -> bool {
        self.unwritten().len() < ROOM
    }

    /// What was added since the bytes had this length belongs to a request.
    pub(super) fn mark(&mut self, begin: usize, place: usize, stream: u32, is_last: bool) {
        let end = self.bytes.len();
        self.leaving.push_back(Leaving {
            place,
            stream,
            begin,
            end,
            is_last,
        });
    }

    /// So many more bytes have been written; tells of each part of a request that they touch, and whether
    /// it has left whole.
    pub(super) fn wrote(&mut self, bytes: usize, mut tell: impl FnMut(Leaving, bool)) {
        self.written += bytes;
        while let Some(&part) = self.leaving.front()
            && part.begin < self.written
        {
            let is_whole = part.end <= self.written;
            tell(part, is_whole);
            if !is_whole {
                break;
            }
            self.leaving.pop_front();
        }
        if self.written == self.bytes.len() {
            self.bytes.clear();
            self.written = 0;
        } else if self.written >= ROOM {
            self.bytes.drain(..self.written);
            for part in &mut self.leaving {
                part.begin = part.begin.saturating_sub(self.written);
                part.end -= self.written;
            }
            self.written = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(outbox: &mut Outbox, bytes: usize) -> Vec<(u32, bool)> {
        let mut told = Vec::new();
        outbox.wrote(bytes, |part, whole| told.push((part.stream, whole)));
        told
    }

    #[test]
    fn each_request_is_told_when_its_bytes_leave() {
        let mut outbox = Outbox::default();
        outbox.bytes.extend([0; 10]);
        for stream in [1, 3] {
            let begin = outbox.bytes.len();
            outbox.bytes.extend([0; 20]);
            outbox.mark(begin, 0, stream, true);
        }
        assert_eq!(told(&mut outbox, 10), []);
        assert_eq!(told(&mut outbox, 5), [(1, false)]);
        assert_eq!(told(&mut outbox, 16), [(1, true), (3, false)]);
        assert_eq!(told(&mut outbox, 19), [(3, true)]);
        assert!(outbox.unwritten().is_empty() && outbox.bytes.is_empty());
    }

    #[test]
    fn what_was_written_long_ago_takes_no_memory() {
        let mut outbox = Outbox::default();
        outbox.bytes.resize(ROOM + 100, 0);
        outbox.mark(ROOM - 50, 0, 1, true);
        assert!(!outbox.has_room());
        assert_eq!(told(&mut outbox, ROOM), [(1, false)]);
        assert_eq!((outbox.bytes.len(), outbox.unwritten().len()), (100, 100));
        assert_eq!(told(&mut outbox, 99), [(1, false)]);
        assert_eq!(told(&mut outbox, 1), [(1, true)]);
    }
}
