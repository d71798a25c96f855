//! The committed PTX, checked without a GPU: it belongs to its sources, says what the code calls, is old
//! enough for the drivers it must run on, and has the instructions it was written for.

use bench::gpu::kernels::{ENTRIES, Kind, Source};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels")
}

/// The text of a kernel, from its declaration to the next one.
fn body(source: Source, name: &str) -> &'static str {
    let ptx = source.ptx();
    let declared = format!(".visible .entry {name}(");
    let start = ptx
        .find(&declared)
        .unwrap_or_else(|| panic!("{source:?} has no kernel `{name}`"));
    let rest = &ptx[start + declared.len()..];
    let end = rest.find(".visible .entry").unwrap_or(rest.len());
    &rest[..end]
}

fn count(source: Source, name: &str, instruction: &str) -> usize {
    body(source, name).matches(instruction).count()
}

#[test]
fn the_ptx_belongs_to_the_sources() {
    let hashes = std::fs::read_to_string(folder().join("ptx/SOURCES")).unwrap();
    let mut files = 0;
    for line in hashes.lines() {
        let (hash, name) = line.split_once("  ").unwrap();
        let bytes = std::fs::read(folder().join(name)).unwrap();
        let is: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            is, hash,
            "kernels/{name} has changed: run `kernels/regen.py write TOOLCHAIN` (kernels/BUILD.md)"
        );
        files += 1;
    }
    assert_eq!(files, 1 + 2 * Source::ALL.len());
}

#[test]
fn the_ptx_is_old_enough_for_the_drivers_it_must_run_on() {
    let header = |source: Source| {
        let value = |key: &str| {
            let lines = source.ptx().lines();
            let mut found = lines.filter_map(|line| line.strip_prefix(key));
            found.next().unwrap().trim().to_owned()
        };
        format!("{source:?} {} {}", value(".version"), value(".target"))
    };
    insta::assert_snapshot!(Source::ALL.map(header).join("\n"), @r"
    Memory 7.8 sm_70
    Compute 7.8 sm_70
    Tensor 7.8 sm_80
    Wgmma 8.0 sm_90a
    ");
}

#[test]
fn every_kernel_that_the_code_names_is_there_and_takes_what_it_passes() {
    for entry in ENTRIES {
        let text = body(entry.source, entry.name);
        let parameters = &text[..text.find(')').unwrap()];
        let takes: Vec<Kind> = parameters
            .lines()
            .filter_map(|line| line.trim().strip_prefix(".param "))
            .map(|declared| match declared.split(' ').next() {
                Some(".u64") => Kind::U64,
                Some(".u32") => Kind::U32,
                Some(".f32") => Kind::F32,
                other => panic!("{}: a parameter of type {other:?}", entry.name),
            })
            .collect();
        assert_eq!(takes, entry.takes, "{}", entry.name);
    }
    for source in Source::ALL {
        let there = source.ptx().matches(".visible .entry").count();
        assert_eq!(there, source.entries().count(), "{source:?}");
    }
}

#[test]
fn the_kernels_have_the_instructions_they_were_written_for() {
    use Source::{Compute, Memory, Tensor, Wgmma};
    // Four accesses of 16 bytes side by side, and one for the rest.
    assert_eq!(count(Memory, "memory_copy", "ld.global.v4"), 5);
    assert_eq!(count(Memory, "memory_copy", "st.global.v4"), 5);
    assert!(count(Memory, "memory_write", "st.global.v4") >= 4);
    assert_eq!(count(Memory, "memory_write", "ld.global"), 0);
    assert!(count(Memory, "memory_read", "ld.global.cg.v4") >= 4);
    assert_eq!(count(Memory, "memory_triad", "ld.global.v4"), 10);
    assert!(count(Compute, "compute_fma", "fma.rn.f32") >= 16);
    assert!(count(Compute, "compute_shared", "ld.shared.v4") >= 4);
    for (name, instruction) in [
        ("tensor_f16", "m16n8k16.row.col.f32.f16.f16.f32"),
        ("tensor_bf16", "m16n8k16.row.col.f32.bf16.bf16.f32"),
        ("tensor_tf32", "m16n8k8.row.col.f32.tf32.tf32.f32"),
        ("tensor_s8", "m16n8k32.row.col.s32.s8.s8.s32"),
    ] {
        let instruction = format!("mma.sync.aligned.{instruction}");
        let found = count(Tensor, name, &instruction);
        assert!(found >= 8 && found.is_multiple_of(8), "{name}: {found}");
    }
    for (name, instruction) in [
        ("tensor_layer", "m16n8k16.row.col.f32.f16.f16.f32"),
        ("tensor_layer_bf16", "m16n8k16.row.col.f32.bf16.bf16.f32"),
    ] {
        let instruction = format!("mma.sync.aligned.{instruction}");
        assert_eq!(count(Tensor, name, "mma.sync"), 32, "{name}");
        assert_eq!(count(Tensor, name, &instruction), 32, "{name}");
        assert!(count(Tensor, name, "cp.async.cg") >= 4, "{name}");
    }
    for (name, instruction) in [
        ("wgmma_rate_f16", "m64n128k16.f32.f16.f16"),
        ("wgmma_rate_bf16", "m64n128k16.f32.bf16.bf16"),
        ("wgmma_rate_tf32", "m64n128k8.f32.tf32.tf32"),
        ("wgmma_rate_e4m3", "m64n128k32.f32.e4m3.e4m3"),
        ("wgmma_rate_s8", "m64n128k32.s32.s8.s8"),
    ] {
        let instruction = format!("wgmma.mma_async.sync.aligned.{instruction}");
        let found = count(Wgmma, name, &instruction);
        assert!(found >= 4 && found.is_multiple_of(4), "{name}: {found}");
    }
}

/// The real compilers are too big to fetch on each run; where they are, they must agree.
#[test]
#[expect(clippy::print_stderr, reason = "what was not checked must be said")]
fn the_compilers_make_the_same_ptx_and_assemble_it_for_every_target() {
    let Some(toolchain) = std::env::var_os("BENCH_CUDA_TOOLCHAIN") else {
        eprintln!(
            "SKIPPED: BENCH_CUDA_TOOLCHAIN is not set, so the PTX was checked by hash and text but \
             neither made anew nor assembled; kernels/BUILD.md says how to do that"
        );
        return;
    };
    let checked = Command::new("python3")
        .arg(folder().join("regen.py"))
        .arg("check")
        .arg(toolchain)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stdout);
    let complained = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{said}{complained}");
    assert_eq!(said.matches("no spills").count(), 58, "{said}");
}
