//! The real binary as a subprocess, each time in a folder of its own with a scrubbed environment.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A folder with a scenario and room for results.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
}

/// What a finished subprocess said.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Said {
    /// The last line on stdout.
    pub(crate) fn last_line(&self) -> &str {
        self.stdout.trim_end().lines().last().unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self
    }

    /// The run came to its end and was judged, whatever a machine as busy as this made of its gates.
    #[track_caller]
    pub(crate) fn gives_a_verdict(self) -> Self {
        assert!(
            matches!(self.code, 0 | 1 | 3),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A folder with this scenario as `scenario.toml`.
    pub(crate) fn with(scenario: &str) -> Self {
        let bench = Self::new();
        bench.write("scenario.toml", scenario);
        bench
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    /// The binary with these arguments, ready to be started.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.scrubbed(Command::new(env!("CARGO_BIN_EXE_bench")), args)
    }

    /// The binary under limits of the shell, for example `ulimit -Hn 100`.
    pub(crate) fn limited(&self, limits: &str, args: &[&str]) -> Command {
        let mut shell = Command::new("sh");
        shell.args([
            "-c",
            &format!("{limits}; exec \"$0\" \"$@\""),
            env!("CARGO_BIN_EXE_bench"),
        ]);
        self.scrubbed(shell, args)
    }

    /// Another command, with these arguments.
    pub(crate) fn scrubbed(&self, mut command: Command, args: &[&str]) -> Command {
        command
            .args(args)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Said {
        self.command(args).output().unwrap().into()
    }

    /// The binary with arguments that make a run of whose verdict the test is sure.
    pub(crate) fn judged(&self, args: &[&str]) -> Said {
        self.judged_as(|| self.command(args))
    }

    /// What a command says that makes a run of whose verdict the test is sure. A run that says of itself that
    /// this machine was too busy to generate its load says nothing of what is tested: it is taken away and made
    /// again.
    #[track_caller]
    pub(crate) fn judged_as(&self, command: impl Fn() -> Command) -> Said {
        const PATIENCE: Duration = Duration::from_mins(3);
        let before = self.runs();
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            let said = Said::from(command().output().unwrap());
            if said.code != 3 || !said.stdout.contains("the generator was the bottleneck") {
                return said;
            }
            for run in self.runs().iter().filter(|run| !before.contains(run)) {
                std::fs::remove_dir_all(run).unwrap();
            }
        }
        panic!("this machine was too busy for {PATIENCE:?}");
    }

    /// The folders of runs, the oldest first.
    pub(crate) fn runs(&self) -> Vec<PathBuf> {
        let Ok(entries) = self.path().join("results").read_dir() else {
            return Vec::new();
        };
        let mut runs: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        runs.sort();
        runs
    }

    pub(crate) fn only_run(&self) -> PathBuf {
        let runs = self.runs();
        assert_eq!(runs.len(), 1, "{runs:?}");
        runs.into_iter().next().unwrap()
    }

    /// A file of the only run.
    pub(crate) fn read(&self, name: &str) -> String {
        let path = self.only_run().join(name);
        String::from_utf8(
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        )
        .unwrap()
    }

    pub(crate) fn run_json(&self) -> serde_json::Value {
        serde_json::from_str(&self.read("run.json")).unwrap()
    }

    /// Waits until the journal of a running subprocess holds so many seconds of load.
    pub(crate) fn await_seconds(&self, child: &mut Child, seconds: usize) {
        for _ in 0..600 {
            let journal = self.runs().first().map(|run| run.join("journal.jsonl"));
            let text = journal.and_then(|path| std::fs::read_to_string(path).ok());
            let seen = text.map_or(0, |text| text.matches("{\"interval\":").count());
            if seen >= seconds {
                return;
            }
            if let Some(status) = child.try_wait().unwrap() {
                panic!("ended too early: {status}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("no load within 30 s");
    }
}

/// All files in a folder and its folders.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}

/// Sends a signal to a process of this test.
pub(crate) fn signal(child: &Child, name: &str) {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}
