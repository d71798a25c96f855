//! Promises that no run could keep, refused before any load.

use super::load;
use crate::diag::{Code, Diagnostic, Diagnostics, nearest};
use crate::gate::{LatencyKind, Metric, Part, PartKind, ScalingMetric};
use crate::scenario::{GpuSource, Phase, Scenario, ScenarioGate, ScenarioObjective, Unit};
use crate::schedule::{Load, Stop};
use crate::stats::{ALPHA, smallest_sample_that_can_pass};
use crate::units;
use std::time::Duration;

/// The shortest window in which it shows how requests hang together, and so the shortest that can be
/// judged.
const SHORTEST_WINDOW: Duration = Duration::from_secs(2);

/// A gate on GPUs that nobody looks at could never be decided.
pub(super) fn refuse_without_telemetry(
    gate: &ScenarioGate,
    gpu: &GpuSource,
    found: &mut Diagnostics,
) {
    let name = match gate.gate.metric {
        Metric::Telemetry(metric) => metric.name,
        Metric::Growth(metric) => metric.name,
        _ => return,
    };
    if name.starts_with("gpu.") && *gpu == GpuSource::None {
        found.push(
            Diagnostic::error(
                Code::ImpossiblePromise,
                format!("`{name}` cannot be judged: GPU telemetry is off"),
            )
            .at(gate.span.clone())
            .hint("set gpu = \"auto\" in [telemetry], or remove the gate"),
        );
    }
}

/// Scaling is judged on a step from one phase to the next, by replicas that somebody counts.
pub(super) fn refuse_without_step(
    gate: &ScenarioGate,
    phase: Option<&Phase>,
    scenario: &Scenario,
    found: &mut Diagnostics,
) {
    let Metric::Scaling(metric) = gate.gate.metric else {
        return;
    };
    let mut refuse = |message: String, hint: &str| {
        found.push(
            Diagnostic::error(Code::ImpossiblePromise, message)
                .at(gate.span.clone())
                .hint(hint),
        );
    };
    let mut metrics = scenario
        .telemetry
        .sources
        .iter()
        .flat_map(|source| &source.metrics);
    if !metrics.any(|metric| metric.name.ends_with(".replicas")) {
        refuse(
            format!(
                "`{}` cannot be judged: nothing counts the replicas",
                metric.as_str()
            ),
            "name a metric `replicas` in [telemetry]: prometheus = [{ name = \"server\", url = \
             \"/metrics\", metrics = { replicas = \"…\" } }]",
        );
    }
    let first = scenario.phases.first().map(|phase| &phase.name.value);
    let is_step = phase.is_some_and(|phase| Some(&phase.name.value) != first);
    if metric != ScalingMetric::Flaps && !is_step {
        refuse(
            format!("`{}` is about a step of the load", metric.as_str()),
            "put it into a phase that comes after another one: the step is the beginning of its phase",
        );
    }
}

/// A gate on tokens where no request is answered by a stream could never be decided.
pub(super) fn refuse_without_streams(
    gate: &ScenarioGate,
    scenario: &Scenario,
    has_streams: bool,
    found: &mut Diagnostics,
) {
    let is_of_streams = match gate.gate.metric {
        Metric::Latency { kind, .. } => kind.is_of_streams(),
        Metric::TokensPerSecond => true,
        _ => false,
    };
    // Tokens of a step are its own, and not those of the phase.
    let has_streams = match &gate.gate.part {
        Some(part) if part.kind == PartKind::Step => step_streams(scenario, &part.name),
        _ => has_streams,
    };
    if is_of_streams && !has_streams {
        found.push(no_streams(&gate.text, gate.span.clone()));
    }
}

fn step_streams(scenario: &Scenario, name: &str) -> bool {
    let mut steps = scenario.flows.iter().filter_map(|flow| {
        let named = move |step: &&crate::scenario::Step| {
            name.split_once('/') == Some((&flow.name.value, &step.request.name.value))
        };
        flow.steps.iter().find(named)
    });
    steps.any(|step| step.request.stream.is_some())
}

pub(super) fn no_streams(text: &str, span: std::ops::Range<usize>) -> Diagnostic {
    Diagnostic::error(
        Code::ImpossiblePromise,
        format!("`{text}` cannot be judged: no request that it is about is answered by a stream"),
    )
    .at(span)
    .hint("say so in the request: stream = \"sse\" and shape = \"openai-chat\"")
}

