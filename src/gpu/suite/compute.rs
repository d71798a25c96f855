//! Arithmetic and shared memory, without device memory in the way.

use super::Fault;
use super::rig::Rig;
use crate::gpu::cuda::Argument;
use crate::gpu::peaks::Resource;
use crate::record::Measured;

const THREADS: u32 = 256;

/// What a kernel left for each thread, as words.
fn left(rig: &Rig<'_>, out: &crate::gpu::cuda::Buffer) -> Result<Vec<u32>, Fault> {
    let bytes = out.contents(&rig.stream)?;
    let (words, _) = bytes.as_chunks::<4>();
    Ok(words.iter().map(|word| u32::from_le_bytes(*word)).collect())
}

/// Compares what threads left with what they should have.
pub(super) fn compare(
    left: &[u32],
    what: &str,
    should: impl Fn(usize) -> u32,
) -> Result<(), Fault> {
    let differs = |&(thread, word): &(usize, &u32)| *word != should(thread);
    let wrong = left.iter().enumerate().filter(differs).count();
    if wrong == 0 {
        return Ok(());
    }
    let all = left.len();
    Err(Fault::Wrong(format!(
        "{wrong} of {all} threads computed {what} wrongly"
    )))
}

pub(super) fn fma(rig: &mut Rig<'_>) -> Result<Measured, Fault> {
    const FACTOR: f32 = 0.5;
    const ADDEND: f32 = 1.25;
    const FIRST: u32 = 7;
    let grid = rig.blocks(8);
    let threads = grid * THREADS;
    let kernel = rig.kernel("compute_fma")?;
    let out = rig.buffer(threads as usize * 4)?;
    let arguments = |iterations| {
        [
            Argument::Address(out.address()),
            Argument::Word(iterations),
            Argument::Float(FACTOR),
            Argument::Float(ADDEND),
        ]
    };
    kernel.launch(&rig.stream, (grid, 1), THREADS, &arguments(FIRST))?;
    let should: Vec<u32> = (0..32u8)
        .map(|lane| {
            let chain = |k: u8| {
                let start = f32::from(lane) + f32::from(k);
                (0..FIRST).fold(start, |x, _| x.mul_add(FACTOR, ADDEND))
            };
            (0..16).fold(0.0, |sum: f32, k| sum + chain(k)).to_bits()
        })
        .collect();
    compare(&left(rig, &out)?, "multiply-adds", |thread| {
        should[thread % 32]
    })?;
    let each = 32.0 * f64::from(threads) * 64.0;
    let measured = rig.rate("TFLOP/s", each, 1e12, |stream, amount| {
        kernel.launch(stream, (grid, 1), THREADS, &arguments(amount * 64))
    })?;
    Ok(rig.against(measured, Resource::Fp32, "every thread against the CPU"))
}

pub(super) fn shared(rig: &mut Rig<'_>) -> Result<Measured, Fault> {
    const FIRST: u32 = 5;
    let grid = rig.blocks(8);
    let threads = grid * THREADS;
    let kernel = rig.kernel("compute_shared")?;
    let out = rig.buffer(threads as usize * 4)?;
    let arguments = |iterations| [Argument::Address(out.address()), Argument::Word(iterations)];
    kernel.launch(&rig.stream, (grid, 1), THREADS, &arguments(FIRST))?;
    let should: Vec<u32> = (0..THREADS)
        .map(|thread| {
            let cells = (0..FIRST).flat_map(|i| (0..4).map(move |k| thread + i * 32 + k * 256));
            cells.fold(0u32, |sum, cell| {
                let i = cell % 1024;
                sum.wrapping_add(i ^ (i * 3))
                    .wrapping_add((i * 5) ^ (i * 7))
            })
        })
        .collect();
    compare(&left(rig, &out)?, "sums", |thread| {
        should[thread % THREADS as usize]
    })?;
    let each = 64.0 * f64::from(threads) * 16.0;
    let measured = rig.rate("GB/s", each, 1e9, |stream, amount| {
        kernel.launch(stream, (grid, 1), THREADS, &arguments(amount * 16))
    })?;
    Ok(Measured {
        verified: Some("every thread against the CPU".to_owned()),
        ..measured
    })
}
