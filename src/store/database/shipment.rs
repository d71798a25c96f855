//! A run as rows: everything that goes into the database, made ready before anything is sent.

use crate::history::{Comparable, RunSummary, comparable, comparable_suite};
use crate::record::{
    Distribution as _, PartIndex, PhaseRecord, RunRecord, SuiteGpu, SuiteRecord, TestResult,
};
use crate::verdict::{GateResult, Judgement, SuiteJudgement};

/// The length of one block of a series.
const BLOCK_NS: u64 = 600_000_000_000;

/// A run as rows.
#[derive(Debug)]
pub struct Shipment {
    pub(super) digest: [u8; 32],
    pub(super) summary: RunSummary,
    pub(super) comparable: Comparable,
    pub(super) header: String,
    pub(super) doubts: String,
    pub(super) phases: Vec<PhaseRow>,
    pub(super) histograms: Vec<HistogramRow>,
    pub(super) series: Vec<SeriesRow>,
    pub(super) gates: Vec<GateResult>,
    pub(super) gpu_results: Vec<GpuRow>,
}

/// One test on one GPU.
#[derive(Debug)]
pub(super) struct GpuRow {
    pub(super) uuid: String,
    pub(super) name: String,
    pub(super) test: String,
    pub(super) unit: String,
    pub(super) median: f64,
    pub(super) q1: f64,
    pub(super) q3: f64,
    pub(super) peak: Option<f64>,
}

#[derive(Debug)]
pub(super) struct PhaseRow {
    pub(super) name: String,
    pub(super) load: String,
    /// Window, then planned, sent, ok, failed, timed out, in flight at the end.
    pub(super) counts: Option<[i64; 8]>,
}

#[derive(Debug)]
pub(super) struct HistogramRow {
    pub(super) phase: String,
    pub(super) request: String,
    pub(super) kind: &'static str,
    pub(super) count: i64,
    pub(super) overflow: i64,
    pub(super) v2: Vec<u8>,
    pub(super) is_step: bool,
}

#[derive(Debug)]
pub(super) struct SeriesRow {
    pub(super) source: String,
    pub(super) metric: String,
    pub(super) instance: String,
    pub(super) block: i32,
    pub(super) points: i32,
    pub(super) data: Vec<u8>,
}

impl Shipment {
    /// The rows of a run. `digest` is the SHA-256 of its journal.
    pub fn of(record: &RunRecord, judgement: &Judgement, digest: [u8; 32]) -> Self {
        let json = |value: serde_json::Result<String>| value.expect("its maps have names for keys");
        Self {
            digest,
            summary: RunSummary::of(record, judgement),
            comparable: comparable(&record.header),
            header: json(serde_json::to_string(&record.header)),
            doubts: json(serde_json::to_string(&record.doubts)),
            phases: phases(record),
            histograms: record
                .phases
                .iter()
                .flat_map(|phase| histograms(record, phase))
                .collect(),
            series: series(record),
            gates: judgement.gates.clone(),
            gpu_results: Vec::new(),
        }
    }

    /// The rows of a run of the GPU suite. `digest` is the SHA-256 of its record.
    pub fn of_suite(record: &SuiteRecord, judged: &SuiteJudgement, digest: [u8; 32]) -> Self {
        let json = serde_json::to_string(record);
        let alone = record.gpus.iter().map(|gpu| (gpu, ""));
        let together = record.together.iter().map(|gpu| (gpu, ".together"));
        Self {
            digest,
            summary: RunSummary::of_suite(record, judged),
            comparable: comparable_suite(record),
            header: json.expect("its maps have names for keys"),
            doubts: "[]".to_owned(),
            phases: Vec::new(),
            histograms: Vec::new(),
            series: Vec::new(),
            gates: Vec::new(),
            gpu_results: alone
                .chain(together)
                .flat_map(|(gpu, suffix)| gpu_rows(gpu, suffix))
                .collect(),
        }
    }

    /// The run's id.
    pub fn id(&self) -> &str {
        &self.summary.id
    }
}

fn gpu_rows(gpu: &SuiteGpu, suffix: &str) -> Vec<GpuRow> {
    let uuid = if gpu.uuid.is_empty() {
        format!("GPU {}", gpu.ordinal)
    } else {
        gpu.uuid.clone()
    };
    let row = |result: &TestResult| {
        let measured = gpu.measured(&result.test)?;
        Some(GpuRow {
            uuid: uuid.clone(),
            name: gpu.name.clone(),
            test: format!("{}{suffix}", result.test),
            unit: measured.unit.clone(),
            median: measured.median,
            q1: measured.q1,
            q3: measured.q3,
            peak: measured.peaks.first().map(|peak| peak.value),
        })
    };
    gpu.results.iter().filter_map(row).collect()
}

