//! The full screen: entered when the load begins, left when the run is over, and left in every case,
//! also by a panic.

use super::dashboard;
use super::lines::describe_end;
use super::state::LiveRun;
use crate::commands::Output;
use crate::record::Entry;
use anstream::adapter::strip_str;
use console::Term;

const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
const CLEAR_TO_END_OF_LINE: &str = "\x1b[K";

pub(super) struct Screen {
    output: Output,
    open: Option<OpenScreen>,
    /// What a reader of the terminal's history finds there afterwards.
    said: Vec<String>,
}

impl Screen {
    pub(super) fn new(output: Output) -> Self {
        Self {
            output,
            open: None,
            said: Vec::new(),
        }
    }

    /// Shows what an entry has changed.
    pub(super) fn entry(&mut self, entry: &Entry, run: &LiveRun) {
        match entry {
            Entry::PhaseStarted { .. } if self.open.is_none() => {
                self.open = Some(OpenScreen::enter());
            }
            Entry::PhaseEnded { phase, .. } => {
                let live = &run.phases[*phase];
                self.said
                    .push(format!("{}: {}", live.info.name, describe_end(live)));
            }
            Entry::Doubt(doubt) => {
                let text = format!("note: {doubt}");
                if self.open.is_none() {
                    self.output.say(&text);
                    return;
                }
                self.said.push(text);
            }
            Entry::RunEnded { .. } => {
                self.leave();
                return;
            }
            Entry::Samples(_) => return,
            _ => {}
        }
        if let Some(open) = &self.open {
            open.draw(run, self.output.stderr_has_color());
        }
    }

    fn leave(&mut self) {
        self.open = None;
        for line in self.said.drain(..) {
            self.output.say(&line);
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A terminal that shows nothing but the run. One that is gone has no reader: the run goes on.
struct OpenScreen {
    terminal: Term,
    #[cfg(target_os = "linux")]
    input: Option<rustix::termios::Termios>,
}

impl OpenScreen {
    fn enter() -> Self {
        let terminal = Term::buffered_stderr();
        let _ = terminal.write_str(ENTER);
        Self {
            terminal,
            #[cfg(target_os = "linux")]
            input: silence_keys(),
        }
    }

    fn draw(&self, run: &LiveRun, has_color: bool) {
        let (rows, columns) = self.terminal.size();
        let lines = dashboard::lines(run, columns.into(), rows.into());
        let text: Vec<String> = lines
            .into_iter()
            .map(|line| {
                let line = if has_color {
                    line
                } else {
                    strip_str(&line).to_string()
                };
                line + CLEAR_TO_END_OF_LINE
            })
            .collect();
        // No newline after the last line: the terminal would scroll.
        let _ = self
            .terminal
            .write_str(&format!("{HOME}{}", text.join("\r\n")));
        let _ = self.terminal.flush();
    }
}

impl Drop for OpenScreen {
    fn drop(&mut self) {
        let _ = self.terminal.write_str(LEAVE);
        let _ = self.terminal.flush();
        #[cfg(target_os = "linux")]
        if let Some(before) = &self.input {
            use rustix::termios::{OptionalActions, tcsetattr};
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, before);
        }
    }
}

/// Keys are not echoed onto the screen; Ctrl-C stays the signal that it is elsewhere. Returns how the
/// terminal was before, if there is one.
#[cfg(target_os = "linux")]
fn silence_keys() -> Option<rustix::termios::Termios> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    let before = tcgetattr(std::io::stdin()).ok()?;
    let mut silent = before.clone();
    silent.local_modes -= LocalModes::ECHO | LocalModes::ICANON;
    tcsetattr(std::io::stdin(), OptionalActions::Now, &silent).ok()?;
    Some(before)
}
