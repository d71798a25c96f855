//! The arguments of `bench gpu` and `bench agent`.

use super::args::FormatArg;
use super::database::DatabaseArgs;
use crate::commands::{AgentOptions, CommandError, Format, GpuOptions};
use crate::record::Floor;
use crate::units;
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

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
    /// Sweep batch sizes and precisions instead of running tests: where is the knee of throughput against
    /// latency?
    #[arg(long, conflicts_with_all = ["list", "only", "baseline", "floors", "floors_file", "sustain"])]
    tune: bool,
    /// How long the sustained load lasts; 10s unless said otherwise.
    #[arg(long, value_name = "TIME", value_parser = sustained)]
    sustain: Option<Duration>,
    /// Seed of all data.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u32,
    /// No GPU may be slower than in this earlier record: gpu.json, its folder, or the folder's name.
    #[arg(long, value_name = "FILE|RUN")]
    baseline: Option<String>,
    /// How much slower than its siblings or its baseline a GPU may be; links twice, host times five times
    /// as much.
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = tolerance)]
    tolerance: f64,
    /// What a test must reach (a time: not exceed), such as `memory.copy=4.3TB/s`, `memory.copy=85%` of the
    /// data sheet, `launch.round_trip=20us`.
    #[arg(long = "floor", value_name = "TEST=VALUE")]
    floors: Vec<Floor>,
    /// A TOML file with such floors: `memory.copy = "4.3TB/s"`.
    #[arg(long, value_name = "FILE")]
    floors_file: Option<PathBuf>,
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
    /// Use this cuBLASLt library instead of the newest that is found.
    #[arg(long, value_name = "FILE")]
    cublaslt: Option<PathBuf>,
    /// Use this NVML library instead of the system's.
    #[arg(long, value_name = "FILE")]
    nvml_library: Option<PathBuf>,
    #[command(flatten)]
    database: DatabaseArgs,
}

impl GpuArgs {
    pub(super) fn options(self) -> Result<GpuOptions, CommandError> {
        let args = self;
        Ok(GpuOptions {
            database: args.database.address()?,
            list: args.list,
            only: args.only,
            quick: args.quick,
            tune: args.tune,
            sustain: args.sustain,
            seed: args.seed,
            baseline: args.baseline,
            tolerance: args.tolerance,
            floors: args.floors,
            floors_file: args.floors_file,
            results: args.results,
            format: if args.json {
                Format::Json
            } else {
                args.format.into()
            },
            cuda_library: args.cuda_library,
            cublaslt: args.cublaslt,
            nvml_library: args.nvml_library,
        })
    }
}

/// Arguments of `bench agent`.
#[derive(Debug, Args)]
pub(super) struct AgentArgs {
    /// Address to listen on; port 0 takes a free one. Beyond this host it takes a token.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9500")]
    listen: SocketAddr,
    /// The distance between two samples of the GPUs.
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = sampled_every)]
    interval: Duration,
    /// The token that readers must show as `Authorization: Bearer …`.
    #[arg(
        long,
        env = "BENCH_AGENT_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    token: Option<String>,
    /// A file with that token, which does not show in the list of processes.
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
    /// Let anybody read, from other hosts too.
    #[arg(long, conflicts_with_all = ["token", "token_file"])]
    open: bool,
    /// Use this NVML library instead of the system's.
    #[arg(long, value_name = "FILE")]
    nvml_library: Option<PathBuf>,
}

impl AgentArgs {
    pub(super) fn options(self) -> Result<AgentOptions, CommandError> {
        let token = match &self.token_file {
            None => self.token,
            Some(path) => {
                #[expect(clippy::disallowed_methods, reason = "the user named this file")]
                let text = std::fs::read_to_string(path).map_err(|error| {
                    CommandError::setup(format!("{}: {error}", path.display()), "")
                })?;
                Some(text.trim().to_owned())
            }
        };
        if token.as_ref().is_some_and(String::is_empty) {
            return Err(CommandError::setup(
                "the token is empty",
                "let it be long and random: `openssl rand -hex 32`",
            ));
        }
        Ok(AgentOptions {
            listen: self.listen,
            interval: self.interval,
            token,
            open: self.open,
            nvml_library: self.nvml_library,
        })
    }
}

fn tolerance(text: &str) -> Result<f64, String> {
    match units::parse_ratio(text) {
        // Times what links and the host are allowed it stays below all of the speed.
        Ok(ratio) if (0.001..=0.19).contains(&ratio) => Ok(ratio),
        Ok(_) => Err("a tolerance lies between 0.1% and 19%".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn sustained(text: &str) -> Result<Duration, String> {
    match units::parse_duration(text) {
        Ok(whole) if (Duration::from_millis(500)..=Duration::from_hours(1)).contains(&whole) => {
            Ok(whole)
        }
        Ok(_) => Err("a sustained load lasts between 500ms and 1h".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn sampled_every(text: &str) -> Result<Duration, String> {
    match units::parse_duration(text) {
        Ok(interval)
            if (Duration::from_millis(20)..=Duration::from_mins(1)).contains(&interval) =>
        {
            Ok(interval)
        }
        Ok(_) => Err("an interval lies between 20ms and 1m".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
