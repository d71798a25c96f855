//! Requests, flows and the steps of flows in words, each by itself.

use super::console::{one_line, print, table, wrap};
use super::rows::{CountRow, LatencyRow};
use crate::record::{Distribution as _, PhaseRecord, RequestInfo, RequestTally, RunRecord};
use crate::units;

/// A request, a flow or a step in one phase.
pub(super) struct PartRow {
    pub(super) phase: String,
    pub(super) name: String,
    /// Method and path; of a flow how many steps it has.
    pub(super) line: String,
    pub(super) is_step: bool,
    pub(super) is_flow: bool,
    pub(super) counts: CountRow,
    pub(super) response: LatencyRow,
    /// How often it was turned away, tried again or told "not yet"; empty where it never was.
    pub(super) tries: String,
}

/// Each request, flow and step of each phase, where there is more than one.
pub(super) fn parts(record: &RunRecord) -> Vec<PartRow> {
    let units = &record.header.requests;
    let only_one = units.len() == 1 && units[0].steps.is_empty();
    let was_tried_again = |phase: &PhaseRecord| !phase.total.tries.is_empty();
    if only_one && !record.phases.iter().any(was_tried_again) {
        return Vec::new();
    }
    record
        .phases
        .iter()
        .flat_map(|phase| parts_of(units, phase))
        .collect()
}

fn parts_of(units: &[RequestInfo], phase: &PhaseRecord) -> Vec<PartRow> {
    let mut rows = Vec::new();
    let mut steps = phase.flow_steps.requests().iter();
    for (index, unit) in units.iter().enumerate() {
        let of_unit = phase.measured.requests().get(index);
        let tallies: Vec<Option<&RequestTally>> = unit.steps.iter().map(|_| steps.next()).collect();
        let Some(tally) = of_unit.filter(|tally| !tally.is_empty()) else {
            continue;
        };
        let row = |name: String, line: String, tally: &RequestTally| PartRow {
            phase: phase.info.name.clone(),
            name,
            line,
            is_step: false,
            is_flow: false,
            counts: CountRow::of(tally),
            response: LatencyRow::of(&tally.response),
            tries: tries(tally),
        };
        if unit.steps.is_empty() {
            let line = format!("{} {}", unit.method, unit.path);
            rows.push(row(unit.name.clone(), line, tally));
            continue;
        }
        let plural = if unit.steps.len() == 1 { "" } else { "s" };
        let line = format!("flow of {} step{plural}", unit.steps.len());
        rows.push(PartRow {
            is_flow: true,
            // Those of its steps stand with them.
            tries: String::new(),
            ..row(unit.name.clone(), line, tally)
        });
        for (step, tally) in unit.steps.iter().zip(tallies) {
            // A step that was never reached is told as well.
            let nothing = RequestTally::default();
            let name = format!("{}/{}", unit.name, step.name);
            let line = format!("{} {}", step.method, step.path);
            rows.push(PartRow {
                is_step: true,
                ..row(name, line, tally.unwrap_or(&nothing))
            });
        }
    }
    rows
}

/// What is told of tries, in a few words.
fn tries(tally: &RequestTally) -> String {
    let tries = &tally.tries;
    let mut words = Vec::new();
    if tries.turned_away > 0 {
        let told = match (tries.told, tries.asked.max_ns()) {
            (0, _) | (_, None) => String::new(),
            (told, Some(longest)) => format!(
                ", {} of them with Retry-After of at most {}",
                units::count(told),
                units::seconds(longest as f64 / 1e9)
            ),
        };
        words.push(format!(
            "turned away {} times (429, 503){told}",
            units::count(tries.turned_away)
        ));
    }
    if tries.retries > 0 {
        words.push(format!(
            "{} tried again, {} more tries",
            units::count(tries.retried),
            units::count(tries.retries)
        ));
    }
    if tries.not_yet > 0 {
        let ended = tally.outcomes.total().max(1);
        words.push(format!(
            "asked {} times on average until done",
            units::number(1.0 + tries.not_yet as f64 / ended as f64)
        ));
    }
    words.join("; ")
}

/// How logins went, in a sentence; `None` where there were none.
pub(super) fn logins(record: &RunRecord) -> Option<String> {
    let all = &record.logins;
    let failed = || all.iter().filter_map(|login| login.failure.as_ref());
    let slowest = all.iter().map(|login| login.took_ns).max()?;
    let plural = if all.len() == 1 { "" } else { "s" };
    let mut words = format!(
        "{} login{plural}, outside of every latency, the slowest took {}",
        units::count(all.len() as u64),
        units::seconds(slowest as f64 / 1e9)
    );
    let refused = all.iter().filter(|login| login.after_refusal).count();
    if refused > 0 {
        words.push_str(&format!(
            "; {} because the service refused a token before its end",
            units::count(refused as u64)
        ));
    }
    if let Some(first) = failed().next() {
        let count = units::count(failed().count() as u64);
        words.push_str(&format!(
            "; {count} failed, the first with: {}",
            first.detail
        ));
    }
    Some(words)
}

/// Flows with their steps on a terminal, and what was turned away or asked for again.
pub(super) fn console(record: &RunRecord, width: usize) -> String {
    let all = parts(record);
    let mut blocks = Vec::new();
    if all.iter().any(|part| part.is_flow) {
        let head = [
            "Flow", "Count", "Not ok", "p50", "p90", "p99", "p99.9", "Max",
        ];
        let mut table = table(&head, 1, width);
        for part in all.iter().filter(|part| part.is_flow || part.is_step) {
            let name = match part.name.split_once('/') {
                Some((_, step)) => format!("  {step}"),
                None if record.phases.len() > 1 => format!("{} {}", part.phase, part.name),
                None => part.name.clone(),
            };
            let response = &part.response;
            let cells = [
                &name,
                &part.counts.planned,
                &part.counts.error_rate,
                &response.p50,
                &response.p90,
                &response.p99,
                &response.p999,
                &response.max,
            ];
            table.add_row(cells.into_iter().cloned().collect::<Vec<String>>());
        }
        blocks.push(print(&table));
    }
    for part in all.iter().filter(|part| !part.tries.is_empty()) {
        let words = format!("{} {}: {}", part.phase, part.name, part.tries);
        blocks.push(wrap(&one_line(&words), width, "  "));
    }
    if let Some(words) = logins(record) {
        blocks.push(wrap(&one_line(&words), width, "  "));
    }
    blocks.join("\n")
}
