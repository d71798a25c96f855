//! The environment key: two runs with the same key may be compared, others may not.
//!
//! It covers what changes a measurement although the service is the same: the load, the target, the
//! hardware, the machine that generated the load. It leaves out what a comparison is about: commits,
//! gates, objectives, dates. `docs/history.md` lists the facts.

use super::suite::SUITE;
use crate::record::{Environment, Header, SuiteRecord};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// What makes a run comparable with others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparable {
    /// The facts, each a name and a value, in a fixed order.
    pub facts: Vec<(String, String)>,
    /// Sixteen hexadecimal digits of their SHA-256.
    pub key: String,
}

/// Increased when the list of facts changes, so that old and new keys never meet by accident.
const VERSION: &str = "1";

/// The facts of a run and their key.
pub fn comparable(header: &Header) -> Comparable {
    let mut facts = vec![
        ("facts".to_owned(), VERSION.to_owned()),
        ("scenario".to_owned(), header.scenario.name.clone()),
        (
            "bench".to_owned(),
            compatible(&header.environment.bench_version),
        ),
        ("target".to_owned(), target(header)),
    ];
    let mut add = |name: &str, value: String| facts.push((name.to_owned(), value));
    for request in &header.requests {
        add("request", canonical(request, &[]));
    }
    for phase in &header.phases {
        add("phase", canonical(phase, &["gates", "slo"]));
    }
    hardware(&header.environment, &mut add);
    Comparable::of(facts)
}

/// The facts of a run of the GPU suite and their key. GPUs of one model are comparable wherever they are.
pub fn comparable_suite(record: &SuiteRecord) -> Comparable {
    let mut facts = vec![
        ("facts".to_owned(), VERSION.to_owned()),
        ("scenario".to_owned(), SUITE.to_owned()),
        ("bench".to_owned(), compatible(&record.bench_version)),
        ("quick".to_owned(), record.quick.to_string()),
    ];
    let mut add = |name: &str, value: String| facts.push((name.to_owned(), value));
    let models = record.gpus.iter().map(|gpu| gpu.name.as_str());
    gpus(models, record.driver.as_deref(), &mut add);
    Comparable::of(facts)
}

impl Comparable {
    fn of(facts: Vec<(String, String)>) -> Self {
        let mut hash = Sha256::new();
        for (name, value) in &facts {
            // Neither can hold a line end that would move the border between two facts.
            hash.update(format!("{name:?} {value:?}\n").as_bytes());
        }
        let key = hash.finalize()[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self { facts, key }
    }
}

fn hardware(environment: &Environment, add: &mut impl FnMut(&str, String)) {
    add("generator.cpu", environment.cpu.clone());
    add("generator.cpus", environment.cpus.to_string());
    if let Some(quota) = &environment.cpu_quota {
        add("generator.cpu_quota", quota.clone());
    }
    let models = environment.gpus.iter().map(|gpu| gpu.name.as_str());
    gpus(models, environment.gpu_driver.as_deref(), add);
    // How deep a model was made to be may differ by a layer from start to start.
    if let Some(compute) = environment
        .compute
        .as_ref()
        .filter(|compute| compute.width > 0)
    {
        let mut model = format!("{} {} wide", compute.kind, compute.width);
        let count = compute.gpus().count();
        if count > 1 {
            model.push_str(&format!(" on {count} GPUs"));
        }
        // What older records do not say was FP16.
        if !matches!(compute.precision.as_str(), "" | "f16") {
            model.push_str(&format!(" {}", compute.precision));
        }
        add("reference", model);
    }
}

fn gpus<'a>(
    models: impl Iterator<Item = &'a str>,
    driver: Option<&str>,
    add: &mut impl FnMut(&str, String),
) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for model in models {
        *counts.entry(model).or_default() += 1;
    }
    for (model, count) in counts {
        add("gpu", format!("{count} x {model}"));
    }
    if let Some(driver) = driver {
        add("gpu.driver", first_part(driver).to_owned());
    }
}

/// The part of a version within which numbers keep their meaning: `1` of `1.4.2`, `0.3` of `0.3.1`.
fn compatible(version: &str) -> String {
    let mut parts = version.split('.');
    match (parts.next(), parts.next()) {
        (Some("0"), Some(minor)) => format!("0.{minor}"),
        (Some(major), _) => major.to_owned(),
        (None, _) => String::new(),
    }
}

fn first_part(version: &str) -> &str {
    version.split('.').next().unwrap_or_default()
}

/// The target without the port of a loopback address, which tests and CI draw at random.
fn target(header: &Header) -> String {
    let mut target = header.target.clone();
    target.url = without_loopback_port(&target.url);
    canonical(&target, &[])
}

fn without_loopback_port(url: &str) -> String {
    for host in ["127.0.0.1", "localhost", "[::1]"] {
        let Some((before, after)) = url.split_once(&format!("://{host}:")) else {
            continue;
        };
        let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
        return format!("{before}://{host}{rest}");
    }
    url.to_owned()
}

