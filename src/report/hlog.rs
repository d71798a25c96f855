//! `latency.hlog`: the response times second by second, in the interval log of HdrHistogram, which
//! its standard tools read.
//!
//! Successful requests of the measured windows only, in microseconds, tagged with their phase; a log
//! has no place for requests that failed. Beside them, tagged `lateness-of-` and the phase, stands how
//! late the schedule of an open loop was kept, warm-up included.

use crate::record::{INTERVAL_NS, Latencies, RunRecord};
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use std::time::{Duration, SystemTime};

/// The response times as an interval log.
pub fn hlog(record: &RunRecord) -> Vec<u8> {
    let mut log = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    // A start that cannot be read is written as the epoch: the times within the log stay right.
    let started_at: SystemTime = record
        .header
        .started_at
        .parse::<jiff::Timestamp>()
        .map_or(SystemTime::UNIX_EPOCH, SystemTime::from);
    let mut builder = IntervalLogWriterBuilder::new();
    builder
        .add_comment("[Histogram log format version 1.3]")
        .add_comment(&comment(record))
        .with_start_time(started_at)
        .with_base_time(started_at)
        // Values are in microseconds; the maxima in the log's third column are in milliseconds.
        .with_max_value_divisor(1000.0);
    let mut writer = builder
        .begin_log_with(&mut log, &mut serializer)
        .expect(MEMORY);
    writer
        .write_comment(
            "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"",
        )
        .expect(MEMORY);
    let mut second = Latencies::default();
    for phase in &record.phases {
        let name = tag(&phase.info.name);
        let lateness = format!("lateness-of-{name}");
        for interval in &phase.intervals {
            for (name, times) in [
                (&name, &interval.measured.response),
                (&lateness, &interval.counts.lateness),
            ] {
                second.reset();
                second.merge(times);
                let Some(histogram) = second.as_histogram().filter(|second| !second.is_empty())
                else {
                    continue;
                };
                writer
                    .write_histogram(
                        histogram,
                        Duration::from_nanos(interval.from_ns),
                        Duration::from_nanos(INTERVAL_NS),
                        Tag::new(name),
                    )
                    .expect(MEMORY);
            }
        }
    }
    log
}

const MEMORY: &str = "writing to memory does not fail";

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
    use crate::record::Distribution as _;
    use crate::record::Latencies;
    use crate::report::sample;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    #[test]
    fn the_standard_reader_finds_every_request() {
        let (record, _) = sample::prod();
        let log = hlog(record);
        let mut by_phase: Vec<(String, Histogram<u64>)> = Vec::new();
        let mut starts = Vec::new();
        for entry in IntervalLogIterator::new(&log) {
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
        let tagged: Vec<LogEntry<'_>> = IntervalLogIterator::new(&log)
            .map(Result::unwrap)
            .filter(|entry| {
                matches!(entry, LogEntry::Interval(interval)
                    if interval.tag().is_some_and(|tag| tag.as_str() == "lateness-of-c100"))
            })
            .collect();
        assert_eq!(tagged.len(), 1);
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
        let entries: Vec<_> = IntervalLogIterator::new(&log).collect();
        assert!(entries.iter().all(Result::is_ok));
        assert!(entries.len() > 60);
    }
}
