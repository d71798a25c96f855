//! The arguments of `bench calibrate` and of the server that it measures against.

use super::args::FormatArg;
use crate::commands::CalibrateOptions;
use crate::record::TrafficKind;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Arguments of `bench calibrate`.
#[derive(Debug, Args)]
pub(super) struct CalibrateArgs {
    /// A short look: 80 seconds at most, instead of four and a half minutes.
    #[arg(long)]
    quick: bool,
    /// Threads that generate load [default: one for each core].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// Folder that keeps the result [default: `BENCH_STATE_DIR`, `XDG_STATE_HOME`/bench or
    /// ~/.local/state/bench; other commands look there].
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
    /// What to print in the end.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: FormatArg,
}

impl From<CalibrateArgs> for CalibrateOptions {
    fn from(args: CalibrateArgs) -> Self {
        Self {
            quick: args.quick,
            workers: args.workers.map(usize::from),
            state: args.state,
            format: args.format.into(),
        }
    }
}

/// Arguments of `bench null-server`.
#[derive(Debug, Args)]
pub(super) struct NullServerArgs {
    /// Threads that answer.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) threads: usize,
    /// What is spoken.
    #[arg(long, value_name = "KIND", default_value = "http1")]
    pub(super) kind: KindArg,
}

/// A kind of traffic.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum KindArg {
    /// HTTP/1.1.
    Http1,
    /// HTTP/1.1 over TLS.
    Tls,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// Streams over HTTP/1.1.
    Streams,
}

impl From<KindArg> for TrafficKind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Http1 => Self::Http1,
            KindArg::Tls => Self::Tls,
            KindArg::Http2 => Self::Http2,
            KindArg::Streams => Self::Streams,
        }
    }
}
