//! Tells GitHub Actions the result: step summary, annotations, and outputs for later steps.

use super::Output;
use crate::record::RunRecord;
use crate::report;
use crate::store;
use crate::verdict::Judgement;
use std::path::{Path, PathBuf};

/// Where GitHub Actions wants to hear the result.
#[derive(Clone, Debug, Default)]
pub(super) struct GitHub {
    summary: Option<PathBuf>,
    outputs: Option<PathBuf>,
}

impl GitHub {
    /// The job that this process is a step of; `None` where it is none and nobody asks for it.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads what GitHub Actions says of itself"
    )]
    pub(super) fn detect(asked_for: bool) -> Option<Self> {
        let file = |name: &str| {
            std::env::var_os(name)
                .filter(|path| !path.is_empty())
                .map(PathBuf::from)
        };
        let summary = file("GITHUB_STEP_SUMMARY");
        let is_job = std::env::var("GITHUB_ACTIONS").is_ok_and(|value| value == "true");
        (asked_for || is_job || summary.is_some()).then(|| Self {
            summary,
            outputs: file("GITHUB_OUTPUT"),
        })
    }

    /// Tells the result. What cannot be written is a warning: the verdict stands all the same.
    ///
    /// Annotations go to stderr, where GitHub reads them too, so that stdout stays the result.
    pub(super) fn tell(
        &self,
        record: &RunRecord,
        judgement: &Judgement,
        folder: &Path,
        output: Output,
    ) {
        let summary = report::markdown(record, judgement);
        let outputs = format!(
            "verdict={}\nrun={}\nfolder={}\n",
            judgement.verdict,
            record.header.id,
            folder.display().to_string().replace(['\r', '\n'], " ")
        );
        for (path, text) in [(&self.summary, summary), (&self.outputs, outputs)] {
            if let Some(path) = path
                && let Err(error) = store::append_file(path, &text)
            {
                output.warn(&format!("warning: {error}"));
            }
        }
        output.warn(report::github_annotations(record, judgement).trim_end());
    }
}
