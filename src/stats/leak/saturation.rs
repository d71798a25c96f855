//! Whether growth levels off: caches that fill, pools that warm up, high-water marks.
//!
//! A line competes with curves that level off, each alone and with a line added, by Akaike's
//! criterion for small samples (Hurvich and Tsai 1989).

use super::slope::{Fit, Slope, changes, least_squares, line, steps};
use super::walk;

/// What the competition says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Saturation {
    /// A curve that levels off is clearly better than a line.
    pub(super) levels_off: bool,
    /// What remains of the slope once the curve is taken out, for the best curve. Its lower bound is
    /// the smallest over all curves that explain the data nearly as well, and `-inf` unless the data
    /// demands a line beside the curve.
    pub(super) terminal: Slope,
    /// The largest upper bound of the remaining slope over all curves that explain the data nearly as
    /// well, with what the curve itself still adds at the end.
    pub(super) terminal_upper: f64,
    /// Standard deviation and lag-1 correlation of what the best curve with a line leaves over.
    pub(super) noise: (f64, f64),
    /// Where a ramp that ends explains the data best: the share of the window at which it ends.
    pub(super) ends_at: Option<f64>,
    /// The largest bound of what may remain of the slope over the same curves, with what the curve itself still adds,
    /// if what is left over is a random walk; `None` where the best curve leaves none.
    pub(super) walk: Option<f64>,
}

impl Saturation {
    /// The same with slopes per second, for blocks of this length.
    pub(super) fn per_second(self, block_s: f64) -> Self {
        Self {
            terminal: self.terminal.per_second(block_s),
            terminal_upper: self.terminal_upper / block_s,
            walk: self.walk.map(|most| most / block_s),
            ..self
        }
    }
}

/// `AICc` must be better by this much for a curve to be believed instead of a line.
const CLEARLY: f64 = 6.0;
/// `AICc` must be better by this much for a line beside the curve to be believed.
const DEMANDED: f64 = 4.0;
/// Curves within this much of the best explain the data nearly as well.
const NEARLY: f64 = 6.0;

/// A curve and the fits with it.
struct Candidate {
    alone: f64,
    with_line: f64,
    terminal: Slope,
    noise: (f64, f64),
    /// What the curve itself adds per step at the end of the window, with the line beside it.
    still_adding: f64,
    ends_at: Option<f64>,
    /// Whether what the curve with a line leaves over may be a random walk.
    may_walk: bool,
    /// What may remain of the slope then, with what the curve itself adds at the end.
    walks_at_most: f64,
}

impl Candidate {
    fn best(&self) -> f64 {
        self.alone.min(self.with_line)
    }
}

