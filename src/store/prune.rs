//! Which runs may go.

use super::baselines::Baselines;
use super::journal::is_being_written;
use super::runs::StoredRun;
use crate::verdict::Verdict;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What is kept. A run goes only if no rule keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The newest so many of each scenario and environment.
    pub keep_last: Option<usize>,
    /// Runs with PASS.
    pub keep_passes: bool,
    /// Runs that began then or later.
    pub keep_since: Option<Timestamp>,
}

/// What becomes of a run.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The run.
    pub run: StoredRun,
    /// Why it stays; `None` for a run that may go.
    pub kept_because: Option<&'static str>,
}

/// Decides on every run, the newest first.
pub fn decide(runs: Vec<StoredRun>, rules: Rules, baselines: &Baselines) -> Vec<Decision> {
    let mut runs = runs;
    runs.sort_by_key(|run| std::cmp::Reverse((run.summary.began(), run.folder.path().to_owned())));
    let mut seen: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut decide = |run: &StoredRun| {
        let summary = &run.summary;
        let group = (summary.scenario.clone(), summary.environment_key.clone());
        let newer = seen.entry(group).or_default();
        *newer += 1;
        let is_baseline = baselines.names(&summary.id) || baselines.names(&run.folder.id());
        if is_baseline {
            Some("it is a baseline")
        } else if is_being_written(&run.folder.journal_path()) {
            Some("it goes on")
        } else if rules.keep_last.is_some_and(|last| *newer <= last) {
            Some("it is one of the last of its scenario and environment")
        } else if rules.keep_passes && summary.verdict == Some(Verdict::Pass) {
            Some("it passed")
        } else if rules
            .keep_since
            .is_some_and(|since| summary.began() >= since)
        {
            Some("it is young")
        } else {
            None
        }
    };
    runs.into_iter()
        .map(|run| Decision {
            kept_because: decide(&run),
            run,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::RunSummary;
    use crate::record::{
        Entry, Environment, Header, JOURNAL_VERSION, RunRecord, ScenarioInfo, TargetInfo,
    };
    use crate::store::RunFolder;
    use std::path::Path;

    fn run(results: &Path, id: &str, scenario: &str, verdict: Verdict) -> StoredRun {
        let header = Header {
            version: JOURNAL_VERSION,
            id: id.to_owned(),
            started_at: format!("2026-11-{}T00:00:00Z", &id[1..]),
            scenario: ScenarioInfo {
                name: scenario.to_owned(),
                file: String::new(),
                sha256: String::new(),
                text: String::new(),
            },
            target: TargetInfo {
                url: String::new(),
                reference: true,
                misbehaviour: String::new(),
                timeout_ns: 1,
                protocol: crate::record::ProtocolInfo::default(),
            },
            requests: Vec::new(),
            phases: Vec::new(),
            gates: Vec::new(),
            seed: 1,
            workers: 1,
            environment: Environment::default(),
        };
        let entries = [Entry::RunStarted(Box::new(header))];
        let record = RunRecord::from_journal(entries).unwrap();
        StoredRun {
            folder: RunFolder::create(results, id).unwrap().0,
            summary: RunSummary {
                verdict: Some(verdict),
                ..RunSummary::begun(&record)
            },
        }
    }

    /// The runs that may go, of four of one scenario and one of another.
    fn gone(rules: Rules) -> Vec<String> {
        let results = tempfile::tempdir().unwrap();
        let runs = vec![
            run(results.path(), "r01", "a", Verdict::Pass),
            run(results.path(), "r02", "a", Verdict::Fail),
            run(results.path(), "r03", "b", Verdict::Fail),
            run(results.path(), "r04", "a", Verdict::Inconclusive),
            run(results.path(), "r05", "a", Verdict::Pass),
        ];
        decide(runs, rules, &Baselines::default())
            .into_iter()
            .filter(|decision| decision.kept_because.is_none())
            .map(|decision| decision.run.summary.id)
            .collect()
    }

    #[test]
    fn a_run_goes_only_if_no_rule_keeps_it() {
        let since = |text: &str| Some(text.parse().unwrap());
        let last = Rules {
            keep_last: Some(1),
            ..Rules::default()
        };
        assert_eq!(gone(last), ["r04", "r02", "r01"]);
        let passes = Rules {
            keep_passes: true,
            ..Rules::default()
        };
        assert_eq!(gone(passes), ["r04", "r03", "r02"]);
        let young = Rules {
            keep_since: since("2026-11-03T00:00:00Z"),
            ..Rules::default()
        };
        assert_eq!(gone(young), ["r02", "r01"]);
        let all = Rules {
            keep_last: Some(2),
            keep_passes: true,
            keep_since: since("2026-11-05T00:00:00Z"),
        };
        assert_eq!(gone(all), ["r02"]);
    }
}
