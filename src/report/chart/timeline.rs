//! The load of a run on one time axis, in at most a few hundred stretches.
//!
//! Seconds are joined by merging their histograms; a percentile of percentiles is never taken.

use crate::record::{
    Cause, Distribution as _, ErrorTally, INTERVAL_NS, Latencies, Outcome, Outcomes, PhaseInterval,
    RunRecord,
};

/// The most stretches of a chart: about one for every two points of a screen.
pub(crate) const MOST_STRETCHES: usize = 600;

/// The load of a run.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// Stretches in the order of time; those of one phase follow each other without a gap.
    pub(crate) stretches: Vec<Stretch>,
    /// The most frequent kinds of error, the most frequent first.
    pub(crate) kinds: Vec<Kind>,
    /// How many seconds each stretch joins.
    pub(crate) seconds_each: usize,
}

/// What happened in one stretch of a phase.
#[derive(Clone, Debug)]
pub(crate) struct Stretch {
    /// Which of the phases that began.
    pub(crate) phase: usize,
    /// Its begin in seconds since the start of the run.
    pub(crate) from_s: f64,
    /// Its end, or where the next phase begins if that is earlier.
    pub(crate) to_s: f64,
    /// The seconds that it joins.
    pub(crate) seconds: f64,
    /// How the requests ended that ended in it, those of the warm-up included.
    pub(crate) outcomes: Outcomes,
    /// Their response times, as far as they succeeded.
    pub(crate) response: Latencies,
    /// Requests in flight: the mean of what each second ended with.
    pub(crate) in_flight: f64,
    /// The share of time in which the busiest worker was busy.
    pub(crate) busiest: f64,
    /// Intended start to actual send.
    pub(crate) send_lag: Latencies,
    /// How long tasks of the generator that were ready waited for their turn.
    pub(crate) loop_delay: Latencies,
    /// Errors by kind, in the order of [`Timeline::kinds`]; the last entry counts all others.
    pub(crate) errors: Vec<u64>,
}

/// A kind of error, whichever request it hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    /// How the request ended.
    pub(crate) outcome: Outcome,
    /// Why.
    pub(crate) cause: Cause,
}

impl Kind {
    fn of(error: &ErrorTally) -> Self {
        Self {
            outcome: error.key.outcome,
            cause: error.key.cause,
        }
    }

    /// Its name in a legend.
    pub(crate) fn label(self) -> String {
        self.cause.to_string()
    }
}

/// More kinds than this are shown as "other".
const MOST_KINDS: usize = 6;

impl Timeline {
    /// The load of a run.
    pub fn of(record: &RunRecord) -> Self {
        let seconds: usize = record
            .phases
            .iter()
            .map(|phase| phase.intervals.len())
            .sum();
        let seconds_each = seconds_of_stretch(seconds, MOST_STRETCHES);
        let kinds = frequent_kinds(record);
        let mut stretches: Vec<Stretch> = record
            .phases
            .iter()
            .enumerate()
            .flat_map(|(index, phase)| {
                stretches(&phase.intervals, seconds_each)
                    .map(|run| join(index, run, &kinds))
                    .collect::<Vec<_>>()
            })
            .collect();
        // The last second of a phase is rarely a whole one.
        let ended_s = record.ended_ns as f64 / 1e9;
        let mut next_s = ended_s;
        for stretch in stretches.iter_mut().rev() {
            // The next phase may run beside this one; then it cuts nothing off.
            if next_s > stretch.from_s {
                stretch.to_s = stretch.to_s.min(next_s);
            }
            stretch.to_s = stretch.to_s.min(ended_s).max(stretch.from_s);
            next_s = stretch.from_s;
        }
        Self {
            stretches,
            kinds,
            seconds_each,
        }
    }

    /// The stretches, with an empty one where a phase ends or seconds are missing: no line connects
    /// what does not belong together.
    pub(crate) fn spans(&self) -> Vec<(f64, f64)> {
        self.with_gaps(|stretch| (stretch.from_s, stretch.to_s), |at| (at, at))
    }

    /// A value for each of the spans.
    pub(crate) fn values(&self, value: impl Fn(&Stretch) -> Option<f64>) -> Vec<Option<f64>> {
        self.with_gaps(value, |_| None)
    }

    fn with_gaps<T>(&self, value: impl Fn(&Stretch) -> T, gap: impl Fn(f64) -> T) -> Vec<T> {
        let mut all = Vec::with_capacity(self.stretches.len() + 8);
        for (index, stretch) in self.stretches.iter().enumerate() {
            if let Some(before) = index.checked_sub(1).map(|index| &self.stretches[index])
                && (before.phase != stretch.phase || before.to_s + 0.5 < stretch.from_s)
            {
                all.push(gap(stretch.from_s));
            }
            all.push(value(stretch));
        }
        all
    }
}

impl Stretch {
    /// The response time below which this share of successful requests lies, in seconds.
    pub(crate) fn quantile(&self, quantile: f64) -> Option<f64> {
        supported_quantile(&self.response, quantile)
    }
}

/// The latency below which this share lies, in seconds; `None` where there are too few to have one
/// above it, so that it would be a mere maximum.
pub(crate) fn supported_quantile(latencies: &Latencies, quantile: f64) -> Option<f64> {
    let above = latencies.count() as f64 * (1.0 - quantile);
    // The tolerance is for 1000 × (1 - 0.999), which is a hair below one.
    (above >= 1.0 - 1e-9)
        .then(|| latencies.quantile_ns(quantile))
        .flatten()
        .map(|ns| ns as f64 / 1e9)
}

