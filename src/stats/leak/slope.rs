//! How steep a short, autocorrelated series is: two intervals that fail in different ways.

use crate::stats::correlation::{normal_quantile, student_quantile_real};

/// A slope with its one-sided bounds, per step of the series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Slope {
    pub(super) value: f64,
    pub(super) lower: f64,
    pub(super) upper: f64,
}

impl Slope {
    /// The same slope per second, for steps of this length.
    pub(super) fn per_second(self, step_s: f64) -> Self {
        Self {
            value: self.value / step_s,
            lower: self.lower / step_s,
            upper: self.upper / step_s,
        }
    }
}

/// The median of all pairwise slopes (Theil 1950), with Sen's bounds (Sen 1968) from the variance of
/// Mann and Kendall's S, ties included, inflated for autocorrelated ranks (Hamed and Rao 1998).
pub(super) fn theil_sen(z: &[f64], alpha: f64) -> Slope {
    let n = z.len();
    let mut slopes: Vec<f64> = (0..n)
        .flat_map(|i| (i + 1..n).map(move |j| (z[j] - z[i]) / (j - i) as f64))
        .collect();
    slopes.sort_by(f64::total_cmp);
    let pairs = slopes.len() as f64;
    let value = median_of_sorted(&slopes);
    let size = n as f64;
    let ties: f64 = tie_groups(z).map(|c| c * (c - 1.0) * (2.0 * c + 5.0)).sum();
    let variance = ((size * (size - 1.0) * (2.0 * size + 5.0) - ties) / 18.0).max(0.0);
    let reach = normal_quantile(1.0 - alpha) * (variance * hamed_rao(z, value)).sqrt();
    let at = |position: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to the positions of the list"
        )]
        let index = position.clamp(0.0, pairs - 1.0) as usize;
        slopes[index]
    };
    Slope {
        value,
        lower: at(((pairs - reach) / 2.0).floor()),
        upper: at(f64::midpoint(pairs, reach).ceil()),
    }
}

/// By how much autocorrelation inflates the variance of S; at least 1. Ranks of the detrended series,
/// significant lags only.
fn hamed_rao(z: &[f64], slope: f64) -> f64 {
    let n = z.len();
    let size = n as f64;
    let detrended: Vec<f64> = z
        .iter()
        .enumerate()
        .map(|(i, value)| value - slope * i as f64)
        .collect();
    let ranks = ranks(&detrended);
    let limit = 1.96 / size.sqrt();
    let sum: f64 = (1..n.saturating_sub(2))
        .map(|lag| (lag, autocorrelation(&ranks, lag)))
        .filter(|(_, rho)| rho.abs() > limit)
        .map(|(lag, rho)| {
            let left = (n - lag) as f64;
            left * (left - 1.0) * (left - 2.0) * rho
        })
        .sum();
    (1.0 + 2.0 / (size * (size - 1.0) * (size - 2.0)) * sum).max(1.0)
}

/// Ranks, ties sharing their mean.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let tied = order[start..]
            .iter()
            .take_while(|&&index| values[index] == values[order[start]])
            .count();
        for &index in &order[start..start + tied] {
            ranks[index] = start as f64 + f64::midpoint(tied as f64, 1.0);
        }
        start += tied;
    }
    ranks
}

fn tie_groups(values: &[f64]) -> impl Iterator<Item = f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
        .chunk_by(|a, b| a == b)
        .map(|group| group.len() as f64)
        .collect::<Vec<_>>()
        .into_iter()
}

/// The correlation of a series with itself, `lag` steps later; 0 for a constant.
pub(super) fn autocorrelation(values: &[f64], lag: usize) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let square: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
    if square <= 0.0 {
        return 0.0;
    }
    let product: f64 = values
        .iter()
        .zip(values.iter().skip(lag))
        .map(|(a, b)| (a - mean) * (b - mean))
        .sum();
    product / square
}

/// A least-squares fit on a few columns.
#[derive(Clone, Debug)]
pub(super) struct Fit {
    /// One for each column.
    pub(super) coefficients: Vec<f64>,
    /// Standard error of the last coefficient, for independent residuals.
    pub(super) error_of_last: f64,
    pub(super) residuals: Vec<f64>,
}

impl Fit {
    pub(super) fn residual_square(&self) -> f64 {
        self.residuals.iter().map(|r| r * r).sum()
    }

    /// Standard deviation and lag-1 correlation of the residuals.
    pub(super) fn noise(&self) -> (f64, f64) {
        let freedom = self.residuals.len() as f64 - self.coefficients.len() as f64;
        let sd = (self.residual_square() / freedom.max(1.0)).sqrt();
        (sd, autocorrelation(&self.residuals, 1).clamp(0.0, 0.95))
    }

