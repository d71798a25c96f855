//! What went wrong, as an outcome and a cause: the one place that reads errors of the network stack.

use crate::plan::Fault;
use crate::record::{Cause, Outcome};
use std::error::Error as StdError;
use std::io;

/// A failure to open a connection.
pub(super) fn of_connect(error: &io::Error) -> Fault {
    // errno values that std has no stable kind for (Linux): too many open files, in the process and
    // in the system.
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    let cause = match (error.kind(), error.raw_os_error()) {
        (_, Some(EMFILE | ENFILE)) | (io::ErrorKind::AddrNotAvailable, _) => Cause::LocalLimit,
        (io::ErrorKind::ConnectionRefused, _) => Cause::Refused,
        (io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable, _) => {
            Cause::Unreachable
        }
        (io::ErrorKind::TimedOut, _) => Cause::ConnectTimeout,
        (io::ErrorKind::NotFound, _) => Cause::NameUnknown,
        _ => Cause::ConnectOther,
    };
    fault(Outcome::Connect, cause, error.to_string())
}

/// A failure on an open connection.
pub(super) fn of_exchange(error: &hyper::Error) -> Fault {
    let detail = chain(error);
    if error.is_parse() || error.is_parse_too_large() {
        return fault(Outcome::Malformed, Cause::NotHttp, detail);
    }
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return fault(Outcome::Reset, Cause::ClosedEarly, detail);
    }
    let mut source = error.source();
    let mut io_kind = None;
    while let Some(error) = source {
        io_kind = error
            .downcast_ref::<io::Error>()
            .map(io::Error::kind)
            .or(io_kind);
        source = error.source();
    }
    let cause = match io_kind {
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => Cause::ResetByPeer,
        Some(io::ErrorKind::UnexpectedEof) => Cause::ClosedEarly,
        // A body whose framing is broken (chunk sizes) arrives as invalid data.
        Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => {
            return fault(Outcome::Malformed, Cause::NotHttp, detail);
        }
        _ => Cause::ConnectionOther,
    };
    fault(Outcome::Reset, cause, detail)
}

fn fault(outcome: Outcome, cause: Cause, detail: String) -> Fault {
    Fault {
        outcome,
        cause,
        detail,
    }
}

/// An error with everything that caused it.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
