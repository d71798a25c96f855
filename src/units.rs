//! Quantities with their units: read from what people write, printed for people to read.
//!
//! Nothing here touches files, clocks or the environment.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// The nanoseconds of a duration; those of the longest ones (over 584 years) do not fit, and are `u64::MAX`.
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The kind of thing a quantity measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// A length of time, kept in seconds.
    Time,
    /// A share between 0 and 1, written in percent.
    Ratio,
    /// An amount of memory or disk in bytes.
    Bytes,
    /// Events per second.
    PerSecond,
    /// A temperature in degrees Celsius.
    Temperature,
    /// Electrical power in watts.
    Power,
    /// Electrical energy in joules.
    Energy,
    /// A plain number: the length of a queue, for example.
    Count,
    /// Growth of memory, kept in bytes per second.
    BytesPerSecond,
    /// Growth of a latency, kept in seconds per second.
    Drift,
}

impl Dimension {
    /// How a value of this dimension is written, for error messages.
    pub fn example(self) -> &'static str {
        match self {
            Self::Time => "a duration such as `100ms` (ns, us, ms, s, m, h, d)",
            Self::Ratio => "a percentage such as `70%`",
            Self::Bytes => "a size such as `2GiB` (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)",
            Self::PerSecond => "a rate such as `400/s`",
            Self::Temperature => "a temperature such as `85C`",
            Self::Power => "a power such as `700W`",
            Self::Energy => "an energy such as `5J`",
            Self::Count => "a number such as `1000`",
            Self::BytesPerSecond => "a growth such as `10MiB/h` (a size per s, min, h or d)",
            Self::Drift => "a drift such as `10ms/h` (a time per s, min, h or d)",
        }
    }
}

/// A number with its dimension, in the base unit of that dimension.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantity {
    /// The value: seconds, ratio, bytes, events per second, °C, watts, joules or a plain number.
    pub value: f64,
    /// What the value measures.
    pub dimension: Dimension,
}

impl Quantity {
    /// As a measurement: three significant digits.
    pub fn measured(self) -> String {
        match self.dimension {
            Dimension::Time => seconds(self.value),
            Dimension::Ratio => percent(self.value),
            Dimension::Bytes => bytes(self.value),
            Dimension::PerSecond if self.is_by_the_hour() => by_the_hour(self.value),
            Dimension::PerSecond => format!("{}/s", number(self.value)),
            Dimension::Temperature => format!("{} °C", number(self.value)),
            Dimension::Power => format!("{} W", number(self.value)),
            Dimension::Energy => format!("{} J", number(self.value)),
            Dimension::Count => number(self.value),
            Dimension::BytesPerSecond => format!("{}/h", bytes(self.value * 3600.0)),
            Dimension::Drift => format!("{}/h", fraction_of_seconds(self.value * 3600.0)),
        }
    }

    /// Another value as a measurement, counted by the second or by the hour as this one is: what stands
    /// beside a limit of `5/h` is `0/h` and `120/h`.
    pub fn alike(self, value: f64) -> String {
        if self.is_by_the_hour() {
            return by_the_hour(value);
        }
        Self { value, ..self }.measured()
    }

    /// What happens a few times an hour is counted by the hour.
    fn is_by_the_hour(self) -> bool {
        let is_rate = self.dimension == Dimension::PerSecond;
        is_rate && self.value != 0.0 && self.value.abs() < 1.0 / 60.0
    }
}

fn by_the_hour(per_second: f64) -> String {
    format!("{}/h", number(per_second * 3600.0))
}

/// As a number that somebody chose: without trailing zeros.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_trailing_zeros(&self.measured()))
    }
}

/// `1.50 s` as `1.5 s`, `70.0 %` as `70 %`, `100 ms` as it is.
fn without_trailing_zeros(text: &str) -> String {
    let Some((whole, rest)) = text.split_once('.') else {
        return text.to_owned();
    };
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (fraction, unit) = rest.split_at(digits);
    match fraction.trim_end_matches('0') {
        "" => format!("{whole}{unit}"),
        kept => format!("{whole}.{kept}{unit}"),
    }
}

