//! What counts as success, bound to its data.

use super::data::Rows;
use super::flow::{CapturePlan, Captured, PollCheck};
use super::render::{Renderer, Row};
use crate::record::{Cause, Outcome};
use crate::scenario::{CaptureSource, JsonTemplate, Part};
use crate::stream::Trouble;
use serde_json::Value;

/// What is wrong with an answer, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// How the request ended.
    pub outcome: Outcome,
    /// Why.
    pub cause: Cause,
    /// What was said. It may hold parts of the answer.
    pub detail: String,
}

impl From<Trouble> for Fault {
    fn from(trouble: Trouble) -> Self {
        let cause = match trouble {
            Trouble::NotJson(_) => Cause::NotJson,
            Trouble::Reported(_) => Cause::StreamError,
            Trouble::TooLong => Cause::BodyTooLarge,
            Trouble::CutOff(_) => Cause::StreamCutOff,
            Trouble::WrongReason { .. } => Cause::FinishReason,
        };
        Self {
            outcome: Outcome::FailedCheck,
            cause,
            detail: trouble.to_string(),
        }
    }
}

/// The expectations of one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checks {
    /// The statuses that are right; empty for any 2xx.
    pub(super) status: Vec<u16>,
    pub(super) json: Vec<JsonCheck>,
    pub(super) text: Vec<Renderer>,
    /// What is waited for.
    pub(super) poll: Option<PollCheck>,
    /// What is captured when all is as expected.
    pub(super) captures: Vec<CapturePlan>,
}

/// An answer that is complete.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// Its status.
    pub status: u16,
    /// What was kept of its body.
    pub body: &'a [u8],
    /// The values of the headers of [`Checks::captured_headers`], in their order.
    pub headers: &'a [Option<Vec<u8>>],
}

/// What an answer without fault means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It is what was asked for.
    Done,
    /// What is waited for has not happened yet.
    NotYet,
}

/// One condition on a JSON body.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct JsonCheck {
    pub(super) pointer: String,
    pub(super) expected: Expected,
}

/// The value that must stand there.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expected {
    Always(Value),
    /// One for each row of the data file.
    ByRow(Vec<Value>),
}

impl Expected {
    /// Binds an expectation to the rows of its data file. The error says what is wrong with it.
    pub(super) fn bind(template: &JsonTemplate, rows: &Rows) -> Result<Self, String> {
        let mut uses_data = false;
        let mut random = false;
        template.templates(&mut |text| {
            for part in &text.parts {
                match part {
                    Part::Literal(_) => {}
                    Part::Data { .. } => uses_data = true,
                    _ => random = true,
                }
            }
        });
        if random {
            return Err("an expectation can use `{{data.FIELD}}` only: other placeholders have no value to be compared with".to_owned());
        }
        let mut compiler = super::render::Compiler::default();
        let renderer = compiler.json(template);
        let value_of = |row: &[bytes::Bytes]| -> Result<Value, String> {
            let mut text = Vec::new();
            renderer.render_fixed(row, &mut text);
            serde_json::from_slice(&text).map_err(|error| error.to_string())
        };
        if !uses_data {
            return value_of(&[]).map(Self::Always);
        }
        super::data::render(rows, &compiler.uses)
            .map_err(|(_, message)| message)?
            .iter()
            .map(|row: &Row| value_of(row))
            .collect::<Result<_, _>>()
            .map(Self::ByRow)
    }

    pub(super) fn at(&self, row: usize) -> &Value {
        match self {
            Self::Always(value) => value,
            Self::ByRow(values) => &values[row],
        }
    }
}

impl Checks {
    /// Whether the body must be kept until the answer is complete.
    pub fn need_body(&self) -> bool {
        !self.text.is_empty() || self.need_json()
    }

    fn need_json(&self) -> bool {
        !self.json.is_empty()
            || self.poll.as_ref().is_some_and(PollCheck::needs_body)
            || self
                .captures
                .iter()
                .any(|capture| matches!(capture.source, CaptureSource::Json(_)))
    }

    /// The headers whose values are captured, in lower case.
    pub fn captured_headers(&self) -> impl Iterator<Item = &str> {
        self.captures
            .iter()
            .filter_map(|capture| match &capture.source {
                CaptureSource::Header(name) => Some(name.as_str()),
                CaptureSource::Json(_) => None,
            })
    }

    /// Whether an answer holds what must never be shown.
    pub fn capture_secrets(&self) -> bool {
        self.captures.iter().any(|capture| capture.secret)
    }

    /// Whether a status is right.
    pub fn status_is_right(&self, status: u16) -> bool {
        if self.status.is_empty() {
            (200..300).contains(&status)
        } else {
            self.status.contains(&status)
        }
    }

