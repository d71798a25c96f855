//! Gates on requests: latency percentiles, error rate, throughput.

use super::{GateResult, ScopedGate, ShareEvidence, Subject, Verdict, decide, shown, windows};
use crate::gate::{Gate, LatencyKind, Metric, Percentile};
use crate::record::{Distribution, Latencies, Over, PhaseInterval, PhaseRecord, RequestTally};
use crate::stats::{
    self, ALPHA, Second, Share, largest_passing_count, lower_bound, smallest_failing_count,
    upper_bound,
};
use crate::units::{self, Dimension, Quantity};

/// Which requests a gate objects to.
#[derive(Clone, Copy)]
pub(super) enum Objection {
    /// Those slower than a limit in nanoseconds, and those that did not succeed.
    Slower(LatencyKind, u64),
    /// Those that did not succeed.
    NotOk,
}

impl Objection {
    /// That of a gate on the share of requests; `None` for every other gate.
    pub(super) fn of(gate: &Gate) -> Option<Self> {
        match gate.metric {
            Metric::Latency { kind, .. } => Some(Self::Slower(kind, gate.limit_ns())),
            Metric::ErrorRate => Some(Self::NotOk),
            _ => None,
        }
    }

    pub(super) fn count<H: Distribution>(self, tally: &RequestTally<H>) -> Over {
        match self {
            Self::Slower(kind, limit_ns) => tally.over(kind, limit_ns),
            Self::NotOk => Over {
                at_most: tally.outcomes.not_ok(),
                at_least: tally.outcomes.not_ok(),
                total: tally.outcomes.total(),
            },
        }
    }
}

/// `p99 < T`: the share of requests that are slower than T, failed or timed out is below 1 %.
pub(super) fn latency(
    gate: &ScopedGate,
    subject: &Subject<'_>,
    kind: LatencyKind,
    percentile: Percentile,
) -> GateResult {
    let objection = Objection::Slower(kind, gate.gate.limit_ns());
    if let Some(length) = gate.gate.worst {
        let what = format!("over {}", gate.gate.limit);
        let allowed = percentile.allowed_share();
        let count = |tally: &RequestTally<_>| objection.count(tally);
        return windows::share(gate, subject, length, allowed, &what, count);
    }
    let total = subject.total();
    let over = objection.count(&total);
    let evidence = share_evidence(subject, objection, percentile.allowed_share(), &total);
    let what = format!("over {}", gate.gate.limit);
    let mut result = judge_share(gate, subject, over, evidence, &what);
    let order = Order {
        known: total.latencies(kind),
        total: over.total,
    };
    result.observed = order.at(percentile.quantile());
    if let Some(evidence) = &result.share {
        let size = evidence.effective_requests;
        let level = |count: f64| 1.0 - count / size;
        // The bounds of the percentile are dual to those of the share: the values at which the
        // judgement would turn.
        result.upper = largest_passing_count(size, evidence.allowed, ALPHA)
            .and_then(|count| order.at(level(count)));
        result.lower = smallest_failing_count(size, evidence.allowed, ALPHA)
            .and_then(|count| order.at(level(count)));
    }
    result
}

/// The share of requests that did not succeed.
pub(super) fn error_rate(gate: &ScopedGate, subject: &Subject<'_>) -> GateResult {
    if let Some(length) = gate.gate.worst {
        let count = |tally: &RequestTally<_>| Objection::NotOk.count(tally);
        return windows::share(
            gate,
            subject,
            length,
            gate.gate.limit.value,
            "not ok",
            count,
        );
    }
    let total = subject.total();
    let over = Objection::NotOk.count(&total);
    let evidence = share_evidence(subject, Objection::NotOk, gate.gate.limit.value, &total);
    let mut result = judge_share(gate, subject, over, evidence, "not ok");
    result.observed = (over.total > 0).then(|| over.at_most as f64 / over.total as f64);
    result.lower = result.share.map(|share| share.lower);
    result.upper = result.share.map(|share| share.upper);
    result
}

