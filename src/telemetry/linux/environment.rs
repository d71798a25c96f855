//! Where a run takes place, for the record: machine, kernel, and the state of the scenario's repository.
//!
//! What cannot be found out is left empty; nothing here can fail or wait for a user.

use super::cgroup::Groups;
use super::facts::{clock_source, memory};
use crate::record::{Environment, Gpu};
use procfs::{CpuInfo, Current};
use std::ffi::CStr;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

/// Describes this machine, and the git repository that `folder` lies in, if it does.
pub fn environment(folder: &Path, gpu_driver: Option<String>, gpus: Vec<Gpu>) -> Environment {
    let system = rustix::system::uname();
    let text = |text: &CStr| text.to_string_lossy().into_owned();
    let repository = Repository { git: "git", folder };
    Environment {
        bench_version: env!("CARGO_PKG_VERSION").to_owned(),
        host: text(system.nodename()),
        kernel: format!("{} {}", text(system.sysname()), text(system.release())),
        cpu: CpuInfo::current()
            .ok()
            .and_then(|cpus| cpu_model(&cpus))
            .unwrap_or_else(|| text(system.machine())),
        // Heeds affinity and quotas.
        cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        cpu_quota: Groups::of_this_process()
            .and_then(|groups| groups.cpu_quota())
            .map(|cpus| cpus.to_string()),
        memory_bytes: memory().map_or(0, |memory| memory.total),
        clock_source: clock_source(),
        git_commit: repository.commit(),
        git_branch: repository.branch(),
        gpu_driver,
        gpus,
        compute: None,
    }
}

/// The model of the first CPU. ARM kernels give numbers instead of a name.
fn cpu_model(cpus: &CpuInfo) -> Option<String> {
    let field = |name| cpus.get_field(0, name).filter(|value| !value.is_empty());
    if let Some(name) = field("model name").or_else(|| field("cpu model")) {
        return Some(name.to_owned());
    }
    let (implementer, part) = (field("CPU implementer")?, field("CPU part")?);
    Some(format!("ARM implementer {implementer}, part {part}"))
}

/// The git repository around a folder, if there is one.
struct Repository<'a> {
    git: &'a str,
    folder: &'a Path,
}

