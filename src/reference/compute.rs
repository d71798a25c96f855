//! What computes the model: the CPU, or a GPU if there is one.

use super::backend::{Backend, Cpu, Inferred};
use super::cuda::{CudaModel, CudaWorker};
use super::model::{INPUTS, OPERATIONS, PARAMETERS};
use crate::record::ServiceCompute;
use crate::scenario::{BackendChoice, ReferenceOptions};
use std::fmt;
use std::sync::Arc;

/// What computes the model, ready to be used.
#[derive(Clone)]
pub struct Compute {
    /// The model on each GPU; none for the CPU.
    models: Vec<Arc<CudaModel>>,
    info: ServiceCompute,
}

impl fmt::Debug for Compute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Compute").field(&self.info).finish()
    }
}

impl Compute {
    /// The CPU.
    pub fn cpu() -> Self {
        Self {
            models: Vec::new(),
            info: ServiceCompute {
                kind: "cpu".to_owned(),
                parameters: PARAMETERS as u64,
                operations_per_item: OPERATIONS,
                ..ServiceCompute::default()
            },
        }
    }

    /// What the options ask for. Where they leave it open, a GPU that cannot be used is a reason that is
    /// kept, and the CPU computes.
    ///
    /// # Errors
    /// Why there is no GPU to compute on, where one was asked for.
    pub fn open(options: &ReferenceOptions) -> Result<Self, String> {
        if options.backend == BackendChoice::Cpu {
            return Ok(Self::cpu());
        }
        match CudaModel::open(options) {
            Ok(models) => {
                let Some((first, others)) = models.split_first() else {
                    return Ok(Self::cpu());
                };
                Ok(Self {
                    info: first.describe(others),
                    models: models.into_iter().map(Arc::new).collect(),
                })
            }
            Err(reason) if options.backend == BackendChoice::Auto => {
                let mut cpu = Self::cpu();
                cpu.info.fallback = Some(reason.to_string());
                Ok(cpu)
            }
            Err(reason) => Err(reason.to_string()),
        }
    }

    /// What is said of it.
    pub fn info(&self) -> &ServiceCompute {
        &self.info
    }

    /// Whether it takes as long as it takes; the CPU's small model is made to last like an accelerator's.
    pub(super) fn has_its_own_pace(&self) -> bool {
        !self.models.is_empty()
    }

    /// How many workers there must be so that every GPU has one.
    pub(super) fn least_workers(&self) -> u32 {
        u32::try_from(self.models.len()).unwrap_or(1).max(1)
    }

    /// A worker, by its number: they take turns on the GPUs.
    pub(super) fn worker(&self, number: usize) -> Worker {
        match self.models.get(number % self.models.len().max(1)) {
            None => Worker::Cpu(Cpu),
            Some(model) => Worker::Cuda(Box::new(CudaWorker::new(model))),
        }
    }
}

/// One worker.
pub(super) enum Worker {
    Cpu(Cpu),
    Cuda(Box<CudaWorker>),
}

impl Backend for Worker {
    fn infer(&mut self, batch: &[[f32; INPUTS]]) -> Result<Inferred, String> {
        match self {
            Self::Cpu(cpu) => cpu.infer(batch),
            Self::Cuda(gpu) => gpu.infer(batch),
        }
    }
}
