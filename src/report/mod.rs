//! Pure views of a run record and its judgement: console, HTML, PNG, JSON, JUnit, Markdown, GitHub
//! annotations, OpenMetrics, CSV and HdrHistogram log.
//!
//! The same record gives the same bytes, today and in a year. Nothing here judges, reads a clock or
//! touches a file.

mod calibration;
mod capacity;
mod chart;
mod comparison;
mod console;
mod csv;
mod github;
mod history;
mod hlog;
mod html;
mod instrument;
mod json;
mod junit;
mod markdown;
mod openmetrics;
mod parts;
mod png;
mod rows;
mod suite;

#[cfg(test)]
pub(crate) mod sample;

pub use calibration::{
    calibration_json, calibration_line, calibration_step_line, calibration_text,
};
pub use capacity::{capacity_console, capacity_html, capacity_json, capacity_line};
pub use chart::{Charts, Timeline};
pub use comparison::{comparison_json, comparison_text};
pub use console::{console, one_line};
pub use csv::{load_csv, parts_csv, telemetry_csv};
pub use github::github_annotations;
pub use history::{
    RegressionRow, history_json, merged_csv, merged_json, merged_text, otava_csv, regression,
    runs_table, show, trend_page, trend_picture, trends_csv, trends_json, trends_text,
};
pub use hlog::hlog;
pub use html::html;
pub use json::{SCHEMA, json};
pub use junit::junit;
pub use markdown::markdown;
pub use openmetrics::openmetrics;
pub use suite::{
    suite_comparison_json, suite_comparison_text, suite_console, suite_files, suite_html,
    suite_json,
};

use crate::history::{RunSummary, SUMMARY_FILE};
use crate::record::RunRecord;
use crate::verdict::Judgement;

/// Makes the bytes of a file when it is asked to.
pub type Making<'a> = Box<dyn FnOnce() -> Vec<u8> + Send + 'a>;

/// Every file of a finished run, by its name within the run's folder; those that take longest come first.
/// They can be made side by side.
pub fn files<'a>(
    record: &'a RunRecord,
    judgement: &'a Judgement,
    charts: &'a Charts,
) -> Vec<(String, Making<'a>)> {
    fn file<'a, B: Into<Vec<u8>>>(
        name: &str,
        make: impl FnOnce() -> B + Send + 'a,
    ) -> (String, Making<'a>) {
        (name.to_owned(), Box::new(|| make().into()))
    }
    let summary = || RunSummary::of(record, judgement).to_json();
    let mut files = vec![
        file(SUMMARY_FILE, summary),
        file("latency.hlog", || hlog(record)),
        file("telemetry.csv", || telemetry_csv(record)),
        file("report.html", || html(record, judgement, charts)),
        file("load.csv", || load_csv(record)),
        file("run.json", || json(record, judgement)),
        file("junit.xml", || junit(record, judgement)),
        file("summary.md", || markdown(record, judgement)),
        file("metrics.txt", || openmetrics(record, judgement)),
        file("verdict.txt", || format!("{}\n", judgement.headline)),
    ];
    if !record.header.several_parts().is_empty() {
        files.push(file("parts.csv", || parts_csv(record)));
    }
    files.extend(png::pngs(record, judgement, charts));
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_there_and_twice_the_same() {
        let (record, judgement) = sample::preflight_failed();
        let charts = Charts::of(record, judgement, &Timeline::of(record));
        let made = || -> Vec<(String, Vec<u8>)> {
            let files = files(record, judgement, &charts);
            let mut files: Vec<_> = files
                .into_iter()
                .map(|(name, make)| (name, make()))
                .collect();
            files.sort();
            files
        };
        let files = made();
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        insta::assert_snapshot!(names.join("\n"), @"
        charts/card.png
        charts/overview.png
        junit.xml
        latency.hlog
        load.csv
        metrics.txt
        parts.csv
        report.html
        run.json
        summary.json
        summary.md
        telemetry.csv
        verdict.txt
        ");
        assert!(files == made());
    }
}
