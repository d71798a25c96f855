//! Logging in, and what a token opens.

use super::*;
use axum::http::Method;

fn login(user: &str, password: &str) -> Value {
    json!({ "username": user, "password": password })
}

fn guarded() -> ReferenceOptions {
    ReferenceOptions {
        require_auth: true,
        ..immediate()
    }
}

async fn token(service: &Service) -> String {
    let reply = service.post("/auth/token", &login("bench", "bench")).await;
    let body = reply.json();
    assert_eq!((reply.status, &body["token_type"]), (200, &json!("Bearer")));
    assert_eq!(body["expires_in"], json!(3600));
    body["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_token_opens_the_guarded_routes_until_it_expires() {
    let service = Service::start(&guarded());
    let known = service.with_token(&token(&service).await);
    assert_eq!(known.post("/v1/inference", &ask(0)).await.status, 200);
    assert_eq!(known.post("/v1/jobs", &ask(0)).await.status, 202);
    assert_eq!(known.get("/v1/jobs/job-1").await.status, 200);
    tokio::time::advance(Duration::from_secs(3599)).await;
    assert_eq!(known.post("/v1/inference", &ask(0)).await.status, 200);
    tokio::time::advance(Duration::from_secs(2)).await;
    let reply = known.post("/v1/inference", &ask(0)).await;
    assert_eq!(reply.error(), (401, "unauthorized".to_owned()));
    assert!(reply.text().contains("expired"), "{}", reply.text());
}

#[tokio::test(start_paused = true)]
async fn without_a_token_only_the_open_routes_answer() {
    let service = Service::start(&guarded());
    for (method, path, status) in [
        (Method::GET, "/health", 200),
        (Method::GET, "/health/detailed", 200),
        (Method::GET, "/metrics", 200),
        (Method::POST, "/v1/inference", 401),
        (Method::POST, "/v1/inference/batch", 401),
        (Method::POST, "/v1/jobs", 401),
        (Method::GET, "/v1/jobs/job-1", 401),
        (Method::POST, "/v1/chat/completions", 401),
    ] {
        let body = ask(0).to_string();
        let reply = service.send(method, path, body.into()).await;
        assert_eq!(reply.status, status, "{path}");
        if status == 401 {
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
            assert_eq!(reply.error().1, "unauthorized");
        }
    }
    assert_eq!(service.truth().batches, 0);
}

#[tokio::test(start_paused = true)]
async fn forged_tokens_open_nothing() {
    let service = Service::start(&guarded());
    let mut other = guarded();
    other.seed += 1;
    let stolen = token(&Service::start(&other)).await;
    let tampered = token(&service).await.replacen('.', ".A", 1);
    for token in ["", "x", "bench", &stolen, &tampered] {
        let reply = service
            .with_token(token)
            .post("/v1/inference", &ask(0))
            .await;
        assert_eq!(reply.status, 401, "{token}");
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_are_ignored_where_none_are_needed() {
    let service = Service::start(&immediate());
    let reply = service.with_token("x").post("/v1/inference", &ask(0)).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test(start_paused = true)]
async fn only_one_user_is_known() {
    let service = Service::start(&immediate());
    for (user, password) in [("bench", "Bench"), ("root", "bench"), ("", "")] {
        let reply = service.post("/auth/token", &login(user, password)).await;
        assert_eq!(reply.error(), (401, "unauthorized".to_owned()), "{user}");
    }
    let reply = service
        .post("/auth/token", &json!({ "username": "bench" }))
        .await;
    assert_eq!(reply.status, 422);
    let truth = service.truth();
    assert_eq!(truth.rejected_logins, 0);
    assert_eq!(truth.requests["/auth/token"][&401], 3);
}

#[tokio::test(start_paused = true)]
async fn a_share_of_right_logins_is_refused_as_told() {
    let service = Service::start(&ReferenceOptions {
        reject_logins: 0.5,
        ..immediate()
    });
    let mut refused = 0;
    for _ in 0..40 {
        let reply = service.post("/auth/token", &login("bench", "bench")).await;
        refused += u64::from(reply.status == 401);
    }
    assert!((8..=32).contains(&refused), "{refused}");
    let truth = service.truth();
    assert_eq!(truth.rejected_logins, refused);
    assert_eq!(truth.requests["/auth/token"][&401], refused);
}
