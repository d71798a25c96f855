//! Axes of charts: where a value lies, and which values are worth a label.
//!
//! Nothing here draws, and no tick stands at an untidy number.

use crate::units::{self, Dimension};

/// What the values of an axis are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A quantity with a dimension of its own.
    Of(Dimension),
    /// A clock frequency in megahertz.
    Megahertz,
    /// Traffic.
    BytesPerSecond,
    /// A number of things.
    Count,
}

impl Unit {
    /// A value with its unit, three significant digits.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Of(dimension) => units::Quantity { value, dimension }.measured(),
            Self::Megahertz => format!("{} MHz", units::number(value)),
            Self::BytesPerSecond => format!("{}/s", units::bytes(value)),
            Self::Count => units::number(value),
        }
    }

    /// A value on an axis: no more digits than it needs.
    fn label(self, value: f64) -> String {
        let shown = self.show(value);
        let end = shown
            .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '\u{202f}')))
            .unwrap_or(shown.len());
        let (digits, unit) = shown.split_at(end);
        if digits.contains('.') {
            let digits = digits.trim_end_matches('0').trim_end_matches('.');
            format!("{digits}{unit}")
        } else {
            shown
        }
    }

    /// What a step of 1, 2 or 5 is a multiple of: sizes count in powers of 1024.
    fn base(self, magnitude: f64) -> f64 {
        match self {
            Self::Of(Dimension::Bytes) | Self::BytesPerSecond if magnitude >= 1.0 => {
                1024_f64.powf(magnitude.log(1024.0).floor())
            }
            Self::Of(Dimension::Ratio) => 0.01,
            _ => 1.0,
        }
    }
}

/// One labelled place on an axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    /// Where it is, from 0 to 1 along the axis.
    pub(crate) at: f64,
    /// What is written there; empty for a line without words.
    pub(crate) label: String,
}

/// How values are spread over an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Evenly.
    Linear,
    /// By their logarithm.
    Log,
}

/// The upright axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct YAxis {
    /// What the values are.
    pub(crate) unit: Unit,
    /// How they are spread.
    pub(crate) scale: Scale,
    /// The value at the bottom.
    pub(crate) low: f64,
    /// The value at the top.
    pub(crate) high: f64,
}

/// Above this ratio between the largest and the smallest value, an axis is logarithmic.
const LOG_FROM_RATIO: f64 = 30.0;

impl YAxis {
    /// An axis with zero at the bottom and room for all values.
    pub(crate) fn from_zero(unit: Unit, values: impl Iterator<Item = f64>) -> Self {
        let most = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
        let high = if most > 0.0 { most * 1.06 } else { 1.0 };
        Self {
            unit,
            scale: Scale::Linear,
            low: 0.0,
            high: round_up(unit, high),
        }
    }

    /// A fixed range.
    pub(crate) fn fixed(unit: Unit, low: f64, high: f64) -> Self {
        Self {
            unit,
            scale: Scale::Linear,
            low,
            high,
        }
    }

    /// An axis that shows small changes of large values: it begins near the smallest one, unless that
    /// is near zero.
    pub(crate) fn close(unit: Unit, values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = range(values);
        if !(low.is_finite() && low > 0.0 && low > high * 0.6) {
            return Self::from_zero(unit, std::iter::once(high));
        }
        let room = ((high - low) * 0.15).max(high * 0.01);
        let step = step(unit, high, high - low + 2.0 * room, 3);
        Self {
            unit,
            scale: Scale::Linear,
            low: ((low - room) / step).floor().max(0.0) * step,
            high: ((high + room) / step).ceil() * step,
        }
    }

    /// A linear axis from zero, or a logarithmic one where the values span more than that can show.
    pub(crate) fn wide(unit: Unit, values: impl Iterator<Item = f64> + Clone) -> Self {
        let (low, high) = range(values.clone().filter(|value| *value > 0.0));
        if !(low > 0.0 && high / low > LOG_FROM_RATIO) {
            return Self::from_zero(unit, values);
        }
        Self {
            unit,
            scale: Scale::Log,
            low: low / 1.3,
            high: high * 1.3,
        }
    }

