//! The reference API on a GPU that is none: the fake driver runs the project's own kernels on the CPU, so that
//! all but the speed is as on a real one; and every way in which there is no GPU to compute on.

use crate::fake_cuda::FakeCuda;
use crate::fake_nvml::FakeNvml;
use crate::support::program::{Bench, Said, signal};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command};

/// A server, small enough for an emulated GPU. It ends with the test.
struct Server {
    child: Child,
    _bench: Bench,
    _fake: FakeCuda,
    ready: Value,
}

/// `bench serve` where the system's CUDA driver is this fake.
fn serve(bench: &Bench, fake: &FakeCuda, args: &[&str]) -> Command {
    let mut all = vec!["serve", "--port=0", "--max-batch=8"];
    all.extend(args);
    let mut command = bench.command(&all);
    command.env("LD_LIBRARY_PATH", folder(fake));
    command
}

fn folder(fake: &FakeCuda) -> std::path::PathBuf {
    fake.path().parent().unwrap().to_owned()
}

impl Server {
    fn start(script: &str, args: &[&str]) -> Self {
        let (bench, fake) = (Bench::new(), FakeCuda::new(script));
        let mut child = serve(&bench, &fake, args).spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        if line.is_empty() {
            let mut why = String::new();
            child
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut why)
                .unwrap();
            panic!("it did not start: {why}");
        }
        Self {
            child,
            _bench: bench,
            _fake: fake,
            ready: serde_json::from_str(&line).unwrap(),
        }
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let address = self.ready["listening"].as_str().unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned()));
        (status, body)
    }

    fn infer(&self, inputs: &[f32]) -> (u16, Value) {
        let body = serde_json::json!({ "model": "reference-mlp", "inputs": inputs });
        self.ask("POST", "/v1/inference", &body.to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        signal(&self.child, "TERM");
        let _ = self.child.wait();
    }
}

/// Inputs of the data file with their class.
fn rows() -> Vec<(Vec<f32>, usize)> {
    let lines = include_str!("../../scenarios/data/inputs.jsonl").lines();
    lines
        .map(|line| {
            let row: Value = serde_json::from_str(line).unwrap();
            let class = usize::try_from(row["class"].as_u64().unwrap()).unwrap();
            (
                serde_json::from_value(row["inputs"].clone()).unwrap(),
                class,
            )
        })
        .collect()
}

#[test]
fn the_gpu_answers_what_the_cpu_answers() {
    let server = Server::start("", &["--backend=cuda", "--model-layers=2"]);
    let compute = &server.ready["compute"];
    assert_eq!(compute["kind"], "cuda");
    assert_eq!(compute["gpu_name"], "SIMULATED GPU 0");
    // Two multiprocessors have one tile each.
    assert_eq!(
        (&compute["width"], &compute["layers"]),
        (&256.into(), &2.into())
    );
    let each = 2 * 256 * (32 + 3 * 256 + 24);
    assert_eq!(compute["operations_per_item"], each);
    for (inputs, class) in rows().iter().take(4) {
        let (status, answer) = server.infer(inputs);
        assert_eq!(
            (status, answer["outputs"]["class"].as_u64()),
            (200, Some(*class as u64))
        );
        let should = bench::reference::answer(inputs);
        let scores: Vec<f32> = serde_json::from_value(answer["outputs"]["scores"].clone()).unwrap();
        for (is, should) in scores.iter().zip(should.scores) {
            assert!((is - should).abs() < 0.01, "{scores:?} {should:?}");
        }
    }
    // Inputs beyond halves are answered by the CPU, to the last bit, and are none of the GPU's work.
    let (status, answer) = server.infer(&[1e6; 32]);
    let exact = serde_json::to_value(bench::reference::answer(&[1e6; 32])).unwrap();
    assert_eq!((status, &answer["outputs"]), (200, &exact));
    let (_, health) = server.ask("GET", "/health/detailed", "");
    let backend = &health["backend"];
    assert_eq!(backend["operations"], 4 * each);
    assert!(backend["busy_s"].as_f64().unwrap() > 0.0, "{health}");
    assert_eq!(
        backend["gpu_uuid"],
        "GPU-00000000-0000-0000-0000-000000000000"
    );
    assert_eq!(health["status"], "ok");
}

