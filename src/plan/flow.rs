//! What is sent as one: a request alone, or the steps of a flow; and what steps hand on to later ones.

use super::check::{Fault, JsonCheck, Received, equal};
use super::render::{in_json_string, json_string};
use crate::record::{Cause, Outcome, RequestInfo, StepInfo};
use crate::scenario::{CaptureSource, Flow, Scenario};
use crate::schedule::Retry;
use serde_json::Value;
use std::time::Duration;

/// What the load consists of: each of these is planned, sent and counted as one.
#[derive(Clone, Debug)]
pub enum Unit {
    /// One request.
    Request(SendPlan),
    /// Several, one after the other.
    Flow(FlowPlan),
}

/// One request, and whether it is tried again when it is turned away.
#[derive(Clone, Debug)]
pub struct SendPlan {
    /// Which request of the plan.
    pub request: usize,
    /// When it is tried again; `None` for never.
    pub retry: Option<Retry>,
}

/// Several requests with one latency from the first to the last.
#[derive(Clone, Debug)]
pub struct FlowPlan {
    /// Its name.
    pub name: String,
    /// Its steps, in order; there is at least one.
    pub steps: Vec<StepPlan>,
}

/// One step of a flow.
#[derive(Clone, Debug)]
pub struct StepPlan {
    /// Its name.
    pub name: String,
    /// Its position among the steps of all flows.
    pub index: usize,
    /// What is sent.
    pub send: SendPlan,
    /// Whether its answer is a stream.
    pub streams: bool,
    /// How it is sent again until something has happened.
    pub poll: Option<PollPlan>,
}

/// How often and how long a step asks whether something has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollPlan {
    /// The pause between an answer and the next request.
    pub every: Duration,
    /// How long it may take from the first request on.
    pub limit: Duration,
}

/// The units of a scenario: its requests, then its flows.
pub(super) fn units(scenario: &Scenario) -> Vec<Unit> {
    let mut requests = 0..;
    let mut send = |retry: &Option<Retry>| SendPlan {
        request: requests.next().unwrap_or_default(),
        retry: retry.clone(),
    };
    let mut units: Vec<Unit> = scenario
        .requests
        .iter()
        .map(|request| Unit::Request(send(&request.retry)))
        .collect();
    let mut indexes = 0..;
    units.extend(scenario.flows.iter().map(|flow| {
        let steps = flow.steps.iter().map(|step| StepPlan {
            name: step.request.name.value.clone(),
            index: indexes.next().unwrap_or_default(),
            send: send(&step.request.retry),
            streams: step.request.stream.is_some(),
            poll: step.poll.as_ref().map(|poll| PollPlan {
                every: poll.every,
                limit: poll.limit,
            }),
        });
        Unit::Flow(FlowPlan {
            name: flow.name.value.clone(),
            steps: steps.collect(),
        })
    }));
    units
}

/// How long a flow may take when each answer takes as long as it may; further tries come on top.
pub(super) fn longest(flow: &Flow, timeout: Duration) -> Duration {
    flow.steps.iter().fold(Duration::ZERO, |sum, step| {
        let polling = step.poll.as_ref().map_or(Duration::ZERO, |poll| poll.limit);
        sum.saturating_add(timeout).saturating_add(polling)
    })
}

impl Unit {
    /// The requests that it sends.
    pub fn requests(&self) -> Vec<usize> {
        match self {
            Self::Request(send) => vec![send.request],
            Self::Flow(flow) => flow.steps.iter().map(|step| step.send.request).collect(),
        }
    }

    /// What the record keeps of it, from what it keeps of each request.
    pub(super) fn info(&self, of_request: impl Fn(usize) -> RequestInfo) -> RequestInfo {
        match self {
            Self::Request(send) => of_request(send.request),
            Self::Flow(flow) => RequestInfo {
                name: flow.name.clone(),
                method: String::new(),
                path: String::new(),
                steps: flow
                    .steps
                    .iter()
                    .map(|step| {
                        let request = of_request(step.send.request);
                        StepInfo {
                            name: step.name.clone(),
                            method: request.method,
                            path: request.path,
                            polls: step.poll.is_some(),
                        }
                    })
                    .collect(),
            },
        }
    }
}

/// What the steps of one flow have captured so far.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    values: Vec<Option<CapturedValue>>,
}

/// One captured value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct CapturedValue {
    /// As text; of what is no string, its JSON.
    text: String,
    is_string: bool,
    secret: bool,
}

impl Captured {
    /// Nothing: what a request has that is no step.
    pub const fn nothing() -> Self {
        Self { values: Vec::new() }
    }

    /// A value as text; `None` where nothing was captured.
    pub(super) fn text(&self, slot: usize) -> Option<&str> {
        self.get(slot).map(|value| value.text.as_str())
    }

