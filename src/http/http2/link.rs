//! One HTTP/2 connection as its users see it: opened and driven by a task of its own.

use super::connection::Connection;
use super::drive::Socket;
use super::failure;
use crate::http::connect::Connect;
use crate::http::failure::of_connect;
use crate::plan::Fault;
use crate::record::StepTimes;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Instant;

/// How a connection was opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    pub(super) took: Duration,
    pub(super) steps: StepTimes,
}

/// Where a connection is in its life.
#[derive(Clone, Debug)]
pub(super) enum State {
    Opening,
    Open,
    /// Opening it took longer than a request may.
    GaveUp,
    Failed(Fault),
}

/// A connection. It closes when the last of its users lets go of it.
pub(super) struct Link {
    pub(super) connection: Rc<RefCell<Connection>>,
    state: RefCell<State>,
    waiting: RefCell<Vec<Waker>>,
    /// Whether the pool gives out places on it.
    pub(super) is_offered: Cell<bool>,
    /// How many requests have a place on it now.
    pub(super) taken: Cell<usize>,
    /// How many have ever had one.
    pub(super) uses: Cell<u64>,
    /// How it was opened, until somebody has put it into the books.
    pub(super) opening: Cell<Option<Opening>>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.connection.borrow_mut().leave();
    }
}

impl Link {
    /// Begins to open a connection; given up after `patience`.
    pub(super) fn open<C: Connect>(connect: C, patience: Duration) -> Rc<Self> {
        let connection = Rc::new(RefCell::new(Connection::new()));
        let link = Rc::new(Self {
            connection: Rc::clone(&connection),
            state: RefCell::new(State::Opening),
            waiting: RefCell::default(),
            is_offered: Cell::new(true),
            taken: Cell::new(0),
            uses: Cell::new(0),
            opening: Cell::new(None),
        });
        let driven = Rc::downgrade(&link);
        tokio::task::spawn_local(drive(connect, patience, connection, driven));
        link
    }

    pub(super) fn is_opening(&self) -> bool {
        matches!(*self.state.borrow(), State::Opening)
    }

    /// Whether it was open and takes up no more requests, because of the server.
    pub(super) fn is_gone(&self) -> bool {
        matches!(*self.state.borrow(), State::Open) && self.connection.borrow().refusal().is_some()
    }

    /// Whether it can be waited for or used.
    pub(super) fn is_usable(&self) -> bool {
        match *self.state.borrow() {
            State::Opening => true,
            State::Open => self.connection.borrow().takes_streams(),
            State::GaveUp | State::Failed(_) => false,
        }
    }

    /// How many streams the server allows at once; not known before the link is open.
    pub(super) fn allowed(&self) -> Option<usize> {
        self.connection.borrow().allowed()
    }

    /// Ready when the connection is open, or never will be.
    pub(super) fn poll_opened(&self, cx: &mut Context<'_>) -> Poll<State> {
        match &*self.state.borrow() {
            State::Opening => {
                self.waiting.borrow_mut().push(cx.waker().clone());
                Poll::Pending
            }
            state => Poll::Ready(state.clone()),
        }
    }

    fn turn_into(&self, state: State) {
        *self.state.borrow_mut() = state;
        self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }
}

/// A connection's whole life. It ends when the connection does, or when nobody needs it any more.
async fn drive<C: Connect>(
    connect: C,
    patience: Duration,
    connection: Rc<RefCell<Connection>>,
    link: Weak<Link>,
) {
    let opened = tokio::time::timeout(patience, open(&connect, &connection)).await;
    let mut socket = {
        let Some(link) = link.upgrade() else {
            return;
        };
        match opened {
            Ok(Ok((socket, opening))) => {
                link.opening.set(Some(opening));
                link.turn_into(State::Open);
                socket
            }
            Ok(Err(fault)) => return link.turn_into(State::Failed(fault)),
            Err(_) => return link.turn_into(State::GaveUp),
        }
    };
    poll_fn(|cx| socket.poll_turn(cx, &connection)).await;
    poll_fn(|cx| socket.poll_close(cx)).await;
}

/// Opens a connection and awaits the server's settings: they show that it speaks HTTP/2, and how many
/// streams it allows.
async fn open<C: Connect>(
    connect: &C,
    connection: &RefCell<Connection>,
) -> Result<(Socket<C::Stream>, Opening), Fault> {
    let begin = Instant::now();
    let mut steps = StepTimes::default();
    let stream = connect
        .connect(&mut steps)
        .await
        .map_err(|error| of_connect(&error))?;
    let mut socket = Socket::new(stream);
    poll_fn(|cx| match socket.poll_turn(cx, connection) {
        Poll::Pending if connection.borrow().allowed().is_none() => Poll::Pending,
        Poll::Pending => Poll::Ready(Ok(())),
        Poll::Ready(()) => Poll::Ready(Err(failure::of_greeting(&connection.borrow()))),
    })
    .await?;
    let took = begin.elapsed();
    Ok((socket, Opening { took, steps }))
}
