//! The routes over HTTP, and what happens to every request before and after its handler: it is
//! counted, held during the freeze, and turned away without a token where one is needed.

mod body;
mod chat;
mod error;
mod health;
mod inference;
mod jobs;
mod login;

pub use chat::TOKEN_INTERVAL;

use super::misbehaviour::Fate;
use super::route::Route;
use super::service::Service;
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use error::ApiError;
use std::sync::Arc;
use tokio::time::Instant;

/// All routes of a service.
pub(super) fn router(service: &Arc<Service>) -> Router {
    Router::new()
        .route(Route::Health.path(), get(health::brief))
        .route(Route::HealthDetailed.path(), get(health::detailed))
        .route(Route::Metrics.path(), get(health::metrics))
        .route(Route::Token.path(), post(login::login))
        .route(Route::Inference.path(), post(inference::one))
        .route(Route::InferenceBatch.path(), post(inference::several))
        .route(Route::Jobs.path(), post(jobs::submit))
        .route(Route::Job.path(), get(jobs::show))
        .route(Route::Chat.path(), post(chat::complete))
        .method_not_allowed_fallback(async || ApiError::wrong_method())
        .fallback(async || ApiError::no_such_path())
        .layer(from_fn_with_state(Arc::clone(service), observe))
        .with_state(Arc::clone(service))
}

async fn observe(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let arrived = Instant::now();
    let path = request.extensions().get::<MatchedPath>();
    let route = Route::of(path.map(MatchedPath::as_str));
    let _in_flight = service.books.begin();
    if route.infers() && request.method() == Method::POST {
        service.misbehaviour.inference_arrived(arrived);
    }
    service.misbehaviour.hold().await;
    let response = match authorise(&service, route, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    service.misbehaviour.hold().await;
    let status = response.status().as_u16();
    service.books.answered(route, status, arrived.elapsed());
    response
}

/// What every inference request goes through before its work is done: it leaves memory behind, and
/// may fail. Jobs do both in their own way.
async fn undergo(service: &Service, fate: Fate) -> Result<(), ApiError> {
    service.misbehaviour.leak();
    if !fate.fails {
        return Ok(());
    }
    service.misbehaviour.delay(fate).await;
    service.books.injected_error();
    Err(ApiError::injected())
}

fn authorise(service: &Service, route: Route, headers: &HeaderMap) -> Result<(), ApiError> {
    if !(service.require_auth && route.is_guarded()) {
        return Ok(());
    }
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or_else(|| ApiError::unauthorised("a bearer token from /auth/token is needed"))?;
    service
        .key
        .verify(token, service.unix_seconds())
        .map_err(|error| ApiError::unauthorised(error.to_string()))?;
    Ok(())
}
