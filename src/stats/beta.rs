//! The beta distribution: how likely a share lies below a value, and below which it lies how likely.
//!
//! Quantiles must end and be right for a sample of any size: a night of load has tens of millions of requests.
//! (Newton's iteration of AS 109, as libraries have it, goes round in circles there, and continued fractions
//! that are cut off after a fixed number of terms do not reach their value.)

use statrs::function::beta::ln_beta;

/// The regularised incomplete beta function `I_x(a, b)`, for `a, b > 0` and `x` from 0 to 1: the distribution
/// function of the beta distribution.
///
/// The continued fraction 8.17.22 of the Digital Library of Mathematical Functions, which converges within
/// about `√max(a, b)` terms where `x < (a + 1)/(a + b + 2)`, and its mirror image elsewhere.
fn beta_probability(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front = (a * x.ln() + b * (-x).ln_1p() - ln_beta(a, b)).exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        front * fraction(a, b, x) / a
    } else {
        1.0 - front * fraction(b, a, 1.0 - x) / b
    }
}

/// The value `x` with `I_x(a, b) = probability`, for `a, b > 0`.
///
/// Newton's steps from the mean, kept within a bracket that every step narrows: one that would leave it, or
/// that does not halve the step before the last, is replaced by halving the bracket.
pub(super) fn beta_quantile(a: f64, b: f64, probability: f64) -> f64 {
    /// Halving alone needs as many as a number has digits, and those before its first one.
    const MOST_STEPS: u32 = 1100;
    /// What rounding leaves to large samples, and far below what any sample says.
    const PRECISION: f64 = 1e-12;
    if probability <= 0.0 {
        return 0.0;
    }
    if probability >= 1.0 {
        return 1.0;
    }
    let ln_beta = ln_beta(a, b);
    let density = |x: f64| ((a - 1.0) * x.ln() + (b - 1.0) * (-x).ln_1p() - ln_beta).exp();
    let (mut low, mut high) = (0.0, 1.0);
    let mut x = a / (a + b);
    let (mut step, mut step_before): (f64, f64) = (1.0, 1.0);
    for _ in 0..MOST_STEPS {
        let excess = beta_probability(a, b, x) - probability;
        if excess < 0.0 {
            low = x;
        } else {
            high = x;
        }
        let density = density(x);
        let newton = excess / density;
        let halved = f64::midpoint(low, high);
        let goes_well = density.is_finite()
            && newton.is_finite()
            && (low..=high).contains(&(x - newton))
            && newton.abs() <= 0.5 * step_before.abs();
        let next = if goes_well { x - newton } else { halved };
        (step_before, step) = (step, next - x);
        x = next;
        if step.abs() <= PRECISION * x {
            break;
        }
    }
    x
}

/// The continued fraction of `I_x(a, b)`, by Lentz's method as modified by Thompson and Barnett (Journal of
/// Computational Physics 64, 1986).
fn fraction(a: f64, b: f64, x: f64) -> f64 {
    /// Enough for samples of 10¹⁰.
    const MOST_TERMS: u32 = 200_000;
    const PRECISION: f64 = 1e-15;
    /// Stands for a denominator of zero.
    const TINY: f64 = 1e-300;
    let apart = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut numerator = 1.0;
    let mut denominator = 1.0 / apart(1.0 - (a + b) * x / (a + 1.0));
    let mut value = denominator;
    for term in 1..MOST_TERMS {
        let m = f64::from(term);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut factor = 1.0;
        for part in [even, odd] {
            denominator = 1.0 / apart(1.0 + part * denominator);
            numerator = apart(1.0 + part / numerator);
            factor = denominator * numerator;
            value *= factor;
        }
        if (factor - 1.0).abs() < PRECISION {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::normal_quantile;
    use statrs::function::beta::{beta_reg, inv_beta_reg};

    #[test]
    fn small_samples_are_as_a_library_has_them() {
        for a in [0.5, 1.0, 2.0, 7.5, 40.0] {
            for b in [0.5, 1.0, 3.0, 21.0, 90.0] {
                for probability in [0.001, 0.05, 0.5, 0.95, 0.999] {
                    let (own, theirs) = (
                        beta_quantile(a, b, probability),
                        inv_beta_reg(a, b, probability),
                    );
                    assert!(
                        (own - theirs).abs() <= 1e-9 * theirs,
                        "{a} {b} {probability}: {own}, and {theirs}"
                    );
                    let (own, theirs) = (beta_probability(a, b, own), beta_reg(a, b, theirs));
                    assert!((own - theirs).abs() < 1e-9, "{a} {b}: {own}, and {theirs}");
                }
            }
        }
    }

    #[test]
    fn a_quantile_is_where_its_probability_is() {
        let shapes = [
            (1.0, 299.0),
            (1.0, 3e7),
            (2.5, 1e9),
            (288_000.0, 28_512_000.0),
            (1e7, 3.0),
            (5e6, 5e6),
            (0.3, 200.0),
        ];
        for (a, b) in shapes {
            for probability in [1e-6, 0.05, 0.5, 0.95, 1.0 - 1e-6] {
                let x = beta_quantile(a, b, probability);
                let found = beta_probability(a, b, x);
                assert!(
                    (found - probability).abs() < 1e-7,
                    "{a} {b} {probability}: {x} has {found}"
                );
            }
        }
    }

    #[test]
    fn large_samples_are_nearly_normal() {
        let (count, total) = (288_000.0_f64, 28_800_000.0_f64);
        let share = count / total;
        let deviation = (share * (1.0 - share) / total).sqrt();
        let expected = share + normal_quantile(0.95) * deviation;
        let found = beta_quantile(count + 1.0, total - count, 0.95);
        assert!(
            ((found - expected) / deviation).abs() < 0.01,
            "{found}, and {expected}"
        );
        // One request in a night: the exact bound is ln(20)-like, whatever the size.
        let bound = beta_quantile(1.0, 28_800_000.0, 0.95) * 28_800_000.0;
        assert!((bound - 20.0_f64.ln()).abs() < 1e-5, "{bound}");
    }
}
