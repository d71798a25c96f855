//! The client's side of one connection (RFC 9113), without its socket: bytes that were read go in, what is
//! to be written comes out, and the streams stand in between.
//!
//! Everything happens in the calls of one thread: no channel, no lock, no task for a stream. Requests are
//! framed straight into the bytes of the next write, and one that never changes is encoded once.

mod said;

use super::frame::{self, HEAD, Head, LARGEST, flag, kind, setting};
use super::head::Message;
use super::hpack::{Decoder, Encoder, Fields};
use super::outbox::Outbox;
use super::reason::{Broken, Lost, Reason};
use super::streams::{Stream, Streams};
use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};
use tokio::time::Instant;

/// What one stream may have on its way to us, in bytes.
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;
/// The same for all streams of a connection.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
/// Nothing is read while so much waits to be written: a server that asks and does not listen gets no more.
const LARGEST_BACKLOG: usize = 1024 * 1024;

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    outbox: Outbox,
    /// The begin of a frame that has not come whole.
    partial: Vec<u8>,
    decoder: Decoder,
    encoder: Encoder,
    /// The heads of the plan's requests as they were last encoded, by their position.
    blocks: Vec<Block>,
    streams: Streams,
    /// Streams with something to send, in turns.
    queue: VecDeque<(usize, u32)>,
    /// A head of which more is to come.
    continued: Option<(Head, Vec<u8>)>,
    /// Where the fields of heads go that nobody waits for.
    unclaimed: Fields,
    /// Bytes that the server has sent of what it may.
    received: u32,
    /// How much the server takes: on the connection, and on each stream to begin with.
    window: i64,
    stream_window: i64,
    /// The largest payload that it takes.
    largest: usize,
    /// How many streams it allows at once; not known before its settings have come.
    allowed: Option<usize>,
    /// It takes up no more streams.
    going: Option<Reason>,
    /// Nothing comes any more.
    over: Option<Lost>,
    /// Whether this side wants no more.
    is_left: bool,
    /// Who writes what there is to be written.
    driver: Option<Waker>,
    /// Requests that wait until a stream may be opened.
    waiting: Vec<Waker>,
    /// When something was last read.
    read_at: Option<Instant>,
    /// The first bytes that came.
    first: Vec<u8>,
    /// Bytes written and read since they were last asked for.
    bytes: (u64, u64),
}

/// The head of a request as it is encoded.
#[derive(Debug, Default)]
struct Block {
    bytes: Vec<u8>,
    /// The state of the encoder in which it is encoded like this again.
    generation: Option<u64>,
}

impl Connection {
    /// A connection that has its preface to send.
    pub(super) fn new() -> Self {
        let mut outbox = Outbox::default();
        outbox.bytes.extend_from_slice(frame::PREFACE);
        let settings = [
            (setting::ENABLE_PUSH, 0),
            (setting::INITIAL_WINDOW_SIZE, STREAM_WINDOW),
        ];
        frame::append_settings(&mut outbox.bytes, &settings);
        let more = CONNECTION_WINDOW - frame::FIRST_WINDOW;
        frame::append_window_update(&mut outbox.bytes, 0, more);
        Self {
            outbox,
            partial: Vec::new(),
            decoder: Decoder::default(),
            encoder: Encoder::default(),
            blocks: Vec::new(),
            streams: Streams::default(),
            queue: VecDeque::new(),
            continued: None,
            unclaimed: Fields::default(),
            received: 0,
            window: frame::FIRST_WINDOW.into(),
            stream_window: frame::FIRST_WINDOW.into(),
            largest: LARGEST,
            allowed: None,
            going: None,
            over: None,
            is_left: false,
            driver: None,
            waiting: Vec::new(),
            read_at: None,
            first: Vec::new(),
            bytes: (0, 0),
        }
    }

    /// How many streams the server allows at once; `None` before its settings have come.
    pub(super) fn allowed(&self) -> Option<usize> {
        self.allowed
    }

    /// Why it takes no more streams, because of the server or because it is over.
    pub(super) fn refusal(&self) -> Option<Lost> {
        let gone = self.going.map(Lost::GoneAway);
        self.over.clone().or(gone)
    }

