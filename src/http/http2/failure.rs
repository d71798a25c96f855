//! What went wrong on HTTP/2, as an outcome and a cause.

use super::line::{End, Line};
use crate::http::failure::{closed_early, fault, not_http, of_connect, of_exchange};
use crate::plan::Fault;
use crate::record::{Cause, Outcome};
use h2::{Error, Reason};
use std::io;

/// A failure of one request.
pub(super) fn of_stream(error: &Error, line: &Line) -> Fault {
    let said = error.to_string();
    if error.is_io() {
        return match line.end() {
            Some(End::Broken(kind)) => of_exchange(&kind.into()),
            Some(End::Closed) => closed_early(),
            // A write that failed.
            None => of_exchange(error.get_io().unwrap_or(&io::ErrorKind::BrokenPipe.into())),
        };
    }
    if error.is_library() {
        return not_http(&said);
    }
    let cause = if error.is_go_away() {
        Cause::GoneAway
    } else if error.reason() == Some(Reason::REFUSED_STREAM) {
        Cause::StreamRefused
    } else if error.is_reset() {
        Cause::StreamReset
    } else {
        Cause::ConnectionOther
    };
    fault(Outcome::Reset, cause, said)
}

/// Why a connection did not become one of HTTP/2: it ended before the settings of the server came.
pub(super) fn of_greeting(error: Option<&Error>, line: &Line) -> Fault {
    const REMEDY: &str = "set `http = \"1.1\"` if it does not speak HTTP/2";
    let no_http2 = |what: &str| {
        fault(
            Outcome::Connect,
            Cause::NoCommonHttp,
            format!("{what}; {REMEDY}"),
        )
    };
    let first = line.first_bytes();
    if first.starts_with(b"HTTP/") {
        return no_http2("the target answers in HTTP/1.1");
    }
    match (line.end(), error) {
        (Some(End::Broken(io::ErrorKind::InvalidData)), Some(error)) => {
            let error = error.get_io().map(ToString::to_string).unwrap_or_default();
            of_connect(&io::Error::new(io::ErrorKind::InvalidData, error))
        }
        (_, Some(error)) if error.is_go_away() && error.is_remote() => fault(
            Outcome::Connect,
            Cause::GoneAway,
            format!("before its settings came: {error}"),
        ),
        (Some(_), _) if first.is_empty() => {
            no_http2("the target closed the connection before it sent its HTTP/2 settings")
        }
        (_, error) => {
            let said = error.map(ToString::to_string).unwrap_or_default();
            no_http2(&format!("what the target sent is not HTTP/2: {said}"))
        }
    }
}
