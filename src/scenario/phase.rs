//! Reads `[[phase]]` and the gates.

use super::decode::{Context, Located, Table};
use super::expand::Text;
use super::load::{PhaseLoad, read_load};
use super::parse::{is_name, name_error};
use super::target::positive;
use super::{Length, Phase, ScenarioGate, ScenarioObjective};
use crate::diag::{Code, nearest};
use crate::gate::{self, Named};
use std::time::Duration;

pub(super) fn read_phases(
    cx: &mut Context<'_>,
    root: &mut Table<'_>,
    unit_names: &[String],
    request_count: usize,
) -> Vec<Phase> {
    let tables = root.array_of_tables(cx, "phase");
    let mut phases: Vec<Phase> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for mut table in tables {
        let name = read_name(cx, &mut table, &mut names);
        phases.extend(read_phase(cx, table, name, unit_names, request_count));
    }
    check_groups(cx, &phases);
    if phases.is_empty() && root.has("phase") && !cx.diagnostics.has_errors() {
        cx.error(
            Code::MissingKey,
            root.key_span("phase"),
            "the scenario has no phase",
            "add [[phase]] with name, concurrency or rate, and duration",
        );
    }
    phases
}

fn read_name(
    cx: &mut Context<'_>,
    table: &mut Table<'_>,
    names: &mut Vec<String>,
) -> Option<Located<String>> {
    let Text { value, span, .. } =
        table.required_text(cx, "name", "for example name = \"c100\"")?;
    if !is_name(&value) {
        name_error(cx, span.clone(), "a phase's name");
    }
    if names.contains(&value) {
        cx.error(
            Code::Conflict,
            span.clone(),
            format!("there are two phases named `{value}`"),
            "gates and reports refer to phases by name",
        );
    }
    names.push(value.clone());
    Some(Located { value, span })
}

fn read_phase(
    cx: &mut Context<'_>,
    mut table: Table<'_>,
    name: Option<Located<String>>,
    unit_names: &[String],
    request_count: usize,
) -> Option<Phase> {
    let load = read_load(cx, &mut table);
    let warmup = table.duration(cx, "warmup");
    let length = read_length(cx, &mut table, load.as_ref());
    let decided = read_until(cx, &mut table, length.as_ref(), load.as_ref());
    let drain = table.duration(cx, "drain").map(|drain| drain.value);
    let (of_requests, of_flows) = unit_names.split_at(request_count);
    let requests = read_choice(cx, &mut table, "requests", of_requests);
    let flows = read_choice(cx, &mut table, "flows", of_flows);
    // Whoever names some of one kind wants none of the other that is not named.
    let units = (requests.is_some() || flows.is_some()).then(|| {
        let flows = flows.into_iter().flatten().map(|flow| request_count + flow);
        requests.into_iter().flatten().chain(flows).collect()
    });
    let group = table.text(cx, "group").map(|text| Located {
        value: text.value,
        span: text.span,
    });
    let gates = read_gates(cx, &mut table);
    let slo = read_objectives(cx, &mut table);
    table.finish(cx);
    Some(Phase {
        name: name?,
        load: load?,
        group,
        warmup: warmup.map_or(Duration::ZERO, |warmup| warmup.value),
        length: length?,
        decided,
        drain,
        units,
        gates,
        slo,
    })
}

fn read_length(
    cx: &mut Context<'_>,
    table: &mut Table<'_>,
    load: Option<&PhaseLoad>,
) -> Option<Located<Length>> {
    let duration = table.duration(cx, "duration");
    let count = table.integer(cx, "count", 1..=u64::MAX);
    match (table.has("duration"), table.has("count")) {
        (true, true) => {
            cx.error(
                Code::Conflict,
                table.key_span("count"),
                "a phase ends after `duration` or after `count`, not both",
                "",
            );
            None
        }
        (false, false) if load.is_some_and(PhaseLoad::has_length) => Some(Located {
            value: Length::OfLoad,
            span: table.span.clone(),
        }),
        (false, false) => {
            cx.error(
                Code::MissingKey,
                table.span.clone(),
                "[[phase]] needs `duration` or `count`",
                "for example duration = \"30s\", or count = 10000",
            );
            None
        }
        (true, false) => duration.and_then(|duration| {
            let span = duration.span.clone();
            positive(cx, Some(duration), "duration").map(|value| Located {
                value: Length::Duration(value),
                span,
            })
        }),
        (false, true) => count.map(|count| Located {
            value: Length::Count(count.value),
            span: count.span,
        }),
    }
}

