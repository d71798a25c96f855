//! Asks HTTP servers for telemetry, several at once, each within a time limit.
//!
//! It belongs to a sampler's own thread and blocks it. Each question has a connection of its own: at
//! one a second that costs nothing, and a server that was restarted is found again.

use crate::scenario::HttpUrl;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::header::{ACCEPT, CONNECTION, HOST, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::TcpStream;

/// The largest body that is read: a page of a busy server has a few hundred KiB.
pub(crate) const LARGEST_BODY: usize = 32 * 1024 * 1024;

/// One question.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// The server.
    pub(crate) url: HttpUrl,
    /// Path and query.
    pub(crate) path: String,
    /// Headers beside the usual ones.
    pub(crate) headers: HeaderMap,
}

/// An answer with status 200.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The body.
    pub(crate) text: String,
}

/// The answers in the order of the questions, each of them or why there is none. Blocks the thread,
/// which must be none that drives asynchronous tasks.
pub(crate) fn ask_all(questions: &[Question], timeout: Duration) -> Vec<Result<Answer, String>> {
    // A runtime for each round: a source that is dropped anywhere leaves nothing behind.
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            let reason = format!("cannot start a runtime for telemetry: {error}");
            return questions.iter().map(|_| Err(reason.clone())).collect();
        }
    };
    let answers = runtime.block_on(async {
        let tasks: Vec<_> = questions
            .iter()
            .map(|question| tokio::spawn(ask(question.clone(), timeout)))
            .collect();
        let mut answers = Vec::with_capacity(tasks.len());
        for task in tasks {
            let broken = |error| Err(format!("the question was not asked: {error}"));
            answers.push(task.await.unwrap_or_else(broken));
        }
        answers
    });
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
    answers
}

async fn ask(question: Question, timeout: Duration) -> Result<Answer, String> {
    let shown = question.url.shown.clone();
    match tokio::time::timeout(timeout, exchange(question)).await {
        Ok(answer) => answer.map_err(|reason| format!("{shown}: {reason}")),
        Err(_) => Err(format!(
            "{shown}: no answer within {}",
            crate::units::duration(timeout)
        )),
    }
}

async fn exchange(question: Question) -> Result<Answer, String> {
    let Question { url, path, headers } = question;
    let stream = TcpStream::connect((url.host.as_str(), url.port))
        .await
        .map_err(|error| format!("cannot connect: {error}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| format!("cannot connect: {error}"))?;
    let connection = tokio::spawn(connection);
    let mut request = Request::get(&path)
        .header(HOST, url.authority())
        .header(USER_AGENT, concat!("bench/", env!("CARGO_PKG_VERSION")))
        .header(
            ACCEPT,
            "text/plain;version=0.0.4, application/json;q=0.9, */*;q=0.1",
        )
        .header(CONNECTION, HeaderValue::from_static("close"))
        .body(Empty::<Bytes>::new())
        .map_err(|error| format!("the address cannot be asked for: {error}"))?;
    request.headers_mut().extend(headers);
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| format!("no answer: {error}"))?;
    let status = response.status();
    if status != StatusCode::OK {
        return Err(refused(status));
    }
    let body = Limited::new(response.into_body(), LARGEST_BODY)
        .collect()
        .await
        .map_err(|error| {
            if error.is::<LengthLimitError>() {
                format!(
                    "the answer is larger than {}",
                    crate::units::bytes(LARGEST_BODY as f64)
                )
            } else {
                format!("the answer broke off: {error}")
            }
        })?
        .to_bytes();
    connection.abort();
    let text = String::from_utf8(body.to_vec())
        .map_err(|_| "the answer is no text in UTF-8".to_owned())?;
    Ok(Answer { text })
}

fn refused(status: StatusCode) -> String {
    let hint = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            ": set `headers` with the credentials of this telemetry source"
        }
        status if status.is_redirection() => ": give the address that it redirects to",
        _ => "",
    };
    format!("it answered with status {}{hint}", status.as_u16())
}
