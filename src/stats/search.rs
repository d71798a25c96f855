//! The search for the highest load that still passes: doubling, then halving the bracket, then a hold.
//!
//! A search trusts single trials, each of which may be wrong, so what it finds is only a candidate: it
//! counts once a longer hold at that level has passed as well. If the hold does not pass, the next
//! lower level is held, a few times at most.

use serde::{Deserialize, Serialize};

/// How a trial at one level ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trial {
    /// It was shown that the level passes.
    Pass,
    /// It was shown that it does not.
    Fail,
    /// Neither was shown.
    Unclear,
    /// The load could not be generated, so that nothing was learnt about the target.
    OutOfReach,
}

/// What to try next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// A short trial at this level.
    Probe(f64),
    /// A long trial at this level, which decides.
    Hold(f64),
}

/// What a search came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// This level held, and the lowest level above it that was tried did not pass.
    Found {
        /// The level that held.
        level: f64,
        /// The lowest level that did not pass.
        next: f64,
    },
    /// This level held, and nothing higher could be tried, for this reason.
    AtLeast {
        /// The level that held.
        level: f64,
        /// Whether the generator was the limit; otherwise the highest level of the search was.
        generator: bool,
    },
    /// Not even the lowest level passed.
    Nothing {
        /// The lowest level that was tried.
        level: f64,
    },
    /// Before any level passed, one was reached of which nothing could be shown.
    Undecided {
        /// The lowest level that was tried.
        level: f64,
        /// Whether the generator was the limit; otherwise the trials were too short.
        generator: bool,
    },
    /// Probes passed, but no hold did.
    Unstable {
        /// The lowest level that was held.
        level: f64,
    },
}

/// Where to search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The first level that is tried.
    pub from: f64,
    /// The highest level that is tried.
    pub to: f64,
    /// How close the level that passes and the one that does not must come: 0.05 for 5 %.
    pub resolution: f64,
    /// Whether levels are whole numbers.
    pub whole: bool,
}

/// A search under way.
#[derive(Clone, Debug)]
pub struct Search {
    range: Range,
    /// The highest level that passed.
    passed: Option<f64>,
    /// The lowest level that did not pass.
    missed: Option<f64>,
    /// Whether the lowest level that did not pass was out of the generator's reach.
    out_of_reach: bool,
    /// Whether the level that is being tried was unclear the first time.
    again: bool,
    holds: u32,
    step: Option<Step>,
    answer: Option<Answer>,
}

/// After so many holds in vain the search gives up.
const MOST_HOLDS: u32 = 4;
/// How often the first level is halved before the search gives up.
const LOWEST_SHARE: f64 = 1.0 / 64.0;

impl Search {
    /// Begins a search.
    pub fn new(range: Range) -> Self {
        let mut search = Self {
            range,
            passed: None,
            missed: None,
            out_of_reach: false,
            again: false,
            holds: 0,
            step: None,
            answer: None,
        };
        search.step = Some(Step::Probe(search.level(range.from)));
        search
    }

    /// What to try next; `None` when the search is over.
    pub fn next(&self) -> Option<Step> {
        self.step
    }

    /// What it came to; `None` while it is under way.
    pub fn answer(&self) -> Option<Answer> {
        self.answer
    }

    /// Takes the end of the trial that [`Search::next`] asked for.
    pub fn tell(&mut self, trial: Trial) {
        match self.step {
            None => {}
            Some(Step::Probe(level)) => self.after_probe(level, trial),
            Some(Step::Hold(level)) => self.after_hold(level, trial),
        }
    }

    fn after_probe(&mut self, level: f64, trial: Trial) {
        if trial == Trial::Unclear && !self.again {
            self.again = true;
            return;
        }
        self.again = false;
        if trial == Trial::Pass {
            self.passed = Some(level);
        } else {
            self.missed = Some(level);
            self.out_of_reach = trial == Trial::OutOfReach;
        }
        if trial == Trial::Unclear && self.passed.is_none() {
            // Less load means fewer requests, which show even less.
            self.finish(Answer::Undecided {
                level,
                generator: false,
            });
            return;
        }
        self.choose();
    }

    fn after_hold(&mut self, level: f64, trial: Trial) {
        self.holds += 1;
        if trial == Trial::Pass {
            self.finish(match self.missed {
                Some(_) if self.out_of_reach => Answer::AtLeast {
                    level,
                    generator: true,
                },
                Some(next) => Answer::Found { level, next },
                None => Answer::AtLeast {
                    level,
                    generator: false,
                },
            });
            return;
        }
        self.missed = Some(level);
        self.out_of_reach = trial == Trial::OutOfReach;
        let lower = self.level(level / (1.0 + self.range.resolution));
        if self.holds == MOST_HOLDS || lower >= level {
            self.finish(Answer::Unstable { level });
        } else {
            self.step = Some(Step::Hold(lower));
        }
    }

