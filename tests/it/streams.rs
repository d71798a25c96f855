//! Streamed answers through the engine over in-memory streams under a paused clock: the time of every
//! token is known, and so is what must be measured.

use crate::support::memory::{Memory, Reply, events, ms};
use crate::support::{plan_with, run};
use bench::gate::LatencyKind;
use bench::record::{Cause, Distribution, Outcome, PhaseRecord, RunRecord};
use bench::verdict::{self, GateResult, Verdict};

const ROLE: &str = r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#;
const TOKEN: &str = r#"{"choices":[{"delta":{"content":"a"}}]}"#;
const STOP: &str = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str = r#"{"choices":[],"usage":{"completion_tokens":9}}"#;

fn scenario(request: &str, phase: &str) -> String {
    format!(
        r#"
name = "test"
[target]
url = "http://memory"
timeout = "2s"
[request.chat]
path = "/v1/chat/completions"
{request}
[[phase]]
name = "p"
concurrency = 4
{phase}
"#
    )
}

const CHAT: &str = "stream = \"sse\"\nshape = \"openai-chat\"";

fn measured(
    request: &str,
    phase: &str,
    script: impl Fn(u64) -> Reply + Send + Sync + 'static,
) -> RunRecord {
    let plan = plan_with(&scenario(request, phase), 1, &[]);
    run(&plan, &Memory::new(move |seen| script(seen.number)))
}

fn phase(record: &RunRecord) -> &PhaseRecord {
    assert_eq!(record.phases.len(), 1);
    &record.phases[0]
}

fn gates(record: &RunRecord) -> Vec<GateResult> {
    verdict::judge(record, &verdict::gates_of(record).unwrap()).gates
}

#[track_caller]
fn assert_ms(phase: &PhaseRecord, kind: LatencyKind, quantile: f64, truth: f64) {
    let value = phase.latencies(kind).quantile_ns(quantile).unwrap() as f64 / 1e6;
    assert!(
        (value / truth - 1.0).abs() < 0.001,
        "{} at {quantile}: {value} ms, truth {truth} ms",
        kind.as_str()
    );
}

/// The role at once, the first token after 40 ms, three more 10, 20 and 30 ms apart, then the end.
fn four_tokens() -> Reply {
    events([
        (0, ROLE),
        (40, TOKEN),
        (10, TOKEN),
        (20, TOKEN),
        (30, TOKEN),
        (0, STOP),
        (0, "[DONE]"),
    ])
}

#[test]
fn every_token_is_measured_at_its_time() {
    let record = measured(CHAT, "count = 100", |_| four_tokens());
    let phase = phase(&record);
    assert_eq!(phase.total.outcomes.of(Outcome::Ok), 100);
    let streams = &phase.total.streams;
    assert_eq!(
        (streams.ok, streams.events, streams.tokens),
        (100, 400, 400)
    );
    assert_eq!(streams.itl.count(), 300);
    for quantile in [0.01, 1.0] {
        // The role is no token.
        assert_ms(phase, LatencyKind::Ttft, quantile, 40.0);
        assert_ms(phase, LatencyKind::TtftService, quantile, 40.0);
        assert_ms(phase, LatencyKind::Tpot, quantile, 20.0);
        assert_ms(phase, LatencyKind::Response, quantile, 100.0);
    }
    assert_ms(phase, LatencyKind::Itl, 0.33, 10.0);
    assert_ms(phase, LatencyKind::Itl, 0.66, 20.0);
    assert_ms(phase, LatencyKind::Itl, 1.0, 30.0);
    assert_eq!(
        phase
            .intervals
            .iter()
            .map(|second| second.counts.token_events)
            .sum::<u64>(),
        400
    );
}

