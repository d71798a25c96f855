//! The service behind the routes: its parts, and the ways into its queue.
//!
//! Nothing here knows HTTP.

use super::backend::Placement;
use super::books::{Books, Truth};
use super::compute::Compute;
use super::jobs::Jobs;
use super::misbehaviour::Misbehaviour;
use super::model::INPUTS;
use super::queue::{Done, Item, Priority, Queue, Refused, Rules};
use super::token::TokenKey;
use super::workers::Workers;
use crate::scenario::ReferenceOptions;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How many items may wait for the backend, all requests and jobs together.
const QUEUE_CAPACITY: usize = 10_000;

/// All parts of a reference server.
pub(super) struct Service {
    pub(super) books: Arc<Books>,
    pub(super) misbehaviour: Misbehaviour,
    pub(super) workers: Arc<Workers>,
    pub(super) queue: Arc<Queue>,
    pub(super) jobs: Jobs,
    pub(super) key: TokenKey,
    pub(super) require_auth: bool,
    pub(super) token_lifetime: Duration,
    pub(super) compute: Compute,
    clock: Clock,
    last_id: AtomicU64,
}

impl Service {
    /// Starts the backend, and everything around it.
    pub(super) fn start(
        options: &ReferenceOptions,
        compute: Compute,
        placement: Placement,
    ) -> Self {
        let clock = Clock::start();
        let books = Arc::new(Books::default());
        let queue = Arc::new(Queue::new(Rules {
            max_batch: options.max_batch.max(1),
            max_wait: options.max_wait,
            capacity: QUEUE_CAPACITY,
        }));
        let step_time = if compute.has_its_own_pace() {
            Duration::ZERO
        } else {
            options.step_time
        };
        let made_of = compute.clone();
        let workers = Workers::start(
            &queue,
            move |number| made_of.worker(number),
            step_time,
            (compute.least_workers(), options.scaling),
            &books,
            placement,
        );
        Self {
            misbehaviour: Misbehaviour::new(options, &books),
            books,
            workers,
            queue,
            jobs: Jobs::default(),
            key: TokenKey::of_seed(options.seed),
            require_auth: options.require_auth,
            token_lifetime: options.token_lifetime,
            compute,
            clock,
            last_id: AtomicU64::new(0),
        }
    }

    /// Puts one set of inputs into the queue; the answer comes through the receiver.
    pub(super) fn submit(
        &self,
        inputs: [f32; INPUTS],
        priority: Priority,
        started: Option<oneshot::Sender<()>>,
    ) -> Result<oneshot::Receiver<Done>, Refused> {
        let (reply, receiver) = oneshot::channel();
        let arrived = Instant::now();
        let item = Item {
            inputs,
            priority,
            arrived,
            started,
            reply,
        };
        self.queue.push([item]).map(|()| receiver)
    }

    /// Puts several sets of inputs into the queue, or none of them.
    pub(super) fn submit_all(
        &self,
        inputs: Vec<[f32; INPUTS]>,
        priority: Priority,
    ) -> Result<Vec<oneshot::Receiver<Done>>, Refused> {
        let arrived = Instant::now();
        let mut receivers = Vec::with_capacity(inputs.len());
        let items: Vec<Item> = inputs
            .into_iter()
            .map(|inputs| {
                let (reply, receiver) = oneshot::channel();
                receivers.push(receiver);
                Item {
                    inputs,
                    priority,
                    arrived,
                    started: None,
                    reply,
                }
            })
            .collect();
        self.queue.push(items).map(|()| receivers)
    }

    /// A number that no request has had before.
    pub(super) fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The time of day in seconds since 1970.
    pub(super) fn unix_seconds(&self) -> u64 {
        self.clock.unix_seconds()
    }

    /// How long the service has been up.
    pub(super) fn uptime(&self) -> Duration {
        self.clock.started.elapsed()
    }

    /// What the service has done up to now.
    pub(super) fn truth(&self) -> Truth {
        let since_start = |at: Instant| at.saturating_duration_since(self.clock.started);
        let stall = self.misbehaviour.stall();
        let stall = stall.map(|(from, to)| (since_start(from), since_start(to)));
        Truth::new(self.books.snapshot(), stall)
    }
}

/// The backend's loop has nothing to wait for when nobody can ask any more.
impl Drop for Service {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// The time of day, which goes on with the runtime's clock.
struct Clock {
    started: Instant,
    unix_at_start: Duration,
}

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "tokens carry the time of day; it is read once, at the start"
    )]
    fn start() -> Self {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            started: Instant::now(),
            // A clock before 1970 is as good as any.
            unix_at_start: since_1970.unwrap_or_default(),
        }
    }

    fn unix_seconds(&self) -> u64 {
        (self.unix_at_start + self.started.elapsed()).as_secs()
    }
}
