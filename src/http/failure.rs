//! What went wrong, as an outcome and a cause: the one place that reads errors of the network stack.

use crate::plan::Fault;
use crate::record::{Cause, Outcome};
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
        // What the two sides of a TLS handshake found no agreement on.
        (io::ErrorKind::Unsupported, _) => Cause::NoCommonHttp,
        // rustls wraps its own errors this way.
        (io::ErrorKind::InvalidData, _) => Cause::Tls,
        _ => Cause::ConnectOther,
    };
    fault(Outcome::Connect, cause, error.to_string())
}

/// A failure on an open connection.
pub(super) fn of_exchange(error: &io::Error) -> Fault {
    let cause = match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Cause::ResetByPeer,
        io::ErrorKind::UnexpectedEof => Cause::ClosedEarly,
        // rustls wraps its own errors this way, such as the server's refusal of a certificate.
        io::ErrorKind::InvalidData => Cause::Tls,
        _ => Cause::ConnectionOther,
    };
    fault(Outcome::Reset, cause, error.to_string())
}

/// The end of a connection before the end of an answer.
pub(super) fn closed_early() -> Fault {
    let detail = "the connection was closed before the answer was complete";
    fault(Outcome::Reset, Cause::ClosedEarly, detail.to_owned())
}

/// Bytes that are not HTTP.
pub(super) fn not_http(reason: &str) -> Fault {
    fault(Outcome::Malformed, Cause::NotHttp, reason.to_owned())
}

pub(super) fn fault(outcome: Outcome, cause: Cause, detail: String) -> Fault {
    Fault {
        outcome,
        cause,
        detail,
    }
}
