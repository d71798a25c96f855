//! The CUDA driver: opened at run time, every function found before the first is called.
//!
//! No CUDA library is linked and none but the driver's is needed; cuBLASLt is used where it is found. All functions are looked up when it
//! is opened, so that an old or broken driver is a reason before a measurement and not a crash in it;
//! answers are plain numbers, so that an error that a newer driver invents is one more number.

mod cublaslt;
mod device;
mod kernel;
mod library;
mod memory;
mod stream;

pub use cublaslt::{CublasLt, LtError, LtProduct, LtShape, LtType, LtUnavailable};
pub use device::{Device, Properties};
pub use kernel::{Argument, Kernel, Module};
pub use library::{Cuda, CudaError, CudaUnavailable};
pub use memory::{Buffer, HostBuffer};
pub use stream::{Event, Graph, Stream};
