//! The backend: takes batches from the queue, computes them, and answers.
//!
//! It runs on a thread of its own. It never looks at requests, only at numbers.

use super::books::Books;
use super::model::{self, Answer, INPUTS};
use super::queue::{Done, Item, Queue};
use super::timer::{RuntimeTimer, ThreadTimer, Timer, block_on};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Computes batches.
pub(super) trait Backend: Send + 'static {
    /// Computes a batch.
    ///
    /// # Errors
    /// Why it can compute no more.
    fn infer(&mut self, batch: &[[f32; INPUTS]]) -> Result<Inferred, String>;
}

/// What came of a batch.
#[derive(Debug)]
pub(super) struct Inferred {
    /// One answer for each set of inputs, in their order.
    pub(super) answers: Vec<Answer>,
    /// Multiplications and additions of it.
    pub(super) operations: u64,
    /// How long the processor was busy with it.
    pub(super) busy: Duration,
}

/// Computes the model on the CPU.
pub(super) struct Cpu;

impl Backend for Cpu {
    fn infer(&mut self, batch: &[[f32; INPUTS]]) -> Result<Inferred, String> {
        let began = Instant::now();
        let answers = batch.iter().map(|inputs| model::answer(inputs)).collect();
        Ok(Inferred {
            answers,
            operations: model::OPERATIONS * batch.len() as u64,
            busy: began.elapsed(),
        })
    }
}

/// Where the backend's loop runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placement {
    /// On a thread of its own.
    Thread,
    /// As a task of the current runtime, whose clock a test may have paused.
    Runtime,
}

/// Starts the loop of one worker. It ends when the queue is closed or the worker is no longer wanted,
/// and closes the queue should it break.
pub(super) fn start(
    queue: &Arc<Queue>,
    backend: impl Backend,
    step_time: Duration,
    books: &Arc<Books>,
    wanted: Arc<AtomicBool>,
    placement: Placement,
) {
    let worker = Loop {
        queue: Arc::clone(queue),
        backend,
        step_time,
        free_since: Instant::now(),
        books: Arc::clone(books),
        wanted,
    };
    match placement {
        Placement::Thread => {
            std::thread::Builder::new()
                .name("backend".to_owned())
                .spawn(move || {
                    let timer = ThreadTimer::default();
                    block_on(&timer, worker.run(&timer));
                })
                .expect("the system can start one more thread");
        }
        Placement::Runtime => {
            tokio::spawn(async move { worker.run(&RuntimeTimer).await });
        }
    }
}

struct Loop<B> {
    queue: Arc<Queue>,
    backend: B,
    step_time: Duration,
    /// When the last step was over.
    free_since: Instant,
    books: Arc<Books>,
    /// Whether this worker is one of those that there should be.
    wanted: Arc<AtomicBool>,
}

/// Without a backend nobody would answer, and requests would wait for ever.
impl<B> Drop for Loop<B> {
    fn drop(&mut self) {
        if self.wanted.load(Ordering::Relaxed) {
            if std::thread::panicking() {
                self.books
                    .backend_failed("a worker panicked; its message stands on stderr");
            }
            self.queue.close();
        }
    }
}

impl<B: Backend> Loop<B> {
    async fn run(mut self, timer: &impl Timer) {
        let wanted = Arc::clone(&self.wanted);
        let is_wanted = || wanted.load(Ordering::Relaxed);
        while let Some(batch) = self.queue.next_batch(timer, is_wanted).await {
            if self.step(batch, timer).await.is_err() {
                return;
            }
        }
    }

    /// When a step begins: at the instant at which the batch was ready and the backend free, as on an
    /// accelerator that is fed ahead. That this thread woke up a little later, and that it hands out
    /// answers between two steps, costs no capacity; only what it lost beyond one step is lost.
    fn begins(&self, batch: &[Item]) -> Instant {
        let now = Instant::now();
        let ready = self.queue.ready_since(batch).unwrap_or(now);
        let earliest = now.checked_sub(self.step_time).unwrap_or(now);
        ready.max(self.free_since).max(earliest).min(now)
    }

