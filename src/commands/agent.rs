//! `bench agent`: this host's GPUs, for runs that are driven from another host.

use super::input::CommandError;
use super::{Output, signals};
use crate::scenario::{GpuSource, Telemetry};
use crate::telemetry::{self, Agent, AgentHost, Sources};
use serde_json::json;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpListener;

/// How the agent is run.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The distance between two samples of the GPUs.
    pub interval: Duration,
    /// The token that readers must show.
    pub token: Option<String>,
    /// Whether anybody may read without one, from other hosts too.
    pub open: bool,
    /// A driver library to be used instead of the system's.
    pub nvml_library: Option<PathBuf>,
}

/// Serves until it is told to stop. A host without a GPU is served all the same: `/status` and the page
/// say why there is none.
///
/// # Errors
/// When the address cannot be listened on, or would be open to other hosts without a token.
pub fn agent(options: &AgentOptions, output: Output) -> Result<(), CommandError> {
    if options.token.is_none() && !options.open && !options.listen.ip().is_loopback() {
        return Err(CommandError::setup(
            format!(
                "{} can be reached from other hosts, and no token is set",
                options.listen
            ),
            "set BENCH_AGENT_TOKEN or --token-file, or say --open if anybody may read",
        ));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::setup(format!("cannot start a runtime: {error}"), ""))?;
    runtime.block_on(serve(options, output))
}

async fn serve(options: &AgentOptions, output: Output) -> Result<(), CommandError> {
    let cannot = |error: std::io::Error| {
        CommandError::setup(
            format!("cannot listen on {}: {error}", options.listen),
            "choose another address with --listen; port 0 takes a free one",
        )
    };
    let listener = TcpListener::bind(options.listen).await.map_err(cannot)?;
    let listening = listener.local_addr().map_err(cannot)?;
    let agent = start(options, output);
    output.result(&format!("{}\n", json!({ "listening": listening })));
    output.say(&format!(
        "agent on http://{listening}/metrics; Ctrl-C ends it"
    ));
    let router = telemetry::agent_router(agent, options.token.as_deref());
    tokio::select! {
        served = axum::serve(listener, router) => served.map_err(cannot),
        // Streams have no end of their own to wait for.
        () = signals::next_signal() => Ok(()),
    }
}

fn start(options: &AgentOptions, output: Output) -> Agent {
    let library = options.nvml_library.as_ref();
    let wanted = Telemetry {
        gpu: GpuSource::Nvml(library.map(|path| path.display().to_string())),
        gpu_interval: options.interval,
        ..Telemetry::default()
    };
    let mut sources = Sources::default();
    let gpu = telemetry::gpu_source(&wanted, true);
    let (driver, gpus) = gpu.as_ref().map_or((None, Vec::new()), |probe| {
        let nvml = probe.nvml();
        (Some(nvml.driver().to_owned()), nvml.gpus().to_vec())
    });
    sources.add_gpus(gpu);
    sources.add(telemetry::host_source(Path::new(".")));
    for absent in &sources.absent {
        if let crate::record::SourceState::Unavailable(reason) = &absent.state {
            output.warn(&format!("warning: no {} telemetry: {reason}", absent.name));
        }
    }
    let environment = telemetry::environment(Path::new("."), driver.clone(), gpus.clone());
    let host = AgentHost {
        name: environment.host,
        driver,
        gpus,
    };
    Agent::start(host, sources.present, sources.absent)
}
