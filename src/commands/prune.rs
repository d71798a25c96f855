//! `bench prune`, `bench baseline`: which runs stay.

use super::input::CommandError;
use super::{Ending, Output};
use crate::store::{
    Baseline, Baselines, Decision, Rules, RunFolder, StoredRuns, decide, summary_of,
};
use std::path::Path;

/// Removes the runs that no rule keeps; without `really` it only says which.
///
/// # Errors
/// When there is no rule, when the baselines cannot be read, or when a run cannot be removed.
pub fn prune(
    results: &Path,
    rules: Rules,
    really: bool,
    output: Output,
) -> Result<Ending, CommandError> {
    if rules == Rules::default() {
        return Err(CommandError::setup(
            "no rule says what to keep",
            "name at least one of --keep-last, --keep-passes and --older-than",
        ));
    }
    let baselines = Baselines::read(results).map_err(|error| {
        CommandError::setup(
            error,
            "a baseline must not be lost: repair or remove the file",
        )
    })?;
    let stored = StoredRuns::read(results);
    for reason in &stored.unreadable {
        output.warn(&format!("warning: {reason}; this run stays"));
    }
    let (kept, gone): (Vec<Decision>, Vec<Decision>) = decide(stored.runs, rules, &baselines)
        .into_iter()
        .partition(|decision| decision.kept_because.is_some());
    for decision in &kept {
        let reason = decision.kept_because.unwrap_or_default();
        output.say(&format!("keep {}: {reason}", decision.run.folder.id()));
    }
    let word = if really { "removed" } else { "would remove" };
    let number = gone.len();
    for Decision { run, .. } in gone {
        let id = run.folder.id().into_owned();
        if really {
            run.folder
                .remove()
                .map_err(|error| CommandError::setup(error.to_string(), ""))?;
        }
        output.result(&format!("{word} {id}\n"));
    }
    if !really && number > 0 {
        output.say("nothing was removed: repeat it with --yes");
    }
    Ok(Ending::Done)
}

/// Chooses a run as the baseline of its scenario and environment.
///
/// # Errors
/// When there is no such run, when it may not serve as one, or when the choice cannot be written.
pub fn baseline(
    results: &Path,
    run: &str,
    (name, reason): (Option<&str>, &str),
    output: Output,
) -> Result<Ending, CommandError> {
    let setup = |message: String| CommandError::setup(message, "");
    let folder = RunFolder::find(results, run).map_err(setup)?;
    let summary = summary_of(&folder).map_err(setup)?;
    if !summary.is_baseline_material() {
        return Err(CommandError::setup(
            format!("`{}` cannot be a baseline", summary.id),
            "a baseline came to its end with PASS, and nothing in it is simulated",
        ));
    }
    let mut baselines = Baselines::read(results).map_err(setup)?;
    output.say(&format!(
        "{} is the baseline of {} in environment {}",
        summary.id, summary.scenario, summary.environment_key
    ));
    baselines.baselines.push(Baseline {
        scenario: summary.scenario,
        environment_key: summary.environment_key,
        run: summary.id,
        name: name.map(str::to_owned),
        reason: reason.to_owned(),
        set_at: jiff::Timestamp::now().to_string(),
    });
    baselines
        .write(results)
        .map_err(|error| setup(error.to_string()))?;
    Ok(Ending::Done)
}
