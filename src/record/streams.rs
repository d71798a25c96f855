//! What is counted about streamed answers: when tokens came, and how many.
//!
//! Percentiles of tokens rest on successful streams. A stream that did not succeed counts as one that
//! is slower than any limit, whatever came of it before.

use super::latencies::{Above, Distribution, Latencies};
use super::outcome::{Class, Outcome};
use super::over::Over;
use super::packed::PackedLatencies;
use super::tally::Sample;
use crate::gate::LatencyKind;
use serde::{Deserialize, Serialize};

/// What came of one streamed answer. Times are nanoseconds since the start of the run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Streamed {
    /// When this program had read the first event with a token.
    pub first_ns: Option<u64>,
    /// When the kernel had received it, where it tells; else the same.
    pub first_received_ns: Option<u64>,
    /// When the kernel had received the last one, where it tells; else when it had been read.
    pub last_ns: Option<u64>,
    /// The time from each event with a token to the next one, in nanoseconds.
    pub gaps_ns: Vec<u64>,
    /// Events with tokens.
    pub events: u64,
    /// Tokens, where the server said how many.
    pub tokens: Option<u64>,
}

impl Streamed {
    /// Tokens, as the server counted them, or as many as there were events with tokens.
    pub fn token_count(&self) -> u64 {
        self.tokens.unwrap_or(self.events)
    }

    /// Time per output token: from the first token to the last, by the tokens after the first;
    /// `None` for fewer than two tokens.
    pub fn tpot_ns(&self) -> Option<u64> {
        let after_first = self.token_count().checked_sub(1).filter(|&more| more > 0)?;
        let span = self.last_ns?.saturating_sub(self.first_received_ns?);
        Some(span / after_first)
    }
}

/// What is known about the streams of one named request in one population.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamTally<H = Latencies> {
    /// Streams that succeeded.
    pub ok: u64,
    /// Streams that failed or timed out.
    pub not_ok: u64,
    /// Streams that were not over when the run was.
    pub open: u64,
    /// Successful streams whose tokens the server counted.
    pub counted_by_server: u64,
    /// Events with tokens, of successful streams.
    pub events: u64,
    /// Tokens of successful streams, as the server counted them, or else one for each event.
    pub tokens: u64,
    /// Times to the first token, from the intended start.
    pub ttft: H,
    /// Times to the first token, from the actual send.
    pub ttft_service: H,
    /// Times between two events with tokens, of all streams together.
    pub itl: H,
    /// Times per output token, one for each stream.
    pub tpot: H,
}

impl StreamTally<Latencies> {
    /// Counts the stream of a finished request.
    pub fn finish(&mut self, sample: &Sample, stream: &Streamed) {
        match sample.outcome.class() {
            Class::Ok => self.ok += 1,
            Class::Censored if sample.outcome == Outcome::InFlightAtEnd => {
                self.open += 1;
                return;
            }
            Class::Failed | Class::Censored => {
                self.not_ok += 1;
                return;
            }
        }
        self.counted_by_server += u64::from(stream.tokens.is_some());
        self.events += stream.events;
        self.tokens += stream.token_count();
        if let Some(first) = stream.first_ns {
            self.ttft.record(first.saturating_sub(sample.intended_ns));
        }
        if let Some(received) = stream.first_received_ns {
            let sent = sample.sent_ns.unwrap_or(sample.intended_ns);
            self.ttft_service.record(received.saturating_sub(sent));
        }
        for &gap in &stream.gaps_ns {
            self.itl.record(gap);
        }
        if let Some(tpot) = stream.tpot_ns() {
            self.tpot.record(tpot);
        }
    }

    /// Adds another tally.
    pub fn merge(&mut self, other: &StreamTally<impl Distribution>) {
        self.ok += other.ok;
        self.not_ok += other.not_ok;
        self.open += other.open;
        self.counted_by_server += other.counted_by_server;
        self.events += other.events;
        self.tokens += other.tokens;
        self.ttft.merge(&other.ttft);
        self.ttft_service.merge(&other.ttft_service);
        self.itl.merge(&other.itl);
        self.tpot.merge(&other.tpot);
    }

