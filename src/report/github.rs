//! Annotations for GitHub Actions: one for each gate that did not pass, and one for the run.
//!
//! Format: <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>. Texts of
//! others are escaped, so that they cannot end a command or begin another.

use super::rows;
use crate::record::RunRecord;
use crate::verdict::{GateResult, Judgement, Verdict};

/// GitHub shows so many of each level for a step; the summary has the others.
const MOST_OF_A_LEVEL: usize = 10;

/// The annotations, one a line. A failed gate is an error and one that could not be judged a warning.
pub fn github_annotations(record: &RunRecord, judgement: &Judgement) -> String {
    let mut lines = Vec::new();
    for (level, verdict) in [("error", Verdict::Fail), ("warning", Verdict::Inconclusive)] {
        // The last place of a level may be the run's own.
        let most = MOST_OF_A_LEVEL - usize::from(judgement.verdict == verdict);
        lines.extend(
            judgement
                .gates
                .iter()
                .filter(|result| result.verdict == verdict)
                .take(most)
                .map(|result| annotation(level, &title(result), &result.why())),
        );
    }
    let level = match judgement.verdict {
        Verdict::Pass => "notice",
        Verdict::Inconclusive => "warning",
        Verdict::Fail => "error",
    };
    let name = format!("bench {}", record.header.scenario.name);
    let mut words = judgement.headline.clone();
    let simulated = rows::simulated(record);
    if !simulated.is_empty() {
        words.push_str(&format!(" (SIMULATED: {})", simulated.join(", ")));
    }
    lines.push(annotation(level, &name, &words));
    lines.concat()
}

fn title(result: &GateResult) -> String {
    format!(
        "{} {}: {}",
        result.verdict, result.gate.scope, result.gate.text
    )
}

fn annotation(level: &str, title: &str, message: &str) -> String {
    let title = escape(title).replace(':', "%3A").replace(',', "%2C");
    format!("::{level} title={title}::{}\n", escape(message))
}

fn escape(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn what_did_not_pass_is_annotated_and_the_run_comes_last() {
        let (record, judgement) = sample::prod();
        insta::assert_snapshot!(github_annotations(record, judgement), @"
        ::error title=FAIL c1000%3A response.p99 < 100ms::at least 99.8 %25 of requests are over 100 ms (95 %25 bound), and only 1 %25 may be; the target is saturated: 10.6 times as many requests in flight as in `c100` brought 1.28 times its throughput, so that they wait in its queue; the generator was busy: its busiest worker was occupied 76.4 %25 of the time, which adds to the upper percentiles
        ::warning title=INCONCLUSIVE c1000%3A error_rate < 1%25::0.972 %25 of requests are not ok, the truth lies between 0.900 %25 and 1.05 %25 at 95 %25 each, and 1 %25 may be; about 400 744 more requests (3 m 10 s more at this rate) would decide; 614 of 63 137 requests did not succeed: status 503 41.8 %25, reset by peer 20.4 %25, no answer in time 18.7 %25
        ::warning title=INCONCLUSIVE c1000%3A gpu.utilization > 70%25::mean 65.5 %25 on GPU 0, between 58.4 %25 and 72.6 %25 at 95 %25 each
        ::error title=bench prod::FAIL: 4 of 7 gates pass; `response.p99 < 100ms` (c1000) failed: at least 99.8 %25 of requests are over 100 ms (95 %25 bound), and only 1 %25 may be; the target is saturated: 10.6 times as many requests in flight as in `c100` brought 1.28 times its throughput, so that they wait in its queue; the generator was busy: its busiest worker was occupied 76.4 %25 of the time, which adds to the upper percentiles (SIMULATED: gpu)
        ");
    }

    #[test]
    fn a_pass_is_one_notice() {
        let (record, judgement) = sample::calm();
        insta::assert_snapshot!(github_annotations(record, judgement), @"::notice title=bench prod::PASS: 3 of 3 gates pass");
    }

    #[test]
    fn texts_of_others_stay_in_their_line() {
        assert_eq!(
            annotation("error", "a: b, c", "x\n::error::y 5%"),
            "::error title=a%3A b%2C c::x%0A::error::y 5%25\n"
        );
        let (record, judgement) = sample::hostile();
        let text = github_annotations(&record, &judgement);
        assert!(text.lines().all(|line| line.starts_with("::")), "{text}");
    }
}
