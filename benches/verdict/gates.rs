//! Percentile gates on services that sit exactly on the limit, and how fast they are judged.

use crate::shapes::normal;
use bench::stats::{
    ALPHA, Alphas, Bursts, Counted, Evidence, Looks, NEAR, Reserve, Second, ShareBounds, Sides,
    quiet_s, share_bounds,
};
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
    /// Something else slows a quiet server now and then: for 0.3 s on average, so often on average, to a latency
    /// between 0.2 and the highest. Without that nearly all are below 0.13.
    Hiccups {
        every_s: f64,
        highest: f64,
    },
}

/// The latency of a stall of a second, which is their mean length; without one it is about 0.001.
const STALL: f64 = 1000.0;

/// Half of these hiccups are over 1, which is the limit that 1 % of the requests exceed.
const HICCUPS: Process = Process::Hiccups {
    every_s: 15.0,
    highest: 1.8,
};

const PROCESSES: [(&str, Process); 6] = [
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
    ("hiccups", HICCUPS),
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
                                (until - t).max(0.0) * STALL + normal(rng).abs() * 0.001
                            })
                            .collect()
                    })
                    .collect()
            }
            Self::Hiccups { every_s, highest } => {
                let (mut until, mut next, mut height) = (0.0, every_s * exponential(rng), 0.0);
                let mut latency = |t: f64, rng: &mut Pcg64Mcg| {
                    while t >= next {
                        until = next + 0.3 * exponential(rng);
                        next = until + every_s * exponential(rng);
                        height = 0.2 + (highest - 0.2) * rng.random::<f64>();
                    }
                    let own = 0.05 * (0.4 * normal(rng)).exp();
                    if t < until {
                        height + 0.5 * own.min(0.1)
                    } else {
                        own
                    }
                };
                let at =
                    |second: usize, request: usize| second as f64 + request as f64 / RATE as f64;
                (0..seconds)
                    .map(|second| {
                        (0..RATE)
                            .map(|request| latency(at(second, request), rng))
                            .collect()
                    })
                    .collect()
            }
        }
    }

    /// The latency that this share of the requests exceeds, in a run that is long enough to know.
    fn threshold(self, share: f64) -> f64 {
        match self {
            Self::Independent | Self::Shared { .. } => {
                let normal = bench::stats::normal_quantile(1.0 - share);
                normal.exp()
            }
            // The response time of M/M/1 is exponential with mean busy/(1-busy), in units of 1/rate.
            Self::Queue { busy } => busy / (1.0 - busy) * (1.0 / share).ln(),
            Self::Stalls | Self::Hiccups { .. } => {
                let mut rng = Pcg64Mcg::seed_from_u64(1);
                let mut all: Vec<f64> = self.run(400_000, &mut rng).concat();
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a place in a list"
                )]
                let place = (all.len() as f64 * (1.0 - share)) as usize;
                *all.select_nth_unstable_by(place, f64::total_cmp).1
            }
        }
    }
}

/// Which thresholds the design effect is taken at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Objection {
    /// The limit of a p99, and the observed p95 and p99.
    Slower,
    /// Whether a request failed: those over the limit have, and others have no lower threshold.
    NotOk,
}

/// Windows in seconds.
const WINDOWS: [usize; 4] = [30, 60, 300, 1800];

/// False PASS and false FAIL of a gate that allows 1 % of the requests, which is the truth.
pub(crate) fn tables(objection: Objection, repetitions: u32) -> Value {
    let what = match objection {
        Objection::Slower => "Percentile",
        Objection::NotOk => "\nError-rate",
    };
    println!("{what} gates on the limit, {repetitions} runs each: false PASS/false FAIL");
    print_windows();
    let mut rows = serde_json::Map::new();
    for (name, process) in PROCESSES {
        let limit = process.threshold(ALLOWED);
        let cells = WINDOWS.map(|seconds| rates(process, limit, seconds, objection, repetitions));
        let text = cells.map(|(pass, fail)| format!("{pass:>12.3}/{fail:.3}"));
        println!("{name:15} {}", text.concat());
        rows.insert(name.to_owned(), json!(cells));
    }
    Value::Object(rows)
}

