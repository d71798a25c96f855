//! What a test of the suite must reach: `memory.copy=4.3TB/s`, `memory.copy=85%`,
//! `launch.round_trip=20us`.

use super::suite::Measured;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// A demand on one test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    /// Name of the test.
    pub test: String,
    /// What it must reach; for times, what it must not exceed.
    pub least: Least,
}

/// How much is demanded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Least {
    /// A value, in a unit of the suite.
    Value {
        /// The number.
        value: f64,
        /// `GB/s`, `TFLOP/s`, `TOP/s`, `µs` or `×`.
        unit: String,
    },
    /// A share of the peak of the data sheet, 0 to 1.
    ShareOfDatasheet(f64),
}

/// Why a text is no demand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FloorError(String);

/// Units as they may be written, with the suite's own unit and the factor to it.
const UNITS: &[(&str, &str, f64)] = &[
    ("TB/s", "GB/s", 1e3),
    ("GB/s", "GB/s", 1.0),
    ("MB/s", "GB/s", 1e-3),
    ("PFLOP/s", "TFLOP/s", 1e3),
    ("TFLOP/s", "TFLOP/s", 1.0),
    ("GFLOP/s", "TFLOP/s", 1e-3),
    ("POP/s", "TOP/s", 1e3),
    ("TOP/s", "TOP/s", 1.0),
    ("ns", "µs", 1e-3),
    ("us", "µs", 1.0),
    ("µs", "µs", 1.0),
    ("ms", "µs", 1e3),
    ("x", "×", 1.0),
    ("×", "×", 1.0),
];

impl FromStr for Least {
    type Err = FloorError;

    fn from_str(text: &str) -> Result<Self, FloorError> {
        let text = text.trim();
        let digits = text
            .find(|it: char| !(it.is_ascii_digit() || it == '.'))
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim();
        let value: f64 = number.parse().unwrap_or(f64::NAN);
        if !value.is_finite() || value <= 0.0 {
            return Err(FloorError(format!(
                "`{text}` is not a positive number with a unit, such as `4.3TB/s`"
            )));
        }
        if unit == "%" {
            return Ok(Self::ShareOfDatasheet(value / 100.0));
        }
        let known = UNITS.iter().find(|(written, ..)| *written == unit);
        let (_, unit, factor) = known.ok_or_else(|| {
            let all: Vec<&str> = UNITS.iter().map(|(written, ..)| *written).collect();
            FloorError(format!(
                "`{text}` has no unit of a rate or a time: write one of {}, or `%` of the data sheet",
                all.join(", ")
            ))
        })?;
        Ok(Self::Value {
            value: value * factor,
            unit: (*unit).to_owned(),
        })
    }
}

impl FromStr for Floor {
    type Err = FloorError;

    fn from_str(text: &str) -> Result<Self, FloorError> {
        let (test, least) = text.split_once('=').ok_or_else(|| {
            FloorError(format!(
                "`{text}` names no test and what it must reach: write `memory.copy=4.3TB/s`"
            ))
        })?;
        Ok(Self {
            test: test.trim().to_owned(),
            least: least.parse()?,
        })
    }
}

impl Least {
    /// In the unit of a measurement, or why there is no such value.
    ///
    /// # Errors
    /// The sentence that says so.
    pub fn in_unit(&self, measured: &Measured) -> Result<f64, String> {
        match self {
            Self::Value { value, unit } if *unit == measured.unit => Ok(*value),
            Self::Value { unit, .. } => Err(format!(
                "it is measured in {}, and the demand is in {unit}",
                measured.unit
            )),
            Self::ShareOfDatasheet(share) => {
                let mut peaks = measured.peaks.iter();
                let peak = peaks.find(|peak| peak.name == "datasheet").ok_or(
                    "the data sheet of this GPU is not known for it: demand a value with a unit",
                )?;
                Ok(share * peak.value)
            }
        }
    }

    /// Words after the limit.
    pub fn explain(&self) -> String {
        match self {
            Self::Value { .. } => String::new(),
            Self::ShareOfDatasheet(share) => {
                format!(" ({} of the data sheet)", crate::units::percent(*share))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demands_are_read_in_the_units_of_the_suite() {
        let value = |value, unit: &str| {
            Ok(Least::Value {
                value,
                unit: unit.to_owned(),
            })
        };
        for (text, expected) in [
            ("4.3TB/s", value(4300.0, "GB/s")),
            ("700 TFLOP/s", value(700.0, "TFLOP/s")),
            ("20us", value(20.0, "µs")),
            ("2.5µs", value(2.5, "µs")),
            ("85%", Ok(Least::ShareOfDatasheet(0.85))),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
        let told = ["fast", "4.3", "0GB/s", "-1GB/s", "1.2.3GB/s", "4.3TB"].map(|text| {
            let read: Result<Least, _> = text.parse();
            read.expect_err(text).to_string()
        });
        insta::assert_snapshot!(told.join("\n"), @r"
        `fast` is not a positive number with a unit, such as `4.3TB/s`
        `4.3` has no unit of a rate or a time: write one of TB/s, GB/s, MB/s, PFLOP/s, TFLOP/s, GFLOP/s, POP/s, TOP/s, ns, us, µs, ms, x, ×, or `%` of the data sheet
        `0GB/s` is not a positive number with a unit, such as `4.3TB/s`
        `-1GB/s` is not a positive number with a unit, such as `4.3TB/s`
        `1.2.3GB/s` is not a positive number with a unit, such as `4.3TB/s`
        `4.3TB` has no unit of a rate or a time: write one of TB/s, GB/s, MB/s, PFLOP/s, TFLOP/s, GFLOP/s, POP/s, TOP/s, ns, us, µs, ms, x, ×, or `%` of the data sheet
        ");
        let floor: Floor = "memory.copy = 4.3TB/s".parse().unwrap();
        assert_eq!(floor.test, "memory.copy");
        assert!("memory.copy".parse::<Floor>().is_err());
    }
}
