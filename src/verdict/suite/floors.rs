//! Gates on what was demanded of each GPU, and of what lies between them.

use super::Verdict;
use super::place::{PEER, Place};
use super::speed::{Against, Bounded, SuiteGate};
use crate::record::{Least, SuiteCriteria, SuiteRecord, TestOutcome};
use crate::units;

/// What was demanded of each GPU, and of what lies between them.
pub(super) fn floors(record: &SuiteRecord, criteria: &SuiteCriteria, gates: &mut Vec<SuiteGate>) {
    let (between, alone): (Vec<_>, Vec<_>) = criteria
        .floors
        .iter()
        .partition(|floor| floor.test.starts_with(PEER));
    for (together, gpus) in [(false, &record.gpus), (true, &record.together)] {
        for gpu in gpus {
            let place = Place::on(gpu, together);
            for floor in &alone {
                // At once only some of the tests are run.
                if together && place.outcome(&floor.test).is_none() {
                    continue;
                }
                gates.push(floor_gate(place, &floor.test, &floor.least));
            }
        }
    }
    for floor in between {
        let before = gates.len();
        for pair in &record.pairs {
            let place = Place::between(pair);
            if let Some(reason) = &pair.unreachable {
                gates.push(undecided(place, &floor.test, reason));
            // Both ways at once are measured in one of the two orders.
            } else if place.outcome(&floor.test).is_some() {
                gates.push(floor_gate(place, &floor.test, &floor.least));
            }
        }
        if let (true, Some(gpu)) = (gates.len() == before, record.gpus.first()) {
            let why = "copies between GPUs were not measured: is there one GPU only?";
            gates.push(undecided(Place::on(gpu, false), &floor.test, why));
        }
    }
}

/// A floor of which nothing can be said.
fn undecided(place: Place<'_>, test: &str, why: &str) -> SuiteGate {
    SuiteGate {
        verdict: Verdict::Inconclusive,
        gpu: place.gpu,
        to: place.to,
        together: place.together,
        test: test.to_owned(),
        against: Against::Floor,
        unit: String::new(),
        observed: None,
        lower: None,
        upper: None,
        limit: None,
        samples: 0,
        reason: format!("{}: {why}", place.name(test)),
    }
}

fn floor_gate(place: Place<'_>, test: &str, least: &Least) -> SuiteGate {
    let undecided = |why: &str| undecided(place, test, why);
    let outcome = place.outcome(test);
    let measured = match outcome {
        Some(TestOutcome::Measured(measured)) => measured,
        Some(TestOutcome::Skipped(why)) => return undecided(&format!("skipped: {why}")),
        Some(TestOutcome::Wrong(_) | TestOutcome::Failed(_)) => {
            return undecided("it has no valid result");
        }
        None => return undecided("it did not run"),
    };
    let limit = match least.in_unit(measured) {
        Ok(limit) => limit,
        Err(why) => return undecided(&why),
    };
    let Some(bounded) = Bounded::of(measured) else {
        let few = format!("{} samples are too few", measured.samples);
        return undecided(&few);
    };
    let word = if measured.less_is_better {
        "at most"
    } else {
        "at least"
    };
    let number = units::number;
    SuiteGate {
        verdict: bounded.against(limit, measured.less_is_better),
        unit: measured.unit.clone(),
        observed: Some(bounded.value),
        lower: Some(bounded.lower),
        upper: Some(bounded.upper),
        limit: Some(limit),
        samples: measured.samples,
        reason: format!(
            "{}: {} ({} – {}) {unit}, {word} {} {unit} is demanded{}",
            place.name(test),
            number(bounded.value),
            number(bounded.lower),
            number(bounded.upper),
            number(limit),
            least.explain(),
            unit = measured.unit
        ),
        ..undecided("")
    }
}
