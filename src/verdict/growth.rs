//! Gates on growth: memory that leaks, descriptors that stay open, latencies that creep.

use super::{GateResult, ScopedGate, Subject, Verdict, shown};
use crate::gate::{GrowthMetric, LatencyKind, Percentile};
use crate::record::{
    Distribution as _, Doubt, INTERVAL_NS, Latencies, PhaseRecord, RunRecord, Series,
};
use crate::stats::{
    self, ALPHA, BLOCKS, Basis, Budget, Envelope, Finding, Growth, Reduction, Unclear,
};
use crate::units::{self, Quantity};
use serde::Serialize;

/// The share of the load's beginning that is left out, warm-up included: pools and caches fill.
const SETTLING: f64 = 0.2;
/// The least share of the window for which a value must be known.
const LEAST_COVERAGE: f64 = 0.9;

/// What a series says about its growth, in the metric's base unit and per second.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GrowthEvidence {
    /// Which of several: the GPU, for example; empty where there is only one.
    pub instance: String,
    /// Begin of the window that was looked at, in seconds since the start of the run.
    pub from_s: f64,
    /// Its length in seconds.
    pub window_s: f64,
    /// The growth over the whole window.
    pub overall: f64,
    /// The growth over its last half.
    pub recent: f64,
    /// Whether a curve that levels off explains the series better than a line.
    pub levels_off: bool,
    /// The smallest growth that this window would have shown four times out of five.
    pub smallest_detectable: f64,
    /// When growth began, in seconds since the start of the run, where it shows a beginning.
    pub onset_s: Option<f64>,
    /// How long what is left would last at the upper bound, in seconds, where both are known.
    pub exhausted_in_s: Option<f64>,
    /// The growth with each 1000 requests, in the base unit.
    pub per_1000_requests: Option<f64>,
    /// The length of a cycle that was averaged away, in seconds.
    pub cycle_s: Option<f64>,
    /// What was judged: seconds since the start of the run, and the value of the block around them.
    pub blocks: Vec<(f64, f64)>,
}

/// The lasting growth of a sampled quantity; every instance must pass.
pub(super) fn sampled(
    record: &RunRecord,
    gate: &ScopedGate,
    phases: &[&PhaseRecord],
    metric: &GrowthMetric,
) -> GateResult {
    let window = match Window::of(phases) {
        Ok(window) => window,
        Err(reason) => return GateResult::undecided(gate, reason),
    };
    let results: Vec<GateResult> = record
        .series(metric.of)
        .map(|series| one(record, gate, &window, metric, &series))
        .collect();
    let worst = results.into_iter().max_by(|a, b| {
        let rate = |result: &GateResult| result.observed.unwrap_or(f64::NEG_INFINITY);
        (a.verdict.cmp(&b.verdict)).then(rate(a).total_cmp(&rate(b)))
    });
    let Some(mut result) = worst else {
        return GateResult::undecided(gate, super::telemetry::why_no_series(record, metric.of));
    };
    let own_growth = record
        .doubts
        .iter()
        .find(|doubt| matches!(doubt, Doubt::GeneratorGrows { .. }));
    if let (Some(doubt), "host.memory.leak", Verdict::Fail) =
        (own_growth, metric.name, result.verdict)
    {
        result.verdict = Verdict::Inconclusive;
        result.reason = doubt.to_string();
    }
    result
}

fn one(
    record: &RunRecord,
    gate: &ScopedGate,
    window: &Window<'_>,
    metric: &GrowthMetric,
    series: &Series<'_>,
) -> GateResult {
    let instance = &series.info.instance;
    let seconds = series.each_second(window.from_ns, window.to_ns);
    let known = seconds.iter().flatten().count();
    if (known as f64) < LEAST_COVERAGE * seconds.len() as f64 {
        let missing = || {
            format!(
                "telemetry gap: values are known for {} of the window",
                units::percent(known as f64 / seconds.len().max(1) as f64)
            )
        };
        return GateResult::undecided(gate, series.info.lack.clone().unwrap_or_else(missing));
    }
    // Shares of the host's memory are judged in bytes, like every other memory.
    let scale = match metric.of {
        "host.memory" => record.header.environment.memory_bytes as f64,
        _ => 1.0,
    };
    let mut last = seconds.iter().flatten().next().copied().unwrap_or(0.0);
    let samples: Vec<f64> = seconds
        .iter()
        .map(|value| {
            last = value.unwrap_or(last);
            last * scale
        })
        .collect();
    let Some(envelope) = Envelope::of(&samples, 1.0) else {
        return GateResult::undecided(gate, too_short(window));
    };
    let budget = Budget {
        per_second: gate.gate.limit.value,
        quantum: quantum(&samples, metric.quantum),
        least_variance: metric.least_variance,
        headroom: headroom(record, metric, instance, window.to_ns),
        alpha: ALPHA,
    };
    judged(
        gate,
        window,
        &envelope,
        budget,
        instance.clone(),
        known as u64,
    )
}

