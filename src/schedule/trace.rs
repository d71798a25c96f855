//! Recorded arrival times, to be replayed.

use super::{Profile, Stage};
use std::sync::Arc;

/// Arrival times of a recording, in nanoseconds since its first line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    offsets_ns: Arc<[u64]>,
}

/// A line of a trace that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceError {
    /// The line, from 1; 0 when the whole is at fault.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

impl Trace {
    /// Reads one arrival time per line: seconds as a decimal number, or a timestamp of RFC 3339.
    /// Empty lines and those that begin with `#` are left out. Only differences to the first line
    /// matter; `speed` divides them.
    ///
    /// # Errors
    /// The first line that is no time, or lies before the one above it.
    pub fn parse(text: &str, speed: f64) -> Result<Self, TraceError> {
        let mut offsets_ns: Vec<u64> = Vec::new();
        let mut first = None;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let fault = |message: String| TraceError {
                line: index + 1,
                message,
            };
            let at = nanoseconds(line).ok_or_else(|| {
                fault(format!(
                    "`{line}` is neither a number of seconds nor a timestamp such as 2026-01-31T12:00:00Z"
                ))
            })?;
            let since_first = at - *first.get_or_insert(at);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a float cast saturates, and what lies before the first line is refused below"
            )]
            let offset = (since_first as f64 / speed).round().max(0.0) as u64;
            if since_first < 0 || offsets_ns.last().is_some_and(|&last| offset < last) {
                return Err(fault(format!("`{line}` lies before the line above it")));
            }
            offsets_ns.push(offset);
        }
        if offsets_ns.is_empty() {
            return Err(TraceError {
                line: 0,
                message: "it holds no arrival".to_owned(),
            });
        }
        Ok(Self {
            offsets_ns: offsets_ns.into(),
        })
    }

    /// When an arrival is due.
    pub(super) fn offset_ns(&self, index: usize) -> Option<u64> {
        self.offsets_ns.get(index).copied()
    }

    /// How many arrivals it holds.
    pub fn len(&self) -> usize {
        self.offsets_ns.len()
    }

    /// Whether it holds none; it never does.
    pub fn is_empty(&self) -> bool {
        self.offsets_ns.is_empty()
    }

    /// When its last arrival is due, in nanoseconds since the first.
    pub fn length_ns(&self) -> u64 {
        self.offsets_ns.last().copied().unwrap_or(0)
    }

    /// Its mean rate over stretches of at least a second, at most a few hundred of them.
    pub fn rate(&self) -> Profile {
        const SECOND_NS: u64 = 1_000_000_000;
        const MOST: u64 = 300;
        let width = (self.length_ns() / MOST)
            .next_multiple_of(SECOND_NS)
            .max(SECOND_NS);
        let mut stages = Vec::new();
        for from in (0..=self.length_ns()).step_by(usize::try_from(width).unwrap_or(usize::MAX)) {
            let position = |ns: u64| self.offsets_ns.partition_point(|&offset| offset < ns);
            let count = position(from + width) - position(from);
            let level = count as f64 / (width as f64 / 1e9);
            stages.push(Stage {
                to: level,
                over_ns: 0,
            });
            stages.push(Stage {
                to: level,
                over_ns: width,
            });
        }
        stages.push(Stage {
            to: 0.0,
            over_ns: 0,
        });
        Profile::new(stages)
    }
}

/// A time as nanoseconds since some moment of its own.
fn nanoseconds(text: &str) -> Option<i128> {
    if let Ok(seconds) = text.parse::<f64>() {
        #[expect(clippy::cast_possible_truncation, reason = "a float cast saturates")]
        let nanoseconds = (seconds * 1e9).round() as i128;
        return seconds.is_finite().then_some(nanoseconds);
    }
    let timestamp: jiff::Timestamp = text.parse().ok()?;
    Some(timestamp.as_nanosecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn seconds_and_timestamps_are_read_and_sped_up() {
        let trace = Trace::parse("# taken in March\n10\n10.5\n\n12\n", 1.0).unwrap();
        assert_eq!(trace.offsets_ns.as_ref(), [0, S / 2, 2 * S]);
        let twice = Trace::parse("10\n10.5\n12\n", 2.0).unwrap();
        assert_eq!(twice.offsets_ns.as_ref(), [0, S / 4, S]);
        let stamps = "2026-01-31T12:00:00Z\n2026-01-31T12:00:01.25Z\n";
        assert_eq!(Trace::parse(stamps, 1.0).unwrap().length_ns(), S * 5 / 4);
    }

    #[test]
    fn what_is_no_trace_is_refused_with_its_line() {
        let fault = |text: &str| Trace::parse(text, 1.0).unwrap_err();
        assert_eq!(fault("1\ntwo\n").line, 2);
        assert!(fault("1\n3\n2\n").message.contains("before"));
        assert!(fault("3\n2\n").message.contains("before"));
        assert_eq!(fault("# nothing\n").line, 0);
    }

    #[test]
    fn its_rate_counts_every_arrival() {
        let text: String = (0..1000)
            .map(|k| format!("{}\n", f64::from(k) * 0.7))
            .collect();
        let trace = Trace::parse(&text, 1.0).unwrap();
        let rate = trace.rate();
        assert!((rate.area(rate.length_ns()) - 1000.0).abs() < 1e-6);
        assert!(rate.stages().len() < 700);
    }
}
