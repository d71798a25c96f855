//! How large a share can be, given how many were counted: exact binomial bounds.
//!
//! Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the
//! binomial", Biometrika 26 (1934), in its beta-quantile form. It never errs more often than
//! promised, which Wilson's interval does near the limit. Counts and sizes are real numbers here,
//! because a correlated sample of `n` requests is worth fewer than `n` (see `correlation`).

use super::beta::beta_quantile;

/// A count out of a total.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// How many were counted.
    pub count: f64,
    /// Out of how many.
    pub total: f64,
}

impl Share {
    /// The share itself; 0 for an empty total.
    pub fn ratio(self) -> f64 {
        if self.total > 0.0 {
            self.count / self.total
        } else {
            0.0
        }
    }
}

/// The one-sided upper bound of the true share at error probability `alpha`.
///
/// `BetaInv(1 − α; k + 1, n − k)`; 1 when everything was counted or nothing is known.
pub fn upper_bound(share: Share, alpha: f64) -> f64 {
    let Share { count, total } = share;
    if total <= 0.0 || count >= total {
        return 1.0;
    }
    beta_quantile(count + 1.0, total - count, 1.0 - alpha)
}

/// The one-sided lower bound of the true share at error probability `alpha`.
///
/// `BetaInv(α; k, n − k + 1)`; 0 when nothing was counted or nothing is known.
pub fn lower_bound(share: Share, alpha: f64) -> f64 {
    let Share { count, total } = share;
    if total <= 0.0 || count <= 0.0 {
        return 0.0;
    }
    if count >= total {
        // BetaInv(α; n, 1) in closed form.
        return alpha.powf(1.0 / total);
    }
    beta_quantile(count, total - count + 1.0, alpha)
}

/// The largest count out of `total` whose upper bound still lies below `limit`, or `None` when even
/// a count of zero does not prove it.
pub fn largest_passing_count(total: f64, limit: f64, alpha: f64) -> Option<f64> {
    let passes = |count: f64| upper_bound(Share { count, total }, alpha) < limit;
    if !passes(0.0) {
        return None;
    }
    Some(bisect(0.0, limit * total, passes))
}

/// The smallest count out of `total` whose lower bound lies above `limit`, or `None` when even the
/// whole total does not prove it.
pub fn smallest_failing_count(total: f64, limit: f64, alpha: f64) -> Option<f64> {
    let holds = |count: f64| lower_bound(Share { count, total }, alpha) <= limit;
    if holds(total) {
        return None;
    }
    Some(bisect(limit * total, total, holds))
}

/// The point up to which `holds` is true, given that it is at `low` and not at `high`.
fn bisect(mut low: f64, mut high: f64, holds: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if holds(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// The smallest sample with which a share can be shown to lie below `limit` at all: the case of a
/// count of zero, `ln α / ln(1 − limit)`. 299 for a p99 at 95 %.
pub fn smallest_sample_that_can_pass(limit: f64, alpha: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive by construction, and a float cast saturates"
    )]
    let size = (alpha.ln() / (1.0 - limit).ln()).ceil() as u64;
    size
}

/// How many effective requests it would take to decide, if the share stayed as observed; `None`
/// when the observed share sits so near the limit that a thousand times as many would not do.
pub fn requests_to_decide(share: Share, limit: f64, alpha: f64) -> Option<f64> {
    let ratio = share.ratio();
    let decided = |total: f64| {
        let scaled = Share {
            count: ratio * total,
            total,
        };
        upper_bound(scaled, alpha) < limit || lower_bound(scaled, alpha) > limit
    };
    let mut high = share.total.max(1.0);
    let ceiling = (share.total * 1000.0).max(1e6);
    while !decided(high) {
        high *= 2.0;
        if high > ceiling {
            return None;
        }
    }
    if high <= share.total.max(1.0) {
        return Some(high);
    }
    // `bisect` wants the property at the low end: "not yet decided".
    Some(bisect(high / 2.0, high, |total| !decided(total)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::ALPHA;

    /// PASS up to and FAIL from these counts at 5 % per side: exact values for p99.
    #[test]
    fn decides_at_the_exact_counts() {
        for (total, pass, fail) in [
            (300.0, 0.0, 7.0),
            (1000.0, 4.0, 16.0),
            (3000.0, 20.0, 40.0),
            (10_000.0, 83.0, 118.0),
            (30_000.0, 271.0, 330.0),
            (100_000.0, 948.0, 1053.0),
        ] {
            let upper = |count| upper_bound(Share { count, total }, ALPHA);
            let lower = |count| lower_bound(Share { count, total }, ALPHA);
            assert!(upper(pass) < 0.01 && upper(pass + 1.0) >= 0.01, "{total}");
            assert!(lower(fail) > 0.01 && lower(fail - 1.0) <= 0.01, "{total}");
            let largest = largest_passing_count(total, 0.01, ALPHA).expect("can pass");
            assert!(
                largest >= pass && largest < pass + 1.0,
                "{total}: {largest}"
            );
            let smallest = smallest_failing_count(total, 0.01, ALPHA).expect("can fail");
            assert!(
                smallest > fail - 1.0 && smallest <= fail,
                "{total}: {smallest}"
            );
        }
    }

    #[test]
    fn a_p99_needs_299_requests_and_no_fewer() {
        assert_eq!(smallest_sample_that_can_pass(0.01, ALPHA), 299);
        assert!(largest_passing_count(298.0, 0.01, ALPHA).is_none());
        assert!(largest_passing_count(299.0, 0.01, ALPHA).is_some());
        assert_eq!(smallest_sample_that_can_pass(0.05, ALPHA), 59);
        assert_eq!(smallest_sample_that_can_pass(0.001, ALPHA), 2995);
    }

    #[test]
    fn the_edges_are_certain_only_about_what_was_seen() {
        let none = Share {
            count: 0.0,
            total: 0.0,
        };
        assert_eq!(
            (lower_bound(none, ALPHA), upper_bound(none, ALPHA)),
            (0.0, 1.0)
        );
        let all = Share {
            count: 20.0,
            total: 20.0,
        };
        assert_eq!(upper_bound(all, ALPHA), 1.0);
        assert!((lower_bound(all, ALPHA) - 0.860_89).abs() < 1e-4);
        let zero = Share {
            count: 0.0,
            total: 1000.0,
        };
        assert!((upper_bound(zero, ALPHA) - 0.002_991).abs() < 1e-5);
    }

    #[test]
    fn says_how_many_more_would_decide() {
        let share = Share {
            count: 8.0,
            total: 1000.0,
        };
        let needed = requests_to_decide(share, 0.01, ALPHA).expect("decidable");
        let at = |total: f64| {
            upper_bound(
                Share {
                    count: 0.008 * total,
                    total,
                },
                ALPHA,
            )
        };
        assert!(
            at(needed * 1.01) < 0.01 && at(needed * 0.98) >= 0.01,
            "{needed}"
        );
        let on_the_limit = Share {
            count: 10.0,
            total: 1000.0,
        };
        assert_eq!(requests_to_decide(on_the_limit, 0.01, ALPHA), None);
    }
}
