//! The phases in `run.json`: requests, latencies, connections, errors.
//!
//! Every phase of the plan is there; those that never began have no numbers.

use super::load::LoadJson;
use super::streams::{GoodputJson, StreamsJson};
use super::{number, seconds};
use crate::record::{
    Achieved, Connections, Distribution as _, ErrorTally, Latencies, Outcome, PhaseInfo,
    PhaseRecord, RequestTally, RunRecord, Steps, TryTally,
};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
pub(super) struct PhaseJson<'a> {
    name: &'a str,
    state: &'static str,
    load: LoadJson<'a>,
    group: Option<&'a str>,
    warmup_s: f64,
    measured_s: Option<f64>,
    started_at_s: Option<f64>,
    requests: Option<Requests>,
    warmup_requests: Option<Requests>,
    throughput_rps: Option<f64>,
    response: Option<LatencyJson>,
    service: Option<LatencyJson>,
    ttfb: Option<LatencyJson>,
    goodput: Option<GoodputJson<'a>>,
    streams: Option<StreamsJson>,
    by_request: Vec<ByRequest<'a>>,
    connections: Option<ConnectionsJson>,
    send_lag: Option<LatencyJson>,
    steps: Option<StepsJson>,
    /// What the GPU of the reference API achieved.
    achieved: Option<AchievedJson>,
    errors: Vec<ErrorJson<'a>>,
}

#[derive(Serialize)]
struct AchievedJson {
    operations_per_second: Option<f64>,
    busy: Option<f64>,
    of_ceiling: Option<f64>,
}

impl AchievedJson {
    fn of(record: &RunRecord, phase: &PhaseRecord) -> Option<Self> {
        let achieved = Achieved::of(record, phase)?;
        Some(Self {
            operations_per_second: number(achieved.operations_per_second),
            busy: achieved.busy.and_then(number),
            of_ceiling: achieved.of_ceiling.and_then(number),
        })
    }
}

impl<'a> PhaseJson<'a> {
    pub(super) fn all(record: &'a RunRecord) -> Vec<Self> {
        record
            .header
            .phases
            .iter()
            .enumerate()
            .map(|(index, info)| {
                let begun = record.phases.iter().find(|phase| phase.index == index);
                begun.map_or_else(|| Self::not_begun(info), |phase| Self::of(record, phase))
            })
            .collect()
    }

    fn not_begun(info: &'a PhaseInfo) -> Self {
        Self {
            name: &info.name,
            state: "not_begun",
            load: LoadJson::of(&info.load),
            group: info.group.as_deref(),
            warmup_s: seconds(info.warmup_ns),
            measured_s: None,
            started_at_s: None,
            requests: None,
            warmup_requests: None,
            throughput_rps: None,
            response: None,
            service: None,
            ttfb: None,
            goodput: None,
            streams: None,
            by_request: Vec::new(),
            connections: None,
            send_lag: None,
            steps: None,
            achieved: None,
            errors: Vec::new(),
        }
    }

    fn of(record: &'a RunRecord, phase: &'a PhaseRecord) -> Self {
        let total = &phase.total;
        let is_measured = phase.measured_ns() > 0;
        Self {
            state: if phase.ended_ns.is_some() {
                "ended"
            } else {
                "cut_off"
            },
            measured_s: Some(seconds(phase.measured_ns())),
            started_at_s: Some(seconds(phase.started_ns)),
            requests: Some(Requests::of(total)),
            warmup_requests: Some(Requests::of(&phase.warmup.total())),
            throughput_rps: is_measured.then(|| number(phase.throughput())).flatten(),
            response: Some(LatencyJson::of(&total.response)),
            service: Some(LatencyJson::of(&total.service)),
            ttfb: Some(LatencyJson::of(&total.ttfb)),
            goodput: GoodputJson::of(phase),
            streams: StreamsJson::of_phase(phase),
            by_request: ByRequest::all(record, phase),
            connections: Some(ConnectionsJson::of(&phase.connections)),
            send_lag: Some(LatencyJson::of(&phase.send_lag)),
            steps: Some(StepsJson::of(&phase.steps)),
            achieved: AchievedJson::of(record, phase),
            errors: phase
                .errors
                .by_frequency()
                .into_iter()
                .map(|error| ErrorJson::of(record, error))
                .collect(),
            ..Self::not_begun(&phase.info)
        }
    }
}

#[derive(Serialize)]
struct Requests {
    planned: u64,
    sent: u64,
    ok: u64,
    failed: u64,
    timed_out: u64,
    in_flight_at_end: u64,
    outcomes: BTreeMap<Outcome, u64>,
}

impl Requests {
    fn of(tally: &RequestTally) -> Self {
        let of = |outcome: Outcome| tally.outcomes.of(outcome);
        Self {
            planned: tally.planned,
            sent: tally.sent,
            ok: of(Outcome::Ok),
            failed: tally.outcomes.failed(),
            timed_out: of(Outcome::Timeout),
            in_flight_at_end: of(Outcome::InFlightAtEnd),
            outcomes: Outcome::ALL
                .into_iter()
                .map(|outcome| (outcome, of(outcome)))
                .collect(),
        }
    }
}

