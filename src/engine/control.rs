//! The control side of a run: starts workers and samplers, merges their seconds, and delivers the
//! entries of the journal in order.

use super::Placement;
use super::clock::RunClock;
use super::crew::{Crew, Hand, start_thread};
use super::heartbeat::{Pulse, WallWatch};
use super::login::{self, LoggedIn};
use super::ports::{Probe, Sink, Stop, Target, WallClock};
use super::running::{Merge, Running};
use super::sampler::{self, Samplers};
use super::worker::{Finished, Orders};
use crate::plan::{PhasePlan, Plan};
use crate::record::{Doubt, Entry, Interval, LoginRecord, Samples, SourceInfo};
use crate::units::nanoseconds;
use crate::verdict::{Decision, Lookout};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::time::Instant;

/// What workers and samplers tell the control side.
pub(super) enum Message {
    /// A worker's second is over.
    Second {
        phase: usize,
        worker: usize,
        interval: Box<Interval>,
    },
    /// A worker's phase is over.
    Finished {
        phase: usize,
        worker: usize,
        finished: Finished,
    },
    /// A worker could not go on.
    Broken { message: String },
    /// Telemetry.
    Samples(Samples),
    /// A token was renewed, or was not.
    Login(LoginRecord),
    /// A telemetry source stopped delivering.
    SourceLost { source: usize, reason: String },
}

/// What the engine works with; see the traits for what each does.
pub struct Ports<'a, T> {
    /// The service under test.
    pub target: T,
    /// Telemetry sources that are there.
    pub probes: Vec<Box<dyn Probe>>,
    /// Telemetry sources that are not there, and why.
    pub absent: Vec<SourceInfo>,
    /// Where the entries go.
    pub sink: &'a mut dyn Sink,
    /// Tells the engine to stop early.
    pub stop: watch::Receiver<Stop>,
    /// Shows whether the wall clock is set meanwhile.
    pub wall: &'a dyn WallClock,
    /// The first login, if the plan has one.
    pub logged_in: Option<LoggedIn>,
    /// Where workers and samplers run.
    pub placement: Placement,
}

/// Runs a plan from its first phase to its end, and delivers all entries but the first to the sink.
///
/// # Errors
/// When a worker breaks, which is a fault of this program. A failing target is data.
pub async fn run<T: Target>(
    plan: &Plan,
    clock: RunClock,
    ports: Ports<'_, T>,
) -> Result<(), EngineFault> {
    let (out, messages) = unbounded_channel();
    let (halt, _) = watch::channel(Stop::Go);
    let mut sources: Vec<SourceInfo> = ports.probes.iter().map(|probe| probe.info()).collect();
    let source_names: Vec<String> = sources.iter().map(|info| info.name.clone()).collect();
    sources.extend(ports.absent);
    let mut control = Control {
        clock,
        sink: ports.sink,
        outside: ports.stop,
        outside_open: true,
        halt,
        messages,
        source_names,
        wall: WallWatch::new(ports.wall, clock),
        placement: ports.placement,
        interrupted: false,
        pulse: Pulse::start(),
    };
    control.deliver(Entry::Sources { sources });
    let samplers = sampler::start(ports.probes, clock, &out, ports.placement);
    let keeper = ports.logged_in.and_then(|logged_in| {
        for login in &logged_in.records {
            control.deliver(Entry::Login(login.clone()));
        }
        login::keep(
            plan,
            &logged_in,
            &ports.target,
            clock,
            &out,
            ports.placement,
        )
    });
    let mut result = Ok(());
    for step in plan.steps() {
        if *control.halt.borrow() != Stop::Go {
            break;
        }
        let crew = Crew {
            plan,
            target: &ports.target,
            out: &out,
        };
        result = control.run_step(step, &crew).await;
        if result.is_err() {
            break;
        }
    }
    if let Some(keeper) = keeper {
        keeper.stop().await;
    }
    control.stop_samplers(samplers).await;
    let at_ns = clock.now_ns();
    control.deliver(Entry::RunEnded { at_ns });
    result
}

/// A fault of the engine itself.
#[derive(Debug, thiserror::Error)]
#[error("a load worker broke: {message}")]
pub struct EngineFault {
    message: String,
}

