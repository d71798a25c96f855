//! One reading of one GPU: what NVML says of it at a moment.
//!
//! A value that the GPU does not report is `None` and has a reason, and is never taken for 0.

use super::Unavailable;
use nvml_wrapper::Device;
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::error::NvmlError;
use std::fmt;

/// What one GPU reported at one moment. `None`: it does not report this value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Share of time in which at least one kernel ran, 0 to 1, over the driver's own window of
    /// between 1/6 s and 1 s.
    pub utilization: Option<f64>,
    /// Share of time in which device memory was read or written, 0 to 1, over the same window.
    pub memory_activity: Option<f64>,
    /// Memory that programs use, in bytes: without what the driver reserves for itself.
    pub memory_used_bytes: Option<u64>,
    /// All memory, in bytes.
    pub memory_total_bytes: Option<u64>,
    /// Power drawn by the board, in watts; an average over one second on most GPUs since Ampere.
    pub power_watts: Option<f64>,
    /// Temperature of the core, in degrees Celsius.
    pub temperature_celsius: Option<f64>,
    /// Clock of the multiprocessors, in MHz.
    pub sm_clock_mhz: Option<f64>,
    /// Clock of the memory, in MHz.
    pub memory_clock_mhz: Option<f64>,
    /// What holds the clocks back.
    pub throttle: Option<Throttle>,
}

impl Reading {
    /// Memory in use as a share of all of it, 0 to 1.
    pub fn memory_ratio(&self) -> Option<f64> {
        match (self.memory_used_bytes, self.memory_total_bytes) {
            (Some(used), Some(total)) if total > 0 => Some(used as f64 / total as f64),
            _ => None,
        }
    }
}

/// What holds the clocks of a GPU back, as NVML's bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttle {
    /// NVML's `nvmlClocksThrottleReason…` bits; those that this program does not know are left out.
    pub reasons: u64,
}

impl Throttle {
    /// Whether power, heat or hardware slow the GPU down. An idle GPU and one whose clocks an
    /// operator has set are not throttled.
    pub fn is_throttled(self) -> bool {
        let held_back = ThrottleReasons::SW_POWER_CAP
            | ThrottleReasons::HW_SLOWDOWN
            | ThrottleReasons::SW_THERMAL_SLOWDOWN
            | ThrottleReasons::HW_THERMAL_SLOWDOWN
            | ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN;
        self.reasons & held_back.bits() != 0
    }
}

/// A value that a GPU does not report, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// The GPU's index in NVML's order.
    pub gpu: u32,
    /// What is missing, for example `utilization`.
    pub what: &'static str,
    /// Why.
    pub reason: String,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gpu, what, reason } = self;
        write!(f, "GPU {gpu} does not report its {what}: {reason}")
    }
}

/// Why a GPU in MIG mode has no utilization. Some drivers answer 0 instead of refusing, which would
/// look like an idle GPU.
pub(super) const SPLIT_BY_MIG: &str =
    "it is split by MIG, and NVML knows no utilization for a GPU that is split";