    /// Whether it takes more streams. If it does not, and nobody refuses them, it has carried all that a
    /// connection can.
    pub(super) fn takes_streams(&self) -> bool {
        self.going.is_none() && self.over.is_none() && !self.streams.are_used_up()
    }

    /// Whether it can be closed once everything is written.
    pub(super) fn is_done(&self) -> bool {
        let is_idle = self.streams.count() == 0;
        self.over.is_some() || self.is_left || (self.going.is_some() && is_idle)
    }

    /// The first bytes that the server sent, up to nine.
    pub(super) fn first_bytes(&self) -> &[u8] {
        &self.first
    }

    /// Whether nothing has been read since then.
    pub(super) fn is_silent_since(&self, then: Instant) -> bool {
        self.read_at.is_none_or(|at| at < then)
    }

    /// Bytes written and read since the last call.
    pub(super) fn take_bytes(&mut self) -> (u64, u64) {
        std::mem::take(&mut self.bytes)
    }

    pub(super) fn stream(&mut self, place: usize) -> &mut Stream {
        &mut self.streams[place]
    }

    /// Nobody needs it any more.
    pub(super) fn leave(&mut self) {
        self.is_left = true;
        if self.over.is_none() {
            frame::append_go_away(&mut self.outbox.bytes, Reason::NO_ERROR);
        }
        self.call_driver();
    }

    // The driver's side.

