//! The journal on disk: JSON Lines, appended to while the run goes on.

use super::folder::StoreError;
use crate::record::Entry;
use std::fs::{File, TryLockError};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

/// Appends entries to a journal.
#[derive(Debug)]
pub struct JournalWriter {
    path: PathBuf,
    file: File,
    line: Vec<u8>,
}

impl JournalWriter {
    /// Makes a new journal; one that is already there is not touched.
    ///
    /// # Errors
    /// When it cannot be made or is there already.
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        let file = File::options()
            .append(true)
            .create_new(true)
            .open(path)
            .map_err(|error| StoreError::new("make the journal", path, error))?;
        // Held until the process ends, however it ends: so others see that the run goes on. Where the
        // file system knows no locks, the run looks ended.
        let _ = file.try_lock();
        Ok(Self {
            path: path.to_owned(),
            file,
            line: Vec::new(),
        })
    }

    /// Appends one entry, in one write to the file.
    ///
    /// # Errors
    /// When it cannot be written; a part of it may be there, as the cut-off last line.
    pub fn append(&mut self, entry: &Entry) -> Result<(), StoreError> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, entry)
            .map_err(|error| StoreError::new("write", &self.path, error.into()))?;
        self.line.push(b'\n');
        self.file
            .write_all(&self.line)
            .map_err(|error| StoreError::new("write", &self.path, error))
    }

    /// Waits until everything has reached the disk.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        self.file
            .sync_data()
            .map_err(|error| StoreError::new("write", &self.path, error))
    }
}

/// Whether the run of a journal still goes on: its writer holds a lock on it.
pub fn is_being_written(path: &Path) -> bool {
    #[expect(clippy::disallowed_methods, reason = "the store reads what it writes")]
    let file = File::open(path);
    file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Reads the entries of a journal one by one.
#[derive(Debug)]
pub struct JournalReader {
    path: PathBuf,
    lines: BufReader<File>,
    number: usize,
    buffer: Vec<u8>,
}

impl JournalReader {
    /// Opens a journal.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        #[expect(clippy::disallowed_methods, reason = "the store reads what it writes")]
        let file = File::open(path).map_err(|error| StoreError::new("open", path, error))?;
        Ok(Self {
            path: path.to_owned(),
            lines: BufReader::new(file),
            number: 0,
            buffer: Vec::new(),
        })
    }
}

/// Ends at the end of the file, or at a last line that was cut off.
impl Iterator for JournalReader {
    type Item = Result<Entry, String>;

    fn next(&mut self) -> Option<Self::Item> {
        self.buffer.clear();
        let place = |number: usize, path: &Path| format!("{}:{number}", path.display());
        self.number += 1;
        match self.lines.read_until(b'\n', &mut self.buffer) {
            Err(error) => Some(Err(format!("{}: {error}", place(self.number, &self.path)))),
            Ok(0) => None,
            // No line end: the process was killed, or the disk was full, while it was written.
            Ok(_) if self.buffer.last() != Some(&b'\n') => None,
            Ok(_) => Some(
                serde_json::from_slice(&self.buffer)
                    .map_err(|error| format!("{}: {error}", place(self.number, &self.path))),
            ),
        }
    }
}

/// Reads all entries of a journal.
///
/// # Errors
/// When it cannot be read, or a line other than a cut-off last one makes no sense.
pub fn read_journal(path: &Path) -> Result<Vec<Entry>, String> {
    JournalReader::open(path)
        .map_err(|error| error.to_string())?
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Doubt;

    fn entries() -> Vec<Entry> {
        vec![
            Entry::PhaseStarted { phase: 0, at_ns: 1 },
            Entry::Doubt(Doubt::Interrupted { at_ns: 2 }),
            Entry::RunEnded { at_ns: 3 },
        ]
    }

    #[test]
    fn reads_back_what_was_written_up_to_a_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let mut journal = JournalWriter::create(&path).unwrap();
        entries()
            .iter()
            .for_each(|entry| journal.append(entry).unwrap());
        journal.sync().unwrap();
        assert_eq!(read_journal(&path).unwrap(), entries());

        let length = path.metadata().unwrap().len();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(length - 5).unwrap();
        assert_eq!(read_journal(&path).unwrap(), entries()[..2]);
    }

    #[test]
    fn a_line_that_makes_no_sense_is_an_error_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let mut journal = JournalWriter::create(&path).unwrap();
        journal.append(&entries()[0]).unwrap();
        journal.file.write_all(b"{\"entry\":\"colour\"}\n").unwrap();
        let error = read_journal(&path).unwrap_err();
        assert!(
            error.contains("journal.jsonl:2: unknown variant"),
            "{error}"
        );
    }

    #[test]
    fn never_writes_over_another_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        JournalWriter::create(&path).unwrap();
        assert!(JournalWriter::create(&path).is_err());
    }
}