/// PASS of a p99 gate whose limit a tenth of what is allowed exceeds, and of one at five times the p99 of a quiet
/// server whose hiccups stay below 0.8 of that.
pub(crate) fn far(repetitions: u32) -> Value {
    let quiet = Process::Hiccups {
        every_s: 30.0,
        highest: 0.7,
    };
    let tenth = |process: Process| process.threshold(ALLOWED / 10.0);
    let tenths = PROCESSES.map(|(name, process)| (name, process, tenth(process)));
    let below = ("hiccups below", quiet, 5.0 * quiet.threshold(ALLOWED));
    println!("\nPercentile gates far from the limit, {repetitions} runs each: PASS");
    print_windows();
    let mut rows = serde_json::Map::new();
    for (name, process, limit) in tenths.into_iter().chain([below]) {
        let pass = |seconds| rates(process, limit, seconds, Objection::Slower, repetitions).0;
        let cells = WINDOWS.map(pass);
        let text = cells.map(|pass| format!("{pass:>18.3}"));
        println!("{name:15} {}", text.concat());
        rows.insert(name.to_owned(), json!(cells));
    }
    Value::Object(rows)
}

fn print_windows() {
    let titles = WINDOWS.map(|seconds| format!("{:>18}", format!("{seconds} s")));
    println!("{:15} {}", "", titles.concat());
}

/// How often a gate passes and fails.
fn rates(
    process: Process,
    limit: f64,
    seconds: usize,
    objection: Objection,
    repetitions: u32,
) -> (f64, f64) {
    let (mut pass, mut fail) = (0.0, 0.0);
    for seed in 0..u64::from(repetitions) {
        let mut rng = Pcg64Mcg::seed_from_u64(SEEDS + seed);
        let latencies = process.run(seconds, &mut rng);
        let bounds = bounds(&latencies, limit, AT_THE_END, (objection, false));
        pass += f64::from(u8::from(bounds.upper < ALLOWED));
        fail += f64::from(u8::from(bounds.lower > ALLOWED));
    }
    let all = f64::from(repetitions);
    (pass / all, fail / all)
}

/// From here on; the rules were found with others.
const SEEDS: u64 = 20_261_129_000;

/// PASS, FAIL and the time taken by a p99 gate of a phase of at most half an hour that ends once it is
/// decided, where this share of the requests is over the limit.
pub(crate) fn early(repetitions: u32) -> Value {
    const SECONDS: usize = 1800;
    const TRUTHS: [f64; 4] = [0.01, 0.001, 0.003, 0.03];
    println!(
        "\nEarly decision, p99, at most {SECONDS} s, {repetitions} runs each, by true share over the limit: \
         PASS/FAIL/time"
    );
    let titles = TRUTHS.map(|truth| format!("{:.1} %", truth * 100.0));
    println!(
        "{:15} {}",
        "",
        titles.map(|title| format!("{title:>20}")).concat()
    );
    let mut rows = serde_json::Map::new();
    for (name, process) in PROCESSES {
        let cells = TRUTHS.map(|truth| {
            let limit = process.threshold(truth);
            decisions(process, limit, SECONDS, repetitions)
        });
        print_row(name, &cells);
        rows.insert(name.to_owned(), json!(cells));
    }
    Value::Object(rows)
}

/// The same by how far latencies are from the limit: the true p99 is a tenth, a fifth and a half of it, and twice and
/// five times as much. Of stalls it is their mean length, as 1 % of the requests are over any limit that is shorter
/// than they are.
pub(crate) fn early_far(repetitions: u32) -> Value {
    const SECONDS: usize = 1800;
    const TRUTHS: [f64; 5] = [0.1, 0.2, 0.5, 2.0, 5.0];
    println!("\nEarly decision, by p99 in parts of the limit, {TRUTHS:?}: PASS/FAIL/time");
    let mut rows = serde_json::Map::new();
    for (name, process) in PROCESSES {
        let (name, latency, truths) = match process {
            Process::Stalls => ("stalls, by their length", STALL, &TRUTHS[..3]),
            _ => (name, process.threshold(ALLOWED), &TRUTHS[..]),
        };
        let cells = truths.iter();
        let cells: Vec<_> = cells
            .map(|truth| decisions(process, latency / truth, SECONDS, repetitions))
            .collect();
        print_row(name, &cells);
        let missing = vec![Value::Null; TRUTHS.len() - cells.len()];
        let cells = cells.into_iter().map(|cell| json!(cell));
        rows.insert(name.to_owned(), cells.chain(missing).collect());
    }
    Value::Object(rows)
}