    /// The next probe inside or outside the bracket, or the first hold.
    fn choose(&mut self) {
        let next = match (self.passed, self.missed) {
            (Some(passed), None) if passed < self.range.to => {
                Step::Probe(self.level((passed * 2.0).min(self.range.to)))
            }
            (Some(passed), None) => Step::Hold(passed),
            (None, Some(missed)) => {
                let lower = self.level(missed / 2.0);
                if lower < self.range.from * LOWEST_SHARE || lower >= missed {
                    self.finish(if self.out_of_reach {
                        Answer::Undecided {
                            level: missed,
                            generator: true,
                        }
                    } else {
                        Answer::Nothing { level: missed }
                    });
                    return;
                }
                Step::Probe(lower)
            }
            (Some(passed), Some(missed)) => {
                // Levels are compared by their ratio, so the middle is the geometric one.
                let middle = self.level((passed * missed).sqrt());
                let narrow = missed / passed <= 1.0 + self.range.resolution;
                if narrow || middle <= passed || middle >= missed {
                    Step::Hold(passed)
                } else {
                    Step::Probe(middle)
                }
            }
            (None, None) => Step::Probe(self.level(self.range.from)),
        };
        self.step = Some(next);
    }

    fn finish(&mut self, answer: Answer) {
        self.answer = Some(answer);
        self.step = None;
    }

    /// A level as it can be asked for: whole where it must be, otherwise of three digits.
    fn level(&self, level: f64) -> f64 {
        if self.range.whole {
            return level.round().max(1.0);
        }
        let unit = 10_f64.powf(level.log10().floor() - 2.0);
        (level / unit).round() * unit
    }
}

