//! The workers of the backend, and the rule by which their number follows the queue.
//!
//! The rule is that of an autoscaler of pods: it looks at the queue now and then, a new worker needs
//! its time to start, and workers go only after fewer have been wanted for a while.

use super::backend::{self, Backend, Placement};
use super::books::Books;
use super::queue::Queue;
use super::timer::{RuntimeTimer, ThreadTimer, Timer, block_on};
use crate::scenario::Scaling;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How often the queue is looked at.
const TICK: Duration = Duration::from_millis(100);

/// How many workers there are.
#[derive(Debug)]
pub(super) struct Workers {
    ready: AtomicU32,
    desired: AtomicU32,
    bounds: (u32, u32),
}

/// The same at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct WorkerCounts {
    /// Workers that take batches.
    pub(super) ready: u32,
    /// Workers that the rule wants.
    pub(super) desired: u32,
    /// The fewest.
    pub(super) min: u32,
    /// The most.
    pub(super) max: u32,
}

impl Workers {
    pub(super) fn counts(&self) -> WorkerCounts {
        WorkerCounts {
            ready: self.ready.load(Ordering::Relaxed),
            desired: self.desired.load(Ordering::Relaxed),
            min: self.bounds.0,
            max: self.bounds.1,
        }
    }

    /// Starts the workers, and what changes their number: without a rule there are `least`. They end with the queue.
    pub(super) fn start<B: Backend>(
        queue: &Arc<Queue>,
        make: impl Fn(usize) -> B + Send + 'static,
        step_time: Duration,
        (least, scaling): (u32, Option<Scaling>),
        books: &Arc<Books>,
        placement: Placement,
    ) -> Arc<Self> {
        let (min, max) = scaling.map_or((least, least), |scaling| (scaling.min, scaling.max));
        let workers = Arc::new(Self {
            ready: AtomicU32::new(min),
            desired: AtomicU32::new(min),
            bounds: (min, max),
        });
        let (hired_queue, hired_books) = (Arc::clone(queue), Arc::clone(books));
        let hire = move |number: usize| {
            let wanted = Arc::new(AtomicBool::new(true));
            let flag = Arc::clone(&wanted);
            backend::start(
                &hired_queue,
                make(number),
                step_time,
                &hired_books,
                flag,
                placement,
            );
            wanted
        };
        let crew: Vec<Arc<AtomicBool>> = (0..min as usize).map(&hire).collect();
        if let Some(scaling) = scaling {
            let foreman = Foreman {
                rule: Rule::new(scaling),
                queue: Arc::clone(queue),
                books: Arc::clone(books),
                workers: Arc::clone(&workers),
                crew,
                began: Instant::now(),
            };
            match placement {
                Placement::Thread => {
                    std::thread::Builder::new()
                        .name("scaler".to_owned())
                        .spawn(move || {
                            let timer = ThreadTimer::default();
                            block_on(&timer, foreman.run(hire, &timer));
                        })
                        .expect("the system can start one more thread");
                }
                Placement::Runtime => {
                    tokio::spawn(async move { foreman.run(hire, &RuntimeTimer).await });
                }
            }
        }
        workers
    }
}

/// Hires and dismisses workers by the rule.
struct Foreman {
    rule: Rule,
    queue: Arc<Queue>,
    books: Arc<Books>,
    workers: Arc<Workers>,
    /// For each worker, whether it is still wanted.
    crew: Vec<Arc<AtomicBool>>,
    began: Instant,
}

impl Foreman {
    async fn run(mut self, hire: impl Fn(usize) -> Arc<AtomicBool>, timer: &impl Timer) {
        let mut next = self.began;
        self.note(self.rule.ready, self.rule.ready);
        while !self.queue.is_closed() {
            self.tick(&hire);
            next += TICK;
            timer.until(next).await;
        }
    }

