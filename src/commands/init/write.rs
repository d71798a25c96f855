//! The scenario for each kind of service, with comments for whoever opens it first.

use super::toml_text::{comment, key, percent, string};

/// What kind of service it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any service that speaks the API of `OpenAI`.
    OpenAi,
    /// `vLLM`, which speaks it too.
    Vllm,
    /// Hugging Face's text-generation-inference.
    Tgi,
    /// The Open Inference Protocol, version 2, as `KServe` speaks it.
    Kserve,
    /// NVIDIA Triton, which speaks it too.
    Triton,
    /// Anything else.
    Custom,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::OpenAi,
        Self::Vllm,
        Self::Tgi,
        Self::Kserve,
        Self::Triton,
        Self::Custom,
    ];

    /// Its name in flags and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Vllm => "vllm",
            Self::Tgi => "tgi",
            Self::Kserve => "kserve",
            Self::Triton => "triton",
            Self::Custom => "custom",
        }
    }

    pub(super) fn default_url(self) -> &'static str {
        match self {
            Self::OpenAi | Self::Vllm | Self::Triton => "http://127.0.0.1:8000",
            Self::Tgi | Self::Kserve => "http://127.0.0.1:8080",
            Self::Custom => "reference",
        }
    }

    pub(super) fn default_model(self) -> &'static str {
        match self {
            Self::OpenAi | Self::Vllm | Self::Tgi => "my-model",
            Self::Kserve | Self::Triton | Self::Custom => "model",
        }
    }
}

/// How the service knows its callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// It does not.
    None,
    /// `Authorization: Bearer …`.
    Bearer,
    /// `X-API-Key: …`.
    ApiKey,
}

/// Everything that is known about the service.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    pub(super) kind: Kind,
    pub(super) url: String,
    pub(super) auth: Auth,
    pub(super) model: Option<String>,
    pub(super) path: Option<String>,
}

/// The scenario.
pub(super) fn scenario(answers: &Answers) -> String {
    let model = answers
        .model
        .clone()
        .unwrap_or_else(|| answers.kind.default_model().to_owned());
    let mut text = head(answers.kind.name(), &answers.url, answers.auth);
    text.push_str(&match answers.kind {
        Kind::OpenAi | Kind::Vllm => chat(&model, answers.kind),
        Kind::Tgi => generate(),
        Kind::Kserve | Kind::Triton => infer(&model),
        Kind::Custom if answers.url == "reference" && answers.path.is_none() => built_in(),
        Kind::Custom => custom(answers.path.as_deref().unwrap_or("/")),
    });
    let is_slow = matches!(answers.kind, Kind::OpenAi | Kind::Vllm | Kind::Tgi);
    text.push_str(&phases(is_slow));
    text
}

/// Name and target.
pub(super) fn head(name: &str, url: &str, auth: Auth) -> String {
    let headers = match auth {
        Auth::None => "# headers = { authorization = \"Bearer ${BENCH_TOKEN}\" }",
        Auth::Bearer => "headers = { authorization = \"Bearer ${BENCH_TOKEN}\" }",
        Auth::ApiKey => "headers = { x-api-key = \"${BENCH_API_KEY}\" }",
    };
    format!(
        "# What is sent, how much of it, and what must hold. `bench check FILE` prints the plan without\n\
         # sending anything; `bench explain CODE` explains what it finds; docs/reference/scenario.md has\n\
         # every key, docs/flows.md logins and several requests as one.\n\
         name = {}\n\n\
         [target]\n\
         # BENCH_URL overrides this, so that one file serves every stage.\n\
         url = {}\n\
         # Of one request. What takes longer counts as slower than every limit.\n\
         timeout = \"30s\"\n\
         # Credentials come from the environment or a file, and never reach a record or a report.\n\
         {headers}\n\n",
        string(name),
        url_with_default(url)
    )
}

/// `${BENCH_URL:-…}`, unless the URL itself could not stand in there.
fn url_with_default(url: &str) -> String {
    if url.contains(['}', '$', '{']) {
        return string(url);
    }
    let quoted = string(url);
    format!("\"${{BENCH_URL:-{}}}\"", &quoted[1..quoted.len() - 1])
}