/// Why a piece of text is not a quantity. The text is a lowercase clause that completes
/// "… is not …", with a hint at the end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UnitError {
    /// What is wrong and what would be right.
    pub message: String,
}

impl UnitError {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

/// (suffix, dimension, factor to the base unit). Longer suffixes that contain shorter ones come
/// first where they share an ending.
const UNITS: &[(&str, Dimension, f64)] = &[
    ("ns", Dimension::Time, 1e-9),
    ("us", Dimension::Time, 1e-6),
    ("µs", Dimension::Time, 1e-6),
    ("μs", Dimension::Time, 1e-6),
    ("ms", Dimension::Time, 1e-3),
    ("s", Dimension::Time, 1.0),
    ("m", Dimension::Time, 60.0),
    ("min", Dimension::Time, 60.0),
    ("h", Dimension::Time, 3600.0),
    ("d", Dimension::Time, 86_400.0),
    ("%", Dimension::Ratio, 0.01),
    ("B", Dimension::Bytes, 1.0),
    ("kB", Dimension::Bytes, 1e3),
    ("KB", Dimension::Bytes, 1e3),
    ("MB", Dimension::Bytes, 1e6),
    ("GB", Dimension::Bytes, 1e9),
    ("TB", Dimension::Bytes, 1e12),
    ("KiB", Dimension::Bytes, 1024.0),
    ("MiB", Dimension::Bytes, 1_048_576.0),
    ("GiB", Dimension::Bytes, 1_073_741_824.0),
    ("TiB", Dimension::Bytes, 1_099_511_627_776.0),
    ("/s", Dimension::PerSecond, 1.0),
    ("/min", Dimension::PerSecond, 1.0 / 60.0),
    ("/m", Dimension::PerSecond, 1.0 / 60.0),
    ("/h", Dimension::PerSecond, 1.0 / 3600.0),
    ("/d", Dimension::PerSecond, 1.0 / 86_400.0),
    ("C", Dimension::Temperature, 1.0),
    ("°C", Dimension::Temperature, 1.0),
    ("W", Dimension::Power, 1.0),
    ("kW", Dimension::Power, 1e3),
    ("mJ", Dimension::Energy, 1e-3),
    ("J", Dimension::Energy, 1.0),
    ("kJ", Dimension::Energy, 1e3),
];

/// Reads the name of a unit, such as `ms` or `MiB`: its dimension, and the factor that takes a value
/// in it to the base unit. `1` stands for a plain number.
///
/// # Errors
/// When there is no such unit.
pub fn parse_unit(text: &str) -> Result<(Dimension, f64), UnitError> {
    if text == "1" {
        return Ok((Dimension::Count, 1.0));
    }
    UNITS
        .iter()
        .find(|(name, _, _)| *name == text)
        .map(|&(_, dimension, factor)| (dimension, factor))
        .ok_or_else(|| {
            UnitError::new(format!(
                "`{text}` is no unit; known are ns, us, ms, s, %, B, KiB, MiB, GiB, /s, C, W, J and 1"
            ))
        })
}

/// Reads a plain number such as `1000` or `1_000`.
///
/// # Errors
/// When it is none, or negative.
pub fn parse_number(text: &str) -> Result<f64, UnitError> {
    let number = text.trim().replace('_', "").parse::<f64>();
    match number {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err(UnitError::new(format!(
            "`{text}` is not a number such as `1000`"
        ))),
    }
}

/// Reads a quantity such as `100ms`, `1m 30s`, `70%`, `2MiB` or `400/s`.
///
/// # Errors
/// When the number or its unit is missing or unknown, or when the value is negative.
pub fn parse_quantity(text: &str) -> Result<Quantity, UnitError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(UnitError::new("the value is empty"));
    }
    if text.starts_with('-') {
        return Err(UnitError::new(format!("`{text}` is negative")));
    }
    let mut total: Option<Quantity> = None;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_'))
            .unwrap_or(rest.len());
        let number: f64 = rest[..digits]
            .replace('_', "")
            .parse()
            .map_err(|_| UnitError::new(format!("`{text}` does not begin with a number")))?;
        let after = rest[digits..].trim_start();
        let end = after
            .find(|c: char| c.is_whitespace() || c.is_ascii_digit())
            .unwrap_or(after.len());
        let unit = &after[..end];
        if unit.is_empty() {
            return Err(UnitError::new(format!(
                "`{text}` has no unit; write for example `{text}ms`, `{text}s`, `{text}%` or `{text}MiB`"
            )));
        }
        let Some((dimension, factor)) = find_unit(unit) else {
            return Err(UnitError::new(format!("unknown unit `{unit}`")));
        };
        let value = number * factor;
        total = Some(match total {
            None => Quantity { value, dimension },
            // `1m 30s`: only times are written in several parts.
            Some(sum) if sum.dimension == Dimension::Time && dimension == Dimension::Time => {
                Quantity {
                    value: sum.value + value,
                    dimension,
                }
            }
            Some(_) => {
                return Err(UnitError::new(format!(
                    "`{text}` mixes units that do not add up"
                )));
            }
        });
        rest = after[end..].trim_start();
    }
    total.ok_or_else(|| UnitError::new("the value is empty"))
}

