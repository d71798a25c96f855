//! Load over HTTP/2 against hyper's server: exact times under a paused clock, and the real program.

use crate::support::http2_service::Http2Service;
use crate::support::memory::ms;
use crate::support::program::Bench;
use crate::support::tcp::{Manner, Tcp};
use crate::support::{plan_with, run};
use bench::gate::LatencyKind;
use bench::http::{Connect, Stream};
use bench::record::{Distribution, Outcome, ReceiveStamps, RunRecord, StepTimes};
use serde_json::Value;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

fn text(target: &str, request: &str, phase: &str) -> String {
    format!(
        r#"
name = "streams"
[target]
url = "http://memory"
http = "2"
timeout = "2s"
{target}
[request.one]
{request}
[[phase]]
name = "only"
{phase}
"#
    )
}

fn measured(service: &Http2Service, target: &str, request: &str, phase: &str) -> RunRecord {
    run(&plan_with(&text(target, request, phase), 1, &[]), service)
}

#[track_caller]
fn assert_ms(record: &RunRecord, kind: LatencyKind, quantile: f64, truth: f64) {
    let value = record.phases[0].latencies(kind).quantile_ns(quantile);
    let value = value.unwrap() as f64 / 1e6;
    assert!(
        (value / truth - 1.0).abs() < 0.001,
        "{} at {quantile}: {value} ms, truth {truth} ms",
        kind.as_str()
    );
}

/// Bytes written and read.
fn bytes(record: &RunRecord) -> (u64, u64) {
    let counts = record.phases[0].intervals.iter().map(|one| &one.counts);
    counts.fold((0, 0), |(sent, received), counts| {
        (sent + counts.bytes_sent, received + counts.bytes_received)
    })
}

#[test]
fn a_closed_loop_shares_connections_and_measures_what_is_true() {
    let service = Http2Service::answering_after(ms(50));
    let record = measured(
        &service,
        "max_streams = 8",
        "path = \"/\"",
        "concurrency = 20\ncount = 200",
    );
    let phase = &record.phases[0];
    assert_eq!(phase.total.outcomes.of(Outcome::Ok), 200);
    assert_eq!(service.requests(), 200);
    // Twenty users on connections of eight.
    assert_eq!(service.connections(), 3);
    assert_eq!(phase.connections.opened, 3);
    assert_eq!(service.most_at_once(), 8);
    for kind in [
        LatencyKind::Response,
        LatencyKind::Service,
        LatencyKind::Ttfb,
    ] {
        assert_ms(&record, kind, 0.5, 50.0);
        assert_ms(&record, kind, 1.0, 50.0);
    }
    assert_eq!(phase.steps.receive_stamps(), ReceiveStamps::Program);
    assert_eq!(phase.steps.wait.count(), 200);
    // A frame has nine bytes before anything is in it.
    let (sent, received) = bytes(&record);
    assert!(sent > 200 * 9 && received > 200 * 20, "{sent} {received}");
}

/// The service, with a count of the writes to it.
#[derive(Clone)]
struct Counted(Http2Service, Arc<AtomicU64>);

struct CountedStream(DuplexStream, Arc<AtomicU64>);

impl Connect for Counted {
    type Stream = CountedStream;

    async fn connect(&self, steps: &mut StepTimes) -> io::Result<CountedStream> {
        let stream = self.0.connect(steps).await?;
        Ok(CountedStream(stream, Arc::clone(&self.1)))
    }
}

impl Stream for CountedStream {}

impl AsyncRead for CountedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for CountedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[test]
fn requests_that_are_sent_together_leave_in_one_write() {
    let service = Http2Service::answering_after(ms(50));
    let counted = Counted(service.clone(), Arc::default());
    let request = format!(
        "method = \"POST\"\npath = \"/\"\nbody = \"{}\"",
        "x".repeat(512)
    );
    let phase = "concurrency = 50\ncount = 2000";
    let record = run(&plan_with(&text("", &request, phase), 1, &[]), &counted);
    assert_eq!(record.phases[0].total.outcomes.of(Outcome::Ok), 2000);
    assert_eq!(service.connections(), 1);
    // Forty rounds of fifty; windows and acknowledgements leave in between.
    let writes = counted.1.load(Ordering::SeqCst);
    assert!(writes < 400, "{writes}");
}

#[test]
fn an_open_loop_opens_connections_as_its_requests_need_them() {
    // A hundred a second for a second each: never more than a hundred in flight.
    let service = Http2Service::answering_after(ms(1000));
    let record = measured(
        &service,
        "max_streams = 30",
        "path = \"/\"",
        "rate = 100\nduration = \"4s\"",
    );
    let phase = &record.phases[0];
    assert_eq!(phase.total.outcomes.of(Outcome::Ok), 400);
    assert!(
        (4..=5).contains(&service.connections()),
        "{}",
        service.connections()
    );
    assert_ms(&record, LatencyKind::Response, 0.99, 1000.0);
}

