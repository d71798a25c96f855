//! `report.html`: one self-contained page that works from disk, in print and on a phone.
//!
//! It loads nothing, and whatever came from a scenario or a server is escaped by the template.

mod gate_picture;
mod glossary;
mod paths;
mod rows;
mod svg;
mod trend;

pub(super) use trend::{TrendSection, trend};

pub(super) use svg::figure;

use self::rows::{
    Coded, DoubtEntry, ErrorEntry, Fact, InstrumentRow, LatencyEntry, SourceRow, WindowRow, doubts,
    environment, errors, facts, instruments, latencies, sources, step_times, windows,
};
use crate::record::RunRecord;
use crate::report::chart::Charts;
use crate::report::instrument::{MachineRow, machines};
use crate::report::parts::{PartRow, logins, parts};
use crate::report::rows as words;
use crate::report::rows::{GateRow, PhaseRow};
use crate::verdict::{Judgement, Verdict};
use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use gate_picture::picture;
use glossary::GLOSSARY;
use sha2::{Digest as _, Sha256};

pub(super) const STYLE: &str = include_str!("../../../templates/report.css");
const SCRIPT: &str = include_str!("../../../templates/report.js");

/// The report as one HTML file.
pub fn html(record: &RunRecord, judgement: &Judgement, charts: &Charts) -> String {
    let page = Page::of(record, judgement, charts);
    // Writing a template to memory fails only when a value of it does, and these do not.
    page.render().unwrap_or_default()
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    policy: String,
    style: &'static str,
    script: String,
    name: &'a str,
    verdict: Verdict,
    class: &'static str,
    headline: Coded,
    simulated: String,
    partial: Option<Coded>,
    sections: Vec<(&'static str, &'static str)>,
    facts: Vec<Fact>,
    gates: Vec<GateEntry<'a>>,
    doubts: Vec<DoubtEntry>,
    phases: Vec<PhaseRow>,
    has_unended: bool,
    phases_not_begun: String,
    parts: Vec<PartRow>,
    has_flows: bool,
    logins: Option<String>,
    streams: Vec<super::rows::StreamRow>,
    goodputs: Vec<super::rows::GoodputRow>,
    time_charts: Vec<String>,
    families: Vec<FamilyEntry>,
    sources: Vec<SourceRow>,
    windows: Vec<WindowRow>,
    percentiles: String,
    part_charts: Vec<String>,
    latencies: Vec<LatencyEntry>,
    steps: Vec<LatencyEntry>,
    errors: Vec<ErrorEntry>,
    no_errors: &'static str,
    instruments: Vec<InstrumentRow>,
    machines: Vec<MachineRow>,
    environment: Vec<Fact>,
    scenario_file: &'a str,
    scenario_sha256: &'a str,
    scenario_text: &'a str,
    glossary: Vec<(&'static str, Coded)>,
    bench_version: &'a str,
    id: &'a str,
}

/// A gate with its picture.
struct GateEntry<'a> {
    class: &'static str,
    row: GateRow<'a>,
    why: Coded,
    picture: String,
}

/// A heading with its charts.
struct FamilyEntry {
    title: String,
    /// Whether its only chart says that there is no data at all.
    is_missing: bool,
    charts: Vec<String>,
}

