//! An HTTP/2 server on a real socket that speaks frames (RFC 9113) as a test tells it to: each
//! connection on a thread of its own, run by a script.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
/// `:status: 200`, from the static table of HPACK (RFC 7541).
pub(crate) const STATUS_200: u8 = 0x88;

pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const INTERNAL_ERROR: u32 = 2;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// What a client did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A request has come whole, on this stream.
    Request(u32),
    /// The client reset a stream, for this reason.
    Reset(u32, u32),
    /// The client closed the connection.
    Closed,
}

/// The server's side of a connection.
pub(crate) struct Peer {
    stream: TcpStream,
    /// Its number, from 0 in the order of connecting.
    pub(crate) number: u64,
    buffer: Vec<u8>,
}

/// The server; it ends with the test.
pub(crate) struct Frames {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicU64>,
}

impl Frames {
    /// Runs this script for each connection, which ends with it.
    pub(crate) fn serve(script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&connections);
        let script = Arc::new(script);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let script = Arc::clone(&script);
                let mut peer = Peer {
                    stream,
                    number: counter.fetch_add(1, Ordering::SeqCst),
                    buffer: Vec::new(),
                };
                std::thread::spawn(move || script(&mut peer));
            }
        });
        Self {
            address,
            connections,
        }
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Peer {
    /// Reads the client's preface and sends the settings, with a limit on streams if there is one.
    pub(crate) fn greet(&mut self, most_streams: Option<u32>) {
        let most = most_streams.map(|most| (3, most));
        self.greet_with(most.as_slice());
    }

    /// The same with these settings.
    pub(crate) fn greet_with(&mut self, settings: &[(u16, u32)]) {
        let mut preface = [0; 24];
        if self.stream.read_exact(&mut preface).is_err() {
            return;
        }
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        self.settings(settings);
    }

    /// Settings, by their numbers.
    pub(crate) fn settings(&mut self, settings: &[(u16, u32)]) {
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend_from_slice(&name.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        self.frame(SETTINGS, 0, 0, &payload);
    }

    /// Bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        // A client that is gone is its own outcome.
        let _ = self.stream.write_all(bytes);
    }

    /// Any frame.
    pub(crate) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, flags];
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend_from_slice(payload);
        self.raw(&bytes);
    }

    /// What the client does next, as far as it concerns streams.
    pub(crate) fn next(&mut self) -> Asked {
        loop {
            let Some((kind, flags, stream, payload)) = self.read_frame() else {
                return Asked::Closed;
            };
            match kind {
                HEADERS | DATA if flags & END_STREAM != 0 => return Asked::Request(stream),
                RST_STREAM => {
                    let reason = u32::from_be_bytes(payload.try_into().unwrap());
                    return Asked::Reset(stream, reason);
                }
                SETTINGS if flags & ACK == 0 => self.frame(SETTINGS, ACK, 0, &[]),
                _ => {}
            }
        }
    }

    /// The stream of the next request; what else the client does is passed over.
    pub(crate) fn next_request(&mut self) -> Option<u32> {
        loop {
            match self.next() {
                Asked::Request(stream) => return Some(stream),
                Asked::Reset(..) => {}
                Asked::Closed => return None,
            }
        }
    }

    /// The stream of the next request, whose body may not have come yet.
    pub(crate) fn next_beginning(&mut self) -> Option<u32> {
        loop {
            match self.read_frame()? {
                (HEADERS, _, stream, _) => return Some(stream),
                (SETTINGS, flags, ..) if flags & ACK == 0 => self.frame(SETTINGS, ACK, 0, &[]),
                _ => {}
            }
        }
    }

    /// The next frame: kind, flags, stream and payload.
    pub(crate) fn read_frame(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        self.buffer.resize(usize::try_from(length).unwrap(), 0);
        self.stream.read_exact(&mut self.buffer).ok()?;
        let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
        Some((head[3], head[4], stream, self.buffer.clone()))
    }

    /// The head of an answer with status 200.
    pub(crate) fn head(&mut self, stream: u32) {
        self.frame(HEADERS, END_HEADERS, stream, &[STATUS_200]);
    }

    /// A piece of its body, the last one or not.
    pub(crate) fn data(&mut self, stream: u32, bytes: &[u8], last: bool) {
        let flags = if last { END_STREAM } else { 0 };
        self.frame(DATA, flags, stream, bytes);
    }

    /// `200 ok`.
    pub(crate) fn answer(&mut self, stream: u32) {
        self.head(stream);
        self.data(stream, b"ok", true);
    }

    pub(crate) fn reset(&mut self, stream: u32, reason: u32) {
        self.frame(RST_STREAM, 0, stream, &reason.to_be_bytes());
    }

    /// Asks the client for a sign of life.
    pub(crate) fn ping(&mut self) {
        self.frame(PING, 0, 0, &[0; 8]);
    }

    /// The connection goes away: streams after `last` are not taken up.
    pub(crate) fn go_away(&mut self, last: u32, reason: u32) {
        let mut payload = last.to_be_bytes().to_vec();
        payload.extend_from_slice(&reason.to_be_bytes());
        self.frame(GOAWAY, 0, 0, &payload);
    }

    /// Closes the connection.
    pub(crate) fn close(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Says nothing until the client closes.
    pub(crate) fn wait_for_close(&mut self) {
        while self.stream.read(&mut [0; 256]).is_ok_and(|read| read > 0) {}
    }

    /// Answers every request until the client closes.
    pub(crate) fn answer_all(&mut self) {
        while let Some(stream) = self.next_request() {
            self.answer(stream);
        }
    }
}