#[test]
fn what_is_in_flight_at_the_end_is_in_the_books_and_the_next_phase_begins_anew() {
    let service = Http2Service::answering_after(ms(900));
    let phases = "concurrency = 6\nduration = \"2s\"\ndrain = \"100ms\"\n\
                  [[phase]]\nname = \"next\"\nconcurrency = 6\ncount = 12";
    let record = measured(&service, "", "path = \"/\"", phases);
    // Two rounds were answered, the third was on its way.
    let outcomes = &record.phases[0].total.outcomes;
    assert_eq!(outcomes.of(Outcome::Ok), 12);
    assert_eq!(outcomes.of(Outcome::InFlightAtEnd), 6);
    assert_eq!(record.phases[1].total.outcomes.of(Outcome::Ok), 12);
    assert_eq!(service.connections(), 2);
}

#[test]
fn tokens_come_when_the_server_sends_them() {
    let mut service = Http2Service::default();
    service.pieces = vec![
        (
            ms(100),
            "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\nda",
        ),
        (
            ms(20),
            "ta: {\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\n\n",
        ),
        (
            ms(30),
            "data: {\"choices\":[{\"delta\":{\"content\":\"c\"},\"finish_reason\":\"stop\"}]}\n\n",
        ),
        (ms(10), "data: [DONE]\n\n"),
    ];
    let record = measured(
        &service,
        "",
        "path = \"/events\"\nstream = \"sse\"\nshape = \"openai-chat\"",
        "concurrency = 10\ncount = 50",
    );
    let outcomes = &record.phases[0].total.outcomes;
    assert_eq!(
        outcomes.of(Outcome::Ok),
        50,
        "{:?}",
        record.phases[0].errors
    );
    assert_eq!(service.connections(), 1);
    assert_ms(&record, LatencyKind::Ttft, 0.5, 100.0);
    assert_ms(&record, LatencyKind::Itl, 0.25, 20.0);
    assert_ms(&record, LatencyKind::Itl, 1.0, 30.0);
    assert_ms(&record, LatencyKind::Response, 1.0, 160.0);
}

#[test]
fn a_body_larger_than_the_servers_window_arrives_whole() {
    let service = Http2Service::default();
    let body = "x".repeat(400_000);
    let request = format!(
        "method = \"POST\"\npath = \"/echo?n={{{{number}}}}\"\nbody = \"{body}\"\n\
         headers = {{ x-tenant = \"{{{{pick:one}}}}\", host = \"inference.example\" }}\n\
         expect = {{ body = [\"POST http://inference.example/echo?n=\", \" one 400000\"] }}"
    );
    let record = measured(&service, "", &request, "concurrency = 4\ncount = 12");
    let outcomes = &record.phases[0].total.outcomes;
    assert_eq!(
        outcomes.of(Outcome::Ok),
        12,
        "{:?}",
        record.phases[0].errors
    );
    assert!(bytes(&record).0 > 12 * 400_000);
}

fn scenario_at(url: &str, target: &str, phase: &str) -> String {
    text(target, "path = \"/\"", phase).replace("http://memory", url)
        + "[telemetry]\ngpu = \"none\"\n"
}

#[test]
fn the_program_drives_a_service_of_known_latency() {
    let mut service = Http2Service::answering_after(ms(20));
    service.most_streams = Some(10);
    let url = format!("http://{}", service.listen());
    let gates = "gates = [\"response.p50 < 1s\", \"error_rate < 10%\"]";
    let phase = format!("concurrency = 40\nduration = \"3s\"\n{gates}");
    let bench = Bench::with(&scenario_at(&url, "", &phase));
    let said = bench.run(&["run", "scenario.toml"]).gives_a_verdict();
    let run = bench.run_json();
    let phase = &run["phases"][0];
    assert_eq!(phase["requests"]["ok"], phase["requests"]["planned"]);
    // And the one of the preflight.
    assert_eq!(
        phase["requests"]["ok"].as_u64().unwrap() + 1,
        service.requests()
    );
    // The server allows ten streams where the scenario would use a hundred.
    assert!(service.connections() >= 5, "{}", service.connections());
    assert_eq!(service.most_at_once(), 10);
    assert!(phase["service"]["p50_ms"].as_f64().unwrap() >= 20.0);
    assert_eq!(run["instrument"]["phases"][0]["receive_stamps"], "program");
    assert_eq!(
        (&run["target"]["http"], &run["target"]["max_streams"]),
        (&"2".into(), &100.into())
    );
    assert!(said.stdout.contains("HTTP/2"), "{}", said.stdout);
    // Every view can be made of it again.
    let only = bench.only_run();
    bench
        .run(&["report", only.to_str().unwrap()])
        .gives_a_verdict();
}

