//! `summary.md`: the result for a pull request, in GitHub's Markdown.
//!
//! Whatever came from a scenario or a server is escaped: it cannot end a table, a code span or a line.

use super::rows::{self, GateRow, PhaseRow};
use crate::record::RunRecord;
use crate::verdict::{Judgement, Verdict};

/// The result as Markdown.
pub fn markdown(record: &RunRecord, judgement: &Judgement) -> String {
    let mut parts = vec![
        format!(
            "## {} {}: {}\n",
            symbol(judgement.verdict),
            judgement.verdict,
            escape(&record.header.scenario.name)
        ),
        format!("{}\n", prose(rows::headline(judgement))),
    ];
    let simulated = rows::simulated(record);
    if !simulated.is_empty() {
        parts.push(format!(
            "> **SIMULATED**: the values of {} are made up. This is no measurement of real hardware.\n",
            escape(&simulated.join(", "))
        ));
    }
    if let Some(reason) = rows::partial(record) {
        parts.push(format!(
            "> **PARTIAL**: the run did not come to its planned end: {}\n",
            prose(&reason)
        ));
    }
    parts.push(gates(judgement));
    parts.push(phases(record));
    parts.push(by_part(record));
    parts.push(doubts(record));
    parts.push(origin(record));
    parts.retain(|part| !part.is_empty());
    parts.join("\n")
}

fn symbol(verdict: Verdict) -> char {
    match verdict {
        Verdict::Pass => '✓',
        Verdict::Fail => '✗',
        Verdict::Inconclusive => '?',
    }
}

fn gates(judgement: &Judgement) -> String {
    if judgement.gates.is_empty() {
        return String::new();
    }
    let mut table =
        "| | Scope | Gate | Observed | 95 % interval | Why |\n|---|---|---|---:|---:|---|\n"
            .to_owned();
    for row in rows::gates(judgement) {
        table.push_str(&gate(&row));
    }
    table
}

fn gate(row: &GateRow<'_>) -> String {
    let verdict = format!("{} {}", symbol(row.verdict), row.verdict);
    // A pass is quiet; what is not one stands out.
    let verdict = if row.verdict == Verdict::Pass {
        verdict
    } else {
        format!("**{verdict}**")
    };
    let interval = if row.interval.is_empty() {
        rows::NOTHING
    } else {
        &row.interval
    };
    format!(
        "| {verdict} | {} | {} | {} | {interval} | {} |\n",
        escape(&row.scope),
        code(row.gate),
        row.observed,
        prose(&row.why)
    )
}

fn phases(record: &RunRecord) -> String {
    let mut text = String::new();
    let all = rows::phases(record);
    if !all.is_empty() {
        text.push_str(
            "| Phase | Load | Requests | Not ok | Rate | p50 | p90 | p99 | p99.9 | Max | Queueing at p99 |\n\
             |---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
        );
        for phase in &all {
            text.push_str(&phase_row(phase));
        }
        text.push_str("\nResponse times of successful requests, from the intended start.\n");
        for (phase, work) in rows::achieved(record) {
            let line = format!("Work of the GPU in {phase}: {work}");
            text.push_str(&format!("\n{}.\n", prose(&line)));
        }
    }
    let missing = rows::phases_not_begun(record);
    if !missing.is_empty() {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("Not begun: {}\n", escape(&missing.join(", "))));
    }
    text
}

fn phase_row(phase: &PhaseRow) -> String {
    let response = &phase.response;
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | **{}** | {} | {} | {} |\n",
        escape(&phase.name),
        phase.load,
        phase.counts.planned,
        phase.counts.error_rate,
        phase.rate,
        response.p50,
        response.p90,
        response.p99,
        response.p999,
        response.max,
        phase.queueing
    )
}

/// Each request, flow and step, where there is more than one.
fn by_part(record: &RunRecord) -> String {
    let all = super::parts::parts(record);
    if all.is_empty() {
        return String::new();
    }
    let mut text =
        "| Phase | Request, flow or step | Requests | Not ok | p50 | p90 | p99 | p99.9 | Max |\n\
                    |---|---|---:|---:|---:|---:|---:|---:|---:|\n"
            .to_owned();
    for part in &all {
        let response = &part.response;
        let name = if part.is_step {
            format!("&nbsp;&nbsp;{}", escape(&part.name))
        } else {
            escape(&part.name)
        };
        text.push_str(&format!(
            "| {} | {name} | {} | {} | {} | {} | **{}** | {} | {} |\n",
            escape(&part.phase),
            part.counts.planned,
            part.counts.error_rate,
            response.p50,
            response.p90,
            response.p99,
            response.p999,
            response.max,
        ));
    }
    text
}