/// A value as JSON with sorted keys, some of them left out.
fn canonical(value: &impl serde::Serialize, without: &[&str]) -> String {
    let mut value = serde_json::to_value(value).unwrap_or(Value::Null);
    if let Value::Object(fields) = &mut value {
        fields.retain(|key, _| !without.contains(&key.as_str()));
    }
    value.sort_all_objects();
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Gpu, JOURNAL_VERSION, LoadInfo, PhaseInfo, ScenarioInfo, TargetInfo};

    fn gpu(index: u32, name: &str) -> Gpu {
        Gpu {
            index,
            uuid: format!("GPU-{index}"),
            name: name.to_owned(),
            memory_bytes: 1,
            pci_bus_id: String::new(),
        }
    }

    fn header() -> Header {
        Header {
            version: JOURNAL_VERSION,
            id: "a".to_owned(),
            started_at: "2026-11-23T07:36:12Z".to_owned(),
            scenario: ScenarioInfo {
                name: "prod".to_owned(),
                file: "prod.toml".to_owned(),
                sha256: "00".to_owned(),
                text: "text".to_owned(),
            },
            target: TargetInfo {
                url: "http://127.0.0.1:41234/api".to_owned(),
                reference: false,
                misbehaviour: String::new(),
                timeout_ns: 1,
                protocol: crate::record::ProtocolInfo::default(),
            },
            requests: Vec::new(),
            phases: vec![PhaseInfo {
                name: "c100".to_owned(),
                load: LoadInfo::concurrency(100),
                group: None,
                warmup_ns: 0,
                duration_ns: Some(30),
                decided_after_ns: None,
                count: None,
                drain_ns: 1,
                gates: vec!["response.p99 < 100ms".to_owned()],
                slo: Vec::new(),
            }],
            gates: Vec::new(),
            seed: 1,
            workers: 2,
            environment: Environment {
                bench_version: "0.3.1".to_owned(),
                cpu: "EPYC".to_owned(),
                cpus: 16,
                gpu_driver: Some("570.86.15".to_owned()),
                gpus: vec![gpu(0, "H100"), gpu(1, "H100")],
                ..Environment::default()
            },
        }
    }

    #[test]
    fn what_a_comparison_is_about_keeps_the_key() {
        let key = comparable(&header()).key;
        assert_eq!(key.len(), 16);
        let changes: [fn(&mut Header); 9] = [
            |h| h.id = "b".to_owned(),
            |h| h.started_at = "2027-01-01T00:00:00Z".to_owned(),
            |h| h.environment.git_commit = Some("abc".to_owned()),
            |h| h.phases[0].gates.clear(),
            |h| h.phases[0].slo.push("response < 1s".to_owned()),
            |h| h.target.url = "http://127.0.0.1:9/api".to_owned(),
            |h| h.environment.gpu_driver = Some("570.99".to_owned()),
            |h| h.environment.bench_version = "0.3.9".to_owned(),
            |h| h.environment.host = "another".to_owned(),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut other = header();
            change(&mut other);
            assert_eq!(comparable(&other).key, key, "change {number}");
        }
    }

    #[test]
    fn what_changes_a_measurement_changes_the_key() {
        let changes: [fn(&mut Header); 9] = [
            |_| (),
            |h| h.scenario.name = "other".to_owned(),
            |h| h.phases[0].load = LoadInfo::concurrency(101),
            |h| h.target.url = "http://10.0.0.1:80/api".to_owned(),
            |h| h.environment.gpu_driver = Some("580.1".to_owned()),
            |h| h.environment.gpus.truncate(1),
            |h| h.environment.cpus = 8,
            |h| h.environment.bench_version = "0.4.0".to_owned(),
            |h| h.target.misbehaviour = "delay 5 ms".to_owned(),
        ];
        let keys: std::collections::BTreeSet<String> = changes
            .iter()
            .map(|change| {
                let mut other = header();
                change(&mut other);
                comparable(&other).key
            })
            .collect();
        assert_eq!(keys.len(), changes.len());
    }

    #[test]
    fn the_facts_can_be_read() {
        let facts = comparable(&header()).facts;
        let lines: Vec<String> = facts
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        facts: 1
        scenario: prod
        bench: 0.3
        target: {"misbehaviour":"","reference":false,"timeout_ns":1,"url":"http://127.0.0.1/api"}
        phase: {"count":null,"drain_ns":1,"duration_ns":30,"group":null,"load":{"concurrency":{"think_time_ns":0,"users":[{"over_ns":0,"to":100.0}]}},"name":"c100","warmup_ns":0}
        generator.cpu: EPYC
        generator.cpus: 16
        gpu: 2 x H100
        gpu.driver: 570
        "#);
    }
}
