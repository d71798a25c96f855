//! Gates on speed: against the siblings of a GPU, against itself at an earlier time; those against floors are
//! in `floors`.
//!
//! Each compares an interval with a limit: it passes when all of the interval is good, fails when all of
//! it is bad, and is undecided otherwise.

use super::floors::floors;
use super::place::{PEER, Place};
use super::{Finding, Findings, Verdict};
use crate::record::{Measured, PeerPair, SuiteCriteria, SuiteGpu, SuiteRecord};

/// What a GPU is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Against {
    /// The median of so many other GPUs of its model.
    Siblings(usize),
    /// An earlier record, by its id.
    Baseline(String),
    /// A demand.
    Floor,
}

/// One comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct SuiteGate {
    /// How it ended.
    pub verdict: Verdict,
    /// Which GPU, by its ordinal; of a copy between two, where it comes from.
    pub gpu: u32,
    /// Of a copy between two GPUs, where it goes to.
    pub to: Option<u32>,
    /// Whether all GPUs worked at once.
    pub together: bool,
    /// Name of the test.
    pub test: String,
    /// What it was compared with.
    pub against: Against,
    /// `ratio`, or the unit of the test for a floor.
    pub unit: String,
    /// What was observed; `None` where there is nothing to compare.
    pub observed: Option<f64>,
    /// Lower bound of it.
    pub lower: Option<f64>,
    /// Upper bound of it.
    pub upper: Option<f64>,
    /// What it must reach, or must not exceed.
    pub limit: Option<f64>,
    /// How many samples it rests on.
    pub samples: usize,
    /// One sentence.
    pub reason: String,
}

/// What a test depends on beside the GPU, and so by how much it may differ between healthy ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depends {
    Gpu,
    Link,
    Host,
}

pub(super) fn depends(test: &str) -> Depends {
    match test {
        "launch.enqueue" | "launch.round_trip" | "pcie.latency" | "peer.latency" => Depends::Host,
        _ if test.starts_with("pcie.pageable") => Depends::Host,
        _ if test.starts_with("pcie.") || test.starts_with(PEER) => Depends::Link,
        _ => Depends::Gpu,
    }
}

impl Depends {
    pub(super) fn factor(self) -> f64 {
        match self {
            Self::Gpu => 1.0,
            Self::Link => 2.0,
            Self::Host => 5.0,
        }
    }
}

/// The pair of a record with these UUIDs.
fn pair_of<'a>(record: &'a SuiteRecord, uuids: [&str; 2]) -> Option<&'a PeerPair> {
    let mut pairs = record.pairs.iter();
    pairs.find(|pair| uuids_of(record, pair) == Some(uuids))
}

fn uuids_of<'a>(record: &'a SuiteRecord, pair: &PeerPair) -> Option<[&'a str; 2]> {
    let uuid = |ordinal: u32| {
        let gpu = record.gpus.iter().find(|gpu| gpu.ordinal == ordinal)?;
        (!gpu.uuid.is_empty()).then_some(gpu.uuid.as_str())
    };
    Some([uuid(pair.from)?, uuid(pair.to)?])
}

/// A value with its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bounded {
    pub(super) value: f64,
    pub(super) lower: f64,
    pub(super) upper: f64,
}

impl Bounded {
    pub(super) fn of(measured: &Measured) -> Option<Self> {
        Some(Self {
            value: measured.median,
            lower: measured.lower?,
            upper: measured.upper?,
        })
    }

    /// The middle of several.
    fn median(all: &[Self]) -> Option<Self> {
        let middle = |of: fn(&Self) -> f64| {
            let mut values: Vec<f64> = all.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            let last = values.len().checked_sub(1)?;
            Some(f64::midpoint(values[last / 2], values[last.div_ceil(2)]))
        };
        Some(Self {
            value: middle(|it| it.value)?,
            lower: middle(|it| it.lower)?,
            upper: middle(|it| it.upper)?,
        })
    }

    /// This over another; the bounds are those of the worst cases.
    pub(super) fn over(self, other: Self) -> Self {
        Self {
            value: self.value / other.value,
            lower: self.lower / other.upper,
            upper: self.upper / other.lower,
        }
    }

    pub(super) fn against(self, limit: f64, less_is_better: bool) -> Verdict {
        let (all_good, all_bad) = if less_is_better {
            (self.upper <= limit, self.lower > limit)
        } else {
            (self.lower >= limit, self.upper < limit)
        };
        match (all_good, all_bad) {
            (true, _) => Verdict::Pass,
            (_, true) => Verdict::Fail,
            _ => Verdict::Inconclusive,
        }
    }
}

