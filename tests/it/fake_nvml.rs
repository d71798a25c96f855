//! A fake NVML, compiled from `tests/fake/nvml.c` into a folder of its own, which holds its script too.
//!
//! Tests open it by its path: it must never lie where the system looks for the real one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

/// A fake library with its script; both vanish with it.
pub(crate) struct FakeNvml {
    folder: TempDir,
}

impl FakeNvml {
    /// A library that follows this script; its language is described in the C file.
    pub(crate) fn new(script: &str) -> Self {
        // Compiled once; each copy has a file and therefore a state of its own.
        static COMPLETE: OnceLock<Vec<u8>> = OnceLock::new();
        Self::keep(COMPLETE.get_or_init(|| compile(&[])), script)
    }

    /// A library that lacks some functions.
    pub(crate) fn without(functions: &[&str], script: &str) -> Self {
        Self::keep(&compile(functions), script)
    }

    /// The library file.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("libnvidia-ml.so.1")
    }

    #[expect(clippy::disallowed_methods, reason = "files of the test's own")]
    fn keep(library: &[u8], script: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let fake = Self { folder };
        std::fs::write(fake.path(), library).expect("the folder is writable");
        std::fs::write(fake.folder.path().join("script"), script).expect("the folder is writable");
        fake
    }
}

#[expect(clippy::disallowed_methods, reason = "a file of the test's own")]
fn compile(without: &[&str]) -> Vec<u8> {
    let folder = TempDir::new().expect("a temporary folder");
    let library = folder.path().join("library.so");
    let compiled = Command::new("cc")
        .args(["-std=c99", "-shared", "-fPIC"])
        // A function under another name is missing under its own.
        .args(without.iter().map(|name| format!("-D{name}=absent_{name}")))
        .arg("-o")
        .arg(&library)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake/nvml.c"))
        // Before version 2.34 of glibc, `dladdr` has a library of its own.
        .arg("-ldl")
        .output()
        .expect("this test needs a C compiler named `cc`, as Rust's own linking does");
    assert!(
        compiled.status.success(),
        "the fake NVML does not compile: {}",
        String::from_utf8_lossy(&compiled.stderr)
    );
    std::fs::read(library).expect("it has just been compiled")
}
