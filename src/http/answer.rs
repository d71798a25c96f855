//! One answer, judged as its bytes come, whatever carries them.
//!
//! A carrier (HTTP/1.1, HTTP/2) tells of the head once, of each piece of the body as soon as it has
//! been read, and of the end. Whoever wants to know something of a body while it comes listens here.

use super::retry_after;
use crate::engine::ports::Told;
use crate::plan::{Captured, Fault, Judged, Received, RequestPlan};
use crate::record::{Cause, Outcome, Streamed};
use crate::stream::{Reader, StreamForm};
use hyper::header::HeaderMap;
use std::cell::Cell;
use std::time::Duration;

/// A body that a check looks into is kept up to this size.
const LARGEST_CHECKED_BODY: usize = 4 * 1024 * 1024;
/// Of the body of an answer that is reported as an error, so much is kept for that.
const EXCERPT: usize = 1024;

/// When bytes came, in nanoseconds since the start of the run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// When this program had read them.
    pub(super) read_ns: u64,
    /// When the kernel had received the last of them, where it tells.
    pub(super) kernel_ns: Option<u64>,
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

/// The answer to one request after the other; its memory is kept between them. It is kept small: what a
/// thousand slots touch for each request must stay in the processor's caches.
#[derive(Debug, Default)]
pub(super) struct Answer {
    status: u16,
    /// Whether the body is judged, and not only the status.
    looked_into: bool,
    not_yet: bool,
    /// Whether the body is read as a stream.
    streams: bool,
    /// How much of the body is kept.
    keep: usize,
    length: usize,
    body: Vec<u8>,
    last: Option<Arrival>,
    /// There since the first answer that had some.
    extras: Option<Box<Extras>>,
    /// There since the first answer that is one.
    streaming: Option<Box<Streaming>>,
}

/// What few answers have.
#[derive(Debug, Default)]
struct Extras {
    /// The values of the headers that later steps use.
    headers: Vec<Option<Vec<u8>>>,
    retry_after: Option<Duration>,
    /// Where an answer sends the client that should not have.
    redirect: Option<String>,
    /// What was captured for later steps.
    captured: Captured,
}

/// What is read of a streamed answer.
#[derive(Debug, Default)]
struct Streaming {
    reader: Reader,
    /// What has come so far. It is handed over at the end, and comes back.
    so_far: Option<Box<Streamed>>,
}

impl Answer {
    /// Forgets the answer before: a new request goes out.
    pub(super) fn reset(&mut self) {
        self.status = 0;
        self.looked_into = false;
        self.not_yet = false;
        self.streams = false;
        self.keep = 0;
        self.length = 0;
        self.body.clear();
        self.last = None;
        if let Some(extras) = &mut self.extras {
            extras.headers.clear();
            extras.retry_after = None;
            extras.redirect = None;
            extras.captured.clear();
        }
    }

    /// The head is there.
    pub(super) fn begin(
        &mut self,
        plan: &RequestPlan,
        status: u16,
        headers: &dyn Headers,
        at: Arrival,
    ) {
        let is_right = plan.status_is_right(status);
        self.status = status;
        self.looked_into = is_right && plan.needs_body();
        self.streams = is_right && plan.stream().is_some();
        self.keep = if self.looked_into {
            LARGEST_CHECKED_BODY
        } else if self.streams || !is_right {
            EXCERPT
        } else {
            // Only its connection can fail now, of which a body says nothing.
            0
        };
        self.last = Some(at);
        if self.streams {
            let streaming = &mut **self.streaming.get_or_insert_default();
            streaming.reader.reset();
            let so_far = &mut **streaming.so_far.get_or_insert_default();
            let mut gaps_ns = std::mem::take(&mut so_far.gaps_ns);
            gaps_ns.clear();
            *so_far = Streamed {
                gaps_ns,
                ..Streamed::default()
            };
        }
        let captured = plan
            .captured_headers()
            .map(|name| headers.first(name).map(<[u8]>::to_vec));
        let mut captured = captured.peekable();
        if captured.peek().is_some() {
            self.extras.get_or_insert_default().headers.extend(captured);
        }
        if !is_right {
            if let Some(value) = headers.first("retry-after") {
                self.extras.get_or_insert_default().retry_after =
                    retry_after::read(value, headers.first("date"));
            }
            let place = headers.first("location");
            if let Some(place) = place.filter(|_| (300..400).contains(&status)) {
                self.extras.get_or_insert_default().redirect =
                    Some(String::from_utf8_lossy(place).into_owned());
            }
        }
        // The memory of an excerpt grows once.
        if self.looked_into
            && let Some(length) = announced_length(headers)
        {
            self.body.reserve(length.min(self.keep));
        }
    }