/// All gates of a record.
pub(super) fn gates(
    record: &SuiteRecord,
    criteria: &SuiteCriteria,
    findings: &mut Findings,
) -> Vec<SuiteGate> {
    let mut gates = Vec::new();
    for (together, gpus) in [(false, &record.gpus), (true, &record.together)] {
        siblings(gpus, together, criteria.tolerance, findings, &mut gates);
    }
    if let Some(baseline) = &criteria.baseline {
        against_baseline(record, baseline, criteria.tolerance, findings, &mut gates);
    }
    if record.unavailable.is_none() {
        floors(record, criteria, &mut gates);
    }
    gates
}

/// A gate on a ratio. `what` names the other side.
fn ratio_gate(
    (place, test): (Place<'_>, &str),
    own: &Measured,
    other: Bounded,
    tolerance: f64,
    (against, what): (Against, &str),
) -> Option<SuiteGate> {
    let ratio = Bounded::of(own)?.over(other);
    let slack = tolerance * depends(test).factor();
    let limit = if own.less_is_better {
        1.0 + slack
    } else {
        1.0 - slack
    };
    let verdict = ratio.against(limit, own.less_is_better);
    let percent = |value: f64| format!("{:.1}", value * 100.0);
    let bound = if own.less_is_better {
        "at most"
    } else {
        "at least"
    };
    let reason = format!(
        "{}: {} % ({} – {}) of {what}, {bound} {} % is demanded",
        place.name(test),
        percent(ratio.value),
        percent(ratio.lower),
        percent(ratio.upper),
        percent(limit)
    );
    Some(SuiteGate {
        verdict,
        gpu: place.gpu,
        to: place.to,
        together: place.together,
        test: test.to_owned(),
        against,
        unit: "ratio".to_owned(),
        observed: Some(ratio.value),
        lower: Some(ratio.lower),
        upper: Some(ratio.upper),
        limit: Some(limit),
        samples: own.samples,
        reason,
    })
}

/// Each GPU against the median of the others of its model. With one other there is no telling which of
/// the two is sick.
fn siblings(
    gpus: &[SuiteGpu],
    together: bool,
    tolerance: f64,
    findings: &mut Findings,
    gates: &mut Vec<SuiteGate>,
) {
    for gpu in gpus {
        let others: Vec<&SuiteGpu> = gpus
            .iter()
            .filter(|other| {
                other.ordinal != gpu.ordinal
                    && other.name == gpu.name
                    && other.power_limit_watts == gpu.power_limit_watts
            })
            .collect();
        let place = Place::on(gpu, together);
        for (test, own) in place.measurements() {
            // The host is the same for all, and what differs is its own.
            if depends(test) == Depends::Host {
                continue;
            }
            let known: Vec<Bounded> = others
                .iter()
                .filter_map(|other| Bounded::of(other.measured(test)?))
                .collect();
            let Some(middle) = Bounded::median(&known) else {
                continue;
            };
            let what = format!("the median of its {} siblings", known.len());
            let against = Against::Siblings(known.len());
            let gate = ratio_gate((place, test), own, middle, tolerance, (against, &what));
            match gate {
                Some(gate) if known.len() > 1 => gates.push(gate),
                Some(gate) if gate.verdict == Verdict::Fail => {
                    let reason = format!(
                        "{}: it and its only sibling differ by {:.1} %: one of the two is slow",
                        place.name(test),
                        (gate.observed.unwrap_or(1.0) - 1.0).abs() * 100.0
                    );
                    findings.add(Verdict::Inconclusive, Some(gpu.ordinal), reason);
                }
                _ => {}
            }
        }
    }
}

/// What makes two records of a GPU incomparable.
fn incomparable(old: &SuiteRecord, new: &SuiteRecord) -> Option<String> {
    if old.simulated != new.simulated {
        return Some("one of the two is simulated".to_owned());
    }
    if old.kernels != new.kernels {
        return Some("they were measured with different kernels".to_owned());
    }
    if old.quick != new.quick {
        return Some("one of the two was quick".to_owned());
    }
    None
}

fn against_baseline(
    record: &SuiteRecord,
    baseline: &SuiteRecord,
    tolerance: f64,
    findings: &mut Findings,
    gates: &mut Vec<SuiteGate>,
) {
    let id = &baseline.id;
    if let Some(reason) = incomparable(baseline, record) {
        let reason = format!("cannot be compared with the baseline {id}: {reason}");
        findings.add(Verdict::Inconclusive, None, reason);
        return;
    }
    let mut differs = |what: &str, old: Option<&str>, new: Option<&str>, gpu: Option<u32>| {
        if old != new {
            let told = |value: Option<&str>| value.unwrap_or("unknown").to_owned();
            let reason = format!(
                "{what} was {} in the baseline and is {}",
                told(old),
                told(new)
            );
            findings.0.push(Finding {
                verdict: Verdict::Pass,
                gpu,
                reason,
            });
        }
    };
    let (old, new) = (baseline.driver.as_deref(), record.driver.as_deref());
    differs("the driver", old, new, None);
    let mut lacking = Vec::new();
    let parts = [
        (false, &record.gpus, &baseline.gpus),
        (true, &record.together, &baseline.together),
    ];
    for (together, gpus, old_gpus) in parts {
        for gpu in gpus {
            let Some(old) = old_gpus.iter().find(|old| old.uuid == gpu.uuid) else {
                lacking.push((
                    gpu.ordinal,
                    format!("does not have it{}", at_once(together)),
                ));
                continue;
            };
            if !together {
                let (was, is) = (old.vbios.as_deref(), gpu.vbios.as_deref());
                differs("its firmware", was, is, Some(gpu.ordinal));
                let watts =
                    |gpu: &SuiteGpu| gpu.power_limit_watts.map(|watts| format!("{watts} W"));
                let (was, is) = (watts(old), watts(gpu));
                differs(
                    "its power limit",
                    was.as_deref(),
                    is.as_deref(),
                    Some(gpu.ordinal),
                );
            }
            let places = [Place::on(gpu, together), Place::on(old, together)];
            if !one_against_baseline(places, id, tolerance, gates) {
                let what = format!("has no test in common with it{}", at_once(together));
                lacking.push((gpu.ordinal, what));
            }
        }
    }
    // One that was told to measure no copies between GPUs has none of them.
    let pairs = record.pairs.iter().filter(|_| !baseline.pairs.is_empty());
    for pair in pairs {
        let old = uuids_of(record, pair).and_then(|uuids| pair_of(baseline, uuids));
        let what = match (old, &pair.unreachable) {
            (None, _) => format!("has no copies from it to GPU {}", pair.to),
            (Some(old), Some(reason)) if old.unreachable.is_none() => {
                format!("has copies from it to GPU {}, and now {reason}", pair.to)
            }
            (Some(old), _) => {
                let places = [Place::between(pair), Place::between(old)];
                if one_against_baseline(places, id, tolerance, gates) {
                    continue;
                }
                format!("has no test in common with it to GPU {}", pair.to)
            }
        };
        lacking.push((pair.from, what));
    }
    for old in &baseline.gpus {
        if !old.uuid.is_empty() && record.gpus.iter().all(|gpu| gpu.uuid != old.uuid) {
            let reason = format!("the GPU {} of the baseline {id} is not here", old.uuid);
            findings.add(Verdict::Inconclusive, None, reason);
        }
    }
    for (ordinal, what) in lacking {
        let reason = format!("the baseline {id} {what}");
        findings.add(Verdict::Inconclusive, Some(ordinal), reason);
    }
}

fn at_once(together: bool) -> &'static str {
    if together { " (all at once)" } else { "" }
}