fn doubts(record: &RunRecord) -> String {
    if record.doubts.is_empty() {
        return String::new();
    }
    let mut text = "**Doubts**\n\n".to_owned();
    for doubt in &record.doubts {
        text.push_str(&format!(
            "- {}: {} ({})\n",
            escape(rows::doubt_scope(record, doubt)),
            prose(&doubt.to_string()),
            rows::doubt_weight(doubt)
        ));
    }
    text
}

/// What ran, against what, when.
fn origin(record: &RunRecord) -> String {
    let mut facts = vec![
        format!("run {}", code(&record.header.id)),
        format!("against {}", code(&rows::target(record))),
        rows::started(record),
        rows::duration(record),
    ];
    if let Some(commit) = rows::commit(record) {
        facts.push(format!("commit {}", code(&commit)));
    }
    facts.push(format!("seed {}", record.header.seed));
    format!("<sub>{}</sub>\n", facts.join(" · "))
}

/// Text without any markup of its own, on one line.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' => {
                escaped.push('\\');
                escaped.push(c);
            }
            // Neither a person nor an issue is meant; the comment keeps GitHub from linking one.
            '@' | '#' => {
                escaped.push(c);
                escaped.push_str("<!-- -->");
            }
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Text in a code span. A pipe would end the cell even there, so it is written as GitHub's tables
/// want it; backticks inside are fenced by more of them.
fn code(text: &str) -> String {
    let longest = text
        .split(|c| c != '`')
        .map(str::len)
        .max()
        .unwrap_or_default();
    let fence = "`".repeat(longest + 1);
    let space = if longest > 0 { " " } else { "" };
    let inner: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    format!("{fence}{space}{}{space}{fence}", inner.replace('|', "\\|"))
}

