//! The agent over HTTP: `/metrics`, `/stream`, `/status`, `/health`.

use super::Agent;
use super::page::CONTENT_TYPE;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::stream;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;

/// The agent as a service. With a token, everything but `/health` demands it as a bearer.
pub fn agent_router(agent: Agent, token: Option<&str>) -> Router {
    let mut router = Router::new()
        .route("/metrics", get(metrics))
        .route("/stream", get(samples))
        .route("/status", get(status));
    if let Some(token) = token {
        let wanted: [u8; 32] = Sha256::digest(token).into();
        router = router.layer(middleware::from_fn_with_state(wanted, authorize));
    }
    router
        .route("/health", get(|| async { "ok\n" }))
        .with_state(agent)
}

async fn authorize(State(wanted): State<[u8; 32]>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION);
    let token = given
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    // Digests are compared, so that the time it takes tells nothing of the token.
    let is_right = token.is_some_and(|token| <[u8; 32]>::from(Sha256::digest(token)) == wanted);
    if is_right {
        return next.run(request).await;
    }
    let what = json!({ "error": "this agent demands its token: Authorization: Bearer …" });
    (
        StatusCode::UNAUTHORIZED,
        [(header::WWW_AUTHENTICATE, "Bearer")],
        Json(what),
    )
        .into_response()
}

async fn metrics(State(agent): State<Agent>) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], agent.page()).into_response()
}

async fn status(State(agent): State<Agent>) -> Response {
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "host": agent.inner.host,
        "driver": agent.inner.driver,
        "gpus": agent.inner.gpus,
        "sources": agent.sources(),
    }))
    .into_response()
}

/// All samples from now on, a line of JSON each; the first line says what the sources are.
async fn samples(State(agent): State<Agent>) -> Response {
    let receiver = agent.inner.stream.subscribe();
    let first = json!({ "host": agent.inner.host, "sources": agent.sources() });
    let first: Arc<str> = format!("{first}\n").into();
    let lines = stream::unfold(
        (Some(first), receiver),
        |(first, mut receiver)| async move {
            let line = match first {
                Some(first) => first,
                None => match receiver.recv().await {
                    Ok(line) => line,
                    // A reader that is too slow is told how much it has missed.
                    Err(RecvError::Lagged(missed)) => format!("{{\"missed\":{missed}}}\n").into(),
                    Err(RecvError::Closed) => return None,
                },
            };
            let line = Ok::<_, std::convert::Infallible>(line.to_string());
            Some((line, (None, receiver)))
        },
    );
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (kind, Body::from_stream(lines)).into_response()
}
