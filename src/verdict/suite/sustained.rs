//! Whether a GPU keeps its speed under load, and whether links between GPUs are as they should be.

use super::{Findings, Verdict};
use crate::record::{Moment, PeerPair, SuiteGpu, SuiteRecord, TestOutcome};
use crate::units;

/// By which share the last third of a sustained load may be slower than its first.
const FADES: f64 = 0.03;
/// How far samples may spread: standard deviation over mean.
const WAVERS: f64 = 0.03;
/// By which share the two directions between two GPUs may differ.
const ASYMMETRY: f64 = 0.1;

pub(super) fn judge(gpu: &SuiteGpu, findings: &mut Findings) {
    for result in &gpu.results {
        let TestOutcome::Measured(measured) = &result.outcome else {
            continue;
        };
        if let Some(reason) = changed(&measured.timeline) {
            let reason = format!("{}: {reason}", result.test);
            findings.add(Verdict::Inconclusive, Some(gpu.ordinal), reason);
        }
    }
}

fn mean(values: impl Iterator<Item = f64> + Clone) -> Option<f64> {
    let count = values.clone().count();
    (count > 0).then(|| values.sum::<f64>() / count as f64)
}

fn changed(timeline: &[Moment]) -> Option<String> {
    let third = timeline.len() / 3;
    if third == 0 {
        return None;
    }
    let (first, last) = (&timeline[..third], &timeline[timeline.len() - third..]);
    let of = |part: &[Moment]| mean(part.iter().map(|moment| moment.value));
    let kept = of(last)? / of(first)?;
    if kept < 1.0 - FADES {
        let clock = |part: &[Moment]| mean(part.iter().filter_map(|moment| moment.sm_clock_mhz));
        let clocks = match (clock(first), clock(last)) {
            (Some(then), Some(now)) => format!(", its clock from {then:.0} to {now:.0} MHz"),
            _ => String::new(),
        };
        return Some(format!(
            "under sustained load its speed fell to {} of what it was at first{clocks}",
            units::percent(kept)
        ));
    }
    let whole = of(timeline)?;
    let squares = timeline
        .iter()
        .map(|moment| (moment.value - whole).powi(2))
        .sum::<f64>();
    let spread = (squares / (timeline.len() - 1).max(1) as f64).sqrt() / whole;
    (spread > WAVERS).then(|| {
        format!(
            "under sustained load its speed wavered: samples spread by {}",
            units::percent(spread)
        )
    })
}

/// Links between GPUs: wrong copies, and directions that differ.
pub(super) fn pairs(record: &SuiteRecord, findings: &mut Findings) {
    for pair in &record.pairs {
        let name = format!("GPU {} to GPU {}", pair.from, pair.to);
        for result in &pair.results {
            if let TestOutcome::Wrong(what) | TestOutcome::Failed(what) = &result.outcome {
                let reason = format!("{}, {name}: {what}", result.test);
                findings.add(Verdict::Fail, None, reason);
            }
        }
        if pair.from > pair.to {
            continue;
        }
        let mut all = record.pairs.iter();
        let back = all.find(|other| (other.from, other.to) == (pair.to, pair.from));
        let (Some(there), Some(back)) = (copied(pair), back.and_then(copied)) else {
            continue;
        };
        if there.min(back) < there.max(back) * (1.0 - ASYMMETRY) {
            let number = units::number;
            let reason = format!(
                "peer.copy, {name}: {} GB/s there and {} GB/s back",
                number(there),
                number(back)
            );
            findings.add(Verdict::Inconclusive, None, reason);
        }
    }
}

fn copied(pair: &PeerPair) -> Option<f64> {
    let mut results = pair.results.iter();
    let result = results.find(|result| result.test == "peer.copy")?;
    match &result.outcome {
        TestOutcome::Measured(measured) => Some(measured.median),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(values: &[f64]) -> Vec<Moment> {
        let moment = |(second, value): (u32, &f64)| Moment {
            second: f64::from(second),
            value: *value,
            sm_clock_mhz: Some(20.0 * value),
            power_watts: None,
            temperature_celsius: None,
            throttled: false,
            power_capped: false,
        };
        (0..).zip(values).map(moment).collect()
    }

    #[test]
    fn fading_and_wavering_are_told_and_steadiness_is_not() {
        let told = |values: &[f64]| changed(&timeline(values)).unwrap_or_default();
        assert_eq!(told(&[100.0, 99.0, 100.0, 101.0, 100.0, 100.0]), "");
        assert_eq!(told(&[100.0, 50.0]), "", "too short to tell");
        assert_eq!(
            told(&[100.0, 100.0, 95.0, 95.0, 90.0, 90.0]),
            "under sustained load its speed fell to 90.0 % of what it was at first, its clock from 2000 to \
             1800 MHz"
        );
        assert!(told(&[100.0, 90.0, 100.0, 90.0, 100.0, 90.0]).contains("wavered"));
    }
}
