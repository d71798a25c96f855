//! Reads what drives a phase: `concurrency`, `rate` or `trace`, and the keys that go with each.

use super::Located;
use super::decode::{Context, Table};
use crate::diag::Code;
use crate::schedule::{ArrivalProcess, Profile, Stage};
use crate::units::nanoseconds;
use std::ops::RangeInclusive;
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

/// What drives a phase.
#[derive(Clone, Debug, PartialEq)]
pub enum PhaseLoad {
    /// Closed loop: so many users, each with one request at a time.
    Concurrency {
        /// How many, over the time since the start of the phase.
        users: Profile,
        /// The pause of each between two requests.
        think_time: Duration,
    },
    /// Open loop: so many requests a second.
    Rate {
        /// How many, over the time since the start of the phase.
        rate: Profile,
        /// How they are spaced.
        process: ArrivalProcess,
        /// How they are sent.
        sending: Sending,
    },
    /// Open loop: at recorded times.
    Trace {
        /// The file, relative to the folder of the scenario.
        file: Located<String>,
        /// By how much it is sped up.
        speed: f64,
        /// How they are sent.
        sending: Sending,
    },
}

/// How an open loop sends, and what it does about requests that have to wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sending {
    /// How many requests may be in flight at once; `None` to derive it from rate and timeout.
    pub max_in_flight: Option<u32>,
    /// How long a request may wait before it is not sent any more; `None` for any time.
    pub shed_after: Option<Duration>,
    /// Whether CPU time is spent on meeting the intended starts to the microsecond.
    pub precise: bool,
}

impl PhaseLoad {
    /// The file with recorded times, if that is what drives it.
    pub fn trace_file(&self) -> Option<&Located<String>> {
        match self {
            Self::Trace { file, .. } => Some(file),
            _ => None,
        }
    }

    /// Whether it stays at one level.
    pub(super) fn is_constant(&self) -> bool {
        match self {
            Self::Concurrency { users: profile, .. } | Self::Rate { rate: profile, .. } => {
                profile.as_constant().is_some()
            }
            Self::Trace { .. } => false,
        }
    }

    /// Whether it tells by itself when the phase is over.
    pub(super) fn has_length(&self) -> bool {
        match self {
            Self::Concurrency { users: profile, .. } | Self::Rate { rate: profile, .. } => {
                profile.length_ns() > 0
            }
            Self::Trace { .. } => true,
        }
    }
}

/// Which keys belong to which load.
const COMPANIONS: [(&str, &[&str]); 6] = [
    ("think_time", &["concurrency"]),
    ("arrival", &["rate"]),
    ("speed", &["trace"]),
    ("max_in_flight", &["rate", "trace"]),
    ("shed_after", &["rate", "trace"]),
    ("precise", &["rate", "trace"]),
];
const MOST_USERS: f64 = 1_000_000.0;
const HIGHEST_RATE: f64 = 10_000_000.0;

pub(super) fn read_load(cx: &mut Context<'_>, table: &mut Table<'_>) -> Option<PhaseLoad> {
    let users = table.get("concurrency").map(|value| read_users(cx, value));
    let rate = table
        .get("rate")
        .map(|value| read_profile(cx, value, "rate", 0.001..=HIGHEST_RATE));
    let trace = table.text(cx, "trace");
    let think_time = table.duration(cx, "think_time").map(|time| time.value);
    let process = read_process(cx, table);
    let speed = table
        .get("speed")
        .and_then(|value| cx.number(value, "speed", 0.001..=1000.0));
    let max_in_flight = table.integer(cx, "max_in_flight", 1..=1_000_000);
    let sending = Sending {
        max_in_flight: max_in_flight.map(|most| u32::try_from(most.value).unwrap_or(u32::MAX)),
        shed_after: table.duration(cx, "shed_after").map(|limit| limit.value),
        precise: table.boolean(cx, "precise").unwrap_or(false),
    };
    let loads: Vec<&'static str> = ["concurrency", "rate", "trace"]
        .into_iter()
        .filter(|&key| table.has(key))
        .collect();
    let load = match loads.as_slice() {
        [] => {
            cx.error(
                Code::MissingKey,
                table.span.clone(),
                "[[phase]] needs `concurrency`, `rate` or `trace`",
                "concurrency = 100 keeps 100 requests in flight; rate = 500 sends 500 a second",
            );
            return None;
        }
        [load] => *load,
        [first, second, ..] => {
            cx.error(
                Code::Conflict,
                table.key_span(second),
                format!("a phase is driven by `{first}` or by `{second}`, not by both"),
                "make two phases of it; with the same `group` they run side by side",
            );
            return None;
        }
    };
    for (key, with) in COMPANIONS {
        if table.has(key) && !with.contains(&load) {
            cx.error(
                Code::Conflict,
                table.key_span(key),
                format!("`{key}` does not go with `{load}`"),
                format!("it belongs to `{}`", with.join("` or `")),
            );
        }
    }
    if let Some(users) = users {
        return Some(PhaseLoad::Concurrency {
            users: users?,
            think_time: think_time.unwrap_or_default(),
        });
    }
    if let Some(rate) = rate {
        return Some(PhaseLoad::Rate {
            rate: rate?,
            process,
            sending,
        });
    }
    let file = trace?;
    Some(PhaseLoad::Trace {
        file: Located {
            value: file.value,
            span: file.span,
        },
        speed: speed.map_or(1.0, |speed| speed.value),
        sending,
    })
}

