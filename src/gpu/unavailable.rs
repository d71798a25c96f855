//! Why there is no GPU to be read, in words that say what to do about it.
//!
//! The one place that reads NVML's error codes.

use nvml_wrapper::error::NvmlError;

/// Why NVML or a GPU cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The library is not on this host.
    #[error("no NVIDIA driver on this host: {0} was not found")]
    LibraryMissing(String),
    /// The library is there, the kernel module is not.
    #[error(
        "the NVIDIA driver is installed but not loaded: run `nvidia-smi` to see why, or start the \
         container with the GPUs attached"
    )]
    DriverNotLoaded,
    /// The library lacks a function that is needed: its name.
    #[error("the NVML library has no `{0}`: this driver is too old, or it is no NVML library")]
    SymbolMissing(String),
    /// This user or container may not use the driver.
    #[error(
        "this user may not read the GPUs: check the permissions of /dev/nvidia*, or start the \
         container with the GPUs attached"
    )]
    NoPermission,
    /// A driver without GPUs.
    #[error("the NVIDIA driver sees no GPU on this host")]
    NoDevice,
    /// Library and kernel module come from different driver versions.
    #[error(
        "the NVIDIA library and kernel module have different versions: restart the host, or load \
         the module that belongs to the library"
    )]
    VersionMismatch,
    /// A GPU that was there is gone.
    #[error("GPU {gpu} is lost: it no longer answers; look for Xid messages in the kernel's log")]
    Lost {
        /// Its index in NVML's order.
        gpu: u32,
    },
    /// A GPU does not work before it is reset.
    #[error("GPU {gpu} needs a reset before it can be used again")]
    ResetRequired {
        /// Its index in NVML's order.
        gpu: u32,
    },
    /// Anything else, in NVML's or the loader's own words.
    #[error("NVML failed: {0}")]
    Other(String),
}

impl Unavailable {
    /// What an error means that concerns no particular GPU.
    pub(super) fn of(error: &NvmlError) -> Self {
        match error {
            NvmlError::DriverNotLoaded => Self::DriverNotLoaded,
            NvmlError::FailedToLoadSymbol(text) => Self::SymbolMissing(symbol(text).to_owned()),
            NvmlError::NoPermission | NvmlError::OperatingSystem => Self::NoPermission,
            NvmlError::LibRmVersionMismatch => Self::VersionMismatch,
            NvmlError::UnexpectedVariant(code) => Self::Other(format!("error code {code}")),
            other => Self::Other(other.to_string()),
        }
    }

    /// What an error means that came from one GPU.
    pub(super) fn of_gpu(gpu: u32, error: &NvmlError) -> Self {
        match error {
            NvmlError::GpuLost => Self::Lost { gpu },
            NvmlError::ResetRequired => Self::ResetRequired { gpu },
            other => Self::of(other),
        }
    }

    /// Whether nothing more is to be had from the GPU, and not only one value.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Lost { .. }
                | Self::ResetRequired { .. }
                | Self::DriverNotLoaded
                | Self::VersionMismatch
        )
    }

    /// Whether an error means that nothing more is to be had, and not only that one value is missing.
    pub(super) fn is_fatal(error: &NvmlError) -> bool {
        matches!(
            error,
            NvmlError::GpuLost
                | NvmlError::ResetRequired
                | NvmlError::DriverNotLoaded
                | NvmlError::LibRmVersionMismatch
                | NvmlError::Uninitialized
        )
    }
}

/// The name at the end of the loader's message, such as `x.so: undefined symbol: nvmlInit_v2`.
fn symbol(message: &str) -> &str {
    message.rsplit([' ', ':']).next().unwrap_or(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_name_of_a_missing_symbol() {
        let glibc = "libnvidia-ml.so.1: undefined symbol: nvmlDeviceGetName";
        assert_eq!(symbol(glibc), "nvmlDeviceGetName");
        assert_eq!(symbol("Symbol not found: nvmlInit_v2"), "nvmlInit_v2");
        assert_eq!(symbol("nvmlInit_v2"), "nvmlInit_v2");
    }

    #[test]
    fn a_lost_gpu_keeps_its_index_and_an_unknown_code_its_number() {
        let lost = Unavailable::of_gpu(3, &NvmlError::GpuLost);
        assert_eq!(lost, Unavailable::Lost { gpu: 3 });
        assert!(lost.to_string().starts_with("GPU 3 is lost"), "{lost}");
        let unknown = Unavailable::of(&NvmlError::UnexpectedVariant(27));
        assert_eq!(unknown.to_string(), "NVML failed: error code 27");
    }
}
