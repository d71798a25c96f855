//! The model on GPUs: weights resident on each, every layer on its tensor cores, answers checked against the CPU.
//!
//! It measures itself once, at its start, to be as deep as a full batch of the wanted length takes; from then
//! on it only computes. A GPU that fails or answers wrongly ends it, with the reason.

use super::backend::{Backend, Inferred};
use super::choice::chosen;
use super::model::{self, Answer, INPUTS};
use super::no_model::{NoModel, called, failure};
use super::wide::{self, OUTPUTS, WIDTH_STEP, WideLayer};
use crate::gpu::SIMULATED;
use crate::gpu::cuda::{
    Argument, Buffer, Cuda, CudaError, Device, Event, HostBuffer, Kernel, Module, Stream,
};
use crate::gpu::kernels::{Source, named};
use crate::record::ServiceCompute;
use crate::scenario::{Precision, ReferenceOptions};
use std::sync::Arc;
use std::time::Duration;

/// Rows and columns of a tile of the kernel, and threads of its block.
const TILE: usize = 128;
const THREADS: u32 = 256;
/// How many different layers there are that pass on: what one has read is not in a cache for the next.
const DIFFERENT: usize = 2;
/// The deepest that it makes itself.
const DEEPEST: usize = 256;
/// How many rows are compared at the start.
const COMPARED: usize = 64;

/// A layer on the GPU.
struct Resident {
    weights: Buffer,
    bias: Buffer,
    inputs: usize,
    outputs: usize,
}

/// A GPU that was chosen, without a model yet.
struct Gpu {
    device: Device,
    called: String,
    /// Free memory in bytes.
    free: usize,
}

impl Gpu {
    fn open(cuda: &Cuda, ordinal: u32, called: String) -> Result<Self, NoModel> {
        let device = Device::open(cuda, ordinal).map_err(failure(&called))?;
        let properties = device.properties();
        if !Source::Tensor.runs_on(properties.capability) {
            return Err(NoModel::TooOld {
                gpu: called,
                name: properties.name.clone(),
                capability: properties.capability,
            });
        }
        let free = device.free_bytes().map_err(failure(&called))?;
        Ok(Self {
            device,
            called,
            free,
        })
    }

    fn resident(&self, layer: &WideLayer) -> Result<Resident, CudaError> {
        self.device.bind()?;
        Resident::bring(&self.device, &Stream::new(&self.device)?, layer)
    }
}

/// The model on one GPU, shared by the workers there.
pub(super) struct CudaModel {
    device: Device,
    /// What the GPU is called when it fails: by its number where there are several.
    called: String,
    module: Arc<Module>,
    precision: Precision,
    first: Resident,
    second: Resident,
    between: Vec<Resident>,
    last: Resident,
    width: usize,
    layers: usize,
    max_batch: usize,
}

/// What one worker needs beside the model.
struct Lane {
    stream: Stream,
    kernel: Kernel,
    events: [Event; 2],
    host_inputs: HostBuffer,
    host_outputs: HostBuffer,
    inputs: Buffer,
    hidden: [Buffer; 2],
    outputs: Buffer,
}

impl CudaModel {
    /// Opens the GPUs that were chosen, and brings the same model to each.
    pub(super) fn open(options: &ReferenceOptions) -> Result<Vec<Self>, NoModel> {
        let cuda = Cuda::open(None)?;
        let ordinals = chosen(&cuda, &options.gpus)?;
        let several = ordinals.len() > 1;
        let mut gpus = Vec::new();
        for ordinal in ordinals {
            gpus.push(Gpu::open(&cuda, ordinal, called(ordinal, several))?);
        }
        let max_batch = options.max_batch.max(1);
        let fitting = gpus.iter().map(|gpu| {
            fitting_width(
                gpu.device.properties().multiprocessors as usize,
                max_batch,
                gpu.free,
            )
        });
        let width = match options.model_width {
            Some(width) => width.next_multiple_of(WIDTH_STEP),
            None => fitting.min().unwrap_or(WIDTH_STEP),
        };
        let needed = bytes(width, max_batch);
        if let Some(gpu) = gpus.iter().find(|gpu| needed > gpu.free) {
            return Err(NoModel::TooLarge {
                gpu: gpu.called.clone(),
                width,
                needed: needed >> 20,
                free: gpu.free >> 20,
            });
        }
        let mut models = Self::bring(&gpus, options, width)?;
        let mut lanes = Vec::new();
        for model in &models {
            let lane = model.device.bind().and_then(|()| model.lane());
            lanes.push(lane.map_err(failure(&model.called))?);
        }
        if options.model_layers.is_none() {
            let mut layers = DEEPEST;
            for (model, lane) in models.iter().zip(&lanes) {
                let fitting = model
                    .device
                    .bind()
                    .and_then(|()| model.fitting_depth(lane, options.step_time));
                layers = layers.min(fitting.map_err(failure(&model.called))?);
            }
            models.iter_mut().for_each(|model| model.layers = layers);
        }
        for (model, lane) in models.iter().zip(&mut lanes) {
            model.verify(lane)?;
        }
        Ok(models)
    }