fn read_process(cx: &mut Context<'_>, table: &mut Table<'_>) -> ArrivalProcess {
    let Some(text) = table.text(cx, "arrival") else {
        return ArrivalProcess::default();
    };
    match text.value.as_str() {
        "constant" => ArrivalProcess::Constant,
        "poisson" => ArrivalProcess::Poisson,
        _ => {
            cx.error(
                Code::InvalidValue,
                text.span,
                "`arrival` is \"constant\" or \"poisson\"",
                "\"constant\" spaces requests evenly, \"poisson\" like independent users",
            );
            ArrivalProcess::default()
        }
    }
}

/// Users: a whole number where it does not change.
fn read_users(cx: &mut Context<'_>, value: &Spanned<DeValue<'_>>) -> Option<Profile> {
    if matches!(value.get_ref(), DeValue::Array(_)) {
        return read_profile(cx, value, "concurrency", 0.0..=MOST_USERS);
    }
    let users = cx.integer(value, "concurrency", 1..=1_000_000)?;
    Some(Profile::constant(users.value as f64))
}

/// A level, or a list of stages.
fn read_profile(
    cx: &mut Context<'_>,
    value: &Spanned<DeValue<'_>>,
    name: &'static str,
    range: RangeInclusive<f64>,
) -> Option<Profile> {
    let DeValue::Array(items) = value.get_ref() else {
        return cx
            .number(value, name, range)
            .map(|level| Profile::constant(level.value));
    };
    let range = 0.0..=*range.end();
    let mut stages = Vec::new();
    let mut complete = true;
    for item in items {
        match read_stage(cx, item, name, range.clone()) {
            Some(more) => stages.extend(more),
            None => complete = false,
        }
    }
    if !complete {
        return None;
    }
    let profile = Profile::new(stages);
    if profile.peak() <= 0.0 || profile.length_ns() == 0 {
        cx.error(
            Code::InvalidValue,
            value.span(),
            format!("the stages of `{name}` never rise above 0"),
            format!("for example {name} = [{{ to = 200, over = \"30s\" }}, {{ at = 200, for = \"1m\" }}]"),
        );
        return None;
    }
    Some(profile)
}

/// `{ to = 200, over = "30s" }`, a straight line from the level before; or
/// `{ at = 200, for = "1m" }`, a step and the same level from there on.
fn read_stage(
    cx: &mut Context<'_>,
    value: &Spanned<DeValue<'_>>,
    name: &'static str,
    range: RangeInclusive<f64>,
) -> Option<Vec<Stage>> {
    let DeValue::Table(entries) = value.get_ref() else {
        cx.wrong_type(
            value,
            name,
            "a number, or a list of stages such as { to = 200, over = \"30s\" }",
        );
        return None;
    };
    let mut table = Table::new(entries, value.span(), format!("a stage of `{name}`"));
    let step = table.has("at") || table.has("for");
    let (level_key, length_key) = if step { ("at", "for") } else { ("to", "over") };
    let hint = "a stage is { to = 200, over = \"30s\" } or { at = 200, for = \"1m\" }";
    table.require(cx, level_key, hint);
    table.require(cx, length_key, hint);
    let level = table.get(level_key);
    let level = level.and_then(|level| cx.number(level, level_key, range));
    let length = table.duration(cx, length_key);
    table.finish(cx);
    let (level, length) = (level?.value, length?.value);
    let stage = Stage {
        to: level,
        over_ns: nanoseconds(length),
    };
    let jump = Stage {
        to: level,
        over_ns: 0,
    };
    Some(if step { vec![jump, stage] } else { vec![stage] })
}
