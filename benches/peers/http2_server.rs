//! The server under generators that speak HTTP/2: one thread, 200 bytes for every request, at once.

use bytes::Bytes;
use h2::SendStream;
use h2::server::SendResponse;
use hyper::{Request, Response};
use std::cell::Cell;
use std::io::Write as _;
use std::rc::Rc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::LocalOptions;

const BODY: usize = 200;

/// Serves until it is killed; the first line on standard output has its port and the one at which it
/// tells how many requests it has answered.
pub(crate) fn serve(core: usize) -> ! {
    super::place::pin_self(core);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .unwrap();
    runtime.block_on(async {
        let answered = Rc::new(Cell::new(0));
        let requests = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let accounts = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        println!("{} {}", port(&requests), port(&accounts));
        std::io::stdout().flush().unwrap();
        loop {
            tokio::select! {
                Ok((stream, _)) = requests.accept() => {
                    tokio::task::spawn_local(connection(stream, Rc::clone(&answered)));
                }
                Ok((stream, _)) = accounts.accept() => account(stream, &answered).await,
            }
        }
    })
}

async fn connection(stream: TcpStream, answered: Rc<Cell<u64>>) {
    stream.set_nodelay(true).unwrap();
    let body = Bytes::from(vec![b'x'; BODY]);
    let handshake = h2::server::Builder::new()
        .initial_connection_window_size(16 << 20)
        .max_concurrent_streams(10_000)
        .handshake(stream);
    // A generator that goes away is none of the server's business.
    let Ok(mut connection) = handshake.await else {
        return;
    };
    while let Some(Ok((request, reply))) = connection.accept().await {
        tokio::task::spawn_local(answer(request, reply, body.clone(), Rc::clone(&answered)));
    }
}

async fn answer(
    request: Request<h2::RecvStream>,
    mut reply: SendResponse<Bytes>,
    body: Bytes,
    answered: Rc<Cell<u64>>,
) -> Option<()> {
    let mut asked = request.into_body();
    while let Some(piece) = asked.data().await {
        asked
            .flow_control()
            .release_capacity(piece.ok()?.len())
            .ok()?;
    }
    let head = Response::builder()
        .header("content-type", "application/json")
        .header("content-length", BODY)
        .body(())
        .unwrap();
    let mut sent: SendStream<Bytes> = reply.send_response(head, false).ok()?;
    sent.send_data(body, true).ok()?;
    answered.set(answered.get() + 1);
    Some(())
}

/// How many requests were answered since it was last asked, over HTTP/1.1.
async fn account(mut stream: TcpStream, answered: &Cell<u64>) {
    let mut request = [0; 256];
    let _ = stream.read(&mut request).await;
    let body = answered.take().to_string();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(answer.as_bytes()).await;
}
