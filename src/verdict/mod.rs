//! Judges a run record by its gates: PASS, FAIL or INCONCLUSIVE, each with its evidence.
//!
//! Pure, and the same for a run that has just ended and for one of last year. No data is never a pass.

mod compare;
mod energy;
mod explain;
mod gates;
mod generator;
mod growth;
mod lookout;
mod objection;
mod requests;
mod scaling;
mod suite;
mod tallied;
mod telemetry;
mod unsteady;
mod windows;

pub use compare::{Change, CompareOptions, CompareRow, Comparison, compare};
pub use explain::{Cause, Explanation};
pub use gates::{Scope, ScopedGate, gate_on, gates_in, gates_of};
pub use growth::GrowthEvidence;
pub use lookout::{Decision, Lookout};

pub use suite::{
    Against, Finding, SuiteCompareRow, SuiteComparison, SuiteGate, SuiteJudgement, compare_suites,
    judge_suite,
};

use crate::gate::{Gate, Metric, Op};
use crate::record::{Doubt, PackedLatencies, PartIndex, PhaseRecord, RequestTally, RunRecord};
use serde::{Deserialize, Serialize};
use std::fmt;
use tallied::Tallied;

/// PASS, FAIL or INCONCLUSIVE.
///
/// The order is that of precedence: of several, the largest decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// The 95 % bound lies on the good side of the limit.
    Pass,
    /// Neither can be said.
    Inconclusive,
    /// The other 95 % bound lies on the bad side of the limit.
    Fail,
}

impl Verdict {
    /// `PASS`, `FAIL` or `INCONCLUSIVE`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Inconclusive => "INCONCLUSIVE",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The judgement on one gate.
#[derive(Clone, Debug, PartialEq)]
pub struct GateResult {
    /// The gate.
    pub gate: ScopedGate,
    /// The judgement.
    pub verdict: Verdict,
    /// The observed value, in the metric's base unit. `None` without data, and for a percentile that
    /// lies among requests that failed or never ended.
    pub observed: Option<f64>,
    /// The one-sided 95 % lower bound of the true value.
    pub lower: Option<f64>,
    /// The one-sided 95 % upper bound of the true value.
    pub upper: Option<f64>,
    /// How many requests or samples it rests on.
    pub samples: u64,
    /// Why, in one sentence.
    pub reason: String,
    /// For gates on requests: the counts behind the judgement.
    pub share: Option<ShareEvidence>,
    /// For gates on growth: what the series shows.
    pub growth: Option<GrowthEvidence>,
    /// What the data says about the cause, where the gate did not pass; the weightiest first.
    pub explanations: Vec<Explanation>,
}

impl GateResult {
    /// The reason with what is known of the cause, in one line.
    pub fn why(&self) -> String {
        let mut text = self.reason.clone();
        for explanation in &self.explanations {
            text.push_str("; ");
            text.push_str(&explanation.text);
        }
        text
    }

    /// A gate about which nothing can be said, for this reason.
    fn undecided(gate: &ScopedGate, reason: String) -> Self {
        Self {
            gate: gate.clone(),
            verdict: Verdict::Inconclusive,
            observed: None,
            lower: None,
            upper: None,
            samples: 0,
            reason,
            share: None,
            growth: None,
            explanations: Vec::new(),
        }
    }
}

/// The counts behind a gate on requests.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ShareEvidence {
    /// The share of requests that may be over the limit.
    pub allowed: f64,
    /// Requests over the limit, everything uncertain counted as over.
    pub over_at_most: u64,
    /// Requests over the limit, everything uncertain counted as not over.
    pub over_at_least: u64,
    /// Out of how many.
    pub total: u64,
    /// By how much neighbouring requests resemble each other: variance relative to independent ones.
    pub design_effect: f64,
    /// Independent requests that the sample is worth, as a PASS counts them.
    pub effective_requests: f64,
    /// The same, as a FAIL counts them, each with the multiple of the allowed share that its bound must
    /// exceed.
    #[serde(skip)]
    pub to_fail: [(f64, f64); 2],
    /// The separate events that the requests over the limit come from, where they come in bursts.
    pub bursts: Option<u64>,
    /// The factor by which the true share may exceed the observed one, for so few bursts.
    pub burst_reach: Option<f64>,
    /// The one-sided 95 % lower bound of the share.
    pub lower: f64,
    /// The one-sided 95 % upper bound of the share.
    pub upper: f64,
}

/// The judgement on a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// FAIL if any gate fails, else INCONCLUSIVE if anything is, else PASS.
    pub verdict: Verdict,
    /// Each gate, in the order of the scenario.
    pub gates: Vec<GateResult>,
    /// One line that says it all.
    pub headline: String,
}

