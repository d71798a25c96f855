//! Judges a record and publishes it: files in the run's folder, the result on stdout.

use super::github::GitHub;
use super::input::CommandError;
use super::{Ending, Format, Output};
use crate::record::{Doubt, RunRecord};
use crate::report::{self, Charts, Timeline};
use crate::store::RunFolder;
use crate::verdict::{self, Judgement, ScopedGate, Verdict};
use std::panic::resume_unwind;

/// Judges a record by its own gates, writes every view and prints the result.
///
/// # Errors
/// When the gates of the record cannot be read. Views that cannot be written are told on stderr: the
/// result is printed all the same.
pub(super) fn publish(
    record: &RunRecord,
    folder: &RunFolder,
    format: Format,
    github: Option<&GitHub>,
    output: Output,
) -> Result<Ending, CommandError> {
    let gates = own_gates(record)?;
    let (judgement, charts) = judged(record, &gates);
    match folder.write(report::files(record, &judgement, &charts)) {
        Ok(()) => {
            let report = folder.path().join("report.html");
            output.say(&format!("\nreport: {}\n", report.display()));
        }
        Err(error) => output.warn(&format!("warning: {error}; the report is incomplete")),
    }
    print(record, &judgement, format, output);
    if let Some(github) = github {
        github.tell(record, &judgement, folder.path(), output);
    }
    Ok(ending(record, &judgement))
}

/// Judges a record by these gates, and draws its charts. What they show of the load does not wait for the
/// judgement.
pub(super) fn judged(record: &RunRecord, gates: &[ScopedGate]) -> (Judgement, Charts) {
    std::thread::scope(|scope| {
        let timeline = scope.spawn(|| Timeline::of(record));
        let judgement = verdict::judge(record, gates);
        let timeline = timeline.join().unwrap_or_else(|panic| resume_unwind(panic));
        let charts = Charts::of(record, &judgement, &timeline);
        (judgement, charts)
    })
}

/// The gates of a record.
///
/// # Errors
/// When they cannot be read.
pub(super) fn own_gates(record: &RunRecord) -> Result<Vec<ScopedGate>, CommandError> {
    verdict::gates_of(record)
        .map_err(|error| CommandError::setup(error, "use the version of bench that made the run"))
}

/// Prints a judgement.
pub(super) fn print(record: &RunRecord, judgement: &Judgement, format: Format, output: Output) {
    let text = match format {
        Format::Text => report::console(record, judgement, output.width()),
        Format::Json => report::json(record, judgement),
    };
    output.result(&text);
}

/// How a command ends that has judged a record.
pub(super) fn ending(record: &RunRecord, judgement: &Judgement) -> Ending {
    let interrupted = record
        .doubts
        .iter()
        .any(|doubt| matches!(doubt, Doubt::Interrupted { .. }));
    match judgement.verdict {
        _ if interrupted => Ending::Interrupted,
        Verdict::Pass => Ending::Pass,
        Verdict::Fail => Ending::Fail,
        Verdict::Inconclusive => Ending::Inconclusive,
    }
}
