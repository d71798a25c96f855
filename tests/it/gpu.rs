//! NVML and its telemetry against a fake library: every way in which a GPU can be there, or not.

use crate::fake_nvml::FakeNvml;
use bench::engine::ports::Probe;
use bench::gate::TelemetryMetric;
use bench::gpu::{Nvml, Reading, Throttle, Unavailable};
use bench::record::{SourceInfo, SourceState};
use bench::scenario::{GpuSource, Telemetry};
use bench::telemetry::{NvmlProbe, Sources, gpu_source};
use std::path::Path;
use std::time::Duration;

const GIB: u64 = 1 << 30;

fn open(script: &str) -> Result<Nvml, Unavailable> {
    // The library stays loaded when its file is gone.
    Nvml::open(Some(&FakeNvml::new(script).path()))
}

fn open_without(functions: &[&str], script: &str) -> Result<Nvml, Unavailable> {
    Nvml::open(Some(&FakeNvml::without(functions, script).path()))
}

fn source(gpu: GpuSource, target_is_local: bool) -> Result<NvmlProbe, SourceInfo> {
    let telemetry = Telemetry {
        gpu,
        gpu_interval: Duration::from_millis(100),
        ..Telemetry::default()
    };
    gpu_source(&telemetry, target_is_local)
}

fn probe(script: &str) -> NvmlProbe {
    let nvml = open(script).expect("the fake opens");
    NvmlProbe::new(nvml, Duration::from_millis(100))
}

/// The values of the next sample by their series, such as `gpu.power[0]`.
fn sample(probe: &mut NvmlProbe) -> Result<Vec<(String, Option<f64>)>, String> {
    let mut values = Vec::new();
    probe.sample(&mut values)?;
    let series = probe.info().series;
    assert_eq!(values.len(), series.len());
    let names = series.iter().map(ToString::to_string);
    Ok(names.zip(values).collect())
}

fn value(probe: &mut NvmlProbe, series: &str) -> Option<f64> {
    let values = sample(probe).expect("the fake answers");
    let found = values.iter().find(|(name, _)| name == series);
    found.unwrap_or_else(|| panic!("no {series}")).1
}

#[test]
fn a_healthy_gpu_is_listed_and_read() {
    let nvml = open(
        "gpu SIMULATED H200\nutilization 60 10\nmemory_activity 30\nmemory_used 1073741824 2097152\n\
         power_mw 512500\ntemperature 61\nsm_clock 1980\nmemory_clock 3201\nthrottle 1\n",
    )
    .expect("the fake opens");
    assert_eq!(nvml.driver(), "580.159.03-SIMULATED");
    assert!(nvml.simulated());
    assert_eq!(nvml.lacks(), []);
    let [gpu] = nvml.gpus() else {
        panic!("one GPU: {:?}", nvml.gpus());
    };
    assert_eq!((gpu.index, gpu.name.as_str()), (0, "SIMULATED H200"));
    assert_eq!(gpu.uuid, "GPU-00000000-0000-0000-0000-000000000000");
    assert_eq!(gpu.pci_bus_id, "00000000:01:00.0");
    assert_eq!(gpu.memory_bytes, 141 * GIB);
    // Reading 0 was taken when the library was opened.
    let expected = Reading {
        utilization: Some(0.7),
        memory_activity: Some(0.3),
        // The half GiB that the driver reserves is not in use.
        memory_used_bytes: Some(GIB + (2 << 20)),
        memory_total_bytes: Some(141 * GIB),
        power_watts: Some(512.5),
        temperature_celsius: Some(61.0),
        sm_clock_mhz: Some(1980.0),
        memory_clock_mhz: Some(3201.0),
        throttle: Some(Throttle { reasons: 1 }),
    };
    assert_eq!(nvml.read(0).as_ref(), Ok(&expected));
    let next = nvml.read(0).expect("the fake answers");
    assert_eq!(next.utilization, Some(0.8));
    assert_eq!(next.memory_used_bytes, Some(GIB + (4 << 20)));
    assert_eq!(nvml.read(1), Err(Unavailable::NoDevice));
}