    /// Makes each layer once, and brings it to all GPUs before the next is made: they are large.
    fn bring(gpus: &[Gpu], options: &ReferenceOptions, width: usize) -> Result<Vec<Self>, NoModel> {
        let precision = options.precision;
        let to_all = |layer: WideLayer| -> Result<std::vec::IntoIter<Resident>, NoModel> {
            let mut all = Vec::new();
            for gpu in gpus {
                let resident = gpu.resident(&layer).map_err(failure(&gpu.called))?;
                all.push(resident);
            }
            Ok(all.into_iter())
        };
        let mut first = to_all(wide::first(width, precision))?;
        let mut second = to_all(wide::second(width, precision))?;
        let mut last = to_all(wide::last(width, precision))?;
        let mut between = Vec::new();
        for number in 0..DIFFERENT as u64 {
            between.push(to_all(wide::pass_on(width, precision, number))?);
        }
        let mut models = Vec::new();
        for gpu in gpus {
            let device = &gpu.device;
            let module = device
                .bind()
                .and_then(|()| Module::load(device, Source::Tensor));
            let (Some(first), Some(second), Some(last)) =
                (first.next(), second.next(), last.next())
            else {
                break;
            };
            models.push(Self {
                module: module.map_err(failure(&gpu.called))?,
                called: gpu.called.clone(),
                first,
                second,
                last,
                between: between.iter_mut().filter_map(Iterator::next).collect(),
                precision,
                width,
                layers: options.model_layers.unwrap_or(1),
                max_batch: options.max_batch.max(1),
                device: device.clone(),
            });
        }
        Ok(models)
    }

    /// What is said of it, and of the same model on other GPUs.
    pub(super) fn describe(&self, others: &[Self]) -> ServiceCompute {
        let properties = self.device.properties();
        let others = others.iter().map(|other| other.device.properties());
        ServiceCompute {
            kind: "cuda".to_owned(),
            gpu_name: Some(properties.name.clone()),
            gpu_uuid: Some(properties.uuid.clone()),
            other_gpus: others.map(|properties| properties.uuid.clone()).collect(),
            precision: self.precision.to_string(),
            width: self.width as u64,
            layers: self.layers as u64,
            parameters: wide::parameters(self.width, self.between.len()),
            operations_per_item: wide::operations(self.width, self.layers),
            fallback: None,
            simulated: properties.name.contains(SIMULATED),
            ceiling: None,
        }
    }

