//! Does something grow without end? Memory that leaks, descriptors that are never closed, latencies
//! that creep.
//!
//! A test for "is the slope zero" raises a false alarm in up to half of all healthy runs, because
//! memory warms up, fills caches and draws teeth. The rule here asks instead whether growth stays
//! below a declared budget. It looks at the lower envelope, demands that two intervals agree (Theil
//! and Sen with Hamed and Rao's variance; least squares with autocorrelated residuals), over the whole
//! window and over its last half, and lets curves that level off compete with a line. What may be a random
//! walk is acquitted only where a walk's wider bound allows it. It answers with one of three values. Error
//! rates by shape are in `docs/statistics.md`, and `benches/verdict` measures them.

mod envelope;
mod onset;
mod saturation;
mod slope;
mod walk;

pub use envelope::{BLOCKS, Envelope, Reduction};

use saturation::{Saturation, saturation};
use slope::{Slope, least_squares, line, theil_sen};

/// What is asked of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// The growth that is allowed, in units per second.
    pub per_second: f64,
    /// The step in which the quantity changes, for example the segments of an allocator; 0 if it has
    /// none.
    pub quantum: f64,
    /// The variance below which differences mean nothing, in units squared.
    pub least_variance: f64,
    /// How much more there is until something breaks, if that is known.
    pub headroom: Option<f64>,
    /// The error probability of each one-sided bound.
    pub alpha: f64,
}

/// What a series says about its growth. Rates are in units per second.
#[derive(Clone, Debug, PartialEq)]
pub struct Growth {
    /// The answer.
    pub finding: Finding,
    /// What the answer rests on.
    pub basis: Basis,
    /// The growth over the part of the window that the answer rests on.
    pub rate: f64,
    /// The lower of the two one-sided lower bounds of that; `-inf` where the data bounds it not at all.
    pub lower: f64,
    /// The higher of the two one-sided upper bounds of that.
    pub upper: f64,
    /// The growth over the whole window.
    pub overall: f64,
    /// The growth over its last half.
    pub recent: f64,
    /// Whether a curve that levels off explains the series better than a line.
    pub levels_off: bool,
    /// The smallest growth that this window would have shown four times out of five.
    pub smallest_detectable: f64,
    /// When growth began, in seconds from the begin of the window; `None` where it shows no beginning.
    pub onset_s: Option<f64>,
}

/// The part of a window that an answer rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// All of it.
    Whole,
    /// Its last half: before that, it was levelling off.
    LastHalf,
    /// What a curve that levels off leaves over.
    Curve,
    /// What follows the end of a ramp.
    Tail,
}

/// The answer to whether growth stays below its budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Finding {
    /// It does.
    Bounded,
    /// It does not.
    Growing,
    /// Neither can be said.
    Unclear(Unclear),
}

/// Why neither can be said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unclear {
    /// The window is too short for any answer; so many seconds are needed.
    Short(f64),
    /// In so short a window the budget is no more than a few steps of the quantity; so many seconds
    /// are needed.
    Coarse(f64),
    /// The series swings in cycles that are longer than its blocks; about so many seconds are needed.
    Cycles(f64),
    /// It grows and is levelling off.
    LevellingOff,
    /// It wanders like a random walk, in which three times the budget could hide; about so many seconds are needed.
    Wanders(f64),
    /// The growth is too near the budget, or the noise too large; so many seconds are needed.
    Close(f64),
}

/// The shortest window with an answer: below, a cycle longer than the window looks like growth in up to
/// a third of healthy runs.
pub const SHORTEST_S: f64 = 45.0 * 60.0;
/// Even a shorter window says FAIL when what is left would be used up this soon.
const EXHAUSTION_S: f64 = 3600.0;

/// A staircase with fewer steps than this is no trend.
const FEWEST_RISES: usize = 6;

/// By how much `values` grow for each unit of `work` done meanwhile, by least squares. Leaks scale
/// with work, drift of an idle process with time.
pub fn growth_by(values: &[f64], work: &[f64]) -> f64 {
    let fit = least_squares(&[vec![1.0; values.len()], work.to_vec()], values);
    fit.coefficients[1]
}

