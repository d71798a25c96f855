//! Kernels: PTX that the driver translates, and launches with arguments that fit.
#![expect(unsafe_code, reason = "calls of the CUDA driver")]

use super::device::Device;
use super::library::{CudaError, Handle, call};
use super::stream::Stream;
use crate::gpu::kernels::{Entry, Kind, Source};
use std::ffi::{CString, c_void};
use std::sync::Arc;

/// A translated source.
pub struct Module {
    device: Device,
    handle: Handle,
}

// SAFETY: modules may be used from any thread whose context is the device's.
unsafe impl Send for Module {}
// SAFETY: looking functions up changes nothing, and the driver locks.
unsafe impl Sync for Module {}

impl Module {
    /// Lets the driver translate a source.
    ///
    /// # Errors
    /// When it refuses: the PTX is newer than the driver, or not made for this device.
    pub fn load(device: &Device, source: Source) -> Result<Arc<Self>, CudaError> {
        let text = CString::new(source.ptx()).unwrap_or_default();
        let mut handle: Handle = std::ptr::null_mut();
        call!(
            device.functions(),
            cuModuleLoadData(&raw mut handle, text.as_ptr().cast())
        )?;
        Ok(Arc::new(Self {
            device: device.clone(),
            handle,
        }))
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        let _ = call!(self.device.functions(), cuModuleUnload(self.handle));
    }
}

/// A kernel that is ready to be launched.
#[derive(Clone)]
pub struct Kernel {
    /// Keeps the function alive.
    module: Arc<Module>,
    function: Handle,
    entry: Entry,
}

// SAFETY: as modules.
unsafe impl Send for Kernel {}

/// What is passed to a kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Argument {
    /// An address on the device.
    Address(u64),
    /// A 64-bit number.
    Long(u64),
    /// A 32-bit number.
    Word(u32),
    /// A floating-point number.
    Float(f32),
}

impl Argument {
    fn kind(self) -> Kind {
        match self {
            Self::Address(_) | Self::Long(_) => Kind::U64,
            Self::Word(_) => Kind::U32,
            Self::Float(_) => Kind::F32,
        }
    }

    /// Its bytes as the driver reads them: from the low end.
    fn cell(self) -> u64 {
        match self {
            Self::Address(value) | Self::Long(value) => value,
            Self::Word(value) => u64::from(value),
            Self::Float(value) => u64::from(value.to_bits()),
        }
    }
}

impl Kernel {
    /// Finds a kernel in its module.
    ///
    /// # Errors
    /// When it is not there.
    pub fn find(module: &Arc<Module>, entry: Entry) -> Result<Self, CudaError> {
        let name = CString::new(entry.name).unwrap_or_default();
        let mut function: Handle = std::ptr::null_mut();
        call!(
            module.device.functions(),
            cuModuleGetFunction(&raw mut function, module.handle, name.as_ptr())
        )?;
        Ok(Self {
            module: Arc::clone(module),
            function,
            entry,
        })
    }

    /// Sends it to a stream: a grid of `grid.0` × `grid.1` blocks of `threads` threads.
    ///
    /// # Errors
    /// When the device is gone, or earlier work failed.
    ///
    /// # Panics
    /// When the arguments are not of the kinds that the kernel takes: a fault of the caller.
    pub fn launch(
        &self,
        stream: &Stream,
        grid: (u32, u32),
        threads: u32,
        arguments: &[Argument],
    ) -> Result<(), CudaError> {
        let kinds: Vec<Kind> = arguments.iter().map(|argument| argument.kind()).collect();
        assert_eq!(kinds, self.entry.takes, "arguments of {}", self.entry.name);
        let mut cells: Vec<u64> = arguments.iter().map(|argument| argument.cell()).collect();
        let mut pointers: Vec<*mut c_void> = cells
            .iter_mut()
            .map(|cell| std::ptr::from_mut(cell).cast())
            .collect();
        call!(
            self.module.device.functions(),
            cuLaunchKernel(
                self.function,
                grid.0,
                grid.1,
                1,
                threads,
                1,
                1,
                0,
                stream.handle(),
                pointers.as_mut_ptr(),
                std::ptr::null_mut()
            )
        )
    }
}