    /// Forgets everything, and keeps the memory.
    pub fn reset(&mut self) {
        self.ok = 0;
        self.not_ok = 0;
        self.open = 0;
        self.counted_by_server = 0;
        self.events = 0;
        self.tokens = 0;
        for latencies in [
            &mut self.ttft,
            &mut self.ttft_service,
            &mut self.itl,
            &mut self.tpot,
        ] {
            latencies.reset();
        }
    }

    /// The same tally at rest.
    pub fn pack(&self) -> StreamTally<PackedLatencies> {
        StreamTally {
            ok: self.ok,
            not_ok: self.not_ok,
            open: self.open,
            counted_by_server: self.counted_by_server,
            events: self.events,
            tokens: self.tokens,
            ttft: self.ttft.pack(),
            ttft_service: self.ttft_service.pack(),
            itl: self.itl.pack(),
            tpot: self.tpot.pack(),
        }
    }
}

impl<H> StreamTally<H> {
    /// Whether there was no stream at all.
    pub fn is_empty(&self) -> bool {
        self.ok + self.not_ok + self.open == 0
    }

    /// How many tokens an event carried on average; `None` without events.
    pub fn tokens_per_event(&self) -> Option<f64> {
        (self.events > 0).then(|| self.tokens as f64 / self.events as f64)
    }

    /// The tokens per second that one user sees at the median: the inverse of the time per output
    /// token; `None` without one.
    pub fn tokens_per_second_per_user(&self) -> Option<f64>
    where
        H: Distribution,
    {
        let tpot_ns = self.tpot.quantile_ns(0.5)?;
        Some(1e9 / tpot_ns as f64)
    }

    /// How the tokens were counted, in a few words.
    pub fn counted_by(&self) -> &'static str {
        match (self.counted_by_server, self.ok) {
            (0, _) => "events",
            (by_server, ok) if by_server == ok => "usage",
            _ => "usage and events",
        }
    }
}

impl<H: Distribution> StreamTally<H> {
    /// Counts over a limit of one kind, of this many latencies. A stream that did not succeed counts as one
    /// that was slower.
    pub(super) fn over(&self, latencies: u64, slow: Above) -> Over {
        Over {
            at_most: slow.at_most + self.not_ok + self.open,
            at_least: slow.at_least + self.not_ok,
            total: latencies + self.not_ok + self.open,
        }
    }
}