/// A sentence in which pairs of backticks mark code, as reasons and doubts are written.
fn prose(text: &str) -> String {
    let pieces: Vec<&str> = text.split('`').collect();
    if pieces.len().is_multiple_of(2) {
        // A lone backtick marks nothing.
        return escape(text);
    }
    pieces
        .iter()
        .enumerate()
        .map(|(index, piece)| match index % 2 {
            1 => code(piece),
            _ => escape(piece),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_verdict_comes_first() {
        let (record, judgement) = sample::prod();
        insta::assert_snapshot!(markdown(record, judgement), @"
        ## ✗ FAIL: prod

        4 of 7 gates pass; `response.p99 < 100ms` (c1000) failed: at least 99.8 % of requests are over 100 ms (95 % bound), and only 1 % may be; the target is saturated: 10.6 times as many requests in flight as in `c100` brought 1.28 times its throughput, so that they wait in its queue; the generator was busy: its busiest worker was occupied 76.4 % of the time, which adds to the upper percentiles

        > **SIMULATED**: the values of gpu are made up. This is no measurement of real hardware.

        | | Scope | Gate | Observed | 95 % interval | Why |
        |---|---|---|---:|---:|---|
        | ✓ PASS | c100 | `response.p99 < 100ms` | 88.7 ms | 87.9 ms to 89.9 ms | at most 0.506 % of requests are over 100 ms (95 % bound), and 1 % may be; a stall of 1.00 s every 100 s could have been missed, which takes 5 m 00 s to exclude |
        | ✓ PASS | c100 | `error_rate < 1%` | 0.108 % | 0.0814 % to 0.141 % | at most 0.141 % of requests are not ok (95 % bound), and 1 % may be; a stall of 1.00 s every 100 s could have been missed, which takes 5 m 00 s to exclude |
        | ✓ PASS | c100 | `throughput > 1000/s` | 1600/s | 1582/s to 1617/s | 1600/s on average, between 1582/s and 1617/s at 95 % each |
        | **✗ FAIL** | c1000 | `response.p99 < 100ms` | 3.76 s | at least 3.59 s | at least 99.8 % of requests are over 100 ms (95 % bound), and only 1 % may be; the target is saturated: 10.6 times as many requests in flight as in `c100` brought 1.28 times its throughput, so that they wait in its queue; the generator was busy: its busiest worker was occupied 76.4 % of the time, which adds to the upper percentiles |
        | **? INCONCLUSIVE** | c1000 | `error_rate < 1%` | 0.972 % | 0.900 % to 1.05 % | 0.972 % of requests are not ok, the truth lies between 0.900 % and 1.05 % at 95 % each, and 1 % may be; about 400 744 more requests (3 m 10 s more at this rate) would decide; 614 of 63 137 requests did not succeed: status 503 41.8 %, reset by peer 20.4 %, no answer in time 18.7 % |
        | **? INCONCLUSIVE** | c1000 | `gpu.utilization > 70%` | 65.5 % | 58.4 % to 72.6 % | mean 65.5 % on GPU 0, between 58.4 % and 72.6 % at 95 % each |
        | ✓ PASS | run | `gpu.memory < 90%` | 63.4 % | – | maximum 63.4 % on GPU 1 |

        | Phase | Load | Requests | Not ok | Rate | p50 | p90 | p99 | p99.9 | Max | Queueing at p99 |
        |---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|
        | c100 | 100 concurrent | 48 138 | 0.108 % | 1600/s | 48.4 ms | 66.2 ms | **87.6 ms** | 119 ms | 160 ms | 0 ms |
        | c1000 | 1000 concurrent | 63 137 | 0.972 % | 2051/s | 362 ms | 643 ms | **1.12 s** | 3.61 s | 4.52 s | 0 ms |

        Response times of successful requests, from the intended start.

        | Phase | Request, flow or step | Requests | Not ok | p50 | p90 | p99 | p99.9 | Max |
        |---|---|---:|---:|---:|---:|---:|---:|---:|
        | c100 | infer | 38 521 | 0.117 % | 46.1 ms | 59.0 ms | **74.6 ms** | 113 ms | 155 ms |
        | c100 | batch | 9617 | 0.0728 % | 62.2 ms | 79.5 ms | **99.0 ms** | 138 ms | 160 ms |
        | c1000 | infer | 50 519 | 0.980 % | 342 ms | 592 ms | **999 ms** | 3.57 s | 4.42 s |
        | c1000 | batch | 12 618 | 0.943 % | 462 ms | 795 ms | **1.35 s** | 3.67 s | 4.52 s |

        **Doubts**

        - run: the wall clock was set by -1200 ms at 41.0 s; latencies are measured on the monotonic clock (for the reader to weigh)
        - c1000: the generator was busy: its busiest worker was occupied 76.4 % of the time, which adds to the upper percentiles (for the reader to weigh)
        - run: telemetry `gpu` is SIMULATED: its values are made up (for the reader to weigh)

        <sub>run `20260805-123456-prod-7f3a` · against `http://10.0.0.7:8000` · 2026-08-05 12:34:56 UTC · 71.4 s · commit `4b825dc642cb on release/2.4` · seed 42</sub>
        ");
    }

    #[test]
    fn what_did_not_happen_is_said() {
        let (record, judgement) = sample::preflight_failed();
        let text = markdown(record, judgement);
        assert!(
            text.contains("> **PARTIAL**: the run did not come to its planned end"),
            "{text}"
        );
        assert!(text.contains("Not begun: c100, c1000"), "{text}");
        assert!(text.contains("| **? INCONCLUSIVE** | c100 |"), "{text}");
    }

    #[test]
    fn every_row_has_as_many_cells_as_its_head() {
        for (name, (record, judgement)) in sample::all() {
            let text = markdown(&record, &judgement);
            assert!(!without_code(&text).contains("<x-evil"), "{name}: {text}");
            for table in text.split("\n\n").filter(|part| part.starts_with('|')) {
                let cells = |line: &str| line.replace("\\|", "").matches('|').count();
                let head = table.lines().next().map_or(0, cells);
                assert!(
                    table.lines().all(|line| cells(line) == head),
                    "{name}: {table}"
                );
            }
        }
    }

    /// The text without its code spans, in which markup is dead.
    fn without_code(text: &str) -> String {
        let mut rest = text.to_owned();
        let mut kept = String::new();
        while let Some(at) = rest.find('`') {
            let (before, from) = rest.split_at(at);
            kept.push_str(before);
            let fence: String = from.chars().take_while(|c| *c == '`').collect();
            let after = &from[fence.len()..];
            let is_escaped = before.ends_with('\\');
            let end = after.find(&fence).filter(|_| !is_escaped);
            rest = end
                .map_or(after, |end| &after[end + fence.len()..])
                .to_owned();
        }
        kept + &rest
    }

    #[test]
    fn markup_is_escaped() {
        let check = |text: &str, escaped: &str| assert_eq!(escape(text), escaped);
        check("a|b", "a\\|b");
        check("*_`[x]", "\\*\\_\\`\\[x\\]");
        check("<b>&\n", "&lt;b&gt;&amp; ");
        check("@all #1", "@<!-- -->all #<!-- -->1");
        assert_eq!(code("a|b"), "`a\\|b`");
        assert_eq!(code("a`b``c"), "``` a`b``c ```");
        assert_eq!(prose("`a*` is *"), "`a*` is \\*");
        assert_eq!(prose("a lone `"), "a lone \\`");
    }
}
