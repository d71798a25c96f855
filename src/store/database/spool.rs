//! What has been pushed, and whereto: `pushed.json` in the run's folder.
//!
//! It only saves work. Whoever loses it pushes again, and nothing happens.

use super::Address;
use crate::store::{RunFolder, StoreError, is_being_written, write_file};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

/// The databases that have a run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Spool {
    /// Their addresses, without user and password.
    databases: Vec<String>,
}

impl Spool {
    /// Reads what is noted about a run; nothing where the note is missing or makes no sense.
    pub fn read(folder: &RunFolder) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the store reads what it writes")]
        let text = std::fs::read_to_string(file(folder));
        text.ok()
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default()
    }

    /// Whether a database has the run.
    pub fn has(&self, address: &Address) -> bool {
        self.databases.contains(&address.to_string())
    }

    /// Notes that a database has the run.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn note(mut self, folder: &RunFolder, address: &Address) -> Result<(), StoreError> {
        if self.has(address) {
            return Ok(());
        }
        self.databases.push(address.to_string());
        let text = serde_json::to_string(&self).expect("it is a list of text");
        write_file(&file(folder), format!("{text}\n").as_bytes())
    }
}

fn file(folder: &RunFolder) -> PathBuf {
    folder.path().join("pushed.json")
}

impl RunFolder {
    /// SHA-256 of the journal, which never changes once the run is over, or of the record of the GPU suite.
    ///
    /// # Errors
    /// When the run goes on, or the journal cannot be read.
    pub fn digest(&self) -> Result<[u8; 32], String> {
        let path = if self.is_suite() {
            self.suite_path()
        } else {
            self.journal_path()
        };
        if is_being_written(&path) {
            return Err(format!("{}: this run goes on", self.path().display()));
        }
        hash_of(&path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))
    }
}

fn hash_of(path: &Path) -> io::Result<[u8; 32]> {
    #[expect(clippy::disallowed_methods, reason = "the store reads what it writes")]
    let mut file = BufReader::with_capacity(1 << 16, std::fs::File::open(path)?);
    let mut hash = Sha256::new();
    loop {
        let bytes = file.fill_buf()?;
        if bytes.is_empty() {
            return Ok(hash.finalize().into());
        }
        hash.update(bytes);
        let read = bytes.len();
        file.consume(read);
    }
}
