//! `cargo bench --bench pacing`: how punctually an open loop sends, and how evenly it arrives.
//!
//! `bench` on the last core, a server of ours on the first; lateness by `bench` itself, evenness by the
//! kernel's stamps at the server. wrk2 beside it, where it is on `PATH` under that name: by how much its latency
//! grows where it counts from when a request should have left.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement that cannot go on should say where; it prints, and times real processes"
)]

#[cfg(target_os = "linux")]
mod measure;
#[cfg(target_os = "linux")]
#[path = "../peers/place.rs"]
mod place;
#[cfg(target_os = "linux")]
#[path = "../peers/server.rs"]
mod server;
#[cfg(target_os = "linux")]
#[path = "../peers/wrk.rs"]
mod wrk;

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("pacing is measured on Linux only: it needs core pinning and receive timestamps");
}

#[cfg(target_os = "linux")]
fn main() {
    use measure::{Load, Sender, table};
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, role, core] = arguments.as_slice()
        && role == "--serve"
    {
        server::serve(core.parse().unwrap(), 0, true);
    }
    let number = |name: &str, fallback: u64| -> u64 {
        std::env::var(name).map_or(fallback, |text| text.parse().expect("a whole number"))
    };
    let seconds = number("PACING_SECONDS", 5);
    let repetitions = number("PACING_REPETITIONS", 3);
    let place = place::Place::choose();
    println!("{place}");
    let load = |sender: Sender, rate: u32, poisson: bool, precise: bool| Load {
        sender,
        rate,
        poisson,
        precise,
    };
    let mut loads = vec![
        load(Sender::Bench, 1000, false, false),
        load(Sender::Bench, 10_000, false, false),
        load(Sender::Bench, 10_000, false, true),
        load(Sender::Bench, 10_000, true, false),
    ];
    if Sender::Wrk2.is_there() {
        loads.push(load(Sender::Wrk2, 1000, false, false));
        loads.push(load(Sender::Wrk2, 10_000, false, false));
    } else {
        println!("not on PATH, left out: wrk2");
    }
    let mut results = Vec::new();
    for repetition in 0..repetitions {
        for load in &loads {
            results.push(load.measure(place, seconds, repetition));
        }
    }
    table(&loads, &results);
    let path = measure::write_json(place, &results);
    println!("written to {}", path.display());
}
