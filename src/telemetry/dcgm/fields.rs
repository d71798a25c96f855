//! What the lines of dcgm-exporter mean, under the names of all its versions, and those of `bench agent`.
//!
//! Pure. DCGM 4.6 renamed fields; sentinels of fields without a value come through as numbers.

use crate::gpu::Throttle;
use crate::telemetry::scrape::Page;
use std::collections::{BTreeMap, BTreeSet};

/// The metrics that are looked for, in the order of the series.
pub(super) const METRICS: [&str; 16] = [
    "gpu.utilization",
    "gpu.sm_active",
    "gpu.tensor_active",
    "gpu.dram_active",
    "gpu.engine_active",
    "gpu.memory.activity",
    "gpu.memory",
    "gpu.memory.used",
    "gpu.power",
    "gpu.energy",
    "gpu.temperature",
    "gpu.clock.sm",
    "gpu.clock.memory",
    "gpu.throttled",
    "gpu.throttle.reasons",
    "gpu.pcie.replays",
];

/// What the names of `bench agent` begin with. Its values are in base units, and it leaves out what it
/// does not know.
const AGENT: &str = "bench_gpu_";

/// Those that a GPU in MIG mode has as a whole only, and for which DCGM reports 0 or nothing.
const NOT_UNDER_MIG: [&str; 2] = ["gpu.utilization", "gpu.memory.activity"];

/// Which GPU, or which part of one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The host as the exporter calls it.
    pub(super) host: String,
    /// DCGM's index of the GPU.
    pub(super) gpu: u32,
    /// The MIG instance, where the GPU is split.
    pub(super) mig: Option<u32>,
}

impl Place {
    /// As it stands in reports: `gpu-1/0`, or `gpu-1/0/mig7`.
    pub(super) fn instance(&self) -> String {
        let Self { host, gpu, mig } = self;
        match mig {
            None => format!("{host}/{gpu}"),
            Some(mig) => format!("{host}/{gpu}/mig{mig}"),
        }
    }
}

/// What the labels tell about a GPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uuid: String,
    pub(super) model: String,
    pub(super) pci_bus_id: String,
    pub(super) driver: Option<String>,
}

/// The lines about one GPU: fields without the prefix `DCGM_FI_`, those of an agent with their own, and
/// their values.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Lines {
    pub(super) identity: Identity,
    fields: BTreeMap<String, f64>,
}

/// The GPUs of a page that have all of these labels.
pub(super) fn gpus(
    page: &Page,
    host: &str,
    wanted: &BTreeMap<String, String>,
) -> BTreeMap<Place, Lines> {
    let mut gpus: BTreeMap<Place, Lines> = BTreeMap::new();
    for sample in page.samples() {
        let field = match sample.name.strip_prefix("DCGM_FI_") {
            Some(field) => field,
            None if sample.name.starts_with(AGENT) => sample.name.as_str(),
            None => continue,
        };
        let number = |label: &str| sample.label(label).and_then(|text| text.parse().ok());
        let Some(gpu) = number("gpu") else { continue };
        let matches = |(label, value): (&String, &String)| sample.label(label) == Some(value);
        if !wanted.iter().all(matches) {
            continue;
        }
        let text = |label: &str| sample.label(label).unwrap_or_default().to_owned();
        let place = Place {
            host: sample
                .label("hostname")
                .filter(|name| !name.is_empty())
                .unwrap_or(host)
                .to_owned(),
            gpu,
            mig: number("GPU_I_ID"),
        };
        let lines = gpus.entry(place).or_insert_with(|| Lines {
            identity: Identity {
                uuid: text("uuid"),
                model: text("modelName"),
                pci_bus_id: text("pci_bus_id"),
                driver: sample
                    .label("DCGM_FI_DRIVER_VERSION")
                    .or_else(|| sample.label("driver"))
                    .map(str::to_owned),
            },
            fields: BTreeMap::new(),
        });
        // A GPU that several containers share has a line for each, with the same value.
        let known = lines.fields.entry(field.to_owned()).or_insert(sample.value);
        if *known != sample.value {
            *known = f64::NAN;
        }
    }
    gpus
}

/// GPUs of which a part is a MIG instance.
pub(super) fn split(gpus: &BTreeMap<Place, Lines>) -> BTreeSet<(String, u32)> {
    gpus.keys()
        .filter(|place| place.mig.is_some())
        .map(|place| (place.host.clone(), place.gpu))
        .collect()
}

