//! Load shapes and stop rules as values: numbers in, numbers out.
//!
//! One worker loop of the engine runs them all; nothing here knows time or sockets.

mod arrivals;
mod mix;
mod profile;
mod retry;
mod trace;

pub use arrivals::{Arrival, ArrivalProcess, Arrivals, Share};
pub use mix::Mix;
pub use profile::{Profile, Stage};
pub use retry::{GivenUp, Retry};
pub use trace::{Trace, TraceError};

use std::time::Duration;

/// What drives a phase.
#[derive(Clone, Debug, PartialEq)]
pub enum Load {
    /// Requests wait for answers.
    Closed(Closed),
    /// Requests come when the schedule says, whatever the target does.
    Open(Open),
}

/// A closed loop: so many users, each of which sends its next request when the one before is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Closed {
    /// How many users there are, over the time since the start of the phase.
    pub users: Profile,
    /// How long a user pauses between the end of a request and the intended start of the next one.
    pub think_time: Duration,
}

/// An open loop: requests leave when the schedule says, whatever the target does.
#[derive(Clone, Debug, PartialEq)]
pub struct Open {
    /// When requests are intended to start.
    pub arrivals: Arrivals,
    /// How many may be in flight at once; what comes above that waits, with its intended start.
    pub max_in_flight: u32,
    /// What has waited this long is not sent any more, and counts as failed; `None` for never.
    pub shed_after: Option<Duration>,
    /// Whether CPU time is spent on meeting the intended starts to the microsecond.
    pub precise: bool,
}

impl Load {
    /// A closed loop with a constant number of users that do not pause.
    pub fn concurrency(users: u32) -> Self {
        Self::Closed(Closed {
            users: Profile::constant(users.into()),
            think_time: Duration::ZERO,
        })
    }

    /// The largest number of requests that can be in flight.
    pub fn slots(&self) -> u32 {
        match self {
            Self::Closed(closed) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "the scenario allows a million users; a float cast saturates"
                )]
                let users = closed.users.peak().ceil() as u32;
                users
            }
            Self::Open(open) => open.max_in_flight,
        }
    }
}

/// When the measured part of a phase ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// So long after the warm-up.
    After(Duration),
    /// After so many requests that were intended to start after the warm-up.
    Count(u64),
}

/// The part of `total` that falls to one of `parts`, so that all parts add up to the total and
/// differ by one at most.
pub fn part_of(total: u64, parts: u64, part: u64) -> u64 {
    total / parts + u64::from(part < total % parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_add_up(total in 0u64..10_000, parts in 1u64..64) {
            let shares: Vec<u64> = (0..parts).map(|part| part_of(total, parts, part)).collect();
            prop_assert_eq!(shares.iter().sum::<u64>(), total);
            let (min, max) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
            prop_assert!(max - min <= 1);
        }
    }
}