/// The same for the queue, whose excursions are rare, in longer phases.
pub(crate) fn early_of_a_queue(repetitions: u32) -> Value {
    const HOURS: [usize; 3] = [1, 2, 4];
    const TRUTHS: [f64; 3] = [0.01, 0.001, 0.0001];
    println!(
        "\nEarly decision of a queue at 90 %, by the longest duration and the true share over the limit"
    );
    let mut rows = serde_json::Map::new();
    for hours in HOURS {
        let queue = Process::Queue { busy: 0.9 };
        let cells = TRUTHS.map(|truth| {
            let limit = queue.threshold(truth);
            decisions(queue, limit, hours * 3600, repetitions)
        });
        let name = format!("{hours} h");
        print_row(&name, &cells);
        rows.insert(name, json!(cells));
    }
    Value::Object(rows)
}

fn print_row(name: &str, cells: &[(f64, f64, f64)]) {
    let cells = cells.iter();
    let text = cells.map(|(pass, fail, time)| format!("   {pass:.3}/{fail:.3}/{time:.2}"));
    println!("{name:15} {}", text.collect::<String>());
}

/// PASS, FAIL and the time taken, each as a share.
fn decisions(process: Process, limit: f64, seconds: usize, repetitions: u32) -> (f64, f64, f64) {
    let (mut pass, mut fail, mut time) = (0.0, 0.0, 0.0);
    for seed in 0..u64::from(repetitions) {
        let mut rng = Pcg64Mcg::seed_from_u64(SEEDS + 500_000 + seed);
        let latencies = process.run(seconds, &mut rng);
        let (passed, failed, after) = decided(&latencies, limit);
        pass += f64::from(u8::from(passed));
        fail += f64::from(u8::from(failed));
        time += after as f64 / seconds as f64;
    }
    let all = f64::from(repetitions);
    (pass / all, fail / all, time / all)
}

/// Whether the gate passed, whether it failed, and after how many seconds.
fn decided(latencies: &[Vec<f64>], limit: f64) -> (bool, bool, usize) {
    let looks = Looks::new(latencies.len() as f64, ALLOWED, Sides::Both, None);
    let ends = looks.at_s().iter().map(|&at| (at, looks.at(at)));
    let ends = ends.chain([(latencies.len() as u64, Some(looks.at_the_end()))]);
    for (at, alphas) in ends {
        let at = usize::try_from(at).expect("a few hours");
        let alphas = alphas.expect("a look");
        let bounds = bounds(
            &latencies[..at],
            limit,
            alphas,
            (Objection::Slower, at < latencies.len()),
        );
        if bounds.upper < ALLOWED || bounds.lower > ALLOWED {
            return (bounds.upper < ALLOWED, bounds.lower > ALLOWED, at);
        }
    }
    (false, false, latencies.len())
}

/// What a p99 allows.
const ALLOWED: f64 = 0.01;

const AT_THE_END: Alphas = Alphas {
    pass: Some(ALPHA),
    fail: ALPHA,
};

/// Looks take the lower thresholds from so many seconds.
const WHOLE_S: usize = 60;

/// The bounds of the share over the limit, as the gate sees them.
fn bounds(
    latencies: &[Vec<f64>],
    limit: f64,
    alphas: Alphas,
    (objection, is_look): (Objection, bool),
) -> ShareBounds {
    let total: usize = latencies.iter().map(Vec::len).sum();
    let known = if is_look {
        WHOLE_S.min(latencies.len())
    } else {
        latencies.len()
    };
    let mut all = latencies[..known].concat();
    let mut at = |percent: usize| {
        let place = (all.len() * percent).div_ceil(100).saturating_sub(1);
        *all.select_nth_unstable_by(place, f64::total_cmp).1
    };
    let (p95, p99) = (at(95), at(99));
    let seconds = |threshold: f64| -> Vec<Vec<Second>> {
        let of = |second: &Vec<f64>| Second {
            requests: second.len() as u64,
            over: second
                .iter()
                .filter(|latency| **latency > threshold)
                .count() as u64,
        };
        vec![latencies.iter().map(of).collect()]
    };
    let thresholds = match objection {
        Objection::Slower => vec![seconds(limit), seconds(p95), seconds(p99)],
        Objection::NotOk => vec![seconds(limit)],
    };
    let over = thresholds[0][0].iter().map(|second| second.over).sum();
    let counted = Counted {
        at_most: over,
        at_least: over,
        total: total as u64,
        open: 0,
    };
    let reserve = (objection == Objection::Slower).then(|| {
        let near = seconds(limit * NEAR);
        Reserve {
            bursts: Bursts::of(&near, quiet_s(thresholds.len())),
            near,
            lower: seconds(p95),
            height: p95 / limit,
        }
    });
    let evidence = Evidence {
        is_look,
        reserve,
        ..Evidence::of(thresholds)
    };
    share_bounds(&evidence, counted, alphas).expect("many seconds")
}
