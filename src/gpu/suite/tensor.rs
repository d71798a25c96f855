//! Tensor cores: how fast they issue, and the layer of the reference service's model.
//!
//! Operands are small multiples of 1/8, drawn with a seed, so that every product and sum is exact and a
//! result is right to the last bit or wrong.

use super::Fault;
use super::compute::compare;
use super::operand::{Format, Operand};
use super::rig::Rig;
use crate::gpu::cuda::{Argument, Buffer};
use crate::gpu::peaks::Resource;
use crate::gpu::to_half;
use crate::record::Measured;
use rand::SeedableRng;
use rand_pcg::Pcg32;

/// How a kernel spreads its work.
#[derive(Clone, Copy)]
struct Shape {
    /// Rows of the first operand.
    rows: usize,
    /// Rows of the second, which are columns of the result.
    columns: usize,
    /// Bytes of a row.
    row_bytes: usize,
    /// How many products of this shape a block computes at once.
    products: f64,
}

/// Eight warps; each multiplies 16 rows with eight blocks of 8 columns.
const MMA: Shape = Shape {
    rows: 16,
    columns: 64,
    row_bytes: 32,
    products: 8.0,
};
/// Two warpgroups.
const WGMMA: Shape = Shape {
    rows: 64,
    columns: 128,
    row_bytes: 128,
    products: 2.0,
};

impl Shape {
    /// The rows of the result of which a thread has a part: by both instructions each warp has
    /// 16 rows, and a thread the two whose numbers end in its lane's quarter.
    fn rows_of(self, thread: usize) -> [usize; 2] {
        let group = thread % 32 / 4;
        let first = thread / 32 * 16 % self.rows;
        [first + group, first + group + 8]
    }

    /// And the columns: two of each eight.
    fn columns_of(self, thread: usize) -> impl Iterator<Item = usize> {
        let pair = thread % 4 * 2;
        (0..self.columns / 8).flat_map(move |block| [block * 8 + pair, block * 8 + pair + 1])
    }
}

/// What each thread of a block should leave after so many products, in units of 1/64.
fn sums(shape: Shape, rows: &Operand, columns: &Operand, iterations: i64) -> Vec<i64> {
    (0..256)
        .map(|thread| {
            let mut sum = 0;
            for row in shape.rows_of(thread) {
                for column in shape.columns_of(thread) {
                    let pairs = rows.eighths[row].iter().zip(&columns.eighths[column]);
                    sum += pairs
                        .map(|(a, b)| i64::from(*a) * i64::from(*b))
                        .sum::<i64>();
                }
            }
            sum * iterations
        })
        .collect()
}

fn rate(rig: &mut Rig<'_>, name: &str, shape: Shape, format: Format) -> Result<Measured, Fault> {
    const THREADS: u32 = 256;
    const FIRST: u32 = 3;
    let kernel = rig.kernel(name)?;
    let depth = shape.row_bytes / format.bytes();
    let mut generator = Pcg32::seed_from_u64(u64::from(rig.seed));
    let rows = Operand::draw(&mut generator, shape.rows, depth);
    let columns = Operand::draw(&mut generator, shape.columns, depth);
    let a = Buffer::of(&rig.device, &rig.stream, &rows.bytes(format))?;
    let b = Buffer::of(&rig.device, &rig.stream, &columns.bytes(format))?;
    let grid = rig.blocks(2);
    let out = rig.buffer((grid * THREADS) as usize * 4)?;
    let arguments = |iterations| {
        [
            Argument::Address(out.address()),
            Argument::Address(a.address()),
            Argument::Address(b.address()),
            Argument::Word(iterations),
        ]
    };
    kernel.launch(&rig.stream, (grid, 1), THREADS, &arguments(FIRST))?;
    let contents = out.contents(&rig.stream)?;
    let (words, _) = contents.as_chunks::<4>();
    let left: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let should: Vec<u32> = sums(shape, &rows, &columns, i64::from(FIRST))
        .into_iter()
        .map(|sum| word_of(sum, format))
        .collect();
    compare(&left, "products", |thread| should[thread % 256])?;
    let operations = 2.0 * (shape.rows * shape.columns * depth) as f64 * shape.products;
    let each = operations * f64::from(grid) * 16.0;
    let unit = if format == Format::S8 {
        "TOP/s"
    } else {
        "TFLOP/s"
    };
    let measured = rig.rate(unit, each, 1e12, |stream, amount| {
        kernel.launch(stream, (grid, 1), THREADS, &arguments(amount * 16))
    })?;
    let resource = format.resource();
    Ok(rig.against(
        measured,
        resource,
        "every thread against the CPU, to the last bit",
    ))
}