    /// The last coefficient with bounds that allow for residuals that hang together, with lag-1
    /// correlation corrected for the bias of short detrended series, `(2 + 4r)/n` (Shaman and Stine
    /// 1988).
    pub(super) fn last_with_bounds(&self, alpha: f64) -> Slope {
        let n = self.residuals.len() as f64;
        let r = autocorrelation(&self.residuals, 1);
        let rho = (r + (2.0 + 4.0 * r) / n).clamp(0.0, 0.95);
        let independent = n * (1.0 - rho) / (1.0 + rho);
        self.bounds(alpha, independent, ((1.0 + rho) / (1.0 - rho)).sqrt())
    }

    /// Whether the residuals are larger than what means nothing, and structured.
    pub(super) fn is_structured(&self, least_variance: f64) -> bool {
        self.residual_square() > least_variance * self.residuals.len() as f64
            && structured(&self.residuals)
    }

    /// Whether the residuals are as correlated as those of a random walk: the coefficient test of Dickey and
    /// Fuller (1979), `n(1 − r) < threshold`, with the threshold for what was taken out of them.
    pub(super) fn is_a_walk(&self, threshold: f64) -> bool {
        let n = self.residuals.len() as f64;
        n * (1.0 - autocorrelation(&self.residuals, 1)) < threshold
    }

    /// The last coefficient with bounds, for residuals worth this many independent ones.
    pub(super) fn last_with_size(&self, alpha: f64, independent: f64) -> Slope {
        let n = self.residuals.len() as f64;
        self.bounds(alpha, independent, (n / independent.max(1.0)).sqrt())
    }

    /// An upper bound of the last coefficient of a fit on [`changes`] of means of a random walk, each over so many
    /// steps, one or more. Such changes are correlated (Working 1960), by a quarter where it is one step, so that
    /// the variance of their sum is `w / (1 − 1/(3w))` times what it is for independent ones.
    pub(super) fn walks_at_most(&self, steps: f64, alpha: f64) -> f64 {
        let freedom = self.residuals.len() as f64 - self.coefficients.len() as f64;
        let inflation = steps / (1.0 - 1.0 / (3.0 * steps));
        self.bounds(alpha, freedom + 2.0, inflation.sqrt()).upper
    }

    fn bounds(&self, alpha: f64, independent: f64, inflation: f64) -> Slope {
        let value = self.coefficients.last().copied().unwrap_or(0.0);
        let t = student_quantile_real(1.0 - alpha, (independent - 2.0).max(1.0));
        let reach = t * self.error_of_last * inflation;
        Slope {
            value,
            lower: value - reach,
            upper: value + reach,
        }
    }
}

/// Least squares by orthogonalising the columns one after the other (modified Gram–Schmidt). A column
/// that the ones before it explain gets the coefficient 0 and an infinite error.
pub(super) fn least_squares(columns: &[Vec<f64>], values: &[f64]) -> Fit {
    let count = columns.len();
    let mut directions: Vec<Vec<f64>> = Vec::with_capacity(count);
    let mut upper = vec![vec![0.0; count]; count];
    for (at, column) in columns.iter().enumerate() {
        let mut rest = column.clone();
        for (before, direction) in directions.iter().enumerate() {
            upper[before][at] = take_out(direction, &mut rest);
        }
        let norm = dot(&rest, &rest).sqrt();
        let explained = norm <= 1e-9 * dot(column, column).sqrt();
        upper[at][at] = if explained { 0.0 } else { norm };
        rest.iter_mut()
            .for_each(|entry| *entry = if explained { 0.0 } else { *entry / norm });
        directions.push(rest);
    }
    let mut residuals = values.to_vec();
    let along: Vec<f64> = directions
        .iter()
        .map(|direction| take_out(direction, &mut residuals))
        .collect();
    let mut coefficients = vec![0.0; count];
    for at in (0..count).rev() {
        if upper[at][at] > 0.0 {
            let known: f64 = (at + 1..count)
                .map(|later| upper[at][later] * coefficients[later])
                .sum();
            coefficients[at] = (along[at] - known) / upper[at][at];
        }
    }
    let freedom = (values.len() as f64 - count as f64).max(1.0);
    let last = upper[count - 1][count - 1];
    let error_of_last = if last > 0.0 {
        (dot(&residuals, &residuals) / freedom).sqrt() / last
    } else {
        f64::INFINITY
    };
    Fit {
        coefficients,
        error_of_last,
        residuals,
    }
}

