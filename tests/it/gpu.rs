//! NVML and its telemetry against a fake library: every way in which a GPU can be there, or not.

use crate::fake_nvml::FakeNvml;
use bench::engine::ports::Probe;
use bench::gate::TelemetryMetric;
use bench::gpu::{Nvml, Reading, Throttle, Unavailable};
use bench::record::{SourceInfo, SourceState};
use bench::scenario::{GpuSource, Telemetry};
use bench::telemetry::{DriverProbe, GpuTelemetry, NvmlProbe, Sources, gpu_source};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const GIB: u64 = 1 << 30;

fn open(script: &str) -> Result<Nvml, Unavailable> {
    // The library stays loaded when its file is gone.
    Nvml::open(Some(&FakeNvml::new(script).path()))
}

fn open_without(functions: &[&str], script: &str) -> Result<Nvml, Unavailable> {
    Nvml::open(Some(&FakeNvml::without(functions, script).path()))
}

fn source(gpu: GpuSource, target_is_local: bool) -> Result<GpuTelemetry, SourceInfo> {
    let telemetry = Telemetry {
        gpu,
        gpu_interval: Duration::from_millis(100),
        ..Telemetry::default()
    };
    gpu_source(&telemetry, target_is_local)
}

fn probe(script: &str) -> NvmlProbe {
    let nvml = open(script).expect("the fake opens");
    NvmlProbe::new(Arc::new(nvml), Duration::from_millis(100))
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
    let nvml = open(split).expect("the fake opens");
    let lacks: Vec<String> = nvml.lacks().iter().map(ToString::to_string).collect();
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
    let mut probe = NvmlProbe::new(Arc::new(nvml), Duration::from_millis(100));
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
    assert_eq!(info.series.len(), 46);
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
        let gpus = source(GpuSource::Nvml(Some(library.clone())), local).expect("forced");
        let probes = gpus.probes();
        assert_eq!(probes.len(), 1);
        assert!(probes[0].info().simulated);
    }
    let missing = GpuSource::Nvml(Some("/nonexistent.so".to_owned()));
    let missing = source(missing, true).expect_err("no such file");
    let reason = "no NVIDIA driver on this host: /nonexistent.so was not found";
    assert_eq!(missing.state, SourceState::Unavailable(reason.to_owned()));
    assert_eq!((missing.period_ns, missing.series.len()), (0, 0));

    let mut sources = Sources::default();
    sources.add_gpus(source(GpuSource::Nvml(Some(library)), true));
    sources.add_gpus(source(GpuSource::None, true));
    assert_eq!((sources.present.len(), sources.absent.len()), (1, 1));
}

/// The newest values of a probe by their series, once it has had some time.
fn later(probe: &mut dyn Probe, wait: Duration) -> Vec<(String, Option<f64>)> {
    std::thread::sleep(wait);
    let mut values = Vec::new();
    probe.sample(&mut values).expect("the fake answers");
    let names = probe.info().series.into_iter();
    names.map(|series| series.to_string()).zip(values).collect()
}

fn of(values: &[(String, Option<f64>)], series: &str) -> Option<f64> {
    let found = values.iter().find(|(name, _)| name == series);
    found
        .unwrap_or_else(|| panic!("no {series} in {values:?}"))
        .1
}

fn series(probe: &dyn Probe, name: &str) -> bench::record::SeriesInfo {
    let all = probe.info().series;
    let found = all.iter().find(|series| series.to_string() == name);
    found.unwrap_or_else(|| panic!("no {name}")).clone()
}

