//! Requests over the limits of all gates of a judgement, second by second, counted in one pass over the
//! histograms: a soak of hours has tens of thousands of seconds, and a summary of it dozens of limits.

use super::objection::Objection;
use super::{ScopedGate, Subject, phases_of};
use crate::gate::LatencyKind;
use crate::record::{Over, PartIndex, PhaseRecord, RunRecord};
use crate::stats::Second;

/// What was counted.
#[derive(Default)]
pub(super) struct Tallied {
    rows: Vec<Row>,
}

/// The seconds of one kind of latency in one phase.
struct Row {
    phase: usize,
    part: Option<PartIndex>,
    kind: LatencyKind,
    /// In ascending order, in nanoseconds.
    limits_ns: Vec<u64>,
    /// For each limit, each second in which a request ended.
    seconds: Vec<Vec<Second>>,
}

impl Tallied {
    /// Counts for the gates on shares of requests.
    pub(super) fn of(record: &RunRecord, gates: &[ScopedGate]) -> Self {
        let mut all = Self::default();
        let nothing = Self::default();
        for gate in gates {
            let is_share = gate.gate.worst.is_none() && gate.gate.baseline.is_none();
            let Some(objection) = Objection::of(&gate.gate).filter(|_| is_share) else {
                continue;
            };
            let phases = phases_of(record, gate);
            let part = match &gate.gate.part {
                None => None,
                Some(part) => match record.header.find_part(part) {
                    None => continue,
                    found => found,
                },
            };
            let subject = Subject {
                phases: &phases,
                tallied: &nothing,
                part,
            };
            for objection in objection.with_companions(&subject.total()).all() {
                let Objection::Slower(kind, limit_ns) = objection else {
                    continue;
                };
                for phase in &phases {
                    all.ask(phase.index, part, kind, limit_ns);
                }
            }
        }
        for row in &mut all.rows {
            let phases: Vec<&PhaseRecord> = record
                .phases
                .iter()
                .filter(|phase| phase.index == row.phase)
                .collect();
            row.count(&Subject {
                phases: &phases,
                tallied: &nothing,
                part: row.part,
            });
        }
        all
    }

    fn ask(&mut self, phase: usize, part: Option<PartIndex>, kind: LatencyKind, limit_ns: u64) {
        let known = self.rows.iter().position(|row| row.is(phase, part, kind));
        let at = known.unwrap_or_else(|| {
            self.rows.push(Row {
                phase,
                part,
                kind,
                limits_ns: Vec::new(),
                seconds: Vec::new(),
            });
            self.rows.len() - 1
        });
        let limits = &mut self.rows[at].limits_ns;
        if let Err(place) = limits.binary_search(&limit_ns) {
            limits.insert(place, limit_ns);
        }
    }

    /// The seconds of a phase in which a request of the subject ended, with those that are objected to.
    pub(super) fn seconds(
        &self,
        subject: &Subject<'_>,
        phase: &PhaseRecord,
        objection: Objection,
    ) -> Vec<Second> {
        if let Objection::Slower(kind, limit_ns) = objection {
            let mut rows = self.rows.iter();
            let row = rows.find(|row| row.is(phase.index, subject.part, kind));
            let counted = row.and_then(|row| {
                let at = row.limits_ns.binary_search(&limit_ns).ok()?;
                row.seconds.get(at)
            });
            if let Some(counted) = counted {
                return counted.clone();
            }
        }
        subject
            .seconds(phase)
            .map(|(_, tally)| objection.count(tally).second())
            .collect()
    }
}

impl Row {
    fn is(&self, phase: usize, part: Option<PartIndex>, kind: LatencyKind) -> bool {
        (self.phase, self.part, self.kind) == (phase, part, kind)
    }

    fn count(&mut self, subject: &Subject<'_>) {
        self.seconds = vec![Vec::new(); self.limits_ns.len()];
        let mut over = vec![Over::default(); self.limits_ns.len()];
        for phase in subject.phases {
            for (_, tally) in subject.seconds(phase) {
                tally.over_each(self.kind, &self.limits_ns, &mut over);
                for (seconds, over) in self.seconds.iter_mut().zip(&over) {
                    seconds.push(over.second());
                }
            }
        }
    }
}