    /// Whoever polls is called when there is something to write.
    pub(super) fn drive(&mut self, cx: &Context<'_>) {
        match &mut self.driver {
            Some(driver) => driver.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    /// Whether anything is to be read.
    pub(super) fn wants_more(&self) -> bool {
        self.over.is_none() && self.outbox.unwritten().len() < LARGEST_BACKLOG
    }

    pub(super) fn unwritten(&mut self) -> &[u8] {
        self.fill();
        self.outbox.unwritten()
    }

    /// So many bytes were written, by a write that began then.
    pub(super) fn wrote(&mut self, from: Instant, bytes: usize) {
        self.bytes.0 += bytes as u64;
        let streams = &mut self.streams;
        let mut now = None;
        self.outbox.wrote(bytes, |part, is_whole| {
            let stream = &mut streams[part.place];
            if stream.id != part.stream {
                return;
            }
            stream.begun.get_or_insert(from);
            if part.is_last && is_whole {
                stream.sent = Some(*now.get_or_insert_with(Instant::now));
            }
        });
    }

    /// Takes what was read.
    pub(super) fn take(&mut self, bytes: &[u8], at: Instant) {
        self.read_at = Some(at);
        self.bytes.1 += bytes.len() as u64;
        let room = HEAD.saturating_sub(self.first.len()).min(bytes.len());
        self.first.extend_from_slice(&bytes[..room]);
        let mut partial = std::mem::take(&mut self.partial);
        if let Err(broken) = self.take_frames(&mut partial, bytes, at) {
            frame::append_go_away(&mut self.outbox.bytes, broken.reason);
            self.end(&Lost::Broken(broken));
        }
        self.partial = partial;
    }

    /// Nothing more comes: every stream ends like this.
    pub(super) fn end(&mut self, lost: &Lost) {
        for place in self.streams.all_open() {
            self.lose(place, lost.clone());
        }
        self.over.get_or_insert_with(|| lost.clone());
        self.wake_waiting();
    }

    // The side of those who ask.

    /// Opens a stream for a request, as soon as the server allows one.
    pub(super) fn poll_open(
        &mut self,
        cx: &Context<'_>,
        message: &Message<'_>,
    ) -> Poll<Result<usize, Lost>> {
        if let Some(lost) = self.refusal() {
            return Poll::Ready(Err(lost));
        }
        if self.streams.count() >= self.allowed.unwrap_or(0) || self.streams.are_used_up() {
            self.waiting.push(cx.waker().clone());
            return Poll::Pending;
        }
        let place = self.streams.open(self.stream_window);
        let stream = &mut self.streams[place];
        stream.is_bodiless = message.head.is_bodiless;
        stream.unsent = message.body();
        let is_whole = stream.unsent.is_empty();
        if self.blocks.len() <= message.request {
            self.blocks.resize_with(message.request + 1, Block::default);
        }
        let block = &mut self.blocks[message.request];
        let before = self.encoder.generation();
        if !message.is_constant() || block.generation != Some(before) {
            self.encoder.begin(&mut block.bytes);
            message.write(&mut self.encoder, &mut block.bytes);
            block.generation = (self.encoder.generation() == before).then_some(before);
        }
        let begin = self.outbox.bytes.len();
        frame::append_head(
            &mut self.outbox.bytes,
            stream.id,
            &block.bytes,
            is_whole,
            self.largest,
        );
        self.outbox.mark(begin, place, stream.id, is_whole);
        if !is_whole {
            self.enqueue(place);
            self.fill();
        }
        self.call_driver();
        Poll::Ready(Ok(place))
    }

    /// Whoever asked is done with the stream, whether it is over or not.
    pub(super) fn release(&mut self, place: usize) {
        let stream = &self.streams[place];
        if stream.ended.is_none() {
            frame::append_reset(&mut self.outbox.bytes, stream.id, Reason::CANCEL);
            self.streams.close(place);
            self.wake_waiting();
            self.call_driver();
        }
        self.streams.release(place);
    }

    fn call_driver(&self) {
        if let Some(driver) = &self.driver {
            driver.wake_by_ref();
        }
    }

    fn wake_waiting(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }

    fn enqueue(&mut self, place: usize) {
        let stream = &mut self.streams[place];
        if !stream.is_queued && !stream.unsent.is_empty() {
            stream.is_queued = true;
            self.queue.push_back((place, stream.id));
        }
    }

    /// Frames as much of the bodies as the server takes and one write needs.
    fn fill(&mut self) {
        while self.window > 0 && self.outbox.has_room() {
            let Some((place, id)) = self.queue.pop_front() else {
                return;
            };
            let stream = &mut self.streams[place];
            if stream.id != id {
                continue;
            }
            stream.is_queued = false;
            let window = usize::try_from(self.window.min(stream.window)).unwrap_or(0);
            let length = stream.unsent.len().min(window).min(self.largest);
            if length == 0 {
                // It is queued again when its window opens.
                continue;
            }
            let piece = stream.unsent.split_to(length);
            let is_last = stream.unsent.is_empty();
            let flags = if is_last { flag::END_STREAM } else { 0 };
            let begin = self.outbox.bytes.len();
            frame::append(&mut self.outbox.bytes, kind::DATA, flags, id, &piece);
            self.outbox.mark(begin, place, id, is_last);
            // It is no longer than a frame.
            let taken = i64::try_from(length).unwrap_or(i64::MAX);
            stream.window -= taken;
            self.window -= taken;
            self.enqueue(place);
        }
    }

    /// The answer is complete.
    fn finish(&mut self, place: usize, at: Instant) {
        let stream = &mut self.streams[place];
        let is_cut = stream.missing.is_some_and(|missing| missing > 0);
        stream.ended = Some(if is_cut {
            let broken = Broken::protocol("the body is shorter than announced");
            Err(Lost::Broken(broken))
        } else {
            Ok(at)
        });
        if !stream.unsent.is_empty() {
            // The server does not want the rest of the request (RFC 9113, section 8.1).
            frame::append_reset(&mut self.outbox.bytes, stream.id, Reason::CANCEL);
        }
        self.close(place);
    }

    /// The server broke a rule on one stream.
    fn refuse(&mut self, place: usize, broken: Broken) {
        let id = self.streams[place].id;
        frame::append_reset(&mut self.outbox.bytes, id, broken.reason);
        self.lose(place, Lost::Broken(broken));
    }

    fn lose(&mut self, place: usize, lost: Lost) {
        self.streams[place].ended = Some(Err(lost));
        self.close(place);
    }

    fn close(&mut self, place: usize) {
        self.streams[place].unsent.clear();
        self.streams[place].wake();
        self.streams.close(place);
        self.wake_waiting();
    }
}
