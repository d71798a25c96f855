//! Reads request bodies: bounded, as JSON, into types.

use super::super::model::MODEL;
use super::error::ApiError;
use axum::body::Body;
use axum::http::StatusCode;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use serde::Deserialize;
use serde_json::error::Category;

/// The largest body in bytes.
pub(super) const LARGEST_BODY: usize = 1024 * 1024;

/// Reads a body to its end.
pub(super) async fn read(body: Body) -> Result<Bytes, ApiError> {
    // A body that says how large it is need not be read to be refused.
    if body.size_hint().lower() > LARGEST_BODY as u64 {
        return Err(too_large());
    }
    match Limited::new(body, LARGEST_BODY).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(error) => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "unreadable_body",
            format!("the body cannot be read: {error}"),
        )),
    }
}

fn too_large() -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        format!("the body has more than {LARGEST_BODY} bytes"),
    )
}

/// Reads JSON. Text that is not JSON is one fault, JSON of another shape another one.
pub(super) fn parse<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        Category::Data => ApiError::unprocessable("invalid_request", error.to_string()),
        Category::Syntax | Category::Eof | Category::Io => ApiError::new(
            StatusCode::BAD_REQUEST,
            "invalid_json",
            format!("the body is not JSON: {error}"),
        ),
    })
}

/// Refuses all models but one.
pub(super) fn check_model(model: &str) -> Result<(), ApiError> {
    if model == MODEL {
        Ok(())
    } else {
        Err(ApiError::unknown_model(model))
    }
}
