//! The decoder against the truth, against itself on any split, and against hyper.

use crate::http::answer::Headers;
use crate::http::codec::{Decoder, EarlyEnd, Listener};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a client makes of a stream of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Read {
    Answer { status: u16, body: Vec<u8> },
    ClosedEarly,
    NotHttp,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    status: u16,
    body: Vec<u8>,
    content_type: Option<Vec<u8>>,
}

impl Listener for Heard {
    fn head(&mut self, status: u16, headers: &dyn Headers) {
        self.status = status;
        self.content_type = headers.first("content-type").map(<[u8]>::to_vec);
    }

    fn data(&mut self, bytes: &[u8]) {
        self.body.extend_from_slice(bytes);
    }
}

/// Feeds pieces and then the end; also how many bytes were left, and whether the connection lives on.
fn decode(pieces: &[&[u8]], to_head: bool) -> (Read, usize, bool) {
    let mut decoder = Decoder::default();
    decoder.start(to_head);
    let mut heard = Heard::default();
    let mut left = 0;
    for piece in pieces {
        match decoder.feed(piece, &mut heard) {
            Ok(used) => left += piece.len() - used,
            Err(_) => return (Read::NotHttp, 0, false),
        }
    }
    let done = decoder.is_done();
    match decoder.end() {
        Ok(()) => {}
        Err(EarlyEnd::Incomplete) => return (Read::ClosedEarly, 0, false),
        Err(EarlyEnd::NotHttp(_)) => return (Read::NotHttp, 0, false),
    }
    let answer = Read::Answer {
        status: heard.status,
        body: heard.body,
    };
    (answer, left, done && decoder.is_persistent())
}

fn whole(bytes: &[u8]) -> Read {
    decode(&[bytes], false).0
}

fn answer(status: u16, body: &[u8]) -> Read {
    Read::Answer {
        status,
        body: body.to_vec(),
    }
}

#[test]
fn each_framing_is_read() {
    let cases: &[(&[u8], Read)] = &[
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", answer(200, b"ok")),
        (b"HTTP/1.1 200\r\nContent-Length: 2, 2\r\ncontent-length: 2\r\n\r\nok", answer(200, b"ok")),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nt: r\r\n\r\n", answer(200, b"ok")),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, Chunked\r\n\r\n1 \r\no\r\n001\r\nk\r\n00\r\n\r\n", answer(200, b"ok")),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", answer(200, b"until the end")),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\ncontent-length: 1\r\n\r\nzz", answer(200, b"zz")),
        (b"HTTP/1.1 204 No\r\ncontent-length: 9\r\n\r\n", answer(204, b"")),
        (b"HTTP/1.1 304 Not\r\ntransfer-encoding: chunked\r\n\r\n", answer(304, b"")),
        (b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 103 Hints\r\nlink: x\r\n\r\nHTTP/1.1 201 C\r\ncontent-length: 1\r\n\r\nx", answer(201, b"x")),
    ];
    for (bytes, expected) in cases {
        assert_eq!(&whole(bytes), expected, "{}", bytes.escape_ascii());
    }
    let to_head = decode(&[b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"], true);
    assert_eq!(to_head, (answer(200, b""), 0, true));
}

/// What is heard of an answer that comes whole, how much of the bytes it is, and whether the connection
/// lives on.
fn hear(bytes: &[u8], to_head: bool) -> (Heard, usize, bool) {
    let mut decoder = Decoder::default();
    decoder.start(to_head);
    let mut heard = Heard::default();
    let used = decoder.feed(bytes, &mut heard).unwrap();
    assert!(decoder.is_done());
    (heard, used, decoder.is_persistent())
}

#[test]
fn a_head_that_comes_again_says_the_same_as_at_first() {
    let json = b"HTTP/1.1 200 OK\r\nContent-Type: a/json\r\ncontent-length: 2\r\n\r\nok, and more";
    let other = b"HTTP/1.1 200 OK\r\nContent-Type: a/json\r\ncontent-length: 3\r\n\r\nyes";
    let closing = b"HTTP/1.1 503 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let bare = b"HTTP/1.1 200 OK\r\n\r\n";
    let chunks = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
    let sequence: [(&'static [u8], bool); 12] = [
        (json, false),
        (json, false),
        (other, false),
        (json, true),
        (json, false),
        (closing, false),
        (closing, false),
        (bare, true),
        (bare, true),
        (chunks, false),
        (chunks, false),
        (json, false),
    ];
    for (bytes, to_head) in sequence {
        // A thread of its own has read nothing before.
        let at_first = std::thread::spawn(move || hear(bytes, to_head));
        let at_first = at_first.join().unwrap();
        assert_eq!(hear(bytes, to_head), at_first, "{}", bytes.escape_ascii());
    }
    let (heard, used, lives_on) = hear(json, false);
    assert_eq!(heard.content_type.as_deref(), Some(&b"a/json"[..]));
    assert_eq!(
        (heard.body.as_slice(), used, lives_on),
        (&b"ok"[..], json.len() - 10, true)
    );
}

#[test]
fn what_is_not_http_is_refused() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(300_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(200));
    let interim = "HTTP/1.1 100 Go\r\n\r\n".repeat(40);
    let extension = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;{}\r\n",
        "e".repeat(20_000)
    );
    let cases: &[&[u8]] = &[
        b"220 mail.example ESMTP ready\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: \r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nxx",
        b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n11111111111111111\r\n",
        long.as_bytes(),
        many.as_bytes(),
        interim.as_bytes(),
        extension.as_bytes(),
    ];
    for bytes in cases {
        let shown = bytes[..bytes.len().min(80)].escape_ascii();
        assert_eq!(whole(bytes), Read::NotHttp, "{shown}");
        let pieces: Vec<&[u8]> = bytes.chunks(7).collect();
        assert_eq!(decode(&pieces, false).0, Read::NotHttp, "{shown}");
    }
}

