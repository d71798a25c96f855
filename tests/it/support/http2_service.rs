//! A service on hyper's HTTP/2 server, in memory and on real sockets: it answers after a known time, and
//! counts what it sees.

use bench::http::Connect;
use bench::record::StepTimes;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio_rustls::TlsAcceptor;

/// How the service answers.
#[derive(Clone, Default)]
pub(crate) struct Http2Service {
    /// `/` after this time.
    pub(crate) delay: Duration,
    /// `/events` with these pieces, each so long after the one before.
    pub(crate) pieces: Vec<(Duration, &'static str)>,
    /// How many streams it allows on a connection.
    pub(crate) most_streams: Option<u32>,
    books: Arc<Books>,
}

#[derive(Default)]
struct Books {
    requests: AtomicU64,
    connections: AtomicU64,
    most_at_once: AtomicU64,
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

impl Http2Service {
    pub(crate) fn answering_after(delay: Duration) -> Self {
        Self {
            delay,
            ..Self::default()
        }
    }

    pub(crate) fn requests(&self) -> u64 {
        self.books.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn connections(&self) -> u64 {
        self.books.connections.load(Ordering::SeqCst)
    }

    /// The largest number of requests that one connection carried at once.
    pub(crate) fn most_at_once(&self) -> u64 {
        self.books.most_at_once.load(Ordering::SeqCst)
    }

    /// Serves a loopback port from a thread of its own until the test ends.
    pub(crate) fn listen(&self) -> SocketAddr {
        self.listen_with(None)
    }

    /// The same, behind TLS if there is an acceptor for it.
    pub(crate) fn listen_with(&self, acceptor: Option<TlsAcceptor>) -> SocketAddr {
        let service = self.clone();
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    stream.set_nodelay(true).unwrap();
                    let service = service.clone();
                    match acceptor.clone() {
                        None => tokio::spawn(service.serve(stream)),
                        Some(acceptor) => tokio::spawn(async move {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                service.serve(stream).await;
                            }
                        }),
                    };
                }
            });
        });
        told.recv().unwrap()
    }

    /// Serves one connection to its end.
    pub(crate) async fn serve<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.books.connections.fetch_add(1, Ordering::SeqCst);
        let in_flight = Arc::new(AtomicU64::new(0));
        let mut server = http2::Builder::new(TokioExecutor::new());
        server.max_concurrent_streams(self.most_streams);
        let answer = service_fn(move |request| {
            let (service, in_flight) = (self.clone(), Arc::clone(&in_flight));
            async move {
                let at_once = in_flight.fetch_add(1, Ordering::SeqCst) + 1;
                service
                    .books
                    .most_at_once
                    .fetch_max(at_once, Ordering::SeqCst);
                let answer = service.answer(request).await;
                in_flight.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, Infallible>(answer)
            }
        });
        // A client that goes away is its own outcome.
        let _ = server.serve_connection(TokioIo::new(stream), answer).await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        self.books.requests.fetch_add(1, Ordering::SeqCst);
        assert_eq!(request.version(), Version::HTTP_2);
        let whole = |text: String| Full::new(Bytes::from(text)).boxed_unsync();
        let body = match request.uri().path() {
            "/events" => {
                let pieces = self.pieces.clone().into_iter();
                let sent = stream::unfold(pieces, |mut pieces| async {
                    let (after, text) = pieces.next()?;
                    tokio::time::sleep(after).await;
                    let frame = Frame::data(Bytes::from_static(text.as_bytes()));
                    Some((Ok::<_, Infallible>(frame), pieces))
                });
                StreamBody::new(sent).boxed_unsync()
            }
            // What it was asked for, and with how much.
            "/echo" => {
                let asked = format!("{} {}", request.method(), request.uri());
                let tenant = request.headers()["x-tenant"].to_str().unwrap().to_owned();
                let body = request.into_body().collect().await.unwrap().to_bytes();
                whole(format!("{asked} {tenant} {}", body.len()))
            }
            _ => {
                tokio::time::sleep(self.delay).await;
                whole("ok".to_owned())
            }
        };
        Response::new(body)
    }
}

impl Connect for Http2Service {
    type Stream = DuplexStream;

    async fn connect(&self, _: &mut StepTimes) -> io::Result<DuplexStream> {
        let (near, far) = tokio::io::duplex(64 * 1024);
        tokio::spawn(self.clone().serve(far));
        Ok(near)
    }
}
