//! For tests: an HTTP server on a loopback port whose answers are a function of the question.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

/// What the server answers.
pub(super) enum Reply {
    /// Status 200 with this body.
    Page(String),
    /// These bytes, as they are.
    Raw(Vec<u8>),
    /// Nothing, until the client gives up.
    Silence,
}

/// A question: how many came before it, and its head.
pub(super) struct Asked {
    pub(super) number: usize,
    pub(super) head: String,
}

/// A running server. It ends with the test's process: its threads only wait.
pub(super) struct Scripted {
    pub(super) address: SocketAddr,
}

impl Scripted {
    pub(super) fn new(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let Ok(stream) = stream else { return };
                let answer = Arc::clone(&answer);
                std::thread::spawn(move || serve(stream, number, &*answer));
            }
        });
        Self { address }
    }

    /// The same page every time.
    pub(super) fn page(text: &str) -> Self {
        let text = text.to_owned();
        Self::new(move |_| Reply::Page(text.clone()))
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

fn serve(mut stream: TcpStream, number: usize, answer: &dyn Fn(&Asked) -> Reply) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    // A client that has gone is its own business.
    let _ = match answer(&Asked { number, head }) {
        Reply::Page(text) => write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}",
            text.len()
        ),
        Reply::Raw(bytes) => stream.write_all(&bytes),
        Reply::Silence => stream.read(&mut byte).map(drop),
    };
}
