//! One connection slot: HTTP/1.1 with keep-alive over hyper's low-level connection.
//!
//! The connection is driven by the task that sends the request: no channel, no second task.

use super::HttpTarget;
use super::answer::{Answer, Arrival};
use super::connect::Connect;
use super::failure;
use super::stamped::{Stamped, Stamps};
use crate::engine::ports::{Call, ConnectionUse, Exchange, Slot};
use crate::plan::{Draw, Fault, Rendered, RequestPlan};
use crate::record::{Cause, Outcome};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use tokio::time::{Instant, timeout_at};

type Driver<S> = http1::Connection<TokioIo<Stamped<S>>, Full<Bytes>>;

/// An open connection.
struct Open<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: Pin<Box<Driver<S>>>,
    /// Set once the driver has returned; it must not be polled again.
    over: bool,
    stamps: Rc<Stamps>,
}

/// A slot of an [`HttpTarget`].
pub struct HttpSlot<C: Connect> {
    target: HttpTarget<C>,
    open: Option<Open<C::Stream>>,
    answer: Answer,
}

impl<C: Connect> HttpSlot<C> {
    pub(super) fn new(target: HttpTarget<C>) -> Self {
        Self {
            target,
            open: None,
            answer: Answer::default(),
        }
    }
}

/// What an exchange has come to so far; it survives the timeout.
#[derive(Default)]
struct Progress {
    connection: ConnectionUse,
    /// Notes of the connection that the request went out on.
    stamps: Option<Rc<Stamps>>,
    connecting: bool,
}

type Ended = Result<(), Fault>;

impl<C: Connect> Slot for HttpSlot<C> {
    async fn exchange(&mut self, call: Call<'_>) -> Exchange {
        let shared = self.target.shared.clone();
        let plan = &shared.requests[call.request];
        let rendered = plan.render(Draw {
            number: call.number,
            random: call.random,
        });
        self.answer.reset();
        let mut progress = Progress::default();
        let ended = timeout_at(call.deadline, self.attempt(plan, rendered, &mut progress)).await;
        let completed = match &ended {
            Ok(Ok(())) => self.answer.last(),
            _ => None,
        };
        let end = completed.map_or_else(Instant::now, |at| at.read);
        let ended = ended.unwrap_or_else(|_| {
            // What may still come belongs to no request any more.
            self.open = None;
            Err(timed_out(&progress))
        });
        let (outcome, failure) = match ended {
            Ok(()) => (Outcome::Ok, None),
            Err(fault) => (
                fault.outcome,
                Some(shared.failure(fault, self.answer.body())),
            ),
        };
        let stamps = progress.stamps.as_deref();
        Exchange {
            outcome,
            sent: stamps.and_then(Stamps::first_write),
            first_byte: stamps.and_then(Stamps::first_read),
            end,
            failure,
            connection: progress.connection,
            bytes_sent: stamps.map_or(0, Stamps::written),
            bytes_received: stamps.map_or(0, Stamps::read),
        }
    }
}

fn timed_out(progress: &Progress) -> Fault {
    let (cause, detail) = if progress.connecting {
        (Cause::ConnectTimeout, "no connection within the timeout")
    } else {
        (Cause::NoAnswer, "no complete answer within the timeout")
    };
    Fault {
        outcome: Outcome::Timeout,
        cause,
        detail: detail.to_owned(),
    }
}

impl<C: Connect> HttpSlot<C> {
    async fn attempt(
        &mut self,
        plan: &RequestPlan,
        rendered: Rendered,
        progress: &mut Progress,
    ) -> Ended {
        let row = rendered.row;
        let mut request = self.target.request(plan, rendered)?;
        loop {
            let kept = self.is_kept_open().await;
            if !kept {
                self.connect(progress).await?;
            }
            let open = self.open.as_mut().expect("connected above");
            open.stamps.reset();
            progress.stamps = Some(Rc::clone(&open.stamps));
            let sending = open.sender.try_send_request(request);
            let response = drive(&mut open.driver, &mut open.over, sending).await;
            let mut error = match response {
                Ok(response) => return self.receive(plan, row, response).await,
                Err(error) => error,
            };
            self.open = None;
            // A kept connection that the server closed before anything was written: the request is
            // still ours, and any client would open another one. Its time counts.
            match error.take_message() {
                Some(unsent) if kept => {
                    progress.connection.reopened = true;
                    request = unsent;
                }
                _ => return Err(failure::of_exchange(&error.into_error())),
            }
        }
    }

