//! Which runs are asked for.

use super::RunSummary;
use crate::verdict::Verdict;
use jiff::Timestamp;

/// Conditions that a run must meet; an empty filter takes all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The scenario's name.
    pub scenario: Option<String>,
    /// The verdict.
    pub verdict: Option<Verdict>,
    /// A part of the target's URL.
    pub target: Option<String>,
    /// The git branch.
    pub branch: Option<String>,
    /// The environment key, or its first digits.
    pub environment: Option<String>,
    /// The run began then or later.
    pub since: Option<Timestamp>,
    /// The run began before this moment.
    pub before: Option<Timestamp>,
    /// At most so many, the newest.
    pub last: Option<usize>,
}

impl Filter {
    /// Whether a run meets every condition but that of the number.
    pub fn takes(&self, run: &RunSummary) -> bool {
        let is = |wanted: &Option<String>, value: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == value)
        };
        is(&self.scenario, &run.scenario)
            && self
                .verdict
                .is_none_or(|verdict| run.verdict == Some(verdict))
            && self
                .target
                .as_deref()
                .is_none_or(|part| run.target.contains(part))
            && is(&self.branch, run.git_branch.as_deref().unwrap_or_default())
            && self
                .environment
                .as_deref()
                .is_none_or(|key| run.environment_key.starts_with(key))
            && self.since.is_none_or(|since| run.began() >= since)
            && self.before.is_none_or(|before| run.began() < before)
    }

    /// The runs it takes, the newest first.
    pub fn of(&self, runs: impl IntoIterator<Item = RunSummary>) -> Vec<RunSummary> {
        let mut taken: Vec<RunSummary> = runs.into_iter().filter(|run| self.takes(run)).collect();
        taken.sort_by(|a, b| (b.began(), &b.id).cmp(&(a.began(), &a.id)));
        taken.truncate(self.last.unwrap_or(usize::MAX));
        taken
    }
}

/// A moment as people name it: a date, a moment, or how long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// This moment.
    Moment(Timestamp),
    /// So many seconds before now.
    Ago(i64),
}

impl Since {
    /// The moment, seen from `now`. What lies before the calendar begins is the beginning.
    pub fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Moment(moment) => moment,
            Self::Ago(seconds) => now
                .checked_sub(jiff::SignedDuration::from_secs(seconds))
                .unwrap_or(Timestamp::MIN),
        }
    }
}

/// Reads `2026-11-01` (midnight UTC), `2026-11-01T08:00:00Z` or `7d`.
///
/// # Errors
/// What it should have been.
pub fn parse_since(text: &str) -> Result<Since, String> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(Since::Moment(moment));
    }
    if let Ok(moment) = format!("{text}T00:00:00Z").parse::<Timestamp>() {
        return Ok(Since::Moment(moment));
    }
    crate::units::parse_duration(text)
        .ok()
        .and_then(|ago| i64::try_from(ago.as_secs()).ok())
        .map(Since::Ago)
        .ok_or_else(|| {
            format!(
                "`{text}` is not a date such as `2026-11-01`, a moment such as \
                 `2026-11-01T08:00:00Z` or a length of time such as `7d`"
            )
        })
}

#[cfg(test)]
mod tests {
    use super::super::summary::example;
    use super::*;

    #[test]
    fn each_condition_counts() {
        let run = example("a", "2026-11-20T08:00:00Z", 0.1);
        let since = |text: &str| Some(text.parse().unwrap());
        let takes = |filter: Filter| filter.takes(&run);
        let text = |text: &str| Some(text.to_owned());
        assert!(takes(Filter::default()));
        assert!(takes(Filter {
            scenario: text("prod"),
            verdict: Some(Verdict::Pass),
            target: text("10.0.0.7"),
            branch: text("main"),
            environment: text("0123"),
            since: since("2026-11-20T08:00:00Z"),
            before: since("2026-11-20T08:00:01Z"),
            last: None,
        }));
        let others = [
            Filter {
                scenario: text("pro"),
                ..Filter::default()
            },
            Filter {
                verdict: Some(Verdict::Fail),
                ..Filter::default()
            },
            Filter {
                target: text("10.0.0.8"),
                ..Filter::default()
            },
            Filter {
                branch: text(""),
                ..Filter::default()
            },
            Filter {
                environment: text("123"),
                ..Filter::default()
            },
            Filter {
                since: since("2026-11-20T08:00:01Z"),
                ..Filter::default()
            },
            Filter {
                before: since("2026-11-20T08:00:00Z"),
                ..Filter::default()
            },
        ];
        for filter in others {
            assert!(!takes(filter.clone()), "{filter:?}");
        }
    }

    #[test]
    fn the_newest_come_first_and_only_so_many() {
        let runs = ["2026-11-20", "2026-11-22", "2026-11-21"]
            .map(|day| example(day, &format!("{day}T08:00:00Z"), 0.1));
        let filter = Filter {
            last: Some(2),
            ..Filter::default()
        };
        let ids: Vec<String> = filter.of(runs).into_iter().map(|run| run.id).collect();
        assert_eq!(ids, ["2026-11-22", "2026-11-21"]);
    }

    #[test]
    fn moments_are_read_as_people_write_them() {
        let now: Timestamp = "2026-11-25T12:00:00Z".parse().unwrap();
        let at = |text: &str| parse_since(text).unwrap().at(now).to_string();
        assert_eq!(at("2026-11-01"), "2026-11-01T00:00:00Z");
        assert_eq!(at("2026-11-01T08:00:00Z"), "2026-11-01T08:00:00Z");
        assert_eq!(at("7d"), "2026-11-18T12:00:00Z");
        let error = parse_since("last week").unwrap_err();
        assert!(error.contains("`last week` is not a date"), "{error}");
    }
}
