//! Reads `retry` of a request: whether it is tried again when it is turned away.

use super::decode::{Context, Table};
use super::request::read_statuses;
use super::target::positive;
use crate::diag::Code;
use crate::schedule::Retry;
use std::time::Duration;

/// Too many requests, and service unavailable: what `Retry-After` is made for.
const TURNED_AWAY: [u16; 2] = [429, 503];
const DEFAULT_TIMES: u32 = 3;
const DEFAULT_PAUSE: Duration = Duration::from_secs(1);
const DEFAULT_LONGEST: Duration = Duration::from_secs(30);

pub(super) fn read_retry(cx: &mut Context<'_>, table: &mut Table<'_>) -> Option<Retry> {
    let mut table = table.table(cx, "retry", "retry")?;
    let mut statuses = read_statuses(cx, &mut table, "without it, 429 and 503 are tried again");
    if statuses.is_empty() {
        statuses = TURNED_AWAY.to_vec();
    }
    let times = table
        .integer(cx, "times", 1..=100)
        .map_or(DEFAULT_TIMES, |times| {
            u32::try_from(times.value).unwrap_or(DEFAULT_TIMES)
        });
    let pause = table.duration(cx, "pause");
    let pause = positive(cx, pause, "pause").unwrap_or(DEFAULT_PAUSE);
    let longest = table.duration(cx, "longest");
    let span = longest.as_ref().map(|longest| longest.span.clone());
    let longest = positive(cx, longest, "longest").unwrap_or(DEFAULT_LONGEST);
    if longest < pause {
        cx.error(
            Code::Conflict,
            span.unwrap_or_else(|| table.key_span("pause")),
            "the longest wait is shorter than the first one",
            "`pause` is the wait where the server does not say, `longest` the limit of any wait",
        );
    }
    table.finish(cx);
    Some(Retry {
        statuses,
        times,
        pause,
        longest,
    })
}
