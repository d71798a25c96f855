//! How a request can end. Every planned request ends in exactly one of these.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The end of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Answered as the scenario expects.
    Ok,
    /// Answered with a status that the scenario does not expect.
    BadStatus,
    /// Answered with the right status, but the body is not as expected.
    FailedCheck,
    /// Not answered within the timeout.
    Timeout,
    /// No connection could be made.
    Connect,
    /// The connection, or the stream that carried the request, broke before the answer was complete.
    Reset,
    /// The answer is not HTTP, or the request is none.
    Malformed,
    /// Never sent, because the scenario's limit on waiting was reached.
    Shed,
    /// Still unanswered when the drain time after the phase was over.
    InFlightAtEnd,
}

/// What an outcome means for a latency: known, irrelevant, or a lower limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The latency counts.
    Ok,
    /// The request failed; its latency says nothing about good answers.
    Failed,
    /// We know only that it took at least this long.
    Censored,
}

impl Outcome {
    /// Every outcome, in the order of the counts in [`Outcomes`].
    pub const ALL: [Self; 9] = [
        Self::Ok,
        Self::BadStatus,
        Self::FailedCheck,
        Self::Timeout,
        Self::Connect,
        Self::Reset,
        Self::Malformed,
        Self::Shed,
        Self::InFlightAtEnd,
    ];

    /// What it means for a latency.
    pub fn class(self) -> Class {
        match self {
            Self::Ok => Class::Ok,
            Self::Timeout | Self::InFlightAtEnd => Class::Censored,
            Self::BadStatus
            | Self::FailedCheck
            | Self::Connect
            | Self::Reset
            | Self::Malformed
            | Self::Shed => Class::Failed,
        }
    }

    /// The words in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::BadStatus => "bad status",
            Self::FailedCheck => "failed check",
            Self::Timeout => "timed out",
            Self::Connect => "could not connect",
            Self::Reset => "connection broke",
            Self::Malformed => "malformed answer",
            Self::Shed => "shed",
            Self::InFlightAtEnd => "in flight at end",
        }
    }

    fn index(self) -> usize {
        // The discriminants are the positions in `ALL`; a test holds them to it.
        self as usize
    }
}

/// How many requests ended in each outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes([u64; Outcome::ALL.len()]);

impl Outcomes {
    /// Counts one more.
    pub fn add(&mut self, outcome: Outcome) {
        self.0[outcome.index()] += 1;
    }

    /// Counts those of another tally as well.
    pub fn merge(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum += more;
        }
    }

    /// The count of one outcome.
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.0[outcome.index()]
    }

    /// All that ended.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// All that did not succeed.
    pub fn not_ok(&self) -> u64 {
        self.total() - self.of(Outcome::Ok)
    }

    /// All that failed outright: answered wrongly, or not reached at all.
    pub fn failed(&self) -> u64 {
        Outcome::ALL
            .into_iter()
            .filter(|outcome| outcome.class() == Class::Failed)
            .map(|outcome| self.of(outcome))
            .sum()
    }

    /// Each outcome that occurred, with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Outcome, u64)> + '_ {
        Outcome::ALL
            .into_iter()
            .map(|outcome| (outcome, self.of(outcome)))
            .filter(|(_, count)| *count > 0)
    }
}

