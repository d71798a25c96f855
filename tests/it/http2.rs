//! HTTP/2 on real sockets: streams that share connections, and all the ways in which they end.

use crate::support::http2::{
    Asked, CANCEL, ENHANCE_YOUR_CALM, Frames, INTERNAL_ERROR, NO_ERROR, Peer, REFUSED_STREAM,
};
use crate::support::plan_with;
use crate::support::tcp::{Manner, Tcp, nobody};
use bench::engine::ports::{Call, Client, Exchange, RunClock, Slot, Target};
use bench::http::{HttpClient, HttpTarget, TcpConnect};
use bench::plan::{Captured, Plan, TargetAddress};
use bench::record::{Cause, Outcome};
use futures_util::future::join_all;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::runtime::LocalOptions;

fn plan_of(address: SocketAddr, target: &str) -> Plan {
    plan_for(address, target, "")
}

fn plan_for(address: SocketAddr, target: &str, request: &str) -> Plan {
    let text = format!(
        r#"
name = "streams"
[target]
url = "http://{address}"
http = "2"
{target}
[request.get]
path = "/"
{request}
[[phase]]
name = "only"
concurrency = 1
duration = "2s"
"#
    );
    plan_with(&text, 1, &[])
}

fn in_runtime<F: Future>(work: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .unwrap()
        .block_on(work)
}

async fn client_of(plan: &Plan) -> HttpClient<TcpConnect> {
    let TargetAddress::Http(url) = &plan.target.address else {
        panic!("the target is a URL");
    };
    let connect = TcpConnect::resolve(&url.host, url.port).await.unwrap();
    HttpTarget::new(plan, url, connect).unwrap().client()
}

/// One request; without a timeout of its own it has a minute.
async fn ask<S: Slot>(slot: &mut S, timeout: Option<Duration>) -> Exchange {
    let mut random = Pcg64Mcg::seed_from_u64(1);
    let timeout = timeout.unwrap_or(Duration::from_mins(1));
    slot.exchange(Call {
        captured: &mut Captured::nothing(),
        request: 0,
        number: 0,
        random: &mut random,
        deadline_ns: bench::units::nanoseconds(timeout),
        clock: RunClock::start(),
        token_events: &Cell::new(0),
    })
    .await
}

/// So many users ask once, at the same time.
fn ask_at_once(address: SocketAddr, target: &str, users: usize) -> Vec<Exchange> {
    let plan = plan_of(address, target);
    in_runtime(async {
        let client = client_of(&plan).await;
        let mut slots: Vec<_> = (0..users).map(|_| client.open()).collect();
        join_all(slots.iter_mut().map(|slot| ask(slot, None))).await
    })
}

/// One user asks, one request after the other.
fn ask_in_turn(address: SocketAddr, target: &str, requests: usize) -> Vec<Exchange> {
    let plan = plan_of(address, target);
    in_runtime(async {
        let mut slot = client_of(&plan).await.open();
        let mut exchanges = Vec::new();
        for _ in 0..requests {
            exchanges.push(ask(&mut slot, None).await);
        }
        exchanges
    })
}

fn causes(exchanges: &[Exchange]) -> Vec<(Outcome, Option<Cause>)> {
    let cause = |one: &Exchange| one.failure.as_ref().map(|failure| failure.cause);
    exchanges
        .iter()
        .map(|one| (one.outcome, cause(one)))
        .collect()
}

const OK: (Outcome, Option<Cause>) = (Outcome::Ok, None);

#[test]
fn users_share_a_connection_as_far_as_the_scenario_lets_them() {
    for (most, connections) in [(100, 1), (4, 3), (1, 10)] {
        let server = Frames::serve(|peer| {
            peer.greet(None);
            peer.answer_all();
        });
        let target = format!("max_streams = {most}");
        let exchanges = ask_at_once(server.address, &target, 10);
        assert!(causes(&exchanges).iter().all(|one| *one == OK));
        assert_eq!(server.connections(), connections, "{target}");
        let opened = |one: &&Exchange| one.connection.opened_ns.is_some();
        let opened = exchanges.iter().filter(opened).count() as u64;
        assert_eq!(opened, connections, "each is in the books once");
        for exchange in &exchanges {
            // All of them waited, and none of that is a lag of the generator's.
            assert!(exchange.connection.waited_ns > 0);
            let (sent, first) = (exchange.sent_ns.unwrap(), exchange.first_byte_ns.unwrap());
            assert!(sent <= first && first <= exchange.end_ns);
            assert!(exchange.steps().send_ns.is_some() && exchange.steps().wait_ns.is_some());
            // The kernel's stamps say nothing of one stream: nothing is claimed.
            assert_eq!(exchange.received_ns, None);
        }
    }
}

