//! Records of `bench gpu`, which lie in folders beside those of runs.

use crate::record::SuiteRecord;
use std::path::Path;

/// The file of a record in its folder.
const FILE: &str = "gpu.json";

/// The records below a folder, the newest first: names begin with the time. What cannot be read is left out.
pub fn suites_newest_first(results: &Path) -> impl Iterator<Item = SuiteRecord> {
    let entries = results.read_dir().into_iter().flatten();
    let mut files: Vec<_> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path().join(FILE))
        .filter(|file| file.is_file())
        .collect();
    files.sort();
    files.into_iter().rev().filter_map(|file| read(&file))
}

#[expect(clippy::disallowed_methods, reason = "the store reads its files")]
fn read(file: &Path) -> Option<SuiteRecord> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}
