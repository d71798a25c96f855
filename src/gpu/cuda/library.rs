//! The driver's library: its functions, and why it cannot be used.
#![expect(unsafe_code, reason = "functions of a C library, found by their names")]

use libloading::Library;
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// File names of the driver's library, in the order in which they are tried.
#[cfg(not(target_os = "windows"))]
const NAMES: [&str; 2] = ["libcuda.so.1", "libcuda.so"];
#[cfg(target_os = "windows")]
const NAMES: [&str; 1] = ["nvcuda.dll"];

/// The oldest CUDA version of a driver that can translate the kernels that this program brings.
const OLDEST: c_int = 11_080;

/// Why CUDA cannot be used on this host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CudaUnavailable {
    /// There is no driver library.
    #[error(
        "no CUDA driver on this host: {0} was not found (a container needs \
         NVIDIA_DRIVER_CAPABILITIES=compute,utility)"
    )]
    LibraryMissing(String),
    /// The library is there and cannot be loaded.
    #[error("the CUDA driver library cannot be loaded: {0}")]
    LibraryBroken(String),
    /// The library lacks a function: it is too old, or a stub.
    #[error("the CUDA driver library has no function `{0}`: install driver 525 or newer")]
    SymbolMissing(&'static str),
    /// The driver is too old for the kernels.
    #[error(
        "the CUDA driver is too old: it knows CUDA {major}.{minor}, and 11.8 is needed: install driver \
         525 or newer"
    )]
    TooOld {
        /// Major version.
        major: i32,
        /// Minor version.
        minor: i32,
    },
    /// The driver works and has no device.
    #[error("the CUDA driver sees no GPU on this host (is CUDA_VISIBLE_DEVICES set?)")]
    NoDevice,
    /// Anything else that the driver says.
    #[error("{0}")]
    Driver(CudaError),
}

/// A function of the driver that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CudaError {
    /// The function.
    pub call: &'static str,
    /// The driver's `CUresult`.
    pub code: i32,
}

impl CudaError {
    /// The device is out of memory.
    pub const OUT_OF_MEMORY: i32 = 2;

    fn meaning(self) -> &'static str {
        match self.code {
            1 => "invalid value",
            2 => "out of memory",
            3 => "the driver is not initialized",
            34 => "the library is a stub, not a driver",
            46 => "the device is in use or lost",
            100 => "no device",
            101 => "no such device",
            200 => "invalid image",
            201 => "invalid context",
            209 => "the kernels are not made for this device",
            214 => "an uncorrectable ECC error",
            218 => "the driver refuses the PTX",
            220 => "NVLink cannot be corrected",
            221 => "the driver has no PTX compiler",
            222 => "the PTX is newer than the driver",
            223 => "translation of PTX is disabled",
            500 => "no such function",
            700 => "a kernel used memory that is not its own",
            701 => "too few resources for a launch",
            702 => "a kernel took too long",
            710 => "a kernel stopped itself",
            714..=716 => "a kernel executed something illegal",
            719 => {
                "a kernel failed; the device may be lost: look for Xid messages in the kernel's log"
            }
            800 => "not permitted",
            801 => "not supported",
            802 => "the system is not ready: is the fabric manager running?",
            803 => "library and kernel module have different versions: restart the host",
            804 => "the driver does not support this device with this compatibility package",
            _ => "see the driver's documentation",
        }
    }
}

impl fmt::Display for CudaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, code } = self;
        write!(f, "`{call}` failed with error {code}: {}", self.meaning())
    }
}

impl std::error::Error for CudaError {}

/// A handle of the driver.
pub(super) type Handle = *mut c_void;

macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*);)*) => {
        /// The functions of the driver that this program calls, by their own names.
        #[expect(non_snake_case, reason = "the driver's own names")]
        pub(super) struct Functions {
            $(pub(super) $name: unsafe extern "C" fn($($argument),*) -> c_int,)*
            /// Keeps the functions alive.
            _library: Library,
        }

        impl Functions {
            fn find(library: Library) -> Result<Self, CudaUnavailable> {
                Ok(Self {
                    $($name: {
                        // SAFETY: the type is that of the function in NVIDIA's cuda.h; the library is
                        // kept beside the pointer.
                        let found = unsafe {
                            library.get::<unsafe extern "C" fn($($argument),*) -> c_int>(
                                concat!(stringify!($name), "\0").as_bytes(),
                            )
                        };
                        *found.map_err(|_| CudaUnavailable::SymbolMissing(stringify!($name)))?
                    },)*
                    _library: library,
                })
            }
        }
    };
}