/// Why a request did not succeed, precisely enough to tell apart what needs different remedies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// An unexpected HTTP status.
    Status(u16),
    /// The body is not JSON, though the scenario looks into it.
    NotJson,
    /// The JSON expectation with this index did not hold.
    JsonCheck(u16),
    /// The text expectation with this index did not hold.
    TextCheck(u16),
    /// The body is longer than what is kept for checks.
    BodyTooLarge,
    /// A stream ended before it was complete.
    StreamCutOff,
    /// A stream told of an error.
    StreamError,
    /// The answer lacks what the capture with this index takes from it.
    NotCaptured(u16),
    /// What a step waits for will not happen: its `fail` condition holds.
    PollFailed,
    /// What a step waits for had not happened within its limit.
    NotYet,
    /// A streamed answer ended for a reason that the scenario does not expect.
    FinishReason,
    /// No answer in time.
    NoAnswer,
    /// No connection in time.
    ConnectTimeout,
    /// Nobody listens there.
    Refused,
    /// The name does not resolve.
    NameUnknown,
    /// No route, or the network is down.
    Unreachable,
    /// This machine ran out of file descriptors or ports.
    LocalLimit,
    /// No agreement on TLS: a certificate, a name or a version that one side does not accept.
    Tls,
    /// The target does not speak the version of HTTP that the scenario asks for.
    NoCommonHttp,
    /// Another failure to connect.
    ConnectOther,
    /// The peer reset the connection.
    ResetByPeer,
    /// The peer closed the connection before the answer was complete.
    ClosedEarly,
    /// Another failure of the connection.
    ConnectionOther,
    /// The server would not take up the stream of the request (HTTP/2, `REFUSED_STREAM`).
    StreamRefused,
    /// The server reset the stream of the request (HTTP/2).
    StreamReset,
    /// The server closes the connection and did not take up the request (HTTP/2, GOAWAY).
    GoneAway,
    /// Bytes that are not HTTP.
    NotHttp,
    /// The request, as it was rendered, cannot be sent over this protocol.
    Unsendable,
    /// The request waited longer than the scenario allows.
    WaitedTooLong,
    /// The run ended first.
    RunEnded,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status}"),
            Self::NotJson => f.write_str("body is not JSON"),
            Self::JsonCheck(index) => write!(f, "JSON expectation {}", index + 1),
            Self::TextCheck(index) => write!(f, "text expectation {}", index + 1),
            Self::BodyTooLarge => f.write_str("body too large to check"),
            Self::StreamCutOff => f.write_str("stream cut off"),
            Self::StreamError => f.write_str("error in the stream"),
            Self::NotCaptured(index) => write!(f, "captured value {} missing", index + 1),
            Self::PollFailed => f.write_str("what was waited for failed"),
            Self::NotYet => f.write_str("not done within the limit"),
            Self::FinishReason => f.write_str("unexpected finish reason"),
            Self::NoAnswer => f.write_str("no answer in time"),
            Self::ConnectTimeout => f.write_str("no connection in time"),
            Self::Refused => f.write_str("connection refused"),
            Self::NameUnknown => f.write_str("name does not resolve"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::LocalLimit => f.write_str("out of descriptors or ports here"),
            Self::Tls => f.write_str("TLS failed"),
            Self::NoCommonHttp => f.write_str("version of HTTP not spoken"),
            Self::ConnectOther => f.write_str("connecting failed"),
            Self::ResetByPeer => f.write_str("reset by peer"),
            Self::ClosedEarly => f.write_str("closed before the answer was complete"),
            Self::ConnectionOther => f.write_str("connection failed"),
            Self::StreamRefused => f.write_str("stream refused"),
            Self::StreamReset => f.write_str("stream reset by peer"),
            Self::GoneAway => f.write_str("connection going away"),
            Self::NotHttp => f.write_str("not HTTP"),
            Self::Unsendable => f.write_str("cannot be sent"),
            Self::WaitedTooLong => f.write_str("waited too long to be sent"),
            Self::RunEnded => f.write_str("the run ended first"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_place_and_is_counted_once() {
        let mut outcomes = Outcomes::default();
        for (position, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome.index(), position);
            outcomes.add(outcome);
        }
        assert_eq!(outcomes.total(), 9);
        assert_eq!(outcomes.not_ok(), 8);
        assert_eq!(outcomes.failed(), 6);
        assert!(
            Outcome::ALL
                .iter()
                .all(|&outcome| outcomes.of(outcome) == 1)
        );
    }
}
