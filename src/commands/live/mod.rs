//! What is shown while a run goes on. It listens to the entries of the journal and to nothing else.

mod dashboard;
mod gates;
mod lines;
mod past;
mod screen;
mod state;

use self::lines::Lines;
use self::screen::Screen;
use self::state::LiveRun;
use super::Output;
use crate::engine::ports::Stop;
use crate::record::{Entry, Header};
use tokio::sync::watch;

/// Follows a run.
pub(super) struct Follower {
    run: LiveRun,
    stop: Option<watch::Receiver<Stop>>,
    view: View,
}

enum View {
    Lines(Lines),
    Screen(Screen),
}

impl Follower {
    /// Nothing has begun yet. A full screen is only had on a terminal.
    pub(super) fn new(full_screen: bool, output: Output) -> Self {
        let view = if full_screen && output.is_live() {
            View::Screen(Screen::new(output))
        } else {
            if full_screen {
                output.say("note: --tui takes a terminal on stderr; there is none");
            }
            View::Lines(Lines::new(output))
        };
        Self {
            run: LiveRun::default(),
            stop: None,
            view,
        }
    }

    /// Takes notice of what is going to happen, before anything does.
    pub(super) fn begin(&mut self, header: &Header) {
        self.run = LiveRun::new(header);
    }

    /// Shows from now on when the run is told to stop.
    pub(super) fn watch(&mut self, stop: watch::Receiver<Stop>) {
        self.stop = Some(stop);
    }

    /// Whether nobody else may write on the terminal while the load goes on.
    pub(super) fn is_full_screen(&self) -> bool {
        matches!(self.view, View::Screen(_))
    }

    /// Takes notice of an entry.
    pub(super) fn entry(&mut self, entry: &Entry) {
        self.run.entry(entry);
        if let Some(stop) = &self.stop {
            self.run.stop = *stop.borrow();
        }
        match &mut self.view {
            View::Lines(lines) => lines.entry(entry, &self.run),
            View::Screen(screen) => screen.entry(entry, &self.run),
        }
    }
}
