//! Copies between two GPUs without the host, for every pair.

use super::rig::Rig;
use super::summary::Sample;
use super::transfer::{fill, same};
use super::{Effort, Fault, PEER_TESTS, Suite, outcome};
use crate::gpu::cuda::{Buffer, Cuda, CudaError, Device, Event, Stream};
use crate::record::{Measured, PeerPair, TestResult};
use std::time::Duration;
use tokio::time::Instant;

const GB: f64 = 1e9;

/// There are many pairs: eight GPUs have 56.
const EFFORT: Effort = Effort {
    settle: Duration::from_millis(100),
    limit: Duration::from_millis(300),
    ..Effort::FULL
};

impl Suite {
    /// Measures the copies between all pairs of GPUs, one pair after the other.
    pub fn run_pairs(&self, cuda: &Cuda) -> Vec<PeerPair> {
        let ordinals = || 0..cuda.device_count();
        ordinals()
            .flat_map(|from| ordinals().map(move |to| (from, to)))
            .filter(|(from, to)| from != to)
            .map(|pair| self.pair(cuda, pair))
            .collect()
    }

    fn pair(&self, cuda: &Cuda, (from, to): (u32, u32)) -> PeerPair {
        let mut pair = PeerPair {
            from,
            to,
            ..PeerPair::default()
        };
        let suite = Self {
            effort: Effort {
                sample: self.effort.sample.min(EFFORT.sample),
                limit: self.effort.limit.min(EFFORT.limit),
                ..EFFORT
            },
            ..self.clone()
        };
        match Between::open(cuda, (from, to), &suite) {
            Ok(Some(mut between)) => pair.results = between.measure(from < to),
            Ok(None) => {
                pair.unreachable = Some("the driver knows no direct way between them".to_owned());
            }
            Err(error) => {
                pair.results = vec![TestResult {
                    test: PEER_TESTS[0].to_owned(),
                    outcome: outcome(Err(error.into())),
                }];
            }
        }
        pair
    }
}

/// Two GPUs that can reach each other. The rig's is where copies come from.
struct Between<'a> {
    rig: Rig<'a>,
    other: Device,
}

impl Between<'_> {
    fn open(cuda: &Cuda, (from, to): (u32, u32), suite: &Suite) -> Result<Option<Self>, CudaError> {
        let other = Device::open(cuda, to)?;
        let device = Device::open(cuda, from)?;
        if !device.reaches(&other)? || !other.reaches(&device)? {
            return Ok(None);
        }
        other.open_to(&device)?;
        device.open_to(&other)?;
        Ok(Some(Self {
            rig: Rig::new(&device, None, suite)?,
            other,
        }))
    }

    fn measure(&mut self, both: bool) -> Vec<TestResult> {
        let mut results = Vec::new();
        let mut add = |test: &str, measured: Result<Measured, Fault>| {
            results.push(TestResult {
                test: test.to_owned(),
                outcome: outcome(measured),
            });
        };
        let [copy, both_ways, latency] = PEER_TESTS;
        add(copy, self.copy());
        // The same in both orders.
        if both {
            add(both_ways, self.both_ways());
        }
        add(latency, self.latency());
        results
    }

    /// Memory of the other GPU. This thread stays bound to the rig's.
    fn there(&self, bytes: usize) -> Result<Buffer, Fault> {
        self.other.bind()?;
        let buffer = Buffer::new(&self.other, bytes);
        self.rig.device.bind()?;
        Ok(buffer?)
    }

    /// 256 MiB, or an eighth of what is free.
    fn size(&self) -> Result<usize, Fault> {
        let free = self.rig.device.free_bytes()?;
        Ok((free / 8).clamp(4096, 256 << 20) / 4096 * 4096)
    }

    fn copy(&mut self) -> Result<Measured, Fault> {
        let bytes = self.size()?;
        let mut sent = vec![0; bytes.min(16 << 20)];
        fill(&mut sent, self.rig.seed);
        let small = Buffer::of(&self.rig.device, &self.rig.stream, &sent)?;
        let there = self.there(sent.len())?;
        there.copy_from(&self.rig.stream, &small)?;
        same(&there.contents(&self.rig.stream)?, &sent)?;
        drop((small, there));
        let (here, there) = (self.rig.buffer(bytes)?, self.there(bytes)?);
        let measured = self.rig.rate("GB/s", bytes as f64, GB, |stream, amount| {
            (0..amount).try_for_each(|_| there.copy_from(stream, &here))
        })?;
        Ok(Measured {
            verified: Some("every byte of a copy of 16 MiB or less".to_owned()),
            ..measured
        })
    }

    fn both_ways(&mut self) -> Result<Measured, Fault> {
        let bytes = self.size()?;
        let here = [self.rig.buffer(bytes)?, self.rig.buffer(bytes)?];
        let there = [self.there(bytes)?, self.there(bytes)?];
        self.other.bind()?;
        let back = Stream::new(&self.other)?;
        let end = Event::new(&self.other)?;
        self.rig.device.bind()?;
        let start = Event::new(&self.rig.device)?;
        self.rig
            .rate("GB/s", 2.0 * bytes as f64, GB, |stream, amount| {
                start.record(stream)?;
                back.wait_for(&start)?;
                for _ in 0..amount {
                    there[0].copy_from(stream, &here[0])?;
                    here[1].copy_from(&back, &there[1])?;
                }
                end.record(&back)?;
                stream.wait_for(&end)
            })
    }

    fn latency(&mut self) -> Result<Measured, Fault> {
        const COPIES: u32 = 500;
        let (here, there) = (self.rig.buffer(4)?, self.there(4)?);
        self.rig.sample("µs", |rig| {
            let began = Instant::now();
            for _ in 0..COPIES {
                there.copy_from(&rig.stream, &here)?;
                rig.stream.synchronize()?;
            }
            let each = began.elapsed().as_secs_f64() * 1e6 / f64::from(COPIES);
            Ok((each, Sample::default()))
        })
    }
}
