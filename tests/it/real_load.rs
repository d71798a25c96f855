//! The engine as it measures: threads, timers of the kernel and real sockets.
//!
//! A machine that runs tests is busy, so that nothing here rests on how punctual it is: bounds are wide,
//! truths are lower limits, and of several tries the quietest counts.

use crate::support::program::Bench;
use crate::support::tcp::{Manner, Tcp};
use crate::support::{plan_with, run_on_threads};
use bench::gate::LatencyKind;
use bench::record::{Distribution as _, Doubt, Instrument, Outcome};
use std::time::{Duration, Instant};

fn scenario(server: &Tcp, phase: &str) -> String {
    format!(
        "name = \"real\"\n[target]\nurl = \"{}\"\ntimeout = \"5s\"\n[request.get]\npath = \"/\"\n\
         [[phase]]\nname = \"p\"\n{phase}\n",
        server.url()
    )
}

/// Variance over mean of the counts in windows: 0 for even spacing, 1 for Poisson.
fn dispersion(arrivals: &[Instant], window: Duration) -> f64 {
    let first = arrivals[0];
    let place = |at: &Instant| {
        usize::try_from(at.duration_since(first).as_nanos() / window.as_nanos()).unwrap()
    };
    // The last window is rarely whole.
    let windows = place(arrivals.last().unwrap());
    let mut counts = vec![0_u32; windows + 1];
    arrivals.iter().for_each(|at| counts[place(at)] += 1);
    counts.truncate(windows);
    let mean = counts.iter().map(|&count| f64::from(count)).sum::<f64>() / windows as f64;
    let square = |&count: &u32| (f64::from(count) - mean).powi(2);
    counts.iter().map(square).sum::<f64>() / windows as f64 / mean
}

/// The indices of dispersion at the server over windows of 10 ms, of runs of two seconds at 1000 requests a
/// second, until one is as wanted or there were enough.
fn dispersions(arrival: &str, is_as_wanted: impl Fn(f64) -> bool) -> Vec<f64> {
    let mut seen = Vec::new();
    for _ in 0..15 {
        let server = Tcp::serve(Manner::Answer(200, b"ok".to_vec(), Duration::ZERO));
        let phase = format!("rate = 1000\narrival = \"{arrival}\"\nduration = \"2s\"");
        let plan = plan_with(&scenario(&server, &phase), 2, &[]);
        let record = run_on_threads(&plan, Vec::new());
        let arrivals = server.arrivals();
        assert_eq!(record.phases[0].total.planned, arrivals.len() as u64);
        let index = dispersion(&arrivals, Duration::from_millis(10));
        seen.push(index);
        if is_as_wanted(index) {
            break;
        }
    }
    seen
}

#[test]
fn a_constant_rate_is_even_at_the_server() {
    let even = |index: f64| index < 0.5;
    let seen = dispersions("constant", even);
    assert!(even(*seen.last().unwrap()), "{seen:?}");
}

#[test]
fn poisson_arrivals_are_as_uneven_as_poisson_at_the_server() {
    // 200 windows: the index has a standard error of sqrt(2 / 200) = 0.1.
    let poisson = |index: f64| (0.6..1.6).contains(&index);
    let seen = dispersions("poisson", poisson);
    assert!(poisson(*seen.last().unwrap()), "{seen:?}");
}

#[test]
fn a_freeze_on_a_real_socket_is_seen_by_all_that_fell_into_it() {
    let (from, length) = (Duration::from_secs(1), Duration::from_secs(1));
    let server = Tcp::serve(Manner::Freeze(from, length));
    let plan = plan_with(&scenario(&server, "rate = 200\nduration = \"4s\""), 2, &[]);
    let record = run_on_threads(&plan, Vec::new());
    let phase = &record.phases[0];
    assert_eq!(phase.total.outcomes.of(Outcome::Ok), 800);
    // One in four falls into the freeze and waits for what is left of it: 1 s to 0 s, evenly. A late
    // machine makes latencies longer and never shorter. The server's freeze counts from its first
    // request, which may itself be late.
    let response = phase.latencies(LatencyKind::Response);
    let late_ms = 20.0;
    for quantile in [0.8, 0.85, 0.9, 0.95, 0.99] {
        let truth_ms = 1000.0 * (quantile - 0.75) / 0.25;
        let value_ms = response.quantile_ns(quantile).unwrap() as f64 / 1e6;
        assert!(
            value_ms > truth_ms - late_ms && value_ms < truth_ms + 1000.0,
            "{quantile}: {value_ms} ms, truth {truth_ms} ms"
        );
    }
    // Each arrival that the schedule planned came, also during the freeze.
    assert_eq!(server.requests(), 800);
}

