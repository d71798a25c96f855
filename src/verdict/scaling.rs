//! Gates on auto-scaling: how soon replicas follow a step of the load, and whether they stay.
//!
//! A step is the beginning of a phase; what came before it is the phase before. One step is one
//! observation, so that the intervals here are those of the sampling: a replica became ready between two
//! samples. Definitions and their sources: `docs/telemetry.md`.

use super::{GateResult, ScopedGate, Verdict, decide, shown};
use crate::gate::{self, Metric, Op, ScalingMetric};
use crate::record::{INTERVAL_NS, PhaseRecord, RunRecord, Series};
use crate::units;

/// What is known of the replicas in one phase.
struct Replicas {
    /// (nanoseconds since the step, replicas); the first one is the level before the step.
    points: Vec<(u64, f64)>,
    /// Replicas before the step.
    before: f64,
    /// How long they were watched.
    watched_ns: u64,
}

/// A measure with the bounds that the sampling leaves, or why there is none.
enum Measured {
    /// Observed, at least, at most.
    Value(f64, f64, f64, String),
    /// It had not happened when the phase ended: it takes at least this many seconds.
    NotYet(f64, String),
    /// Nothing can be said.
    Unknown(String),
    /// It is known to be missed, whatever the limit.
    Missed(String),
}

pub(super) fn judge(
    record: &RunRecord,
    gate: &ScopedGate,
    phases: &[&PhaseRecord],
    metric: ScalingMetric,
) -> GateResult {
    let samples = |replicas: &Replicas| replicas.points.len() as u64;
    let (count, measured) = match phases {
        [] => (0, Measured::Unknown("nothing was measured".to_owned())),
        phases => {
            let all: Result<Vec<Replicas>, String> =
                phases.iter().map(|phase| watch(record, phase)).collect();
            match all {
                Err(reason) => (0, Measured::Unknown(reason)),
                Ok(all) => {
                    let count = all.iter().map(samples).sum();
                    (count, measure(record, phases, &all, metric))
                }
            }
        }
    };
    let limit = gate.gate.limit.value;
    let mut result = GateResult {
        gate: gate.clone(),
        verdict: Verdict::Inconclusive,
        observed: None,
        lower: None,
        upper: None,
        samples: count,
        reason: String::new(),
        share: None,
        growth: None,
        explanations: Vec::new(),
    };
    match measured {
        Measured::Unknown(reason) => result.reason = reason,
        Measured::Missed(reason) => {
            result.verdict = Verdict::Fail;
            result.reason = reason;
        }
        Measured::NotYet(at_least, reason) => {
            result.lower = Some(at_least);
            // An upper limit that has passed is missed; a shorter phase has shown nothing.
            if gate.gate.op == Op::Below && at_least >= limit {
                result.verdict = Verdict::Fail;
                result.reason = reason;
            } else {
                result.reason = format!("{reason}; measure for longer than {}", gate.gate.limit);
            }
        }
        Measured::Value(observed, lower, upper, how) => {
            result.observed = Some(observed);
            (result.lower, result.upper) = (Some(lower), Some(upper));
            result.verdict = decide(gate.gate.op, limit, lower, upper);
            result.reason = format!("{}: {how}", shown(&gate.gate, observed));
            if result.verdict == Verdict::Inconclusive {
                result.reason.push_str("; sample the replicas more often");
            }
        }
    }
    result
}

fn measure(
    record: &RunRecord,
    phases: &[&PhaseRecord],
    all: &[Replicas],
    metric: ScalingMetric,
) -> Measured {
    if metric == ScalingMetric::Flaps {
        let flaps: usize = all.iter().map(Replicas::flaps).sum();
        let seen = flaps as f64;
        return Measured::Value(
            seen,
            seen,
            seen,
            "changes of direction in the number of ready replicas".to_owned(),
        );
    }
    // The other measures belong to one step: a gate on the run has been refused.
    let (Some(phase), Some(replicas)) = (phases.first(), all.first()) else {
        return Measured::Unknown("nothing was measured".to_owned());
    };
    match metric {
        ScalingMetric::UpTime => up_time(record, phase, replicas),
        ScalingMetric::Recovery => recovery(record, phase),
        ScalingMetric::Overshoot => overshoot(replicas),
        ScalingMetric::DownTime => down_time(record, replicas),
        ScalingMetric::Undershoot => undershoot(replicas),
        ScalingMetric::Flaps => Measured::Unknown("judged above".to_owned()),
    }
}

