//! Service level objectives: what one request must do to count as good.

use super::{GateError, LatencyKind, Op};
use crate::diag::nearest;
use crate::units::{self, Dimension};
use std::fmt;

/// A limit on a latency of every request: `ttft < 250ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Objective {
    /// Which latency. Of the gaps between tokens, the longest of the request.
    pub kind: LatencyKind,
    /// What it must stay below, in nanoseconds.
    pub limit_ns: u64,
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = units::seconds(self.limit_ns as f64 / 1e9);
        write!(f, "{} {} {limit}", self.kind.as_str(), Op::Below.symbol())
    }
}

/// Reads `ttft < 250ms` and its like.
///
/// # Errors
/// When the latency is unknown, or the limit is not a duration.
pub fn parse_objective(text: &str) -> Result<Objective, GateError> {
    let fault = |span, message: String, hint: String| GateError {
        message,
        span,
        hint: Some(hint),
    };
    const FORM: &str = "write for example `ttft < 250ms`";
    let Some((name, limit)) = text.split_once('<') else {
        return Err(fault(
            0..text.len(),
            "an objective needs `<`".to_owned(),
            FORM.to_owned(),
        ));
    };
    let limit_start = name.len() + 1;
    let limit = limit.strip_prefix('=').unwrap_or(limit).trim();
    let name = name.trim();
    let Some(&kind) = LatencyKind::ALL.iter().find(|kind| kind.as_str() == name) else {
        let known = LatencyKind::ALL.map(LatencyKind::as_str);
        let (base, is_percentile) = match name.split_once('.') {
            Some((base, _)) => (base, known.contains(&base)),
            None => (name, false),
        };
        let hint = if is_percentile {
            format!(
                "an objective is met by each request or not: write `{base} < …`, and gate `goodput`"
            )
        } else {
            nearest(name, known).map_or_else(
                || format!("known latencies: {}", known.join(", ")),
                |near| format!("did you mean `{near}`?"),
            )
        };
        let message = format!("`{name}` is not a latency of one request");
        return Err(fault(0..limit_start - 1, message, hint));
    };
    let span = limit_start..text.len();
    let quantity = units::parse_quantity(limit)
        .map_err(|error| fault(span.clone(), error.message, FORM.to_owned()))?;
    if quantity.dimension != Dimension::Time || quantity.value <= 0.0 {
        return Err(fault(
            span,
            format!("`{limit}` is not a duration longer than zero"),
            FORM.to_owned(),
        ));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "limits are positive, and a float cast saturates"
    )]
    let limit_ns = (quantity.value * 1e9).round() as u64;
    Ok(Objective { kind, limit_ns })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_request_must_do() {
        let objective = parse_objective(" ttft<= 250ms").unwrap();
        assert_eq!(
            objective,
            Objective {
                kind: LatencyKind::Ttft,
                limit_ns: 250_000_000
            }
        );
        assert_eq!(objective.to_string(), "ttft < 250 ms");
        assert_eq!(
            parse_objective("response < 2s").unwrap().limit_ns,
            2_000_000_000
        );
    }

    #[test]
    fn names_the_fault() {
        for (text, message, hint) in [
            ("ttft", "needs `<`", "write for example"),
            (
                "ttft.p99 < 1s",
                "not a latency of one request",
                "write `ttft < …`",
            ),
            (
                "tfft < 1s",
                "not a latency of one request",
                "did you mean `ttft`?",
            ),
            ("tpot < 5%", "not a duration", "write for example"),
            ("tpot < 0s", "not a duration", "write for example"),
            ("tpot < soon", "", "write for example"),
        ] {
            let error = parse_objective(text).expect_err(text);
            assert!(error.message.contains(message), "{text}: {}", error.message);
            let found = error.hint.unwrap();
            assert!(found.contains(hint), "{text}: {found}");
        }
    }
}