/// The dimension of a unit, and its factor to the base unit; also of one such as `MiB/h`.
fn find_unit(unit: &str) -> Option<(Dimension, f64)> {
    let simple = |unit: &str| {
        let found = UNITS.iter().find(|(name, _, _)| *name == unit)?;
        Some((found.1, found.2))
    };
    if let Some(found) = simple(unit) {
        return Some(found);
    }
    let (amount, time) = unit.split_once('/')?;
    let (dimension, factor) = simple(amount)?;
    let (Dimension::Time, seconds) = simple(time)? else {
        return None;
    };
    match dimension {
        Dimension::Bytes => Some((Dimension::BytesPerSecond, factor / seconds)),
        Dimension::Time => Some((Dimension::Drift, factor / seconds)),
        _ => None,
    }
}

/// Reads a duration such as `100ms`, `30s` or `1m 30s`.
///
/// # Errors
/// When the text is no duration, or one above 10 years.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let quantity = parse_quantity(text)?;
    if quantity.dimension != Dimension::Time {
        return Err(UnitError::new(format!(
            "`{}` is not {}",
            text.trim(),
            Dimension::Time.example()
        )));
    }
    const TEN_YEARS: f64 = 10.0 * 365.0 * 86_400.0;
    if quantity.value > TEN_YEARS {
        return Err(UnitError::new(format!("`{text}` is above 10 years")));
    }
    Ok(Duration::from_secs_f64(quantity.value))
}

/// Reads a share such as `70%` as a number between 0 and 1.
///
/// # Errors
/// When the text is no percentage, or above 100 %.
pub fn parse_ratio(text: &str) -> Result<f64, UnitError> {
    let quantity = parse_quantity(text)?;
    if quantity.dimension != Dimension::Ratio {
        return Err(UnitError::new(format!(
            "`{}` is not {}",
            text.trim(),
            Dimension::Ratio.example()
        )));
    }
    if quantity.value > 1.0 {
        return Err(UnitError::new(format!("`{text}` is above 100%")));
    }
    Ok(quantity.value)
}

/// Reads a size such as `64MiB` in bytes.
///
/// # Errors
/// When the text is no size.
pub fn parse_bytes(text: &str) -> Result<u64, UnitError> {
    let quantity = parse_quantity(text)?;
    if quantity.dimension != Dimension::Bytes {
        return Err(UnitError::new(format!(
            "`{}` is not {}",
            text.trim(),
            Dimension::Bytes.example()
        )));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "parse_quantity refuses negative numbers; a float cast saturates"
    )]
    Ok(quantity.value.round() as u64)
}

/// Three significant digits, thousands grouped by a thin space: `0.0123`, `1.23`, `12.3`, `12 345`.
pub fn number(value: f64) -> String {
    let magnitude = value.abs();
    if !value.is_finite() {
        return "–".to_owned();
    }
    if magnitude == 0.0 {
        return "0".to_owned();
    }
    // A value that rounds up to the next decade is printed by that decade's rule: 9.999 -> "10.0".
    let decimals = match magnitude {
        m if m >= 99.95 => 0,
        m if m >= 9.995 => 1,
        m if m >= 0.9995 => 2,
        m if m >= 0.099_95 => 3,
        m if m >= 0.009_995 => 4,
        _ => 5,
    };
    group_thousands(&format!("{value:.decimals$}"))
}

