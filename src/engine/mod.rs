//! Runs a plan: workers, pacing, phases, drain, telemetry, and the measurement of itself.
//!
//! It knows no sockets and no files: the target, the probes and the sink come in through [`ports`].
//! Time is tokio's, so that tests run minutes of load in milliseconds under a paused clock.

mod clock;
mod closed;
mod control;
mod crew;
mod heartbeat;
mod login;
mod loop_delay;
mod open;
mod pacer;
pub mod ports;
mod recorder;
mod running;
mod sampler;
mod unit;
mod worker;

pub use control::{EngineFault, Ports, run};
pub use login::{LoggedIn, log_in};
pub use unit::{Errand, Witness, send};

/// Where workers and samplers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Each on a thread of its own: the way to measure.
    Threads,
    /// All on the caller's thread, inside a `LocalSet`: for tests under a paused clock.
    SameThread,
}