/// The knee of a curve of throughput against latency: the point with the most throughput per unit of
/// latency (the power of Kleinrock, "Power and deterministic rules of thumb for probabilistic
/// problems in computer communications", 1979). `None` without points.
pub fn knee(points: &[(f64, f64)]) -> Option<usize> {
    let power = |&(throughput, latency): &(f64, f64)| throughput / latency;
    (0..points.len())
        .filter(|&index| power(&points[index]).is_finite())
        .max_by(|&a, &b| power(&points[a]).total_cmp(&power(&points[b])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    const RANGE: Range = Range {
        from: 100.0,
        to: 100_000.0,
        resolution: 0.05,
        whole: false,
    };

    fn search(range: Range, mut trial: impl FnMut(Step) -> Trial) -> (Answer, Vec<Step>) {
        let mut search = Search::new(range);
        let mut steps = Vec::new();
        while let Some(step) = search.next() {
            steps.push(step);
            assert!(steps.len() < 60, "{steps:?}");
            search.tell(trial(step));
        }
        (search.answer().expect("it is over"), steps)
    }

    fn level(step: Step) -> f64 {
        match step {
            Step::Probe(level) | Step::Hold(level) => level,
        }
    }

    fn up_to(capacity: f64) -> impl FnMut(Step) -> Trial {
        move |step| {
            if level(step) <= capacity {
                Trial::Pass
            } else {
                Trial::Fail
            }
        }
    }

    #[test]
    fn it_doubles_then_narrows_then_holds() {
        let (answer, steps) = search(RANGE, up_to(1234.0));
        let Answer::Found { level: found, next } = answer else {
            panic!("{answer:?}");
        };
        assert!(
            found <= 1234.0 && next > 1234.0 && next / found <= 1.05,
            "{answer:?}"
        );
        assert_eq!(
            steps[..5],
            [100.0, 200.0, 400.0, 800.0, 1600.0].map(Step::Probe)
        );
        assert_eq!(steps.last(), Some(&Step::Hold(found)));
        assert!(steps.len() <= 11, "{steps:?}");
    }

    #[test]
    fn it_goes_down_when_the_first_level_is_too_much() {
        let (answer, _) = search(RANGE, up_to(9.0));
        assert!(matches!(answer, Answer::Found { level, .. } if level <= 9.0 && level > 8.5));
        let (answer, _) = search(RANGE, up_to(0.5));
        assert!(matches!(answer, Answer::Nothing { .. }), "{answer:?}");
    }

    #[test]
    fn users_are_whole() {
        let range = Range {
            from: 1.0,
            to: 64.0,
            whole: true,
            ..RANGE
        };
        let (answer, steps) = search(range, up_to(5.0));
        assert_eq!(
            answer,
            Answer::Found {
                level: 5.0,
                next: 6.0
            }
        );
        assert!(steps.iter().all(|&step| level(step).fract() == 0.0));
        assert_eq!(search(range, up_to(0.0)).0, Answer::Nothing { level: 1.0 });
    }

    #[test]
    fn it_says_why_it_went_no_higher() {
        let range = Range { to: 300.0, ..RANGE };
        assert_eq!(
            search(range, up_to(5000.0)).0,
            Answer::AtLeast {
                level: 300.0,
                generator: false
            }
        );
        let (answer, _) = search(RANGE, |step| {
            if level(step) > 700.0 {
                Trial::OutOfReach
            } else {
                Trial::Pass
            }
        });
        assert!(
            matches!(answer, Answer::AtLeast { level, generator: true } if level <= 700.0),
            "{answer:?}"
        );
    }

    #[test]
    fn a_hold_that_fails_is_tried_lower_and_then_given_up() {
        let (answer, steps) = search(RANGE, |step| match step {
            Step::Probe(level) if level <= 1000.0 => Trial::Pass,
            Step::Hold(level) if level <= 900.0 => Trial::Pass,
            _ => Trial::Fail,
        });
        assert!(
            matches!(answer, Answer::Found { level, .. } if level <= 900.0 && level > 800.0),
            "{answer:?}"
        );
        let holds = |steps: &[Step]| {
            steps
                .iter()
                .filter(|step| matches!(step, Step::Hold(_)))
                .count()
        };
        assert!(holds(&steps) >= 2);
        let (answer, steps) = search(RANGE, |step| match step {
            Step::Probe(level) if level <= 1000.0 => Trial::Pass,
            _ => Trial::Fail,
        });
        assert!(matches!(answer, Answer::Unstable { .. }));
        assert_eq!(holds(&steps), 4);
    }

    #[test]
    fn what_is_unclear_is_tried_once_more_and_then_not_believed() {
        let mut looks = 0;
        let (answer, _) = search(RANGE, |step| match step {
            Step::Probe(level) if level > 300.0 => {
                looks += 1;
                Trial::Unclear
            }
            _ => Trial::Pass,
        });
        assert!(matches!(answer, Answer::Found { level, .. } if level <= 300.0));
        assert_eq!(looks % 2, 0);
        // Where not even the first level shows anything, less load would show less.
        let (answer, steps) = search(RANGE, |_| Trial::Unclear);
        let undecided = |generator: bool, level: f64| Answer::Undecided { level, generator };
        assert_eq!((answer, steps.len()), (undecided(false, 100.0), 2));
        let (answer, _) = search(RANGE, |_| Trial::OutOfReach);
        assert!(matches!(
            answer,
            Answer::Undecided {
                generator: true,
                ..
            }
        ));
    }

    /// Trials near the capacity err: five of a hundred pass above it, and the closer they are below
    /// it, the more often nothing is shown.
    #[test]
    fn noisy_trials_rarely_lead_above_the_truth() {
        const CAPACITY: f64 = 2000.0;
        let mut random = Pcg64Mcg::seed_from_u64(3);
        let (mut above, mut far_below) = (0, 0);
        for _ in 0..400 {
            let (answer, _) = search(RANGE, |step| {
                let margin = 1.0 - level(step) / CAPACITY;
                let long = matches!(step, Step::Hold(_));
                let shown = (margin / if long { 0.02 } else { 0.06 }).clamp(0.0, 1.0);
                if margin < 0.0 {
                    if random.random_bool(0.05) {
                        Trial::Pass
                    } else {
                        Trial::Fail
                    }
                } else if random.random_bool(shown) {
                    Trial::Pass
                } else {
                    Trial::Unclear
                }
            });
            match answer {
                Answer::Found { level, .. } if level > CAPACITY => above += 1,
                Answer::Found { level, .. } if level > 0.85 * CAPACITY => {}
                _ => far_below += 1,
            }
        }
        // A wrong answer takes a wrong probe and a wrong hold: rarer than the error of one trial.
        assert!(above <= 12, "{above} of 400 above the truth");
        assert!(far_below <= 20, "{far_below} of 400 far below it");
    }

    #[test]
    fn the_knee_is_where_more_load_stops_paying() {
        // An M/M/1 queue with a service time of 1 ms: power is greatest at half its capacity.
        let curve: Vec<(f64, f64)> = (1..20_i32)
            .map(|tenth| {
                let rate = f64::from(tenth) * 50.0;
                (rate, 1.0 / (1000.0 - rate))
            })
            .collect();
        assert_eq!(knee(&curve), Some(9));
        assert_eq!(knee(&[]), None);
    }
}