/// Goodput is that of objectives.
pub(super) fn refuse_without_objectives(
    gate: &ScenarioGate,
    slo: &[ScenarioObjective],
    found: &mut Diagnostics,
) {
    if gate.gate.metric == Metric::Goodput && slo.is_empty() {
        found.push(
            Diagnostic::error(
                Code::ImpossiblePromise,
                format!("`{}` cannot be judged: there are no objectives", gate.text),
            )
            .at(gate.span.clone())
            .hint("say what a good request is: slo = [\"ttft < 250ms\", \"response < 2s\"]"),
        );
    }
}

/// A gate on a request, a flow or a step that does not run could never be decided.
pub(super) fn refuse_unknown_part(
    gate: &ScenarioGate,
    scenario: &Scenario,
    chosen: Option<&[usize]>,
    found: &mut Diagnostics,
) {
    let Some(part) = &gate.gate.part else {
        return;
    };
    let known = parts(scenario);
    let Some((unit, _)) = known.iter().find(|(_, known)| known == part) else {
        let same = known.iter().find(|(_, known)| known.name == part.name);
        let of_kind = known.iter().filter(|(_, known)| known.kind == part.kind);
        let names: Vec<&str> = of_kind.map(|(_, known)| known.name.as_str()).collect();
        let kind = part.kind.as_str();
        let hint = match (same, nearest(&part.name, names.iter().copied())) {
            (Some((_, other)), _) => {
                format!("it is a {}: write `{{{other}}}`", other.kind.as_str())
            }
            (None, Some(near)) => format!("did you mean `{{{kind}={near}}}`?"),
            (None, None) if names.is_empty() => format!("the scenario has no {kind}s"),
            (None, None) => format!("known {kind}s: {}", names.join(", ")),
        };
        found.push(
            Diagnostic::error(
                Code::UnknownName,
                format!("there is no {kind} named `{}`", part.name),
            )
            .at(gate.span.clone())
            .hint(hint),
        );
        return;
    };
    if chosen.is_some_and(|chosen| !chosen.contains(unit)) {
        found.push(
            Diagnostic::error(
                Code::UnknownName,
                format!(
                    "the phase does not run the {} `{}`",
                    part.kind.as_str(),
                    part.name
                ),
            )
            .at(gate.span.clone())
            .hint("add it to `requests` or `flows` of the phase"),
        );
    }
    if part.kind == PartKind::Step && gate.gate.metric == Metric::Goodput {
        found.push(
            Diagnostic::error(
                Code::ImpossiblePromise,
                format!(
                    "`{}` cannot be judged: objectives are those of whole flows",
                    gate.text
                ),
            )
            .at(gate.span.clone())
            .hint("name the flow, or gate on a latency of the step"),
        );
    }
}

/// Everything that a gate can name, with the unit that it belongs to.
fn parts(scenario: &Scenario) -> Vec<(usize, Part)> {
    let mut parts = Vec::new();
    for (unit, name) in scenario.unit_names.iter().enumerate() {
        let kind = if unit < scenario.request_count {
            PartKind::Request
        } else {
            PartKind::Flow
        };
        let name = name.clone();
        parts.push((unit, Part { kind, name }));
        if let Some(Unit::Flow(flow)) = scenario.unit(unit) {
            parts.extend(flow.steps.iter().map(|step| {
                let name = format!("{}/{}", flow.name.value, step.request.name.value);
                let kind = PartKind::Step;
                (unit, Part { kind, name })
            }));
        }
    }
    parts
}

/// A flow has several first bytes, and none that says something of the whole.
pub(super) fn refuse_first_byte_of_flow(
    gate: &ScenarioGate,
    scenario: &Scenario,
    chosen: Option<&[usize]>,
    found: &mut Diagnostics,
) {
    let Metric::Latency { kind, .. } = gate.gate.metric else {
        return;
    };
    let about_flows = match &gate.gate.part {
        Some(part) => part.kind == PartKind::Flow,
        None => runs_flows(scenario, chosen),
    };
    if kind == LatencyKind::Ttfb && about_flows {
        found.push(no_first_byte(&gate.text, gate.span.clone()));
    }
}

/// Whether any of these units is a flow.
pub(super) fn runs_flows(scenario: &Scenario, chosen: Option<&[usize]>) -> bool {
    let is_flow = |unit: usize| unit >= scenario.request_count;
    match chosen {
        Some(chosen) => chosen.iter().any(|&unit| is_flow(unit)),
        None => is_flow(scenario.unit_names.len().saturating_sub(1)),
    }
}

pub(super) fn no_first_byte(text: &str, span: std::ops::Range<usize>) -> Diagnostic {
    Diagnostic::error(
        Code::ImpossiblePromise,
        format!("`{text}` cannot be judged: a flow has an answer for each step, and no first byte"),
    )
    .at(span)
    .hint("name a step, as in `ttfb.p99{step=job/submit} < 50ms`, or a request")
}