/// The lasting growth of a percentile of the latency of good answers.
pub(super) fn drift(
    gate: &ScopedGate,
    subject: &Subject<'_>,
    kind: LatencyKind,
    percentile: Percentile,
) -> GateResult {
    let window = match Window::of(subject.phases) {
        Ok(window) => window,
        Err(reason) => return GateResult::undecided(gate, reason),
    };
    let mut blocks = vec![Latencies::default(); BLOCKS];
    let length = (window.to_ns - window.from_ns).max(1);
    for (from_ns, tally) in subject.seconds(window.phase) {
        let Some(into) = from_ns.checked_sub(window.from_ns) else {
            continue;
        };
        let block = u128::from(into) * BLOCKS as u128 / u128::from(length);
        if let Some(block) = usize::try_from(block)
            .ok()
            .and_then(|at| blocks.get_mut(at))
        {
            block.merge(tally.latencies(kind));
        }
    }
    let needed = stats::smallest_sample_that_can_pass(percentile.allowed_share(), ALPHA);
    let fewest = blocks.iter().map(Latencies::count).min().unwrap_or(0);
    if fewest < needed {
        return GateResult::undecided(
            gate,
            format!(
                "one of {BLOCKS} blocks of the window has {fewest} good answers, and a {percentile} takes {needed}"
            ),
        );
    }
    let values: Vec<f64> = blocks
        .iter()
        .filter_map(|block| block.quantile_ns(percentile.quantile()))
        .map(|ns| ns as f64 / 1e9)
        .collect();
    // A histogram's buckets are a thousandth wide.
    let bucket = values.iter().sum::<f64>() / values.len() as f64 / 1000.0;
    let budget = Budget {
        per_second: gate.gate.limit.value,
        quantum: 0.0,
        least_variance: bucket * bucket / 12.0,
        headroom: None,
        alpha: ALPHA,
    };
    let envelope = Envelope::given(values, length as f64 / 1e9 / BLOCKS as f64);
    let samples = blocks.iter().map(Latencies::count).sum();
    judged(gate, &window, &envelope, budget, String::new(), samples)
}

/// The part of a phase that is looked at.
struct Window<'a> {
    phase: &'a PhaseRecord,
    from_ns: u64,
    to_ns: u64,
}

impl<'a> Window<'a> {
    fn of(phases: &[&'a PhaseRecord]) -> Result<Self, String> {
        let mut measured = phases.iter().filter(|phase| phase.measured_ns() > 0);
        let (Some(phase), None) = (measured.next(), measured.next()) else {
            return Err(
                "growth is judged under one steady load: put the gate into a phase".to_owned(),
            );
        };
        let length = phase.measured_to_ns.saturating_sub(phase.started_ns) as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a part of a length that is one already"
        )]
        let settling = (SETTLING * length) as u64;
        Ok(Self {
            phase,
            from_ns: phase.measured_from_ns.max(phase.started_ns + settling),
            to_ns: phase.measured_to_ns,
        })
    }

    /// Requests that had ended by each of these moments.
    fn work_at(&self, moments_s: impl Iterator<Item = f64>) -> Vec<f64> {
        let mut intervals = self.phase.intervals.iter().peekable();
        let mut ended = 0;
        moments_s
            .map(|moment| {
                while let Some(interval) =
                    intervals.next_if(|interval| (interval.from_ns as f64) < moment * 1e9)
                {
                    ended += interval.measured.outcomes.total() + interval.warmup.outcomes.total();
                }
                ended as f64
            })
            .collect()
    }
}

fn too_short(window: &Window<'_>) -> String {
    format!(
        "after the first fifth of the load {} are left, which is too short to see growth",
        units::seconds((window.to_ns - window.from_ns) as f64 / 1e9)
    )
}

/// The step in which a series changes: the smallest that it shows, within what is known of it.
fn quantum(samples: &[f64], (least, most): (f64, f64)) -> f64 {
    let smallest = samples
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).abs())
        .filter(|step| *step > 0.0)
        .fold(f64::INFINITY, f64::min);
    if smallest.is_finite() {
        smallest.clamp(least, most)
    } else {
        least
    }
}

/// How much memory is left at the end of the window.
fn headroom(record: &RunRecord, metric: &GrowthMetric, instance: &str, at_ns: u64) -> Option<f64> {
    const RECENT_NS: u64 = 10 * INTERVAL_NS;
    let last = |name: &str| {
        let series = record
            .series(name)
            .find(|series| series.info.instance == instance)?;
        let from = at_ns.saturating_sub(RECENT_NS);
        series
            .each_second(from, at_ns)
            .into_iter()
            .flatten()
            .next_back()
    };
    match metric.of {
        "gpu.memory.used" => {
            let (used, share) = (last("gpu.memory.used")?, last("gpu.memory")?);
            (share > 0.0).then(|| used / share - used)
        }
        "target.memory" | "host.memory" => {
            let all = record.header.environment.memory_bytes as f64;
            Some(all * (1.0 - last("host.memory")?))
        }
        _ => None,
    }
}

