//! `bench gpu` as a subprocess: without a GPU, and with a fake driver that runs the kernels on the CPU.

use crate::fake_cuda::FakeCuda;
use crate::support::program::{Bench, Said};
use serde_json::Value;
use std::process::Command;

/// Runs the suite on a fake driver; no NVML.
fn gpu(script: &str, args: &[&str]) -> (Bench, Said) {
    let fake = FakeCuda::new(script);
    let bench = Bench::new();
    let library = format!("--cuda-library={}", fake.path().display());
    let mut all = vec![
        "gpu",
        "--quick",
        "--nvml-library=/nonexistent/nvml",
        &library,
    ];
    all.extend(args);
    let said = bench.run(&all);
    (bench, said)
}

fn outcome<'a>(record: &'a Value, test: &str) -> &'a Value {
    let results = record["gpus"][0]["results"].as_array().unwrap();
    let found = results.iter().find(|result| result["test"] == test);
    &found.unwrap_or_else(|| panic!("no {test} in {record:#}"))["outcome"]
}

fn json(said: &Said) -> Value {
    serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{}", said.stderr))
}

#[test]
fn without_a_driver_the_suite_is_inconclusive_and_says_why() {
    let bench = Bench::new();
    let args = ["gpu", "--cuda-library=/nonexistent/libcuda.so.1"];
    let said = bench.run(&args).exits(3);
    insta::assert_snapshot!(said.last_line(), @"INCONCLUSIVE: no CUDA driver on this host: /nonexistent/libcuda.so.1 was not found (a container needs NVIDIA_DRIVER_CAPABILITIES=compute,utility)");
    let record: Value = serde_json::from_str(&bench.read("gpu.json")).unwrap();
    assert_eq!(record["verdict"], "INCONCLUSIVE");
    assert_eq!(record["gpus"], serde_json::json!([]));
    assert!(bench.read("report.html").contains("INCONCLUSIVE"));
}

#[test]
fn tests_are_listed_and_unknown_ones_refused() {
    let bench = Bench::new();
    let said = bench.run(&["gpu", "--list", "--only=memory"]).exits(0);
    assert_eq!(said.stdout.lines().count(), 5, "{}", said.stdout);
    assert!(bench.runs().is_empty());
    let said = bench.run(&["gpu", "--only=memry"]).exits(2);
    assert!(
        said.stderr.contains("there is no test `memry`"),
        "{}",
        said.stderr
    );
}

/// The kernels really run, and their results are really compared: on a fake, so no figure counts.
#[test]
fn every_test_that_the_cpu_can_run_is_measured_and_checked() {
    let (bench, said) = gpu("", &["--json"]);
    let record = json(&said);
    assert_eq!(said.code, 0, "{record:#}");
    assert_eq!(record["simulated"], true);
    for test in [
        "memory.copy",
        "memory.triad",
        "memory.integrity",
        "memory.read",
        "memory.write",
        "l2.read",
        "shared.read",
        "fp32.fma",
        "mma.tf32",
        "mma.f16",
        "mma.bf16",
        "mma.int8",
        "layer.f16",
        "pcie.to_device",
        "pcie.from_device",
    ] {
        let measured = &outcome(&record, test)["measured"];
        assert!(
            measured["median"].as_f64().unwrap() > 0.0,
            "{test}: {measured}"
        );
        assert!(measured["verified"].is_string(), "{test}: {measured}");
    }
    let copy = &outcome(&record, "memory.copy")["measured"];
    assert_eq!(copy["peaks"][0]["name"], "attributes");
    assert_eq!(copy["peaks"][0]["value"], 16.0);
    let hopper = outcome(&record, "wgmma.fp8")["skipped"].as_str().unwrap();
    assert!(hopper.contains("compute capability 8.0"), "{hopper}");
    assert!(record["no_telemetry"].is_string());
    assert!(bench.read("report.html").contains("SIMULATED"));
    assert!(bench.read("report.html").contains("Roofline"));
}

#[test]
fn a_gpu_that_computes_wrongly_fails() {
    for (script, test) in [
        ("corrupt memory_copy", "memory.copy"),
        ("corrupt tensor_bf16", "mma.bf16"),
        ("corrupt memory_fill", "memory.integrity"),
    ] {
        let only = format!("--only={test}");
        let (_, said) = gpu(script, &["--json", &only]);
        let record = json(&said);
        assert_eq!(said.code, 1, "{record:#}");
        let wrong = outcome(&record, test)["wrong"].as_str().unwrap();
        assert!(wrong.contains("wrong"), "{wrong}");
    }
}

#[test]
fn what_the_driver_refuses_is_a_named_failure() {
    for (script, named) in [
        ("fail cuLaunchKernel 719 3", "cuLaunchKernel"),
        (
            "fail cuModuleLoadData 222",
            "the PTX is newer than the driver",
        ),
        ("fail cuEventSynchronize 46 1", "in use or lost"),
        ("fail cuDevicePrimaryCtxRetain 2", "out of memory"),
    ] {
        let (_, said) = gpu(script, &["--only=memory.copy"]);
        let said = said.exits(1);
        assert!(
            said.last_line().starts_with("FAIL: GPU 0"),
            "{}",
            said.stdout
        );
        assert!(
            said.last_line().contains(named),
            "{script}: {}",
            said.stdout
        );
        assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
    }
}

#[test]
fn several_gpus_are_measured_one_by_one_and_all_at_once() {
    let (_, said) = gpu("devices 3", &["--json", "--only=launch.round_trip"]);
    let record = json(&said);
    for part in ["gpus", "together"] {
        let gpus = record[part].as_array().unwrap();
        let names: Vec<&str> = gpus
            .iter()
            .map(|gpu| gpu["name"].as_str().unwrap())
            .collect();
        assert_eq!(
            names,
            ["SIMULATED GPU 0", "SIMULATED GPU 1", "SIMULATED GPU 2"]
        );
    }
}

#[test]
fn the_gpu_check_ends_with_a_code_of_its_own_where_there_is_no_gpu() {
    let bench = Bench::new();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gpu-check.sh");
    let said: Said = Command::new("bash")
        .args([script, env!("CARGO_BIN_EXE_bench"), "out"])
        .current_dir(bench.path())
        .env("GPU_CHECK_ARGS", "--cuda-library=/nonexistent/libcuda.so.1")
        .output()
        .unwrap()
        .into();
    let said = said.exits(4);
    let summary = std::fs::read_to_string(bench.path().join("out/summary.txt")).unwrap();
    assert!(
        summary.contains("no GPU to check: no CUDA driver on this host"),
        "{summary}{}",
        said.stderr
    );
}