    /// Values that must never be shown.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let values = self.values.iter().flatten();
        let secret = values.filter(|value| value.secret && !value.text.is_empty());
        secret.map(|value| value.text.as_str())
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.values.clear();
    }

    /// Takes over what others hold.
    pub fn append(&mut self, others: &mut Self) {
        for (slot, value) in others.values.drain(..).enumerate() {
            if let Some(value) = value {
                self.set(slot, value);
            }
        }
    }

    fn set(&mut self, slot: usize, value: CapturedValue) {
        if self.values.len() <= slot {
            self.values.resize(slot + 1, None);
        }
        self.values[slot] = Some(value);
    }

    fn get(&self, slot: usize) -> Option<&CapturedValue> {
        self.values.get(slot)?.as_ref()
    }

    /// Appends the value as plain text.
    pub(super) fn append_text(&self, slot: usize, out: &mut Vec<u8>) {
        if let Some(value) = self.get(slot) {
            out.extend_from_slice(value.text.as_bytes());
        }
    }

    /// Appends the value as part of a JSON string.
    pub(super) fn append_in_string(&self, slot: usize, out: &mut Vec<u8>) {
        if let Some(value) = self.get(slot) {
            out.extend_from_slice(in_json_string(&value.text).as_bytes());
        }
    }

    /// Appends the value as JSON, with the type that it had.
    pub(super) fn append_json(&self, slot: usize, out: &mut Vec<u8>) {
        match self.get(slot) {
            Some(value) if value.is_string => {
                out.extend_from_slice(json_string(&value.text).as_bytes());
            }
            Some(value) => out.extend_from_slice(value.text.as_bytes()),
            None => out.extend_from_slice(b"null"),
        }
    }
}

/// A value to be captured from an answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CapturePlan {
    /// Where it goes among the captured values of its flow.
    pub(super) slot: usize,
    pub(super) source: CaptureSource,
    pub(super) secret: bool,
}

impl CapturePlan {
    /// Takes the value out of an answer; `header` is the next one that was to be kept.
    ///
    /// # Errors
    /// The answer does not hold it.
    pub(super) fn take(
        &self,
        index: usize,
        json: Option<&Value>,
        header: Option<&[u8]>,
        captured: &mut Captured,
    ) -> Result<(), Fault> {
        let found = match &self.source {
            CaptureSource::Json(pointer) => match json.and_then(|json| json.pointer(pointer)) {
                None | Some(Value::Null) => None,
                Some(Value::String(text)) => Some((text.clone(), true)),
                Some(other) => Some((other.to_string(), false)),
            },
            CaptureSource::Header(_) => header.map(|value| {
                let text = String::from_utf8_lossy(value).trim().to_owned();
                (text, true)
            }),
        };
        let Some((text, is_string)) = found else {
            let detail = match &self.source {
                CaptureSource::Json(pointer) => format!("the answer has nothing at `{pointer}`"),
                CaptureSource::Header(name) => format!("the answer has no header `{name}`"),
            };
            return Err(Fault {
                outcome: Outcome::FailedCheck,
                cause: Cause::NotCaptured(u16::try_from(index).unwrap_or(u16::MAX)),
                detail,
            });
        };
        captured.set(
            self.slot,
            CapturedValue {
                text,
                is_string,
                secret: self.secret,
            },
        );
        Ok(())
    }
}

/// What ends the polling of a step.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PollCheck {
    pub(super) until: Criteria,
    pub(super) fail: Option<Criteria>,
}

/// What must be so of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Criteria {
    /// Its status is one of these; empty for any.
    pub(super) status: Vec<u16>,
    pub(super) json: Vec<JsonCheck>,
}

impl Criteria {
    fn status_is_right(&self, status: u16) -> bool {
        self.status.is_empty() || self.status.contains(&status)
    }

    fn holds(&self, json: &Value, row: usize) -> bool {
        self.json.iter().all(|check| {
            let found = json.pointer(&check.pointer);
            found.is_some_and(|found| equal(found, check.expected.at(row)))
        })
    }
}

impl PollCheck {
    pub(super) fn needs_body(&self) -> bool {
        let fail = self.fail.iter();
        std::iter::once(&self.until)
            .chain(fail)
            .any(|criteria| !criteria.json.is_empty())
    }

    /// Whether what is waited for has happened.
    ///
    /// # Errors
    /// It will not happen any more, or the answer cannot be read.
    pub(super) fn is_met(
        &self,
        received: &Received<'_>,
        json: &Result<Value, Fault>,
        row: usize,
    ) -> Result<bool, Fault> {
        if let Some(fail) = &self.fail
            && fail.status_is_right(received.status)
            && (fail.json.is_empty() || json.as_ref().is_ok_and(|json| fail.holds(json, row)))
        {
            let detail = fail.json.first().map_or_else(
                || format!("the status is {}", received.status),
                |check| format!("`{}` is {}", check.pointer, check.expected.at(row)),
            );
            return Err(Fault {
                outcome: Outcome::FailedCheck,
                cause: Cause::PollFailed,
                detail,
            });
        }
        if !self.until.status_is_right(received.status) {
            return Ok(false);
        }
        if self.until.json.is_empty() {
            return Ok(true);
        }
        let json = json.as_ref().map_err(Clone::clone)?;
        Ok(self.until.holds(json, row))
    }
}