    /// So many layers that a full batch takes this long: what an accelerator of this speed would be given.
    fn fitting_depth(&self, lane: &Lane, step: Duration) -> Result<usize, CudaError> {
        let measure = |times: usize| -> Result<f64, CudaError> {
            lane.events[0].record(&lane.stream)?;
            for turn in 0..times {
                let layer = &self.between[turn % self.between.len()];
                let (to, from) = (&lane.hidden[turn % 2], &lane.hidden[(turn + 1) % 2]);
                layer.launch(lane, to, from, self.max_batch)?;
            }
            lane.events[1].record(&lane.stream)?;
            let took = lane.events[1].since(&lane.events[0])?;
            Ok(took.as_secs_f64() / times as f64)
        };
        // The first launch is slower: the kernel is not loaded yet.
        measure(1)?;
        let once = measure(1)?;
        let each = if once < 0.001 { measure(32)? } else { once };
        let wanted = step.as_secs_f64() / each.max(1e-7) - 1.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between one and the deepest"
        )]
        let layers = wanted.clamp(1.0, DEEPEST as f64) as usize;
        Ok(layers)
    }

    /// Compares answers with those of the CPU.
    fn verify(&self, lane: &mut Lane) -> Result<(), NoModel> {
        let rows = model::examples(COMPARED.min(self.max_batch));
        let ran = self.device.bind().and_then(|()| self.run(lane, &rows));
        let (answers, _) = ran.map_err(failure(&self.called))?;
        let wrong = answers
            .iter()
            .zip(&rows)
            .filter(|(answer, inputs)| {
                let should = model::answer(*inputs);
                !answer.is_some_and(|answer| wide::agrees(&answer, &should))
            })
            .count();
        if wrong > 0 {
            return Err(NoModel::Wrong {
                gpu: self.called.clone(),
                wrong,
                of: rows.len(),
            });
        }
        Ok(())
    }

    fn lane(&self) -> Result<Lane, CudaError> {
        let device = &self.device;
        let (rows, width) = (self.max_batch, self.width);
        let stream = Stream::new(device)?;
        let hidden = || -> Result<Buffer, CudaError> {
            let buffer = Buffer::new(device, rows * width * 2)?;
            buffer.clear(&stream)?;
            Ok(buffer)
        };
        Ok(Lane {
            kernel: Kernel::find(&self.module, named(kernel(self.precision)))?,
            events: [Event::new(device)?, Event::new(device)?],
            host_inputs: HostBuffer::new(device, rows * INPUTS * 2)?,
            host_outputs: HostBuffer::new(device, rows * OUTPUTS * 2)?,
            inputs: Buffer::new(device, rows * INPUTS * 2)?,
            hidden: [hidden()?, hidden()?],
            outputs: Buffer::new(device, rows * OUTPUTS * 2)?,
            stream,
        })
    }

    /// The answers to a batch, and how long the GPU was busy with it. `None` for inputs or outputs that do
    /// not fit the precision.
    fn run(
        &self,
        lane: &mut Lane,
        batch: &[[f32; INPUTS]],
    ) -> Result<(Vec<Option<Answer>>, Duration), CudaError> {
        let encoded: Vec<Option<[u8; INPUTS * 2]>> = batch
            .iter()
            .map(|inputs| wide::encode(inputs, self.precision))
            .collect();
        let rows = lane.host_inputs.bytes_mut().chunks_exact_mut(INPUTS * 2);
        for (row, inputs) in rows.zip(&encoded) {
            row.copy_from_slice(&inputs.unwrap_or([0; INPUTS * 2]));
        }
        let count = batch.len();
        lane.events[0].record(&lane.stream)?;
        let all = lane.host_inputs.bytes();
        lane.inputs
            .write(&lane.stream, &all[..count * INPUTS * 2])?;
        let [one, other] = &lane.hidden;
        self.first.launch(lane, one, &lane.inputs, count)?;
        self.second.launch(lane, other, one, count)?;
        let (mut from, mut to) = (other, one);
        for layer in 0..self.layers {
            self.between[layer % self.between.len()].launch(lane, to, from, count)?;
            (from, to) = (to, from);
        }
        self.last.launch(lane, &lane.outputs, from, count)?;
        let outputs = &mut lane.host_outputs.bytes_mut()[..count * OUTPUTS * 2];
        lane.outputs.read(&lane.stream, outputs)?;
        lane.events[1].record(&lane.stream)?;
        // Waits for the last that is in the stream.
        let busy = lane.events[1].since(&lane.events[0])?;
        let rows = lane.host_outputs.bytes().chunks_exact(OUTPUTS * 2);
        let answers = encoded
            .iter()
            .zip(rows)
            .map(|(inputs, outputs)| inputs.and_then(|_| wide::decode(outputs, self.precision)))
            .collect();
        Ok((answers, busy))
    }
}

/// The kernel that computes a layer.
fn kernel(precision: Precision) -> &'static str {
    match precision {
        Precision::F16 => "tensor_layer",
        Precision::Bf16 => "tensor_layer_bf16",
    }
}

/// So wide that the tiles of a full batch keep every multiprocessor busy, and half the free memory is enough.
fn fitting_width(multiprocessors: usize, max_batch: usize, free: usize) -> usize {
    let columns = (multiprocessors / max_batch.div_ceil(TILE)).max(1);
    let mut width = (columns * TILE / WIDTH_STEP * WIDTH_STEP).max(WIDTH_STEP);
    while width > WIDTH_STEP && bytes(width, max_batch) > free / 2 {
        width -= WIDTH_STEP;
    }
    width
}

