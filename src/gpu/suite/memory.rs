//! Device memory and its cache.

use super::Fault;
use super::rig::Rig;
use crate::gpu::cuda::{Argument, Buffer};
use crate::gpu::peaks::Resource;
use crate::record::{Measured, Stopped};

const GIB: usize = 1 << 30;
const THREADS: u32 = 256;
/// Blocks of 256 threads for each multiprocessor: all the threads it can hold.
const BLOCKS: u32 = 8;
const GB: f64 = 1e9;

fn at(buffer: &Buffer) -> Argument {
    Argument::Address(buffer.address())
}

fn units(buffer: &Buffer) -> Argument {
    Argument::Long(buffer.bytes() as u64 / 16)
}

impl Rig<'_> {
    /// A buffer so large that the cache holds little of it: 1 GiB or four caches, but never more than
    /// a quarter of what is free.
    fn large(&self) -> Result<Buffer, Fault> {
        let cache = self.device.properties().l2_bytes as usize;
        let free = self.device.free_bytes()?;
        let bytes = (4 * cache).max(GIB).min(free / 4) / 4096 * 4096;
        self.buffer(bytes.max(4096))
    }

    fn fill(&mut self, buffer: &Buffer, seed: u32) -> Result<(), Fault> {
        let grid = (self.blocks(BLOCKS), 1);
        let arguments = [at(buffer), units(buffer), Argument::Word(seed)];
        let kernel = self.kernel("memory_fill")?;
        kernel.launch(&self.stream, grid, THREADS, &arguments)?;
        Ok(())
    }

    /// How many words of a buffer differ from the pattern.
    fn faults(&mut self, buffer: &Buffer, seed: u32) -> Result<u64, Fault> {
        let wrong = Buffer::of(&self.device, &self.stream, &[0; 8])?;
        let grid = (self.blocks(BLOCKS), 1);
        let arguments = [at(buffer), units(buffer), Argument::Word(seed), at(&wrong)];
        let kernel = self.kernel("memory_verify")?;
        kernel.launch(&self.stream, grid, THREADS, &arguments)?;
        self.count(&wrong)
    }

    fn count(&self, wrong: &Buffer) -> Result<u64, Fault> {
        let bytes = wrong.contents(&self.stream)?;
        Ok(bytes
            .first_chunk()
            .map_or(0, |long| u64::from_le_bytes(*long)))
    }
}

fn none_wrong(faults: u64, what: &str) -> Result<(), Fault> {
    if faults == 0 {
        return Ok(());
    }
    Err(Fault::Wrong(format!("{faults} words of {what} are wrong")))
}

/// The word that the pattern has at an index, as `memory.cu` makes it.
fn word(index: u64, seed: u32) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
    let (low, high) = (index as u32, (index >> 32) as u32);
    let mixed = low.wrapping_mul(2_654_435_761) ^ high ^ seed;
    let mixed = (mixed ^ mixed >> 15).wrapping_mul(2_246_822_519);
    mixed ^ mixed >> 13
}

/// What each thread of `memory_read` should leave.
fn folded(units: u64, threads: u64, passes: u32, seed: u32) -> Vec<u32> {
    (0..threads)
        .map(|thread| {
            let mut sum = 0u32;
            for _ in 0..passes {
                let mut unit = thread;
                while unit < units {
                    for part in 0..4 {
                        sum ^= word(unit * 4 + part, seed);
                    }
                    unit += threads;
                }
                sum = sum.rotate_left(1);
            }
            sum
        })
        .collect()
}

/// Reads a buffer, after the same kernel has read a small one as the CPU does.
fn read_rate(rig: &mut Rig<'_>, buffer: &Buffer, passes: u32) -> Result<Measured, Fault> {
    let (grid, seed) = (rig.blocks(BLOCKS), rig.seed);
    let threads = u64::from(grid) * u64::from(THREADS);
    let kernel = rig.kernel("memory_read")?;
    let out = rig.buffer(usize::try_from(threads).unwrap_or_default() * 4)?;
    let small = rig.buffer(64 << 10)?;
    rig.fill(&small, seed)?;
    let arguments = [at(&small), units(&small), Argument::Word(3), at(&out)];
    kernel.launch(&rig.stream, (grid, 1), THREADS, &arguments)?;
    let contents = out.contents(&rig.stream)?;
    let (words, _) = contents.as_chunks::<4>();
    let should = folded(small.bytes() as u64 / 16, threads, 3, seed);
    let wrong = words
        .iter()
        .zip(&should)
        .filter(|(is, should)| u32::from_le_bytes(**is) != **should);
    none_wrong(wrong.count() as u64, "what was read")?;
    rig.fill(buffer, seed)?;
    let each = buffer.bytes() as f64 * f64::from(passes);
    rig.rate("GB/s", each, GB, |stream, amount| {
        let passes = Argument::Word(passes * amount);
        let arguments = [at(buffer), units(buffer), passes, at(&out)];
        kernel.launch(stream, (grid, 1), THREADS, &arguments)
    })
}

pub(super) fn read(rig: &mut Rig<'_>) -> Result<Measured, Fault> {
    let buffer = rig.large()?;
    let measured = read_rate(rig, &buffer, 1)?;
    let faults = rig.faults(&buffer, rig.seed)?;
    none_wrong(faults, "memory that was only read")?;
    Ok(rig.against(
        measured,
        Resource::Memory,
        "read values against the CPU; pattern afterwards",
    ))
}

