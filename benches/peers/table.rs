//! Medians and ratios, as a table and as JSON.

use super::measure::{Load, Running};
use super::place::Place;
use std::path::PathBuf;

fn median(mut values: Vec<f64>) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

/// The generators that were run, in their order.
fn generators(results: &[Running]) -> Vec<&'static str> {
    let mut names = Vec::new();
    for result in results {
        if !names.contains(&result.generator) {
            names.push(result.generator);
        }
    }
    names
}

/// Ratios are taken within each repetition and then summed up: between repetitions the machine changes.
fn ratio(results: &[&Running], name: &str, to: &str, of: fn(&Running) -> f64) -> f64 {
    let ratios = results
        .iter()
        .filter(|one| one.generator == name)
        .filter_map(|one| {
            let other = results
                .iter()
                .find(|other| other.generator == to && other.repetition == one.repetition)?;
            Some(of(one) / of(other))
        });
    median(ratios.collect())
}

/// What every load came to, beside the peer that is the measure.
pub(crate) fn throughput(results: &[Running], peer: &str) {
    let mut loads: Vec<Load> = results.iter().map(|one| one.load).collect();
    loads.dedup();
    for load in loads {
        let here: Vec<&Running> = results.iter().filter(|one| one.load == load).collect();
        let connections = load.connections;
        match load.streams {
            None => println!("\nPOST of 512 B, {connections} connections, medians"),
            Some(streams) => println!(
                "\nPOST of 512 B over HTTP/2, {connections} connections of {streams} streams, medians"
            ),
        }
        println!(
            "generator        req/s  ÷ {peer:<6} us/req  ÷ {peer:<6} peak RSS MiB  server busy"
        );
        for name in generators(results) {
            let of = |what: fn(&Running) -> f64| {
                median(
                    here.iter()
                        .filter(|one| one.generator == name)
                        .map(|one| what(one))
                        .collect(),
                )
            };
            println!(
                "{name:<13} {:>8.0} {:>8.2} {:>8.2} {:>8.2} {:>10.1} {:>12.2}",
                of(|one| one.requests_per_second),
                ratio(&here, name, peer, |one| one.requests_per_second),
                of(|one| one.cpu_us_per_request),
                ratio(&here, name, peer, |one| one.cpu_us_per_request),
                of(|one| one.peak_rss_mib),
                of(|one| one.server_busy),
            );
        }
    }
}

pub(crate) fn truth(results: &[Running]) {
    println!("\nTruth under saturation: the server keeps every request for 5 ms, 1000 connections");
    println!("generator  truth p50/p99 ms   it says p50/p99 ms   said ÷ truth p50/p99");
    for name in generators(results) {
        let of = |what: &dyn Fn(&Running) -> Option<f64>| {
            median(
                results
                    .iter()
                    .filter(|one| one.generator == name)
                    .filter_map(what)
                    .collect(),
            )
        };
        println!(
            "{name:<9} {:>8.2} / {:>6.2} {:>10.2} / {:>6.2} {:>12.2} / {:>5.2}",
            of(&|one| one.truth_p50_ms),
            of(&|one| one.truth_p99_ms),
            of(&|one| one.said_p50_ms),
            of(&|one| one.said_p99_ms),
            of(&|one| Some(one.said_p50_ms? / one.truth_p50_ms?)),
            of(&|one| Some(one.said_p99_ms? / one.truth_p99_ms?)),
        );
    }
}

/// Everything that was measured, beside the build.
pub(crate) fn write_json(
    place: &Place,
    results: &[Running],
    http2: &[Running],
    truths: &[Running],
) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("peers.json");
    let everything = serde_json::json!({
        "place": place,
        "throughput": results,
        "http2": http2,
        "truth": truths,
    });
    std::fs::write(&path, serde_json::to_string_pretty(&everything).unwrap()).unwrap();
    path
}