    /// Whether a value lies on the axis.
    pub(crate) fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// Where a value lies, 0 at the bottom and 1 at the top. Values outside lie on the edge.
    pub(crate) fn position(&self, value: f64) -> f64 {
        let position = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value.max(self.low) / self.low).ln() / (self.high / self.low).ln(),
        };
        position.clamp(0.0, 1.0)
    }

    /// About so many ticks, each at a tidy value.
    pub(crate) fn ticks(&self, about: usize) -> Vec<Tick> {
        let values = match self.scale {
            Scale::Linear => {
                let step = step(self.unit, self.high, self.high - self.low, about);
                multiples(self.low, self.high, step)
            }
            Scale::Log => log_values(self.low, self.high, about),
        };
        values
            .into_iter()
            .map(|value| Tick {
                at: self.position(value),
                label: self.unit.label(value),
            })
            .collect()
    }
}

/// The axis along the bottom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum XAxis {
    /// Seconds since the start of the run.
    Time {
        /// The last of them.
        to_s: f64,
    },
    /// Seconds since a moment, shown as dates of UTC.
    Dates {
        /// The moment, in seconds since 1970.
        origin_s: f64,
        /// The last of them.
        to_s: f64,
    },
    /// Percentiles, by the logarithm of what lies above them.
    Percentile {
        /// The highest, as a share.
        to: f64,
    },
    /// Levels of load.
    Level {
        /// The highest.
        to: f64,
    },
    /// Positive numbers, by their logarithm.
    Log {
        /// The lowest.
        from: f64,
        /// The highest.
        to: f64,
    },
}

impl XAxis {
    /// Where a value lies, 0 at the left and 1 at the right.
    pub(crate) fn position(self, value: f64) -> f64 {
        let position = match self {
            Self::Time { to_s } | Self::Dates { to_s, .. } => value / to_s.max(1e-9),
            Self::Percentile { to } => nines(value) / nines(to).max(1e-9),
            Self::Level { to } => value / to.max(1e-9),
            Self::Log { from, to } => (value.max(from) / from).ln() / (to / from).ln(),
        };
        position.clamp(0.0, 1.0)
    }

    /// About so many ticks, each at a tidy value.
    pub(crate) fn ticks(self, about: usize) -> Vec<Tick> {
        match self {
            Self::Time { to_s } => {
                let step = time_step(to_s, about);
                multiples(0.0, to_s, step)
                    .into_iter()
                    .map(|value| Tick {
                        at: self.position(value),
                        label: time_label(value, step),
                    })
                    .collect()
            }
            Self::Dates { origin_s, to_s } => {
                let step = date_step(to_s, about);
                multiples(origin_s, origin_s + to_s, step)
                    .into_iter()
                    .map(|moment| Tick {
                        at: self.position(moment - origin_s),
                        label: date_label(moment, step),
                    })
                    .collect()
            }
            Self::Level { to } => {
                let step = step(Unit::Count, to, to, about);
                multiples(0.0, to, step)
                    .into_iter()
                    .map(|value| Tick {
                        at: self.position(value),
                        label: Unit::Count.label(value),
                    })
                    .collect()
            }
            Self::Log { from, to } => log_values(from, to, about)
                .into_iter()
                .map(|value| Tick {
                    at: self.position(value),
                    label: Unit::Count.label(value),
                })
                .collect(),
            Self::Percentile { to } => [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.999_99]
                .into_iter()
                .filter(|&share| share <= to)
                .map(|share| Tick {
                    at: self.position(share),
                    label: percentile_label(share),
                })
                .collect(),
        }
    }
}

/// A percentile as an axis names it.
fn percentile_label(share: f64) -> String {
    if share == 0.0 {
        return "min".to_owned();
    }
    // The rounding takes away the noise of 0.999 × 100.
    let percent = (share * 1e9).round() / 1e7;
    format!("p{percent}")
}

/// How many nines a share has: 0.99 has two.
fn nines(share: f64) -> f64 {
    -(1.0 - share).max(1e-9).log10()
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        })
}

/// The tidy step that cuts a span into about so many parts, below values of this magnitude.
fn step(unit: Unit, magnitude: f64, span: f64, about: usize) -> f64 {
    let base = unit.base(magnitude);
    let raw = span / base / about.max(1) as f64;
    if raw <= 0.0 || !raw.is_finite() {
        return 1.0;
    }
    let decade = 10_f64.powf(raw.log10().floor());
    // A size steps in 1, 2, 5 … 512 of its unit; decimals of a unit are fine, decimals of a byte not.
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * decade)
        .find(|step| *step >= raw * 0.999)
        .unwrap_or(10.0 * decade);
    let step = if unit == Unit::Count {
        step.max(1.0)
    } else {
        step
    };
    step * base
}

