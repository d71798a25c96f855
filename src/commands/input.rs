//! Reads what a command is given: the scenario, its data files, the environment.

use crate::diag::{Diagnostics, SourceText};
use crate::plan::{self, Facts, Plan};
use crate::scenario::{self, Lookup, Scenario};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What went wrong before a command could do its work.
#[derive(Debug)]
pub enum CommandError {
    /// The scenario has faults.
    Scenario(Box<(SourceText, Diagnostics)>),
    /// Something else, in a sentence that says what and where, and what to do about it.
    Setup {
        /// What is wrong.
        message: String,
        /// What to do; may be empty.
        hint: String,
    },
}

impl CommandError {
    /// A fault of the set-up, with what to do about it.
    pub fn setup(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Setup {
            message: message.into(),
            hint: hint.into(),
        }
    }
}

/// A scenario that can be run, and what the user should know about it.
#[derive(Debug)]
pub struct Loaded {
    /// The scenario's file.
    pub source: SourceText,
    /// The plan.
    pub plan: Plan,
    /// Findings that do not stop the work.
    pub warnings: Diagnostics,
}

/// Reads a scenario and everything it names, and compiles it.
///
/// # Errors
/// Every fault of the scenario at once, or why its file cannot be read.
pub fn load(path: &Path, seed: u64, workers: Option<usize>) -> Result<Loaded, CommandError> {
    let name = path.display().to_string();
    let text = read_text(path).map_err(|error| {
        CommandError::setup(
            format!("cannot read the scenario `{name}`: {error}"),
            "a scenario is a TOML file; `scenarios/quickstart.toml` is a small one to begin with",
        )
    })?;
    let source = SourceText::new(name, text);
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let outside = Outside {
        folder: folder.clone(),
    };
    let (scenario, mut found) = scenario::parse(&source, &outside);
    let facts = Facts {
        data_files: read_data_files(&scenario, &folder),
        cores: workers.unwrap_or_else(usable_cores),
    };
    let compiled = plan::compile(&scenario, &facts, seed);
    match compiled {
        Ok(plan) if !found.has_errors() => Ok(Loaded {
            source,
            plan,
            warnings: found,
        }),
        Ok(_) => Err(CommandError::Scenario(Box::new((source, found)))),
        Err(more) => {
            found.extend(more);
            Err(CommandError::Scenario(Box::new((source, found))))
        }
    }
}

/// CPUs that this process may use.
pub(super) fn usable_cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn read_data_files(scenario: &Scenario, folder: &Path) -> BTreeMap<String, Result<String, String>> {
    scenario
        .all_requests()
        .filter_map(|request| request.data.as_ref())
        .map(|data| &data.file)
        .chain(
            scenario
                .phases
                .iter()
                .filter_map(|phase| phase.load.trace_file()),
        )
        .map(|file| {
            let name = file.value.clone();
            let text = read_text(&folder.join(&name)).map_err(|error| error.to_string());
            (name, text)
        })
        .collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads input files; callers name the path"
)]
pub(super) fn read_text(path: &Path) -> std::io::Result<String> {
    std::fs::read_to_string(path)
}

/// The environment and secret files of this process.
struct Outside {
    folder: PathBuf,
}

impl Lookup for Outside {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment for scenarios"
    )]
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &str) -> Result<String, String> {
        let path = self.folder.join(path);
        read_text(&path)
            .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
            .map_err(|error| format!("cannot read the secret file `{}`: {error}", path.display()))
    }
}
