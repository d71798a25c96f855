//! `bench push`, `bench db`, and the push after a run: the database that a team shares.
//!
//! A run is never worth less because a database is not there: its folder stays, and is pushed later.

use super::input::CommandError;
use super::{Ending, Output};
use crate::record::RunRecord;
use crate::store::{
    Address, Database, DatabaseError, Pushed, RunFolder, Shipment, Spool, is_being_written,
    read_record, read_suite, within,
};
use crate::verdict;
use std::path::Path;
use std::time::Duration;
use tokio::runtime::Runtime;

/// How long one run may take that was asked for.
const ON_DEMAND: Duration = Duration::from_mins(2);

/// How long sending the results of the GPU suite may take.
const AFTER_SUITE: Duration = Duration::from_secs(30);

/// Which runs are pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushWhat {
    /// These.
    Runs(Vec<String>),
    /// All that this database does not have, as far as is noted.
    All,
}

pub(super) fn runtime() -> Result<Runtime, CommandError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::setup(format!("cannot start a runtime: {error}"), ""))
}

/// What a refusal of a database is for somebody who asked for it.
pub(super) fn refused(error: &DatabaseError) -> CommandError {
    CommandError::setup(
        error.to_string(),
        "the runs are in their folders: `bench push --all` sends what is missing",
    )
}

/// Pushes runs to a database.
///
/// # Errors
/// When a run is not there, or the database does not take it; those before it are pushed.
pub fn push(
    results: &Path,
    what: &PushWhat,
    address: &Address,
    output: Output,
) -> Result<Ending, CommandError> {
    let folders = match what {
        PushWhat::Runs(names) => names
            .iter()
            .map(|name| RunFolder::find_with_suites(results, name))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| CommandError::setup(error, ""))?,
        PushWhat::All => RunFolder::all_with_suites(results)
            .into_iter()
            .filter(|folder| !Spool::read(folder).has(address))
            .collect(),
    };
    let runtime = runtime()?;
    let mut database = None;
    let (mut sent, mut there, mut trouble) = (0, 0, 0);
    for folder in folders {
        let id = folder.id().into_owned();
        if is_being_written(&folder.journal_path()) {
            output.say(&format!("{id} goes on: it is pushed when it is over"));
            continue;
        }
        let shipment = match shipment(&folder) {
            Ok(shipment) => shipment,
            Err(reason) => {
                output.warn(&format!("warning: {reason}; this run is left out"));
                trouble += 1;
                continue;
            }
        };
        let pushed = runtime.block_on(async {
            let open = match &mut database {
                Some(open) => open,
                empty => empty.insert(within(ON_DEMAND, address, Database::open(address)).await?),
            };
            within(ON_DEMAND, address, open.push(&shipment)).await
        });
        match pushed {
            Ok(Pushed::Sent) => sent += 1,
            Ok(Pushed::AlreadyThere) => there += 1,
            Err(error) if error.concerns_run => {
                output.warn(&format!("warning: {error}"));
                trouble += 1;
                continue;
            }
            Err(error) => return Err(refused(&error)),
        }
        note(&folder, address, output);
    }
    output.result(&format!("{sent} pushed, {there} already there\n"));
    if trouble > 0 {
        return Err(CommandError::setup(
            format!("{trouble} could not be pushed"),
            "the warnings above say why",
        ));
    }
    Ok(Ending::Done)
}

/// Pushes a run that has just ended. Whatever happens is told and changes nothing else.
pub(super) fn push_after_run(
    folder: &RunFolder,
    record: &RunRecord,
    address: &Address,
    limit: Duration,
    output: Output,
) {
    push_at_the_end(folder, shipment_of(folder, record), address, limit, output);
}

/// The same for a run of the GPU suite.
pub(super) fn push_after_suite(folder: &RunFolder, address: &Address, output: Output) {
    push_at_the_end(folder, shipment(folder), address, AFTER_SUITE, output);
}

fn push_at_the_end(
    folder: &RunFolder,
    shipment: Result<Shipment, String>,
    address: &Address,
    limit: Duration,
    output: Output,
) {
    let pushed = shipment.and_then(|shipment| {
        let runtime = runtime().map_err(|_| "cannot start a runtime".to_owned())?;
        let work = async {
            let mut database = Database::open(address).await?;
            database.push(&shipment).await
        };
        runtime
            .block_on(within(limit, address, work))
            .map_err(|error| error.to_string())
    });
    match pushed {
        Ok(_) => {
            output.say(&format!("pushed to {address}"));
            note(folder, address, output);
        }
        Err(reason) => output.warn(&format!(
            "note: the run was not pushed: {reason}; it is kept in {}, and `bench push --all` sends it",
            folder.path().display()
        )),
    }
}

fn note(folder: &RunFolder, address: &Address, output: Output) {
    if let Err(error) = Spool::read(folder).note(folder, address) {
        output.warn(&format!("warning: {error}; the run will be pushed again"));
    }
}

fn shipment(folder: &RunFolder) -> Result<Shipment, String> {
    if folder.is_suite() {
        let record = read_suite(folder)?;
        let judged = verdict::judge_suite(&record);
        return Ok(Shipment::of_suite(&record, &judged, folder.digest()?));
    }
    shipment_of(folder, &read_record(folder)?)
}

fn shipment_of(folder: &RunFolder, record: &RunRecord) -> Result<Shipment, String> {
    let gates = verdict::gates_of(record)?;
    let judgement = verdict::judge(record, &gates);
    Ok(Shipment::of(record, &judgement, folder.digest()?))
}

/// Brings the schema of a database up to date.
///
/// # Errors
/// When the database refuses, or is newer than this program.
pub fn migrate(address: &Address, output: Output) -> Result<Ending, CommandError> {
    let applied = runtime()?
        .block_on(within(ON_DEMAND, address, async {
            Database::connect(address).await?.migrate().await
        }))
        .map_err(|error| CommandError::setup(error.to_string(), ""))?;
    for step in &applied {
        output.result(&format!("applied {:04} {}\n", step.version, step.name));
    }
    if applied.is_empty() {
        output.result("nothing to apply\n");
    }
    Ok(Ending::Done)
}

/// Says how the schema of a database is.
///
/// # Errors
/// When the database does not answer, or must not be used by this program.
pub fn database_status(address: &Address, output: Output) -> Result<Ending, CommandError> {
    let state = runtime()?
        .block_on(within(ON_DEMAND, address, async {
            Database::connect(address).await?.schema_state().await
        }))
        .map_err(|error| CommandError::setup(error.to_string(), ""))?;
    let words = if state.is_current() {
        "current"
    } else {
        "`bench db migrate` brings it up to date"
    };
    output.result(&format!(
        "{address}: schema version {} of {}: {words}\n",
        state.version, state.wanted
    ));
    Ok(Ending::Done)
}
