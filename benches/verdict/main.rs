//! How often the verdicts err, by seeded simulation, and how long they take.
//!
//! `cargo bench --bench verdict` prints the figures; `-- --write` also keeps them in `results.json` and
//! writes the tables of `docs/statistics.md`; `-- --quick` takes a fifth of the repetitions, and
//! `-- percentile_gates early` measures these sections only and keeps the others as they are.
#![expect(clippy::print_stdout, reason = "the tables are the result")]

mod comparisons;
mod gates;
mod shapes;
mod speed;
mod tables;

use bench::stats::{ALPHA, Budget, Envelope, Finding, growth};
use serde_json::{Value, json};

/// Measures with so many repetitions.
type Measure = fn(u32) -> Value;

/// What is measured, each by its name in the results.
const SECTIONS: [(&str, Measure); 10] = [
    ("percentile_gates", |repetitions| {
        gates::tables(gates::Objection::Slower, repetitions * 3)
    }),
    ("percentile_far", |repetitions| gates::far(repetitions * 3)),
    ("error_rate", |repetitions| {
        gates::tables(gates::Objection::NotOk, repetitions * 3)
    }),
    ("early", gates::early),
    ("early_far", gates::early_far),
    ("early_queue", gates::early_of_a_queue),
    ("leaks_1h", |repetitions| leaks(1.0, repetitions)),
    ("leaks_8h", |repetitions| leaks(8.0, repetitions / 4)),
    ("comparison", |repetitions| {
        comparisons::tables(repetitions * 40)
    }),
    ("judging_8h", |_| speed::judging()),
];

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    // `cargo test` builds and runs benches too; it wants to know that they work, not how well.
    let measures = std::env::args().any(|arg| arg == "--bench");
    if !measures {
        return;
    }
    let repetitions = if quick { 20 } else { 100 };
    let named: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"))
        .collect();
    let mut result = kept();
    for (name, measure) in SECTIONS {
        if named.is_empty() || named.iter().any(|wanted| wanted == name) {
            result[name] = measure(repetitions);
        }
    }
    println!("\n{result}");
    if std::env::args().any(|arg| arg == "--write") {
        write(&result);
    }
}

/// What was measured before; what is measured now takes its place.
#[expect(
    clippy::disallowed_methods,
    reason = "this reads a file of the repository"
)]
fn kept() -> Value {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("benches/verdict/results.json"));
    text.ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_else(|| json!({}))
}

/// Keeps the figures, and puts them into the page.
#[expect(
    clippy::disallowed_methods,
    reason = "this writes two files of the repository"
)]
fn write(result: &Value) {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = root.join("docs/statistics.md");
    let text = std::fs::read_to_string(&page).expect("the page is there");
    std::fs::write(&page, tables::replaced(&text, result)).expect("it can be written");
    let kept = serde_json::to_string_pretty(result).expect("numbers and text");
    let results = root.join("benches/verdict/results.json");
    std::fs::write(results, format!("{kept}\n")).expect("it can be written");
}

/// FAIL and PASS by shape and leak, with a budget of 10 MiB/h.
fn leaks(hours: f64, repetitions: u32) -> Value {
    const RATES: [f64; 6] = [0.0, 3.0, 10.0, 30.0, 100.0, 300.0];
    println!("\nGrowth gates, {hours} h, budget 10 MiB/h, {repetitions} runs each: FAIL/PASS");
    println!(
        "{:15} {}",
        "MiB/h",
        RATES.map(|rate| format!("{rate:>10}")).concat()
    );
    let mut rows = serde_json::Map::new();
    let (mut alarms, mut acquittals, mut healthy) = (0.0, 0.0, 0.0);
    for shape in shapes::ALL {
        let rates = RATES.map(|rate| leak_rates(shape, hours, rate, repetitions));
        let cells = rates
            .map(|(fail, pass)| format!(" {fail:.3}/{pass:.2}"))
            .concat();
        println!("{:15} {cells}", shape.name);
        if shape.healthy {
            alarms += rates[0].0;
            acquittals += rates[0].1;
            healthy += 1.0;
        }
        rows.insert(shape.name.to_owned(), json!(rates));
    }
    println!(
        "healthy shapes: false FAIL {:.4}, PASS {:.3}",
        alarms / healthy,
        acquittals / healthy
    );
    json!({ "rates": RATES, "fail_pass": rows, "false_fail": alarms / healthy, "pass": acquittals / healthy })
}

fn leak_rates(shape: shapes::Shape, hours: f64, rate: f64, repetitions: u32) -> (f64, f64) {
    let budget = Budget {
        per_second: 10.0 / 3600.0,
        quantum: shape.quantum,
        least_variance: (shape.quantum * shape.quantum / 12.0).max(0.05),
        headroom: None,
        alpha: ALPHA,
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few hours in seconds"
    )]
    let seconds = (hours * 3600.0) as usize;
    let (mut fail, mut pass) = (0.0, 0.0);
    for seed in 0..u64::from(repetitions) {
        let series = shapes::series(shape, seconds, rate, 1000 + seed);
        let envelope = Envelope::of(&series[seconds / 5..], 1.0).expect("enough samples");
        match growth(&envelope, &budget).finding {
            Finding::Growing => fail += 1.0,
            Finding::Bounded => pass += 1.0,
            Finding::Unclear(_) => {}
        }
    }
    let all = f64::from(repetitions);
    (fail / all, pass / all)
}
