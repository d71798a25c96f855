//! `load.csv` and `telemetry.csv`: the series for spreadsheets and notebooks.
//!
//! A row is a second of load, or one sample; of sources with very many samples it is a second of them, with
//! their range.

use crate::record::{
    Distribution as _, INTERVAL_NS, PhaseInterval, PhaseRecord, RequestTally, RunRecord,
};
use crate::record::{Outcome, PackedLatencies};
use ::csv::Writer;
use std::ops::Range;

/// Each second of load.
///
/// Requests belong to the section of their intended start: a second in which some of the warm-up and
/// some of the measured window ended has a row for each. The rows that are not warm-up add up to the
/// counts of the phase; what ended after the measured window is in section `drain`.
pub fn load_csv(record: &RunRecord) -> String {
    let mut writer = Writer::from_writer(Vec::new());
    write(
        &mut writer,
        &[
            "t_s",
            "phase",
            "section",
            "ok",
            "failed",
            "timed_out",
            "in_flight_at_end",
            "response_p50_ms",
            "response_p90_ms",
            "response_p99_ms",
            "response_max_ms",
            "service_p50_ms",
            "service_p99_ms",
            "in_flight",
            "send_lag_p99_ms",
            "lateness_p50_ms",
            "lateness_p99_ms",
            "loop_delay_p99_ms",
            "busiest_worker",
        ],
    );
    for phase in &record.phases {
        for interval in &phase.intervals {
            for (section, tally) in sections(phase, interval) {
                write(&mut writer, &load_row(phase, interval, section, tally));
            }
        }
    }
    finish(writer)
}

/// The parts of a second: at least one, and two where the warm-up reaches into the measured window.
fn sections<'a>(
    phase: &PhaseRecord,
    interval: &'a PhaseInterval,
) -> Vec<(&'static str, &'a RequestTally<PackedLatencies>)> {
    let after_warmup = if interval.from_ns < phase.measured_to_ns {
        "measured"
    } else {
        "drain"
    };
    let warmup = ("warmup", &interval.warmup);
    let measured = (after_warmup, &interval.measured);
    let is_warmup = interval.from_ns + INTERVAL_NS <= phase.measured_from_ns;
    match (interval.warmup.is_empty(), interval.measured.is_empty()) {
        (false, false) => vec![warmup, measured],
        (false, true) => vec![warmup],
        (true, true) if is_warmup => vec![warmup],
        (true, _) => vec![measured],
    }
}

fn load_row(
    phase: &PhaseRecord,
    interval: &PhaseInterval,
    section: &str,
    tally: &RequestTally<PackedLatencies>,
) -> Vec<String> {
    let at =
        |latencies: &PackedLatencies, quantile: f64| milliseconds(latencies.quantile_ns(quantile));
    let response = tally.response.quantiles_ns([0.5, 0.9, 0.99, 1.0]);
    let [p50, p90, p99, max] = response.map(milliseconds);
    let service = tally.service.quantiles_ns([0.5, 0.99]);
    let [service_p50, service_p99] = service.map(milliseconds);
    let lateness = interval.counts.lateness.quantiles_ns([0.5, 0.99]);
    let [lateness_p50, lateness_p99] = lateness.map(milliseconds);
    let outcomes = &tally.outcomes;
    vec![
        seconds(interval.from_ns),
        phase.info.name.clone(),
        section.to_owned(),
        outcomes.of(Outcome::Ok).to_string(),
        outcomes.failed().to_string(),
        outcomes.of(Outcome::Timeout).to_string(),
        outcomes.of(Outcome::InFlightAtEnd).to_string(),
        p50,
        p90,
        p99,
        max,
        service_p50,
        service_p99,
        interval.counts.in_flight.to_string(),
        at(&interval.counts.send_lag, 0.99),
        lateness_p50,
        lateness_p99,
        at(&interval.counts.loop_delay, 0.99),
        short(interval.counts.busiest_ns as f64 / INTERVAL_NS as f64),
    ]
}

