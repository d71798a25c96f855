//! The health of a GPU: what its counters said before and after the suite, and what each of them means.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A counter or state that tells about the health of a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthCounter {
    /// Its name in the record.
    pub name: &'static str,
    /// NVML's field id (`NVML_FI_DEV_…` in nvml.h).
    pub field: u32,
    /// What it counts, in a sentence after a number.
    pub what: &'static str,
    /// What its value means.
    pub rule: HealthRule,
}

/// What the value of a counter means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthRule {
    /// Anything but 0 is a fault.
    Zero,
    /// Growth during the suite is a fault.
    Still,
    /// Growth during the suite is worth a look.
    Watch,
    /// Nanoseconds for which the clocks were held back by something that should not happen.
    Slowed,
    /// It is only written down.
    Note,
}

const fn counter(
    name: &'static str,
    field: u32,
    what: &'static str,
    rule: HealthRule,
) -> HealthCounter {
    HealthCounter {
        name,
        field,
        what,
        rule,
    }
}

/// All counters that are read. A GPU has only some of them: pages are retired on GPUs before Ampere,
/// rows are remapped since.
pub const HEALTH_COUNTERS: &[HealthCounter] = &[
    counter(
        "ecc.corrected",
        3,
        "memory errors corrected since the driver was loaded",
        HealthRule::Watch,
    ),
    counter(
        "ecc.uncorrected",
        4,
        "memory errors that could not be corrected since the driver was loaded",
        HealthRule::Zero,
    ),
    counter(
        "ecc.corrected_lifetime",
        5,
        "memory errors corrected in its life",
        HealthRule::Note,
    ),
    counter(
        "ecc.uncorrected_lifetime",
        6,
        "memory errors that could not be corrected in its life",
        HealthRule::Still,
    ),
    counter(
        "retired.corrected",
        29,
        "memory pages retired after errors that were corrected",
        HealthRule::Still,
    ),
    counter(
        "retired.uncorrected",
        30,
        "memory pages retired after errors that could not be corrected",
        HealthRule::Still,
    ),
    counter(
        "retired.pending",
        31,
        "memory pages wait to be retired: reset the GPU",
        HealthRule::Zero,
    ),
    counter(
        "remapped.corrected",
        142,
        "memory rows remapped after errors that were corrected",
        HealthRule::Watch,
    ),
    counter(
        "remapped.uncorrected",
        143,
        "memory rows remapped after errors that could not be corrected",
        HealthRule::Still,
    ),
    counter(
        "remapped.pending",
        144,
        "memory rows wait to be remapped: reset the GPU",
        HealthRule::Zero,
    ),
    counter(
        "remapped.failed",
        145,
        "memory rows could not be remapped: replace the GPU",
        HealthRule::Zero,
    ),
    counter(
        "pcie.replays",
        94,
        "packets repeated on PCIe",
        HealthRule::Watch,
    ),
    counter(
        "pcie.correctable",
        173,
        "errors corrected on PCIe",
        HealthRule::Watch,
    ),
    counter(
        "nvlink.crc_flit",
        38,
        "flits with wrong checksums on NVLink",
        HealthRule::Watch,
    ),
    counter(
        "nvlink.crc_data",
        45,
        "data with wrong checksums on NVLink",
        HealthRule::Watch,
    ),
    counter(
        "nvlink.replays",
        52,
        "packets repeated on NVLink",
        HealthRule::Watch,
    ),
    counter(
        "nvlink.recoveries",
        59,
        "recoveries of NVLink",
        HealthRule::Still,
    ),
    counter(
        "recovery_action",
        230,
        "is the recovery that the driver asks for (1 reset, 2 reboot, 3 drain, 4 drain and reset)",
        HealthRule::Zero,
    ),
    counter("slowed.power", 74, "by the power limit", HealthRule::Note),
    counter("slowed.thermal", 75, "by heat", HealthRule::Slowed),
    counter(
        "slowed.board",
        77,
        "by a limit of the board, such as a power brake",
        HealthRule::Slowed,
    ),
    counter(
        "slowed.reliability",
        79,
        "by the limit of its voltage",
        HealthRule::Note,
    ),
];

/// What the counters of a GPU said around its tests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// Counters before the first test, by their names.
    pub before: BTreeMap<String, u64>,
    /// Counters after the last.
    pub after: BTreeMap<String, u64>,
    /// Seconds between the two.
    pub seconds: f64,
    /// The PCIe link, where NVML tells it.
    pub link: Option<PcieLink>,
    /// What could not be read although the GPU should have it, and why.
    pub missing: Vec<String>,
}

impl Health {
    /// By how much a counter grew. One that is smaller than before was reset meanwhile, and counts as
    /// grown by what it shows.
    pub fn growth(&self, name: &str) -> Option<u64> {
        let (before, after) = (*self.before.get(name)?, *self.after.get(name)?);
        Some(after.checked_sub(before).unwrap_or(after))
    }
}

/// The PCIe link of a GPU. When idle it falls back to a lower generation, so that only the best that was
/// seen while the GPU worked counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PcieLink {
    /// The highest generation seen under load.
    pub generation: u32,
    /// The most lanes seen under load.
    pub width: u32,
    /// The generation that GPU and host could have.
    pub highest_generation: u32,
    /// The lanes that GPU and host could have.
    pub widest: u32,
}

impl PcieLink {
    /// The better of two looks.
    #[must_use]
    pub fn best(self, other: Self) -> Self {
        Self {
            generation: self.generation.max(other.generation),
            width: self.width.max(other.width),
            ..self
        }
    }
}

/// A message of the driver that something went wrong on a GPU ("Xid").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Xid {
    /// Unique id of the GPU.
    pub uuid: String,
    /// Its number in NVIDIA's catalogue of Xid messages.
    pub code: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_needs_both_ends_and_survives_a_reset() {
        let of = |values: &[(&str, u64)]| -> BTreeMap<String, u64> {
            let values = values.iter();
            values
                .map(|(name, value)| ((*name).to_owned(), *value))
                .collect()
        };
        let health = Health {
            before: of(&[("a", 5), ("b", 5), ("c", 1)]),
            after: of(&[("a", 7), ("b", 2)]),
            ..Health::default()
        };
        assert_eq!(
            ["a", "b", "c", "d"].map(|name| health.growth(name)),
            [Some(2), Some(2), None, None]
        );
    }

    #[test]
    fn names_and_fields_are_there_once() {
        let mut names: Vec<&str> = HEALTH_COUNTERS.iter().map(|it| it.name).collect();
        let mut fields: Vec<u32> = HEALTH_COUNTERS.iter().map(|it| it.field).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        fields.sort_unstable();
        fields.dedup();
        assert_eq!((names.len(), fields.len()), (all, all));
    }
}