    /// Whether there is a connection that can take a request; one that has been closed meanwhile is
    /// dropped.
    async fn is_kept_open(&mut self) -> bool {
        let Some(open) = &mut self.open else {
            return false;
        };
        let ready = open.sender.ready();
        let ready = drive(&mut open.driver, &mut open.over, ready).await.is_ok();
        if !ready {
            self.open = None;
        }
        ready
    }

    async fn connect(&mut self, progress: &mut Progress) -> Result<(), Fault> {
        progress.connecting = true;
        let begin = Instant::now();
        let stream = match self.target.connect.connect().await {
            Ok(stream) => stream,
            Err(error) => {
                progress.connection.failed = true;
                return Err(failure::of_connect(&error));
            }
        };
        progress.connection.opened = Some(begin.elapsed());
        progress.connecting = false;
        let stamps = Rc::new(Stamps::default());
        let io = TokioIo::new(Stamped::new(stream, Rc::clone(&stamps)));
        let (sender, driver) = http1::handshake(io)
            .await
            .map_err(|error| failure::of_exchange(&error))?;
        self.open = Some(Open {
            sender,
            driver: Box::pin(driver),
            over: false,
            stamps,
        });
        Ok(())
    }

    /// Reads an answer to its end and judges it.
    async fn receive(
        &mut self,
        plan: &RequestPlan,
        row: usize,
        response: Response<Incoming>,
    ) -> Ended {
        let open = self.open.as_mut().expect("a response came over it");
        let (head, mut incoming) = response.into_parts();
        self.answer
            .begin(plan, head.status.as_u16(), &head.headers, Arrival::now());
        while !incoming.is_end_stream() {
            let frame = drive(&mut open.driver, &mut open.over, incoming.frame()).await;
            match frame {
                None => break,
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.answer.chunk(data, Arrival::now());
                    }
                }
                Some(Err(error)) => {
                    self.open = None;
                    return Err(failure::of_exchange(&error));
                }
            }
        }
        let closes = head
            .headers
            .get(CONNECTION)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"));
        if closes || open.over {
            self.open = None;
        }
        self.answer.end(plan, row)
    }
}

/// Awaits something that the connection must be driven for.
async fn drive<S, F>(driver: &mut Pin<Box<Driver<S>>>, over: &mut bool, wanted: F) -> F::Output
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    F: Future,
{
    let mut wanted = pin!(wanted);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(output) = wanted.as_mut().poll(cx) {
            return Poll::Ready(output);
        }
        // The driver's own error also reaches `wanted`, which is where it is judged.
        if !*over && driver.as_mut().poll(cx).is_ready() {
            *over = true;
        }
        wanted.as_mut().poll(cx)
    })
    .await
}

impl<C: Connect> HttpTarget<C> {
    fn request(
        &self,
        plan: &RequestPlan,
        rendered: Rendered,
    ) -> Result<Request<Full<Bytes>>, Fault> {
        let path = format!("{}{}", self.shared.prefix, rendered.path);
        let uri =
            Uri::from_maybe_shared(Bytes::from(path.into_bytes())).map_err(|error| Fault {
                outcome: Outcome::Malformed,
                cause: Cause::ConnectionOther,
                detail: format!("the path cannot be sent: {error}"),
            })?;
        let mut request = Request::new(Full::new(rendered.body));
        *request.method_mut() = plan.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = rendered.headers;
        if !request.headers().contains_key(HOST) {
            request
                .headers_mut()
                .insert(HOST, self.shared.authority.clone());
        }
        Ok(request)
    }
}
