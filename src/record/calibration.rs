//! What a machine can generate, as `bench calibrate` has measured it.

use super::capacity::LoadUnit;
use super::environment::Environment;
use serde::{Deserialize, Serialize};

/// The schema of a stored calibration.
pub const CALIBRATION_SCHEMA: &str = "bench.calibration/2";

/// Above this share of a ceiling a scenario is flagged.
pub const NEAR_CEILING: f64 = 0.7;

/// What a machine can generate against a server on the same machine that does nothing but answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// [`CALIBRATION_SCHEMA`].
    pub schema: String,
    /// The program that measured.
    pub program: Program,
    /// When, UTC, RFC 3339.
    pub made_at: String,
    /// Whether it was a short look.
    pub quick: bool,
    /// Whether the time ran out before everything was tried.
    pub cut_short: bool,
    /// Where.
    pub machine: Machine,
    /// Threads that generated load.
    pub workers: usize,
    /// Threads that answered.
    pub server_threads: usize,
    /// What was measured, by kinds of traffic.
    pub kinds: Vec<KindCalibration>,
}

/// What decides how much load a generator gets out of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrafficKind {
    /// Small plain requests over HTTP/1.1.
    Http1,
    /// The same over TLS, on connections that are kept.
    Tls,
    /// The same over HTTP/2, 100 streams on a connection.
    Http2,
    /// Answers that are streams of [`EVENTS_PER_SECOND`] events each, over HTTP/1.1.
    Streams,
}

/// Events of each stream per second, with which streams are measured.
pub const EVENTS_PER_SECOND: u32 = 50;

/// What was measured of one kind of traffic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KindCalibration {
    /// Which.
    pub kind: TrafficKind,
    /// Requests per second of 100 users that never pause; what is left when nothing is paced. `None` for
    /// streams.
    pub closed_loop_rps: Option<f64>,
    /// Response times of a single user in nanoseconds, at p50 and p99: what the generator, the
    /// loopback and the server cost at the least. `None` for streams.
    pub floor_ns: Option<(u64, u64)>,
    /// Open loops that were tried, by their rate; none for streams.
    pub rates: Vec<CalibrationStep>,
    /// Closed loops that were tried, by their users: of plain requests, each answered after a second, and
    /// of streams.
    pub users: Vec<CalibrationStep>,
}

/// The program that measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Its version.
    pub version: String,
    /// Whether it was built for speed.
    pub optimized: bool,
}

/// A machine, by what decides how much load it can generate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// CPU model.
    pub cpu: String,
    /// CPUs that the process could use.
    pub cpus: usize,
    /// CPU quota of the control group.
    pub cpu_quota: Option<String>,
    /// Operating system and kernel release.
    pub kernel: String,
}

/// One load that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalibrationStep {
    /// Requests per second, or users.
    pub level: f64,
    /// Successful requests per second.
    pub throughput_rps: f64,
    /// How late the schedule was kept, at p50 and p99 in nanoseconds; `None` for closed loops.
    pub lateness_ns: Option<(u64, u64)>,
    /// How long ready tasks waited for their turn at p99, in nanoseconds.
    pub loop_delay_p99_ns: Option<u64>,
    /// Share of time in which the busiest worker was busy.
    pub busiest_worker: f64,
    /// Why a run under this load would be inconclusive; `None` where nothing speaks against it.
    pub short_of: Option<String>,
}

impl Program {
    /// This program.
    pub fn this() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            optimized: !cfg!(debug_assertions),
        }
    }
}

impl Machine {
    /// The machine of an environment.
    pub fn of(environment: &Environment) -> Self {
        Self {
            cpu: environment.cpu.clone(),
            cpus: environment.cpus,
            cpu_quota: environment.cpu_quota.clone(),
            kernel: environment.kernel.clone(),
        }
    }
}

impl TrafficKind {
    /// All, in the order in which they are measured.
    pub const ALL: [Self; 4] = [Self::Http1, Self::Tls, Self::Http2, Self::Streams];

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Http1 => "plain HTTP/1.1",
            Self::Tls => "HTTP/1.1 over TLS",
            Self::Http2 => "HTTP/2",
            Self::Streams => "streams",
        }
    }
}

impl KindCalibration {
    /// The highest load that was generated without a doubt, if there was any.
    pub fn ceiling(&self, unit: LoadUnit) -> Option<f64> {
        let steps = match unit {
            LoadUnit::Rate => &self.rates,
            LoadUnit::Concurrency => &self.users,
        };
        let held = steps.iter().filter(|step| step.short_of.is_none());
        held.map(|step| step.level).reduce(f64::max)
    }
}

impl Calibration {
    /// What was measured of a kind of traffic.
    pub fn of(&self, kind: TrafficKind) -> Option<&KindCalibration> {
        self.kinds.iter().find(|found| found.kind == kind)
    }

    /// The ceiling of so many workers for traffic that is of all these kinds at once: fewer workers
    /// generate proportionally less, more are not known to generate more. What was not measured of a kind
    /// is that of plain requests: how many users there can be does not depend on TLS, nor how many streams
    /// can begin in a second on how long they are.
    pub fn ceiling_of(&self, kinds: &[TrafficKind], unit: LoadUnit, workers: usize) -> Option<f64> {
        let share = (workers as f64 / self.workers.max(1) as f64).min(1.0);
        let measured = |kind: TrafficKind| {
            let found = self.of(kind)?;
            let share = match (unit, kind) {
                (LoadUnit::Rate, _) | (_, TrafficKind::Streams) => share,
                // Descriptors and memory do not depend on it.
                (LoadUnit::Concurrency, _) => 1.0,
            };
            Some(found.ceiling(unit)? * share)
        };
        let found = kinds
            .iter()
            .filter_map(|kind| measured(*kind))
            .reduce(f64::min);
        found.or_else(|| measured(TrafficKind::Http1))
    }