/// How many seconds are joined so that a run of this many has at most that many stretches: the next larger
/// number that people count in.
pub(crate) fn seconds_of_stretch(seconds: usize, most: usize) -> usize {
    const TIDY: [usize; 10] = [1, 2, 5, 10, 15, 20, 30, 60, 120, 300];
    let least = seconds.div_ceil(most);
    TIDY.into_iter()
        .find(|seconds| *seconds >= least)
        .unwrap_or_else(|| least.next_multiple_of(600))
}

/// Intervals that follow each other second by second, cut into pieces of at most `most`.
pub(crate) fn stretches(
    intervals: &[PhaseInterval],
    most: usize,
) -> impl Iterator<Item = &[PhaseInterval]> {
    intervals
        .chunk_by(|a, b| b.from_ns == a.from_ns + INTERVAL_NS)
        .flat_map(move |run| run.chunks(most))
}

fn join(phase: usize, run: &[PhaseInterval], kinds: &[Kind]) -> Stretch {
    let first = run.first().map_or(0, |interval| interval.from_ns);
    let length = run.len().max(1) as f64;
    let mut stretch = Stretch {
        phase,
        from_s: first as f64 / 1e9,
        to_s: (first + run.len() as u64 * INTERVAL_NS) as f64 / 1e9,
        seconds: length,
        outcomes: Outcomes::default(),
        response: Latencies::default(),
        in_flight: 0.0,
        busiest: 0.0,
        send_lag: Latencies::default(),
        loop_delay: Latencies::default(),
        errors: vec![0; kinds.len() + 1],
    };
    for interval in run {
        for tally in [&interval.measured, &interval.warmup] {
            stretch.outcomes.merge(&tally.outcomes);
            stretch.response.merge(&tally.response);
        }
        stretch.in_flight += interval.counts.in_flight as f64 / length;
        stretch.busiest += interval.counts.busiest_ns as f64 / INTERVAL_NS as f64 / length;
        stretch.send_lag.merge(&interval.counts.send_lag);
        stretch.loop_delay.merge(&interval.counts.loop_delay);
        for error in interval.counts.errors.by_frequency() {
            let kind = Kind::of(error);
            let position = kinds.iter().position(|known| *known == kind);
            stretch.errors[position.unwrap_or(kinds.len())] += error.count;
        }
    }
    stretch
}

fn frequent_kinds(record: &RunRecord) -> Vec<Kind> {
    let mut counts: std::collections::BTreeMap<Kind, u64> = std::collections::BTreeMap::new();
    for error in record
        .phases
        .iter()
        .flat_map(|phase| phase.errors.by_frequency())
    {
        *counts.entry(Kind::of(error)).or_default() += error.count;
    }
    let mut kinds: Vec<(Kind, u64)> = counts.into_iter().collect();
    kinds.sort_by_key(|(kind, count)| (std::cmp::Reverse(*count), *kind));
    kinds.truncate(MOST_KINDS);
    kinds.into_iter().map(|(kind, _)| kind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn totals(timeline: &Timeline) -> (u64, u64, u64) {
        let sum = |value: fn(&Stretch) -> u64| timeline.stretches.iter().map(value).sum();
        (
            sum(|stretch| stretch.outcomes.total()),
            sum(|stretch| stretch.response.count()),
            sum(|stretch| stretch.errors.iter().sum()),
        )
    }

    fn of_phases(record: &RunRecord) -> (u64, u64, u64) {
        let mut sums = (0, 0, 0);
        for phase in &record.phases {
            for tally in [phase.total.clone(), phase.warmup.total()] {
                sums.0 += tally.outcomes.total();
                sums.1 += tally.response.count();
            }
            sums.2 += phase
                .errors
                .by_frequency()
                .iter()
                .map(|e| e.count)
                .sum::<u64>();
        }
        sums
    }

    #[test]
    fn nothing_is_lost_on_the_way_into_a_chart() {
        for (name, (record, _)) in sample::all() {
            if name != "hostile" {
                assert_eq!(totals(&Timeline::of(&record)), of_phases(&record), "{name}");
            }
        }
        let (record, _) = sample::soak(1300);
        let timeline = Timeline::of(&record);
        assert_eq!(timeline.seconds_each, 5);
        assert!(timeline.stretches.len() <= MOST_STRETCHES);
        assert_eq!(totals(&timeline), of_phases(&record));
    }

    #[test]
    fn stretches_follow_each_other_and_phases_are_apart() {
        let (record, _) = sample::prod();
        let timeline = Timeline::of(record);
        assert_eq!(timeline.seconds_each, 1);
        let stretches = &timeline.stretches;
        assert!(
            stretches
                .windows(2)
                .all(|pair| pair[0].to_s <= pair[1].from_s)
        );
        assert!(stretches.iter().all(|s| s.from_s <= s.to_s));
        let values = timeline.values(|stretch| Some(stretch.in_flight));
        assert_eq!(values.len(), stretches.len() + 1);
        assert_eq!(values.iter().filter(|value| value.is_none()).count(), 1);
        assert_eq!(timeline.spans().len(), values.len());
    }

    #[test]
    fn a_percentile_needs_a_request_above_it() {
        let mut latencies = Latencies::default();
        for _ in 0..99 {
            latencies.record(1_000_000);
        }
        assert_eq!(supported_quantile(&latencies, 0.99), None);
        assert!(supported_quantile(&latencies, 0.9).is_some());
        latencies.record(1_000_000);
        assert!(supported_quantile(&latencies, 0.99).is_some());
        assert_eq!(supported_quantile(&Latencies::default(), 0.5), None);
    }

    #[test]
    fn seconds_are_joined_in_tidy_numbers() {
        for (least, joined) in [(0, 1), (1, 1), (3, 5), (48, 60), (301, 600), (601, 1200)] {
            assert_eq!(seconds_of_stretch(least * 600, 600), joined);
        }
    }
}