/// Judges a record by these gates.
pub fn judge(record: &RunRecord, gates: &[ScopedGate]) -> Judgement {
    let results = judge_each(record, gates, Causes::Sought);
    let worst = results.iter().map(|result| result.verdict).max();
    let forbidden = record.doubts.iter().any(Doubt::forbids_pass);
    let verdict = match worst {
        Some(Verdict::Fail) => Verdict::Fail,
        Some(Verdict::Pass) if !forbidden => Verdict::Pass,
        _ => Verdict::Inconclusive,
    };
    let headline = headline(verdict, &results, record);
    Judgement {
        verdict,
        gates: results,
        headline,
    }
}

/// What gates see of a record, each as [`judge`] judges it, for whom the causes do not matter.
pub fn measure(record: &RunRecord, gates: &[ScopedGate]) -> Vec<GateResult> {
    judge_each(record, gates, Causes::Left)
}

/// Whether to look for what lies behind a gate that did not pass.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Causes {
    Sought,
    Left,
}

fn judge_each(record: &RunRecord, gates: &[ScopedGate], causes: Causes) -> Vec<GateResult> {
    let tallied = Tallied::of(record, gates);
    let judge = |gate| judge_gate(record, gate, &tallied, causes);
    gates.iter().map(judge).collect()
}

/// The phases that a gate looks at.
fn phases_of<'a>(record: &'a RunRecord, gate: &ScopedGate) -> Vec<&'a PhaseRecord> {
    match gate.scope.phase {
        Some(index) => record
            .phases
            .iter()
            .filter(|phase| phase.index == index)
            .collect(),
        None => record.phases.iter().collect(),
    }
}

/// The requests that a gate is about.
struct Subject<'a> {
    phases: &'a [&'a PhaseRecord],
    tallied: &'a Tallied,
    /// The only ones that count; `None` for all of them.
    part: Option<PartIndex>,
}

impl Subject<'_> {
    /// All of them as one.
    fn total(&self) -> RequestTally {
        let mut total = RequestTally::default();
        for phase in self.phases {
            if let Some(tally) = phase.of(self.part) {
                total.merge(tally);
            }
        }
        total
    }

    /// The seconds of a phase in which any of them ended, with what ended in them.
    fn seconds<'p>(
        &self,
        phase: &'p PhaseRecord,
    ) -> impl Iterator<Item = (u64, &'p RequestTally<PackedLatencies>)> {
        let part = self.part;
        phase
            .intervals
            .iter()
            .filter_map(move |interval| Some((interval.from_ns, interval.of(part)?)))
            .filter(|(_, tally)| tally.outcomes.total() > 0)
    }
}

fn judge_gate(
    record: &RunRecord,
    gate: &ScopedGate,
    tallied: &Tallied,
    causes: Causes,
) -> GateResult {
    if let Some(margin) = gate.gate.baseline {
        let mut result = compare::judge_gate(record, gate, margin);
        if let Some(doubt) = undermining(record, gate, result.verdict).first() {
            leave_undecided(&mut result, doubt);
        }
        return result;
    }
    let phases = phases_of(record, gate);
    if phases.iter().all(|phase| phase.measured_ns() == 0) {
        let why = record
            .doubts
            .iter()
            .find(|doubt| doubt.forbids_pass())
            .map_or_else(|| "nothing was measured".to_owned(), ToString::to_string);
        return GateResult::undecided(gate, why);
    }
    let part = match &gate.gate.part {
        None => None,
        Some(part) => {
            let found = record.header.find_part(part);
            if found.is_none() {
                let kind = part.kind.as_str();
                let why = format!("the run has no {kind} named `{}`", part.name);
                return GateResult::undecided(gate, why);
            }
            found
        }
    };
    let subject = Subject {
        phases: &phases,
        tallied,
        part,
    };
    let mut result = match gate.gate.metric {
        Metric::Latency { kind, percentile } => requests::latency(gate, &subject, kind, percentile),
        Metric::ErrorRate => requests::error_rate(gate, &subject),
        Metric::Throughput | Metric::Goodput | Metric::TokensPerSecond => {
            requests::rate(gate, &subject)
        }
        Metric::Telemetry(metric) => telemetry::judge(record, gate, &phases, metric),
        Metric::EnergyPerRequest => energy::judge(record, gate, &subject),
        Metric::Scaling(metric) => scaling::judge(record, gate, &phases, metric),
        Metric::Growth(metric) => growth::sampled(record, gate, &phases, metric),
        Metric::Drift { kind, percentile } => growth::drift(gate, &subject, kind, percentile),
    };
    if let [phase] = &phases[..]
        && let Some(early) = lookout::replay(phase, &gate.text, &record.header.requests)
    {
        result.verdict = early.verdict;
        result.reason = format!(
            "decided after {}, at look {} of at most {}; over the whole phase, {}",
            crate::units::seconds(early.at_s as f64),
            early.look,
            early.looks,
            result.reason
        );
    }
    let doubts = undermining(record, gate, result.verdict);
    if let Some(doubt) = doubts.first() {
        let stands = (result.verdict == Verdict::Fail)
            .then(|| generator::cannot_explain(&doubts, gate, &subject, &record.header.requests))
            .flatten();
        let Some(words) = stands else {
            leave_undecided(&mut result, doubt);
            return result;
        };
        result.reason = format!("{}; {doubt}; {words}", result.reason);
    }
    // What the generator adds makes latencies longer, never shorter: only a FAIL can be its fault.
    if result.verdict == Verdict::Fail
        && let Metric::Latency { kind, percentile } = gate.gate.metric
        && let Some(late) = generator::too_late(&gate.gate, &phases)
        && requests::latency(&late.forgiving(gate), &subject, kind, percentile).verdict
            != Verdict::Fail
    {
        result.verdict = Verdict::Inconclusive;
        result.reason = late.doubt.to_string();
        return result;
    }
    if let Some(change) = unsteady::against(result.verdict, gate, &record.doubts)
        && gate.gate.worst.is_none()
        && let Some(turned) = unsteady::turned(&change.trial, gate, &subject, result.verdict)
    {
        result.verdict = Verdict::Inconclusive;
        result.reason = format!("{}; {turned}", change.doubt);
    }
    if causes == Causes::Sought {
        result.explanations = explain::explain(record, &result, &subject);
    }
    result
}

