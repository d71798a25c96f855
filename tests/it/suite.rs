//! `bench gpu` as a subprocess: without a GPU, and with a fake driver that runs the kernels on the CPU.

use crate::fake_cuda::{FakeCublasLt, FakeCuda};
use crate::fake_nvml::FakeNvml;
use crate::support::program::{Bench, Said};
use serde_json::Value;

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
    // A real one could be on this machine, and would not know the fake driver.
    if !args
        .iter()
        .any(|argument| argument.starts_with("--cublaslt"))
    {
        all.push("--cublaslt=/nonexistent/libcublasLt.so.12");
    }
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
    // The CPU's own speed may waver under the sustained load, which is INCONCLUSIVE.
    let findings = record["findings"].as_array().unwrap();
    assert!(said.code == 0 || said.code == 3, "{record:#}");
    for finding in findings {
        let reason = finding[2].as_str().unwrap();
        assert!(reason.contains("sustained load"), "{reason}");
    }
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
    let product = outcome(&record, "gemm.bf16")["skipped"].as_str().unwrap();
    assert!(product.contains("cuBLASLt was not found"), "{product}");
    let timeline = &outcome(&record, "sustain.mix")["measured"]["timeline"];
    assert!(timeline.as_array().unwrap().len() >= 5, "{timeline}");
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

/// Those that were measured before stay so, and so does the other GPU.
#[test]
fn a_gpu_that_goes_wrong_under_way_loses_what_comes_after_and_nothing_else() {
    let tests = "--only=memory.read,memory.copy,memory.triad";
    // The suite looks after each test whether the GPU still answers: here not after the second.
    let (_, said) = gpu("fail cuCtxSynchronize 719 1", &["--json", tests]);
    let record = json(&said.exits(1));
    let results = record["gpus"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), 2, "{record:#}");
    assert!(results[0]["outcome"]["measured"].is_object(), "{record:#}");
    let failure = record["gpus"][0]["failure"].as_str().unwrap();
    assert!(failure.contains("the device may be lost"), "{failure}");
    assert!(record["headline"].as_str().unwrap().starts_with("GPU 0: "));
    // The first of two is measured whole, the second is lost.
    let script = "devices 2\nfail cuCtxSynchronize 719 3";
    let (bench, said) = gpu(script, &["--json", tests]);
    let record = json(&said.exits(1));
    assert_eq!(record["gpus"][0]["failure"], Value::Null, "{record:#}");
    assert_eq!(record["gpus"][0]["results"].as_array().unwrap().len(), 3);
    assert!(record["gpus"][1]["failure"].is_string(), "{record:#}");
    assert!(bench.read("report.html").contains("the device may be lost"));
    // It computes rightly for a while.
    let (_, said) = gpu(
        "corrupt tensor_bf16 40",
        &["--json", "--only=mma.bf16,sustain"],
    );
    let record = json(&said);
    assert!(
        outcome(&record, "mma.bf16")["measured"].is_object(),
        "{record:#}"
    );
}

/// NVML loses sight of the GPU while the suite runs: the figures stay, and that is told.
#[test]
fn telemetry_that_is_lost_under_way_is_no_reason_to_lose_the_figures() {
    let script = "gpu SIMULATED GPU 0\nfield 4 0\nlost 2\n";
    let (_, said) = with_nvml(script, &["--json"]);
    let record = json(&said.exits(3));
    assert!(
        outcome(&record, "memory.copy")["measured"].is_object(),
        "{record:#}"
    );
    let headline = record["headline"].as_str().unwrap();
    assert!(
        headline.contains("read before the tests and not after them")
            && headline.contains("GPU 0 is lost"),
        "{headline}"
    );
}

