//! `bench report`: builds every view of a run again from its journal.

use super::github::GitHub;
use super::input::CommandError;
use super::{Ending, Format, Output, views};
use crate::store::{RunFolder, read_record};
use std::path::Path;

/// Rebuilds the views of a run, also of one that was cut off.
///
/// # Errors
/// When there is no such run, or its journal makes no sense.
pub fn report(
    results: &Path,
    run: &str,
    format: Format,
    github: bool,
    output: Output,
) -> Result<Ending, CommandError> {
    let folder = RunFolder::find(results, run).map_err(|error| {
        CommandError::setup(
            error,
            "name a run's folder, its id or the beginning of it, `last` or `last-pass`",
        )
    })?;
    let record = read_record(&folder).map_err(|error| CommandError::setup(error, ""))?;
    // A job that has told its result already does not tell it twice unasked.
    let github = github.then(|| GitHub::detect(true)).flatten();
    views::publish(&record, &folder, format, github.as_ref(), output)
}
