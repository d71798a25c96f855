//! One HTTP/2 connection: opened and driven by a task of its own.

use super::failure;
use super::line::Line;
use super::turns::{Held, Turns};
use crate::http::connect::Connect;
use crate::http::failure::of_connect;
use crate::plan::Fault;
use crate::record::StepTimes;
use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Instant;

/// What one stream may have on its way to us before we have taken it, in bytes.
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;
/// The same for all streams of a connection.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
/// So many streams that we gave up are remembered, so that what still comes for them is no surprise.
const REMEMBERED_RESETS: usize = 4096;

/// How a connection was opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    pub(super) took: Duration,
    pub(super) steps: StepTimes,
}

/// Where a connection is in its life.
enum State {
    Opening,
    Open(SendRequest<Bytes>),
    /// Opening it took longer than a request may.
    GaveUp,
    Failed(Fault),
    Closed,
}

/// The same for whoever waits for it.
pub(super) enum Readiness {
    Open(SendRequest<Bytes>),
    GaveUp,
    Failed(Fault),
    Closed,
}

/// A connection as its users see it. It closes when the last of them lets go of it.
pub(super) struct Link {
    pub(super) line: Rc<Line>,
    state: RefCell<State>,
    waiting: RefCell<Vec<Waker>>,
    /// How many streams the server allows at once; not known before the link is open.
    pub(super) allowed: Cell<Option<usize>>,
    /// How many requests have a place on it now.
    pub(super) taken: Cell<usize>,
    /// How many have ever had one.
    pub(super) uses: Cell<u64>,
    /// How it was opened, until somebody has put it into the books.
    pub(super) opening: Cell<Option<Opening>>,
}

impl Link {
    /// Begins to open a connection; given up after `patience`.
    pub(super) fn open<C: Connect>(connect: C, patience: Duration) -> Rc<Self> {
        let line = Rc::new(Line::default());
        let link = Rc::new(Self {
            line: Rc::clone(&line),
            state: RefCell::new(State::Opening),
            waiting: RefCell::default(),
            allowed: Cell::new(None),
            taken: Cell::new(0),
            uses: Cell::new(0),
            opening: Cell::new(None),
        });
        let driven = Rc::downgrade(&link);
        tokio::task::spawn_local(drive(connect, patience, line, driven));
        link
    }

    pub(super) fn is_opening(&self) -> bool {
        matches!(*self.state.borrow(), State::Opening)
    }

    /// Whether it carried requests and is gone.
    pub(super) fn is_closed(&self) -> bool {
        matches!(*self.state.borrow(), State::Closed)
    }

    /// Whether it can be waited for or used.
    pub(super) fn is_usable(&self) -> bool {
        matches!(*self.state.borrow(), State::Opening | State::Open(_))
    }

    /// Ready when the connection is open, or never will be.
    pub(super) fn poll_open(&self, cx: &mut Context<'_>) -> Poll<Readiness> {
        Poll::Ready(match &*self.state.borrow() {
            State::Opening => {
                self.waiting.borrow_mut().push(cx.waker().clone());
                return Poll::Pending;
            }
            State::Open(sender) => Readiness::Open(sender.clone()),
            State::GaveUp => Readiness::GaveUp,
            State::Failed(fault) => Readiness::Failed(fault.clone()),
            State::Closed => Readiness::Closed,
        })
    }

    fn turn_into(&self, state: State) {
        *self.state.borrow_mut() = state;
        for waker in self.waiting.borrow_mut().drain(..) {
            waker.wake();
        }
    }
}

/// A connection's whole life. It ends when the connection does, and the connection ends when nobody
/// holds its link any more and its last stream is over.
async fn drive<C: Connect>(connect: C, patience: Duration, line: Rc<Line>, link: Weak<Link>) {
    let opened = tokio::time::timeout(patience, open(&connect, &line)).await;
    let (mut connection, turns) = {
        let Some(link) = link.upgrade() else {
            return;
        };
        match opened {
            Ok(Ok(opened)) => {
                link.allowed
                    .set(Some(opened.connection.max_concurrent_send_streams()));
                link.opening.set(Some(opened.opening));
                link.turn_into(State::Open(opened.sender));
                (opened.connection, opened.turns)
            }
            Ok(Err(fault)) => return link.turn_into(State::Failed(fault)),
            Err(_) => return link.turn_into(State::GaveUp),
        }
    };
    poll_fn(|cx| {
        let ended = turns.poll(cx, |cx| Pin::new(&mut connection).poll(cx));
        if ended.is_pending()
            && let Some(link) = link.upgrade()
        {
            link.allowed
                .set(Some(connection.max_concurrent_send_streams()));
        }
        // Streams tell for themselves how it ended.
        ended.map(drop)
    })
    .await;
    if let Some(link) = link.upgrade() {
        link.turn_into(State::Closed);
    }
}

/// A connection over which the server has sent its settings.
struct Opened<S> {
    sender: SendRequest<Bytes>,
    connection: Connection<Held<S>, Bytes>,
    turns: Rc<Turns<S>>,
    opening: Opening,
}

/// Opens a connection and awaits the server's settings: they show that it speaks HTTP/2, and how many
/// streams it allows.
async fn open<C: Connect>(connect: &C, line: &Rc<Line>) -> Result<Opened<C::Stream>, Fault> {
    let begin = Instant::now();
    let mut steps = StepTimes::default();
    let stream = connect
        .connect(&mut steps)
        .await
        .map_err(|error| of_connect(&error))?;
    let turns = Turns::new(stream, Rc::clone(line));
    let (sender, mut connection) = Builder::new()
        // Nothing is sent before the server's settings have come.
        .initial_max_send_streams(0)
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_reset_streams(REMEMBERED_RESETS)
        .max_local_error_reset_streams(None)
        .handshake(Held(Rc::clone(&turns)))
        .await
        .map_err(|error| failure::of_greeting(Some(&error), line))?;
    poll_fn(
        |cx| match turns.poll(cx, |cx| Pin::new(&mut connection).poll(cx)) {
            Poll::Ready(ended) => {
                Poll::Ready(Err(failure::of_greeting(ended.as_ref().err(), line)))
            }
            Poll::Pending if connection.max_concurrent_send_streams() > 0 => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        },
    )
    .await?;
    Ok(Opened {
        sender,
        connection,
        turns,
        opening: Opening {
            took: begin.elapsed(),
            steps,
        },
    })
}