#[test]
fn the_connection_lives_on_as_the_server_says() {
    let persistent = |head: &str| {
        let bytes = format!("{head}content-length: 0\r\n\r\n");
        decode(&[bytes.as_bytes()], false).2
    };
    assert!(persistent("HTTP/1.1 200 OK\r\n"));
    assert!(!persistent("HTTP/1.1 200 OK\r\nconnection: x, Close\r\n"));
    assert!(!persistent("HTTP/1.0 200 OK\r\n"));
    assert!(persistent("HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\n"));
    let surplus = decode(
        &[b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxHTTP"],
        false,
    );
    assert_eq!(surplus, (answer(200, b"x"), 4, true));
}

/// A connection that delivers these pieces once something was written, and then ends.
struct Pieces {
    left: Vec<Vec<u8>>,
    asked: bool,
    reader: Option<std::task::Waker>,
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.asked {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if let Some(piece) = self.left.first_mut() {
            let count = piece.len().min(buffer.remaining());
            buffer.put_slice(&piece[..count]);
            piece.drain(..count);
            if piece.is_empty() {
                self.left.remove(0);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.asked = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn by_hyper(pieces: &[&[u8]]) -> Read {
    let stream = Pieces {
        left: pieces
            .iter()
            .filter(|piece| !piece.is_empty())
            .map(|piece| piece.to_vec())
            .collect(),
        asked: false,
        reader: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let request = hyper::Request::get("/")
            .body(Empty::<Bytes>::new())
            .unwrap();
        let exchange = async {
            let response = sender.send_request(request).await?;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await?.to_bytes().to_vec();
            Ok(Read::Answer { status, body })
        };
        let (result, _) = tokio::join!(exchange, driver);
        result.unwrap_or_else(|error: hyper::Error| {
            let kind = error
                .source()
                .and_then(|source| source.downcast_ref::<io::Error>())
                .map(io::Error::kind);
            let garbage = matches!(
                kind,
                Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
            );
            if error.is_parse() || garbage {
                Read::NotHttp
            } else {
                Read::ClosedEarly
            }
        })
    })
}

#[derive(Clone, Copy, Debug)]
enum Frame {
    Length,
    Chunked,
    Close,
}

/// An answer that is HTTP, however odd.
fn some_answer() -> impl Strategy<Value = Vec<u8>> {
    let frame = prop_oneof![
        Just(Frame::Length),
        Just(Frame::Chunked),
        Just(Frame::Close)
    ];
    let chunks = prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6);
    let status = prop_oneof![
        Just(200u16),
        Just(201),
        Just(204),
        Just(304),
        Just(404),
        Just(503)
    ];
    let headers = prop::collection::vec("[a-z]{1,8}: [ -~]{0,20}\r\n", 0..5);
    (frame, chunks, status, headers, 0..3usize, any::<bool>()).prop_map(
        |(frame, chunks, status, headers, interim, trailers)| {
            let mut bytes = b"HTTP/1.1 100 Continue\r\nx: y\r\n\r\n".repeat(interim);
            bytes.extend(format!("HTTP/1.1 {status} Some Reason\r\n").bytes());
            for header in headers
                .iter()
                .filter(|header| !header.starts_with("connection"))
            {
                bytes.extend(header.bytes());
            }
            let body: Vec<u8> = chunks.concat();
            let empty = status == 204 || status == 304;
            match frame {
                Frame::Length => {
                    bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
                    bytes.extend(if empty { &[] } else { body.as_slice() });
                }
                Frame::Chunked => {
                    bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
                    for chunk in chunks.iter().filter(|_| !empty) {
                        bytes.extend(format!("{:X};ext=\"v\"\r\n", chunk.len()).bytes());
                        bytes.extend(chunk);
                        bytes.extend(b"\r\n");
                    }
                    if !empty {
                        bytes.extend(b"0\r\n");
                        bytes.extend(if trailers { &b"a: b\r\n"[..] } else { b"" });
                        bytes.extend(b"\r\n");
                    }
                }
                Frame::Close => {
                    bytes.extend(b"\r\n");
                    bytes.extend(if empty { &[] } else { body.as_slice() });
                }
            }
            bytes
        },
    )
}

/// Cuts bytes at these shares of their length.
fn cut<'a>(bytes: &'a [u8], at: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = at.iter().map(|at| at.index(bytes.len() + 1)).collect();
    places.sort_unstable();
    let mut pieces = Vec::new();
    let mut from = 0;
    for place in places.into_iter().chain([bytes.len()]) {
        pieces.push(&bytes[from..place]);
        from = place;
    }
    pieces
}

proptest! {
    #[test]
    fn any_split_of_an_answer_or_of_its_beginning_is_read_as_hyper_reads_it(
        bytes in some_answer(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ends in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let length = ends.map_or(bytes.len(), |ends| ends.index(bytes.len() + 1));
        let pieces = cut(&bytes[..length], &cuts);
        prop_assert_eq!(decode(&pieces, false).0, by_hyper(&pieces));
    }

    #[test]
    fn a_spoilt_answer_is_read_alike_on_any_split(
        bytes in some_answer(),
        spoil in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut bytes = bytes;
        for (at, byte) in spoil {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        prop_assert_eq!(decode(&cut(&bytes, &cuts), false).0, whole(&bytes));
    }
}
