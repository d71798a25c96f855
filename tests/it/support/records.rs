//! Records made up second by second, for tests of verdicts.

use bench::record::{
    ArrivalInfo, Baseline, Doubt, Entry, Environment, Header, Interval, JOURNAL_VERSION, Latencies,
    LoadInfo, Outcome, PhaseInfo, RunFigures, RunRecord, Sample, Samples, ScenarioInfo, SeriesInfo,
    SourceInfo, SourceState, TargetInfo,
};
use bench::schedule::{ArrivalProcess, Profile};
use bench::store::{JournalWriter, RunFolder};
use std::path::Path;

const SECOND: u64 = 1_000_000_000;

/// What happened in one second: latencies of good answers in milliseconds, and other ends.
#[derive(Clone, Default)]
pub(crate) struct Second {
    pub(crate) ok_ms: Vec<f64>,
    pub(crate) other: Vec<Outcome>,
    /// Good answers to the second kind of request.
    pub(crate) list_ms: Vec<f64>,
    /// Share of the second in which the busiest worker was busy.
    pub(crate) busy: f64,
    /// How many of them were sent again.
    pub(crate) retried: u64,
    /// By how much every request of it was sent late.
    pub(crate) late_ns: u64,
}

/// `count` answers of the same latency.
pub(crate) fn answers(count: usize, ms: f64) -> Second {
    Second {
        ok_ms: vec![ms; count],
        ..Second::default()
    }
}

impl Second {
    pub(crate) fn and(mut self, count: usize, ms: f64) -> Self {
        self.ok_ms.extend(vec![ms; count]);
        self
    }

    pub(crate) fn and_other(mut self, count: usize, outcome: Outcome) -> Self {
        self.other.extend(vec![outcome; count]);
        self
    }

    fn interval(&self, index: usize) -> Interval {
        let mut interval = Interval {
            index: u32::try_from(index).unwrap(),
            ..Interval::default()
        };
        let tally = interval.measured.of(0);
        let ok = self.ok_ms.iter().map(|&ms| (ms, Outcome::Ok));
        // What timed out took two seconds.
        let other = self.other.iter().map(|&outcome| (2000.0, outcome));
        for (ms, outcome) in ok.chain(other) {
            tally.planned += 1;
            tally.finish(&Sample {
                request: 0,
                intended_ns: 0,
                sent_ns: Some(0),
                first_byte_ns: Some(0),
                received_ns: None,
                end_ns: nanoseconds(ms / 1e3),
                outcome,
                stream: None,
            });
        }
        tally.tries.turned_away = self.retried;
        tally.tries.retried = self.retried;
        tally.tries.retries = self.retried;
        for _ in &self.ok_ms {
            interval.counts.lateness.record(self.late_ns);
        }
        for &ms in &self.list_ms {
            let tally = interval.measured.of(1);
            tally.planned += 1;
            tally.finish(&Sample {
                request: 1,
                intended_ns: 0,
                sent_ns: Some(0),
                first_byte_ns: Some(0),
                received_ns: None,
                stream: None,
                end_ns: nanoseconds(ms / 1e3),
                outcome: Outcome::Ok,
            });
        }
        interval.counts.busiest_ns = nanoseconds(self.busy);
        interval
    }
}

/// A run under construction.
pub(crate) struct Story {
    header: Header,
    sources: Vec<SourceInfo>,
    entries: Vec<Entry>,
    now_ns: u64,
    ended: bool,
}

impl Story {
    pub(crate) fn new() -> Self {
        Self {
            header: Header {
                version: JOURNAL_VERSION,
                id: "story".to_owned(),
                started_at: "2026-11-23T07:36:12Z".to_owned(),
                scenario: ScenarioInfo {
                    name: "story".to_owned(),
                    file: "story.toml".to_owned(),
                    sha256: String::new(),
                    text: String::new(),
                },
                target: TargetInfo {
                    url: "http://story".to_owned(),
                    reference: false,
                    misbehaviour: String::new(),
                    timeout_ns: 2 * SECOND,
                    protocol: bench::record::ProtocolInfo::default(),
                },
                requests: Vec::new(),
                phases: Vec::new(),
                gates: Vec::new(),
                seed: 1,
                workers: 1,
                environment: Environment::default(),
            },
            sources: Vec::new(),
            entries: Vec::new(),
            now_ns: 0,
            ended: true,
        }
    }

    /// A phase without warm-up, second by second.
    pub(crate) fn phase(mut self, name: &str, gates: &[&str], seconds: &[Second]) -> Self {
        let phase = self.header.phases.len();
        let length = seconds.len() as u64 * SECOND;
        self.header.phases.push(PhaseInfo {
            name: name.to_owned(),
            load: LoadInfo::concurrency(10),
            group: None,
            warmup_ns: 0,
            duration_ns: Some(length),
            decided_after_ns: None,
            count: None,
            drain_ns: SECOND,
            gates: gates.iter().map(|&gate| gate.to_owned()).collect(),
            slo: Vec::new(),
        });
        let started = self.now_ns;
        self.entries.push(Entry::PhaseStarted {
            phase,
            at_ns: started,
        });
        for (index, second) in seconds.iter().enumerate() {
            self.entries.push(Entry::Interval {
                phase,
                interval: Box::new(second.interval(index).pack()),
            });
        }
        self.now_ns += length;
        self.entries.push(Entry::PhaseEnded {
            phase,
            measured_from_ns: started,
            measured_to_ns: self.now_ns,
            at_ns: self.now_ns,
        });
        self
    }

