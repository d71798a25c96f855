//! `metrics.txt`: the result in the OpenMetrics text format, for a pushgateway or a textfile collector.
//!
//! Every family is a gauge or an info: the file is one moment, the end of the run. What is not known
//! has no line. Format: OpenMetrics 1.0, <https://prometheus.io/docs/specs/om/open_metrics_spec/>.

use super::json;
use crate::gate::LatencyKind;
use crate::record::{Distribution as _, RunRecord};
use crate::verdict::{Judgement, Verdict};
use std::collections::BTreeSet;

/// The quantiles that are told.
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];

/// The result in the OpenMetrics text format.
pub fn openmetrics(record: &RunRecord, judgement: &Judgement) -> String {
    let mut text = Exposition::default();
    let header = &record.header;
    let environment = &header.environment;
    text.family("bench_run", "info", "What ran.");
    let commit = environment.git_commit.as_deref().unwrap_or_default();
    text.sample(
        "bench_run_info",
        &[
            ("scenario", &header.scenario.name),
            ("run", &header.id),
            ("target", &header.target.url),
            ("commit", commit),
            ("version", &environment.bench_version),
        ],
        1.0,
    );
    text.family(
        "bench_run_verdict",
        "stateset",
        "The verdict on the whole run.",
    );
    text.verdict("bench_run_verdict", &[], judgement.verdict);
    text.family(
        "bench_run_duration_seconds",
        "gauge",
        "How long the run took.",
    );
    text.sample(
        "bench_run_duration_seconds",
        &[],
        record.ended_ns as f64 / 1e9,
    );
    for (name, help, flag) in [
        (
            "bench_run_partial",
            "Whether the run did not come to its planned end.",
            record.is_partial(),
        ),
        (
            "bench_run_simulated",
            "Whether any value is made up.",
            record.is_simulated(),
        ),
    ] {
        text.family(name, "gauge", help);
        text.sample(name, &[], f64::from(u8::from(flag)));
    }
    gates(&mut text, judgement);
    phases(&mut text, record);
    text.finish()
}

fn gates(text: &mut Exposition, judgement: &Judgement) {
    text.family("bench_gate_verdict", "stateset", "The verdict on a gate.");
    for result in &judgement.gates {
        let scope = result.gate.scope.to_string();
        let labels = [("scope", scope.as_str()), ("gate", &result.gate.text)];
        text.verdict("bench_gate_verdict", &labels, result.verdict);
    }
    for (name, help) in [
        ("bench_gate_observed", "The observed value."),
        ("bench_gate_lower", "Its one-sided 95 % lower bound."),
        ("bench_gate_upper", "Its one-sided 95 % upper bound."),
        ("bench_gate_limit", "The limit."),
    ] {
        text.family(name, "gauge", help);
        for result in &judgement.gates {
            let limit = result.gate.gate.limit;
            let value = match name {
                "bench_gate_observed" => result.observed,
                "bench_gate_lower" => result.lower,
                "bench_gate_upper" => result.upper,
                _ => Some(limit.value),
            };
            let (unit, factor) = json::unit(limit.dimension);
            let scope = result.gate.scope.to_string();
            let labels = [
                ("scope", scope.as_str()),
                ("gate", &result.gate.text),
                ("unit", unit),
            ];
            if let Some(value) = value {
                text.sample(name, &labels, value * factor);
            }
        }
    }
}

