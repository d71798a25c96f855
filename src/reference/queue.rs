//! The queue in front of the backend: two priorities, and the rule by which a batch is formed.
//!
//! What to do next is decided from the queue and an instant alone; nothing here waits by itself.

use super::model::{Answer, INPUTS};
use super::timer::Timer;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// How urgent a request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Priority {
    /// Goes first. A request that says nothing is of this kind.
    #[default]
    High,
    /// Goes when nothing urgent waits, and otherwise in one slot of [`LOW_SHARE`].
    Low,
}

/// While both priorities wait, one item of so many is of low priority, so that it does not starve.
const LOW_SHARE: u32 = 8;

/// One set of inputs that waits for the backend.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) inputs: [f32; INPUTS],
    pub(super) priority: Priority,
    pub(super) arrived: Instant,
    /// Told when its batch begins, if somebody wants to know.
    pub(super) started: Option<oneshot::Sender<()>>,
    /// Gets the answer. An item whose receiver is gone is not computed.
    pub(super) reply: oneshot::Sender<Done>,
}

/// What has become of an item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Done {
    pub(super) answer: Answer,
    /// From its arrival to the beginning of its batch.
    pub(super) queued: Duration,
    /// From the beginning to the end of its batch.
    pub(super) computed: Duration,
    pub(super) batch_size: usize,
}

/// How batches are formed, and how much may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// The largest batch, in items; at least one.
    pub(super) max_batch: usize,
    /// How long the first item waits for others.
    pub(super) max_wait: Duration,
    /// How many items may wait.
    pub(super) capacity: usize,
}

/// Why an item was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Too many wait already.
    Full,
    /// The backend is gone.
    Closed,
}

/// How many items of each priority wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Depth {
    pub(super) high: usize,
    pub(super) low: usize,
}

/// The queue. Handlers put items in; workers take batches out.
#[derive(Debug)]
pub(super) struct Queue {
    rules: Rules,
    lanes: Mutex<Lanes>,
    changed: Notify,
}

impl Queue {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            lanes: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Puts all of these items in, or none of them.
    pub(super) fn push<I>(&self, items: I) -> Result<(), Refused>
    where
        I: IntoIterator<Item = Item, IntoIter: ExactSizeIterator>,
    {
        let items = items.into_iter();
        let mut lanes = self.lock();
        if lanes.closed {
            return Err(Refused::Closed);
        }
        let before = lanes.len();
        if before + items.len() > self.rules.capacity {
            return Err(Refused::Full);
        }
        items.for_each(|item| lanes.push(item));
        let after = lanes.len();
        drop(lanes);
        // Only a first item and a full batch change what the backend waits for: the wake-ups in
        // between would cost more than the rest of this function.
        let full = self.rules.max_batch;
        if (before == 0 && after > 0) || (before < full && after >= full) {
            self.changed.notify_one();
        }
        Ok(())
    }

    pub(super) fn depth(&self) -> Depth {
        let lanes = self.lock();
        Depth {
            high: lanes.high.len(),
            low: lanes.low.len(),
        }
    }

    /// Since when a batch taken from here could have begun: since it was full, or since its first
    /// item had waited long enough.
    pub(super) fn ready_since(&self, batch: &[Item]) -> Option<Instant> {
        let arrivals = || batch.iter().map(|item| item.arrived);
        let last = arrivals().max()?;
        let first = arrivals().min()?;
        Some(if batch.len() >= self.rules.max_batch {
            last
        } else {
            last.max(first + self.rules.max_wait)
        })
    }

    /// Whether nobody takes anything out any more.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Ends the backend's loop. What still waits is dropped, which its receivers notice.
    pub(super) fn close(&self) {
        let mut lanes = self.lock();
        lanes.closed = true;
        lanes.high.clear();
        lanes.low.clear();
        drop(lanes);
        self.changed.notify_one();
    }

    /// Makes every worker that waits look again whether it is still wanted.
    pub(super) fn wake_all(&self) {
        self.changed.notify_waiters();
        self.changed.notify_one();
    }