/// The replicas from a phase's beginning to its end.
fn watch(record: &RunRecord, phase: &PhaseRecord) -> Result<Replicas, String> {
    let mut all = record
        .sources
        .iter()
        .flat_map(crate::record::Source::all)
        .filter(|series| is_replicas(&series.info.metric));
    let Some(series) = all.next() else {
        return Err(
            "nothing sampled the replicas: name a metric `replicas` in [telemetry]".to_owned(),
        );
    };
    if all.next().is_some() {
        return Err("several metrics are named `replicas`: one of them must be chosen".to_owned());
    }
    let from = phase.started_ns;
    let to = phase.measured_to_ns.max(from);
    let window = series.window(from, to);
    let Some(window) = window else {
        let unknown = || format!("`{}` has no value in this phase", series.info.metric);
        return Err(series.info.lack.clone().unwrap_or_else(unknown));
    };
    if window.coverage < super::telemetry::LEAST_COVERAGE
        || window.longest_gap_ns > series.longest_silence_ns()
    {
        return Err(format!(
            "telemetry gap: the replicas are known for {} of the phase",
            units::percent(window.coverage)
        ));
    }
    let points = inside(&series, from, to);
    // The last value before the step, or the first after it: a scaler needs longer than one sample.
    let before = series
        .points()
        .take_while(|(at, _)| *at <= from)
        .last()
        .or_else(|| series.points().find(|(at, _)| *at > from));
    let Some((_, before)) = before else {
        return Err("the replicas before the step are not known".to_owned());
    };
    let mut with_before = vec![(0, before)];
    with_before.extend(points);
    Ok(Replicas {
        points: with_before,
        before,
        watched_ns: to - from,
    })
}

/// Whether a metric counts the replicas that are ready.
pub(super) fn is_replicas(metric: &str) -> bool {
    metric.rsplit('.').next() == Some("replicas")
}

fn inside(series: &Series<'_>, from: u64, to: u64) -> Vec<(u64, f64)> {
    series
        .points()
        .filter(|(at, _)| (from..to).contains(at))
        .map(|(at, value)| (at - from, value))
        .collect()
}

impl Replicas {
    /// The level at which they stayed for the last quarter of the phase; `None` while they moved.
    fn settled(&self) -> Option<f64> {
        let from = self.watched_ns - self.watched_ns / 4;
        let last = self.points.last()?.1;
        let quarter = self.points.iter().filter(|(at, _)| *at >= from);
        let before = self.points.iter().take_while(|(at, _)| *at < from).last();
        let steady = quarter.chain(before).all(|(_, value)| *value == last);
        steady.then_some(last)
    }

    /// When they first reached a level: between these two moments, in seconds.
    fn reached(&self, is_there: impl Fn(f64) -> bool) -> Option<(f64, f64)> {
        let place = self
            .points
            .iter()
            .skip(1)
            .position(|(_, value)| is_there(*value))?
            + 1;
        let seconds = |at: u64| at as f64 / 1e9;
        Some((
            seconds(self.points[place - 1].0),
            seconds(self.points[place].0),
        ))
    }

    /// How often they changed their direction.
    fn flaps(&self) -> usize {
        let mut directions = self
            .points
            .windows(2)
            .map(|pair| pair[1].1 - pair[0].1)
            .filter(|change| *change != 0.0)
            .map(f64::is_sign_positive);
        let Some(mut last) = directions.next() else {
            return 0;
        };
        let mut flaps = 0;
        for direction in directions {
            flaps += usize::from(direction != last);
            last = direction;
        }
        flaps
    }

    fn most(&self) -> f64 {
        self.points
            .iter()
            .map(|(_, value)| *value)
            .fold(self.before, f64::max)
    }

    fn watched_s(&self) -> f64 {
        self.watched_ns as f64 / 1e9
    }
}

