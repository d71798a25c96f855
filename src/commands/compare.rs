//! `bench compare`: new runs against old ones.

use super::history::Origin;
use super::input::CommandError;
use super::{Ending, Format, Output};
use crate::record::RunFigures;
use crate::report;
use crate::verdict::{self, CompareOptions, Verdict};

/// Compares runs, and says whether the new ones are worse.
///
/// # Errors
/// When a run cannot be read, or pairs do not match.
pub fn compare(
    origin: &Origin,
    (old, new): (&[String], &[String]),
    options: CompareOptions,
    format: Format,
    output: Output,
) -> Result<Ending, CommandError> {
    if options.paired && old.len() != new.len() {
        return Err(CommandError::setup(
            format!(
                "{} old runs and {} new ones are no pairs",
                old.len(),
                new.len()
            ),
            "give as many of each, in the order in which they alternated",
        ));
    }
    let read = |runs: &[String]| -> Result<Vec<RunFigures>, CommandError> {
        runs.iter().map(|run| origin.figures(run)).collect()
    };
    let comparison = verdict::compare(&read(old)?, &read(new)?, options);
    output.result(&match format {
        Format::Text => report::comparison_text(&comparison),
        Format::Json => report::comparison_json(&comparison),
    });
    Ok(match comparison.verdict {
        Verdict::Pass => Ending::Pass,
        Verdict::Fail => Ending::Fail,
        Verdict::Inconclusive => Ending::Inconclusive,
    })
}