#[test]
fn the_generator_knows_how_long_its_tasks_wait() {
    let server = Tcp::serve(Manner::Answer(200, b"ok".to_vec(), Duration::ZERO));
    let plan = plan_with(
        &scenario(&server, "concurrency = 8\nduration = \"2s\""),
        2,
        &[],
    );
    let mut probes: Vec<Box<dyn bench::engine::ports::Probe>> = Vec::new();
    if let Ok(probe) = bench::telemetry::generator_source(2, &[server.address]) {
        probes.push(Box::new(probe));
    }
    let record = run_on_threads(&plan, probes);
    let phase = &record.phases[0];
    let seen = Instrument::of(&record, phase);
    // Every 5 ms on two workers, less what a busy machine leaves out.
    assert!(
        phase.loop_delay.count() > 100,
        "{}",
        phase.loop_delay.count()
    );
    assert!(seen.loop_delay_p99_ns.is_some_and(|ns| ns > 0));
    // Eight requests in flight by counting, and no more with the target than that.
    assert!((seen.in_flight - 8.0).abs() < 0.5, "{}", seen.in_flight);
    assert!(seen.at_target.is_none_or(|at_target| at_target <= 8.1));
    if cfg!(target_os = "linux") {
        assert!(seen.worker_cpu.is_some_and(|cpu| cpu > 0.0 && cpu <= 1.0));
        assert!(seen.worker_wait.is_some_and(|wait| wait <= 1.0));
        assert!(
            seen.descriptors
                .is_some_and(|used| used > 0.0 && used < 1.0)
        );
        // Ports are counted once in a while, which may be before the first of a worker that has to wait.
        let is_quiet = seen.worker_wait.is_some_and(|wait| wait < 0.3);
        assert!(
            seen.ports
                .is_some_and(|used| used < 0.01 && (used > 0.0 || !is_quiet)),
            "{seen:?}"
        );
    }
}

#[test]
fn a_generator_that_cannot_keep_up_blames_itself() {
    // No worker sends so many a second; what it cannot send is in the books all the same.
    let server = Tcp::serve(Manner::Answer(200, b"ok".to_vec(), Duration::ZERO));
    let phase = "rate = 150000\nduration = \"6s\"\nmax_in_flight = 20\ndrain = \"100ms\"\n\
                 gates = [\"response.p99 < 10ms\", \"error_rate < 1%\", \"throughput > 140000/s\"]";
    let bench = Bench::with(&scenario(&server, phase));
    let said = bench
        .run(&["run", "scenario.toml", "--workers=1", "--quiet"])
        .exits(3);
    assert!(said.last_line().starts_with("INCONCLUSIVE: 0 of 3"));
    assert!(
        said.stdout.contains("the generator was the bottleneck"),
        "{}",
        said.stdout
    );
    let record = bench.run_json();
    for gate in record["gates"].as_array().unwrap() {
        assert_eq!(gate["verdict"], "INCONCLUSIVE", "{gate}");
        let reason = gate["reason"].as_str().unwrap();
        assert!(
            reason.starts_with("the generator was the bottleneck: "),
            "{reason}"
        );
        assert!(reason.contains("more cores"), "{reason}");
    }
    let requests = &record["phases"][0]["requests"];
    assert_eq!(requests["planned"], 900_000);
    let ends = |name: &str| requests[name].as_u64().unwrap();
    let ended = ends("ok") + ends("failed") + ends("timed_out") + ends("in_flight_at_end");
    assert_eq!(ended, 900_000);
}

#[test]
fn each_doubt_about_the_generator_says_what_to_do() {
    let doubts = [
        Doubt::GeneratorBusy {
            phase: 0,
            busy: 0.95,
        },
        Doubt::GeneratorDelayed {
            phase: 0,
            delay_p99_ns: 9_000_000,
        },
        Doubt::GeneratorStarved {
            phase: 0,
            waited: 0.6,
        },
        Doubt::CpuStolen {
            phase: 0,
            stolen: 0.3,
        },
        Doubt::GeneratorHolds {
            phase: 0,
            in_flight: 100.0,
            at_target: 10.0,
            held_ns: 9_000_000,
        },
        Doubt::GeneratorLate {
            phase: 0,
            lag_p99_ns: 9_000_000,
            limit_ns: 5_000_000,
        },
        Doubt::GeneratorShort {
            phase: 0,
            planned: 10,
            unsent: 5,
        },
    ];
    for doubt in doubts {
        let text = doubt.to_string();
        assert!(doubt.undermines_requests(), "{text}");
        assert!(
            text.starts_with("the generator was the bottleneck: "),
            "{text}"
        );
        assert!(text.contains("; "), "{text}");
    }
}