#[test]
fn a_server_that_allows_fewer_streams_gets_more_connections_and_refuses_nobody() {
    let most = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&most);
    let server = Frames::serve(move |peer| {
        peer.greet(Some(2));
        // Both must be there before either is answered.
        while let (Some(one), Some(other)) = (peer.next_request(), peer.next_request()) {
            seen.fetch_max(2, Ordering::SeqCst);
            peer.answer(one);
            peer.answer(other);
        }
    });
    let exchanges = ask_at_once(server.address, "max_streams = 50", 10);
    assert!(causes(&exchanges).iter().all(|one| *one == OK));
    assert_eq!(server.connections(), 5);
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

/// What becomes of one request under a script for its connection.
fn outcome_of(script: impl Fn(&mut Peer, u32) + Send + Sync + 'static) -> (Exchange, u64) {
    let server = Frames::serve(move |peer| {
        peer.greet(None);
        if let Some(stream) = peer.next_request() {
            script(peer, stream);
        }
    });
    let exchange = ask_in_turn(server.address, "", 1).remove(0);
    (exchange, server.connections())
}

#[track_caller]
fn assert_fails(found: (Exchange, u64), outcome: Outcome, cause: Cause) {
    let (exchange, connections) = found;
    assert_eq!(
        causes(std::slice::from_ref(&exchange)),
        [(outcome, Some(cause))],
        "{:?}",
        exchange.failure
    );
    // It was sent, and sent once.
    assert!(exchange.sent_ns.is_some());
    assert_eq!(connections, 1);
}

#[test]
fn a_refused_stream_has_failed_and_is_not_sent_again() {
    let found = outcome_of(|peer, stream| {
        peer.reset(stream, REFUSED_STREAM);
        assert_eq!(peer.next_request(), None);
    });
    assert_fails(found, Outcome::Reset, Cause::StreamRefused);
}

#[test]
fn a_stream_that_is_reset_has_failed_wherever_it_stood() {
    let found = outcome_of(|peer, stream| peer.reset(stream, INTERNAL_ERROR));
    assert_fails(found, Outcome::Reset, Cause::StreamReset);
    let found = outcome_of(|peer, stream| {
        peer.head(stream);
        peer.data(stream, b"o", false);
        peer.reset(stream, INTERNAL_ERROR);
        peer.answer_all();
    });
    assert!(found.0.first_byte_ns.is_some());
    assert_fails(found, Outcome::Reset, Cause::StreamReset);
}

#[test]
fn an_answer_before_the_end_of_the_request_counts() {
    // A body larger than the server's window: the client cannot send all of it.
    let server = Frames::serve(|peer| {
        peer.greet(None);
        let stream = peer.next_beginning().unwrap();
        peer.answer(stream);
        peer.reset(stream, NO_ERROR);
        while let Some(stream) = peer.next_beginning() {
            peer.answer(stream);
            peer.reset(stream, NO_ERROR);
        }
    });
    let plan = plan_for(
        server.address,
        "",
        &format!("method = \"POST\"\nbody = \"{}\"", "x".repeat(200_000)),
    );
    let exchanges = in_runtime(async {
        let mut slot = client_of(&plan).await.open();
        vec![ask(&mut slot, None).await, ask(&mut slot, None).await]
    });
    assert_eq!(causes(&exchanges), [OK, OK]);
    assert_eq!(server.connections(), 1);
    // Its last byte never left.
    assert_eq!(exchanges[0].steps().send_ns, None);
    assert!(exchanges[0].sent_ns.is_some());
}

