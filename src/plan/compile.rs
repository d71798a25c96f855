//! Turns a scenario into a plan.

use super::check::{Checks, Expected, JsonCheck};
use super::data::{self, Rows};
use super::load;
use super::render::{Compiler, Form};
use super::{
    BaseUrl, PhasePlan, Plan, PlannedGate, RequestPlan, TargetAddress, TargetPlan, TlsPlan, is_path,
};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::gate::{LatencyKind, Metric, ScalingMetric};
use crate::record::ScenarioInfo;
use crate::scenario::{
    Body, DataOrder, GpuSource, Header, Phase, Request, Scenario, ScenarioGate, ScenarioObjective,
    Target, Text,
};
use crate::schedule::{Load, Mix, Stop};
use crate::stats::{ALPHA, smallest_sample_that_can_pass};
use crate::units;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Uri};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a plan needs to know of the world.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The data files named by the scenario: their text, or why they cannot be read.
    pub data_files: BTreeMap<String, Result<String, String>>,
    /// CPUs that this process may use.
    pub cores: usize,
}

/// The shortest window in which it shows how requests hang together, and so the shortest that can be
/// judged.
const SHORTEST_WINDOW: Duration = Duration::from_secs(2);

/// Resolves a scenario.
///
/// # Errors
/// Every fault that only shows against the facts; the scenario may itself have faults that were
/// reported before.
pub fn compile(scenario: &Scenario, facts: &Facts, seed: u64) -> Result<Plan, Diagnostics> {
    let mut found = Diagnostics::default();
    let address = compile_address(&scenario.target.url, scenario, &mut found);
    let requests: Vec<RequestPlan> = scenario
        .requests
        .iter()
        .filter_map(|request| compile_request(request, &scenario.target.headers, facts, &mut found))
        .collect();
    let phases: Vec<PhasePlan> = scenario
        .phases
        .iter()
        .filter_map(|phase| compile_phase(phase, scenario, facts, &mut found))
        .collect();
    let has_streams = scenario
        .requests
        .iter()
        .any(|request| request.stream.is_some());
    for gate in &scenario.gates {
        refuse_without_telemetry(gate, &scenario.telemetry.gpu, &mut found);
        refuse_without_step(gate, None, scenario, &mut found);
        refuse_without_streams(gate, has_streams, &mut found);
        // A phase without objectives of its own has those of the scenario.
        refuse_without_objectives(gate, &scenario.slo, &mut found);
        refuse_unknown_request(gate, scenario, None, &mut found);
        refuse_growth_over_phases(gate, &scenario.phases, &mut found);
    }
    let tls = compile_tls(&scenario.target, address.as_ref(), &mut found);
    let most_slots = phases.iter().map(|phase| phase.load.slots()).max();
    let (Some(address), Some(most_slots), false) = (address, most_slots, found.has_errors()) else {
        return Err(found);
    };
    if requests.len() != scenario.request_names.len() {
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
            tls,
        },
        requests,
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
    let headers = scenario
        .target
        .headers
        .iter()
        .chain(
            scenario
                .requests
                .iter()
                .flat_map(|request| &request.headers),
        )
        .flat_map(|header| &header.secrets);
    let mut secrets: Vec<String> = scenario
        .requests
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

fn compile_address(
    url: &Text,
    scenario: &Scenario,
    found: &mut Diagnostics,
) -> Option<TargetAddress> {
    if url.value == "reference" {
        return Some(TargetAddress::Reference(scenario.target.reference.clone()));
    }
    match parse_base_url(&url.value) {
        Ok(base) => Some(TargetAddress::Http(base)),
        Err((code, message, hint)) => {
            found.push(
                Diagnostic::error(code, message)
                    .at(url.span.clone())
                    .hint(hint),
            );
            None
        }
    }
}

/// What the scenario says about TLS, if it is spoken at all.
fn compile_tls(
    target: &Target,
    address: Option<&TargetAddress>,
    found: &mut Diagnostics,
) -> Option<TlsPlan> {
    let secure = matches!(address, Some(TargetAddress::Http(url)) if url.secure);
    let Some(tls) = &target.connecting.tls else {
        return secure.then(TlsPlan::default);
    };
    if address.is_some() && !secure {
        let message = "`tls` is set, but the URL is not `https://`".to_owned();
        found.push(
            Diagnostic::error(Code::InvalidValue, message)
                .at(tls.span.clone())
                .hint("write `https://` in the URL, or leave out `tls`"),
        );
    }
    if tls.certificate.is_some() != tls.key.is_some() {
        let message = "a client certificate needs both `certificate` and `key`".to_owned();
        found.push(
            Diagnostic::error(Code::MissingKey, message)
                .at(tls.span.clone())
                .hint("for example certificate = \"${file:client.pem}\", key = \"${file:client.key}\""),
        );
    }
    let value = |text: &Option<Text>| text.as_ref().map(|text| text.value.clone());
    Some(TlsPlan {
        ca: value(&tls.ca),
        client: value(&tls.certificate).zip(value(&tls.key)),
        server_name: value(&tls.server_name),
        only_1_3: tls.only_1_3,
        insecure: tls.insecure,
    })
}

fn parse_base_url(text: &str) -> Result<BaseUrl, (Code, String, &'static str)> {
    const FORM: &str = "write \"http://host:port\", or \"reference\" for the built-in API";
    let invalid = |message: String| (Code::InvalidValue, message, FORM);
    // The value may come from the environment and hold credentials: it is never repeated here.
    let uri: Uri = text
        .parse()
        .map_err(|_| invalid("this is not a URL".to_owned()))?;
    let secure = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => {
            return Err(invalid(
                "a URL begins with `http://` or `https://`".to_owned(),
            ));
        }
    };
    let authority = uri
        .authority()
        .ok_or_else(|| invalid("the URL has no host".to_owned()))?;
    if authority.as_str().contains('@') {
        return Err((
            Code::LiteralSecret,
            "credentials do not belong into the URL".to_owned(),
            "set a header: headers = { authorization = \"Bearer ${BENCH_TOKEN}\" }",
        ));
    }
    if uri.query().is_some() {
        return Err(invalid(
            "the base URL has a query; queries belong to requests".to_owned(),
        ));
    }
    Ok(BaseUrl {
        host: authority.host().trim_matches(['[', ']']).to_owned(),
        port: authority
            .port_u16()
            .unwrap_or(if secure { 443 } else { 80 }),
        secure,
        prefix: uri.path().trim_end_matches('/').to_owned(),
    })
}