fn up_time(record: &RunRecord, phase: &PhaseRecord, replicas: &Replicas) -> Measured {
    let watched = units::seconds(replicas.watched_s());
    let before = replicas.before;
    if replicas.most() <= before {
        return match end_exceeds(record, phase) {
            Some(share) => Measured::Missed(format!(
                "replicas stayed at {} for {watched}, although {share} in the end: nothing was scaled up",
                units::whole(before)
            )),
            None => Measured::Unknown(format!(
                "replicas stayed at {} for {watched}, and nothing shows that more were needed: the step \
                 is too small to test scaling, or a latency gate is missing",
                units::whole(before)
            )),
        };
    }
    let Some(settled) = replicas.settled().filter(|settled| *settled > before) else {
        return Measured::NotYet(
            replicas.watched_s(),
            format!("replicas had not settled after {watched}"),
        );
    };
    match replicas.reached(|value| value >= settled) {
        Some((lower, upper)) => Measured::Value(
            upper,
            lower,
            upper,
            format!(
                "from {} to {} ready replicas, at most {} on the way",
                units::whole(before),
                units::whole(settled),
                units::whole(replicas.most())
            ),
        ),
        None => Measured::Unknown("the replicas never reached their level".to_owned()),
    }
}

fn overshoot(replicas: &Replicas) -> Measured {
    let Some(settled) = replicas
        .settled()
        .filter(|settled| *settled > replicas.before)
    else {
        return Measured::Unknown(
            "replicas did not settle above their level before the step".to_owned(),
        );
    };
    let ratio = replicas.most() / settled;
    let how = format!(
        "at most {} ready replicas, {} in the end",
        units::whole(replicas.most()),
        units::whole(settled)
    );
    Measured::Value(ratio, ratio, ratio, how)
}

fn undershoot(replicas: &Replicas) -> Measured {
    let Some(settled) = replicas
        .settled()
        .filter(|settled| *settled < replicas.before)
    else {
        return Measured::Unknown(
            "replicas did not settle below their level before the step".to_owned(),
        );
    };
    let values = replicas.points.iter().map(|(_, value)| *value);
    let fewest = values.fold(replicas.before, f64::min);
    // Who scales to nothing cannot fall below it.
    let missing = (settled - fewest) / settled.max(1.0);
    let how = format!(
        "at least {} ready replicas, {} in the end",
        units::whole(fewest),
        units::whole(settled)
    );
    Measured::Value(missing, missing, missing, how)
}

fn down_time(record: &RunRecord, replicas: &Replicas) -> Measured {
    // Where nobody ever saw fewer, there is nothing to come down to.
    let fewest = record
        .sources
        .iter()
        .flat_map(crate::record::Source::all)
        .filter(|series| is_replicas(&series.info.metric))
        .flat_map(|series| {
            series
                .points()
                .map(|(_, value)| value)
                .collect::<Vec<f64>>()
        })
        .fold(f64::INFINITY, f64::min);
    let before = units::whole(replicas.before);
    if replicas.before <= fewest {
        return Measured::Unknown(format!(
            "there were {before} replicas before this phase, the fewest of the run: nothing to scale down"
        ));
    }
    let settled = replicas
        .settled()
        .filter(|settled| *settled < replicas.before);
    let reached = settled.and_then(|settled| replicas.reached(|value| value <= settled));
    match (settled, reached) {
        (Some(settled), Some((lower, upper))) => Measured::Value(
            upper,
            lower,
            upper,
            format!("from {before} to {} ready replicas", units::whole(settled)),
        ),
        _ => Measured::NotYet(
            replicas.watched_s(),
            format!(
                "replicas had not come down from {before} and settled after {}",
                units::seconds(replicas.watched_s())
            ),
        ),
    }
}

/// The share of requests that may be over a limit, as a latency gate says it.
struct Objective {
    text: String,
    kind: gate::LatencyKind,
    limit_ns: u64,
    allowed: f64,
}

/// The latency gate by which a step is judged: that of its own phase, else of the one before, else of
/// the run.
fn objective(record: &RunRecord, phase: &PhaseRecord) -> Option<Objective> {
    let before = phase.index.checked_sub(1);
    let before = before.and_then(|index| record.header.phases.get(index));
    let texts = phase
        .info
        .gates
        .iter()
        .chain(before.into_iter().flat_map(|phase| &phase.gates))
        .chain(&record.header.gates);
    let mut objectives = texts.filter_map(|text| {
        let gate = gate::parse_with(text, gate::Named::Any).ok()?;
        let Metric::Latency { kind, percentile } = gate.metric else {
            return None;
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a limit is positive, and a cast of a float saturates"
        )]
        let limit_ns = (gate.limit.value * 1e9) as u64;
        Some(Objective {
            text: text.clone(),
            kind,
            limit_ns,
            allowed: percentile.allowed_share(),
        })
    });
    objectives.next()
}

