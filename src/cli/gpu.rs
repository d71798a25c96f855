//! The arguments of `bench gpu`.

use super::args::FormatArg;
use crate::commands::{Format, GpuOptions};
use clap::Args;
use std::path::PathBuf;

/// Arguments of `bench gpu`.
#[derive(Debug, Args)]
pub(super) struct GpuArgs {
    /// Print the tests and what they measure, and run none.
    #[arg(long)]
    list: bool,
    /// Run some of the tests: names such as `memory.copy`, or what stands before the dot.
    #[arg(long, value_name = "TEST,…", value_delimiter = ',')]
    only: Vec<String>,
    /// Fewer and shorter samples, for a first look.
    #[arg(long)]
    quick: bool,
    /// Seed of all data.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u32,
    /// Folder that gets the folder of the run.
    #[arg(long, value_name = "FOLDER", default_value = "results")]
    results: PathBuf,
    /// What to print in the end.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: FormatArg,
    /// The same as `--format json`.
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Use this CUDA driver library instead of the system's.
    #[arg(long, value_name = "FILE")]
    cuda_library: Option<PathBuf>,
    /// Use this NVML library instead of the system's.
    #[arg(long, value_name = "FILE")]
    nvml_library: Option<PathBuf>,
}

impl From<GpuArgs> for GpuOptions {
    fn from(args: GpuArgs) -> Self {
        Self {
            list: args.list,
            only: args.only,
            quick: args.quick,
            seed: args.seed,
            results: args.results,
            format: if args.json {
                Format::Json
            } else {
                args.format.into()
            },
            cuda_library: args.cuda_library,
            nvml_library: args.nvml_library,
        }
    }
}