/// Each second of each request, flow and step, where there is more than one: those of measured windows, by
/// when they ended. A step is named `flow/step`.
pub fn parts_csv(record: &RunRecord) -> String {
    let mut writer = Writer::from_writer(Vec::new());
    write(
        &mut writer,
        &[
            "t_s",
            "phase",
            "part",
            "ok",
            "failed",
            "timed_out",
            "in_flight_at_end",
            "response_p50_ms",
            "response_p90_ms",
            "response_p99_ms",
            "response_max_ms",
        ],
    );
    let parts = record.header.several_parts();
    for phase in &record.phases {
        for interval in &phase.intervals {
            for (part, index) in &parts {
                let Some(tally) = interval.of(Some(*index)).filter(|tally| !tally.is_empty())
                else {
                    continue;
                };
                let outcomes = &tally.outcomes;
                let counts = [
                    outcomes.of(Outcome::Ok),
                    outcomes.failed(),
                    outcomes.of(Outcome::Timeout),
                    outcomes.of(Outcome::InFlightAtEnd),
                ];
                let mut row = vec![
                    seconds(interval.from_ns),
                    phase.info.name.clone(),
                    part.name.clone(),
                ];
                row.extend(counts.map(|count| count.to_string()));
                let response = tally.response.quantiles_ns([0.5, 0.9, 0.99, 1.0]);
                row.extend(response.map(milliseconds));
                write(&mut writer, &row);
            }
        }
    }
    finish(writer)
}

/// Each sample of telemetry that has a value, in base units: shares from 0 to 1, bytes, watts, °C.
///
/// A source with more samples than a notebook likes to read has a row for each second or more instead: the
/// mean of its samples, with the smallest and the largest.
pub fn telemetry_csv(record: &RunRecord) -> String {
    let mut writer = Writer::from_writer(Vec::new());
    write(
        &mut writer,
        &[
            "t_s", "source", "metric", "instance", "value", "minimum", "maximum",
        ],
    );
    let nothing = String::new();
    for source in &record.sources {
        let name = &source.info.name;
        for samples in stretches(&source.at_ns) {
            let at = seconds(source.at_ns[samples.start]);
            for (info, values) in source.info.series.iter().zip(&source.values) {
                let known = values[samples.clone()].iter().copied().flatten();
                let Some(joined) = Joined::of(known) else {
                    continue;
                };
                let value = short(joined.mean);
                let (mut low, mut high) = (nothing.clone(), nothing.clone());
                if samples.len() > 1 {
                    (low, high) = (short(joined.low), short(joined.high));
                }
                let row = [&at, name, &info.metric, &info.instance, &value, &low, &high];
                write(&mut writer, &row);
            }
        }
    }
    finish(writer)
}

/// A source with more samples than this is joined, second by second or in stretches of several: an hour at
/// ten samples a second is not.
const MOST_SAMPLES: usize = 40_000;

/// Samples that share a row: each alone, or those of the same stretch of time.
fn stretches(at_ns: &[u64]) -> impl Iterator<Item = Range<usize>> {
    let first = at_ns.first().copied().unwrap_or_default();
    let length_ns = at_ns.last().map_or(0, |last| last - first);
    let each_s = (length_ns / INTERVAL_NS / MOST_SAMPLES as u64).max(1);
    let is_joined = at_ns.len() > MOST_SAMPLES;
    let stretch = move |at: u64| (at - first) / (each_s * INTERVAL_NS);
    let mut begin = 0;
    at_ns
        .chunk_by(move |a, b| is_joined && stretch(*a) == stretch(*b))
        .map(move |samples| {
            let range = begin..begin + samples.len();
            begin = range.end;
            range
        })
}

/// Samples that share a row.
struct Joined {
    mean: f64,
    low: f64,
    high: f64,
}

impl Joined {
    /// `None` where there is no value.
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let (mut sum, mut count, mut low, mut high) = (0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            sum += value;
            count += 1.0;
            (low, high) = (value.min(low), value.max(high));
        }
        // The mean of equal values is that value, to the last digit.
        let mean = (sum / count).clamp(low, high.max(low));
        (count > 0.0).then_some(Self { mean, low, high })
    }
}

fn write<T: AsRef<[u8]>>(writer: &mut Writer<Vec<u8>>, row: &[T]) {
    writer
        .write_record(row)
        .expect("writing to memory does not fail, and all rows have the same length");
}

fn finish(writer: Writer<Vec<u8>>) -> String {
    let bytes = writer
        .into_inner()
        .expect("writing to memory does not fail");
    String::from_utf8(bytes).expect("only text was written")
}

/// Milliseconds are finer than any sampling; hours of samples are long enough without more digits.
fn seconds(ns: u64) -> String {
    ((ns / 1_000_000) as f64 / 1e3).to_string()
}