#[test]
fn a_missing_library_is_named() {
    let missing = Path::new("/nonexistent/libnvidia-ml.so.1");
    let reason = Nvml::open(Some(missing)).expect_err("there is none");
    let expected = Unavailable::LibraryMissing(missing.display().to_string());
    assert_eq!(reason, expected);
    assert_eq!(
        reason.to_string(),
        "no NVIDIA driver on this host: /nonexistent/libnvidia-ml.so.1 was not found"
    );
}

/// With a driver the system's own library opens, without one the reason names it; a test machine may
/// be either.
#[test]
fn the_system_library_opens_or_has_a_reason() {
    match Nvml::open(None) {
        Ok(nvml) => assert!(!nvml.gpus().is_empty() && !nvml.simulated()),
        Err(Unavailable::LibraryMissing(name)) => assert_eq!(name, "libnvidia-ml.so.1"),
        Err(reason) => assert!(!reason.to_string().is_empty()),
    }
}

#[test]
fn a_file_that_is_no_library_is_not_called_missing() {
    let this = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let reason = Nvml::open(Some(&this)).expect_err("no library");
    assert!(matches!(&reason, Unavailable::Other(_)), "{reason:?}");
    assert!(reason.to_string().contains("Cargo.toml"), "{reason}");
}

#[test]
fn codes_of_the_initialization_have_their_reasons() {
    let check = |code: u32, expected: Unavailable| {
        let reason = open(&format!("init {code}\ngpu SIMULATED H200\n")).expect_err("it fails");
        assert_eq!(reason, expected, "{code}");
    };
    check(9, Unavailable::DriverNotLoaded);
    check(4, Unavailable::NoPermission);
    check(17, Unavailable::NoPermission);
    check(18, Unavailable::VersionMismatch);
    check(27, Unavailable::Other("error code 27".to_owned()));
    check(
        999,
        Unavailable::Other("an internal driver error occurred".to_owned()),
    );
}

#[test]
fn a_driver_without_gpus_is_told_apart() {
    assert_eq!(open("").expect_err("no GPU"), Unavailable::NoDevice);
}

#[test]
fn without_an_essential_function_there_is_no_source() {
    let gpu = "gpu SIMULATED H200\n";
    for function in [
        "nvmlInit_v2",
        "nvmlShutdown",
        "nvmlSystemGetDriverVersion",
        "nvmlDeviceGetCount_v2",
        "nvmlDeviceGetHandleByIndex_v2",
        "nvmlDeviceGetName",
        "nvmlDeviceGetUUID",
    ] {
        let reason = open_without(&[function], gpu).expect_err("it is needed");
        assert_eq!(reason, Unavailable::SymbolMissing(function.to_owned()));
        assert!(reason.to_string().contains(function), "{reason}");
    }
}

#[test]
fn without_a_function_for_one_value_only_that_value_is_missing() {
    let functions = ["nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetPciInfo_v3"];
    let nvml = open_without(&functions, "gpu SIMULATED H200\n").expect("the rest is there");
    let reading = nvml.read(0).expect("the rest is there");
    assert_eq!(reading.memory_used_bytes, None);
    assert_eq!(reading.memory_total_bytes, None);
    assert_eq!(reading.memory_ratio(), None);
    assert_eq!(reading.utilization, Some(0.5));
    let [lack] = nvml.lacks() else {
        panic!("one value is missing: {:?}", nvml.lacks());
    };
    assert_eq!((lack.gpu, lack.what), (0, "memory"));
    assert!(lack.reason.contains("nvmlDeviceGetMemoryInfo_v2"), "{lack}");
}

#[test]
fn what_is_not_supported_is_missing_and_not_zero() {
    let nvml = open(
        "gpu SIMULATED H200\nfail nvmlDeviceGetPowerUsage 3\nfail nvmlDeviceGetTemperature 3\n\
         fail nvmlDeviceGetClockInfo 3\nfail nvmlDeviceGetCurrentClocksThrottleReasons 3\n\
         fail nvmlDeviceGetMigMode 3\n",
    )
    .expect("the fake opens");
    let expected = Reading {
        utilization: Some(0.5),
        memory_activity: Some(0.25),
        memory_used_bytes: Some(GIB),
        memory_total_bytes: Some(141 * GIB),
        ..Reading::default()
    };
    assert_eq!(nvml.read(0), Ok(expected));
    let missing: Vec<&str> = nvml.lacks().iter().map(|lack| lack.what).collect();
    assert_eq!(
        missing,
        [
            "power",
            "temperature",
            "SM clock",
            "memory clock",
            "throttle reasons"
        ]
    );
}

