//! Streamed answers and goodput in `run.json`.

use super::number;
use super::phase::LatencyJson;
use crate::record::{Distribution as _, PhaseRecord, StreamTally};
use serde::Serialize;

/// What came of streamed answers.
#[derive(Serialize)]
pub(super) struct StreamsJson {
    ok: u64,
    not_ok: u64,
    in_flight_at_end: u64,
    without_tokens: u64,
    tokens: u64,
    /// `usage` for the server's own count, `events` for one token an event.
    tokens_counted_by: &'static str,
    token_events: u64,
    tokens_per_event: Option<f64>,
    /// Known for whole phases only.
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens_per_second: Option<f64>,
    tokens_per_second_per_user: Option<f64>,
    ttft: LatencyJson,
    ttft_service: LatencyJson,
    itl: LatencyJson,
    tpot: LatencyJson,
}

impl StreamsJson {
    /// All streams of a phase.
    pub(super) fn of_phase(phase: &PhaseRecord) -> Option<Self> {
        let mut streams = Self::of(&phase.total.streams)?;
        streams.tokens_per_second = phase.tokens_per_second().and_then(number);
        Some(streams)
    }

    /// The streams of a tally, if it has any.
    pub(super) fn of(tally: &StreamTally) -> Option<Self> {
        (!tally.is_empty()).then(|| Self {
            ok: tally.ok,
            not_ok: tally.not_ok,
            in_flight_at_end: tally.open,
            without_tokens: tally.ok - tally.ttft.count(),
            tokens: tally.tokens,
            tokens_counted_by: tally.counted_by(),
            token_events: tally.events,
            tokens_per_event: tally.tokens_per_event().and_then(number),
            tokens_per_second: None,
            tokens_per_second_per_user: tally.tokens_per_second_per_user().and_then(number),
            ttft: LatencyJson::of(&tally.ttft),
            ttft_service: LatencyJson::of(&tally.ttft_service),
            itl: LatencyJson::of(&tally.itl),
            tpot: LatencyJson::of(&tally.tpot),
        })
    }
}

/// Requests that met every objective.
#[derive(Serialize)]
pub(super) struct GoodputJson<'a> {
    slo: &'a [String],
    good: u64,
    /// Of all requests that ended, failed ones included.
    good_ratio: Option<f64>,
    goodput_rps: Option<f64>,
}

impl<'a> GoodputJson<'a> {
    pub(super) fn of(phase: &'a PhaseRecord) -> Option<Self> {
        let goodput = phase.goodput()?;
        let (good, ended) = (phase.total.good, phase.total.outcomes.total());
        Some(Self {
            slo: &phase.info.slo,
            good,
            good_ratio: (ended > 0)
                .then(|| number(good as f64 / ended as f64))
                .flatten(),
            goodput_rps: (phase.measured_ns() > 0).then(|| number(goodput)).flatten(),
        })
    }
}
