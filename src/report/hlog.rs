//! `latency.hlog`: the response times over time, in the interval log of HdrHistogram, which its standard
//! tools read.
//!
//! Successful requests of the measured windows only, in microseconds, tagged with their phase; a log
//! has no place for requests that failed. Beside them, tagged `lateness-of-` and the phase, stands how
//! late the schedule of an open loop was kept, warm-up included. Where a scenario has several requests, flows
//! or steps, each has a tag of its own: phase, colon, name. An interval is a second; in runs of more
//! than an hour it is several, merged as histograms.

use super::chart::timeline::{seconds_of_stretch, stretches};
use crate::record::{
    Distribution as _, INTERVAL_NS, Latencies, PackedLatencies, PhaseInterval, RunRecord,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::io::Write as _;

/// The response times as an interval log.
pub fn hlog(record: &RunRecord) -> String {
    // A start that cannot be read is written as the epoch: the times within the log stay right.
    let started_s = record
        .header
        .started_at
        .parse::<jiff::Timestamp>()
        .map_or(0.0, |start| start.as_millisecond() as f64 / 1e3);
    let mut log = format!(
        "#[Histogram log format version 1.3]\n#{}\n#[StartTime: {started_s:.3} (seconds since epoch)]\n\
         #[BaseTime: {started_s:.3} (seconds since epoch)]\n#[MaxValueDivisor: {MICROSECONDS_OF_A_MAXIMUM:.3}]\n\
         #\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n",
        comment(record)
    );
    let seconds: usize = record
        .phases
        .iter()
        .map(|phase| phase.intervals.len())
        .sum();
    let seconds_each = seconds_of_stretch(seconds, MOST_INTERVALS);
    let parts = record.header.several_parts();
    let mut joined = Latencies::default();
    for phase in &record.phases {
        let name = tag(&phase.info.name);
        let mut logged: Vec<(String, TimesOf<'_>)> = vec![
            (
                name.clone(),
                Box::new(|second| Some(&second.measured.response)),
            ),
            (
                format!("lateness-of-{name}"),
                Box::new(|second| Some(&second.counts.lateness)),
            ),
        ];
        logged.extend(parts.iter().map(|(part, index)| -> (String, TimesOf<'_>) {
            let times: TimesOf<'_> = Box::new(|second| Some(&second.of(Some(*index))?.response));
            (format!("{name}:{}", tag(&part.name)), times)
        }));
        for stretch in stretches(&phase.intervals, seconds_each) {
            let from_ns = stretch.first().map_or(0, |interval| interval.from_ns);
            for (name, times) in &logged {
                joined.reset();
                for times in stretch.iter().filter_map(times) {
                    joined.merge(times);
                }
                if joined.is_empty() {
                    continue;
                }
                let max_us = joined.max_ns().unwrap_or(0) as f64 / 1000.0;
                let line = format!(
                    "Tag={name},{:.3},{:.3},{:.3},",
                    from_ns as f64 / 1e9,
                    (stretch.len() as u64 * INTERVAL_NS) as f64 / 1e9,
                    max_us / MICROSECONDS_OF_A_MAXIMUM,
                );
                log.push_str(&line);
                BASE64.encode_string(compressed(&joined.pack()), &mut log);
                log.push('\n');
            }
        }
    }
    log
}

/// Values are in microseconds, and the maxima in the third column in milliseconds.
const MICROSECONDS_OF_A_MAXIMUM: f64 = 1000.0;

/// The compressed V2 encoding: a cookie, the length, and the V2 encoding through zlib.
fn compressed(latencies: &PackedLatencies) -> Vec<u8> {
    const COOKIE: u32 = 0x1c84_9314;
    let mut bytes = Vec::from(COOKIE.to_be_bytes());
    bytes.extend([0; 4]);
    let mut encoder = ZlibEncoder::new(bytes, Compression::fast());
    let written = encoder
        .write_all(latencies.as_bytes())
        .and_then(|()| encoder.finish());
    let mut bytes = written.expect("writing to memory does not fail");
    let length = u32::try_from(bytes.len() - 8).expect("forty thousand buckets at most");
    bytes[4..8].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// What is logged of a second.
type TimesOf<'a> = Box<dyn Fn(&PhaseInterval) -> Option<&PackedLatencies> + 'a>;

/// Runs of up to an hour are logged second by second.
const MOST_INTERVALS: usize = 3600;

fn comment(record: &RunRecord) -> String {
    let simulated = if record.is_simulated() {
        ", telemetry of this run is SIMULATED"
    } else {
        ""
    };
    format!(
        "[bench {}, run {}: response times of successful requests, and lateness of open loops, in microseconds{simulated}]",
        one_line(&record.header.environment.bench_version),
        one_line(&record.header.id)
    )
}

fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// A phase's name as a tag, which knows neither commas nor blanks.
fn tag(name: &str) -> String {
    name.replace(|c: char| c == ',' || c.is_whitespace(), "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::StepInfo;
    use crate::report::sample;
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
    use std::time::Duration;

    #[test]
    fn the_standard_reader_finds_every_request() {
        let (record, _) = sample::prod();
        let log = hlog(record);
        let mut by_phase: Vec<(String, Histogram<u64>)> = Vec::new();
        let mut starts = Vec::new();
        for entry in IntervalLogIterator::new(log.as_bytes()) {
            match entry.unwrap() {
                LogEntry::StartTime(time) | LogEntry::BaseTime(time) => {
                    starts.push(time.as_secs());
                }
                LogEntry::Interval(interval) => {
                    let bytes = BASE64.decode(interval.encoded_histogram()).unwrap();
                    let read: Histogram<u64> = Deserializer::new()
                        .deserialize(&mut bytes.as_slice())
                        .unwrap();
                    let max_ms = read.max() as f64 / 1000.0;
                    assert!((interval.max() - max_ms).abs() < 0.001);
                    assert_eq!(interval.duration(), Duration::from_secs(1));
                    let tag = interval.tag().unwrap().as_str().to_owned();
                    if tag.contains(':') {
                        // One of several requests, which are in the phase already.
                        continue;
                    }
                    let known = by_phase.iter().position(|(known, _)| *known == tag);
                    let place = known.unwrap_or_else(|| {
                        by_phase.push((tag, Histogram::new(3).unwrap()));
                        by_phase.len() - 1
                    });
                    by_phase[place].1.add(&read).unwrap();
                }
            }
        }
        // 2026-08-05T12:34:56Z, as start and as base.
        assert_eq!(starts, [1_785_933_296; 2]);
        assert_eq!(by_phase.len(), record.phases.len());
        for ((tag, read), phase) in by_phase.iter().zip(&record.phases) {
            let total: &Latencies = &phase.total.response;
            assert_eq!(*tag, phase.info.name);
            assert_eq!(read.len(), total.count());
            assert_eq!(
                Some(read.value_at_quantile(0.99) * 1000),
                total.quantile_ns(0.99)
            );
        }
    }

    #[test]
    fn how_late_the_schedule_was_kept_has_a_tag_of_its_own() {
        let (mut record, _) = sample::calm().clone();
        let mut late = Latencies::default();
        late.record(40_000);
        record.phases[0].intervals[3].counts.lateness = late.pack();
        let log = hlog(&record);
        let tagged: Vec<LogEntry<'_>> = IntervalLogIterator::new(log.as_bytes())
            .map(Result::unwrap)
            .filter(|entry| {
                matches!(entry, LogEntry::Interval(interval)
                    if interval.tag().is_some_and(|tag| tag.as_str() == "lateness-of-c100"))
            })
            .collect();
        assert_eq!(tagged.len(), 1);
    }

    #[test]
    fn each_request_and_step_has_a_tag_of_its_own() {
        let (mut record, _) = sample::calm().clone();
        record.header.requests.truncate(1);
        let unit = record.header.requests[0].clone();
        record.header.requests[0].steps = vec![StepInfo {
            name: "only step".to_owned(),
            method: unit.method.clone(),
            path: unit.path.clone(),
            polls: false,
        }];
        let steps = record.phases[0].intervals[7].by_request.clone();
        record.phases[0].intervals[7].flow_steps = steps;
        let log = hlog(&record);
        let flow = unit.name;
        for (tag, lines) in [
            (
                format!("Tag=c100:{flow},"),
                record.phases[0].intervals.len() - 5,
            ),
            (format!("Tag=c100:{flow}/only_step,"), 1),
        ] {
            let found = log.lines().filter(|line| line.starts_with(&tag)).count();
            assert_eq!(found, lines, "{tag}");
        }
    }

    #[test]
    fn names_that_are_no_tags_become_one() {
        assert_eq!(tag("a, b\n"), "a__b_");
        let (mut record, _) = sample::hostile();
        record.header.started_at = "yesterday".to_owned();
        let (calm, _) = sample::calm();
        record.phases[0]
            .intervals
            .clone_from(&calm.phases[0].intervals);
        let log = hlog(&record);
        let entries: Vec<_> = IntervalLogIterator::new(log.as_bytes()).collect();
        assert!(entries.iter().all(Result::is_ok));
        assert!(entries.len() > 60);
    }
}
