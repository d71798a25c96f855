//! Made-up records for tests, the same at every call: what a run could look like, and its odd ends.
//!
//! They are folded from journal entries like any other, and everything in them is invented.

mod hostile;
mod story;

pub(crate) use hostile::hostile;

use crate::record::{
    Doubt, Entry, Environment, Gpu, Header, INTERVAL_NS, JOURNAL_VERSION, LoadInfo, PhaseInfo,
    RequestInfo, RunRecord, ScenarioInfo, SeriesInfo, SourceInfo, SourceState, TargetInfo,
};
use crate::verdict::{Judgement, gates_of, judge};
use std::sync::OnceLock;
use story::{Phase, Story};

/// A record with its judgement.
pub(crate) type Run = (RunRecord, Judgement);

const S: u64 = INTERVAL_NS;
const MS: u64 = 1_000_000;
const GIB: f64 = 1_073_741_824.0;

/// Two phases, a stall, errors, two simulated GPUs: one gate of each verdict.
pub(crate) fn prod() -> &'static Run {
    static RUN: OnceLock<Run> = OnceLock::new();
    RUN.get_or_init(|| judged(prod_entries()))
}

/// The same without a GPU driver.
pub(crate) fn without_gpu() -> &'static Run {
    static RUN: OnceLock<Run> = OnceLock::new();
    RUN.get_or_init(|| judged(entries_with(&gpus_missing())))
}

/// One calm phase that passes every gate, on real GPUs as far as the record says.
pub(crate) fn calm() -> &'static Run {
    static RUN: OnceLock<Run> = OnceLock::new();
    RUN.get_or_init(|| {
        let phase = Phase {
            name: "c100",
            concurrency: 100,
            seconds: 60,
            rate: 1500.0,
            median_ms: 41.0,
            spread: 0.22,
            failures: 0.0,
            timeouts: 0.0,
            busy: 0.31,
            stall: None,
        };
        let gates = [
            "response.p99 < 100ms",
            "error_rate < 1%",
            "gpu.utilization > 70%",
        ];
        let mut story = Story::new(header(&[(phase, &gates)], &[]));
        let mut source = gpus_present();
        source.simulated = false;
        story.sources(&[source.clone(), generator()]);
        story.phase(0, phase);
        story.gpu_samples(0, &source, 0.83);
        story.generator_samples(1);
        judged(story.end())
    })
}

/// The target was not there: nothing was sent.
pub(crate) fn preflight_failed() -> &'static Run {
    static RUN: OnceLock<Run> = OnceLock::new();
    RUN.get_or_init(|| {
        let mut story = Story::new(prod_header());
        story.sources(&[gpus_missing()]);
        story.now_ns = 180 * MS;
        story.entries.push(Entry::Doubt(Doubt::Preflight {
            reason: "`GET /health` was refused: nobody listens on 10.0.0.7:8000".to_owned(),
        }));
        judged(story.end())
    })
}

/// Every request failed.
pub(crate) fn all_failed() -> &'static Run {
    static RUN: OnceLock<Run> = OnceLock::new();
    RUN.get_or_init(|| {
        let phase = Phase {
            name: "c100",
            rate: 300.0,
            seconds: 10,
            failures: 1.0,
            ..C100
        };
        let gates = ["response.p99 < 100ms", "error_rate < 1%"];
        let mut story = Story::new(header(&[(phase, &gates)], &[]));
        story.sources(&[gpus_missing()]);
        story.phase(0, phase);
        judged(story.end())
    })
}

/// A phase that ends by count, with very few requests, cut off by a crash.
pub(crate) fn counted() -> &'static Run {
    static RUN: OnceLock<Run> = OnceLock::new();
    RUN.get_or_init(|| {
        let phase = Phase {
            name: "smoke",
            concurrency: 1,
            seconds: 2,
            rate: 12.0,
            busy: 0.01,
            failures: 0.0,
            timeouts: 0.0,
            ..C100
        };
        let mut header = header(&[(phase, &["response.p99 < 100ms"])], &[]);
        header.phases[0].warmup_ns = 0;
        header.phases[0].duration_ns = None;
        header.phases[0].count = Some(24);
        header.requests.truncate(1);
        let mut story = Story::new(header);
        story.phase(0, phase);
        let mut entries = story.end();
        // Neither the phase nor the run has an end.
        entries.truncate(entries.len() - 2);
        judged(entries)
    })
}