/// Reads one GPU.
///
/// # Errors
/// When the GPU or the driver is gone, or when not one value could be read although the GPU is said
/// to report some.
pub(super) fn read(
    device: &Device<'_>,
    gpu: u32,
    mig: bool,
) -> Result<(Reading, Vec<Lack>), Unavailable> {
    let mut values = Values::new(gpu);
    let mut reading = Reading::default();
    if mig {
        values.lack("utilization", SPLIT_BY_MIG.to_owned());
        values.lack("memory activity", SPLIT_BY_MIG.to_owned());
    } else if let Some(rates) = values.take("utilization", device.utilization_rates())? {
        reading.utilization = share(rates.gpu);
        reading.memory_activity = share(rates.memory);
    }
    if let Some(memory) = values.take("memory", device.memory_info())? {
        // Above the total stands NVML's mark for "not available".
        reading.memory_used_bytes = (memory.used <= memory.total).then_some(memory.used);
        reading.memory_total_bytes = (memory.total > 0).then_some(memory.total);
    }
    reading.power_watts = values
        .take("power", device.power_usage())?
        .map(|milliwatts| f64::from(milliwatts) / 1000.0);
    let temperature = device.temperature(TemperatureSensor::Gpu);
    reading.temperature_celsius = values.take("temperature", temperature)?.map(f64::from);
    let sm_clock = device.clock_info(Clock::SM);
    reading.sm_clock_mhz = values.take("SM clock", sm_clock)?.map(f64::from);
    let memory_clock = device.clock_info(Clock::Memory);
    reading.memory_clock_mhz = values.take("memory clock", memory_clock)?.map(f64::from);
    reading.throttle = values
        .take("throttle reasons", device.current_throttle_reasons())?
        .map(|reasons| Throttle {
            reasons: reasons.bits(),
        });
    let lacks = values.finish()?;
    Ok((reading, lacks))
}

/// NVML's percentage as a ratio; anything above 100 is no percentage.
fn share(percent: u32) -> Option<f64> {
    (percent <= 100).then(|| f64::from(percent) / 100.0)
}

/// Sorts the answers of one GPU into values, values that it lacks, and failures of the GPU itself.
pub(super) struct Values {
    gpu: u32,
    read: usize,
    failed: Option<Unavailable>,
    lacks: Vec<Lack>,
}

impl Values {
    pub(super) fn new(gpu: u32) -> Self {
        Self {
            gpu,
            read: 0,
            failed: None,
            lacks: Vec::new(),
        }
    }

    pub(super) fn take<T>(
        &mut self,
        what: &'static str,
        answer: Result<T, NvmlError>,
    ) -> Result<Option<T>, Unavailable> {
        let error = match answer {
            Ok(value) => {
                self.read += 1;
                return Ok(Some(value));
            }
            Err(error) => error,
        };
        let reason = Unavailable::of_gpu(self.gpu, &error);
        if Unavailable::is_fatal(&error) {
            return Err(reason);
        }
        if matches!(error, NvmlError::NotSupported) {
            self.lack(what, "this GPU or driver does not support it".to_owned());
        } else {
            self.lack(what, reason.to_string());
            self.failed.get_or_insert(reason);
        }
        Ok(None)
    }

    fn lack(&mut self, what: &'static str, reason: String) {
        self.lacks.push(Lack {
            gpu: self.gpu,
            what,
            reason,
        });
    }

    /// What is missing; a GPU of which nothing is left has failed.
    fn finish(self) -> Result<Vec<Lack>, Unavailable> {
        match self.failed {
            Some(failed) if self.read == 0 => Err(failed),
            _ => Ok(self.lacks),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_heat_and_hardware_throttle_and_settings_do_not() {
        let throttled = |reasons| Throttle { reasons }.is_throttled();
        for bit in [0x4, 0x8, 0x20, 0x40, 0x80] {
            assert!(throttled(bit), "{bit:#x}");
        }
        // Idle, application clocks, sync boost, display clocks; and nothing at all.
        for bit in [0x1, 0x2, 0x10, 0x100, 0x0] {
            assert!(!throttled(bit), "{bit:#x}");
        }
        assert!(throttled(0x1 | 0x4));
    }

    #[test]
    fn what_is_no_percentage_is_no_ratio() {
        assert_eq!(share(0), Some(0.0));
        assert_eq!(share(100), Some(1.0));
        assert_eq!(share(u32::MAX), None);
    }

    #[test]
    fn a_share_of_memory_needs_both_values() {
        let mut reading = Reading {
            memory_used_bytes: Some(1),
            ..Reading::default()
        };
        assert_eq!(reading.memory_ratio(), None);
        reading.memory_total_bytes = Some(4);
        assert_eq!(reading.memory_ratio(), Some(0.25));
    }
}
