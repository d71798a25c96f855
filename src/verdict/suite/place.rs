//! Where tests of a suite ran, and what they measured there.

use crate::record::{Measured, PeerPair, SuiteGpu, TestOutcome, TestResult};

/// How the names of tests between two GPUs begin.
pub(super) const PEER: &str = "peer.";

/// Where tests ran: on a GPU by itself, on all of them at once, or between two.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) gpu: u32,
    pub(super) to: Option<u32>,
    pub(super) together: bool,
    results: &'a [TestResult],
}

impl<'a> Place<'a> {
    pub(super) fn on(gpu: &'a SuiteGpu, together: bool) -> Self {
        Self {
            gpu: gpu.ordinal,
            to: None,
            together,
            results: &gpu.results,
        }
    }

    pub(super) fn between(pair: &'a PeerPair) -> Self {
        Self {
            gpu: pair.from,
            to: Some(pair.to),
            together: false,
            results: &pair.results,
        }
    }

    /// A test with what is special about where it ran.
    pub(super) fn name(&self, test: &str) -> String {
        match self.to {
            Some(to) => format!("{test} to GPU {to}"),
            None if self.together => format!("{test} (all at once)"),
            None => test.to_owned(),
        }
    }

    /// What was measured here.
    pub(super) fn measurements(self) -> impl Iterator<Item = (&'a str, &'a Measured)> {
        self.results
            .iter()
            .filter_map(|result| match &result.outcome {
                TestOutcome::Measured(measured) => Some((result.test.as_str(), measured)),
                _ => None,
            })
    }

    /// What a test measured here, if it did.
    pub(super) fn measured(self, test: &str) -> Option<&'a Measured> {
        let mut all = self.measurements();
        all.find(|(name, _)| *name == test).map(|found| found.1)
    }

    pub(super) fn outcome(self, test: &str) -> Option<&'a TestOutcome> {
        let mut results = self.results.iter();
        let found = results.find(|result| result.test == test);
        found.map(|result| &result.outcome)
    }
}
