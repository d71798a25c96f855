//! Run folders: made, found, and filled with views.

use super::journal::JournalWriter;
use std::borrow::Cow;
use std::io::{self, Write as _};
use std::num::NonZero;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::ScopedJoinHandle;

/// The journal's name in a run folder.
const JOURNAL: &str = "journal.jsonl";

/// Something that the file system refused, with its path.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`: {source}", path.display())]
pub struct StoreError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl StoreError {
    pub(super) fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// Whether the disk, or what this user may take of it, is full.
    pub fn is_disk_full(&self) -> bool {
        matches!(
            self.source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        )
    }
}

/// The name of a new run: when, what, and a few digits that keep two runs of the same second apart.
///
/// Names sort by time. `started_at` is UTC.
pub fn new_run_id(started_at: jiff::Timestamp, scenario: &str) -> String {
    let stamp = started_at.strftime("%Y%m%d-%H%M%S");
    let fraction = started_at.subsec_nanosecond().unsigned_abs() / 1000 % 0xffff;
    let mixed = fraction ^ (std::process::id() & 0xffff);
    format!("{stamp}-{scenario}-{mixed:04x}")
}

/// Makes the bytes of a file when it is its turn.
pub type Making<'a> = Box<dyn FnOnce() -> Vec<u8> + Send + 'a>;

/// The folder of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Makes the folder of a new run, and its journal, below `results`.
    ///
    /// # Errors
    /// When either cannot be made; then nothing of the run has begun.
    pub fn create(results: &Path, id: &str) -> Result<(Self, JournalWriter), StoreError> {
        let path = results.join(id);
        make_folder(&path).map_err(|error| StoreError::new("make the folder", &path, error))?;
        let folder = Self { path };
        let journal = JournalWriter::create(&folder.journal_path())?;
        Ok((folder, journal))
    }

    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Finds a run by the path of its folder, by its id below `results` or a part with which only one
    /// begins, or as `last` or `last-pass`.
    ///
    /// # Errors
    /// When there is none, or more than one, with what was looked for.
    pub fn find(results: &Path, run: &str) -> Result<Self, String> {
        let given = Path::new(run);
        for path in [given.to_owned(), results.join(run)] {
            if path.join(JOURNAL).is_file() {
                return Ok(Self { path });
            }
        }
        let all = Self::all(results);
        match run {
            "last" => {
                // A run whose journal is still empty has not begun: `--baseline last` asks for the one before it.
                return all
                    .into_iter()
                    .rfind(Self::has_begun)
                    .ok_or_else(|| format!("there is no run below `{}`", results.display()));
            }
            "last-pass" => {
                return all.into_iter().rev().find(has_passed).ok_or_else(|| {
                    format!("there is no run with PASS below `{}`", results.display())
                });
            }
            _ => {}
        }
        if given.is_dir() {
            return Err(format!("`{run}` is no run folder: it has no {JOURNAL}"));
        }
        Self::only_one(results, run, all)
    }

    /// The one of these whose id begins so.
    pub(super) fn only_one(results: &Path, run: &str, mut all: Vec<Self>) -> Result<Self, String> {
        all.retain(|folder| !run.is_empty() && folder.id().starts_with(run));
        match (all.pop(), all.len()) {
            (Some(folder), 0) => Ok(folder),
            (Some(folder), more) => Err(format!(
                "`{run}` is the beginning of {} runs, among them `{}` and `{}`",
                more + 1,
                all[0].id(),
                folder.id()
            )),
            (None, _) => Err(format!(
                "there is no run `{run}`: neither a folder of this name nor one below `{}`",
                results.display()
            )),
        }
    }

    /// Every run below a folder, the oldest first: names begin with the time. No folder is no runs.
    pub fn all(results: &Path) -> Vec<Self> {
        Self::all_that(results, |folder| folder.journal_path().is_file())
    }

    /// Every folder below `results` that is such a one, by name.
    pub(super) fn all_that(results: &Path, is_one: impl Fn(&Self) -> bool) -> Vec<Self> {
        let Ok(entries) = results.read_dir() else {
            return Vec::new();
        };
        let mut runs: Vec<Self> = entries
            .filter_map(Result::ok)
            .map(|entry| Self { path: entry.path() })
            .filter(is_one)
            .collect();
        runs.sort_by(|a, b| a.path.cmp(&b.path));
        runs
    }

    fn has_begun(&self) -> bool {
        std::fs::metadata(self.journal_path()).is_ok_and(|journal| journal.len() > 0)
    }

    /// The run's id: the name of the folder.
    pub fn id(&self) -> Cow<'_, str> {
        self.path
            .file_name()
            .map_or(Cow::Borrowed(""), |name| name.to_string_lossy())
    }

    /// Takes the folder and everything in it away.
    ///
    /// # Errors
    /// When something in it cannot be removed; what came before it is gone.
    pub fn remove(self) -> Result<(), StoreError> {
        std::fs::remove_dir_all(&self.path)
            .map_err(|error| StoreError::new("remove", &self.path, error))
    }

    /// Where the folder is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where its journal is.
    pub fn journal_path(&self) -> PathBuf {
        self.path.join(JOURNAL)
    }

    /// Takes the folder of a run that never began away again, if nothing but its journal and these files
    /// is in it.
    pub fn discard(self, files: &[&str]) {
        let files = files.iter().map(|name| self.path.join(name));
        remove_unused(files.chain([self.journal_path()]), &self.path);
    }

    /// Writes views: each under a temporary name first, so that a reader never sees half of one. Several
    /// are made at a time, on as many threads as there are cores.
    ///
    /// # Errors
    /// One that could not be written; others may be there.
    pub fn write(&self, views: Vec<(String, Making<'_>)>) -> Result<(), StoreError> {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let queue = Mutex::new(views.into_iter());
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || {
            while let Some((name, make)) = next() {
                write_file(&self.path.join(name), &make())?;
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let own = work();
            let joined = workers.into_iter().map(ScopedJoinHandle::join);
            let others = joined.map(|done| done.unwrap_or_else(|panic| resume_unwind(panic)));
            others.fold(own, Result::and)
        })
    }
}

