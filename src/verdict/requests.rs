//! Gates on requests: latency percentiles, error rate, throughput.

use super::objection::Objection;
use super::{
    GateResult, ScopedGate, ShareEvidence, Subject, Verdict, decide, lookout, shown, windows,
};
use crate::gate::{LatencyKind, Metric, Percentile};
use crate::record::{Distribution, Latencies, Over, PhaseInterval, PhaseRecord, RequestTally};
use crate::stats::{
    self, ALPHA, Alphas, Bursts, Counted, Evidence, Reserve, Second, Share, largest_passing_count,
    quiet_s, share_bounds, smallest_failing_count,
};
use crate::units::{self, Dimension, Quantity};

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
    let alphas = at_the_end(gate, subject);
    let evidence = share_evidence(
        subject,
        objection,
        percentile.allowed_share(),
        &total,
        alphas,
    );
    let what = format!("over {}", gate.gate.limit);
    let mut result = judge_share(gate, subject, over, evidence, &what);
    let order = Order {
        known: total.latencies(kind),
        total: over.total,
    };
    result.observed = order.at(percentile.quantile());
    if let Some(evidence) = &result.share {
        let size = evidence.effective_requests;
        let level = |count: f64, size: f64| 1.0 - count / size;
        // The bounds of the percentile are dual to those of the share: the values at which the
        // judgement would turn.
        let most_by_bursts = size * evidence.allowed / evidence.burst_reach.unwrap_or(1.0);
        result.upper = largest_passing_count(size, evidence.allowed, ALPHA)
            .and_then(|count| order.at(level(count.min(most_by_bursts), size)));
        // Excursions or the reserve may have shown that the percentile lies below the limit, where requests do not.
        if evidence.upper < evidence.allowed {
            let limit = gate.gate.limit.value;
            result.upper = Some(result.upper.map_or(limit, |upper| upper.min(limit)));
        }
        let failing = evidence.to_fail.iter().filter_map(|&(size, times)| {
            let count = smallest_failing_count(size, evidence.allowed * times, ALPHA)?;
            Some(level(count, size))
        });
        result.lower = failing
            .max_by(f64::total_cmp)
            .and_then(|level| order.at(level));
    }
    result
}