/// Judges the growth of an envelope.
pub fn growth(envelope: &Envelope, budget: &Budget) -> Growth {
    let z = &envelope.values;
    let half = &z[z.len() / 2..];
    let alpha = budget.alpha;
    let per_second = |slope: Slope| slope.per_second(envelope.block_s);
    let fit = line(z);
    let squares = match envelope.reduction {
        Reduction::Cycle { period_s } => {
            fit.last_with_size(alpha, envelope.window_s / period_s + 1.0)
        }
        _ => fit.last_with_bounds(alpha),
    };
    let mean_over = match envelope.reduction {
        Reduction::Cycle { period_s } => period_s / envelope.block_s,
        _ => 1.0,
    };
    let walk = |z: &[f64]| walk::at_most(z, mean_over).map(|most| most / envelope.block_s);
    let levelling = saturation(z, budget.least_variance, alpha).per_second(envelope.block_s);
    let evidence = Evidence {
        window_s: envelope.window_s,
        robust: per_second(theil_sen(z, alpha)),
        squares: per_second(squares),
        structured: fit.is_structured(budget.least_variance),
        robust_half: per_second(theil_sen(half, alpha)),
        squares_half: per_second(line(half).last_with_bounds(alpha)),
        structured_half: line(half).is_structured(budget.least_variance),
        walk: walk(z),
        walk_half: walk(half),
        rises: z.windows(2).filter(|pair| pair[1] > pair[0]).count(),
        tail: tail(envelope, levelling.ends_at, budget),
        saturation: levelling,
        cyclic: matches!(envelope.reduction, Reduction::Cycle { .. }),
    };
    let (finding, basis) = evidence.decide(budget);
    let deciding = evidence.slope(basis);
    Growth {
        finding,
        basis,
        rate: deciding.value,
        lower: deciding.lower,
        upper: deciding.upper,
        overall: evidence.robust.value,
        recent: evidence.robust_half.value,
        levels_off: evidence.saturation.levels_off,
        smallest_detectable: smallest_detectable(
            if evidence.saturation.levels_off {
                evidence.saturation.noise
            } else {
                fit.noise()
            },
            envelope,
        ),
        onset_s: onset::onset(z, budget.least_variance).map(|block| block * envelope.block_s),
    }
}

/// What follows the end of a ramp.
#[derive(Clone, Copy, Debug)]
struct Tail {
    length_s: f64,
    /// Its slope per second, with the wider of its two intervals.
    slope: Slope,
    /// What it may be if the tail is a random walk; `None` where it is none.
    walk: Option<f64>,
    rises: usize,
}

/// The tail behind the end of a ramp, where one explains the window best and enough follows it.
fn tail(envelope: &Envelope, ends_at: Option<f64>, budget: &Budget) -> Option<Tail> {
    const FEWEST: usize = 10;
    let z = &envelope.values;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of the blocks"
    )]
    let from = ((ends_at? + 0.05) * z.len() as f64).ceil() as usize;
    let tail = z.get(from..).filter(|tail| tail.len() >= FEWEST)?;
    let fit = line(tail);
    if fit.is_structured(budget.least_variance) {
        return None;
    }
    let (robust, squares) = (
        theil_sen(tail, budget.alpha),
        fit.last_with_bounds(budget.alpha),
    );
    Some(Tail {
        length_s: tail.len() as f64 * envelope.block_s,
        slope: Slope {
            value: robust.value,
            lower: robust.lower.min(squares.lower),
            upper: robust.upper.max(squares.upper),
        }
        .per_second(envelope.block_s),
        walk: walk::at_most(tail, 1.0).map(|most| most / envelope.block_s),
        rises: tail.windows(2).filter(|pair| pair[1] > pair[0]).count(),
    })
}

/// The slope found four times out of five at 5 %: `2.49 σ √(12 τ / T) / T`, with `σ` and the integrated
/// correlation time `τ = (1+φ)/(1−φ)` of what the line, or the better curve, leaves over, both in blocks.
fn smallest_detectable((sigma, phi): (f64, f64), envelope: &Envelope) -> f64 {
    let n = envelope.values.len() as f64;
    let tau = (1.0 + phi) / (1.0 - phi);
    2.49 * sigma * (12.0 * tau / n).sqrt() / n / envelope.block_s
}