fn has_passed(folder: &RunFolder) -> bool {
    super::runs::summary_of(folder).is_ok_and(|summary| summary.is_baseline_material())
}

/// Writes a file whole: under another name first, so that a reader never sees half of it.
///
/// # Errors
/// When it cannot be written.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    write_whole(path, bytes).map_err(|error| StoreError::new("write", path, error))
}

/// Adds text to a file of someone else, and makes it where it is not there yet.
///
/// # Errors
/// When it cannot be written.
pub fn append_file(path: &Path, text: &str) -> Result<(), StoreError> {
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| StoreError::new("write", path, error))
}

#[expect(clippy::disallowed_methods, reason = "this is the one writer")]
fn make_folder(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

#[expect(clippy::disallowed_methods, reason = "this is the one writer")]
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let partial = path.with_file_name(name);
    let written = std::fs::File::create(&partial)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| std::fs::rename(&partial, path));
    if written.is_err() {
        // What remains of it is of no use, and the disk may be full.
        let _ = std::fs::remove_file(&partial);
    }
    written
}

/// What cannot be removed stays: it is only an empty folder.
#[expect(clippy::disallowed_methods, reason = "this is the one writer")]
fn remove_unused(files: impl Iterator<Item = PathBuf>, folder: &Path) {
    for file in files {
        let _ = std::fs::remove_file(file);
    }
    let _ = std::fs::remove_dir(folder);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_time_and_say_what_they_are() {
        let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
        let first = new_run_id(at("2026-11-23T07:36:12.000001Z"), "prod");
        let second = new_run_id(at("2026-11-23T07:36:13Z"), "prod");
        assert!(first.starts_with("20261123-073612-prod-"), "{first}");
        assert!(first < second);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test makes what is looked for")]
    fn finds_runs_by_path_by_id_and_the_last_one() {
        let results = tempfile::tempdir().unwrap();
        let (a, _) = RunFolder::create(results.path(), "20260101-a").unwrap();
        let (b, _) = RunFolder::create(results.path(), "20260102-b").unwrap();
        let find = |run: &str| RunFolder::find(results.path(), run);
        // Neither has begun.
        assert!(find("last").unwrap_err().contains("there is no run"));
        std::fs::write(a.journal_path(), "{}").unwrap();
        assert_eq!(find("last").as_ref(), Ok(&a));
        std::fs::write(b.journal_path(), "{}").unwrap();
        assert_eq!(find("20260101-a").as_ref(), Ok(&a));
        assert_eq!(find(a.path().to_str().unwrap()).as_ref(), Ok(&a));
        assert_eq!(find("last").as_ref(), Ok(&b));
        assert!(find("20260103-c").unwrap_err().contains("there is no run"));
        assert_eq!(find("20260102").as_ref(), Ok(&b));
        let error = find("202601").unwrap_err();
        assert!(error.contains("the beginning of 2 runs"), "{error}");
        assert!(find("").unwrap_err().contains("there is no run"));
        assert!(find("last-pass").unwrap_err().contains("no run with PASS"));
        let bare = results.path().join("bare");
        make_folder(&bare).unwrap();
        let error = find(bare.to_str().unwrap()).unwrap_err();
        assert!(error.contains("is no run folder"), "{error}");
    }

    #[test]
    fn what_cannot_be_made_is_named() {
        let results = tempfile::tempdir().unwrap();
        let blocked = results.path().join("blocked");
        write_whole(&blocked, b"a file").unwrap();
        let error = RunFolder::create(&blocked, "x").unwrap_err().to_string();
        assert!(error.starts_with("cannot make the folder"), "{error}");
        assert!(error.contains("blocked"), "{error}");
    }

    #[test]
    fn views_replace_older_ones_and_leave_no_parts() {
        let results = tempfile::tempdir().unwrap();
        let (folder, _) = RunFolder::create(results.path(), "run").unwrap();
        for text in ["old", "new"] {
            let view = |name: &str| -> (String, Making<'_>) {
                let bytes = text.as_bytes().to_vec();
                (format!("charts/{name}.txt"), Box::new(move || bytes))
            };
            folder.write(vec![view("a"), view("b")]).unwrap();
        }
        let mut charts: Vec<_> = folder
            .path()
            .join("charts")
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        charts.sort();
        assert_eq!(charts, ["a.txt", "b.txt"]);
        let blocked: Making<'_> = Box::new(Vec::new);
        let error = folder.write(vec![("charts".to_owned(), blocked)]);
        assert!(error.unwrap_err().to_string().contains("cannot write"));
    }
}
