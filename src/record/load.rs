//! What drove a phase, as the record keeps it.

use crate::schedule::{ArrivalProcess, Profile};
use crate::units;
use serde::{Deserialize, Serialize};

/// What drives a phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadInfo {
    /// Closed loop: so many users, each with one request at a time.
    Concurrency {
        /// How many, over the time since the start of the phase.
        users: Profile,
        /// The pause of each between two requests, in nanoseconds.
        think_time_ns: u64,
    },
    /// Open loop: so many requests a second, whatever the target does.
    Rate {
        /// How many, over the time since the start of the phase.
        rate: Profile,
        /// How they were spaced.
        arrival: ArrivalInfo,
        /// How many could be in flight at once.
        max_in_flight: u32,
        /// How long a request could wait before it was not sent any more, in nanoseconds.
        shed_after_ns: Option<u64>,
    },
}

/// How the requests of an open loop were spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArrivalInfo {
    /// By a process.
    Process(ArrivalProcess),
    /// At recorded times; the rate is the mean of stretches.
    Trace,
}

impl ArrivalInfo {
    /// The word in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Process(process) => process.as_str(),
            Self::Trace => "trace",
        }
    }
}

impl LoadInfo {
    /// A closed loop with a constant number of users that do not pause.
    pub fn concurrency(users: u32) -> Self {
        Self::Concurrency {
            users: Profile::constant(users.into()),
            think_time_ns: 0,
        }
    }

    /// Whether requests leave whatever the target does.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Rate { .. })
    }

    /// The offered rate over the time since the start of the phase; `None` for a closed loop.
    pub fn rate(&self) -> Option<&Profile> {
        match self {
            Self::Rate { rate, .. } => Some(rate),
            Self::Concurrency { .. } => None,
        }
    }

    /// The number of users over the time since the start of the phase; `None` for an open loop.
    pub fn users(&self) -> Option<&Profile> {
        match self {
            Self::Concurrency { users, .. } => Some(users),
            Self::Rate { .. } => None,
        }
    }

    /// A few words for reports.
    pub fn describe(&self) -> String {
        match self {
            Self::Concurrency {
                users,
                think_time_ns,
            } => {
                let level = level(users, "");
                if *think_time_ns == 0 {
                    format!("{level} concurrent")
                } else {
                    let pause = units::seconds(*think_time_ns as f64 / 1e9);
                    format!("{level} users pausing {pause}")
                }
            }
            Self::Rate {
                rate,
                arrival: ArrivalInfo::Trace,
                ..
            } => {
                let seconds = rate.length_ns() as f64 / 1e9;
                let mean = rate.area(rate.length_ns()) / seconds.max(1.0);
                format!("trace, {}/s on average", units::number(mean))
            }
            Self::Rate {
                rate,
                arrival: ArrivalInfo::Process(process),
                ..
            } => {
                let level = level(rate, "/s");
                match process {
                    ArrivalProcess::Constant => level,
                    ArrivalProcess::Poisson => format!("{level} Poisson"),
                }
            }
        }
    }
}

/// A level, or the levels that a profile goes through.
fn level(profile: &Profile, unit: &str) -> String {
    const MOST: usize = 5;
    if let Some(level) = profile.as_constant() {
        return format!("{level}{unit}");
    }
    let mut levels: Vec<f64> = vec![0.0];
    for (index, stage) in profile.stages().iter().enumerate() {
        if index == 0 && stage.over_ns == 0 {
            levels.clear();
        }
        if levels.last() != Some(&stage.to) {
            levels.push(stage.to);
        }
    }
    let shown: Vec<String> = levels.iter().take(MOST).map(f64::to_string).collect();
    let more = if levels.len() > MOST { " → …" } else { "" };
    format!("{}{more}{unit}", shown.join(" → "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Stage;

    #[test]
    fn loads_are_told_in_a_few_words() {
        let stage = |to, seconds: u64| Stage {
            to,
            over_ns: seconds * 1_000_000_000,
        };
        assert_eq!(LoadInfo::concurrency(1000).describe(), "1000 concurrent");
        let rate = |rate, arrival| {
            let load = LoadInfo::Rate {
                rate,
                arrival,
                max_in_flight: 1,
                shed_after_ns: None,
            };
            load.describe()
        };
        let constant = ArrivalInfo::Process(ArrivalProcess::Constant);
        let poisson = ArrivalInfo::Process(ArrivalProcess::Poisson);
        assert_eq!(rate(Profile::constant(500.0), constant), "500/s");
        assert_eq!(rate(Profile::constant(0.5), poisson), "0.5/s Poisson");
        let ramp = Profile::new(vec![stage(200.0, 30), stage(200.0, 60), stage(50.0, 0)]);
        assert_eq!(rate(ramp.clone(), constant), "0 → 200 → 50/s");
        let users = LoadInfo::Concurrency {
            users: Profile::new(vec![stage(10.0, 0), stage(20.0, 5)]),
            think_time_ns: 1_500_000_000,
        };
        assert_eq!(users.describe(), "10 → 20 users pausing 1.50 s");
    }
}
