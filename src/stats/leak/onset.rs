//! When growth began: flat, then a ramp.

use super::slope::{least_squares, line};

/// The block, counted from 0 and in fractions, at which a flat series begins to rise; `None` when it
/// rises from the start, or not at all.
///
/// Least squares of `c + b·max(0, x − k)` over all `k`, against a straight line by the sum of squares:
/// the ramp must explain what the line leaves ten times over the chance of one more parameter.
pub(super) fn onset(z: &[f64], least_variance: f64) -> Option<f64> {
    let n = z.len();
    let variance = |square: f64| (square / n as f64).max(least_variance);
    let straight = variance(line(z).residual_square());
    let (kink, fit) = (2..n - 4)
        .map(|kink| {
            let ramp = (0..n).map(|i| (i as f64 - kink as f64).max(0.0)).collect();
            (kink, least_squares(&[vec![1.0; n], ramp], z))
        })
        .min_by(|(_, a), (_, b)| a.residual_square().total_cmp(&b.residual_square()))?;
    let rises = fit.coefficients[1] > 0.0;
    let better = n as f64 * (straight / variance(fit.residual_square())).ln();
    (rises && better > 10.0).then_some(kink as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_kink_and_no_other() {
        let wobble = |i: i32| f64::from(i * 7 % 5) / 10.0;
        let late: Vec<f64> = (0..40)
            .map(|i| 100.0 + 3.0 * f64::from((i - 25).max(0)) + wobble(i))
            .collect();
        let found = onset(&late, 0.05).unwrap();
        assert!((found - 25.0).abs() <= 1.0, "{found}");
        let steady: Vec<f64> = (0..40).map(|i| 3.0 * f64::from(i) + wobble(i)).collect();
        assert_eq!(onset(&steady, 0.05), None);
        let flat: Vec<f64> = (0..40).map(wobble).collect();
        assert_eq!(onset(&flat, 0.05), None);
    }
}
