//! Answers over HTTP/1.1.

use super::BODY;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// The longest head of a request.
const LONGEST_HEAD: usize = 4096;
/// One token, as the OpenAI API sends it.
const EVENT: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"}}]}\n\n";
/// What ends a stream there.
const LAST: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Answer { after: Duration },
    Events { count: u32, gap: Duration },
}

/// Answers what comes on one connection until it ends.
pub(super) async fn talk<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {BODY}\r\n\r\n").into_bytes();
    answer.extend(std::iter::repeat_n(b'x', BODY));
    let mut pending: Vec<u8> = Vec::with_capacity(512);
    loop {
        while let Some(end) = memchr::memmem::find(&pending, b"\r\n\r\n") {
            let written = match wanted(&pending) {
                Wanted::Answer { after } => {
                    if !after.is_zero() {
                        tokio::time::sleep(after).await;
                    }
                    send(&mut stream, &answer).await
                }
                Wanted::Events { count, gap } => events(&mut stream, count, gap).await,
            };
            if written.is_err() {
                return;
            }
            pending.drain(..end + 4);
        }
        if pending.len() > LONGEST_HEAD {
            return;
        }
        if !matches!(stream.read_buf(&mut pending).await, Ok(read) if read > 0) {
            return;
        }
    }
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

async fn events<S: AsyncWrite + Unpin>(
    stream: &mut S,
    count: u32,
    gap: Duration,
) -> io::Result<()> {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let event = chunk(EVENT);
    send(stream, head.as_bytes()).await?;
    let mut ticks = interval_at(Instant::now() + gap, gap.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for _ in 0..count {
        ticks.tick().await;
        send(stream, event.as_bytes()).await?;
    }
    let end = chunk(LAST) + "0\r\n\r\n";
    send(stream, end.as_bytes()).await
}

/// What the first of these requests wants.
fn wanted(head: &[u8]) -> Wanted {
    let at_once = Wanted::Answer {
        after: Duration::ZERO,
    };
    let path = head.strip_prefix(b"GET /").unwrap_or_default();
    let end = memchr::memchr(b' ', path).unwrap_or(0);
    let path = std::str::from_utf8(&path[..end]).unwrap_or_default();
    let mut parts = path.split('/');
    let name = parts.next();
    let mut number = || parts.next().and_then(|text| text.parse().ok());
    match (name, number(), number()) {
        (Some("after"), Some(ms), _) => Wanted::Answer {
            after: Duration::from_millis(u64::from(ms)),
        },
        (Some("events"), Some(count), Some(gap_ms)) => Wanted::Events {
            count,
            gap: Duration::from_millis(u64::from(gap_ms)),
        },
        _ => at_once,
    }
}

#[cfg(test)]
mod tests {
    use super::super::start_null;
    use super::*;
    use crate::record::TrafficKind;
    use std::io::{Read as _, Write as _};

    #[test]
    fn a_request_says_what_it_wants() {
        let after = |ms| Wanted::Answer {
            after: Duration::from_millis(ms),
        };
        assert_eq!(wanted(b"GET / HTTP/1.1\r\n"), after(0));
        assert_eq!(wanted(b"GET /after/250 HTTP/1.1\r\n"), after(250));
        assert_eq!(wanted(b"GET /after/soon HTTP/1.1\r\n"), after(0));
        let events = Wanted::Events {
            count: 100,
            gap: Duration::from_millis(20),
        };
        assert_eq!(wanted(b"GET /events/100/20 HTTP/1.1\r\n"), events);
        assert_eq!(wanted(b"GET /events/100 HTTP/1.1\r\n"), after(0));
        assert_eq!(wanted(b""), after(0));
    }

    fn ask(kind: TrafficKind, requests: &[&str], length: Option<usize>) -> String {
        let address = start_null("127.0.0.1:0".parse().unwrap(), 2, kind).unwrap();
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        for piece in requests {
            stream.write_all(piece.as_bytes()).unwrap();
        }
        let mut text = String::new();
        if let Some(length) = length {
            let mut bytes = vec![0; length];
            stream.read_exact(&mut bytes).unwrap();
            text.push_str(std::str::from_utf8(&bytes).unwrap());
        } else {
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            stream.read_to_string(&mut text).unwrap();
        }
        text
    }

    #[test]
    fn every_request_of_a_connection_is_answered() {
        let request = "GET / HTTP/1.1\r\nhost: null\r\n\r\n";
        // Three at once, and the third in two pieces.
        let (first, rest) = request.split_at(20);
        let one = format!("HTTP/1.1 200 OK\r\ncontent-length: {BODY}\r\n\r\n").len() + BODY;
        let text = format!("{request}{request}{first}");
        let answers = ask(TrafficKind::Http1, &[&text, rest], Some(3 * one));
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3);
    }

    #[test]
    fn a_stream_has_its_events_and_its_end() {
        let request = "GET /events/3/1 HTTP/1.1\r\nhost: null\r\n\r\n";
        let answer = ask(TrafficKind::Streams, &[request], None);
        assert_eq!(answer.matches(" word").count(), 3);
        assert!(
            answer.ends_with("data: [DONE]\n\n\r\n0\r\n\r\n"),
            "{answer}"
        );
    }
}
