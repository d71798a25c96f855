//! How often comparisons of repeated runs err.

use crate::shapes::normal;
use bench::record::{PhaseFigures, RunFigures};
use bench::stats::{ALPHA, runs_to_see};
use bench::verdict::{Change, CompareOptions, compare};
use rand::SeedableRng as _;
use rand_pcg::Pcg64Mcg;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const MARGIN: f64 = 0.05;

/// For runs that vary by so much: the runs asked for, and how often what is said is wrong or right.
pub(crate) fn tables(repetitions: u32) -> Value {
    println!(
        "\nComparisons, {repetitions} of each: runs; nothing changed: difference, worse or better, same; \
         5 % slower: difference; 10 % slower: worse"
    );
    let mut rows = serde_json::Map::new();
    for (name, spread, drift) in [
        ("1 %", 0.01, 0.0),
        ("2 %", 0.02, 0.0),
        ("5 %", 0.05, 0.0),
        ("2 %, drifting by 3 % from run to run, paired", 0.02, 0.03),
    ] {
        // Neighbours on a drifting machine differ by its step as well.
        let apart = (spread * spread + drift * drift / 2.0_f64).sqrt();
        let asked = runs_to_see(MARGIN, apart, ALPHA);
        let cells = rates(asked, spread, drift, repetitions);
        println!("{name:45} {asked:3} {cells:?}");
        let mut row = vec![json!(asked)];
        row.extend(cells.map(|cell| json!(cell)));
        rows.insert(name.to_owned(), json!(row));
    }
    Value::Object(rows)
}

fn rates(asked: u32, spread: f64, drift: f64, repetitions: u32) -> [f64; 5] {
    let mut rng = Pcg64Mcg::seed_from_u64(11);
    let mut counts = [0.0; 5];
    for _ in 0..repetitions {
        let (change, certain) = compared(asked, 1.0, spread, drift, &mut rng);
        counts[0] += f64::from(u8::from(certain));
        counts[1] += f64::from(u8::from(matches!(change, Change::Worse | Change::Better)));
        counts[2] += f64::from(u8::from(change == Change::Same));
        let (_, certain) = compared(asked, 1.05, spread, drift, &mut rng);
        counts[3] += f64::from(u8::from(certain));
        let (change, _) = compared(asked, 1.1, spread, drift, &mut rng);
        counts[4] += f64::from(u8::from(change == Change::Worse));
    }
    counts.map(|count| count / f64::from(repetitions))
}

/// What is said of a p99, and whether its interval excludes that nothing changed.
fn compared(asked: u32, shift: f64, spread: f64, drift: f64, rng: &mut Pcg64Mcg) -> (Change, bool) {
    let (mut old, mut new) = (Vec::new(), Vec::new());
    let mut level = 0.0;
    for pair in 0..asked {
        for side in 0..2 {
            level += drift * normal(rng);
            let is_new = (pair + side) % 2 == 1;
            let value =
                0.1 * (level + spread * normal(rng)).exp() * if is_new { shift } else { 1.0 };
            if is_new { &mut new } else { &mut old }.push(run(value));
        }
    }
    let options = CompareOptions {
        margin: MARGIN,
        paired: drift > 0.0,
    };
    let comparison = compare(&old, &new, options);
    let row = comparison
        .rows
        .iter()
        .find(|row| row.metric == "response.p99");
    let row = row.expect("the metric is there");
    let certain = row
        .ratio
        .as_ref()
        .is_some_and(|ratio| ratio.lower > 1.0 || ratio.upper < 1.0);
    (row.change, certain)
}

fn run(p99: f64) -> RunFigures {
    RunFigures {
        run: String::new(),
        facts: BTreeMap::new(),
        phases: vec![PhaseFigures {
            name: "p".to_owned(),
            values: BTreeMap::from([("response.p99".to_owned(), p99)]),
            not_ok: 0,
            ended: 1000,
        }],
    }
}