#[test]
fn the_drivers_own_samples_come_with_their_times() {
    let nvml = open(
        "gpu SIMULATED H200\nutilization 60\nmemory_activity 30\nsampled 20\ngpu SIMULATED H200\nutilization 90\n",
    );
    let nvml = Arc::new(nvml.expect("the fake opens"));
    let begun = std::time::Instant::now();
    let mut driver = DriverProbe::new(&nvml, Duration::from_millis(50)).expect("one has samples");
    let info = driver.info();
    assert_eq!(info.name, "gpu.utilization");
    let names: Vec<String> = info.series.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["gpu.utilization[0]", "gpu.memory.activity[0]"]);
    assert!(info.simulated && info.series.iter().all(|series| series.refreshes));
    std::thread::sleep(Duration::from_millis(300));
    let readings = driver
        .stamped()
        .expect("its own")
        .expect("the fake answers");
    // A second of the buffer lies before the probe began: it may be told, and nothing older.
    assert!(readings.len() >= 4, "{readings:?}");
    let ages: Vec<Duration> = readings.iter().map(|reading| reading.age).collect();
    assert!(ages.is_sorted_by(|a, b| a > b), "{ages:?}");
    assert!(
        ages[0] <= begun.elapsed() + Duration::from_secs(1),
        "{ages:?}"
    );
    for pair in ages.windows(2) {
        // Three samples of 20 ms are the first to reach 50 ms.
        assert_eq!(pair[0].abs_diff(pair[1]).as_millis(), 60, "{ages:?}");
    }
    for reading in &readings {
        assert_eq!(reading.values, [Some(0.6), Some(0.3)]);
    }
    let again = driver
        .stamped()
        .expect("its own")
        .expect("the fake answers");
    assert!(
        again.len() < readings.len(),
        "the same once more: {again:?}"
    );
    // As an agent asks: the newest.
    let newest = later(&mut driver, Duration::from_millis(100));
    assert_eq!(of(&newest, "gpu.utilization[0]"), Some(0.6));

    // What the driver samples is not polled as well; what it does not sample is, and says so.
    let polled = NvmlProbe::new(Arc::clone(&nvml), Duration::from_millis(100));
    let all = polled.info().series;
    assert!(
        !all.iter()
            .any(|series| series.to_string() == "gpu.utilization[0]")
    );
    let note = series(&polled, "gpu.utilization[1]").note.expect("a note");
    assert!(
        note.starts_with("polled: the driver's own samples cannot be read"),
        "{note}"
    );
}

#[test]
fn a_gpu_that_is_lost_ends_the_drivers_samples_with_its_reason() {
    let nvml = open("gpu SIMULATED H200\nsampled 20\nlost 1\n").expect("the fake opens");
    let nvml = Arc::new(nvml);
    let mut driver = DriverProbe::new(&nvml, Duration::from_millis(50)).expect("it has samples");
    let _ = nvml.read(0);
    let reason = driver.stamped().expect("its own").expect_err("lost");
    assert!(reason.starts_with("GPU 0 is lost"), "{reason}");
}

#[test]
fn without_samples_in_the_driver_utilization_is_polled() {
    let functions = ["nvmlDeviceGetSamples"];
    let nvml = open_without(&functions, "gpu SIMULATED H200\nsampled 20\n").expect("it opens");
    let nvml = Arc::new(nvml);
    assert!(DriverProbe::new(&nvml, Duration::from_millis(100)).is_none());
    let probe = NvmlProbe::new(nvml, Duration::from_millis(100));
    let note = series(&probe, "gpu.utilization[0]").note.expect("a note");
    assert!(note.contains("nvmlDeviceGetSamples"), "{note}");
}

#[test]
fn samples_with_another_clock_cannot_be_placed_and_are_not_read() {
    let nvml = open("gpu SIMULATED H200\nsampled 20\nsample_offset_us 1700000000000000\n");
    let nvml = Arc::new(nvml.expect("it opens"));
    assert!(DriverProbe::new(&nvml, Duration::from_millis(100)).is_none());
    let probe = NvmlProbe::new(nvml, Duration::from_millis(100));
    let note = series(&probe, "gpu.utilization[0]").note.expect("a note");
    assert!(note.contains("they do not carry the time of day"), "{note}");
}

