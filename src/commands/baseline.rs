//! The runs that a run is compared with: found before any load is sent.

use super::Output;
use super::history::Origin;
use super::input::CommandError;
use crate::history::{Filter, comparable};
use crate::record::{Baseline, Doubt, Entry, Header, RunFigures};
use crate::store::{Baselines, Wanted};
use crate::verdict::Verdict;
use jiff::Timestamp;
use std::path::PathBuf;

/// What a run is compared with.
#[derive(Clone, Debug)]
pub(super) struct BaselineOptions {
    /// Where earlier runs are.
    pub(super) origin: Origin,
    /// The folder with the baselines that were chosen by name.
    pub(super) results: PathBuf,
    /// `last-pass`, a name, or runs separated by commas.
    pub(super) asked: String,
    /// The relative change that matters.
    pub(super) margin: f64,
}

/// How runs vary of themselves shows in so many.
const FEWEST: usize = 3;
/// Older runs than these say little about today.
const MOST: usize = 20;
const LAST_PASS: &str = "last-pass";

/// What goes into the journal: the baseline, or why there is none.
///
/// A database that does not answer changes nothing where the folders hold what is asked for. Where they do
/// not, the run is refused now, before any load: it would end without the comparison that it was asked for,
/// and nothing is lost yet.
///
/// # Errors
/// When a run that was named is not there, or may not be compared with this one, or nobody can tell.
pub(super) fn look_up(
    options: &BaselineOptions,
    header: &Header,
    output: Output,
) -> Result<Entry, CommandError> {
    let Err(silence) = options.origin.answers() else {
        return find(options, header, output);
    };
    let folders = BaselineOptions {
        origin: Origin::Folders(options.results.clone()),
        ..options.clone()
    };
    let refused = |lack: String| {
        CommandError::setup(
            format!("{silence}; {lack}"),
            "without --baseline the run is judged by its own gates, and `bench push --all` sends it later",
        )
    };
    let below = options.results.display();
    match find(&folders, header, output) {
        Ok(Entry::Doubt(Doubt::NoBaseline { found, needed, .. })) => Err(refused(format!(
            "below `{below}` are {found} of the {needed} comparable runs with PASS that it takes"
        ))),
        Ok(entry) => {
            output.warn(&format!(
                "warning: {silence}; compared with the runs below `{below}` instead"
            ));
            Ok(entry)
        }
        Err(CommandError::Setup { message, .. }) => Err(refused(message)),
        Err(error) => Err(error),
    }
}

fn find(options: &BaselineOptions, header: &Header, output: Output) -> Result<Entry, CommandError> {
    let runs = if options.asked == LAST_PASS {
        passes(options, header, None, output)?
    } else {
        named(options, header, output)?
    };
    if options.asked == LAST_PASS && runs.len() < FEWEST {
        return Ok(Entry::Doubt(Doubt::NoBaseline {
            asked: options.asked.clone(),
            found: runs.len(),
            needed: FEWEST,
        }));
    }
    Ok(Entry::Baseline(Box::new(Baseline {
        asked: options.asked.clone(),
        margin: options.margin,
        runs,
    })))
}

/// The newest runs with PASS of this scenario and environment, of one commit if that is given.
fn passes(
    options: &BaselineOptions,
    header: &Header,
    commit: Option<&str>,
    output: Output,
) -> Result<Vec<RunFigures>, CommandError> {
    let began: Timestamp = header.started_at.parse().unwrap_or(Timestamp::MAX);
    let key = comparable(header).key;
    let baselines = read_baselines(options)?;
    // Choices are kept beside the run folders, and so are the runs that were chosen.
    let level = match options.origin {
        Origin::Folders(_) => baselines.for_runs(&header.scenario.name, &key),
        Origin::Database(_) => None,
    };
    let since = level
        .map(|level| options.origin.run(&level.run))
        .transpose()?;
    let filter = Filter {
        scenario: Some(header.scenario.name.clone()),
        verdict: Some(Verdict::Pass),
        environment: Some(key),
        // Of a version that was named, what came before the level counts too.
        since: since.filter(|_| commit.is_none()).map(|run| run.began()),
        before: Some(began),
        ..Filter::default()
    };
    let mut runs = options.origin.runs(&filter, Wanted::Facts, output)?;
    runs.retain(|run| {
        run.is_baseline_material()
            && run.id != header.id
            && commit.is_none_or(|commit| run.git_commit.as_deref() == Some(commit))
    });
    runs.truncate(MOST);
    runs.iter()
        .map(|run| options.origin.figures(&run.id))
        .collect()
}

/// Runs that were named: each itself, or a chosen one with the other passes of its commit.
fn named(
    options: &BaselineOptions,
    header: &Header,
    output: Output,
) -> Result<Vec<RunFigures>, CommandError> {
    let baselines = read_baselines(options)?;
    let names: Vec<&str> = options.asked.split(',').map(str::trim).collect();
    let mut runs: Vec<RunFigures> = Vec::new();
    for name in &names {
        let id = baselines.named(name).map_or(*name, |chosen| &chosen.run);
        let run = options.origin.run(id)?;
        let key = comparable(header).key;
        if run.environment_key != key {
            return Err(CommandError::setup(
                format!(
                    "`{}` may not be compared with this run: its environment is {}, and {key} here",
                    run.id, run.environment_key
                ),
                "scenario, target, hardware or load are not the same; `bench compare` shows runs side by side \
                 all the same",
            ));
        }
        runs.push(options.origin.figures(&run.id)?);
        // Repeated runs of the version that was named show how it varies.
        if let (1, Some(commit)) = (names.len(), &run.git_commit) {
            let same = passes(options, header, Some(commit), output)?;
            runs.extend(same.into_iter().filter(|other| other.run != run.id));
            runs.truncate(MOST);
        }
    }
    Ok(runs)
}

fn read_baselines(options: &BaselineOptions) -> Result<Baselines, CommandError> {
    Baselines::read(&options.results).map_err(|error| CommandError::setup(error, ""))
}