/// Throughput, goodput or tokens per second, by batch means over the whole seconds of the measured
/// window.
pub(super) fn rate(gate: &ScopedGate, subject: &Subject<'_>) -> GateResult {
    let is_of_tokens = gate.gate.metric == Metric::TokensPerSecond;
    if is_of_tokens && (gate.gate.worst.is_some() || subject.part.is_some()) {
        // They are counted as they come, and not by the request that they belong to.
        let why = "tokens per second are judged over a phase and all its requests";
        return GateResult::undecided(gate, why.to_owned());
    }
    if let Some(length) = gate.gate.worst {
        return windows::rate(gate, subject, length);
    }
    let total = subject.total();
    let window: u64 = subject.phases.iter().map(|phase| phase.measured_ns()).sum();
    let samples = match gate.gate.metric {
        Metric::Goodput => total.good,
        Metric::TokensPerSecond => total.streams.tokens,
        _ => total.response.count(),
    };
    let per_second: Vec<f64> = subject
        .phases
        .iter()
        .flat_map(|phase| phase.whole_seconds())
        .map(|second| rate_of(gate.gate.metric, subject, &total, second))
        .collect();
    let observed = match gate.gate.metric {
        Metric::TokensPerSecond => {
            per_second.iter().sum::<f64>() / (per_second.len().max(1) as f64)
        }
        _ => crate::record::per_second(samples, window),
    };
    let interval = stats::batch_means(&per_second, ALPHA);
    let (verdict, reason) = match &interval {
        None => (
            Verdict::Inconclusive,
            format!(
                "the measured window has {} whole seconds; it takes at least 5",
                per_second.len()
            ),
        ),
        Some(interval) => {
            let verdict = decide(
                gate.gate.op,
                gate.gate.limit.value,
                interval.lower,
                interval.upper,
            );
            let reason = format!(
                "{} on average, between {} and {} at 95 % each",
                shown(&gate.gate, observed),
                shown(&gate.gate, interval.lower),
                shown(&gate.gate, interval.upper)
            );
            (verdict, reason)
        }
    };
    GateResult {
        gate: gate.clone(),
        verdict,
        observed: Some(observed),
        lower: interval.as_ref().map(|interval| interval.lower),
        upper: interval.as_ref().map(|interval| interval.upper),
        samples,
        reason,
        share: None,
        growth: None,
        explanations: Vec::new(),
    }
}

/// What a second adds to a rate.
fn rate_of(
    metric: Metric,
    subject: &Subject<'_>,
    total: &RequestTally,
    second: &PhaseInterval,
) -> f64 {
    let of_requests = second.of(subject.part);
    match metric {
        Metric::Goodput => of_requests.map_or(0.0, |tally| tally.good as f64),
        // Tokens come in events, which are counted as they come; how many an event carries is known
        // on average.
        Metric::TokensPerSecond => {
            second.counts.token_events as f64 * total.streams.tokens_per_event().unwrap_or(1.0)
        }
        _ => of_requests.map_or(0.0, |tally| tally.response.count() as f64),
    }
}

/// The counts and their bounds; `None` when the window is too short to know how requests hang
/// together.
fn share_evidence(
    subject: &Subject<'_>,
    objection: Objection,
    allowed: f64,
    total: &RequestTally,
) -> Option<ShareEvidence> {
    let over = objection.count(total);
    // The design effect is taken at the gate's own threshold and at the observed p95 and p99.
    let seconds = |objection: Objection| -> Vec<Vec<Second>> {
        let of_phase = |phase: &&PhaseRecord| {
            subject
                .seconds(phase)
                .map(|(_, tally)| objection.count(tally).second())
                .collect()
        };
        subject.phases.iter().map(of_phase).collect()
    };
    let mut thresholds = vec![seconds(objection)];
    for quantile in [0.95, 0.99] {
        if let Some(limit) = total.response.quantile_ns(quantile) {
            thresholds.push(seconds(Objection::Slower(LatencyKind::Response, limit)));
        }
    }
    let effective = stats::effective(&thresholds, ALPHA)?;
    let share = |count: u64| Share {
        count: count as f64 / over.total as f64 * effective.requests,
        total: effective.requests,
    };
    Some(ShareEvidence {
        allowed,
        over_at_most: over.at_most,
        over_at_least: over.at_least,
        total: over.total,
        design_effect: effective.design_effect,
        effective_requests: effective.requests,
        lower: lower_bound(share(over.at_least), ALPHA),
        upper: upper_bound(share(over.at_most), ALPHA),
    })
}