    /// More of the body is there; events with tokens are counted.
    pub(super) fn chunk(
        &mut self,
        plan: &RequestPlan,
        bytes: &[u8],
        at: Arrival,
        token_events: &Cell<u64>,
    ) {
        self.length += bytes.len();
        if self.keep > 0 {
            let room = self.keep.saturating_sub(self.body.len());
            self.body.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        self.last = Some(at);
        if let Some((form, streaming)) = self.stream_of(plan) {
            let events = streaming.reader.feed(form, bytes);
            streaming.tokens(events, at, token_events);
        }
    }

    fn stream_of<'p>(&mut self, plan: &'p RequestPlan) -> Option<(&'p StreamForm, &mut Streaming)> {
        let streaming = self.streaming.as_deref_mut().filter(|_| self.streams)?;
        Some((plan.stream()?, streaming))
    }

    /// When the tokens came; `None` if the answer was not read as a stream.
    pub(super) fn take_stream(&mut self) -> Option<Box<Streamed>> {
        let streaming = self.streaming.as_deref_mut().filter(|_| self.streams)?;
        let mut streamed = streaming.so_far.take()?;
        streamed.events = streaming.reader.events();
        streamed.tokens = streaming.reader.tokens();
        Some(streamed)
    }

    /// Takes back the memory of a stream, for the next one.
    pub(super) fn reclaim(&mut self, stream: Box<Streamed>) {
        if let Some(streaming) = &mut self.streaming {
            streaming.so_far.get_or_insert(stream);
        }
    }

    /// The answer is complete: what it is worth to the request that was rendered with this row.
    ///
    /// # Errors
    /// What is not as expected.
    pub(super) fn end(
        &mut self,
        plan: &RequestPlan,
        row: usize,
        token_events: &Cell<u64>,
    ) -> Result<(), Fault> {
        let last = self.last;
        if let (Some((form, streaming)), Some(last)) = (self.stream_of(plan), last) {
            let events = streaming.reader.finish(form);
            streaming.tokens(events, last, token_events);
            streaming.reader.judge(form)?;
        }
        if self.looked_into && self.length > self.body.len() {
            return Err(Fault {
                outcome: Outcome::FailedCheck,
                cause: Cause::BodyTooLarge,
                detail: format!("the body has {} bytes", self.length),
            });
        }
        let headers = self.extras.as_ref().map(|extras| &*extras.headers);
        let received = Received {
            status: self.status,
            body: &self.body,
            headers: headers.unwrap_or_default(),
        };
        let mut captured = Captured::nothing();
        let judged = plan.judge(&received, row, &mut captured);
        if !captured.is_empty() {
            self.extras.get_or_insert_default().captured = captured;
        }
        self.not_yet = judged.map_err(|fault| self.redirected(fault))? == Judged::NotYet;
        Ok(())
    }

    /// A fault of an answer that says where to go instead.
    fn redirected(&self, mut fault: Fault) -> Fault {
        let extras = self.extras.as_ref();
        if let Some(place) = extras.and_then(|extras| extras.redirect.as_ref()) {
            fault.detail.push_str(&format!(
                " to `{place}`; redirects are not followed: aim the request at it"
            ));
        }
        fault
    }

    /// Adds what was captured to what earlier steps have.
    pub(super) fn hand_captured_to(&mut self, captured: &mut Captured) {
        if let Some(extras) = &mut self.extras {
            captured.append(&mut extras.captured);
        }
    }

    /// What a complete answer says of what comes next.
    pub(super) fn told(&self) -> Told {
        Told {
            status: Some(self.status),
            not_yet: self.not_yet,
            retry_after: self.extras.as_ref().and_then(|extras| extras.retry_after),
        }
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

impl Streaming {
    /// So many events with tokens came at one time.
    fn tokens(&mut self, events: u64, at: Arrival, token_events: &Cell<u64>) {
        // A stamp from the future is one of a wall clock that was set.
        let stamp_ns = at.kernel_ns.filter(|&kernel_ns| kernel_ns <= at.read_ns);
        let received_ns = stamp_ns.unwrap_or(at.read_ns);
        let Some(so_far) = &mut self.so_far else {
            return;
        };
        for _ in 0..events {
            match so_far.last_ns {
                None => {
                    so_far.first_ns = Some(at.read_ns);
                    so_far.first_received_ns = Some(received_ns);
                }
                Some(last_ns) => so_far.gaps_ns.push(received_ns.saturating_sub(last_ns)),
            }
            so_far.last_ns = Some(received_ns);
        }
        token_events.set(token_events.get() + events);
    }
}

/// How long the body will be, where the server says so.
fn announced_length(headers: &dyn Headers) -> Option<usize> {
    let value = std::str::from_utf8(headers.first("content-length")?).ok()?;
    value.trim().parse().ok()
}
