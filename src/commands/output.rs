//! Where words go: results to stdout, talk to stderr. Everything is readable without colour.

use anstream::{AutoStream, ColorChoice};
use std::io::{IsTerminal as _, Write as _};

/// What the user wants to hear.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// Say nothing but the result.
    pub quiet: bool,
    /// When to use colour.
    pub color: ColorChoice,
}

impl Output {
    /// Prints a result to stdout.
    ///
    /// A reader that has gone away, as in `bench … | head`, is not an error.
    pub fn result(&self, text: &str) {
        let mut stream = AutoStream::new(std::io::stdout(), self.color);
        let _ = stream.write_all(text.as_bytes());
        let _ = stream.flush();
    }

    /// Says something about what is going on, on stderr, in a line of its own.
    pub fn say(&self, text: &str) {
        if !self.quiet {
            self.warn(text);
        }
    }

    /// Says something on stderr that must be heard even when quiet.
    pub fn warn(&self, text: &str) {
        let mut stream = AutoStream::new(std::io::stderr(), self.color);
        let _ = writeln!(stream, "{text}");
    }

    /// Whether text on stderr may use colour.
    pub fn stderr_has_color(&self) -> bool {
        !matches!(
            AutoStream::new(std::io::stderr(), self.color).current_choice(),
            ColorChoice::Never
        )
    }

    /// Whether stderr is a terminal, on which a line can be redrawn.
    pub fn is_live(&self) -> bool {
        !self.quiet && std::io::stderr().is_terminal()
    }

    /// The width of the terminal behind stdout in columns; 100 where it is none.
    pub fn width(&self) -> usize {
        const OF_A_FILE: usize = 100;
        terminal_size::terminal_size_of(std::io::stdout()).map_or(OF_A_FILE, |(columns, _)| {
            usize::from(columns.0).clamp(60, 160)
        })
    }
}