struct Control<'a> {
    clock: RunClock,
    sink: &'a mut dyn Sink,
    outside: watch::Receiver<Stop>,
    outside_open: bool,
    halt: watch::Sender<Stop>,
    messages: UnboundedReceiver<Message>,
    source_names: Vec<String>,
    wall: WallWatch<'a>,
    placement: Placement,
    interrupted: bool,
    pulse: Pulse,
}

impl Control<'_> {
    /// Hands an entry to the sink; a sink that fails stops the load.
    fn deliver(&mut self, entry: Entry) {
        if let Err(reason) = self.sink.entry(entry)
            && *self.halt.borrow() == Stop::Go
        {
            self.halt.send_replace(Stop::Drain);
            let at_ns = self.clock.now_ns();
            // The sink keeps this one in memory, where it cannot be lost before the report.
            let _ = self
                .sink
                .entry(Entry::Doubt(Doubt::JournalFailed { at_ns, reason }));
        }
    }

    /// Runs the phases of a step side by side.
    async fn run_step<T: Target>(
        &mut self,
        step: Range<usize>,
        crew: &Crew<'_, T>,
    ) -> Result<(), EngineFault> {
        // A moment ahead, so that every worker is ready when the phases begin.
        let started_ns = self.clock.ns(Instant::now() + LEAD);
        for phase in step.clone() {
            let at_ns = started_ns;
            self.deliver(Entry::PhaseStarted { phase, at_ns });
        }
        // Each thread runs its share of every phase.
        let mut threads: Vec<Vec<Orders>> = Vec::new();
        let mut running: BTreeMap<usize, Running> = BTreeMap::new();
        for index in step {
            let phase = &crew.plan.phases[index];
            let workers = crew.plan.workers.min(phase.load.slots() as usize).max(1);
            let (halt, halted) = watch::channel(*self.halt.borrow());
            let mut spares = Vec::with_capacity(workers);
            threads.resize_with(threads.len().max(workers), Vec::new);
            for (worker, thread) in threads.iter_mut().take(workers).enumerate() {
                let (spare, spare_receiver) = unbounded_channel();
                spares.push(spare);
                thread.push(Orders {
                    worker,
                    workers,
                    phase: phase.clone(),
                    phase_index: index,
                    started_ns,
                    timeout: crew.plan.target.timeout,
                    seed: crew.plan.seed,
                    clock: self.clock,
                    stop: halted.clone(),
                    out: crew.out.clone(),
                    spares: spare_receiver,
                });
            }
            running.insert(
                index,
                Running {
                    merge: Merge::new(workers),
                    spares,
                    finished: Vec::new(),
                    halt,
                    lookout: Lookout::of(&phase.info(), &crew.plan.unit_infos()),
                },
            );
        }
        let hands: Vec<Hand> = threads
            .into_iter()
            .map(|orders| start_thread(orders, crew, self.placement))
            .collect();
        while !running.is_empty() {
            let message = self.next_message().await;
            if let Some(message) = message {
                self.take(message, &mut running, crew.plan)?;
            }
            let level = *self.halt.borrow();
            running.values().for_each(|phase| phase.stop(level));
        }
        for hand in hands {
            hand.join().await;
        }
        Ok(())
    }

    fn take(
        &mut self,
        message: Message,
        running: &mut BTreeMap<usize, Running>,
        plan: &Plan,
    ) -> Result<(), EngineFault> {
        let phase = match message {
            Message::Second {
                phase,
                worker,
                interval,
            } => {
                if let Some(running) = running.get_mut(&phase) {
                    running.merge.add(worker, interval, &running.spares);
                }
                phase
            }
            Message::Finished {
                phase,
                worker,
                finished,
            } => {
                if let Some(running) = running.get_mut(&phase) {
                    running.merge.finish(worker);
                    running.finished.push(finished);
                }
                phase
            }
            Message::Broken { message } => {
                self.halt.send_replace(Stop::Now);
                return Err(EngineFault { message });
            }
            other => {
                self.telemetry(other);
                return Ok(());
            }
        };
        let Some(known) = running.get_mut(&phase) else {
            return Ok(());
        };
        while let Some(interval) = known.merge.next_complete() {
            let interval = Box::new(interval.pack());
            let lookout = known.lookout.as_mut();
            let decision = lookout.and_then(|lookout| lookout.second(&interval));
            self.deliver(Entry::Interval { phase, interval });
            match decision {
                Some(Decision::Abort { gate }) => self.abort(phase, gate),
                Some(Decision::Decided) => known.stop(Stop::Drain),
                None => {}
            }
        }
        if known.finished.len() == known.spares.len() {
            self.end_phase(phase, &plan.phases[phase], &known.finished);
            running.remove(&phase);
        }
        Ok(())
    }

    /// Ends the run, because a gate that says so has failed; told once.
    fn abort(&mut self, phase: usize, gate: String) {
        if *self.halt.borrow() == Stop::Go {
            self.halt.send_replace(Stop::Drain);
            let at_ns = self.clock.now_ns();
            self.deliver(Entry::Doubt(Doubt::Aborted { phase, gate, at_ns }));
        }
    }

    fn end_phase(&mut self, index: usize, phase: &PhasePlan, finished: &[Finished]) {
        let latest = |pick: fn(&Finished) -> u64| finished.iter().map(pick).max().unwrap_or(0);
        let measured_from_ns = latest(|end| end.started) + nanoseconds(phase.warmup);
        self.deliver(Entry::PhaseEnded {
            phase: index,
            measured_from_ns,
            measured_to_ns: latest(|end| end.measured_to).max(measured_from_ns),
            at_ns: latest(|end| end.ended),
        });
    }

    /// Awaits the next message and meanwhile watches the outside, the wall clock and its own pulse.
    async fn next_message(&mut self) -> Option<Message> {
        tokio::select! {
            biased;
            changed = self.outside.changed(), if self.outside_open => {
                self.outside_open = changed.is_ok();
                let level = *self.outside.borrow_and_update();
                self.heed(level);
                None
            }
            at = self.pulse.ticks.tick() => {
                self.check_clocks(at);
                None
            }
            message = self.messages.recv() => message,
        }
    }

    fn heed(&mut self, level: Stop) {
        if level == Stop::Go {
            return;
        }
        if level > *self.halt.borrow() {
            self.halt.send_replace(level);
        }
        if !self.interrupted {
            self.interrupted = true;
            let at_ns = self.clock.now_ns();
            self.deliver(Entry::Doubt(Doubt::Interrupted { at_ns }));
        }
    }

    fn check_clocks(&mut self, tick: Instant) {
        let late = Instant::now().saturating_duration_since(tick);
        if late > STANDSTILL {
            let doubt = Doubt::Paused {
                at_ns: self.clock.ns(tick),
                for_ns: nanoseconds(late),
            };
            self.deliver(Entry::Doubt(doubt));
        }
        if let Some(by_ms) = self.wall.step() {
            let at_ns = self.clock.now_ns();
            self.deliver(Entry::Doubt(Doubt::ClockStep { at_ns, by_ms }));
        }
    }

    fn telemetry(&mut self, message: Message) {
        match message {
            Message::Samples(samples) => self.deliver(Entry::Samples(samples)),
            Message::Login(login) => self.deliver(Entry::Login(login)),
            Message::SourceLost { source, reason } => {
                let doubt = Doubt::TelemetryLost {
                    source: self.source_names[source].clone(),
                    at_ns: self.clock.now_ns(),
                    reason,
                };
                self.deliver(Entry::Doubt(doubt));
            }
            Message::Second { .. } | Message::Finished { .. } | Message::Broken { .. } => {}
        }
    }

    /// Lets the samplers finish, and delivers what they still had.
    async fn stop_samplers(&mut self, samplers: Samplers) {
        samplers.stop().await;
        while let Ok(message) = self.messages.try_recv() {
            self.telemetry(message);
        }
    }
}

/// How far ahead of its announcement a phase begins.
const LEAD: Duration = Duration::from_millis(20);
/// A control side that wakes up this late did not run: it sleeps nearly all the time otherwise.
const STANDSTILL: Duration = Duration::from_secs(1);