/// A count as PostgreSQL keeps it.
pub(super) fn bigint(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn phases(record: &RunRecord) -> Vec<PhaseRow> {
    let plan = record.header.phases.iter().enumerate();
    plan.map(|(index, info)| {
        let begun = record.phases.iter().find(|phase| phase.index == index);
        PhaseRow {
            name: info.name.clone(),
            load: serde_json::to_string(&info.load).unwrap_or_else(|_| "null".to_owned()),
            counts: begun.map(|phase| {
                let total = &phase.total;
                let of = |outcome| total.outcomes.of(outcome);
                [
                    phase.measured_from_ns,
                    phase.measured_to_ns,
                    total.planned,
                    total.sent,
                    of(crate::record::Outcome::Ok),
                    total.outcomes.failed(),
                    of(crate::record::Outcome::Timeout),
                    of(crate::record::Outcome::InFlightAtEnd),
                ]
                .map(bigint)
            }),
        }
    })
    .collect()
}

/// One for each request, flow, step and kind that has any; those of requests and flows merge to those of
/// the phase.
fn histograms(record: &RunRecord, phase: &PhaseRecord) -> Vec<HistogramRow> {
    let mut rows = Vec::new();
    let named = record.header.requests.len();
    let unnamed = (named..phase.measured.requests().len())
        .map(|index| (format!("request {index}"), PartIndex::Unit(index)));
    let parts = record.header.parts().into_iter();
    let parts = parts.map(|(part, index)| (part.name, index)).chain(unnamed);
    for (name, part) in parts {
        let Some(tally) = phase.of(Some(part)) else {
            continue;
        };
        let kinds = tally.kinds().into_iter();
        rows.extend(kinds.filter(|(_, latencies)| !latencies.is_empty()).map(
            |(kind, latencies)| HistogramRow {
                phase: phase.info.name.clone(),
                request: name.clone(),
                kind,
                count: bigint(latencies.count()),
                overflow: bigint(latencies.overflow()),
                v2: latencies.pack().as_bytes().to_vec(),
                is_step: matches!(part, PartIndex::Step(_)),
            },
        ));
    }
    rows
}

fn series(record: &RunRecord) -> Vec<SeriesRow> {
    let mut rows = Vec::new();
    for source in &record.sources {
        for (info, values) in source.info.series.iter().zip(&source.values) {
            let points = source
                .at_ns
                .iter()
                .zip(values)
                .filter_map(|(&at, value)| value.map(|value| (at, value)));
            blocks(
                &mut rows,
                &source.info.name,
                &info.metric,
                &info.instance,
                points,
            );
        }
    }
    for phase in &record.phases {
        let seconds = || phase.intervals.iter();
        let name = &phase.info.name;
        let mut add = |metric: &str, points: Vec<(u64, f64)>| {
            blocks(&mut rows, "client", metric, name, points.into_iter());
        };
        add(
            "ok",
            seconds()
                .map(|second| (second.from_ns, second.measured.response.count() as f64))
                .collect(),
        );
        add(
            "not_ok",
            seconds()
                .map(|second| (second.from_ns, second.measured.outcomes.not_ok() as f64))
                .collect(),
        );
    }
    rows
}

/// Cuts points into blocks of ten minutes and encodes them.
fn blocks(
    rows: &mut Vec<SeriesRow>,
    source: &str,
    metric: &str,
    instance: &str,
    points: impl Iterator<Item = (u64, f64)>,
) {
    let mut current: Option<(u64, u64, SeriesRow)> = None;
    for (at, value) in points {
        let block = at / BLOCK_NS;
        if current.as_ref().is_none_or(|(own, ..)| *own != block) {
            rows.extend(current.take().map(|(.., row)| row));
            let row = SeriesRow {
                source: source.to_owned(),
                metric: metric.to_owned(),
                instance: instance.to_owned(),
                block: i32::try_from(block).unwrap_or(i32::MAX),
                points: 0,
                data: Vec::new(),
            };
            current = Some((block, 0, row));
        }
        if let Some((_, last, row)) = &mut current {
            varint(at.saturating_sub(*last), &mut row.data);
            row.data.extend(value.to_le_bytes());
            row.points += 1;
            *last = at;
        }
    }
    rows.extend(current.map(|(.., row)| row));
}

/// LEB128: seven bits a byte, the lowest first.
fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Decodes a block of encoding `varint-delta-ns+f64le`: for each point the nanoseconds since the one
/// before (the first: since the start of the run) as LEB128, then its value as a little-endian double.
/// `None` for bytes that are no such block.
pub fn decode_series(mut bytes: &[u8]) -> Option<Vec<(u64, f64)>> {
    let mut points = Vec::new();
    let mut at = 0u64;
    while !bytes.is_empty() {
        let mut delta = 0u64;
        let mut shift = 0;
        loop {
            let (&byte, rest) = bytes.split_first()?;
            bytes = rest;
            delta |= u64::from(byte & 0x7f).checked_shl(shift)?;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let (value, rest) = bytes.split_first_chunk::<8>()?;
        bytes = rest;
        at = at.checked_add(delta)?;
        points.push((at, f64::from_le_bytes(*value)));
    }
    Some(points)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn series_come_back_as_they_went(
            steps in prop::collection::vec((0u64..400_000_000_000, -1e9..1e9f64), 0..40),
        ) {
            let mut at = 0;
            let points: Vec<(u64, f64)> = steps
                .into_iter()
                .map(|(step, value)| { at += step; (at, value) })
                .collect();
            let mut rows = Vec::new();
            blocks(&mut rows, "s", "m", "i", points.iter().copied());
            let mut back = Vec::new();
            for row in &rows {
                let block = decode_series(&row.data).unwrap();
                prop_assert_eq!(block.len(), usize::try_from(row.points).unwrap());
                let own = u64::try_from(row.block).unwrap();
                prop_assert!(block.iter().all(|(at, _)| at / BLOCK_NS == own));
                back.extend(block);
            }
            prop_assert_eq!(back, points);
        }

        #[test]
        fn never_panics_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode_series(&bytes);
        }
    }
}
