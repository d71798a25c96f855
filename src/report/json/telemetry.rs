//! Telemetry, instrument and GPUs in `run.json`.
//!
//! Summaries of the measured windows only; the samples themselves are in `telemetry.csv`.

use super::phase::LatencyJson;
use super::{number, seconds};
use crate::record::{
    Environment, Gpu, PhaseRecord, ReceiveStamps, RunRecord, Source, SourceState, Window,
};
use crate::report::rows::series_of;
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct Telemetry<'a> {
    sources: Vec<SourceJson<'a>>,
    phases: Vec<Windows<'a>>,
}

#[derive(Serialize)]
struct SourceJson<'a> {
    name: &'a str,
    state: &'static str,
    reason: Option<&'a str>,
    simulated: bool,
    period_s: f64,
    samples: usize,
    series: Vec<String>,
}

#[derive(Serialize)]
struct Windows<'a> {
    phase: &'a str,
    series: Vec<SeriesJson<'a>>,
}

/// One series in one measured window.
#[derive(Serialize)]
struct SeriesJson<'a> {
    metric: &'a str,
    instance: &'a str,
    mean: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
    /// The share of the window for which a value was known.
    coverage: f64,
    longest_gap_s: Option<f64>,
    samples: usize,
    /// Why there are no values, where that was known from the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    lack: Option<&'a str>,
    /// How the values are had, where that is not the usual way.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
}

impl<'a> Telemetry<'a> {
    pub(super) fn of(record: &'a RunRecord) -> Self {
        Self {
            sources: record.sources.iter().map(SourceJson::of).collect(),
            phases: measured(record)
                .map(|phase| Windows {
                    phase: &phase.info.name,
                    series: windows(record, phase),
                })
                .collect(),
        }
    }
}

fn measured(record: &RunRecord) -> impl Iterator<Item = &PhaseRecord> {
    record.phases.iter().filter(|phase| phase.measured_ns() > 0)
}

fn windows<'a>(record: &'a RunRecord, phase: &PhaseRecord) -> Vec<SeriesJson<'a>> {
    let all = record.sources.iter().flat_map(series_of);
    all.map(|series| {
        let window = series.window(phase.measured_from_ns, phase.measured_to_ns);
        let of = |value: fn(&Window) -> f64| window.as_ref().and_then(|w| number(value(w)));
        SeriesJson {
            metric: &series.info.metric,
            instance: &series.info.instance,
            mean: of(|window| window.mean),
            min: of(|window| window.minimum),
            max: of(|window| window.maximum),
            coverage: of(|window| window.coverage).unwrap_or(0.0),
            longest_gap_s: window.as_ref().map(|window| seconds(window.longest_gap_ns)),
            samples: window.as_ref().map_or(0, |window| window.samples),
            lack: series.info.lack.as_deref(),
            note: series.info.note.as_deref(),
        }
    })
    .collect()
}

impl<'a> SourceJson<'a> {
    fn of(source: &'a Source) -> Self {
        let (state, reason) = match &source.info.state {
            SourceState::Present => ("present", None),
            SourceState::Off => ("off", None),
            SourceState::Unavailable(reason) => ("unavailable", Some(reason.as_str())),
        };
        Self {
            name: &source.info.name,
            state,
            reason,
            simulated: source.info.simulated,
            period_s: seconds(source.info.period_ns),
            samples: source.at_ns.len(),
            series: source.info.series.iter().map(ToString::to_string).collect(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Instrument<'a> {
    phases: Vec<InstrumentPhase<'a>>,
}

#[derive(Serialize)]
struct InstrumentPhase<'a> {
    phase: &'a str,
    /// The share of time in which the busiest worker was busy.
    busiest_worker: Option<f64>,
    send_lag: LatencyJson,
    /// What ended the service time: the kernel's stamp or this program's.
    receive_stamps: ReceiveStamps,
    /// How long answers waited in the kernel for this program.
    client_queue: Option<LatencyJson>,
    /// Intended start to the decision to send; absent in a closed loop.
    lateness: Option<LatencyJson>,
    mean_in_flight: Option<f64>,
    /// Throughput times service time; absent where the law tells nothing.
    mean_at_target: Option<f64>,
    /// How long tasks that were ready waited for their turn.
    loop_delay: LatencyJson,
    /// Of the worst worker, in the worst ten seconds: cores used, and share of time without a CPU.
    worker_cpu: Option<f64>,
    worker_wait: Option<f64>,
    cpu_stolen: Option<f64>,
    /// The largest shares in use.
    descriptors_used: Option<f64>,
    ports_used: Option<f64>,
    generator_cpu_mean: Option<f64>,
    generator_memory_max_bytes: Option<f64>,
}

impl<'a> Instrument<'a> {
    pub(super) fn of(record: &'a RunRecord) -> Self {
        let phases = record.phases.iter().map(|phase| {
            let window = |metric: &str| {
                record
                    .series(metric)
                    .next()
                    .and_then(|series| series.window(phase.measured_from_ns, phase.measured_to_ns))
            };
            let is_measured = phase.measured_ns() > 0;
            let measured = |value: f64| is_measured.then(|| number(value)).flatten();
            let seen = crate::record::Instrument::of(record, phase);
            InstrumentPhase {
                phase: &phase.info.name,
                busiest_worker: measured(seen.busiest_worker),
                send_lag: LatencyJson::of(&phase.send_lag),
                receive_stamps: phase.steps.receive_stamps(),
                client_queue: (phase.steps.receive_stamps() == ReceiveStamps::Kernel)
                    .then(|| LatencyJson::of(&phase.steps.client_queue)),
                lateness: (phase.info.load.is_open()).then(|| LatencyJson::of(&phase.lateness)),
                mean_in_flight: measured(seen.in_flight),
                mean_at_target: seen.at_target.and_then(number),
                loop_delay: LatencyJson::of(&phase.loop_delay),
                worker_cpu: seen.worker_cpu.and_then(number),
                worker_wait: seen.worker_wait.and_then(number),
                cpu_stolen: seen.stolen.and_then(number),
                descriptors_used: seen.descriptors.and_then(number),
                ports_used: seen.ports.and_then(number),
                generator_cpu_mean: window("generator.cpu").and_then(|seen| number(seen.mean)),
                generator_memory_max_bytes: window("generator.memory")
                    .and_then(|seen| number(seen.maximum)),
            }
        });
        Self {
            phases: phases.collect(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Gpus<'a> {
    driver: Option<&'a str>,
    devices: &'a [Gpu],
}

impl<'a> Gpus<'a> {
    pub(super) fn of(environment: &'a Environment) -> Self {
        Self {
            driver: environment.gpu_driver.as_deref(),
            devices: &environment.gpus,
        }
    }
}
