//! `cargo bench --bench streams`: many paced streams at once, every event stamped.
//!
//! A server of ours on the first core sends events at known times; on the last core, one thread holds
//! all streams with the slots of the engine. Both read the same monotonic clock, so that each stamp can
//! be set against the moment at which its event was handed to the kernel.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement that cannot go on should say where; it prints, and times real processes"
)]

#[cfg(target_os = "linux")]
mod client;
#[cfg(target_os = "linux")]
#[path = "../peers/place.rs"]
mod place;
#[cfg(target_os = "linux")]
mod server;

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("streams are measured on Linux only: it needs core pinning and receive timestamps");
}

/// What is sent.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy, Debug)]
struct Load {
    streams: usize,
    /// Events of each stream.
    events: usize,
    /// Nanoseconds between two events of one stream.
    gap_ns: u64,
}

#[cfg(target_os = "linux")]
fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |text: &String| text.parse().expect("a whole number");
    if let [_, role, core, streams, events, gap_ns, times] = arguments.as_slice()
        && role == "--serve"
    {
        place::pin_self(core.parse().unwrap());
        let load = Load {
            streams: streams.parse().unwrap(),
            events: events.parse().unwrap(),
            gap_ns: number(gap_ns),
        };
        return server::serve(load, times);
    }
    let setting = |name: &str, fallback: u64| -> u64 {
        std::env::var(name).map_or(fallback, |text| number(&text))
    };
    let streams = setting("STREAMS", 1000);
    let seconds = setting("STREAMS_SECONDS", 5);
    let rate = setting("STREAMS_EVENTS_PER_SECOND", 50_000);
    let load = Load {
        streams: usize::try_from(streams).unwrap(),
        events: usize::try_from(rate * seconds / streams).unwrap(),
        gap_ns: 1_000_000_000 * streams / rate,
    };
    let place = place::Place::choose();
    println!("{place}");
    for _ in 0..setting("STREAMS_REPETITIONS", 3) {
        client::measure(load, place);
    }
}