/// Reads `until = "decided"` and `min_duration`.
fn read_until(
    cx: &mut Context<'_>,
    table: &mut Table<'_>,
    length: Option<&Located<Length>>,
    load: Option<&PhaseLoad>,
) -> Option<Located<Duration>> {
    let minimum = table.duration(cx, "min_duration");
    let until = table.text(cx, "until");
    let Some(until) = until else {
        if let Some(minimum) = minimum {
            cx.error(
                Code::Conflict,
                minimum.span,
                "`min_duration` is for phases that may end early",
                "add until = \"decided\", or remove it",
            );
        }
        return None;
    };
    if until.value != "decided" {
        cx.error(
            Code::InvalidValue,
            until.span.clone(),
            format!("a phase does not last until \"{}\"", until.value),
            "write until = \"decided\", or leave it out",
        );
    }
    match length.map(|length| &length.value) {
        Some(Length::Duration(most)) => {
            if let Some(minimum) = minimum.as_ref().filter(|minimum| minimum.value >= *most) {
                cx.error(
                    Code::Conflict,
                    minimum.span.clone(),
                    "`min_duration` is not below `duration`",
                    "`duration` is the longest that the phase lasts",
                );
            }
        }
        Some(_) => cx.error(
            Code::Conflict,
            until.span.clone(),
            "until = \"decided\" needs `duration`, the longest that the phase lasts",
            "looks before the end lie at fixed times of a known length",
        ),
        None => {}
    }
    if load.is_some_and(|load| !load.is_constant()) {
        cx.error(
            Code::Conflict,
            until.span.clone(),
            "until = \"decided\" needs a load that does not change",
            "what is seen at a part of a ramp says nothing about the rest of it",
        );
    }
    if let Some(minimum) = &minimum
        && minimum.value < LEAST_LOOK
    {
        cx.error(
            Code::InvalidValue,
            minimum.span.clone(),
            "`min_duration` is below 10s",
            "less does not show how requests hang together",
        );
    }
    Some(Located {
        value: minimum.map_or(Duration::ZERO, |minimum| minimum.value),
        span: until.span,
    })
}

/// Nothing is decided before.
const LEAST_LOOK: Duration = Duration::from_secs(10);

/// Phases that run side by side stand one below the other.
fn check_groups(cx: &mut Context<'_>, phases: &[Phase]) {
    for (index, phase) in phases.iter().enumerate() {
        let Some(group) = &phase.group else {
            continue;
        };
        let same = |other: &Phase| {
            let other = other.group.as_ref();
            other.is_some_and(|other| other.value == group.value)
        };
        let before = &phases[..index];
        if before.iter().any(same) && !before.last().is_some_and(same) {
            cx.error(
                Code::Conflict,
                group.span.clone(),
                format!(
                    "the phases of group `{}` do not follow each other",
                    group.value
                ),
                "phases of one group run side by side: put them one below the other",
            );
        }
    }
}

/// `requests` or `flows` of a phase, as positions among the known names.
fn read_choice(
    cx: &mut Context<'_>,
    table: &mut Table<'_>,
    key: &'static str,
    known: &[String],
) -> Option<Vec<usize>> {
    let names = table.texts(cx, key)?;
    if names.is_empty() {
        let span = table.key_span(key);
        cx.error(
            Code::InvalidValue,
            span,
            format!("`{key}` is empty"),
            "leave it out to run all requests and flows of the scenario",
        );
    }
    let chosen = names
        .into_iter()
        .filter_map(|name| find_unit(cx, &name, key, known));
    Some(chosen.collect())
}

fn find_unit(cx: &mut Context<'_>, name: &Text, kind: &str, known: &[String]) -> Option<usize> {
    let found = known.iter().position(|known| *known == name.value);
    if found.is_none() {
        let hint = match nearest(&name.value, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None if known.is_empty() => format!("the scenario has no {kind}"),
            None => format!("known {kind}: {}", known.join(", ")),
        };
        cx.error(
            Code::UnknownName,
            name.span.clone(),
            format!(
                "there is no {} named `{}`",
                kind.trim_end_matches('s'),
                name.value
            ),
            hint,
        );
    }
    found
}

/// What a request must do to count as good; `None` where nothing is said of it.
pub(super) fn read_objectives(
    cx: &mut Context<'_>,
    table: &mut Table<'_>,
) -> Option<Vec<ScenarioObjective>> {
    let texts = table.texts(cx, "slo")?;
    let mut objectives = Vec::new();
    for text in texts {
        match gate::parse_objective(&text.value) {
            Ok(objective) => objectives.push(ScenarioObjective {
                text: text.value,
                objective,
                span: text.span,
            }),
            Err(error) => {
                let at = cx.inside(&text.span, &text.value, error.span);
                cx.error(
                    Code::InvalidGate,
                    at,
                    error.message,
                    error.hint.unwrap_or_default(),
                );
            }
        }
    }
    Some(objectives)
}

pub(super) fn read_gates(cx: &mut Context<'_>, table: &mut Table<'_>) -> Vec<ScenarioGate> {
    let texts = table.texts(cx, "gates").unwrap_or_default();
    let mut gates = Vec::new();
    for text in texts {
        match gate::parse_with(&text.value, Named::Only(&cx.named)) {
            Ok(gate) => gates.push(ScenarioGate {
                text: text.value,
                gate,
                span: text.span,
            }),
            Err(error) => {
                let at = cx.inside(&text.span, &text.value, error.span);
                cx.error(
                    Code::InvalidGate,
                    at,
                    error.message,
                    error.hint.unwrap_or_default(),
                );
            }
        }
    }
    gates
}
