//! The page with the trend of a metric over many runs.

use super::{SCRIPT, STYLE, policy, svg};
use crate::report::chart::Chart;
use askama::Template;

/// One trend: its chart, and its runs as rows of a table.
pub(in crate::report) struct TrendSection {
    pub(in crate::report) scenario: String,
    pub(in crate::report) chart: Chart,
    pub(in crate::report) rows: Vec<[String; 6]>,
}

#[derive(Template)]
#[template(path = "trend.html")]
struct Page<'a> {
    policy: String,
    style: &'static str,
    script: String,
    metric: &'a str,
    simulated: bool,
    sections: Vec<Section>,
}

struct Section {
    scenario: String,
    figure: String,
    rows: Vec<[String; 6]>,
}

/// The page as one HTML file.
pub(in crate::report) fn trend(
    metric: &str,
    simulated: bool,
    sections: Vec<TrendSection>,
) -> String {
    let script = format!("\n{}\n", SCRIPT.trim_end());
    let page = Page {
        policy: policy(&script),
        style: STYLE.trim_end(),
        script,
        metric,
        simulated,
        sections: sections
            .into_iter()
            .map(|section| Section {
                scenario: section.scenario,
                figure: svg::figure(&section.chart),
                rows: section.rows,
            })
            .collect(),
    };
    // Writing a template to memory fails only when a value of it does, and these do not.
    page.render().unwrap_or_default()
}
