//! What `bench gpu` is told to judge by: floors and an earlier record.

use super::GpuOptions;
use crate::commands::input::CommandError;
use crate::gpu::suite::is_test;
use crate::record::{Floor, SuiteCriteria, SuiteRecord};
use crate::store::{RunFolder, read_suite_file};
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// The name of a record within its folder.
const RECORD: &str = RunFolder::SUITE;

/// Reads all of it, so that nothing is measured in vain.
pub(super) fn read(options: &GpuOptions) -> Result<SuiteCriteria, CommandError> {
    let mut floors = match &options.floors_file {
        Some(path) => read_floors(path)?,
        None => Vec::new(),
    };
    for floor in &options.floors {
        // What is written on the command line replaces what a file says.
        floors.retain(|other| other.test != floor.test);
        floors.push(floor.clone());
    }
    for floor in &floors {
        if !is_test(&floor.test) {
            return Err(CommandError::setup(
                format!(
                    "a floor is set for `{}`, and there is no such test",
                    floor.test
                ),
                "`bench gpu --list` prints them all",
            ));
        }
    }
    let baseline = match &options.baseline {
        Some(name) => {
            let mut baseline = read_record(&options.results, name)?;
            baseline.criteria.baseline = None;
            Some(Box::new(baseline))
        }
        None => None,
    };
    Ok(SuiteCriteria {
        tolerance: options.tolerance,
        floors,
        baseline,
    })
}

/// Where the record of a GPU suite is: a file, its folder, or the name of that below the results.
pub(in crate::commands) fn find_record(results: &Path, name: &str) -> Option<PathBuf> {
    let is_json = Path::new(name).extension().is_some_and(|it| it == "json");
    let candidates = [
        is_json.then(|| PathBuf::from(name)),
        Some(Path::new(name).join(RECORD)),
        Some(results.join(name).join(RECORD)),
    ];
    candidates.into_iter().flatten().find(|path| path.is_file())
}

/// A record by the path of its file, the path of its folder, or the name of its folder.
pub(in crate::commands) fn read_record(
    results: &Path,
    name: &str,
) -> Result<SuiteRecord, CommandError> {
    let Some(path) = find_record(results, name) else {
        return Err(CommandError::setup(
            format!("`{name}` is no record of a GPU suite: there is no {RECORD} there"),
            "give the file, its folder, or the name of the folder below --results",
        ));
    };
    read_suite_file(&path).map_err(|error| CommandError::setup(error, ""))
}

#[expect(clippy::disallowed_methods, reason = "the user named this file")]
fn read_text(path: &Path) -> Result<String, CommandError> {
    std::fs::read_to_string(path).map_err(|error| {
        CommandError::setup(format!("{} cannot be read: {error}", path.display()), "")
    })
}

fn read_floors(path: &Path) -> Result<Vec<Floor>, CommandError> {
    let text = read_text(path)?;
    floors_of(&text).map_err(|(at, message)| {
        let before = text.get(..at).unwrap_or(&text);
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before[start..].chars().count() + 1;
        CommandError::setup(
            format!("{}:{line}:{column}: {message}", path.display()),
            "a file of floors has lines such as `memory.copy = \"4.3TB/s\"`",
        )
    })
}

/// The floors of a file, or what is wrong with it and where.
fn floors_of(text: &str) -> Result<Vec<Floor>, (usize, String)> {
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        (at, error.message().to_owned())
    })?;
    let mut floors = Vec::new();
    collect(table.get_ref(), "", &mut floors)?;
    Ok(floors)
}

/// `memory.copy` is a table `memory` with a key `copy`.
fn collect(
    table: &DeTable<'_>,
    prefix: &str,
    floors: &mut Vec<Floor>,
) -> Result<(), (usize, String)> {
    for (key, value) in table {
        let name = format!("{prefix}{}", key.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) => collect(inner, &format!("{name}."), floors)?,
            DeValue::String(text) => {
                if !is_test(&name) {
                    return Err((key.span().start, format!("there is no test `{name}`")));
                }
                let least = text
                    .parse()
                    .map_err(|error| (value.span().start, format!("{error}")))?;
                floors.push(Floor { test: name, least });
            }
            _ => {
                let message = format!("`{name}` must be a text with a unit");
                return Err((value.span().start, message));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_floors_is_read_and_its_faults_have_a_place() {
        let floors = floors_of("memory.copy = \"4.3TB/s\"\n[pcie]\nto_device = \"85%\"\n");
        let tests: Vec<String> = floors
            .unwrap()
            .into_iter()
            .map(|floor| floor.test)
            .collect();
        assert_eq!(tests, ["memory.copy", "pcie.to_device"]);
        for (text, at, what) in [
            ("memory.copy = 4\n", 14, "must be a text"),
            ("memory.copy = \"fast\"\n", 14, "not a positive number"),
            (
                "memory.cop = \"4GB/s\"\n",
                7,
                "there is no test `memory.cop`",
            ),
            ("memory.copy = \n", 14, ""),
        ] {
            let (place, message) = floors_of(text).expect_err(text);
            assert!(message.contains(what), "{text}: {message}");
            assert_eq!(place, at, "{text}: {message}");
        }
    }
}
