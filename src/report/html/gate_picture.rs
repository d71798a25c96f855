//! The small picture beside a gate: interval, observed value and limit on one line.
//!
//! It repeats what the text beside it says; screen readers skip it.

use crate::report::chart::{GateLine, LIMIT_AT};
use crate::verdict::{GateResult, Verdict};

const HEIGHT: f64 = 22.0;
/// The end of the line; beyond it there is room for an arrow.
const END: f64 = 160.0;

/// The picture as SVG; only numbers go into it.
pub(super) fn picture(result: &GateResult) -> String {
    let line = GateLine::of(result);
    let (good_from, good_to) = (line.good.0 * END, line.good.1 * END);
    let mut shapes = format!(
        "<rect class=\"good\" x=\"{good_from:.1}\" y=\"3\" width=\"{:.1}\" height=\"16\"/>\
         <line class=\"track\" x1=\"0\" x2=\"{END}\" y1=\"11\" y2=\"11\"/>",
        good_to - good_from
    );
    if let Some((from, to)) = line.interval {
        let from = (from * END).min(END - 2.0);
        shapes.push_str(&format!(
            "<rect class=\"interval\" x=\"{from:.1}\" y=\"7\" width=\"{:.1}\" height=\"8\" rx=\"2\"/>",
            (to * END - from).max(2.0)
        ));
    }
    if line.goes_on {
        // A value far beyond the limit: the arrow says that the picture ends, not the value.
        let class = if result.verdict == Verdict::Fail {
            "arrow failing"
        } else {
            "arrow"
        };
        shapes.push_str(&format!(
            "<path class=\"{class}\" d=\"M{END} 5.5l7 5.5l-7 5.5z\"/>"
        ));
    }
    // The limit is drawn last: nothing hides it.
    let limit = LIMIT_AT * END;
    shapes.push_str(&format!(
        "<line class=\"at\" x1=\"{limit:.1}\" x2=\"{limit:.1}\" y1=\"0\" y2=\"{HEIGHT}\"/>"
    ));
    if let Some(observed) = line.observed {
        let x = observed * END;
        shapes.push_str(&format!(
            "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"11\" r=\"4\"/>"
        ));
    }
    let width = END + 13.0;
    format!(
        "<svg class=\"picture\" viewBox=\"-5 0 {width:.0} {HEIGHT}\" width=\"{width:.0}\" \
         height=\"{HEIGHT}\" aria-hidden=\"true\">{shapes}</svg>"
    )
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
            assert_eq!(picture.contains("arrow"), is_far, "{name}");
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
