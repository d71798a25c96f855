//! The rules of HTTP/2 (RFC 9113) on real sockets: frames that a client must understand, windows that it must
//! keep to and open, and frames that it must refuse.

use crate::support::http2::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, PING, Peer, RST_STREAM,
    SETTINGS, STATUS_200, WINDOW_UPDATE,
};
use crate::support::plan_with;
use bench::engine::ports::{Call, Client, Exchange, RunClock, Slot, Target};
use bench::http::{HttpTarget, TcpConnect};
use bench::plan::{Captured, TargetAddress};
use bench::record::{Cause, Outcome};
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;
use tokio::runtime::LocalOptions;

const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

/// One user asks, one request after the other.
fn ask(address: SocketAddr, request: &str, times: usize) -> Vec<Exchange> {
    let text = format!(
        r#"
name = "rules"
[target]
url = "http://{address}"
http = "2"
[request.one]
path = "/"
{request}
[[phase]]
name = "only"
concurrency = 1
duration = "2s"
"#
    );
    let plan = plan_with(&text, 1, &[]);
    let TargetAddress::Http(url) = &plan.target.address else {
        panic!("the target is a URL");
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .unwrap()
        .block_on(async {
            let connect = TcpConnect::resolve(&url.host, url.port).await.unwrap();
            let client = HttpTarget::new(&plan, url, connect).unwrap().client();
            let mut slot = client.open();
            let mut random = Pcg64Mcg::seed_from_u64(1);
            let mut exchanges = Vec::new();
            for number in 0..times {
                let call = Call {
                    captured: &mut Captured::nothing(),
                    request: 0,
                    number: number as u64,
                    random: &mut random,
                    deadline_ns: 60_000_000_000,
                    clock: RunClock::start(),
                    token_events: &Cell::new(0),
                };
                exchanges.push(slot.exchange(call).await);
            }
            exchanges
        })
}

#[track_caller]
fn assert_ok(exchanges: &[Exchange]) {
    for exchange in exchanges {
        assert_eq!(exchange.outcome, Outcome::Ok, "{:?}", exchange.failure);
    }
}

const CHECKED: &str = "expect = { body = \"hello\" }";

#[test]
fn an_answer_is_understood_in_whichever_frames_it_comes() {
    let server = Frames::serve(|peer| {
        peer.greet(None);
        let stream = peer.next_request().unwrap();
        // An interim answer, a head in three frames with padding and priority, an unknown frame, a body with
        // padding and an empty piece, and trailers.
        peer.frame(HEADERS, END_HEADERS, stream, &[0x08, 3, b'1', b'0', b'3']);
        let begin = [2, 0, 0, 0, 0, 16, STATUS_200, 0, 0];
        peer.frame(HEADERS, PADDED | PRIORITY, stream, &begin);
        peer.frame(CONTINUATION, 0, stream, &[0x40, 1, b'a']);
        peer.frame(CONTINUATION, END_HEADERS, stream, &[1, b'b']);
        peer.frame(0xbe, 0xff, stream, b"an extension");
        peer.frame(2, 0, stream, &[0; 5]);
        peer.frame(DATA, PADDED, stream, &[1, b'h', b'e', b'l', 0]);
        peer.data(stream, b"", false);
        peer.data(stream, b"lo", false);
        peer.frame(
            HEADERS,
            END_STREAM | END_HEADERS,
            stream,
            &[0x00, 1, b't', 1, b'1'],
        );
        // From the dynamic table, which has `a: b`.
        let stream = peer.next_request().unwrap();
        peer.frame(HEADERS, END_HEADERS, stream, &[STATUS_200, 0xbe]);
        peer.data(stream, b"hello", true);
        peer.answer_all();
    });
    assert_ok(&ask(server.address, CHECKED, 2));
    assert_eq!(server.connections(), 1);
}

#[test]
fn frames_may_come_in_single_bytes() {
    let server = Frames::serve(|peer| {
        peer.greet(None);
        while let Some(stream) = peer.next_request() {
            let number = stream.to_be_bytes();
            let mut bytes = vec![0, 0, 1, HEADERS, END_HEADERS];
            bytes.extend_from_slice(&number);
            bytes.extend_from_slice(&[STATUS_200, 0, 0, 5, DATA, END_STREAM]);
            bytes.extend_from_slice(&number);
            bytes.extend_from_slice(b"hello");
            for byte in bytes {
                peer.raw(&[byte]);
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    });
    assert_ok(&ask(server.address, CHECKED, 2));
}

#[test]
fn a_ping_is_answered_with_what_it_holds() {
    let (tell, told) = mpsc::channel();
    let server = Frames::serve(move |peer| {
        peer.greet(None);
        let stream = peer.next_request().unwrap();
        peer.frame(PING, 0, 0, b"eightbyt");
        let pong = loop {
            let (kind, flags, _, payload) = peer.read_frame().unwrap();
            if kind == PING {
                break (flags, payload);
            }
        };
        tell.send(pong).unwrap();
        peer.answer(stream);
        peer.answer_all();
    });
    assert_ok(&ask(server.address, "", 1));
    assert_eq!(told.recv().unwrap(), (ACK, b"eightbyt".to_vec()));
}

/// Pieces of a request's body, until it ends or as many bytes have come.
fn read_body(peer: &mut Peer, most: usize) -> (usize, bool) {
    let mut length = 0;
    while length < most {
        let (kind, flags, _, payload) = peer.read_frame().unwrap();
        if kind == DATA {
            length += payload.len();
            if flags & END_STREAM != 0 {
                return (length, true);
            }
        }
    }
    (length, false)
}

#[test]
fn a_body_keeps_to_the_windows_of_the_server() {
    let (tell, told) = mpsc::channel();
    let server = Frames::serve(move |peer| {
        peer.greet_with(&[(4, 10)]);
        let stream = peer.next_beginning().unwrap();
        let mut seen = vec![read_body(peer, 10)];
        // One stream's window, then that of all of them, which takes back what was given too much.
        peer.frame(WINDOW_UPDATE, 0, stream, &5_u32.to_be_bytes());
        seen.push(read_body(peer, 5));
        peer.settings(&[(4, 4)]);
        peer.frame(WINDOW_UPDATE, 0, stream, &8_u32.to_be_bytes());
        seen.push(read_body(peer, 2));
        peer.settings(&[(4, 100)]);
        seen.push(read_body(peer, usize::MAX));
        tell.send(seen).unwrap();
        peer.answer(stream);
        peer.answer_all();
    });
    let body = "x".repeat(40);
    let exchanges = ask(
        server.address,
        &format!("method = \"POST\"\nbody = \"{body}\""),
        1,
    );
    assert_ok(&exchanges);
    assert_eq!(
        told.recv().unwrap(),
        [(10, false), (5, false), (2, false), (23, true)]
    );
    assert!(exchanges[0].steps().send_ns.is_some());
}

#[test]
fn windows_are_opened_again_while_a_large_answer_comes() {
    const PIECE: usize = 16 * 1024;
    const PIECES: usize = 24 * 1024 * 1024 / PIECE;
    let server = Frames::serve(|peer| {
        peer.greet(None);
        // What the client has said of the connection before its request.
        let (mut of_connection, mut of_stream) = (65_535_i64, 0_i64);
        let mut stream = None;
        let mut sent = 0;
        while sent < PIECES {
            let room = of_connection.min(of_stream) >= i64::try_from(PIECE).unwrap();
            if let (Some(stream), true) = (stream, room) {
                sent += 1;
                peer.data(stream, &[b'x'; PIECE], sent == PIECES);
                of_connection -= 16 * 1024;
                of_stream -= 16 * 1024;
                continue;
            }
            let Some((kind, flags, on, payload)) = peer.read_frame() else {
                return;
            };
            match kind {
                SETTINGS if flags & ACK == 0 => {
                    let window = payload.chunks(6).find(|setting| setting[1] == 4).unwrap();
                    of_stream = u32::from_be_bytes(window[2..].try_into().unwrap()).into();
                    peer.frame(SETTINGS, ACK, 0, &[]);
                }
                HEADERS => {
                    peer.head(on);
                    stream = Some(on);
                }
                WINDOW_UPDATE => {
                    let more: i64 = u32::from_be_bytes(payload.try_into().unwrap()).into();
                    match on {
                        0 => of_connection += more,
                        _ => of_stream += more,
                    }
                    assert!(of_connection.max(of_stream) < 1 << 31);
                }
                _ => {}
            }
        }
        peer.answer_all();
    });
    let exchanges = ask(server.address, "", 1);
    assert_ok(&exchanges);
    assert!(exchanges[0].bytes_received > 24 << 20);
}

#[test]
fn a_head_that_is_larger_than_a_frame_arrives_whole() {
    let (tell, told) = mpsc::channel();
    let server = Frames::serve(move |peer| {
        peer.greet(None);
        let mut seen = Vec::new();
        let stream = loop {
            let (kind, flags, stream, payload) = peer.read_frame().unwrap();
            if matches!(kind, HEADERS | CONTINUATION) {
                seen.push((kind, payload.len() <= 16 * 1024));
                if flags & END_HEADERS != 0 {
                    break stream;
                }
            }
        };
        tell.send(seen).unwrap();
        peer.answer(stream);
        peer.answer_all();
    });
    let large = "v".repeat(40_000);
    assert_ok(&ask(
        server.address,
        &format!("headers = {{ x-large = \"{large}\" }}"),
        1,
    ));
    let expected = [(HEADERS, true), (CONTINUATION, true), (CONTINUATION, true)];
    assert_eq!(told.recv().unwrap(), expected);
}

#[test]
fn a_request_waits_for_the_stream_that_a_server_does_not_allow_yet() {
    let server = Frames::serve(|peer| {
        peer.greet(Some(0));
        // The acknowledgement comes before anything is asked.
        loop {
            let (kind, flags, ..) = peer.read_frame().unwrap();
            assert_ne!(kind, HEADERS);
            if kind == SETTINGS && flags & ACK != 0 {
                break;
            }
        }
        std::thread::sleep(Duration::from_millis(50));
        peer.settings(&[(3, 1)]);
        peer.answer_all();
    });
    assert_ok(&ask(server.address, "", 2));
    assert_eq!(server.connections(), 1);
}

/// What a client makes of it when a server breaks a rule in its answer to the first request; it must be told
/// of that as well.
#[track_caller]
fn assert_refused(why: &str, script: impl Fn(&mut Peer, u32) + Send + Sync + 'static) {
    const GOAWAY: u8 = 7;
    let (tell, told) = mpsc::channel();
    let server = Frames::serve(move |peer| {
        peer.greet(None);
        let stream = peer.next_request().unwrap();
        script(peer, stream);
        let is_told = std::iter::from_fn(|| peer.read_frame())
            .any(|(kind, ..)| matches!(kind, GOAWAY | RST_STREAM));
        tell.send(is_told).unwrap();
    });
    let exchange = ask(server.address, "", 1).remove(0);
    let cause = exchange.failure.as_ref().map(|failure| failure.cause);
    assert_eq!(
        (exchange.outcome, cause),
        (Outcome::Malformed, Some(Cause::NotHttp)),
        "{why}: {:?}",
        exchange.failure
    );
    assert!(told.recv().unwrap(), "{why}");
}

#[test]
fn frames_that_break_a_rule_of_the_connection_are_refused() {
    type Script = fn(&mut Peer, u32);
    let cases: [(&str, Script); 16] = [
        ("a push", |peer, stream| {
            peer.frame(5, END_HEADERS, stream, &[0, 0, 0, 2, STATUS_200]);
        }),
        ("a head on a stream that was not opened", |peer, _| {
            peer.head(99);
        }),
        ("a head on the connection", |peer, _| peer.head(0)),
        ("a reset of a stream that was not opened", |peer, _| {
            peer.reset(99, 0);
        }),
        ("a ping on a stream", |peer, stream| {
            peer.frame(PING, 0, stream, &[0; 8]);
        }),
        ("a ping of seven bytes", |peer, _| {
            peer.frame(PING, 0, 0, &[0; 7]);
        }),
        ("settings of five bytes", |peer, _| {
            peer.frame(SETTINGS, 0, 0, &[0; 5]);
        }),
        ("a frame size of settings that is none", |peer, _| {
            peer.settings(&[(5, 1)]);
        }),
        ("a window of settings that is none", |peer, _| {
            peer.settings(&[(4, 1 << 31)]);
        }),
        ("a window that opens by nothing", |peer, _| {
            peer.frame(WINDOW_UPDATE, 0, 0, &[0; 4]);
        }),
        ("a window that opens too far", |peer, _| {
            peer.frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]);
        }),
        ("a head that goes on without a begin", |peer, stream| {
            peer.frame(CONTINUATION, END_HEADERS, stream, &[STATUS_200]);
        }),
        ("a head that is interrupted", |peer, stream| {
            peer.frame(HEADERS, 0, stream, &[STATUS_200]);
            peer.data(stream, b"x", true);
        }),
        ("a head that no table has", |peer, stream| {
            peer.frame(HEADERS, END_HEADERS, stream, &[STATUS_200, 0xff, 0x10]);
        }),
        ("padding that is longer than the frame", |peer, stream| {
            peer.head(stream);
            peer.frame(DATA, PADDED, stream, &[5, b'x']);
        }),
        ("a frame that is larger than allowed", |peer, stream| {
            peer.head(stream);
            peer.data(stream, &vec![0; 16 * 1024 + 1], true);
        }),
    ];
    for (why, script) in cases {
        assert_refused(why, script);
    }
}

#[test]
fn answers_that_are_none_are_refused() {
    // `content-length: N`, by its name in the static table.
    fn announce(peer: &mut Peer, stream: u32, length: u8) {
        peer.frame(
            HEADERS,
            END_HEADERS,
            stream,
            &[STATUS_200, 0x0f, 13, 1, b'0' + length],
        );
    }
    type Script = fn(&mut Peer, u32);
    let cases: [(&str, Script); 5] = [
        ("no status", |peer, stream| {
            peer.frame(HEADERS, END_HEADERS, stream, &[0x00, 1, b'a', 1, b'b']);
        }),
        ("two heads", |peer, stream| {
            peer.head(stream);
            peer.head(stream);
        }),
        ("an interim answer and nothing else", |peer, stream| {
            let head = [0x08, 3, b'1', b'0', b'0'];
            peer.frame(HEADERS, END_HEADERS | END_STREAM, stream, &head);
        }),
        ("more than announced", |peer, stream| {
            announce(peer, stream, 3);
            peer.data(stream, b"four", true);
        }),
        ("a length that is no number", |peer, stream| {
            peer.frame(
                HEADERS,
                END_HEADERS,
                stream,
                &[STATUS_200, 0x0f, 13, 1, b'x'],
            );
        }),
    ];
    for (why, script) in cases {
        assert_refused(why, script);
    }
    // Less than announced: that stream is over, there is nobody to tell.
    let server = Frames::serve(|peer| {
        peer.greet(None);
        let stream = peer.next_request().unwrap();
        announce(peer, stream, 3);
        peer.data(stream, b"ab", true);
        let stream = peer.next_request().unwrap();
        announce(peer, stream, 3);
        peer.data(stream, b"abc", true);
        peer.answer_all();
    });
    let exchanges = ask(server.address, "", 2);
    assert_eq!(exchanges[0].outcome, Outcome::Malformed);
    assert_eq!(exchanges[1].outcome, Outcome::Ok, "the connection goes on");
    assert_eq!(server.connections(), 1);
}
