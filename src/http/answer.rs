//! One answer, judged as its bytes come, whatever carries them.
//!
//! A carrier (HTTP/1.1, HTTP/2) tells of the head once, of each piece of the body as soon as it has
//! been read, and of the end. Whoever wants to know something of a body while it comes listens here.

use crate::plan::{Fault, RequestPlan};
use crate::record::{Cause, Outcome};
use hyper::header::HeaderMap;
use tokio::time::Instant;

/// A body that a check looks into is kept up to this size.
const LARGEST_CHECKED_BODY: usize = 4 * 1024 * 1024;
/// Of a body that nobody looks into, so much is kept for error reports.
const EXCERPT: usize = 1024;

/// When bytes came.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// When this program had read them.
    pub read: Instant,
    /// When the kernel had received the last of them, where it tells.
    pub kernel: Option<Instant>,
}

impl Arrival {
    /// Bytes that have been read just now, and of which nothing more is known.
    pub fn now() -> Self {
        Self {
            read: Instant::now(),
            kernel: None,
        }
    }
}

/// The headers of an answer.
pub(super) trait Headers {
    /// The first value of a header, by its name in lower case.
    fn first(&self, name: &str) -> Option<&[u8]>;
}

impl Headers for HeaderMap {
    fn first(&self, name: &str) -> Option<&[u8]> {
        self.get(name).map(hyper::header::HeaderValue::as_bytes)
    }
}

/// The answer to one request after the other; its memory is kept between them.
#[derive(Debug, Default)]
pub(super) struct Answer {
    status: u16,
    /// Whether the body is judged, and not only the status.
    looked_into: bool,
    /// How much of the body is kept.
    keep: usize,
    length: usize,
    body: Vec<u8>,
    last: Option<Arrival>,
}

impl Answer {
    /// Forgets the answer before: a new request goes out.
    pub(super) fn reset(&mut self) {
        self.status = 0;
        self.looked_into = false;
        self.keep = 0;
        self.length = 0;
        self.body.clear();
        self.last = None;
    }

    /// The head is there.
    pub(super) fn begin(
        &mut self,
        plan: &RequestPlan,
        status: u16,
        headers: &dyn Headers,
        at: Arrival,
    ) {
        self.status = status;
        self.looked_into = plan.needs_body() && plan.status_is_right(status);
        self.keep = if self.looked_into {
            LARGEST_CHECKED_BODY
        } else {
            EXCERPT
        };
        self.last = Some(at);
        let announced = headers
            .first("content-length")
            .and_then(|value| std::str::from_utf8(value).ok())
            .and_then(|value| value.trim().parse::<usize>().ok());
        if let Some(length) = announced {
            self.body.reserve(length.min(self.keep));
        }
    }

    /// More of the body is there.
    pub(super) fn chunk(&mut self, bytes: &[u8], at: Arrival) {
        self.length += bytes.len();
        let room = self.keep.saturating_sub(self.body.len());
        self.body.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.last = Some(at);
    }

    /// The answer is complete: what it is worth to the request that was rendered with this row.
    ///
    /// # Errors
    /// What is not as expected.
    pub(super) fn end(&self, plan: &RequestPlan, row: usize) -> Result<(), Fault> {
        if self.looked_into && self.length > self.body.len() {
            return Err(Fault {
                outcome: Outcome::FailedCheck,
                cause: Cause::BodyTooLarge,
                detail: format!("the body has {} bytes", self.length),
            });
        }
        plan.judge(self.status, &self.body, row)
    }

    /// Bytes came that end the answer, be they of its body or of its framing.
    pub(super) fn touch(&mut self, at: Arrival) {
        self.last = Some(at);
    }

    /// What is kept of the body.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// When the last bytes came that belong to the answer.
    pub(super) fn last(&self) -> Option<Arrival> {
        self.last
    }
}
