//! What is recorded of logins: never the token.

use super::outcome::Outcome;
use super::tally::Failure;
use serde::{Deserialize, Serialize};

/// One try to get a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginRecord {
    /// When it began, in nanoseconds since the start of the run; 0 for before it.
    pub at_ns: u64,
    /// How long it took, in nanoseconds.
    pub took_ns: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// How long the token is valid from then on, in nanoseconds; `None` without one, and for as long as
    /// the run takes.
    pub valid_ns: Option<u64>,
    /// What went wrong, if anything did.
    pub failure: Option<Failure>,
    /// Whether the token before it was refused before its end: that is why it came when it did.
    #[serde(default)]
    pub after_refusal: bool,
}

/// The longest time in which no token was valid, between the end of one and the next: when it began and
/// how long it was, in nanoseconds. The last one is looked at until `ended_ns`.
pub(super) fn longest_lapse(logins: &[LoginRecord], ended_ns: u64) -> Option<(u64, u64)> {
    let mut valid_to: Option<u64> = None;
    let mut longest: Option<(u64, u64)> = None;
    let ends = logins
        .iter()
        .filter(|login| login.outcome == Outcome::Ok)
        .map(|login| {
            let to = login
                .valid_ns
                .map_or(u64::MAX, |valid| login.at_ns.saturating_add(valid));
            (login.at_ns.saturating_add(login.took_ns), to)
        })
        .chain([(ended_ns, ended_ns)]);
    for (from, to) in ends {
        if let Some(before) = valid_to
            && from > before
            && longest.is_none_or(|(_, length)| from - before > length)
        {
            longest = Some((before, from - before));
        }
        valid_to = Some(to);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(at: u64, valid: Option<u64>, outcome: Outcome) -> LoginRecord {
        LoginRecord {
            at_ns: at,
            took_ns: 1,
            outcome,
            valid_ns: valid,
            failure: None,
            after_refusal: false,
        }
    }

    #[test]
    fn a_lapse_is_the_time_between_the_end_of_a_token_and_the_next() {
        let ok = |at, valid| login(at, Some(valid), Outcome::Ok);
        assert_eq!(longest_lapse(&[ok(0, 10), ok(5, 10)], 15), None);
        assert_eq!(longest_lapse(&[ok(0, 10), ok(5, 10)], 18), Some((15, 3)));
        let late = [
            ok(0, 10),
            login(8, None, Outcome::Timeout),
            ok(13, 10),
            ok(22, 10),
        ];
        assert_eq!(longest_lapse(&late, 30), Some((10, 4)));
        assert_eq!(longest_lapse(&[login(0, None, Outcome::Ok)], 99), None);
        assert_eq!(longest_lapse(&[], 99), None);
    }
}