impl Repository<'_> {
    /// The commit, with `-dirty` where files that git knows have been changed.
    fn commit(&self) -> Option<String> {
        let mut commit = self.ask(&["rev-parse", "--verify", "HEAD"])?;
        // Files that git does not know are left out, as in `git describe --dirty`: the results of the
        // run before would be among them, and looking for them takes long in a large tree.
        let changes = self.ask(&["status", "--porcelain", "--untracked-files=no"])?;
        if !changes.is_empty() {
            commit.push_str("-dirty");
        }
        Some(commit)
    }

    /// The branch; none while a commit is checked out by itself.
    fn branch(&self) -> Option<String> {
        self.ask(&["symbolic-ref", "--quiet", "--short", "HEAD"])
    }

    /// The first line of what git answers, or `None` without git, repository or answer.
    fn ask(&self, question: &[&str]) -> Option<String> {
        const LONGEST_ANSWER: u64 = 4096;
        let mut child = Command::new(self.git)
            // No background process of git's, no lock that another git would meet.
            .args(["-c", "core.fsmonitor=false", "--no-optional-locks", "-C"])
            .arg(self.folder)
            .args(question)
            // Set while git runs this program from a hook, and then not about `folder`.
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .env_remove("GIT_INDEX_FILE")
            .env_remove("GIT_PREFIX")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut answer = Vec::new();
        let read = child
            .stdout
            .take()
            .map(|output| output.take(LONGEST_ANSWER).read_to_end(&mut answer));
        // With its output closed, git ends soon even if it had more to say; only success or that.
        let ended = child.wait().ok()?;
        let cut = answer.len() as u64 == LONGEST_ANSWER;
        read?.ok()?;
        if !ended.success() && !cut {
            return None;
        }
        let answer = String::from_utf8_lossy(&answer);
        Some(answer.lines().next().unwrap_or_default().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use procfs::prelude::FromRead;
    use std::fs;

    fn git(folder: &Path, arguments: &[&str]) {
        let ended = Command::new("git")
            .arg("-C")
            .arg(folder)
            .args(["-c", "user.name=test", "-c", "user.email=test@example.org"])
            .args([
                "-c",
                "commit.gpgsign=false",
                "-c",
                "core.hooksPath=/dev/null",
            ])
            .args(arguments)
            .env_remove("GIT_DIR")
            .output()
            .expect("this test needs `git`");
        assert!(ended.status.success(), "{arguments:?}: {ended:?}");
    }

    #[expect(clippy::disallowed_methods, reason = "a file of the test's own")]
    fn write(folder: &Path, name: &str, text: &str) {
        fs::write(folder.join(name), text).expect("a temporary folder is writable");
    }

    #[test]
    fn knows_commit_branch_and_changes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let folder = folder.path();
        let repository = Repository { git: "git", folder };
        git(folder, &["init", "--initial-branch=topic"]);
        assert_eq!(repository.commit(), None, "nothing is committed yet");
        assert_eq!(repository.branch().as_deref(), Some("topic"));
        write(folder, "scenario.toml", "one");
        git(folder, &["add", "."]);
        git(folder, &["commit", "-m", "one"]);
        let clean = repository.commit().expect("a commit");
        assert_eq!(clean.len(), 40, "{clean}");
        write(folder, "unknown.txt", "a result, say");
        assert_eq!(repository.commit().as_ref(), Some(&clean));
        write(folder, "scenario.toml", "two");
        assert_eq!(repository.commit(), Some(format!("{clean}-dirty")));
        git(folder, &["commit", "-am", "two"]);
        git(folder, &["checkout", "--detach"]);
        assert_eq!(repository.branch(), None);
        let next = repository.commit().expect("a commit");
        assert!(next != clean && !next.ends_with("-dirty"), "{next}");
        // What the record gets is the same.
        let record = environment(folder, None, Vec::new());
        assert_eq!((record.git_commit, record.git_branch), (Some(next), None));
    }

    #[test]
    fn no_repository_and_no_git_are_nothing() {
        let nowhere = Path::new("/nonexistent/folder");
        let repository = Repository {
            git: "git",
            folder: nowhere,
        };
        assert_eq!((repository.commit(), repository.branch()), (None, None));
        let without_git = Repository {
            git: "no-such-program-as-this",
            folder: Path::new("."),
        };
        assert_eq!((without_git.commit(), without_git.branch()), (None, None));
    }

    #[test]
    fn a_long_answer_is_cut() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let folder = folder.path();
        git(folder, &["init", "--initial-branch=topic"]);
        for number in 0..300 {
            write(folder, &format!("file-with-a-long-name-{number}"), "one");
        }
        git(folder, &["add", "."]);
        git(folder, &["commit", "-m", "one"]);
        for number in 0..300 {
            write(folder, &format!("file-with-a-long-name-{number}"), "two");
        }
        let repository = Repository { git: "git", folder };
        let commit = repository.commit().expect("a commit");
        assert!(commit.ends_with("-dirty"), "{commit}");
    }

    #[test]
    fn names_the_cpu_as_far_as_the_kernel_does() {
        let model = |text: &str| cpu_model(&CpuInfo::from_read(text.as_bytes()).expect("parses"));
        let x86 = "processor\t: 0\nmodel name\t: AMD EPYC\n\n";
        assert_eq!(model(x86).as_deref(), Some("AMD EPYC"));
        let grace = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd4f\n\n";
        assert_eq!(
            model(grace).as_deref(),
            Some("ARM implementer 0x41, part 0xd4f")
        );
        assert_eq!(model("processor\t: 0\n\n"), None);
        assert_eq!(model(""), None);
    }

    #[test]
    fn this_machine_is_described() {
        let here = environment(Path::new("/"), Some("580.1".to_owned()), Vec::new());
        assert_eq!(here.bench_version, env!("CARGO_PKG_VERSION"));
        assert!(here.kernel.starts_with("Linux "), "{}", here.kernel);
        assert!(!here.host.is_empty() && !here.cpu.is_empty(), "{here:?}");
        assert!(here.cpus > 0 && here.memory_bytes > 0, "{here:?}");
        assert_eq!(here.gpu_driver.as_deref(), Some("580.1"));
    }
}
