//! A client that speaks real HTTP to a service in this process.

use super::super::{Dialer, Server, Truth, in_memory, serve_on};
use crate::scenario::ReferenceOptions;
use axum::http::{HeaderMap, Method, Request, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::future::pending;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

/// A service, and the way to it.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) server: Server,
    dialer: Dialer,
    token: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// The pieces in which the body came, and how long after the request.
    pub(super) pieces: Vec<(Duration, Bytes)>,
    /// From the request to the last byte.
    pub(super) took: Duration,
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    pub(super) fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("answers are text")
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Status and error code.
    pub(super) fn error(&self) -> (u16, String) {
        let body = self.json();
        let error = &body["error"];
        let message = error["message"].as_str().expect("errors have a message");
        assert!(!message.is_empty());
        let code = error["code"].as_str().expect("errors have a code");
        (self.status, code.to_owned())
    }
}

impl Service {
    /// Starts a service as tasks of the current runtime.
    pub(super) fn start(options: &ReferenceOptions) -> Self {
        let server = Server::start_on_runtime(options);
        let (dialer, listener) = in_memory();
        let serving = server.clone();
        tokio::spawn(async move { serve_on(&serving, listener, pending()).await });
        Self {
            server,
            dialer,
            token: None,
        }
    }

    /// The same service, with this token in every request.
    pub(super) fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    pub(super) fn truth(&self) -> Truth {
        self.server.truth()
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, Bytes::new()).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::POST, path, body.to_string().into()).await
    }

    /// Sends a request over a connection of its own.
    pub(super) async fn send(&self, method: Method, path: &str, body: Bytes) -> Reply {
        let stream = self.dialer.connect().expect("the service listens");
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "reference");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(body)).expect("a request");
        exchange(stream, request).await
    }

    /// Sends a request in the background.
    pub(super) fn post_meanwhile(
        &self,
        path: &'static str,
        body: Value,
    ) -> tokio::task::JoinHandle<Reply> {
        let service = self.clone();
        tokio::spawn(async move { service.post(path, &body).await })
    }
}

/// One request and its answer over any connection.
pub(super) async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Reply
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let begin = Instant::now();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .expect("the connection is open");
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request).await.expect("an answer");
    let (head, mut incoming) = response.into_parts();
    let mut pieces = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let data = frame.expect("a whole answer").into_data();
        pieces.push((begin.elapsed(), data.unwrap_or_default()));
    }
    let took = begin.elapsed();
    drop(sender);
    // The connection may end with what was not read of a request that was refused.
    let _ = driver.await;
    let body: Vec<u8> = pieces.iter().flat_map(|(_, data)| data.to_vec()).collect();
    Reply {
        status: head.status.as_u16(),
        headers: head.headers,
        body: body.into(),
        pieces,
        took,
    }
}
