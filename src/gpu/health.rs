//! Health of a GPU as NVML tells it: counters of errors, the PCIe link, messages of the driver.
//!
//! Reads only. What a GPU does not have is left out; what it should have and does not tell has a reason.

use super::counters::whole;
use super::reading::Throttle;
use super::{Nvml, Unavailable};
use crate::record::{HEALTH_COUNTERS, PcieLink, Xid};
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::bitmasks::event::EventTypes;
use nvml_wrapper::enums::event::XidError;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::structs::device::FieldId;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

/// The counters of a GPU at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthReading {
    /// Values by the names of [`HEALTH_COUNTERS`].
    pub counters: BTreeMap<String, u64>,
    /// What could not be read although it is supported, and why.
    pub missing: Vec<String>,
}

impl Throttle {
    /// Whether heat or hardware slow the GPU down. A GPU that does all it can reaches its power limit,
    /// which is no fault.
    pub fn is_fault(self) -> bool {
        let faults = ThrottleReasons::HW_SLOWDOWN
            | ThrottleReasons::SW_THERMAL_SLOWDOWN
            | ThrottleReasons::HW_THERMAL_SLOWDOWN
            | ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN;
        self.reasons & faults.bits() != 0
    }
}

impl Nvml {
    /// Reads the health counters of one of [`Nvml::gpus`].
    ///
    /// # Errors
    /// When the GPU or the driver is gone, or the driver does not know such counters.
    pub fn health(&self, place: usize) -> Result<HealthReading, Unavailable> {
        let (device, index) = self.device_at(place)?;
        let fields: Vec<FieldId> = HEALTH_COUNTERS
            .iter()
            .map(|counter| FieldId(counter.field))
            .collect();
        let answers = device
            .field_values_for(&fields)
            .map_err(|error| Unavailable::of_gpu(index, &error))?;
        let mut reading = HealthReading::default();
        for (counter, answer) in HEALTH_COUNTERS.iter().zip(answers) {
            match answer
                .and_then(|sample| sample.value)
                .map(|value| whole(&value))
            {
                Ok(Some(value)) => {
                    reading.counters.insert(counter.name.to_owned(), value);
                }
                Ok(None) => {
                    let reason = format!("{}: not a whole number", counter.name);
                    reading.missing.push(reason);
                }
                // A GPU with other ways to repair its memory, or a driver that is older than the counter.
                Err(NvmlError::NotSupported | NvmlError::InvalidArg) => {}
                Err(error) if Unavailable::is_fatal(&error) => {
                    return Err(Unavailable::of_gpu(index, &error));
                }
                Err(error) => {
                    let reason = Unavailable::of_gpu(index, &error);
                    reading.missing.push(format!("{}: {reason}", counter.name));
                }
            }
        }
        Ok(reading)
    }

    /// The PCIe link as it is now; `None` where the driver does not tell all of it.
    pub fn link(&self, place: usize) -> Option<PcieLink> {
        let (device, _) = self.device_at(place).ok()?;
        Some(PcieLink {
            generation: device.current_pcie_link_gen().ok()?,
            width: device.current_pcie_link_width().ok()?,
            highest_generation: device.max_pcie_link_gen().ok()?,
            widest: device.max_pcie_link_width().ok()?,
        })
    }

    /// The limit of its power that is in force, in watts, and the version of its firmware.
    pub fn limits(&self, place: usize) -> (Option<f64>, Option<String>) {
        let Ok((device, _)) = self.device_at(place) else {
            return (None, None);
        };
        let watts = device.enforced_power_limit().ok();
        (
            watts.map(|milliwatts| f64::from(milliwatts) / 1e3),
            device.vbios_version().ok(),
        )
    }

    /// Collects the driver's messages about faults of its GPUs until `stop` is set. `ready` is called
    /// when the watch has begun, whether or not it can be kept.
    ///
    /// # Errors
    /// Why there is no such watch.
    pub fn watch(&self, stop: &AtomicBool, ready: impl FnOnce()) -> Result<Vec<Xid>, String> {
        const LOOK_MS: u32 = 100;
        let set = self.listening();
        ready();
        let set = set?;
        let mut found = Vec::new();
        loop {
            // What came before the end is fetched before it ends.
            let last = stop.load(Ordering::Acquire);
            match set.wait(if last { 0 } else { LOOK_MS }) {
                Ok(event) => {
                    if let Some(XidError::Value(code)) = event.event_data {
                        let uuid = event.device.uuid().unwrap_or_default();
                        found.push(Xid { uuid, code });
                    }
                }
                Err(NvmlError::Timeout) if last => return Ok(found),
                Err(NvmlError::Timeout) => {}
                // A GPU that is lost has its own finding; what came until now is worth keeping.
                Err(NvmlError::GpuLost) => return Ok(found),
                Err(error) => return Err(Unavailable::of(&error).to_string()),
            }
        }
    }

    fn listening(&self) -> Result<nvml_wrapper::EventSet<'_>, String> {
        let library = self.library();
        // The wrapper panics when it gives back a set and this function is missing.
        if library.lib().nvmlEventSetFree.is_err() {
            return Err(Unavailable::SymbolMissing("nvmlEventSetFree".to_owned()).to_string());
        }
        let told = |error: &NvmlError| Unavailable::of(error).to_string();
        let mut set = library.create_event_set().map_err(|error| told(&error))?;
        for place in 0..self.gpus().len() {
            let (device, _) = self.device_at(place).map_err(|reason| reason.to_string())?;
            set = device
                .register_events(EventTypes::CRITICAL_XID_ERROR, set)
                .map_err(|error| told(&error.error))?;
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_power_limit_is_no_fault_and_heat_is() {
        let fault = |reasons| Throttle { reasons }.is_fault();
        assert!(!fault(0x4), "power cap");
        assert!(!fault(0x1 | 0x2), "idle, set clocks");
        for bit in [0x8, 0x20, 0x40, 0x80] {
            assert!(fault(bit | 0x4), "{bit:#x}");
        }
    }
}