/// What the rule decides by; slopes are in units per second.
struct Evidence {
    window_s: f64,
    robust: Slope,
    squares: Slope,
    structured: bool,
    robust_half: Slope,
    squares_half: Slope,
    structured_half: bool,
    /// What the growth may be, over the whole window and over its last half, if that is a random walk; `None` where
    /// it is none.
    walk: Option<f64>,
    walk_half: Option<f64>,
    /// How often a block lies above the one before.
    rises: usize,
    saturation: Saturation,
    tail: Option<Tail>,
    cyclic: bool,
}

impl Evidence {
    fn decide(&self, budget: &Budget) -> (Finding, Basis) {
        let (fails, passes) = (self.fails(budget), self.passes(budget));
        if self.window_s < SHORTEST_S {
            let exhausts = budget
                .headroom
                .is_some_and(|headroom| headroom < self.robust.lower * EXHAUSTION_S);
            return match fails {
                Some(basis) if exhausts => (Finding::Growing, basis),
                _ => (Finding::Unclear(Unclear::Short(SHORTEST_S)), Basis::Whole),
            };
        }
        match (fails, passes) {
            (Some(basis), _) => (Finding::Growing, basis),
            (None, Some(basis)) => match self.hides_in_a_walk(basis, budget) {
                Some(needed_s) => (Finding::Unclear(Unclear::Wanders(needed_s)), Basis::Whole),
                None => (Finding::Bounded, basis),
            },
            (None, None) => (Finding::Unclear(self.why(budget)), Basis::Whole),
        }
    }

    /// The slope of a part, with the wider of its two intervals.
    fn slope(&self, basis: Basis) -> Slope {
        let wider = |robust: Slope, squares: Slope| Slope {
            value: robust.value,
            lower: robust.lower.min(squares.lower),
            upper: robust.upper.max(squares.upper),
        };
        match (basis, self.tail) {
            (Basis::LastHalf, _) => wider(self.robust_half, self.squares_half),
            (Basis::Curve, _) => Slope {
                upper: self.saturation.terminal_upper,
                ..self.saturation.terminal
            },
            (Basis::Tail, Some(tail)) => tail.slope,
            (Basis::Tail | Basis::Whole, _) => wider(self.robust, self.squares),
        }
    }

    /// What shows that growth is beyond the budget, if anything does.
    fn fails(&self, budget: &Budget) -> Option<Basis> {
        let limit = budget.per_second;
        let resolved = 3.0 * budget.quantum;
        // A leak rises again and again; a high-water mark that was set a few times does not.
        if self.rises < FEWEST_RISES {
            return None;
        }
        let recent = self.robust_half.value > limit;
        let straight = !self.saturation.levels_off
            && self.robust.lower > limit
            && recent
            && (self.squares.lower > limit
                || (self.squares_half.lower > limit && self.robust_half.lower > limit))
            && !(self.structured && self.structured_half)
            && self.robust.value * self.window_s > resolved;
        if straight {
            return Some(Basis::Whole);
        }
        // What fell before it rose, or rose and fell, has not grown.
        let grown = self.saturation.levels_off && self.robust.value > limit;
        let beside_a_curve = grown
            && self.saturation.terminal.lower > limit
            && recent
            && self.robust_half.lower > 0.0
            && self.robust_half.value * self.window_s / 2.0 > resolved;
        if beside_a_curve {
            return Some(Basis::Curve);
        }
        // Beyond the rule of the research: a leak that goes on after a ramp has ended.
        let behind_a_ramp = grown
            && self.tail.is_some_and(|tail| {
                tail.rises >= FEWEST_RISES / 2
                    && tail.slope.lower > limit
                    && tail.slope.lower * tail.length_s > resolved
            });
        behind_a_ramp.then_some(Basis::Tail)
    }

    /// What shows that growth is below the budget, if anything does.
    fn passes(&self, budget: &Budget) -> Option<Basis> {
        let limit = budget.per_second;
        let resolved = 3.0 * budget.quantum;
        if limit * self.window_s < resolved {
            return None;
        }
        let flat = self.robust.upper < limit && self.squares.upper < limit;
        if self.cyclic {
            // The mean over whole cycles is smooth: it has no teeth, and its runs say nothing.
            return flat.then_some(Basis::Whole);
        }
        if !self.saturation.levels_off {
            return (flat && !self.structured).then_some(Basis::Whole);
        }
        let half_is_flat = self.robust_half.upper < limit && self.squares_half.upper < limit;
        let enough_left = limit * self.window_s / 2.0 >= resolved;
        let still = enough_left && self.robust_half.value <= limit / 4.0;
        if half_is_flat && (!self.structured_half || still) {
            return Some(Basis::LastHalf);
        }
        // Beyond the rule of the research: the curve's own forecast, and what follows the end of a ramp.
        if enough_left && self.saturation.terminal_upper < limit {
            return Some(Basis::Curve);
        }
        let filled = self
            .tail
            .is_some_and(|tail| limit * tail.length_s >= resolved && tail.slope.upper < limit);
        filled.then_some(Basis::Tail)
    }

