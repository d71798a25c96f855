//! When the requests of an open loop are intended to start.
//!
//! The schedule is one for the whole phase, whatever the number of workers: each worker walks through
//! it and takes every n-th arrival. So a seed means the same load on any machine.

use super::{Profile, Trace};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};

/// When requests are intended to start.
#[derive(Clone, Debug, PartialEq)]
pub enum Arrivals {
    /// At a rate per second, which may change.
    Rate {
        /// The rate over the time since the start of the phase.
        rate: Profile,
        /// How the requests are spaced at this rate.
        process: ArrivalProcess,
    },
    /// At recorded times.
    Trace(Trace),
}

/// How requests are spaced at a given rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArrivalProcess {
    /// Evenly: the k-th request when the rate's integral reaches k.
    #[default]
    Constant,
    /// Like independent users: a Poisson process of this rate. The unit-rate process is mapped through
    /// the inverse of the rate's integral (time change; Çınlar 1975, §4.7), which is exact for ramps.
    Poisson,
}

impl ArrivalProcess {
    /// The word in scenarios and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Poisson => "poisson",
        }
    }
}

/// One request of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its number within the phase, from 0.
    pub number: u64,
    /// When it is intended to start, in nanoseconds since the start of the phase.
    pub offset_ns: u64,
}

impl Arrivals {
    /// The rate over time, for reports: exact, or the mean of stretches of a trace.
    pub fn rate(&self) -> Profile {
        match self {
            Self::Rate { rate, .. } => rate.clone(),
            Self::Trace(trace) => trace.rate(),
        }
    }

    /// All arrivals in order, from the same seed the same.
    pub fn stream(&self, seed: u64) -> impl Iterator<Item = Arrival> + use<> {
        let arrivals = self.clone();
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        // Of the unit-rate process: where the next arrival lies.
        let mut position = 0.0;
        (0u64..).map_while(move |number| {
            let offset_ns = match &arrivals {
                Self::Trace(trace) => trace.offset_ns(usize::try_from(number).ok()?)?,
                Self::Rate {
                    rate,
                    process: ArrivalProcess::Constant,
                } => rate.when_area(number as f64)?,
                Self::Rate {
                    rate,
                    process: ArrivalProcess::Poisson,
                } => {
                    // 1 - u lies in (0, 1], so that the logarithm is finite.
                    position -= (1.0 - random.random::<f64>()).ln();
                    rate.when_area(position)?
                }
            };
            Some(Arrival { number, offset_ns })
        })
    }
}

/// What one worker has to send of a schedule.
pub struct Share {
    arrivals: Box<dyn Iterator<Item = Arrival>>,
    worker: u64,
    workers: u64,
    warmup_ns: u64,
    /// Measured arrivals that are left, over all workers.
    left: u64,
}

impl Share {
    /// Every `workers`-th arrival, until `count` have been intended to start after the warm-up.
    pub fn new(
        arrivals: &Arrivals,
        seed: u64,
        (worker, workers): (u64, u64),
        warmup_ns: u64,
        count: u64,
    ) -> Self {
        Self {
            arrivals: Box::new(arrivals.stream(seed)),
            worker,
            workers,
            warmup_ns,
            left: count,
        }
    }
}

