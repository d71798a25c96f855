//! One device with its primary context, and what it says about itself.
#![expect(unsafe_code, reason = "calls of the CUDA driver")]

use super::library::{Cuda, CudaError, Functions, Handle, call};
use std::ffi::{CStr, c_char, c_int};
use std::fmt;
use std::sync::Arc;

/// What a device says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// Its place in CUDA's order, which is not NVML's.
    pub ordinal: u32,
    /// Model name.
    pub name: String,
    /// Unique id in NVML's notation.
    pub uuid: String,
    /// Address on the PCI bus in NVML's notation.
    pub pci_bus_id: String,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Compute capability, major and minor.
    pub capability: (u32, u32),
    /// How many multiprocessors.
    pub multiprocessors: u32,
    /// Highest clock of the multiprocessors in kHz.
    pub clock_khz: u32,
    /// Highest clock of the memory in kHz.
    pub memory_clock_khz: u32,
    /// Width of the memory bus in bits.
    pub memory_bus_bits: u32,
    /// Level 2 cache in bytes.
    pub l2_bytes: u32,
}

/// Holds the primary context; the last owner gives it back.
pub(super) struct Context {
    pub(super) functions: Arc<Functions>,
    pub(super) handle: Handle,
    device: c_int,
}

// SAFETY: the driver lets any thread use a context that it has made current, which `Device::bind` does.
unsafe impl Send for Context {}
// SAFETY: the driver's functions lock what they share.
unsafe impl Sync for Context {}

impl Drop for Context {
    fn drop(&mut self) {
        let _ = call!(self.functions, cuDevicePrimaryCtxRelease_v2(self.device));
    }
}

/// One device, ready to be used from the thread that opened it, or from one that has bound it.
#[derive(Clone)]
pub struct Device {
    pub(super) context: Arc<Context>,
    properties: Arc<Properties>,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Device").field(&self.properties).finish()
    }
}

impl Device {
    /// Opens a device by its ordinal and binds it to this thread.
    ///
    /// # Errors
    /// What the driver says: the device is lost, in use by another, or there is none.
    pub fn open(cuda: &Cuda, ordinal: u32) -> Result<Self, CudaError> {
        let functions = Arc::clone(&cuda.functions);
        let device = number_of(&functions, ordinal)?;
        let properties = Arc::new(describe(&functions, device, ordinal)?);
        let mut handle: Handle = std::ptr::null_mut();
        call!(functions, cuDevicePrimaryCtxRetain(&raw mut handle, device))?;
        let context = Arc::new(Context {
            functions,
            handle,
            device,
        });
        let opened = Self {
            context,
            properties,
        };
        opened.bind()?;
        Ok(opened)
    }

    /// Makes the device that of this thread. Whatever uses the device must be called on such a thread.
    ///
    /// # Errors
    /// When the device is gone.
    pub fn bind(&self) -> Result<(), CudaError> {
        call!(self.functions(), cuCtxSetCurrent(self.context.handle))
    }

    /// What it says about itself.
    pub fn properties(&self) -> &Properties {
        &self.properties
    }

    /// Waits until everything that was sent to it is done.
    ///
    /// # Errors
    /// When something of it failed.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        call!(self.functions(), cuCtxSynchronize())
    }

    /// Memory that is free, in bytes.
    ///
    /// # Errors
    /// When the device is gone.
    pub fn free_bytes(&self) -> Result<usize, CudaError> {
        let (mut free, mut total) = (0, 0);
        call!(
            self.functions(),
            cuMemGetInfo_v2(&raw mut free, &raw mut total)
        )?;
        Ok(free)
    }

    /// Whether it can reach the memory of another device without the host.
    ///
    /// # Errors
    /// When either device is gone.
    pub fn reaches(&self, other: &Self) -> Result<bool, CudaError> {
        let mut reaches = 0;
        let (from, to) = (self.context.device, other.context.device);
        call!(
            self.functions(),
            cuDeviceCanAccessPeer(&raw mut reaches, from, to)
        )?;
        Ok(reaches != 0)
    }

    /// Lets this device use the memory of another directly. Binds this device to the thread.
    ///
    /// # Errors
    /// When there is no way between them, or either is gone.
    pub fn open_to(&self, other: &Self) -> Result<(), CudaError> {
        const ALREADY: i32 = 704;
        self.bind()?;
        let handle = other.context.handle;
        match call!(self.functions(), cuCtxEnablePeerAccess(handle, 0)) {
            Err(error) if error.code == ALREADY => Ok(()),
            answer => answer,
        }
    }

    pub(super) fn functions(&self) -> &Functions {
        &self.context.functions
    }
}

impl Properties {
    /// Those of a device that need not be opened for it.
    ///
    /// # Errors
    /// What the driver says: the device is lost, or there is none.
    pub fn of(cuda: &Cuda, ordinal: u32) -> Result<Self, CudaError> {
        describe(
            &cuda.functions,
            number_of(&cuda.functions, ordinal)?,
            ordinal,
        )
    }
}

fn number_of(functions: &Functions, ordinal: u32) -> Result<c_int, CudaError> {
    let mut device = 0;
    let place = c_int::try_from(ordinal).unwrap_or(c_int::MAX);
    call!(functions, cuDeviceGet(&raw mut device, place))?;
    Ok(device)
}

fn describe(functions: &Functions, device: c_int, ordinal: u32) -> Result<Properties, CudaError> {
    let attribute = |id: c_int| -> Result<u32, CudaError> {
        let mut value = 0;
        call!(functions, cuDeviceGetAttribute(&raw mut value, id, device))?;
        Ok(u32::try_from(value).unwrap_or_default())
    };
    let mut name = [0 as c_char; 128];
    call!(functions, cuDeviceGetName(name.as_mut_ptr(), 128, device))?;
    name[127] = 0;
    // SAFETY: the last byte is 0, and the array outlives the text.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) };
    let mut uuid = [0; 16];
    call!(functions, cuDeviceGetUuid(uuid.as_mut_ptr(), device))?;
    let mut memory = 0;
    call!(functions, cuDeviceTotalMem_v2(&raw mut memory, device))?;
    Ok(Properties {
        ordinal,
        name: name.to_string_lossy().into_owned(),
        uuid: in_groups(&uuid),
        pci_bus_id: format!(
            "{:08X}:{:02X}:{:02X}.0",
            attribute(50)?,
            attribute(33)?,
            attribute(34)?
        ),
        memory_bytes: memory as u64,
        capability: (attribute(75)?, attribute(76)?),
        multiprocessors: attribute(16)?,
        clock_khz: attribute(13)?,
        memory_clock_khz: attribute(36)?,
        memory_bus_bits: attribute(37)?,
        l2_bytes: attribute(38)?,
    })
}

/// 16 bytes as NVML writes a UUID.
fn in_groups(bytes: &[u8; 16]) -> String {
    let mut text = "GPU".to_owned();
    for (place, byte) in bytes.iter().enumerate() {
        if matches!(place, 0 | 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_looks_like_that_of_nvml() {
        let bytes = std::array::from_fn(|place| u8::try_from(place).unwrap());
        assert_eq!(
            in_groups(&bytes),
            "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f"
        );
    }
}
