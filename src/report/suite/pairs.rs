//! Copies between GPUs, pair by pair, in words.

use crate::record::{SuiteRecord, TestOutcome};
use crate::units;

/// Each pair: which, one way, both ways, latency.
pub(super) fn rows(record: &SuiteRecord) -> Vec<[String; 4]> {
    let row = |pair: &crate::record::PeerPair| {
        let cell = |test: &str| {
            let mut results = pair.results.iter();
            let found = results.find(|result| result.test == test);
            match found.map(|result| &result.outcome) {
                Some(TestOutcome::Measured(measured)) => {
                    format!("{} {}", units::number(measured.median), measured.unit)
                }
                Some(
                    TestOutcome::Wrong(what)
                    | TestOutcome::Failed(what)
                    | TestOutcome::Skipped(what),
                ) => what.clone(),
                None => String::new(),
            }
        };
        let one_way = match &pair.unreachable {
            Some(reason) => reason.clone(),
            None => cell("peer.copy"),
        };
        [
            format!("GPU {} → GPU {}", pair.from, pair.to),
            one_way,
            cell("peer.both_ways"),
            cell("peer.latency"),
        ]
    };
    record.pairs.iter().map(row).collect()
}

/// For a terminal; nothing without pairs.
pub(super) fn console(record: &SuiteRecord, width: usize) -> String {
    if record.pairs.is_empty() {
        return String::new();
    }
    let head = ["pair", "one way", "both ways", "latency"];
    let mut table = crate::report::console::table(&head, 1, width);
    for row in rows(record) {
        table.add_row(row);
    }
    format!("{table}\n\n")
}
