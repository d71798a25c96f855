//! The jobs that were submitted, until they are too old to be asked about.
//!
//! Bounded both ways: only so many may be unfinished, and only so many finished ones are kept. A
//! server under an overnight test must not grow.

use super::queue::{Done, Priority};
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};

/// How many jobs may be unfinished.
pub(super) const LARGEST_BACKLOG: usize = 1000;
/// How many finished jobs are kept; of more, the oldest is forgotten.
pub(super) const FINISHED_KEPT: usize = 10_000;

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Progress {
    Queued,
    Running,
    Completed(Done),
    Failed(Failure),
}

/// Why a job failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The server was told to fail it.
    Injected,
    /// The backend broke.
    BackendGone,
}

/// A job.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Job {
    pub(super) priority: Priority,
    pub(super) progress: Progress,
}

/// How many jobs stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct JobCounts {
    queued: usize,
    running: usize,
    /// Of those that are kept.
    completed: usize,
    /// Of those that are kept.
    failed: usize,
}

/// All jobs that can be asked about.
#[derive(Debug)]
pub(super) struct Jobs {
    backlog: usize,
    kept: usize,
    shelf: Mutex<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    jobs: BTreeMap<u64, Job>,
    finished: VecDeque<u64>,
    last_id: u64,
}

impl Default for Jobs {
    fn default() -> Self {
        Self::bounded(LARGEST_BACKLOG, FINISHED_KEPT)
    }
}

impl Jobs {
    fn bounded(backlog: usize, kept: usize) -> Self {
        Self {
            backlog,
            kept,
            shelf: Mutex::default(),
        }
    }

    /// A new job, queued; `None` if too many are unfinished.
    pub(super) fn submit(&self, priority: Priority) -> Option<u64> {
        let mut shelf = self.lock();
        if shelf.jobs.len() - shelf.finished.len() >= self.backlog {
            return None;
        }
        shelf.last_id += 1;
        let id = shelf.last_id;
        let progress = Progress::Queued;
        shelf.jobs.insert(id, Job { priority, progress });
        Some(id)
    }

    /// The job's batch has begun.
    pub(super) fn run(&self, id: u64) {
        if let Some(job) = self.lock().jobs.get_mut(&id) {
            job.progress = Progress::Running;
        }
    }

    /// The job is over.
    pub(super) fn finish(&self, id: u64, result: Result<Done, Failure>) {
        let mut shelf = self.lock();
        if let Some(job) = shelf.jobs.get_mut(&id) {
            job.progress = result.map_or_else(Progress::Failed, Progress::Completed);
            shelf.finished.push_back(id);
        }
        if shelf.finished.len() > self.kept
            && let Some(oldest) = shelf.finished.pop_front()
        {
            shelf.jobs.remove(&oldest);
        }
    }

    /// A job that was not taken after all.
    pub(super) fn withdraw(&self, id: u64) {
        self.lock().jobs.remove(&id);
    }

    /// The job, unless there is none or it is forgotten.
    pub(super) fn get(&self, id: u64) -> Option<Job> {
        self.lock().jobs.get(&id).copied()
    }

    /// How many stand where.
    pub(super) fn counts(&self) -> JobCounts {
        let mut counts = JobCounts::default();
        for job in self.lock().jobs.values() {
            *match job.progress {
                Progress::Queued => &mut counts.queued,
                Progress::Running => &mut counts.running,
                Progress::Completed(_) => &mut counts.completed,
                Progress::Failed(_) => &mut counts.failed,
            } += 1;
        }
        counts
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shelf
            .lock()
            .expect("nobody panics while holding the jobs")
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::{INPUTS, answer};
    use super::*;
    use std::time::Duration;

    fn done() -> Done {
        Done {
            answer: answer(&[0.0; INPUTS]),
            queued: Duration::from_millis(1),
            computed: Duration::from_millis(8),
            batch_size: 2,
        }
    }

    #[test]
    fn a_job_goes_from_queued_to_its_end() {
        let jobs = Jobs::default();
        let id = jobs.submit(Priority::Low).unwrap();
        let progress = || jobs.get(id).unwrap().progress;
        assert_eq!(progress(), Progress::Queued);
        jobs.run(id);
        assert_eq!(progress(), Progress::Running);
        jobs.finish(id, Ok(done()));
        assert_eq!(progress(), Progress::Completed(done()));
        let other = jobs.submit(Priority::High).unwrap();
        jobs.finish(other, Err(Failure::Injected));
        assert_eq!(
            jobs.get(other).unwrap().progress,
            Progress::Failed(Failure::Injected)
        );
        assert_eq!(
            jobs.counts(),
            JobCounts {
                completed: 1,
                failed: 1,
                ..JobCounts::default()
            }
        );
        assert_eq!(jobs.get(other + 1), None);
    }

    #[test]
    fn only_so_many_are_unfinished_and_only_so_many_are_kept() {
        let jobs = Jobs::bounded(3, 2);
        let ids: Vec<u64> = (0..3)
            .map(|_| jobs.submit(Priority::High).unwrap())
            .collect();
        assert_eq!(jobs.submit(Priority::High), None);
        jobs.finish(ids[1], Ok(done()));
        jobs.finish(ids[0], Err(Failure::Injected));
        assert!(ids.iter().all(|&id| jobs.get(id).is_some()));
        jobs.finish(ids[2], Err(Failure::Injected));
        // The one that was finished first is forgotten first.
        assert_eq!(jobs.get(ids[1]), None);
        assert!(jobs.get(ids[0]).is_some());
        let withdrawn = jobs.submit(Priority::High).unwrap();
        jobs.withdraw(withdrawn);
        assert_eq!(jobs.get(withdrawn), None);
        assert!((0..3).all(|_| jobs.submit(Priority::High).is_some()));
        assert_eq!(jobs.submit(Priority::High), None);
    }
}