fn round_up(unit: Unit, high: f64) -> f64 {
    let step = step(unit, high, high, 8);
    (high / step).ceil() * step
}

fn multiples(low: f64, high: f64, step: f64) -> Vec<f64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "steps are chosen so that there are a handful of ticks; a float cast saturates"
    )]
    let (first, last) = (
        (low / step - 1e-6).ceil().max(0.0) as u64,
        (high / step + 1e-6).floor().max(0.0) as u64,
    );
    // A guard against an absurd axis, not a limit that a chart comes near.
    const MOST: u64 = 200;
    (first..=last.min(first + MOST))
        .map(|index| index as f64 * step)
        .collect()
}

fn log_values(low: f64, high: f64, about: usize) -> Vec<f64> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "exponents of times and sizes are small"
    )]
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let within = |factors: &[f64], every: usize| -> Vec<f64> {
        (first..=last)
            .step_by(every)
            .flat_map(|exponent| factors.iter().map(move |f| f * 10_f64.powi(exponent)))
            .filter(|value| *value >= low && *value <= high)
            .collect()
    };
    for factors in [&[1.0, 2.0, 5.0][..], &[1.0, 3.0], &[1.0]] {
        let values = within(factors, 1);
        if values.len() <= about * 2 {
            return values;
        }
    }
    within(&[1.0], 2)
}

fn time_step(to_s: f64, about: usize) -> f64 {
    const TIDY: [f64; 22] = [
        0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0,
        600.0, 1200.0, 1800.0, 3600.0, 7200.0, 10_800.0, 21_600.0,
    ];
    let raw = to_s / about.max(1) as f64;
    TIDY.into_iter()
        .find(|step| *step >= raw * 0.999)
        .unwrap_or_else(|| (raw / 86_400.0).ceil() * 86_400.0)
}

const DAY: f64 = 86_400.0;

fn date_step(to_s: f64, about: usize) -> f64 {
    const TIDY: [f64; 15] = [
        60.0,
        300.0,
        900.0,
        3600.0,
        10_800.0,
        21_600.0,
        43_200.0,
        DAY,
        2.0 * DAY,
        5.0 * DAY,
        10.0 * DAY,
        30.0 * DAY,
        90.0 * DAY,
        180.0 * DAY,
        360.0 * DAY,
    ];
    // A date needs twice the room of a number.
    let raw = to_s / (about / 2).max(2) as f64;
    TIDY.into_iter()
        .find(|step| *step >= raw * 0.999)
        .unwrap_or_else(|| (raw / (360.0 * DAY)).ceil() * 360.0 * DAY)
}

/// `2026-11-25`, or `11-25 08:00` where a step is less than a day.
fn date_label(moment_s: f64, step: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "seconds since 1970; a float cast saturates"
    )]
    let moment = jiff::Timestamp::from_second(moment_s.round() as i64).unwrap_or_default();
    let form = if step < DAY { "%m-%d %H:%M" } else { "%F" };
    moment.strftime(form).to_string()
}

