//! Streamed answers, read as their bytes come: server-sent events and lines of JSON, and what in them
//! is a token, an end or an error.
//!
//! Bytes in, counts out. Nothing here knows a clock: whoever feeds bytes knows when they came, and
//! every event that a piece of bytes completes shares its time.

mod find;
mod lines;
mod ndjson;
mod pointer;
mod reader;
mod shape;
mod sse;

pub use lines::TooLong;
pub use ndjson::NdjsonParser;
pub use pointer::Pointer;
pub use reader::{Ending, Format, Reader, StreamForm, Trouble};
pub use shape::Shape;
pub use sse::{SseEvent, SseParser};
