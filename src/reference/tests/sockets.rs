//! The service over TCP, with its backend on a thread: little more than that it works.

use super::super::{MODEL, Server, bind, serve};
use super::client::exchange;
use super::*;
use axum::http::Request;
use bytes::Bytes;
use http_body_util::Full;
use std::net::SocketAddr;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

async fn post(address: SocketAddr, body: &Value) -> Reply {
    let stream = TcpStream::connect(address).await.unwrap();
    let request = Request::post("/v1/inference")
        .header("host", "reference")
        .body(Full::new(Bytes::from(body.to_string())))
        .unwrap();
    exchange(stream, request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_get_their_own_answers_and_are_all_counted() {
    const CLIENTS: usize = 200;
    let server = Server::start(&ReferenceOptions::default());
    let listener = bind(any_port()).unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = server.clone();
    let serving = tokio::spawn(async move {
        serve(&serving, listener, async move {
            let _ = stopped.await;
        })
        .await
    });
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| tokio::spawn(async move { post(address, &ask(number)).await }))
        .collect();
    for (number, client) in clients.into_iter().enumerate() {
        let reply = client.await.unwrap();
        assert_eq!(reply.status, 200);
        assert_eq!(reply.json()["outputs"], outputs(number));
        // A batch takes its step, and nobody is answered before.
        assert!(reply.took >= 8 * MS, "{:?}", reply.took);
    }
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
    let truth = server.truth();
    assert_eq!(truth.requests["/v1/inference"][&200], CLIENTS as u64);
    let items: usize = truth
        .batch_sizes
        .iter()
        .map(|(size, &count)| size * usize::try_from(count).unwrap())
        .sum();
    assert_eq!(items, CLIENTS);
    assert!(truth.server_time.p50_ms >= Some(8.0));
}

#[tokio::test]
async fn a_shutdown_answers_what_is_in_flight() {
    let server = Server::start(&ReferenceOptions {
        step_time: 50 * MS,
        ..ReferenceOptions::default()
    });
    let listener = bind(any_port()).unwrap();
    let address = listener.local_addr().unwrap();
    let client = tokio::spawn(async move { post(address, &ask(0)).await });
    let watched = server.clone();
    serve(&server, listener, async move {
        // Until the request is in flight; or over, should this test have been asleep.
        let books = &watched.service.books;
        while books.in_flight() == 0 && books.snapshot().requests.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert_eq!(client.await.unwrap().status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_half_a_request() {
    let server = Server::start_on_runtime(&immediate());
    let (dialer, listener) = super::super::in_memory();
    let mut stream = dialer.connect().unwrap();
    let head = format!("POST /v1/inference HTTP/1.1\r\nhost: {MODEL}\r\ncontent-length: 9\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let begin = tokio::time::Instant::now();
    let shutdown = tokio::time::sleep(100 * MS);
    super::super::serve_on(&server, listener, shutdown)
        .await
        .unwrap();
    assert_eq!(begin.elapsed(), 5100 * MS);
}

#[test]
fn the_backends_thread_ends_with_the_last_handle() {
    let server = Server::start(&immediate());
    let router = server.router();
    let queue = std::sync::Arc::downgrade(&server.service.queue);
    drop(server);
    assert!(queue.upgrade().is_some(), "the router still needs it");
    drop(router);
    // Hangs if the thread never ends.
    while queue.upgrade().is_some() {
        std::thread::yield_now();
    }
}