fn compile_request(
    request: &Request,
    target_headers: &[Header],
    facts: &Facts,
    found: &mut Diagnostics,
) -> Option<RequestPlan> {
    let rows = load_rows(request, facts, found)?;
    let mut compiler = Compiler::default();
    let path = compiler.text(&request.path);
    let body = match &request.body {
        Body::Empty => None,
        Body::Json(json) => Some(compiler.json(json)),
        Body::Text(text) => Some(compiler.text(text)),
    };
    let mut headers = default_headers(&request.body);
    let mut changing_headers: Vec<_> = Vec::new();
    for header in target_headers.iter().chain(&request.headers) {
        let (Ok(name), renderer) = (
            HeaderName::from_bytes(header.name.value.as_bytes()),
            compiler.text(&header.value),
        ) else {
            continue;
        };
        // A request's own header replaces the target's.
        changing_headers.retain(|(known, _)| *known != name);
        if let Some(value) = renderer.constant() {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.insert(name, value);
            }
        } else {
            headers.remove(&name);
            changing_headers.push((name, renderer));
        }
    }
    let mut checks = Checks {
        status: request.expect.status.clone(),
        ..Checks::default()
    };
    for text in &request.expect.body {
        checks.text.push(compiler.text(text));
    }
    for expectation in &request.expect.json {
        match Expected::bind(&expectation.value, &rows) {
            Ok(expected) => checks.json.push(JsonCheck {
                pointer: expectation.pointer.clone(),
                expected,
            }),
            Err(message) => found
                .push(Diagnostic::error(Code::InvalidValue, message).at(expectation.span.clone())),
        }
    }
    let cells = match data::render(&rows, &compiler.uses) {
        Ok(cells) => cells,
        Err((position, message)) => {
            let fault = &compiler.uses[position];
            let mut diagnostic =
                Diagnostic::error(Code::InvalidData, message).at(fault.span.clone());
            if let Some(data) = &request.data {
                diagnostic = diagnostic.label(format!("not in `{}`", data.file.value));
                if fault.form == Form::Parsed {
                    diagnostic = diagnostic.hint("leave out `| json` to send the field as text");
                }
            }
            found.push(diagnostic);
            return None;
        }
    };
    if let Some(path) = path.constant()
        && !is_path(&String::from_utf8_lossy(path))
    {
        // A path that does not begin with `/` was reported when it was read.
        if path.starts_with(b"/") {
            let name = &request.name;
            found.push(
                Diagnostic::error(
                    Code::InvalidValue,
                    format!(
                        "the path of `{}` holds characters that a URL cannot carry",
                        name.value
                    ),
                )
                .at(name.span.clone()),
            );
        }
        return None;
    }
    Some(RequestPlan {
        name: request.name.value.clone(),
        method: request.method.parse().unwrap_or(Method::GET),
        shown_path: request.path.shown.clone(),
        path,
        headers,
        changing_headers,
        body,
        rows: cells,
        order: request
            .data
            .as_ref()
            .map_or(DataOrder::Sequential, |data| data.order),
        checks,
        stream: request.stream.clone(),
    })
}

