//! What the server says: its frames, one after the other.

use super::{CONNECTION_WINDOW, Connection, STREAM_WINDOW};
use crate::http::answer::Headers as _;
use crate::http::http2::frame::{self, HEAD, Head, LARGEST, LARGEST_WINDOW, flag, kind, setting};
use crate::http::http2::hpack::Fields;
use crate::http::http2::reason::{Broken, Lost, Reason};
use crate::http::http2::streams::Known;
use tokio::time::Instant;

/// Larger frames are not sent, whatever the server takes.
const LARGEST_SENT: usize = 64 * 1024;
/// The largest block of headers.
const LARGEST_BLOCK: usize = 256 * 1024;

impl Connection {
    pub(super) fn take_frames(
        &mut self,
        partial: &mut Vec<u8>,
        bytes: &[u8],
        at: Instant,
    ) -> Result<(), Broken> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if partial.is_empty() {
                let Some((head, payload, after)) = split(rest)? else {
                    partial.extend_from_slice(rest);
                    return Ok(());
                };
                rest = after;
                self.frame(head, payload, at)?;
                continue;
            }
            let wanted = match partial.first_chunk() {
                Some(head) => HEAD + Head::read(*head).length,
                None => HEAD,
            };
            let more;
            (more, rest) = rest.split_at((wanted - partial.len()).min(rest.len()));
            partial.extend_from_slice(more);
            if let Some((head, payload, _)) = split(partial)? {
                self.frame(head, payload, at)?;
                partial.clear();
            }
        }
        Ok(())
    }

    fn frame(&mut self, head: Head, payload: &[u8], at: Instant) -> Result<(), Broken> {
        if self.continued.is_some() && head.kind != kind::CONTINUATION {
            return Err(Broken::protocol("a head is interrupted by another frame"));
        }
        if self.allowed.is_none() && !matches!(head.kind, kind::SETTINGS | kind::GOAWAY) {
            return Err(Broken::protocol("its first frame is not SETTINGS"));
        }
        let of_stream = match head.kind {
            kind::DATA | kind::HEADERS | kind::PRIORITY | kind::RST_STREAM | kind::CONTINUATION => {
                true
            }
            kind::SETTINGS | kind::PING | kind::GOAWAY => false,
            _ => head.stream != 0,
        };
        if of_stream != (head.stream != 0) {
            return Err(Broken::protocol(
                "a frame is on a stream that it cannot be on",
            ));
        }
        match head.kind {
            kind::DATA => self.data(head, payload, at),
            kind::HEADERS => {
                let block = frame::content(head, payload)?;
                if head.has(flag::END_HEADERS) {
                    return self.head(head, block, at);
                }
                self.continued = Some((head, block.to_vec()));
                Ok(())
            }
            kind::CONTINUATION => self.continuation(head, payload, at),
            kind::PRIORITY if payload.len() == 5 => Ok(()),
            kind::PRIORITY => Err(Broken::size("PRIORITY")),
            kind::RST_STREAM => {
                let reason = Reason(frame::number(payload, "RST_STREAM")?);
                if let Some(place) = self.find(head)? {
                    self.lose(place, Lost::Reset(reason));
                }
                Ok(())
            }
            kind::SETTINGS => self.settings(head, payload),
            kind::PUSH_PROMISE => Err(Broken::protocol("it pushes what nobody asked for")),
            kind::PING if payload.len() != 8 => Err(Broken::size("PING")),
            kind::PING => {
                if !head.has(flag::ACK) {
                    frame::append(&mut self.outbox.bytes, kind::PING, flag::ACK, 0, payload);
                }
                Ok(())
            }
            kind::GOAWAY => self.go_away(payload),
            kind::WINDOW_UPDATE => self.window_update(head, payload),
            // Extensions are nobody's business who does not know them.
            _ => Ok(()),
        }
    }

    /// The place of the stream that a frame is on, if it is open.
    fn find(&self, head: Head) -> Result<Option<usize>, Broken> {
        match self.streams.find(head.stream) {
            Known::Open(place) => Ok(Some(place)),
            // What was on its way when it ended is no surprise.
            Known::Closed => Ok(None),
            Known::Idle => Err(Broken::protocol(format!(
                "a frame is on stream {}, which is not open",
                head.stream
            ))),
        }
    }

    fn data(&mut self, head: Head, payload: &[u8], at: Instant) -> Result<(), Broken> {
        let content = frame::content(head, payload)?;
        // No frame is longer than 2^24 bytes.
        let length = u32::try_from(head.length).unwrap_or(u32::MAX);
        self.received += length;
        if self.received > CONNECTION_WINDOW {
            return Err(Broken::flow("more is sent than the connection's window"));
        }
        if self.received >= CONNECTION_WINDOW / 2 {
            frame::append_window_update(&mut self.outbox.bytes, 0, self.received);
            self.received = 0;
        }
        let Some(place) = self.find(head)? else {
            return Ok(());
        };
        let stream = &mut self.streams[place];
        stream.received += length;
        if stream.received > STREAM_WINDOW {
            self.refuse(place, Broken::flow("more is sent than the stream's window"));
            return Ok(());
        }
        if stream.head.is_none() {
            self.refuse(place, Broken::protocol("a body comes before its head"));
            return Ok(());
        }
        if let Some(missing) = stream.missing {
            let Some(rest) = missing.checked_sub(content.len() as u64) else {
                self.refuse(place, Broken::protocol("the body is longer than announced"));
                return Ok(());
            };
            stream.missing = Some(rest);
        }
        if !content.is_empty() {
            stream.append(content, at);
        }
        if head.has(flag::END_STREAM) {
            self.finish(place, at);
        } else {
            if stream.received >= STREAM_WINDOW / 2 {
                frame::append_window_update(&mut self.outbox.bytes, head.stream, stream.received);
                stream.received = 0;
            }
            stream.wake();
        }
        Ok(())
    }

    fn continuation(&mut self, head: Head, payload: &[u8], at: Instant) -> Result<(), Broken> {
        let Some((begin, mut block)) = self.continued.take() else {
            return Err(Broken::protocol("a head goes on that has not begun"));
        };
        if begin.stream != head.stream {
            return Err(Broken::protocol("a head goes on at another stream"));
        }
        block.extend_from_slice(payload);
        if block.len() > LARGEST_BLOCK {
            return Err(Broken::protocol("a head is larger than 256 KiB"));
        }
        if head.has(flag::END_HEADERS) {
            return self.head(begin, &block, at);
        }
        self.continued = Some((begin, block));
        Ok(())
    }

    /// A head, whole: of an answer, or of what comes behind its body.
    fn head(&mut self, head: Head, block: &[u8], at: Instant) -> Result<(), Broken> {
        let place = self.find(head)?;
        let Some(place) = place.filter(|&place| self.streams[place].head.is_none()) else {
            // It is read all the same: the tables of both sides stay the same.
            self.decoder.decode(block, &mut self.unclaimed)?;
            match place {
                Some(place) if head.has(flag::END_STREAM) => self.finish(place, at),
                Some(place) => {
                    self.refuse(place, Broken::protocol("an answer has two heads"));
                }
                None => {}
            }
            return Ok(());
        };
        let stream = &mut self.streams[place];
        self.decoder.decode(block, &mut stream.fields)?;
        let ends = head.has(flag::END_STREAM);
        match status(&stream.fields) {
            // More is to come.
            Some(100..200) if !ends => {}
            Some(status @ 200..) => {
                stream.head = Some((status, at));
                let is_bodiless = stream.is_bodiless || matches!(status, 204 | 304);
                stream.missing = match stream.fields.first("content-length") {
                    Some(length) if !is_bodiless => {
                        let length = std::str::from_utf8(length).ok();
                        let Some(length) = length.and_then(|length| length.parse().ok()) else {
                            let what = "the answer's content-length is no number";
                            self.refuse(place, Broken::protocol(what));
                            return Ok(());
                        };
                        Some(length)
                    }
                    _ => None,
                };
                if ends {
                    self.finish(place, at);
                } else {
                    stream.wake();
                }
            }
            _ => self.refuse(
                place,
                Broken::protocol("the head of an answer has no status"),
            ),
        }
        Ok(())
    }

    fn settings(&mut self, head: Head, payload: &[u8]) -> Result<(), Broken> {
        if head.has(flag::ACK) {
            let is_empty = payload.is_empty();
            return is_empty
                .then_some(())
                .ok_or_else(|| Broken::size("SETTINGS"));
        }
        let mut allowed = self.allowed.unwrap_or(usize::MAX);
        for (name, value) in frame::settings(payload)? {
            let size = usize::try_from(value).unwrap_or(usize::MAX);
            match name {
                setting::HEADER_TABLE_SIZE => self.encoder.allow(size),
                setting::MAX_CONCURRENT_STREAMS => allowed = size,
                setting::INITIAL_WINDOW_SIZE => {
                    if value > LARGEST_WINDOW {
                        return Err(Broken::flow("SETTINGS has a window that is too large"));
                    }
                    let more = i64::from(value) - self.stream_window;
                    self.stream_window = value.into();
                    for place in self.streams.all_open() {
                        let stream = &mut self.streams[place];
                        stream.window += more;
                        if stream.window > LARGEST_WINDOW.into() {
                            return Err(Broken::flow("a window grows too large"));
                        }
                        self.enqueue(place);
                    }
                }
                setting::MAX_FRAME_SIZE => {
                    if !(LARGEST..1 << 24).contains(&size) {
                        return Err(Broken::protocol(
                            "SETTINGS has a size of frames that is none",
                        ));
                    }
                    self.largest = size.min(LARGEST_SENT);
                }
                _ => {}
            }
        }
        self.allowed = Some(allowed);
        frame::append(&mut self.outbox.bytes, kind::SETTINGS, flag::ACK, 0, &[]);
        self.wake_waiting();
        Ok(())
    }

    fn go_away(&mut self, payload: &[u8]) -> Result<(), Broken> {
        let Some((&[a, b, c, d, reason @ ..], _)) = payload.split_first_chunk::<8>() else {
            return Err(Broken::size("GOAWAY"));
        };
        let last = u32::from_be_bytes([a, b, c, d]) & LARGEST_WINDOW;
        let reason = Reason(u32::from_be_bytes(reason));
        self.going = Some(reason);
        for place in self.streams.all_open() {
            if self.streams[place].id > last {
                self.lose(place, Lost::GoneAway(reason));
            }
        }
        self.wake_waiting();
        Ok(())
    }

    fn window_update(&mut self, head: Head, payload: &[u8]) -> Result<(), Broken> {
        let more = frame::number(payload, "WINDOW_UPDATE")? & LARGEST_WINDOW;
        let fault = |window: i64| {
            let is_large = window + i64::from(more) > LARGEST_WINDOW.into();
            match more {
                0 => Some(Broken::protocol("a window is opened by nothing")),
                _ => is_large.then(|| Broken::flow("a window grows too large")),
            }
        };
        if head.stream == 0 {
            self.window += i64::from(more);
            return fault(self.window - i64::from(more)).map_or(Ok(()), Err);
        }
        if let Some(place) = self.find(head)? {
            let stream = &mut self.streams[place];
            if let Some(broken) = fault(stream.window) {
                self.refuse(place, broken);
            } else {
                stream.window += i64::from(more);
                self.enqueue(place);
            }
        }
        Ok(())
    }
}

/// A frame, its payload, and the bytes behind it.
type Split<'a> = (Head, &'a [u8], &'a [u8]);

/// The first frame of these bytes, its payload and what comes after it, if it has come whole.
fn split(bytes: &[u8]) -> Result<Option<Split<'_>>, Broken> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else {
        return Ok(None);
    };
    let head = Head::read(*head);
    if head.length > LARGEST {
        return Err(Broken {
            reason: Reason::FRAME_SIZE_ERROR,
            what: format!("a frame of {} bytes is larger than allowed", head.length),
        });
    }
    let frame = rest.split_at_checked(head.length);
    Ok(frame.map(|(payload, after)| (head, payload, after)))
}

fn status(fields: &Fields) -> Option<u16> {
    let status = fields.first(":status").filter(|status| status.len() == 3)?;
    std::str::from_utf8(status).ok()?.parse().ok()
}
