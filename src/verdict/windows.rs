//! Gates that must hold in every stretch of a given length: `error_rate < 5% worst 10s`.

use super::{GateResult, ScopedGate, ShareEvidence, Subject, Verdict, shown};
use crate::gate::Metric;
use crate::record::{INTERVAL_NS, Outcome, Over, PackedLatencies, PhaseRecord, RequestTally};
use crate::stats::{self, ALPHA, Share, lower_bound, upper_bound};
use crate::units::{self, Dimension, Quantity};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

/// A stretch of a phase.
#[derive(Clone, Copy)]
struct Stretch {
    from_ns: u64,
    over: Over,
}

/// Every stretch of this length, one beginning with each second of the measured window.
fn stretches(
    subject: &Subject<'_>,
    length: Duration,
    count: impl Fn(&RequestTally<PackedLatencies>) -> Over,
) -> Vec<Stretch> {
    let width = usize::try_from(length.as_secs()).unwrap_or(usize::MAX);
    let mut all = Vec::new();
    for phase in subject.phases {
        let mut seconds = vec![Over::default(); whole_seconds(phase)];
        for (from_ns, tally) in subject.seconds(phase) {
            let into = from_ns.saturating_sub(phase.measured_from_ns) / INTERVAL_NS;
            if let Some(second) = usize::try_from(into)
                .ok()
                .and_then(|at| seconds.get_mut(at))
            {
                second.merge(count(tally));
            }
        }
        for (start, window) in seconds.windows(width.max(1)).enumerate() {
            let mut over = Over::default();
            window.iter().for_each(|second| over.merge(*second));
            all.push(Stretch {
                from_ns: phase.measured_from_ns + start as u64 * INTERVAL_NS,
                over,
            });
        }
    }
    all
}

/// What is asked of stretches, answered once for each count: a night has tens of thousands of them, and few
/// that differ.
struct Memo<F> {
    of: F,
    known: RefCell<BTreeMap<(u64, u64, u64), bool>>,
}

impl<F: Fn(&Stretch) -> bool> Memo<F> {
    fn of(of: F) -> Self {
        let known = RefCell::default();
        Self { of, known }
    }

    fn ask(&self, stretch: &Stretch) -> bool {
        let Over {
            at_most,
            at_least,
            total,
        } = stretch.over;
        let mut known = self.known.borrow_mut();
        let answer = known.entry((at_most, at_least, total));
        *answer.or_insert_with(|| (self.of)(stretch))
    }
}

/// What ended in every stretch, whenever it began, by the moment at which the stretch does.
fn ended(
    subject: &Subject<'_>,
    length: Duration,
    count: impl Fn(&RequestTally<PackedLatencies>) -> u64,
) -> Vec<(u64, u64)> {
    let width = usize::try_from(length.as_secs()).unwrap_or(usize::MAX);
    let mut all = Vec::new();
    for phase in subject.phases {
        let mut seconds = vec![0; whole_seconds(phase)];
        for interval in &phase.intervals {
            let into = interval.from_ns.checked_sub(phase.measured_from_ns);
            let second = into.and_then(|into| usize::try_from(into / INTERVAL_NS).ok());
            if let Some(ended) = second.and_then(|second| seconds.get_mut(second)) {
                *ended += interval.ended(subject.part, &count);
            }
        }
        let windows = seconds.windows(width.max(1)).enumerate();
        all.extend(windows.map(|(start, window)| {
            let from_ns = phase.measured_from_ns + start as u64 * INTERVAL_NS;
            (from_ns, window.iter().sum())
        }));
    }
    all
}

fn whole_seconds(phase: &PhaseRecord) -> usize {
    usize::try_from(phase.measured_ns() / INTERVAL_NS).unwrap_or(0)
}