impl<'a> Page<'a> {
    fn of(record: &'a RunRecord, judgement: &'a Judgement, charts: &Charts) -> Self {
        let script = format!("\n{}\n", SCRIPT.trim_end());
        let header = &record.header;
        let doubts = doubts(record);
        let phases = words::phases(record);
        let gates = words::gates(judgement)
            .into_iter()
            .zip(&judgement.gates)
            .map(|(row, result)| GateEntry {
                class: class(row.verdict),
                why: Coded::of(&row.why),
                row,
                picture: picture(result),
            })
            .collect();
        Self {
            policy: policy(&script),
            style: STYLE.trim_end(),
            name: &header.scenario.name,
            verdict: judgement.verdict,
            class: class(judgement.verdict),
            headline: Coded::of(words::headline(judgement)),
            simulated: words::simulated(record).join(", "),
            partial: words::partial(record).map(|reason| Coded::of(&reason)),
            sections: sections(!doubts.is_empty(), !phases.is_empty()),
            facts: facts(record),
            gates,
            doubts,
            has_unended: phases.iter().any(|phase| phase.counts.has_in_flight_at_end),
            phases,
            phases_not_begun: words::phases_not_begun(record).join(", "),
            logins: logins(record),
            has_flows: record
                .header
                .requests
                .iter()
                .any(|unit| !unit.steps.is_empty()),
            parts: parts(record),
            streams: super::rows::streams(record),
            goodputs: super::rows::goodputs(record),
            time_charts: charts.time.iter().map(figure).collect(),
            families: charts
                .families
                .iter()
                .map(|family| FamilyEntry {
                    charts: family.lanes.iter().map(figure).collect(),
                    title: family.title.clone(),
                    is_missing: family.is_missing,
                })
                .collect(),
            sources: sources(record),
            windows: windows(record),
            percentiles: figure(&charts.percentiles),
            part_charts: charts.parts.iter().map(figure).collect(),
            latencies: latencies(record),
            steps: step_times(record),
            errors: errors(record),
            no_errors: if record.phases.is_empty() {
                "No request was sent."
            } else {
                "Every request succeeded."
            },
            instruments: instruments(record),
            machines: machines(record),
            environment: environment(record),
            scenario_file: &header.scenario.file,
            scenario_sha256: &header.scenario.sha256,
            scenario_text: &header.scenario.text,
            glossary: GLOSSARY
                .iter()
                .map(|(word, meaning)| (*word, Coded::of(meaning)))
                .collect(),
            bench_version: &header.environment.bench_version,
            id: &header.id,
            script: SCRIPT.trim_end().to_owned(),
        }
    }
}

/// A page without any script.
pub(super) fn policy_without_script() -> &'static str {
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
}

/// Only the page's own script may run, and nothing may be loaded: should a text ever get through
/// unescaped, it stays dead.
fn policy(script: &str) -> String {
    let hash = BASE64.encode(Sha256::digest(script.as_bytes()));
    format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{hash}'; \
         base-uri 'none'; form-action 'none'"
    )
}

/// The class by which style sheets know a verdict.
pub(super) fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Inconclusive => "inconclusive",
    }
}