#[test]
fn a_gpu_of_which_nothing_is_left_has_failed() {
    let fails: String = [
        "UtilizationRates",
        "MemoryInfo_v2",
        "PowerUsage",
        "Temperature",
        "ClockInfo",
        "CurrentClocksThrottleReasons",
    ]
    .map(|what| format!("fail nvmlDeviceGet{what} 999\n"))
    .concat();
    let reason = open(&format!("gpu SIMULATED H200\n{fails}")).expect_err("nothing is left");
    let internal = "an internal driver error occurred".to_owned();
    assert_eq!(reason, Unavailable::Other(internal));
}

#[test]
fn a_gpu_that_is_lost_makes_the_sample_an_error() {
    let mut probe = probe("gpu SIMULATED H200\ngpu SIMULATED H200\nlost 2\n");
    sample(&mut probe).expect("both answer");
    for _ in 0..2 {
        let reason = sample(&mut probe).expect_err("the second is gone");
        assert!(reason.starts_with("GPU 1 is lost"), "{reason}");
    }
    let reason = open("gpu SIMULATED H200\nlost 0\n").expect_err("lost from the start");
    assert_eq!(reason, Unavailable::Lost { gpu: 0 });
    let midway = "gpu SIMULATED H200\nfail nvmlDeviceGetPowerUsage 15\n";
    let reason = open(midway).expect_err("lost in the middle of a reading");
    assert_eq!(reason, Unavailable::Lost { gpu: 0 });
    let reset = "gpu SIMULATED H200\nfail nvmlDeviceGetMemoryInfo_v2 16\n";
    let reason = open(reset).expect_err("it needs a reset");
    assert_eq!(reason, Unavailable::ResetRequired { gpu: 0 });
}

#[test]
fn a_gpu_split_by_mig_has_no_utilization_and_says_why() {
    // Some drivers answer 0 here.
    let split = "gpu SIMULATED H200\nmig 1\nutilization 0\ngpu SIMULATED H200\nutilization 90\n";
    let mut probe = probe(split);
    let lacks: Vec<String> = probe
        .nvml()
        .lacks()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        lacks,
        [
            "GPU 0 does not report its utilization: it is split by MIG, and NVML knows no utilization \
             for a GPU that is split",
            "GPU 0 does not report its memory activity: it is split by MIG, and NVML knows no \
             utilization for a GPU that is split",
        ]
    );
    // The series carries the reason to whoever judges it.
    let series = probe.info().series;
    let lack = |metric: &str, gpu: &str| {
        let found = series
            .iter()
            .find(|series| series.metric == metric && series.instance == gpu);
        found.and_then(|series| series.lack.clone())
    };
    assert_eq!(lack("gpu.utilization", "0").as_ref(), Some(&lacks[0]));
    assert_eq!(lack("gpu.utilization", "1"), None);
    assert_eq!(lack("gpu.power", "0"), None);
    let values = sample(&mut probe).expect("the rest is there");
    let of = |name: &str| values.iter().find(|(series, _)| series == name).cloned();
    // The series stays: a gate on it must not be judged by the other GPU alone.
    assert_eq!(
        of("gpu.utilization[0]"),
        Some(("gpu.utilization[0]".to_owned(), None))
    );
    assert_eq!(
        of("gpu.utilization[1]"),
        Some(("gpu.utilization[1]".to_owned(), Some(0.9)))
    );
    assert_eq!(
        of("gpu.power[0]"),
        Some(("gpu.power[0]".to_owned(), Some(300.0)))
    );
}