impl Sample {
    /// A latency of this request as a service level objective looks at it, of the gaps between tokens
    /// the longest; `None` where there is none.
    pub fn latency_ns(&self, kind: LatencyKind) -> Option<u64> {
        let sent = || self.sent_ns.unwrap_or(self.intended_ns);
        let stream = self.stream.as_ref();
        let first = || stream.and_then(|stream| stream.first_ns);
        match kind {
            LatencyKind::Response => Some(self.end_ns.saturating_sub(self.intended_ns)),
            LatencyKind::Service => {
                let received = self.received_ns.unwrap_or(self.end_ns);
                Some(received.saturating_sub(sent()))
            }
            LatencyKind::Ttfb => self
                .first_byte_ns
                .map(|at| at.saturating_sub(self.intended_ns)),
            LatencyKind::Ttft => first().map(|at| at.saturating_sub(self.intended_ns)),
            LatencyKind::TtftService => stream
                .and_then(|stream| stream.first_received_ns)
                .map(|at| at.saturating_sub(sent())),
            LatencyKind::Itl => stream.and_then(|stream| stream.gaps_ns.iter().max().copied()),
            LatencyKind::Tpot => stream.and_then(|stream| stream.tpot_ns()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn sample(outcome: Outcome, tokens: Option<u64>) -> Sample {
        Sample {
            request: 0,
            intended_ns: 10 * MS,
            sent_ns: Some(12 * MS),
            first_byte_ns: Some(15 * MS),
            end_ns: 100 * MS,
            received_ns: None,
            outcome,
            stream: Some(Box::new(Streamed {
                first_ns: Some(20 * MS),
                first_received_ns: Some(19 * MS),
                last_ns: Some(79 * MS),
                gaps_ns: vec![10 * MS, 20 * MS, 30 * MS],
                events: 4,
                tokens,
            })),
        }
    }

    fn tally(samples: &[Sample]) -> StreamTally {
        let mut tally = StreamTally::default();
        for sample in samples {
            tally.finish(sample, sample.stream.as_ref().unwrap());
        }
        tally
    }

    #[track_caller]
    fn assert_ms(latencies: &Latencies, quantile: f64, truth: f64) {
        let value = latencies.quantile_ns(quantile).unwrap() as f64 / 1e6;
        assert!(
            (value / truth - 1.0).abs() < 0.001,
            "{value} ms, not {truth}"
        );
    }

    #[test]
    fn times_are_counted_from_start_and_from_send() {
        let tally = tally(&[sample(Outcome::Ok, None)]);
        assert_ms(&tally.ttft, 1.0, 10.0);
        // By the kernel's stamp.
        assert_ms(&tally.ttft_service, 1.0, 7.0);
        assert_eq!(tally.itl.count(), 3);
        assert_ms(&tally.itl, 0.5, 20.0);
        // 60 ms by three tokens after the first.
        assert_ms(&tally.tpot, 1.0, 20.0);
        assert_eq!((tally.tokens, tally.counted_by()), (4, "events"));
    }

    #[test]
    fn the_servers_own_count_is_better_than_that_of_events() {
        let by_server = tally(&[sample(Outcome::Ok, Some(13))]);
        assert_ms(&by_server.tpot, 1.0, 5.0);
        assert_eq!((by_server.tokens, by_server.counted_by()), (13, "usage"));
        assert_eq!(by_server.tokens_per_event(), Some(3.25));
        let mixed = tally(&[sample(Outcome::Ok, Some(13)), sample(Outcome::Ok, None)]);
        assert_eq!((mixed.tokens, mixed.counted_by()), (17, "usage and events"));
        // One token has no time after the first.
        let one = tally(&[sample(Outcome::Ok, Some(1))]);
        assert!(one.tpot.is_empty());
    }

    #[test]
    fn what_did_not_succeed_is_over_any_limit() {
        let tally = tally(&[
            sample(Outcome::Ok, None),
            sample(Outcome::FailedCheck, None),
            sample(Outcome::Timeout, None),
            sample(Outcome::InFlightAtEnd, None),
        ]);
        assert_eq!((tally.ok, tally.not_ok, tally.open), (1, 2, 1));
        assert_eq!(tally.ttft.count(), 1);
        let over = tally.over(tally.itl.count(), tally.itl.above(25 * MS));
        assert_eq!((over.at_least, over.at_most, over.total), (3, 4, 6));
    }

    #[test]
    fn merging_packing_and_forgetting_lose_nothing() {
        let samples = [sample(Outcome::Ok, Some(9)), sample(Outcome::Timeout, None)];
        let mut merged = tally(&samples[..1]);
        merged.merge(&tally(&samples[1..]).pack());
        assert_eq!(merged, tally(&samples));
        merged.reset();
        assert_eq!(merged, StreamTally::default());
        assert!(merged.is_empty());
    }

    #[test]
    fn an_objective_looks_at_the_longest_gap() {
        let sample = sample(Outcome::Ok, None);
        let ms = |kind| sample.latency_ns(kind).map(|ns| ns / MS);
        assert_eq!(ms(LatencyKind::Itl), Some(30));
        assert_eq!(ms(LatencyKind::Tpot), Some(20));
        assert_eq!(ms(LatencyKind::Response), Some(90));
        assert_eq!(ms(LatencyKind::Service), Some(88));
        assert_eq!(ms(LatencyKind::TtftService), Some(7));
    }
}
