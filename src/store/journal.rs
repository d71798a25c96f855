//! The journal on disk: JSON Lines, appended to while the run goes on.

use super::folder::StoreError;
use crate::record::Entry;
use std::fs::{File, TryLockError};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::num::NonZero;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread::ScopedJoinHandle;

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
    /// How many bytes of this reader's part of the file are left.
    left: u64,
}

impl JournalReader {
    /// Opens a journal.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_part(path, 0, u64::MAX).map_err(|error| StoreError::new("open", path, error))
    }

    /// Opens the lines that begin in a part of a journal.
    fn open_part(path: &Path, from: u64, to: u64) -> io::Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "the store reads what it writes")]
        let file = File::open(path)?;
        let mut reader = Self {
            path: path.to_owned(),
            lines: BufReader::with_capacity(BUFFER_BYTES, file),
            number: 0,
            buffer: Vec::new(),
            left: to - from,
        };
        if from > 0 {
            // The line that the byte before belongs to began in the part before.
            reader.lines.seek(SeekFrom::Start(from - 1))?;
            let skipped = reader.lines.skip_until(b'\n')? as u64;
            reader.left = reader.left.saturating_sub(skipped - skipped.min(1));
        }
        Ok(reader)
    }

    /// The next entry, or what is wrong with its line.
    fn read(&mut self) -> Option<Result<Entry, String>> {
        self.buffer.clear();
        if self.left == 0 {
            return None;
        }
        self.number += 1;
        match self.lines.read_until(b'\n', &mut self.buffer) {
            Err(error) => Some(Err(error.to_string())),
            Ok(0) => None,
            // No line end: the process was killed, or the disk was full, while it was written.
            Ok(_) if self.buffer.last() != Some(&b'\n') => None,
            Ok(length) => {
                self.left = self.left.saturating_sub(length as u64);
                Some(serde_json::from_slice(&self.buffer).map_err(|error| error.to_string()))
            }
        }
    }

    fn place(&self, before: usize) -> String {
        format!("{}:{}", self.path.display(), before + self.number)
    }
}

/// Ends at the end of the file, or at a last line that was cut off.
impl Iterator for JournalReader {
    type Item = Result<Entry, String>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read()
            .map(|read| read.map_err(|error| format!("{}: {error}", self.place(0))))
    }
}

const BUFFER_BYTES: usize = 256 * 1024;
/// A part of a journal that is worth a thread of its own.
const PART_BYTES: u64 = 4 * 1024 * 1024;

/// Reads all entries of a journal: in parts side by side where it is long.
///
/// # Errors
/// When it cannot be read, or a line other than a cut-off last one makes no sense.
pub fn read_journal(path: &Path) -> Result<Vec<Entry>, String> {
    let unreadable = |error| StoreError::new("open", path, error).to_string();
    let length = path.metadata().map_err(unreadable)?.len();
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let parts = (length / PART_BYTES).clamp(1, threads as u64);
    read_parts(path, length, parts).map_err(unreadable)?
}

/// Reads a journal in so many parts. What is appended meanwhile belongs to the last one.
fn read_parts(path: &Path, length: u64, parts: u64) -> io::Result<Result<Vec<Entry>, String>> {
    let bound = |part: u64| {
        if part == parts {
            u64::MAX
        } else {
            length / parts * part
        }
    };
    let readers: Vec<JournalReader> = (0..parts)
        .map(|part| JournalReader::open_part(path, bound(part), bound(part + 1)))
        .collect::<io::Result<_>>()?;
    let read = |mut reader: JournalReader| {
        let mut entries = Vec::new();
        let mut fault = None;
        while let Some(read) = reader.read() {
            match read {
                Ok(entry) => entries.push(entry),
                Err(error) => {
                    fault = Some(error);
                    break;
                }
            }
        }
        (reader, entries, fault)
    };
    let done = std::thread::scope(|scope| {
        let threads: Vec<_> = readers
            .into_iter()
            .map(|reader| scope.spawn(move || read(reader)))
            .collect();
        let joined = threads.into_iter().map(ScopedJoinHandle::join);
        joined
            .map(|done| done.unwrap_or_else(|panic| resume_unwind(panic)))
            .collect::<Vec<_>>()
    });
    let mut all = Vec::new();
    let mut lines = 0;
    for (reader, entries, fault) in done {
        if let Some(error) = fault {
            return Ok(Err(format!("{}: {error}", reader.place(lines))));
        }
        lines += entries.len();
        all.extend(entries);
    }
    Ok(Ok(all))
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
    fn in_however_many_parts_it_says_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let mut journal = JournalWriter::create(&path).unwrap();
        // Lines of many lengths, so that bounds of parts fall on, before and after line ends.
        let written: Vec<Entry> = (0..60)
            .map(|line| Entry::RunEnded {
                at_ns: 10_u64.pow(line % 20),
            })
            .collect();
        written
            .iter()
            .for_each(|entry| journal.append(entry).unwrap());
        let length = path.metadata().unwrap().len();
        for parts in (1..40).chain([97, length]) {
            let read = read_parts(&path, length, parts).unwrap();
            assert_eq!(read.as_ref(), Ok(&written), "{parts}");
        }
        journal.file.write_all(b"{}\n").unwrap();
        journal.append(&written[0]).unwrap();
        for parts in [1, 2, 7, 50] {
            let error = read_parts(&path, length, parts).unwrap().unwrap_err();
            assert!(error.contains("journal.jsonl:61: "), "{parts}: {error}");
        }
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