/// Seven significant digits.
fn short(value: f64) -> String {
    /// Powers of ten up to this one are exact.
    const EXACT: i32 = 22;
    let magnitude = value.abs().log10().floor();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float cast saturates, and what is far off is left as it is"
    )]
    let digits = 6_i32.saturating_sub(magnitude as i32);
    let rounded = if (0..=EXACT).contains(&digits) {
        let scale = 10_f64.powi(digits);
        (value * scale).round() / scale
    } else if (-EXACT..0).contains(&digits) {
        let scale = 10_f64.powi(-digits);
        (value / scale).round() * scale
    } else {
        value
    };
    rounded.to_string()
}

fn milliseconds(ns: Option<u64>) -> String {
    ns.map_or_else(String::new, |ns| (ns as f64 / 1e6).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn rows(text: &str) -> Vec<Vec<String>> {
        let mut reader = ::csv::Reader::from_reader(text.as_bytes());
        reader
            .records()
            .map(|row| row.unwrap().iter().map(str::to_owned).collect())
            .collect()
    }

    #[test]
    fn each_second_has_a_row_and_they_add_up_to_the_phase() {
        for (name, (record, _)) in sample::all() {
            let rows = rows(&load_csv(&record));
            let seconds: usize = record
                .phases
                .iter()
                .map(|phase| phase.intervals.len())
                .sum();
            assert_eq!(rows.len(), seconds, "{name}");
            for phase in &record.phases {
                let of_phase = || {
                    rows.iter()
                        .filter(|row| row[1] == phase.info.name && row[2] != "warmup")
                };
                let sum = |column: usize| -> u64 {
                    of_phase()
                        .map(|row| row[column].parse::<u64>().unwrap())
                        .sum()
                };
                assert_eq!(sum(3), phase.total.outcomes.of(Outcome::Ok), "{name}");
                assert_eq!(sum(4), phase.total.outcomes.failed(), "{name}");
                assert_eq!(sum(5), phase.total.outcomes.of(Outcome::Timeout), "{name}");
            }
        }
    }

    #[test]
    fn a_second_in_which_warm_up_and_measured_requests_end_has_two_rows() {
        let (mut record, _) = sample::calm().clone();
        let phase = &mut record.phases[0];
        let late = phase.intervals[0].warmup.clone();
        let seconds = phase.intervals.len();
        phase.intervals[7].warmup = late;
        let rows = rows(&load_csv(&record));
        assert_eq!(rows.len(), seconds + 1);
        assert_eq!(
            (rows[7][2].as_str(), rows[8][2].as_str()),
            ("warmup", "measured")
        );
        assert_eq!(rows[7][0], rows[8][0]);
        assert_eq!(rows.last().unwrap()[2], "drain");
    }

    #[test]
    fn very_many_samples_are_joined_second_by_second_with_their_range() {
        let (mut record, _) = sample::prod().clone();
        let source = &mut record.sources[0];
        source.at_ns = (0..50_000).map(|sample| 7 + sample * 100_000_000).collect();
        for values in &mut source.values {
            *values = (0..50_000)
                .map(|sample| Some(f64::from(sample % 10)))
                .collect();
        }
        source.values[0][3] = None;
        let (name, series) = (source.info.name.clone(), source.values.len());
        let rows = rows(&telemetry_csv(&record));
        let rows: Vec<_> = rows.iter().filter(|row| row[1] == name).collect();
        assert_eq!(rows.len(), 5000 * series);
        assert_eq!(rows[0][4..], ["4.666667", "0", "9"]);
        assert_eq!(rows[series][4..], ["4.5", "0", "9"]);
        assert_eq!(rows[series][0], "1");
    }

    #[test]
    fn each_known_sample_has_a_row() {
        let (mut record, _) = sample::prod().clone();
        let all: usize = record
            .sources
            .iter()
            .map(|source| source.at_ns.len() * source.values.len())
            .sum();
        assert_eq!(rows(&telemetry_csv(&record)).len(), all);
        record.sources[0].values[0][3] = None;
        let rows = rows(&telemetry_csv(&record));
        assert_eq!(rows.len(), all - 1);
        assert_eq!(rows[0][1..4], ["gpu", "gpu.utilization", "0"]);
        assert_eq!(rows[0][5..], ["", ""]);
        assert_eq!(short(0.055_262_193_903_684_28), "0.05526219");
        for (value, text) in [
            (5_476_083_302.0, "5476083000"),
            (0.0, "0"),
            (-0.3, "-0.3"),
            (1.0, "1"),
            (99_999_995.0, "100000000"),
            (9.999_999_6, "10"),
            (1.0e-7 / 3.0, "0.00000003333333"),
            (123_456_789_012_345.0, "123456800000000"),
        ] {
            assert_eq!(short(value), text);
        }
    }
}
