//! Jobs from submission to their end, and their bounds.

use super::super::MODEL;
use super::super::jobs::LARGEST_BACKLOG;
use super::*;

async fn submit(service: &Service, number: usize, priority: &str) -> String {
    let mut body = ask(number);
    body["priority"] = json!(priority);
    let reply = service.post("/v1/jobs", &body).await;
    assert_eq!(reply.status, 202);
    assert_eq!(reply.json()["status"], json!("queued"));
    let location = reply.header("location").expect("where to ask");
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(location, format!("/v1/jobs/{id}"));
    location.to_owned()
}

async fn status(service: &Service, path: &str) -> String {
    let body = service.get(path).await.json();
    body["status"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_job_is_queued_runs_and_completes() {
    let service = Service::start(&ReferenceOptions {
        max_batch: 1,
        ..ReferenceOptions::default()
    });
    let first = submit(&service, 7, "high").await;
    let second = submit(&service, 8, "low").await;
    let mut seen = Vec::new();
    for _ in 0..5 {
        tokio::time::sleep(4 * MS).await;
        let both = [
            status(&service, &first).await,
            status(&service, &second).await,
        ];
        seen.push(both.join(" "));
    }
    assert_eq!(
        seen,
        [
            "running queued",
            "completed running",
            "completed running",
            "completed completed",
            "completed completed"
        ]
    );
    let expected = json!({
        "id": "job-2",
        "status": "completed",
        "model": MODEL,
        "priority": "low",
        "outputs": outputs(8),
        "timing": { "queue_ms": 8.0, "compute_ms": 8.0, "batch_size": 1 },
    });
    assert_eq!(service.get(&second).await.json(), expected);
}

#[tokio::test(start_paused = true)]
async fn unknown_jobs_are_not_found() {
    let service = Service::start(&immediate());
    for id in ["job-1", "job-", "job-x", "1", "%FF"] {
        let reply = service.get(&format!("/v1/jobs/{id}")).await;
        assert_eq!(reply.error(), (404, "unknown_job".to_owned()), "{id}");
    }
    let reply = service
        .post("/v1/jobs", &json!({ "model": "x", "inputs": [] }))
        .await;
    assert_eq!(reply.error(), (404, "unknown_model".to_owned()));
    let truth = service.truth();
    assert_eq!(truth.requests["/v1/jobs/{id}"][&404], 5);
    assert_eq!(truth.requests["/v1/jobs"][&404], 1);
}

#[tokio::test(start_paused = true)]
async fn too_many_unfinished_jobs_are_refused_until_some_are_finished() {
    let service = Service::start(&ReferenceOptions {
        max_batch: 1,
        step_time: 10_000 * MS,
        max_wait: Duration::ZERO,
        ..ReferenceOptions::default()
    });
    for number in 0..LARGEST_BACKLOG {
        submit(&service, number, "low").await;
    }
    let reply = service.post("/v1/jobs", &ask(0)).await;
    assert_eq!(reply.error(), (429, "queue_full".to_owned()));
    assert_eq!(reply.header("retry-after"), Some("1"));
    tokio::time::sleep(10_001 * MS).await;
    submit(&service, 0, "high").await;
    let reply = service.post("/v1/jobs", &ask(0)).await;
    assert_eq!(reply.status, 429);
}

#[tokio::test(start_paused = true)]
async fn jobs_fail_and_are_late_as_told() {
    let service = Service::start(&ReferenceOptions {
        error_rate: 1.0,
        delay: Delay::parse("30ms").unwrap(),
        ..immediate()
    });
    let path = submit(&service, 0, "high").await;
    tokio::time::sleep(29 * MS).await;
    assert_eq!(status(&service, &path).await, "queued");
    tokio::time::sleep(2 * MS).await;
    let body = service.get(&path).await.json();
    assert_eq!(body["status"], json!("failed"));
    assert_eq!(body["error"]["code"], json!("injected_error"));
    let truth = service.truth();
    assert_eq!((truth.injected_errors, truth.batches), (1, 0));
    assert_eq!(truth.delays.answers, 1);
}
