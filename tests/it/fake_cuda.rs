//! A fake CUDA driver, compiled from `tests/fake/cuda.cpp` with the project's own kernels, which it runs
//! on the CPU.
//!
//! Tests open it by its path, or let a subprocess find it: it must never lie where the system looks.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

/// A fake cuBLASLt beside the fake driver; it vanishes with its folder.
pub(crate) struct FakeCublasLt {
    folder: TempDir,
}

impl FakeCublasLt {
    /// A library that follows this script; its language is described in the C++ file.
    pub(crate) fn new(script: &str) -> Self {
        static COMPLETE: OnceLock<Vec<u8>> = OnceLock::new();
        let library = COMPLETE.get_or_init(|| compile("cublaslt.cpp", None));
        let folder = TempDir::new().expect("a temporary folder");
        let fake = Self { folder };
        std::fs::write(fake.path(), library).expect("the folder is writable");
        std::fs::write(fake.folder.path().join("script"), script).expect("the folder is writable");
        fake
    }

    /// The library file.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("libcublasLt.so.12")
    }
}

/// A fake driver with its script; both vanish with it.
pub(crate) struct FakeCuda {
    folder: TempDir,
}

impl FakeCuda {
    /// A driver that follows this script; its language is described in the C++ file.
    pub(crate) fn new(script: &str) -> Self {
        static COMPLETE: OnceLock<Vec<u8>> = OnceLock::new();
        Self::keep(COMPLETE.get_or_init(|| compile("cuda.cpp", None)), script)
    }

    /// A driver that lacks a function.
    pub(crate) fn without(function: &str) -> Self {
        Self::keep(&compile("cuda.cpp", Some(function)), "")
    }

    /// The library file.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("libcuda.so.1")
    }

    fn keep(library: &[u8], script: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let fake = Self { folder };
        std::fs::write(fake.path(), library).expect("the folder is writable");
        std::fs::write(fake.folder.path().join("script"), script).expect("the folder is writable");
        fake
    }
}

fn compile(source: &str, without: Option<&str>) -> Vec<u8> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake");
    let folder = TempDir::new().expect("a temporary folder");
    let library = folder.path().join("library.so");
    let compiled = Command::new("c++")
        .args([
            "-std=c++17",
            "-O1",
            "-shared",
            "-fPIC",
            "-Wno-unknown-pragmas",
        ])
        .args(without.map(|name| format!("-D{name}=absent_{name}")))
        .arg("-I")
        .arg(&tests)
        .arg("-o")
        .arg(&library)
        .arg(tests.join(source))
        .arg("-ldl")
        .output()
        .expect("this test needs a C++ compiler named `c++`: install g++");
    assert!(
        compiled.status.success(),
        "{source} does not compile: {}",
        String::from_utf8_lossy(&compiled.stderr)
    );
    std::fs::read(library).expect("it has just been compiled")
}
