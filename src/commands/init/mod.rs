//! `bench init`: a commented scenario from a few answers, from flags, or from an OpenAPI document.

mod openapi;
mod prompt;
mod toml_text;
mod write;

use super::input::{CommandError, read_text};
use super::{Ending, Output};
use crate::store;
use std::path::{Path, PathBuf};

pub use write::{Auth, Kind};

/// What the scenario is to be made of. What is missing is asked for, on a terminal.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// The file that gets it; `-` is stdout.
    pub file: PathBuf,
    /// Whether an existing file may be replaced.
    pub force: bool,
    /// What kind of service it is.
    pub kind: Option<Kind>,
    /// Where the service is.
    pub url: Option<String>,
    /// How it knows its callers.
    pub auth: Option<Auth>,
    /// The name of the model.
    pub model: Option<String>,
    /// The path of a custom service.
    pub path: Option<String>,
    /// An OpenAPI document, in JSON.
    pub openapi: Option<PathBuf>,
}

/// Writes a scenario.
///
/// # Errors
/// When the document cannot be read, or the file exists or cannot be written.
pub fn init(options: &InitOptions, output: Output) -> Result<Ending, CommandError> {
    let to_stdout = options.file == Path::new("-");
    // `is_file` would follow a broken link into nothing: whatever stands there is left alone.
    if !to_stdout && !options.force && options.file.symlink_metadata().is_ok() {
        return Err(CommandError::setup(
            format!("`{}` is already there", options.file.display()),
            "name another file, or replace it with --force",
        ));
    }
    let text = if let Some(document) = &options.openapi {
        from_document(document, options)?
    } else {
        let mut answers = write::Answers {
            kind: options.kind.unwrap_or(Kind::Custom),
            url: options
                .url
                .clone()
                .unwrap_or_else(|| "reference".to_owned()),
            auth: options.auth.unwrap_or(Auth::None),
            model: options.model.clone(),
            path: options.path.clone(),
        };
        if options.url.is_none() && prompt::is_possible(output) {
            prompt::ask(&mut answers, options, output);
        }
        write::scenario(&answers)
    };
    if to_stdout {
        output.result(&text);
        return Ok(Ending::Done);
    }
    store::write_file(&options.file, text.as_bytes())
        .map_err(|error| CommandError::setup(error.to_string(), "name another file"))?;
    output.say(&next_steps(&options.file, &text));
    Ok(Ending::Done)
}

fn from_document(path: &Path, options: &InitOptions) -> Result<String, CommandError> {
    let name = path.display();
    let text = read_text(path).map_err(|error| {
        CommandError::setup(
            format!("cannot read the OpenAPI document `{name}`: {error}"),
            "",
        )
    })?;
    let document: serde_json::Value = serde_json::from_str(&text).map_err(|error| {
        CommandError::setup(
            format!("`{name}` is not JSON: {error}"),
            "a YAML document can be converted: `yq -o json openapi.yaml > openapi.json`",
        )
    })?;
    openapi::scenario(&document, options.url.as_deref(), options.auth)
        .map_err(|reason| CommandError::setup(format!("`{name}`: {reason}"), ""))
}

fn next_steps(file: &Path, text: &str) -> String {
    let file = file.display();
    let mut steps = format!("wrote `{file}`\n");
    // A comment shows how it would be done, where it is not.
    let is_used = |variable: &str| {
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.any(|line| line.contains(&format!("${{{variable}}}")))
    };
    for variable in ["BENCH_TOKEN", "BENCH_API_KEY"] {
        if is_used(variable) {
            steps.push_str(&format!(
                "  export {variable}=…      the credentials, never in the file\n"
            ));
        }
    }
    steps.push_str(&format!(
        "  bench check {file}    its plan, without sending anything\n  bench run {file}      the load, the verdict and a report"
    ));
    steps
}
