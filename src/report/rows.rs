//! What the views for people have in common: the words and numbers of gates, phases and doubts.
//!
//! Text only; each view escapes it for its own format.

use crate::gate::{LatencyKind, Metric};
use crate::record::{
    Achieved, Distribution as _, Doubt, Latencies, Outcome, PhaseRecord, ProtocolInfo,
    RequestTally, RunRecord, Series, Source, Steps,
};
use crate::units;
use crate::verdict::{GateResult, Judgement, Verdict};

/// What stands where there is no value.
pub(super) const NOTHING: &str = "–";

/// One gate in words.
pub(super) struct GateRow<'a> {
    pub(super) verdict: Verdict,
    pub(super) scope: String,
    pub(super) gate: &'a str,
    pub(super) observed: String,
    /// The interval at 95 % on each side; empty where there is none.
    pub(super) interval: String,
    pub(super) limit: String,
    /// Why, with what is known of the cause.
    pub(super) why: String,
    pub(super) samples: String,
}

/// All gates in words.
pub(super) fn gates(judgement: &Judgement) -> Vec<GateRow<'_>> {
    judgement.gates.iter().map(GateRow::of).collect()
}

impl<'a> GateRow<'a> {
    fn of(result: &'a GateResult) -> Self {
        let gate = &result.gate.gate;
        let shown = |value: f64| gate.limit.alike(value);
        let is_latency = matches!(gate.metric, Metric::Latency { .. });
        let observed = match result.observed {
            Some(value) => shown(value),
            // The percentile is one of a request that failed or never ended.
            None if is_latency && result.samples > 0 => "not ok".to_owned(),
            None => NOTHING.to_owned(),
        };
        let interval = match (result.lower, result.upper) {
            (Some(lower), Some(upper)) => format!("{} to {}", shown(lower), shown(upper)),
            (Some(lower), None) => format!("at least {}", shown(lower)),
            (None, Some(upper)) => format!("at most {}", shown(upper)),
            (None, None) => String::new(),
        };
        Self {
            verdict: result.verdict,
            scope: result.gate.scope.to_string(),
            gate: &result.gate.text,
            observed,
            interval,
            limit: format!("{} {}", gate.op.symbol(), gate.limit),
            why: result.why(),
            samples: units::count(result.samples),
        }
    }
}

/// A latency of a histogram in words.
fn latency(ns: Option<u64>) -> String {
    ns.map_or_else(|| NOTHING.to_owned(), |ns| units::seconds(ns as f64 / 1e9))
}

/// The latencies of one kind in words.
pub(super) struct LatencyRow {
    pub(super) count: String,
    pub(super) mean: String,
    pub(super) p50: String,
    pub(super) p90: String,
    pub(super) p99: String,
    pub(super) p999: String,
    pub(super) max: String,
}

impl LatencyRow {
    pub(super) fn of(latencies: &Latencies) -> Self {
        let at = |quantile: f64| latency(latencies.quantile_ns(quantile));
        Self {
            count: units::count(latencies.count()),
            mean: latencies
                .mean_ns()
                .map_or_else(|| NOTHING.to_owned(), |ns| units::seconds(ns / 1e9)),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: latency(latencies.max_ns()),
        }
    }
}

