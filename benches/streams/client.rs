//! Holds all streams on one thread and compares every stamp with the server's account.

use super::Load;
use super::place::{Place, pin_self};
use bench::diag::SourceText;
use bench::engine::ports::{Call, Client, Exchange, RunClock, Slot, Target};
use bench::http::{HttpTarget, TcpConnect};
use bench::plan::{self, Captured, Facts, Plan, TargetAddress};
use bench::record::Outcome;
use bench::scenario::{self, Lookup};
use hdrhistogram::Histogram;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use std::cell::Cell;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;
use tokio::runtime::LocalOptions;

struct NoLookup;

impl Lookup for NoLookup {
    fn variable(&self, _name: &str) -> Option<String> {
        None
    }

    fn file(&self, path: &str) -> Result<String, String> {
        Err(path.to_owned())
    }
}

fn plan(port: u16, streams: usize) -> Plan {
    let text = format!(
        "name = \"streams\"\n[target]\nurl = \"http://127.0.0.1:{port}\"\ntimeout = \"120s\"\n\
         [request.chat]\npath = \"/stream/{{{{number}}}}\"\nstream = \"sse\"\nshape = \"openai-chat\"\n\
         expect = {{ ends_with = [\"done\"] }}\n\
         [[phase]]\nname = \"p\"\nconcurrency = {streams}\nduration = \"60s\"\n"
    );
    let source = SourceText::new("streams", text);
    let (scenario, found) = scenario::parse(&source, &NoLookup);
    assert!(found.is_empty(), "{found}");
    let facts = Facts {
        cores: 1,
        ..Facts::default()
    };
    plan::compile(&scenario, &facts, 1).unwrap_or_else(|found| panic!("{found}"))
}

pub(crate) fn measure(load: Load, place: Place) {
    let folder = tempfile::tempdir().unwrap();
    let times = folder.path().join("times");
    bench::telemetry::raise_descriptors(load.streams as u64 + 100).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("--serve")
        .args([
            place.server_core.to_string(),
            load.streams.to_string(),
            load.events.to_string(),
            load.gap_ns.to_string(),
        ])
        .arg(&times)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let plan = plan(line.trim().parse().unwrap(), load.streams);
    pin_self(place.client_core);
    let cpu_from = cpu_time();
    let (exchanges, origin_ns) = receive(&plan, load.streams);
    let cpu = cpu_time().saturating_sub(cpu_from);
    assert!(child.wait().unwrap().success());
    report(load, &exchanges, origin_ns, cpu, &times);
}

/// All streams at once, on one thread with a runtime like a worker's; and when their clock started, on the
/// one that the server reads.
fn receive(plan: &Plan, streams: usize) -> (Vec<Exchange>, u64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .event_interval(16)
        .build_local(LocalOptions::default())
        .unwrap();
    runtime.block_on(async {
        let clock = RunClock::start();
        let origin_ns = clock.origin_of_kernel_ns().expect("it is read by itself");
        let TargetAddress::Http(url) = &plan.target.address else {
            panic!("the target is a URL");
        };
        let connect = TcpConnect::resolve(&url.host, url.port).await.unwrap();
        let client = HttpTarget::new(plan, url, connect).unwrap().client();
        let events = Rc::new(Cell::new(0));
        let tasks: Vec<_> = (0..streams as u64)
            .map(|number| {
                let mut slot = client.open();
                let events = Rc::clone(&events);
                tokio::task::spawn_local(async move {
                    slot.exchange(Call {
                        request: 0,
                        number,
                        random: &mut Pcg64Mcg::seed_from_u64(number),
                        deadline_ns: 120_000_000_000,
                        clock,
                        token_events: &events,
                        captured: &mut Captured::nothing(),
                    })
                    .await
                })
            })
            .collect();
        let mut exchanges = Vec::with_capacity(streams);
        for task in tasks {
            exchanges.push(task.await.unwrap());
        }
        (exchanges, origin_ns)
    })
}

fn report(load: Load, exchanges: &[Exchange], origin_ns: u64, cpu: Duration, times: &Path) {
    let sent: Vec<u64> = std::fs::read(times)
        .unwrap()
        .chunks_exact(8)
        .map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
        .collect();
    let mut lag: Histogram<u64> = Histogram::new(3).unwrap();
    let (mut stamped, mut early, mut failed) = (0, 0, 0);
    for (exchange, sent) in exchanges.iter().zip(sent.chunks_exact(load.events)) {
        failed += usize::from(exchange.outcome != Outcome::Ok);
        let stream = exchange.stream.as_ref().expect("an answer came");
        let Some(first) = stream.first_received_ns else {
            continue;
        };
        let mut at = origin_ns + first;
        let stamps = std::iter::once(at).chain(stream.gaps_ns.iter().map(|gap| {
            at += gap;
            at
        }));
        for (stamp, sent) in stamps.zip(sent) {
            stamped += 1;
            early += usize::from(stamp < *sent);
            lag.record(stamp.saturating_sub(*sent).max(1)).unwrap();
        }
    }
    let planned = load.streams * load.events;
    let length = (sent.iter().max().unwrap() - sent.iter().min().unwrap()) as f64 / 1e9;
    let us = |quantile: f64| lag.value_at_quantile(quantile) as f64 / 1000.0;
    println!(
        "{} streams, {:.0} events/s sent: {stamped} of {planned} events stamped, {failed} streams failed, \
         stamp after send p50 {:.1} µs p99 {:.1} µs p99.9 {:.1} µs max {:.0} µs ({early} before it), \
         client CPU {:.0} % of a core, {:.1} µs an event",
        load.streams,
        planned as f64 / length,
        us(0.5),
        us(0.99),
        us(0.999),
        lag.max() as f64 / 1000.0,
        100.0 * cpu.as_secs_f64() / length,
        cpu.as_secs_f64() * 1e6 / planned as f64,
    );
}

/// User and system time of this process.
fn cpu_time() -> Duration {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID)
        .unwrap()
        .into()
}