pub(super) fn l2(rig: &mut Rig<'_>) -> Result<Measured, Fault> {
    let cache = rig.device.properties().l2_bytes as usize;
    if cache == 0 {
        return Err(Fault::Skip(
            "the driver does not tell the size of the cache".to_owned(),
        ));
    }
    let buffer = rig.buffer((cache / 2 / 4096 * 4096).max(4096))?;
    let measured = read_rate(rig, &buffer, 16)?;
    Ok(Measured {
        verified: Some("read values against the CPU".to_owned()),
        ..measured
    })
}

pub(super) fn write(rig: &mut Rig<'_>) -> Result<Measured, Fault> {
    let buffer = rig.large()?;
    let (grid, value) = (rig.blocks(BLOCKS), rig.seed ^ 0x5a5a_5a5a);
    let kernel = rig.kernel("memory_write")?;
    let measured = rig.rate("GB/s", buffer.bytes() as f64, GB, |stream, amount| {
        let arguments = [at(&buffer), units(&buffer), Argument::Word(value)];
        (0..amount).try_for_each(|_| kernel.launch(stream, (grid, 1), THREADS, &arguments))
    })?;
    // The first MiB: the whole of it would take longer to copy than to measure.
    let mut start = vec![0; buffer.bytes().min(1 << 20)];
    buffer.read(&rig.stream, &mut start)?;
    rig.stream.synchronize()?;
    let (words, _) = start.as_chunks::<4>();
    let wrong = words
        .iter()
        .filter(|word| u32::from_le_bytes(**word) != value)
        .count();
    none_wrong(wrong as u64, "what was written")?;
    Ok(rig.against(
        measured,
        Resource::Memory,
        "the first MiB against what was written",
    ))
}

pub(super) fn copy(rig: &mut Rig<'_>) -> Result<Measured, Fault> {
    let (from, to) = (rig.large()?, rig.large()?);
    let bytes = from.bytes().min(to.bytes());
    rig.fill(&from, rig.seed)?;
    let (grid, kernel) = (rig.blocks(BLOCKS), rig.kernel("memory_copy")?);
    let n = Argument::Long(bytes as u64 / 16);
    let measured = rig.rate("GB/s", 2.0 * bytes as f64, GB, |stream, amount| {
        let arguments = [at(&to), at(&from), n];
        (0..amount).try_for_each(|_| kernel.launch(stream, (grid, 1), THREADS, &arguments))
    })?;
    let faults = rig.faults(&to, rig.seed)?;
    none_wrong(faults, "the copy")?;
    Ok(rig.against(measured, Resource::Memory, "every word of the copy"))
}

pub(super) fn triad(rig: &mut Rig<'_>) -> Result<Measured, Fault> {
    const SCALE: f32 = 3.0;
    let free = rig.device.free_bytes()?;
    let bytes = GIB.min(free / 4) / 4096 * 4096;
    let [a, b, c] = [rig.buffer(bytes)?, rig.buffer(bytes)?, rig.buffer(bytes)?];
    let (grid, numbers) = (rig.blocks(BLOCKS), rig.kernel("memory_numbers")?);
    let seeds = [rig.seed, rig.seed ^ 0xff];
    let count = Argument::Long(bytes as u64 / 4);
    for (buffer, seed) in [(&b, seeds[0]), (&c, seeds[1])] {
        let arguments = [at(buffer), count, Argument::Word(seed)];
        numbers.launch(&rig.stream, (grid, 1), THREADS, &arguments)?;
    }
    let kernel = rig.kernel("memory_triad")?;
    let measured = rig.rate("GB/s", 3.0 * bytes as f64, GB, |stream, amount| {
        let arguments = [at(&a), at(&b), at(&c), units(&a), Argument::Float(SCALE)];
        (0..amount).try_for_each(|_| kernel.launch(stream, (grid, 1), THREADS, &arguments))
    })?;
    let wrong = Buffer::of(&rig.device, &rig.stream, &[0; 8])?;
    let [seed_b, seed_c] = seeds.map(Argument::Word);
    let arguments = [
        at(&a),
        count,
        seed_b,
        seed_c,
        Argument::Float(SCALE),
        at(&wrong),
    ];
    let verify = rig.kernel("memory_triad_verify")?;
    verify.launch(&rig.stream, (grid, 1), THREADS, &arguments)?;
    none_wrong(rig.count(&wrong)?, "the triad")?;
    Ok(rig.against(measured, Resource::Memory, "every result"))
}

pub(super) fn integrity(rig: &mut Rig<'_>) -> Result<Measured, Fault> {
    let free = rig.device.free_bytes()?;
    let buffer = rig.buffer((free / 10 * 9 / 4096 * 4096).max(4096))?;
    let mut samples = Vec::new();
    for round in 0..5 {
        let seed = rig.seed.wrapping_add(round).wrapping_mul(0x9e37_79b9);
        rig.fill(&buffer, seed)?;
        let kernel = rig.kernel("memory_verify")?;
        let wrong = Buffer::of(&rig.device, &rig.stream, &[0; 8])?;
        let grid = (rig.blocks(BLOCKS), 1);
        let arguments = [
            at(&buffer),
            units(&buffer),
            Argument::Word(seed),
            at(&wrong),
        ];
        let (took, found) = rig.timed(|stream| kernel.launch(stream, grid, THREADS, &arguments))?;
        none_wrong(rig.count(&wrong)?, "memory")?;
        let value = buffer.bytes() as f64 / took.as_secs_f64() / GB;
        samples.push(super::summary::Sample { value, ..found });
    }
    let measured = super::summary::summarize(&samples, Stopped::Planned, "GB/s");
    let gib = buffer.bytes() as f64 / GIB as f64;
    Ok(Measured {
        verified: Some(format!("every word of {gib:.1} GiB, five patterns")),
        ..measured
    })
}
