//! An HTTP server in memory, scripted reply by reply, down to bytes that are not HTTP.

use bench::http::Connect;
use bench::record::StepTimes;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// What the server does with one request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Answers with a status and a body after a time.
    Answer {
        after: Duration,
        status: u16,
        body: Vec<u8>,
    },
    /// The same, and closes the connection, saying so.
    AnswerAndClose { after: Duration },
    /// The same, and closes the connection without a word.
    AnswerAndVanish { after: Duration },
    /// Never answers.
    Never,
    /// Closes the connection in the middle of the answer.
    Cut { after: Duration },
    /// Sends these bytes.
    Raw { after: Duration, bytes: Vec<u8> },
    /// The same, and waits for the next request.
    RawAndGoOn { after: Duration, bytes: Vec<u8> },
    /// Answers with a body in chunks, each so long after the one before, and ends it or not.
    Chunks {
        chunks: Vec<(Duration, Vec<u8>)>,
        complete: bool,
    },
}

/// A stream of server-sent events, each so long after the one before.
pub(crate) fn events<'a>(events: impl IntoIterator<Item = (u64, &'a str)>) -> Reply {
    Reply::Chunks {
        chunks: events
            .into_iter()
            .map(|(after, data)| (ms(after), format!("data: {data}\n\n").into_bytes()))
            .collect(),
        complete: true,
    }
}

/// `200 ok` after a time.
pub(crate) fn ok(after: Duration) -> Reply {
    Reply::Answer {
        after,
        status: 200,
        body: b"ok".to_vec(),
    }
}

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// One request as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Its number, from 0 in the order of arrival.
    pub(crate) number: u64,
    /// When it arrived, since the first request.
    pub(crate) at: Duration,
    /// The request line and the headers.
    pub(crate) head: String,
    /// The body.
    pub(crate) body: String,
}

type Script = dyn Fn(&Seen) -> Reply + Send + Sync;

/// The server.
#[derive(Clone)]
pub(crate) struct Memory {
    script: Arc<Script>,
    /// Whether the n-th connection is accepted.
    accepts: Arc<dyn Fn(u64) -> bool + Send + Sync>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    requests: AtomicU64,
    connections: AtomicU64,
    first: Mutex<Option<tokio::time::Instant>>,
    seen: Mutex<Vec<Seen>>,
}

impl Memory {
    pub(crate) fn new(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self {
            script: Arc::new(script),
            accepts: Arc::new(|_| true),
            state: Arc::default(),
        }
    }

    pub(crate) fn accepting(
        mut self,
        accepts: impl Fn(u64) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.accepts = Arc::new(accepts);
        self
    }

    /// How many requests arrived.
    pub(crate) fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::Relaxed)
    }

    /// How many connections were opened.
    pub(crate) fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// All requests, in the order of arrival.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    async fn serve(self, mut stream: DuplexStream) {
        let mut buffer = Vec::new();
        while let Some((head, body)) = read_request(&mut stream, &mut buffer).await {
            let now = tokio::time::Instant::now();
            let first = *self.state.first.lock().unwrap().get_or_insert(now);
            let seen = Seen {
                number: self.state.requests.fetch_add(1, Ordering::Relaxed),
                at: now - first,
                head,
                body,
            };
            let reply = (self.script)(&seen);
            self.state.seen.lock().unwrap().push(seen);
            if !respond(&mut stream, reply).await {
                return;
            }
        }
    }
}

impl Connect for Memory {
    type Stream = DuplexStream;

    async fn connect(&self, _: &mut StepTimes) -> io::Result<DuplexStream> {
        let number = self.state.connections.fetch_add(1, Ordering::Relaxed);
        if !(self.accepts)(number) {
            return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
        }
        let (near, far) = tokio::io::duplex(64 * 1024);
        tokio::task::spawn_local(self.clone().serve(far));
        Ok(near)
    }
}

async fn read_request(stream: &mut DuplexStream, buffer: &mut Vec<u8>) -> Option<(String, String)> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(buffer[..end].to_vec()).unwrap();
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length:")?
                        .trim()
                        .parse()
                        .ok()
                })
                .unwrap_or(0);
            if buffer.len() >= end + 4 + length {
                let rest = buffer.split_off(end + 4 + length);
                let body = String::from_utf8(buffer[end + 4..].to_vec()).unwrap();
                *buffer = rest;
                return Some((head, body));
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => buffer.extend_from_slice(&chunk[..read]),
        }
    }
}

/// Whether the connection goes on.
async fn respond(stream: &mut DuplexStream, reply: Reply) -> bool {
    let (after, bytes, goes_on) = match reply {
        Reply::Answer {
            after,
            status,
            body,
        } => (after, answer(status, "", &body), true),
        Reply::AnswerAndClose { after } => {
            (after, answer(200, "connection: close\r\n", b"ok"), false)
        }
        Reply::AnswerAndVanish { after } => (after, answer(200, "", b"ok"), false),
        Reply::Never => {
            std::future::pending::<()>().await;
            return false;
        }
        Reply::Cut { after } => (
            after,
            b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec(),
            false,
        ),
        Reply::Raw { after, bytes } => (after, bytes, false),
        Reply::RawAndGoOn { after, bytes } => (after, bytes, true),
        Reply::Chunks { chunks, complete } => return stream_out(stream, chunks, complete).await,
    };
    tokio::time::sleep(after).await;
    stream.write_all(&bytes).await.is_ok() && goes_on
}

async fn stream_out(
    stream: &mut DuplexStream,
    chunks: Vec<(Duration, Vec<u8>)>,
    complete: bool,
) -> bool {
    let head =
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut sent = stream.write_all(head).await.is_ok();
    for (after, chunk) in chunks {
        tokio::time::sleep(after).await;
        let mut bytes = format!("{:x}\r\n", chunk.len()).into_bytes();
        bytes.extend_from_slice(&chunk);
        bytes.extend_from_slice(b"\r\n");
        sent = sent && stream.write_all(&bytes).await.is_ok();
    }
    sent && complete && stream.write_all(b"0\r\n\r\n").await.is_ok()
}

fn answer(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}
