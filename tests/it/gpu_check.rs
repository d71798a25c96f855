//! `tests/gpu-check.sh`, the check for whoever has a GPU: all of its steps on simulated ones, and what it says
//! of steps that go wrong, with a binary that is a stub.

use crate::fake_cuda::{FakeCublasLt, FakeCuda};
use crate::fake_nvml::FakeNvml;
use crate::support::program::{Bench, Said};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

/// Runs the script on this binary, with what makes a fake machine, and gives its summary too.
fn check(bench: &Bench, binary: &str, machine: &[(&str, &str)]) -> (Said, String) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gpu-check.sh");
    let mut command = bench.scrubbed(Command::new("bash"), &[script, binary, "out"]);
    command.envs(machine.iter().copied());
    let said = Said::from(command.output().unwrap());
    let summary = std::fs::read_to_string(bench.path().join("out/summary.txt"));
    (said, summary.unwrap_or_default())
}

/// Where the loader finds these libraries.
fn found(libraries: &[&Path]) -> String {
    let folders: Vec<&str> = libraries
        .iter()
        .map(|library| library.parent().unwrap().to_str().unwrap())
        .collect();
    folders.join(":")
}

/// A program of the test's own, in its folder.
fn program(bench: &Bench, name: &str, text: &str) {
    bench.write(name, text);
    let path = bench.path().join(name);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

const SCENARIO: &str = r#"
name = "gpu"
[target]
url = "reference"
timeout = "20s"
[target.reference]
max_batch = 4
model_layers = 0
[request.infer]
path = "/v1/inference"
data = "inputs.jsonl"
json = { model = "reference-mlp", inputs = "{{data.inputs}}" }
[[phase]]
name = "p"
concurrency = 2
warmup = "1s"
duration = "3s"
gates = ["error_rate < 50%"]
[telemetry]
gpu = "nvml"
"#;

/// Two GPUs that reach each other, all libraries, and `nvidia-smi`: all of it simulated.
#[test]
fn every_step_runs_on_simulated_gpus() {
    let cuda = FakeCuda::new("devices 2\npeers\n");
    let products = FakeCublasLt::new("");
    let gpu = "utilization 80\nsampled 50\nenergy_mj 1000 100\ngpm 70 60 50 90\n";
    let nvml = FakeNvml::new(&format!(
        "gpu SIMULATED GPU 0\n{gpu}gpu SIMULATED GPU 1\n{gpu}"
    ));
    let bench = Bench::with(SCENARIO);
    let inputs = include_str!("../../scenarios/data/inputs.jsonl");
    bench.write("inputs.jsonl", inputs);
    program(
        &bench,
        "nvidia-smi",
        "#!/bin/sh\necho 'GPU 0: SIMULATED'; echo '  MIG 1g.18gb Device 0: SIMULATED'; echo 'GPU 1: SIMULATED'\n",
    );
    let libraries = found(&[&cuda.path(), &nvml.path(), &products.path()]);
    let path = format!(
        "{}:{}",
        bench.path().display(),
        std::env::var("PATH").unwrap()
    );
    let (said, summary) = check(
        &bench,
        env!("CARGO_BIN_EXE_bench"),
        &[
            ("LD_LIBRARY_PATH", &libraries),
            ("PATH", &path),
            (
                "GPU_CHECK_ARGS",
                "--quick --only=launch,memory.copy,gemm.bf16",
            ),
            ("GPU_CHECK_PATIENCE", "10"),
            ("GPU_CHECK_SECONDS", "5000"),
            ("GPU_CHECK_SCENARIO", "scenario.toml"),
        ],
    );
    let said = said.exits(0);
    let steps: Vec<&str> = summary
        .lines()
        .filter_map(|line| line.strip_prefix("ok    "))
        .filter_map(|rest| rest.split(' ').next())
        .collect();
    assert_eq!(
        steps,
        [
            "nvidia-smi",
            "suite",
            "tune",
            "siblings",
            "hidden",
            "hidden-serve",
            "too-large",
            "serve-f16",
            "serve-bf16",
            "serve-all",
            "prod",
            "prod-on-gpu",
            "series",
        ],
        "{}",
        said.stderr
    );
    assert!(summary.contains("gpu.sm_active"), "{summary}");
    assert!(summary.contains("all steps passed"), "{summary}");
    let record = |step: &str| {
        let folder = bench.path().join("out").join(step);
        let runs = folder
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let suite = runs.map(|run| run.join("gpu.json")).find(|it| it.is_file());
        let text = std::fs::read_to_string(suite.expect(step)).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    // The first GPU alone, and then both and what lies between them.
    let suite = record("suite");
    assert_eq!(suite["gpus"].as_array().unwrap().len(), 1);
    assert_eq!(suite["simulated"], true);
    assert!(
        suite["cublaslt"]
            .as_str()
            .unwrap()
            .contains("libcublasLt.so.12")
    );
    assert!(record("tune")["gpus"][0]["tune"][0].is_object());
    let siblings = record("siblings");
    assert_eq!(siblings["gpus"].as_array().unwrap().len(), 2);
    assert_eq!(siblings["pairs"].as_array().unwrap().len(), 2);
    assert_eq!(record("hidden")["gpus"], serde_json::json!([]));
    assert!(bench.path().join("out.tar.gz").is_file());
}

#[test]
fn without_a_gpu_it_ends_with_a_code_of_its_own() {
    let cuda = FakeCuda::new("init 100\n");
    let bench = Bench::new();
    let (said, summary) = check(
        &bench,
        env!("CARGO_BIN_EXE_bench"),
        &[("LD_LIBRARY_PATH", &found(&[&cuda.path()]))],
    );
    said.exits(4);
    assert!(
        summary.contains("no GPU to check: the CUDA driver sees no GPU on this host"),
        "{summary}"
    );
    // The same where the process may see none of those that there are.
    let cuda = FakeCuda::new("devices 2\n");
    let (said, summary) = check(
        &bench,
        env!("CARGO_BIN_EXE_bench"),
        &[
            ("LD_LIBRARY_PATH", &found(&[&cuda.path()])),
            ("CUDA_VISIBLE_DEVICES", ""),
        ],
    );
    said.exits(4);
    assert!(summary.contains("no GPU to check"), "{summary}");
}

/// A binary that answers as steps of the real one would: all well but for some.
fn stub(bench: &Bench, cases: &str) {
    let text = format!(
        r#"#!/bin/sh
for word in "$@"; do
  case $word in --results=*) results=${{word#--results=}} ;; esac
done
step=$(basename "${{results:-none}}")
if [ -n "${{results:-}}" ]; then
  mkdir -p "$results/run"
  echo '"kind": "cuda"' >"$results/run/run.json"
  echo 'gpu.utilization' >"$results/run/telemetry.csv"
fi
case $step in
  {cases}
  hidden) exit 3 ;;
esac
case "$*" in
  *until-stdin-closes*) exit 0 ;;
  serve*) exit 2 ;;
esac
echo PASS
"#
    );
    program(bench, "bench", &text);
}

