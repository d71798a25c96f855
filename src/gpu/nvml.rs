//! NVML, opened at run time: which GPUs this host has, and readings of them.
//!
//! The library is never linked: a host without a driver gets a reason, not a loader error. Telemetry
//! only; this never changes the state of a GPU.
#![expect(
    unsafe_code,
    reason = "handles that are kept longer than the wrapper's types allow"
)]

use super::counters::{self, Counters};
use super::gpm::{Activity, Gpm};
use super::processes::{self, ProcessMemory};
use super::reading::{self, Lack, Reading};
use super::samples::{self, DriverSample, Sampled};
use super::unavailable::Unavailable;
use crate::record::Gpu;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml as Library};
use std::ffi::{OsStr, c_void};
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
    /// Samples of the GPU's own counters. They are given back before the library is closed.
    gpm: Gpm,
    library: Library,
    driver: String,
    gpus: Vec<Gpu>,
    known: Vec<Known>,
    lacks: Vec<Lack>,
    simulated: bool,
}

/// What is known of one of the GPUs beyond its description.
#[derive(Debug)]
struct Known {
    handle: Handle,
    mig: bool,
    parts: Vec<MigPart>,
    /// Why the driver's buffer of utilization samples cannot be read, where it cannot.
    unsampled: Option<String>,
    /// Why the GPU's own counters cannot be read, where they cannot.
    inactive: Option<String>,
}

/// A GPU instance of a GPU that is split by MIG.
#[derive(Clone, Copy, Debug)]
pub struct MigPart {
    /// NVML's id of the GPU instance.
    pub instance: u32,
    handle: Handle,
}

/// NVML's handle of a device. It stays valid until the library is closed.
#[derive(Clone, Copy, Debug)]
struct Handle(*mut c_void);

// SAFETY: NVML may be called from any thread, with any of its handles.
unsafe impl Send for Handle {}
// SAFETY: as above; the handle itself is never written.
unsafe impl Sync for Handle {}

impl Handle {
    fn of(device: &Device<'_>) -> Self {
        // SAFETY: the handle is only kept; nothing is done to what it stands for.
        Self(unsafe { device.handle() }.cast())
    }

    fn device(self, library: &Library) -> Device<'_> {
        // SAFETY: this library gave the handle, and it is open.
        unsafe { Device::new(self.0.cast(), library) }
    }
}

