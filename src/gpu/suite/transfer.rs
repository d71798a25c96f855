//! Copies between host and device.

use super::Fault;
use super::rig::Rig;
use super::summary::Sample;
use crate::gpu::cuda::{Buffer, Event, HostBuffer, Stream};
use crate::record::Measured;
use tokio::time::Instant;

const GB: f64 = 1e9;

/// How much is copied: 256 MiB, or an eighth of what is free.
fn size(rig: &Rig<'_>) -> Result<usize, Fault> {
    let free = rig.device.free_bytes()?;
    Ok((free / 8).clamp(4096, 256 << 20) / 4096 * 4096)
}

/// Bytes that repeat only after a long time.
pub(super) fn fill(bytes: &mut [u8], seed: u32) {
    let (words, _) = bytes.as_chunks_mut::<4>();
    let mut state = seed | 1;
    for word in words {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *word = state.to_le_bytes();
    }
}

pub(super) fn same(is: &[u8], should: &[u8]) -> Result<(), Fault> {
    if is == should {
        return Ok(());
    }
    Err(Fault::Wrong(
        "the copy differs from what was sent".to_owned(),
    ))
}

fn checked(measured: Measured) -> Measured {
    Measured {
        verified: Some("every byte of the copy".to_owned()),
        ..measured
    }
}

struct Pinned {
    device: Buffer,
    host: HostBuffer,
}

impl Pinned {
    fn new(rig: &Rig<'_>) -> Result<Self, Fault> {
        let bytes = size(rig)?;
        let mut host = HostBuffer::new(&rig.device, bytes)?;
        fill(host.bytes_mut(), rig.seed);
        let device = Buffer::of(&rig.device, &rig.stream, host.bytes())?;
        Ok(Self { device, host })
    }
}

pub(super) fn to_device(rig: &mut Rig<'_>) -> Result<Measured, Fault> {
    let Pinned { device, host } = Pinned::new(rig)?;
    device.clear(&rig.stream)?;
    let measured = rig.rate("GB/s", host.bytes().len() as f64, GB, |stream, amount| {
        (0..amount).try_for_each(|_| device.write(stream, host.bytes()))
    })?;
    same(&device.contents(&rig.stream)?, host.bytes())?;
    Ok(checked(measured))
}

pub(super) fn from_device(rig: &mut Rig<'_>) -> Result<Measured, Fault> {
    let Pinned { device, mut host } = Pinned::new(rig)?;
    host.bytes_mut().fill(0);
    let measured = rig.rate("GB/s", host.bytes().len() as f64, GB, |stream, amount| {
        (0..amount).try_for_each(|_| device.read(stream, host.bytes_mut()))
    })?;
    same(&device.contents(&rig.stream)?, host.bytes())?;
    Ok(checked(measured))
}

pub(super) fn both_ways(rig: &mut Rig<'_>) -> Result<Measured, Fault> {
    let (up, mut down) = (Pinned::new(rig)?, Pinned::new(rig)?);
    let side = Stream::new(&rig.device)?;
    let [start, end] = [Event::new(&rig.device)?, Event::new(&rig.device)?];
    let bytes = (up.host.bytes().len() + down.host.bytes().len()) as f64;
    rig.rate("GB/s", bytes, GB, |stream, amount| {
        start.record(stream)?;
        side.wait_for(&start)?;
        for _ in 0..amount {
            up.device.write(stream, up.host.bytes())?;
            down.device.read(&side, down.host.bytes_mut())?;
        }
        end.record(&side)?;
        stream.wait_for(&end)
    })
    .map(|measured| Measured {
        verified: None,
        ..measured
    })
}

pub(super) fn pageable_to_device(rig: &mut Rig<'_>) -> Result<Measured, Fault> {
    let mut host = vec![0; size(rig)?];
    fill(&mut host, rig.seed);
    let device = rig.buffer(host.len())?;
    let measured = rig.rate("GB/s", host.len() as f64, GB, |stream, amount| {
        (0..amount).try_for_each(|_| device.write(stream, &host))
    })?;
    same(&device.contents(&rig.stream)?, &host)?;
    Ok(checked(measured))
}

pub(super) fn pageable_from_device(rig: &mut Rig<'_>) -> Result<Measured, Fault> {
    let mut sent = vec![0; size(rig)?];
    fill(&mut sent, rig.seed);
    let device = Buffer::of(&rig.device, &rig.stream, &sent)?;
    let mut host = vec![0; sent.len()];
    let measured = rig.rate("GB/s", sent.len() as f64, GB, |stream, amount| {
        (0..amount).try_for_each(|_| device.read(stream, &mut host))
    })?;
    same(&host, &sent)?;
    Ok(checked(measured))
}

pub(super) fn latency(rig: &mut Rig<'_>) -> Result<Measured, Fault> {
    const COPIES: u32 = 1000;
    let host = HostBuffer::new(&rig.device, 4)?;
    let device = rig.buffer(4)?;
    rig.sample("µs", |rig| {
        let began = Instant::now();
        for _ in 0..COPIES {
            device.write(&rig.stream, host.bytes())?;
            rig.stream.synchronize()?;
        }
        let each = began.elapsed().as_secs_f64() * 1e6 / f64::from(COPIES);
        Ok((each, Sample::default()))
    })
}
