//! What drove a phase, in `run.json`: `concurrency` or `rate`, a number where it did not change.

use super::{number, seconds};
use crate::record::LoadInfo;
use crate::schedule::Profile;
use serde::Serialize;

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum LoadJson<'a> {
    Closed {
        concurrency: LevelJson,
        #[serde(skip_serializing_if = "Option::is_none")]
        think_time_s: Option<f64>,
    },
    Open {
        rate: LevelJson,
        arrival: &'a str,
        max_in_flight: u32,
        shed_after_s: Option<f64>,
    },
}

impl LoadJson<'_> {
    pub(super) fn of(load: &LoadInfo) -> Self {
        match load {
            LoadInfo::Concurrency {
                users,
                think_time_ns,
            } => Self::Closed {
                concurrency: LevelJson::of(users),
                think_time_s: (*think_time_ns > 0).then(|| seconds(*think_time_ns)),
            },
            LoadInfo::Rate {
                rate,
                arrival,
                max_in_flight,
                shed_after_ns,
            } => Self::Open {
                rate: LevelJson::of(rate),
                arrival: arrival.as_str(),
                max_in_flight: *max_in_flight,
                shed_after_s: shed_after_ns.map(seconds),
            },
        }
    }
}

/// A level, or its stages: each a straight line from the level before, a step where it takes no time.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum LevelJson {
    Whole(u64),
    Constant(Option<f64>),
    Stages(Vec<StageJson>),
}

#[derive(Serialize)]
pub(super) struct StageJson {
    to: Option<f64>,
    over_s: f64,
}

impl LevelJson {
    fn of(profile: &Profile) -> Self {
        match profile.as_constant() {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a whole number that is not negative"
            )]
            Some(level) if level.fract() == 0.0 => Self::Whole(level as u64),
            Some(level) => Self::Constant(number(level)),
            None => Self::Stages(
                profile
                    .stages()
                    .iter()
                    .map(|stage| StageJson {
                        to: number(stage.to),
                        over_s: seconds(stage.over_ns),
                    })
                    .collect(),
            ),
        }
    }
}
