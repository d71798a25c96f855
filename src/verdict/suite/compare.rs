//! Compares two records of GPU suites, test by test: better, same, worse or unclear.

use super::Verdict;
use super::place::Place;
use super::speed::{Bounded, depends};
use crate::record::{Difference, Measured, PeerPair, SuiteGpu, SuiteRecord};
use crate::verdict::Change;

/// One test on one GPU.
#[derive(Clone, Debug, PartialEq)]
pub struct SuiteCompareRow {
    /// The GPU's ordinal in the new record.
    pub gpu: u32,
    /// Whether all GPUs worked at once.
    pub together: bool,
    /// Name of the test.
    pub test: String,
    /// Unit of its values.
    pub unit: String,
    /// Median of the old samples.
    pub old: f64,
    /// Median of the new ones; `None` where the test has no result any more.
    pub new: Option<f64>,
    /// New over old with its bounds, the worst cases of both.
    pub ratio: Option<[f64; 3]>,
    /// What that means.
    pub change: Change,
    /// Why, in one sentence.
    pub reason: String,
}

/// The comparison of two records.
#[derive(Clone, Debug, PartialEq)]
pub struct SuiteComparison {
    /// What differs between the conditions, first of all.
    pub differences: Vec<Difference>,
    /// Each test of each GPU that the old record has a result of.
    pub rows: Vec<SuiteCompareRow>,
    /// FAIL if anything is worse, else INCONCLUSIVE if anything is unclear, else PASS.
    pub verdict: Verdict,
    /// One line that says it all.
    pub headline: String,
}

/// Compares a record with an older one. A GPU is that of the same UUID, or else the one of the same model in
/// the same place.
pub fn compare_suites(old: &SuiteRecord, new: &SuiteRecord, margin: f64) -> SuiteComparison {
    let mut differences = conditions(old, new);
    let mut rows = Vec::new();
    for (together, was, is) in [
        (false, &old.gpus, &new.gpus),
        (true, &old.together, &new.together),
    ] {
        // Of one GPU nothing runs at once.
        if together && is.is_empty() {
            continue;
        }
        for before in was {
            let gpu = counterpart(before, is);
            if let Some(gpu) = gpu.filter(|_| !together) {
                differences.extend(of_gpus(before, gpu));
            }
            let now = gpu.map(|gpu| Place::on(gpu, together));
            rows.extend(tests(Place::on(before, together), now, margin));
        }
    }
    // Nor are there copies between GPUs.
    for before in old.pairs.iter().filter(|_| !new.pairs.is_empty()) {
        let now = counterpart_of_pair(before, old, new).map(Place::between);
        rows.extend(tests(Place::between(before), now, margin));
    }
    let count = |change| rows.iter().filter(|row| row.change == change).count();
    let changes = [
        Change::Worse,
        Change::Unclear,
        Change::Better,
        Change::NotWorse,
        Change::Same,
    ];
    let told: Vec<String> = changes
        .into_iter()
        .filter(|change| count(*change) > 0)
        .map(|change| format!("{} {}", count(change), change.as_str()))
        .collect();
    let verdict = rows
        .iter()
        .map(|row| row.change.verdict())
        .max()
        .unwrap_or(Verdict::Inconclusive);
    let first = rows
        .iter()
        .find(|row| row.change == Change::Worse)
        .map(|row| format!("; GPU {} {}: {}", row.gpu, row.test, row.reason));
    let headline = if rows.is_empty() {
        format!(
            "{}: the records have no test of the same GPU in common",
            verdict.as_str()
        )
    } else {
        format!(
            "{}: {}{}",
            verdict.as_str(),
            told.join(", "),
            first.unwrap_or_default()
        )
    };
    SuiteComparison {
        differences,
        rows,
        verdict,
        headline,
    }
}

fn counterpart<'a>(gpu: &SuiteGpu, others: &'a [SuiteGpu]) -> Option<&'a SuiteGpu> {
    let same = |other: &&SuiteGpu| !gpu.uuid.is_empty() && other.uuid == gpu.uuid;
    let place = |other: &&SuiteGpu| other.ordinal == gpu.ordinal && other.name == gpu.name;
    let all = || others.iter();
    all().find(same).or_else(|| all().find(place))
}

/// The copies between the same two GPUs.
fn counterpart_of_pair<'a>(
    pair: &PeerPair,
    old: &SuiteRecord,
    new: &'a SuiteRecord,
) -> Option<&'a PeerPair> {
    let now = |ordinal: u32| {
        let before = old.gpus.iter().find(|gpu| gpu.ordinal == ordinal)?;
        counterpart(before, &new.gpus).map(|gpu| gpu.ordinal)
    };
    let (from, to) = (now(pair.from)?, now(pair.to)?);
    let mut pairs = new.pairs.iter();
    pairs.find(|pair| (pair.from, pair.to) == (from, to))
}

fn differing(what: &str, old: String, new: String) -> Option<Difference> {
    (old != new).then(|| Difference {
        what: what.to_owned(),
        old,
        new,
    })
}

