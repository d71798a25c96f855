//! Everything at once for a while: whether clocks, power and speed stay where they are.

use super::Fault;
use super::operand::{Format, Operand};
use super::rig::Rig;
use super::summary::{Sample, summarize};
use crate::gpu::cuda::{Argument, Buffer, Event, Stream};
use crate::record::{Measured, Moment, Stopped};
use rand::SeedableRng;
use rand_pcg::Pcg32;
use std::time::Duration;
use tokio::time::Instant;

const THREADS: u32 = 256;

/// The hottest tensor kernel that the GPU has, with the rows, columns and products of a block.
fn hottest(capability: (u32, u32)) -> Option<(&'static str, [usize; 2], f64)> {
    match capability {
        (9, 0) => Some(("wgmma_rate_bf16", [64, 128], 2.0)),
        (8.., _) => Some(("tensor_bf16", [16, 64], 8.0)),
        _ => None,
    }
}

/// A moment is as long as a tenth of all, between 50 ms and a second.
fn moment(whole: Duration) -> Duration {
    (whole / 10).clamp(Duration::from_millis(50), Duration::from_secs(1))
}

pub(super) fn mix(rig: &mut Rig<'_>) -> Result<Measured, Fault> {
    let (name, [rows, columns], products) = hottest(rig.device.properties().capability)
        .ok_or_else(|| Fault::Skip("this GPU has no tensor cores for BF16".to_owned()))?;
    let whole = rig.effort.sustain;
    rig.effort.sample = moment(whole);
    // Bytes of a row, as the kernels take them, hold so many numbers of two bytes.
    let depth = if products > 4.0 { 16 } else { 64 };
    let mut generator = Pcg32::seed_from_u64(u64::from(rig.seed));
    let mut operand = |rows| Operand::draw(&mut generator, rows, depth).bytes(Format::Bf16);
    let a = Buffer::of(&rig.device, &rig.stream, &operand(rows))?;
    let b = Buffer::of(&rig.device, &rig.stream, &operand(columns))?;
    let grid = rig.blocks(2);
    let out = rig.buffer((grid * THREADS) as usize * 4)?;
    let tensor = rig.kernel(name)?;
    let mut compute = |stream: &Stream, amount: u32| {
        let arguments = [
            Argument::Address(out.address()),
            Argument::Address(a.address()),
            Argument::Address(b.address()),
            Argument::Word(amount * 16),
        ];
        tensor.launch(stream, (grid, 1), THREADS, &arguments)
    };
    let bytes = (rig.device.free_bytes()? / 8).clamp(4096, 1 << 30) / 4096 * 4096;
    let (from, to) = (rig.buffer(bytes)?, rig.buffer(bytes)?);
    let copy = rig.kernel("memory_copy")?;
    let copy_grid = rig.blocks(1);
    let mut copies = |stream: &Stream, amount: u32| {
        let units = Argument::Long(bytes as u64 / 16);
        let arguments = [
            Argument::Address(to.address()),
            Argument::Address(from.address()),
            units,
        ];
        (0..amount).try_for_each(|_| copy.launch(stream, (copy_grid, 1), THREADS, &arguments))
    };
    let amounts = [rig.calibrate(&mut compute)?, rig.calibrate(&mut copies)?];
    let side = Stream::new(&rig.device)?;
    let [start, end] = [Event::new(&rig.device)?, Event::new(&rig.device)?];
    let operations = 2.0 * (rows * columns * depth) as f64 * products * f64::from(grid) * 16.0;
    let began = Instant::now();
    let (mut samples, mut timeline) = (Vec::new(), Vec::new());
    while began.elapsed() < whole || samples.len() < 5 {
        let (took, found) = rig.timed(|stream| {
            start.record(stream)?;
            side.wait_for(&start)?;
            compute(stream, amounts[0])?;
            copies(&side, amounts[1])?;
            end.record(&side)?;
            stream.wait_for(&end)
        })?;
        let value = operations * f64::from(amounts[0]) / took.as_secs_f64() / 1e12;
        samples.push(Sample { value, ..found });
        timeline.push(Moment {
            second: began.elapsed().as_secs_f64(),
            value,
            sm_clock_mhz: found.sm_clock_mhz,
            power_watts: found.power,
            temperature_celsius: found.temperature,
            throttled: found.throttled,
            power_capped: found.power_capped,
        });
    }
    Ok(Measured {
        timeline,
        ..summarize(&samples, Stopped::Planned, "TFLOP/s")
    })
}
