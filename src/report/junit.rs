//! `junit.xml` for CI systems: a suite for each scope, a case for each gate.
//!
//! A gate that failed is a failure; one that cannot be judged is an error, so that no CI system takes
//! it for a pass.

use super::json;
use crate::record::{PhaseRecord, RunRecord};
use crate::verdict::{GateResult, Judgement, Verdict};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};
use std::time::Duration;

/// The judgement as JUnit XML.
pub fn junit(record: &RunRecord, judgement: &Judgement) -> String {
    let mut report = Report::new(format!("bench {}", record.header.scenario.name));
    let started_at = &record.header.started_at;
    report.timestamp = started_at.parse().ok();
    report.set_time(Duration::from_nanos(record.ended_ns));
    for (scope, results) in by_scope(judgement) {
        let mut suite = TestSuite::new(scope.as_str());
        suite.timestamp = started_at.parse().ok();
        suite.set_time(Duration::from_nanos(length_ns(record, &results)));
        suite.add_properties([
            ("run", record.header.id.as_str()),
            (
                "simulated",
                if record.is_simulated() {
                    "true"
                } else {
                    "false"
                },
            ),
            (
                "partial",
                if record.is_partial() { "true" } else { "false" },
            ),
        ]);
        suite.add_test_cases(results.into_iter().map(|result| case(&scope, result)));
        report.add_test_suite(suite);
    }
    report
        .to_string()
        .expect("quick-junit writes valid text to memory")
}

/// The gates of each scope, scopes in the order of their first gate.
fn by_scope(judgement: &Judgement) -> Vec<(String, Vec<&GateResult>)> {
    let mut suites: Vec<(String, Vec<&GateResult>)> = Vec::new();
    for result in &judgement.gates {
        let scope = result.gate.scope.to_string();
        match suites.iter_mut().find(|(known, _)| *known == scope) {
            Some((_, results)) => results.push(result),
            None => suites.push((scope, vec![result])),
        }
    }
    suites
}

/// How long what the gates look at took.
fn length_ns(record: &RunRecord, results: &[&GateResult]) -> u64 {
    let scope = results.first().and_then(|result| result.gate.scope.phase);
    match scope {
        None => record.ended_ns,
        Some(index) => record
            .phases
            .iter()
            .find(|phase| phase.index == index)
            .map_or(0, PhaseRecord::measured_ns),
    }
}

fn case(scope: &str, result: &GateResult) -> TestCase {
    let not_a_pass = |kind: NonSuccessKind| {
        let mut status = TestCaseStatus::non_success(kind);
        status
            .set_message(result.why())
            .set_type(result.verdict.as_str());
        status
    };
    let status = match result.verdict {
        Verdict::Pass => TestCaseStatus::success(),
        Verdict::Fail => not_a_pass(NonSuccessKind::Failure),
        Verdict::Inconclusive => not_a_pass(NonSuccessKind::Error),
    };
    let mut case = TestCase::new(result.gate.text.as_str(), status);
    case.set_classname(scope);
    let gate = &result.gate.gate;
    let (unit, factor) = json::unit(gate.limit.dimension);
    let mut property = |name: &str, value: Option<f64>| {
        if let Some(value) = value.and_then(|value| json::number(value * factor)) {
            case.add_property(Property::new(name, value.to_string()));
        }
    };
    property("observed", result.observed);
    property("lower", result.lower);
    property("upper", result.upper);
    property("limit", Some(gate.limit.value));
    case.add_property(("unit", unit));
    case.add_property(("samples", result.samples.to_string().as_str()));
    case
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_suite_for_each_scope_and_a_case_for_each_gate() {
        let (record, judgement) = sample::prod();
        let text = junit(record, judgement);
        let short: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with("<property") && !line.starts_with("</prop"))
            .collect();
        insta::assert_snapshot!(short.join("\n"), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="bench prod" tests="7" skipped="0" failures="1" errors="2" timestamp="2026-08-05T12:34:56.000+00:00" time="71.400">
        <testsuite name="c100" tests="3" skipped="0" errors="0" failures="0" timestamp="2026-08-05T12:34:56.000+00:00" time="30.000">
        <properties>
        <testcase name="response.p99 &lt; 100ms" classname="c100">
        <properties>
        </testcase>
        <testcase name="error_rate &lt; 1%" classname="c100">
        <properties>
        </testcase>
        <testcase name="throughput &gt; 1000/s" classname="c100">
        <properties>
        </testcase>
        </testsuite>
        <testsuite name="c1000" tests="3" skipped="0" errors="2" failures="1" timestamp="2026-08-05T12:34:56.000+00:00" time="30.000">
        <properties>
        <testcase name="response.p99 &lt; 100ms" classname="c1000">
        <properties>
        <failure message="at least 99.8 % of requests are over 100 ms (95 % bound), and only 1 % may be; the target is saturated: 10.6 times as many requests in flight as in `c100` brought 1.28 times its throughput, so that they wait in its queue; the generator was busy: its busiest worker was occupied 76.4 % of the time, which adds to the upper percentiles" type="FAIL"/>
        </testcase>
        <testcase name="error_rate &lt; 1%" classname="c1000">
        <properties>
        <error message="0.972 % of requests are not ok, the truth lies between 0.900 % and 1.05 % at 95 % each, and 1 % may be; about 400 744 more requests (3 m 10 s more at this rate) would decide; 614 of 63 137 requests did not succeed: status 503 41.8 %, reset by peer 20.4 %, no answer in time 18.7 %" type="INCONCLUSIVE"/>
        </testcase>
        <testcase name="gpu.utilization &gt; 70%" classname="c1000">
        <properties>
        <error message="mean 65.5 % on GPU 0, between 58.4 % and 72.6 % at 95 % each" type="INCONCLUSIVE"/>
        </testcase>
        </testsuite>
        <testsuite name="run" tests="1" skipped="0" errors="0" failures="0" timestamp="2026-08-05T12:34:56.000+00:00" time="71.400">
        <properties>
        <testcase name="gpu.memory &lt; 90%" classname="run">
        <properties>
        </testcase>
        </testsuite>
        </testsuites>
        "#);
    }

    #[test]
    fn the_numbers_of_a_gate_are_properties() {
        let (record, judgement) = sample::calm();
        let text = junit(record, judgement);
        let (_, case) = text.split_once("<testcase").unwrap();
        let (case, _) = case.split_once("</testcase>").unwrap();
        for name in ["observed", "lower", "upper", "limit", "unit", "samples"] {
            assert!(
                case.contains(&format!("<property name=\"{name}\"")),
                "{name}: {case}"
            );
        }
        assert!(!text.contains("<failure") && !text.contains("<error"));
    }

    #[test]
    fn text_of_others_cannot_break_the_file() {
        let (record, judgement) = sample::hostile();
        let text = junit(&record, &judgement);
        assert!(!text.contains("<x-evil"), "{text}");
        let read = Report::deserialize_from_str(&text).unwrap();
        assert_eq!(read.tests, judgement.gates.len());
    }
}