/// The steps of a request that have a histogram, in their order, with their names in reports.
pub(super) fn steps(steps: &Steps) -> [(&'static str, &Latencies); 7] {
    [
        ("DNS", &steps.dns),
        ("TCP connect", &steps.tcp),
        ("TLS", &steps.tls),
        ("send", &steps.send),
        ("wait", &steps.wait),
        ("transfer", &steps.transfer),
        ("client queue", &steps.client_queue),
    ]
}

/// How requests ended, in words.
pub(super) struct CountRow {
    pub(super) planned: String,
    pub(super) ok: String,
    pub(super) failed: String,
    pub(super) timed_out: String,
    pub(super) in_flight_at_end: String,
    /// The share that did not succeed; nothing where no request ended.
    pub(super) error_rate: String,
    pub(super) has_failed: bool,
    pub(super) has_timed_out: bool,
    pub(super) has_in_flight_at_end: bool,
}

impl CountRow {
    pub(super) fn of(tally: &RequestTally) -> Self {
        let outcomes = &tally.outcomes;
        let of = |outcome: Outcome| units::count(outcomes.of(outcome));
        Self {
            planned: units::count(tally.planned),
            ok: of(Outcome::Ok),
            failed: units::count(outcomes.failed()),
            timed_out: of(Outcome::Timeout),
            in_flight_at_end: of(Outcome::InFlightAtEnd),
            error_rate: if outcomes.total() > 0 {
                units::percent(outcomes.not_ok() as f64 / outcomes.total() as f64)
            } else {
                NOTHING.to_owned()
            },
            has_failed: outcomes.failed() > 0,
            has_timed_out: outcomes.of(Outcome::Timeout) > 0,
            has_in_flight_at_end: outcomes.of(Outcome::InFlightAtEnd) > 0,
        }
    }
}

/// One phase in words.
pub(super) struct PhaseRow {
    pub(super) name: String,
    pub(super) load: String,
    pub(super) measured: String,
    pub(super) counts: CountRow,
    pub(super) rate: String,
    pub(super) response: LatencyRow,
    pub(super) service: LatencyRow,
    /// What waiting to be sent, and here to be read, adds to the 99th percentile; nothing without latencies.
    pub(super) queueing: String,
}

impl PhaseRow {
    pub(super) fn of(phase: &PhaseRecord) -> Self {
        let p99 = |kind: LatencyKind| phase.latencies(kind).quantile_ns(0.99);
        let queueing = match (p99(LatencyKind::Response), p99(LatencyKind::Service)) {
            (Some(response), Some(service)) => {
                units::seconds(response.saturating_sub(service) as f64 / 1e9)
            }
            _ => NOTHING.to_owned(),
        };
        let is_measured = phase.measured_ns() > 0;
        Self {
            name: phase.info.name.clone(),
            load: phase.info.load.describe(),
            measured: units::seconds(phase.measured_ns() as f64 / 1e9),
            counts: CountRow::of(&phase.total),
            rate: match phase.offered_rate() {
                _ if !is_measured => NOTHING.to_owned(),
                None => format!("{}/s", units::number(phase.throughput())),
                Some(offered) => format!(
                    "{} of {}/s",
                    units::number(phase.throughput()),
                    units::number(offered)
                ),
            },
            response: LatencyRow::of(&phase.total.response),
            service: LatencyRow::of(&phase.total.service),
            queueing,
        }
    }
}

/// The streams of one phase in words.
pub(super) struct StreamRow {
    pub(super) phase: String,
    pub(super) streams: String,
    pub(super) tokens: String,
    /// How they were counted, and how many an event carried.
    pub(super) counted: String,
    pub(super) rate: String,
    pub(super) per_user: String,
    pub(super) ttft: LatencyRow,
    pub(super) itl: LatencyRow,
    pub(super) tpot: LatencyRow,
}

/// The streams of every phase that had some, in words.
pub(super) fn streams(record: &RunRecord) -> Vec<StreamRow> {
    let with_streams = record
        .phases
        .iter()
        .filter(|phase| !phase.total.streams.is_empty());
    with_streams
        .map(|phase| {
            let streams = &phase.total.streams;
            let per_second = |rate: Option<f64>| {
                rate.map_or_else(
                    || NOTHING.to_owned(),
                    |rate| format!("{}/s", units::number(rate)),
                )
            };
            let per_event = streams.tokens_per_event().map_or_else(
                || NOTHING.to_owned(),
                |per_event| format!("{} an event", units::number(per_event)),
            );
            StreamRow {
                phase: phase.info.name.clone(),
                streams: units::count(streams.ok),
                tokens: units::count(streams.tokens),
                counted: format!("by {}, {per_event}", streams.counted_by()),
                rate: per_second(phase.tokens_per_second()),
                per_user: per_second(streams.tokens_per_second_per_user()),
                ttft: LatencyRow::of(&streams.ttft),
                itl: LatencyRow::of(&streams.itl),
                tpot: LatencyRow::of(&streams.tpot),
            }
        })
        .collect()
}

/// The goodput of one phase in words.
pub(super) struct GoodputRow {
    pub(super) phase: String,
    pub(super) goodput: String,
    pub(super) share: String,
    pub(super) slo: String,
}

/// The goodput of every phase that has objectives, in words.
pub(super) fn goodputs(record: &RunRecord) -> Vec<GoodputRow> {
    let phases = record.phases.iter();
    phases
        .filter_map(|phase| {
            let goodput = phase.goodput()?;
            let ended = phase.total.outcomes.total();
            Some(GoodputRow {
                phase: phase.info.name.clone(),
                goodput: format!("{}/s", units::number(goodput)),
                share: if ended > 0 {
                    units::percent(phase.total.good as f64 / ended as f64)
                } else {
                    NOTHING.to_owned()
                },
                slo: phase.info.slo.join(", "),
            })
        })
        .collect()
}

/// All phases that began, in words.
pub(super) fn phases(record: &RunRecord) -> Vec<PhaseRow> {
    record.phases.iter().map(PhaseRow::of).collect()
}

/// The names of phases that never began.
pub(super) fn phases_not_begun(record: &RunRecord) -> Vec<&str> {
    record
        .header
        .phases
        .iter()
        .enumerate()
        .filter(|(index, _)| record.phases.iter().all(|phase| phase.index != *index))
        .map(|(_, info)| info.name.as_str())
        .collect()
}

/// What a doubt concerns: a phase, or the run.
pub(super) fn doubt_scope<'a>(record: &'a RunRecord, doubt: &Doubt) -> &'a str {
    doubt
        .phase()
        .and_then(|index| record.header.phases.get(index))
        .map_or("run", |phase| &phase.name)
}