/// A long phase at a low rate, second by second.
pub(crate) fn soak(seconds: u64) -> Run {
    let phase = Phase {
        name: "soak",
        concurrency: 4,
        seconds,
        rate: 25.0,
        median_ms: 1.2,
        spread: 0.3,
        failures: 0.002,
        ..C100
    };
    let mut header = header(
        &[(phase, &["response.p99 < 100ms"])],
        &["target.memory < 8GiB"],
    );
    header.phases[0].warmup_ns = 60 * S;
    let mut story = Story::new(header);
    let target = target();
    story.sources(&[target]);
    story.phase(0, phase);
    story.target_samples(0, 0.4);
    judged(story.end())
}

/// All kinds of runs, each with a name.
pub(crate) fn all() -> Vec<(&'static str, Run)> {
    vec![
        ("prod", prod().clone()),
        ("without gpu", without_gpu().clone()),
        ("calm", calm().clone()),
        ("preflight failed", preflight_failed().clone()),
        ("all failed", all_failed().clone()),
        ("counted", counted().clone()),
        ("hostile", hostile()),
    ]
}

fn judged(entries: Vec<Entry>) -> Run {
    let record = RunRecord::from_journal(entries).expect("the entries are those of a run");
    let gates = gates_of(&record).expect("the gates are valid");
    let judgement = judge(&record, &gates);
    (record, judgement)
}

const C100: Phase = Phase {
    name: "c100",
    concurrency: 100,
    seconds: 30,
    rate: 1600.0,
    median_ms: 46.0,
    spread: 0.19,
    failures: 0.001,
    timeouts: 0.0,
    busy: 0.38,
    stall: None,
};

const C1000: Phase = Phase {
    name: "c1000",
    concurrency: 1000,
    seconds: 30,
    rate: 2300.0,
    median_ms: 340.0,
    spread: 0.42,
    failures: 0.008,
    timeouts: 0.002,
    busy: 0.76,
    stall: Some((22, 3)),
};

fn prod_header() -> Header {
    header(
        &[
            (
                C100,
                &[
                    "response.p99 < 100ms",
                    "error_rate < 1%",
                    "throughput > 1000/s",
                ],
            ),
            (
                C1000,
                &[
                    "response.p99 < 100ms",
                    "error_rate < 1%",
                    "gpu.utilization > 70%",
                ],
            ),
        ],
        &["gpu.memory < 90%"],
    )
}

/// The journal of [`prod`].
pub(crate) fn prod_entries() -> Vec<Entry> {
    entries_with(&gpus_present())
}

fn entries_with(gpus: &SourceInfo) -> Vec<Entry> {
    let mut story = Story::new(prod_header());
    story.sources(&[gpus.clone(), target(), host(), generator()]);
    story.phase(0, C100);
    story.phase(1, C1000);
    if gpus.state == SourceState::Present {
        story.gpu_samples(0, gpus, 0.72);
    }
    story.target_samples(1, 5.1);
    story.host_samples(2);
    story.generator_samples(3);
    story.entries.push(Entry::Doubt(Doubt::ClockStep {
        at_ns: 41 * S,
        by_ms: -1200,
    }));
    story.end()
}

