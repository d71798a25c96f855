//! `bench capacity`: searches for the highest load that still passes the gates of a phase.
//!
//! Every trial is a whole run with its own folder, journal and report below that of the search.

use super::input::CommandError;
use super::run::{RunOptions, measure};
use super::{Ending, Format, Output, views};
use crate::gate::{LatencyKind, Op};
use crate::plan::{PhasePlan, Plan, PlannedGate};
use crate::record::{
    CAPACITY_SCHEMA, Capacity, CapacityStep, Distribution as _, Doubt, LoadUnit, RunRecord,
    StepLatency,
};
use crate::report;
use crate::schedule::{Arrivals, Load, Profile, Stop};
use crate::stats::search::{Answer, Range, Search, Step, Trial};
use crate::store::{new_run_id, write_file};
use crate::verdict::{self, Judgement, Verdict};
use std::time::Duration;

/// How a capacity is searched for.
#[derive(Clone, Debug)]
pub struct CapacityOptions {
    /// How each trial is run.
    pub run: RunOptions,
    /// The phase whose load is varied; `None` for the first one.
    pub phase: Option<String>,
    /// The first level; `None` for that of the phase.
    pub from: Option<f64>,
    /// The highest level; `None` for 64 times the first.
    pub to: Option<f64>,
    /// How close the two sides of the answer must come: 0.05 for 5 %.
    pub resolution: f64,
    /// How long a short trial is measured.
    pub probe: Duration,
    /// How long the level that was found must hold.
    pub hold: Duration,
}

/// How much higher than the first level the search goes.
const HIGHEST_SHARE: f64 = 64.0;

/// Searches for the capacity.
///
/// # Errors
/// When the phase cannot be varied, or a trial cannot begin.
pub fn capacity(
    plan: &Plan,
    options: &CapacityOptions,
    output: Output,
) -> Result<Ending, CommandError> {
    let phase = choose_phase(plan, options.phase.as_deref())?;
    let (unit, level) = varied(phase)?;
    let (gates, left_out): (Vec<PlannedGate>, Vec<PlannedGate>) = phase
        .gates
        .iter()
        .chain(&plan.gates)
        .cloned()
        .partition(|gate| gate.gate.op == Op::Below);
    if gates.is_empty() {
        return Err(CommandError::setup(
            format!(
                "phase `{}` has no gate that more load makes harder",
                phase.name
            ),
            "give it an upper limit, for example gates = [\"response.p99 < 100ms\", \"error_rate < 1%\"]",
        ));
    }
    let from = options.from.unwrap_or(level);
    let range = Range {
        from,
        to: options.to.unwrap_or(from * HIGHEST_SHARE),
        resolution: options.resolution,
        whole: unit == LoadUnit::Concurrency,
    };
    if range.to < range.from {
        return Err(CommandError::setup(
            format!("--to {} lies below the first level, {from}", range.to),
            "choose a higher --to or a lower --from",
        ));
    }
    let started_at = jiff::Timestamp::now();
    let text = |gates: &[PlannedGate]| gates.iter().map(|gate| gate.text.clone()).collect();
    let mut found = Capacity {
        schema: CAPACITY_SCHEMA.to_owned(),
        id: new_run_id(started_at, &format!("{}-capacity", plan.scenario.name)),
        started_at: started_at.to_string(),
        scenario: plan.scenario.name.clone(),
        target: plan.target.shown.clone(),
        phase: phase.name.clone(),
        unit,
        gates: text(&gates),
        left_out: text(&left_out),
        resolution: options.resolution,
        steps: Vec::new(),
        answer: None,
    };
    let mut search = Search::new(range);
    let mut interrupted = false;
    while let Some(step) = search.next() {
        let trial_plan = plan_for(plan, phase, &gates, step, options);
        let step = run_trial(&trial_plan, step, &mut found, options, output)?;
        interrupted = step.interrupted;
        if interrupted {
            break;
        }
        search.tell(step.trial);
        found.answer = search.answer();
        // Published after each step: what is known is not lost if a later one goes wrong.
        publish(&found, options, output);
    }
    let shown = match options.run.format {
        Format::Text => report::capacity_console(&found, output.width()),
        Format::Json => report::capacity_json(&found),
    };
    output.say(&format!(
        "\nreport: {}\n",
        options
            .run
            .results
            .join(&found.id)
            .join("capacity.html")
            .display()
    ));
    output.result(&shown);
    Ok(match found.answer {
        _ if interrupted => Ending::Interrupted,
        Some(Answer::Found { .. } | Answer::AtLeast { .. }) => Ending::Done,
        Some(Answer::Nothing { .. }) => Ending::Fail,
        Some(Answer::Undecided { .. } | Answer::Unstable { .. }) | None => Ending::Inconclusive,
    })
}

fn choose_phase<'a>(plan: &'a Plan, name: Option<&str>) -> Result<&'a PhasePlan, CommandError> {
    let names: Vec<&str> = plan
        .phases
        .iter()
        .map(|phase| phase.name.as_str())
        .collect();
    match name {
        None => Ok(&plan.phases[0]),
        Some(name) => plan
            .phases
            .iter()
            .find(|phase| phase.name == name)
            .ok_or_else(|| {
                CommandError::setup(
                    format!("the scenario has no phase `{name}`"),
                    format!("its phases: {}", names.join(", ")),
                )
            }),
    }
}

