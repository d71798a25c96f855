//! `bench null-server`: the child that `bench calibrate` measures against.

use super::Output;
use super::child::Ready;
use super::input::CommandError;
use super::serve::stdin_closed;
use crate::record::TrafficKind;
use crate::reference;
use std::net::{Ipv4Addr, SocketAddr};

/// Answers on a free loopback port until stdin closes.
///
/// # Errors
/// When it cannot listen.
pub fn null_server(threads: usize, kind: TrafficKind, output: Output) -> Result<(), CommandError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listening = reference::start_null(address, threads, kind)
        .map_err(|error| CommandError::setup(format!("cannot listen: {error}"), ""))?;
    let ready = serde_json::to_string(&Ready {
        listening,
        compute: None,
    })
    .unwrap_or_default();
    output.result(&format!("{ready}\n"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::setup(format!("cannot start a runtime: {error}"), ""))?;
    runtime.block_on(stdin_closed());
    // The read of stdin sits on a thread of its own; nothing waits for it.
    runtime.shutdown_background();
    Ok(())
}