fn sections(has_doubts: bool, has_load: bool) -> Vec<(&'static str, &'static str)> {
    [
        ("gates", "Gates"),
        ("doubts", "Doubts"),
        ("phases", "Phases"),
        ("time", "Over time"),
        ("telemetry", "Telemetry"),
        ("latency", "Latency"),
        ("errors", "Errors"),
        ("instrument", "Instrument"),
        ("environment", "Environment"),
    ]
    .into_iter()
    .filter(|(anchor, _)| match *anchor {
        "doubts" => has_doubts,
        "latency" => has_load,
        _ => true,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use crate::record::RunRecord;
    use crate::report::chart::{Charts, Timeline};
    use crate::report::sample;
    use crate::verdict::Judgement;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;
    use sha2::{Digest as _, Sha256};

    fn html(record: &RunRecord, judgement: &Judgement) -> String {
        super::html(
            record,
            judgement,
            &Charts::of(record, judgement, &Timeline::of(record)),
        )
    }

    #[test]
    fn no_text_of_others_is_markup() {
        let (record, judgement) = sample::hostile();
        let page = html(&record, &judgement);
        assert!(page.contains("&#60;x-evil&#62;"));
        assert!(!page.contains("<x-evil"));
        assert!(!page.contains("alert(1)</script>"));
        // Every script is the page's own: one program, and the numbers of the charts.
        let tags: Vec<&str> = page.split("<script").skip(1).collect();
        let programs = tags.iter().filter(|tag| tag.starts_with('>')).count();
        assert_eq!(programs, 1);
        assert!(
            tags.iter()
                .all(|tag| tag.starts_with('>') || tag.starts_with(" type=\"application/json\">"))
        );
    }

    #[test]
    fn errors_of_servers_are_shown_and_dead() {
        let (record, judgement) = sample::prod();
        let page = html(record, judgement);
        assert!(page.contains("&#60;script&#62;alert(&#39;x&#39;)&#60;/script&#62;"));
        assert!(page.contains("\\xff\\xfe queue full"));
        assert!(page.contains("# &#60;script&#62;alert(&#34;scenario&#34;)"));
    }

    #[test]
    fn nothing_is_loaded_and_only_its_own_script_runs() {
        for (name, (record, judgement)) in sample::all() {
            let page = html(&record, &judgement);
            for loading in [
                "src=", "url(", "@import", "<link", "<iframe", "<object", "<img",
            ] {
                assert!(!page.contains(loading), "{name}: {loading}");
            }
            // Links lead to places on the page only.
            assert_eq!(
                page.matches("href=\"").count(),
                page.matches("href=\"#").count(),
                "{name}"
            );
            let (_, script) = page.rsplit_once("<script>").unwrap();
            let (script, _) = script.split_once("</script>").unwrap();
            let hash = BASE64.encode(Sha256::digest(script.as_bytes()));
            assert!(
                page.contains(&format!("script-src &#39;sha256-{hash}&#39;")),
                "{name}"
            );
        }
    }

    #[test]
    fn no_number_is_none() {
        for (name, (record, judgement)) in sample::all() {
            let page = html(&record, &judgement);
            // The style sheet and the script speak of no numbers that were measured.
            let (_, page) = page.split_once("</style>").unwrap();
            let (page, _) = page.rsplit_once("<script>").unwrap();
            let words = page.split(|c: char| !c.is_ascii_alphabetic());
            for word in words {
                assert!(!matches!(word, "NaN" | "inf" | "Infinity"), "{name}");
            }
        }
    }

    #[test]
    fn every_anchor_has_its_place_and_every_id_is_one() {
        for (name, (record, judgement)) in sample::all() {
            let page = html(&record, &judgement);
            let ids: Vec<&str> = page
                .split(" id=\"")
                .skip(1)
                .filter_map(|rest| rest.split('"').next())
                .collect();
            let unique: std::collections::BTreeSet<&&str> = ids.iter().collect();
            assert_eq!(unique.len(), ids.len(), "{name}: {ids:?}");
            for anchor in page.split("href=\"#").skip(1) {
                let anchor = anchor.split('"').next().unwrap();
                assert!(ids.contains(&anchor), "{name}: {anchor}");
            }
        }
    }

    #[test]
    fn the_first_screen_says_it_all() {
        let (record, judgement) = sample::prod();
        let page = html(record, judgement);
        let (first, _) = page.split_once("<section id=\"phases\"").unwrap();
        for wanted in [
            "<body class=\"fail\">",
            "<h2 class=\"word\">FAIL</h2>",
            "<strong>SIMULATED</strong> The values of gpu are made up.",
            "4 of 7 gates pass; <code>response.p99 &#60; 100ms</code> (c1000) failed",
            "http://10.0.0.7:8000",
            "2026-08-05 12:34:56 UTC",
            "4b825dc642cb on release/2.4",
            "INCONCLUSIVE",
            "the generator was busy",
        ] {
            assert!(first.contains(wanted), "{wanted}");
        }
        assert!(!page.contains("<strong>PARTIAL"));
    }

    #[test]
    fn a_run_that_was_cut_off_says_so_and_what_is_missing_says_why() {
        let (record, judgement) = sample::preflight_failed();
        let page = html(record, judgement);
        assert!(page.contains("<strong>PARTIAL</strong>"));
        assert!(page.contains("not begun: c100, c1000"));
        assert!(page.contains("no NVIDIA driver: libnvidia-ml.so.1 was not found"));
        assert!(!page.contains("<strong>SIMULATED"));
        let (record, judgement) = sample::without_gpu();
        let page = html(record, judgement);
        assert!(page.contains("<b>no data</b> no NVIDIA driver: libnvidia-ml.so.1 was not found"));
    }

    #[test]
    fn a_long_run_stays_small_and_the_same() {
        let (record, judgement) = sample::soak(1800);
        let page = html(&record, &judgement);
        assert!(page.len() < 1_500_000, "{} bytes", page.len());
        assert!(page.contains("by stretches of 5.00 s"));
        assert!(page == html(&record, &judgement));
    }
}
