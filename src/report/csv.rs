//! `load.csv` and `telemetry.csv`: the series for spreadsheets and notebooks.
//!
//! Nothing is joined or smoothed: a row is a second of load, or one sample.

use crate::record::{
    Distribution as _, INTERVAL_NS, PhaseInterval, PhaseRecord, RequestTally, RunRecord,
};
use crate::record::{Outcome, PackedLatencies};
use ::csv::Writer;

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
    let outcomes = &tally.outcomes;
    vec![
        seconds(interval.from_ns),
        phase.info.name.clone(),
        section.to_owned(),
        outcomes.of(Outcome::Ok).to_string(),
        outcomes.failed().to_string(),
        outcomes.of(Outcome::Timeout).to_string(),
        outcomes.of(Outcome::InFlightAtEnd).to_string(),
        at(&tally.response, 0.5),
        at(&tally.response, 0.9),
        at(&tally.response, 0.99),
        milliseconds(tally.response.max_ns()),
        at(&tally.service, 0.5),
        at(&tally.service, 0.99),
        interval.counts.in_flight.to_string(),
        at(&interval.counts.send_lag, 0.99),
        at(&interval.counts.lateness, 0.5),
        at(&interval.counts.lateness, 0.99),
        at(&interval.counts.loop_delay, 0.99),
        short(interval.counts.busiest_ns as f64 / INTERVAL_NS as f64),
    ]
}

/// Each sample of telemetry that has a value, in base units: shares from 0 to 1, bytes, watts, °C.
pub fn telemetry_csv(record: &RunRecord) -> String {
    let mut writer = Writer::from_writer(Vec::new());
    write(
        &mut writer,
        &["t_s", "source", "metric", "instance", "value"],
    );
    for source in &record.sources {
        for (position, &at_ns) in source.at_ns.iter().enumerate() {
            let at = seconds(at_ns);
            for (info, values) in source.info.series.iter().zip(&source.values) {
                if let Some(value) = values[position] {
                    let value = short(value);
                    let row = [&at, &source.info.name, &info.metric, &info.instance, &value];
                    write(&mut writer, &row);
                }
            }
        }
    }
    finish(writer)
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
    let rounded: f64 = format!("{value:.6e}").parse().unwrap_or(value);
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
        assert_eq!(short(0.055_262_193_903_684_28), "0.05526219");
        assert_eq!(short(5_476_083_302.0), "5476083000");
    }
}