fn or_unknown(value: Option<&String>) -> String {
    value.cloned().unwrap_or_else(|| "unknown".to_owned())
}

fn conditions(old: &SuiteRecord, new: &SuiteRecord) -> Vec<Difference> {
    let told = |flag: bool, yes: &str, no: &str| (if flag { yes } else { no }).to_owned();
    let of = |record: &SuiteRecord| -> [String; 8] {
        [
            told(record.simulated, "simulated", "measured"),
            told(record.quick, "quick", "full"),
            record.kernels.clone(),
            record.bench_version.clone(),
            or_unknown(record.driver.as_ref()),
            or_unknown(record.cuda.as_ref()),
            record.cublaslt.clone(),
            record.seed.to_string(),
        ]
    };
    const WHAT: [&str; 8] = [
        "figures", "effort", "kernels", "bench", "driver", "CUDA", "cuBLASLt", "seed",
    ];
    let pairs = of(old).into_iter().zip(of(new));
    WHAT.iter()
        .zip(pairs)
        .filter_map(|(what, (old, new))| differing(what, old, new))
        .collect()
}

fn of_gpus(old: &SuiteGpu, new: &SuiteGpu) -> Vec<Difference> {
    let watts = |gpu: &SuiteGpu| {
        let watts = gpu.power_limit_watts;
        watts.map_or_else(|| "unknown".to_owned(), |watts| format!("{watts} W"))
    };
    let place = |what: &str| format!("GPU {} {what}", new.ordinal);
    [
        differing(&place("is"), old.uuid.clone(), new.uuid.clone()),
        differing(
            &place("firmware"),
            or_unknown(old.vbios.as_ref()),
            or_unknown(new.vbios.as_ref()),
        ),
        differing(&place("power limit"), watts(old), watts(new)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Each test of a place in the old record, which may be in the new one.
fn tests(
    old: Place<'_>,
    now: Option<Place<'_>>,
    margin: f64,
) -> impl Iterator<Item = SuiteCompareRow> {
    old.measurements()
        .map(move |(test, before)| row(old, now, (test, before), margin))
}

fn row(
    place: Place<'_>,
    now: Option<Place<'_>>,
    (test, old): (&str, &Measured),
    margin: f64,
) -> SuiteCompareRow {
    let shown = now.unwrap_or(place);
    let mut row = SuiteCompareRow {
        gpu: shown.gpu,
        together: shown.together,
        test: shown.name(test),
        unit: old.unit.clone(),
        old: old.median,
        new: None,
        ratio: None,
        change: Change::Unclear,
        reason: "the new record has no result of it".to_owned(),
    };
    let Some(now) = now else {
        "the new record does not have this GPU".clone_into(&mut row.reason);
        return row;
    };
    let Some(new) = now.measured(test).filter(|new| new.unit == old.unit) else {
        return row;
    };
    row.new = Some(new.median);
    let (Some(before), Some(after)) = (Bounded::of(old), Bounded::of(new)) else {
        "too few samples".clone_into(&mut row.reason);
        return row;
    };
    let ratio = after.over(before);
    row.ratio = Some([ratio.value, ratio.lower, ratio.upper]);
    let slack = margin * depends(test).factor();
    row.change = change(ratio, slack, old.less_is_better);
    let signed = |value: f64| format!("{:+.1}", (value - 1.0) * 100.0);
    row.reason = format!(
        "{} % ({} to {}), and {:.1} % matter",
        signed(ratio.value),
        signed(ratio.lower),
        signed(ratio.upper),
        slack * 100.0
    );
    row
}

fn change(ratio: Bounded, slack: f64, less_is_better: bool) -> Change {
    let (low, high) = (1.0 / (1.0 + slack), 1.0 + slack);
    let (surely_less, surely_more) = (ratio.upper < low, ratio.lower > high);
    let (better, worse) = if less_is_better {
        (surely_less, surely_more)
    } else {
        (surely_more, surely_less)
    };
    let not_worse = if less_is_better {
        ratio.upper <= high
    } else {
        ratio.lower >= low
    };
    if better {
        Change::Better
    } else if worse {
        Change::Worse
    } else if ratio.lower >= low && ratio.upper <= high {
        Change::Same
    } else if not_worse {
        Change::NotWorse
    } else {
        Change::Unclear
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_certain_decides_and_times_are_the_other_way_round() {
        let of = |lower, upper, less| {
            let value = f64::midpoint(lower, upper);
            let ratio = Bounded {
                value,
                lower,
                upper,
            };
            change(ratio, 0.05, less)
        };
        for (lower, upper, rate, time) in [
            (1.1, 1.2, Change::Better, Change::Worse),
            (0.8, 0.9, Change::Worse, Change::Better),
            (0.98, 1.02, Change::Same, Change::Same),
            (0.98, 1.2, Change::NotWorse, Change::Unclear),
            (0.8, 1.02, Change::Unclear, Change::NotWorse),
            (0.8, 1.2, Change::Unclear, Change::Unclear),
        ] {
            assert_eq!(
                (of(lower, upper, false), of(lower, upper, true)),
                (rate, time)
            );
        }
    }
}
