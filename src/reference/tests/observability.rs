//! Health, metrics, wrong paths, and whether the books agree with what was sent.

use super::*;
use axum::http::Method;
use bytes::Bytes;

#[tokio::test(start_paused = true)]
async fn health_is_short_and_details_are_true() {
    let service = Service::start(&ReferenceOptions {
        max_batch: 1,
        step_time: 1000 * MS,
        ..ReferenceOptions::default()
    });
    assert_eq!(
        service.get("/health").await.json(),
        json!({ "status": "ok" })
    );
    for number in 0..3 {
        service.post("/v1/jobs", &ask(number)).await;
    }
    let mut low = ask(3);
    low["priority"] = json!("low");
    service.post("/v1/jobs", &low).await;
    tokio::time::sleep(1500 * MS).await;
    let body = service.get("/health/detailed").await.json();
    assert_eq!(
        body,
        json!({
            "status": "ok",
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_s": 1.5,
            "queue": { "high": 1, "low": 1 },
            "batches": 1,
            "backend": {
                "kind": "cpu",
                "model": "reference-mlp",
                "parameters": 22_026,
                "operations_per_item": 43_520,
                "operations": 43_520,
                "busy_s": 0.0,
            },
            "workers": { "ready": 1, "desired": 1, "min": 1, "max": 1 },
            "jobs": { "queued": 2, "running": 1, "completed": 1, "failed": 0 },
        })
    );
}

#[tokio::test(start_paused = true)]
async fn a_scrape_agrees_with_the_truth() {
    let service = Service::start(&ReferenceOptions {
        delay: Delay::parse("3ms").unwrap(),
        ..ReferenceOptions::default()
    });
    let asked: Vec<_> = (0..20)
        .map(|number| service.post_meanwhile("/v1/inference", ask(number)))
        .collect();
    for reply in asked {
        assert_eq!(reply.await.unwrap().status, 200);
    }
    service.post("/v1/inference", &json!({})).await;
    let waiting = service.post_meanwhile("/v1/inference", ask(0));
    tokio::time::sleep(MS).await;
    let reply = service.get("/metrics").await;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(reply.header("content-type"), Some(kind));
    let lines: Vec<&str> = reply.text().lines().collect();
    for line in [
        r#"reference_requests_total{route="/v1/inference",status="200"} 20"#,
        r#"reference_requests_total{route="/v1/inference",status="422"} 1"#,
        r#"reference_queue_depth{priority="high"} 1"#,
        r#"reference_queue_depth{priority="low"} 0"#,
        // The one that waits, and the scrape itself.
        "reference_in_flight_requests 2",
        "reference_replicas 1",
        "reference_batch_size_count 1",
        "reference_batch_size_sum 20.0",
        r#"reference_batch_size_bucket{le="16.0"} 0"#,
        r#"reference_batch_size_bucket{le="32.0"} 1"#,
        "reference_inference_seconds_count 20",
        "reference_inference_seconds_sum 0.26",
        r#"reference_inference_seconds_bucket{le="0.01"} 0"#,
        r#"reference_inference_seconds_bucket{le="0.015"} 20"#,
    ] {
        assert!(lines.contains(&line), "{line} is not in\n{}", reply.text());
    }
    waiting.await.unwrap();
    let truth = service.truth();
    assert_eq!(truth.requests["/v1/inference"][&200], 21);
    assert_eq!(truth.requests["/metrics"][&200], 1);
}

#[tokio::test(start_paused = true)]
async fn wrong_paths_and_methods_are_errors_in_json_too() {
    let service = Service::start(&immediate());
    for (method, path, status, code) in [
        (Method::GET, "/", 404, "not_found"),
        (Method::POST, "/v1/inferences", 404, "not_found"),
        (Method::GET, "/v1/inference", 405, "method_not_allowed"),
        (Method::DELETE, "/v1/jobs/job-1", 405, "method_not_allowed"),
        (Method::POST, "/metrics", 405, "method_not_allowed"),
    ] {
        let reply = service.send(method, path, Bytes::new()).await;
        assert_eq!(reply.error(), (status, code.to_owned()), "{path}");
    }
    let truth = service.truth();
    assert_eq!(truth.requests["other"][&404], 2);
    assert_eq!(truth.requests["/v1/inference"][&405], 1);
}
