//! A server that does nothing but answer: what a generator can do at most shows against it.
//!
//! `GET /` is answered at once, `GET /after/250` after 250 ms. Requests have no body here; whatever is
//! not understood is answered at once, too.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// 200 bytes, like a small prediction.
const BODY: usize = 200;
/// The longest head of a request.
const LONGEST_HEAD: usize = 4096;

/// Answers on `threads` threads until the process ends.
///
/// # Errors
/// When the address cannot be listened on, or a thread not be started.
pub fn start_null(address: SocketAddr, threads: usize) -> io::Result<SocketAddr> {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
    };
    let listener = {
        let runtime = runtime()?;
        let _inside = runtime.enter();
        super::bind(address)?.into_std()?
    };
    let listening = listener.local_addr()?;
    for number in 0..threads.max(1) {
        let listener = listener.try_clone()?;
        let runtime = runtime()?;
        std::thread::Builder::new()
            .name(format!("null-{number}"))
            .spawn(move || {
                runtime.block_on(async move {
                    if let Ok(listener) = TcpListener::from_std(listener) {
                        accept(listener).await;
                    }
                });
            })?;
    }
    Ok(listening)
}

async fn accept(listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                tokio::spawn(talk(stream));
            }
            // No descriptor is left: some will be closed.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Answers what comes on one connection until it ends.
async fn talk(mut stream: TcpStream) {
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {BODY}\r\n\r\n").into_bytes();
    answer.extend(std::iter::repeat_n(b'x', BODY));
    let mut pending: Vec<u8> = Vec::with_capacity(512);
    loop {
        while let Some(end) = memchr::memmem::find(&pending, b"\r\n\r\n") {
            if let Some(delay) = delay(&pending) {
                tokio::time::sleep(delay).await;
            }
            if stream.write_all(&answer).await.is_err() {
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

/// How long the first request wants to wait.
fn delay(head: &[u8]) -> Option<Duration> {
    let rest = head.strip_prefix(b"GET /after/")?;
    let end = memchr::memchr(b' ', rest)?;
    let text = std::str::from_utf8(&rest[..end]).ok()?;
    text.parse().ok().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[test]
    fn a_request_says_how_long_it_wants_to_wait() {
        assert_eq!(delay(b"GET / HTTP/1.1\r\n"), None);
        let soon = Some(Duration::from_millis(250));
        assert_eq!(delay(b"GET /after/250 HTTP/1.1\r\n"), soon);
        assert_eq!(delay(b"GET /after/soon HTTP/1.1\r\n"), None);
    }

    #[test]
    fn every_request_of_a_connection_is_answered() {
        let address = start_null("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let request = "GET / HTTP/1.1\r\nhost: null\r\n\r\n";
        // Three at once, and the third in two pieces.
        let (first, rest) = request.split_at(20);
        stream
            .write_all(format!("{request}{request}{first}").as_bytes())
            .unwrap();
        stream.write_all(rest.as_bytes()).unwrap();
        let one = format!("HTTP/1.1 200 OK\r\ncontent-length: {BODY}\r\n\r\n").len() + BODY;
        let mut answers = vec![0; 3 * one];
        stream.read_exact(&mut answers).unwrap();
        let heads = memchr::memmem::find_iter(&answers, b"HTTP/1.1 200 OK").count();
        assert_eq!(heads, 3);
    }
}