/// What a doubt does to the judgement.
pub(super) fn doubt_weight(doubt: &Doubt) -> &'static str {
    if doubt.forbids_pass() {
        "the run cannot pass"
    } else if doubt.undermines_requests() {
        "gates on requests cannot be judged"
    } else {
        "for the reader to weigh"
    }
}

/// When the run began, for people.
pub(super) fn started(record: &RunRecord) -> String {
    moment(&record.header.started_at)
}

/// A moment for people: `2026-08-05 12:34:56 UTC`. A text that is no time stays as it is.
pub(super) fn moment(text: &str) -> String {
    text.parse::<jiff::Timestamp>().map_or_else(
        |_| text.to_owned(),
        |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

/// How long the run took.
pub(super) fn duration(record: &RunRecord) -> String {
    units::seconds(record.ended_ns as f64 / 1e9)
}

/// The target, and how it was told to misbehave if it was.
pub(super) fn target(record: &RunRecord) -> String {
    let target = &record.header.target;
    let mut text = target.url.clone();
    if target.reference {
        text.push_str(" (built-in reference API)");
    }
    if target.protocol != ProtocolInfo::default() {
        text.push_str(&format!(", {}", target.protocol));
    }
    if !target.misbehaviour.is_empty() {
        text.push_str(", told to misbehave: ");
        text.push_str(&target.misbehaviour);
    }
    text
}

/// The commit and the branch of the scenario, as far as they are known.
pub(super) fn commit(record: &RunRecord) -> Option<String> {
    let environment = &record.header.environment;
    let commit = environment.git_commit.as_ref()?;
    // The first twelve digits name a commit; what follows the digits (`-dirty`) matters too.
    let digits = commit
        .find(|c: char| !c.is_ascii_hexdigit())
        .unwrap_or(commit.len());
    let mut text = commit.get(..digits.min(12)).unwrap_or(commit).to_owned();
    text.push_str(&commit[digits..]);
    if let Some(branch) = &environment.git_branch {
        text.push_str(" on ");
        text.push_str(branch);
    }
    Some(text)
}

/// What the GPU of the reference API achieved, phase by phase.
pub(super) fn achieved(record: &RunRecord) -> Vec<(&str, Achieved)> {
    let phases = record.phases.iter().filter(|phase| phase.measured_ns() > 0);
    phases
        .filter_map(|phase| Some((phase.info.name.as_str(), Achieved::of(record, phase)?)))
        .collect()
}

/// The sources whose values are made up.
pub(super) fn simulated(record: &RunRecord) -> Vec<&str> {
    record
        .doubts
        .iter()
        .filter_map(|doubt| match doubt {
            Doubt::Simulated { source } => Some(source.as_str()),
            _ => None,
        })
        .collect()
}

/// Why the run did not come to its planned end; `None` if it did.
pub(super) fn partial(record: &RunRecord) -> Option<String> {
    if !record.is_partial() {
        return None;
    }
    let mut reasons: Vec<String> = record
        .doubts
        .iter()
        .filter(|doubt| doubt.forbids_pass())
        .map(ToString::to_string)
        .collect();
    let missing = phases_not_begun(record);
    if !missing.is_empty() {
        reasons.push(format!("not begun: {}", missing.join(", ")));
    }
    Some(reasons.join("; "))
}

/// Every series of a source, with its points.
pub(super) fn series_of(source: &Source) -> impl Iterator<Item = Series<'_>> {
    source.all()
}

/// The headline without the verdict in front of it.
pub(super) fn headline(judgement: &Judgement) -> &str {
    judgement
        .headline
        .strip_prefix(judgement.verdict.as_str())
        .and_then(|rest| rest.strip_prefix(": "))
        .unwrap_or(&judgement.headline)
}

/// The text with its quantities kept together: the space between a number and its unit does
/// not break.
pub(super) fn unbroken(text: &str) -> String {
    const UNITS: [&str; 15] = [
        "%", "ns", "µs", "ms", "s", "m", "h", "B", "KiB", "MiB", "GiB", "TiB", "W", "°C", "MHz",
    ];
    let mut words = text.split(' ').peekable();
    let mut joined = String::with_capacity(text.len());
    while let Some(word) = words.next() {
        joined.push_str(word);
        if let Some(next) = words.peek() {
            let is_unit = UNITS.contains(&next.trim_end_matches([',', ';', ')', '.']));
            let is_number = word.ends_with(|c: char| c.is_ascii_digit());
            joined.push(if is_number && is_unit { '\u{a0}' } else { ' ' });
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_percentile_among_failures_is_not_a_number() {
        let (_, judgement) = sample::all_failed();
        let gates = gates(judgement);
        assert_eq!(gates[0].observed, "not ok");
        assert_eq!(gates[0].interval, "");
        assert_eq!(gates[1].observed, "100 %");
        let (_, judgement) = sample::preflight_failed();
        assert_eq!(super::gates(judgement)[0].observed, NOTHING);
    }

    #[test]
    fn a_commit_keeps_its_branch_and_its_dirt() {
        let (mut record, _) = sample::calm().clone();
        assert_eq!(commit(&record).unwrap(), "4b825dc642cb on release/2.4");
        let environment = &mut record.header.environment;
        environment.git_commit = Some("4b825dc642cb6eb9a060e54bf8d69288fbee4904-dirty".to_owned());
        environment.git_branch = None;
        assert_eq!(commit(&record).unwrap(), "4b825dc642cb-dirty");
        record.header.environment.git_commit = None;
        assert_eq!(commit(&record), None);
    }

    #[test]
    fn a_run_that_was_cut_off_says_why() {
        assert_eq!(partial(&sample::prod().0), None);
        let reason = partial(&sample::counted().0).unwrap();
        assert!(reason.contains("without an end"), "{reason}");
        let reason = partial(&sample::preflight_failed().0).unwrap();
        assert!(reason.ends_with("not begun: c100, c1000"), "{reason}");
    }

    #[test]
    fn numbers_stay_with_their_units() {
        assert_eq!(
            unbroken("at 95 % each, 3 h 24 m more (1.2 GiB); 5 pigs"),
            "at 95\u{a0}% each, 3\u{a0}h 24\u{a0}m more (1.2\u{a0}GiB); 5 pigs"
        );
    }
}