    /// Judges an answer; `cells` are the rendered cells of its row.
    ///
    /// # Errors
    /// What is not as expected.
    pub(super) fn judge(
        &self,
        received: &Received<'_>,
        row: usize,
        cells: &[bytes::Bytes],
        captured: &mut Captured,
    ) -> Result<Judged, Fault> {
        let Received { status, body, .. } = *received;
        let fault = |outcome, cause, detail| {
            Err(Fault {
                outcome,
                cause,
                detail,
            })
        };
        if !self.status_is_right(status) {
            let expected = if self.status.is_empty() {
                "2xx".to_owned()
            } else {
                let list: Vec<String> = self.status.iter().map(u16::to_string).collect();
                list.join(" or ")
            };
            let detail = format!("expected status {expected}, got {status}");
            return fault(Outcome::BadStatus, Cause::Status(status), detail);
        }
        let parsed: Result<Value, Fault> = if self.need_json() {
            serde_json::from_slice(body).map_err(|error| Fault {
                outcome: Outcome::FailedCheck,
                cause: Cause::NotJson,
                detail: error.to_string(),
            })
        } else {
            Ok(Value::Null)
        };
        if let Some(poll) = &self.poll
            && !poll.is_met(received, &parsed, row)?
        {
            return Ok(Judged::NotYet);
        }
        if !self.json.is_empty() {
            let parsed = parsed.as_ref().map_err(Clone::clone)?;
            for (index, check) in self.json.iter().enumerate() {
                let expected = check.expected.at(row);
                let found = parsed.pointer(&check.pointer);
                if found.is_some_and(|found| equal(found, expected)) {
                    continue;
                }
                let found = found.map_or_else(|| "nothing".to_owned(), ToString::to_string);
                let detail = format!("`{}` is {found}, expected {expected}", check.pointer);
                return fault(Outcome::FailedCheck, Cause::JsonCheck(small(index)), detail);
            }
        }
        for (index, renderer) in self.text.iter().enumerate() {
            let mut expected = Vec::new();
            renderer.render_fixed(cells, &mut expected);
            if !contains(body, &expected) {
                let detail = format!(
                    "the body does not contain `{}`",
                    String::from_utf8_lossy(&expected)
                );
                return fault(Outcome::FailedCheck, Cause::TextCheck(small(index)), detail);
            }
        }
        let mut headers = received.headers.iter();
        for (index, capture) in self.captures.iter().enumerate() {
            let (json, header) = match capture.source {
                CaptureSource::Json(_) => (Some(parsed.as_ref().map_err(Clone::clone)?), None),
                CaptureSource::Header(_) => (None, headers.next().and_then(Option::as_deref)),
            };
            capture.take(index, json, header, captured)?;
        }
        Ok(Judged::Done)
    }
}

fn small(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX)
}

fn contains(body: &[u8], part: &[u8]) -> bool {
    part.is_empty() || body.windows(part.len()).any(|window| window == part)
}

/// Equal as JSON: numbers by value, so that `1` equals `1.0`; objects regardless of order.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        (a, b) => a == b,
    }
}

/// A body as text: what is not printable UTF-8 appears as `\xNN`.
pub fn printable(body: &[u8]) -> String {
    let mut out = String::with_capacity(body.len());
    for chunk in body.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() && c != '\n' && c != '\t' {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json_check(pointer: &str, expected: Value) -> Checks {
        Checks {
            json: vec![JsonCheck {
                pointer: pointer.to_owned(),
                expected: Expected::Always(expected),
            }],
            ..Checks::default()
        }
    }

    fn judge(checks: &Checks, status: u16, body: &[u8]) -> Result<Judged, Fault> {
        let received = Received {
            status,
            body,
            headers: &[],
        };
        checks.judge(&received, 0, &[], &mut Captured::nothing())
    }

    fn cause(checks: &Checks, status: u16, body: &[u8]) -> Option<Cause> {
        judge(checks, status, body).err().map(|fault| fault.cause)
    }

    #[test]
    fn any_2xx_is_right_unless_the_scenario_says_which() {
        let any = Checks::default();
        assert_eq!(cause(&any, 204, b""), None);
        assert_eq!(cause(&any, 302, b""), Some(Cause::Status(302)));
        let accepted = Checks {
            status: vec![202],
            ..Checks::default()
        };
        assert_eq!(cause(&accepted, 200, b""), Some(Cause::Status(200)));
    }

    #[test]
    fn looks_into_json() {
        let checks = json_check("/a/0", Value::from(1.0));
        assert_eq!(cause(&checks, 200, b"{\"a\": [1]}"), None);
        assert_eq!(
            cause(&checks, 200, b"{\"a\": [2]}"),
            Some(Cause::JsonCheck(0))
        );
        assert_eq!(cause(&checks, 200, b"{}"), Some(Cause::JsonCheck(0)));
        assert_eq!(cause(&checks, 200, b"<html>"), Some(Cause::NotJson));
        let fault = judge(&checks, 200, b"{\"a\": [2]}").unwrap_err();
        assert_eq!(fault.outcome, Outcome::FailedCheck);
        assert_eq!(fault.detail, "`/a/0` is 2, expected 1.0");
    }

    #[test]
    fn any_body_is_printable() {
        assert_eq!(printable(b"<b>\xff\x00\n"), "<b>\\xff\\u{0}\n");
    }
}