/// Takes the part along a unit vector out of another one, and says how long it was.
fn take_out(direction: &[f64], rest: &mut [f64]) -> f64 {
    let along = dot(direction, rest);
    rest.iter_mut()
        .zip(direction)
        .for_each(|(entry, unit)| *entry -= along * unit);
    along
}

/// A fit on the changes from one value to the next, whose residuals are independent where those of the values
/// are a random walk; columns without their constant, which has no changes.
pub(super) fn changes(columns: &[Vec<f64>], values: &[f64]) -> Fit {
    let change = |of: &[f64]| of.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let columns: Vec<Vec<f64>> = columns.iter().map(|column| change(column)).collect();
    least_squares(&columns, &change(values))
}

/// A straight line by least squares.
pub(super) fn line(z: &[f64]) -> Fit {
    least_squares(&[vec![1.0; z.len()], steps(z.len())], z)
}

/// `0, 1, 2, …`
pub(super) fn steps(n: usize) -> Vec<f64> {
    (0..n).map(|i| i as f64).collect()
}

/// Whether the residuals run on one side for longer than chance explains (Wald and Wolfowitz 1940),
/// `z < −2.33`.
fn structured(residuals: &[f64]) -> bool {
    let signs: Vec<bool> = residuals.iter().map(|r| *r > 0.0).collect();
    let above = signs.iter().filter(|sign| **sign).count() as f64;
    let below = signs.len() as f64 - above;
    let n = above + below;
    if above < 1.0 || below < 1.0 {
        return false;
    }
    let runs = 1.0 + signs.windows(2).filter(|pair| pair[0] != pair[1]).count() as f64;
    let mean = 2.0 * above * below / n + 1.0;
    let variance = (mean - 1.0) * (mean - 2.0) / (n - 1.0);
    variance > 0.0 && (runs - mean) / variance.sqrt() < -2.33
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// The median of a sorted list; 0 for an empty one.
pub(super) fn median_of_sorted(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    median_of_sorted(&sorted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_exactly_by_both() {
        let z: Vec<f64> = (0..40).map(|i| 100.0 + 2.5 * f64::from(i)).collect();
        let robust = theil_sen(&z, 0.05);
        let squares = line(&z).last_with_bounds(0.05);
        for slope in [robust, squares] {
            assert!((slope.value - 2.5).abs() < 1e-9, "{slope:?}");
            assert!(slope.lower > 2.499 && slope.upper < 2.501, "{slope:?}");
        }
    }

    #[test]
    fn one_outlier_moves_the_median_slope_hardly() {
        let mut z = steps(40);
        z[39] = 1000.0;
        assert!((theil_sen(&z, 0.05).value - 1.0).abs() < 1e-9);
        assert!(line(&z).coefficients[1] > 3.0);
    }

    #[test]
    fn textbook_regression() {
        // Anscombe's first quartet: y = 3.00 + 0.500 x, standard error of the slope 0.118.
        let x = vec![10.0, 8.0, 13.0, 9.0, 11.0, 14.0, 6.0, 4.0, 12.0, 7.0, 5.0];
        let y = [
            8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68,
        ];
        let fit = least_squares(&[vec![1.0; 11], x], &y);
        assert!((fit.coefficients[0] - 3.0).abs() < 0.001);
        assert!((fit.coefficients[1] - 0.5).abs() < 0.001);
        assert!((fit.error_of_last - 0.1179).abs() < 0.0001);
    }

    #[test]
    fn a_column_that_says_nothing_new_has_no_error_bound() {
        let fit = least_squares(&[vec![1.0; 5], vec![2.0; 5]], &[1.0, 2.0, 3.0, 2.0, 1.0]);
        assert_eq!(fit.error_of_last, f64::INFINITY);
        assert_eq!(fit.coefficients[1], 0.0);
    }

    #[test]
    fn waves_are_structured_and_alternation_is_not() {
        let wave: Vec<f64> = (0..40).map(|i| (f64::from(i) / 6.0).sin()).collect();
        assert!(structured(&wave));
        let alternating: Vec<f64> = (0..40)
            .map(|i| if i % 2 == 0 { 1.0 } else { -1.0 })
            .collect();
        assert!(!structured(&alternating));
        assert!(!structured(&[0.0; 40]));
    }

    #[test]
    fn ties_share_their_rank() {
        assert_eq!(ranks(&[5.0, 1.0, 5.0, 0.0]), [3.5, 2.0, 3.5, 1.0]);
    }
}
