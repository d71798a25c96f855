//! Queued inference: submit a job, and ask about it until it is over.

use super::super::jobs::{Failure, Progress};
use super::super::model::{Answer, MODEL};
use super::super::queue::{Done, Priority};
use super::super::service::Service;
use super::body;
use super::error::{ApiError, Explanation};
use super::inference::{One, Timing};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::oneshot;

#[derive(Serialize)]
struct Submitted {
    id: String,
    status: &'static str,
}

#[derive(Serialize)]
pub(super) struct Shown {
    id: String,
    status: &'static str,
    model: &'static str,
    priority: Priority,
    #[serde(skip_serializing_if = "Option::is_none")]
    outputs: Option<Answer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timing: Option<Timing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Explanation>,
}

/// `POST /v1/jobs`
pub(super) async fn submit(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, ApiError> {
    let fate = service.misbehaviour.fate();
    let body = body::read(request.into_body()).await?;
    let (inputs, priority) = body::parse::<One<'_>>(&body)?.checked()?;
    service.misbehaviour.leak();
    let id = service
        .jobs
        .submit(priority)
        .ok_or_else(ApiError::queue_full)?;
    let work = if fate.fails {
        None
    } else {
        let (started, has_started) = oneshot::channel();
        match service.submit(inputs, priority, Some(started)) {
            Ok(answer) => Some((has_started, answer)),
            Err(refused) => {
                service.jobs.withdraw(id);
                return Err(refused.into());
            }
        }
    };
    let follower = Arc::clone(&service);
    tokio::spawn(async move {
        let result = match work {
            Some((started, answer)) => follow(&follower, id, started, answer).await,
            None => Err(Failure::Injected),
        };
        follower.misbehaviour.delay(fate).await;
        if fate.fails {
            follower.books.injected_error();
        }
        follower.jobs.finish(id, result);
    });
    let location = format!("/v1/jobs/job-{id}");
    let submitted = Submitted {
        id: format!("job-{id}"),
        status: "queued",
    };
    let headers = [(header::LOCATION, location)];
    Ok((StatusCode::ACCEPTED, headers, Json(submitted)).into_response())
}

/// Waits for a job's answer.
async fn follow(
    service: &Service,
    id: u64,
    started: oneshot::Receiver<()>,
    answer: oneshot::Receiver<Done>,
) -> Result<Done, Failure> {
    if started.await.is_ok() {
        service.jobs.run(id);
    }
    answer.await.map_err(|_| Failure::BackendGone)
}

/// `GET /v1/jobs/{id}`
pub(super) async fn show(
    State(service): State<Arc<Service>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<Shown>, ApiError> {
    // What is no text is no job's name either.
    let name = name.map(|Path(name)| name).unwrap_or_default();
    let id = name.strip_prefix("job-").and_then(|id| id.parse().ok());
    let job = id.and_then(|id| service.jobs.get(id)).ok_or_else(|| {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "unknown_job",
            format!("there is no job `{name}`, or no more"),
        )
    })?;
    let (status, done, error) = match job.progress {
        Progress::Queued => ("queued", None, None),
        Progress::Running => ("running", None, None),
        Progress::Completed(done) => ("completed", Some(done), None),
        Progress::Failed(Failure::Injected) => ("failed", None, Some(ApiError::injected())),
        Progress::Failed(Failure::BackendGone) => ("failed", None, Some(ApiError::backend_gone())),
    };
    Ok(Json(Shown {
        id: name,
        status,
        model: MODEL,
        priority: job.priority,
        outputs: done.map(|done| done.answer),
        timing: done.as_ref().map(Timing::of),
        error: error.map(Explanation::from),
    }))
}
