//! Whether a new run is worse than the runs before it.
//!
//! The limit is a one-sided prediction limit for one new run on the logarithm of the metric:
//! `x̄ + t(1-α, h-1) · s · √(1 + 1/h)` over the h runs of the history (Hahn and Meeker, Statistical
//! Intervals, ch. 4). Simulated false alarms at α = 5 %: 4.8 to 5.1 % for h = 5 to 40. Of several
//! metrics each gets α/m (Bonferroni), so that the run as a whole is wrongly failed at most that often.

use crate::stats::student_quantile;
use crate::verdict::Verdict;

/// Which way a metric is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// More is worse: latencies, errors, memory.
    HigherIsWorse,
    /// Less is worse: throughput, utilisation, free space.
    LowerIsWorse,
}

/// Which way a metric is worse, by its name.
pub fn direction(metric: &str) -> Direction {
    let (metric, _part) = metric.split_once('{').unwrap_or((metric, ""));
    let last = metric.rsplit('.').next().unwrap_or_default();
    let lower_is_worse = ["throughput", "goodput", "utilization", "free"].contains(&last);
    if lower_is_worse {
        Direction::LowerIsWorse
    } else {
        Direction::HigherIsWorse
    }
}

/// What it takes to call a run worse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// How often a run that is not worse may be failed, over all metrics together.
    pub alpha: f64,
    /// How many metrics are judged at once.
    pub metrics: usize,
    /// The least change that matters, as a share.
    pub least_effect: f64,
    /// The fewest runs that make a history.
    pub fewest_runs: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            alpha: crate::stats::ALPHA,
            metrics: 1,
            least_effect: 0.05,
            fewest_runs: 5,
        }
    }
}

/// The judgement on one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Regression {
    /// PASS: not worse, as far as the history can tell. FAIL: worse, and confirmed. INCONCLUSIVE:
    /// worse but not confirmed, or no history.
    pub verdict: Verdict,
    /// The geometric mean of the history; `None` without one.
    pub typical: Option<f64>,
    /// The value at which a new run counts as worse; `None` without a history.
    pub limit: Option<f64>,
    /// The change against the typical value, as a share; positive when the value is larger.
    pub change: Option<f64>,
    /// How many runs the history has.
    pub runs: usize,
    /// Why, in one sentence.
    pub reason: String,
}

