//! The service as its clients see it: real HTTP over connections in memory, in virtual time.
//!
//! Times are asserted exactly where the server promises them exactly. Sockets and threads have
//! their own, few, tests.

mod access;
mod chat;
mod client;
mod inference;
mod jobs;
mod misbehaviour;
mod observability;
mod sockets;

use crate::scenario::{Delay, ReferenceOptions, Stall};
use client::{Reply, Service};
use serde_json::{Value, json};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// A healthy service whose backend takes no time, so that all time is somebody else's.
fn immediate() -> ReferenceOptions {
    ReferenceOptions {
        max_wait: Duration::ZERO,
        step_time: Duration::ZERO,
        ..ReferenceOptions::default()
    }
}

/// Inputs that differ from number to number.
fn inputs(number: usize) -> Vec<f32> {
    (0..super::INPUTS)
        .map(|index| ((number * 5 + index * 3) % 13) as f32 / 4.0 - 1.5)
        .collect()
}

fn ask(number: usize) -> Value {
    json!({ "model": super::MODEL, "inputs": inputs(number) })
}

/// The answer to [`ask`] as it stands in JSON, where numbers have the digits of their 32 bits.
fn outputs(number: usize) -> Value {
    let text = serde_json::to_string(&super::answer(&inputs(number)));
    serde_json::from_str(&text.expect("an answer is JSON")).expect("what was JSON is JSON")
}