fn judge_share(
    gate: &ScopedGate,
    subject: &Subject<'_>,
    over: Over,
    evidence: Option<ShareEvidence>,
    what: &str,
) -> GateResult {
    let (verdict, reason) = match &evidence {
        _ if over.total == 0 => (
            Verdict::Inconclusive,
            "no request ended in the measured window".to_owned(),
        ),
        None => (
            Verdict::Inconclusive,
            "the requests ended within one second: nothing shows how they hang together".to_owned(),
        ),
        Some(evidence) => explain(evidence, subject.phases, what),
    };
    GateResult {
        gate: gate.clone(),
        verdict,
        observed: None,
        lower: None,
        upper: None,
        samples: over.total,
        reason,
        share: evidence,
        growth: None,
        explanations: Vec::new(),
    }
}

fn explain(evidence: &ShareEvidence, phases: &[&PhaseRecord], what: &str) -> (Verdict, String) {
    let allowed = Quantity {
        value: evidence.allowed,
        dimension: Dimension::Ratio,
    };
    if evidence.upper < evidence.allowed {
        let reason = format!(
            "at most {} of requests are {what} (95 % bound), and {allowed} may be",
            units::percent(evidence.upper)
        );
        return (Verdict::Pass, reason);
    }
    if evidence.lower > evidence.allowed {
        let reason = format!(
            "at least {} of requests are {what} (95 % bound), and only {allowed} may be",
            units::percent(evidence.lower)
        );
        return (Verdict::Fail, reason);
    }
    let observed = evidence.over_at_most as f64 / evidence.total as f64;
    let mut reason = format!(
        "{} of requests are {what}, the truth lies between {} and {} at 95 % each, and {allowed} may be",
        units::percent(observed),
        units::percent(evidence.lower),
        units::percent(evidence.upper)
    );
    reason.push_str("; ");
    reason.push_str(&what_it_would_take(evidence, phases));
    (Verdict::Inconclusive, reason)
}

/// How many more requests, and how much more time at this rate, would decide.
fn what_it_would_take(evidence: &ShareEvidence, phases: &[&PhaseRecord]) -> String {
    let share = Share {
        count: evidence.over_at_most as f64 / evidence.total as f64 * evidence.effective_requests,
        total: evidence.effective_requests,
    };
    let Some(needed) = stats::requests_to_decide(share, evidence.allowed, ALPHA) else {
        return "the true share is so near the limit that more of the same would not decide"
            .to_owned();
    };
    let window_ns: u64 = phases.iter().map(|phase| phase.measured_ns()).sum();
    let factor = needed / evidence.effective_requests;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive estimate; a float cast saturates"
    )]
    let more = ((factor - 1.0).max(0.0) * evidence.total as f64).ceil() as u64;
    let seconds = (factor - 1.0).max(0.0) * window_ns as f64 / 1e9;
    format!(
        "about {} more requests ({} more at this rate) would decide",
        units::count(more),
        units::seconds(seconds)
    )
}

/// All requests of a window in the order of their latency. Those that failed, timed out or never
/// ended come last: they are slower than any that succeeded.
struct Order<'a> {
    known: &'a Latencies,
    total: u64,
}

impl Order<'_> {
    /// The latency in seconds below or at which this share of all requests lies; `None` when that is
    /// one of those whose latency is not known.
    fn at(&self, quantile: f64) -> Option<f64> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a count; a float cast saturates"
        )]
        let rank = (quantile.clamp(0.0, 1.0) * self.total as f64 - 1e-9)
            .ceil()
            .max(1.0) as u64;
        self.known.rank_ns(rank).map(|ns| ns as f64 / 1e9)
    }
}