/// A histogram in a few numbers.
#[derive(Serialize)]
pub(super) struct LatencyJson {
    count: u64,
    mean_ms: Option<f64>,
    p50_ms: Option<f64>,
    p90_ms: Option<f64>,
    p99_ms: Option<f64>,
    p999_ms: Option<f64>,
    max_ms: Option<f64>,
}

impl LatencyJson {
    pub(super) fn of(latencies: &Latencies) -> Self {
        let ms = |ns: Option<u64>| ns.map(|ns| ns as f64 / 1e6);
        let at = |quantile: f64| ms(latencies.quantile_ns(quantile));
        Self {
            count: latencies.count(),
            mean_ms: latencies.mean_ns().and_then(|ns| number(ns / 1e6)),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: ms(latencies.max_ns()),
        }
    }
}

#[derive(Serialize)]
struct ByRequest<'a> {
    name: &'a str,
    method: &'a str,
    path: &'a str,
    requests: Requests,
    response: LatencyJson,
    service: LatencyJson,
    ttfb: LatencyJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    streams: Option<StreamsJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tries: Option<TriesJson>,
    /// Of a flow.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    steps: Vec<Self>,
}

impl<'a> ByRequest<'a> {
    fn all(record: &'a RunRecord, phase: &PhaseRecord) -> Vec<Self> {
        let mut of_steps = phase.flow_steps.requests().iter();
        let mut all = Vec::new();
        for (index, info) in record.header.requests.iter().enumerate() {
            let steps = info.steps.iter().map(|step| {
                let nothing = RequestTally::default();
                let tally = of_steps.next().unwrap_or(&nothing);
                Self::of(&step.name, &step.method, &step.path, tally)
            });
            let steps: Vec<Self> = steps.collect();
            let tally = phase.measured.requests().get(index);
            if let Some(tally) = tally.filter(|tally| !tally.is_empty()) {
                all.push(Self {
                    steps,
                    ..Self::of(&info.name, &info.method, &info.path, tally)
                });
            }
        }
        all
    }

    fn of(name: &'a str, method: &'a str, path: &'a str, tally: &RequestTally) -> Self {
        Self {
            name,
            method,
            path,
            requests: Requests::of(tally),
            response: LatencyJson::of(&tally.response),
            service: LatencyJson::of(&tally.service),
            ttfb: LatencyJson::of(&tally.ttfb),
            streams: StreamsJson::of(&tally.streams),
            tries: TriesJson::of(&tally.tries),
            steps: Vec::new(),
        }
    }
}

/// Answers that turned requests away, and further tries.
#[derive(Serialize)]
struct TriesJson {
    turned_away: u64,
    with_retry_after: u64,
    retry_after: LatencyJson,
    retried: u64,
    retries: u64,
    not_yet: u64,
}

impl TriesJson {
    fn of(tries: &TryTally) -> Option<Self> {
        (!tries.is_empty()).then(|| Self {
            turned_away: tries.turned_away,
            with_retry_after: tries.told,
            retry_after: LatencyJson::of(&tries.asked),
            retried: tries.retried,
            retries: tries.retries,
            not_yet: tries.not_yet,
        })
    }
}

#[derive(Serialize)]
struct ConnectionsJson {
    opened: u64,
    failed: u64,
    reopened: u64,
    connect: LatencyJson,
}

impl ConnectionsJson {
    fn of(connections: &Connections) -> Self {
        Self {
            opened: connections.opened,
            failed: connections.failed,
            reopened: connections.reopened,
            connect: LatencyJson::of(&connections.connect),
        }
    }
}

/// Where the time of requests went.
#[derive(Serialize)]
struct StepsJson {
    dns: LatencyJson,
    tcp: LatencyJson,
    tls: LatencyJson,
    send: LatencyJson,
    wait: LatencyJson,
    transfer: LatencyJson,
}

impl StepsJson {
    fn of(steps: &Steps) -> Self {
        Self {
            dns: LatencyJson::of(&steps.dns),
            tcp: LatencyJson::of(&steps.tcp),
            tls: LatencyJson::of(&steps.tls),
            send: LatencyJson::of(&steps.send),
            wait: LatencyJson::of(&steps.wait),
            transfer: LatencyJson::of(&steps.transfer),
        }
    }
}

#[derive(Serialize)]
struct ErrorJson<'a> {
    request: Option<String>,
    outcome: Outcome,
    cause: String,
    count: u64,
    first_at_s: f64,
    detail: &'a str,
    body: &'a str,
}

impl<'a> ErrorJson<'a> {
    fn of(record: &'a RunRecord, error: &'a ErrorTally) -> Self {
        Self {
            request: record.name_of(&error.key),
            outcome: error.key.outcome,
            cause: error.key.cause.to_string(),
            count: error.count,
            first_at_s: seconds(error.first_ns),
            detail: &error.detail,
            body: &error.body,
        }
    }
}