#[test]
fn gpus_of_others_are_left_out_and_named() {
    let others = "gpu SIMULATED H200\nfail nvmlDeviceGetHandleByIndex_v2 4\n";
    assert_eq!(
        open(others).expect_err("no other"),
        Unavailable::NoPermission
    );
    let nvml = open(&format!("{others}gpu SIMULATED H200\n")).expect("one is ours");
    let indexes: Vec<u32> = nvml.gpus().iter().map(|gpu| gpu.index).collect();
    assert_eq!(indexes, [1]);
    assert!(nvml.read(0).is_ok());
    let [lack] = nvml.lacks() else {
        panic!("one GPU is missing: {:?}", nvml.lacks());
    };
    assert_eq!(lack.gpu, 0);
}

#[test]
fn throttling_is_told_from_settings() {
    let throttled = |bits: u64| {
        let mut probe = probe(&format!("gpu SIMULATED H200\nthrottle {bits}\n"));
        let reasons = value(&mut probe, "gpu.throttle.reasons[0]");
        (value(&mut probe, "gpu.throttled[0]"), reasons)
    };
    assert_eq!(throttled(0), (Some(0.0), Some(0.0)));
    // Idle, and application clocks.
    assert_eq!(throttled(3), (Some(0.0), Some(3.0)));
    // Power cap; heat.
    assert_eq!(throttled(4), (Some(1.0), Some(4.0)));
    assert_eq!(throttled(0x41), (Some(1.0), Some(65.0)));
    // A bit that no driver had when this was written.
    assert_eq!(throttled(1 << 20), (Some(0.0), Some(0.0)));
}

#[test]
fn what_is_made_up_is_marked_by_either_name() {
    let simulated = |script: &str| probe(script).info().simulated;
    assert!(simulated("gpu SIMULATED H200\n"));
    assert!(simulated("driver 580.159.03\ngpu SIMULATED H200\n"));
    assert!(simulated("gpu NVIDIA H200\n"));
    assert!(!simulated("driver 580.159.03\ngpu NVIDIA H200\n"));
}

#[test]
fn the_probe_has_all_series_for_each_gpu() {
    let info = probe("gpu SIMULATED H200\ngpu SIMULATED H200\n").info();
    assert_eq!(
        (info.name.as_str(), info.state),
        ("gpu", SourceState::Present)
    );
    assert_eq!(info.period_ns, 100_000_000);
    assert_eq!(info.series.len(), 28);
    for metric in TelemetryMetric::all() {
        let instances: Vec<&str> = info
            .series
            .iter()
            .filter(|series| series.metric == metric.name)
            .map(|series| series.instance.as_str())
            .collect();
        let expected: &[&str] = if metric.name.starts_with("gpu.") {
            &["0", "1"]
        } else {
            &[]
        };
        assert_eq!(instances, expected, "{}", metric.name);
    }
}

#[test]
fn the_scenario_decides_whether_this_host_is_asked() {
    let fake = FakeNvml::new("gpu SIMULATED H200\n");
    let library = fake.path().display().to_string();
    let off = source(GpuSource::None, true).expect_err("switched off");
    assert_eq!((off.name.as_str(), off.state), ("gpu", SourceState::Off));
    let remote = source(GpuSource::Auto, false).expect_err("the target is elsewhere");
    let SourceState::Unavailable(reason) = remote.state else {
        panic!("a reason is needed");
    };
    assert!(
        reason.starts_with("the target is on another host"),
        "{reason}"
    );
    // Who names the library wants it, wherever the target is.
    for local in [true, false] {
        let probe = source(GpuSource::Nvml(Some(library.clone())), local).expect("forced");
        assert!(probe.info().simulated);
    }
    let missing = GpuSource::Nvml(Some("/nonexistent.so".to_owned()));
    let missing = source(missing, true).expect_err("no such file");
    let reason = "no NVIDIA driver on this host: /nonexistent.so was not found";
    assert_eq!(missing.state, SourceState::Unavailable(reason.to_owned()));
    assert_eq!((missing.period_ns, missing.series.len()), (0, 0));

    let mut sources = Sources::default();
    sources.add(source(GpuSource::Nvml(Some(library)), true));
    sources.add(source(GpuSource::None, true));
    assert_eq!((sources.present.len(), sources.absent.len()), (1, 1));
}
