//! Batch size and precision: how throughput and latency of a model's layers grow with the batch.

use super::gemm::{PRECISIONS, Precision, Product, Repeated};
use super::operand::Format;
use super::rig::Rig;
use super::{Effort, Fault, Suite};
use crate::gpu::cuda::{Argument, Buffer, LtShape};
use crate::gpu::{to_bfloat, to_half};
use crate::record::{Measured, TunePoint, TuneSeries};
use rand::SeedableRng;
use rand_pcg::Pcg32;
use std::time::Duration;

/// Layers of the model; each has weights of its own, so that the cache does not hold them all.
const LAYERS: usize = 4;

/// A sweep has many points. With seven series of thirteen batch sizes it takes about half a minute at most.
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
                largest: 16,
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
        // Those of the reference service.
        for (precision, kernel, format) in [
            ("f16", "tensor_layer", Format::F16),
            ("bf16", "tensor_layer_bf16", Format::Bf16),
        ] {
            say(&format!("{precision} by its own kernel"));
            let points = by_own_kernel(rig, sweep, kernel, format);
            all.push(series(precision, "bench", points));
        }
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

fn by_own_kernel(
    rig: &mut Rig<'_>,
    sweep: Sweep,
    kernel: &str,
    format: Format,
) -> Result<Vec<TunePoint>, Fault> {
    let kernel = rig.kernel(kernel)?;
    let mut generator = Pcg32::seed_from_u64(u64::from(rig.seed));
    let mut matrix = |rows| Repeated::new(rig, &mut generator, (rows, sweep.width), format);
    let inputs = matrix(sweep.largest)?;
    let weights = (0..LAYERS)
        .map(|_| matrix(sweep.width))
        .collect::<Result<Vec<_>, Fault>>()?;
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
                        Argument::Address(inputs.buffer.address()),
                        Argument::Address(weights.buffer.address()),
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
        // What the last of the layers left there.
        if let Some(last) = weights.last() {
            check_layer(rig, &outputs, (&inputs, last), (batch, sweep.width), format)?;
        }
        points.push(sweep.point(batch, &measured));
    }
    Ok(points)
}

/// Compares samples of a layer's results with the CPU, to the last bit: sums are exact, and rounded once.
fn check_layer(
    rig: &Rig<'_>,
    outputs: &Buffer,
    (inputs, weights): (&Repeated, &Repeated),
    (rows, width): (usize, usize),
    format: Format,
) -> Result<(), Fault> {
    let mut line = vec![0; width * 2];
    let last = rows - 1;
    for row in (0..last).step_by(rows.div_ceil(16)).chain([last]) {
        outputs.read_at(&rig.stream, row * line.len(), &mut line)?;
        rig.stream.synchronize()?;
        for column in (row % 7..width).step_by(width.div_ceil(64)) {
            let pairs = inputs.row(row).iter().zip(weights.row(column));
            let sum: i64 = pairs.map(|(a, b)| i64::from(*a) * i64::from(*b)).sum();
            let should = sum.max(0) as f32 / 64.0;
            let should = match format {
                Format::Bf16 => to_bfloat(should),
                _ => to_half(should),
            };
            if line[column * 2..][..2] != should.to_le_bytes() {
                return Err(Fault::Wrong(format!(
                    "row {row} of {rows}, column {column} of the layer is wrong"
                )));
            }
        }
    }
    Ok(())
}