impl Iterator for Share {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        loop {
            let arrival = self.arrivals.next()?;
            if arrival.offset_ns >= self.warmup_ns {
                self.left = self.left.checked_sub(1)?;
            }
            if arrival.number % self.workers == self.worker {
                return Some(arrival);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Stage;
    use super::*;
    use proptest::prelude::*;

    const S: u64 = 1_000_000_000;

    fn at(rate: Profile, process: ArrivalProcess) -> Arrivals {
        Arrivals::Rate { rate, process }
    }

    fn offsets(arrivals: &Arrivals, seed: u64, seconds: u64) -> Vec<u64> {
        arrivals
            .stream(seed)
            .map(|arrival| arrival.offset_ns)
            .take_while(|&offset| offset < seconds * S)
            .collect()
    }

    /// Variance over mean of the counts in windows: 0 for even spacing, 1 for Poisson.
    fn dispersion(offsets: &[u64], window_ns: u64, seconds: u64) -> f64 {
        let windows = usize::try_from(seconds * S / window_ns).unwrap();
        let mut counts = vec![0u32; windows];
        for offset in offsets {
            counts[usize::try_from(offset / window_ns).unwrap()] += 1;
        }
        let mean = offsets.len() as f64 / windows as f64;
        let square = |&count: &u32| (f64::from(count) - mean).powi(2);
        counts.iter().map(square).sum::<f64>() / windows as f64 / mean
    }

    #[test]
    fn a_constant_rate_is_arithmetic_and_does_not_drift() {
        let arrivals = at(Profile::constant(3.0), ArrivalProcess::Constant);
        let offsets: Vec<u64> = arrivals.stream(1).take(7).map(|a| a.offset_ns).collect();
        assert_eq!(offsets[..4], [0, 333_333_333, 666_666_667, S]);
        assert_eq!(offsets[6], 2 * S);
        let far = at(Profile::constant(10_000.0), ArrivalProcess::Constant);
        let last = far.stream(1).nth(3_600_000).unwrap();
        assert_eq!(last.offset_ns, 360 * S);
    }

    #[test]
    fn the_dispersion_of_even_arrivals_is_zero_and_of_poisson_one() {
        let even = at(Profile::constant(10_000.0), ArrivalProcess::Constant);
        assert!(dispersion(&offsets(&even, 1, 10), 1_000_000, 10) < 0.001);
        let poisson = at(Profile::constant(10_000.0), ArrivalProcess::Poisson);
        for seed in 1..=5 {
            let offsets = offsets(&poisson, seed, 20);
            // 20 000 windows: the index has a standard error of sqrt(2 / n) = 0.01.
            let index = dispersion(&offsets, 1_000_000, 20);
            assert!((index - 1.0).abs() < 0.04, "seed {seed}: {index}");
            let count = offsets.len() as f64;
            assert!(
                (count - 200_000.0).abs() < 4.0 * 200_000f64.sqrt(),
                "{count}"
            );
        }
    }

    #[test]
    fn a_poisson_ramp_has_the_area_of_its_ramp_in_every_part() {
        let stage = |to, seconds| Stage {
            to,
            over_ns: seconds * S,
        };
        let rate = Profile::new(vec![stage(1000.0, 50), stage(1000.0, 50)]);
        let offsets = offsets(&at(rate.clone(), ArrivalProcess::Poisson), 3, 100);
        for from in (0..100).step_by(10) {
            let expected = rate.area((from + 10) * S) - rate.area(from * S);
            let inside = |&&offset: &&u64| (from * S..(from + 10) * S).contains(&offset);
            let seen = offsets.iter().filter(inside).count() as f64;
            assert!(
                (seen - expected).abs() < 4.0 * expected.sqrt(),
                "{from}: {seen}, {expected}"
            );
        }
    }

    #[test]
    fn a_ramp_ends_where_its_rate_does() {
        let rate = Profile::new(vec![
            Stage {
                to: 10.0,
                over_ns: 0,
            },
            Stage {
                to: 0.0,
                over_ns: 2 * S,
            },
        ]);
        let arrivals: Vec<Arrival> = at(rate, ArrivalProcess::Constant).stream(1).collect();
        // The area is 10: arrivals 0 to 10, the last one at its very end.
        assert_eq!(arrivals.len(), 11);
        assert_eq!(arrivals[10].offset_ns, 2 * S);
    }

    proptest! {
        #[test]
        fn all_shares_together_are_the_schedule(
            workers in 1u64..9,
            seed in 0u64..100,
            poisson: bool,
            count in 1u64..200,
        ) {
            let process = if poisson { ArrivalProcess::Poisson } else { ArrivalProcess::Constant };
            let arrivals = at(Profile::constant(50.0), process);
            let warmup = 2 * S;
            let whole: Vec<Arrival> = Share::new(&arrivals, seed, (0, 1), warmup, count).collect();
            let measured = whole.iter().filter(|arrival| arrival.offset_ns >= warmup).count();
            prop_assert_eq!(measured as u64, count);
            let mut parts: Vec<Arrival> = (0..workers)
                .flat_map(|worker| Share::new(&arrivals, seed, (worker, workers), warmup, count))
                .collect();
            parts.sort_by_key(|arrival| arrival.number);
            prop_assert_eq!(parts, whole);
        }
    }
}