    /// Awaits the next batch, which is not empty; `None` once the queue is closed or this worker is no
    /// longer wanted.
    pub(super) async fn next_batch(
        &self,
        timer: &impl Timer,
        is_wanted: impl Fn() -> bool,
    ) -> Option<Vec<Item>> {
        loop {
            if !is_wanted() {
                // What woke this worker may have been meant for another.
                self.changed.notify_one();
                return None;
            }
            let next = {
                let mut lanes = self.lock();
                let next = lanes.next(Instant::now(), self.rules);
                match next {
                    Next::Closed => return None,
                    Next::Batch => {
                        let batch = lanes.take(self.rules.max_batch);
                        let is_more = lanes.len() > 0;
                        if !batch.is_empty() {
                            drop(lanes);
                            if is_more {
                                // For another worker, if there is one that waits.
                                self.changed.notify_one();
                            }
                            return Some(batch);
                        }
                        // Nobody waits for any of these any more.
                        continue;
                    }
                    Next::Nothing | Next::At(_) => next,
                }
            };
            match next {
                Next::At(due) => tokio::select! {
                    biased;
                    () = self.changed.notified() => {}
                    () = timer.until(due) => {}
                },
                _ => self.changed.notified().await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.lanes
            .lock()
            .expect("nobody panics while holding the queue")
    }
}

/// What the backend should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Wait for an item.
    Nothing,
    /// Wait for more items, but no longer than this.
    At(Instant),
    /// Take a batch.
    Batch,
    /// Go home.
    Closed,
}

#[derive(Debug, Default)]
struct Lanes {
    high: VecDeque<Item>,
    low: VecDeque<Item>,
    /// How many items of high priority went ahead since the last of low priority.
    ahead: u32,
    closed: bool,
}

impl Lanes {
    fn len(&self) -> usize {
        self.high.len() + self.low.len()
    }

    fn push(&mut self, item: Item) {
        match item.priority {
            Priority::High => self.high.push_back(item),
            Priority::Low => self.low.push_back(item),
        }
    }

    fn next(&self, now: Instant, rules: Rules) -> Next {
        if self.closed {
            return Next::Closed;
        }
        let fronts = [self.high.front(), self.low.front()];
        let Some(first) = fronts.into_iter().flatten().map(|item| item.arrived).min() else {
            return Next::Nothing;
        };
        let due = first + rules.max_wait;
        if self.len() >= rules.max_batch || due <= now {
            Next::Batch
        } else {
            Next::At(due)
        }
    }

    /// Takes up to so many items out in the order of their turn, without those that nobody waits
    /// for any more.
    fn take(&mut self, largest: usize) -> Vec<Item> {
        let mut batch = Vec::with_capacity(largest.min(self.len()));
        while batch.len() < largest {
            let Some(item) = self.pop() else { break };
            if !item.reply.is_closed() {
                batch.push(item);
            }
        }
        batch
    }

