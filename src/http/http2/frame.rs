//! Frames (RFC 9113, sections 4 and 6), read and written.

use super::reason::{Broken, Reason};

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(super) const HEAD: usize = 9;
/// The largest payload, unless a side allows more.
pub(super) const LARGEST: usize = 16 * 1024;
/// The largest window there is.
pub(super) const LARGEST_WINDOW: u32 = (1 << 31) - 1;
/// What a window is before anything is said of it.
pub(super) const FIRST_WINDOW: u32 = 65_535;

pub(super) mod kind {
    pub(in super::super) const DATA: u8 = 0;
    pub(in super::super) const HEADERS: u8 = 1;
    pub(in super::super) const PRIORITY: u8 = 2;
    pub(in super::super) const RST_STREAM: u8 = 3;
    pub(in super::super) const SETTINGS: u8 = 4;
    pub(in super::super) const PUSH_PROMISE: u8 = 5;
    pub(in super::super) const PING: u8 = 6;
    pub(in super::super) const GOAWAY: u8 = 7;
    pub(in super::super) const WINDOW_UPDATE: u8 = 8;
    pub(in super::super) const CONTINUATION: u8 = 9;
}

pub(super) mod flag {
    pub(in super::super) const ACK: u8 = 0x1;
    pub(in super::super) const END_STREAM: u8 = 0x1;
    pub(in super::super) const END_HEADERS: u8 = 0x4;
    pub(in super::super) const PADDED: u8 = 0x8;
    pub(in super::super) const PRIORITY: u8 = 0x20;
}

pub(super) mod setting {
    pub(in super::super) const HEADER_TABLE_SIZE: u16 = 1;
    pub(in super::super) const ENABLE_PUSH: u16 = 2;
    pub(in super::super) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(in super::super) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(in super::super) const MAX_FRAME_SIZE: u16 = 5;
}

/// What begins every frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// 0 for the connection.
    pub(super) stream: u32,
}

impl Head {
    pub(super) fn read(bytes: [u8; HEAD]) -> Self {
        let [a, b, c, kind, flags, stream @ ..] = bytes;
        Self {
            length: usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c),
            kind,
            flags,
            // The uppermost bit says nothing.
            stream: u32::from_be_bytes(stream) & LARGEST_WINDOW,
        }
    }

    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Appends a frame.