#[test]
fn tokens_per_second_are_those_that_came_in_the_window() {
    // Streams of 4 s that give a token every 100 ms: at their ends, a whole window could be counted
    // at once, or nothing.
    let long = || {
        let tokens = std::iter::repeat_n((100, TOKEN), 40);
        events(tokens.chain([(0, STOP), (0, USAGE), (0, "[DONE]")]))
    };
    let timing = "warmup = \"1s\"\nduration = \"6s\"\ndrain = \"5s\"\n";
    let slow = CHAT.to_owned();
    let text = scenario(
        &slow,
        &format!("{timing}gates = [\"tokens_per_second > 1\"]"),
    )
    .replace("timeout = \"2s\"", "timeout = \"9s\"");
    let record = run(&plan_with(&text, 1, &[]), &Memory::new(move |_| long()));
    let phase = phase(&record);
    // Each event carries 9/40 of a token, as the server counts.
    assert_eq!(phase.total.streams.counted_by(), "usage");
    let rate = phase.tokens_per_second().unwrap();
    let truth = 40.0 * 9.0 / 40.0;
    assert!((rate / truth - 1.0).abs() < 0.05, "{rate}, not {truth}");
    assert_eq!(gates(&record)[0].verdict, Verdict::Pass);
}

#[test]
fn chunks_that_come_together_share_their_time_and_usage_counts_the_tokens() {
    let record = measured(CHAT, "count = 50", |_| {
        let two = format!("{TOKEN}\n\ndata: {TOKEN}");
        events([
            (20, two.as_str()),
            (40, two.as_str()),
            (0, STOP),
            (0, USAGE),
            (0, "[DONE]"),
        ])
    });
    let phase = phase(&record);
    let streams = &phase.total.streams;
    assert_eq!(
        (streams.events, streams.tokens, streams.counted_by()),
        (200, 450, "usage")
    );
    assert_eq!(streams.tokens_per_event(), Some(2.25));
    // Gaps: none, 40 ms, none.
    assert_ms(phase, LatencyKind::Itl, 0.6, 0.001);
    assert_ms(phase, LatencyKind::Itl, 0.7, 40.0);
    // 40 ms by eight tokens after the first.
    assert_ms(phase, LatencyKind::Tpot, 1.0, 5.0);
}

