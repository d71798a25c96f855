//! Cuts bytes that come in pieces into lines, and keeps no more of them than a line that is not over.

/// A line longer than this is no line of any stream that is worth reading on.
const LONGEST: usize = 4 * 1024 * 1024;

/// A line, or an event, that is longer than 4 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line of the stream is longer than 4 MiB")]
pub struct TooLong;

/// What ends a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// LF, CR LF, or CR alone: server-sent events.
    AnyBreak,
    /// LF alone; a CR before it is part of the line.
    Feed,
}

/// Where a line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'c> {
    /// As a whole in the bytes that were given.
    Here(&'c [u8]),
    /// It began in earlier bytes: [`Lines::carried`] has it.
    Carried,
}

/// Cuts bytes into lines.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    ends: Ends,
    carry: Vec<u8>,
    /// The carried line has been handed out and is to be forgotten.
    stale: bool,
    /// The last byte was a CR: an LF that follows belongs to it.
    after_return: bool,
}

impl Lines {
    pub(super) fn new(ends: Ends) -> Self {
        Self {
            ends,
            carry: Vec::new(),
            stale: false,
            after_return: false,
        }
    }

    /// The next line that is over, taken off the front of `bytes`; `None` when the rest of them was
    /// kept for later.
    pub(super) fn next<'c>(&mut self, bytes: &mut &'c [u8]) -> Result<Option<Line<'c>>, TooLong> {
        if std::mem::take(&mut self.stale) {
            self.carry.clear();
        }
        if self.after_return && !bytes.is_empty() {
            self.after_return = false;
            *bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        let end = match self.ends {
            Ends::AnyBreak => memchr::memchr2(b'\n', b'\r', bytes),
            Ends::Feed => memchr::memchr(b'\n', bytes),
        };
        let Some(end) = end else {
            self.keep(bytes)?;
            *bytes = &[];
            return Ok(None);
        };
        let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
        self.after_return = bytes[end] == b'\r';
        *bytes = rest;
        if self.carry.is_empty() {
            return Ok(Some(Line::Here(line)));
        }
        self.keep(line)?;
        self.stale = true;
        Ok(Some(Line::Carried))
    }

    /// The line that was handed out as [`Line::Carried`]; without one, the line that is not over.
    pub(super) fn carried(&self) -> &[u8] {
        &self.carry
    }

    /// A new stream begins.
    pub(super) fn reset(&mut self) {
        self.carry.clear();
        self.stale = false;
        self.after_return = false;
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        if self.carry.len() + bytes.len() > LONGEST {
            return Err(TooLong);
        }
        self.carry.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_an_end_is_not_kept_for_ever() {
        let mut lines = Lines::new(Ends::AnyBreak);
        let piece = vec![b'x'; 1024 * 1024];
        for _ in 0..4 {
            assert_eq!(lines.next(&mut piece.as_slice()), Ok(None));
        }
        assert_eq!(lines.next(&mut piece.as_slice()), Err(TooLong));
    }
}
