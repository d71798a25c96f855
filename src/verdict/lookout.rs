//! Decides gates while their phase goes on, second by second, and the same again from a record.
//!
//! The engine asks it whether a phase or the run may end; the judgement of a record replays what it saw, so
//! that both say the same. It keeps the histograms of a minute, then counts of stretches that grow with the
//! phase: its memory is bounded however long that goes on.

use super::Verdict;
use super::objection::{Objection, Objections, Room, allowed_share};
use crate::gate::{self, Gate};
use crate::record::{
    INTERVAL_NS, Interval, PackedLatencies, PartIndex, PhaseInfo, PhaseRecord, Population,
    RequestInfo, RequestTally, find_part,
};
use crate::stats::{
    Alphas, BurstTally, Cells, Counted, Evidence, Looks, Reserve, ShareBounds, Sides, quiet_s,
    share_bounds,
};

/// What was decided while a phase went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A gate with `abort` has failed: the run ends.
    Abort {
        /// The gate, as the user wrote it.
        gate: String,
    },
    /// One gate of the phase has failed, or all have passed: the phase ends.
    Decided,
}

/// A verdict before the end, and when it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Early {
    pub(super) verdict: Verdict,
    /// Seconds of the measured window.
    pub(super) at_s: u64,
    /// Which look it was, from 1, and how many there could have been.
    pub(super) look: usize,
    pub(super) looks: usize,
}

/// Watches the gates of a phase.
#[derive(Debug)]
pub struct Lookout {
    warmup_ns: u64,
    is_decided_early: bool,
    gates: Vec<Watched>,
}

/// One gate that is looked at.
#[derive(Debug)]
struct Watched {
    text: String,
    gate: Gate,
    objection: Objection,
    part: Option<PartIndex>,
    looks: Looks,
    seen: Seen,
    early: Option<Early>,
}

/// What is known of the seconds so far.
#[derive(Debug)]
enum Seen {
    /// Before the first look, a minute at most: which lower thresholds the design effect is taken at is not
    /// known yet.
    Whole(Vec<RequestTally<PackedLatencies>>),
    Counted(Counts),
}

#[derive(Debug)]
struct Counts {
    /// The objection of the gate with its companions, from the p95 and p99 that were observed by then.
    objections: Objections,
    /// For each of them, the phase in even stretches.
    cells: Vec<Cells>,
    /// The bursts of requests that the gate objects to.
    bursts: BurstTally,
    /// Those of requests near the limit or beyond.
    near_bursts: BurstTally,
    at_least: u64,
}

/// Seconds of which histograms are kept.
const WHOLE_S: usize = 60;

/// How a gate of this phase is looked at; `None` for one that is only judged at the end.
pub(super) fn looks(gate: &Gate, info: &PhaseInfo) -> Option<Looks> {
    let sides = match info.decided_after_ns {
        Some(_) => Sides::Both,
        None if gate.abort => Sides::Fail,
        None => return None,
    };
    let seconds = |ns: u64| ns as f64 / 1e9;
    let minimum = info.decided_after_ns.filter(|ns| *ns > 0).map(seconds);
    let allowed = allowed_share(gate).filter(|_| gate.worst.is_none())?;
    Some(Looks::new(
        seconds(info.duration_ns?),
        allowed,
        sides,
        minimum,
    ))
}

impl Lookout {
    /// What there is to watch in a phase; `None` where everything is judged at the end. `units` are the
    /// requests and flows of the plan.
    pub fn of(info: &PhaseInfo, units: &[RequestInfo]) -> Option<Self> {
        let gates: Vec<Watched> = info
            .gates
            .iter()
            .filter_map(|text| Watched::of(text, info, units))
            .collect();
        (!gates.is_empty()).then_some(Self {
            warmup_ns: info.warmup_ns,
            is_decided_early: info.decided_after_ns.is_some(),
            gates,
        })
    }

    /// Takes notice of the next second of the phase.
    pub fn second(&mut self, interval: &Interval<PackedLatencies>) -> Option<Decision> {
        let counts = &interval.counts;
        let open = counts.in_flight + counts.waiting;
        let of = |population: &Population<PackedLatencies>, at: usize| {
            population.requests().get(at).cloned().unwrap_or_default()
        };
        self.look(u64::from(interval.index), open, |part| match part {
            Some(PartIndex::Unit(unit)) => of(&interval.measured, unit),
            Some(PartIndex::Step(step)) => of(&interval.flow_steps, step),
            None => interval.measured.clone().into_total(),
        })
    }

    fn look(
        &mut self,
        index: u64,
        open: u64,
        tally: impl Fn(Option<PartIndex>) -> RequestTally<PackedLatencies>,
    ) -> Option<Decision> {
        let measured_ns = (index + 1) * INTERVAL_NS;
        let into_ns = measured_ns
            .checked_sub(self.warmup_ns)
            .filter(|ns| *ns > 0)?;
        let second = into_ns / INTERVAL_NS;
        for watched in self.gates.iter_mut().filter(|gate| gate.early.is_none()) {
            watched.take(&tally(watched.part));
            watched.decide(second, open);
        }
        self.decision()
    }

