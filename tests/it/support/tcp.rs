//! An HTTP server on a real socket, each connection on a thread of its own, with one way of answering.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How the server answers.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    /// With this status and body, after a time.
    Answer(u16, Vec<u8>, Duration),
    /// The first so many requests with 200, all later ones never.
    ThenSilence(u64),
    /// With bytes that are not HTTP.
    Garbage,
    /// By closing the connection.
    HangUp,
    /// At once, but not at all from a time after the first request for so long.
    Freeze(Duration, Duration),
}

/// The server; it ends with the test.
pub(crate) struct Tcp {
    pub(crate) address: SocketAddr,
    requests: Arc<AtomicU64>,
    arrivals: Arc<Mutex<Vec<Instant>>>,
}

impl Tcp {
    pub(crate) fn serve(manner: Manner) -> Self {
        Self::serve_at(([127, 0, 0, 1], 0).into(), manner)
    }

    /// The same at an address of the test's choice.
    pub(crate) fn serve_at(address: SocketAddr, manner: Manner) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&requests);
        let arrivals = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&arrivals);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (manner, counter) = (manner.clone(), Arc::clone(&counter));
                let log = Arc::clone(&log);
                std::thread::spawn(move || talk(stream, &manner, &counter, &log));
            }
        });
        Self {
            address,
            requests,
            arrivals,
        }
    }

    /// How many requests have come.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }

    /// When each request came, in order.
    pub(crate) fn arrivals(&self) -> Vec<Instant> {
        let mut all = self.arrivals.lock().unwrap().clone();
        all.sort();
        all
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// An address on which nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// Requests here have no body: one ends with an empty line.
fn talk(mut stream: TcpStream, manner: &Manner, counter: &AtomicU64, log: &Mutex<Vec<Instant>>) {
    stream.set_nodelay(true).unwrap();
    let mut pending = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        while let Some(end) = pending.windows(4).position(|window| window == b"\r\n\r\n") {
            pending.drain(..end + 4);
            let number = counter.fetch_add(1, Ordering::SeqCst);
            let first = {
                let mut log = log.lock().unwrap();
                log.push(Instant::now());
                log[0]
            };
            if matches!(manner, Manner::Garbage | Manner::HangUp) {
                // A server that fails at once would only measure how fast the client can ask.
                std::thread::sleep(Duration::from_millis(20));
            }
            let bytes = match manner {
                Manner::Answer(status, body, after) => {
                    std::thread::sleep(*after);
                    answer(*status, body)
                }
                Manner::Freeze(from, length) => {
                    let (now, thaws) = (first.elapsed(), *from + *length);
                    if now >= *from {
                        std::thread::sleep(thaws.saturating_sub(now));
                    }
                    answer(200, b"ok")
                }
                Manner::ThenSilence(first) if number >= *first => continue,
                Manner::ThenSilence(_) => answer(200, b"ok"),
                Manner::Garbage => b"220 mail.example ESMTP ready\r\n".to_vec(),
                Manner::HangUp => return,
            };
            if stream.write_all(&bytes).is_err() {
                return;
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(read) => pending.extend_from_slice(&chunk[..read]),
        }
    }
}

fn answer(status: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}
