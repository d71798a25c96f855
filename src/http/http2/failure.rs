//! What went wrong on HTTP/2, as an outcome and a cause.

use super::connection::Connection;
use super::reason::{End, Lost, Reason};
use crate::http::failure::{closed_early, fault, not_http, of_connect, of_exchange};
use crate::plan::Fault;
use crate::record::{Cause, Outcome};
use std::io;

/// A failure of one request.
pub(super) fn of_stream(lost: &Lost) -> Fault {
    let reset = |cause, detail| fault(Outcome::Reset, cause, detail);
    match lost {
        Lost::Reset(Reason::REFUSED_STREAM) => reset(
            Cause::StreamRefused,
            "the server refused the stream".to_owned(),
        ),
        Lost::Reset(reason) => reset(
            Cause::StreamReset,
            format!("the server reset the stream: {reason}"),
        ),
        Lost::GoneAway(reason) => reset(
            Cause::GoneAway,
            format!("the server goes away and did not take up the stream: {reason}"),
        ),
        Lost::Broken(broken) => not_http(&format!("{}: {}", broken.reason, broken.what)),
        Lost::Ended(End::Closed) => closed_early(),
        Lost::Ended(End::Failed(kind, said)) => of_exchange(&io::Error::new(*kind, said.as_str())),
    }
}

/// Why a connection did not become one of HTTP/2: it ended before the settings of the server came.
pub(super) fn of_greeting(connection: &Connection) -> Fault {
    const REMEDY: &str = "set `http = \"1.1\"` if it does not speak HTTP/2";
    let no_http2 = |what: &str| {
        fault(
            Outcome::Connect,
            Cause::NoCommonHttp,
            format!("{what}; {REMEDY}"),
        )
    };
    let first = connection.first_bytes();
    if first.starts_with(b"HTTP/") {
        return no_http2("the target answers in HTTP/1.1");
    }
    match connection.refusal() {
        Some(Lost::Ended(End::Failed(kind @ io::ErrorKind::InvalidData, said))) => {
            of_connect(&io::Error::new(kind, said))
        }
        Some(Lost::GoneAway(reason)) => fault(
            Outcome::Connect,
            Cause::GoneAway,
            format!("the server went away before its settings came: {reason}"),
        ),
        Some(Lost::Broken(broken)) => no_http2(&format!(
            "what the target sent is not HTTP/2: {}",
            broken.what
        )),
        _ if first.is_empty() => {
            no_http2("the target closed the connection before it sent its HTTP/2 settings")
        }
        _ => no_http2("the target closed the connection within its HTTP/2 settings"),
    }
}