fn phases(text: &mut Exposition, record: &RunRecord) {
    text.family(
        "bench_requests",
        "gauge",
        "Requests of the measured window, by how they ended.",
    );
    for phase in &record.phases {
        for (outcome, count) in phase.total.outcomes.iter() {
            let labels = [
                ("phase", phase.info.name.as_str()),
                ("outcome", outcome.as_str()),
            ];
            text.sample("bench_requests", &labels, count as f64);
        }
    }
    text.family(
        "bench_throughput_rps",
        "gauge",
        "Successful requests per second of the measured window.",
    );
    for phase in record.phases.iter().filter(|phase| phase.measured_ns() > 0) {
        let labels = [("phase", phase.info.name.as_str())];
        text.sample("bench_throughput_rps", &labels, phase.throughput());
    }
    text.family(
        "bench_latency_seconds",
        "gauge",
        "Latencies of successful requests of the measured window.",
    );
    for phase in &record.phases {
        for kind in LatencyKind::ALL {
            for quantile in QUANTILES {
                let Some(ns) = phase.latencies(kind).quantile_ns(quantile) else {
                    continue;
                };
                let quantile = quantile.to_string();
                let labels = [
                    ("phase", phase.info.name.as_str()),
                    ("kind", kind.as_str()),
                    ("quantile", &quantile),
                ];
                text.sample("bench_latency_seconds", &labels, ns as f64 / 1e9);
            }
        }
    }
}

/// The text in the making.
#[derive(Default)]
struct Exposition {
    text: String,
    /// What has a line already: a gate that the scenario names twice is told once.
    told: BTreeSet<String>,
}

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.text
            .push_str(&format!("# TYPE {name} {kind}\n# HELP {name} {help}\n"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        // What is not a number is not known.
        if !value.is_finite() {
            return;
        }
        let mut series = name.to_owned();
        if !labels.is_empty() {
            let labels: Vec<String> = labels
                .iter()
                .map(|(name, value)| format!("{name}=\"{}\"", escape(value)))
                .collect();
            series.push_str(&format!("{{{}}}", labels.join(",")));
        }
        if self.told.insert(series.clone()) {
            self.text.push_str(&format!("{series} {value}\n"));
        }
    }

    /// One line for each possible verdict, of which one is 1.
    fn verdict(&mut self, name: &str, labels: &[(&str, &str)], verdict: Verdict) {
        for possible in [Verdict::Pass, Verdict::Fail, Verdict::Inconclusive] {
            let mut labels = labels.to_vec();
            labels.push((name, possible.as_str()));
            self.sample(name, &labels, f64::from(u8::from(possible == verdict)));
        }
    }

    fn finish(mut self) -> String {
        self.text.push_str("# EOF\n");
        self.text
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn gates_and_phases_are_there() {
        let (record, judgement) = sample::calm();
        let text = openmetrics(record, judgement);
        for wanted in [
            "bench_run_verdict{bench_run_verdict=\"PASS\"} 1\n",
            "bench_run_verdict{bench_run_verdict=\"FAIL\"} 0\n",
            "bench_gate_verdict{scope=\"c100\",gate=\"response.p99 < 100ms\",bench_gate_verdict=\"PASS\"} 1\n",
            "bench_gate_limit{scope=\"c100\",gate=\"response.p99 < 100ms\",unit=\"ms\"} 100\n",
            "bench_requests{phase=\"c100\",outcome=\"ok\"} 90269\n",
            "bench_latency_seconds{phase=\"c100\",kind=\"response\",quantile=\"0.99\"} 0.08",
        ] {
            assert!(text.contains(wanted), "{wanted} in\n{text}");
        }
    }

    #[test]
    fn the_text_keeps_the_rules_of_the_format() {
        for (name, (record, judgement)) in sample::all() {
            let text = openmetrics(&record, &judgement);
            assert!(text.ends_with("# EOF\n"), "{name}");
            let mut families = BTreeSet::new();
            let mut series = BTreeSet::new();
            let mut family = "";
            for line in text.lines() {
                if let Some(rest) = line.strip_prefix("# TYPE ") {
                    family = rest.split(' ').next().unwrap();
                    assert!(families.insert(family), "{name}: {family} twice");
                } else if !line.starts_with('#') {
                    // All samples of a family stand together, and each has one finite value.
                    assert!(line.starts_with(family), "{name}: {line} under {family}");
                    let (what, value) = line.rsplit_once(' ').unwrap();
                    assert!(value.parse::<f64>().unwrap().is_finite(), "{name}: {line}");
                    assert!(series.insert(what), "{name}: {what} twice");
                }
            }
        }
    }
}
