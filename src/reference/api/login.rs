//! Logging in: one user with a known password, who gets a token.

use super::super::service::Service;
use super::body;
use super::error::ApiError;
use axum::Json;
use axum::extract::{Request, State};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;

/// The only user.
const USER: &str = "bench";
/// The user's password, which is no secret.
const PASSWORD: &str = "bench";

#[derive(Deserialize)]
struct Login<'a> {
    #[serde(borrow)]
    username: Cow<'a, str>,
    #[serde(borrow)]
    password: Cow<'a, str>,
}

#[derive(Serialize)]
pub(super) struct LoggedIn {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
}

/// `POST /auth/token`
pub(super) async fn login(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Json<LoggedIn>, ApiError> {
    let body = body::read(request.into_body()).await?;
    let login: Login<'_> = body::parse(&body)?;
    // Drawn for right ones only, so that the share is one of those that would have been let in.
    if login.username != USER || login.password != PASSWORD || service.misbehaviour.refuses_login()
    {
        return Err(ApiError::unauthorised("wrong user name or password"));
    }
    Ok(Json(LoggedIn {
        access_token: service
            .key
            .issue(USER, service.unix_seconds(), service.token_lifetime),
        token_type: "Bearer",
        expires_in: service.token_lifetime.as_secs(),
    }))
}