pub(super) fn append(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let [.., a, b, c] = payload.len().to_be_bytes();
    out.extend_from_slice(&[a, b, c, kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Appends a head, in as many frames as it needs.
pub(super) fn append_head(
    out: &mut Vec<u8>,
    stream: u32,
    block: &[u8],
    ends_stream: bool,
    largest: usize,
) {
    let ends_stream = if ends_stream { flag::END_STREAM } else { 0 };
    let (first, rest) = block.split_at(block.len().min(largest));
    let end = |rest: &[u8]| {
        if rest.is_empty() {
            flag::END_HEADERS
        } else {
            0
        }
    };
    append(out, kind::HEADERS, ends_stream | end(rest), stream, first);
    let mut rest = rest;
    while !rest.is_empty() {
        let piece;
        (piece, rest) = rest.split_at(rest.len().min(largest));
        append(out, kind::CONTINUATION, end(rest), stream, piece);
    }
}

pub(super) fn append_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    let mut payload = Vec::with_capacity(settings.len() * 6);
    for (name, value) in settings {
        payload.extend_from_slice(&name.to_be_bytes());
        payload.extend_from_slice(&value.to_be_bytes());
    }
    append(out, kind::SETTINGS, 0, 0, &payload);
}

pub(super) fn append_window_update(out: &mut Vec<u8>, stream: u32, more: u32) {
    append(out, kind::WINDOW_UPDATE, 0, stream, &more.to_be_bytes());
}

pub(super) fn append_reset(out: &mut Vec<u8>, stream: u32, reason: Reason) {
    append(out, kind::RST_STREAM, 0, stream, &reason.0.to_be_bytes());
}

pub(super) fn append_go_away(out: &mut Vec<u8>, reason: Reason) {
    let mut payload = [0; 8];
    payload[4..].copy_from_slice(&reason.0.to_be_bytes());
    append(out, kind::GOAWAY, 0, 0, &payload);
}

/// The settings in a frame.
pub(super) fn settings(payload: &[u8]) -> Result<impl Iterator<Item = (u16, u32)>, Broken> {
    let (settings, rest) = payload.as_chunks::<6>();
    if !rest.is_empty() {
        return Err(Broken::size("SETTINGS"));
    }
    let read =
        |&[a, b, value @ ..]: &[u8; 6]| (u16::from_be_bytes([a, b]), u32::from_be_bytes(value));
    Ok(settings.iter().map(read))
}

/// The one number that a frame has.
pub(super) fn number(payload: &[u8], what: &'static str) -> Result<u32, Broken> {
    let bytes = payload.try_into().map_err(|_| Broken::size(what))?;
    Ok(u32::from_be_bytes(bytes))
}

/// The payload of DATA or HEADERS without its padding and its priority.
pub(super) fn content(head: Head, payload: &[u8]) -> Result<&[u8], Broken> {
    let mut content = payload;
    let mut padding = 0;
    if head.has(flag::PADDED) {
        let (&length, rest) = content
            .split_first()
            .ok_or_else(|| Broken::size("a padded frame"))?;
        (padding, content) = (usize::from(length), rest);
    }
    if head.kind == kind::HEADERS && head.has(flag::PRIORITY) {
        content = content.get(5..).ok_or_else(|| Broken::size("HEADERS"))?;
    }
    let length = content
        .len()
        .checked_sub(padding)
        .ok_or_else(|| Broken::protocol("a frame is padded with more than it has"))?;
    Ok(&content[..length])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(mut bytes: &[u8]) -> Vec<(Head, Vec<u8>)> {
        let mut frames = Vec::new();
        while let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() {
            let head = Head::read(*head);
            frames.push((head, rest[..head.length].to_vec()));
            bytes = &rest[head.length..];
        }
        frames
    }

    #[test]
    fn a_large_head_goes_into_several_frames() {
        let mut out = Vec::new();
        append_head(&mut out, 5, &[7; 25], true, 10);
        append_head(&mut out, 7, &[8; 10], false, 10);
        let seen: Vec<_> = frames(&out)
            .iter()
            .map(|(head, _)| (head.kind, head.flags, head.stream, head.length))
            .collect();
        assert_eq!(
            seen,
            [
                (kind::HEADERS, flag::END_STREAM, 5, 10),
                (kind::CONTINUATION, 0, 5, 10),
                (kind::CONTINUATION, flag::END_HEADERS, 5, 5),
                (kind::HEADERS, flag::END_HEADERS, 7, 10),
            ]
        );
    }

    #[test]
    fn padding_and_priority_are_no_content() {
        let head = |kind, flags| Head {
            length: 0,
            kind,
            flags,
            stream: 1,
        };
        let padded = head(kind::DATA, flag::PADDED);
        assert_eq!(content(padded, &[2, b'o', b'k', 0, 0]).unwrap(), b"ok");
        assert_eq!(content(padded, &[0]).unwrap(), b"");
        let both = head(kind::HEADERS, flag::PADDED | flag::PRIORITY);
        assert_eq!(content(both, &[1, 0, 0, 0, 3, 9, b'h', 0]).unwrap(), b"h");
        // Those flags are no flags of DATA.
        assert_eq!(
            content(head(kind::DATA, flag::PRIORITY), b"ok").unwrap(),
            b"ok"
        );
        for bad in [&[][..], &[1], &[3, 1, 2]] {
            assert!(content(padded, bad).is_err());
        }
        assert!(content(both, &[0, 1, 2, 3]).is_err());
    }

    #[test]
    fn settings_are_read_as_they_are_written() {
        let mut out = Vec::new();
        append_settings(&mut out, &[(1, 0), (4, LARGEST_WINDOW)]);
        let (head, payload) = frames(&out).remove(0);
        assert_eq!(
            (head.kind, head.stream, head.length),
            (kind::SETTINGS, 0, 12)
        );
        let read: Vec<_> = settings(&payload).unwrap().collect();
        assert_eq!(read, [(1, 0), (4, LARGEST_WINDOW)]);
        assert!(settings(&payload[..7]).is_err());
    }
}
