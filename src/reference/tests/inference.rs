//! Synchronous inference, single and in batches, and how it refuses.

use super::super::{INPUTS, MODEL};
use super::*;
use axum::http::Method;
use bytes::Bytes;

#[tokio::test(start_paused = true)]
async fn an_answer_is_the_models_and_says_how_long_it_took() {
    let service = Service::start(&ReferenceOptions::default());
    let reply = service.post("/v1/inference", &ask(1)).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let expected = json!({
        "id": "inf-1",
        "status": "completed",
        "model": MODEL,
        "outputs": outputs(1),
        "timing": { "queue_ms": 2.0, "compute_ms": 8.0, "batch_size": 1 },
    });
    assert_eq!(reply.json(), expected);
    assert_eq!(reply.took, 10 * MS);
}

#[tokio::test(start_paused = true)]
async fn requests_at_the_same_time_share_a_batch_and_keep_their_answers() {
    let service = Service::start(&ReferenceOptions {
        max_batch: 5,
        ..ReferenceOptions::default()
    });
    let asked: Vec<_> = (0..12)
        .map(|number| service.post_meanwhile("/v1/inference", ask(number)))
        .collect();
    let mut sizes = Vec::new();
    for (number, reply) in asked.into_iter().enumerate() {
        let body = reply.await.unwrap().json();
        assert_eq!(body["outputs"], outputs(number));
        sizes.push(body["timing"]["batch_size"].as_u64().unwrap());
    }
    assert_eq!(sizes, [5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 2, 2]);
    let truth = service.truth();
    assert_eq!(truth.requests["/v1/inference"][&200], 12);
    assert_eq!(truth.inference_answers, 12);
    assert_eq!(Vec::from_iter(truth.batch_sizes), [(2, 1), (5, 2)]);
    // Three steps of 8 ms, one after the other; the last one waited for nobody.
    assert_eq!(truth.server_time.max_ms.map(f64::round), Some(24.0));
}

#[tokio::test(start_paused = true)]
async fn high_priority_overtakes_low() {
    let service = Service::start(&ReferenceOptions {
        max_batch: 1,
        ..ReferenceOptions::default()
    });
    let with = |number, priority| {
        let mut body = ask(number);
        body["priority"] = json!(priority);
        service.post_meanwhile("/v1/inference", body)
    };
    let first = with(0, "low");
    tokio::time::sleep(MS).await;
    let low = [with(1, "low"), with(2, "low")];
    tokio::time::sleep(MS).await;
    let high = [with(3, "high"), with(4, "high")];
    let mut ended = Vec::new();
    for (sent_ms, asked) in [(0, first)]
        .into_iter()
        .chain(low.map(|asked| (1, asked)))
        .chain(high.map(|asked| (2, asked)))
    {
        ended.push(sent_ms + asked.await.unwrap().took.as_millis());
    }
    // Who has the backend keeps it. Which of two equals comes first does not matter.
    ended[1..3].sort_unstable();
    ended[3..5].sort_unstable();
    assert_eq!(ended, [8, 32, 40, 16, 24]);
}