/// Judges a value against those of earlier runs. `confirmation` is the value of a second run of the
/// same version, without which nothing fails: on shared machines one bad run proves nothing.
pub fn judge(
    history: &[f64],
    value: f64,
    confirmation: Option<f64>,
    direction: Direction,
    policy: &Policy,
) -> Regression {
    let usable: Vec<f64> = history
        .iter()
        .filter(|value| value.is_finite() && **value > 0.0)
        .map(|value| value.ln())
        .collect();
    let runs = usable.len();
    let undecided = |reason: String| Regression {
        verdict: Verdict::Inconclusive,
        typical: None,
        limit: None,
        change: None,
        runs,
        reason,
    };
    let fewest = policy.fewest_runs.max(2);
    if runs < fewest {
        return undecided(format!(
            "no baseline: {runs} comparable run{} with PASS, and it takes {fewest}",
            if runs == 1 { "" } else { "s" }
        ));
    }
    if !(value.is_finite() && value > 0.0) {
        return undecided("the value is not above zero, and has no logarithm".to_owned());
    }
    let sign = match direction {
        Direction::HigherIsWorse => 1.0,
        Direction::LowerIsWorse => -1.0,
    };
    let h = runs as f64;
    let mean = usable.iter().sum::<f64>() / h;
    let variance = usable.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (h - 1.0);
    let alpha = policy.alpha / policy.metrics.max(1) as f64;
    let reach = student_quantile(1.0 - alpha, runs - 1) * (variance * (1.0 + 1.0 / h)).sqrt();
    // A change that is real and too small to matter is none.
    let limit = mean + sign * reach.max((1.0 + policy.least_effect).ln());
    let is_worse = |value: f64| sign * (value.ln() - limit) > 0.0;
    let change = (value.ln() - mean).exp() - 1.0;
    let percent = |share: f64| format!("{:+.1} %", share * 100.0);
    let seen = percent((limit - mean).exp() - 1.0);
    let (verdict, reason) = match (is_worse(value), confirmation) {
        (false, _) => (
            Verdict::Pass,
            format!(
                "{} against {runs} runs; a single run counts as worse from {seen}",
                percent(change)
            ),
        ),
        (true, None) => (
            Verdict::Inconclusive,
            format!(
                "{} against {runs} runs, beyond {seen}: a second run must confirm it",
                percent(change)
            ),
        ),
        (true, Some(second)) if second > 0.0 && is_worse(second) => (
            Verdict::Fail,
            format!(
                "{} against {runs} runs, beyond {seen}, and {} in the second run",
                percent(change),
                percent((second.ln() - mean).exp() - 1.0)
            ),
        ),
        (true, Some(_)) => (
            Verdict::Pass,
            format!(
                "{} against {runs} runs, beyond {seen}, but the second run does not confirm it",
                percent(change)
            ),
        ),
    };
    Regression {
        verdict,
        typical: Some(mean.exp()),
        limit: Some(limit.exp()),
        change: Some(change),
        runs,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt as _, SeedableRng as _};
    use rand_pcg::Pcg64Mcg;

    const UP: Direction = Direction::HigherIsWorse;

    fn normal(random: &mut Pcg64Mcg) -> f64 {
        // Box and Muller (1958).
        let (u, v): (f64, f64) = (random.random(), random.random());
        (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// How often one new run lies beyond the limit.
    fn alarms(h: usize, spread: f64, shift: f64, policy: &Policy) -> f64 {
        let mut random = Pcg64Mcg::seed_from_u64(7);
        let rounds = 4000;
        let mut alarms = 0;
        for _ in 0..rounds {
            let history: Vec<f64> = (0..h)
                .map(|_| (spread * normal(&mut random)).exp())
                .collect();
            let value = (shift + spread * normal(&mut random)).exp();
            let result = judge(&history, value, Some(value), UP, policy);
            alarms += u32::from(result.verdict == Verdict::Fail);
        }
        f64::from(alarms) / f64::from(rounds)
    }

    #[test]
    fn false_alarms_are_as_rare_as_promised() {
        let policy = Policy {
            least_effect: 0.0,
            ..Policy::default()
        };
        for h in [5, 10, 20] {
            let rate = alarms(h, 0.05, 0.0, &policy);
            assert!((0.035..0.065).contains(&rate), "h = {h}: {rate}");
        }
        // Of ten metrics each may be wrong a tenth as often.
        let many = Policy {
            metrics: 10,
            ..policy
        };
        assert!(alarms(10, 0.05, 0.0, &many) < 0.01);
    }

    #[test]
    fn a_large_shift_is_seen_and_a_small_one_does_not_matter() {
        let policy = Policy::default();
        assert!(alarms(10, 0.02, 0.10, &policy) > 0.9);
        // Three per cent, seen clearly, is less than the five that matter.
        assert!(alarms(20, 0.001, 0.03, &policy) < 0.001);
    }

    #[test]
    fn nothing_fails_without_a_second_run_and_nothing_passes_without_a_history() {
        let history = [0.100, 0.101, 0.099, 0.100, 0.102];
        let verdict =
            |value, second| judge(&history, value, second, UP, &Policy::default()).verdict;
        assert_eq!(verdict(0.100, None), Verdict::Pass);
        assert_eq!(verdict(0.150, None), Verdict::Inconclusive);
        assert_eq!(verdict(0.150, Some(0.152)), Verdict::Fail);
        assert_eq!(verdict(0.150, Some(0.101)), Verdict::Pass);
        let short = judge(&history[..4], 0.100, None, UP, &Policy::default());
        assert_eq!(short.verdict, Verdict::Inconclusive);
        assert!(short.reason.starts_with("no baseline: 4 comparable runs"));
        // What was zero or missing is no history either.
        let zeros = judge(&[0.0; 9], 0.1, None, UP, &Policy::default());
        assert_eq!(zeros.verdict, Verdict::Inconclusive);
    }

    #[test]
    fn less_throughput_is_worse() {
        let history = [400.0, 402.0, 398.0, 401.0, 399.0];
        let down = direction("throughput");
        let verdict =
            |value: f64| judge(&history, value, Some(value), down, &Policy::default()).verdict;
        assert_eq!(verdict(300.0), Verdict::Fail);
        assert_eq!(verdict(500.0), Verdict::Pass);
        assert_eq!(direction("throughput{step=job/v1.0}"), down);
        assert_eq!(direction("response.p99{flow=free}"), UP);
        assert_eq!(direction("response.p99"), UP);
    }
}
