//! The small picture beside a gate: interval, observed value and limit on one line.
//!
//! The limit stands at the same place in every row, so that a column of pictures reads at a glance.
//! It repeats what the text beside it says; screen readers skip it.

use crate::gate::Op;
use crate::verdict::{GateResult, Verdict};

const WIDTH: f64 = 168.0;
const HEIGHT: f64 = 22.0;
/// Where the limit stands.
const LIMIT_AT: f64 = 0.6 * WIDTH;
/// The end of the line; beyond it there is room for an arrow.
const END: f64 = WIDTH - 8.0;

/// The picture as SVG; only numbers go into it.
pub(super) fn picture(result: &GateResult) -> String {
    let gate = &result.gate.gate;
    let limit = gate.limit.value;
    let has_data = result.observed.is_some() || result.lower.is_some() || result.upper.is_some();
    let place = |value: f64| {
        let share = if limit > 0.0 {
            value / limit
        } else {
            1.0 + value
        };
        (share * LIMIT_AT).max(0.0)
    };
    let (good_from, good_to) = match gate.op {
        Op::Below => (0.0, LIMIT_AT),
        Op::Above => (LIMIT_AT, END),
    };
    let mut shapes = format!(
        "<rect class=\"good\" x=\"{good_from}\" y=\"3\" width=\"{:.1}\" height=\"16\"/>\
         <line class=\"track\" x1=\"0\" x2=\"{END}\" y1=\"11\" y2=\"11\"/>",
        good_to - good_from
    );
    if has_data {
        shapes.push_str(&bar(result, &place));
    }
    // The limit is drawn last: nothing hides it.
    shapes.push_str(&format!(
        "<line class=\"at\" x1=\"{LIMIT_AT:.1}\" x2=\"{LIMIT_AT:.1}\" y1=\"0\" y2=\"{HEIGHT}\"/>"
    ));
    if let Some(observed) = result.observed {
        let x = place(observed);
        if x <= END {
            shapes.push_str(&format!(
                "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"11\" r=\"4\"/>"
            ));
        }
    }
    format!(
        "<svg class=\"picture\" viewBox=\"-5 0 {:.0} {HEIGHT}\" width=\"{:.0}\" height=\"{HEIGHT}\" \
         aria-hidden=\"true\">{shapes}</svg>",
        WIDTH + 5.0,
        WIDTH + 5.0
    )
}

/// The interval, with an arrow where it goes beyond the picture.
fn bar(result: &GateResult, place: &dyn Fn(f64) -> f64) -> String {
    let failing = result.verdict == Verdict::Fail;
    let known = |value: Option<f64>, else_at: f64| value.map_or(else_at, place);
    let observed = result.observed.map(place);
    // Without a bound the interval is open on that side, unless there is no interval at all.
    let has_interval = result.lower.is_some() || result.upper.is_some();
    let (from, to) = if has_interval {
        (known(result.lower, 0.0), known(result.upper, f64::INFINITY))
    } else {
        let at = observed.unwrap_or(0.0);
        (at, at)
    };
    let beyond = to > END;
    let (from, to) = (from.min(END - 2.0), to.min(END));
    let mut shapes = String::new();
    if has_interval {
        shapes.push_str(&format!(
            "<rect class=\"interval\" x=\"{from:.1}\" y=\"7\" width=\"{:.1}\" height=\"8\" rx=\"2\"/>",
            (to - from).max(2.0)
        ));
    }
    if beyond || observed.is_some_and(|at| at > END) {
        // A value far beyond the limit: the arrow says that the picture ends, not the value.
        let class = if failing { "arrow failing" } else { "arrow" };
        shapes.push_str(&format!(
            "<path class=\"{class}\" d=\"M{END} 5.5l7 5.5l-7 5.5z\"/>"
        ));
    }
    shapes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn pictures() -> Vec<(String, String)> {
        let (_, judgement) = sample::prod();
        let name = |result: &GateResult| format!("{} {}", result.gate.scope, result.gate.text);
        judgement
            .gates
            .iter()
            .map(|result| (name(result), picture(result)))
            .collect()
    }

    #[test]
    fn a_value_far_beyond_the_limit_is_an_arrow_and_not_a_dot() {
        for (name, picture) in pictures() {
            let is_far = name == "c1000 response.p99 < 100ms" || name == "c100 throughput > 1000/s";
            assert_eq!(
                picture.contains("arrow"),
                is_far || name.contains("c1000 error_rate")
            );
            assert_eq!(picture.contains("dot"), !is_far, "{name}");
        }
    }

    #[test]
    fn without_data_there_is_only_the_limit() {
        let (_, judgement) = sample::preflight_failed();
        for result in &judgement.gates {
            let picture = picture(result);
            assert!(picture.contains("class=\"at\""));
            assert!(!picture.contains("dot") && !picture.contains("interval"));
        }
    }
}