/// A number that is whole as a rule: `4`, and `3.50` where it is not.
pub fn whole(value: f64) -> String {
    if value.is_finite() && value.fract() == 0.0 {
        return group_thousands(&format!("{value:.0}"));
    }
    number(value)
}

/// A count with its thousands grouped by a narrow no-break space.
pub fn count(value: u64) -> String {
    group_thousands(&value.to_string())
}

fn group_thousands(text: &str) -> String {
    let (sign, body) = text
        .strip_prefix('-')
        .map_or(("", text), |rest| ("-", rest));
    let (whole, fraction) = body
        .split_once('.')
        .map_or((body, None), |(w, f)| (w, Some(f)));
    let mut grouped = String::with_capacity(text.len() + 8);
    grouped.push_str(sign);
    for (index, digit) in whole.chars().enumerate() {
        // Four digits stay together, as in "8192".
        if index > 0 && whole.len() > 4 && (whole.len() - index) % 3 == 0 {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    if let Some(fraction) = fraction {
        grouped.push('.');
        grouped.push_str(fraction);
    }
    grouped
}

/// A time in seconds, printed in the unit that suits it: `350 µs`, `97.8 ms`, `1.20 s`, `2 m 05 s`.
pub fn seconds(value: f64) -> String {
    let magnitude = value.abs();
    if !value.is_finite() {
        "–".to_owned()
    } else if magnitude == 0.0 {
        "0 ms".to_owned()
    } else if magnitude < 0.999_5e-6 {
        format!("{} ns", number(value * 1e9))
    } else if magnitude < 0.999_5e-3 {
        format!("{} µs", number(value * 1e6))
    } else if magnitude < 0.999_5 {
        format!("{} ms", number(value * 1e3))
    } else if magnitude < 119.5 {
        format!("{} s", number(value))
    } else {
        long_duration(value)
    }
}

/// A time that stands for a distance between latencies: never in minutes.
fn fraction_of_seconds(value: f64) -> String {
    if value.abs() < 119.5 {
        seconds(value)
    } else {
        format!("{} s", number(value))
    }
}

fn long_duration(value: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the sign is printed apart, and a float cast saturates"
    )]
    let total = value.abs().round() as u64;
    let sign = if value < 0.0 { "-" } else { "" };
    let (hours, minutes, rest) = (total / 3600, total / 60 % 60, total % 60);
    if hours > 0 {
        format!("{sign}{hours} h {minutes:02} m")
    } else {
        format!("{sign}{minutes} m {rest:02} s")
    }
}

/// A duration that somebody chose, printed as [`seconds`] prints it, without trailing zeros.
pub fn duration(value: Duration) -> String {
    without_trailing_zeros(&seconds(value.as_secs_f64()))
}

/// A share, printed in percent with three significant digits.
pub fn percent(ratio: f64) -> String {
    if ratio.is_finite() {
        format!("{} %", number(ratio * 100.0))
    } else {
        "–".to_owned()
    }
}