#[test]
fn several_gpus_are_measured_one_by_one_and_all_at_once() {
    let (_, said) = gpu("devices 3", &["--json", "--only=pcie.to_device"]);
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

/// One simulated GPU with NVML beside it; the fake CUDA's first GPU has the same address.
fn with_nvml(nvml: &str, args: &[&str]) -> (Bench, Said) {
    let (cuda, nvml) = (FakeCuda::new(""), FakeNvml::new(nvml));
    let bench = Bench::new();
    let libraries = [
        format!("--cuda-library={}", cuda.path().display()),
        format!("--nvml-library={}", nvml.path().display()),
    ];
    let mut all = vec!["gpu", "--quick", "--only=memory.copy"];
    all.extend(libraries.iter().map(String::as_str));
    all.extend(args);
    let said = bench.run(&all);
    (bench, said)
}

#[test]
fn health_is_read_before_and_after_and_a_well_gpu_passes() {
    let script =
        "gpu SIMULATED GPU 0\nfield 3 7\nfield 4 0\nfield 142 2\nfield 74 0 5000000\nthrottle 4\n";
    let (_, said) = with_nvml(script, &["--json"]);
    let record = json(&said.exits(0));
    let gpu = &record["gpus"][0];
    let health = &gpu["health"];
    assert_eq!(health["before"]["ecc.corrected"], 7);
    assert_eq!(health["after"]["slowed.power"], 5_000_000);
    assert_eq!(health["missing"], serde_json::json!([]));
    assert_eq!(health["link"]["width"], 16);
    assert_eq!(gpu["power_limit_watts"], 700.0);
    assert_eq!(record["xids"], serde_json::json!([]));
    // The power limit is no fault, and is told.
    let copy = &outcome(&record, "memory.copy")["measured"];
    assert_eq!(copy["throttled_samples"], 0);
    assert_eq!(copy["power_capped_samples"], copy["samples"]);
}

#[test]
fn a_sick_gpu_is_found_by_its_counters_its_link_and_the_drivers_messages() {
    for (script, code, named) in [
        ("field 4 1", 1, "ecc.uncorrected: 1 memory errors"),
        ("field 4 0 1", 1, "(1 of them new)"),
        ("field 3 0 4", 3, "ecc.corrected: 4 memory errors"),
        ("field 144 1", 1, "remapped.pending"),
        ("field 94 5 2", 3, "pcie.replays: 2 packets"),
        (
            "field 75 0 4000000000",
            1,
            "slowed.thermal: clocks were held back by heat for 4.00 s",
        ),
        ("link 3 16 5 16", 1, "generation 3 with 16 lanes"),
        ("xid 79", 1, "the driver reported Xid 79"),
        ("xid 31", 3, "the driver reported Xid 31"),
        ("throttle 64", 3, "heat or hardware held the clocks back"),
    ] {
        let (_, said) = with_nvml(&format!("gpu SIMULATED GPU 0\n{script}\n"), &[]);
        let said = said.exits(code);
        let last = said.last_line();
        assert!(last.contains(named), "{script}: {}", said.stdout);
        assert!(last.contains("GPU 0: "), "{script}: {last}");
    }
}

#[test]
fn counters_that_cannot_be_read_have_a_reason() {
    let script =
        "gpu SIMULATED GPU 0\nfail nvmlDeviceGetFieldValues 999\nfail nvmlDeviceRegisterEvents 4\n";
    let (_, said) = with_nvml(script, &["--json"]);
    let record = json(&said.exits(0));
    let missing = record["gpus"][0]["health"]["missing"][0].as_str().unwrap();
    assert!(missing.contains("internal driver error"), "{missing}");
    assert_eq!(record["xids"], Value::Null);
}

#[test]
fn floors_are_gates_from_the_command_line_and_from_a_file() {
    let floor = |value: &str| format!("--floor=memory.copy={value}");
    for (value, code) in [("1MB/s", 0), ("900TB/s", 1), ("85%", 3), ("20us", 3)] {
        let (_, said) = gpu("", &["--only=memory.copy", &floor(value)]);
        said.exits(code);
    }
    let bench = Bench::new();
    bench.write(
        "floors.toml",
        "memory.copy = \"900TB/s\"\nmemory.cop = \"1GB/s\"\n",
    );
    let said = bench.run(&["gpu", "--floors-file=floors.toml"]).exits(2);
    assert!(
        said.stderr
            .contains("floors.toml:2:8: there is no test `memory.cop`"),
        "{}",
        said.stderr
    );
    let said = bench.run(&["gpu", "--floor=memory.copy=fast"]).exits(2);
    assert!(
        said.stderr.contains("not a positive number"),
        "{}",
        said.stderr
    );
    assert!(bench.runs().is_empty());
}

#[test]
fn a_gpu_is_compared_with_its_own_earlier_record() {
    let cuda = FakeCuda::new("");
    let library = format!("--cuda-library={}", cuda.path().display());
    let bench = Bench::new();
    let run = |more: &[&str]| {
        let mut args = vec![
            "gpu",
            "--quick",
            "--only=memory.copy",
            "--nvml-library=/nonexistent/nvml",
            "--json",
            &library,
        ];
        args.extend(more);
        bench.run(&args)
    };
    json(&run(&[]).exits(0));
    let folder = bench.only_run();
    let id = folder.file_name().unwrap().to_str().unwrap();
    let first = std::fs::read_to_string(folder.join("gpu.json")).unwrap();
    // An impossibly good past: the CPU's own speed would decide otherwise.
    let mut past: Value = serde_json::from_str(&first).unwrap();
    let copy = &mut past["gpus"][0]["results"][0]["outcome"]["measured"];
    for value in ["median", "lower", "upper"] {
        copy[value] = serde_json::json!(1e9);
    }
    bench.write("past.json", &past.to_string());
    let record = json(&run(&["--baseline=past.json"]).exits(1));
    assert_eq!(record["gates"][0]["against"], format!("baseline {id}"));
    assert_eq!(record["gates"][0]["verdict"], "FAIL");
    // By the name of its folder, too.
    let record = json(&run(&["--baseline", id]));
    assert_eq!(record["gates"].as_array().unwrap().len(), 1, "{record:#}");
    let said = run(&["--baseline=nothing"]).exits(2);
    assert!(
        said.stderr.contains("no record of a GPU suite"),
        "{}",
        said.stderr
    );
    bench.write("broken.json", "{\"schema\": 1}");
    let said = run(&["--baseline=broken.json"]).exits(2);
    assert!(
        said.stderr
            .contains("`broken.json` is no record of the GPU suite"),
        "{}",
        said.stderr
    );
    // One of a newer format need have nothing that this one has.
    bench.write("newer.json", "{\"schema\": 99, \"gpus\": \"elsewhere\"}");
    let said = run(&["--baseline=newer.json"]).exits(2);
    assert!(
        said.stderr
            .contains("`newer.json` has version 99 of the format, and this program knows "),
        "{}",
        said.stderr
    );
    let said = bench.run(&["compare", "newer.json", "newer.json"]).exits(2);
    assert!(
        said.stderr.contains("has version 99 of the format"),
        "{}",
        said.stderr
    );
}

/// The products are computed by a fake library on the CPU: what is tested is what is asked of it, and
/// whether wrong answers are noticed.
#[test]
fn products_of_cublaslt_are_checked_in_every_precision() {
    let library = |script: &str| {
        let fake = FakeCublasLt::new(script);
        (format!("--cublaslt={}", fake.path().display()), fake)
    };
    let (argument, _fake) = library("");
    let (_, said) = gpu("", &["--json", "--only=gemm", &argument]);
    let record = json(&said.exits(0));
    for (test, unit) in [
        ("gemm.tf32", "TFLOP/s"),
        ("gemm.f16", "TFLOP/s"),
        ("gemm.bf16", "TFLOP/s"),
        ("gemm.fp8", "TFLOP/s"),
        ("gemm.int8", "TOP/s"),
        ("gemm.decode_16", "GB/s"),
        ("gemm.decode_128", "GB/s"),
    ] {
        let measured = &outcome(&record, test)["measured"];
        assert_eq!(measured["unit"], unit, "{test}: {measured}");
        assert!(measured["verified"].is_string(), "{test}");
    }
    assert!(
        record["cublaslt"]
            .as_str()
            .unwrap()
            .ends_with("libcublasLt.so.12")
    );

    let (argument, _fake) = library("corrupt");
    let (_, said) = gpu("", &["--json", "--only=gemm.bf16,gemm.int8", &argument]);
    let record = json(&said.exits(1));
    for test in ["gemm.bf16", "gemm.int8"] {
        let wrong = outcome(&record, test)["wrong"].as_str().unwrap();
        assert!(wrong.contains("instead of"), "{wrong}");
    }

    let (argument, _fake) = library("unsupported 28\nfail cublasLtMatmul 13");
    let (_, said) = gpu("", &["--json", "--only=gemm.fp8,gemm.f16", &argument]);
    let record = json(&said.exits(1));
    let skipped = outcome(&record, "gemm.fp8")["skipped"].as_str().unwrap();
    assert!(
        skipped.contains("cannot compute it on this GPU"),
        "{skipped}"
    );
    let failed = outcome(&record, "gemm.f16")["failed"].as_str().unwrap();
    assert!(
        failed.contains("`cublasLtMatmul` failed with status 13"),
        "{failed}"
    );

    // What the library works in does not fit beside what others have of the memory.
    let (argument, _fake) = library("");
    let (_, said) = gpu("memory 16", &["--json", "--only=gemm.bf16", &argument]);
    let record = json(&said.exits(1));
    let failed = outcome(&record, "gemm.bf16")["failed"].as_str().unwrap();
    assert!(
        failed.contains("its workspace of 32 MiB does not fit: 1")
            && failed.contains("MiB of the GPU's memory are free"),
        "{failed}"
    );

    let (_, said) = gpu("", &["--json", "--only=gemm.f16", "--cublaslt=/dev/null"]);
    let record = json(&said.exits(3));
    let skipped = outcome(&record, "gemm.f16")["skipped"].as_str().unwrap();
    assert!(skipped.contains("cuBLASLt cannot be loaded"), "{skipped}");
}

#[test]
fn pairs_of_gpus_are_measured_where_they_reach_each_other() {
    let (_, said) = gpu("devices 2\npeers", &["--json", "--only=peer"]);
    let record = json(&said);
    assert_ne!(said.code, 1, "{record:#}");
    let pairs = record["pairs"].as_array().unwrap();
    let tests = |pair: &Value| -> Vec<String> {
        let results = pair["results"].as_array().unwrap().iter();
        results
            .map(|result| {
                assert!(result["outcome"]["measured"].is_object(), "{result}");
                result["test"].as_str().unwrap().to_owned()
            })
            .collect()
    };
    assert_eq!(pairs.len(), 2);
    assert_eq!(
        tests(&pairs[0]),
        ["peer.copy", "peer.both_ways", "peer.latency"]
    );
    assert_eq!(tests(&pairs[1]), ["peer.copy", "peer.latency"]);

    let (_, said) = gpu("devices 2", &["--json", "--only=peer"]);
    let record = json(&said);
    let reason = record["pairs"][0]["unreachable"].as_str().unwrap();
    assert!(reason.contains("no direct way"), "{reason}");

    let (_, said) = gpu("devices 2\npeers\ncorrupt peer", &["--only=peer"]);
    let said = said.exits(1);
    assert!(
        said.last_line()
            .contains("peer.copy, GPU 0 to GPU 1: the copy differs"),
        "{}",
        said.stdout
    );
}

#[test]
fn a_sweep_finds_the_knee_of_every_precision_and_says_what_it_could_not_try() {
    let fake = FakeCublasLt::new("unsupported 28\n");
    let library = format!("--cublaslt={}", fake.path().display());
    let (bench, said) = gpu("", &["--tune", &library]);
    let said = said.exits(0);
    assert!(
        said.stdout.contains("GPU 0: take ") && said.stdout.contains("knee"),
        "{}",
        said.stdout
    );
    let record: Value = serde_json::from_str(&bench.read("gpu.json")).unwrap();
    let sweep = record["gpus"][0]["tune"].as_array().unwrap();
    let names: Vec<&str> = sweep
        .iter()
        .map(|it| it["precision"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["tf32", "f16", "bf16", "fp8", "int8", "f16", "bf16"]);
    for series in sweep {
        let points = series["points"].as_array().unwrap();
        if series["precision"] == "fp8" {
            assert!(
                series["skipped"].is_string() && points.is_empty(),
                "{series}"
            );
            continue;
        }
        let batches: Vec<u64> = points
            .iter()
            .map(|it| it["batch"].as_u64().unwrap())
            .collect();
        assert_eq!(batches, [1, 2, 4, 8, 16], "{series}");
    }
    assert!(bench.read("report.html").contains("knee"));
}

#[test]
fn two_suites_are_compared_with_what_differs_first() {
    let (bench, said) = gpu("", &["--only=memory.copy", "--json"]);
    json(&said.exits(0));
    let folder = bench.only_run();
    let id = folder.file_name().unwrap().to_str().unwrap();
    let said = bench.run(&["compare", id, id, "--format=json"]);
    let same = json(&said);
    assert_eq!(same["differences"], serde_json::json!([]));
    assert_eq!(same["tests"][0]["test"], "memory.copy");
    assert_eq!(same["tests"][0]["ratio"], 1.0);
    let mut past: Value = serde_json::from_str(&bench.read("gpu.json")).unwrap();
    past["driver"] = serde_json::json!("535.1 SIMULATED");
    let copy = &mut past["gpus"][0]["results"][0]["outcome"]["measured"];
    for value in ["median", "lower", "upper"] {
        copy[value] = serde_json::json!(1e9);
    }
    bench.write("past.json", &past.to_string());
    let said = bench.run(&["compare", "past.json", id]).exits(1);
    assert!(
        said.stdout
            .starts_with("These suites did not run under the same conditions:\n  driver"),
        "{}",
        said.stdout
    );
    assert!(
        said.last_line()
            .starts_with("FAIL: 1 worse; GPU 0 memory.copy"),
        "{}",
        said.stdout
    );
    let said = bench.run(&["compare", id, "past.json"]).exits(0);
    assert_eq!(said.last_line(), "PASS: 1 better");
}
