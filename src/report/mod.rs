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
pub use comparison::{comparison_json, comparison_text};
pub use console::{console, one_line};
pub use csv::{load_csv, telemetry_csv};
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
pub use png::pngs;
pub use suite::{
    suite_comparison_json, suite_comparison_text, suite_console, suite_files, suite_html,
    suite_json,
};

use crate::history::{RunSummary, SUMMARY_FILE};
use crate::record::RunRecord;
use crate::verdict::Judgement;

/// Every file of a finished run, by its name within the run's folder.
pub fn files(record: &RunRecord, judgement: &Judgement) -> Vec<(String, Vec<u8>)> {
    let text = |name: &str, text: String| (name.to_owned(), text.into_bytes());
    let mut files = vec![
        text("run.json", json(record, judgement)),
        (
            SUMMARY_FILE.to_owned(),
            RunSummary::of(record, judgement).to_json(),
        ),
        text("report.html", html(record, judgement)),
        text("junit.xml", junit(record, judgement)),
        text("summary.md", markdown(record, judgement)),
        text("metrics.txt", openmetrics(record, judgement)),
        text("verdict.txt", format!("{}\n", judgement.headline)),
        ("latency.hlog".to_owned(), hlog(record)),
        text("load.csv", load_csv(record)),
        text("telemetry.csv", telemetry_csv(record)),
    ];
    let charts = pngs(record, judgement)
        .into_iter()
        .map(|(name, bytes)| (format!("charts/{name}"), bytes));
    files.extend(charts);
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_there_and_twice_the_same() {
        let (record, judgement) = sample::preflight_failed();
        let files = files(record, judgement);
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        insta::assert_snapshot!(names.join("\n"), @"
        run.json
        summary.json
        report.html
        junit.xml
        summary.md
        metrics.txt
        verdict.txt
        latency.hlog
        load.csv
        telemetry.csv
        charts/card.png
        charts/overview.png
        ");
        assert!(files == super::files(record, judgement));
    }
}
