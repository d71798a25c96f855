//! Runs that somebody has chosen to compare with: `baselines.json` beside the run folders.
//!
//! Choosing one is an act with a reason, and the last choice for a scenario and environment counts. A
//! run that was ever chosen is never pruned.

use super::folder::{StoreError, write_file};
use crate::history::RunSummary;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// One choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// The scenario.
    pub scenario: String,
    /// The environment key.
    pub environment_key: String,
    /// The run.
    pub run: String,
    /// The name under which it can be asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Why it was chosen.
    pub reason: String,
    /// When, UTC, RFC 3339.
    pub set_at: String,
}

/// All choices, in the order in which they were made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baselines {
    /// The choices.
    pub baselines: Vec<Baseline>,
}

impl Baselines {
    /// Reads the choices for a folder of results; none where there is no such file.
    ///
    /// # Errors
    /// When the file is there and makes no sense: to guess here could prune a baseline.
    pub fn read(results: &Path) -> Result<Self, String> {
        let path = file(results);
        #[expect(clippy::disallowed_methods, reason = "the store reads what it writes")]
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(format!("cannot read `{}`: {error}", path.display())),
        };
        serde_json::from_str(&text)
            .map_err(|error| format!("`{}` makes no sense: {error}", path.display()))
    }

    /// Writes the choices.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, results: &Path) -> Result<(), StoreError> {
        let mut text =
            serde_json::to_string_pretty(self).expect("its fields have names and are text");
        text.push('\n');
        write_file(&file(results), text.as_bytes())
    }

    /// The choice that counts for runs like this one.
    pub fn of(&self, run: &RunSummary) -> Option<&Baseline> {
        self.for_runs(&run.scenario, &run.environment_key)
    }

    /// The choice that counts for runs of a scenario in an environment.
    pub fn for_runs(&self, scenario: &str, environment_key: &str) -> Option<&Baseline> {
        self.baselines.iter().rev().find(|baseline| {
            baseline.scenario == scenario && baseline.environment_key == environment_key
        })
    }

    /// The last choice under a name.
    pub fn named(&self, name: &str) -> Option<&Baseline> {
        let mut newest_first = self.baselines.iter().rev();
        newest_first.find(|baseline| baseline.name.as_deref() == Some(name))
    }

    /// Whether a run was ever chosen.
    pub fn names(&self, run: &str) -> bool {
        self.baselines.iter().any(|baseline| baseline.run == run)
    }
}

fn file(results: &Path) -> PathBuf {
    results.join("baselines.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_chosen_is_read_back_and_nonsense_is_refused() {
        let results = tempfile::tempdir().unwrap();
        assert_eq!(Baselines::read(results.path()), Ok(Baselines::default()));
        let chosen = Baselines {
            baselines: vec![Baseline {
                scenario: "prod".to_owned(),
                environment_key: "0123".to_owned(),
                run: "a".to_owned(),
                name: Some("v2.4".to_owned()),
                reason: "release 2.4".to_owned(),
                set_at: "2026-11-25T12:00:00Z".to_owned(),
            }],
        };
        chosen.write(results.path()).unwrap();
        assert_eq!(Baselines::read(results.path()).as_ref(), Ok(&chosen));
        assert!(chosen.names("a") && !chosen.names("b"));
        assert!(chosen.named("v2.4").is_some() && chosen.named("a").is_none());
        write_file(&file(results.path()), b"{").unwrap();
        let error = Baselines::read(results.path()).unwrap_err();
        assert!(error.contains("baselines.json` makes no sense"), "{error}");
    }
}