fn judged(
    gate: &ScopedGate,
    window: &Window<'_>,
    envelope: &Envelope,
    budget: Budget,
    instance: String,
    samples: u64,
) -> GateResult {
    let growth = stats::growth(envelope, &budget);
    let from_s = window.from_ns as f64 / 1e9;
    // The blocks lie in the middle of the window where cycles were averaged away at its ends.
    let first = (envelope.window_s - envelope.values.len() as f64 * envelope.block_s) / 2.0
        + envelope.block_s / 2.0;
    let moment = |block: usize| from_s + first + block as f64 * envelope.block_s;
    let work = window.work_at((0..envelope.values.len()).map(moment));
    let worked = work.first() < work.last();
    let evidence = GrowthEvidence {
        instance,
        from_s,
        window_s: envelope.window_s,
        overall: growth.overall,
        recent: growth.recent,
        levels_off: growth.levels_off,
        smallest_detectable: growth.smallest_detectable,
        onset_s: growth.onset_s.map(|onset| from_s + first + onset),
        exhausted_in_s: budget
            .headroom
            .filter(|_| growth.finding == Finding::Growing && growth.upper > 0.0)
            .map(|headroom| headroom / growth.upper),
        per_1000_requests: worked.then(|| 1000.0 * stats::growth_by(&envelope.values, &work)),
        cycle_s: match envelope.reduction {
            Reduction::Cycle { period_s } => Some(period_s),
            _ => None,
        },
        blocks: (0..)
            .map(moment)
            .zip(envelope.values.iter().copied())
            .collect(),
    };
    GateResult {
        gate: gate.clone(),
        verdict: match growth.finding {
            Finding::Bounded => Verdict::Pass,
            Finding::Growing => Verdict::Fail,
            Finding::Unclear(_) => Verdict::Inconclusive,
        },
        observed: Some(growth.rate),
        lower: growth.lower.is_finite().then_some(growth.lower),
        upper: growth.upper.is_finite().then_some(growth.upper),
        samples,
        reason: explain(gate, &growth, &evidence, budget.quantum),
        share: None,
        growth: Some(evidence),
        explanations: Vec::new(),
    }
}

fn explain(gate: &ScopedGate, growth: &Growth, evidence: &GrowthEvidence, quantum: f64) -> String {
    let rate = |value: f64| shown(&gate.gate, value);
    let time = units::seconds;
    let limit = gate.gate.limit;
    let which = match evidence.instance.as_str() {
        "" => String::new(),
        instance => format!(" on {instance}"),
    };
    match growth.finding {
        Finding::Growing => {
            let mut text = format!(
                "grows by {}{which}, at least by {} (95 % bound), and {limit} may be",
                rate(growth.rate),
                rate(growth.lower)
            );
            match growth.basis {
                Basis::Curve => text.push_str(", a warm-up that levels off taken out"),
                Basis::Tail => text.push_str(", after a rise that ended"),
                Basis::Whole | Basis::LastHalf => {}
            }
            if let Some(onset) = evidence.onset_s {
                text.push_str(&format!("; it began {} into the run", time(onset)));
            }
            if let Some(per_1000) = evidence.per_1000_requests {
                text.push_str(&format!(
                    "; {} with each 1000 requests",
                    amount(limit, per_1000)
                ));
            }
            if let Some(left) = evidence.exhausted_in_s {
                text.push_str(&format!("; what is free lasts {} at that pace", time(left)));
            }
            text
        }
        Finding::Bounded => {
            let part = match growth.basis {
                Basis::Whole => "over the whole window",
                Basis::LastHalf => "over the last half, after it had levelled off",
                Basis::Curve => "at the end of a curve that levels off",
                Basis::Tail => "after a rise that ended",
            };
            format!(
                "grows by at most {}{which} {part} (95 % bound), and {limit} may be; {} would have been seen",
                rate(growth.upper),
                rate(growth.smallest_detectable)
            )
        }
        Finding::Unclear(why) => {
            let why = match why {
                Unclear::Short(needed) => format!(
                    "a warm-up or a cycle longer than {} looks the same; it takes {} behind the first fifth of the load, and less only where what is free would be used up within an hour",
                    time(evidence.window_s),
                    time(needed)
                ),
                Unclear::Coarse(needed) => format!(
                    "it changes in steps of {}, of which {limit} are less than three in this window; it takes {}",
                    amount(limit, quantum),
                    time(needed)
                ),
                Unclear::Cycles(needed) => format!(
                    "it swings in waves that this window does not hold often enough; it takes about {}",
                    time(needed)
                ),
                Unclear::LevellingOff => {
                    "it is levelling off and has not settled; a longer run would tell".to_owned()
                }
                Unclear::Wanders(needed) => format!(
                    "it wanders without coming back, so that three times {limit} could hide in it; it takes about {}",
                    time(needed)
                ),
                Unclear::Close(needed) => format!(
                    "{limit} lies between the bounds; about {} of the same would decide",
                    time(needed)
                ),
            };
            format!("grows by {}{which}, but {why}", rate(growth.rate))
        }
    }
}

/// An amount of what grows.
fn amount(limit: Quantity, value: f64) -> String {
    use crate::units::Dimension;
    match limit.dimension {
        Dimension::BytesPerSecond => units::bytes(value),
        Dimension::Drift => units::seconds(value),
        _ => units::number(value),
    }
}
