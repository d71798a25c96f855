//! Promises that no run could keep, refused before any load.

use super::load;
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::gate::{LatencyKind, Metric, ScalingMetric};
use crate::scenario::{GpuSource, Phase, Scenario, ScenarioGate, ScenarioObjective};
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
    has_streams: bool,
    found: &mut Diagnostics,
) {
    let is_of_streams = match gate.gate.metric {
        Metric::Latency { kind, .. } => kind.is_of_streams(),
        Metric::TokensPerSecond => true,
        _ => false,
    };
    if is_of_streams && !has_streams {
        found.push(no_streams(&gate.text, gate.span.clone()));
    }
}

pub(super) fn no_streams(text: &str, span: std::ops::Range<usize>) -> Diagnostic {
    Diagnostic::error(
        Code::ImpossiblePromise,
        format!("`{text}` cannot be judged: no request of the phase is answered by a stream"),
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

/// A gate on a request that does not run could never be decided.
pub(super) fn refuse_unknown_request(
    gate: &ScenarioGate,
    scenario: &Scenario,
    chosen: Option<&[usize]>,
    found: &mut Diagnostics,
) {
    let Some(name) = &gate.gate.request else {
        return;
    };
    let known = scenario
        .request_names
        .iter()
        .position(|known| known == name);
    let message = match known {
        None => format!("there is no request named `{name}`"),
        Some(request) if chosen.is_some_and(|chosen| !chosen.contains(&request)) => {
            format!("the phase does not run the request `{name}`")
        }
        Some(_) => return,
    };
    found.push(
        Diagnostic::error(Code::UnknownName, message)
            .at(gate.span.clone())
            .hint(format!(
                "known requests: {}",
                scenario.request_names.join(", ")
            )),
    );
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
