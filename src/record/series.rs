//! Telemetry: time series sampled beside the load, on the run's clock.

use crate::units::Dimension;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a set of series comes from, and whether it is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceInfo {
    /// Short name: `nvml`, `host`, `target`, `generator`.
    pub name: String,
    /// Whether it delivers samples; if not, why.
    pub state: SourceState,
    /// The distance between two samples in nanoseconds.
    pub period_ns: u64,
    /// Its series, in the order of the values of each sample.
    pub series: Vec<SeriesInfo>,
    /// Whether its values are made up (fake libraries in tests).
    pub simulated: bool,
}

/// Whether a source delivers samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// It does.
    Present,
    /// It does not, because the scenario says so.
    Off,
    /// It cannot, for this reason.
    Unavailable(String),
}

/// One series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesInfo {
    /// The metric, for example `gpu.utilization`.
    pub metric: String,
    /// Which one of several, for example GPU `0`; empty where there is only one.
    pub instance: String,
    /// Why it will have no values, where that is known from the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lack: Option<String>,
    /// How its values are had, where that is not the usual way, or what they leave out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What its values are, where the scenario has named the metric and no catalogue knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimension: Option<Dimension>,
    /// Whether a sample without a value only says that there is no new reading, because readings come
    /// more slowly than they are asked for. Their distance is then the period of the series.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refreshes: bool,
}

impl SeriesInfo {
    /// A series of `metric`, with the instance it belongs to.
    pub fn new(metric: impl Into<String>, instance: impl Into<String>) -> Self {
        Self {
            metric: metric.into(),
            instance: instance.into(),
            lack: None,
            note: None,
            dimension: None,
            refreshes: false,
        }
    }

    /// The same series, with readings that come at a pace of their own.
    #[must_use]
    pub fn refreshing(mut self) -> Self {
        self.refreshes = true;
        self
    }

    /// The same series, with the dimension of its values.
    #[must_use]
    pub fn of_dimension(mut self, dimension: Dimension) -> Self {
        self.dimension = Some(dimension);
        self
    }

    /// The same series, with how its values are had.
    #[must_use]
    pub fn noting(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// The same series, known to have no values.
    #[must_use]
    pub fn lacking(mut self, reason: impl Into<String>) -> Self {
        self.lack = Some(reason.into());
        self
    }
}

impl fmt::Display for SeriesInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.metric)?;
        if !self.instance.is_empty() {
            write!(f, "[{}]", self.instance)?;
        }
        Ok(())
    }
}

/// Samples of one source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Samples {
    /// Which source, by its position among those of the run.
    pub source: usize,
    /// When each sample was taken, in nanoseconds since the start of the run.
    pub at_ns: Vec<u64>,
    /// For each series, its values; `null` where the source had none at that moment.
    pub values: Vec<Vec<Option<f64>>>,
}

/// All that was sampled from one source in a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// What it is.
    pub info: SourceInfo,
    /// When each sample was taken.
    pub at_ns: Vec<u64>,
    /// For each series, its values.
    pub values: Vec<Vec<Option<f64>>>,
}

impl Source {
    /// A source without samples as yet.
    pub fn new(info: SourceInfo) -> Self {
        let values = vec![Vec::new(); info.series.len()];
        Self {
            info,
            at_ns: Vec::new(),
            values,
        }
    }

    /// Appends samples.
    ///
    /// # Errors
    /// When they do not fit the series of the source.
    pub fn append(&mut self, samples: Samples) -> Result<(), String> {
        let fits = samples.values.len() == self.values.len()
            && samples
                .values
                .iter()
                .all(|values| values.len() == samples.at_ns.len());
        if !fits {
            return Err(format!(
                "samples of `{}` do not fit its series",
                self.info.name
            ));
        }
        self.at_ns.extend(samples.at_ns);
        for (all, new) in self.values.iter_mut().zip(samples.values) {
            all.extend(new);
        }
        Ok(())
    }

    /// The distance between two readings: the median of what was seen, where that is longer than
    /// what was asked for.
    fn period_ns_of(&self, info: &SeriesInfo, values: &[Option<f64>]) -> u64 {
        if !info.refreshes {
            return self.info.period_ns;
        }
        let known = self
            .at_ns
            .iter()
            .zip(values)
            .filter(|(_, value)| value.is_some());
        let at: Vec<u64> = known.map(|(&at, _)| at).collect();
        let mut distances: Vec<u64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
        distances.sort_unstable();
        let median = distances.get(distances.len() / 2).copied();
        median.unwrap_or_default().max(self.info.period_ns)
    }

    /// All series with their points.
    pub fn all(&self) -> impl Iterator<Item = Series<'_>> {
        self.info
            .series
            .iter()
            .zip(&self.values)
            .map(|(info, values)| self.series(info, values))
    }

    /// The series of one metric, one for each instance, with their points.
    pub fn of<'a>(&'a self, metric: &'a str) -> impl Iterator<Item = Series<'a>> {
        self.info
            .series
            .iter()
            .zip(&self.values)
            .filter(move |(info, _)| info.metric == metric)
            .map(|(info, values)| self.series(info, values))
    }

    fn series<'a>(&'a self, info: &'a SeriesInfo, values: &'a [Option<f64>]) -> Series<'a> {
        Series {
            info,
            period_ns: self.period_ns_of(info, values),
            at_ns: &self.at_ns,
            values,
        }
    }
}

