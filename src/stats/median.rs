//! Bounds of a median by order statistics: exact for independent samples of any continuous distribution.

/// The one-sided bounds of the median at level `1 - alpha` each: the k-th smallest and the k-th largest
/// value, with the largest `k` for which a fair coin shows fewer than `k` heads in `n` throws with a
/// probability of at most `alpha` (David and Nagaraja 2003, section 7.1).
///
/// `None` where there are too few values for any such bound: fewer than five at 5 %. The values must be
/// sorted.
pub fn median_bounds(sorted: &[f64], alpha: f64) -> Option<(f64, f64)> {
    let n = sorted.len();
    let mut tail = 0.0;
    let mut ln_term = -(n as f64) * std::f64::consts::LN_2;
    let mut k = 0;
    while k < n {
        tail += ln_term.exp();
        if tail > alpha {
            break;
        }
        k += 1;
        // C(n, k) from C(n, k - 1).
        ln_term += ((n - k + 1) as f64 / k as f64).ln();
    }
    let place = k.checked_sub(1)?;
    Some((sorted[place], sorted[n - 1 - place]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg32;

    #[test]
    fn few_values_have_no_bounds_and_the_tables_hold() {
        let up_to = |n: u32| (1..=n).map(f64::from).collect::<Vec<_>>();
        assert_eq!(median_bounds(&[], 0.05), None);
        assert_eq!(median_bounds(&up_to(4), 0.05), None);
        // One-sided 95 %: places 1 of 5, 2 of 10, 6 of 20, 41 or 42 of 100 (from the table of the binomial).
        for (n, place) in [(5, 1.0), (10, 2.0), (20, 6.0), (100, 42.0)] {
            let expected = (place, f64::from(n) + 1.0 - place);
            assert_eq!(median_bounds(&up_to(n), 0.05), Some(expected), "{n}");
        }
        let (lower, upper) = median_bounds(&up_to(5000), 0.05).expect("plenty");
        assert!((2435.0..2450.0).contains(&lower), "{lower}");
        assert_eq!(upper, 5001.0 - lower);
    }

    #[test]
    fn the_bounds_keep_their_promise() {
        let mut generator = Pcg32::seed_from_u64(7);
        let mut missed = [0; 2];
        const TRIALS: i32 = 4000;
        for _ in 0..TRIALS {
            let mut values: Vec<f64> = (0..12)
                .map(|_| f64::from(generator.next_u32()) / f64::from(u32::MAX))
                .collect();
            values.sort_by(f64::total_cmp);
            let (lower, upper) = median_bounds(&values, 0.05).expect("twelve are enough");
            missed[0] += i32::from(lower > 0.5);
            missed[1] += i32::from(upper < 0.5);
        }
        // Exactly 1.93 % for twelve values.
        for missed in missed {
            let share = f64::from(missed) / f64::from(TRIALS);
            assert!((0.012..0.027).contains(&share), "{share}");
        }
    }
}