    fn tick(&mut self, hire: &impl Fn(usize) -> Arc<AtomicBool>) {
        let before = self.workers.counts();
        let depth = self.queue.depth();
        let desired = self.rule.step(Instant::now(), depth.high + depth.low);
        let ready = self.rule.ready as usize;
        while self.crew.len() < ready {
            self.crew.push(hire(self.crew.len()));
        }
        if self.crew.len() > ready {
            for dismissed in self.crew.drain(ready..) {
                dismissed.store(false, Ordering::Relaxed);
            }
            self.queue.wake_all();
        }
        if (before.ready, before.desired) != (self.rule.ready, desired) {
            self.note(self.rule.ready, desired);
        }
    }

    fn note(&self, ready: u32, desired: u32) {
        self.workers.ready.store(ready, Ordering::Relaxed);
        self.workers.desired.store(desired, Ordering::Relaxed);
        self.books.scaled(self.began.elapsed(), ready, desired);
    }
}

/// What is wanted, decided from the queue and an instant alone.
#[derive(Debug)]
struct Rule {
    scaling: Scaling,
    ready: u32,
    /// When the workers that are starting will be ready, the earliest first.
    starting: VecDeque<Instant>,
    /// What was wanted within the cooldown.
    recent: VecDeque<(Instant, u32)>,
}

impl Rule {
    fn new(scaling: Scaling) -> Self {
        Self {
            scaling,
            ready: scaling.min,
            starting: VecDeque::new(),
            recent: VecDeque::new(),
        }
    }

    /// How many workers are desired now; those that have started are ready.
    fn step(&mut self, now: Instant, depth: usize) -> u32 {
        let Scaling {
            min,
            max,
            target,
            start,
            cooldown,
        } = self.scaling;
        while self.starting.front().is_some_and(|due| *due <= now) {
            self.starting.pop_front();
            self.ready += 1;
        }
        let wanted = u32::try_from(depth.div_ceil(target as usize)).unwrap_or(max);
        let wanted = wanted.clamp(min, max);
        self.recent.push_back((now, wanted));
        while self
            .recent
            .front()
            .is_some_and(|(at, _)| *at + cooldown < now)
        {
            self.recent.pop_front();
        }
        let hired = self.ready + u32::try_from(self.starting.len()).unwrap_or(0);
        let most_wanted = self
            .recent
            .iter()
            .map(|(_, wanted)| *wanted)
            .max()
            .unwrap_or(min);
        let desired = if wanted > hired {
            wanted
        } else {
            most_wanted.min(hired)
        };
        for _ in hired..desired {
            self.starting.push_back(now + start);
        }
        // Those that have not begun go first.
        for _ in desired..hired {
            if self.starting.pop_back().is_none() {
                self.ready -= 1;
            }
        }
        desired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_start_slowly_and_go_after_the_cooldown() {
        let scaling = Scaling::parse("1 to 4 at 10 queued, start 2s, cooldown 5s").unwrap();
        let mut rule = Rule::new(scaling);
        let begin = Instant::now();
        let mut at = |ms: u64, depth: usize| {
            let desired = rule.step(begin + Duration::from_millis(ms), depth);
            (desired, rule.ready)
        };
        assert_eq!(at(0, 10), (1, 1));
        // 25 items want three workers; they are ready two seconds later.
        assert_eq!(at(100, 25), (3, 1));
        assert_eq!(at(2000, 25), (3, 1));
        assert_eq!(at(2100, 25), (3, 3));
        // More than the most is not to be had.
        assert_eq!(at(2200, 1000), (4, 3));
        assert_eq!(at(4200, 15), (4, 4));
        // Two are wanted for a while, then one: the most of the past five seconds stays.
        assert_eq!(at(7000, 15), (4, 4));
        assert_eq!(at(7300, 15), (2, 2));
        assert_eq!(at(9000, 0), (2, 2));
        assert_eq!(at(12_300, 0), (2, 2));
        assert_eq!(at(12_400, 0), (1, 1));
    }
}
