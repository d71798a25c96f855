//! The page of a GPU suite: verdict and evidence first, then each GPU with its charts.

use super::{Row, charts, pairs, parts, rows, title, tune};
use crate::record::{HEALTH_COUNTERS, Measured, SuiteGpu, SuiteRecord, TestOutcome};
use crate::report::html;
use crate::report::rows::moment;
use crate::units;
use crate::verdict::{SuiteJudgement, Verdict};
use askama::Template;

#[derive(Template)]
#[template(path = "gpu.html")]
struct Page<'a> {
    policy: &'static str,
    style: &'static str,
    class: &'static str,
    record: &'a SuiteRecord,
    started: String,
    verdict: &'static str,
    headline: &'a str,
    evidence: Vec<Evidence>,
    passed: usize,
    sections: Vec<Section>,
    pairs: Vec<[String; 4]>,
}

/// A gate or a finding.
struct Evidence {
    class: &'static str,
    verdict: &'static str,
    gpu: String,
    reason: String,
}

struct Section {
    /// As the navigation calls it.
    name: String,
    title: String,
    failure: Option<String>,
    rows: Vec<(Row, Option<Bar>)>,
    charts: Vec<String>,
    advice: Vec<String>,
    tune: Vec<[String; 8]>,
    health: Option<HealthTable>,
}

/// A share of a peak, drawn as a bar.
struct Bar {
    percent: String,
    of: String,
}

struct HealthTable {
    rows: Vec<[String; 4]>,
    link: String,
    missing: String,
}

/// The page: one file that needs no network and runs no script.
pub(super) fn page(record: &SuiteRecord, judged: &SuiteJudgement) -> String {
    let mut sections = Vec::new();
    for (part, (what, gpus)) in parts(record).into_iter().enumerate() {
        for gpu in gpus {
            let prefix = format!("gpu{}-{part}", gpu.ordinal);
            sections.push(section(gpu, what, &prefix));
        }
    }
    let page = Page {
        policy: html::policy_without_script(),
        style: html::STYLE.trim_end(),
        class: html::class(judged.verdict),
        record,
        started: moment(&record.started_at),
        verdict: judged.verdict.as_str(),
        headline: &judged.headline,
        evidence: evidence(judged),
        passed: judged
            .gates
            .iter()
            .filter(|gate| gate.verdict == Verdict::Pass)
            .count(),
        sections,
        pairs: pairs::rows(record),
    };
    // Writing a template to memory fails only when a value of it does.
    page.render().unwrap_or_default()
}

/// What was found, the worst first; gates that passed come last.
fn evidence(judged: &SuiteJudgement) -> Vec<Evidence> {
    let named = |gpu: Option<u32>| gpu.map(|gpu| format!("GPU {gpu}")).unwrap_or_default();
    let findings = judged
        .findings
        .iter()
        .map(|finding| (finding.verdict, named(finding.gpu), &finding.reason));
    let gates = judged
        .gates
        .iter()
        .map(|gate| (gate.verdict, named(Some(gate.gpu)), &gate.reason));
    let mut all: Vec<_> = findings.chain(gates).collect();
    all.sort_by_key(|(verdict, ..)| match verdict {
        Verdict::Fail => 0,
        Verdict::Inconclusive => 1,
        Verdict::Pass => 2,
    });
    all.into_iter()
        .map(|(verdict, gpu, reason)| Evidence {
            class: html::class(verdict),
            verdict: verdict.as_str(),
            gpu,
            reason: reason.clone(),
        })
        .collect()
}

fn section(gpu: &SuiteGpu, what: &str, prefix: &str) -> Section {
    let bars = gpu.results.iter().map(|result| match &result.outcome {
        TestOutcome::Measured(measured) => Bar::of(measured),
        _ => None,
    });
    let mut pictures = Vec::new();
    pictures.extend(charts::roofline(gpu, prefix));
    pictures.extend(charts::tuned(gpu, prefix));
    pictures.extend(charts::sustained(gpu, prefix));
    Section {
        name: format!("GPU {}, {what}", gpu.ordinal),
        title: format!("{} ({what})", title(gpu)),
        failure: gpu.failure.clone(),
        rows: rows(gpu).into_iter().zip(bars).collect(),
        charts: pictures.iter().map(html::figure).collect(),
        advice: tune::advice(gpu),
        tune: gpu.tune.iter().flat_map(tune::rows).collect(),
        health: HealthTable::of(gpu),
    }
}

impl Bar {
    /// The strictest denominator that says what the chip could do: the data sheet, or else the attributes.
    fn of(measured: &Measured) -> Option<Self> {
        let peak = measured.peaks.first()?;
        let share = measured.median / peak.value * 100.0;
        Some(Self {
            percent: format!("{:.1}", share.clamp(0.0, 100.0)),
            of: peak.name.clone(),
        })
    }
}

impl HealthTable {
    fn of(gpu: &SuiteGpu) -> Option<Self> {
        let health = gpu.health.as_ref()?;
        let value =
            |value: Option<&u64>| value.map_or_else(|| "–".to_owned(), |it| units::count(*it));
        let rows = HEALTH_COUNTERS.iter().filter_map(|counter| {
            let (before, after) = (
                health.before.get(counter.name),
                health.after.get(counter.name),
            );
            (before.is_some() || after.is_some()).then(|| {
                [
                    counter.name.to_owned(),
                    value(before),
                    value(after),
                    value(health.growth(counter.name).as_ref()),
                ]
            })
        });
        let link = health.link.map_or_else(
            || "NVML does not tell the PCIe link.".to_owned(),
            |link| {
                format!(
                    "PCIe link under load: generation {} with {} lanes, of generation {} with {} lanes.",
                    link.generation, link.width, link.highest_generation, link.widest
                )
            },
        );
        Some(Self {
            rows: rows.collect(),
            link,
            missing: health.missing.join("; "),
        })
    }
}