#[test]
fn the_reference_api_speaks_http_2() {
    let text = r#"
name = "reference"
[target]
url = "reference"
http = "2"
[target.reference]
delay = "10ms"
[request.infer]
path = "/v1/inference"
data = "inputs.jsonl"
json = { model = "reference-mlp", inputs = "{{data.inputs}}" }
expect = { json = { "/outputs/class" = "{{data.class}}" } }
[[phase]]
name = "p"
concurrency = 20
duration = "3s"
gates = ["response.p50 < 4s"]
[telemetry]
gpu = "none"
"#;
    let bench = Bench::with(text);
    bench.write(
        "inputs.jsonl",
        include_str!("../../scenarios/data/inputs.jsonl"),
    );
    bench.judged(&["run", "scenario.toml"]).exits(0);
    let run = bench.run_json();
    let truth: Value = serde_json::from_str(&bench.read("reference-truth.json")).unwrap();
    let phase = &run["phases"][0];
    let ok = phase["requests"]["ok"].as_u64().unwrap();
    assert_eq!(phase["requests"]["planned"], ok);
    // And the one of the preflight.
    assert_eq!(truth["inference_answers"], ok + 1);
    let (measured, server) = (
        phase["response"]["p50_ms"].as_f64().unwrap(),
        truth["server_time"]["p50_ms"].as_f64().unwrap(),
    );
    assert!(
        measured >= server * 0.998 && server >= 10.0,
        "{measured} {server}"
    );
}

#[test]
fn flows_go_over_it_as_well() {
    let text = include_str!("../../scenarios/jobs.toml")
        .replace("timeout = \"5s\"", "timeout = \"5s\"\nhttp = \"2\"")
        .replace("warmup = \"2s\"", "warmup = \"500ms\"")
        .replace("duration = \"15s\"", "duration = \"3s\"");
    let bench = Bench::with(&text);
    std::fs::create_dir(bench.path().join("data")).unwrap();
    bench.write(
        "data/inputs.jsonl",
        include_str!("../../scenarios/data/inputs.jsonl"),
    );
    let said = bench.run(&["run", "scenario.toml"]);
    // Whether its gates hold is this machine's affair.
    assert!(
        [0, 1, 3].contains(&said.code),
        "{}\n{}",
        said.stdout,
        said.stderr
    );
    let run = bench.run_json();
    assert_eq!(run["target"]["http"], "2");
    for phase in run["phases"].as_array().unwrap() {
        let requests = &phase["requests"];
        assert!(requests["ok"].as_u64().unwrap() > 0, "{requests}");
        assert_eq!(requests["ok"], requests["planned"], "{}", said.stdout);
    }
}

#[test]
fn preflight_says_when_the_target_does_not_speak_it() {
    let server = Tcp::serve(Manner::Answer(400, b"no".to_vec(), ms(0)));
    let bench = Bench::with(&scenario_at(
        &server.url(),
        "",
        "concurrency = 1\ncount = 1000",
    ));
    let said = bench.run(&["run", "scenario.toml"]).exits(3);
    let all = said.stdout + &said.stderr;
    assert!(
        all.contains("the target answers in HTTP/1.1; set `http = \"1.1\"`"),
        "{all}"
    );
    assert!(all.contains("no load was sent"), "{all}");
}

#[test]
fn what_http_2_does_not_have_is_refused_at_its_place() {
    let check = |target: &str| {
        let text = scenario_at(
            "http://127.0.0.1:1",
            target,
            "concurrency = 1\ncount = 1000",
        );
        Bench::with(&text)
            .run(&["check", "scenario.toml"])
            .exits(2)
            .stderr
    };
    let said = check("headers = { connection = \"close\" }");
    assert!(said.contains("HTTP/2 has no header `connection`"), "{said}");
    assert!(said.contains("scenario.toml:7"), "{said}");
    let said = check("max_streams = 0");
    assert!(said.contains("max_streams"), "{said}");
    let said = check("http = \"3\"");
    assert!(said.contains("http"), "{said}");
    let text = scenario_at(
        "http://127.0.0.1:1",
        "max_streams = 5",
        "concurrency = 1\ncount = 1000",
    )
    .replace("http = \"2\"\n", "");
    let said = Bench::with(&text)
        .run(&["check", "scenario.toml"])
        .exits(2)
        .stderr;
    assert!(said.contains("`max_streams` is about HTTP/2"), "{said}");
    let planned = Bench::with(&scenario_at(
        "http://127.0.0.1:1",
        "max_streams = 50",
        "concurrency = 400\ncount = 1000",
    ))
    .run(&["check", "scenario.toml", "--workers", "2"])
    .exits(0)
    .stdout;
    assert!(
        planned.contains("HTTP/2, up to 50 requests at once on a connection"),
        "{planned}"
    );
    assert!(planned.contains("about 8 connections"), "{planned}");
}

#[test]
fn how_a_body_is_framed_is_not_the_scenarios_to_say() {
    for name in ["content-length", "Transfer-Encoding"] {
        for http in ["1.1", "2"] {
            let target = format!("headers = {{ {name} = \"5\" }}");
            let text = scenario_at(
                "http://127.0.0.1:1",
                &target,
                "concurrency = 1\ncount = 1000",
            )
            .replace("http = \"2\"", &format!("http = \"{http}\""));
            let said = Bench::with(&text)
                .run(&["check", "scenario.toml"])
                .exits(2)
                .stderr;
            let expected = format!("`{name}` is not the scenario's to set");
            assert!(said.contains(&expected), "{said}");
            assert!(said.contains("scenario.toml:7:13"), "{said}");
        }
    }
}
