//! Pure views of a run record and its judgement: console, HTML, PNG, JSON, JUnit, Markdown, CSV and
//! HdrHistogram log.
//!
//! The same record gives the same bytes, today and in a year. Nothing here judges, reads a clock or
//! touches a file.

mod chart;
mod html;
mod png;
mod rows;

#[cfg(test)]
mod sample;

pub use html::html;
pub use png::pngs;