    /// About how long it takes to show that growth stays below three times the budget, where that is not certain
    /// because what a PASS would rest on may be a random walk.
    fn hides_in_a_walk(&self, basis: Basis, budget: &Budget) -> Option<f64> {
        let most = match basis {
            Basis::Whole => self.walk,
            Basis::LastHalf => self.walk_half,
            Basis::Curve => self.saturation.walk,
            Basis::Tail => self.tail.and_then(|tail| tail.walk),
        }?;
        let limit = walk::BUDGETS * budget.per_second;
        // The bounds of a walk narrow as T^{-1/2}, around a growth that is within the budget.
        let reach = most - budget.per_second;
        let needed = (reach / (limit - budget.per_second)).powi(2);
        (most >= limit).then_some(self.window_s * needed.max(1.1))
    }

    fn why(&self, budget: &Budget) -> Unclear {
        let needed_s = 3.0 * budget.quantum / budget.per_second;
        if needed_s > self.window_s {
            return Unclear::Coarse(needed_s);
        }
        if self.saturation.levels_off {
            return Unclear::LevellingOff;
        }
        if self.structured {
            // Ten of the longest cycles that this window can have hidden.
            return Unclear::Cycles(10.0 * self.window_s / 3.0);
        }
        // The bounds narrow as T^{-3/2}.
        let reach = (self.squares.upper - self.squares.lower)
            .max(self.robust.upper - self.robust.lower)
            / 2.0;
        let distance = (self.robust.value - budget.per_second)
            .abs()
            .max(budget.per_second / 100.0);
        Unclear::Close(self.window_s * (reach / distance).powf(2.0 / 3.0).max(1.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt as _, SeedableRng as _};
    use rand_pcg::Pcg64Mcg;

    const HOUR: f64 = 3600.0;

    /// A budget of 10 units per hour.
    fn budget(quantum: f64) -> Budget {
        Budget {
            per_second: 10.0 / HOUR,
            quantum,
            least_variance: f64::max(0.05, quantum * quantum / 12.0),
            headroom: None,
            alpha: 0.05,
        }
    }

    /// The answer on 48 minutes of samples: an hour without its first fifth.
    fn judged(value: impl Fn(f64) -> f64, quantum: f64, seed: u64) -> Growth {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let samples: Vec<f64> = (720..3600)
            .map(|second| value(f64::from(second)) + 2.0 * (rng.random::<f64>() - 0.5))
            .map(|value| {
                if quantum > 0.0 {
                    (value / quantum).ceil() * quantum
                } else {
                    value
                }
            })
            .collect();
        growth(&Envelope::of(&samples, 1.0).unwrap(), &budget(quantum))
    }

    #[test]
    fn healthy_shapes_are_acquitted_and_the_same_with_a_leak_are_not() {
        type Shape = (&'static str, fn(f64) -> f64);
        let shapes: [Shape; 6] = [
            ("flat", |_| 500.0),
            ("teeth of a minute", |t| 500.0 + 200.0 * (t / 60.0).fract()),
            ("teeth of ten minutes", |t| {
                500.0 + 300.0 * (t / 600.0).fract()
            }),
            ("warm-up of ten minutes", |t| {
                300.0 * (1.0 - (-t / 600.0).exp())
            }),
            ("waves of 15 minutes", |t| {
                30.0 * (t / 900.0 * std::f64::consts::TAU).sin()
            }),
            ("a cache full after half an hour", |t| {
                400.0 * (t / 1800.0).min(1.0)
            }),
        ];
        for (name, shape) in shapes {
            for seed in 0..3 {
                let healthy = judged(shape, 0.0, seed);
                assert_eq!(healthy.finding, Finding::Bounded, "{name}: {healthy:?}");
                assert!(healthy.upper < 10.0 / HOUR, "{name}: {healthy:?}");
                let leaking = judged(|t| shape(t) + 30.0 * t / HOUR, 0.0, seed);
                assert_eq!(leaking.finding, Finding::Growing, "{name}: {leaking:?}");
                assert!(leaking.lower > 10.0 / HOUR, "{name}: {leaking:?}");
            }
        }
    }

    /// Memory of a thousand seconds, which is a random walk within an hour. It wanders down in part of the runs, and
    /// then seems to level off: without the bound of a walk five of these are acquitted.
    #[test]
    fn a_leak_does_not_hide_in_a_walk() {
        let mut wandering = 0;
        for seed in 0..80 {
            let mut rng = Pcg64Mcg::seed_from_u64(seed);
            let mut state = 0.0;
            let samples: Vec<f64> = (0..2880)
                .map(|second| {
                    let normal = (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
                    state = 0.999 * state + 0.447 * normal;
                    500.0 + state + 30.0 * f64::from(second) / HOUR
                })
                .collect();
            let judged = growth(&Envelope::of(&samples, 1.0).unwrap(), &budget(0.0));
            assert_ne!(judged.finding, Finding::Bounded, "{seed}: {judged:?}");
            if let Finding::Unclear(Unclear::Wanders(needed)) = judged.finding {
                assert!(needed > 1.05 * 2880.0, "{needed}");
                wandering += 1;
            }
        }
        assert!(wandering >= 3, "{wandering}");
    }

    #[test]
    fn the_rate_and_its_beginning_are_found() {
        let late = judged(|t| 500.0 + 120.0 / HOUR * (t - 1800.0).max(0.0), 0.0, 1);
        let onset = late.onset_s.unwrap();
        // The window begins after 720 s.
        assert!((onset - 1080.0).abs() < 150.0, "{onset}");
        assert!((late.recent * HOUR - 120.0).abs() < 5.0, "{late:?}");
        let steady = judged(|t| 500.0 + 120.0 / HOUR * t, 0.0, 1);
        assert!((steady.rate * HOUR - 120.0).abs() < 1.0, "{steady:?}");
        assert_eq!(steady.onset_s, None);
        assert!(steady.smallest_detectable * HOUR < 1.0, "{steady:?}");
    }

    #[test]
    fn coarse_steps_need_more_time_than_fine_ones() {
        let coarse = judged(|_| 500.0, 20.0, 1);
        let Finding::Unclear(Unclear::Coarse(needed)) = coarse.finding else {
            panic!("{coarse:?}");
        };
        assert!((needed - 6.0 * HOUR).abs() < 1.0);
        assert_eq!(judged(|_| 500.0, 2.0, 1).finding, Finding::Bounded);
    }

    #[test]
    fn a_mark_that_was_set_twice_is_no_trend() {
        let set_twice = judged(
            |t| {
                if t < 1500.0 {
                    0.0
                } else if t < 2800.0 {
                    40.0
                } else {
                    80.0
                }
            },
            2.0,
            1,
        );
        assert_ne!(set_twice.finding, Finding::Growing, "{set_twice:?}");
    }

    #[test]
    fn ten_minutes_decide_nothing_but_imminent_exhaustion() {
        let samples = |per_second: f64| -> Vec<f64> {
            (0..480)
                .map(|t| 500.0 + per_second * f64::from(t) + f64::from(t % 3))
                .collect()
        };
        let judged = |per_second: f64, headroom: Option<f64>| {
            let budget = Budget {
                headroom,
                ..budget(0.0)
            };
            growth(&Envelope::of(&samples(per_second), 1.0).unwrap(), &budget).finding
        };
        let short = Finding::Unclear(Unclear::Short(SHORTEST_S));
        assert_eq!(judged(0.0, None), short);
        assert_eq!(judged(1.0, None), short);
        assert_eq!(judged(1.0, Some(10_000.0)), short);
        assert_eq!(judged(1.0, Some(3000.0)), Finding::Growing);
    }

    #[test]
    fn growth_is_told_by_work_too() {
        let work: Vec<f64> = (0..40).map(|block| f64::from(block * block)).collect();
        let values: Vec<f64> = work.iter().map(|work| 7.0 + work / 1000.0).collect();
        assert!((growth_by(&values, &work) - 0.001).abs() < 1e-9);
    }
}
