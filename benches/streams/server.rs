//! Sends events to all streams at a steady pace, and writes down when.

use super::Load;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use nix::time::{ClockId, clock_gettime};
use std::io::{ErrorKind, Read as _, Write as _};
use std::time::Duration;

const LISTENER: Token = Token(usize::MAX);

/// Nanoseconds of the monotonic clock, which all processes share.
fn now_ns() -> u64 {
    let now: Duration = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap().into();
    u64::try_from(now.as_nanos()).unwrap()
}

/// Awaits all streams, sends their events, and writes their times to a file; then it ends.
pub(crate) fn serve(load: Load, times: &str) {
    let mut poll = Poll::new().unwrap();
    let mut listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)
        .unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    std::io::stdout().flush().unwrap();
    let mut streams = accept_all(&mut poll, &listener, load.streams);
    let mut sent: Vec<u64> = vec![0; load.streams * load.events];
    // In the shape of the OpenAI API, as most servers send it: each event in a chunk of its own.
    let event = b"data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\
                  \"choices\":[{\"index\":0,\"delta\":{\"content\":\"word \"},\"finish_reason\":null}]}\n\n";
    let mut chunk = format!("{:x}\r\n", event.len()).into_bytes();
    chunk.extend_from_slice(event);
    chunk.extend_from_slice(b"\r\n");
    let begin = now_ns() + 100_000_000;
    let step = load.gap_ns as f64 / load.streams as f64;
    for number in 0..load.streams * load.events {
        // The streams take turns, so that events are spread evenly.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "seconds in nanoseconds"
        )]
        let due = begin + (number as f64 * step) as u64;
        while now_ns() < due {
            std::hint::spin_loop();
        }
        let (turn, stream) = (number / load.streams, number % load.streams);
        sent[stream * load.events + turn] = now_ns();
        streams[stream].write_all(&chunk).expect("the client reads");
    }
    let end = b"data: [DONE]\n\n";
    for stream in &mut streams {
        let last = format!("{:x}\r\n", end.len());
        stream.write_all(last.as_bytes()).unwrap();
        stream.write_all(end).unwrap();
        stream.write_all(b"\r\n0\r\n\r\n").unwrap();
    }
    let bytes: Vec<u8> = sent.iter().flat_map(|at| at.to_le_bytes()).collect();
    std::fs::write(times, bytes).unwrap();
}

/// Streams in the order of the numbers in their paths.
fn accept_all(poll: &mut Poll, listener: &TcpListener, count: usize) -> Vec<TcpStream> {
    let mut waiting: Vec<TcpStream> = Vec::new();
    let mut known: Vec<Option<TcpStream>> = (0..count).map(|_| None).collect();
    let mut events = Events::with_capacity(1024);
    while known.iter().any(Option::is_none) {
        poll.poll(&mut events, Some(Duration::from_millis(10)))
            .unwrap();
        while let Ok((stream, _)) = listener.accept() {
            stream.set_nodelay(true).unwrap();
            waiting.push(stream);
        }
        let mut rest = Vec::new();
        for mut stream in waiting {
            let mut head = [0; 2048];
            match stream.read(&mut head) {
                Ok(read) => {
                    let text = std::str::from_utf8(&head[..read]).unwrap();
                    let path = text.split(' ').nth(1).unwrap();
                    let number: usize = path.trim_start_matches("/stream/").parse().unwrap();
                    stream
                        .write_all(
                            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                              transfer-encoding: chunked\r\n\r\n",
                        )
                        .unwrap();
                    known[number] = Some(stream);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => rest.push(stream),
                Err(error) => panic!("a client went away: {error}"),
            }
        }
        waiting = rest;
    }
    known.into_iter().flatten().collect()
}