    /// Why it does not hold here and now, if it does not.
    pub fn stale(&self, environment: &Environment) -> Option<String> {
        let (then, now) = (&self.machine, Machine::of(environment));
        let program = Program::this();
        let build = |program: &Program| {
            let kind = if program.optimized {
                ""
            } else {
                ", a debug build"
            };
            format!("bench {}{kind}", program.version)
        };
        if self.program != program {
            return Some(format!("it was made by {}", build(&self.program)));
        }
        if then.cpu != now.cpu {
            return Some(format!("it was made on another machine ({})", then.cpu));
        }
        if (then.cpus, &then.cpu_quota) != (now.cpus, &now.cpu_quota) {
            return Some(format!("it was made with {} CPUs", then.cpus));
        }
        (then.kernel != now.kernel).then(|| format!("it was made under {}", then.kernel))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(level: f64, short_of: Option<&str>) -> CalibrationStep {
        CalibrationStep {
            level,
            throughput_rps: level,
            lateness_ns: None,
            loop_delay_p99_ns: None,
            busiest_worker: 0.5,
            short_of: short_of.map(str::to_owned),
        }
    }

    fn calibration(environment: &Environment) -> Calibration {
        Calibration {
            schema: CALIBRATION_SCHEMA.to_owned(),
            program: Program::this(),
            made_at: "2026-11-23T07:36:12Z".to_owned(),
            quick: false,
            cut_short: false,
            machine: Machine::of(environment),
            workers: 4,
            server_threads: 2,
            kinds: vec![
                KindCalibration {
                    kind: TrafficKind::Http1,
                    closed_loop_rps: Some(90_000.0),
                    floor_ns: Some((40_000, 90_000)),
                    rates: vec![
                        step(10_000.0, None),
                        step(50_000.0, Some("busy")),
                        step(40_000.0, None),
                    ],
                    users: vec![step(100.0, Some("descriptors"))],
                },
                KindCalibration {
                    kind: TrafficKind::Tls,
                    closed_loop_rps: Some(70_000.0),
                    floor_ns: None,
                    rates: vec![step(20_000.0, None)],
                    users: Vec::new(),
                },
                KindCalibration {
                    kind: TrafficKind::Streams,
                    closed_loop_rps: None,
                    floor_ns: None,
                    rates: Vec::new(),
                    users: vec![step(500.0, None), step(1000.0, Some("busy"))],
                },
            ],
        }
    }

    #[test]
    fn the_ceiling_is_the_highest_load_that_held() {
        let found = calibration(&Environment::default());
        let plain = found.of(TrafficKind::Http1).unwrap();
        assert_eq!(plain.ceiling(LoadUnit::Rate), Some(40_000.0));
        assert_eq!(plain.ceiling(LoadUnit::Concurrency), None);
        let rate =
            |kinds: &[TrafficKind], workers| found.ceiling_of(kinds, LoadUnit::Rate, workers);
        assert_eq!(rate(&[TrafficKind::Http1], 1), Some(10_000.0));
        assert_eq!(rate(&[TrafficKind::Http1], 8), Some(40_000.0));
    }

    #[test]
    fn each_kind_of_traffic_has_a_ceiling_of_its_own() {
        let found = calibration(&Environment::default());
        let of = |kinds: &[TrafficKind], unit| found.ceiling_of(kinds, unit, 4);
        assert_eq!(of(&[TrafficKind::Tls], LoadUnit::Rate), Some(20_000.0));
        assert_eq!(
            of(&[TrafficKind::Streams], LoadUnit::Concurrency),
            Some(500.0)
        );
        // HTTP/2 over TLS is no faster than the slower of both, as far as that is known.
        let both = [TrafficKind::Http2, TrafficKind::Tls];
        assert_eq!(of(&both, LoadUnit::Rate), Some(20_000.0));
        // What was not measured is that of plain requests.
        assert_eq!(of(&[TrafficKind::Streams], LoadUnit::Rate), Some(40_000.0));
        assert_eq!(of(&[TrafficKind::Tls], LoadUnit::Concurrency), None);
    }

    #[test]
    fn another_machine_or_version_is_said() {
        let here = Environment {
            cpu: "one".to_owned(),
            cpus: 4,
            kernel: "Linux 6.1".to_owned(),
            ..Environment::default()
        };
        let found = calibration(&here);
        assert_eq!(found.stale(&here), None);
        let check = |change: fn(&mut Calibration), wanted: &str| {
            let mut other = found.clone();
            change(&mut other);
            let why = other.stale(&here).unwrap();
            assert!(why.contains(wanted), "{why}");
        };
        check(
            |other| other.program.version = "0.0.1".to_owned(),
            "bench 0.0.1",
        );
        check(
            |other| other.machine.cpu = "two".to_owned(),
            "another machine (two)",
        );
        check(|other| other.machine.cpus = 2, "with 2 CPUs");
        check(
            |other| other.machine.cpu_quota = Some("1.5".to_owned()),
            "CPUs",
        );
        check(
            |other| other.machine.kernel = "Linux 5.4".to_owned(),
            "Linux 5.4",
        );
        let text = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<Calibration>(&text).unwrap(), found);
    }
}