    async fn step(&mut self, mut batch: Vec<Item>, timer: &impl Timer) -> Result<(), String> {
        let began = self.begins(&batch);
        for item in &mut batch {
            if let Some(started) = item.started.take() {
                // A caller that has lost interest meanwhile is none of ours.
                let _ = started.send(());
            }
        }
        let inputs: Vec<[f32; INPUTS]> = batch.iter().map(|item| item.inputs).collect();
        // The reason is on the books before those who wait hear that nobody answers: they may ask why.
        let inferred = (self.backend.infer(&inputs)).inspect_err(|reason| {
            self.books.backend_failed(reason);
            self.queue.close();
        })?;
        self.free_since = Instant::now().max(began + self.step_time);
        timer.until(self.free_since).await;
        let computed = began.elapsed();
        let batch_size = batch.len();
        self.books
            .batch(batch_size, inferred.operations, inferred.busy);
        for (item, answer) in batch.into_iter().zip(inferred.answers) {
            let done = Done {
                answer,
                queued: began.saturating_duration_since(item.arrived),
                computed,
                batch_size,
            };
            let _ = item.reply.send(done);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::queue::{Priority, Refused, Rules};
    use super::*;
    use tokio::sync::oneshot;

    const MS: Duration = Duration::from_millis(1);

    struct Bench {
        queue: Arc<Queue>,
        books: Arc<Books>,
    }

    impl Bench {
        fn start(max_batch: usize, backend: impl Backend, placement: Placement) -> Self {
            Self::waiting(2 * MS, max_batch, backend, placement)
        }

        fn waiting(
            max_wait: Duration,
            max_batch: usize,
            backend: impl Backend,
            placement: Placement,
        ) -> Self {
            let queue = Arc::new(Queue::new(Rules {
                max_batch,
                max_wait,
                capacity: 1000,
            }));
            let books = Arc::new(Books::default());
            let wanted = Arc::new(AtomicBool::new(true));
            start(&queue, backend, 8 * MS, &books, wanted, placement);
            Self { queue, books }
        }

        fn ask(&self, inputs: [f32; INPUTS]) -> oneshot::Receiver<Done> {
            let (reply, receiver) = oneshot::channel();
            let item = Item {
                inputs,
                priority: Priority::High,
                arrived: Instant::now(),
                started: None,
                reply,
            };
            self.queue.push([item]).expect("the queue has room");
            receiver
        }
    }

    async fn all(receivers: Vec<oneshot::Receiver<Done>>) -> Vec<Done> {
        let mut done = Vec::new();
        for receiver in receivers {
            done.push(receiver.await.expect("the backend answers"));
        }
        done
    }

    fn inputs(number: usize) -> [f32; INPUTS] {
        std::array::from_fn(|index| ((number * 7 + index * 3) % 11) as f32 / 4.0 - 1.0)
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_waits_for_others_and_then_takes_its_step() {
        let bench = Bench::start(4, Cpu, Placement::Runtime);
        let begin = Instant::now();
        let first = bench.ask(inputs(0));
        tokio::time::sleep(MS).await;
        let second = bench.ask(inputs(1));
        let done = all(vec![first, second]).await;
        // 2 ms from the first arrival to the batch, 8 ms of step.
        assert_eq!(begin.elapsed(), 10 * MS);
        let seen: Vec<_> = done
            .iter()
            .map(|done| (done.queued, done.computed, done.batch_size))
            .collect();
        assert_eq!(seen, [(2 * MS, 8 * MS, 2), (MS, 8 * MS, 2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_fills_up_does_not_wait_any_longer() {
        let bench = Bench::waiting(20 * MS, 4, Cpu, Placement::Runtime);
        let begin = Instant::now();
        let mut receivers = vec![bench.ask(inputs(0))];
        tokio::time::sleep(MS).await;
        receivers.extend((1..4).map(|number| bench.ask(inputs(number))));
        let done = all(receivers).await;
        assert_eq!(begin.elapsed(), 9 * MS);
        assert!(done.iter().all(|done| done.batch_size == 4), "{done:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_batch_does_not_wait_and_the_rest_follows_at_once() {
        let bench = Bench::start(4, Cpu, Placement::Runtime);
        let begin = Instant::now();
        let receivers: Vec<_> = (0..10).map(|number| bench.ask(inputs(number))).collect();
        let done = all(receivers).await;
        // The last two have waited more than long enough when their turn comes.
        assert_eq!(begin.elapsed(), 24 * MS);
        let sizes: Vec<usize> = done.iter().map(|done| done.batch_size).collect();
        assert_eq!(sizes, [4, 4, 4, 4, 4, 4, 4, 4, 2, 2]);
        let snapshot = bench.books.snapshot();
        assert_eq!(snapshot.batches(), 3);
        assert_eq!(Vec::from_iter(snapshot.batch_sizes), [(2, 1), (4, 2)]);
    }

    #[test]
    fn on_its_own_thread_answers_do_not_depend_on_their_batch() {
        let bench = Bench::start(16, Cpu, Placement::Thread);
        let begin = Instant::now();
        let receivers: Vec<_> = (0..100).map(|number| bench.ask(inputs(number))).collect();
        for (number, receiver) in receivers.into_iter().enumerate() {
            let done = receiver.blocking_recv().expect("the backend answers");
            assert_eq!(done.answer, model::answer(&inputs(number)), "{number}");
            assert!(done.batch_size <= 16, "{done:?}");
            assert!(done.computed >= 8 * MS, "{done:?}");
        }
        // At least seven batches of 16 for a hundred items, one after the other.
        assert!(begin.elapsed() >= 7 * 8 * MS);
    }

    struct Broken;

    impl Backend for Broken {
        fn infer(&mut self, _: &[[f32; INPUTS]]) -> Result<Inferred, String> {
            panic!("out of memory")
        }
    }

    struct Lost;

    impl Backend for Lost {
        fn infer(&mut self, _: &[[f32; INPUTS]]) -> Result<Inferred, String> {
            Err("the GPU is lost".to_owned())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_that_fails_leaves_its_reason_and_nobody_waiting() {
        let bench = Bench::start(2, Lost, Placement::Runtime);
        let waiting = [
            bench.ask(inputs(0)),
            bench.ask(inputs(1)),
            bench.ask(inputs(2)),
        ];
        for receiver in waiting {
            assert!(receiver.await.is_err());
        }
        assert!(bench.queue.is_closed());
        let ledger = bench.books.snapshot();
        assert_eq!(ledger.backend_failure.as_deref(), Some("the GPU is lost"));
        assert_eq!(ledger.batches(), 0);
    }

    #[test]
    fn a_backend_that_breaks_leaves_nobody_waiting() {
        let bench = Bench::start(1, Broken, Placement::Thread);
        let lost = bench.ask(inputs(0));
        assert!(lost.blocking_recv().is_err());
        // The receiver hears of it while the thread unwinds; the queue is closed at its end.
        let (reply, next) = oneshot::channel();
        let item = Item {
            inputs: inputs(1),
            priority: Priority::High,
            arrived: Instant::now(),
            started: None,
            reply,
        };
        let pushed = bench.queue.push([item]);
        assert!(pushed == Err(Refused::Closed) || next.blocking_recv().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_begins_when_its_batch_was_ready_and_the_backend_free() {
        let bench = Bench::start(1, Cpu, Placement::Runtime);
        let origin = Instant::now();
        tokio::time::advance(100 * MS).await;
        let ago = |duration: Duration| Instant::now() - duration;
        let begins = |arrived, free_since| {
            let (reply, _) = oneshot::channel();
            let item = Item {
                inputs: inputs(0),
                priority: Priority::High,
                arrived,
                started: None,
                reply,
            };
            let looped = Loop {
                queue: Arc::new(Queue::new(Rules {
                    max_batch: 1,
                    max_wait: 2 * MS,
                    capacity: 1,
                })),
                backend: Cpu,
                step_time: 8 * MS,
                free_since,
                books: Arc::clone(&bench.books),
                wanted: Arc::new(AtomicBool::new(true)),
            };
            Instant::now() - looped.begins(&[item])
        };
        assert_eq!(begins(ago(5 * MS), ago(3 * MS)), 3 * MS);
        assert_eq!(begins(ago(MS), ago(3 * MS)), MS);
        // What was lost beyond one step is lost.
        assert_eq!(begins(ago(50 * MS), origin), 8 * MS);
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_queue_ends_the_loop() {
        let bench = Bench::start(4, Cpu, Placement::Runtime);
        let lost = bench.ask(inputs(0));
        bench.queue.close();
        assert!(lost.await.is_err());
        let queue = Arc::downgrade(&bench.queue);
        drop(bench);
        while queue.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    }
}
