//! All runs below a folder, each in a few numbers.
//!
//! Each run's folder holds its own summary, so that there is no index that could be stale or torn: two
//! thousand small files are read in a fraction of a second.

use super::folder::{RunFolder, write_file};
use super::journal::{is_being_written, read_journal};
use super::suites::read_suite;
use crate::history::{MergedPhase, Merger, RunSummary, SUMMARY_FILE};
use crate::record::{Distribution as _, RunRecord};
use crate::verdict;
use std::path::Path;

/// A run's folder and its summary.
#[derive(Clone, Debug)]
pub struct StoredRun {
    /// The folder.
    pub folder: RunFolder,
    /// The run in a few numbers.
    pub summary: RunSummary,
}

/// Every run below a folder, and every folder that cannot be read, with the reason.
#[derive(Debug, Default)]
pub struct StoredRuns {
    /// The runs, by the name of their folders.
    pub runs: Vec<StoredRun>,
    /// What cannot be read.
    pub unreadable: Vec<String>,
}

impl StoredRuns {
    /// Reads all summaries below a folder. Where one is missing it is made from the journal, and kept
    /// for the next time if the folder can be written. No folder at all is no runs.
    pub fn read(results: &Path) -> Self {
        let mut all = Self::default();
        for folder in RunFolder::all_with_suites(results) {
            match summary_of(&folder) {
                Ok(summary) => all.runs.push(StoredRun { folder, summary }),
                // It has only just begun, and its first entry is still to come.
                Err(_) if is_being_written(&folder.journal_path()) => {}
                Err(reason) => all.unreadable.push(reason),
            }
        }
        all
    }
}

/// The newest runs with PASS that a run may be compared with: of its scenario and environment, before it,
/// the newest first. Partial and simulated runs are no measure.
pub fn comparable_passes(results: &Path, run: &RunSummary, most: usize) -> Vec<StoredRun> {
    let mut passes = StoredRuns::read(results).runs;
    passes.retain(|other| {
        let other = &other.summary;
        other.is_baseline_material()
            && other.id != run.id
            && other.scenario == run.scenario
            && other.environment_key == run.environment_key
            && other.began() <= run.began()
    });
    passes
        .sort_by_key(|other| std::cmp::Reverse((other.summary.began(), other.summary.id.clone())));
    passes.truncate(most);
    passes
}

/// The summary of one run.
///
/// # Errors
/// When there is none and the journal makes no sense.
pub fn summary_of(folder: &RunFolder) -> Result<RunSummary, String> {
    let path = folder.path().join(SUMMARY_FILE);
    if let Some(summary) = kept(&path) {
        return Ok(summary);
    }
    if folder.is_suite() {
        let record = read_suite(folder)?;
        let summary = RunSummary::of_suite(&record, &verdict::judge_suite(&record));
        // Where it cannot be kept it is made again the next time.
        let _ = write_file(&path, &summary.to_json());
        return Ok(summary);
    }
    if is_being_written(&folder.journal_path()) {
        return Ok(RunSummary::begun(&read_record(folder)?));
    }
    let record = read_record(folder)?;
    let gates = verdict::gates_of(&record)
        .map_err(|error| format!("{}: {error}", folder.path().display()))?;
    let summary = RunSummary::of(&record, &verdict::judge(&record, &gates));
    // Where it cannot be kept it is made again the next time.
    let _ = write_file(&path, &summary.to_json());
    Ok(summary)
}

/// The record of a run, from its journal.
///
/// # Errors
/// When the journal cannot be read or makes no sense, with its path.
pub fn read_record(folder: &RunFolder) -> Result<RunRecord, String> {
    let path = folder.journal_path();
    RunRecord::from_journal(read_journal(&path)?)
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// All requests of these runs, from their journals.
///
/// # Errors
/// When a run has gone, or its journal makes no sense.
pub fn merged(results: &Path, runs: &[RunSummary]) -> Result<Vec<MergedPhase>, String> {
    let mut merger = Merger::default();
    for run in runs.iter().filter(|run| Merger::takes(run)) {
        let folder = RunFolder::find_with_suites(results, &run.id)?;
        // A run of the GPU suite has no requests.
        if folder.is_suite() {
            continue;
        }
        let record = read_record(&folder)?;
        for phase in &record.phases {
            for (kind, latencies) in phase.total.kinds() {
                if !latencies.is_empty() {
                    merger.add(run, &phase.info.name, kind, latencies);
                }
            }
        }
    }
    Ok(merger.finish())
}

/// What is there and of this version.
fn kept(path: &Path) -> Option<RunSummary> {
    #[expect(clippy::disallowed_methods, reason = "the store reads what it writes")]
    let bytes = std::fs::read(path).ok()?;
    RunSummary::from_json(&bytes)
}