/// The share of requests over a limit, in every stretch.
///
/// PASS needs every stretch to pass, which errs no more often than one of them. FAIL needs one to fail
/// at an error probability divided by the number of stretches (Bonferroni). Within a stretch requests
/// are counted one by one: how they hang together is what the stretch is there to show.
pub(super) fn share(
    gate: &ScopedGate,
    subject: &Subject<'_>,
    length: Duration,
    allowed: f64,
    what: &str,
    count: impl Fn(&RequestTally<PackedLatencies>) -> Over,
) -> GateResult {
    let all = stretches(subject, length, count);
    let window = units::duration(length);
    let ratio = |stretch: &Stretch| stretch.over.at_most as f64 / stretch.over.total.max(1) as f64;
    let Some(worst) = all
        .iter()
        .filter(|stretch| stretch.over.total > 0)
        .max_by(|a, b| ratio(a).total_cmp(&ratio(b)))
    else {
        return GateResult::undecided(gate, format!("no request ended in any {window}"));
    };
    let bound = |count: u64, total: u64| Share {
        count: count as f64,
        total: total as f64,
    };
    let alpha_of_one = ALPHA / all.len() as f64;
    let lower = |stretch: &Stretch| {
        lower_bound(
            bound(stretch.over.at_least, stretch.over.total),
            alpha_of_one,
        )
    };
    let upper =
        |stretch: &Stretch| upper_bound(bound(stretch.over.at_most, stretch.over.total), ALPHA);
    let needed = stats::smallest_sample_that_can_pass(allowed, ALPHA);
    let fewest = all
        .iter()
        .map(|stretch| stretch.over.total)
        .min()
        .unwrap_or(0);
    let fails = Memo::of(|stretch| ratio(stretch) > allowed && lower(stretch) > allowed);
    let passes = Memo::of(|stretch| ratio(stretch) < allowed && upper(stretch) < allowed);
    let failing: Vec<&Stretch> = all.iter().filter(|stretch| fails.ask(stretch)).collect();
    let allowed_text = Quantity {
        value: allowed,
        dimension: Dimension::Ratio,
    };
    let at = |stretch: &Stretch| {
        format!(
            "in the {window} from {} on, {} of {} requests are {what}",
            units::seconds(stretch.from_ns as f64 / 1e9),
            units::count(stretch.over.at_most),
            units::count(stretch.over.total)
        )
    };
    let (verdict, shown_stretch, reason) = if let Some((&first, more)) = failing.split_first() {
        let more = more.len();
        let reason = format!(
            "{}, and {allowed_text} may be; so it is in {more} more stretches",
            at(first)
        );
        (Verdict::Fail, first, reason)
    } else if fewest < needed {
        let reason = format!(
            "a stretch of {window} has {fewest} requests, and it takes {needed} to show that no more than {allowed_text} are {what}"
        );
        (Verdict::Inconclusive, worst, reason)
    } else if all.iter().all(|stretch| passes.ask(stretch)) {
        let reason = format!("at worst, {}, and {allowed_text} may be", at(worst));
        (Verdict::Pass, worst, reason)
    } else {
        let reason = format!(
            "{}, which neither passes nor fails {allowed_text} for certain",
            at(worst)
        );
        (Verdict::Inconclusive, worst, reason)
    };
    let over = shown_stretch.over;
    GateResult {
        gate: gate.clone(),
        verdict,
        observed: None,
        lower: None,
        upper: None,
        samples: over.total,
        reason,
        share: Some(ShareEvidence {
            allowed,
            over_at_most: over.at_most,
            over_at_least: over.at_least,
            total: over.total,
            design_effect: 1.0,
            effective_requests: over.total as f64,
            to_fail: [(over.total as f64, 1.0); 2],
            bursts: None,
            burst_reach: None,
            lower: lower(shown_stretch),
            upper: upper(shown_stretch),
        }),
        growth: None,
        explanations: Vec::new(),
    }
}

/// Requests per second that succeeded, or met every objective, in every stretch: counted, so that
/// there is nothing to estimate.
pub(super) fn rate(gate: &ScopedGate, subject: &Subject<'_>, length: Duration) -> GateResult {
    let all = ended(subject, length, |tally| match gate.gate.metric {
        Metric::Goodput => tally.good,
        _ => tally.outcomes.of(Outcome::Ok),
    });
    let Some(&(from_ns, count)) = all.iter().min_by_key(|(_, count)| count) else {
        let window = units::duration(length);
        return GateResult::undecided(
            gate,
            format!("the measured window is shorter than {window}"),
        );
    };
    let observed = count as f64 / length.as_secs_f64();
    GateResult {
        gate: gate.clone(),
        verdict: super::decide(gate.gate.op, gate.gate.limit.value, observed, observed),
        observed: Some(observed),
        lower: None,
        upper: None,
        samples: count,
        reason: format!(
            "{} in the {} from {} on, the worst of {}",
            shown(&gate.gate, observed),
            units::duration(length),
            units::seconds(from_ns as f64 / 1e9),
            all.len()
        ),
        share: None,
        growth: None,
        explanations: Vec::new(),
    }
}