/// The same answers in the other precision: every class, and probabilities within the tolerance.
#[test]
fn in_bf16_the_gpu_answers_what_the_cpu_answers() {
    let server = Server::start(
        "",
        &["--backend=cuda", "--precision=bf16", "--model-layers=2"],
    );
    assert_eq!(server.ready["compute"]["precision"], "bf16");
    for (inputs, class) in rows().iter().take(4) {
        let (status, answer) = server.infer(inputs);
        assert_eq!(
            (status, answer["outputs"]["class"].as_u64()),
            (200, Some(*class as u64))
        );
        let should = bench::reference::answer(inputs);
        let scores: Vec<f32> = serde_json::from_value(answer["outputs"]["scores"].clone()).unwrap();
        let far = |(is, should): (&f32, f32)| (is - should).abs() >= 0.01;
        assert!(!scores.iter().zip(should.scores).any(far), "{scores:?}");
        // They are those of another precision, and not the CPU's.
        assert_ne!(scores, should.scores);
    }
    // A kernel that computes wrongly is found out in this precision, too.
    let said = refused(
        &FakeCuda::new("corrupt tensor_layer_bf16\n"),
        &["--backend=cuda", "--precision=bf16", "--model-layers=0"],
    );
    assert!(said.contains("1 of 8 differ from the CPU's"), "{said}");
}

#[test]
fn gpus_are_chosen_by_number_uuid_or_address() {
    let fake = "devices 3\n";
    let args = |gpu: &'static str| ["--backend=cuda", "--model-layers=0", gpu];
    for (gpu, uuid) in [
        ("--gpu=2", "GPU-00000000-0000-0000-0000-000000000002"),
        (
            "--gpu=GPU-00000000-0000-0000-0000-000000000001",
            "GPU-00000000-0000-0000-0000-000000000001",
        ),
        // The buses of the fake begin with 1.
        (
            "--gpu=0000:03:00.0",
            "GPU-00000000-0000-0000-0000-000000000002",
        ),
    ] {
        let server = Server::start(fake, &args(gpu));
        assert_eq!(server.ready["compute"]["gpu_uuid"], uuid, "{gpu}");
    }
    for (gpu, reason) in [
        ("--gpu=3", "CUDA shows no GPU `3`; there are 0 (GPU-00"),
        ("--gpu=GPU-0000", "several GPUs begin with `GPU-0000`"),
        ("--gpu=1,0000:02:00.0", "was named before"),
    ] {
        let said = refused(&FakeCuda::new(fake), &args(gpu));
        assert!(said.contains(reason), "{gpu}: {said}");
    }
    let said = refused(&FakeCuda::new(fake), &["--gpu=gpu0"]);
    assert!(said.contains("names no GPU"), "{said}");
}

/// Each has the model and a worker; the books add up whatever each did.
#[test]
fn several_gpus_share_the_batches() {
    let args = ["--backend=cuda", "--gpu=all", "--model-layers=0"];
    let server = Server::start("devices 2\n", &args);
    let compute = &server.ready["compute"];
    assert_eq!(
        compute["other_gpus"],
        serde_json::json!(["GPU-00000000-0000-0000-0000-000000000001"])
    );
    let (_, health) = server.ask("GET", "/health/detailed", "");
    assert_eq!(health["workers"]["ready"], 2, "{health}");
    let rows = rows();
    std::thread::scope(|scope| {
        for client in 0..4 {
            let (server, rows) = (&server, &rows);
            scope.spawn(move || {
                for (inputs, class) in rows.iter().skip(client * 4).take(4) {
                    let (status, answer) = server.infer(inputs);
                    assert_eq!(
                        (status, answer["outputs"]["class"].as_u64()),
                        (200, Some(*class as u64))
                    );
                }
            });
        }
    });
    let (_, health) = server.ask("GET", "/health/detailed", "");
    let each = compute["operations_per_item"].as_u64().unwrap();
    assert_eq!(health["backend"]["operations"], 16 * each, "{health}");
    // The model is on both, and the GPU that fails is named: three launches check the first.
    let broken = "devices 2\nfail cuLaunchKernel 719 4\n";
    let said = refused(&FakeCuda::new(broken), &args);
    assert!(said.contains("GPU 1 failed: `cuLaunchKernel`"), "{said}");
}

#[test]
fn the_model_is_made_as_deep_as_a_step_takes() {
    // An emulated layer takes longer than any step: one.
    let server = Server::start("", &["--backend=cuda"]);
    assert_eq!(server.ready["compute"]["layers"], 1);
    let wide = Server::start(
        "",
        &["--backend=cuda", "--model-width=300", "--model-layers=0"],
    );
    // Copies come in pairs of 128.
    assert_eq!(wide.ready["compute"]["width"], 512);
}

#[test]
fn a_gpu_that_is_lost_under_way_is_named_and_nobody_waits() {
    // Five launches check the answers at the start, five answer the first request.
    let server = Server::start(
        "fail cuLaunchKernel 719 12\n",
        &["--backend=cuda", "--model-layers=2"],
    );
    let (inputs, _) = &rows()[0];
    assert_eq!(server.infer(inputs).0, 200);
    let (status, answer) = server.infer(inputs);
    assert_eq!(
        (status, &answer["error"]["code"]),
        (503, &"backend_unavailable".into()),
        "{answer}"
    );
    let (status, health) = server.ask("GET", "/health", "");
    assert_eq!((status, &health["status"]), (503, &"failed".into()));
    let reason = health["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("the GPU failed: `cuLaunchKernel` failed with error 719")
            && reason.contains("the device may be lost"),
        "{reason}"
    );
    let (_, detailed) = server.ask("GET", "/health/detailed", "");
    assert_eq!(detailed["backend"]["failure"], reason);
    // It goes on saying so.
    assert_eq!(server.infer(inputs).0, 503);
}

