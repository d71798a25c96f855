//! What is counted about requests that were turned away or sent more than once.

use super::latencies::{Distribution, Latencies};
use super::packed::PackedLatencies;
use serde::{Deserialize, Serialize};

/// What is known about the tries of one named request in one population.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TryTally<H = Latencies> {
    /// Answers of 429 or 503, of all tries.
    pub turned_away: u64,
    /// Those of them that said when to come back (`Retry-After`).
    pub told: u64,
    /// The waits that they asked for.
    pub asked: H,
    /// Requests that were tried more than once.
    pub retried: u64,
    /// Further tries, without the first of each request.
    pub retries: u64,
    /// Answers that said "not yet" to a step that polls.
    pub not_yet: u64,
}

impl TryTally<Latencies> {
    /// Adds another tally.
    pub fn merge(&mut self, other: &TryTally<impl Distribution>) {
        self.turned_away += other.turned_away;
        self.told += other.told;
        self.asked.merge(&other.asked);
        self.retried += other.retried;
        self.retries += other.retries;
        self.not_yet += other.not_yet;
    }

    /// Forgets everything, and keeps the memory.
    pub fn reset(&mut self) {
        self.turned_away = 0;
        self.told = 0;
        self.asked.reset();
        self.retried = 0;
        self.retries = 0;
        self.not_yet = 0;
    }

    /// The same tally at rest.
    pub fn pack(&self) -> TryTally<PackedLatencies> {
        TryTally {
            turned_away: self.turned_away,
            told: self.told,
            asked: self.asked.pack(),
            retried: self.retried,
            retries: self.retries,
            not_yet: self.not_yet,
        }
    }
}

impl<H> TryTally<H> {
    /// Whether every request was sent once and none was turned away.
    pub fn is_empty(&self) -> bool {
        self.turned_away == 0 && self.retries == 0 && self.not_yet == 0
    }
}
