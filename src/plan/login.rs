//! The login of a plan: a request whose answer holds a token, and for how long it is valid.

use super::flow::{CapturePlan, Captured};
use super::request::{RequestPlan, Surroundings, compile_login_request};
use crate::diag::Diagnostics;
use crate::scenario::{Login, Validity};
use std::time::Duration;

/// Where the token goes among what is captured.
const TOKEN: usize = 0;
/// Where its validity goes.
const VALIDITY: usize = 1;

/// How a token is had and renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginPlan {
    /// Which request of the plan.
    pub request: usize,
    /// How long a token is valid, if the answer does not say; `None` for as long as the run takes.
    lifetime: Option<Duration>,
    /// How long before its end it is renewed.
    refresh_before: Duration,
}

/// A token from an answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The token itself: never to be shown.
    pub text: String,
    /// How long it is valid, from when it was asked for; `None` for as long as the run takes.
    pub valid_for: Option<Duration>,
}

pub(super) fn compile_login(
    login: &Login,
    request: usize,
    surroundings: &Surroundings<'_>,
    found: &mut Diagnostics,
) -> Option<(LoginPlan, RequestPlan)> {
    let capture = |slot, source: &_| CapturePlan {
        slot,
        source: Clone::clone(source),
        secret: true,
    };
    let mut captures = vec![capture(TOKEN, &login.token)];
    let lifetime = match &login.validity {
        Some(Validity::Told(source)) => {
            captures.push(capture(VALIDITY, source));
            None
        }
        Some(Validity::Fixed(lifetime)) => Some(*lifetime),
        None => None,
    };
    let plan = compile_login_request(&login.request, captures, surroundings, found)?;
    let login = LoginPlan {
        request,
        lifetime,
        refresh_before: login.refresh_before,
    };
    Some((login, plan))
}

impl LoginPlan {
    /// The token that was captured from an answer.
    ///
    /// # Errors
    /// When its validity is no number of seconds, in words.
    pub fn token(&self, captured: &Captured) -> Result<Token, String> {
        let text = captured.text(TOKEN).unwrap_or_default().to_owned();
        let valid_for = match captured.text(VALIDITY) {
            None => self.lifetime,
            Some(told) => Some(
                told.trim()
                    .parse()
                    .ok()
                    .filter(|seconds| *seconds > 0.0)
                    .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                    .ok_or("the answer's `expires_in` is no number of seconds above zero")?,
            ),
        };
        if text.is_empty() {
            return Err("the answer's token is empty".to_owned());
        }
        Ok(Token { text, valid_for })
    }

    /// How long after it was asked for a token is renewed.
    pub fn refresh_after(&self, valid_for: Duration) -> Duration {
        valid_for.saturating_sub(self.refresh_before.min(valid_for / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_before_its_end_and_never_at_once() {
        let login = LoginPlan {
            request: 0,
            lifetime: None,
            refresh_before: Duration::from_mins(1),
        };
        let seconds = |valid| login.refresh_after(Duration::from_secs(valid)).as_secs();
        assert_eq!(seconds(3600), 3540);
        assert_eq!(seconds(120), 60);
        assert_eq!(seconds(10), 5);
    }
}