    /// The last phase was to end as soon as its gates are decided, from so many seconds on.
    pub(crate) fn decided_from(mut self, second: u64) -> Self {
        let phase = self.header.phases.last_mut().unwrap();
        phase.decided_after_ns = Some(second * SECOND);
        self
    }

    /// The same, driven by a rate.
    pub(crate) fn open_phase(mut self, name: &str, gates: &[&str], seconds: &[Second]) -> Self {
        self = self.phase(name, gates, seconds);
        let phase = self.header.phases.last_mut().unwrap();
        phase.load = LoadInfo::Rate {
            rate: Profile::constant(1000.0),
            arrival: ArrivalInfo::Process(ArrivalProcess::Constant),
            max_in_flight: 1000,
            shed_after_ns: None,
        };
        self
    }

    /// A phase that was planned and never began.
    pub(crate) fn unbegun(mut self, name: &str, gates: &[&str]) -> Self {
        let story = self.header.phases.len();
        self = self.phase(name, gates, &[]);
        self.entries.retain(|entry| {
            !matches!(entry, Entry::PhaseStarted { phase, .. } | Entry::PhaseEnded { phase, .. } if *phase == story)
        });
        self
    }

    pub(crate) fn run_gates(mut self, gates: &[&str]) -> Self {
        self.header.gates = gates.iter().map(|&gate| gate.to_owned()).collect();
        self
    }

    /// What the run is compared with.
    pub(crate) fn baseline(mut self, margin: f64, runs: &[RunRecord]) -> Self {
        self.entries.push(Entry::Baseline(Box::new(Baseline {
            asked: "last-pass".to_owned(),
            margin,
            runs: runs.iter().map(RunFigures::of).collect(),
        })));
        self
    }

    pub(crate) fn doubt(mut self, doubt: Doubt) -> Self {
        self.entries.push(Entry::Doubt(doubt));
        self
    }

    /// A source that is not there.
    pub(crate) fn absent(mut self, name: &str, reason: &str) -> Self {
        self.sources.push(SourceInfo {
            name: name.to_owned(),
            state: SourceState::Unavailable(reason.to_owned()),
            period_ns: 0,
            series: Vec::new(),
            simulated: false,
        });
        self
    }

    /// Series of one metric over the whole run so far, ten samples a second; one function of the
    /// sample's number for each instance.
    pub(crate) fn series(
        mut self,
        metric: &str,
        instances: &[&dyn Fn(u64) -> Option<f64>],
    ) -> Self {
        let source = self.sources.len();
        let family = metric.split('.').next().unwrap();
        self.sources.push(SourceInfo {
            name: family.to_owned(),
            state: SourceState::Present,
            period_ns: SECOND / 10,
            series: (0..instances.len())
                .map(|instance| SeriesInfo::new(metric, instance.to_string()))
                .collect(),
            simulated: false,
        });
        let count = self.now_ns / (SECOND / 10);
        self.entries.push(Entry::Samples(Samples {
            source,
            at_ns: (0..count).map(|sample| sample * (SECOND / 10)).collect(),
            values: instances
                .iter()
                .map(|value| (0..count).map(value).collect())
                .collect(),
        }));
        self
    }

    /// The same run under another name and at another time.
    pub(crate) fn called(mut self, id: &str, started_at: &str) -> Self {
        id.clone_into(&mut self.header.id);
        started_at.clone_into(&mut self.header.started_at);
        self
    }

    /// Changes what was going to happen, or where.
    pub(crate) fn with_header(mut self, change: impl FnOnce(&mut Header)) -> Self {
        change(&mut self.header);
        self
    }

    /// Writes the journal into a run folder; its writer still holds it.
    pub(crate) fn begin(self, results: &Path) -> (RunFolder, JournalWriter) {
        let (folder, mut journal) = RunFolder::create(results, &self.header.id).unwrap();
        for entry in self.entries() {
            journal.append(&entry).unwrap();
        }
        (folder, journal)
    }

    /// Writes the journal of a run that is over.
    pub(crate) fn store(self, results: &Path) -> RunFolder {
        self.begin(results).0
    }

    /// The memory of the machine.
    pub(crate) fn memory_bytes(mut self, bytes: f64) -> Self {
        self.header.environment.memory_bytes = format!("{bytes:.0}").parse().unwrap();
        self
    }

    /// The journal stops here.
    pub(crate) fn cut_off(mut self) -> Self {
        self.ended = false;
        self
    }

    pub(crate) fn record(self) -> RunRecord {
        RunRecord::from_journal(self.entries()).unwrap()
    }

    fn entries(self) -> Vec<Entry> {
        let mut entries = vec![
            Entry::RunStarted(Box::new(self.header)),
            Entry::Sources {
                sources: self.sources,
            },
        ];
        entries.extend(self.entries);
        if self.ended {
            entries.push(Entry::RunEnded { at_ns: self.now_ns });
        }
        entries
    }
}

/// The latencies of a phase in milliseconds, for expectations.
pub(crate) fn quantile_ms(latencies: &Latencies, quantile: f64) -> f64 {
    use bench::record::Distribution as _;
    latencies.quantile_ns(quantile).unwrap() as f64 / 1e6
}

fn nanoseconds(seconds: f64) -> u64 {
    u64::try_from(std::time::Duration::from_secs_f64(seconds).as_nanos()).unwrap()
}
