//! Servers as child processes: the reference API, for runs whose target is `reference`, and the one that
//! does nothing but answer, for `bench calibrate`.

use super::input::CommandError;
use crate::record::{ServiceCompute, TrafficKind};
use crate::scenario::ReferenceOptions;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// The one line that a server prints on stdout when it is ready.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ready {
    /// Where it listens.
    pub(super) listening: SocketAddr,
    /// What computes its answers, where it computes any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) compute: Option<ServiceCompute>,
}

/// A running server. It ends when its stdin closes, so that it does not outlive this process,
/// however that ends.
#[derive(Debug)]
pub(super) struct ServerChild {
    child: Child,
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// What computes its answers.
    pub(super) compute: Option<ServiceCompute>,
}

/// How long the child may take to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to listen: a model is brought to a GPU first.
const PREPARATION: Duration = Duration::from_mins(1);

impl ServerChild {
    /// Starts `bench serve` on a free loopback port; what it did is written to `truth`.
    ///
    /// # Errors
    /// When it cannot be started or does not listen in time.
    pub(super) async fn reference(
        options: &ReferenceOptions,
        truth: &Path,
    ) -> Result<Self, CommandError> {
        let mut arguments: Vec<OsString> = ["serve", "--port=0", "--until-stdin-closes", "--quiet"]
            .map(OsString::from)
            .to_vec();
        arguments.push(format!("--truth={}", truth.display()).into());
        arguments.extend(options.to_args().into_iter().map(OsString::from));
        Self::start(
            arguments,
            "the reference API",
            "try `bench serve` by itself",
        )
        .await
    }

    /// Starts the server that does nothing but answer traffic of one kind, on so many threads.
    ///
    /// # Errors
    /// When it cannot be started or does not listen in time.
    pub(super) async fn null(threads: usize, kind: TrafficKind) -> Result<Self, CommandError> {
        let kind = match kind {
            TrafficKind::Http1 => "http1",
            TrafficKind::Tls => "tls",
            TrafficKind::Http2 => "http2",
            TrafficKind::Streams => "streams",
        };
        let arguments = vec![
            "null-server".into(),
            format!("--threads={threads}").into(),
            format!("--kind={kind}").into(),
        ];
        Self::start(arguments, "the server that only answers", "").await
    }

    async fn start(
        arguments: Vec<OsString>,
        what: &str,
        hint: &'static str,
    ) -> Result<Self, CommandError> {
        let failed =
            |message: String| CommandError::setup(format!("cannot start {what}: {message}"), hint);
        let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        // A group of its own: Ctrl-C is meant for this process, which still drains then.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
        let stdout = child.stdout.take().expect("piped above");
        let mut lines = BufReader::new(stdout).lines();
        let line = match tokio::time::timeout(PREPARATION, lines.next_line()).await {
            Ok(Ok(Some(line))) => line,
            Ok(Ok(None)) => return Err(failed("it ended at once".to_owned())),
            Ok(Err(error)) => return Err(failed(error.to_string())),
            Err(_) => return Err(failed("it did not listen within a minute".to_owned())),
        };
        let ready: Ready = serde_json::from_str(&line)
            .map_err(|_| failed(format!("it said `{line}` instead of where it listens")))?;
        Ok(Self {
            child,
            address: ready.listening,
            compute: ready.compute,
        })
    }

    /// Its process id.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends it and waits until it has written what it did.
    pub(super) async fn stop(mut self) {
        drop(self.child.stdin.take());
        if tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .is_err()
        {
            let _ = self.child.kill().await;
        }
    }
}
