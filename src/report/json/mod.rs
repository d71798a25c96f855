//! `run.json`: the result for other programs, schema-versioned.
//!
//! Units stand in the names of fields, and `null` stands where there is no data; nothing is made up
//! to fill a gap.

mod load;
mod login;
mod phase;
mod streams;
mod telemetry;

use crate::record::{Doubt, Environment, ProtocolInfo, RunRecord, TargetInfo};
use crate::report::rows::doubt_scope;
use crate::units::Dimension;
use crate::verdict::{Explanation, GateResult, GrowthEvidence, Judgement, ShareEvidence, Verdict};
use login::LoginJson;
use phase::PhaseJson;
use serde::Serialize;
use telemetry::{Gpus, Instrument, Telemetry};

/// The version of the format. It changes when a field goes away or changes its meaning.
pub const SCHEMA: &str = "bench.run/1";

/// The result as pretty-printed JSON.
pub fn json(record: &RunRecord, judgement: &Judgement) -> String {
    let run = Run::of(record, judgement);
    let mut text = serde_json::to_string_pretty(&run)
        .expect("its maps have names for keys, and numbers that are none are null");
    text.push('\n');
    text
}

/// The order of the fields is that of the file.
#[derive(Serialize)]
struct Run<'a> {
    schema: &'static str,
    id: &'a str,
    scenario: &'a str,
    started_at: &'a str,
    verdict: Verdict,
    partial: bool,
    simulated: bool,
    headline: &'a str,
    gates: Vec<GateJson<'a>>,
    phases: Vec<PhaseJson<'a>>,
    telemetry: Telemetry<'a>,
    instrument: Instrument<'a>,
    gpu: Gpus<'a>,
    environment: &'a Environment,
    duration_s: f64,
    seed: u64,
    workers: usize,
    scenario_file: ScenarioFile<'a>,
    doubts: Vec<DoubtJson<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logins: Vec<LoginJson<'a>>,
    target: Target<'a>,
    notes: Notes,
}

#[derive(Serialize)]
struct ScenarioFile<'a> {
    path: &'a str,
    sha256: &'a str,
}

#[derive(Serialize)]
struct Target<'a> {
    url: &'a str,
    reference: bool,
    misbehaviour: &'a str,
    timeout_s: f64,
    http: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_streams: Option<u32>,
}

impl<'a> Target<'a> {
    fn of(target: &'a TargetInfo) -> Self {
        let (http, max_streams) = match target.protocol {
            ProtocolInfo::Http1 => ("1.1", None),
            ProtocolInfo::Http2 { max_streams } => ("2", Some(max_streams)),
        };
        Self {
            url: &target.url,
            reference: target.reference,
            misbehaviour: &target.misbehaviour,
            timeout_s: seconds(target.timeout_ns),
            http,
            max_streams,
        }
    }
}

/// What a reader of the numbers must know.
#[derive(Serialize)]
struct Notes {
    latencies: &'static str,
    gates: &'static str,
    times: &'static str,
}

const NOTES: Notes = Notes {
    latencies: "percentiles in phases[] are over successful requests of the measured window; response \
                counts from the intended start, service from the actual send",
    gates: "requests that failed or timed out count as slower than any limit; lower and upper are \
            one-sided 95 % bounds of the true value",
    times: "seconds ending in _at_s count from the start of the run",
};

#[derive(Serialize)]
struct GateJson<'a> {
    scope: String,
    gate: &'a str,
    metric: String,
    verdict: Verdict,
    observed: Option<f64>,
    lower: Option<f64>,
    upper: Option<f64>,
    limit: Option<f64>,
    op: &'static str,
    unit: &'static str,
    samples: u64,
    reason: &'a str,
    /// What the data says about the cause; empty for a gate that passed.
    explanations: &'a [Explanation],
    share: Option<ShareEvidence>,
    /// Rates are in the unit of the metric per second; blocks are seconds and values.
    #[serde(skip_serializing_if = "Option::is_none")]
    growth: Option<&'a GrowthEvidence>,
}

