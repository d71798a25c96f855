//! What counters, link and messages say about the health of a GPU.

use super::{Findings, Verdict};
use crate::record::{HEALTH_COUNTERS, Health, HealthCounter, HealthRule, SuiteGpu, SuiteRecord};
use crate::units;

/// From this share of the time on, clocks that heat or the board hold back are a fault; below it they
/// are worth a look.
const SLOWED: f64 = 0.01;

/// Xid messages that a program can cause by itself: graphics exception, memory fault, reset channel
/// errors, stopped processes. They may be those of another program on the same GPU.
const OF_PROGRAMS: [u64; 4] = [13, 31, 43, 45];

pub(super) fn judge(gpu: &SuiteGpu, findings: &mut Findings) {
    let Some(health) = &gpu.health else { return };
    for counter in HEALTH_COUNTERS {
        if let Some((verdict, reason)) = counted(counter, health) {
            findings.add(verdict, Some(gpu.ordinal), reason);
        }
    }
    if !health.before.is_empty() && health.after.is_empty() {
        let reason = format!(
            "its counters could be read before the tests and not after them: {}",
            health.missing.join("; ")
        );
        findings.add(Verdict::Inconclusive, Some(gpu.ordinal), reason);
    }
    let Some(link) = health.link else { return };
    let narrow = link.width < link.widest;
    if narrow || link.generation < link.highest_generation {
        let reason = format!(
            "under load its PCIe link had generation {} with {} lanes, and generation {} with {} lanes is \
             possible here: is it seated well?",
            link.generation, link.width, link.highest_generation, link.widest
        );
        findings.add(Verdict::Fail, Some(gpu.ordinal), reason);
    }
}

fn counted(counter: &HealthCounter, health: &Health) -> Option<(Verdict, String)> {
    let HealthCounter { name, what, .. } = counter;
    let growth = health.growth(name).filter(|growth| *growth > 0);
    match counter.rule {
        HealthRule::Zero => {
            let before = health.before.get(*name).copied().unwrap_or_default();
            let now = health
                .after
                .get(*name)
                .copied()
                .unwrap_or(before)
                .max(before);
            (now > 0).then(|| {
                let new = growth.map_or_else(String::new, |new| {
                    format!(" ({} of them new)", units::count(new))
                });
                let reason = format!("{name}: {} {what}{new}", units::count(now));
                (Verdict::Fail, reason)
            })
        }
        HealthRule::Still | HealthRule::Watch => growth.map(|growth| {
            let verdict = if counter.rule == HealthRule::Still {
                Verdict::Fail
            } else {
                Verdict::Inconclusive
            };
            let reason = format!("{name}: {} {what} during the suite", units::count(growth));
            (verdict, reason)
        }),
        HealthRule::Slowed => growth.map(|nanoseconds| {
            let seconds = nanoseconds as f64 / 1e9;
            let share = seconds / health.seconds.max(f64::MIN_POSITIVE);
            let verdict = if share >= SLOWED {
                Verdict::Fail
            } else {
                Verdict::Inconclusive
            };
            let reason = format!(
                "{name}: clocks were held back {what} for {} ({} of the time)",
                units::seconds(seconds),
                units::percent(share.min(1.0))
            );
            (verdict, reason)
        }),
        HealthRule::Note => None,
    }
}

/// The driver's messages about faults.
pub(super) fn messages(record: &SuiteRecord, findings: &mut Findings) {
    for xid in record.xids.iter().flatten() {
        let mut gpus = record.gpus.iter();
        let gpu = gpus.find(|gpu| gpu.uuid == xid.uuid).map(|gpu| gpu.ordinal);
        let code = xid.code;
        let (verdict, what) = if OF_PROGRAMS.contains(&code) {
            (
                Verdict::Inconclusive,
                "which a program on this GPU can have caused",
            )
        } else {
            (
                Verdict::Fail,
                "which is a fault of the GPU, its link or its driver",
            )
        };
        let whose = if gpu.is_some() {
            String::new()
        } else {
            format!(" about {}", xid.uuid)
        };
        let reason = format!("the driver reported Xid {code}{whose} during the suite, {what}");
        findings.add(verdict, gpu, reason);
    }
}