#[test]
fn a_step_that_fails_or_hangs_is_named_and_stops_no_other() {
    let bench = Bench::new();
    stub(
        &bench,
        "suite) echo 'FAIL: GPU 0 computes wrongly'; exit 1 ;;\n  tune) exec sleep 600 ;;",
    );
    let (said, summary) = check(&bench, "bench", &[("GPU_CHECK_SECONDS", "10")]);
    said.exits(1);
    let line = |start: &str| summary.lines().find(|line| line.starts_with(start));
    let suite = line("FAIL  suite").expect("the suite failed");
    assert!(
        suite.contains("exit 1 and not 0 or 3: FAIL: GPU 0 computes wrongly"),
        "{suite}"
    );
    let tune = line("FAIL  tune").expect("tuning took too long");
    assert!(tune.contains("it took longer than its "), "{tune}");
    // What is left for those after it is none, which is said of each.
    let prod = line("FAIL  prod ").or_else(|| line("FAIL  prod:"));
    assert!(
        prod.is_some_and(|line| line.contains("not run, the 10 s of the whole check are over")),
        "{summary}"
    );
    assert!(summary.contains("failed in "), "{summary}");

    let bench = Bench::new();
    stub(&bench, "suite) exit 1 ;;");
    let (said, summary) = check(&bench, "bench", &[]);
    said.exits(1);
    for step in [
        "tune",
        "hidden",
        "hidden-serve",
        "too-large",
        "prod",
        "series",
    ] {
        assert!(
            summary.contains(&format!("ok    {step} (")),
            "{step}: {summary}"
        );
    }
    assert!(summary.trim_end().ends_with("beside this one"), "{summary}");

    let bench = Bench::new();
    program(
        &bench,
        "bench",
        "#!/bin/sh\necho 'GLIBC_2.99 not found' >&2; exit 127\n",
    );
    let (said, summary) = check(&bench, "bench", &[]);
    said.exits(1);
    assert!(
        summary.contains("the binary does not start here: GLIBC_2.99 not found"),
        "{summary}"
    );
}

/// What the binary is linked with is on every Linux with glibc: it can be carried to a machine with a GPU.
#[test]
fn the_binary_needs_no_library_beyond_those_of_the_c_compiler() {
    let said = Command::new("readelf")
        .args(["-d", env!("CARGO_BIN_EXE_bench")])
        .output()
        .expect("this test needs `readelf`, which is where `c++` is");
    let text = String::from_utf8(said.stdout).unwrap();
    let needed: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("(NEEDED)"))
        .filter_map(|line| line.split(['[', ']']).nth(1))
        .collect();
    assert!(!needed.is_empty(), "{text}");
    for library in needed {
        let name = library.split(".so").next().unwrap_or_default();
        assert!(
            ["libc", "libm", "libgcc_s", "libdl", "libpthread", "librt"].contains(&name)
                || name.starts_with("ld-linux"),
            "the binary needs {library}"
        );
    }
}
