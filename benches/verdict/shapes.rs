//! Memory that behaves: series whose truth is known, one sample a second, in MiB.

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

/// A way in which memory behaves apart from any leak.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// The step in which it changes, in MiB.
    pub(crate) quantum: f64,
    /// Whether it is one of the research's thirteen healthy shapes.
    pub(crate) healthy: bool,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    White,
    Autoregressive {
        phi: f64,
        sd: f64,
        late: bool,
    },
    Saw {
        period: f64,
        height: f64,
        jitter: f64,
    },
    WarmUp {
        tau: f64,
    },
    Steps,
    HighWater,
    Wave {
        period: f64,
        height: f64,
    },
    CacheFill,
    Flat,
}

const fn shape(name: &'static str, quantum: f64, healthy: bool, kind: Kind) -> Shape {
    Shape {
        name,
        quantum,
        healthy,
        kind,
    }
}

const fn autoregressive(phi: f64, sd: f64, late: bool) -> Kind {
    Kind::Autoregressive { phi, sd, late }
}

const fn saw(period: f64, height: f64, jitter: f64) -> Kind {
    Kind::Saw {
        period,
        height,
        jitter,
    }
}

/// The healthy shapes, and variants for leaks on top of them.
pub(crate) const ALL: [Shape; 17] = [
    shape("white", 0.0, true, Kind::White),
    shape("ar.98", 0.0, true, autoregressive(0.98, 5.0, false)),
    shape("ar.999", 0.0, true, autoregressive(0.999, 10.0, false)),
    shape("saw60s", 0.0, true, saw(60.0, 200.0, 0.0)),
    shape("saw600s", 0.0, true, saw(600.0, 300.0, 0.0)),
    shape("warm60", 0.0, true, Kind::WarmUp { tau: 60.0 }),
    shape("warm600", 0.0, true, Kind::WarmUp { tau: 600.0 }),
    shape("steps", 0.0, true, Kind::Steps),
    shape("hwm(log)", 2.0, true, Kind::HighWater),
    shape("hwm20MiB", 20.0, true, Kind::HighWater),
    shape(
        "osc900",
        0.0,
        true,
        Kind::Wave {
            period: 900.0,
            height: 30.0,
        },
    ),
    shape("cachefill", 0.0, true, Kind::CacheFill),
    shape("gpuflat q20", 20.0, true, Kind::Flat),
    shape("gpuflat q2", 2.0, false, Kind::Flat),
    shape("ar.98 late", 0.0, false, autoregressive(0.98, 5.0, true)),
    shape("saw60s uneven", 0.0, false, saw(60.0, 200.0, 0.1)),
    shape("saw600s uneven", 0.0, false, saw(600.0, 300.0, 0.05)),
];

/// A series of so many seconds, with a leak in MiB/h on top, from a seed.
pub(crate) fn series(shape: Shape, seconds: usize, leak_per_hour: f64, seed: u64) -> Vec<f64> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let length = seconds as f64;
    let base = behaviour(shape, seconds, &mut rng);
    let onset = match shape.kind {
        Kind::Autoregressive { late: true, .. } => 0.4 * length,
        _ => 0.0,
    };
    base.into_iter()
        .enumerate()
        .map(|(second, value)| {
            let leaked = leak_per_hour * (second as f64 - onset).max(0.0) / 3600.0;
            let value = 2048.0 + value + leaked;
            if shape.quantum > 0.0 {
                (value / shape.quantum).ceil() * shape.quantum
            } else {
                value
            }
        })
        .collect()
}

fn behaviour(shape: Shape, seconds: usize, rng: &mut Pcg64Mcg) -> Vec<f64> {
    let length = seconds as f64;
    match shape.kind {
        Kind::White => (0..seconds).map(|_| 2.0 * normal(rng)).collect(),
        Kind::Autoregressive { phi, sd, .. } => {
            let mut state = sd * normal(rng);
            (0..seconds)
                .map(|_| {
                    state = phi * state + sd * (1.0 - phi * phi).sqrt() * normal(rng);
                    state
                })
                .collect()
        }
        Kind::Saw {
            period,
            height,
            jitter,
        } => {
            let small = if period > 100.0 { 30.0 } else { 0.0 };
            let (mut left, mut long, mut high) = (0.0, period, height);
            let phase = rng.random::<f64>() * period;
            (0..seconds)
                .map(|second| {
                    let t = second as f64 + phase;
                    if jitter > 0.0 {
                        if left <= 0.0 {
                            long = period * (1.0 + jitter * normal(rng)).max(0.2);
                            high = height * (1.0 + jitter * normal(rng)).max(0.2);
                            left = long;
                        }
                        left -= 1.0;
                        high * (1.0 - left / long) + small * (t / 60.0).fract() + normal(rng)
                    } else {
                        high * (t / long).fract() + small * (t / 60.0).fract() + normal(rng)
                    }
                })
                .collect()
        }
        Kind::WarmUp { tau } => (0..seconds)
            .map(|second| 300.0 * (1.0 - (-(second as f64) / tau).exp()) + 2.0 * normal(rng))
            .collect(),
        Kind::Steps => {
            let at: Vec<f64> = (0..5).map(|_| rng.random::<f64>() * 0.6 * length).collect();
            (0..seconds)
                .map(|second| {
                    let taken = at.iter().filter(|&&at| at <= second as f64).count();
                    32.0 * taken as f64 + 2.0 * normal(rng)
                })
                .collect()
        }
        Kind::HighWater => {
            let mut mark: f64 = 0.0;
            (0..seconds)
                .map(|_| {
                    mark = mark.max(200.0 * (0.25 * normal(rng)).exp());
                    mark
                })
                .collect()
        }
        Kind::Wave { period, height } => {
            let phase = rng.random::<f64>();
            (0..seconds)
                .map(|second| {
                    let turn = second as f64 / period + phase;
                    height * (turn * std::f64::consts::TAU).sin() + 2.0 * normal(rng)
                })
                .collect()
        }
        Kind::CacheFill => {
            let full = (0.3 + 0.5 * rng.random::<f64>()) * length;
            (0..seconds)
                .map(|second| 400.0 * (second as f64 / full).min(1.0) + 2.0 * normal(rng))
                .collect()
        }
        Kind::Flat => vec![0.0; seconds],
    }
}

/// A standard normal number (Box and Muller 1958).
pub(crate) fn normal(rng: &mut Pcg64Mcg) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (rng.random::<f64>() * std::f64::consts::TAU).cos()
}
