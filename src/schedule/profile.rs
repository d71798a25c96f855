//! A level that changes over time: a rate or a number of users, piecewise linear.
//!
//! Area and inverse are closed forms, so that the k-th arrival of a ramp is computed and never
//! accumulated.

use serde::{Deserialize, Serialize};

/// A piecewise linear level over the time since the start of a phase.
///
/// It begins at 0; a stage of no length is a step. After the last stage its level stays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Profile {
    stages: Vec<Stage>,
}

/// One stretch of a profile: from the level before, in a straight line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// The level at its end.
    pub to: f64,
    /// Its length in nanoseconds; 0 for a step.
    pub over_ns: u64,
}

/// A stage with its beginning.
#[derive(Clone, Copy)]
struct Segment {
    from_ns: u64,
    length_ns: u64,
    from: f64,
    to: f64,
}

impl Segment {
    fn seconds(self) -> f64 {
        self.length_ns as f64 / 1e9
    }

    fn area(self) -> f64 {
        f64::midpoint(self.from, self.to) * self.seconds()
    }

    /// The level so many seconds after its beginning.
    fn at(self, seconds: f64) -> f64 {
        if self.length_ns == 0 {
            return self.to;
        }
        self.from + (self.to - self.from) * (seconds / self.seconds())
    }
}

impl Profile {
    /// The same level all the time.
    pub fn constant(level: f64) -> Self {
        Self {
            stages: vec![Stage {
                to: level,
                over_ns: 0,
            }],
        }
    }

    /// A profile of these stages.
    pub fn new(stages: Vec<Stage>) -> Self {
        Self { stages }
    }

    /// The stages.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The level, if it is the same all the time.
    pub fn as_constant(&self) -> Option<f64> {
        let first = self.stages.first()?;
        let constant = first.over_ns == 0 && self.stages.iter().all(|stage| stage.to == first.to);
        constant.then_some(first.to)
    }

    /// From when on the level does not change any more, in nanoseconds.
    pub fn steady_from_ns(&self) -> u64 {
        let last = self.last();
        let changes = self.segments().enumerate().filter(|(index, segment)| {
            // The level before a first step is no level.
            let is_first_step = *index == 0 && segment.length_ns == 0;
            !is_first_step && (segment.from != last || segment.to != last)
        });
        changes
            .map(|(_, segment)| segment.from_ns.saturating_add(segment.length_ns))
            .last()
            .unwrap_or(0)
    }

    /// How long its stages are, in nanoseconds.
    pub fn length_ns(&self) -> u64 {
        self.stages
            .iter()
            .fold(0, |sum, stage| sum.saturating_add(stage.over_ns))
    }

    /// Its highest level.
    pub fn peak(&self) -> f64 {
        self.stages.iter().map(|stage| stage.to).fold(0.0, f64::max)
    }

    /// The level after the last stage.
    fn last(&self) -> f64 {
        self.stages.last().map_or(0.0, |stage| stage.to)
    }

    fn segments(&self) -> impl Iterator<Item = Segment> {
        let mut from_ns = 0u64;
        let mut from = 0.0;
        self.stages.iter().map(move |stage| {
            let segment = Segment {
                from_ns,
                length_ns: stage.over_ns,
                from,
                to: stage.to,
            };
            from_ns = from_ns.saturating_add(stage.over_ns);
            from = stage.to;
            segment
        })
    }

    /// The level at a time in nanoseconds since the start.
    pub fn at(&self, ns: u64) -> f64 {
        self.segments()
            .find(|segment| ns < segment.from_ns.saturating_add(segment.length_ns))
            .map_or(self.last(), |segment| {
                segment.at((ns - segment.from_ns) as f64 / 1e9)
            })
    }

    /// The level integrated over the first so many nanoseconds, in level-seconds: for a rate, the
    /// number of arrivals.
    pub fn area(&self, ns: u64) -> f64 {
        let mut sum = 0.0;
        for segment in self.segments() {
            let end_ns = segment.from_ns.saturating_add(segment.length_ns);
            if ns < end_ns {
                let seconds = (ns - segment.from_ns) as f64 / 1e9;
                return sum + f64::midpoint(segment.from, segment.at(seconds)) * seconds;
            }
            sum += segment.area();
        }
        sum + self.last() * ((ns - self.length_ns().min(ns)) as f64 / 1e9)
    }

    /// The earliest time, in nanoseconds since the start, at which the area reaches `area`; `None`
    /// if it never does.
    ///
    /// Within a ramp from `a` to `b` over `d` seconds the area after `x` seconds is
    /// `a·x + (b − a)·x² ÷ (2·d)`; its root is taken in the form that does not cancel.
    pub fn when_area(&self, area: f64) -> Option<u64> {
        let mut left = area;
        for segment in self.segments() {
            let whole = segment.area();
            if segment.length_ns > 0 && left <= whole && whole > 0.0 {
                let slope = (segment.to - segment.from) / segment.seconds();
                let root = (segment.from * segment.from + 2.0 * slope * left)
                    .max(0.0)
                    .sqrt();
                let sum = segment.from + root;
                let seconds = if sum > 0.0 { 2.0 * left / sum } else { 0.0 };
                let offset = nanoseconds(seconds)?.min(segment.length_ns);
                return Some(segment.from_ns + offset);
            }
            left -= whole;
        }
        let last = self.last();
        if last <= 0.0 {
            return None;
        }
        nanoseconds(left / last)?.checked_add(self.length_ns())
    }