#[test]
fn what_a_connection_that_is_closed_in_good_order_did_not_take_up_goes_over_another_one() {
    let server = Frames::serve(|peer| {
        peer.greet(None);
        if peer.number < 2 {
            peer.next_request().unwrap();
            peer.go_away(0, NO_ERROR);
        }
        peer.answer_all();
    });
    let exchanges = ask_in_turn(server.address, "", 2);
    assert_eq!(causes(&exchanges), [OK, OK]);
    assert_eq!(server.connections(), 3);
    let reopened = exchanges.iter().map(|one| one.connection.reopened);
    assert_eq!(reopened.collect::<Vec<_>>(), [true, false]);
    // The head went out three times, and all of it is in the books.
    assert!(exchanges[0].bytes_sent > exchanges[1].bytes_sent);
}

#[test]
fn a_server_that_takes_up_nothing_is_not_asked_forever() {
    let (exchange, connections) = outcome_of(|peer, _| {
        peer.go_away(0, NO_ERROR);
        peer.answer_all();
    });
    assert_eq!(
        causes(std::slice::from_ref(&exchange)),
        [(Outcome::Reset, Some(Cause::GoneAway))]
    );
    assert_eq!(connections, 4);
}

#[test]
fn what_a_connection_that_goes_away_for_a_fault_did_not_take_up_has_failed() {
    let found = outcome_of(|peer, _| {
        peer.go_away(0, ENHANCE_YOUR_CALM);
        peer.answer_all();
    });
    let said = &found.0.failure.as_ref().unwrap().detail;
    assert!(said.contains("ENHANCE_YOUR_CALM"), "{said}");
    assert_fails(found, Outcome::Reset, Cause::GoneAway);
}

#[test]
fn a_connection_that_goes_away_answers_what_it_took_up_and_is_replaced() {
    let server = Frames::serve(|peer| {
        peer.greet(None);
        if peer.number == 0 {
            let first = peer.next_request().unwrap();
            peer.go_away(first, NO_ERROR);
            peer.answer(first);
        }
        peer.answer_all();
    });
    let exchanges = ask_in_turn(server.address, "", 3);
    assert_eq!(causes(&exchanges), [OK, OK, OK]);
    assert_eq!(server.connections(), 2);
    let reopened: Vec<bool> = exchanges
        .iter()
        .map(|one| one.connection.reopened)
        .collect();
    assert_eq!(reopened, [false, true, false]);
}

#[test]
fn a_connection_that_was_closed_between_requests_is_replaced() {
    let (close, closes) = mpsc::channel::<()>();
    let closes = std::sync::Mutex::new(Some(closes));
    let (closed, is_closed) = mpsc::channel::<()>();
    let server = Frames::serve(move |peer| {
        peer.greet(None);
        if peer.number == 0 {
            let stream = peer.next_request().unwrap();
            peer.answer(stream);
            closes.lock().unwrap().take().unwrap().recv().unwrap();
            peer.close();
            closed.send(()).unwrap();
        } else {
            peer.answer_all();
        }
    });
    let plan = plan_of(server.address, "");
    let exchanges = in_runtime(async {
        let mut slot = client_of(&plan).await.open();
        let first = ask(&mut slot, None).await;
        close.send(()).unwrap();
        is_closed.recv().unwrap();
        // The end of the connection must be read before the next request is sent.
        tokio::time::sleep(Duration::from_millis(50)).await;
        vec![first, ask(&mut slot, None).await]
    });
    assert_eq!(causes(&exchanges), [OK, OK]);
    assert!(exchanges[1].connection.reopened);
    assert_eq!(server.connections(), 2);
}

#[test]
fn an_answer_that_is_cut_off_has_failed() {
    let found = outcome_of(|peer, stream| {
        peer.head(stream);
        peer.data(stream, b"o", false);
    });
    assert_fails(found, Outcome::Reset, Cause::ClosedEarly);
}

#[test]
fn frames_that_break_the_rules_are_malformed() {
    // Data before a head.
    let found = outcome_of(|peer, stream| {
        peer.data(stream, b"ok", true);
        peer.answer_all();
    });
    assert_fails(found, Outcome::Malformed, Cause::NotHttp);
    // No frames at all.
    let found = outcome_of(|peer, _| {
        peer.raw(&[0xff; 64]);
        peer.answer_all();
    });
    assert_fails(found, Outcome::Malformed, Cause::NotHttp);
}

