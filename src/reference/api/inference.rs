//! Synchronous inference: one set of inputs, or several in one request.

use super::super::books::milliseconds;
use super::super::model::{Answer, INPUTS, MODEL};
use super::super::queue::{Done, Priority};
use super::super::service::Service;
use super::body;
use super::error::ApiError;
use axum::Json;
use axum::extract::{Request, State};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;

/// The largest number of sets of inputs in one request.
const LARGEST_REQUEST: usize = 1024;

/// One set of inputs.
#[derive(Deserialize)]
pub(super) struct One<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
    inputs: Vec<f32>,
    priority: Option<Priority>,
}

#[derive(Deserialize)]
pub(super) struct Several<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
    inputs: Vec<Vec<f32>>,
    priority: Option<Priority>,
}

/// An answer to one set of inputs.
#[derive(Serialize)]
pub(super) struct Completed {
    id: String,
    status: &'static str,
    model: &'static str,
    outputs: Answer,
    timing: Timing,
}

#[derive(Serialize)]
pub(super) struct AllCompleted {
    id: String,
    status: &'static str,
    model: &'static str,
    results: Vec<InferenceResult>,
}

#[derive(Serialize)]
struct InferenceResult {
    outputs: Answer,
    timing: Timing,
}

/// How long an answer took, and in which company.
#[derive(Serialize)]
pub(super) struct Timing {
    queue_ms: f64,
    compute_ms: f64,
    batch_size: usize,
}

impl Timing {
    pub(super) fn of(done: &Done) -> Self {
        Self {
            queue_ms: milliseconds(done.queued),
            compute_ms: milliseconds(done.computed),
            batch_size: done.batch_size,
        }
    }
}

/// `POST /v1/inference`
pub(super) async fn one(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Json<Completed>, ApiError> {
    let fate = service.misbehaviour.fate();
    let body = body::read(request.into_body()).await?;
    let (inputs, priority) = body::parse::<One<'_>>(&body)?.checked()?;
    super::undergo(&service, fate).await?;
    let answer = service.submit(inputs, priority, None)?;
    let done = answer.await.map_err(|_| ApiError::backend_gone())?;
    service.misbehaviour.delay(fate).await;
    Ok(Json(Completed {
        id: format!("inf-{}", service.next_id()),
        status: "completed",
        model: MODEL,
        outputs: done.answer,
        timing: Timing::of(&done),
    }))
}

/// `POST /v1/inference/batch`
pub(super) async fn several(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Json<AllCompleted>, ApiError> {
    let fate = service.misbehaviour.fate();
    let body = body::read(request.into_body()).await?;
    let (inputs, priority) = body::parse::<Several<'_>>(&body)?.checked()?;
    super::undergo(&service, fate).await?;
    let mut results = Vec::with_capacity(inputs.len());
    for answer in service.submit_all(inputs, priority)? {
        let done = answer.await.map_err(|_| ApiError::backend_gone())?;
        results.push(InferenceResult {
            outputs: done.answer,
            timing: Timing::of(&done),
        });
    }
    service.misbehaviour.delay(fate).await;
    Ok(Json(AllCompleted {
        id: format!("inf-{}", service.next_id()),
        status: "completed",
        model: MODEL,
        results,
    }))
}

impl One<'_> {
    pub(super) fn checked(&self) -> Result<([f32; INPUTS], Priority), ApiError> {
        body::check_model(&self.model)?;
        let inputs = check_inputs(&self.inputs, "`inputs`")?;
        Ok((inputs, self.priority.unwrap_or_default()))
    }
}

impl Several<'_> {
    fn checked(&self) -> Result<(Vec<[f32; INPUTS]>, Priority), ApiError> {
        body::check_model(&self.model)?;
        let count = self.inputs.len();
        if count == 0 || count > LARGEST_REQUEST {
            return Err(ApiError::unprocessable(
                "wrong_shape",
                format!("`inputs` has {count} sets; 1 to {LARGEST_REQUEST} are taken"),
            ));
        }
        let sets = self.inputs.iter().enumerate();
        let checked: Result<_, _> = sets
            .map(|(index, set)| check_inputs(set, &format!("`inputs[{index}]`")))
            .collect();
        Ok((checked?, self.priority.unwrap_or_default()))
    }
}

fn check_inputs(inputs: &[f32], name: &str) -> Result<[f32; INPUTS], ApiError> {
    let checked: [f32; INPUTS] = inputs.try_into().map_err(|_| {
        let count = inputs.len();
        ApiError::unprocessable(
            "wrong_shape",
            format!("{name} has {count} numbers; the model takes {INPUTS}"),
        )
    })?;
    if checked.iter().all(|input| input.is_finite()) {
        Ok(checked)
    } else {
        Err(ApiError::unprocessable(
            "out_of_range",
            format!("{name} has a number that does not fit into 32 bits"),
        ))
    }
}
