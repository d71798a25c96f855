//! Samples telemetry sources, each on its own thread, at absolute times on the run's clock.

use super::Placement;
use super::clock::RunClock;
use super::control::Message;
use super::ports::{Probe, Stamped};
use crate::record::Samples;
use crate::units::nanoseconds;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// The running samplers.
pub(super) struct Samplers {
    threads: Vec<(Sender<()>, std::thread::JoinHandle<()>)>,
    tasks: Vec<(
        tokio::sync::oneshot::Sender<()>,
        tokio::task::JoinHandle<()>,
    )>,
}

impl Samplers {
    /// Ends all of them; when this returns, their last samples have been sent.
    pub(super) async fn stop(self) {
        for (stop, thread) in self.threads {
            drop(stop);
            // A sampler that panicked has taken only its own series with it.
            let _ = thread.join();
        }
        for (stop, task) in self.tasks {
            drop(stop);
            let _ = task.await;
        }
    }
}

/// Starts a sampler for every probe.
pub(super) fn start(
    probes: Vec<Box<dyn Probe>>,
    clock: RunClock,
    out: &UnboundedSender<Message>,
    placement: Placement,
) -> Samplers {
    let mut samplers = Samplers {
        threads: Vec::new(),
        tasks: Vec::new(),
    };
    for (source, probe) in probes.into_iter().enumerate() {
        let sampler = Sampler::new(source, probe, clock, out.clone());
        match placement {
            Placement::Threads => {
                let (stop, stopped) = channel();
                let thread = std::thread::Builder::new()
                    .name(format!("sample-{}", sampler.name))
                    .spawn(move || sampler.run_on_thread(&stopped))
                    .expect("the system can start a thread for each telemetry source");
                samplers.threads.push((stop, thread));
            }
            Placement::SameThread => {
                let (stop, stopped) = tokio::sync::oneshot::channel();
                let task = tokio::task::spawn_local(sampler.run_on_runtime(stopped));
                samplers.tasks.push((stop, task));
            }
        }
    }
    samplers
}

struct Sampler {
    name: String,
    source: usize,
    probe: Box<dyn Probe>,
    series: usize,
    period_ns: u64,
    clock: RunClock,
    out: UnboundedSender<Message>,
    batch: Samples,
    batch_ends_ns: u64,
    lost: bool,
    last_ns: u64,
    values: Vec<Option<f64>>,
}

/// Samples are handed over this often.
const BATCH_NS: u64 = 1_000_000_000;

impl Sampler {
    fn new(
        source: usize,
        probe: Box<dyn Probe>,
        clock: RunClock,
        out: UnboundedSender<Message>,
    ) -> Self {
        let info = probe.info();
        let series = info.series.len();
        Self {
            name: info.name,
            source,
            probe,
            series,
            period_ns: info.period_ns.max(1),
            clock,
            out,
            batch: empty(source, series),
            batch_ends_ns: BATCH_NS,
            lost: false,
            last_ns: 0,
            values: Vec::with_capacity(series),
        }
    }

    fn run_on_thread(mut self, stopped: &std::sync::mpsc::Receiver<()>) {
        loop {
            self.sample();
            let wait = Duration::from_nanos(self.until_next());
            match stopped.recv_timeout(wait) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.hand_over();
    }

    async fn run_on_runtime(mut self, mut stopped: tokio::sync::oneshot::Receiver<()>) {
        loop {
            self.sample();
            let wait = Duration::from_nanos(self.until_next());
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = &mut stopped => break,
            }
        }
        self.hand_over();
    }

    /// Nanoseconds to the next multiple of the period: a slow sample makes a gap, never a drift.
    fn until_next(&self) -> u64 {
        let now_ns = self.clock.now_ns();
        (now_ns / self.period_ns + 1) * self.period_ns - now_ns
    }

    fn sample(&mut self) {
        let before_ns = self.clock.now_ns();
        self.values.clear();
        let after_ns = if let Some(readings) = self.probe.stamped() {
            let now_ns = self.clock.now_ns();
            match readings {
                Ok(readings) => {
                    self.lost = false;
                    for reading in readings {
                        self.take_stamped(reading, now_ns);
                    }
                }
                Err(reason) => self.lose(reason),
            }
            now_ns
        } else {
            match self.probe.sample(&mut self.values) {
                Ok(()) => self.lost = false,
                Err(reason) => {
                    self.values.clear();
                    self.lose(reason);
                }
            }
            let after_ns = self.clock.now_ns();
            // The value belongs to the middle of the time that reading it took.
            self.keep(u64::midpoint(before_ns, after_ns));
            after_ns
        };
        if after_ns >= self.batch_ends_ns {
            self.batch_ends_ns = after_ns + BATCH_NS;
            self.hand_over();
        }
    }

    /// A reading of the source's own belongs to where its time begins, on the run's clock. What began
    /// before the run is none of it.
    fn take_stamped(&mut self, reading: Stamped, now_ns: u64) {
        let age_ns = nanoseconds(reading.age);
        let Some(at_ns) = now_ns.checked_sub(age_ns) else {
            return;
        };
        self.values = reading.values;
        self.keep(at_ns);
    }

    /// Keeps the values as those of one moment. Moments never go back: of several devices whose readings
    /// interleave, one that comes to light later is moved to the last one that is known.
    fn keep(&mut self, at_ns: u64) {
        self.values.resize(self.series, None);
        self.last_ns = self.last_ns.max(at_ns);
        self.batch.at_ns.push(self.last_ns);
        for (values, &value) in self.batch.values.iter_mut().zip(&self.values) {
            values.push(value.filter(|value| value.is_finite()));
        }
    }

    fn lose(&mut self, reason: String) {
        if self.lost {
            return;
        }
        self.lost = true;
        let _ = self.out.send(Message::SourceLost {
            source: self.source,
            reason,
        });
    }

    fn hand_over(&mut self) {
        if self.batch.at_ns.is_empty() {
            return;
        }
        let batch = std::mem::replace(&mut self.batch, empty(self.source, self.series));
        let _ = self.out.send(Message::Samples(batch));
    }
}

fn empty(source: usize, series: usize) -> Samples {
    Samples {
        source,
        at_ns: Vec::new(),
        values: vec![Vec::new(); series],
    }
}
