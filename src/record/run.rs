//! The run record: a fold over the journal.
//!
//! After a clean end, after a crash or a year later, [`RunRecord::from_journal`] builds it, and every
//! verdict and report reads nothing else.

use super::doubt::Doubt;
use super::figures::{Baseline, RunFigures, differences};
use super::instrument::Instrument;
use super::journal::{Entry, Header, JOURNAL_VERSION};
use super::login::{LoginRecord, longest_lapse};
use super::phase::PhaseRecord;
use super::series::{Series, Source, SourceState};
use super::tally::ErrorKey;
use crate::stats::{self, ALPHA, Budget, Envelope, Finding};

/// Everything that is known about a run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRecord {
    /// What was going to happen.
    pub header: Header,
    /// What happened in each phase that began.
    pub phases: Vec<PhaseRecord>,
    /// Telemetry.
    pub sources: Vec<Source>,
    /// Every login, in order.
    pub logins: Vec<LoginRecord>,
    /// Whatever weakens the measurement.
    pub doubts: Vec<Doubt>,
    /// The runs that it is compared with, if it is.
    pub baseline: Option<Baseline>,
    /// When the run ended, or the last moment that is known of it, in nanoseconds since its start.
    pub ended_ns: u64,
}

/// Why a journal is not a run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// It has no entry at all, or does not begin with [`Entry::RunStarted`].
    #[error("the journal does not begin with the start of a run")]
    NoStart,
    /// It was written by a newer version.
    #[error(
        "the journal has version {found}, and this bench reads up to {JOURNAL_VERSION}: use a newer bench"
    )]
    Newer {
        /// The version found.
        found: u32,
    },
    /// An entry contradicts those before it.
    #[error("entry {position} of the journal makes no sense: {reason}")]
    Contradiction {
        /// Its position, from 1.
        position: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl RunRecord {
    /// Builds the record from the entries of a journal.
    ///
    /// # Errors
    /// When the entries are not those of a run. A journal that merely ends too early is one.
    pub fn from_journal(entries: impl IntoIterator<Item = Entry>) -> Result<Self, FoldError> {
        let mut entries = entries.into_iter();
        let Some(Entry::RunStarted(header)) = entries.next() else {
            return Err(FoldError::NoStart);
        };
        if header.version > JOURNAL_VERSION {
            return Err(FoldError::Newer {
                found: header.version,
            });
        }
        let mut record = Self {
            header: *header,
            phases: Vec::new(),
            sources: Vec::new(),
            logins: Vec::new(),
            doubts: Vec::new(),
            baseline: None,
            ended_ns: 0,
        };
        let mut has_end = false;
        for (position, entry) in entries.enumerate() {
            has_end = matches!(entry, Entry::RunEnded { .. });
            record
                .apply(entry)
                .map_err(|reason| FoldError::Contradiction {
                    position: position + 2,
                    reason,
                })?;
        }
        record.close(has_end);
        Ok(record)
    }

    fn apply(&mut self, entry: Entry) -> Result<(), String> {
        match entry {
            Entry::RunStarted(_) => return Err("the run starts twice".to_owned()),
            Entry::Sources { sources } => {
                self.sources = sources.into_iter().map(Source::new).collect();
            }
            Entry::PhaseStarted { phase, at_ns } => {
                let info = self
                    .header
                    .phases
                    .get(phase)
                    .ok_or_else(|| format!("there is no phase {phase}"))?;
                self.phases
                    .push(PhaseRecord::new(phase, info.clone(), at_ns));
                self.seen(at_ns);
            }
            Entry::Interval { phase, interval } => {
                let record = self.phase_mut(phase)?;
                record.add(*interval);
                let end = record.intervals_end_ns();
                self.seen(end);
            }
            Entry::Samples(samples) => {
                if let Some(&last) = samples.at_ns.last() {
                    self.seen(last);
                }
                let source = samples.source;
                self.sources
                    .get_mut(source)
                    .ok_or_else(|| format!("there is no telemetry source {source}"))?
                    .append(samples)?;
            }
            Entry::PhaseEnded {
                phase,
                measured_from_ns,
                measured_to_ns,
                at_ns,
            } => {
                let record = self.phase_mut(phase)?;
                record.measured_from_ns = measured_from_ns;
                record.measured_to_ns = measured_to_ns;
                record.ended_ns = Some(at_ns);
                self.seen(at_ns);
            }
            Entry::Baseline(baseline) => self.baseline = Some(*baseline),
            Entry::Login(login) => {
                self.seen(login.at_ns.saturating_add(login.took_ns));
                self.logins.push(login);
            }
            Entry::Doubt(doubt) => self.doubts.push(doubt),
            Entry::RunEnded { at_ns } => self.seen(at_ns),
        }
        Ok(())
    }

    fn phase_mut(&mut self, phase: usize) -> Result<&mut PhaseRecord, String> {
        self.phases
            .iter_mut()
            .find(|record| record.index == phase)
            .ok_or_else(|| format!("phase {phase} has not begun"))
    }

    fn seen(&mut self, at_ns: u64) {
        self.ended_ns = self.ended_ns.max(at_ns);
    }

    /// Adds what only shows when everything is known.
    fn close(&mut self, has_end: bool) {
        let ended_ns = self.ended_ns;
        for phase in &mut self.phases {
            phase.close(ended_ns);
        }
        self.compare_circumstances();
        if let Some((from_ns, for_ns)) = longest_lapse(&self.logins, ended_ns) {
            self.doubts.push(Doubt::TokenLapsed { from_ns, for_ns });
        }
        let derived: Vec<Doubt> = self.phases.iter().flat_map(PhaseRecord::doubts).collect();
        self.doubts.extend(derived);
        let of_instrument: Vec<Doubt> = self
            .phases
            .iter()
            .flat_map(|phase| Instrument::of(self, phase).doubts(phase.index))
            .collect();
        self.doubts.extend(of_instrument);
        for source in &self.sources {
            if source.info.simulated && source.info.state == SourceState::Present {
                self.doubts.push(Doubt::Simulated {
                    source: source.info.name.clone(),
                });
            }
        }
        let compute = self.header.environment.compute.as_ref();
        if compute.is_some_and(|compute| compute.simulated) {
            self.doubts.push(Doubt::Simulated {
                source: "reference".to_owned(),
            });
        }
        let grown = self
            .phases
            .iter()
            .filter_map(|phase| self.generator_growth(phase));
        let grown: Vec<Doubt> = grown.collect();
        self.doubts.extend(grown);
        if !has_end {
            self.doubts.push(Doubt::CutOff {
                at_ns: self.ended_ns,
            });
        }
    }

    /// What a comparison with the baseline must be read with.
    fn compare_circumstances(&mut self) {
        let Some(baseline) = &self.baseline else {
            return;
        };
        let own = RunFigures::of(self);
        let found = differences(&baseline.runs, &[own]);
        self.doubts
            .extend(found.into_iter().map(Doubt::BaselineDiffers));
    }

    /// The control of every leak gate: this program under the same rule.
    fn generator_growth(&self, phase: &PhaseRecord) -> Option<Doubt> {
        const LIMIT_BYTES_PER_SECOND: f64 = 10.0 * 1_048_576.0 / 3600.0;
        const LEAST_VARIANCE: f64 = 0.05 * 1_048_576.0 * 1_048_576.0;
        let from_ns = phase.measured_from_ns + phase.measured_ns() / 5;
        let series = self.series("generator.memory").next()?;
        let seconds = series.each_second(from_ns, phase.measured_to_ns);
        let known: Vec<f64> = seconds.into_iter().flatten().collect();
        let growth = stats::growth(
            &Envelope::of(&known, 1.0)?,
            &Budget {
                per_second: LIMIT_BYTES_PER_SECOND,
                quantum: 0.0,
                least_variance: LEAST_VARIANCE,
                headroom: None,
                alpha: ALPHA,
            },
        );
        (growth.finding == Finding::Growing).then_some(Doubt::GeneratorGrows {
            phase: phase.index,
            bytes_per_second: growth.rate,
        })
    }

    /// Whether the run did not come to its planned end.
    pub fn is_partial(&self) -> bool {
        self.doubts.iter().any(Doubt::forbids_pass) || self.phases.len() < self.header.phases.len()
    }

    /// Whether anything in it is made up.
    pub fn is_simulated(&self) -> bool {
        self.doubts
            .iter()
            .any(|doubt| matches!(doubt, Doubt::Simulated { .. }))
    }

    /// The name of what an error befell: the request, or the step of the flow.
    pub fn name_of(&self, error: &ErrorKey) -> Option<String> {
        if let Some(step) = error.step {
            return self.header.step_names().nth(step);
        }
        let unit = self.header.requests.get(error.request)?;
        Some(unit.name.clone())
    }

    /// The series of a metric, one for each instance.
    pub fn series<'a>(&'a self, metric: &'a str) -> impl Iterator<Item = Series<'a>> {
        self.sources
            .iter()
            .flat_map(move |source| source.of(metric))
    }

    /// The source that is responsible for a metric: by the first part of its name.
    pub fn source_of(&self, metric: &str) -> Option<&Source> {
        let family = metric.split('.').next().unwrap_or_default();
        self.sources
            .iter()
            .find(|source| source.info.name == family)
    }
}
