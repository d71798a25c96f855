//! Why a gate did not pass: what the data of the run says about the cause, in one sentence each.
//!
//! The judgement does not depend on anything here. Each sentence is about this run's own counts: where
//! nothing stands out, nothing is said.

mod circumstances;

use super::objection::Objection;
use super::{GateResult, Subject, Verdict};
use crate::gate::{LatencyKind, Metric};
use crate::record::{Distribution as _, Doubt, Errors, PhaseRecord, RunRecord};
use crate::units;
use serde::Serialize;

/// What lies behind a gate that did not pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What kind of cause.
    pub cause: Cause,
    /// The sentence, with this run's figures.
    pub text: String,
}

/// A kind of cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Requests failed, timed out or never ended.
    Errors,
    /// The measured window began before the target had warmed up.
    WarmUp,
    /// What is over the limit lies in a few seconds.
    Stall,
    /// More requests came than the target serves, so that they waited before they were sent.
    Overload,
    /// More requests in flight brought hardly more throughput, so that they wait inside the target.
    Saturation,
    /// Requests were sent again after they had been turned away, and waited in between.
    Retries,
    /// The target itself is too slow, without any queue that could be seen.
    ServiceTime,
    /// What was asked for is more than this load could bring.
    Load,
    /// Neighbouring requests resemble each other, so that they prove less.
    Correlation,
    /// The level changed during the measured window.
    Unsteady,
    /// A GPU was held back by power, heat or hardware.
    GpuThrottled,
    /// A GPU had nothing to do while others were busy.
    GpuIdle,
    /// Fewer replicas were ready than at other times of the run.
    ReplicaMissing,
    /// The generator had hardly a free moment.
    Generator,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Errors,
        Self::WarmUp,
        Self::Stall,
        Self::Overload,
        Self::Saturation,
        Self::Retries,
        Self::ServiceTime,
        Self::Load,
        Self::Correlation,
        Self::Unsteady,
        Self::GpuThrottled,
        Self::GpuIdle,
        Self::ReplicaMissing,
        Self::Generator,
    ];

    /// Its code in `run.json` and for `bench explain`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::WarmUp => "warm_up",
            Self::Stall => "stall",
            Self::Overload => "overload",
            Self::Saturation => "saturation",
            Self::Retries => "retries",
            Self::ServiceTime => "service_time",
            Self::Load => "load",
            Self::Correlation => "correlation",
            Self::Unsteady => "unsteady",
            Self::GpuThrottled => "gpu_throttled",
            Self::GpuIdle => "gpu_idle",
            Self::ReplicaMissing => "replica_missing",
            Self::Generator => "generator",
        }
    }

    fn because(self, text: String) -> Explanation {
        Explanation { cause: self, text }
    }
}

/// At most so many sentences for a gate: the cause, and what else was wrong at the time.
const MOST: usize = 3;
/// What makes up this share of the requests over a limit is called the cause.
const MOSTLY: f64 = 0.5;
/// This share of the requests over a limit, in a tenth of the seconds, is a stall.
const IN_A_STALL: f64 = 0.8;
/// More requests in flight that bring less than this share of the throughput in proportion wait.
const PROPORTION: f64 = 0.5;
/// From this design effect on, correlation is what a judgement lacks.
const CORRELATED: f64 = 2.0;

/// What the data says about a gate that did not pass; nothing for one that did.
pub(super) fn explain(
    record: &RunRecord,
    result: &GateResult,
    subject: &Subject<'_>,
) -> Vec<Explanation> {
    if result.verdict == Verdict::Pass || result.samples == 0 {
        return Vec::new();
    }
    let look = Look {
        record,
        result,
        subject,
    };
    let metric = result.gate.gate.metric;
    let mut all: Vec<Explanation> = match metric {
        Metric::Latency { kind, .. } => look.latency(kind),
        Metric::ErrorRate => {
            let mut all: Vec<Explanation> = look.errors(1).into_iter().collect();
            all.extend(look.stall());
            if result.verdict == Verdict::Inconclusive {
                all.extend(look.correlation());
            }
            all
        }
        Metric::Throughput | Metric::Goodput | Metric::TokensPerSecond => look.rate(),
        Metric::Telemetry(metric) if metric.name.starts_with("gpu.utilization") => {
            look.errors(10).into_iter().collect()
        }
        _ => return Vec::new(),
    };
    all.extend(look.unsteady());
    all.extend(look.circumstances());
    all.truncate(MOST);
    all
}