#[tokio::test(start_paused = true)]
async fn several_sets_of_inputs_get_as_many_results() {
    let service = Service::start(&ReferenceOptions::default());
    let sets: Vec<_> = (0..3).map(inputs).collect();
    let body = json!({ "model": MODEL, "inputs": sets });
    let reply = service.post("/v1/inference/batch", &body).await;
    let body = reply.json();
    assert_eq!((reply.status, &body["status"]), (200, &json!("completed")));
    let results = body["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    for (number, result) in results.iter().enumerate() {
        assert_eq!(result["outputs"], outputs(number));
        assert_eq!(result["timing"]["batch_size"], json!(3));
    }
    assert_eq!(service.truth().inference_answers, 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_answered_is_refused_with_a_reason() {
    let service = Service::start(&immediate());
    let wrong_length = vec![0.5; INPUTS - 1];
    let too_large = vec![1e39; INPUTS];
    let one = "/v1/inference";
    let several = "/v1/inference/batch";
    for (path, body, status, code) in [
        (one, "{".to_owned(), 400, "invalid_json"),
        (one, String::new(), 400, "invalid_json"),
        (one, "[]".to_owned(), 422, "invalid_request"),
        (
            one,
            json!({ "model": MODEL }).to_string(),
            422,
            "invalid_request",
        ),
        (
            one,
            json!({ "model": MODEL, "inputs": "x" }).to_string(),
            422,
            "invalid_request",
        ),
        (
            one,
            json!({ "model": MODEL, "inputs": wrong_length }).to_string(),
            422,
            "wrong_shape",
        ),
        (
            one,
            json!({ "model": MODEL, "inputs": too_large }).to_string(),
            422,
            "out_of_range",
        ),
        (
            one,
            json!({ "model": MODEL, "inputs": inputs(0), "priority": "urgent" }).to_string(),
            422,
            "invalid_request",
        ),
        (
            one,
            json!({ "model": "gpt", "inputs": inputs(0) }).to_string(),
            404,
            "unknown_model",
        ),
        (
            several,
            json!({ "model": MODEL, "inputs": [] }).to_string(),
            422,
            "wrong_shape",
        ),
        (
            several,
            json!({ "model": MODEL, "inputs": [[1]] }).to_string(),
            422,
            "wrong_shape",
        ),
        (
            several,
            json!({ "model": "gpt", "inputs": [[1]] }).to_string(),
            404,
            "unknown_model",
        ),
    ] {
        let reply = service.send(Method::POST, path, body.clone().into()).await;
        assert_eq!(reply.error(), (status, code.to_owned()), "{path} {body}");
    }
    let truth = service.truth();
    assert_eq!((truth.inference_answers, truth.batches), (0, 0));
    assert_eq!(truth.requests[one][&422], 6);
}

#[tokio::test(start_paused = true)]
async fn bodies_are_bounded() {
    let service = Service::start(&immediate());
    let spaces = |count: usize| Bytes::from(vec![b' '; count]);
    let send = async |body| {
        service
            .send(Method::POST, "/v1/inference", body)
            .await
            .error()
    };
    assert_eq!(
        send(spaces(1024 * 1024 + 1)).await,
        (413, "body_too_large".to_owned())
    );
    assert_eq!(
        send(spaces(1024 * 1024)).await,
        (400, "invalid_json".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_says_when_to_come_back() {
    let service = Service::start(&ReferenceOptions {
        max_batch: 1,
        step_time: 1000 * MS,
        max_wait: Duration::ZERO,
        ..ReferenceOptions::default()
    });
    let sets: Vec<_> = (0..1000).map(inputs).collect();
    let body = json!({ "model": MODEL, "inputs": sets });
    let waiting: Vec<_> = (0..10)
        .map(|_| service.post_meanwhile("/v1/inference/batch", body.clone()))
        .collect();
    tokio::time::sleep(10 * MS).await;
    // One item is being computed: one more has room, two more have not.
    let two = json!({ "model": MODEL, "inputs": [inputs(0), inputs(1)] });
    let reply = service.post("/v1/inference/batch", &two).await;
    assert_eq!(reply.error(), (429, "queue_full".to_owned()));
    assert_eq!(reply.header("retry-after"), Some("1"));
    let last = service.post_meanwhile("/v1/inference", ask(0));
    tokio::time::sleep(10 * MS).await;
    let reply = service.post("/v1/inference", &ask(0)).await;
    assert_eq!(reply.error(), (429, "queue_full".to_owned()));
    last.abort();
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_costs_the_backend_nothing() {
    let service = Service::start(&ReferenceOptions {
        max_batch: 1,
        ..ReferenceOptions::default()
    });
    let first = service.post_meanwhile("/v1/inference", ask(0));
    tokio::time::sleep(MS).await;
    let left = service.post_meanwhile("/v1/inference", ask(1));
    tokio::time::sleep(MS).await;
    left.abort();
    let last = service.post_meanwhile("/v1/inference", ask(2));
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(last.await.unwrap().status, 200);
    let truth = service.truth();
    assert_eq!(truth.batches, 2);
    assert_eq!(truth.requests["/v1/inference"][&200], 2);
}