/// One series with its points.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    /// Which series.
    pub info: &'a SeriesInfo,
    /// The distance between two samples: the one that was asked for, or that between two readings
    /// where the source itself is slower.
    pub period_ns: u64,
    /// When each sample was taken.
    pub at_ns: &'a [u64],
    /// The values.
    pub values: &'a [Option<f64>],
}

/// A series over a stretch of time, each value held until the next sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// The share of the stretch for which a value was known.
    pub coverage: f64,
    /// The longest time without a known value, in nanoseconds.
    pub longest_gap_ns: u64,
    /// The time-weighted mean of the known part.
    pub mean: f64,
    /// The smallest value.
    pub minimum: f64,
    /// The largest value.
    pub maximum: f64,
    /// How many samples lie in the stretch.
    pub samples: usize,
}

impl Series<'_> {
    /// The points that have a value.
    pub fn points(&self) -> impl Iterator<Item = (u64, f64)> + '_ {
        self.at_ns
            .iter()
            .zip(self.values)
            .filter_map(|(&at, value)| value.map(|value| (at, value)))
    }

    /// How long a value holds when no other follows: long enough to bridge a late sample, short
    /// enough that a source that has died is noticed.
    fn hold_ns(&self) -> u64 {
        self.period_ns
            .saturating_mul(3)
            .clamp(1, self.longest_silence_ns())
    }

    /// The longest time without a value that a judgement bears: two seconds, or one and a half
    /// periods of a source that is slower than that allows.
    pub fn longest_silence_ns(&self) -> u64 {
        const LONGEST_SILENCE_NS: u64 = 2_000_000_000;
        LONGEST_SILENCE_NS.max(self.period_ns.saturating_mul(3) / 2)
    }

    /// The value at each sample; where readings come more slowly than samples, a value holds until
    /// the next one, as long as it may.
    pub fn held(&self) -> Vec<Option<f64>> {
        if !self.info.refreshes {
            return self.values.to_vec();
        }
        let hold = self.hold_ns();
        let mut last: Option<(u64, f64)> = None;
        let at_each = self.at_ns.iter().zip(self.values);
        at_each
            .map(|(&at, value)| {
                if let Some(value) = value {
                    last = Some((at, *value));
                }
                last.filter(|(since, _)| at - since <= hold)
                    .map(|(_, value)| value)
            })
            .collect()
    }

    /// The series between two moments; `None` when it has no value there at all.
    pub fn window(&self, from_ns: u64, to_ns: u64) -> Option<Window> {
        let hold = self.hold_ns();
        // A value before the window reaches into it for as long as it holds; none after it matters.
        let first = self
            .at_ns
            .partition_point(|&at| at.saturating_add(hold) <= from_ns);
        let last = self.at_ns.partition_point(|&at| at < to_ns);
        let known = self.at_ns.iter().zip(self.values).take(last).skip(first);
        let points: Vec<(u64, f64)> = known
            .filter_map(|(&at, value)| value.map(|value| (at, value)))
            .collect();
        let mut covered = 0;
        let mut weighted = 0.0;
        let mut longest_gap_ns = 0;
        let mut known_until = from_ns;
        let (mut minimum, mut maximum) = (f64::INFINITY, f64::NEG_INFINITY);
        let mut samples = 0;
        for (position, &(at, value)) in points.iter().enumerate() {
            let next = points.get(position + 1).map_or(u64::MAX, |&(next, _)| next);
            let until = next.min(at.saturating_add(hold)).min(to_ns);
            let start = at.max(from_ns);
            if start >= until || at >= to_ns {
                continue;
            }
            if at >= from_ns {
                samples += 1;
            }
            longest_gap_ns = longest_gap_ns.max(start.saturating_sub(known_until));
            known_until = until;
            covered += until - start;
            weighted += value * (until - start) as f64;
            minimum = minimum.min(value);
            maximum = maximum.max(value);
        }
        if covered == 0 {
            return None;
        }
        Some(Window {
            coverage: covered as f64 / (to_ns - from_ns) as f64,
            longest_gap_ns: longest_gap_ns.max(to_ns.saturating_sub(known_until)),
            mean: weighted / covered as f64,
            minimum,
            maximum,
            samples,
        })
    }

    /// The value at each whole second from one moment to another, as long as it holds.
    pub fn each_second(&self, from_ns: u64, to_ns: u64) -> Vec<Option<f64>> {
        const SECOND_NS: u64 = 1_000_000_000;
        let hold = self.hold_ns();
        let mut points = self.points().peekable();
        let mut last = None;
        (0..to_ns.saturating_sub(from_ns) / SECOND_NS)
            .map(|second| {
                let moment = from_ns + second * SECOND_NS;
                while let Some(point) = points.next_if(|&(at, _)| at <= moment) {
                    last = Some(point);
                }
                last.filter(|&(at, _)| at.saturating_add(hold) > moment)
                    .map(|(_, value)| value)
            })
            .collect()
    }

    /// The time-weighted means of `parts` stretches of equal length; stretches without a known value
    /// are left out.
    pub fn means(&self, from_ns: u64, to_ns: u64, parts: usize) -> Vec<f64> {
        let length = to_ns.saturating_sub(from_ns);
        (0..parts as u64)
            .filter_map(|part| {
                let from = from_ns + length * part / parts as u64;
                let to = from_ns + length * (part + 1) / parts as u64;
                self.window(from, to).map(|window| window.mean)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn source(points: &[(u64, Option<f64>)]) -> Source {
        let mut source = Source::new(SourceInfo {
            name: "test".to_owned(),
            state: SourceState::Present,
            period_ns: S / 10,
            series: vec![SeriesInfo::new("gpu.utilization", "0")],
            simulated: true,
        });
        source
            .append(Samples {
                source: 0,
                at_ns: points.iter().map(|(at, _)| *at).collect(),
                values: vec![points.iter().map(|(_, value)| *value).collect()],
            })
            .unwrap();
        source
    }

    fn window(points: &[(u64, Option<f64>)], from: u64, to: u64) -> Option<Window> {
        let source = source(points);
        source
            .of("gpu.utilization")
            .next()
            .unwrap()
            .window(from, to)
    }

    #[test]
    fn weighs_by_time_and_not_by_sample() {
        // Busy for 0.3 s, idle for 0.1 s; the busy stretch has one sample only.
        let seen = window(&[(0, Some(1.0)), (3 * S / 10, Some(0.0))], 0, 4 * S / 10).unwrap();
        assert!((seen.mean - 0.75).abs() < 1e-9);
        assert!((seen.coverage - 1.0).abs() < 1e-9);
        assert_eq!((seen.minimum, seen.maximum, seen.samples), (0.0, 1.0, 2));
    }

    #[test]
    fn a_value_does_not_hold_for_ever() {
        // Two samples, then silence: 0.3 s after the last one nothing is known.
        let seen = window(&[(0, Some(0.5)), (S / 10, Some(0.5))], 0, 10 * S).unwrap();
        assert!((seen.coverage - 0.04).abs() < 1e-9, "{seen:?}");
        assert_eq!(seen.longest_gap_ns, 10 * S - 4 * S / 10);
    }

    #[test]
    fn a_sample_before_the_window_reaches_into_it() {
        let seen = window(
            &[(0, Some(0.2)), (2 * S / 10, Some(0.4))],
            S / 10,
            3 * S / 10,
        )
        .unwrap();
        assert!((seen.mean - 0.3).abs() < 1e-9);
        assert_eq!(seen.longest_gap_ns, 0);
    }

    #[test]
    fn missing_values_are_gaps_and_no_values_are_nothing() {
        assert_eq!(window(&[(0, None), (S, None)], 0, S), None);
        assert_eq!(window(&[], 0, S), None);
        let seen = window(
            &[(0, Some(1.0)), (S / 10, None), (6 * S / 10, Some(1.0))],
            0,
            S,
        )
        .unwrap();
        assert!((seen.coverage - 0.6).abs() < 1e-9, "{seen:?}");
        assert_eq!(seen.longest_gap_ns, 3 * S / 10);
    }

    #[test]
    fn a_source_that_refreshes_slowly_has_the_period_of_its_readings() {
        // Asked each second, it has a new reading every ten.
        let points: Vec<(u64, Option<f64>)> = (0..60)
            .map(|second| (second * S, (second % 10 == 0).then_some(0.5)))
            .collect();
        let mut source = source(&points);
        source.info.period_ns = S;
        let window = |source: &Source| {
            let series = source.of("gpu.utilization").next().unwrap();
            (series.period_ns, series.window(0, 60 * S).unwrap())
        };
        let (period, seen) = window(&source);
        assert_eq!(period, S);
        assert!(seen.coverage < 0.25, "{seen:?}");
        source.info.series[0].refreshes = true;
        let (period, seen) = window(&source);
        assert_eq!((period, seen.longest_gap_ns, seen.samples), (10 * S, 0, 6));
        assert!((seen.coverage - 1.0).abs() < 1e-9, "{seen:?}");
    }

    #[test]
    fn seconds_are_read_as_long_as_a_value_holds() {
        let source = source(&[
            (S / 2, Some(1.0)),
            (11 * S / 10, Some(2.0)),
            (3 * S, Some(3.0)),
        ]);
        let series = source.of("gpu.utilization").next().unwrap();
        let seconds = series.each_second(0, 5 * S);
        assert_eq!(seconds, [None, None, None, Some(3.0), None]);
        let seconds = series.each_second(6 * S / 10, 3 * S);
        assert_eq!(seconds, [Some(1.0), None]);
    }

    #[test]
    fn samples_that_do_not_fit_are_refused() {
        let mut source = source(&[]);
        let samples = Samples {
            source: 0,
            at_ns: vec![1],
            values: vec![vec![], vec![]],
        };
        assert!(source.append(samples).is_err());
    }
}
