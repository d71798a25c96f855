//! Utilization from the driver's own buffer: every reading it takes, at the time it took it.
//!
//! A gate's mean over such readings misses nothing between two questions, and counts nothing twice.

use super::GPU;
use super::series::{dimension, instance};
use crate::engine::ports::{Probe, Stamped};
use crate::gpu::{DriverSample, Nvml, Sampled};
use crate::record::{SeriesInfo, SourceInfo, SourceState};
use crate::units::nanoseconds;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// What is read from the buffer, with the metric that it becomes.
pub(super) const SAMPLED: [(Sampled, &str); 2] = [
    (Sampled::Utilization, "gpu.utilization"),
    (Sampled::MemoryActivity, "gpu.memory.activity"),
];

/// A reading tells of at most the second before it: NVML's longest window.
const LONGEST_US: u64 = 1_000_000;
/// A reading that is older than this is no answer to what a GPU does now.
const NEWEST_US: u64 = 2_000_000;

/// A wall clock that moved against the run's own by more than this was set.
const STEP_US: u64 = 200_000;

/// Drains the driver's buffers of all GPUs that have them.
#[derive(Debug)]
pub struct DriverProbe {
    nvml: Arc<Nvml>,
    period: Duration,
    clock: WallClock,
    /// In the order of the series.
    tracks: Vec<Track>,
}

/// One series: a kind of reading of one GPU.
#[derive(Debug)]
struct Track {
    place: usize,
    what: Sampled,
    info: SeriesInfo,
    stretches: Stretches,
}

impl DriverProbe {
    /// The source of the GPUs whose driver keeps samples; `None` where that is true of none.
    pub fn new(nvml: &Arc<Nvml>, period: Duration) -> Option<Self> {
        let now = now_unix_us();
        let period_us = u64::try_from(period.as_micros()).unwrap_or(u64::MAX);
        let mut tracks = Vec::new();
        for (place, gpu) in nvml.gpus().iter().enumerate() {
            if nvml.unsampled(place).is_some() {
                continue;
            }
            for (what, metric) in SAMPLED {
                tracks.push(Track {
                    place,
                    what,
                    info: SeriesInfo {
                        dimension: dimension(metric),
                        ..SeriesInfo::new(metric, instance(gpu.index, None)).refreshing()
                    },
                    stretches: Stretches::new(now.saturating_sub(LONGEST_US), period_us),
                });
            }
        }
        let is_there = !tracks.is_empty();
        is_there.then(|| Self {
            nvml: Arc::clone(nvml),
            period,
            clock: WallClock::new(now, Instant::now()),
            tracks,
        })
    }

    /// Reads what is new into the tracks.
    fn drain(&mut self) -> Result<(), String> {
        let now = now_unix_us();
        if self.clock.was_set(now, Instant::now()) {
            for track in &mut self.tracks {
                track.stretches.begin_again(now);
            }
        }
        for track in &mut self.tracks {
            let since = track.stretches.last_us;
            let samples = self
                .nvml
                .sampled(track.place, track.what, since)
                .map_err(|reason| reason.to_string())?;
            samples
                .into_iter()
                // Until they are overwritten, the buffer holds those from before a clock was set back.
                .filter(|sample| sample.at_unix_us <= now.saturating_add(STEP_US))
                .for_each(|sample| track.stretches.add(sample));
        }
        Ok(())
    }
}

impl Probe for DriverProbe {
    fn info(&self) -> SourceInfo {
        SourceInfo {
            name: format!("{GPU}.utilization"),
            state: SourceState::Present,
            period_ns: nanoseconds(self.period),
            series: self.tracks.iter().map(|track| track.info.clone()).collect(),
            simulated: self.nvml.simulated(),
        }
    }

    /// The newest value of each series: the mean of what the driver has read since the last call.
    fn sample(&mut self, values: &mut Vec<Option<f64>>) -> Result<(), String> {
        self.drain()?;
        let now = now_unix_us();
        for track in &mut self.tracks {
            track.stretches.finish();
            let done = std::mem::take(&mut track.stretches.done);
            if let Some(newest) = mean(&done) {
                track.stretches.newest = Some(newest);
            }
            let is_recent = now.saturating_sub(track.stretches.last_us) < NEWEST_US;
            values.push(track.stretches.newest.filter(|_| is_recent));
        }
        Ok(())
    }

    fn stamped(&mut self) -> Option<Result<Vec<Stamped>, String>> {
        if let Err(reason) = self.drain() {
            return Some(Err(reason));
        }
        let mut rows: BTreeMap<u64, Vec<Option<f64>>> = BTreeMap::new();
        let width = self.tracks.len();
        for (column, track) in self.tracks.iter_mut().enumerate() {
            for stretch in track.stretches.done.drain(..) {
                let row = rows.entry(stretch.from_us).or_default();
                row.resize(width, None);
                row[column] = Some(stretch.mean());
            }
        }
        let now = now_unix_us();
        let stamped = rows.into_iter().map(|(from_us, values)| Stamped {
            age: Duration::from_micros(now.saturating_sub(from_us)),
            values,
        });
        Some(Ok(stamped.collect()))
    }
}

/// The driver stamps its samples by the wall clock; an age does not depend on where that clock stands.
#[expect(
    clippy::disallowed_methods,
    reason = "the driver's samples carry the time of day"
)]
fn now_unix_us() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.map_or(0, |time| {
        u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
    })
}

/// Where the wall clock stood beside one that nobody sets.
#[derive(Debug)]
struct WallClock {
    wall_us: u64,
    at: Instant,
}

impl WallClock {
    fn new(wall_us: u64, at: Instant) -> Self {
        Self { wall_us, at }
    }