functions! {
    cuInit: fn(c_uint);
    cuDriverGetVersion: fn(*mut c_int);
    cuDeviceGetCount: fn(*mut c_int);
    cuDeviceGet: fn(*mut c_int, c_int);
    cuDeviceGetName: fn(*mut c_char, c_int, c_int);
    cuDeviceGetUuid: fn(*mut u8, c_int);
    cuDeviceTotalMem_v2: fn(*mut usize, c_int);
    cuDeviceGetAttribute: fn(*mut c_int, c_int, c_int);
    cuDeviceCanAccessPeer: fn(*mut c_int, c_int, c_int);
    cuDevicePrimaryCtxRetain: fn(*mut Handle, c_int);
    cuDevicePrimaryCtxRelease_v2: fn(c_int);
    cuCtxSetCurrent: fn(Handle);
    cuCtxSynchronize: fn();
    cuCtxEnablePeerAccess: fn(Handle, c_uint);
    cuStreamCreate: fn(*mut Handle, c_uint);
    cuStreamDestroy_v2: fn(Handle);
    cuStreamSynchronize: fn(Handle);
    cuStreamWaitEvent: fn(Handle, Handle, c_uint);
    cuStreamBeginCapture_v2: fn(Handle, c_int);
    cuStreamEndCapture: fn(Handle, *mut Handle);
    cuGraphInstantiateWithFlags: fn(*mut Handle, Handle, u64);
    cuGraphLaunch: fn(Handle, Handle);
    cuGraphExecDestroy: fn(Handle);
    cuGraphDestroy: fn(Handle);
    cuEventCreate: fn(*mut Handle, c_uint);
    cuEventDestroy_v2: fn(Handle);
    cuEventRecord: fn(Handle, Handle);
    cuEventSynchronize: fn(Handle);
    cuEventElapsedTime: fn(*mut f32, Handle, Handle);
    cuMemAlloc_v2: fn(*mut u64, usize);
    cuMemFree_v2: fn(u64);
    cuMemGetInfo_v2: fn(*mut usize, *mut usize);
    cuMemHostAlloc: fn(*mut Handle, usize, c_uint);
    cuMemFreeHost: fn(Handle);
    cuMemcpyHtoDAsync_v2: fn(u64, *const c_void, usize, Handle);
    cuMemcpyDtoHAsync_v2: fn(*mut c_void, u64, usize, Handle);
    cuMemcpyPeerAsync: fn(u64, Handle, u64, Handle, usize, Handle);
    cuMemsetD8Async: fn(u64, u8, usize, Handle);
    cuModuleLoadData: fn(*mut Handle, *const c_void);
    cuModuleUnload: fn(Handle);
    cuModuleGetFunction: fn(*mut Handle, Handle, *const c_char);
    cuLaunchKernel: fn(Handle, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, Handle, *mut Handle, *mut Handle);
}

/// Calls a function of the driver and turns its answer into a result.
macro_rules! call {
    ($functions:expr, $name:ident($($argument:expr),* $(,)?)) => {
        $crate::gpu::cuda::library::check(
            stringify!($name),
            // SAFETY: the function has this signature; pointers are to live values of this call, and
            // handles are those that the driver gave and that their owners have not given back.
            unsafe { ($functions.$name)($($argument),*) },
        )
    };
}
pub(super) use call;

/// The driver's answer as a result.
pub(super) fn check(call: &'static str, code: c_int) -> Result<(), CudaError> {
    if code == 0 {
        return Ok(());
    }
    Err(CudaError { call, code })
}

/// An open driver.
#[derive(Clone)]
pub struct Cuda {
    pub(super) functions: Arc<Functions>,
    version: c_int,
    count: c_int,
}

impl fmt::Debug for Cuda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cuda")
            .field("version", &self.version)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

impl Cuda {
    /// Opens the driver's library, this one or the system's, and initializes it.
    ///
    /// # Errors
    /// The reason why there is nothing to run kernels on.
    pub fn open(library: Option<&Path>) -> Result<Self, CudaUnavailable> {
        let functions = Arc::new(Functions::find(load(library)?)?);
        initialize(&functions)?;
        let driver = CudaUnavailable::Driver;
        let mut version = 0;
        call!(functions, cuDriverGetVersion(&raw mut version)).map_err(driver)?;
        if version < OLDEST {
            let (major, minor) = (version / 1000, version % 1000 / 10);
            return Err(CudaUnavailable::TooOld { major, minor });
        }
        let mut count = 0;
        call!(functions, cuDeviceGetCount(&raw mut count)).map_err(driver)?;
        if count == 0 {
            return Err(CudaUnavailable::NoDevice);
        }
        Ok(Self {
            functions,
            version,
            count,
        })
    }

    /// The CUDA version that the driver knows, for example `12.4`.
    pub fn version(&self) -> String {
        format!("{}.{}", self.version / 1000, self.version % 1000 / 10)
    }

    /// How many devices there are.
    pub fn device_count(&self) -> u32 {
        u32::try_from(self.count).unwrap_or_default()
    }
}

fn initialize(functions: &Functions) -> Result<(), CudaUnavailable> {
    const NO_DEVICE: i32 = 100;
    match call!(functions, cuInit(0)) {
        Ok(()) => Ok(()),
        Err(error) if error.code == NO_DEVICE => Err(CudaUnavailable::NoDevice),
        Err(error) => Err(CudaUnavailable::Driver(error)),
    }
}

fn load(library: Option<&Path>) -> Result<Library, CudaUnavailable> {
    let names: Vec<&Path> = match library {
        Some(path) => vec![path],
        None => NAMES.iter().map(Path::new).collect(),
    };
    for name in &names {
        // SAFETY: loading runs the library's own initialization; it is the driver's, or the one that
        // the user named.
        match unsafe { Library::new(*name) } {
            Ok(library) => return Ok(library),
            Err(error) => {
                // The loader tells "not there" from "there, but broken" in words only.
                let reason = std::error::Error::source(&error)
                    .map_or_else(|| error.to_string(), ToString::to_string);
                if !reason.contains("No such file") {
                    return Err(CudaUnavailable::LibraryBroken(reason));
                }
            }
        }
    }
    let first = names.first().map(|name| name.display().to_string());
    Err(CudaUnavailable::LibraryMissing(first.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_call_code_and_meaning() {
        let error = CudaError {
            call: "cuModuleLoadData",
            code: 222,
        };
        assert_eq!(
            error.to_string(),
            "`cuModuleLoadData` failed with error 222: the PTX is newer than the driver"
        );
        let unknown = CudaError {
            call: "cuInit",
            code: 4711,
        };
        assert!(unknown.to_string().contains("4711"), "{unknown}");
    }
}