fn default_headers(body: &Body) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("bench/", env!("CARGO_PKG_VERSION"))),
    );
    match body {
        Body::Empty => {}
        Body::Json(_) => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Body::Text(_) => {
            headers.insert(
                CONTENT_TYPE,
                HeaderValue::from_static("text/plain; charset=utf-8"),
            );
        }
    }
    headers
}

fn load_rows(request: &Request, facts: &Facts, found: &mut Diagnostics) -> Option<Rows> {
    let Some(data) = &request.data else {
        return Some(Rows::new());
    };
    let name = &data.file.value;
    let missing = || Err("it was not read".to_owned());
    let rows = match facts.data_files.get(name).cloned().unwrap_or_else(missing) {
        Ok(text) => data::read(name, &text).map_err(|message| (Code::InvalidData, message)),
        Err(message) => Err((
            Code::UnreadableFile,
            format!("cannot read the data file `{name}`: {message}"),
        )),
    };
    match rows {
        Ok(rows) => Some(rows),
        Err((code, message)) => {
            let mut diagnostic = Diagnostic::error(code, message).at(data.file.span.clone());
            if code == Code::UnreadableFile {
                diagnostic = diagnostic.hint("the path is relative to the folder of the scenario");
            }
            found.push(diagnostic);
            None
        }
    }
}

fn compile_phase(
    phase: &Phase,
    scenario: &Scenario,
    facts: &Facts,
    found: &mut Diagnostics,
) -> Option<PhasePlan> {
    let load = load::compile(phase, scenario.target.timeout, facts, found)?;
    let stop = load::stop(phase, &load, found)?;
    for gate in &phase.gates {
        refuse_without_telemetry(gate, &scenario.telemetry.gpu, found);
        refuse_without_step(gate, Some(phase), scenario, found);
        refuse_unknown_request(gate, scenario, phase.requests.as_deref(), found);
        refuse_too_few(gate, phase, &load, stop, found);
    }
    let weight = |request: usize| {
        let name = &scenario.request_names[request];
        scenario
            .requests
            .iter()
            .find(|known| known.name.value == *name)
            .map_or(1, |known| known.weight)
    };
    let chosen: Vec<usize> = phase
        .requests
        .clone()
        .unwrap_or_else(|| (0..scenario.request_names.len()).collect());
    let streamed: Vec<bool> = scenario
        .request_names
        .iter()
        .map(|name| {
            let named = |request: &&Request| request.name.value == *name;
            let request = scenario.requests.iter().find(named);
            request.is_some_and(|request| request.stream.is_some())
        })
        .collect();
    let slo = phase.slo.as_ref().unwrap_or(&scenario.slo);
    let has_streams = chosen.iter().any(|&request| streamed[request]);
    for gate in &phase.gates {
        refuse_without_streams(gate, has_streams, found);
        refuse_without_objectives(gate, slo, found);
    }
    for slo in slo.iter().filter(|slo| slo.objective.kind.is_of_streams()) {
        if !has_streams {
            found.push(no_streams(&slo.text, slo.span.clone()));
        }
    }
    let mix = Mix::new(chosen.into_iter().map(|request| (request, weight(request))))?;
    Some(PhasePlan {
        name: phase.name.value.clone(),
        load,
        group: phase.group.as_ref().map(|group| group.value.clone()),
        warmup: phase.warmup,
        stop,
        drain: phase.drain.unwrap_or(scenario.target.timeout),
        mix,
        gates: planned(&phase.gates),
        objectives: slo.iter().map(|slo| slo.objective).collect(),
        slo: slo.iter().map(|slo| slo.text.clone()).collect(),
        streamed,
    })
}

/// A gate on GPUs that nobody looks at could never be decided.
fn refuse_without_telemetry(gate: &ScenarioGate, gpu: &GpuSource, found: &mut Diagnostics) {
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
fn refuse_without_step(
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
fn refuse_without_streams(gate: &ScenarioGate, has_streams: bool, found: &mut Diagnostics) {
    let is_of_streams = match gate.gate.metric {
        Metric::Latency { kind, .. } => kind.is_of_streams(),
        Metric::TokensPerSecond => true,
        _ => false,
    };
    if is_of_streams && !has_streams {
        found.push(no_streams(&gate.text, gate.span.clone()));
    }
}

fn no_streams(text: &str, span: std::ops::Range<usize>) -> Diagnostic {
    Diagnostic::error(
        Code::ImpossiblePromise,
        format!("`{text}` cannot be judged: no request of the phase is answered by a stream"),
    )
    .at(span)
    .hint("say so in the request: stream = \"sse\" and shape = \"openai-chat\"")
}

/// Goodput is that of objectives.
fn refuse_without_objectives(
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
fn refuse_unknown_request(
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
fn refuse_growth_over_phases(gate: &ScenarioGate, phases: &[Phase], found: &mut Diagnostics) {
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
fn refuse_too_few(
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
