//! `bench run --tui` on a terminal of its own: a pseudo-terminal, read as a person would.

use crate::support::program::{Bench, signal};
use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::termios::{Termios, tcgetattr};
use std::fs::File;
use std::io::Read as _;
use std::process::Child;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";

const SCENARIO: &str = r#"
name = "live"
[target]
url = "reference"
timeout = "5s"
[request.infer]
path = "/v1/inference"
data = "inputs.jsonl"
json = { model = "reference-mlp", inputs = "{{data.inputs}}" }
[[phase]]
name = "steady"
concurrency = 4
duration = "DURATION"
gates = ["response.p95 < 5s", "response.p95 < 100us"]
[telemetry]
gpu = "none"
"#;

fn with_scenario(duration: &str) -> Bench {
    let bench = Bench::with(&SCENARIO.replace("DURATION", duration));
    bench.write(
        "inputs.jsonl",
        include_str!("../../scenarios/data/inputs.jsonl"),
    );
    bench
}

/// A run on a terminal.
struct OnTerminal {
    _bench: Bench,
    child: Child,
    terminal: File,
    pieces: Receiver<String>,
    reader: JoinHandle<()>,
    seen: String,
}

impl OnTerminal {
    fn start(duration: &str, args: &[&str]) -> Self {
        let bench = with_scenario(duration);
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let OpenptyResult { master, slave } = openpty(&size, None).unwrap();
        let mut all = vec!["run", "scenario.toml", "--tui"];
        all.extend(args);
        let child = bench
            .command(&all)
            .env("TERM", "xterm-256color")
            .stdin(slave.try_clone().unwrap())
            .stderr(slave.try_clone().unwrap())
            .spawn()
            .unwrap();
        let (sender, pieces) = channel();
        let mut master = File::from(master);
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // A terminal whose last writer is gone gives an error.
            while let Ok(count @ 1..) = master.read(&mut bytes) {
                let piece = String::from_utf8_lossy(&bytes[..count]).into_owned();
                if sender.send(piece).is_err() {
                    break;
                }
            }
        });
        Self {
            _bench: bench,
            child,
            terminal: slave.into(),
            pieces,
            reader,
            seen: String::new(),
        }
    }

    fn modes(&self) -> Termios {
        tcgetattr(&self.terminal).unwrap()
    }

    /// Reads on until this is on the terminal.
    fn until(&mut self, text: &str) {
        let give_up = Instant::now() + Duration::from_mins(1);
        while !self.seen.contains(text) {
            let left = give_up.saturating_duration_since(Instant::now());
            let piece = self.pieces.recv_timeout(left);
            self.seen += &piece.unwrap_or_else(|_| panic!("no {text:?} in {:?}", self.seen));
        }
    }

    /// Reads to the end: the exit code, stdout, and all that was on the terminal.
    fn end(self) -> (i32, String, String) {
        let output = self.child.wait_with_output().unwrap();
        drop(self.terminal);
        let mut seen = self.seen;
        seen.extend(self.pieces.iter());
        self.reader.join().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        (output.status.code().unwrap_or(-1), stdout, seen)
    }
}

#[test]
fn the_screen_is_entered_drawn_and_left_as_it_was() {
    let mut run = OnTerminal::start("3s", &[]);
    let before = run.modes();
    run.until(ENTER);
    run.until("beyond");
    // Keys are not echoed meanwhile, and Ctrl-C is still a signal.
    use nix::sys::termios::LocalFlags;
    let meanwhile = run.modes().local_flags;
    assert!(!meanwhile.contains(LocalFlags::ECHO), "{meanwhile:?}");
    assert!(meanwhile.contains(LocalFlags::ISIG), "{meanwhile:?}");
    run.until(LEAVE);
    // What follows is an ordinary terminal again, with the phase in its history.
    run.until("steady: ");
    assert_eq!(run.modes(), before);
    let (code, stdout, seen) = run.end();
    assert_eq!(code, 1, "{stdout}");
    assert!(stdout.contains("response.p95 < 100us"), "{stdout}");
    let (_, screen) = seen.split_once(ENTER).unwrap();
    let (screen, after) = screen.split_once(LEAVE).unwrap();
    for shown in [
        "Gates so far",
        "response.p95 < 5s (steady)",
        "within",
        "4 concurrent",
    ] {
        assert!(screen.contains(shown), "{shown} is not in {screen}");
    }
    assert!(!after.contains("Gates so far"), "{after}");
    // Colour on the screen of a terminal that has it.
    assert!(screen.contains("\x1b[32mwithin"), "{screen}");
}

#[test]
fn ctrl_c_leaves_the_screen_and_a_partial_report() {
    let mut run = OnTerminal::start("10m", &["--color", "never"]);
    run.until("within");
    signal(&run.child, "INT");
    run.until(LEAVE);
    let (code, stdout, seen) = run.end();
    assert_eq!(code, 130, "{stdout}");
    assert!(!seen.contains("\x1b[32m"), "{seen}");
    assert!(stdout.contains("PARTIAL: interrupted at"), "{stdout}");
}

#[test]
fn without_a_terminal_there_are_lines_and_a_note() {
    let bench = with_scenario("2s");
    let said = bench.judged(&["run", "scenario.toml", "--tui"]).exits(1);
    assert!(
        said.stderr.contains("--tui takes a terminal"),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr.contains("steady: 4 concurrent, 2 s"),
        "{}",
        said.stderr
    );
    assert!(!said.stderr.contains('\x1b'), "{:?}", said.stderr);
}
