//! Deciding a gate before its phase is over, without deciding wrongly more often for looking often.
//!
//! Looks lie at fixed times that grow by a quarter, and each side spends two of its five per cent on all
//! looks together and three on the end (alpha spending; Lan and `DeMets`, Biometrika 70, 1983, with equal
//! parts, so that Bonferroni's inequality holds whatever the dependence between looks).

use super::ALPHA;

/// The share of [`ALPHA`] that is spent before the end.
const SPENT_EARLY: f64 = 0.4;
/// The first look at whether a limit is missed, in seconds of the measured window.
const FIRST_S: f64 = 60.0;
/// A shorter phase is looked at after this part of it, but not before the least.
const FIRST_PART: f64 = 0.25;
const LEAST_S: f64 = 10.0;
/// Each look comes so much later than the one before.
const GROWTH: f64 = 1.25;
/// PASS is not decided before so many events of a second each would have been seen, if they made up
/// the whole of what is allowed: with five expected, none is seen in 0.7 of a hundred windows.
const EVENTS: f64 = 5.0;

/// What may be decided early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sides {
    /// Only that the limit is missed.
    Fail,
    /// That it is missed, and that it is met.
    Both,
}

/// The error probabilities of a look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alphas {
    /// Of a PASS; `None` where it cannot be decided at this look.
    pub pass: Option<f64>,
    /// Of a FAIL.
    pub fail: f64,
}

/// When a gate is looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Looks {
    at_s: Vec<u64>,
    pass_from_s: f64,
    sides: Sides,
}

impl Looks {
    /// The looks of a phase of so many seconds on a gate that allows this share over its limit.
    /// `minimum_s` is when the first look comes, where the scenario says it.
    pub fn new(length_s: f64, allowed: f64, sides: Sides, minimum_s: Option<f64>) -> Self {
        let first = minimum_s.unwrap_or_else(|| FIRST_S.min(length_s * FIRST_PART).max(LEAST_S));
        let mut at_s = Vec::new();
        let mut next = first.ceil();
        while next < length_s {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "positive seconds below the length of a phase"
            )]
            at_s.push(next as u64);
            next = (next * GROWTH).ceil();
        }
        Self {
            at_s,
            pass_from_s: minimum_s.unwrap_or(EVENTS / allowed),
            sides,
        }
    }

    /// When the gate is looked at, in seconds of the measured window.
    pub fn at_s(&self) -> &[u64] {
        &self.at_s
    }

    /// The first look at which PASS can be decided; `None` where there is none.
    pub fn first_pass_s(&self) -> Option<u64> {
        let decides = |at: &&u64| self.sides == Sides::Both && **at as f64 >= self.pass_from_s;
        self.at_s.iter().find(decides).copied()
    }

    /// The error probabilities of the look after so many seconds; `None` where there is no look.
    pub fn at(&self, second: u64) -> Option<Alphas> {
        self.at_s.binary_search(&second).ok()?;
        let early = ALPHA * SPENT_EARLY;
        let can_pass = |at: &&u64| self.first_pass_s().is_some_and(|first| **at >= first);
        let pass_looks = self.at_s.iter().filter(can_pass).count();
        Some(Alphas {
            pass: can_pass(&&second).then(|| early / pass_looks as f64),
            fail: early / self.at_s.len() as f64,
        })
    }

    /// The error probabilities that are left for the end.
    pub fn at_the_end(&self) -> Alphas {
        let left = |spent: bool| {
            if spent {
                ALPHA * (1.0 - SPENT_EARLY)
            } else {
                ALPHA
            }
        };
        Alphas {
            pass: Some(left(self.first_pass_s().is_some())),
            fail: left(!self.at_s.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_spend_no_more_than_there_is() {
        for length in [5.0, 30.0, 300.0, 1800.0, 28_800.0] {
            for sides in [Sides::Fail, Sides::Both] {
                let looks = Looks::new(length, 0.01, sides, None);
                let all: Vec<Alphas> = looks.at_s().iter().filter_map(|&at| looks.at(at)).collect();
                let end = looks.at_the_end();
                let fail: f64 = all.iter().map(|alphas| alphas.fail).sum::<f64>() + end.fail;
                let pass = all.iter().filter_map(|alphas| alphas.pass).sum::<f64>();
                assert!(fail <= ALPHA + 1e-12, "{length}: {fail}");
                assert!(
                    pass + end.pass.unwrap() <= ALPHA + 1e-12,
                    "{length}: {pass}"
                );
            }
        }
    }

    #[test]
    fn looks_come_when_there_is_something_to_see() {
        let looks = Looks::new(1800.0, 0.01, Sides::Both, None);
        assert_eq!(looks.at_s()[..4], [60, 75, 94, 118]);
        // Five stalls of a second, if they make up one per cent, take 500 s.
        assert_eq!(looks.first_pass_s(), Some(568));
        assert_eq!(looks.at(60).unwrap().pass, None);
        assert!(looks.at(568).unwrap().pass.is_some());
        assert_eq!(looks.at(61), None);
        let abort = Looks::new(1800.0, 0.01, Sides::Fail, None);
        assert_eq!(abort.first_pass_s(), None);
        assert_eq!(abort.at_the_end().pass, Some(ALPHA));
        // Whoever says when is taken at their word.
        let told = Looks::new(300.0, 0.01, Sides::Both, Some(20.0));
        assert_eq!(told.first_pass_s(), Some(20));
        assert!(Looks::new(8.0, 0.01, Sides::Both, None).at_s().is_empty());
    }
}
