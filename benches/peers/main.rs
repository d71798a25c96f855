//! `cargo bench --bench peers`: this program beside other load generators, in one run.
//!
//! One server of ours, a process of its own on its own core; each generator on one other core, one
//! after the other, again and again, so that what the machine does to one it does to all. Medians of
//! ratios, not absolute numbers. `benches/README.md` says how to get the peers.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement that cannot go on should say where; it prints, and times real processes"
)]

#[cfg(target_os = "linux")]
mod generators;
#[cfg(target_os = "linux")]
mod http2_server;
#[cfg(target_os = "linux")]
mod measure;
#[cfg(target_os = "linux")]
mod place;
#[cfg(target_os = "linux")]
mod server;
#[cfg(target_os = "linux")]
mod table;
#[cfg(target_os = "linux")]
mod wrk;

#[cfg(target_os = "linux")]
use generators::Generator;
#[cfg(target_os = "linux")]
use measure::{Load, Running};
#[cfg(target_os = "linux")]
use place::Place;

#[cfg(not(target_os = "linux"))]
fn main() {
    println!(
        "peers are compared on Linux only: the measurement needs its core pinning and receive timestamps"
    );
}

/// What to measure; all of it can be set from outside.
#[cfg(target_os = "linux")]
struct Settings {
    connections: Vec<u32>,
    /// Connections and streams on each, over HTTP/2.
    http2: Vec<(u32, u32)>,
    repetitions: usize,
    seconds: u64,
}

#[cfg(target_os = "linux")]
impl Settings {
    fn from_environment() -> Self {
        let number = |name: &str, fallback: u64| {
            std::env::var(name)
                .ok()
                .map_or(fallback, |text| text.parse().expect("a whole number"))
        };
        let connections = std::env::var("PEERS_CONNECTIONS").unwrap_or("100,1000".to_owned());
        Self {
            connections: connections
                .split(',')
                .filter(|text| !text.is_empty())
                .map(|text| text.trim().parse().expect("numbers with commas between"))
                .collect(),
            http2: std::env::var("PEERS_HTTP2")
                .unwrap_or("1x100,10x10,100x1,100x10".to_owned())
                .split(',')
                .filter(|text| !text.is_empty())
                .map(|text| {
                    let (connections, streams) = text.split_once('x').expect("such as 10x100");
                    (
                        connections.trim().parse().expect("a number"),
                        streams.trim().parse().expect("a number"),
                    )
                })
                .collect(),
            repetitions: usize::try_from(number("PEERS_REPETITIONS", 5)).unwrap(),
            seconds: number("PEERS_SECONDS", 3),
        }
    }
}

#[cfg(target_os = "linux")]
fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, role, core, delay_us] = arguments.as_slice()
        && role == "--serve"
    {
        let delay_us = delay_us.parse().unwrap();
        server::serve(core.parse().unwrap(), delay_us, delay_us > 0);
    }
    if let [_, role, core, _] = arguments.as_slice()
        && role == "--serve-http2"
    {
        http2_server::serve(core.parse().unwrap());
    }
    let settings = Settings::from_environment();
    let place = Place::choose();
    println!("{place}");
    let generators = Generator::found();
    for missing in Generator::missing() {
        println!("not on PATH, left out: {missing}");
    }
    let mut results = Vec::new();
    for &connections in &settings.connections {
        for repetition in 0..settings.repetitions {
            for generator in &generators {
                let load = Load {
                    connections,
                    streams: None,
                    seconds: settings.seconds,
                    delay_us: 0,
                };
                results.push(Running::measure(*generator, load, &place, repetition));
            }
        }
    }
    table::throughput(&results, "wrk");
    let mut http2 = Vec::new();
    for &(connections, streams) in &settings.http2 {
        for repetition in 0..settings.repetitions {
            for generator in generators.iter().filter(|one| one.speaks_http2()) {
                let load = Load {
                    connections,
                    streams: Some(streams),
                    seconds: settings.seconds,
                    delay_us: 0,
                };
                http2.push(Running::measure(*generator, load, &place, repetition));
            }
        }
    }
    table::throughput(&http2, "h2load");
    let mut truths = Vec::new();
    let is_http1_wanted = !settings.connections.is_empty();
    for repetition in (0..settings.repetitions).filter(|_| is_http1_wanted) {
        let load = Load {
            connections: 1000,
            streams: None,
            seconds: settings.seconds,
            delay_us: 5000,
        };
        for generator in generators
            .iter()
            .filter(|generator| generator.tells_latency())
        {
            truths.push(Running::measure(*generator, load, &place, repetition));
        }
    }
    if is_http1_wanted {
        table::truth(&truths);
    }
    let path = table::write_json(&place, &results, &http2, &truths);
    println!("written to {}", path.display());
}
