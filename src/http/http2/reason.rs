//! Why streams and connections end (RFC 9113, section 7).

use super::hpack::Corrupt;
use std::fmt;

/// What a `RST_STREAM` or `GOAWAY` frame gives as its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reason(pub(super) u32);

impl Reason {
    pub(super) const NO_ERROR: Self = Self(0x0);
    pub(super) const PROTOCOL_ERROR: Self = Self(0x1);
    pub(super) const FLOW_CONTROL_ERROR: Self = Self(0x3);
    pub(super) const FRAME_SIZE_ERROR: Self = Self(0x6);
    pub(super) const REFUSED_STREAM: Self = Self(0x7);
    pub(super) const CANCEL: Self = Self(0x8);
    pub(super) const COMPRESSION_ERROR: Self = Self(0x9);

    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = usize::try_from(self.0)
            .ok()
            .and_then(|at| Self::NAMES.get(at));
        match name {
            Some(name) => f.write_str(name),
            None => write!(f, "error code {:#x}", self.0),
        }
    }
}

/// A rule that the server broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    /// What it is told.
    pub(super) reason: Reason,
    pub(super) what: String,
}

impl Broken {
    pub(super) fn protocol(what: impl Into<String>) -> Self {
        Self {
            reason: Reason::PROTOCOL_ERROR,
            what: what.into(),
        }
    }

    pub(super) fn flow(what: &str) -> Self {
        Self {
            reason: Reason::FLOW_CONTROL_ERROR,
            what: what.to_owned(),
        }
    }

    /// A frame of this kind has a size that it cannot have.
    pub(super) fn size(kind: &str) -> Self {
        Self {
            reason: Reason::FRAME_SIZE_ERROR,
            what: format!("the size of {kind} is wrong"),
        }
    }
}

impl From<Corrupt> for Broken {
    fn from(corrupt: Corrupt) -> Self {
        Self {
            reason: Reason::COMPRESSION_ERROR,
            what: corrupt.to_string(),
        }
    }
}

/// Why a stream has ended before its answer was complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// The server reset it.
    Reset(Reason),
    /// The server goes away and has not taken it up.
    GoneAway(Reason),
    /// What came is not HTTP/2, or not an answer.
    Broken(Broken),
    /// The connection has ended.
    Ended(End),
}

impl Lost {
    /// Whether a request was only too late for a connection that the server closes for no fault: it says that
    /// it has not looked at it (RFC 9113, section 6.8), and every client sends it over another connection.
    pub(super) fn is_in_good_order(&self) -> bool {
        *self == Self::GoneAway(Reason::NO_ERROR)
    }
}

/// How the bytes of a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The server closed it.
    Closed,
    /// It broke.
    Failed(std::io::ErrorKind, String),
}