struct Look<'a> {
    record: &'a RunRecord,
    result: &'a GateResult,
    subject: &'a Subject<'a>,
}

impl Look<'_> {
    /// The requests over the limit, second by second: begin and count.
    fn over_by_second(&self) -> Vec<(u64, u64)> {
        let Some(objection) = Objection::of(&self.result.gate.gate) else {
            return Vec::new();
        };
        let mut all = Vec::new();
        for phase in self.subject.phases {
            let over = self.subject.tallied.seconds(self.subject, phase, objection);
            let begins = self.subject.seconds(phase).map(|(from_ns, _)| from_ns);
            all.extend(begins.zip(over.iter().map(|second| second.over)));
        }
        all
    }

    fn latency(&self, kind: LatencyKind) -> Vec<Explanation> {
        let total = self.subject.total();
        let Some(objection) = Objection::of(&self.result.gate.gate) else {
            return Vec::new();
        };
        let over = objection.count(&total);
        let failed = total.outcomes.not_ok();
        let mut all = Vec::new();
        if failed > 0 && failed as f64 >= MOSTLY * over.at_most as f64 {
            all.extend(self.errors(1));
        }
        let in_time = self.warm_up().or_else(|| self.stall());
        let is_in_time = in_time.is_some();
        all.extend(in_time);
        if self.result.verdict == Verdict::Inconclusive {
            all.extend(self.correlation());
        } else if all.is_empty() {
            let waits = self.retries(kind, over.at_most);
            let waits = waits.or_else(|| self.overload(kind));
            let waits = waits.or_else(|| self.saturation());
            all.extend(waits.or_else(|| self.service_time(kind, is_in_time)));
        }
        all
    }

    /// What kinds of errors there were, if they are this many per cent of the requests at least.
    fn errors(&self, least_percent: u64) -> Option<Explanation> {
        const KINDS: usize = 3;
        let total = self.subject.total();
        let (failed, ended) = (total.outcomes.not_ok(), total.outcomes.total());
        if failed == 0 || failed * 100 < least_percent.saturating_sub(1) * ended {
            return None;
        }
        let mut errors = Errors::default();
        for phase in self.subject.phases {
            errors.merge(phase.errors.clone());
        }
        let kinds = errors.by_frequency();
        // The errors of the warm-up are among those of the phase: shares tell more than counts then.
        let all: u64 = kinds.iter().map(|kind| kind.count).sum();
        let mut named: Vec<String> = kinds
            .iter()
            .filter(|kind| self.subject.part.is_none_or(|part| kind.key.befell(part)))
            .take(KINDS)
            .map(|kind| {
                let share = units::percent(kind.count as f64 / all as f64);
                format!("{} {share}", kind.key.cause)
            })
            .collect();
        if named.is_empty() {
            named = total
                .outcomes
                .iter()
                .filter(|(outcome, _)| *outcome != crate::record::Outcome::Ok)
                .take(KINDS)
                .map(|(outcome, count)| format!("{} {}", outcome.as_str(), units::count(count)))
                .collect();
        }
        Some(Cause::Errors.because(format!(
            "{} of {} requests did not succeed: {}",
            units::count(failed),
            units::count(ended),
            named.join(", ")
        )))
    }

    /// Most of what is over lies in the part that a doubt calls warm-up.
    fn warm_up(&self) -> Option<Explanation> {
        let seconds = self.over_by_second();
        let all: u64 = seconds.iter().map(|(_, over)| over).sum();
        self.subject.phases.iter().find_map(|phase| {
            let end = self.record.doubts.iter().find_map(|doubt| match doubt {
                Doubt::WarmupTooShort {
                    phase: of,
                    unlike_ns,
                    ..
                } if *of == phase.index => Some(phase.measured_from_ns + unlike_ns),
                _ => None,
            })?;
            let early = seconds
                .iter()
                .filter(|(from, _)| (phase.measured_from_ns..end).contains(from));
            let early: u64 = early.map(|(_, over)| over).sum();
            let share = early as f64 / all.max(1) as f64;
            (all > 0 && share >= MOSTLY).then(|| {
                Cause::WarmUp.because(format!(
                    "{} of them lie in the first {} of the measured window, before the target had settled: \
                     lengthen `warmup`",
                    units::percent(share),
                    time(end - phase.measured_from_ns)
                ))
            })
        })
    }

    /// Most of what is over lies in a tenth of the seconds.
    fn stall(&self) -> Option<Explanation> {
        const FEWEST_SECONDS: usize = 10;
        const FEWEST_REQUESTS: u64 = 10;
        let mut seconds = self.over_by_second();
        let all: u64 = seconds.iter().map(|(_, over)| over).sum();
        if seconds.len() < FEWEST_SECONDS || all < FEWEST_REQUESTS {
            return None;
        }
        let count = seconds.len();
        seconds.sort_by_key(|(from, over)| (std::cmp::Reverse(*over), *from));
        let mut sum = 0;
        let mut worst = Vec::new();
        for (from, over) in seconds {
            sum += over;
            worst.push(from);
            if sum as f64 >= IN_A_STALL * all as f64 {
                break;
            }
        }
        (worst.len() * 10 <= count).then(|| {
            let first = worst.iter().min().copied().unwrap_or_default();
            Cause::Stall.because(format!(
                "{} of those {} lie in {} of {count} seconds, the first at {}: the target stalled and was \
                 not slow throughout",
                units::percent(sum as f64 / all as f64),
                units::count(all),
                worst.len(),
                time(first)
            ))
        })
    }

    /// As many requests were sent again as make up most of what is over: their latencies hold the waits
    /// between the tries.
    fn retries(&self, kind: LatencyKind, over: u64) -> Option<Explanation> {
        if kind.is_of_streams() {
            return None;
        }
        let total = self.subject.total();
        let retried = total.tries.retried;
        (retried > 0 && retried as f64 >= MOSTLY * over as f64).then(|| {
            Cause::Retries.because(format!(
                "{} of {} requests were sent again after an answer of 429 or 503, and their latencies hold \
                 the waits in between",
                units::count(retried),
                units::count(total.outcomes.total())
            ))
        })
    }

    /// In an open loop, the wait before the send is what is over.
    fn overload(&self, kind: LatencyKind) -> Option<Explanation> {
        let open = |phase: &&&PhaseRecord| phase.info.load.is_open();
        if !matches!(kind, LatencyKind::Response | LatencyKind::Ttfb) {
            return None;
        }
        let phase = self.subject.phases.iter().find(open)?;
        let total = phase.of(self.subject.part)?;
        let response = total.response.quantile_ns(0.99)?;
        let service = total.service.quantile_ns(0.99)?;
        let waited = response.saturating_sub(service);
        if (waited as f64) < MOSTLY * response as f64 {
            return None;
        }
        let offered = phase.offered_rate()?;
        Some(Cause::Overload.because(format!(
            "requests waited before they were sent: of {} at p99, {} were service time; {}/s were offered \
             and {}/s served",
            time(response),
            time(service),
            units::number(offered),
            units::number(phase.throughput())
        )))
    }

    /// In a closed loop, more requests in flight than in another phase brought hardly more throughput.
    fn saturation(&self) -> Option<Explanation> {
        let phase = *self.subject.phases.first()?;
        let own = (phase.mean_in_flight(), phase.throughput());
        if phase.info.load.is_open() || own.1 <= 0.0 {
            return None;
        }
        let lighter = self.record.phases.iter().filter(|other| {
            other.index != phase.index
                && other.measured_ns() > 0
                && other.throughput() > 0.0
                && other.mean_in_flight() * 1.5 < own.0
        });
        let other = lighter.max_by(|a, b| a.mean_in_flight().total_cmp(&b.mean_in_flight()))?;
        let more = own.0 / other.mean_in_flight();
        let brought = own.1 / other.throughput();
        (brought < PROPORTION * more).then(|| {
            Cause::Saturation.because(format!(
                "the target is saturated: {} times as many requests in flight as in `{}` brought {} times its \
                 throughput, so that they wait in its queue",
                units::number(more),
                other.info.name,
                units::number(brought)
            ))
        })
    }

    fn service_time(&self, kind: LatencyKind, is_in_time: bool) -> Option<Explanation> {
        if is_in_time || kind.is_of_streams() {
            return None;
        }
        let total = self.subject.total();
        let (response, service) = (
            total.response.quantile_ns(0.99)?,
            total.service.quantile_ns(0.99)?,
        );
        let mut text = format!(
            "the target's own service time is {} at p99 of a response time of {}: nothing waited before it was \
             sent",
            time(service),
            time(response)
        );
        if (response.saturating_sub(service) as f64) > 0.2 * response as f64 {
            text = format!(
                "of {} at p99, {} were service time and the rest waited to be sent or read",
                time(response),
                time(service)
            );
        }
        let first = self.subject.phases.first()?;
        let steps = [
            ("the first byte of the answer", &first.steps.wait),
            ("the rest of the answer", &first.steps.transfer),
        ];
        let longest = steps
            .into_iter()
            .filter_map(|(name, step)| Some((name, step.quantile_ns(0.99)?)))
            .max_by_key(|(_, ns)| *ns);
        let mostly = longest.filter(|(_, ns)| *ns as f64 >= MOSTLY * service as f64);
        if let Some((name, ns)) = mostly {
            text.push_str(&format!(", most of it for {name} ({} at p99)", time(ns)));
        }
        Some(Cause::ServiceTime.because(text))
    }

    fn rate(&self) -> Vec<Explanation> {
        let gate = &self.result.gate.gate;
        let mut all: Vec<Explanation> = self.errors(10).into_iter().collect();
        let Some(phase) = self.subject.phases.first() else {
            return all;
        };
        match phase.offered_rate() {
            Some(offered) if gate.metric == Metric::Throughput && offered < gate.limit.value => {
                all.push(Cause::Load.because(format!(
                    "only {}/s were offered: raise `rate`",
                    units::number(offered)
                )));
            }
            Some(offered) if phase.throughput() < 0.95 * offered => {
                all.push(Cause::Overload.because(format!(
                    "{}/s were offered and {}/s served",
                    units::number(offered),
                    units::number(phase.throughput())
                )));
            }
            Some(_) => {}
            None => {
                let mean = phase.total.response.mean_ns();
                all.extend(mean.map(|mean| {
                    Cause::Load.because(format!(
                        "{} requests in flight that take {} on average make {}/s: only more in flight or \
                         shorter answers bring more",
                        units::number(phase.mean_in_flight()),
                        units::seconds(mean / 1e9),
                        units::number(phase.throughput())
                    ))
                }));
            }
        }
        if gate.metric == Metric::Goodput {
            let total = self.subject.total();
            let ok = total.response.count();
            let late = ok.saturating_sub(total.good);
            if ok > 0 && late * 20 > ok {
                let text = format!(
                    "{} of {} answers missed {}",
                    units::count(late),
                    units::count(ok),
                    phase.info.slo.join(" or ")
                );
                all.insert(0, Cause::ServiceTime.because(text));
            }
        }
        all
    }

    fn correlation(&self) -> Option<Explanation> {
        let share = self.result.share?;
        (share.design_effect > CORRELATED).then(|| {
            Cause::Correlation.because(format!(
                "requests of one moment resemble each other, so that {} of them prove as much as {} independent \
                 ones",
                units::count(share.total),
                units::number(share.effective_requests)
            ))
        })
    }

    /// A doubt about the steadiness of the phase.
    fn unsteady(&self) -> Option<Explanation> {
        let doubt = self.record.doubts.iter().find(|doubt| {
            matches!(doubt, Doubt::NeverSettled { .. } | Doubt::Drifting { .. })
                && self.concerns(doubt)
        })?;
        Some(Cause::Unsteady.because(doubt.to_string()))
    }

    fn concerns(&self, doubt: &Doubt) -> bool {
        doubt
            .phase()
            .is_none_or(|of| self.subject.phases.iter().any(|phase| phase.index == of))
    }
}

fn time(ns: u64) -> String {
    units::seconds(ns as f64 / 1e9)
}
