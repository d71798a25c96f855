//! `bench compare`: new runs against old ones, or a GPU suite against an earlier one.

use super::gpu::criteria::{find_record, read_record};
use super::history::Origin;
use super::input::CommandError;
use super::{Ending, Format, Output};
use crate::record::RunFigures;
use crate::report;
use crate::verdict::{self, CompareOptions, Verdict};

/// Compares runs, or two records of GPU suites, and says whether the new ones are worse.
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
    if let (Origin::Folders(results), [old], [new]) = (origin, old, new)
        && [old, new].map(|name| find_record(results, name).is_some()) == [true, true]
    {
        let records = (read_record(results, old)?, read_record(results, new)?);
        let comparison = verdict::compare_suites(&records.0, &records.1, options.margin);
        output.result(&match format {
            Format::Text => report::suite_comparison_text(&comparison, output.width()),
            Format::Json => report::suite_comparison_json(&comparison),
        });
        return Ok(ending(comparison.verdict));
    }
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
    Ok(ending(comparison.verdict))
}

fn ending(verdict: Verdict) -> Ending {
    match verdict {
        Verdict::Pass => Ending::Pass,
        Verdict::Fail => Ending::Fail,
        Verdict::Inconclusive => Ending::Inconclusive,
    }
}