#[test]
fn counters_of_the_driver_give_shares_rates_and_energy() {
    let nvml = open(
        "gpu SIMULATED H200\nenergy_mj 5000000 700\nreplays 3\nheld_power_ns 0 100000000\nheld_thermal_ns 0\n\
         pcie_sent 0 1000000\npcie_received 0 2000000\n",
    );
    let mut probe = NvmlProbe::new(
        Arc::new(nvml.expect("it opens")),
        Duration::from_millis(100),
    );
    let first = later(&mut probe, Duration::ZERO);
    // Counters are read once a second; in between there is no new reading, and never a 0.
    assert_eq!(of(&first, "gpu.energy[0]"), None);
    assert_eq!(of(&first, "gpu.throttled[0]"), None);
    let values = later(&mut probe, Duration::from_secs(1));
    // The fake counts by readings: two since it was opened.
    assert_eq!(of(&values, "gpu.energy[0]"), Some(5001.4));
    assert_eq!(of(&values, "gpu.pcie.replays[0]"), Some(3.0));
    let share = of(&values, "gpu.throttled[0]").expect("counted");
    assert!(share > 0.0 && share <= 0.2, "{share}");
    assert_eq!(of(&values, "gpu.throttled.power[0]"), Some(share));
    assert_eq!(of(&values, "gpu.throttled.thermal[0]"), Some(0.0));
    assert_eq!(of(&values, "gpu.throttled.board[0]"), None);
    let lack = series(&probe, "gpu.throttled.board[0]")
        .lack
        .expect("not counted");
    assert!(lack.contains("does not count it"), "{lack}");
    let (sent, received) = (
        of(&values, "gpu.pcie.sent[0]"),
        of(&values, "gpu.pcie.received[0]"),
    );
    let (sent, received) = (sent.expect("counted"), received.expect("counted"));
    assert!((received / sent - 2.0).abs() < 1e-9, "{sent} {received}");
}

#[test]
fn pcie_traffic_has_one_source_and_says_which() {
    let counted = "pcie_sent 0 1000000\npcie_received 0 2000000\n";
    let note = |probe: &NvmlProbe| series(probe, "gpu.pcie.sent[0]").note.expect("a note");
    let by_driver = probe(&format!("gpu SIMULATED H200\n{counted}"));
    assert!(note(&by_driver).contains("the driver's counters"));
    let script = format!("gpu SIMULATED H200\ngpm 70 60 50 90\n{counted}");
    let mut by_itself = probe(&script);
    assert!(note(&by_itself).contains("GPM"));
    later(&mut by_itself, Duration::ZERO);
    let values = later(&mut by_itself, Duration::from_secs(1));
    // The fake's own counters do not tell it, and what the driver counts is not mixed in.
    assert_eq!(of(&values, "gpu.sm_active[0]"), Some(0.7));
    assert_eq!(of(&values, "gpu.pcie.sent[0]"), None);
}

#[test]
fn energy_that_is_not_counted_is_integrated_and_says_so() {
    let mut probe = probe("gpu SIMULATED H200\npower_mw 400000\n");
    later(&mut probe, Duration::ZERO);
    let values = later(&mut probe, Duration::from_millis(100));
    let joules = of(&values, "gpu.energy[0]").expect("integrated");
    // At least a tenth of a second of 400 W; how much more depends on how busy this machine is.
    assert!((39.9..40_000.0).contains(&joules), "{joules}");
    let note = series(&probe, "gpu.energy[0]").note.expect("a note");
    assert!(
        note.starts_with("integrated from readings of power"),
        "{note}"
    );
    let note = series(&probe, "gpu.throttled[0]").note.expect("a note");
    assert!(note.starts_with("looked at in each sample"), "{note}");
}