/// A sum in the accumulator's own format: whole numbers stay, others are in units of 1/64.
fn word_of(sum: i64, format: Format) -> u32 {
    if format == Format::S8 {
        return u32::from_le_bytes(i32::try_from(sum).unwrap_or(i32::MAX).to_le_bytes());
    }
    // A small whole number: exact.
    let value = sum as f32 / 64.0;
    // Zero has no sign here: a sum of zeros is positive.
    (value + 0.0).to_bits()
}

macro_rules! rates {
    ($($test:ident = $kernel:literal, $shape:ident, $format:ident;)*) => {
        $(pub(super) fn $test(rig: &mut Rig<'_>) -> Result<Measured, Fault> {
            rate(rig, $kernel, $shape, Format::$format)
        })*
    };
}

rates! {
    mma_f16 = "tensor_f16", MMA, F16;
    mma_bf16 = "tensor_bf16", MMA, Bf16;
    mma_tf32 = "tensor_tf32", MMA, Tf32;
    mma_s8 = "tensor_s8", MMA, S8;
    wgmma_f16 = "wgmma_rate_f16", WGMMA, F16;
    wgmma_bf16 = "wgmma_rate_bf16", WGMMA, Bf16;
    wgmma_tf32 = "wgmma_rate_tf32", WGMMA, Tf32;
    wgmma_e4m3 = "wgmma_rate_e4m3", WGMMA, E4m3;
    wgmma_s8 = "wgmma_rate_s8", WGMMA, S8;
}

pub(super) fn layer(rig: &mut Rig<'_>) -> Result<Measured, Fault> {
    let (m, width) = if rig.is_large() {
        (512, 4096)
    } else {
        (16, 128)
    };
    let kernel = rig.kernel("tensor_layer")?;
    let mut generator = Pcg32::seed_from_u64(u64::from(rig.seed));
    let inputs = Operand::draw(&mut generator, m, width);
    let weights = Operand::draw(&mut generator, width, width);
    let bytes = |operand: &Operand| operand.bytes(Format::F16);
    let a = Buffer::of(&rig.device, &rig.stream, &bytes(&inputs))?;
    let b = Buffer::of(&rig.device, &rig.stream, &bytes(&weights))?;
    let bias = rig.buffer(width * 4)?;
    bias.clear(&rig.stream)?;
    let c = rig.buffer(m * width * 2)?;
    let word = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let grid = (word(width.div_ceil(128)), word(m.div_ceil(128)));
    let arguments = [
        Argument::Address(c.address()),
        Argument::Address(a.address()),
        Argument::Address(b.address()),
        Argument::Address(bias.address()),
        Argument::Word(word(m)),
        Argument::Word(word(width)),
        Argument::Word(word(width)),
    ];
    let operations = 2.0 * (m * width * width) as f64;
    let measured = rig.rate("TFLOP/s", operations, 1e12, |stream, amount| {
        (0..amount).try_for_each(|_| kernel.launch(stream, grid, 256, &arguments))
    })?;
    let contents = c.contents(&rig.stream)?;
    // A row and a column of every tile: all would take the CPU longer than the measurement.
    for row in (0..m).step_by(61) {
        for column in (0..width).step_by(67) {
            let pairs = inputs.eighths[row].iter().zip(&weights.eighths[column]);
            let sum: i64 = pairs.map(|(a, b)| i64::from(*a) * i64::from(*b)).sum();
            let should = to_half(f32::from_bits(word_of(sum.max(0), Format::F16)));
            let place = (row * width + column) * 2;
            if contents[place..place + 2] != should.to_le_bytes() {
                let what = format!("row {row}, column {column} of the layer is wrong");
                return Err(Fault::Wrong(what));
            }
        }
    }
    Ok(rig.against(
        measured,
        Resource::Tensor16,
        "samples of every tile against the CPU, to the last bit",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threads_of_a_block_cover_every_result() {
        for shape in [MMA, WGMMA] {
            let mut seen = vec![0; shape.rows * shape.columns];
            for thread in 0..256 {
                for row in shape.rows_of(thread) {
                    for column in shape.columns_of(thread) {
                        seen[row * shape.columns + column] += 1;
                    }
                }
            }
            let times = 256 * 2 * shape.columns / 4 / seen.len();
            assert!(seen.iter().all(|&count| count == times), "{times}");
        }
    }
}
