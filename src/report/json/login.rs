//! Logins in `run.json`: never a token.

use super::seconds;
use crate::record::{LoginRecord, Outcome};
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct LoginJson<'a> {
    at_s: f64,
    took_ms: f64,
    outcome: Outcome,
    valid_s: Option<f64>,
    after_refusal: bool,
    cause: Option<String>,
    detail: Option<&'a str>,
}

impl<'a> LoginJson<'a> {
    pub(super) fn of(login: &'a LoginRecord) -> Self {
        let failure = login.failure.as_ref();
        Self {
            at_s: seconds(login.at_ns),
            took_ms: login.took_ns as f64 / 1e6,
            outcome: login.outcome,
            valid_s: login.valid_ns.map(seconds),
            after_refusal: login.after_refusal,
            cause: failure.map(|failure| failure.cause.to_string()),
            detail: failure.map(|failure| failure.detail.as_str()),
        }
    }
}