#[test]
fn memory_of_processes_is_theirs_and_never_zero_for_not_known() {
    let mut probe = probe(
        "gpu SIMULATED H200\nprocess 4711 1048576 2097152\nprocess 4712 -1\ngpu SIMULATED H200\n",
    );
    let values = later(&mut probe, Duration::ZERO);
    assert_eq!(
        of(&values, "gpu.process.memory[0/4711]"),
        Some(f64::from(3 << 20))
    );
    assert_eq!(of(&values, "gpu.process.memory[0/4712]"), None);
    let lack = series(&probe, "gpu.process.memory[1]")
        .lack
        .expect("nobody uses it");
    assert!(lack.contains("no process had memory of it"), "{lack}");
}

#[test]
fn the_gpus_own_counters_tell_of_its_parts() {
    let mut probe = probe("gpu SIMULATED H200\ngpm 75.5 50 25 99\n");
    let values = later(&mut probe, Duration::from_millis(150));
    for (name, value) in [
        ("sm", 0.755),
        ("tensor", 0.5),
        ("dram", 0.25),
        ("engine", 0.99),
    ] {
        assert_eq!(
            of(&values, &format!("gpu.{name}_active[0]")),
            Some(value),
            "{name}"
        );
    }
    assert!(series(&probe, "gpu.sm_active[0]").refreshes);
}

#[test]
fn without_counters_of_its_own_a_gpu_says_why() {
    let lack = |nvml: Nvml| {
        let probe = NvmlProbe::new(Arc::new(nvml), Duration::from_millis(100));
        series(&probe, "gpu.sm_active[0]").lack.expect("a reason")
    };
    let old = open("gpu SIMULATED A100\n").expect("it opens");
    let reason = lack(old);
    assert!(reason.contains("are there from Hopper on"), "{reason}");
    // A driver without any one of the functions is old, and never a panic.
    for function in [
        "nvmlGpmSampleFree",
        "nvmlGpmSampleAlloc",
        "nvmlGpmMetricsGet",
    ] {
        let nvml = open_without(&[function], "gpu SIMULATED H200\ngpm 1 2 3 4\n");
        let reason = lack(nvml.expect("the rest is there"));
        assert!(reason.contains(&format!("no `{function}`")), "{reason}");
    }
    let forbidden = "gpu SIMULATED H200\ngpm 1 2 3 4\nfail nvmlGpmSampleGet 4\n";
    let reason = lack(open(forbidden).expect("it opens"));
    assert!(
        reason.contains("this user may not read the GPUs"),
        "{reason}"
    );
}

#[test]
fn the_instances_of_a_split_gpu_have_activity_and_memory() {
    let split = "gpu SIMULATED H200\ngpm 40 30 20 60\nmig 1\npart 7 1048576\npart 9 2097152\n";
    let mut probe = probe(split);
    let values = later(&mut probe, Duration::from_millis(150));
    assert_eq!(of(&values, "gpu.engine_active[0/mig7]"), Some(0.6));
    assert_eq!(of(&values, "gpu.sm_active[0/mig9]"), Some(0.4));
    assert_eq!(
        of(&values, "gpu.memory.used[0/mig9]"),
        Some(f64::from(2 << 20))
    );
    assert_eq!(of(&values, "gpu.utilization[0]"), None);
    // The whole has no activity of its own: it would make every gate on its parts inconclusive.
    assert!(!values.iter().any(|(name, _)| name == "gpu.sm_active[0]"));
}

#[test]
fn cuda_and_nvml_mean_the_same_gpu() {
    let nvml = open("gpu SIMULATED H200\ngpu SIMULATED H200\n").expect("it opens");
    let uuid = "GPU-00000000-0000-0000-0000-000000000001";
    assert_eq!(nvml.place_of(uuid, "00000000:01:00.0"), Some(1));
    assert_eq!(nvml.place_of("MIG-part", "00000000:02:00.0"), Some(1));
    assert_eq!(nvml.place_of("", "00000000:0F:00.0"), None);
}