/// Whether anything was to be compared, and was.
fn one_against_baseline(
    [place, old]: [Place<'_>; 2],
    id: &str,
    tolerance: f64,
    gates: &mut Vec<SuiteGate>,
) -> bool {
    let before = gates.len();
    for (test, own) in place.measurements() {
        let Some(before) = old.measured(test).filter(|before| before.unit == own.unit) else {
            continue;
        };
        let Some(bounded) = Bounded::of(before) else {
            continue;
        };
        let against = Against::Baseline(id.to_owned());
        let gate = ratio_gate(
            (place, test),
            own,
            bounded,
            tolerance,
            (against, "the baseline"),
        );
        let Some(mut gate) = gate else { continue };
        if gate.verdict == Verdict::Fail
            && let Some(clock) = slower_clock(own, before)
        {
            gate.reason.push_str(&clock);
        }
        gates.push(gate);
    }
    gates.len() > before || place.measurements().next().is_none()
}

/// Whether the clock explains what was lost: then power, cooling and settings are where to look, and
/// not the chip.
fn slower_clock(own: &Measured, before: &Measured) -> Option<String> {
    let (now, then) = (own.sm_clock_mhz?, before.sm_clock_mhz?);
    let lost = 1.0 - own.median / before.median;
    let clock_lost = 1.0 - now / then;
    (!own.less_is_better && clock_lost > 0.5 * lost).then(|| {
        format!(
            "; the clock was {now:.0} MHz instead of {then:.0}: look at power, cooling and settings"
        )
    })
}