impl<'a> GateJson<'a> {
    fn of(result: &'a GateResult) -> Self {
        let gate = &result.gate.gate;
        let (unit, factor) = unit(gate.limit.dimension);
        let shown = |value: Option<f64>| value.and_then(|value| number(value * factor));
        Self {
            scope: result.gate.scope.to_string(),
            gate: &result.gate.text,
            metric: gate.metric.to_string(),
            verdict: result.verdict,
            observed: shown(result.observed),
            lower: shown(result.lower),
            upper: shown(result.upper),
            limit: shown(Some(gate.limit.value)),
            op: gate.op.symbol(),
            unit,
            samples: result.samples,
            reason: &result.reason,
            explanations: &result.explanations,
            share: result.share.map(rounded),
            growth: result.growth.as_ref(),
        }
    }
}

fn rounded(share: ShareEvidence) -> ShareEvidence {
    let tidy = |value: f64| number(value).unwrap_or(value);
    ShareEvidence {
        design_effect: tidy(share.design_effect),
        effective_requests: tidy(share.effective_requests),
        burst_reach: share.burst_reach.map(tidy),
        lower: tidy(share.lower),
        upper: tidy(share.upper),
        ..share
    }
}

/// The unit of a gate's values, and what a value in the base unit is multiplied by.
pub(crate) fn unit(dimension: Dimension) -> (&'static str, f64) {
    match dimension {
        // Latencies are in milliseconds everywhere in this file.
        Dimension::Time => ("ms", 1000.0),
        Dimension::Ratio => ("ratio", 1.0),
        Dimension::Bytes => ("bytes", 1.0),
        Dimension::PerSecond => ("per_second", 1.0),
        Dimension::Temperature => ("celsius", 1.0),
        Dimension::Power => ("watts", 1.0),
        Dimension::Energy => ("joules", 1.0),
        Dimension::Count => ("count", 1.0),
        Dimension::BytesPerSecond => ("bytes_per_hour", 3600.0),
        Dimension::Drift => ("ms_per_hour", 3_600_000.0),
    }
}

#[derive(Serialize)]
struct DoubtJson<'a> {
    #[serde(flatten)]
    doubt: &'a Doubt,
    scope: &'a str,
    forbids_pass: bool,
    text: String,
}

impl<'a> Run<'a> {
    fn of(record: &'a RunRecord, judgement: &'a Judgement) -> Self {
        let header = &record.header;
        Self {
            schema: SCHEMA,
            id: &header.id,
            scenario: &header.scenario.name,
            started_at: &header.started_at,
            verdict: judgement.verdict,
            partial: record.is_partial(),
            simulated: record.is_simulated(),
            headline: &judgement.headline,
            gates: judgement.gates.iter().map(GateJson::of).collect(),
            phases: PhaseJson::all(record),
            telemetry: Telemetry::of(record),
            instrument: Instrument::of(record),
            gpu: Gpus::of(&header.environment),
            environment: &header.environment,
            duration_s: seconds(record.ended_ns),
            seed: header.seed,
            workers: header.workers,
            scenario_file: ScenarioFile {
                path: &header.scenario.file,
                sha256: &header.scenario.sha256,
            },
            logins: record.logins.iter().map(LoginJson::of).collect(),
            doubts: record
                .doubts
                .iter()
                .map(|doubt| DoubtJson {
                    doubt,
                    scope: doubt_scope(record, doubt),
                    forbids_pass: doubt.forbids_pass(),
                    text: doubt.to_string(),
                })
                .collect(),
            target: Target::of(&header.target),
            notes: NOTES,
        }
    }
}