/// Lets the models compete on the values of equally spaced blocks.
pub(super) fn saturation(z: &[f64], least_variance: f64, alpha: f64) -> Saturation {
    let n = z.len();
    let score = |fit: &Fit, parameters: f64| {
        let size = n as f64;
        let variance = (fit.residual_square() / size).max(least_variance);
        size * variance.ln()
            + 2.0 * parameters
            + 2.0 * parameters * (parameters + 1.0) / (size - parameters - 1.0).max(1.0)
    };
    let ones = vec![1.0; n];
    let straight = score(&line(z), 3.0);
    let candidates: Vec<Candidate> = curves(n)
        .map(|(curve, ends_at)| {
            let alone = least_squares(&[ones.clone(), curve.clone()], z);
            let both = least_squares(&[ones.clone(), curve.clone(), steps(n)], z);
            let last_step = curve[n - 1] - curve[n - 2];
            let changes = changes(&[curve, steps(n)], z);
            let adding = (changes.coefficients[0] * last_step).max(0.0);
            Candidate {
                alone: score(&alone, 4.0),
                with_line: score(&both, 5.0),
                terminal: both.last_with_bounds(alpha),
                noise: both.noise(),
                still_adding: both.coefficients[1] * last_step,
                ends_at,
                may_walk: both.is_a_walk(walk::BESIDE_A_CURVE),
                walks_at_most: changes.walks_at_most(1.0, walk::ALPHA) + adding,
            }
        })
        .collect();
    let best = candidates
        .iter()
        .min_by(|a, b| a.best().total_cmp(&b.best()))
        .expect("there are always curves");
    let near = || {
        let limit = best.best() + NEARLY;
        candidates
            .iter()
            .filter(move |candidate| candidate.best() < limit)
    };
    let terminal_upper = near()
        .map(|candidate| candidate.terminal.upper + candidate.still_adding.max(0.0))
        .fold(f64::NEG_INFINITY, f64::max);
    let lowest = near()
        .map(|candidate| candidate.terminal.lower)
        .fold(f64::INFINITY, f64::min);
    let demanded = best.with_line < best.alone - DEMANDED;
    let terminal = Slope {
        lower: if demanded { lowest } else { f64::NEG_INFINITY },
        ..best.terminal
    };
    Saturation {
        levels_off: straight - best.best() > CLEARLY,
        terminal,
        terminal_upper,
        noise: best.noise,
        ends_at: best.ends_at,
        walk: best.may_walk.then(|| {
            let bounds = near().map(|candidate| candidate.walks_at_most);
            bounds.fold(f64::NEG_INFINITY, f64::max)
        }),
    }
}

/// The shapes on `n` blocks: exponential approach, logarithm, and a ramp that ends.
fn curves(n: usize) -> impl Iterator<Item = (Vec<f64>, Option<f64>)> {
    let at = move |shape: &dyn Fn(f64) -> f64| -> Vec<f64> {
        (0..n).map(|i| shape((i as f64 + 0.5) / n as f64)).collect()
    };
    const STEPS: u32 = 60;
    let exponential = (0..STEPS).map(move |step| {
        let tau = 0.03 * (2.5_f64 / 0.03).powf(f64::from(step) / f64::from(STEPS - 1));
        (at(&|x| -(-x / tau).exp()), None)
    });
    let logarithm = [0.003, 0.01, 0.05, 0.2]
        .into_iter()
        .map(move |start| (at(&|x| (x / start).ln_1p()), None));
    let ramp = (4..=32).map(move |part| {
        let end = f64::from(part) / 40.0;
        (at(&|x| x.min(end)), Some(end))
    });
    exponential.chain(logarithm).chain(ramp)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wobble(i: u32) -> f64 {
        [0.3, -0.2, 0.1, -0.3, 0.2, -0.1, 0.0][(i * 5 % 7) as usize]
    }

    #[test]
    fn a_cache_that_fills_levels_off_and_a_leak_does_not() {
        let filling: Vec<f64> = (0..40_u32)
            .map(|i| 400.0 * ((f64::from(i) + 0.5) / 20.0).min(1.0) + wobble(i))
            .collect();
        let seen = saturation(&filling, 0.05, 0.05);
        assert!(seen.levels_off);
        assert_eq!(seen.ends_at, Some(0.5));
        assert!(seen.terminal_upper < 0.2, "{seen:?}");
        let leaking: Vec<f64> = (0..40_u32)
            .map(|i| 2.0 * f64::from(i) + wobble(i))
            .collect();
        assert!(!saturation(&leaking, 0.05, 0.05).levels_off);
    }

    #[test]
    fn a_leak_under_a_warm_up_remains() {
        let z: Vec<f64> = (0..40_u32)
            .map(|i| {
                let x = f64::from(i);
                300.0 * (1.0 - (-x / 5.0).exp()) + 2.0 * x + wobble(i)
            })
            .collect();
        let seen = saturation(&z, 0.05, 0.05);
        assert!(seen.levels_off);
        assert!((seen.terminal.value - 2.0).abs() < 0.1, "{seen:?}");
        assert!(seen.terminal.lower > 1.5, "{seen:?}");
    }
}