/// One stretch of a phase: its end in seconds since the step, requests over the objective, all requests.
type Stretch = (f64, u64, u64);

/// The phase in stretches that are long enough for their share to mean something: ten requests over
/// the limit would be allowed in each, or it is a twentieth of the phase.
fn stretches(phase: &PhaseRecord, objective: &Objective) -> Vec<Stretch> {
    let whole: Vec<Stretch> = phase
        .intervals
        .iter()
        .filter(|interval| interval.from_ns < phase.measured_to_ns)
        .map(|interval| {
            let end = interval.from_ns + INTERVAL_NS - phase.started_ns;
            let measured = interval.measured.over(objective.kind, objective.limit_ns);
            let warmup = interval.warmup.over(objective.kind, objective.limit_ns);
            (
                end as f64 / 1e9,
                measured.at_most + warmup.at_most,
                measured.total + warmup.total,
            )
        })
        .collect();
    let per_second =
        whole.iter().map(|stretch| stretch.2).sum::<u64>() as f64 / whole.len().max(1) as f64;
    let wanted = (10.0 / objective.allowed / per_second.max(1e-9)).ceil();
    let most = (whole.len() as f64 / 20.0).ceil().max(1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between one and the number of seconds of a phase"
    )]
    let length = wanted.clamp(1.0, most) as usize;
    whole
        .chunks(length)
        .map(|chunk| {
            let end = chunk.last().map_or(0.0, |stretch| stretch.0);
            let sum = |pick: fn(&Stretch) -> u64| chunk.iter().map(pick).sum();
            (end, sum(|stretch| stretch.1), sum(|stretch| stretch.2))
        })
        .filter(|stretch: &Stretch| stretch.2 > 0)
        .collect()
}

fn is_over(stretch: &Stretch, objective: &Objective) -> bool {
    stretch.1 as f64 > objective.allowed * stretch.2 as f64
}

/// In words, by how much the last quarter of a phase misses its objective; `None` where it does not.
fn end_exceeds(record: &RunRecord, phase: &PhaseRecord) -> Option<String> {
    let objective = objective(record, phase)?;
    let all = stretches(phase, &objective);
    let end = &all[all.len() - all.len().div_ceil(4)..];
    let over: u64 = end.iter().map(|stretch| stretch.1).sum();
    let total: u64 = end.iter().map(|stretch| stretch.2).sum();
    let share = over as f64 / total.max(1) as f64;
    (total > 0 && share > objective.allowed).then(|| {
        format!(
            "{} of the requests missed `{}`",
            units::percent(share),
            objective.text
        )
    })
}

fn recovery(record: &RunRecord, phase: &PhaseRecord) -> Measured {
    let Some(objective) = objective(record, phase) else {
        return Measured::Unknown(
            "nothing says what recovery means: add a latency gate to this phase or the one before"
                .to_owned(),
        );
    };
    let all = stretches(phase, &objective);
    if all.is_empty() {
        return Measured::Unknown("no request was sent in this phase".to_owned());
    }
    let debt: u64 = all.iter().map(|stretch| stretch.1).sum();
    let failed = phase.total.outcomes.not_ok() + phase.warmup.total().outcomes.not_ok();
    let cost = format!(
        "{} requests missed `{}` meanwhile, {} of them failed",
        units::count(debt),
        objective.text,
        units::count(failed)
    );
    let Some(worst) = all.iter().rposition(|stretch| is_over(stretch, &objective)) else {
        return Measured::Value(
            0.0,
            0.0,
            0.0,
            format!("`{}` held all the time", objective.text),
        );
    };
    // The last fifth must be good, or nobody knows whether it stays.
    let quiet = all.len() - 1 - worst;
    if quiet < all.len().div_ceil(5) {
        return Measured::NotYet(
            all[worst].0,
            format!(
                "`{}` was still missed at {}",
                objective.text,
                units::seconds(all[worst].0)
            ),
        );
    }
    let begin = worst.checked_sub(1).map_or(0.0, |before| all[before].0);
    Measured::Value(all[worst].0, begin, all[worst].0, cost)
}