    /// The earliest time from `from_ns` on at which the level is above `level`; `None` if it never is
    /// again.
    pub fn when_above(&self, level: f64, from_ns: u64) -> Option<u64> {
        for segment in self.segments() {
            let end_ns = segment.from_ns.saturating_add(segment.length_ns);
            if end_ns <= from_ns {
                continue;
            }
            let begin_ns = from_ns.max(segment.from_ns);
            if segment.at((begin_ns - segment.from_ns) as f64 / 1e9) > level {
                return Some(begin_ns);
            }
            if segment.to > level {
                let seconds =
                    segment.seconds() * (level - segment.from) / (segment.to - segment.from);
                // One nanosecond later it is above.
                let crossing = segment.from_ns + nanoseconds(seconds)? + 1;
                return Some(crossing.max(begin_ns));
            }
        }
        (self.last() > level).then(|| from_ns.max(self.length_ns()))
    }
}

/// Seconds as nanoseconds; `None` beyond what a run can last.
fn nanoseconds(seconds: f64) -> Option<u64> {
    const LONGEST_S: f64 = 4e9;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and bounded above"
    )]
    let nanoseconds = (seconds.max(0.0) * 1e9).round() as u64;
    (seconds <= LONGEST_S).then_some(nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: u64 = 1_000_000_000;

    fn ramp() -> Profile {
        // Up to 200 in 10 s, 20 s there, a step to 50, 10 s there, down to 0 in 10 s.
        let stage = |to, seconds| Stage {
            to,
            over_ns: seconds * S,
        };
        Profile::new(vec![
            stage(200.0, 10),
            stage(200.0, 20),
            stage(50.0, 0),
            stage(50.0, 10),
            stage(0.0, 10),
        ])
    }

    #[test]
    fn a_profile_is_steady_after_its_last_change() {
        const S: u64 = 1_000_000_000;
        let stage = |to, over_s: u64| Stage {
            to,
            over_ns: over_s * S,
        };
        let steady = |stages: &[Stage]| Profile::new(stages.to_vec()).steady_from_ns() / S;
        assert_eq!(steady(&[stage(5.0, 0)]), 0);
        assert_eq!(steady(&[stage(5.0, 0), stage(5.0, 60)]), 0);
        assert_eq!(steady(&[stage(5.0, 30), stage(5.0, 60)]), 30);
        assert_eq!(
            steady(&[stage(5.0, 0), stage(5.0, 60), stage(9.0, 0), stage(9.0, 60)]),
            60
        );
        assert_eq!(steady(&[stage(5.0, 30), stage(9.0, 60)]), 90);
    }

    #[test]
    fn level_and_area_are_those_of_geometry() {
        let ramp = ramp();
        for (seconds, level) in [
            (0, 0.0),
            (5, 100.0),
            (10, 200.0),
            (29, 200.0),
            (30, 50.0),
            (45, 25.0),
        ] {
            assert!((ramp.at(seconds * S) - level).abs() < 1e-9, "at {seconds}");
        }
        for (seconds, area) in [
            (0, 0.0),
            (5, 250.0),
            (10, 1000.0),
            (30, 5000.0),
            (40, 5500.0),
            (50, 5750.0),
            (90, 5750.0),
        ] {
            assert!((ramp.area(seconds * S) - area).abs() < 1e-9, "at {seconds}");
        }
        assert_eq!(ramp.when_area(250.0), Some(5 * S));
        assert_eq!(ramp.when_area(5500.0), Some(40 * S));
        assert_eq!(ramp.when_area(5751.0), None);
        assert_eq!((ramp.peak(), ramp.length_ns()), (200.0, 50 * S));
        assert_eq!(ramp.as_constant(), None);
        assert_eq!(Profile::constant(7.0).as_constant(), Some(7.0));
    }

    #[test]
    fn crossings_are_found_on_the_way_up_and_never_after_the_way_down() {
        let ramp = ramp();
        assert_eq!(ramp.when_above(100.0, 0), Some(5 * S + 1));
        assert_eq!(ramp.when_above(100.0, 12 * S), Some(12 * S));
        assert_eq!(ramp.when_above(100.0, 31 * S), None);
        assert_eq!(ramp.when_above(0.0, 0), Some(1));
        assert_eq!(ramp.when_above(0.0, 50 * S), None);
        assert_eq!(Profile::constant(3.0).when_above(2.0, 9), Some(9));
        assert_eq!(Profile::constant(3.0).when_above(3.0, 9), None);
    }

    proptest! {
        #[test]
        fn the_inverse_undoes_the_area(
            stages in prop::collection::vec((0u32..2000, 0u64..100), 1..6),
            share in 0.0..1.0f64,
        ) {
            let mut stages: Vec<Stage> = stages
                .into_iter()
                .map(|(to, over)| Stage { to: f64::from(to), over_ns: over * S })
                .collect();
            stages.push(Stage { to: 10.0, over_ns: 5 * S });
            let profile = Profile::new(stages);
            let area = share * profile.area(profile.length_ns() + 100 * S);
            let ns = profile.when_area(area).expect("it ends at a level above 0");
            // Rounded to a nanosecond at no more than 2000 a second.
            prop_assert!((profile.area(ns) - area).abs() < 1e-5, "{} {area}", profile.area(ns));
        }
    }
}
