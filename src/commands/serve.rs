//! `bench serve`: the reference inference API.

use super::Output;
use super::child::Ready;
use super::input::CommandError;
use super::signals;
use crate::record::ServiceCompute;
use crate::reference::{self, Compute, Server, Truth};
use crate::scenario::ReferenceOptions;
use crate::store;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// How the server is run.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// How the API behaves.
    pub reference: ReferenceOptions,
    /// Where to write what the server did, every second and at the end.
    pub truth: Option<PathBuf>,
    /// Whether to end when stdin closes, as a child process does.
    pub until_stdin_closes: bool,
}

/// Serves until it is told to stop.
///
/// # Errors
/// When the address cannot be listened on.
pub fn serve(options: &ServeOptions, output: Output) -> Result<(), CommandError> {
    // One thread: handing such small requests from thread to thread costs more than it gains.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::setup(format!("cannot start a runtime: {error}"), ""))?;
    runtime.block_on(serve_until_stopped(options, output))
}

async fn serve_until_stopped(options: &ServeOptions, output: Output) -> Result<(), CommandError> {
    let listener = reference::bind(options.address).map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "choose another port with --port, or 0 for any free one"
            }
            std::io::ErrorKind::PermissionDenied => {
                "ports below 1024 need privileges: choose a higher one"
            }
            _ => "",
        };
        CommandError::setup(
            format!("cannot listen on {}: {error}", options.address),
            hint,
        )
    })?;
    let listening = listener
        .local_addr()
        .map_err(|error| CommandError::setup(format!("cannot listen: {error}"), ""))?;
    let compute = Compute::open(&options.reference).map_err(|reason| {
        CommandError::setup(
            format!("cannot compute on a GPU: {reason}"),
            "with --backend cpu, or auto, the CPU computes",
        )
    })?;
    let ready = Ready {
        listening,
        compute: Some(compute.info().clone()),
    };
    let server = Server::start_on(&options.reference, compute);
    let said = ready
        .compute
        .as_ref()
        .map(ServiceCompute::describe)
        .unwrap_or_default();
    let ready = serde_json::to_string(&ready).unwrap_or_default();
    output.result(&format!("{ready}\n"));
    output.say(&format!(
        "reference API on http://{listening}; Ctrl-C ends it"
    ));
    output.say(&said);
    if options.reference.misbehaves() {
        let told = options.reference.describe_misbehaviour();
        output.say(&format!("told to misbehave: {told}"));
    }
    let writer = options.truth.clone().map(|path| {
        let server = server.clone();
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_secs(1));
            loop {
                ticks.tick().await;
                // The final one decides; a full disk in between is reported then.
                let _ = write_truth(&path, &server.truth());
            }
        })
    });
    let until_stdin_closes = options.until_stdin_closes;
    let stopped = async move {
        if until_stdin_closes {
            tokio::select! {
                () = stdin_closed() => {}
                () = signals::next_signal() => {}
            }
        } else {
            signals::next_signal().await;
        }
    };
    let served = reference::serve(&server, listener, stopped).await;
    if let Some(writer) = writer {
        writer.abort();
    }
    if let Some(path) = &options.truth {
        write_truth(path, &server.truth())?;
    }
    served.map_err(|error| CommandError::setup(format!("the server broke: {error}"), ""))
}

/// Waits until nobody can write to stdin any more, as happens when the parent ends.
pub(super) async fn stdin_closed() {
    let mut stdin = tokio::io::stdin();
    let mut buffer = [0; 64];
    while !matches!(stdin.read(&mut buffer).await, Ok(0) | Err(_)) {}
}

fn write_truth(path: &Path, truth: &Truth) -> Result<(), CommandError> {
    let text = serde_json::to_vec_pretty(truth).unwrap_or_default();
    store::write_file(path, &text)
        .map_err(|error| CommandError::setup(error.to_string(), "choose another --truth"))
}
