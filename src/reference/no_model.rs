//! Why the model does not run on a GPU, in words that say which of several it is about.

use crate::gpu::cuda::{CudaError, CudaUnavailable};

/// Why there is no model on a GPU.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoModel {
    /// There is no GPU to compute on.
    #[error("{0}")]
    Unavailable(#[from] CudaUnavailable),
    /// None of the GPUs is the one that was asked for.
    #[error("{0}")]
    NotThere(String),
    /// The GPU has no tensor cores that the kernel knows.
    #[error(
        "{gpu} ({name}) has compute capability {}.{}, and the model takes 8.0 or newer: Ampere's tensor cores",
        .capability.0, .capability.1
    )]
    TooOld {
        /// Which GPU, as in all of these: by its number where there are several.
        gpu: String,
        /// Its name.
        name: String,
        /// Its compute capability.
        capability: (u32, u32),
    },
    /// The model does not fit.
    #[error(
        "a model {width} wide takes {needed} MiB, and {gpu} has {free} MiB free: choose a smaller \
         --model-width, or see who else uses it"
    )]
    TooLarge {
        /// Which GPU.
        gpu: String,
        /// The model's width.
        width: usize,
        /// Memory that it takes, in MiB.
        needed: usize,
        /// Memory that there is, in MiB.
        free: usize,
    },
    /// Something that the driver says.
    #[error("{gpu} failed: {error}")]
    Failed {
        /// Which GPU.
        gpu: String,
        /// What the driver says.
        error: CudaError,
    },
    /// The GPU does not compute what the CPU computes.
    #[error(
        "{gpu} computes wrong answers: {wrong} of {of} differ from the CPU's by more than rounding; \
         `bench gpu` says more"
    )]
    Wrong {
        /// Which GPU.
        gpu: String,
        /// How many.
        wrong: usize,
        /// Of how many.
        of: usize,
    },
}

/// What a GPU is called: by its number where there are several.
pub(super) fn called(ordinal: u32, several: bool) -> String {
    if several {
        format!("GPU {ordinal}")
    } else {
        "the GPU".to_owned()
    }
}

/// Turns what the driver says into what this GPU failed at.
pub(super) fn failure(gpu: &str) -> impl Fn(CudaError) -> NoModel {
    move |error| NoModel::Failed {
        gpu: gpu.to_owned(),
        error,
    }
}
