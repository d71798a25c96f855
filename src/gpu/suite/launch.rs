//! What it costs to start work, and whether work runs side by side.

use super::Fault;
use super::rig::Rig;
use super::summary::Sample;
use crate::gpu::cuda::{Argument, CudaError, Event, Stream};
use crate::record::Measured;
use tokio::time::Instant;

const LAUNCHES: u32 = 1000;

fn microseconds_each(since: Instant, count: u32) -> f64 {
    since.elapsed().as_secs_f64() * 1e6 / f64::from(count)
}

pub(super) fn enqueue(rig: &mut Rig<'_>) -> Result<Measured, Fault> {
    // Fewer than the driver's queue holds, or the host would wait for the GPU.
    const BURST: u32 = 200;
    let kernel = rig.kernel("compute_empty")?;
    rig.sample("µs", |rig| {
        rig.stream.synchronize()?;
        let began = Instant::now();
        (0..BURST).try_for_each(|_| kernel.launch(&rig.stream, (1, 1), 1, &[]))?;
        let each = microseconds_each(began, BURST);
        rig.stream.synchronize()?;
        Ok((each, Sample::default()))
    })
}

pub(super) fn round_trip(rig: &mut Rig<'_>) -> Result<Measured, Fault> {
    let kernel = rig.kernel("compute_empty")?;
    rig.sample("µs", |rig| {
        let began = Instant::now();
        for _ in 0..LAUNCHES {
            kernel.launch(&rig.stream, (1, 1), 1, &[])?;
            rig.stream.synchronize()?;
        }
        Ok((microseconds_each(began, LAUNCHES), Sample::default()))
    })
}

pub(super) fn graph(rig: &mut Rig<'_>) -> Result<Measured, Fault> {
    const NODES: u32 = 100;
    let kernel = rig.kernel("compute_empty")?;
    let graph = rig
        .stream
        .record(|| (0..NODES).try_for_each(|_| kernel.launch(&rig.stream, (1, 1), 1, &[])))?;
    rig.sample("µs", |rig| {
        let (took, found) = rig.timed(|stream| (0..10).try_for_each(|_| graph.launch(stream)))?;
        Ok((took.as_secs_f64() * 1e6 / f64::from(10 * NODES), found))
    })
}

pub(super) fn concurrent(rig: &mut Rig<'_>) -> Result<Measured, Fault> {
    const STREAMS: u32 = 8;
    let kernel = rig.kernel("compute_spin")?;
    let out = rig.buffer(4)?;
    // About 2 ms at usual clocks.
    let arguments = [Argument::Long(4_000_000), Argument::Address(out.address())];
    let streams = (0..STREAMS)
        .map(|_| Stream::new(&rig.device))
        .collect::<Result<Vec<_>, _>>()?;
    let ends = (0..STREAMS)
        .map(|_| Event::new(&rig.device))
        .collect::<Result<Vec<_>, _>>()?;
    let start = Event::new(&rig.device)?;
    rig.sample("×", |rig| {
        let (one, found) = rig.timed(|stream| kernel.launch(stream, (1, 1), 32, &arguments))?;
        let (all, _) = rig.timed(|stream| {
            start.record(stream)?;
            for (side, end) in streams.iter().zip(&ends) {
                side.wait_for(&start)?;
                kernel.launch(side, (1, 1), 32, &arguments)?;
                end.record(side)?;
                stream.wait_for(end)?;
            }
            Ok::<(), CudaError>(())
        })?;
        let speedup = one.as_secs_f64() * f64::from(STREAMS) / all.as_secs_f64();
        Ok((speedup, found))
    })
}