impl Drop for Nvml {
    fn drop(&mut self) {
        self.gpm.give_back(&self.library);
    }
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
            known: Vec::new(),
            gpm: Gpm::default(),
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
        let (index, known) = self.known(place)?;
        // Asked for anew: a GPU that is gone is noticed here.
        let device = self.device(index)?;
        reading::read(&device, index, known.mig).map(|(reading, _)| reading)
    }

    /// What the driver has counted of a GPU up to now.
    ///
    /// # Errors
    /// When the GPU or the driver is gone. A counter that is merely not kept is `None`.
    pub fn count(&self, place: usize) -> Result<Counters, Unavailable> {
        let (device, index) = self.device_at(place)?;
        counters::read(&device, index)
    }

    /// Samples that the driver has taken of a GPU since this moment of its clock, oldest first. None of
    /// them is new more often than the driver takes them, about every sixth of a second.
    ///
    /// # Errors
    /// When the GPU or the driver is gone, or the driver keeps no such samples.
    pub fn sampled(
        &self,
        place: usize,
        what: Sampled,
        since_unix_us: u64,
    ) -> Result<Vec<DriverSample>, Unavailable> {
        let (device, index) = self.device_at(place)?;
        samples::read(&device, what, since_unix_us)
            .map_err(|error| Unavailable::of_gpu(index, &error))
    }

    /// Why the driver keeps no samples of a GPU's utilization, where it keeps none.
    pub fn unsampled(&self, place: usize) -> Option<&str> {
        self.known.get(place)?.unsampled.as_deref()
    }

    /// The memory that each process with a CUDA context has of a GPU. NVML numbers processes as the host
    /// does, also where this program runs in a container.
    ///
    /// # Errors
    /// When the list cannot be had: nothing then is known of any process.
    pub fn processes(&self, place: usize) -> Result<Vec<ProcessMemory>, Unavailable> {
        let (device, index) = self.device_at(place)?;
        processes::read(&device).map_err(|error| Unavailable::of_gpu(index, &error))
    }

    /// What a GPU, or one of its MIG instances, has done since the last call: `None` in the first call,
    /// and in one that comes within a tenth of a second, which is too short a time for these counters.
    ///
    /// # Errors
    /// When the GPU or the driver is gone, or has no such counters.
    pub fn activity(
        &self,
        place: usize,
        part: Option<MigPart>,
    ) -> Result<Option<Activity>, Unavailable> {
        let (device, index) = self.device_at(place)?;
        let instance = part.map(|part| part.instance);
        self.gpm
            .since_last(&self.library, &device, place, instance)
            .map_err(|error| Unavailable::of_gpu(index, &error))
    }

    /// Why a GPU's own counters cannot be read, where they cannot.
    pub fn inactive(&self, place: usize) -> Option<&str> {
        self.known.get(place)?.inactive.as_deref()
    }

    /// The GPU instances of a GPU that is split by MIG, as far as this process may see them.
    pub fn parts(&self, place: usize) -> &[MigPart] {
        self.known.get(place).map_or(&[], |known| &known.parts)
    }

    /// Used and all memory of a MIG instance, in bytes.
    ///
    /// # Errors
    /// When it is gone, or does not tell.
    pub fn memory_of(&self, place: usize, part: MigPart) -> Result<(u64, u64), Unavailable> {
        let (index, _) = self.known(place)?;
        let memory = part.handle.device(&self.library).memory_info();
        memory
            .map(|memory| (memory.used, memory.total))
            .map_err(|error| Unavailable::of_gpu(index, &error))
    }

    /// The place in [`Nvml::gpus`] of the GPU that CUDA calls this: CUDA has an order of its own, and may
    /// have been told to hide GPUs.
    pub fn place_of(&self, uuid: &str, pci_bus_id: &str) -> Option<usize> {
        let by_uuid = self.gpus.iter().position(|gpu| gpu.uuid == uuid);
        let same_address = |gpu: &Gpu| gpu.pci_bus_id.eq_ignore_ascii_case(pci_bus_id);
        // Under MIG, CUDA tells the address of the whole GPU and a UUID that may be the part's.
        by_uuid.or_else(|| self.gpus.iter().position(same_address))
    }

    fn known(&self, place: usize) -> Result<(u32, &Known), Unavailable> {
        let gpu = self.gpus.get(place).ok_or(Unavailable::NoDevice)?;
        let known = self.known.get(place).ok_or(Unavailable::NoDevice)?;
        Ok((gpu.index, known))
    }

    /// One of [`Nvml::gpus`] by its place in that list, with its index.
    pub(super) fn device_at(&self, place: usize) -> Result<(Device<'_>, u32), Unavailable> {
        let (index, known) = self.known(place)?;
        Ok((known.handle.device(&self.library), index))
    }

    pub(super) fn library(&self) -> &Library {
        &self.library
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
                    self.known.push(found.known);
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
        let known = Known {
            handle: Handle::of(&device),
            mig,
            parts: if mig {
                self.find_parts(&device)
            } else {
                Vec::new()
            },
            unsampled: samples::why_not(&device, mig),
            inactive: Gpm::why_not(&self.library, &device),
        };
        Ok(Found { gpu, known, lacks })
    }

    /// The GPU instances of a GPU in MIG mode. One that has none, or whose instances belong to others, has
    /// no parts here.
    fn find_parts(&self, device: &Device<'_>) -> Vec<MigPart> {
        let most = device.mig_device_count().unwrap_or_default();
        let mut parts: Vec<MigPart> = Vec::new();
        for index in 0..most {
            let Ok(part) = device.mig_device_by_index(index) else {
                continue;
            };
            let Ok(find_instance) = &self.library.lib().nvmlDeviceGetGpuInstanceId else {
                break;
            };
            let mut instance = 0;
            // SAFETY: the handle is that of a MIG device of this library; the number is a live one.
            let code = unsafe { find_instance(part.handle(), &raw mut instance) };
            // Several compute instances share a GPU instance, and its counters and memory.
            if code == 0 && parts.iter().all(|part| part.instance != instance) {
                parts.push(MigPart {
                    instance,
                    handle: Handle::of(&part),
                });
            }
        }
        parts
    }
}

struct Found {
    gpu: Gpu,
    known: Known,
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
