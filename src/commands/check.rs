//! `bench check`: reads a scenario and prints the plan, without sending anything.

use super::ceiling::Known;
use super::{Output, ceiling};
use crate::plan::{Plan, SendPlan, TargetAddress, Unit};
use crate::scenario::{GpuSource, Protocol};
use crate::schedule::{Load, Stop};
use crate::telemetry;
use crate::units;
use std::fmt::Write as _;
use std::path::Path;

/// Prints a plan.
pub fn check(plan: &Plan, output: Output) {
    let environment = telemetry::environment(Path::new("."), None, Vec::new());
    let known = ceiling::known(&environment);
    output.result(&describe(plan, &known));
    for doubt in known.doubts(plan) {
        let phase = doubt.phase().map_or("", |phase| &plan.phases[phase].name);
        output.warn(&format!("warning: phase `{phase}`: {doubt}"));
    }
}

/// The plan in words.
fn describe(plan: &Plan, known: &Known) -> String {
    let mut out = String::new();
    let write = |out: &mut String, label: &str, text: &str| {
        writeln!(out, "{label:<10} {text}").expect("memory");
    };
    writeln!(out, "{} · {}\n", plan.scenario.name, plan.scenario.file).expect("memory");
    let target = match &plan.target.address {
        TargetAddress::Reference(options) if options.misbehaves() => format!(
            "the built-in reference API, started for the run; told to misbehave: {}",
            options.describe_misbehaviour()
        ),
        TargetAddress::Reference(_) => "the built-in reference API, started for the run".to_owned(),
        TargetAddress::Http(_) => plan.target.shown.clone(),
    };
    let timeout = units::duration(plan.target.timeout);
    let protocol = plan.target_info().protocol;
    let text = format!("{target}; {protocol}; timeout {timeout}");
    write(&mut out, "target", &text);
    for unit in plan.units.iter() {
        match unit {
            Unit::Request(send) => {
                let text = describe_sent(plan, send);
                write(&mut out, "request", &text);
            }
            Unit::Flow(flow) => {
                write(&mut out, "flow", &flow.name);
                for step in &flow.steps {
                    let poll = step.poll.map_or_else(String::new, |poll| {
                        format!(
                            ", every {} for at most {}",
                            units::duration(poll.every),
                            units::duration(poll.limit)
                        )
                    });
                    let text = format!("  {}{poll}", describe_sent(plan, &step.send));
                    write(&mut out, "", &text);
                }
            }
        }
    }
    for phase in &plan.phases {
        let length = match phase.stop {
            Stop::After(duration) => format!("{} measured", units::duration(duration)),
            Stop::Count(count) => format!("{} requests measured", units::count(count)),
        };
        let names: Vec<String> = phase
            .mix
            .requests()
            .map(|unit| match &plan.units[unit] {
                Unit::Request(send) => plan.requests[send.request].name.clone(),
                Unit::Flow(flow) => flow.name.clone(),
            })
            .collect();
        let info = phase.info();
        let text = format!(
            "{} — {} × [{}], {} warm-up, {length}",
            phase.name,
            info.load.describe(),
            names.join(", "),
            units::duration(phase.warmup),
        );
        write(&mut out, "phase", &text);
        if let Load::Open(open) = &phase.load {
            let text = format!(
                "  at most {} in flight, {}",
                units::count(open.max_in_flight.into()),
                open.shed_after.map_or_else(
                    || "what waits keeps its intended start".to_owned(),
                    |limit| format!("what waits {} is shed", units::duration(limit)),
                )
            );
            write(&mut out, "", &text);
        }
        if let Some(after) = phase.decided_after {
            let from = if after.is_zero() {
                "as soon as its gates are decided".to_owned()
            } else {
                format!(
                    "once its gates are decided, after {} at least",
                    units::duration(after)
                )
            };
            write(&mut out, "", &format!("  ends {from}"));
        }
        if let Some(group) = &phase.group {
            write(&mut out, "", &format!("  side by side with group {group}"));
        }
        for gate in &phase.gates {
            write(&mut out, "", &format!("  gate {}", gate.text));
        }
    }
    for gate in &plan.gates {
        write(&mut out, "run", &format!("  gate {}", gate.text));
    }
    let gpu = match &plan.telemetry.gpu {
        GpuSource::Auto => "GPUs of this host by NVML, if there are any and the target is local",
        GpuSource::Nvml(_) => "GPUs of this host by NVML",
        GpuSource::Dcgm(_) => "GPUs by dcgm-exporter",
        GpuSource::None => "no GPUs",
    };
    write(
        &mut out,
        "telemetry",
        &format!("{gpu}; host, target and generator processes"),
    );
    for source in &plan.telemetry.sources {
        let names: Vec<&str> = source
            .metrics
            .iter()
            .map(|metric| metric.name.as_str())
            .collect();
        let text = format!(
            "{} every {}",
            names.join(", "),
            units::duration(source.interval)
        );
        write(&mut out, "", &text);
    }
    let length = plan
        .planned_length()
        .map_or_else(|| "until its requests are done".to_owned(), units::duration);
    let workers = plan.workers;
    let plural = if workers == 1 { "" } else { "s" };
    let text = format!(
        "{length} of load, {} {} connections, {workers} worker{plural}, seed {}",
        match plan.target.protocol {
            Protocol::Http1 => "at most",
            // More, if the target allows fewer streams on each.
            Protocol::Http2 { .. } => "about",
        },
        units::count(plan.most_connections().into()),
        plan.seed
    );
    write(&mut out, "in all", &text);
    if let Some(line) = known.line() {
        write(&mut out, "machine", &line);
    }
    if plan.gates.is_empty() && plan.phases.iter().all(|phase| phase.gates.is_empty()) {
        out.push_str("\nThere are no gates: a run will end INCONCLUSIVE.\n");
    }
    out
}

/// A request, and whether it is tried again.
fn describe_sent(plan: &Plan, send: &SendPlan) -> String {
    let request = &plan.requests[send.request];
    let retry = send.retry.as_ref().map_or_else(String::new, |retry| {
        let statuses: Vec<String> = retry.statuses.iter().map(u16::to_string).collect();
        let plural = if retry.times == 1 { "" } else { "s" };
        format!(
            ", again on {} up to {} time{plural}",
            statuses.join(", "),
            retry.times
        )
    });
    format!(
        "{} — {} {}{retry}",
        request.name, request.method, request.shown_path
    )
}
