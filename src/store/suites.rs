//! Folders of the GPU suite: a record in one file, and no journal.

use super::folder::RunFolder;
use crate::record::{SUITE_SCHEMA, SuiteRecord};
use serde::Deserialize;
use std::path::{Path, PathBuf};

impl RunFolder {
    /// The name of the record of the GPU suite in its folder.
    pub const SUITE: &'static str = "gpu.json";

    /// The folder of a run of the GPU suite, which comes into being with what is written into it.
    pub fn for_suite(results: &Path, id: &str) -> Self {
        Self::new(results.join(id))
    }

    /// Where the record of the GPU suite is.
    pub(super) fn suite_path(&self) -> PathBuf {
        self.path().join(Self::SUITE)
    }

    /// Whether it is a run of the GPU suite.
    pub fn is_suite(&self) -> bool {
        self.suite_path().is_file() && !self.journal_path().is_file()
    }

    /// Every run below a folder, of scenarios and of the GPU suite, the oldest first.
    pub fn all_with_suites(results: &Path) -> Vec<Self> {
        let is_run = |folder: &Self| folder.journal_path().is_file() || folder.is_suite();
        Self::all_that(results, is_run)
    }

    /// Finds a run as [`RunFolder::find`] does, or one of the GPU suite by the path of its folder or by its id
    /// or a part with which only one run of either kind begins. `last` and `last-pass` are of scenarios.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn find_with_suites(results: &Path, run: &str) -> Result<Self, String> {
        let given = [PathBuf::from(run), results.join(run)].map(Self::new);
        if let Some(folder) = given.into_iter().find(Self::is_suite) {
            return Ok(folder);
        }
        let is_exact = |folder: &Self| folder.id() == run || !folder.id().starts_with(run);
        match Self::find(results, run) {
            Err(missing) if run.starts_with("last") => Err(missing),
            Ok(folder) if is_exact(&folder) => Ok(folder),
            // With a part of an id suites may begin too.
            _ => Self::only_one(results, run, Self::all_with_suites(results)),
        }
    }
}

/// The records below a folder, the newest first: names begin with the time. What cannot be read is left out.
pub fn suites_newest_first(results: &Path) -> impl Iterator<Item = SuiteRecord> {
    let suites = RunFolder::all_that(results, RunFolder::is_suite);
    let newest = suites.into_iter().rev();
    newest.filter_map(|folder| read_suite(&folder).ok())
}

/// The record of a run of the GPU suite.
///
/// # Errors
/// When it cannot be read, makes no sense, or is of a newer format, with its path.
pub fn read_suite(folder: &RunFolder) -> Result<SuiteRecord, String> {
    read_suite_file(&folder.suite_path())
}

/// The version of the format by itself: whatever else a newer one has must not hide it.
#[derive(Deserialize)]
struct Version {
    schema: u32,
}

/// The record of a run of the GPU suite, by the path of the file.
///
/// # Errors
/// As [`read_suite`].
pub fn read_suite_file(path: &Path) -> Result<SuiteRecord, String> {
    let shown = path.display();
    #[expect(clippy::disallowed_methods, reason = "the store reads what it writes")]
    let bytes = std::fs::read(path).map_err(|error| format!("cannot read `{shown}`: {error}"))?;
    let makes_no_sense = |error| format!("`{shown}` is no record of the GPU suite: {error}");
    let Version { schema } = serde_json::from_slice(&bytes).map_err(makes_no_sense)?;
    if schema > SUITE_SCHEMA {
        return Err(format!(
            "`{shown}` has version {schema} of the format, and this program knows {SUITE_SCHEMA}: use the \
             version of bench that wrote it, or a newer one"
        ));
    }
    serde_json::from_slice(&bytes).map_err(makes_no_sense)
}
