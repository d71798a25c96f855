//! What the server says about itself: health, in short and in detail, and metrics.

use super::super::backend::Cpu;
use super::super::jobs::JobCounts;
use super::super::metrics::{self, Snapshot};
use super::super::model::{MODEL, PARAMETERS};
use super::super::queue::Depth;
use super::super::service::Service;
use super::super::workers::WorkerCounts;
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
pub(super) struct Brief {
    status: &'static str,
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
    kind: &'static str,
    model: &'static str,
    parameters: usize,
}

/// `GET /health`
pub(super) async fn brief() -> Json<Brief> {
    Json(Brief { status: "ok" })
}

/// `GET /health/detailed`
pub(super) async fn detailed(State(service): State<Arc<Service>>) -> Json<Detailed> {
    Json(Detailed {
        status: "ok",
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: service.uptime().as_secs_f64(),
        queue: service.queue.depth(),
        batches: service.books.snapshot().batches(),
        backend: BackendInfo {
            kind: Cpu::KIND,
            model: MODEL,
            parameters: PARAMETERS,
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