    fn decision(&self) -> Option<Decision> {
        let are = |verdict| {
            let is = move |watched: &&Watched| {
                let early = watched.early.as_ref();
                early.is_some_and(|early| early.verdict == verdict)
            };
            self.gates.iter().filter(is)
        };
        // Of several that fail at one look, one that ends the run counts, wherever it stands.
        if let Some(watched) = are(Verdict::Fail).find(|watched| watched.gate.abort) {
            return Some(Decision::Abort {
                gate: watched.text.clone(),
            });
        }
        let has_failed = are(Verdict::Fail).next().is_some();
        let all_pass = are(Verdict::Pass).count() == self.gates.len();
        (self.is_decided_early && (has_failed || all_pass)).then_some(Decision::Decided)
    }
}

/// What was decided of a gate before the end of its phase, seen from its record.
pub(super) fn replay(phase: &PhaseRecord, text: &str, units: &[RequestInfo]) -> Option<Early> {
    let mut lookout = Lookout::of(&phase.info, units)?;
    lookout.gates.retain(|gate| gate.text == text);
    if lookout.gates.is_empty() {
        return None;
    }
    let last_look = lookout.gates[0].looks.at_s().last().copied()?;
    let end_ns = phase.measured_from_ns + (last_look + 1) * INTERVAL_NS;
    let looked_at = phase.intervals.iter();
    for interval in looked_at.take_while(|interval| interval.from_ns < end_ns) {
        let open = interval.counts.in_flight + interval.counts.waiting;
        let index = (interval.from_ns - phase.started_ns) / INTERVAL_NS;
        lookout.look(index, open, |part| {
            interval.of(part).cloned().unwrap_or_default()
        });
        if let Some(early) = lookout.gates[0].early {
            return Some(early);
        }
    }
    None
}

impl Watched {
    fn of(text: &str, info: &PhaseInfo, units: &[RequestInfo]) -> Option<Self> {
        let gate = gate::parse_with(text, gate::Named::Any).ok()?;
        let looks = looks(&gate, info)?;
        let part = match &gate.part {
            Some(part) => Some(find_part(units, part)?),
            None => None,
        };
        Some(Self {
            text: text.to_owned(),
            objection: Objection::of(&gate)?,
            gate,
            part,
            looks,
            seen: Seen::Whole(Vec::new()),
            early: None,
        })
    }

    fn take(&mut self, tally: &RequestTally<PackedLatencies>) {
        match &mut self.seen {
            Seen::Whole(seconds) => {
                seconds.push(tally.clone());
                if seconds.len() >= WHOLE_S {
                    self.count();
                }
            }
            Seen::Counted(counts) => counts.take(tally),
        }
    }

    fn decide(&mut self, second: u64, open: u64) {
        let Some(alphas) = self.looks.at(second) else {
            return;
        };
        self.count();
        let (Seen::Counted(counts), Some(allowed)) = (&self.seen, allowed_share(&self.gate)) else {
            return;
        };
        let Some(bounds) = counts.bounds(open, alphas) else {
            return;
        };
        let verdict = if bounds.upper < allowed {
            Verdict::Pass
        } else if bounds.lower > allowed {
            Verdict::Fail
        } else {
            return;
        };
        let at_s = self.looks.at_s();
        self.early = Some(Early {
            verdict,
            at_s: second,
            look: at_s.partition_point(|at| *at <= second),
            looks: at_s.len(),
        });
    }

    /// Turns whole seconds into counts.
    fn count(&mut self) {
        let Seen::Whole(whole) = &self.seen else {
            return;
        };
        let mut total = RequestTally::default();
        whole.iter().for_each(|tally| total.merge(tally));
        let objections = self.objection.with_companions(&total);
        let bursts = BurstTally::new(quiet_s(objections.thresholds.len()));
        let mut counts = Counts {
            cells: vec![Cells::default(); objections.all().count()],
            near_bursts: bursts.clone(),
            bursts,
            objections,
            at_least: 0,
        };
        whole.iter().for_each(|tally| counts.take(tally));
        self.seen = Seen::Counted(counts);
    }
}

impl Counts {
    fn take(&mut self, tally: &RequestTally<PackedLatencies>) {
        let own = self.objections.thresholds[0].count(tally);
        self.at_least += own.at_least;
        self.bursts.second(own.second());
        if let Some(room) = &self.objections.reserve {
            self.near_bursts.second(room.near.count(tally).second());
        }
        for (objection, cells) in self.objections.all().zip(&mut self.cells) {
            cells.push(objection.count(tally).second());
        }
    }

    fn bounds(&self, open: u64, alphas: Alphas) -> Option<ShareBounds> {
        let own = self.cells.first()?.as_slice();
        let counted = Counted {
            at_most: own.iter().map(|cell| cell.over).sum(),
            at_least: self.at_least,
            total: own.iter().map(|cell| cell.requests).sum(),
            open,
        };
        let strata = |cells: &Cells| vec![cells.as_slice().to_vec()];
        let (thresholds, room) = self.cells.split_at(self.objections.thresholds.len());
        let reserve = match (&self.objections.reserve, room) {
            (Some(Room { height, .. }), [near, lower]) => Some(Reserve {
                near: strata(near),
                bursts: self.near_bursts.bursts(),
                lower: strata(lower),
                height: *height,
            }),
            _ => None,
        };
        let evidence = Evidence {
            thresholds: thresholds.iter().map(strata).collect(),
            bursts: self.bursts.bursts(),
            reserve,
            is_look: true,
        };
        share_bounds(&evidence, counted, alphas)
    }
}
