//! Batch size and precision: how throughput and latency of a model's layers grow with the batch.

use super::gemm::{PRECISIONS, Precision, Product, Repeated};
use super::operand::Format;
use super::rig::Rig;
use super::{Effort, Fault, Suite};
use crate::gpu::cuda::{Argument, Buffer, LtShape};
use crate::record::{Measured, TunePoint, TuneSeries};
use rand::SeedableRng;
use rand_pcg::Pcg32;
use std::time::Duration;

/// Layers of the model; each has weights of its own, so that the cache does not hold them all.
const LAYERS: usize = 4;

/// A sweep has many points. With five precisions and thirteen batch sizes it takes about half a minute at
/// most.
const EFFORT: Effort = Effort {
    sample: Duration::from_millis(5),
    samples: 10,
    settle: Duration::from_millis(100),
    limit: Duration::from_millis(300),
    sustain: Duration::ZERO,
};

/// The model that is swept.
#[derive(Clone, Copy)]
struct Sweep {
    width: usize,
    largest: usize,
}

impl Sweep {
    fn of(rig: &Rig<'_>) -> Self {
        if rig.is_large() {
            Self {
                width: 4096,
                largest: 4096,
            }
        } else {
            Self {
                width: 64,
                largest: 32,
            }
        }
    }

    fn batches(self) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(1), |batch| Some(batch * 2))
            .take_while(move |batch| *batch <= self.largest)
    }

    fn point(self, batch: usize, measured: &Measured) -> TunePoint {
        let rows_per_second = batch as f64 / measured.median * 1e6;
        TunePoint {
            batch,
            latency_us: measured.median,
            lower_us: measured.lower,
            upper_us: measured.upper,
            samples: measured.samples,
            rows_per_second,
            tera_operations: 2.0 * (LAYERS * self.width * self.width) as f64 * rows_per_second
                / 1e12,
        }
    }
}

impl Suite {
    /// Sweeps batch sizes in every precision on a GPU that is ready.
    pub(super) fn sweep(&self, rig: &mut Rig<'_>, say: &mut dyn FnMut(&str)) -> Vec<TuneSeries> {
        let sweep = Sweep::of(rig);
        rig.effort = Effort {
            sample: self.effort.sample.min(EFFORT.sample),
            ..EFFORT
        };
        let mut all = Vec::new();
        for precision in PRECISIONS {
            say(&format!("{} by cuBLASLt", precision.name));
            all.push(series(
                precision.name,
                "cuBLASLt",
                by_cublaslt(rig, precision, sweep),
            ));
        }
        say("f16 by its own kernel");
        all.push(series("f16", "bench", by_own_kernel(rig, sweep)));
        all
    }
}

fn series(precision: &str, kernels: &str, points: Result<Vec<TunePoint>, Fault>) -> TuneSeries {
    let (mut skipped, mut failed) = (None, None);
    let points = points.unwrap_or_else(|fault| {
        match fault {
            Fault::Skip(reason) => skipped = Some(reason),
            Fault::Wrong(reason) | Fault::Failed(reason) => failed = Some(reason),
            Fault::Cuda(error) => failed = Some(error.to_string()),
        }
        Vec::new()
    });
    if points.is_empty() && failed.is_none() {
        skipped.get_or_insert_with(|| "no batch size can be computed".to_owned());
    }
    TuneSeries {
        precision: precision.to_owned(),
        kernels: kernels.to_owned(),
        skipped,
        failed,
        points,
    }
}

fn by_cublaslt(
    rig: &mut Rig<'_>,
    precision: Precision,
    sweep: Sweep,
) -> Result<Vec<TunePoint>, Fault> {
    let shape = LtShape {
        rows: sweep.largest,
        columns: sweep.width,
        depth: sweep.width,
    };
    let mut product = Product::new(rig, precision, shape, LAYERS)?;
    let mut points = Vec::new();
    for batch in sweep.batches() {
        match product.set_rows(rig, batch) {
            Ok(()) => {}
            // Some precisions have no algorithm for a few rows; a service would fill the batch up.
            Err(Fault::Skip(_)) => continue,
            Err(fault) => return Err(fault),
        }
        product.verify(rig)?;
        let measured = rig.each(|stream, amount| product.launch(stream, amount))?;
        points.push(sweep.point(batch, &measured));
    }
    Ok(points)
}

fn by_own_kernel(rig: &mut Rig<'_>, sweep: Sweep) -> Result<Vec<TunePoint>, Fault> {
    let kernel = rig.kernel("tensor_layer")?;
    let mut generator = Pcg32::seed_from_u64(u64::from(rig.seed));
    let mut matrix = |rows| -> Result<Buffer, Fault> {
        let size = (rows, sweep.width);
        Ok(Repeated::new(rig, &mut generator, size, Format::F16)?.buffer)
    };
    let inputs = matrix(sweep.largest)?;
    let weights = (0..LAYERS)
        .map(|_| matrix(sweep.width))
        .collect::<Result<Vec<_>, _>>()?;
    let bias = rig.buffer(sweep.width * 4)?;
    bias.clear(&rig.stream)?;
    let outputs = rig.buffer(sweep.largest * sweep.width * 2)?;
    let word = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let mut points = Vec::new();
    for batch in sweep.batches() {
        let grid = (word(sweep.width.div_ceil(128)), word(batch.div_ceil(128)));
        let measured = rig.each(|stream, amount| {
            for _ in 0..amount {
                for weights in &weights {
                    let arguments = [
                        Argument::Address(outputs.address()),
                        Argument::Address(inputs.address()),
                        Argument::Address(weights.address()),
                        Argument::Address(bias.address()),
                        Argument::Word(word(batch)),
                        Argument::Word(word(sweep.width)),
                        Argument::Word(word(sweep.width)),
                    ];
                    kernel.launch(stream, grid, 256, &arguments)?;
                }
            }
            Ok::<(), crate::gpu::cuda::CudaError>(())
        })?;
        points.push(sweep.point(batch, &measured));
    }
    Ok(points)
}