/// The doubts that take the ground from under a result.
fn undermining<'a>(record: &'a RunRecord, gate: &ScopedGate, verdict: Verdict) -> Vec<&'a Doubt> {
    let concerns = |doubt: &&Doubt| {
        doubt
            .phase()
            .is_none_or(|phase| gate.scope.phase.is_none_or(|own| own == phase))
    };
    let undermines = match gate.gate.metric {
        metric if metric.is_of_requests() => Doubt::undermines_requests,
        // A GPU that waits for a generator that cannot send has not shown what it could do.
        Metric::Telemetry(_) if gate.gate.op == Op::Above && verdict == Verdict::Fail => {
            Doubt::blames_generator
        }
        // Nor one that idles, and takes its power for few requests.
        Metric::EnergyPerRequest if verdict == Verdict::Fail => Doubt::blames_generator,
        _ => |_: &Doubt| false,
    };
    let doubts = record.doubts.iter().filter(concerns);
    doubts.filter(|doubt| undermines(doubt)).collect()
}

/// Makes a result INCONCLUSIVE for a doubt. Where it is so already for want of certainty, the doubt is the reason:
/// more of the same would decide nothing. Where nothing could be estimated at all, that stays the reason.
fn leave_undecided(result: &mut GateResult, doubt: &Doubt) {
    let is_estimated = result.lower.is_some() || result.upper.is_some() || result.share.is_some();
    if result.verdict != Verdict::Inconclusive || is_estimated {
        result.verdict = Verdict::Inconclusive;
        result.reason = doubt.to_string();
    }
}

/// The one line that says it all.
fn headline(verdict: Verdict, results: &[GateResult], record: &RunRecord) -> String {
    let of = |wanted: Verdict| {
        results
            .iter()
            .filter(move |result| result.verdict == wanted)
    };
    let passed = of(Verdict::Pass).count();
    let name = |result: &GateResult| format!("`{}` ({})", result.gate.text, result.gate.scope);
    let counts = format!(
        "{passed} of {} gate{} pass{}",
        results.len(),
        if results.len() == 1 { "" } else { "s" },
        if passed == 1 && results.len() == 1 {
            "es"
        } else {
            ""
        }
    );
    let first = |wanted: Verdict, words: &str| {
        let mut all = of(wanted);
        let first = all.next()?;
        let more = all.count();
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        Some(format!("{}{more} {words}: {}", name(first), first.why()))
    };
    let mut parts = Vec::new();
    match verdict {
        Verdict::Pass => {}
        Verdict::Fail => parts.extend(first(Verdict::Fail, "failed")),
        Verdict::Inconclusive => {
            if results.is_empty() {
                parts.push("the scenario has no gates".to_owned());
            }
            match record.doubts.iter().find(|doubt| doubt.forbids_pass()) {
                Some(doubt) => parts.push(doubt.to_string()),
                None => parts.extend(first(Verdict::Inconclusive, "cannot be judged")),
            }
        }
    }
    let mut line = format!("{verdict}: {counts}");
    for part in parts {
        line.push_str("; ");
        line.push_str(&part);
    }
    line
}

/// The judgement when `lower` and `upper` bound the true value.
fn decide(op: Op, limit: f64, lower: f64, upper: f64) -> Verdict {
    let (good, bad) = match op {
        Op::Below => (upper < limit, lower > limit),
        Op::Above => (lower > limit, upper < limit),
    };
    if good {
        Verdict::Pass
    } else if bad {
        Verdict::Fail
    } else {
        Verdict::Inconclusive
    }
}

/// A value in the unit of the gate's limit.
fn shown(gate: &Gate, value: f64) -> String {
    gate.limit.alike(value)
}