    /// Whether somebody set it since the last call.
    fn was_set(&mut self, wall_us: u64, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.at).as_micros();
        let expected = self.wall_us + u64::try_from(elapsed).unwrap_or(u64::MAX / 2);
        *self = Self::new(wall_us, now);
        wall_us.abs_diff(expected) > STEP_US
    }
}

/// A stretch of time and what was known of it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stretch {
    from_us: u64,
    to_us: u64,
    weighted: f64,
}

impl Stretch {
    fn mean(&self) -> f64 {
        self.weighted / (self.to_us - self.from_us) as f64
    }
}

fn mean(stretches: &[Stretch]) -> Option<f64> {
    let length: u64 = stretches
        .iter()
        .map(|stretch| stretch.to_us - stretch.from_us)
        .sum();
    let weighted: f64 = stretches.iter().map(|stretch| stretch.weighted).sum();
    (length > 0).then(|| weighted / length as f64)
}

/// Readings as stretches of time that each of them is about, joined until they are as long as the period
/// that was asked for: a driver that reads every few milliseconds would fill the journal.
#[derive(Debug)]
struct Stretches {
    least_us: u64,
    /// When the last reading was taken.
    last_us: u64,
    /// Whether `last_us` is a reading, and not only where the wait for the first began.
    begun: bool,
    open: Option<Stretch>,
    done: Vec<Stretch>,
    newest: Option<f64>,
}

impl Stretches {
    fn new(since_us: u64, least_us: u64) -> Self {
        Self {
            least_us,
            last_us: since_us,
            begun: false,
            open: None,
            done: Vec::new(),
            newest: None,
        }
    }

    fn add(&mut self, sample: DriverSample) {
        let to_us = sample.at_unix_us;
        if to_us <= self.last_us {
            return;
        }
        // How far back the first reading reaches is not known.
        let from_us = self.last_us.max(to_us.saturating_sub(LONGEST_US));
        let is_first = !std::mem::replace(&mut self.begun, true);
        self.last_us = to_us;
        if is_first {
            return;
        }
        if self.open.is_some_and(|open| open.to_us < from_us) {
            self.finish();
        }
        let open = self.open.get_or_insert(Stretch {
            from_us,
            to_us: from_us,
            weighted: 0.0,
        });
        open.to_us = to_us;
        open.weighted += sample.value * (to_us - from_us) as f64;
        if open.to_us - open.from_us >= self.least_us {
            self.finish();
        }
    }

    /// The clock was set: what was read by the old one has no place in the new one's time.
    fn begin_again(&mut self, now_us: u64) {
        *self = Self {
            newest: self.newest,
            ..Self::new(now_us.saturating_sub(STEP_US), self.least_us)
        };
    }

    fn finish(&mut self) {
        self.done.extend(self.open.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1000;

    fn stretches(samples: &[(u64, f64)]) -> Vec<(u64, u64, f64)> {
        let mut stretches = Stretches::new(0, 100 * MS);
        for &(at_ms, value) in samples {
            stretches.add(DriverSample {
                at_unix_us: at_ms * MS,
                value,
            });
        }
        let done = stretches.done.iter();
        done.map(|stretch| (stretch.from_us / MS, stretch.to_us / MS, stretch.mean()))
            .collect()
    }

    #[test]
    fn a_reading_is_about_the_time_since_the_one_before() {
        assert_eq!(
            stretches(&[(1000, 1.0), (1170, 0.5), (1330, 0.25)]),
            [(1000, 1170, 0.5), (1170, 1330, 0.25)]
        );
    }

    #[test]
    fn fine_readings_are_joined_by_their_time() {
        // 20 ms and 80 ms of different use: their mean by time, not by number.
        assert_eq!(
            stretches(&[(1000, 0.0), (1020, 1.0), (1100, 0.0), (1150, 1.0)]),
            [(1000, 1100, 0.2)]
        );
    }

    #[test]
    fn a_clock_that_is_set_back_silences_nothing() {
        let mut clock = WallClock::new(1_000_000 * MS, Instant::now());
        let later = clock.at + Duration::from_secs(1);
        // It runs a little fast or slow, and is no clock that was set.
        assert!(!clock.was_set(1_001_050 * MS, later));
        assert!(clock.was_set(1_000_000 * MS, later + Duration::from_secs(1)));
        assert!(!clock.was_set(1_001_000 * MS, later + Duration::from_secs(2)));
        assert!(clock.was_set(5_000_000 * MS, later + Duration::from_secs(3)));

        let mut stretches = Stretches::new(0, 100 * MS);
        let add = |stretches: &mut Stretches, at_ms: u64, value| {
            stretches.add(DriverSample {
                at_unix_us: at_ms * MS,
                value,
            });
        };
        add(&mut stretches, 9000, 1.0);
        add(&mut stretches, 9100, 1.0);
        stretches.begin_again(2000 * MS);
        assert_eq!(stretches.done, []);
        for at_ms in [2050, 2200, 2350] {
            add(&mut stretches, at_ms, 0.5);
        }
        let done: Vec<(u64, u64)> = stretches
            .done
            .iter()
            .map(|stretch| (stretch.from_us / MS, stretch.to_us / MS))
            .collect();
        assert_eq!(done, [(2050, 2200), (2200, 2350)]);
    }

    #[test]
    fn what_the_buffer_lost_is_a_gap() {
        // 3 s of silence: the reading after it is about its last second only.
        assert_eq!(
            stretches(&[
                (1000, 1.0),
                (1050, 1.0),
                (4050, 0.5),
                (4050, 0.9),
                (3000, 0.9)
            ]),
            [(1000, 1050, 1.0), (3050, 4050, 0.5)]
        );
    }
}
