//! NVML, opened at run time: which GPUs this host has, and readings of them.
//!
//! The library is never linked: a host without a driver gets a reason, not a loader error. Telemetry
//! only; this never changes the state of a GPU.

use super::reading::{self, Lack, Reading};
use super::unavailable::Unavailable;
use crate::record::Gpu;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml as Library};
use std::ffi::OsStr;
use std::path::Path;

/// NVML's file names, in the order in which they are tried. Containers often have the first only,
/// development packages the second.
#[cfg(not(target_os = "windows"))]
const NAMES: [&str; 2] = ["libnvidia-ml.so.1", "libnvidia-ml.so"];
#[cfg(target_os = "windows")]
const NAMES: [&str; 1] = ["nvml.dll"];

/// A device or driver that carries this word in its name makes its values up.
pub const SIMULATED: &str = "SIMULATED";

/// An open NVML with the GPUs that it can read.
#[derive(Debug)]
pub struct Nvml {
    library: Library,
    driver: String,
    gpus: Vec<Gpu>,
    mig: Vec<bool>,
    lacks: Vec<Lack>,
    simulated: bool,
}

impl Nvml {
    /// Opens NVML, from this file or from where the system keeps it, and takes one reading of each
    /// GPU to learn what it reports.
    ///
    /// # Errors
    /// When there is no driver or no GPU, or when one is there and cannot be read.
    pub fn open(library: Option<&Path>) -> Result<Self, Unavailable> {
        let library = load(library)?;
        let driver = library
            .sys_driver_version()
            .map_err(|error| Unavailable::of(&error))?;
        let mut nvml = Self {
            simulated: driver.contains(SIMULATED),
            library,
            driver,
            gpus: Vec::new(),
            mig: Vec::new(),
            lacks: Vec::new(),
        };
        nvml.find_gpus()?;
        Ok(nvml)
    }

    /// The version of the driver, for example `580.159.03`.
    pub fn driver(&self) -> &str {
        &self.driver
    }

    /// The GPUs that can be read, in NVML's order.
    pub fn gpus(&self) -> &[Gpu] {
        &self.gpus
    }

    /// What could not be read when NVML was opened, and why: the reader of a report must learn it.
    pub fn lacks(&self) -> &[Lack] {
        &self.lacks
    }

    /// Whether the GPUs are made up, as in tests.
    pub fn simulated(&self) -> bool {
        self.simulated
    }

    /// Takes a reading of one of [`Nvml::gpus`], by its place in that list.
    ///
    /// # Errors
    /// When the GPU or the driver is gone. A value that is merely not reported is `None`.
    pub fn read(&self, place: usize) -> Result<Reading, Unavailable> {
        let (Some(gpu), Some(&mig)) = (self.gpus.get(place), self.mig.get(place)) else {
            return Err(Unavailable::NoDevice);
        };
        let device = self.device(gpu.index)?;
        reading::read(&device, gpu.index, mig).map(|(reading, _)| reading)
    }

    fn device(&self, index: u32) -> Result<Device<'_>, Unavailable> {
        self.library
            .device_by_index(index)
            .map_err(|error| Unavailable::of_gpu(index, &error))
    }

    fn find_gpus(&mut self) -> Result<(), Unavailable> {
        let count = self
            .library
            .device_count()
            .map_err(|error| Unavailable::of(&error))?;
        let mut forbidden = None;
        for index in 0..count {
            match self.find(index) {
                Ok(found) => {
                    self.simulated |= found.gpu.name.contains(SIMULATED);
                    self.gpus.push(found.gpu);
                    self.mig.push(found.mig);
                    self.lacks.extend(found.lacks);
                }
                // A container may be given some of the host's GPUs. The others are not the service's.
                Err(reason @ Unavailable::NoPermission) => {
                    self.lacks.push(Lack {
                        gpu: index,
                        what: "state",
                        reason: reason.to_string(),
                    });
                    forbidden = Some(reason);
                }
                // A GPU that is lost before the run may well be the service's: no verdict without it.
                Err(reason) => return Err(reason),
            }
        }
        match (self.gpus.is_empty(), forbidden) {
            (false, _) => Ok(()),
            (true, Some(reason)) => Err(reason),
            (true, None) => Err(Unavailable::NoDevice),
        }
    }

    fn find(&self, index: u32) -> Result<Found, Unavailable> {
        const MIG_ENABLED: u32 = 1;
        let failed = |error: NvmlError| Unavailable::of_gpu(index, &error);
        let device = self.device(index)?;
        let name = device.name().map_err(failed)?;
        let uuid = device.uuid().map_err(failed)?;
        let mig = device
            .mig_mode()
            .is_ok_and(|mode| mode.current == MIG_ENABLED);
        let (reading, lacks) = reading::read(&device, index, mig)?;
        let gpu = Gpu {
            index,
            uuid,
            name,
            memory_bytes: reading.memory_total_bytes.unwrap_or_default(),
            pci_bus_id: device.pci_info().map(|pci| pci.bus_id).unwrap_or_default(),
        };
        Ok(Found { gpu, mig, lacks })
    }
}

struct Found {
    gpu: Gpu,
    mig: bool,
    lacks: Vec<Lack>,
}

/// Loads and initializes the library.
fn load(library: Option<&Path>) -> Result<Library, Unavailable> {
    let names: Vec<&OsStr> = match library {
        Some(path) => vec![path.as_os_str()],
        None => NAMES.iter().map(OsStr::new).collect(),
    };
    for name in &names {
        match Library::builder().lib_path(name).init() {
            Ok(library) => return with_shutdown(library),
            Err(NvmlError::LibloadingError(error)) => {
                let reason = error.to_string();
                // The loader tells "not there" from "there, but broken" in words only.
                if !reason.contains("No such file") {
                    let name = name.display();
                    return Err(Unavailable::Other(format!(
                        "{name} cannot be loaded: {reason}"
                    )));
                }
            }
            Err(error) => return Err(Unavailable::of(&error)),
        }
    }
    let first = names.first().map(|name| name.display().to_string());
    Err(Unavailable::LibraryMissing(first.unwrap_or_default()))
}

/// Refuses a library that cannot be shut down: the wrapper would panic when it closes it.
fn with_shutdown(library: Library) -> Result<Library, Unavailable> {
    if library.lib().nvmlShutdown.is_ok() {
        return Ok(library);
    }
    std::mem::forget(library);
    Err(Unavailable::SymbolMissing("nvmlShutdown".to_owned()))
}
