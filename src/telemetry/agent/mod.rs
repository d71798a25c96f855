//! What this host's GPUs and the host itself show, for a run that is driven from elsewhere: sampled at
//! full rate here, and served as a page and as a stream.
//!
//! Nothing is averaged or held back: a page has the newest sample of each series with the number of
//! samples so far, so that a reader knows whether it has seen it before; a stream has all of them.

mod api;
mod page;

pub use api::agent_router;

use crate::engine::ports::Probe;
use crate::record::{Gpu, SourceInfo, SourceState};
use crate::units::nanoseconds;
use serde::Serialize;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::broadcast;

/// How many samples a reader of the stream may be behind before it loses some, and is told so.
const BEHIND: usize = 1024;

/// Samples this host until it is dropped.
#[derive(Clone)]
pub struct Agent {
    inner: Arc<Inner>,
}

struct Inner {
    host: String,
    driver: Option<String>,
    gpus: Vec<Gpu>,
    sources: Vec<Watched>,
    absent: Vec<SourceInfo>,
    stream: broadcast::Sender<Arc<str>>,
}

/// A source and its newest sample.
struct Watched {
    info: SourceInfo,
    newest: Mutex<Newest>,
}

#[derive(Clone, Debug, Default)]
struct Newest {
    values: Vec<Option<f64>>,
    /// When each value was read: readings that come more slowly than samples are held for a while.
    read_at: Vec<Option<Instant>>,
    /// How many there were so far.
    samples: u64,
    /// Why there is none now.
    lost: Option<String>,
}

/// Who the host is.
#[derive(Clone, Debug, Default)]
pub struct AgentHost {
    /// Its name.
    pub name: String,
    /// The version of its NVIDIA driver.
    pub driver: Option<String>,
    /// Its GPUs.
    pub gpus: Vec<Gpu>,
}

/// A line of the stream.
#[derive(Serialize)]
struct Line<'a> {
    source: &'a str,
    /// Nanoseconds since the Unix epoch, by this host's clock.
    at_unix_ns: u64,
    /// In the order of the source's series.
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<&'a [Option<f64>]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<&'a str>,
}

impl Agent {
    /// Samples these sources from now on, each in a thread of its own at its own period.
    pub fn start(host: AgentHost, probes: Vec<Box<dyn Probe>>, absent: Vec<SourceInfo>) -> Self {
        let sources = probes.iter().map(|probe| Watched {
            info: probe.info(),
            newest: Mutex::default(),
        });
        let agent = Self {
            inner: Arc::new(Inner {
                host: host.name,
                driver: host.driver,
                gpus: host.gpus,
                sources: sources.collect(),
                absent,
                stream: broadcast::Sender::new(BEHIND),
            }),
        };
        for (place, probe) in probes.into_iter().enumerate() {
            let inner = Arc::downgrade(&agent.inner);
            std::thread::spawn(move || watch(&inner, place, probe));
        }
        agent
    }

    /// The sources, those that are lost or were never there with the reason.
    fn sources(&self) -> Vec<SourceInfo> {
        let present = self.inner.sources.iter().map(|watched| {
            let lost = watched.newest().lost.clone();
            SourceInfo {
                state: lost.map_or(SourceState::Present, SourceState::Unavailable),
                ..watched.info.clone()
            }
        });
        present.chain(self.inner.absent.iter().cloned()).collect()
    }
}

impl Watched {
    fn newest(&self) -> MutexGuard<'_, Newest> {
        self.newest
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// How long a reading is shown when no other follows.
const HELD: Duration = Duration::from_secs(3);

impl Newest {
    /// Takes a sample. Of a series with a pace of its own, no value only says that there is no new reading.
    fn take(&mut self, values: &[Option<f64>], info: &SourceInfo, now: Instant) {
        self.values.resize(values.len(), None);
        self.read_at.resize(values.len(), None);
        let shown = self.values.iter_mut().zip(&mut self.read_at);
        for ((shown, read_at), (value, series)) in shown.zip(values.iter().zip(&info.series)) {
            let holds = series.refreshes
                && value.is_none()
                && read_at.is_some_and(|at| now.saturating_duration_since(at) < HELD);
            if !holds {
                *shown = *value;
                *read_at = value.map(|_| now);
            }
        }
    }
}

/// Takes samples on the dot of the period; one that comes too late is left out, never made up.
#[expect(
    clippy::disallowed_methods,
    reason = "a sampler's thread of its own, whose readers know its samples by the wall clock"
)]
fn watch(inner: &Weak<Inner>, place: usize, mut probe: Box<dyn Probe>) {
    let mut next = Instant::now();
    loop {
        let mut values = Vec::new();
        let sampled = probe.sample(&mut values);
        let Some(inner) = inner.upgrade() else { return };
        let watched = &inner.sources[place];
        {
            let mut newest = watched.newest();
            match sampled {
                Ok(()) => {
                    newest.take(&values, &watched.info, Instant::now());
                    newest.samples += 1;
                    newest.lost = None;
                }
                Err(reason) => {
                    values.clear();
                    newest.values.clear();
                    newest.lost = Some(reason);
                }
            }
            let at = SystemTime::now().duration_since(UNIX_EPOCH);
            let line = Line {
                source: &watched.info.name,
                at_unix_ns: at.map_or(0, nanoseconds),
                values: newest.lost.is_none().then_some(&values[..]),
                lost: newest.lost.as_deref(),
            };
            if inner.stream.receiver_count() > 0
                && let Ok(text) = serde_json::to_string(&line)
            {
                // The last reader may have gone just now.
                let _ = inner.stream.send((text + "\n").into());
            }
        }
        let period = Duration::from_nanos(watched.info.period_ns).max(Duration::from_millis(10));
        drop(inner);
        next += period;
        let now = Instant::now();
        if next < now {
            next = now;
        }
        std::thread::sleep(next - now);
    }
}