/// What is varied, and the level that the scenario asks for.
fn varied(phase: &PhasePlan) -> Result<(LoadUnit, f64), CommandError> {
    match &phase.load {
        Load::Closed(closed) => Ok((LoadUnit::Concurrency, closed.users.peak())),
        Load::Open(open) => match &open.arrivals {
            Arrivals::Rate { rate, .. } => Ok((LoadUnit::Rate, rate.peak())),
            Arrivals::Trace(_) => Err(CommandError::setup(
                format!("phase `{}` replays a trace", phase.name),
                "a capacity is searched for with `rate` or `concurrency`; choose another --phase",
            )),
        },
    }
}

/// The plan of one trial: the phase alone, at one level.
fn plan_for(
    plan: &Plan,
    phase: &PhasePlan,
    gates: &[PlannedGate],
    step: Step,
    options: &CapacityOptions,
) -> Plan {
    let (level, length) = match step {
        Step::Probe(level) => (level, options.probe),
        Step::Hold(level) => (level, options.hold),
    };
    let mut load = phase.load.clone();
    match &mut load {
        Load::Closed(closed) => closed.users = Profile::constant(level),
        Load::Open(open) => {
            // As many may be in flight for each request per second as the scenario allows.
            let share = level / open.arrivals.rate().peak();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a number of connections; a float cast saturates"
            )]
            let most = (f64::from(open.max_in_flight) * share).ceil().max(16.0) as u32;
            open.max_in_flight = most.min(MOST_IN_FLIGHT);
            if let Arrivals::Rate { rate, .. } = &mut open.arrivals {
                *rate = Profile::constant(level);
            }
        }
    }
    let trial = PhasePlan {
        load,
        group: None,
        stop: Stop::After(length),
        decided_after: None,
        gates: gates.to_vec(),
        ..phase.clone()
    };
    Plan {
        phases: vec![trial],
        gates: Vec::new(),
        ..plan.clone()
    }
}

/// Above this the machine's ports and descriptors are the limit, and not the target.
const MOST_IN_FLIGHT: u32 = 10_000;

struct Tried {
    trial: Trial,
    interrupted: bool,
}

fn run_trial(
    plan: &Plan,
    step: Step,
    found: &mut Capacity,
    options: &CapacityOptions,
    output: Output,
) -> Result<Tried, CommandError> {
    let folder = options.run.results.join(&found.id).join("steps");
    let quiet = Output {
        quiet: true,
        ..output
    };
    let run = RunOptions {
        results: folder,
        ..options.run.clone()
    };
    let (record, folder) = measure(plan, &run, quiet)?;
    let gates = verdict::gates_of(&record)
        .map_err(|error| CommandError::setup(error, "please report this fault of bench"))?;
    let (judgement, charts) = views::judged(&record, &gates);
    if let Err(error) = folder.write(report::files(&record, &judgement, &charts)) {
        output.warn(&format!("warning: {error}; the report is incomplete"));
    }
    let (level, hold) = match step {
        Step::Probe(level) => (level, false),
        Step::Hold(level) => (level, true),
    };
    let trial = trial_of(&record, &judgement);
    let name = folder
        .path()
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let done = step_of(
        &record,
        &judgement,
        level,
        hold,
        trial,
        format!("steps/{name}"),
    );
    output.say(&report::capacity_line(found, &done));
    found.steps.push(done);
    let interrupted = record
        .doubts
        .iter()
        .any(|doubt| matches!(doubt, Doubt::Interrupted { .. }));
    Ok(Tried { trial, interrupted })
}

fn trial_of(record: &RunRecord, judgement: &Judgement) -> Trial {
    match judgement.verdict {
        Verdict::Pass => Trial::Pass,
        Verdict::Fail => Trial::Fail,
        Verdict::Inconclusive if record.doubts.iter().any(Doubt::blames_generator) => {
            Trial::OutOfReach
        }
        Verdict::Inconclusive => Trial::Unclear,
    }
}

fn step_of(
    record: &RunRecord,
    judgement: &Judgement,
    level: f64,
    hold: bool,
    trial: Trial,
    run: String,
) -> CapacityStep {
    let phase = record.phases.first();
    let latencies = phase.map(|phase| phase.latencies(LatencyKind::Response));
    let response = latencies.and_then(|latencies| {
        let ms = |quantile: f64| Some(latencies.quantile_ns(quantile)? as f64 / 1e6);
        Some(StepLatency {
            mean_ms: latencies.mean_ns()? / 1e6,
            p50_ms: ms(0.5)?,
            p90_ms: ms(0.9)?,
            p99_ms: ms(0.99)?,
        })
    });
    let outcomes = phase.map(|phase| phase.total.outcomes).unwrap_or_default();
    CapacityStep {
        level,
        hold,
        trial,
        headline: judgement.headline.clone(),
        run,
        throughput_rps: phase.map_or(0.0, crate::record::PhaseRecord::throughput),
        error_share: outcomes.not_ok() as f64 / outcomes.total().max(1) as f64,
        response,
    }
}

/// Writes what is known so far. A disk that does not take it is told, and the search goes on.
fn publish(found: &Capacity, options: &CapacityOptions, output: Output) {
    let folder = options.run.results.join(&found.id);
    for (name, text) in [
        ("capacity.json", report::capacity_json(found)),
        ("capacity.html", report::capacity_html(found)),
    ] {
        if let Err(error) = write_file(&folder.join(name), text.as_bytes()) {
            output.warn(&format!("warning: {error}"));
        }
    }
}