/// A moment on a time axis: `35 s`, `2:30`, `20 min`, `1:30 h`, `8 h`.
fn time_label(value: f64, step: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "seconds since the start; a float cast saturates"
    )]
    let whole = value.round() as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    if value == 0.0 {
        "0".to_owned()
    } else if step < 60.0 && value < 119.5 {
        // Steps below a second have at most two decimals.
        format!("{} s", (value * 100.0).round() / 100.0)
    } else if step < 60.0 {
        format!("{}:{seconds:02}", whole / 60)
    } else if hours == 0 {
        format!("{minutes} min")
    } else if minutes == 0 {
        format!("{hours} h")
    } else {
        format!("{hours}:{minutes:02} h")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &[Tick]) -> String {
        let labels: Vec<&str> = ticks.iter().map(|tick| tick.label.as_str()).collect();
        labels.join(" | ")
    }

    #[track_caller]
    fn check_y(axis: YAxis, about: usize, expected: &str) {
        let ticks = axis.ticks(about);
        assert_eq!(labels(&ticks), expected);
        assert!(ticks.windows(2).all(|pair| pair[0].at < pair[1].at));
        assert!(ticks.iter().all(|tick| (0.0..=1.0).contains(&tick.at)));
    }

    #[test]
    fn upright_ticks_are_tidy() {
        const MIB: f64 = 1_048_576.0;
        let of = |dimension, values: &[f64]| {
            YAxis::from_zero(Unit::Of(dimension), values.iter().copied())
        };
        check_y(
            of(Dimension::Time, &[0.093]),
            5,
            "0 ms | 20 ms | 40 ms | 60 ms | 80 ms | 100 ms",
        );
        check_y(
            of(Dimension::PerSecond, &[1180.0]),
            3,
            "0/s | 500/s | 1000/s",
        );
        check_y(
            of(Dimension::Bytes, &[1500.0 * MIB]),
            4,
            "0 B | 512 MiB | 1 GiB | 1.5 GiB",
        );
        check_y(
            YAxis::fixed(Unit::Of(Dimension::Ratio), 0.0, 1.0),
            4,
            "0 % | 50 % | 100 %",
        );
        check_y(
            YAxis::from_zero(Unit::Count, [3.0].into_iter()),
            4,
            "0 | 1 | 2 | 3 | 4",
        );
        check_y(YAxis::from_zero(Unit::Count, [].into_iter()), 4, "0 | 1");
    }

    #[test]
    fn a_wide_range_is_logarithmic() {
        let wide = |values: &[f64]| YAxis::wide(Unit::Of(Dimension::Time), values.iter().copied());
        assert_eq!(wide(&[0.01, 0.29]).scale, Scale::Linear);
        assert_eq!(wide(&[0.0, 0.0]).scale, Scale::Linear);
        check_y(
            wide(&[0.012, 2.8]),
            5,
            "10 ms | 20 ms | 50 ms | 100 ms | 200 ms | 500 ms | 1 s | 2 s",
        );
        check_y(
            wide(&[0.000_5, 900.0]),
            5,
            "1 ms | 10 ms | 100 ms | 1 s | 10 s | 100 s | 16 m 40 s",
        );
    }

    #[test]
    fn a_close_axis_shows_a_slow_leak() {
        const GIB: f64 = 1_073_741_824.0;
        let close =
            |values: &[f64]| YAxis::close(Unit::Of(Dimension::Bytes), values.iter().copied());
        let leak = close(&[10.0 * GIB, 10.5 * GIB]);
        assert!(leak.low > 9.0 * GIB && leak.high <= 11.0 * GIB, "{leak:?}");
        assert_eq!(close(&[0.1 * GIB, 10.5 * GIB]).low, 0.0);
        assert_eq!(close(&[]).low, 0.0);
        let flat = close(&[2.0 * GIB, 2.0 * GIB]);
        assert!(flat.high > flat.low && flat.position(2.0 * GIB) > 0.2);
    }

    #[test]
    fn time_ticks_speak_in_the_unit_of_the_run() {
        let check = |to_s: f64, expected: &str| {
            assert_eq!(labels(&XAxis::Time { to_s }.ticks(8)), expected, "{to_s}");
        };
        check(70.2, "0 | 10 s | 20 s | 30 s | 40 s | 50 s | 60 s | 70 s");
        check(
            1.5,
            "0 | 0.2 s | 0.4 s | 0.6 s | 0.8 s | 1 s | 1.2 s | 1.4 s",
        );
        check(
            240.0,
            "0 | 30 s | 60 s | 90 s | 2:00 | 2:30 | 3:00 | 3:30 | 4:00",
        );
        check(
            4000.0,
            "0 | 10 min | 20 min | 30 min | 40 min | 50 min | 1 h",
        );
        check(
            28_800.0,
            "0 | 1 h | 2 h | 3 h | 4 h | 5 h | 6 h | 7 h | 8 h",
        );
        check(0.0, "0");
    }

    #[test]
    fn each_nine_has_the_same_room() {
        let axis = XAxis::Percentile { to: 0.9999 };
        let ticks = axis.ticks(9);
        assert_eq!(labels(&ticks), "min | p50 | p90 | p99 | p99.9 | p99.99");
        assert!((axis.position(0.99) - 0.5).abs() < 1e-9);
        assert_eq!(axis.position(1.0), 1.0);
    }
}
