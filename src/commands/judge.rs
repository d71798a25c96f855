//! `bench judge`: judges a finished run again, by its own gates and by new ones.

use super::input::CommandError;
use super::{Ending, Format, Output, views};
use crate::record::RunRecord;
use crate::store::{RunFolder, read_journal};
use crate::verdict;
use std::path::Path;

/// The gates by which a run is judged again.
#[derive(Clone, Debug)]
pub struct JudgeOptions {
    /// Gates beside its own: `<gate>` for the whole run, `<phase>: <gate>` for one phase.
    pub gates: Vec<String>,
    /// Leave out its own gates.
    pub only: bool,
    /// What is printed.
    pub format: Format,
}

/// Judges a finished run, and leaves its folder as it is.
///
/// # Errors
/// When there is no such run, its journal makes no sense, or a gate cannot be read.
pub fn judge(
    results: &Path,
    run: &str,
    options: &JudgeOptions,
    output: Output,
) -> Result<Ending, CommandError> {
    let record = read_run(results, run)?;
    let mut gates = if options.only {
        Vec::new()
    } else {
        views::own_gates(&record)?
    };
    for text in &options.gates {
        let gate = verdict::gate_on(&record, text).map_err(|error| {
            CommandError::setup(
                error,
                "write a gate as in a scenario, for one phase with its name in front: `c100: response.p99 < 100ms`",
            )
        })?;
        gates.push(gate);
    }
    let judgement = verdict::judge(&record, &gates);
    views::print(&record, &judgement, options.format, output);
    Ok(views::ending(&record, &judgement))
}

/// The record of a finished run.
pub(super) fn read_run(results: &Path, run: &str) -> Result<RunRecord, CommandError> {
    let folder = RunFolder::find(results, run)
        .map_err(|error| CommandError::setup(error, "name a run's folder, its id, or `last`"))?;
    let unreadable = |message: String| {
        CommandError::setup(format!("the run `{run}` cannot be read: {message}"), "")
    };
    let entries = read_journal(&folder.journal_path()).map_err(unreadable)?;
    RunRecord::from_journal(entries).map_err(|error| unreadable(error.to_string()))
}