fn chat(model: &str, kind: Kind) -> String {
    let note = if kind == Kind::Vllm {
        "# The name under which vLLM serves the model: --served-model-name, or `GET /v1/models`.\n"
    } else {
        ""
    };
    format!(
        "[request.chat]\n\
         method = \"POST\"\n\
         path = \"/v1/chat/completions\"\n\
         {note}\
         # One prompt for all measures a cache. For prompts of your own, a row for each request:\n\
         # data = \"prompts.jsonl\", and content = \"{{{{data.prompt}}}}\" instead of the text below.\n\
         json = {{ model = {}, messages = [{{ role = \"user\", content = \"Write a haiku about the number {{{{number}}}}.\" }}], max_tokens = 64, temperature = 0 }}\n\
         # What counts as success; anything else is an error.\n\
         expect = {{ status = 200, body = \"\\\"choices\\\"\" }}\n\n",
        string(model)
    )
}

fn generate() -> String {
    "[request.generate]\n\
     method = \"POST\"\n\
     path = \"/generate\"\n\
     # For prompts of your own, a row for each request: data = \"prompts.jsonl\", and\n\
     # inputs = \"{{data.prompt}}\" instead of the text below.\n\
     json = { inputs = \"Write a haiku about the number {{number}}.\", parameters = { max_new_tokens = 64 } }\n\
     # What counts as success; anything else is an error.\n\
     expect = { status = 200, body = \"generated_text\" }\n\n"
        .to_owned()
}

fn infer(model: &str) -> String {
    format!(
        "[request.infer]\n\
         method = \"POST\"\n\
         path = {}\n\
         # Name, shape and type of the inputs stand in `GET /v2/models/{}`. For inputs of your own, a row\n\
         # for each request: data = \"inputs.jsonl\", and data = \"{{{{data.inputs}}}}\" in the input.\n\
         json = {{ inputs = [{{ name = \"input\", shape = [1, 4], datatype = \"FP32\", data = [0.1, 0.2, 0.3, 0.4] }}] }}\n\
         # What counts as success; anything else is an error.\n\
         expect = {{ status = 200, body = \"outputs\" }}\n\n",
        string(&format!("/v2/models/{}/infer", percent(model))),
        comment(model)
    )
}

fn built_in() -> String {
    "[request.infer]\n\
     method = \"POST\"\n\
     path = \"/v1/inference\"\n\
     json = { model = \"reference-mlp\", inputs = [0.1, 0.2, 0.3, 0.4] }\n\n"
        .to_owned()
}

fn custom(path: &str) -> String {
    let path = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    };
    format!(
        "[request.{}]\n\
         path = {}\n\
         # A body makes it a POST; strings draw from a data file, a row for each request:\n\
         # data = \"inputs.jsonl\"\n\
         # json = {{ prompt = \"{{{{data.prompt}}}}\", max_tokens = 64 }}\n\
         # What counts as success; anything else is an error.\n\
         expect = {{ status = 200 }}\n\n",
        key("main"),
        string(&path)
    )
}

/// Phases and telemetry.
pub(super) fn phases(is_slow: bool) -> String {
    let (limit, concurrencies) = if is_slow {
        ("10s", [8, 64])
    } else {
        ("100ms", [10, 100])
    };
    let mut text = "# Phases run one after the other. What starts during the warm-up is sent, but neither measured\n\
                    # nor judged. A gate passes when its 95 % bound lies on the good side of the limit; half a\n\
                    # minute shows a p95 for certain, and a p99 takes longer.\n"
        .to_owned();
    for concurrency in concurrencies {
        text.push_str(&format!(
            "[[phase]]\nname = \"c{concurrency}\"\nconcurrency = {concurrency}\nwarmup = \"5s\"\nduration = \"30s\"\n\
             gates = [\"response.p95 < {limit}\", \"error_rate < 1%\"]\n\n"
        ));
    }
    text.push_str(
        "[telemetry]\n\
         # GPUs of this host, where the service runs here; with them, add \"gpu.utilization > 70%\" to the gates.\n\
         gpu = \"auto\"\n",
    );
    text
}