    fn pop(&mut self) -> Option<Item> {
        let low_has_its_turn = self.high.is_empty() || self.ahead + 1 >= LOW_SHARE;
        if low_has_its_turn && let Some(item) = self.low.pop_front() {
            self.ahead = 0;
            return Some(item);
        }
        let item = self.high.pop_front()?;
        // Nobody is overtaken while nobody waits.
        self.ahead = if self.low.is_empty() {
            0
        } else {
            self.ahead + 1
        };
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Priority::{High, Low};

    const MS: Duration = Duration::from_millis(1);

    /// Items that still have somebody who waits for them.
    #[derive(Default)]
    struct Waiting(Vec<oneshot::Receiver<Done>>);

    impl Waiting {
        fn item(&mut self, priority: Priority, mark: f32, arrived: Instant) -> Item {
            let (reply, receiver) = oneshot::channel();
            self.0.push(receiver);
            Item {
                inputs: [mark; INPUTS],
                priority,
                arrived,
                started: None,
                reply,
            }
        }

        fn lanes(&mut self, high: usize, low: usize) -> Lanes {
            let now = Instant::now();
            let mut lanes = Lanes::default();
            (0..high).for_each(|mark| lanes.push(self.item(High, mark as f32, now)));
            (0..low).for_each(|mark| lanes.push(self.item(Low, mark as f32, now)));
            lanes
        }
    }

    fn shape(batch: &[Item]) -> String {
        let letter = |item: &Item| match item.priority {
            High => 'h',
            Low => 'l',
        };
        batch.iter().map(letter).collect()
    }

    const RULES: Rules = Rules {
        max_batch: 3,
        max_wait: Duration::from_millis(2),
        capacity: 4,
    };

    #[test]
    fn a_batch_is_due_when_it_is_full_or_its_first_item_has_waited() {
        let start = Instant::now();
        let mut waiting = Waiting::default();
        let mut lanes = Lanes::default();
        assert_eq!(lanes.next(start, RULES), Next::Nothing);
        lanes.push(waiting.item(Low, 0.0, start));
        lanes.push(waiting.item(High, 1.0, start + MS));
        // The oldest counts, whatever its priority.
        assert_eq!(lanes.next(start + MS, RULES), Next::At(start + 2 * MS));
        assert_eq!(lanes.next(start + 2 * MS, RULES), Next::Batch);
        lanes.push(waiting.item(High, 2.0, start + MS));
        assert_eq!(lanes.next(start + MS, RULES), Next::Batch);
        lanes.closed = true;
        assert_eq!(lanes.next(start + MS, RULES), Next::Closed);
    }

    #[test]
    fn high_priority_goes_first_and_low_does_not_starve() {
        let mut waiting = Waiting::default();
        for (high, low, largest, expected) in [
            (3, 3, 4, "hhhl"),
            (20, 20, 24, "hhhhhhhlhhhhhhhlhhhhhhll"),
            (20, 0, 8, "hhhhhhhh"),
            (0, 3, 2, "ll"),
            (1, 9, 4, "hlll"),
        ] {
            let mut lanes = waiting.lanes(high, low);
            assert_eq!(shape(&lanes.take(largest)), expected, "{high} {low}");
        }
    }

    #[test]
    fn low_priority_gets_its_share_of_single_slots_too() {
        let mut waiting = Waiting::default();
        let mut lanes = waiting.lanes(40, 40);
        let order: String = (0..32).map(|_| shape(&lanes.take(1))).collect();
        assert_eq!(order, "hhhhhhhl".repeat(4));
    }

    #[test]
    fn within_a_priority_the_order_of_arrival_counts() {
        let mut waiting = Waiting::default();
        let mut lanes = waiting.lanes(5, 0);
        let marks: Vec<f32> = lanes.take(5).iter().map(|item| item.inputs[0]).collect();
        assert_eq!(marks, [0.0, 1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn items_that_nobody_waits_for_take_no_slot() {
        let mut waiting = Waiting::default();
        let mut lanes = waiting.lanes(4, 0);
        waiting.0.remove(0);
        waiting.0.remove(1);
        let marks: Vec<f32> = lanes.take(3).iter().map(|item| item.inputs[0]).collect();
        assert_eq!(marks, [1.0, 3.0]);
    }

    #[test]
    fn a_batch_is_ready_since_it_was_full_or_had_waited() {
        let queue = Queue::new(RULES);
        let start = Instant::now();
        let mut waiting = Waiting::default();
        let mut batch = vec![waiting.item(High, 0.0, start)];
        assert_eq!(queue.ready_since(&batch), Some(start + 2 * MS));
        batch.push(waiting.item(Low, 0.0, start + MS / 2));
        assert_eq!(queue.ready_since(&batch), Some(start + 2 * MS));
        batch.push(waiting.item(Low, 0.0, start + MS));
        assert_eq!(queue.ready_since(&batch), Some(start + MS));
        // What waited behind another batch may be of any age.
        batch[1].arrived = start + 5 * MS;
        assert_eq!(queue.ready_since(&batch), Some(start + 5 * MS));
        assert_eq!(queue.ready_since(&batch[..2]), Some(start + 5 * MS));
        assert_eq!(queue.ready_since(&[]), None);
    }

    #[test]
    fn a_full_queue_takes_all_or_nothing() {
        let queue = Queue::new(RULES);
        let mut waiting = Waiting::default();
        let now = Instant::now();
        let mut items = |count: usize| -> Vec<Item> {
            (0..count).map(|_| waiting.item(Low, 0.0, now)).collect()
        };
        assert_eq!(queue.push(items(3)), Ok(()));
        assert_eq!(queue.push(items(2)), Err(Refused::Full));
        assert_eq!(queue.depth(), Depth { high: 0, low: 3 });
        assert_eq!(queue.push(items(1)), Ok(()));
        queue.close();
        assert_eq!(queue.push(items(1)), Err(Refused::Closed));
        assert_eq!(queue.depth(), Depth::default());
    }
}