/// Memory of the model and of one worker, in bytes.
fn bytes(width: usize, max_batch: usize) -> usize {
    let squares = (1 + DIFFERENT) * width * width * 2;
    let edges = (INPUTS + OUTPUTS) * width * 2;
    let lane = max_batch * (2 * width + INPUTS + OUTPUTS) * 2;
    squares + edges + lane
}

impl Resident {
    fn bring(device: &Device, stream: &Stream, layer: &WideLayer) -> Result<Self, CudaError> {
        let outputs = layer.bias.len();
        let bias: Vec<u8> = layer
            .bias
            .iter()
            .flat_map(|bias| bias.to_le_bytes())
            .collect();
        Ok(Self {
            weights: Buffer::of(device, stream, &layer.weights)?,
            bias: Buffer::of(device, stream, &bias)?,
            inputs: layer.weights.len() / 2 / outputs,
            outputs,
        })
    }

    fn launch(
        &self,
        lane: &Lane,
        to: &Buffer,
        from: &Buffer,
        rows: usize,
    ) -> Result<(), CudaError> {
        let word = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        let arguments = [
            Argument::Address(to.address()),
            Argument::Address(from.address()),
            Argument::Address(self.weights.address()),
            Argument::Address(self.bias.address()),
            Argument::Word(word(rows)),
            Argument::Word(word(self.outputs)),
            Argument::Word(word(self.inputs)),
        ];
        let grid = (word(self.outputs.div_ceil(TILE)), word(rows.div_ceil(TILE)));
        lane.kernel.launch(&lane.stream, grid, THREADS, &arguments)
    }
}

/// One worker on the GPU.
pub(super) struct CudaWorker {
    model: Arc<CudaModel>,
    /// Made on the worker's own thread, which is bound to the GPU then.
    lane: Option<Lane>,
}

impl CudaWorker {
    pub(super) fn new(model: &Arc<CudaModel>) -> Self {
        Self {
            model: Arc::clone(model),
            lane: None,
        }
    }

    fn compute(
        &mut self,
        batch: &[[f32; INPUTS]],
    ) -> Result<(Vec<Option<Answer>>, Duration), CudaError> {
        let lane = match &mut self.lane {
            Some(lane) => lane,
            none => {
                self.model.device.bind()?;
                none.insert(self.model.lane()?)
            }
        };
        self.model.run(lane, batch)
    }
}

impl Backend for CudaWorker {
    fn infer(&mut self, batch: &[[f32; INPUTS]]) -> Result<Inferred, String> {
        let (answers, busy) = self
            .compute(batch)
            .map_err(|error| format!("{} failed: {error}", self.model.called))?;
        // One answer of each batch is checked: a GPU that begins to compute wrongly is found out.
        let checked = batch
            .iter()
            .zip(&answers)
            .find(|(inputs, _)| model::is_usual(inputs));
        // None at all, to usual inputs, is as wrong as another one.
        if let Some((inputs, answer)) = checked
            && !(answer.as_ref()).is_some_and(|answer| wide::agrees(answer, &model::answer(inputs)))
        {
            return Err(format!("{} computed a wrong answer", self.model.called));
        }
        let by_gpu = answers.iter().flatten().count() as u64;
        let answers = answers
            .into_iter()
            .zip(batch)
            .map(|(answer, inputs)| answer.unwrap_or_else(|| model::answer(inputs)));
        Ok(Inferred {
            answers: answers.collect(),
            operations: by_gpu * wide::operations(self.model.width, self.model.layers),
            busy,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_width_fills_a_big_gpu_and_fits_a_small_one() {
        let plenty = 100 << 30;
        // 132 multiprocessors: one tile each, for one row of tiles or for four.
        assert_eq!(fitting_width(132, 128, plenty), 16_896);
        assert_eq!(fitting_width(132, 512, plenty), 4_096);
        assert_eq!(fitting_width(2, 128, plenty), 256);
        assert_eq!(fitting_width(1, 4096, plenty), 256);
        let small = fitting_width(132, 128, 1 << 30);
        assert!(bytes(small, 128) <= 1 << 29 && bytes(small + WIDTH_STEP, 128) > 1 << 29);
    }
}
