//! Percentile gates on services that sit exactly on the limit, and how fast they are judged.

use crate::shapes::normal;
use bench::stats::{ALPHA, Second, Share, effective, lower_bound, upper_bound};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;
use serde_json::{Value, json};
use std::hint::black_box;

/// Requests per second.
const RATE: usize = 50;

/// A way in which latencies hang together.
#[derive(Clone, Copy)]
enum Process {
    Independent,
    /// Logarithms of latencies share a part that remembers `phi` of itself from second to second.
    Shared {
        phi: f64,
        share: f64,
    },
    /// One server with random arrivals and service times, busy this part of the time.
    Queue {
        busy: f64,
    },
    /// The server stands still now and then: for a second on average, 1 % of the time.
    Stalls,
}

const PROCESSES: [(&str, Process); 5] = [
    ("independent", Process::Independent),
    (
        "AR 0.9, 20 %",
        Process::Shared {
            phi: 0.9,
            share: 0.2,
        },
    ),
    (
        "AR 0.98, 50 %",
        Process::Shared {
            phi: 0.98,
            share: 0.5,
        },
    ),
    ("M/M/1 at 0.9", Process::Queue { busy: 0.9 }),
    ("stalls", Process::Stalls),
];

impl Process {
    /// Latencies by second.
    fn run(self, seconds: usize, rng: &mut Pcg64Mcg) -> Vec<Vec<f64>> {
        let exponential = |rng: &mut Pcg64Mcg| -(1.0 - rng.random::<f64>()).ln();
        match self {
            Self::Independent => (0..seconds)
                .map(|_| (0..RATE).map(|_| normal(rng).exp()).collect())
                .collect(),
            Self::Shared { phi, share } => {
                let mut state = normal(rng);
                (0..seconds)
                    .map(|_| {
                        state = phi * state + (1.0 - phi * phi).sqrt() * normal(rng);
                        (0..RATE)
                            .map(|_| {
                                let own = (1.0 - share).sqrt() * normal(rng);
                                (share.sqrt() * state + own).exp()
                            })
                            .collect()
                    })
                    .collect()
            }
            Self::Queue { busy } => {
                // Lindley's recursion; the first 20 000 requests bring it to its steady state.
                let mut wait: f64 = 0.0;
                let mut next = |rng: &mut Pcg64Mcg| {
                    let service = busy * exponential(rng);
                    let response = wait + service;
                    wait = (response - exponential(rng)).max(0.0);
                    response
                };
                for _ in 0..20_000 {
                    black_box(next(rng));
                }
                (0..seconds)
                    .map(|_| (0..RATE).map(|_| next(rng)).collect())
                    .collect()
            }
            Self::Stalls => {
                let (mut until, mut next) = (0.0, 99.0 * exponential(rng));
                (0..seconds)
                    .map(|second| {
                        (0..RATE)
                            .map(|request| {
                                let t = second as f64 + request as f64 / RATE as f64;
                                while t >= next {
                                    until = next + exponential(rng);
                                    next = until + 99.0 * exponential(rng);
                                }
                                (until - t).max(0.0) * 1000.0 + normal(rng).abs() * 0.001
                            })
                            .collect()
                    })
                    .collect()
            }
        }
    }

    /// The true 99th percentile, from one very long run.
    fn p99(self) -> f64 {
        match self {
            Self::Independent | Self::Shared { .. } => 2.326_347_9_f64.exp(),
            // P(response > t) = e^{-(1-ρ) t / (ρ/λ…)}: exponential with mean busy/(1-busy).
            Self::Queue { busy } => busy / (1.0 - busy) * 100.0_f64.ln(),
            Self::Stalls => {
                let mut rng = Pcg64Mcg::seed_from_u64(1);
                let mut all: Vec<f64> = self.run(400_000, &mut rng).concat();
                all.sort_by(f64::total_cmp);
                all[all.len() / 100 * 99]
            }
        }
    }
}

/// False PASS and false FAIL of a p99 gate whose limit is the truth.
pub(crate) fn tables(repetitions: u32) -> Value {
    println!("Percentile gates on the limit, {repetitions} runs each: false PASS/false FAIL");
    let mut rows = serde_json::Map::new();
    for (name, process) in PROCESSES {
        let limit = process.p99();
        let cells = [300, 1800].map(|seconds| {
            let (mut pass, mut fail) = (0.0, 0.0);
            for seed in 0..u64::from(repetitions) {
                let mut rng = Pcg64Mcg::seed_from_u64(7000 + seed);
                let latencies = process.run(seconds, &mut rng);
                let share = worth(&latencies, limit);
                pass += f64::from(u8::from(upper_bound(share, ALPHA) < 0.01));
                fail += f64::from(u8::from(lower_bound(share, ALPHA) > 0.01));
            }
            let all = f64::from(repetitions);
            (pass / all, fail / all)
        });
        let text = cells
            .map(|(pass, fail)| format!("  {pass:.3}/{fail:.3}"))
            .concat();
        println!("{name:15} 300 s, 1800 s:{text}");
        rows.insert(name.to_owned(), json!(cells));
    }
    Value::Object(rows)
}

/// What the sample is worth, as the gate sees it.
fn worth(latencies: &[Vec<f64>], limit: f64) -> Share {
    let mut all = latencies.concat();
    all.sort_by(f64::total_cmp);
    let at = |percent: usize| all[(all.len() * percent).div_ceil(100).saturating_sub(1)];
    let seconds = |threshold: f64| {
        let of = |second: &Vec<f64>| Second {
            requests: second.len() as u64,
            over: second
                .iter()
                .filter(|latency| **latency > threshold)
                .count() as u64,
        };
        vec![latencies.iter().map(of).collect()]
    };
    let thresholds = [seconds(limit), seconds(at(95)), seconds(at(99))];
    let effective = effective(&thresholds, ALPHA).expect("many seconds");
    let over = all.iter().filter(|latency| **latency > limit).count();
    Share {
        count: over as f64 / all.len() as f64 * effective.requests,
        total: effective.requests,
    }
}
