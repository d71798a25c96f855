//! HPACK (RFC 7541): the heads of HTTP/2 messages, written and read.

mod decode;
mod encode;
mod fields;
mod huffman;
mod statics;

pub(super) use decode::Decoder;
pub(super) use encode::Encoder;
pub(super) use fields::Fields;

use std::fmt;

/// Both sides begin with dynamic tables of this size, in bytes (RFC 9113, section 6.5.2).
const TABLE_SIZE: usize = 4096;
/// What an entry counts for besides its name and value (section 4.1).
const ENTRY_OVERHEAD: usize = 32;

/// Why a block of headers cannot be read: the connection is lost with it, as both tables differ from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Corrupt(pub(super) &'static str);

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a block of headers cannot be read: {}", self.0)
    }
}
