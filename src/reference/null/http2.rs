//! Answers over HTTP/2 with prior knowledge (RFC 9113): the least that a server must do. It does not read
//! heads, and so keeps no tables of headers.

use super::BODY;
use std::collections::VecDeque;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const PREFACE: usize = 24;
const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
/// Of DATA and HEADERS.
const END_STREAM: u8 = 1;
/// Of SETTINGS and PING.
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status: 200`, and `content-length` by its name, from the static table (RFC 7541, appendix A).
const FIELDS: [u8; 7] = [0x88, 0x0f, 0x0d, 3, b'2', b'0', b'0'];
/// What a client takes before it has said more.
const FIRST_WINDOW: i64 = 65_535;

/// Answers what comes on one connection until it ends.
pub(super) async fn talk(mut stream: TcpStream) {
    if stream.read_exact(&mut [0; PREFACE]).await.is_err() {
        return;
    }
    let mut pending: Vec<u8> = Vec::with_capacity(64 * 1024);
    let mut answers = Answers::default();
    loop {
        let taken = answers.take(&pending);
        pending.drain(..taken);
        if stream.write_all(&answers.out).await.is_err() {
            return;
        }
        answers.out.clear();
        if !matches!(stream.read_buf(&mut pending).await, Ok(read) if read > 0) {
            return;
        }
    }
}

/// The server's side of one connection.
struct Answers {
    out: Vec<u8>,
    /// How much the client takes.
    window: i64,
    /// Streams whose answers do not fit into it yet.
    waiting: VecDeque<u32>,
}

impl Default for Answers {
    fn default() -> Self {
        let mut answers = Self {
            out: Vec::new(),
            window: FIRST_WINDOW,
            waiting: VecDeque::new(),
        };
        answers.frame(SETTINGS, 0, 0, &[]);
        answers
    }
}

impl Answers {
    /// Takes the frames that have come whole, and returns their length.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while let Some((&[a, b, c, kind, flags, stream @ ..], rest)) =
            bytes[taken..].split_first_chunk::<HEAD>()
        {
            let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            let Some(payload) = rest.get(..length) else {
                break;
            };
            taken += HEAD + length;
            let stream = u32::from_be_bytes(stream);
            match kind {
                HEADERS | DATA if flags & END_STREAM != 0 => self.waiting.push_back(stream),
                SETTINGS | PING if flags & ACK == 0 => {
                    let echo = if kind == PING { payload } else { &[] };
                    self.frame(kind, ACK, 0, echo);
                }
                WINDOW_UPDATE if stream == 0 => {
                    let more = payload.try_into().map_or(0, u32::from_be_bytes);
                    self.window += i64::from(more);
                }
                _ => {}
            }
        }
        let one = i64::try_from(BODY).unwrap_or(i64::MAX);
        while self.window >= one
            && let Some(stream) = self.waiting.pop_front()
        {
            self.window -= one;
            self.frame(HEADERS, END_HEADERS, stream, &FIELDS);
            self.frame(DATA, END_STREAM, stream, &[b'x'; BODY]);
        }
        taken
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let [.., a, b, c] = payload.len().to_be_bytes();
        self.out.extend_from_slice(&[a, b, c, kind, flags]);
        self.out.extend_from_slice(&stream.to_be_bytes());
        self.out.extend_from_slice(payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_wait_for_the_window_of_the_client() {
        let mut answers = Answers::default();
        answers.out.clear();
        answers.window = 500;
        let request = |stream: u8| [0, 0, 0, HEADERS, END_HEADERS | END_STREAM, 0, 0, 0, stream];
        let requests = [request(1), request(3), request(5)].concat();
        // The last one has not come whole.
        assert_eq!(answers.take(&requests[..25]), 18);
        assert_eq!(answers.take(&requests[18..]), 9);
        let one = 2 * HEAD + FIELDS.len() + BODY;
        assert_eq!(answers.out.len(), 2 * one);
        let update = [0, 0, 4, WINDOW_UPDATE, 0, 0, 0, 0, 0, 0, 0, 1, 0];
        assert_eq!(answers.take(&update), update.len());
        assert_eq!(answers.out.len(), 3 * one);
    }

    #[test]
    fn settings_and_pings_are_acknowledged() {
        let mut answers = Answers::default();
        answers.out.clear();
        let ping = [&[0, 0, 8, PING, 0, 0, 0, 0, 0][..], b"eightbyt"].concat();
        let settings = [0, 0, 0, SETTINGS, 0, 0, 0, 0, 0];
        let acknowledged = [0, 0, 0, SETTINGS, ACK, 0, 0, 0, 0];
        answers.take(&[&ping[..], &settings, &acknowledged].concat());
        let pong = [&[0, 0, 8, PING, ACK, 0, 0, 0, 0][..], b"eightbyt"].concat();
        assert_eq!(answers.out, [&pong[..], &acknowledged].concat());
    }
}