/// Whether a metric means nothing on this GPU because it is split.
pub(super) fn means_nothing(metric: &str, place: &Place, split: &BTreeSet<(String, u32)>) -> bool {
    NOT_UNDER_MIG.contains(&metric) && split.contains(&(place.host.clone(), place.gpu))
}

/// Whether `DEV_GPU_UTIL_RATIO` is a ratio. DCGM 4.6 gave this name to the old field, which counts
/// whole percent; later versions give it to a field that goes from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Scale {
    /// Nothing but 0 and 1 was seen: they may be either.
    #[default]
    Unknown,
    Percent,
    Ratio,
}

impl Scale {
    /// Learns from a value, and reads it; a 1 that may be 1 % or 100 % is nothing.
    fn read(&mut self, value: f64) -> Option<f64> {
        if value > 1.0 {
            *self = Self::Percent;
        } else if value > 0.0 && value < 1.0 {
            *self = Self::Ratio;
        }
        match self {
            Self::Percent => Some(value / 100.0),
            Self::Ratio => Some(value),
            Self::Unknown => (value == 0.0).then_some(0.0),
        }
    }
}

impl Lines {
    /// The value of a metric in its base unit.
    pub(super) fn value(&self, metric: &str, scale: &mut Scale) -> Option<f64> {
        const MIB: f64 = 1_048_576.0;
        let percent = |value: f64| value / 100.0;
        let of_agent = metric.strip_prefix("gpu.").and_then(|name| {
            let name = format!("{AGENT}{}", name.replace('.', "_"));
            self.fields.get(&name).copied()
        });
        if of_agent.is_some() {
            return of_agent.filter(|value| value.is_finite());
        }
        let value = match metric {
            "gpu.utilization" => match self.field(&["DEV_GPU_UTIL"]) {
                Some(value) => Some(percent(value)),
                None => scale.read(self.field(&["DEV_GPU_UTIL_RATIO"])?),
            },
            "gpu.sm_active" => self.field(&["PROF_SM_ACTIVE", "PROF_SM_UTIL_RATIO"]),
            "gpu.tensor_active" => {
                self.field(&["PROF_PIPE_TENSOR_ACTIVE", "PROF_TENSOR_UTIL_RATIO"])
            }
            "gpu.dram_active" => self.field(&["PROF_DRAM_ACTIVE", "PROF_DRAM_UTIL_RATIO"]),
            "gpu.engine_active" => {
                self.field(&["PROF_GR_ENGINE_ACTIVE", "PROF_GR_ENGINE_UTIL_RATIO"])
            }
            "gpu.memory.activity" => self.field(&["DEV_MEM_COPY_UTIL"]).map(percent),
            "gpu.memory.used" => self.field(&["DEV_FB_USED"]).map(|used| used * MIB),
            "gpu.memory" => self.memory_ratio(),
            "gpu.power" => self.field(&["DEV_POWER_USAGE", "DEV_BOARD_POWER_WATTS"]),
            "gpu.energy" => self
                .counter(&["DEV_TOTAL_ENERGY_CONSUMPTION"])
                .map(|millijoules| millijoules / 1e3)
                .or_else(|| self.counter(&["DEV_GPU_ENERGY_JOULES_TOTAL"])),
            "gpu.temperature" => self.field(&["DEV_GPU_TEMP", "DEV_GPU_TEMP_CELSIUS"]),
            "gpu.clock.sm" => self.field(&["DEV_SM_CLOCK"]),
            "gpu.clock.memory" => self.field(&["DEV_MEM_CLOCK"]),
            "gpu.throttle.reasons" => self.throttle_reasons(),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a bit mask; a cast of a float saturates"
            )]
            "gpu.throttled" => self.throttle_reasons().map(|reasons| {
                let throttle = Throttle {
                    reasons: reasons as u64,
                };
                f64::from(u8::from(throttle.is_throttled()))
            }),
            "gpu.pcie.replays" => {
                self.counter(&["DEV_PCIE_REPLAY_COUNTER", "DEV_PCIE_REPLAY_TOTAL"])
            }
            _ => None,
        }?;
        let is_share = matches!(
            metric,
            "gpu.utilization"
                | "gpu.sm_active"
                | "gpu.tensor_active"
                | "gpu.dram_active"
                | "gpu.engine_active"
                | "gpu.memory.activity"
                | "gpu.memory"
        );
        // More than everything is no share. Ratios of counters may exceed 1 by their rounding.
        match (is_share, value) {
            (true, value) if !(0.0..=1.01).contains(&value) => None,
            (true, value) => Some(value.min(1.0)),
            (false, value) => Some(value),
        }
    }

    fn throttle_reasons(&self) -> Option<f64> {
        self.field(&["DEV_CLOCK_THROTTLE_REASONS", "DEV_CLOCKS_EVENT_REASONS"])
    }

    /// Used memory as a share of all of it, what the driver reserves for itself included.
    fn memory_ratio(&self) -> Option<f64> {
        let used = self.field(&["DEV_FB_USED"])?;
        let total = match self.field(&["DEV_FB_TOTAL"]) {
            Some(total) => total,
            None => {
                used + self.field(&["DEV_FB_FREE"])?
                    + self.field(&["DEV_FB_RESERVED"]).unwrap_or(0.0)
            }
        };
        (total > 0.0).then(|| used / total)
    }

    /// Whether they are those of `bench agent`.
    pub(super) fn are_of_agent(&self) -> bool {
        self.fields.keys().any(|name| name.starts_with(AGENT))
    }

    /// All memory in bytes.
    pub(super) fn memory_bytes(&self) -> Option<f64> {
        let used = self.value("gpu.memory.used", &mut Scale::default())?;
        let ratio = self.value("gpu.memory", &mut Scale::default())?;
        (ratio > 0.0).then(|| (used / ratio).round())
    }

    /// The first of these fields that is there and is no sentinel.
    fn field(&self, names: &[&str]) -> Option<f64> {
        self.counter(names).filter(|value| {
            // DCGM_INT32_BLANK and its neighbours NOT_FOUND, NOT_SUPPORTED, NOT_PERMISSIONED. A counter
            // may well pass them by.
            !(2_147_483_632.0..=2_147_483_647.0).contains(value)
        })
    }

    /// The same, for values that may be large.
    fn counter(&self, names: &[&str]) -> Option<f64> {
        let value = *names.iter().find_map(|name| self.fields.get(*name))?;
        // DCGM_INT64_BLANK, DCGM_FP64_BLANK and their neighbours.
        const INT64_BLANK: f64 = 9_223_372_036_854_770_000.0;
        const FP64_BLANK: f64 = 140_737_488_355_328.0;
        let blank = value >= INT64_BLANK || (FP64_BLANK..FP64_BLANK + 16.0).contains(&value);
        (value.is_finite() && value >= 0.0 && !blank).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> BTreeMap<Place, Lines> {
        gpus(&Page::parse(text).expect("a page"), "h", &BTreeMap::new())
    }

    fn value(text: &str, metric: &str) -> Option<f64> {
        let lines = lines(text).into_values().next().expect("a GPU");
        lines.value(metric, &mut Scale::default())
    }

    #[test]
    fn old_and_new_names_mean_the_same() {
        for (line, metric, expected) in [
            ("DCGM_FI_DEV_GPU_UTIL", "gpu.utilization", 0.42),
            ("DCGM_FI_DEV_GPU_UTIL_RATIO", "gpu.utilization", 0.42),
            ("DCGM_FI_DEV_POWER_USAGE", "gpu.power", 42.0),
            ("DCGM_FI_DEV_BOARD_POWER_WATTS", "gpu.power", 42.0),
            ("DCGM_FI_DEV_FB_USED", "gpu.memory.used", 44_040_192.0),
            ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "gpu.energy", 0.042),
            ("DCGM_FI_DEV_GPU_ENERGY_JOULES_TOTAL", "gpu.energy", 42.0),
            ("DCGM_FI_DEV_PCIE_REPLAY_TOTAL", "gpu.pcie.replays", 42.0),
        ] {
            assert_eq!(
                value(&format!("{line}{{gpu=\"0\"}} 42"), metric),
                Some(expected),
                "{line}"
            );
        }
        for line in ["PROF_SM_ACTIVE", "PROF_SM_UTIL_RATIO"] {
            assert_eq!(
                value(&format!("DCGM_FI_{line}{{gpu=\"0\"}} 0.5"), "gpu.sm_active"),
                Some(0.5)
            );
        }
    }

    #[test]
    fn a_ratio_that_may_be_percent_is_told_apart_by_what_it_shows() {
        let mut scale = Scale::default();
        assert_eq!((scale.read(0.0), scale.read(1.0)), (Some(0.0), None));
        assert_eq!((scale.read(0.5), scale.read(1.0)), (Some(0.5), Some(1.0)));
        let mut scale = Scale::default();
        assert_eq!(
            (scale.read(97.0), scale.read(1.0)),
            (Some(0.97), Some(0.01))
        );
    }

    #[test]
    fn sentinels_are_no_values() {
        for blank in [
            "9223372036854775794",
            "9.223372036854776e+18",
            "2147483632",
            "2147483634",
            "140737488355328",
            "140737488355330",
            "NaN",
            "-1",
        ] {
            let text = format!("DCGM_FI_DEV_GPU_TEMP{{gpu=\"0\"}} {blank}");
            assert_eq!(value(&text, "gpu.temperature"), None, "{blank}");
        }
        // A counter of millijoules passes 2^31 within the hour.
        let text = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{gpu=\"0\"} 2147483640";
        assert_eq!(value(text, "gpu.energy"), Some(2_147_483.64));
        assert_eq!(
            value("DCGM_FI_DEV_GPU_UTIL{gpu=\"0\"} 250", "gpu.utilization"),
            None
        );
    }

    #[test]
    fn shared_gpus_have_one_value_and_contradictions_none() {
        let line = |pod: &str, value: u32| {
            format!("DCGM_FI_DEV_GPU_UTIL{{gpu=\"0\",pod=\"{pod}\"}} {value}\n")
        };
        let both = line("a", 40) + &line("b", 40);
        assert_eq!(value(&both, "gpu.utilization"), Some(0.4));
        let contradiction = line("a", 40) + &line("b", 50);
        assert_eq!(value(&contradiction, "gpu.utilization"), None);
        let wanted = BTreeMap::from([("pod".to_owned(), "b".to_owned())]);
        let chosen = gpus(&Page::parse(&contradiction).unwrap(), "h", &wanted);
        let lines = chosen.into_values().next().expect("pod b");
        assert_eq!(
            lines.value("gpu.utilization", &mut Scale::default()),
            Some(0.5)
        );
    }

    #[test]
    fn parts_of_a_gpu_have_places_of_their_own_and_no_utilization() {
        let gpus = lines(
            "DCGM_FI_DEV_GPU_UTIL{gpu=\"0\",Hostname=\"n1\",GPU_I_PROFILE=\"\",GPU_I_ID=\"\"} 0\n\
             DCGM_FI_PROF_SM_ACTIVE{gpu=\"0\",Hostname=\"n1\",GPU_I_PROFILE=\"1g.10gb\",GPU_I_ID=\"7\"} 0.5\n\
             DCGM_FI_DEV_GPU_UTIL{gpu=\"1\",Hostname=\"n1\"} 30\n",
        );
        let places: Vec<String> = gpus.keys().map(Place::instance).collect();
        assert_eq!(places, ["n1/0", "n1/0/mig7", "n1/1"]);
        let split = split(&gpus);
        let nothing: Vec<bool> = gpus
            .keys()
            .map(|place| means_nothing("gpu.utilization", place, &split))
            .collect();
        assert_eq!(nothing, [true, true, false]);
        assert!(!means_nothing(
            "gpu.sm_active",
            gpus.keys().next().unwrap(),
            &split
        ));
    }

    #[test]
    fn memory_is_a_share_of_all_of_it() {
        let text = "DCGM_FI_DEV_FB_USED{gpu=\"0\"} 25\nDCGM_FI_DEV_FB_FREE{gpu=\"0\"} 70\n\
                    DCGM_FI_DEV_FB_RESERVED{gpu=\"0\"} 5\n";
        assert_eq!(value(text, "gpu.memory"), Some(0.25));
        assert_eq!(
            value("DCGM_FI_DEV_FB_USED{gpu=\"0\"} 25\n", "gpu.memory"),
            None
        );
        let lines = lines(text).into_values().next().unwrap();
        assert_eq!(lines.memory_bytes(), Some(104_857_600.0));
    }
}