fn refused(fake: &FakeCuda, args: &[&str]) -> String {
    let bench = Bench::new();
    let said = Said::from(serve(&bench, fake, args).output().unwrap()).exits(2);
    assert!(said.stdout.is_empty(), "{}", said.stdout);
    said.stderr
}

#[test]
fn where_a_gpu_is_asked_for_and_none_can_be_used_nothing_is_served() {
    let check = |fake: &FakeCuda, reason: &str| {
        let said = refused(fake, &["--backend=cuda", "--model-layers=0"]);
        assert!(said.contains("cannot compute on a GPU"), "{said}");
        assert!(said.contains(reason), "{reason}: {said}");
    };
    check(
        &FakeCuda::new("init 100\n"),
        "the CUDA driver sees no GPU on this host",
    );
    check(
        &FakeCuda::new("devices 0\n"),
        "the CUDA driver sees no GPU on this host",
    );
    check(
        &FakeCuda::new("init 803\n"),
        "library and kernel module have different versions",
    );
    check(
        &FakeCuda::new("init 34\n"),
        "the library is a stub, not a driver",
    );
    check(
        &FakeCuda::new("version 11040\n"),
        "it knows CUDA 11.4, and 11.8 is needed",
    );
    check(
        &FakeCuda::new("capability 7 5\n"),
        "has compute capability 7.5",
    );
    check(
        &FakeCuda::without("cuMemHostAlloc"),
        "has no function `cuMemHostAlloc`",
    );
    check(
        &FakeCuda::new("fail cuModuleLoadData 222\n"),
        "the PTX is newer than the driver",
    );
    check(&FakeCuda::new("fail cuMemAlloc_v2 2 3\n"), "out of memory");
    check(
        &FakeCuda::new("corrupt tensor_layer\n"),
        "1 of 8 differ from the CPU's",
    );
    let said = refused(
        &FakeCuda::new(""),
        &["--backend=cuda", "--model-width=65536"],
    );
    assert!(said.contains("choose a smaller --model-width"), "{said}");
}

#[test]
fn left_to_itself_it_takes_the_cpu_and_says_why() {
    let server = Server::start("init 100\n", &[]);
    let compute = &server.ready["compute"];
    assert_eq!(compute["kind"], "cpu");
    let why = compute["fallback"].as_str().unwrap();
    assert!(why.starts_with("the CUDA driver sees no GPU"), "{why}");
    let (inputs, class) = &rows()[1];
    let (status, answer) = server.infer(inputs);
    assert_eq!(
        (status, answer["outputs"]["class"].as_u64()),
        (200, Some(*class as u64))
    );
    // Who wants the CPU is not told of GPUs.
    let cpu = Server::start("", &["--backend=cpu"]);
    assert_eq!(cpu.ready["compute"]["kind"], "cpu");
    assert!(cpu.ready["compute"].get("fallback").is_none());
}

const SCENARIO: &str = r#"
name = "gpu"
[target]
url = "reference"
timeout = "20s"
[target.reference]
backend = "cuda"
max_batch = 4
model_layers = 0
[request.infer]
path = "/v1/inference"
data = "inputs.jsonl"
json = { model = "reference-mlp", inputs = "{{data.inputs}}" }
expect = { json = { "/outputs/class" = "{{data.class}}" } }
[[phase]]
name = "p"
concurrency = 4
warmup = "1s"
duration = "7s"
gates = ["error_rate < 50%"]
"#;

fn run(bench: &Bench, cuda: &Path, nvml: &FakeNvml) -> Said {
    run_as(bench, "cuda", cuda, nvml)
}

fn run_as(bench: &Bench, backend: &str, cuda: &Path, nvml: &FakeNvml) -> Said {
    let scenario = SCENARIO.replace("\"cuda\"", &format!("\"{backend}\""));
    let text = format!(
        "{scenario}\n[telemetry]\ngpu = {{ nvml = \"{}\" }}\n",
        nvml.path().display()
    );
    bench.write("scenario.toml", &text);
    bench.write(
        "inputs.jsonl",
        include_str!("../../scenarios/data/inputs.jsonl"),
    );
    let mut command = bench.command(&["run", "scenario.toml"]);
    command.env("LD_LIBRARY_PATH", cuda);
    Said::from(command.output().unwrap())
}