#[test]
fn a_stream_that_is_cut_off_has_not_succeeded() {
    for (reply, outcome, cause) in [
        // Complete as HTTP, but not as an answer.
        (
            events([(5, TOKEN), (5, TOKEN)]),
            Outcome::FailedCheck,
            Cause::StreamCutOff,
        ),
        (
            events([(5, TOKEN), (5, STOP)]),
            Outcome::FailedCheck,
            Cause::StreamCutOff,
        ),
        (
            events([(5, TOKEN), (5, r#"{"error":{"message":"out of memory"}}"#)]),
            Outcome::FailedCheck,
            Cause::StreamError,
        ),
        (
            events([(5, "<html>")]),
            Outcome::FailedCheck,
            Cause::NotJson,
        ),
        (
            Reply::Chunks {
                chunks: vec![(ms(5), format!("data: {TOKEN}\n\n").into_bytes())],
                complete: false,
            },
            Outcome::Reset,
            Cause::ClosedEarly,
        ),
        (
            events([(5, TOKEN), (3000, STOP), (0, "[DONE]")]),
            Outcome::Timeout,
            Cause::NoAnswer,
        ),
    ] {
        let record = measured(CHAT, "count = 8", move |_| reply.clone());
        let phase = phase(&record);
        assert_eq!(
            phase.total.outcomes.of(outcome),
            8,
            "{cause}: {:?}",
            phase.errors
        );
        let kinds = phase.errors.by_frequency();
        assert_eq!((kinds[0].key.cause, kinds[0].count), (cause, 8));
        let streams = &phase.total.streams;
        assert_eq!((streams.ok, streams.not_ok), (0, 8), "{cause}");
        assert!(streams.ttft.is_empty() && streams.itl.is_empty(), "{cause}");
    }
}

#[test]
fn what_ends_a_stream_is_what_the_scenario_says() {
    let request =
        format!("{CHAT}\nexpect = {{ ends_with = \"finish\", finish = [\"stop\", \"length\"] }}");
    let record = measured(&request, "count = 8", |_| events([(5, TOKEN), (5, STOP)]));
    assert_eq!(phase(&record).total.outcomes.of(Outcome::Ok), 8);
    let request = format!("{CHAT}\nexpect = {{ finish = \"length\" }}");
    let record = measured(&request, "count = 8", |_| four_tokens());
    let kinds = phase(&record).errors.by_frequency();
    assert_eq!(kinds[0].key.cause, Cause::FinishReason);
    let request = format!("{CHAT}\nexpect = {{ ends_with = [] }}");
    let record = measured(&request, "count = 8", |_| events([(5, TOKEN)]));
    assert_eq!(phase(&record).total.outcomes.of(Outcome::Ok), 8);
}

#[test]
fn lines_of_json_in_a_shape_of_ones_own() {
    let request = r#"
stream = "ndjson"
shape = { text = "/message/content", finish = "/done", tokens = "/eval_count" }
"#;
    let line = |after: u64, text: &str| (ms(after), text.as_bytes().to_vec());
    let chunks = vec![
        line(
            30,
            "{\"message\":{\"content\":\"H\"},\"done\":false}\n{\"mess",
        ),
        line(10, "age\":{\"content\":\"i\"},\"done\":false}\n"),
        line(
            10,
            "{\"message\":{\"content\":\"\"},\"done\":true,\"eval_count\":2}",
        ),
    ];
    let record = measured(request, "count = 20", move |_| Reply::Chunks {
        chunks: chunks.clone(),
        complete: true,
    });
    let phase = phase(&record);
    assert_eq!(
        phase.total.outcomes.of(Outcome::Ok),
        20,
        "{:?}",
        phase.errors
    );
    assert_ms(phase, LatencyKind::Ttft, 1.0, 30.0);
    assert_ms(phase, LatencyKind::Tpot, 1.0, 10.0);
    assert_eq!(phase.total.streams.counted_by(), "usage");
}

#[test]
fn goodput_is_what_met_every_objective() {
    // Of ten streams, one has its first token too late, one has slow tokens, one fails.
    let script = |number: u64| match number % 10 {
        0 => events([(80, TOKEN), (10, TOKEN), (0, STOP), (0, "[DONE]")]),
        1 => events([(40, TOKEN), (50, TOKEN), (0, STOP), (0, "[DONE]")]),
        2 => events([(40, TOKEN), (50, TOKEN)]),
        _ => events([
            (40, TOKEN),
            (50, TOKEN),
            (0, TOKEN),
            (0, STOP),
            (0, "[DONE]"),
        ]),
    };
    let phase_text = "duration = \"20s\"\nslo = [\"ttft < 60ms\", \"tpot < 30ms\", \"response < 1s\"]\n\
        gates = [\"goodput > 30/s\", \"goodput > 32/s\", \"ttft.p50 < 60ms\", \"ttft.p50 < 30ms\", \"ttft.p90 < 60ms\", \"itl.p50 < 60ms\"]";
    let record = measured(CHAT, phase_text, script);
    let phase = phase(&record);
    let total = &phase.total;
    let share = total.good as f64 / total.outcomes.total() as f64;
    assert!((share - 0.7).abs() < 0.01, "{share}");
    // What ended after the twenty seconds is a matter of the requests, not of the rate.
    let ended: u64 = phase
        .whole_seconds()
        .map(|second| second.measured.good)
        .sum();
    assert!(ended < total.good);
    assert!((phase.goodput().unwrap() - ended as f64 / 20.0).abs() < 1e-9);
    let verdicts: Vec<Verdict> = gates(&record).iter().map(|result| result.verdict).collect();
    assert_eq!(
        verdicts,
        [
            Verdict::Pass,
            Verdict::Fail,
            Verdict::Pass,
            Verdict::Fail,
            // 10 % late and 10 % failed: more than 10 % are over.
            Verdict::Fail,
            Verdict::Pass,
        ],
        "{:#?}",
        gates(&record)
    );
}

#[test]
fn streams_in_flight_at_the_end_are_neither_fast_nor_slow() {
    let record = measured(CHAT, "duration = \"3s\"\ndrain = \"0s\"", |_| {
        events([(40, TOKEN), (1500, TOKEN), (0, STOP), (0, "[DONE]")])
    });
    let phase = phase(&record);
    assert_eq!(phase.total.streams.open, 4);
    let over = phase.total.over(LatencyKind::Ttft, 50_000_000);
    assert_eq!(
        (over.at_most, over.at_least, over.total),
        (4, 0, phase.total.planned)
    );
}
