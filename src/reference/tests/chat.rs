//! Chat completions, whole and as a stream of events.

use super::super::{MODEL, TOKEN_INTERVAL};
use super::*;
use crate::record::Distribution;

const CHAT: &str = "/v1/chat/completions";

fn prompt(more: Value) -> Value {
    let mut body = json!({
        "model": MODEL,
        "messages": [
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": "What waits behind the queue?" },
        ],
    });
    let Value::Object(more) = more else {
        panic!("members")
    };
    body.as_object_mut().unwrap().extend(more);
    body
}

/// The events of a stream, which came one by one.
fn events(reply: &Reply) -> Vec<Value> {
    let mut events = Vec::new();
    for (_, piece) in &reply.pieces {
        let text = str::from_utf8(piece).unwrap();
        let data = text
            .strip_prefix("data: ")
            .and_then(|text| text.strip_suffix("\n\n"))
            .unwrap_or_else(|| panic!("not one event: {text:?}"));
        assert!(!data.contains('\n'), "{data}");
        match data {
            "[DONE]" => events.push(json!("[DONE]")),
            data => events.push(serde_json::from_str(data).unwrap()),
        }
    }
    events
}

fn content(events: &[Value]) -> String {
    let contents = events
        .iter()
        .map(|event| &event["choices"][0]["delta"]["content"]);
    contents.filter_map(Value::as_str).collect()
}

#[tokio::test(start_paused = true)]
async fn a_whole_answer_has_the_shape_and_takes_the_time_of_its_tokens() {
    let service = Service::start(&immediate());
    let reply = service.post(CHAT, &prompt(json!({}))).await;
    let body = reply.json();
    assert_eq!(
        (reply.status, &body["object"]),
        (200, &json!("chat.completion"))
    );
    assert_eq!(body["model"], json!(MODEL));
    assert!(body["created"].as_u64().unwrap() > 1_700_000_000);
    let choice = &body["choices"][0];
    assert_eq!(choice["finish_reason"], json!("stop"));
    assert_eq!(choice["message"]["role"], json!("assistant"));
    let text = choice["message"]["content"].as_str().unwrap();
    let tokens = text.split(' ').count() as u64 + 1;
    assert_eq!(
        body["usage"],
        json!({ "prompt_tokens": 7, "completion_tokens": tokens, "total_tokens": 7 + tokens })
    );
    assert_eq!(reply.took, TOKEN_INTERVAL * u32::try_from(tokens).unwrap());
    assert_eq!(service.truth().tokens, tokens);
}

#[tokio::test(start_paused = true)]
async fn a_stream_sends_each_token_at_its_time() {
    let service = Service::start(&immediate());
    let whole = service.post(CHAT, &prompt(json!({}))).await.json();
    let reply = service.post(CHAT, &prompt(json!({ "stream": true }))).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    let events = events(&reply);
    assert_eq!(
        json!(content(&events)),
        whole["choices"][0]["message"]["content"]
    );
    let tokens = usize::try_from(whole["usage"]["completion_tokens"].as_u64().unwrap()).unwrap();
    // The role, the tokens, the end and its mark.
    assert_eq!(events.len(), tokens + 3);
    assert_eq!(events[0]["choices"][0]["delta"]["role"], json!("assistant"));
    assert_eq!(events[tokens + 2], json!("[DONE]"));
    let finish = &events[tokens + 1]["choices"][0];
    assert_eq!(
        (&finish["delta"], &finish["finish_reason"]),
        (&json!({}), &json!("stop"))
    );
    for event in &events[..tokens + 2] {
        assert_eq!(event["object"], json!("chat.completion.chunk"));
        assert_eq!(event["id"], events[0]["id"]);
        assert_eq!(event.get("usage"), None);
    }
    for (index, event) in events[..=tokens].iter().enumerate() {
        assert_eq!(event["choices"][0]["finish_reason"], Value::Null);
        let due = TOKEN_INTERVAL * u32::try_from(index).unwrap();
        assert_eq!(reply.pieces[index].0, due, "token {index}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_at_the_largest_number_of_tokens_and_tells_the_usage() {
    let service = Service::start(&immediate());
    let options = json!({
        "stream": true,
        "stream_options": { "include_usage": true },
        "max_tokens": 3,
    });
    let reply = service.post(CHAT, &prompt(options)).await;
    let events = events(&reply);
    assert_eq!(events.len(), 1 + 3 + 1 + 1 + 1);
    assert_eq!(content(&events).split(' ').count(), 3);
    assert_eq!(events[4]["choices"][0]["finish_reason"], json!("length"));
    assert_eq!(events[5]["choices"], json!([]));
    assert_eq!(
        events[5]["usage"],
        json!({ "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10 })
    );
    let truth = service.truth();
    assert_eq!(truth.tokens, 3);
    assert_eq!(truth.first_token.max_ms, Some(5.003));
    assert_eq!(truth.token_gap.p50_ms, Some(5.003));
    assert_eq!(Distribution::count(&truth.token_gap.latencies), 2);
}

#[tokio::test(start_paused = true)]
async fn wrong_chats_are_refused() {
    let service = Service::start(&immediate());
    for (more, status, code) in [
        (json!({ "model": "gpt" }), 404, "unknown_model"),
        (json!({ "messages": [] }), 422, "invalid_request"),
        (
            json!({ "messages": [{ "role": "user" }] }),
            422,
            "invalid_request",
        ),
        (json!({ "max_tokens": 0 }), 422, "invalid_request"),
        (
            json!({ "max_completion_tokens": 4097 }),
            422,
            "invalid_request",
        ),
    ] {
        let reply = service.post(CHAT, &prompt(more.clone())).await;
        assert_eq!(reply.error(), (status, code.to_owned()), "{more}");
    }
    assert_eq!(service.truth().tokens, 0);
}

#[tokio::test(start_paused = true)]
async fn a_frozen_server_streams_nothing() {
    let service = Service::start(&ReferenceOptions {
        stall: Some(Stall::parse("100ms at 12ms").unwrap()),
        ..immediate()
    });
    let options = json!({ "stream": true, "max_tokens": 5 });
    let reply = service.post(CHAT, &prompt(options)).await;
    let times: Vec<_> = reply.pieces.iter().map(|(at, _)| at.as_millis()).collect();
    // Two tokens before, then all that was due meanwhile at once.
    assert_eq!(times, [0, 5, 10, 112, 112, 112, 112, 112]);
}