/// A size in bytes, printed in binary units.
pub fn bytes(value: f64) -> String {
    let magnitude = value.abs();
    if !value.is_finite() {
        return "–".to_owned();
    }
    for (unit, factor) in [
        ("TiB", 1_099_511_627_776.0),
        ("GiB", 1_073_741_824.0),
        ("MiB", 1_048_576.0),
        ("KiB", 1024.0),
    ] {
        if magnitude >= factor {
            return format!("{} {unit}", number(value / factor));
        }
    }
    format!("{value:.0} B")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn reads(text: &str, value: f64, dimension: Dimension) {
        let quantity = parse_quantity(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(quantity.dimension, dimension, "{text}");
        assert!(
            (quantity.value - value).abs() <= value.abs() * 1e-12,
            "{text} read as {}",
            quantity.value
        );
    }

    #[test]
    fn what_stands_beside_a_limit_is_counted_alike() {
        let alike = |limit: &str, value| parse_quantity(limit).unwrap().alike(value);
        assert_eq!(alike("5/h", 0.0), "0/h");
        assert_eq!(alike("5/h", 1.0 / 30.0), "120/h");
        assert_eq!(alike("400/s", 0.0), "0/s");
        assert_eq!(alike("400/s", 1.0 / 360.0), "10.0/h");
        assert_eq!(alike("100ms", 1.5), "1.50 s");
    }

    #[test]
    fn reads_what_people_write() {
        reads("100ms", 0.1, Dimension::Time);
        reads("1m 30s", 90.0, Dimension::Time);
        reads("1m30s", 90.0, Dimension::Time);
        reads("250 us", 250e-6, Dimension::Time);
        reads("1.5h", 5400.0, Dimension::Time);
        reads("70%", 0.7, Dimension::Ratio);
        reads("2MiB", 2_097_152.0, Dimension::Bytes);
        reads("400/s", 400.0, Dimension::PerSecond);
        reads("10_000/s", 10_000.0, Dimension::PerSecond);
        reads("85C", 85.0, Dimension::Temperature);
        reads("700W", 700.0, Dimension::Power);
        reads(
            "18MiB/h",
            18.0 * 1_048_576.0 / 3600.0,
            Dimension::BytesPerSecond,
        );
        reads(
            "2 GiB/d",
            2_147_483_648.0 / 86_400.0,
            Dimension::BytesPerSecond,
        );
        reads("36ms/h", 1e-5, Dimension::Drift);
        reads("36/h", 0.01, Dimension::PerSecond);
    }

    #[test]
    fn refuses_with_a_reason() {
        for (text, part) in [
            ("", "empty"),
            ("100", "no unit"),
            ("ms", "does not begin with a number"),
            ("-5s", "negative"),
            ("5 parsecs", "unknown unit `parsecs`"),
            ("5 MiB/parsec", "unknown unit `MiB/parsec`"),
            ("5 %/h", "unknown unit `%/h`"),
            ("5s 3MiB", "mixes units"),
            ("1.2.3s", "does not begin with a number"),
        ] {
            let error = parse_quantity(text).expect_err(text);
            assert!(error.message.contains(part), "{text:?} said {error}");
        }
        assert!(parse_duration("70%").is_err());
        assert!(parse_duration("400000d").is_err());
        assert!(parse_ratio("170%").is_err());
        assert!(parse_bytes("1s").is_err());
    }

    #[test]
    fn prints_three_significant_digits_in_a_fitting_unit() {
        for (value, text) in [
            (0.0, "0 ms"),
            (0.000_000_4, "400 ns"),
            (0.000_35, "350 µs"),
            (0.000_999_6, "1.00 ms"),
            (0.097_84, "97.8 ms"),
            (0.999_6, "1.00 s"),
            (1.204, "1.20 s"),
            (125.0, "2 m 05 s"),
            (7322.0, "2 h 02 m"),
        ] {
            assert_eq!(seconds(value), text, "{value}");
        }
        assert_eq!(duration(Duration::from_millis(1500)), "1.5 s");
        assert_eq!(duration(Duration::from_secs(30)), "30 s");
        assert_eq!(duration(Duration::from_secs(150)), "2 m 30 s");
        assert_eq!(percent(0.0042), "0.420 %");
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(bytes(1536.0), "1.50 KiB");
        assert_eq!(bytes(12.0), "12 B");
        assert_eq!(number(9.999), "10.0");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(count(8192), "8192");
        assert_eq!(number(f64::NAN), "–");
    }

    proptest! {
        #[test]
        fn never_panics_on_any_text(text in "\\PC{0,24}") {
            let _ = parse_quantity(&text);
        }

        #[test]
        fn reads_back_milliseconds(ms in 0u64..10_000_000) {
            let read = parse_duration(&format!("{ms}ms")).expect("a duration");
            let expected = Duration::from_millis(ms);
            prop_assert!(read.abs_diff(expected) < Duration::from_micros(1));
        }
    }
}