/// The lower bound of the share of requests that are over the limit by so much, where it exceeds what the
/// gate allows and this share of the requests beside it.
pub(super) fn certainly_over(
    gate: &ScopedGate,
    subject: &Subject<'_>,
    by_ns: u64,
    excused: f64,
) -> Option<f64> {
    let Metric::Latency { kind, percentile } = gate.gate.metric else {
        return None;
    };
    let objection = Objection::Slower(kind, gate.gate.limit_ns().saturating_add(by_ns));
    let allowed = percentile.allowed_share() + excused;
    if allowed >= 1.0 {
        return None;
    }
    let alphas = at_the_end(gate, subject);
    let evidence = share_evidence(subject, objection, allowed, &subject.total(), alphas)?;
    (evidence.lower > allowed).then_some(evidence.lower)
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
    let alphas = at_the_end(gate, subject);
    let allowed = gate.gate.limit.value;
    let evidence = share_evidence(subject, Objection::NotOk, allowed, &total, alphas);
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
    // The interval is that of the seconds, and so is the value: what ended after the window is in neither.
    let observed = if per_second.is_empty() {
        crate::record::per_second(samples, window)
    } else {
        per_second.iter().sum::<f64>() / per_second.len() as f64
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
    match metric {
        Metric::Goodput => second.ended(subject.part, |tally| tally.good) as f64,
        // Tokens come in events, which are counted as they come; how many an event carries is known
        // on average.
        Metric::TokensPerSecond => {
            second.counts.token_events as f64 * total.streams.tokens_per_event().unwrap_or(1.0)
        }
        _ => second.ended(subject.part, |tally| tally.response.count()) as f64,
    }
}

/// What a wrong verdict at the end may cost: all there is, or what looks before it have left.
fn at_the_end(gate: &ScopedGate, subject: &Subject<'_>) -> Alphas {
    let looks = match subject.phases {
        [phase] => lookout::looks(&gate.gate, &phase.info),
        _ => None,
    };
    looks.map_or(
        Alphas {
            pass: Some(ALPHA),
            fail: ALPHA,
        },
        |looks| looks.at_the_end(),
    )
}

/// The counts and their bounds; `None` when the window is too short to know how requests hang
/// together.
fn share_evidence(
    subject: &Subject<'_>,
    objection: Objection,
    allowed: f64,
    total: &RequestTally,
    alphas: Alphas,
) -> Option<ShareEvidence> {
    let over = objection.count(total);
    let seconds = |objection: Objection| -> Vec<Vec<Second>> {
        let of_phase = |phase: &&PhaseRecord| subject.tallied.seconds(subject, phase, objection);
        subject.phases.iter().map(of_phase).collect()
    };
    let objections = objection.with_companions(total);
    let evidence = Evidence {
        reserve: objections.reserve.map(|room| {
            let near = seconds(room.near);
            Reserve {
                bursts: Bursts::of(&near, quiet_s(objections.thresholds.len())),
                near,
                lower: seconds(room.lower),
                height: room.height,
            }
        }),
        ..Evidence::of(objections.thresholds.iter().copied().map(seconds).collect())
    };
    let counted = Counted {
        at_most: over.at_most,
        at_least: over.at_least,
        total: over.total,
        open: 0,
    };
    let bounds = share_bounds(&evidence, counted, alphas)?;
    Some(ShareEvidence {
        allowed,
        over_at_most: over.at_most,
        over_at_least: over.at_least,
        total: over.total,
        design_effect: bounds.design_effect,
        effective_requests: bounds.effective_requests,
        to_fail: bounds.to_fail,
        bursts: bounds.bursts.map(|bursts| bursts.count),
        burst_reach: bounds.burst_reach,
        lower: bounds.lower,
        upper: bounds.upper,
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
    let window_s = phases.iter().map(|phase| phase.measured_ns()).sum::<u64>() as f64 / 1e9;
    if evidence.upper < evidence.allowed {
        let mut reason = format!(
            "at most {} of requests are {what} (95 % bound), and {allowed} may be",
            units::percent(evidence.upper)
        );
        reason.push_str(&unseen(evidence, window_s));
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
    reason.push_str(&what_it_would_take(evidence, window_s));
    (Verdict::Inconclusive, reason)
}

/// Stalls of a second that make up the whole of the allowed share, and that this window may have missed:
/// with three expected, none is seen in five of a hundred windows. Empty where it is long enough.
fn unseen(evidence: &ShareEvidence, window_s: f64) -> String {
    const EXPECTED: f64 = 3.0;
    const STALL_S: f64 = 1.0;
    let needed_s = EXPECTED * STALL_S / evidence.allowed;
    if window_s >= needed_s {
        return String::new();
    }
    format!(
        "; a stall of {} every {} could have been missed, which takes {} to exclude",
        units::seconds(STALL_S),
        units::seconds(STALL_S / evidence.allowed),
        units::seconds(needed_s)
    )
}

/// How many more requests, and how much more time at this rate, would decide.
fn what_it_would_take(evidence: &ShareEvidence, window_s: f64) -> String {
    const ENOUGH: u64 = 20;
    if let Some(bursts) = evidence.bursts
        && bursts < ENOUGH
        && (evidence.over_at_most as f64) < evidence.allowed * evidence.total as f64
    {
        return format!(
            "they came in {bursts} burst{}, from which nothing can be said about how often: a window of {} \
             would hold {ENOUGH}",
            if bursts == 1 { "" } else { "s" },
            units::seconds(window_s * ENOUGH as f64 / bursts as f64)
        );
    }
    let observed = evidence.over_at_most as f64 / evidence.total as f64;
    // As a PASS counts the sample, or a FAIL: what is observed tells on which of them it is going to end.
    let size = if observed < evidence.allowed {
        evidence.effective_requests
    } else {
        evidence.to_fail[0].0
    };
    let share = Share {
        count: observed * size,
        total: size,
    };
    let Some(needed) = stats::requests_to_decide(share, evidence.allowed, ALPHA) else {
        return "the true share is so near the limit that more of the same would not decide"
            .to_owned();
    };
    let factor = needed / size;
    if factor <= 1.0 {
        return "they come from so few moments that only a longer window would tell how often"
            .to_owned();
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive estimate; a float cast saturates"
    )]
    let more = ((factor - 1.0).max(0.0) * evidence.total as f64).ceil() as u64;
    let seconds = (factor - 1.0).max(0.0) * window_s;
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
