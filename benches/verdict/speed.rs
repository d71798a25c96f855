//! How long it takes to judge a record of eight hours.

use bench::record::{
    Entry, Environment, Header, Interval, JOURNAL_VERSION, LoadInfo, Outcome, PhaseInfo, RunRecord,
    Sample, Samples, ScenarioInfo, SeriesInfo, SourceInfo, SourceState, TargetInfo,
};
use bench::verdict::{ScopedGate, gates_of, judge};
use nix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

const SECOND_NS: u64 = 1_000_000_000;
const SECONDS: u64 = 8 * 3600;
const GATES: [&str; 7] = [
    "response.p99 < 100ms",
    "error_rate < 1%",
    "response.p99 < 100ms worst 10s",
    "error_rate < 5% worst 10s",
    "response.p99.drift < 5ms/h",
    "target.memory.leak < 10MiB/h",
    "target.memory < 4GiB",
];

/// Seconds that the gates take on eight hours with a hundred requests and two samples a second, by the clock
/// and of CPU time: all of them, and each by itself. The best of three.
pub(crate) fn judging() -> Value {
    let record = RunRecord::from_journal(entries()).expect("a sound journal");
    let gates = gates_of(&record).expect("sound gates");
    println!("\nJudging 8 h: seconds by the clock, of CPU time");
    let mut rows = serde_json::Map::new();
    let mut row = |name: &str, gates: &[ScopedGate]| {
        let times: Vec<(f64, f64)> = (0..3).map(|_| timed(&record, gates)).collect();
        let best = |of: fn(&(f64, f64)) -> f64| times.iter().map(of).fold(f64::INFINITY, f64::min);
        let (wall, cpu) = (best(|time| time.0), best(|time| time.1));
        println!("{name:35} {wall:.3} {cpu:.3}");
        rows.insert(name.to_owned(), json!([wall, cpu]));
    };
    row("all", &gates);
    for gate in &gates {
        row(&gate.text, std::slice::from_ref(gate));
    }
    Value::Object(rows)
}

fn timed(record: &RunRecord, gates: &[ScopedGate]) -> (f64, f64) {
    let cpu = || {
        let now = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("Linux has this clock");
        std::time::Duration::from(now).as_secs_f64()
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "this measures time, and is no test"
    )]
    let (begin, cpu_begin) = (std::time::Instant::now(), cpu());
    let judgement = judge(record, gates);
    let took = (begin.elapsed().as_secs_f64(), cpu() - cpu_begin);
    assert_eq!(judgement.gates.len(), gates.len());
    took
}

fn entries() -> Vec<Entry> {
    let window_ns = SECONDS * SECOND_NS;
    let mut entries = vec![
        Entry::RunStarted(Box::new(header(window_ns))),
        Entry::Sources {
            sources: vec![SourceInfo {
                name: "target".to_owned(),
                state: SourceState::Present,
                period_ns: SECOND_NS / 2,
                series: vec![SeriesInfo::new("target.memory", "")],
                simulated: true,
            }],
        },
        Entry::PhaseStarted { phase: 0, at_ns: 0 },
    ];
    for second in 0..SECONDS {
        let mut interval = Interval {
            index: u32::try_from(second).expect("eight hours"),
            ..Interval::default()
        };
        let tally = interval.measured.of(0);
        for request in 0..100 {
            tally.planned += 1;
            tally.finish(&Sample {
                request: 0,
                intended_ns: 0,
                sent_ns: Some(0),
                received_ns: None,
                first_byte_ns: Some(0),
                end_ns: 20_000_000 + request * (second % 50 + 1) * 7000,
                outcome: Outcome::Ok,
                stream: None,
            });
        }
        entries.push(Entry::Interval {
            phase: 0,
            interval: Box::new(interval.pack()),
        });
    }
    entries.push(Entry::Samples(Samples {
        source: 0,
        at_ns: (0..2 * SECONDS).map(|at| at * SECOND_NS / 2).collect(),
        values: vec![
            (0..2 * SECONDS)
                .map(|at| Some(1e9 + (at * 7919 % 1000) as f64 * 1000.0))
                .collect(),
        ],
    }));
    entries.push(Entry::PhaseEnded {
        phase: 0,
        measured_from_ns: 0,
        measured_to_ns: window_ns,
        at_ns: window_ns,
    });
    entries.push(Entry::RunEnded { at_ns: window_ns });
    entries
}

fn header(window_ns: u64) -> Header {
    Header {
        version: JOURNAL_VERSION,
        id: "night".to_owned(),
        started_at: "2026-11-23T22:00:00Z".to_owned(),
        scenario: ScenarioInfo {
            name: "night".to_owned(),
            file: "night.toml".to_owned(),
            sha256: String::new(),
            text: String::new(),
        },
        target: TargetInfo {
            url: "http://night".to_owned(),
            reference: false,
            misbehaviour: String::new(),
            timeout_ns: SECOND_NS,
            protocol: bench::record::ProtocolInfo::default(),
        },
        requests: Vec::new(),
        phases: vec![PhaseInfo {
            name: "night".to_owned(),
            load: LoadInfo::concurrency(10),
            group: None,
            slo: Vec::new(),
            warmup_ns: 0,
            duration_ns: Some(window_ns),
            decided_after_ns: None,
            count: None,
            drain_ns: SECOND_NS,
            gates: GATES.map(str::to_owned).to_vec(),
        }],
        gates: Vec::new(),
        seed: 1,
        workers: 1,
        environment: Environment::default(),
    }
}
