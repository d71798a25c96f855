//! The tables of `docs/statistics.md`, made from the figures that the bench has measured.
//!
//! A test makes them again from `results.json` and compares, so that the page shows what was measured.

use serde_json::Value;

/// The tables, each with its name in the page.
pub(crate) fn all(results: &Value) -> Vec<(&'static str, String)> {
    vec![
        (
            "percentile-gates",
            percentile_gates(&results["percentile_gates"]),
        ),
        ("percentile-far", percentile_far(&results["percentile_far"])),
        ("error-rate", percentile_gates(&results["error_rate"])),
        (
            "early",
            early(
                &results["early"],
                "latencies",
                &["1 %: the limit", "0.1 %", "0.3 %", "3 %"],
            ),
        ),
        (
            "early-far",
            early(
                &results["early_far"],
                "p99",
                &[
                    "a tenth of the limit",
                    "a fifth",
                    "a half",
                    "twice",
                    "five times",
                ],
            ),
        ),
        (
            "early-queue",
            early(
                &results["early_queue"],
                "at most",
                &["1 %: the limit", "0.1 %", "0.01 %"],
            ),
        ),
        ("leaks", leaks(&results["leaks_1h"])),
        ("leaks-in-all", leaks_in_all(results)),
        ("comparison", comparison(&results["comparison"])),
        ("judging", judging(&results["judging_8h"])),
    ]
}

/// The page with its tables replaced.
///
/// # Panics
/// When the page lacks the place of a table.
pub(crate) fn replaced(page: &str, results: &Value) -> String {
    let mut page = page.to_owned();
    for (name, table) in all(results) {
        let (begin, end) = (
            format!("<!-- {name} -->\n"),
            format!("<!-- end of {name} -->"),
        );
        let from = page.find(&begin).unwrap_or_else(|| panic!("no {begin}")) + begin.len();
        let to = page.find(&end).unwrap_or_else(|| panic!("no {end}"));
        page.replace_range(from..to, &table);
    }
    page
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn percent(value: &Value) -> String {
    format!("{:.1} %", number(value) * 100.0)
}

fn rows(of: &Value) -> impl Iterator<Item = (&String, &Vec<Value>)> {
    of.as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, cells)| Some((name, cells.as_array()?)))
}

const WINDOWS: &str = "| latencies | 30 s | 60 s | 300 s | 1800 s |\n|---|---|---|---|---|\n";

fn percentile_far(of: &Value) -> String {
    let mut text = WINDOWS.to_owned();
    for (name, cells) in rows(of) {
        let cells: Vec<String> = cells.iter().map(percent).collect();
        text.push_str(&format!("| {name} | {} |\n", cells.join(" | ")));
    }
    text
}

fn percentile_gates(of: &Value) -> String {
    let mut text = WINDOWS.to_owned();
    for (name, cells) in rows(of) {
        let cells: Vec<String> = cells
            .iter()
            .map(|cell| format!("{} / {}", percent(&cell[0]), percent(&cell[1])))
            .collect();
        text.push_str(&format!("| {name} | {} |\n", cells.join(" | ")));
    }
    text
}

fn early(of: &Value, what: &str, truths: &[&str]) -> String {
    let rule = "|---".repeat(truths.len());
    let mut text = format!("| {what} | {} |\n|---{rule}|\n", truths.join(" | "));
    for (name, cells) in rows(of) {
        let cells: Vec<String> = cells
            .iter()
            .map(|cell| {
                if cell.is_null() {
                    return "–".to_owned();
                }
                let time = number(&cell[2]) * 100.0;
                format!(
                    "{} / {} in {time:.0} %",
                    percent(&cell[0]),
                    percent(&cell[1])
                )
            })
            .collect();
        text.push_str(&format!("| {name} | {} |\n", cells.join(" | ")));
    }
    text
}

fn leaks(of: &Value) -> String {
    let mut text = "| shape | no leak | 3 MiB/h | 10 MiB/h | 30 MiB/h | 100 MiB/h |\n|---|---|---|---|---|---|\n".to_owned();
    for (name, cells) in rows(&of["fail_pass"]) {
        let cells: Vec<String> = cells
            .iter()
            .take(5)
            .map(|cell| format!("{:.2}/{:.2}", number(&cell[0]), number(&cell[1])))
            .collect();
        text.push_str(&format!("| {name} | {} |\n", cells.join(" | ")));
    }
    text
}

fn leaks_in_all(results: &Value) -> String {
    let mut text = "| healthy shapes | false FAIL | PASS |\n|---|---|---|\n".to_owned();
    for (name, of) in [
        ("an hour", &results["leaks_1h"]),
        ("a night of 8 h", &results["leaks_8h"]),
    ] {
        let line = format!(
            "| {name} | {} | {} |\n",
            percent(&of["false_fail"]),
            percent(&of["pass"])
        );
        text.push_str(&line);
    }
    text
}

fn comparison(of: &Value) -> String {
    let mut text = "| runs vary by | runs on each side | nothing changed: certain difference | worse or better | same | \
                    5 % slower: certain difference | 10 % slower: worse |\n|---|---|---|---|---|---|---|\n"
        .to_owned();
    for (name, cells) in rows(of) {
        let shares: Vec<String> = cells.iter().skip(1).map(percent).collect();
        text.push_str(&format!(
            "| {name} | {} | {} |\n",
            cells[0],
            shares.join(" | ")
        ));
    }
    text
}

fn judging(of: &Value) -> String {
    let mut text = "| gates on eight hours | by the clock | CPU time |\n|---|---|---|\n".to_owned();
    for (name, cells) in rows(of) {
        let name = match name.as_str() {
            "all" => "all of them".to_owned(),
            gate => format!("`{gate}`"),
        };
        let seconds = |at: usize| format!("{:.2} s", number(&cells[at]));
        text.push_str(&format!("| {name} | {} | {} |\n", seconds(0), seconds(1)));
    }
    text
}
