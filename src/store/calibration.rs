//! The calibration of this machine, in the folder for what a program remembers between its runs.

use super::folder::{StoreError, write_file};
use crate::record::{CALIBRATION_SCHEMA, Calibration};
use std::io;
use std::path::{Path, PathBuf};

/// Its name in that folder.
const FILE: &str = "calibration.json";

/// Keeps a calibration, in the place of the one before it, and returns its path.
///
/// # Errors
/// When it cannot be written.
pub fn save_calibration(state: &Path, found: &Calibration) -> Result<PathBuf, StoreError> {
    let path = state.join(FILE);
    let mut text = serde_json::to_vec_pretty(found).unwrap_or_default();
    text.push(b'\n');
    write_file(&path, &text)?;
    Ok(path)
}

/// The calibration that was kept; `None` if there is none.
///
/// # Errors
/// When there is a file that cannot be read or is no calibration, in words that name it.
pub fn load_calibration(state: &Path) -> Result<Option<Calibration>, String> {
    let path = state.join(FILE);
    let text = match read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot read `{}`: {error}", path.display())),
    };
    match serde_json::from_str::<Calibration>(&text) {
        Ok(found) if found.schema == CALIBRATION_SCHEMA => Ok(Some(found)),
        Ok(found) => Err(format!(
            "`{}` has schema `{}`, and this bench reads {CALIBRATION_SCHEMA}",
            path.display(),
            found.schema
        )),
        Err(error) => Err(format!("`{}` is no calibration: {error}", path.display())),
    }
}

#[expect(clippy::disallowed_methods, reason = "a file of the store's own")]
fn read(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_calibration_is_named() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(load_calibration(state.path()), Ok(None));
        let path = state.path().join(FILE);
        write_file(&path, b"{}").unwrap();
        let error = load_calibration(state.path()).unwrap_err();
        assert!(
            error.contains("calibration.json` is no calibration"),
            "{error}"
        );
    }
}
