//! What the server says about itself: health, in short and in detail, and metrics.

use super::super::jobs::JobCounts;
use super::super::metrics::{self, Snapshot};
use super::super::model::MODEL;
use super::super::queue::Depth;
use super::super::service::Service;
use super::super::workers::WorkerCounts;
use crate::record::ServiceCompute;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
pub(super) struct Brief {
    status: &'static str,
    /// Why the service cannot answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Detailed {
    status: &'static str,
    version: &'static str,
    uptime_s: f64,
    /// Items that wait for the backend.
    queue: Depth,
    /// Batches so far.
    batches: u64,
    backend: BackendInfo,
    workers: WorkerCounts,
    jobs: JobCounts,
}

#[derive(Serialize)]
struct BackendInfo {
    model: &'static str,
    #[serde(flatten)]
    compute: ServiceCompute,
    /// Multiplications and additions so far.
    operations: u64,
    /// How long its processor was busy with them.
    busy_s: f64,
    /// Why it can compute no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

/// `GET /health`: 503 when the backend can compute no more, so that a load balancer looks elsewhere.
pub(super) async fn brief(State(service): State<Arc<Service>>) -> (StatusCode, Json<Brief>) {
    let reason = service.books.backend_failure();
    let code = match reason {
        None => StatusCode::OK,
        Some(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let status = word(reason.as_ref());
    (code, Json(Brief { status, reason }))
}

fn word(failure: Option<&String>) -> &'static str {
    failure.map_or("ok", |_| "failed")
}

/// `GET /health/detailed`
pub(super) async fn detailed(State(service): State<Arc<Service>>) -> Json<Detailed> {
    let ledger = service.books.snapshot();
    Json(Detailed {
        status: word(ledger.backend_failure.as_ref()),
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: service.uptime().as_secs_f64(),
        queue: service.queue.depth(),
        batches: ledger.batches(),
        backend: BackendInfo {
            model: MODEL,
            compute: service.compute.info().clone(),
            operations: ledger.operations,
            busy_s: ledger.busy.as_secs_f64(),
            failure: ledger.backend_failure,
        },
        workers: service.workers.counts(),
        jobs: service.jobs.counts(),
    })
}

/// `GET /metrics`
pub(super) async fn metrics(State(service): State<Arc<Service>>) -> impl IntoResponse {
    let snapshot = Snapshot {
        ledger: service.books.snapshot(),
        in_flight: service.books.in_flight(),
        depth: service.queue.depth(),
        workers: service.workers.counts(),
        resident_bytes: metrics::resident_bytes(),
    };
    (
        [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)],
        snapshot.text(),
    )
}