const NVML: &str = "gpu SIMULATED GPU 0\nutilization 80\nsampled 50\nenergy_mj 1000 100\n\
                    gpm 70 60 50 90\nheld_power_ns 0\n";

#[test]
fn a_run_relates_the_work_to_what_the_same_gpu_can_do() {
    let (bench, fake) = (Bench::new(), FakeCuda::new(""));
    let library = format!("--cuda-library={}", fake.path().display());
    bench.run(&[
        "gpu",
        "--quick",
        "--only=mma",
        "--nvml-library=/nonexistent",
        &library,
    ]);
    let suite = bench.only_run();
    let suite = suite.file_name().unwrap().to_string_lossy().into_owned();
    let said = run(&bench, &folder(&fake), &FakeNvml::new(NVML)).gives_a_verdict();
    let runs = bench.runs();
    let run = runs
        .iter()
        .find(|run| !run.ends_with(&suite))
        .expect("a run");
    let json: Value =
        serde_json::from_slice(&std::fs::read(run.join("run.json")).unwrap()).unwrap();
    let phase = &json["phases"][0];
    assert_eq!(phase["requests"]["failed"], 0, "{}", said.stdout);
    let achieved = &phase["achieved"];
    let value = |name: &str| {
        achieved[name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name}: {achieved}"))
    };
    // A server whose books are read and whose throughput is measured says the same twice.
    let each = json["environment"]["compute"]["operations_per_item"]
        .as_f64()
        .unwrap();
    let by_requests = phase["throughput_rps"].as_f64().unwrap() * each;
    let ratio = value("operations_per_second") / by_requests;
    assert!((0.3..3.0).contains(&ratio), "{achieved} {by_requests}");
    assert!(
        value("of_ceiling") > 0.0 && value("busy") > 0.0,
        "{achieved}"
    );
    assert!(
        said.stdout.contains("Work of the GPU in p:"),
        "{}",
        said.stdout
    );
    assert!(
        said.stdout.replace('\n', " ").contains("`mma.f16` of"),
        "{}",
        said.stdout
    );
    // No figure of it counts, and it says so.
    assert_eq!(json["simulated"], true);
    assert!(said.stdout.contains("SIMULATED"), "{}", said.stdout);
    let report = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert!(report.contains("Work of the GPU") && report.contains("SIMULATED GPU 0"));
    let csv = std::fs::read_to_string(run.join("telemetry.csv")).unwrap();
    for series in [
        "gpu.utilization",
        "gpu.sm_active",
        "gpu.energy",
        "reference.tflops",
    ] {
        assert!(csv.contains(series), "{series}");
    }
}

#[test]
fn a_gpu_lost_in_the_middle_of_a_run_is_a_finding_with_its_reason() {
    let (bench, fake) = (Bench::new(), FakeCuda::new("fail cuLaunchKernel 719 16\n"));
    let nvml = format!("{NVML}lost 25\n");
    let said = run(&bench, &folder(&fake), &FakeNvml::new(&nvml)).gives_a_verdict();
    // FAIL, or on a machine that lets few requests through not even that.
    assert!([1, 3].contains(&said.code), "{}", said.stdout);
    let json = bench.run_json();
    assert!(
        json["phases"][0]["requests"]["failed"].as_u64() > Some(0),
        "{json:#}"
    );
    let truth = bench.read("reference-truth.json");
    assert!(truth.contains("the device may be lost"), "{truth}");
    // Telemetry of the same GPU ends with its own reason.
    assert!(
        json["doubts"].to_string().contains("GPU 0 is lost"),
        "{}",
        json["doubts"]
    );
}

/// As in a container that was given the driver's `utility` and not its `compute`: NVML works, CUDA does not.
#[test]
fn telemetry_goes_on_where_kernels_cannot_run() {
    let bench = Bench::new();
    bench.write("libcuda.so.1", "no library at all");
    let said = run_as(&bench, "auto", bench.path(), &FakeNvml::new(NVML)).gives_a_verdict();
    let json = bench.run_json();
    let compute = &json["environment"]["compute"];
    assert_eq!(compute["kind"], "cpu");
    let why = compute["fallback"].as_str().unwrap();
    assert!(
        why.starts_with("the CUDA driver library cannot be loaded"),
        "{why}"
    );
    assert_eq!(
        json["phases"][0]["achieved"],
        Value::Null,
        "{}",
        said.stdout
    );
    let sources = json["telemetry"]["sources"].as_array().unwrap();
    let state = |name: &str| {
        let source = sources.iter().find(|source| source["name"] == name);
        source.map(|source| source["state"].clone())
    };
    assert_eq!(state("gpu"), Some("present".into()));
    assert_eq!(state("gpu.utilization"), Some("present".into()));
    assert!(
        bench
            .read("report.html")
            .contains("computes on the CPU: the CUDA driver library")
    );
}