#[test]
fn a_request_that_is_given_up_is_cancelled_and_the_connection_goes_on() {
    let (tell, told) = mpsc::channel();
    let server = Frames::serve(move |peer| {
        peer.greet(None);
        let silent = peer.next_request().unwrap();
        // The connection is alive.
        peer.ping();
        // The next request may come before the reset of this one.
        let mut unanswered = Vec::new();
        let reset = loop {
            match peer.next() {
                Asked::Request(stream) => unanswered.push(stream),
                other => break other,
            }
        };
        tell.send(reset).unwrap();
        // What comes too late is no surprise.
        peer.answer(silent);
        unanswered
            .into_iter()
            .for_each(|stream| peer.answer(stream));
        peer.answer_all();
    });
    let plan = plan_of(server.address, "");
    let exchanges = in_runtime(async {
        let mut slot = client_of(&plan).await.open();
        let given_up = ask(&mut slot, Some(Duration::from_millis(200))).await;
        vec![given_up, ask(&mut slot, None).await]
    });
    assert_eq!(
        causes(&exchanges),
        [(Outcome::Timeout, Some(Cause::NoAnswer)), OK]
    );
    assert_eq!(told.recv().unwrap(), Asked::Reset(1, CANCEL));
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_connection_over_which_nothing_comes_any_more_is_replaced() {
    let server = Frames::serve(|peer| {
        peer.greet(None);
        if peer.number == 0 {
            peer.wait_for_close();
        } else {
            peer.answer_all();
        }
    });
    let plan = plan_of(server.address, "");
    let exchanges = in_runtime(async {
        let mut slot = client_of(&plan).await.open();
        let given_up = ask(&mut slot, Some(Duration::from_millis(200))).await;
        vec![given_up, ask(&mut slot, None).await]
    });
    assert_eq!(
        causes(&exchanges),
        [(Outcome::Timeout, Some(Cause::NoAnswer)), OK]
    );
    assert!(exchanges[1].connection.reopened);
    assert_eq!(server.connections(), 2);
}

#[test]
fn a_target_without_http_2_is_told_apart() {
    let cases = [
        // What servers of HTTP/1.1 do with the preface.
        (
            Tcp::serve(Manner::Answer(400, b"no".to_vec(), Duration::ZERO)).address,
            Cause::NoCommonHttp,
            "the target answers in HTTP/1.1; set `http = \"1.1\"`",
        ),
        (
            Tcp::serve(Manner::Garbage).address,
            Cause::NoCommonHttp,
            "is not HTTP/2",
        ),
        (
            Tcp::serve(Manner::HangUp).address,
            Cause::NoCommonHttp,
            "before it sent its HTTP/2 settings",
        ),
        (nobody(), Cause::Refused, ""),
    ];
    for (address, cause, said) in cases {
        // All who had hoped for the connection fail with it; only one attempt was made.
        let exchanges = ask_at_once(address, "", 3);
        let failed = exchanges.iter().filter(|one| one.connection.failed).count();
        assert_eq!(failed, 1, "{said}");
        for exchange in &exchanges {
            let failure = exchange.failure.as_ref().unwrap();
            assert_eq!((exchange.outcome, failure.cause), (Outcome::Connect, cause));
            assert!(failure.detail.contains(said), "{}", failure.detail);
            assert_eq!(exchange.sent_ns, None);
        }
    }
}

#[test]
fn a_target_that_never_greets_is_a_timeout_of_the_connection() {
    let server = Frames::serve(Peer::wait_for_close);
    let plan = plan_of(server.address, "timeout = \"300ms\"");
    let exchange = in_runtime(async {
        let mut slot = client_of(&plan).await.open();
        ask(&mut slot, Some(Duration::from_millis(200))).await
    });
    assert_eq!(
        causes(&[exchange]),
        [(Outcome::Timeout, Some(Cause::ConnectTimeout))]
    );
}

#[test]
fn connections_carry_as_many_requests_as_the_scenario_says() {
    for (policy, connections) in [("\"per-request\"", 12), ("5", 3), ("\"keep\"", 1)] {
        let server = Frames::serve(|peer| {
            peer.greet(None);
            peer.answer_all();
        });
        let exchanges = ask_in_turn(server.address, &format!("connections = {policy}"), 12);
        assert!(causes(&exchanges).iter().all(|one| *one == OK));
        assert_eq!(server.connections(), connections, "{policy}");
        // That is no loss of a connection.
        assert!(exchanges.iter().all(|one| !one.connection.reopened));
    }
}