fn header(phases: &[(Phase, &[&str])], gates: &[&str]) -> Header {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let request = |name: &str, path: &str| RequestInfo {
        name: name.to_owned(),
        method: "POST".to_owned(),
        path: path.to_owned(),
        steps: Vec::new(),
    };
    Header {
        version: JOURNAL_VERSION,
        id: "20260805-123456-prod-7f3a".to_owned(),
        started_at: "2026-08-05T12:34:56Z".to_owned(),
        scenario: ScenarioInfo {
            name: "prod".to_owned(),
            file: "scenarios/prod.toml".to_owned(),
            sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned(),
            text: "name = \"prod\"\n\n[target]\nurl = \"http://10.0.0.7:8000\"\n\
                   # <script>alert(\"scenario\")</script>\n"
                .to_owned(),
        },
        target: TargetInfo {
            url: "http://10.0.0.7:8000".to_owned(),
            reference: false,
            misbehaviour: String::new(),
            timeout_ns: 10 * S,
            protocol: crate::record::ProtocolInfo::default(),
        },
        requests: vec![
            request("infer", "/v1/inference"),
            request("batch", "/v1/inference/batch"),
        ],
        phases: phases
            .iter()
            .map(|(phase, gates)| PhaseInfo {
                name: phase.name.to_owned(),
                load: LoadInfo::concurrency(phase.concurrency),
                group: None,
                warmup_ns: 5 * S,
                duration_ns: Some(phase.seconds * S),
                decided_after_ns: None,
                count: None,
                drain_ns: 10 * S,
                gates: owned(gates),
                slo: Vec::new(),
            })
            .collect(),
        gates: owned(gates),
        seed: 42,
        workers: 4,
        environment: environment(),
    }
}

fn environment() -> Environment {
    let gpu = |index: u32| Gpu {
        index,
        uuid: format!("GPU-5e0f2c1a-0000-0000-0000-00000000000{index}"),
        name: "NVIDIA H100 80GB HBM3".to_owned(),
        memory_bytes: 85_520_809_984,
        pci_bus_id: format!("00000000:{}B:00.0", index + 1),
    };
    Environment {
        bench_version: "0.1.0".to_owned(),
        host: "load-1".to_owned(),
        kernel: "Linux 6.8.0-45-generic".to_owned(),
        cpu: "AMD EPYC 9454 48-Core Processor".to_owned(),
        cpus: 8,
        cpu_quota: Some("8".to_owned()),
        memory_bytes: 68_719_476_736,
        clock_source: Some("tsc".to_owned()),
        git_commit: Some("4b825dc642cb6eb9a060e54bf8d69288fbee4904".to_owned()),
        git_branch: Some("release/2.4".to_owned()),
        gpu_driver: Some("550.90.07".to_owned()),
        gpus: vec![gpu(0), gpu(1)],
        compute: None,
    }
}

fn source(name: &str, period_ms: u64, series: &[(&str, &str)]) -> SourceInfo {
    SourceInfo {
        name: name.to_owned(),
        state: SourceState::Present,
        period_ns: period_ms * MS,
        series: series
            .iter()
            .map(|(metric, instance)| SeriesInfo::new(*metric, *instance))
            .collect(),
        simulated: false,
    }
}

fn gpus_present() -> SourceInfo {
    let metrics = [
        "gpu.utilization",
        "gpu.memory",
        "gpu.power",
        "gpu.clock",
        "gpu.temperature",
    ];
    let series: Vec<(&str, &str)> = metrics
        .into_iter()
        .flat_map(|metric| [(metric, "0"), (metric, "1")])
        .collect();
    SourceInfo {
        simulated: true,
        ..source("gpu", 100, &series)
    }
}

fn gpus_missing() -> SourceInfo {
    SourceInfo {
        state: SourceState::Unavailable(
            "no NVIDIA driver: libnvidia-ml.so.1 was not found".to_owned(),
        ),
        ..source("gpu", 100, &[])
    }
}

fn target() -> SourceInfo {
    source("target", 500, &[("target.cpu", ""), ("target.memory", "")])
}

fn host() -> SourceInfo {
    source(
        "host",
        1000,
        &[
            ("host.cpu", ""),
            ("host.memory", ""),
            ("host.disk.free", "/var"),
        ],
    )
}

fn generator() -> SourceInfo {
    source(
        "generator",
        1000,
        &[("generator.cpu", ""), ("generator.memory", "")],
    )
}
