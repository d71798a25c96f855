//! Turns a scenario into a plan.

use super::flow::{self, Unit};
use super::load;
use super::login::compile_login;
use super::promises::{
    no_first_byte, no_streams, refuse_early_end, refuse_early_end_of_run,
    refuse_first_byte_of_flow, refuse_growth_over_phases, refuse_too_few, refuse_unknown_part,
    refuse_without_objectives, refuse_without_step, refuse_without_streams,
    refuse_without_telemetry, runs_flows,
};
use super::request::{RequestPlan, Surroundings, compile_request, compile_step};
use super::target::{TargetAddress, TargetPlan, compile_address, compile_tls};
use super::{PhasePlan, Plan, PlannedGate};
use crate::diag::Diagnostics;
use crate::gate::LatencyKind;
use crate::record::ScenarioInfo;
use crate::scenario::{self, Phase, Request, Scenario, ScenarioGate};
use crate::schedule::Mix;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What a plan needs to know of the world.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The data files named by the scenario: their text, or why they cannot be read.
    pub data_files: BTreeMap<String, Result<String, String>>,
    /// CPUs that this process may use.
    pub cores: usize,
}

/// Resolves a scenario.
///
/// # Errors
/// Every fault that only shows against the facts; the scenario may itself have faults that were
/// reported before.
pub fn compile(scenario: &Scenario, facts: &Facts, seed: u64) -> Result<Plan, Diagnostics> {
    let mut found = Diagnostics::default();
    let address = compile_address(&scenario.target.url, scenario, &mut found);
    let surroundings = Surroundings {
        target: &scenario.target,
        prefix: match &address {
            Some(TargetAddress::Http(url)) => &url.prefix,
            _ => "",
        },
        facts,
    };
    let mut requests: Vec<RequestPlan> = scenario
        .requests
        .iter()
        .filter_map(|request| compile_request(request, &surroundings, &mut found))
        .collect();
    for flow in &scenario.flows {
        let steps = flow.steps.iter();
        requests
            .extend(steps.filter_map(|step| compile_step(flow, step, &surroundings, &mut found)));
    }
    let units: Arc<[Unit]> = flow::units(scenario).into();
    let sent: usize = units.iter().map(|unit| unit.requests().len()).sum();
    let are_complete = requests.len() == sent && units.len() == scenario.unit_names.len();
    let login = scenario
        .login
        .as_ref()
        .and_then(|login| compile_login(login, sent, &surroundings, &mut found));
    let login = login.map(|(login, request)| {
        requests.push(request);
        login
    });
    let phases: Vec<PhasePlan> = scenario
        .phases
        .iter()
        .filter_map(|phase| compile_phase(phase, scenario, &units, facts, &mut found))
        .collect();
    let has_streams = scenario
        .requests
        .iter()
        .any(|request| request.stream.is_some());
    for gate in &scenario.gates {
        refuse_early_end_of_run(gate, &mut found);
        refuse_without_telemetry(gate, &scenario.telemetry.gpu, &mut found);
        refuse_without_step(gate, None, scenario, &mut found);
        refuse_without_streams(gate, scenario, has_streams, &mut found);
        refuse_first_byte_of_flow(gate, scenario, None, &mut found);
        // A phase without objectives of its own has those of the scenario.
        refuse_without_objectives(gate, &scenario.slo, &mut found);
        refuse_unknown_part(gate, scenario, None, &mut found);
        refuse_growth_over_phases(gate, &scenario.phases, &mut found);
    }
    let tls = compile_tls(&scenario.target, address.as_ref(), &mut found);
    let most_slots = phases.iter().map(|phase| phase.load.slots()).max();
    let (Some(address), Some(most_slots), false) = (address, most_slots, found.has_errors()) else {
        return Err(found);
    };
    if !are_complete {
        return Err(found);
    }
    let shown = match &address {
        TargetAddress::Reference(_) => "reference".to_owned(),
        TargetAddress::Http(url) => {
            format!("{}://{}{}", url.scheme(), url.authority(), url.prefix)
        }
    };
    Ok(Plan {
        scenario: ScenarioInfo {
            name: scenario.name.clone(),
            file: scenario.source.name.clone(),
            sha256: hex(&Sha256::digest(scenario.source.text.as_bytes())),
            text: without_literal_secrets(scenario),
        },
        target: TargetPlan {
            address,
            timeout: scenario.target.timeout,
            shown,
            most_uses: scenario.target.connecting.most_uses,
            resolves_each_time: scenario.target.connecting.resolves_each_time,
            protocol: scenario.target.connecting.protocol,
            tls,
        },
        requests,
        units,
        login,
        phases,
        gates: planned(&scenario.gates),
        telemetry: scenario.telemetry.clone(),
        seed,
        workers: facts
            .cores
            .clamp(1, usize::try_from(most_slots).unwrap_or(1).max(1)),
        database: scenario.database.as_ref().map(|text| text.value.clone()),
        secrets: secrets_of(scenario),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The scenario's text with its literal secrets blanked.
fn without_literal_secrets(scenario: &Scenario) -> String {
    let mut spans = scenario.literal_secrets.clone();
    spans.sort_by_key(|span| std::cmp::Reverse(span.start));
    let mut text = scenario.source.text.clone();
    for span in spans {
        text.replace_range(span, "\"***\"");
    }
    text
}

/// Everything from outside that is long enough to be a secret; very short values would blank out
/// half the report.
fn secrets_of(scenario: &Scenario) -> Vec<String> {
    const SHORTEST: usize = 6;
    let requests: Vec<&Request> = scenario.all_requests().collect();
    let headers = scenario
        .target
        .headers
        .iter()
        .chain(requests.iter().flat_map(|request| &request.headers))
        .flat_map(|header| &header.secrets);
    let mut secrets: Vec<String> = requests
        .iter()
        .flat_map(|request| &request.secrets)
        .chain(headers)
        .chain(scenario.telemetry.secrets())
        .chain(
            scenario
                .target
                .connecting
                .tls
                .iter()
                .filter_map(|tls| tls.key.as_ref())
                .flat_map(|key| &key.secrets),
        )
        .filter(|secret| secret.len() >= SHORTEST)
        .cloned()
        .collect();
    // The longest first, so that a secret that contains another is blanked as a whole.
    secrets.sort_by_key(|secret| (std::cmp::Reverse(secret.len()), secret.clone()));
    secrets.dedup();
    secrets
}

fn planned(gates: &[ScenarioGate]) -> Vec<PlannedGate> {
    gates
        .iter()
        .map(|gate| PlannedGate {
            text: gate.text.clone(),
            gate: gate.gate.clone(),
        })
        .collect()
}

/// How long one of these units may take.
fn longest_of(chosen: &[usize], scenario: &Scenario) -> Duration {
    let timeout = scenario.target.timeout;
    let longest = chosen.iter().map(|&unit| match scenario.unit(unit) {
        Some(scenario::Unit::Flow(flow)) => flow::longest(flow, timeout),
        _ => timeout,
    });
    longest.max().unwrap_or(timeout)
}

fn compile_phase(
    phase: &Phase,
    scenario: &Scenario,
    units: &Arc<[Unit]>,
    facts: &Facts,
    found: &mut Diagnostics,
) -> Option<PhasePlan> {
    let chosen: Vec<usize> = phase
        .units
        .clone()
        .unwrap_or_else(|| (0..scenario.unit_names.len()).collect());
    let longest = longest_of(&chosen, scenario);
    let load = load::compile(phase, longest, facts, found)?;
    let stop = load::stop(phase, &load, found)?;
    for gate in &phase.gates {
        refuse_without_telemetry(gate, &scenario.telemetry.gpu, found);
        refuse_without_step(gate, Some(phase), scenario, found);
        refuse_unknown_part(gate, scenario, Some(&chosen), found);
        refuse_first_byte_of_flow(gate, scenario, Some(&chosen), found);
        refuse_too_few(gate, phase, &load, stop, found);
        refuse_early_end(gate, phase, stop, found);
    }
    let weight = |unit: usize| match scenario.unit(unit) {
        Some(scenario::Unit::Request(request)) => request.weight,
        Some(scenario::Unit::Flow(flow)) => flow.weight,
        None => 1,
    };
    let streamed: Vec<bool> = (0..scenario.unit_names.len())
        .map(|unit| match scenario.unit(unit) {
            Some(scenario::Unit::Request(request)) => request.stream.is_some(),
            _ => false,
        })
        .collect();
    let slo = phase.slo.as_ref().unwrap_or(&scenario.slo);
    let has_streams = chosen.iter().any(|&unit| streamed[unit]);
    for gate in &phase.gates {
        refuse_without_streams(gate, scenario, has_streams, found);
        refuse_without_objectives(gate, slo, found);
    }
    for slo in slo {
        if slo.objective.kind == LatencyKind::Ttfb && runs_flows(scenario, Some(&chosen)) {
            found.push(no_first_byte(&slo.text, slo.span.clone()));
        }
    }
    for slo in slo.iter().filter(|slo| slo.objective.kind.is_of_streams()) {
        if !has_streams {
            found.push(no_streams(&slo.text, slo.span.clone()));
        }
    }
    let mix = Mix::new(chosen.into_iter().map(|unit| (unit, weight(unit))))?;
    Some(PhasePlan {
        name: phase.name.value.clone(),
        load,
        group: phase.group.as_ref().map(|group| group.value.clone()),
        warmup: phase.warmup,
        stop,
        decided_after: phase.decided.as_ref().map(|decided| decided.value),
        drain: phase.drain.unwrap_or(longest),
        mix,
        units: Arc::clone(units),
        gates: planned(&phase.gates),
        objectives: slo.iter().map(|slo| slo.objective).collect(),
        slo: slo.iter().map(|slo| slo.text.clone()).collect(),
        streamed,
    })
}