/// Nanoseconds as seconds.
pub(super) fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// A number with nine significant digits: what lies behind them differs between machines and means
/// nothing. `None` for what is no number.
pub(crate) fn number(value: f64) -> Option<f64> {
    if !value.is_finite() {
        return None;
    }
    // Printing and reading is the rounding that cannot leave a tail of its own.
    format!("{value:.8e}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use serde_json::Value;

    fn value((record, judgement): &(RunRecord, Judgement)) -> Value {
        serde_json::from_str(&json(record, judgement)).unwrap()
    }

    fn keys(value: &Value) -> String {
        let keys = value.as_object().unwrap().keys().map(String::as_str);
        keys.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn has_this_shape() {
        let run = value(sample::prod());
        insta::assert_snapshot!(keys(&run), @"schema id scenario started_at verdict partial simulated headline gates phases telemetry instrument gpu environment duration_s seed workers scenario_file doubts target notes");
        insta::assert_snapshot!(keys(&run["gates"][0]), @"scope gate metric verdict observed lower upper limit op unit samples reason explanations share");
        insta::assert_snapshot!(keys(&run["phases"][0]), @"name state load group warmup_s measured_s started_at_s requests warmup_requests throughput_rps response service ttfb goodput streams by_request connections send_lag steps achieved errors");
        insta::assert_snapshot!(keys(&run["telemetry"]["phases"][0]["series"][0]), @"metric instance mean min max coverage longest_gap_s samples");
        insta::assert_snapshot!(keys(&run["instrument"]["phases"][0]), @"phase busiest_worker send_lag receive_stamps client_queue lateness mean_in_flight mean_at_target loop_delay worker_cpu worker_wait cpu_stolen descriptors_used ports_used generator_cpu_mean generator_memory_max_bytes");
        let text = serde_json::to_string_pretty(&run["phases"][1]["requests"]).unwrap();
        insta::assert_snapshot!(text, @r#"
        {
          "planned": 63137,
          "sent": 63137,
          "ok": 62523,
          "failed": 464,
          "timed_out": 150,
          "in_flight_at_end": 0,
          "outcomes": {
            "ok": 62523,
            "bad_status": 309,
            "failed_check": 0,
            "timeout": 150,
            "connect": 0,
            "reset": 155,
            "malformed": 0,
            "shed": 0,
            "in_flight_at_end": 0
          }
        }
        "#);
        let text = serde_json::to_string_pretty(&run["phases"][1]["errors"][0]).unwrap();
        insta::assert_snapshot!(text, @r#"
        {
          "request": "infer",
          "outcome": "bad_status",
          "cause": "status 503",
          "count": 297,
          "first_at_s": 35.722729815,
          "detail": "Service Unavailable",
          "body": "<html><body><h1>503</h1><script>alert('x')</script>\n\\xff\\xfe queue full"
        }
        "#);
        let text = serde_json::to_string_pretty(&run["doubts"]).unwrap();
        insta::assert_snapshot!(text, @r#"
        [
          {
            "doubt": "clock_step",
            "at_ns": 41000000000,
            "by_ms": -1200,
            "scope": "run",
            "forbids_pass": false,
            "text": "the wall clock was set by -1200 ms at 41.0 s; latencies are measured on the monotonic clock"
          },
          {
            "doubt": "generator_busy",
            "phase": 1,
            "busy": 0.7636400651999999,
            "scope": "c1000",
            "forbids_pass": false,
            "text": "the generator was busy: its busiest worker was occupied 76.4 % of the time, which adds to the upper percentiles"
          },
          {
            "doubt": "simulated",
            "source": "gpu",
            "scope": "run",
            "forbids_pass": false,
            "text": "telemetry `gpu` is SIMULATED: its values are made up"
          }
        ]
        "#);
    }

    #[test]
    fn every_count_of_a_phase_adds_up() {
        for (name, run) in sample::all() {
            for phase in value(&run)["phases"].as_array().unwrap() {
                let requests = &phase["requests"];
                if requests.is_null() {
                    continue;
                }
                let outcomes = requests["outcomes"].as_object().unwrap();
                let ended: u64 = outcomes.values().filter_map(Value::as_u64).sum();
                assert_eq!(outcomes.len(), 9, "{name}");
                assert_eq!(requests["planned"].as_u64(), Some(ended), "{name}");
                assert_eq!(requests["ok"], phase["response"]["count"], "{name}");
            }
        }
    }

    #[test]
    fn what_is_not_known_is_null() {
        let run = value(sample::preflight_failed());
        assert_eq!(run["verdict"], "INCONCLUSIVE");
        assert_eq!(run["partial"], true);
        assert_eq!(run["phases"][0]["state"], "not_begun");
        assert!(run["phases"][0]["response"].is_null());
        assert!(run["gates"][0]["observed"].is_null());
        assert_eq!(run["gates"][0]["limit"], 100.0);
        assert_eq!(run["telemetry"]["sources"][0]["state"], "unavailable");
        let run = value(sample::all_failed());
        assert!(run["phases"][0]["response"]["p99_ms"].is_null());
        assert_eq!(run["phases"][0]["throughput_rps"], 0.0);
    }

    #[test]
    fn numbers_have_no_tail() {
        assert_eq!(number(0.1 + 0.2), Some(0.3));
        assert_eq!(number(1e9 / 3.0), Some(333_333_333.0));
        assert_eq!(number(0.0), Some(0.0));
        assert_eq!(number(f64::NAN), None);
    }
}
