//! The arguments of what a newcomer needs: `init`, `doctor`, `explain`, completions and docs.

use crate::commands::{Auth, InitOptions, Kind, Page};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Arguments of `bench init`.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// The file that gets the scenario; `-` is stdout.
    #[arg(value_name = "FILE", default_value = "scenario.toml")]
    file: PathBuf,
    /// Replace the file if it is there.
    #[arg(long)]
    force: bool,
    /// What kind of service it is [default: asked for on a terminal, else custom].
    #[arg(long, value_name = "KIND")]
    kind: Option<KindArg>,
    /// Where the service is, or `reference` for the built-in API. Without it, and on a terminal,
    /// everything that is missing is asked for.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// How it knows its callers.
    #[arg(long, value_name = "HOW")]
    auth: Option<AuthArg>,
    /// The name of the model.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// The path of a custom service.
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Make a request for each operation of this OpenAPI document (JSON).
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kind", "model", "path"])]
    openapi: Option<PathBuf>,
}

/// What kind of service it is.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum KindArg {
    /// Any service that speaks the API of OpenAI.
    Openai,
    /// vLLM.
    Vllm,
    /// Hugging Face text-generation-inference.
    Tgi,
    /// KServe, Open Inference Protocol version 2.
    Kserve,
    /// NVIDIA Triton.
    Triton,
    /// Anything else.
    Custom,
}

/// How a service knows its callers.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum AuthArg {
    /// It does not.
    None,
    /// `Authorization: Bearer`, from `BENCH_TOKEN`.
    Bearer,
    /// `X-API-Key`, from `BENCH_API_KEY`.
    ApiKey,
}

impl From<InitArgs> for InitOptions {
    fn from(args: InitArgs) -> Self {
        Self {
            file: args.file,
            force: args.force,
            kind: args.kind.map(|kind| match kind {
                KindArg::Openai => Kind::OpenAi,
                KindArg::Vllm => Kind::Vllm,
                KindArg::Tgi => Kind::Tgi,
                KindArg::Kserve => Kind::Kserve,
                KindArg::Triton => Kind::Triton,
                KindArg::Custom => Kind::Custom,
            }),
            url: args.url,
            auth: args.auth.map(|auth| match auth {
                AuthArg::None => Auth::None,
                AuthArg::Bearer => Auth::Bearer,
                AuthArg::ApiKey => Auth::ApiKey,
            }),
            model: args.model,
            path: args.path,
            openapi: args.openapi,
        }
    }
}

/// Arguments of `bench doctor`.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Folder that would get the folders of runs.
    #[arg(long, value_name = "FOLDER", default_value = "results")]
    pub(super) results: PathBuf,
}

/// Arguments of `bench explain`.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The code, as it stands in brackets in a finding; all are listed without it.
    #[arg(value_name = "CODE")]
    pub(super) code: Option<String>,
}

/// Arguments of `bench completions`.
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell.
    #[arg(value_name = "SHELL")]
    pub(super) shell: clap_complete::Shell,
}

/// Arguments of `bench docs`.
#[derive(Debug, Args)]
pub(super) struct DocsArgs {
    /// Which page.
    #[arg(value_name = "PAGE")]
    pub(super) page: PageArg,
}

/// A page that is made from the code.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum PageArg {
    /// Every key of a scenario.
    Scenario,
    /// Every metric.
    Metrics,
    /// Every code.
    Codes,
}

impl From<PageArg> for Page {
    fn from(page: PageArg) -> Self {
        match page {
            PageArg::Scenario => Self::Scenario,
            PageArg::Metrics => Self::Metrics,
            PageArg::Codes => Self::Codes,
        }
    }
}
