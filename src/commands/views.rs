//! Judges a record and publishes it: files in the run's folder, the result on stdout.

use super::github::GitHub;
use super::input::CommandError;
use super::{Ending, Format, Output};
use crate::record::{Doubt, RunRecord};
use crate::report;
use crate::store::RunFolder;
use crate::verdict::{self, Verdict};

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
    let gates = verdict::gates_of(record).map_err(|error| {
        CommandError::setup(error, "use the version of bench that made the run")
    })?;
    let judgement = verdict::judge(record, &gates);
    match folder.write(&report::files(record, &judgement)) {
        Ok(()) => {
            let report = folder.path().join("report.html");
            output.say(&format!("\nreport: {}\n", report.display()));
        }
        Err(error) => output.warn(&format!("warning: {error}; the report is incomplete")),
    }
    let text = match format {
        Format::Text => report::console(record, &judgement, output.width()),
        Format::Json => report::json(record, &judgement),
    };
    output.result(&text);
    if let Some(github) = github {
        github.tell(record, &judgement, folder.path(), output);
    }
    let interrupted = record
        .doubts
        .iter()
        .any(|doubt| matches!(doubt, Doubt::Interrupted { .. }));
    Ok(match judgement.verdict {
        _ if interrupted => Ending::Interrupted,
        Verdict::Pass => Ending::Pass,
        Verdict::Fail => Ending::Fail,
        Verdict::Inconclusive => Ending::Inconclusive,
    })
}