/// Growth under loads that differ is not growth.
pub(super) fn refuse_growth_over_phases(
    gate: &ScenarioGate,
    phases: &[Phase],
    found: &mut Diagnostics,
) {
    let grows = matches!(gate.gate.metric, Metric::Growth(_) | Metric::Drift { .. });
    if grows && phases.len() > 1 {
        found.push(
            Diagnostic::error(
                Code::ImpossiblePromise,
                format!("`{}` cannot be judged over several phases", gate.text),
            )
            .at(gate.span.clone())
            .hint("growth is judged under one steady load: put the gate into a phase"),
        );
    }
}

/// A gate on the whole run has no phase whose length says when it is looked at.
pub(super) fn refuse_early_end_of_run(gate: &ScenarioGate, found: &mut Diagnostics) {
    if gate.gate.abort {
        found.push(
            Diagnostic::error(
                Code::ImpossiblePromise,
                "`abort` stands behind a gate of a phase",
            )
            .at(gate.span.clone())
            .hint("put the gate into the phase that it is to end"),
        );
    }
}

/// What cannot be looked at before the end cannot end a phase or a run.
pub(super) fn refuse_early_end(
    gate: &ScenarioGate,
    phase: &Phase,
    stop: Stop,
    found: &mut Diagnostics,
) {
    let mut refuse = |message: String, hint: &str| {
        found.push(
            Diagnostic::error(Code::ImpossiblePromise, message)
                .at(gate.span.clone())
                .hint(hint),
        );
    };
    if gate.gate.abort && matches!(stop, Stop::Count(_)) {
        refuse(
            "`abort` needs a phase that ends after `duration`".to_owned(),
            "looks before the end lie at fixed times of a known length",
        );
    }
    let is_looked_at = matches!(gate.gate.metric, Metric::Latency { .. } | Metric::ErrorRate);
    if phase.decided.is_some() && (!is_looked_at || gate.gate.worst.is_some()) {
        refuse(
            format!(
                "`{}` cannot be decided before the end of the phase",
                gate.text
            ),
            "with until = \"decided\" a phase has gates on percentiles and `error_rate` only; put the others \
             into a phase of its own",
        );
    }
}

/// A percentile that the phase's own length makes undecidable is refused before any load.
pub(super) fn refuse_too_few(
    gate: &ScenarioGate,
    phase: &Phase,
    load: &Load,
    stop: Stop,
    found: &mut Diagnostics,
) {
    let allowed = match gate.gate.metric {
        Metric::ErrorRate => gate.gate.limit.value,
        // How many tokens a request will have is not known beforehand.
        Metric::Latency {
            kind: LatencyKind::Itl,
            ..
        }
        | Metric::Throughput
        | Metric::Goodput
        | Metric::TokensPerSecond
        | Metric::EnergyPerRequest
        | Metric::Telemetry(_)
        | Metric::Scaling(_)
        | Metric::Growth(_)
        | Metric::Drift { .. } => return,
        Metric::Latency { percentile, .. } => percentile.allowed_share(),
    };
    let refuse = |message: String, hint: String| {
        Diagnostic::error(Code::ImpossiblePromise, message)
            .at(gate.span.clone())
            .hint(hint)
    };
    match stop {
        Stop::Count(count) => {
            let needed = smallest_sample_that_can_pass(allowed, ALPHA);
            if count < needed {
                found.push(refuse(
                    format!(
                        "`{}` can never pass: it takes at least {needed} requests, and the phase plans {count}",
                        gate.text
                    ),
                    format!("set count = {} or more in phase `{}`", needed * 10, phase.name.value),
                ));
            }
        }
        Stop::After(duration) if duration < SHORTEST_WINDOW => {
            found.push(refuse(
                format!(
                    "`{}` cannot be judged in {}",
                    gate.text,
                    units::duration(duration)
                ),
                format!(
                    "measure for at least {}: in less, nothing shows how requests hang together",
                    units::duration(SHORTEST_WINDOW)
                ),
            ));
        }
        Stop::After(duration) => {
            // An open loop tells beforehand how many requests there will be.
            let Some(planned) = load::planned_requests(load, phase.warmup, duration) else {
                return;
            };
            let needed = smallest_sample_that_can_pass(allowed, ALPHA);
            if planned < needed {
                found.push(refuse(
                    format!(
                        "`{}` can never pass: it takes at least {needed} requests, and the phase plans {planned}",
                        gate.text
                    ),
                    format!("measure for longer, or at a higher rate, in phase `{}`", phase.name.value),
                ));
            }
        }
    }
}
